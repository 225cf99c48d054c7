use super::*;
use holdfast_policy::Value;

fn settings(text: &str) -> Vec<Setting> {
    vec![Setting { key: "when_full".to_owned(), value: Value::Text(text.to_owned()) }]
}

#[test]
fn both_answers_to_a_full_pool_are_settings() {
    assert_eq!(emergency_only(&Settings::default()), Ok(false));
    assert_eq!(emergency_only(&settings("refuse").into()), Ok(false));
    assert_eq!(emergency_only(&settings("emergency-only").into()), Ok(true));
}

#[test]
fn another_answer_is_a_problem_that_names_the_key() {
    let problems = Licence::check(settings("shrug")).unwrap_err();
    assert_eq!(problems.iter().map(|p| p.key.as_str()).collect::<Vec<_>>(), ["when_full"]);
}

#[test]
fn a_misspelt_key_is_a_problem_that_names_the_right_one() {
    let problems = Licence::check(vec![Setting { key: "when-full".to_owned(), value: Value::Flag(true) }]).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert!(problems[0].message.contains("when_full"), "{problems:?}");
}
