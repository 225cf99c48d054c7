//! The endpoints and users that the store keeps, and how they change: all edits of a request or none, and nobody gets what somebody else has.
//!
//! What stands in the configuration file stays there and comes first: the same id, username, extension, number or hardware address cannot be given away here.

use super::{
    Directory,
    record::{Assigned, Edit, EndpointRecord, Existing, Token, UserRecord},
    rules::{self, Fault, fault},
};
use crate::limits::kept::{HELD, PHONES};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::Arc,
};

/// Something that only one can have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Claim<'a> {
    /// A digest user.
    Username(Cow<'a, str>),
    /// A hardware address.
    Mac(Cow<'a, str>),
    /// A serial number.
    Serial(Cow<'a, str>),
    /// An extension.
    Extension(Cow<'a, str>),
    /// A direct number.
    Number(Cow<'a, str>),
}

impl Claim<'_> {
    fn keep(&self) -> Claim<'static> {
        let keep = |text: &Cow<'_, str>| Cow::Owned(text.clone().into_owned());
        match self {
            Self::Username(text) => Claim::Username(keep(text)),
            Self::Mac(text) => Claim::Mac(keep(text)),
            Self::Serial(text) => Claim::Serial(keep(text)),
            Self::Extension(text) => Claim::Extension(keep(text)),
            Self::Number(text) => Claim::Number(keep(text)),
        }
    }
}

impl Claim<'_> {
    /// Where it stands among the fields, as a JSON pointer.
    const fn place(&self) -> &'static str {
        match self {
            Self::Username(_) => "/username",
            Self::Mac(_) => "/mac",
            Self::Serial(_) => "/serial",
            Self::Extension(_) => "/extension",
            Self::Number(_) => "/numbers",
        }
    }
}

impl fmt::Display for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Username(text) => write!(f, "the username `{text}`"),
            Self::Mac(text) => write!(f, "the hardware address `{text}`"),
            Self::Serial(text) => write!(f, "the serial number `{text}`"),
            Self::Extension(text) => write!(f, "the extension `{text}`"),
            Self::Number(text) => write!(f, "the number `{text}`"),
        }
    }
}

/// Whom something is about.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// An endpoint, by id.
    Endpoint(String),
    /// A user, by id.
    User(String),
}

impl Subject {
    /// Its id.
    #[must_use]
    pub fn into_id(self) -> String {
        match self {
            Self::Endpoint(id) | Self::User(id) => id,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(id) => write!(f, "endpoint `{id}`"),
            Self::User(id) => write!(f, "user `{id}`"),
        }
    }
}

/// What happened to one of them, for its history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Note {
    /// To whom.
    pub subject: Subject,
    /// What, without secrets.
    pub what: String,
}

/// What some edits come to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Change {
    /// Endpoints as they are from now on.
    pub endpoints: Vec<EndpointRecord>,
    /// Users as they are from now on.
    pub users: Vec<UserRecord>,
    /// One for each of them.
    pub notes: Vec<Note>,
}

impl Change {
    /// Whether everything is already as the edits want it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.notes.is_empty()
    }
}

/// Why an edit cannot be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Which one, from 0.
    pub edit: usize,
    /// Where in its fields, as a JSON pointer (RFC 6901); `/id` for the id, empty where the edit as a whole is meant.
    pub at: String,
    /// Whether no site could have it; else this one cannot, as things stand.
    pub form: bool,
    /// Why.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// Everything that the store keeps of endpoints and users.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    endpoints: BTreeMap<String, Arc<EndpointRecord>>,
    users: BTreeMap<String, Arc<UserRecord>>,
    claims: HashMap<Claim<'static>, Subject>,
}

impl Roster {
    /// What the store has kept.
    #[must_use]
    pub fn restore(endpoints: Vec<EndpointRecord>, users: Vec<UserRecord>) -> Self {
        let mut claims = HashMap::with_capacity(2 * endpoints.len() + 2 * users.len());
        for record in &endpoints {
            claims.extend(record.claims().map(|claim| (claim.keep(), Subject::Endpoint(record.id.clone()))));
        }
        for record in &users {
            claims.extend(record.claims().map(|claim| (claim.keep(), Subject::User(record.id.clone()))));
        }
        let endpoints = endpoints.into_iter().map(|record| (record.id.clone(), Arc::new(record))).collect();
        let users = users.into_iter().map(|record| (record.id.clone(), Arc::new(record))).collect();
        Self { endpoints, users, claims }
    }

    /// How many endpoints and users.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.endpoints.len(), self.users.len())
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sizes() == (0, 0)
    }

    /// All of it as one change, of which no history tells: for a store that must be told everything.
    #[must_use]
    pub fn whole(&self) -> Change {
        Change { endpoints: self.endpoints().cloned().collect(), users: self.users().cloned().collect(), notes: Vec::new() }
    }

    /// Endpoints by id.
    pub fn endpoints(&self) -> impl Iterator<Item = &EndpointRecord> {
        self.endpoints.values().map(|record| &**record)
    }

    /// Users by id.
    pub fn users(&self) -> impl Iterator<Item = &UserRecord> {
        self.users.values().map(|record| &**record)
    }

    /// One endpoint.
    #[must_use]
    pub fn endpoint(&self, id: &str) -> Option<&Arc<EndpointRecord>> {
        self.endpoints.get(id)
    }

    /// One user.
    #[must_use]
    pub fn user(&self, id: &str) -> Option<&Arc<UserRecord>> {
        self.users.get(id)
    }

    /// The endpoint with this hardware address, twelve lower-case hexadecimal digits.
    #[must_use]
    pub fn by_mac(&self, mac: &str) -> Option<&Arc<EndpointRecord>> {
        match self.claims.get(&Claim::Mac(Cow::Borrowed(mac)))? {
            Subject::Endpoint(id) => self.endpoint(id),
            Subject::User(_) => None,
        }
    }

    /// The change that gives an endpoint this one-time token in the place of the one that it has, or takes that; `what` is for its history. Nothing is changed yet.
    #[must_use]
    pub fn with_token(&self, id: &str, token: Option<Token>, what: impl Into<String>) -> Option<Change> {
        let record = EndpointRecord { token, ..EndpointRecord::clone(self.endpoint(id)?) };
        let note = Note { subject: Subject::Endpoint(id.to_owned()), what: what.into() };
        Some(Change { endpoints: vec![record], users: Vec::new(), notes: vec![note] })
    }

    /// What these edits, one after the other, come to beside the configuration `file`. Nothing is changed yet. Whether somebody else has a name is looked at
    /// when all edits are made: two may change theirs with each other.
    ///
    /// # Errors
    /// Everything that is wrong, in the order of the edits.
    pub fn apply(&self, edits: &[Edit], file: &Directory) -> Result<Change, Vec<Problem>> {
        let mut draft = Draft { before: self, file, endpoints: BTreeMap::new(), users: BTreeMap::new(), problems: Vec::new() };
        for (at, edit) in edits.iter().enumerate() {
            draft.edit(at, edit);
        }
        draft.settle()
    }

    /// Makes a change of [`Roster::apply`] true.
    pub fn commit(&mut self, change: Change) {
        let Change { endpoints, users, notes: _ } = change;
        // All old names go first, so that a name which changes hands is not taken from its new owner.
        for old in endpoints.iter().filter_map(|new| self.endpoints.get(&new.id)) {
            old.claims().for_each(|claim| _ = self.claims.remove(&claim.keep()));
        }
        for old in users.iter().filter_map(|new| self.users.get(&new.id)) {
            old.claims().for_each(|claim| _ = self.claims.remove(&claim.keep()));
        }
        for new in endpoints {
            self.claims.extend(new.claims().map(|claim| (claim.keep(), Subject::Endpoint(new.id.clone()))));
            self.endpoints.insert(new.id.clone(), Arc::new(new));
        }
        for new in users {
            self.claims.extend(new.claims().map(|claim| (claim.keep(), Subject::User(new.id.clone()))));
            self.users.insert(new.id.clone(), Arc::new(new));
        }
    }
}

/// Edits that are being made. Beside each record stands the last edit that touched it.
struct Draft<'a> {
    before: &'a Roster,
    file: &'a Directory,
    endpoints: BTreeMap<String, (usize, EndpointRecord)>,
    users: BTreeMap<String, (usize, UserRecord)>,
    problems: Vec<Problem>,
}

impl Draft<'_> {
    fn problem(&mut self, edit: usize, Fault { at, form, reason, remedy }: Fault) {
        self.problems.push(Problem { edit, at, form, reason, remedy });
    }

    fn edit(&mut self, at: usize, edit: &Edit) {
        match edit {
            Edit::Endpoint { id, existing, fields } => {
                let there = self.endpoint(id);
                if let Some(fault) = self.existing("endpoint", id, *existing, there.is_some()) {
                    return self.problem(at, fault);
                }
                let new = there.is_none();
                let mut record = there.unwrap_or_else(|| EndpointRecord { id: id.clone(), ..EndpointRecord::default() });
                let mut faults = Vec::new();
                rules::set_endpoint(&mut record, fields, new, self.file, &mut faults);
                faults.into_iter().for_each(|fault| self.problem(at, fault));
                self.endpoints.insert(id.clone(), (at, record));
            }
            Edit::User { id, existing, fields } => {
                let there = self.user(id);
                if let Some(fault) = self.existing("user", id, *existing, there.is_some()) {
                    return self.problem(at, fault);
                }
                let new = there.is_none();
                let mut record = there.unwrap_or_else(|| UserRecord { id: id.clone(), ..UserRecord::default() });
                let mut faults = Vec::new();
                rules::set_user(&mut record, fields, new, self.file, &mut faults);
                faults.into_iter().for_each(|fault| self.problem(at, fault));
                self.users.insert(id.clone(), (at, record));
            }
            Edit::Assign { endpoint, user, rings } => {
                let assigned = Assigned { user: user.clone(), rings: *rings };
                self.assign(at, endpoint, |users| match users.iter_mut().find(|other| other.user == *user) {
                    Some(there) => *there = assigned,
                    None => users.push(assigned),
                });
            }
            Edit::Unassign { endpoint, user } => {
                let mut found = false;
                self.assign(at, endpoint, |users| {
                    users.retain(|other| other.user != *user);
                    found = true;
                });
                if found && self.user(user).is_none() {
                    self.problem(at, unknown_user("/user", user));
                }
            }
        }
    }

    fn assign(&mut self, at: usize, endpoint: &str, change: impl FnOnce(&mut Vec<Assigned>)) {
        let Some(mut record) = self.endpoint(endpoint) else {
            let fault = self.missing("endpoint", endpoint);
            return self.problem(at, fault);
        };
        change(&mut record.users);
        let mut faults = Vec::new();
        rules::too_many_users(&record, &mut faults);
        faults.into_iter().for_each(|fault| self.problem(at, fault));
        self.endpoints.insert(endpoint.to_owned(), (at, record));
    }

    fn endpoint(&self, id: &str) -> Option<EndpointRecord> {
        self.endpoints
            .get(id)
            .map(|(_, record)| record.clone())
            .or_else(|| self.before.endpoint(id).map(|record| EndpointRecord::clone(record)))
    }

    fn user(&self, id: &str) -> Option<UserRecord> {
        self.users.get(id).map(|(_, record)| record.clone()).or_else(|| self.before.user(id).map(|record| UserRecord::clone(record)))
    }

    /// What is wrong with an edit of somebody who is there, or is not.
    fn existing(&self, noun: &str, id: &str, existing: Existing, there: bool) -> Option<Fault> {
        match (existing, there) {
            (Existing::Must, false) => Some(self.missing(noun, id)),
            (Existing::Not, true) => Some(fault(
                "/id",
                format!("there is a {noun} `{id}` already"),
                format!("change it with `holdfast {noun} set`, or choose another id"),
            )),
            (Existing::Not | Existing::May, false) => self.taken(id).or_else(|| rules::id(id)),
            (Existing::Must | Existing::May, true) => None,
        }
    }

    fn missing(&self, noun: &str, id: &str) -> Fault {
        if self.file.endpoint(id).is_some() {
            return fault(
                "/id",
                format!("endpoint `{id}` stands in the configuration file"),
                "change it there; the gateway takes a saved file over at once",
            );
        }
        fault("/id", format!("the store has no {noun} `{id}`"), format!("`holdfast {noun} list` shows all of them"))
    }

    fn taken(&self, id: &str) -> Option<Fault> {
        let other = |what: &str| Some(fault("/id", format!("the id `{id}` is that of {what}"), "choose another id"));
        if self.file.endpoint(id).is_some() {
            return other("an endpoint in the configuration file");
        }
        if self.endpoint(id).is_some() {
            return other("an endpoint of the store");
        }
        if self.user(id).is_some() {
            return other("a user of the store");
        }
        None
    }

    /// What is different at the end, if nothing is wrong with it.
    fn settle(mut self) -> Result<Change, Vec<Problem>> {
        let before = self.before;
        self.endpoints.retain(|id, (_, record)| before.endpoints.get(id).is_none_or(|old| **old != *record));
        self.users.retain(|id, (_, record)| before.users.get(id).is_none_or(|old| **old != *record));
        self.references();
        self.claims();
        self.limits();
        if !self.problems.is_empty() {
            self.problems.sort_by_key(|problem| problem.edit);
            return Err(self.problems);
        }
        let mut change = Change::default();
        for (id, (_, record)) in self.endpoints {
            let what = before.endpoints.get(&id).map_or_else(|| "added".to_owned(), |old| endpoint_difference(old, &record));
            change.notes.push(Note { subject: Subject::Endpoint(id), what });
            change.endpoints.push(record);
        }
        for (id, (_, record)) in self.users {
            let what = before.users.get(&id).map_or_else(|| "added".to_owned(), |old| user_difference(old, &record));
            change.notes.push(Note { subject: Subject::User(id), what });
            change.users.push(record);
        }
        Ok(change)
    }

    /// An endpoint's users are there, and none has more phones than can ring.
    fn references(&mut self) {
        let mut problems = Vec::new();
        let mut more: BTreeMap<&str, (usize, isize)> = BTreeMap::new();
        for (id, (at, record)) in &self.endpoints {
            let old: BTreeSet<&str> = self.before.endpoints.get(id).iter().flat_map(|old| &old.users).map(|a| a.user.as_str()).collect();
            let new: BTreeSet<&str> = record.users.iter().map(|a| a.user.as_str()).collect();
            for user in new.difference(&old) {
                if !self.users.contains_key(*user) && !self.before.users.contains_key(*user) {
                    let place = record.users.iter().position(|a| a.user == **user).unwrap_or_default();
                    problems.push((*at, unknown_user(format!("/users/{place}"), user)));
                }
                let entry = more.entry(user).or_insert((*at, 0));
                *entry = ((*at).max(entry.0), entry.1 + 1);
            }
            for user in old.difference(&new) {
                more.entry(user).or_insert((*at, 0)).1 -= 1;
            }
        }
        let mut had: BTreeMap<&str, usize> = BTreeMap::new();
        if !more.is_empty() {
            for assigned in self.before.endpoints.values().flat_map(|record| &record.users) {
                if let Some((user, _)) = more.get_key_value(assigned.user.as_str()) {
                    *had.entry(user).or_default() += 1;
                }
            }
        }
        for (user, (at, more)) in more {
            let phones = had.get(user).copied().unwrap_or(0).saturating_add_signed(more);
            if more > 0 && phones > PHONES {
                let reason = format!("user `{user}` would have {phones} endpoints");
                problems.push((at, fault("/users", reason, format!("assign at most {PHONES}"))));
            }
        }
        problems.into_iter().for_each(|(at, fault)| self.problem(at, fault));
    }

    /// Nobody has what somebody else has.
    fn claims(&mut self) {
        let mut problems = Vec::new();
        let macs = self.file.macs();
        let endpoints = self
            .endpoints
            .values()
            .flat_map(|(at, record)| record.claims().map(|claim| (*at, claim, Subject::Endpoint(record.id.clone()))));
        let users =
            self.users.values().flat_map(|(at, record)| record.claims().map(|claim| (*at, claim, Subject::User(record.id.clone()))));
        let mut all: Vec<_> = endpoints.chain(users).collect();
        // The first of the edits has it, the later ones are told so.
        all.sort_by_key(|(at, ..)| *at);
        let mut taken: BTreeMap<Claim<'_>, Subject> = BTreeMap::new();
        for (at, claim, owner) in all {
            let other = match taken.get(&claim) {
                Some(other) => Some(format!("{other} of the store")),
                None => match self.before.claims.get(&claim) {
                    Some(other) if *other != owner && !self.changes(other) => Some(format!("{other} of the store")),
                    _ => self.file.owner_of(&claim, &macs).map(|id| format!("endpoint `{id}` in the configuration file")),
                },
            };
            match other {
                Some(other) => problems.push((at, fault(claim.place(), format!("{claim} is that of {other}"), "give each its own"))),
                None => _ = taken.insert(claim, owner),
            }
        }
        problems.into_iter().for_each(|(at, fault)| self.problem(at, fault));
    }

    /// Whether these edits change it: then what it has now is looked at, not what it had.
    fn changes(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Endpoint(id) => self.endpoints.contains_key(id),
            Subject::User(id) => self.users.contains_key(id),
        }
    }

    fn limits(&mut self) {
        let new = |there: usize, new: usize| there + new > HELD;
        let endpoints = self.endpoints.iter().filter(|(id, _)| !self.before.endpoints.contains_key(*id));
        let users = self.users.iter().filter(|(id, _)| !self.before.users.contains_key(*id));
        let last = |touched: Option<usize>| touched.unwrap_or(0);
        let too_many_endpoints =
            new(self.before.endpoints.len(), endpoints.clone().count()).then(|| last(endpoints.map(|(_, (at, _))| *at).max()));
        let too_many_users = new(self.before.users.len(), users.clone().count()).then(|| last(users.map(|(_, (at, _))| *at).max()));
        for (at, noun) in [(too_many_endpoints, "endpoints"), (too_many_users, "users")] {
            if let Some(at) = at {
                self.problem(at, fault("", format!("the store would keep more than {HELD} {noun}"), "add fewer"));
            }
        }
    }
}

fn unknown_user(at: impl Into<String>, user: &str) -> Fault {
    fault(at, format!("the store has no user `{user}`"), "add it with `holdfast user add`")
}

/// What is different, for the history: without secrets and without long texts.
fn difference(fields: &[(&str, String, String)]) -> String {
    let changed = fields.iter().filter(|(_, old, new)| old != new).map(|(name, old, new)| match (old.is_empty(), new.is_empty()) {
        (true, _) => format!("{name}: {new}"),
        (_, true) => format!("{name}: none"),
        _ => format!("{name}: {old} -> {new}"),
    });
    changed.collect::<Vec<_>>().join("; ")
}

fn enabled(enabled: bool) -> String {
    if enabled { "enabled" } else { "disabled" }.to_owned()
}

fn endpoint_difference(old: &EndpointRecord, new: &EndpointRecord) -> String {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let users = |record: &EndpointRecord| {
        let users =
            record.users.iter().map(|assigned| if assigned.rings { assigned.user.clone() } else { format!("{} (silent)", assigned.user) });
        users.collect::<Vec<_>>().join(", ")
    };
    let fields = [
        ("kind", old.kind.token().to_owned(), new.kind.token().to_owned()),
        ("model", or_empty(&old.model), or_empty(&new.model)),
        ("mac", or_empty(&old.mac), or_empty(&new.mac)),
        ("serial", or_empty(&old.serial), or_empty(&new.serial)),
        ("username", old.username.clone(), new.username.clone()),
        ("name", old.name.clone(), new.name.clone()),
        ("status", enabled(old.enabled), enabled(new.enabled)),
        ("location", or_empty(&old.location), or_empty(&new.location)),
        ("licence", or_empty(&old.licence), or_empty(&new.licence)),
        ("users", users(old), users(new)),
    ];
    let hidden = [
        ("password changed", !old.secret.proves_as(&new.secret)),
        ("password kept for its settings file", old.secret.proves_as(&new.secret) && old.secret.sealed != new.secret.sealed),
        ("keys changed", old.keys != new.keys),
        ("settings changed", old.settings != new.settings),
    ];
    let hidden = hidden.iter().filter(|(_, changed)| *changed).map(|(what, _)| (*what).to_owned());
    std::iter::once(difference(&fields)).filter(|text| !text.is_empty()).chain(hidden).collect::<Vec<_>>().join("; ")
}

fn user_difference(old: &UserRecord, new: &UserRecord) -> String {
    let or_empty = |text: &Option<String>| text.clone().unwrap_or_default();
    let seconds = |record: &UserRecord| record.calls.ring_seconds.map(|seconds| seconds.to_string()).unwrap_or_default();
    let (was, is) = (&old.calls, &new.calls);
    difference(&[
        ("name", old.name.clone(), new.name.clone()),
        ("extension", old.extension.clone(), new.extension.clone()),
        ("numbers", old.numbers.join(", "), new.numbers.join(", ")),
        ("status", enabled(old.enabled), enabled(new.enabled)),
        ("ring seconds", seconds(old), seconds(new)),
        ("forward always", or_empty(&was.forward_always), or_empty(&is.forward_always)),
        ("forward when busy", or_empty(&was.forward_busy), or_empty(&is.forward_busy)),
        ("forward without answer", or_empty(&was.forward_no_answer), or_empty(&is.forward_no_answer)),
        ("forward when unreachable", or_empty(&was.forward_unreachable), or_empty(&is.forward_unreachable)),
        ("dial class", or_empty(&was.dial_class), or_empty(&is.dial_class)),
    ])
}

#[cfg(test)]
mod tests;
