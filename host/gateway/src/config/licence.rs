//! `[[licence]]`: pools of seats.

use super::{
    reader::{Document, Table, When},
    site::written,
};
use sip::Instant;
use std::{collections::BTreeSet, time::Duration};
use switch::{
    directory::{Per, Pool},
    limits::licence::GRACE,
};
use time::UtcDateTime;

const DAY: u64 = 24 * 3600;
/// Days that a grace period may have.
const GRACE_DAYS_MAX: u64 = 3650;

/// Reads one pool.
pub(super) fn read(document: &Document<'_>, table: Table<'_>) -> Pool {
    table.known(&["pool", "seats", "per", "reserved", "not_before", "not_after", "grace_days"]);
    let pool = table.required("pool", "site");
    let seats = table.number("seats", 0..=10_000_000);
    if seats.is_none() && !table.has("seats") {
        document.error(table.line(), table.path("seats"), "is missing", "add `seats = 50`");
    }
    let reserved_line = table.texts("reserved").and_then(|owners| owners.first().map(|owner| owner.line)).unwrap_or_else(|| table.line());
    let reserved: BTreeSet<String> = table.texts("reserved").unwrap_or_default().into_iter().map(|owner| owner.value).collect();
    let owners = u64::try_from(reserved.len()).unwrap_or(u64::MAX);
    if let Some(seats) = seats.filter(|seats| seats.value < owners) {
        document.error(
            reserved_line,
            table.path("reserved"),
            format!("{owners} seats are reserved of {}", seats.value),
            "reserve no more than there are, or raise `seats`",
        );
    }
    // A day is meant whole: it begins at its first moment, and the pool is valid through its last.
    let not_before = table.date("not_before").map(|date| instant(date.value, 0));
    let not_after = table.date("not_after");
    let ends = not_after.map(|date| instant(date.value, DAY));
    if let (Some(begins), Some(ends), Some(line)) = (not_before, ends, not_after.map(|date| date.line))
        && ends <= begins
    {
        document.error(line, table.path("not_after"), "is before `not_before`: the pool would never be valid", "change one of the dates");
    }
    let grace = table.number("grace_days", 0..=GRACE_DAYS_MAX).map_or(GRACE, |days| Duration::from_secs(days.value * DAY));
    Pool {
        per: table.choice("per", &[Per::Endpoint, Per::User].map(|per| (per.name(), per))).unwrap_or_default(),
        reserved,
        not_before,
        not_after: ends,
        grace,
        ..Pool::new(written(pool), seats.map_or(0, |seats| u32::try_from(seats.value).unwrap_or(u32::MAX)))
    }
}

/// A moment as it is, of a day the moment so many seconds into it.
fn instant(when: When, seconds: u64) -> Instant {
    let (from, more) = match when {
        When::Day(day) => (UtcDateTime::new(day, time::Time::MIDNIGHT), seconds),
        When::Moment(moment) => (moment, 0),
    };
    Instant::default() + Duration::from_secs(u64::try_from(from.unix_timestamp()).unwrap_or(0) + more)
}
