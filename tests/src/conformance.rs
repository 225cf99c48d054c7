//! Which sentence of which RFC is proved by which test: read from the sources themselves.
//!
//! Where the code follows a rule, a mark stands (`cov_mark::hit!(rfc3261_17_1_1_2_timer_a)`), named after RFC and section, with the sentence in the comment
//! above it. A test that names the mark (`cov_mark::check!`) fails unless that very line has run. The table is what these two say together.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a harness of tests fails by panicking"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Lines between a mark and the comment that quotes its rule.
const COMMENT_WITHIN: usize = 12;

/// One mark.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Row {
    /// Number of the RFC; 0 for a rule of ours.
    pub rfc: u32,
    /// Its section, part by part.
    pub section: Vec<u32>,
    /// The mark.
    pub mark: String,
    /// What is said above it.
    pub sentence: String,
    /// `file:line` of every place where it stands.
    pub places: Vec<String>,
    /// `file: test` of every test that checks it.
    pub tests: Vec<String>,
}

impl Row {
    /// The section as it is written: `17.1.1.2`.
    #[must_use]
    pub fn section_text(&self) -> String {
        self.section.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
    }
}

/// Every mark of the tree below `root` with its places and tests; and the names that tests check although no mark has them.
///
/// # Panics
/// When the sources cannot be read.
#[must_use]
pub fn table(root: &Path) -> (Vec<Row>, Vec<String>) {
    let mut files = Vec::new();
    walk(&root.join("host"), &mut files);
    walk(&root.join("tests/tests"), &mut files);
    files.sort();
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut checks: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let shown = path.strip_prefix(root).unwrap().display().to_string();
        for (number, line) in lines.iter().enumerate() {
            if let Some(mark) = argument(line, &["cov_mark::hit!("]) {
                let (rfc, section) = origin(mark);
                let row = rows.entry(mark.to_owned()).or_insert_with(|| Row {
                    rfc,
                    section,
                    mark: mark.to_owned(),
                    sentence: comment_above(&lines, number),
                    places: Vec::new(),
                    tests: Vec::new(),
                });
                row.places.push(format!("{shown}:{}", number + 1));
            }
            if let Some(mark) = argument(line, &["cov_mark::check!(", "cov_mark::check_count!("]) {
                checks.entry(mark.to_owned()).or_default().push(format!("{shown}: {}", function_around(&lines, number)));
            }
        }
    }
    let mut unknown = Vec::new();
    for (mark, tests) in checks {
        match rows.get_mut(&mark) {
            Some(row) => row.tests = tests,
            None => unknown.push(mark),
        }
    }
    let mut rows: Vec<Row> = rows.into_values().collect();
    rows.sort();
    (rows, unknown)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if entry.file_name() != "target" {
                walk(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn argument<'a>(line: &'a str, macros: &[&str]) -> Option<&'a str> {
    let after = macros.iter().find_map(|name| line.split_once(name))?.1;
    after.split([')', ',']).next().map(str::trim)
}

/// RFC and section that a mark's name begins with: `rfc3261_17_1_1_2_timer_a`.
fn origin(mark: &str) -> (u32, Vec<u32>) {
    let mut parts = mark.split('_');
    let rfc = parts.next().and_then(|part| part.strip_prefix("rfc")?.parse().ok()).unwrap_or(0);
    let section = if rfc == 0 { Vec::new() } else { parts.map_while(|part| part.parse().ok()).collect() };
    (rfc, section)
}

/// The nearest comment above a line, as one line.
fn comment_above(lines: &[&str], number: usize) -> String {
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    let Some(last) = (number.saturating_sub(COMMENT_WITHIN)..number).rev().find(|at| is_comment(lines[*at])) else { return String::new() };
    let first = (0..=last).rev().take_while(|at| is_comment(lines[*at])).last().unwrap_or(last);
    let text: Vec<&str> = lines[first..=last].iter().map(|line| line.trim_start().trim_start_matches('/').trim()).collect();
    text.join(" ")
}

fn function_around(lines: &[&str], number: usize) -> String {
    let name = |line: &str| {
        let after = line.trim_start().strip_prefix("fn ").or_else(|| line.trim_start().strip_prefix("async fn "))?;
        Some(after.split(['(', '<']).next()?.to_owned())
    };
    lines[..=number].iter().rev().find_map(|line| name(line)).unwrap_or_default()
}
