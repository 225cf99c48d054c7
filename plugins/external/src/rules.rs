//! Which numbers go out, by which trunks, and how they are written there.

use holdfast_policy::{Problem, Settings};

/// The rules of one site.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rules {
    /// Digits that are dialled to get outside.
    outside_prefix: String,
    /// Shown for phones without a direct number.
    pub(crate) caller_number: Option<String>,
    rules: Vec<Rule>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Rule {
    /// Literal characters before and after the `%`; equal as a whole when there is none.
    before: String,
    after: Option<String>,
    trunks: Vec<String>,
    strip: usize,
    prepend: String,
}

/// How one number goes out.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Way<'a> {
    /// The number as the trunk wants it.
    pub(crate) number: String,
    /// In order; all when empty.
    pub(crate) trunks: &'a [String],
}

/// Octets of a number for a trunk, by the contract.
const NUMBER_MAX: usize = 128;

const KEYS: [&str; 6] = ["outside_prefix", "caller_number", "rule.#.number", "rule.#.trunks", "rule.#.strip", "rule.#.prepend"];

impl Rules {
    /// Reads the settings.
    pub(crate) fn read(settings: &Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = settings.unknown(&KEYS);
        let mut rules = Self {
            outside_prefix: noted(settings.text("outside_prefix"), &mut problems).unwrap_or_default().to_owned(),
            caller_number: noted(settings.text("caller_number"), &mut problems).map(str::to_owned),
            rules: Vec::new(),
        };
        if !rules.outside_prefix.bytes().all(|b| b.is_ascii_digit()) {
            problems.push(Problem::new("outside_prefix", "should be digits only"));
        }
        for index in 0..settings.tables("rule") {
            rules.rules.push(Rule::read(settings, index, &mut problems));
        }
        if problems.is_empty() { Ok(rules) } else { Err(problems) }
    }

    /// Names of all trunks that rules mention.
    pub(crate) fn trunks(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().flat_map(|rule| &rule.trunks).map(String::as_str)
    }

    /// How `called` goes out; `None` when it is no outside number.
    pub(crate) fn way(&self, called: &str, longest_extension: usize) -> Option<Way<'_>> {
        let number = if called.starts_with('+') { called } else { called.strip_prefix(&self.outside_prefix)? };
        if number.len() > NUMBER_MAX {
            return None;
        }
        let digits = number.strip_prefix('+').unwrap_or(number);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        if self.rules.is_empty() {
            // As dialled, prefix and all: so a site with three-digit extensions and prefix 9 still reaches three-digit services with 9 before them.
            return (called.len() > longest_extension).then(|| Way { number: number.to_owned(), trunks: &[] });
        }
        let rule = self.rules.iter().find(|rule| rule.matches(number))?;
        let rest = number.get(rule.strip..).unwrap_or_default();
        let number = format!("{}{rest}", rule.prepend);
        (number.len() <= NUMBER_MAX).then_some(Way { number, trunks: &rule.trunks })
    }
}

impl Rule {
    fn read(settings: &Settings, index: usize, problems: &mut Vec<Problem>) -> Self {
        let key = |name: &str| format!("rule.{index}.{name}");
        let number_key = key("number");
        let number = noted(settings.text(&number_key), problems).unwrap_or_default();
        if number.is_empty() {
            problems.push(Problem::new(&number_key, "is missing: which numbers is the rule for? `%` stands for any digits"));
        }
        let (before, after) = number.split_once('%').map_or((number, None), |(before, after)| (before, Some(after.to_owned())));
        if after.as_deref().is_some_and(|after| after.contains('%')) {
            problems.push(Problem::new(&number_key, "should have one `%` at most"));
        }
        let strip_key = key("strip");
        let strip = usize::try_from(noted(settings.number(&strip_key), problems).unwrap_or(0)).unwrap_or_else(|_| {
            problems.push(Problem::new(&strip_key, "should not be below 0"));
            0
        });
        Self {
            before: before.to_owned(),
            after,
            trunks: noted(settings.texts(&key("trunks")), problems).unwrap_or_default().to_vec(),
            strip,
            prepend: noted(settings.text(&key("prepend")), problems).unwrap_or_default().to_owned(),
        }
    }

    fn matches(&self, number: &str) -> bool {
        match &self.after {
            None => number == self.before,
            Some(after) => {
                let middle = number.strip_prefix(&self.before).and_then(|rest| rest.strip_suffix(after.as_str()));
                middle.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            }
        }
    }
}

/// The value, or its problem written down.
fn noted<T>(read: Result<Option<T>, Problem>, problems: &mut Vec<Problem>) -> Option<T> {
    read.unwrap_or_else(|problem| {
        problems.push(problem);
        None
    })
}

#[cfg(test)]
mod tests;
