use super::*;
use crate::fixture::{directory, endpoint};
use proptest::prelude::*;

#[test]
fn everything_is_found_by_its_names() {
    let site = directory();
    let id = |found: Option<&Arc<Endpoint>>| found.map(|endpoint| endpoint.id.clone());
    assert_eq!(id(site.endpoint("desk-1")).as_deref(), Some("desk-1"));
    assert_eq!(id(site.by_extension("1002")).as_deref(), Some("desk-2"));
    assert_eq!(id(site.by_username("user-1001")).as_deref(), Some("desk-1"));
    assert_eq!(id(site.by_number("+442030001234")).as_deref(), Some("desk-1"));
    for user in ["desk-1", "1001", "user-1001", "+442030001234"] {
        assert_eq!(id(site.by_user(user)).as_deref(), Some("desk-1"), "{user}");
    }
    for user in ["", "100", "10011", "DESK-1", "+44203000123"] {
        assert_eq!(id(site.by_user(user)), None, "{user}");
    }
    assert!(site.trunk("first").is_some() && site.trunk("third").is_none());
    assert!(site.location("hq").is_some() && site.location("").is_none());
}

#[test]
fn the_first_of_two_with_one_name_wins() {
    let second = Endpoint { extension: "2".to_owned(), ..endpoint("b", "1") };
    let site =
        Directory::new(String::new(), vec![endpoint("a", "1"), second], Vec::new(), Vec::new(), crate::fixture::emergency(), Vec::new());
    assert_eq!(site.by_username("user-1").unwrap().id, "a");
    assert_eq!(site.by_extension("2").unwrap().id, "b");
}

#[test]
fn sources_are_addresses_networks_or_address_and_port() {
    let site = directory();
    let from = |remote: &str| site.trunk_from(remote.parse().unwrap()).map(|trunk| trunk.name.clone());
    assert_eq!(from("192.0.2.10:5060").as_deref(), Some("first"));
    assert_eq!(from("192.0.2.10:40000").as_deref(), Some("first"));
    assert_eq!(from("[::ffff:192.0.2.10]:5060").as_deref(), Some("first"), "IPv4 on an IPv6 socket");
    assert_eq!(from("[2001:db8::5]:5061").as_deref(), Some("second"));
    assert_eq!(from("10.1.0.99:5060").as_deref(), Some("spare"));
    assert_eq!(from("[::ffff:10.1.0.99]:5060").as_deref(), Some("spare"));
    assert_eq!(from("10.1.0.99:5061"), None);
    assert_eq!(from("192.0.2.11:5060"), None);
}

#[test]
fn the_narrowest_network_gives_the_location() {
    let site = directory();
    let of = |address: &str| site.location_of(address.parse().unwrap()).map(|location| location.name.clone());
    assert_eq!(of("10.1.0.7").as_deref(), Some("annex"));
    assert_eq!(of("::ffff:10.1.0.7").as_deref(), Some("annex"));
    assert_eq!(of("10.9.0.7").as_deref(), Some("hq"));
    assert_eq!(of("192.168.0.1"), None);
    assert_eq!(of("::1"), None);
}

#[test]
fn number_patterns() {
    let matches = |pattern: &str, number: &str| NumberPattern(pattern.to_owned()).matches(number);
    for (pattern, number) in [
        ("", ""),
        ("%", ""),
        ("%", "123"),
        ("+44%", "+44"),
        ("+44%", "+44203"),
        ("1%3", "13"),
        ("1%3", "1233"),
        ("%12", "1212"),
        ("%%", "1"),
        ("a%b%c", "a1b2c"),
    ] {
        assert!(matches(pattern, number), "{pattern} {number}");
    }
    for (pattern, number) in [
        ("", "1"),
        ("%", "+1"),
        ("%", "12a"),
        ("+44%", "44203"),
        ("+44%", "0+44"),
        ("1%3", "1234"),
        ("1%3", "1x3"),
        ("112", "9112"),
        ("112", "1121"),
    ] {
        assert!(!matches(pattern, number), "{pattern} {number}");
    }
}

/// The meaning of a pattern, spelled out: `%` stands for no digit, or for one digit and another `%`.
fn plainly(pattern: &[u8], number: &[u8]) -> bool {
    match (pattern, number) {
        ([], []) => true,
        ([b'%', behind @ ..], _) => {
            plainly(behind, number) || matches!(number, [digit, left @ ..] if digit.is_ascii_digit() && plainly(pattern, left))
        }
        ([wanted, behind @ ..], [found, left @ ..]) => wanted == found && plainly(behind, left),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn patterns_mean_what_they_say(pattern in "[12a%]{0,7}", number in "[12a]{0,8}") {
        prop_assert_eq!(NumberPattern(pattern.clone()).matches(&number), plainly(pattern.as_bytes(), number.as_bytes()));
    }
}

#[test]
fn a_hostile_pattern_takes_no_time() {
    let pattern = NumberPattern(format!("{}2", "%1".repeat(200)));
    assert!(!pattern.matches(&"1".repeat(5000)));
}

#[test]
fn a_trunk_never_shows_its_password() {
    let trunk = Trunk {
        name: "provider".to_owned(),
        uri: "sip:192.0.2.10".to_owned(),
        sources: Vec::new(),
        username: Some("acct".to_owned()),
        password: Some("hunter2".to_owned()),
        numbers: Vec::new(),
        ..Trunk::default()
    };
    let shown = format!("{trunk:?}");
    assert!(shown.contains("acct") && !shown.contains("hunter2"), "{shown}");
}
