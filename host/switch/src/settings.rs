//! The settings file of a J100 phone: read without loss, changed in one place, looked through for known traps.
//!
//! A phone exports it as `ACO_J1xx_Persistsettings.txt` and takes it back; `46xxsettings.txt` and `<MAC>.txt` of a file server have the same form. In comes text, out
//! comes text or a value: [`read`] takes an endpoint out of a file, [`rest()`] what else it says, [`add`] puts this gateway behind the cloud in its list of
//! controllers, [`lint()`] names what a phone would stumble over, [`serve`] writes what a phone fetches.
//!
//! The form, as Avaya's template of 22 July 2022 gives it: a line that does not begin with `SET `, `IF `, `GOTO `, `GET ` or `# ` (a label) is a comment; `ADD ` appends to a
//! value; a value with blanks stands in straight double quotes; a later `SET` overrides an earlier one.
//!
//! Own code, because no library knows the form, and one for something like it would lose what a phone's file must keep: order, comments, blanks, line ends, octets
//! that are no text.

mod controller;
mod export;
mod file;
mod import;
mod lint;
mod rest;
pub mod serve;

pub use controller::{Controller, Entry, Transport, Unusable};
pub use export::{Added, Change, add, carries};
pub use file::{Assignment, Line, Misquoted, Settings, Statement, Value};
pub use import::{EXTENSION, Imported, PASSWORD, Password, Phone, USERNAME, read};
pub use lint::lint;
pub use rest::{Rest, rest};

use serde::Serialize;
use std::fmt;

/// The parameter with the addresses at which a phone registers, first choice first.
pub const CONTROLLER_LIST: &str = "SIP_CONTROLLER_LIST";

/// Octets that a settings file may have; a larger one is refused by [`Settings::new`].
pub const LARGEST: usize = crate::limits::SETTINGS_OCTETS;

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Right as it is for many sites; worth knowing.
    Note,
    /// A trap that phones are known to fall into.
    Warning,
    /// The phone or this gateway cannot use the file as it is.
    Error,
}

/// One thing that is wrong with a file. What it says never holds a secret of the file, and no control characters.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// Line of the file, from 1, where one can be named.
    pub line: Option<usize>,
    /// A short name that does not change, for programs.
    pub rule: &'static str,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Finding {
    /// `line 12: reason; remedy`, on one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}; {}", self.reason, self.remedy)
    }
}

/// Findings as they are made; at most [`FINDINGS`](crate::limits::SETTINGS_FINDINGS) of a file.
#[derive(Default)]
struct Found(Vec<Finding>);

impl Found {
    fn add(
        &mut self,
        severity: Severity,
        line: impl Into<Option<usize>>,
        rule: &'static str,
        reason: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.push(Finding { severity, line: line.into(), rule, reason: reason.into(), remedy: remedy.into() });
    }

    fn push(&mut self, finding: Finding) {
        match self.0.len().cmp(&crate::limits::SETTINGS_FINDINGS) {
            std::cmp::Ordering::Less => self.0.push(finding),
            std::cmp::Ordering::Equal => self.0.push(Finding {
                severity: Severity::Error,
                line: finding.line,
                rule: "too-many",
                reason: "this and what follows is not shown: the file has too many mistakes for one of a phone".to_owned(),
                remedy: "mend the first ones, or export the file from the phone again".to_owned(),
            }),
            std::cmp::Ordering::Greater => {}
        }
    }

    /// In the order of the file; what concerns the whole of it comes first.
    fn sorted(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| finding.line);
        self.0
    }
}

/// Octets of a file as they can be shown: no control characters, not too long.
fn shown(octets: &[u8]) -> String {
    const LONGEST: usize = 60;
    let text: String = String::from_utf8_lossy(octets).chars().take(LONGEST + 1).flat_map(char::escape_debug).collect();
    if octets.len() > LONGEST { format!("`{}...`", text.chars().take(LONGEST).collect::<String>()) } else { format!("`{text}`") }
}

#[cfg(test)]
mod tests;
