//! `[survivable]`: how long registrations last while phones are here because they have lost their cloud.

use super::{
    limits::Limits,
    reader::{Document, Table},
};
use std::time::Duration;
use switch::registrar::Survivable;

/// Reads it; `None`: phones get what they ask for, within the limits.
pub(super) fn read(document: &Document<'_>, table: Option<Table<'_>>, limits: &Limits) -> Option<Survivable> {
    let default = Survivable::default();
    let Some(table) = table else { return Some(default) };
    table.known(&["expires_seconds", "spread_percent"]);
    let expires = table.number("expires_seconds", 0..=604_800);
    let spread = table.number("spread_percent", 0..=90);
    let spread_percent = spread.map_or(default.spread_percent, |spread| u32::try_from(spread.value).unwrap_or(default.spread_percent));
    let line = expires.as_ref().map_or_else(|| table.line(), |expires| expires.line);
    let expires = expires.map_or(default.expires, |expires| Duration::from_secs(expires.value));
    if expires.is_zero() {
        return None;
    }
    let (shortest, longest) = (limits.site.expires_min, limits.site.expires_max);
    if expires < shortest || expires > longest {
        document.error(
            line,
            "survivable.expires_seconds",
            format!(
                "{} s is not between the shortest ({} s) and the longest registration ({} s)",
                expires.as_secs(),
                shortest.as_secs(),
                longest.as_secs()
            ),
            "choose a time between expires_min_seconds and expires_max_seconds of [limits], or 0: what phones ask for",
        );
    }
    Some(Survivable { expires, spread_percent })
}
