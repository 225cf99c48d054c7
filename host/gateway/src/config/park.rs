//! `[park]`: the slots where calls can be parked.

use super::reader::{Document, Table};
use std::{collections::BTreeSet, time::Duration};
use switch::{directory::Directory, emergency::classify_number, facts::CallKind, park::Park};

/// Slots of a site at most.
const SLOTS: usize = 1_000;

/// Reads the section; `directory` is the rest of the site.
pub(super) fn read(document: &Document<'_>, table: Table<'_>, directory: &Directory) -> Park {
    table.known(&["slots", "seconds"]);
    let mut numbers = BTreeSet::new();
    for text in table.texts("slots").unwrap_or_default() {
        let Some(slots) = slots(&text.value) else {
            let reason = format!("`{}` is no number and no range of numbers", text.value);
            document.error(text.line, "park.slots", reason, "write it like `slots = [\"701-710\", \"*68\"]`, with 1000 slots at most");
            continue;
        };
        for number in slots {
            if directory.by_extension(&number).is_some() {
                document.error(text.line, "park.slots", format!("`{number}` is an extension of a phone"), "name numbers that nobody has");
            }
            if classify_number(number.as_bytes(), directory).0 != CallKind::Normal {
                document.error(text.line, "park.slots", format!("`{number}` is an emergency number"), "name numbers that nobody has");
            }
            numbers.insert(number);
        }
        if numbers.len() > SLOTS {
            let reason = format!("{} slots, {SLOTS} allowed", numbers.len());
            document.error(text.line, "park.slots", reason, "name fewer");
            break;
        }
    }
    let seconds = table.number("seconds", 10..=3_600);
    let wait = seconds.map_or_else(|| Park::default().wait, |seconds| Duration::from_secs(seconds.value));
    Park { numbers, wait }
}

/// The numbers of `701-710`, or of `701`. As many digits on both sides: leading zeros are dialled, too.
fn slots(text: &str) -> Option<Vec<String>> {
    let dialled = |number: &str| {
        let known = number.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"*#_.".contains(&octet));
        (known && (1..=32).contains(&number.len())).then(|| number.to_owned())
    };
    let Some((first, last)) = text.split_once('-') else { return dialled(text).map(|number| vec![number]) };
    let digits = |number: &str| number.bytes().all(|octet| octet.is_ascii_digit()) && number.len() == first.len() && number.len() <= 9;
    if !digits(first) || !digits(last) {
        return None;
    }
    let (from, to): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (from <= to && to - from < SLOTS).then(|| (from..=to).map(|number| format!("{number:0width$}", width = first.len())).collect())
}

#[cfg(test)]
mod tests {
    use super::slots;

    #[test]
    fn numbers_and_ranges() {
        assert_eq!(slots("701-703").unwrap(), ["701", "702", "703"]);
        assert_eq!(slots("*68").unwrap(), ["*68"]);
        assert_eq!(slots("008-010").unwrap(), ["008", "009", "010"]);
        for wrong in ["", "701-", "-701", "710-701", "70-701", "0-9999", "a-b", "7 1", "1-2-3"] {
            assert_eq!(slots(wrong), None, "{wrong}");
        }
    }
}
