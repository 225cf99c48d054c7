use super::*;

fn fail(breaker: &Breaker, now: Instant) -> bool {
    breaker.failed("trapped".to_owned(), Subject::None, now)
}

#[test]
fn five_faults_within_ten_seconds_open_it_and_only_the_fifth_says_so() {
    let (breaker, start) = (Breaker::default(), Instant::now());
    for second in 0..4 {
        assert!(!fail(&breaker, start + Duration::from_secs(second)));
        assert!(!breaker.is_open());
    }
    assert!(fail(&breaker, start + Duration::from_secs(4)));
    assert!(breaker.is_open());
    assert!(!fail(&breaker, start + Duration::from_secs(4)));
    assert_eq!(breaker.reason(), "it failed 5 times within 10 s; the last time it trapped");
}

#[test]
fn rare_faults_do_not_open_it() {
    let (breaker, start) = (Breaker::default(), Instant::now());
    for n in 0..100 {
        assert!(!fail(&breaker, start + n * Duration::from_secs(3)));
    }
}

#[test]
fn it_is_tried_again_after_a_rest_that_doubles_up_to_a_minute() {
    let (breaker, start) = (Breaker::default(), Instant::now());
    for _ in 0..5 {
        fail(&breaker, start);
    }
    assert!(breaker.due(start).is_none());
    assert_eq!(breaker.due(start + REST).map(|subjects| subjects.len()), Some(5));
    let rests: Vec<u64> = (0..6).map(|_| breaker.stay_open("is late".to_owned(), start).as_secs()).collect();
    assert_eq!(rests, [4, 8, 16, 32, 60, 60]);
    assert!(breaker.due(start + Duration::from_secs(59)).is_none());
    breaker.close();
    assert!(!breaker.is_open() && breaker.due(start + Duration::from_secs(600)).is_none());
    assert!(!fail(&breaker, start + Duration::from_secs(600)), "it counts from nothing again");
}

#[test]
fn it_remembers_the_latest_eight_only() {
    let (breaker, start) = (Breaker::default(), Instant::now());
    for _ in 0..100 {
        fail(&breaker, start);
    }
    assert_eq!(breaker.due(start + REST).map(|subjects| subjects.len()), Some(KEPT));
}
