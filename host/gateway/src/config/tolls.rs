//! `[tolls]`: what calls to the outside may cost, whatever policies say.

use super::reader::{Document, Table};
use std::time::Duration;
use switch::{
    directory::{Directory, NumberPattern},
    emergency::classify_number,
    facts::CallKind,
    toll::Ceilings,
};

/// Reads the section; `directory` is the rest of the site.
pub(super) fn read(document: &Document<'_>, table: Table<'_>, directory: &Directory) -> Ceilings {
    table.known(&[
        "calls_per_endpoint",
        "calls_per_site",
        "calls_per_hour",
        "minutes_per_day",
        "minutes_per_outage",
        "longest_call_minutes",
        "denied",
    ]);
    let count = |key: &str| table.number(key, 0..=1_000_000).and_then(|number| u32::try_from(number.value).ok());
    let minutes = |key: &str| table.number(key, 0..=1_000_000).map(|number| Duration::from_secs(number.value * 60));
    let longest_call = table.number("longest_call_minutes", 1..=1_000_000).map(|number| Duration::from_secs(number.value * 60));
    let mut denied = Vec::new();
    for pattern in table.texts("denied").unwrap_or_default() {
        let known = |octet: u8| octet.is_ascii_digit() || b"+*#%".contains(&octet);
        if pattern.value.is_empty() || !pattern.value.bytes().all(known) {
            let reason = format!("`{}` is not a number pattern", pattern.value);
            document.error(pattern.line, "tolls.denied", reason, "use digits, `+`, and `%` for any run of digits, e.g. \"+44900%\"");
            continue;
        }
        let pattern_of = NumberPattern(pattern.value);
        let help = directory.emergency.numbers.iter().find(|number| pattern_of.matches(number));
        if let Some(number) = help.filter(|number| classify_number(number.as_bytes(), directory).0 != CallKind::Normal) {
            document.warning(
                pattern.line,
                "tolls.denied",
                format!("`{}` matches the emergency number {number}, which goes out all the same", pattern_of.0),
                "nothing holds a call for help back; write the pattern so that it shows",
            );
        }
        denied.push(pattern_of);
    }
    Ceilings {
        calls_per_endpoint: count("calls_per_endpoint"),
        calls_per_site: count("calls_per_site"),
        calls_per_hour: count("calls_per_hour"),
        talk_per_day: minutes("minutes_per_day"),
        talk_per_outage: minutes("minutes_per_outage"),
        longest_call,
        denied,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use expect_test::expect;
    use std::time::Duration;

    const HELP: &str = "[emergency]\nnumbers = [\"112\"]\n[tolls]\n";

    #[test]
    fn every_ceiling_is_read_and_none_is_there_by_itself() {
        let ceilings = |lines: &str| Config::parse("holdfast.toml", &format!("{HELP}{lines}"), None).unwrap().config.directory.tolls;
        assert_eq!(ceilings(""), super::Ceilings::default());
        let all = ceilings(
            "calls_per_endpoint = 2\ncalls_per_site = 0\ncalls_per_hour = 9\nminutes_per_day = 60\nminutes_per_outage = 600\n\
             longest_call_minutes = 90\ndenied = [\"+44900%\", \"00%\"]\n",
        );
        assert_eq!((all.calls_per_endpoint, all.calls_per_site, all.calls_per_hour), (Some(2), Some(0), Some(9)));
        let minutes = |minutes: u64| Some(Duration::from_secs(60 * minutes));
        assert_eq!((all.talk_per_day, all.talk_per_outage, all.longest_call), (minutes(60), minutes(600), minutes(90)));
        assert!(all.bars("+44 900 1234").is_some() && all.bars("004930").is_some() && all.bars("+4930").is_none());
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        let lines = "calls_per_hour = -1\nlongest_call_minutes = 0\ndenied = [\"abc\", \"\", \"11%\"]\nminutes = 3\n";
        let report = Config::parse("holdfast.toml", &format!("{HELP}{lines}"), None).unwrap_err();
        expect![[r#"
            holdfast.toml:1: emergency.trunks: there is no trunk: calls for help cannot leave this site; add a [[trunk]] and name it in `trunks` of [emergency]
            holdfast.toml:4: tolls.calls_per_hour: -1 is outside 0 to 1000000; choose a number within these bounds
            holdfast.toml:5: tolls.longest_call_minutes: 0 is outside 1 to 1000000; choose a number within these bounds
            holdfast.toml:6: tolls.denied: `abc` is not a number pattern; use digits, `+`, and `%` for any run of digits, e.g. "+44900%"
            holdfast.toml:6: tolls.denied: `` is not a number pattern; use digits, `+`, and `%` for any run of digits, e.g. "+44900%"
            holdfast.toml:6: tolls.denied: `11%` matches the emergency number 112, which goes out all the same; nothing holds a call for help back; write the pattern so that it shows
            holdfast.toml:7: tolls.minutes: unknown key; the keys here are `calls_per_endpoint`, `calls_per_site`, `calls_per_hour`, `minutes_per_day`, `minutes_per_outage`, `longest_call_minutes` and `denied`"#]].assert_eq(&report.to_string());
    }

    #[test]
    fn a_barred_emergency_number_goes_out_all_the_same() {
        let loaded = Config::parse("holdfast.toml", &format!("{HELP}denied = [\"11%\"]\n"), None).unwrap();
        assert!(loaded.report.warnings().any(|warning| warning.key == "tolls.denied"), "{}", loaded.report);
    }
}
