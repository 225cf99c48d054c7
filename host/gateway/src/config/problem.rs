//! What is wrong with a configuration or policy, said so that it can be mended: where, what, why, and what to do.

use serde::Serialize;
use std::fmt;

/// Whether a problem keeps the gateway from starting.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does not start (or does not reload).
    Error,
    /// It starts; the operator should know.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// The file.
    pub file: String,
    /// Line in it, from 1, where one can be named.
    pub line: Option<usize>,
    /// The key, e.g. `endpoint[2].licence`; empty when the whole file is meant.
    pub key: String,
    /// What is wrong.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Problem {
    /// `holdfast.toml:12: endpoint[2].licence: reason; remedy`, on one line: for the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.reason)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// All problems of one configuration, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// The problems.
    pub problems: Vec<Problem>,
}

impl Report {
    /// Whether nothing keeps the gateway from starting.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.errors().next().is_none()
    }

    /// The problems that keep it from starting.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|p| p.severity == Severity::Error)
    }

    /// The problems that do not.
    pub fn warnings(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|p| p.severity == Severity::Warning)
    }

    /// Adds another report's problems.
    pub fn extend(&mut self, other: Self) {
        self.problems.extend(other.problems);
    }

    /// A report of one error about a whole file.
    #[must_use]
    pub fn of_file(file: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        let problem = Problem {
            severity: Severity::Error,
            file: file.into(),
            line: None,
            key: String::new(),
            reason: reason.into(),
            remedy: remedy.into(),
        };
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
