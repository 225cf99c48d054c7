//! `time_zone` of `[policy]`: a name of the IANA time zone database, which is part of the program, made a table of offsets.

use super::reader::{At, Document, Table};
use jiff::{
    Timestamp,
    tz::{Offset, TimeZone, TimeZoneDatabase},
};
use sip::Instant;
use std::{iter, mem};
use switch::zone::Zone;

/// Seconds after 1970 from which on the table has no changes: 2200-01-01.
const LAST: i64 = 7_258_118_400;

/// Reads the key; UTC where it is not written.
pub(super) fn read(document: &Document<'_>, table: Table<'_>) -> Zone {
    let Some(name) = table.text("time_zone") else { return Zone::default() };
    let database = TimeZoneDatabase::bundled();
    if let Ok(zone) = database.get(&name.value) {
        return offsets(&zone);
    }
    let reason = format!("`{}` is not a time zone of the IANA database", name.value);
    document.error(name.line, table.path("time_zone"), reason, remedy(&database, &name));
    Zone::default()
}

/// A short table instead of rules: policies ask for every call, and each looks up a few numbers then.
fn offsets(zone: &TimeZone) -> Zone {
    let mut last = minutes(zone.to_offset(Timestamp::UNIX_EPOCH));
    let changes = zone.following(Timestamp::UNIX_EPOCH).take_while(|change| change.timestamp().as_second() < LAST);
    // Some changes are of the zone's abbreviation only.
    let new = changes.map(|change| (instant(change.timestamp()), minutes(change.offset())));
    Zone::new(last, new.filter(|(_, minutes)| mem::replace(&mut last, *minutes) != *minutes))
}

/// Since 1972 every zone is whole minutes from UTC.
const fn minutes(offset: Offset) -> i32 {
    offset.seconds().div_euclid(60)
}

fn instant(at: Timestamp) -> Instant {
    Instant::from_unix_micros(u64::try_from(at.as_microsecond()).unwrap_or(0))
}

/// What was meant, where that can be told: a slip in a name, or a city without its continent.
fn remedy(database: &TimeZoneDatabase, name: &At<String>) -> String {
    let meant = name.value.to_ascii_lowercase().replace(' ', "_");
    let forms = |known: &str| {
        let city = known.rsplit('/').next().filter(|_| !meant.contains('/')).map(str::to_ascii_lowercase);
        iter::once(known.to_ascii_lowercase()).chain(city).collect::<Vec<_>>()
    };
    let distance = |known: &str| {
        let near = |form: &String| Some(strsim::damerau_levenshtein(&meant, form)).filter(|distance| *distance <= 1 + form.len() / 4);
        forms(known).iter().filter_map(near).min()
    };
    let names = database.available().map(|known| known.as_str().to_owned());
    let nearest = names.filter_map(|known| Some((distance(&known)?, known))).min();
    nearest.map_or_else(
        || "write it like `time_zone = \"Europe/Berlin\"`".to_owned(),
        |(_, nearest)| format!("did you mean `time_zone = \"{nearest}\"`?"),
    )
}

#[cfg(test)]
mod tests;
