use super::*;
use serde_json::json;

fn same<T: Answer + std::fmt::Debug>(answer: &T) {
    let json = answer.told().json();
    let read = T::from_json(&json).unwrap_or_else(|| panic!("{json} is not read"));
    assert_eq!(format!("{read:?}"), format!("{answer:?}"), "{json}");
}

#[test]
fn every_answer_is_read_as_it_was_written() {
    let text = || "a \"text\"".to_owned();
    same(&());
    same(&None::<String>);
    same(&Some(text()));
    same(&vec![text(), String::new()]);
    same(&u32::MAX);
    same(&-300_i32);
    same(&None::<Endpoint>);
    same(&Some(Endpoint { id: text(), extension: text(), name: String::new(), enabled: false }));
    for (standing, _) in STANDINGS {
        same(&standing);
    }
    same(&vec![Binding { contact: text(), user_agent: text(), expires_seconds: 7, emergency_only: true }]);
    same(&Some(Usage { seats: 5, taken: 6 }));
    let calls = CallSettings {
        ring_seconds: Some(20),
        forward_always: None,
        forward_busy: Some(text()),
        forward_no_answer: Some(String::new()),
        forward_unreachable: None,
    };
    same(&Some(calls));
    same(&None::<CallSettings>);
    for (validity, _) in VALIDITIES {
        same(&Some(PoolStanding { kept: 1, waiting: 2, most: 3, refused: u64::MAX, validity }));
    }
    for (place, _) in PLACES {
        same(&Some(place));
    }
    for (standing, _) in TRUNK_STANDINGS {
        same(&Some(standing));
    }
    same(&None::<TrunkStanding>);
    same(&Some(Trunk { name: text(), healthy: true, calls: 3 }));
    same(&OutsideUsage { calls: 1, calls_in_hour: 2, seconds_in_day: 3, seconds_in_outage: u32::MAX });
    same(&Some(7_u32));
    same(&None::<u32>);
    same(&Some(Location { name: text(), elin: None, address: Some(text()) }));
    same(&Ok::<(), MemoryError>(()));
    same(&Err::<(), _>(MemoryError::Full));
    same(&Ok::<_, MemoryError>(-4_i64));
    same(&Err::<i64, _>(MemoryError::TooLong));
}

#[test]
fn a_question_asked_twice_gets_both_answers_in_order_and_an_unknown_one_is_named() {
    let asked = |told: &str| ("memory.get".to_owned(), vec!["k".to_owned()], json!(told));
    let mut script = Script::new(vec![asked("one"), asked("two")]);
    let mut next = || script.answer::<Option<String>>("memory.get", &["k"]);
    assert_eq!([next(), next(), next()], ["one", "two", "two"].map(|text| Some(Some(text.to_owned()))));
    assert_eq!(script.answer::<Option<String>>("memory.get", &["other"]), None);
    assert_eq!(script.unknown.as_deref(), Some("memory.get(other)"));
}

#[test]
fn what_does_not_fit_is_left_out_and_said() {
    let mut tape = Tape::default();
    for _ in 0..100 {
        tape.keep("memory.get", &["k"], Told::Text(Some("x".repeat(4096))));
    }
    assert!(tape.cut && tape.asked.len() < 17, "{}", tape.asked.len());
}
