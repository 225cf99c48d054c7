use super::*;
use holdfast_policy::{Setting, Value};

fn text(key: &str, value: &str) -> Setting {
    Setting { key: key.to_owned(), value: Value::Text(value.to_owned()) }
}

fn number(rules: &Rules, called: &str) -> Option<String> {
    rules.way(called, 4).map(|way| way.rewritten.unwrap_or_else(|| way.number.to_owned()))
}

#[test]
fn without_settings_whatever_is_longer_than_an_extension_goes_out() {
    let rules = Rules::default();
    assert_eq!(number(&rules, "+442079460000").as_deref(), Some("+442079460000"));
    assert_eq!(number(&rules, "02079460000").as_deref(), Some("02079460000"));
    assert_eq!(number(&rules, "1001"), None, "as long as an extension");
    assert_eq!(number(&rules, "reception"), None, "no telephone number");
    assert_eq!(number(&rules, "+"), None);
    assert_eq!(number(&rules, "+44 20"), None);
}

#[test]
fn an_outside_prefix_is_needed_and_taken_off() {
    let rules = Rules::read(&vec![text("outside_prefix", "9")].into()).unwrap();
    assert_eq!(number(&rules, "902079460000").as_deref(), Some("02079460000"));
    assert_eq!(number(&rules, "02079460000"), None);
    assert_eq!(number(&rules, "+442079460000").as_deref(), Some("+442079460000"), "a plus needs no prefix");
    assert_eq!(number(&rules, "9"), None, "nothing behind the prefix");
}

#[test]
fn the_first_rule_that_matches_counts() {
    let rules = Rules::read(
        &vec![
            text("rule.0.number", "+44%"),
            Setting { key: "rule.0.strip".to_owned(), value: Value::Number(3) },
            text("rule.0.prepend", "0"),
            Setting { key: "rule.0.trunks".to_owned(), value: Value::Texts(vec!["near".to_owned()]) },
            text("rule.1.number", "+%"),
        ]
        .into(),
    )
    .unwrap();
    let way = rules.way("+442079460000", 4).unwrap();
    assert_eq!((way.rewritten.as_deref(), way.trunks), (Some("02079460000"), ["near".to_owned()].as_slice()));
    assert_eq!(rules.way("+12025550100", 4).unwrap(), Way { number: "+12025550100", rewritten: None, trunks: &[] });
    assert_eq!(rules.way("118118", 4), None, "no rule");
}

#[test]
fn each_wrong_setting_is_named() {
    let problems = Rules::read(
        &vec![
            text("outside_prefix", "9w"),
            text("rule.0.trunks", "near"),
            Setting { key: "rule.0.strip".to_owned(), value: Value::Number(-1) },
            text("rule.1.number", "%1%"),
            text("rules", "none"),
        ]
        .into(),
    )
    .unwrap_err();
    let mut keys: Vec<_> = problems.iter().map(|p| p.key.as_str()).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["outside_prefix", "rule.0.number", "rule.0.strip", "rule.0.trunks", "rule.1.number", "rules"]);
}
