//! Hunt groups: several phones behind one number.

use crate::reader::Reader;
use holdfast_policy::{Decision, NextOn, Plan, Stage, Target, directory};

/// Members of a group: as many as ring at once, and one stage less than a plan may have, which is for whoever is called when nobody answers.
const MEMBERS_MAX: usize = 15;

/// Several extensions that are called as one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Under which phones of the site call it; empty: they do not.
    pub(crate) extension: String,
    members: Vec<String>,
    mode: Mode,
    ring_seconds: Option<u32>,
    /// Called when none of them answers.
    then: Option<String>,
}

/// Whom a group calls first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Mode {
    /// All at once.
    #[default]
    All,
    /// One after the other, in their order.
    InTurn,
    /// One after the other, first who has talked least lately.
    LongestIdle,
}

pub(crate) const KEYS: [&str; 6] =
    ["group.#.name", "group.#.extension", "group.#.members", "group.#.mode", "group.#.ring_seconds", "group.#.then"];

pub(crate) fn read(reader: &mut Reader<'_>) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for index in 0..reader.tables("group") {
        let key = |name: &str| format!("group.{index}.{name}");
        let group = Group {
            name: reader.name(&key("name")).unwrap_or_default().to_owned(),
            extension: reader.name(&key("extension")).unwrap_or_default().to_owned(),
            members: reader.texts(&key("members")).to_vec(),
            mode: reader.choice(
                &key("mode"),
                &[("all", Mode::All), ("in-turn", Mode::InTurn), ("longest-idle", Mode::LongestIdle)],
                Mode::All,
            ),
            ring_seconds: reader.number(&key("ring_seconds"), 1..=600),
            then: reader.name(&key("then")).map(str::to_owned),
        };
        if group.name.is_empty() {
            reader.wrong(&key("name"), "is missing: what is the group called?");
        } else if groups.iter().any(|other| other.name == group.name) {
            reader.wrong(&key("name"), "is the name of another group already");
        }
        if group.members.is_empty() {
            reader.wrong(&key("members"), "is empty: whom does the group call? Name extensions, e.g. `members = [\"1001\", \"1002\"]`");
        } else if group.members.len() > MEMBERS_MAX {
            reader.wrong(&key("members"), &format!("has {} extensions, {MEMBERS_MAX} are possible", group.members.len()));
        }
        groups.push(group);
    }
    groups
}

impl Group {
    /// Extensions that the site does not have.
    pub(crate) fn strangers(&self) -> impl Iterator<Item = &str> {
        let named = self.members.iter().chain(&self.then).map(String::as_str);
        named.filter(|extension| directory::endpoint_by_extension(extension).is_none())
    }

    /// Rings it.
    pub(crate) fn ring(&self) -> Decision {
        let id_of =
            |extension: &String| directory::endpoint_by_extension(extension).filter(|member| member.enabled).map(|member| member.id);
        let mut members: Vec<String> = self.members.iter().filter_map(id_of).collect();
        if self.mode == Mode::LongestIdle {
            // Who has not talked yet has rested longest; whoever talks comes last. Equals stay in their order.
            members.sort_by_cached_key(|id| std::cmp::Reverse(directory::idle_seconds(id).unwrap_or(u32::MAX)));
        }
        let next = NextOn { busy: true, no_answer: true, unreachable: true };
        let stage = |targets: Vec<String>| Stage {
            targets: targets.into_iter().map(Target::Endpoint).collect(),
            ring_seconds: self.ring_seconds,
            next,
        };
        let mut stages: Vec<Stage> = match self.mode {
            _ if members.is_empty() => Vec::new(),
            Mode::All => vec![stage(members)],
            Mode::InTurn | Mode::LongestIdle => members.into_iter().map(|member| stage(vec![member])).collect(),
        };
        stages.extend(self.then.as_ref().and_then(id_of).map(|id| Stage::of(vec![Target::Endpoint(id)])));
        if stages.is_empty() {
            return Decision::refuse(480, "Nobody Here", format!("group {} has no member that may be called", self.name));
        }
        Decision::Route(Plan { stages })
    }
}
