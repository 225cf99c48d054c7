//! `[records]`: what is kept of calls.

use super::reader::Table;
use crate::cdr::Settings;

pub(super) fn read(table: Table<'_>) -> Settings {
    let default = Settings::default();
    table.known(&["file_mib", "files", "days", "stored"]);
    let small = |key: &str, most: u64| table.number(key, 1..=most).and_then(|number| u32::try_from(number.value).ok());
    Settings {
        file_bytes: table.number("file_mib", 1..=4096).map_or(default.file_bytes, |mib| mib.value << 20),
        files: small("files", 10_000).unwrap_or(default.files),
        days: small("days", 36_500).unwrap_or(default.days),
        stored: table.number("stored", 0..=10_000_000).map_or(default.stored, |stored| stored.value),
        ..default
    }
}
