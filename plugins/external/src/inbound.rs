//! Where calls from outside go: by the trunk they come from, the number they call and the number they come from.

use crate::{
    groups::Group,
    numbers::{Format, Numbers, is_dialled},
    reader::{Pattern, Reader},
};
use holdfast_policy::{Decision, TrunkTarget, directory, trunks};

/// One way in.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Entrance {
    /// Any when `None`, as the two below.
    trunk: Option<String>,
    number: Option<Pattern>,
    caller: Option<Pattern>,
    to: Goal,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Goal {
    Extension(String),
    Group(String),
    Trunk { trunk: String, number: Option<String> },
}

impl Default for Goal {
    fn default() -> Self {
        Self::Extension(String::new())
    }
}

pub(crate) const KEYS: [&str; 7] = [
    "inbound.#.trunk",
    "inbound.#.number",
    "inbound.#.caller",
    "inbound.#.extension",
    "inbound.#.group",
    "inbound.#.to_trunk",
    "inbound.#.to_number",
];

pub(crate) fn read(reader: &mut Reader<'_>, groups: &[Group]) -> Vec<Entrance> {
    let mut entrances = Vec::new();
    for index in 0..reader.tables("inbound") {
        let key = |name: &str| format!("inbound.{index}.{name}");
        let (extension, group, trunk) = (reader.name(&key("extension")), reader.name(&key("group")), reader.name(&key("to_trunk")));
        let number = reader.name(&key("to_number")).map(str::to_owned);
        let to = match (extension, group, trunk) {
            (Some(extension), None, None) => Goal::Extension(extension.to_owned()),
            (None, Some(group), None) => {
                if !groups.iter().any(|known| known.name == group) {
                    reader.wrong(&key("group"), &format!("is `{group}`, and there is no such group: add a [[settings.group]]"));
                }
                Goal::Group(group.to_owned())
            }
            (None, None, Some(trunk)) => Goal::Trunk { trunk: trunk.to_owned(), number },
            _ => {
                reader.wrong(&key("extension"), "should say where the calls go: one of `extension`, `group` and `to_trunk`");
                Goal::default()
            }
        };
        entrances.push(Entrance {
            trunk: reader.name(&key("trunk")).map(str::to_owned),
            number: reader.pattern(&key("number")),
            caller: reader.pattern(&key("caller")),
            to,
        });
    }
    entrances
}

impl Entrance {
    /// Trunks that it names.
    pub(crate) fn trunks(&self) -> impl Iterator<Item = &str> {
        let to = match &self.to {
            Goal::Trunk { trunk, .. } => Some(trunk),
            Goal::Extension(_) | Goal::Group(_) => None,
        };
        self.trunk.iter().chain(to).map(String::as_str)
    }

    /// Whether a call is meant; numbers count as they came and in their international form.
    pub(crate) fn is_for(&self, numbers: &Numbers, trunk: &str, called: &str, caller: &str) -> bool {
        let is = |pattern: &Option<Pattern>, number: &str| {
            let Some(pattern) = pattern else { return true };
            pattern.matches(number) || numbers.e164(number).is_some_and(|number| pattern.matches(&number))
        };
        self.trunk.as_deref().is_none_or(|wanted| wanted == trunk) && is(&self.number, called) && is(&self.caller, caller)
    }

    /// Where it goes.
    pub(crate) fn go(&self, groups: &[Group], numbers: &Numbers, called: &str, caller: &str, format: impl Fn(&str) -> Format) -> Decision {
        match &self.to {
            Goal::Extension(extension) => match directory::endpoint_by_extension(extension) {
                Some(callee) if callee.enabled => Decision::ring(callee.id),
                Some(callee) => Decision::refuse(404, "Not Found", format!("{called} leads to {}, which is disabled", callee.id)),
                None => Decision::refuse(404, "Not Found", format!("{called} leads to extension {extension}, which nobody has")),
            },
            Goal::Group(name) => match groups.iter().find(|group| group.name == *name) {
                Some(group) => group.ring(),
                None => Decision::refuse(404, "Not Found", format!("{called} leads to group {name}, which there is none of")),
            },
            Goal::Trunk { trunk, number } => {
                if trunks::trunk_by_name(trunk).is_none() {
                    return Decision::refuse(503, "No outside line", format!("{called} leads to trunk {trunk}, which there is none of"));
                }
                let format = format(trunk);
                let number = numbers.written(number.as_deref().unwrap_or(called), format);
                if !is_dialled(&number) {
                    return Decision::refuse(404, "Not Found", format!("{called} leads to trunk {trunk}, and is no number"));
                }
                // Shown as it came, unless the trunk wants numbers in a form of its own.
                let caller_number = Some(numbers.written(caller, format)).filter(|shown| shown != caller && is_dialled(shown));
                Decision::dial(vec![TrunkTarget { trunk: trunk.clone(), number, caller_number }])
            }
        }
    }
}
