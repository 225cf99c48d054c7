//! Reading settings, with a problem for everything that is not as it should be.

use crate::{Problem, Setting, Value, settings};

/// The settings that the operator wrote for this policy.
#[derive(Clone, Debug, Default)]
pub struct Settings(Vec<Setting>);

impl From<Vec<Setting>> for Settings {
    fn from(settings: Vec<Setting>) -> Self {
        Self(settings)
    }
}

impl Settings {
    /// Asks the host for all of them (capability `settings`).
    #[must_use]
    pub fn all() -> Self {
        Self(settings::all())
    }

    /// A string.
    ///
    /// # Errors
    /// When it is something else.
    pub fn text(&self, key: &str) -> Result<Option<&str>, Problem> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(problem(key, "should be a string")),
        }
    }

    /// An integer.
    ///
    /// # Errors
    /// When it is something else.
    pub fn number(&self, key: &str) -> Result<Option<i64>, Problem> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Number(number)) => Ok(Some(*number)),
            Some(_) => Err(problem(key, "should be an integer")),
        }
    }

    /// A boolean.
    ///
    /// # Errors
    /// When it is something else.
    pub fn flag(&self, key: &str) -> Result<Option<bool>, Problem> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Flag(flag)) => Ok(Some(*flag)),
            Some(_) => Err(problem(key, "should be true or false")),
        }
    }

    /// An array of strings.
    ///
    /// # Errors
    /// When it is something else.
    pub fn texts(&self, key: &str) -> Result<Option<&[String]>, Problem> {
        match self.value(key) {
            None => Ok(None),
            Some(Value::Texts(texts)) => Ok(Some(texts)),
            Some(_) => Err(problem(key, "should be an array of strings")),
        }
    }

    /// How many tables the array `key` has: those written as `[[settings.key]]`. Their entries are `key.0.name`, `key.1.name`…
    #[must_use]
    pub fn tables(&self, key: &str) -> usize {
        let number = |setting: &Setting| setting.key.strip_prefix(key)?.strip_prefix('.')?.split('.').next()?.parse::<usize>().ok();
        self.0.iter().filter_map(number).max().map_or(0, |last| last + 1)
    }

    /// One problem for each setting that `known` does not name. A number in a key is written `#` there: `rule.#.prefix`.
    #[must_use]
    pub fn unknown(&self, known: &[&str]) -> Vec<Problem> {
        let numbered =
            |key: &str| key.split('.').map(|part| if part.parse::<usize>().is_ok() { "#" } else { part }).collect::<Vec<_>>().join(".");
        let stray = self.0.iter().filter(|setting| !known.contains(&numbered(&setting.key).as_str()));
        stray.map(|setting| problem(&setting.key, &format!("is not a setting of this policy; it knows {}", known.join(", ")))).collect()
    }

    fn value(&self, key: &str) -> Option<&Value> {
        self.0.iter().find(|setting| setting.key == key).map(|setting| &setting.value)
    }
}

fn problem(key: &str, message: &str) -> Problem {
    Problem::new(key, message)
}
