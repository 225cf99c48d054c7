//! `[decisions]`: what is written down of decisions, and what of it is masked.

use super::reader::{Document, Table, alternatives};
use crate::record::{FIELDS, Field, Settings};

/// One of so many calls is recorded where the file says `sampled` and no number.
const SAMPLE: u64 = 100;

#[derive(Clone, Copy)]
enum Extent {
    Off,
    Sampled,
    Full,
}

pub(super) fn read(document: &Document<'_>, table: Table<'_>) -> Settings {
    let default = Settings::default();
    table.known(&["record", "sample", "file_mib", "files", "mask"]);
    let extent = table.choice("record", &[("off", Extent::Off), ("sampled", Extent::Sampled), ("full", Extent::Full)]);
    let sample = table.number("sample", 1..=1_000_000);
    if let (Some(sample), Some(Extent::Off | Extent::Full) | None) = (&sample, extent) {
        let remedy = "write `record = \"sampled\"`, or take `sample` out";
        document.error(sample.line, "decisions.sample", "says how many calls are sampled, and none are", remedy);
    }
    let one_of = match extent.unwrap_or(Extent::Full) {
        Extent::Off => 0,
        Extent::Full => 1,
        Extent::Sampled => sample.map_or(SAMPLE, |sample| sample.value),
    };
    Settings {
        one_of: u32::try_from(one_of).unwrap_or(u32::MAX),
        file_bytes: table.number("file_mib", 1..=4096).map_or(default.file_bytes, |mib| mib.value << 20),
        files: table.number("files", 1..=100).and_then(|files| u32::try_from(files.value).ok()).unwrap_or(default.files),
        mask: table
            .texts("mask")
            .map_or(default.mask, |names| names.iter().filter_map(|name| field(document, &name.value, name.line)).collect()),
    }
}

fn field(document: &Document<'_>, name: &str, line: usize) -> Option<Field> {
    let found = FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
    if found.is_none() {
        let names: Vec<&str> = FIELDS.iter().map(|(name, _)| *name).collect();
        document.error(line, "decisions.mask", format!("`{name}` is no field of the record"), format!("choose {}", alternatives(&names)));
    }
    found
}
