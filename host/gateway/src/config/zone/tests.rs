use crate::config::{Config, Report};
use sip::Instant;
use switch::zone::Zone;

fn zone(text: &str) -> Result<Zone, Report> {
    Config::parse("holdfast.toml", text, None).map(|loaded| loaded.config.directory.zone)
}

/// Minutes ahead of UTC in that zone at this moment.
fn offset(name: &str, at: &str) -> i32 {
    let at: jiff::Timestamp = at.parse().unwrap();
    let zone = zone(&format!("[policy]\ntime_zone = \"{name}\"\n")).unwrap();
    zone.utc_offset_minutes(Instant::from_unix_micros(u64::try_from(at.as_microsecond()).unwrap()))
}

#[test]
fn the_site_is_in_utc_unless_it_says_where_it_is() {
    for text in ["", "[policy]\nfolder = \"policies\"\n", "[policy]\ntime_zone = \"UTC\"\n", "[policy]\ntime_zone = \"etc/utc\"\n"] {
        assert_eq!(zone(text).unwrap(), Zone::default(), "{text}");
    }
}

#[test]
fn a_zone_follows_summer_time() {
    for (at, minutes) in [
        ("2026-03-29T00:59:59Z", 60),
        ("2026-03-29T01:00:00Z", 120),
        ("2026-10-25T00:59:59Z", 120),
        ("2026-10-25T01:00:00Z", 60),
        // Long behind the changes that the database lists one by one.
        ("2150-01-01T12:00:00Z", 60),
        ("2150-07-01T12:00:00Z", 120),
    ] {
        assert_eq!(offset("Europe/Berlin", at), minutes, "{at}");
    }
    // South of the equator it is the other half of the year; elsewhere half and quarter hours, and west of Greenwich less than UTC.
    assert_eq!((offset("Australia/Lord_Howe", "2026-01-01T00:00:00Z"), offset("Australia/Lord_Howe", "2026-07-01T00:00:00Z")), (660, 630));
    assert_eq!((offset("Asia/Kathmandu", "2026-01-01T00:00:00Z"), offset("America/St_Johns", "2026-01-01T00:00:00Z")), (345, -210));
}

#[test]
fn every_zone_has_the_offsets_of_the_database() {
    let database = jiff::tz::TimeZoneDatabase::bundled();
    let mut zones = 0;
    for name in database.available() {
        let (zone, known) = (super::offsets(&database.get(name.as_str()).unwrap()), database.get(name.as_str()).unwrap());
        for day in (0..20_000).step_by(17) {
            let at = jiff::Timestamp::from_second(day * 86_400 + 1).unwrap();
            let told = zone.utc_offset_minutes(Instant::from_unix_micros(u64::try_from(at.as_microsecond()).unwrap()));
            assert_eq!(told, known.to_offset(at).seconds().div_euclid(60), "{} at {at}", name.as_str());
            assert!((-1440..=1440).contains(&told));
        }
        zones += 1;
    }
    assert!(zones > 400, "{zones}");
}

#[test]
fn an_unknown_zone_is_named_with_its_line_and_what_may_have_been_meant() {
    let said = |name: &str| zone(&format!("[policy]\nfolder = \"policies\"\ntime_zone = \"{name}\"\n")).unwrap_err().to_string();
    for (name, remedy) in [
        ("Europe/Berln", "did you mean `time_zone = \"Europe/Berlin\"`?"),
        ("berlin", "did you mean `time_zone = \"Europe/Berlin\"`?"),
        ("New York", "did you mean `time_zone = \"America/New_York\"`?"),
        ("where the sun shines", "write it like `time_zone = \"Europe/Berlin\"`"),
        ("", "write it like `time_zone = \"Europe/Berlin\"`"),
        ("+01:00", "write it like `time_zone = \"Europe/Berlin\"`"),
    ] {
        let expected = format!("holdfast.toml:3: policy.time_zone: `{name}` is not a time zone of the IANA database; {remedy}");
        assert_eq!(said(name).lines().find(|line| line.contains("time_zone")), Some(expected.as_str()));
    }
    assert!(zone("[policy]\ntime_zone = 1\n").unwrap_err().to_string().contains("text is wanted here"));
}
