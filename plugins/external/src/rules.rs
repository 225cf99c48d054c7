//! Which numbers go out, by which trunks, and how they are written there.

use crate::{
    groups::{self, Group},
    inbound::{self, Entrance},
    numbers::{Format, NUMBER_MAX, Numbers, is_dialled},
    reader::{Pattern, Reader},
    rights::{self, Rights},
};
use holdfast_policy::{
    Problem, Settings, TrunkTarget,
    trunks::{self, Standing},
};
use std::borrow::Cow;

/// The rules of one site.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rules {
    /// Digits that are dialled to get outside.
    outside_prefix: String,
    /// Shown for phones without a direct number.
    pub(crate) caller_number: Option<String>,
    rules: Vec<Rule>,
    pub(crate) numbers: Numbers,
    /// Trunks with a form of their own for numbers.
    formats: Vec<(String, Format)>,
    trunk_groups: Vec<TrunkGroup>,
    pub(crate) groups: Vec<Group>,
    pub(crate) entrances: Vec<Entrance>,
    pub(crate) rights: Rights,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Rule {
    number: Pattern,
    trunks: Vec<String>,
    strip: usize,
    prepend: String,
}

/// Trunks that rules name together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct TrunkGroup {
    name: String,
    trunks: Vec<String>,
    order: Order,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Order {
    /// As they are written.
    #[default]
    AsWritten,
    /// Those that are up first, then those that are degraded, those that are down last; of equals the one with the fewest calls.
    FewestCalls,
}

/// How one number goes out.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Way<'a> {
    /// The number behind the outside prefix.
    pub(crate) number: &'a str,
    /// How a rule rewrites it for every trunk.
    rewritten: Option<String>,
    /// In order, groups among them; all when empty.
    trunks: &'a [String],
}

/// Stages of a plan, by the contract.
const STAGES_MAX: usize = 16;

const KEYS: [&str; 14] = [
    "outside_prefix",
    "caller_number",
    "country_code",
    "national_prefix",
    "international_prefix",
    "rule.#.number",
    "rule.#.trunks",
    "rule.#.strip",
    "rule.#.prepend",
    "trunk.#.name",
    "trunk.#.format",
    "trunk_group.#.name",
    "trunk_group.#.trunks",
    "trunk_group.#.order",
];

impl Rules {
    /// Reads the settings.
    pub(crate) fn read(settings: &Settings) -> Result<Self, Vec<Problem>> {
        let known = [&KEYS[..], &groups::KEYS, &inbound::KEYS, &rights::KEYS].concat();
        let mut reader = Reader::new(settings, &known);
        let outside_prefix = reader.digits("outside_prefix");
        let caller_number = reader.text("caller_number").map(str::to_owned);
        let rules = (0..reader.tables("rule")).map(|index| Rule::read(&mut reader, index)).collect();
        let numbers = Numbers::read(&mut reader);
        let formats = read_formats(&mut reader);
        let trunk_groups = read_trunk_groups(&mut reader);
        let groups = groups::read(&mut reader);
        let entrances = inbound::read(&mut reader, &groups);
        let rights = Rights::read(&mut reader);
        let problems = reader.finish();
        let rules = Self { outside_prefix, caller_number, rules, numbers, formats, trunk_groups, groups, entrances, rights };
        if problems.is_empty() { Ok(rules) } else { Err(problems) }
    }

    /// What the settings name and the site does not have.
    pub(crate) fn strangers(&self) -> Vec<Problem> {
        let unknown = |key: &'static str, names: &mut dyn Iterator<Item = &str>| {
            let strangers = names.filter(|name| trunks::trunk_by_name(name).is_none());
            strangers.map(|name| Problem::new(key, &format!("there is no trunk `{name}`"))).collect::<Vec<_>>()
        };
        let is_group = |name: &&str| self.trunk_groups.iter().any(|group| group.name == **name);
        let mut of_rules = self.rules.iter().flat_map(|rule| &rule.trunks).map(String::as_str).filter(|name| !is_group(name));
        let mut problems = unknown("rule", &mut of_rules);
        problems.extend(unknown("trunk_group", &mut self.trunk_groups.iter().flat_map(|group| &group.trunks).map(String::as_str)));
        problems.extend(unknown("trunk", &mut self.formats.iter().map(|(name, _)| name.as_str())));
        problems.extend(unknown("inbound", &mut self.entrances.iter().flat_map(Entrance::trunks)));
        let nobody = self.groups.iter().flat_map(Group::strangers);
        problems.extend(nobody.map(|extension| Problem::new("group", &format!("nobody has the extension `{extension}`"))));
        problems
    }

    /// How `called` goes out; `None` when it is no outside number.
    pub(crate) fn way<'a>(&'a self, called: &'a str, longest_extension: usize) -> Option<Way<'a>> {
        let number = if called.starts_with('+') { called } else { called.strip_prefix(&self.outside_prefix)? };
        if !is_dialled(number) {
            return None;
        }
        if self.rules.is_empty() {
            // As dialled, prefix and all: so a site with three-digit extensions and prefix 9 still reaches three-digit services with 9 before them.
            return (called.len() > longest_extension).then_some(Way { number, rewritten: None, trunks: &[] });
        }
        // A pattern may mean the number as it was dialled, in its international form, or as it is dialled in the site's country.
        let e164 = self.numbers.e164(number);
        let forms =
            [Some(Cow::Borrowed(number)), e164, self.numbers.known().then(|| Cow::Owned(self.numbers.written(number, Format::National)))];
        let of = |rule: &Rule| forms.iter().flatten().find(|form| rule.number.matches(form));
        let (rule, matched) = self.rules.iter().find_map(|rule| Some((rule, of(rule)?)))?;
        let rewrites = rule.strip > 0 || !rule.prepend.is_empty();
        let rewritten = rewrites.then(|| format!("{}{}", rule.prepend, matched.get(rule.strip..).unwrap_or_default()));
        if rewritten.as_ref().is_some_and(|number| number.len() > NUMBER_MAX) {
            return None;
        }
        Some(Way { number, rewritten, trunks: &rule.trunks })
    }

    /// The trunks of a way, each with the number as it wants it.
    pub(crate) fn targets(&self, way: Way<'_>, caller_number: Option<&str>) -> Vec<TrunkTarget> {
        let mut names = Vec::with_capacity(way.trunks.len());
        for name in way.trunks {
            match self.trunk_groups.iter().find(|group| group.name == *name) {
                Some(group) => names.extend(group.in_order()),
                None => names.push(name.clone()),
            }
        }
        if way.trunks.is_empty() {
            names = trunks::names();
        }
        let target = |trunk: String| {
            let format = self.format(&trunk);
            let number = way.rewritten.clone().unwrap_or_else(|| self.numbers.written(way.number, format));
            let caller_number = caller_number.map(|number| self.numbers.written(number, format));
            TrunkTarget { trunk, number, caller_number }
        };
        names.into_iter().take(STAGES_MAX).map(target).collect()
    }

    /// How a trunk wants its numbers.
    pub(crate) fn format(&self, trunk: &str) -> Format {
        self.formats.iter().find(|(name, _)| name == trunk).map_or(Format::default(), |(_, format)| *format)
    }
}

impl TrunkGroup {
    fn in_order(&self) -> Vec<String> {
        let mut names = self.trunks.clone();
        if self.order == Order::FewestCalls {
            names.sort_by_cached_key(|name| {
                let calls = trunks::trunk_by_name(name).map_or(u32::MAX, |trunk| trunk.calls);
                // Standings are in order: the best is the first.
                (trunks::standing_of(name).unwrap_or(Standing::Down), calls)
            });
        }
        names
    }
}

fn read_formats(reader: &mut Reader<'_>) -> Vec<(String, Format)> {
    let choices = [("as-dialled", Format::AsDialled), ("e164", Format::E164), ("national", Format::National)];
    let mut formats = Vec::new();
    for index in 0..reader.tables("trunk") {
        let key = format!("trunk.{index}.name");
        let name = reader.text(&key).unwrap_or_default();
        if name.is_empty() {
            reader.wrong(&key, "is missing: which trunk?");
        }
        formats.push((name.to_owned(), reader.choice(&format!("trunk.{index}.format"), &choices, Format::default())));
    }
    formats
}

fn read_trunk_groups(reader: &mut Reader<'_>) -> Vec<TrunkGroup> {
    let mut groups = Vec::new();
    for index in 0..reader.tables("trunk_group") {
        let key = |name: &str| format!("trunk_group.{index}.{name}");
        let group = TrunkGroup {
            name: reader.text(&key("name")).unwrap_or_default().to_owned(),
            trunks: reader.texts(&key("trunks")).to_vec(),
            order: reader.choice(
                &key("order"),
                &[("as-written", Order::AsWritten), ("fewest-calls", Order::FewestCalls)],
                Order::AsWritten,
            ),
        };
        if group.name.is_empty() || group.trunks.is_empty() {
            reader.wrong(&key("name"), "a trunk group needs `name` and `trunks`");
        }
        groups.push(group);
    }
    groups
}

impl Rule {
    fn read(reader: &mut Reader<'_>, index: usize) -> Self {
        let key = |name: &str| format!("rule.{index}.{name}");
        let number_key = key("number");
        let number = reader.pattern(&number_key).filter(|number| *number != Pattern::default());
        if number.is_none() {
            reader.wrong(&number_key, "is missing: which numbers is the rule for? `%` stands for any digits");
        }
        let strip = reader.number(&key("strip"), 0..=128).unwrap_or(0);
        Self {
            number: number.unwrap_or_default(),
            trunks: reader.texts(&key("trunks")).to_vec(),
            strip: usize::try_from(strip).unwrap_or(0),
            prepend: reader.text(&key("prepend")).unwrap_or_default().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;
