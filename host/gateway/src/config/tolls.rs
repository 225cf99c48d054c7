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
