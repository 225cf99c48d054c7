//! Reads the settings and goes on after a mistake, so that one look names all of them.

use holdfast_policy::{Problem, Settings};
use std::ops::RangeInclusive;

/// Octets of a name.
const NAME_MAX: usize = 64;

/// The settings, and what is wrong with them so far.
pub(crate) struct Reader<'a> {
    settings: &'a Settings,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Begins with the keys that nobody knows.
    pub(crate) fn new(settings: &'a Settings, known: &[&str]) -> Self {
        Self { settings, problems: settings.unknown(known) }
    }

    /// Everything that is wrong.
    pub(crate) fn finish(self) -> Vec<Problem> {
        self.problems
    }

    pub(crate) fn wrong(&mut self, key: &str, message: &str) {
        self.problems.push(Problem::new(key, message));
    }

    pub(crate) fn text(&mut self, key: &str) -> Option<&'a str> {
        let read = self.settings.text(key);
        self.noted(read)
    }

    /// What somebody or something is called; it may come into a refusal, whose length is bounded.
    pub(crate) fn name(&mut self, key: &str) -> Option<&'a str> {
        let name = self.text(key)?;
        if name.len() <= NAME_MAX {
            return Some(name);
        }
        self.wrong(key, &format!("has {} octets, {NAME_MAX} are possible", name.len()));
        None
    }

    pub(crate) fn texts(&mut self, key: &str) -> &'a [String] {
        let read = self.settings.texts(key);
        self.noted(read).unwrap_or_default()
    }

    pub(crate) fn number(&mut self, key: &str, range: RangeInclusive<u32>) -> Option<u32> {
        let read = self.settings.number(key);
        let number = self.noted(read)?;
        let fits = u32::try_from(number).ok().filter(|number| range.contains(number));
        if fits.is_none() {
            self.wrong(key, &format!("should be between {} and {}", range.start(), range.end()));
        }
        fits
    }

    /// Digits only; empty when it is not there.
    pub(crate) fn digits(&mut self, key: &str) -> String {
        let digits = self.text(key).unwrap_or_default();
        if !digits.bytes().all(|octet| octet.is_ascii_digit()) {
            self.wrong(key, "should be digits only");
        }
        digits.to_owned()
    }

    pub(crate) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)], default: T) -> T {
        let Some(text) = self.text(key) else { return default };
        let found = choices.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        found.unwrap_or_else(|| {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.wrong(key, &format!("is `{text}`; choose {}", words.join(" or ")));
            default
        })
    }

    pub(crate) fn pattern(&mut self, key: &str) -> Option<Pattern> {
        let text = self.text(key)?;
        Some(self.read_pattern(key, text))
    }

    pub(crate) fn patterns(&mut self, key: &str) -> Vec<Pattern> {
        self.texts(key).iter().map(|text| self.read_pattern(key, text)).collect()
    }

    fn read_pattern(&mut self, key: &str, text: &str) -> Pattern {
        let (before, after) = text.split_once('%').map_or((text, None), |(before, after)| (before, Some(after.to_owned())));
        if after.as_deref().is_some_and(|after| after.contains('%')) {
            self.wrong(key, "should have one `%` at most");
        }
        Pattern { before: before.to_owned(), after }
    }

    /// How many `[[settings.KEY]]` there are.
    pub(crate) fn tables(&self, key: &str) -> usize {
        self.settings.tables(key)
    }

    fn noted<T>(&mut self, read: Result<Option<T>, Problem>) -> Option<T> {
        read.unwrap_or_else(|problem| {
            self.problems.push(problem);
            None
        })
    }
}

/// A number pattern: `%` stands for any digits, also none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Pattern {
    before: String,
    /// Behind the `%`; equal as a whole when there is none.
    after: Option<String>,
}

impl Pattern {
    pub(crate) fn matches(&self, number: &str) -> bool {
        match &self.after {
            None => number == self.before,
            Some(after) => {
                let middle = number.strip_prefix(&self.before).and_then(|rest| rest.strip_suffix(after.as_str()));
                middle.is_some_and(|digits| digits.bytes().all(|octet| octet.is_ascii_digit()))
            }
        }
    }
}
