//! Every rule that the code says it follows is proved by a test, and every test that claims a rule names one that is there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{collections::BTreeSet, path::Path};
use world::conformance::{Row, table};

fn read() -> (Vec<Row>, Vec<String>) {
    table(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap())
}

fn none(wrong: &[String], rule: &str) {
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
}

#[test]
fn every_mark_has_its_test() {
    let (rows, unknown) = read();
    let unproved: Vec<String> =
        rows.iter().filter(|row| row.tests.is_empty()).map(|row| format!("{} in {}", row.mark, row.places.join(", "))).collect();
    none(&unproved, "a cov_mark without a check!: no test proves this rule");
    none(&unknown, "a check! without its cov_mark");
}

#[test]
fn every_rule_of_an_rfc_is_quoted_where_it_is_followed() {
    let (rows, _) = read();
    let mute: Vec<String> = rows
        .iter()
        .filter(|row| row.rfc > 0 && (row.section.is_empty() || row.sentence.len() < 30))
        .map(|row| format!("{} in {}: `{}`", row.mark, row.places.join(", "), row.sentence))
        .collect();
    none(&mute, "say above the mark which sentence it follows, and name the section");
}

#[test]
fn the_rfcs_that_carry_calls_are_in_the_table() {
    let (rows, _) = read();
    let rfcs: BTreeSet<u32> = rows.iter().map(|row| row.rfc).collect();
    let wanted = [3261, 3262, 3515, 3581, 3891, 4320, 4488, 5057, 5626, 6026, 7616];
    let missing: Vec<String> = wanted.iter().filter(|rfc| !rfcs.contains(rfc)).map(u32::to_string).collect();
    none(&missing, "no rule of these RFCs has a mark");
    let chapters: BTreeSet<u32> = rows.iter().filter(|row| row.rfc == 3261).filter_map(|row| row.section.first().copied()).collect();
    let missing: Vec<String> =
        [8, 9, 10, 12, 13, 14, 15, 16, 17, 18].iter().filter(|chapter| !chapters.contains(chapter)).map(u32::to_string).collect();
    none(&missing, "no rule of these sections of RFC 3261 has a mark");
    assert!(rows.len() >= 80, "only {} rules", rows.len());
}
