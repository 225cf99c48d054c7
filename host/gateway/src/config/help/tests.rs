use super::super::Config;
use std::time::Duration;
use switch::{
    directory::{
        Directory,
        help::{CallerId, Geolocation, May},
    },
    trunk::Capacity,
};

fn text(trunk: &str, place: &str, emergency: &str) -> String {
    format!(
        "[[trunk]]\nname = \"t\"\nuri = \"sip:192.0.2.10\"\nsources = [\"192.0.2.10\"]\n{trunk}\n[[location]]\nname = \"hq\"\n{place}\n[emergency]\ntrunks = [\"t\"]\n{emergency}\n"
    )
}

#[track_caller]
fn read(trunk: &str, place: &str, emergency: &str) -> Directory {
    Config::parse("holdfast.toml", &text(trunk, place, emergency), None).unwrap_or_else(|report| panic!("{report}")).config.directory
}

/// The keys that something is said about.
fn named(trunk: &str, place: &str, emergency: &str) -> Vec<String> {
    let report = match Config::parse("holdfast.toml", &text(trunk, place, emergency), None) {
        Ok(loaded) => loaded.report,
        Err(report) => report,
    };
    let mut keys: Vec<String> = report.problems.iter().map(|problem| problem.key.clone()).collect();
    keys.sort();
    keys
}

#[test]
fn everything_that_can_be_said() {
    let directory = read(
        "channels = 30\nchannels_in = 20\nchannels_out = 25\nreserved = 2\ngeolocation = \"add\"",
        "trunks = [\"t\"]\ncivic = { street = \"Example Street\", country = \"GB\", room = \"214\" }",
        "test_trunks = [\"t\"]\nlocation = \"hq\"\ncaller_id = \"own\"\nresource_priority = \"esnet.1\"\nphones_may = [\"transfer\"]\nsecurity_desk = \"1001\"\ncallback_hours = 12\ncallback_seconds = 30",
    );
    let trunk = directory.trunk("t").unwrap();
    assert_eq!(trunk.channels, Capacity { all: Some(30), inbound: Some(20), outbound: Some(25), reserved: 2 });
    assert_eq!(trunk.geolocation, Geolocation::Add);
    let place = directory.location("hq").unwrap();
    assert_eq!(place.trunks, ["t"]);
    assert_eq!(place.civic.parts, [("country", "GB".to_owned()), ("RD", "Example Street".to_owned()), ("ROOM", "214".to_owned())]);
    let rules = &directory.emergency;
    assert_eq!((rules.test_trunks.as_slice(), rules.location.as_deref()), (&["t".to_owned()][..], Some("hq")));
    assert_eq!((rules.caller_id, rules.resource_priority.as_deref()), (CallerId::Own, Some("esnet.1")));
    assert_eq!((rules.may, rules.security_desk.as_deref()), (May { hold: false, transfer: true }, Some("1001")));
    assert_eq!((rules.callback, rules.callback_ring), (Duration::from_secs(12 * 3600), Duration::from_secs(30)));
}

#[test]
fn what_holds_when_nothing_is_said() {
    let directory = read("", "", "");
    assert_eq!(directory.trunk("t").unwrap().channels, Capacity::default());
    assert_eq!(directory.emergency.may, May { hold: true, transfer: false });
    assert_eq!(directory.emergency.callback, Duration::from_secs(3 * 3600));
    assert_eq!(directory.emergency.numbers, ["112", "911", "999"]);
}

#[test]
fn a_country_brings_its_numbers() {
    for (written, numbers, tests) in [
        ("country = \"GB\"", &["999", "112"][..], &[][..]),
        ("country = [\"us\", \"MX\"]\nnumbers = [\"066\", \"911\"]", &["911", "066"], &["933"]),
        ("country = \"DE\"\ntest_numbers = [\"0119\"]", &["110", "112"], &["0119"]),
        ("numbers = [\"116117\"]", &["116117"], &["933"]),
    ] {
        let rules = read("", "", written).emergency;
        assert_eq!(
            (rules.numbers, rules.test_numbers),
            (numbers.iter().map(|n| (*n).to_owned()).collect(), tests.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>()),
            "{written}"
        );
    }
}

#[test]
fn every_mistake_is_named_with_its_remedy() {
    let keys = named(
        "channels = -1\nreserved = 1\ngeolocation = \"yes\"",
        "trunks = [\"gone\"]\ncivic = { country = \"England\", streeet = \"X\", room = \"\" }",
        "country = \"Utopia\"\ntest_trunks = [\"gone\"]\nlocation = \"moon\"\ncaller_id = \"any\"\nresource_priority = \"high\"\nphones_may = [\"dance\"]\ncallback_hours = 1\ncallback_seconds = 5",
    );
    assert_eq!(
        keys,
        [
            "emergency.callback_hours",
            "emergency.callback_seconds",
            "emergency.caller_id",
            "emergency.country",
            "emergency.location",
            "emergency.phones_may",
            "emergency.resource_priority",
            "emergency.test_trunks",
            "location[1].civic.country",
            "location[1].civic.room",
            "location[1].civic.streeet",
            "location[1].trunks",
            "trunk[1].channels",
            "trunk[1].geolocation",
            "trunk[1].reserved",
        ]
    );
    // What is not wrong, but is seldom meant.
    assert_eq!(named("channels = 2\nreserved = 2", "", "security_desk = \"7\""), ["emergency.security_desk", "trunk[1].reserved"]);
}
