//! How what the store keeps joins what the configuration says: one directory, in which the configuration comes first.

use super::{
    CallSettings, Directory, Endpoint, Place,
    record::{EndpointRecord, UserRecord},
    roster::{Claim, Roster},
};
use sip::digest::Ha1;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

/// Users and their phones.
#[derive(Clone, Debug, Default)]
pub(super) struct Users {
    /// What is found at a user's extension.
    entries: Vec<Arc<Endpoint>>,
    /// What becomes of the calls of each; `None`: nothing is set.
    calls: Vec<Option<Arc<CallSettings>>>,
    /// Places in [`Directory::endpoints`] of the phones that ring for each.
    phones: Vec<Vec<usize>>,
    /// The first user of each endpoint of the store, in their order: whose line it is.
    lines: Vec<Option<usize>>,
}

impl Users {
    pub(super) fn entry(&self, place: usize) -> Option<&Arc<Endpoint>> {
        self.entries.get(place)
    }
}

/// Something of the store that is not in force, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// ``endpoint `ID` `` or ``user `ID` ``.
    pub who: String,
    /// Why.
    pub reason: String,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the store is not in force: {}", self.who, self.reason)
    }
}

impl Directory {
    /// This directory, which the configuration describes, with what the store keeps beside it; and what is left out because the configuration has given the
    /// same id, username, extension, number or hardware address to somebody else since. A password made for another realm proves nothing any more.
    #[must_use]
    pub fn with_roster(&self, roster: &Roster) -> (Self, Vec<LeftOut>) {
        let mut joined = self.clone();
        let macs = self.macs();
        let mut left_out = Vec::new();
        let (endpoints, users) = roster.sizes();
        let (by_id, by_username) = (Arc::make_mut(&mut joined.by_id), Arc::make_mut(&mut joined.by_username));
        let (by_extension, by_number) = (Arc::make_mut(&mut joined.by_extension), Arc::make_mut(&mut joined.by_number));
        by_id.reserve(endpoints + users);
        by_username.reserve(endpoints);
        by_extension.reserve(users);
        let mut users: HashMap<&str, (usize, &UserRecord)> = HashMap::with_capacity(users);
        for user in roster.users() {
            if let Some(reason) = self.clash(&user.id, user.claims(), &macs) {
                left_out.push(LeftOut { who: format!("user `{}`", user.id), reason });
                continue;
            }
            let place = users.len();
            users.insert(&user.id, (place, user));
            by_id.insert(user.id.clone(), Place::User(place));
            by_extension.insert(user.extension.clone(), Place::User(place));
            by_number.extend(user.numbers.iter().map(|number| (number.clone(), Place::User(place))));
            joined.users.entries.push(Arc::new(entry(user)));
            joined.users.calls.push((!user.calls.is_plain()).then(|| Arc::new(user.calls.clone())));
        }
        joined.users.phones.resize(users.len(), Vec::new());
        for record in roster.endpoints() {
            if let Some(reason) = self.clash(&record.id, record.claims(), &macs) {
                left_out.push(LeftOut { who: format!("endpoint `{}`", record.id), reason });
                continue;
            }
            let place = joined.endpoints.len();
            let assigned = || record.users.iter().filter_map(|assigned| Some((*users.get(assigned.user.as_str())?, assigned.rings)));
            let main = assigned().next().map(|(user, _)| user);
            joined.endpoints.push(Arc::new(endpoint(record, main.map(|(_, user)| user), &self.domain)));
            by_id.insert(record.id.clone(), Place::Endpoint(place));
            by_username.insert(record.username.clone(), place);
            joined.users.lines.push(main.map(|(user, _)| user));
            for ((user, _), _) in assigned().filter(|(_, rings)| *rings) {
                if let Some(phones) = joined.users.phones.get_mut(user) {
                    phones.push(place);
                }
            }
        }
        (joined, left_out)
    }

    /// The phones that a call to this endpoint or user rings: the endpoint itself, or those of the user.
    pub fn phones<'a>(&'a self, id: &str) -> impl Iterator<Item = &'a Arc<Endpoint>> + use<'a> {
        let (own, shared): (&[usize], &[usize]) = match self.by_id.get(id) {
            Some(Place::Endpoint(place)) => (std::slice::from_ref(place), &[]),
            Some(Place::User(place)) => (&[], self.users.phones.get(*place).map_or(&[], Vec::as_slice)),
            None => (&[], &[]),
        };
        own.iter().chain(shared).filter_map(|place| self.endpoints.get(*place))
    }

    /// Under whose id the calls of this phone are shown to those who watch: that of its first user, its own when it has none.
    #[must_use]
    pub fn line_of<'a>(&'a self, phone: &'a str) -> &'a str {
        let Some(Place::Endpoint(place)) = self.by_id.get(phone) else { return phone };
        let user = place.checked_sub(self.configured).and_then(|place| *self.users.lines.get(place)?);
        user.and_then(|user| self.users.entry(user)).map_or(phone, |user| &user.id)
    }

    /// What becomes of the calls of a user; `None`: nobody of that id is a user, or nothing is set.
    #[must_use]
    pub fn calls_of(&self, id: &str) -> Option<&Arc<CallSettings>> {
        match self.by_id.get(id)? {
            Place::User(place) => self.users.calls.get(*place)?.as_ref(),
            Place::Endpoint(_) => None,
        }
    }

    /// What this user, this endpoint of the configuration, or the first user of this endpoint may dial; `None`: nothing is said.
    #[must_use]
    pub fn dial_class(&self, id: &str) -> Option<&str> {
        match self.dial_classes.get(id) {
            Some(class) => Some(class),
            None => self.calls_of(self.line_of(id))?.dial_class.as_deref(),
        }
    }

    /// Everything that can be called by an extension: the configuration's endpoints, then users.
    pub fn extensions(&self) -> impl Iterator<Item = &str> {
        let own = self.endpoints.iter().take(self.configured);
        own.chain(&self.users.entries).map(|endpoint| endpoint.extension.as_str())
    }

    /// Hardware addresses, and whose they are.
    pub(super) fn macs(&self) -> BTreeMap<&str, &str> {
        self.endpoints.iter().filter_map(|endpoint| Some((endpoint.mac.as_deref()?, endpoint.id.as_str()))).collect()
    }

    /// Why a record of the store cannot stand beside this directory, which the configuration describes.
    pub(super) fn clash<'a>(&self, id: &str, claims: impl Iterator<Item = Claim<'a>>, macs: &BTreeMap<&str, &str>) -> Option<String> {
        if self.by_id.contains_key(id) {
            return Some(format!("the id `{id}` stands in the configuration file"));
        }
        let mut claims = claims;
        claims.find_map(|claim| {
            let owner = self.owner_of(&claim, macs)?;
            Some(format!("{claim} is that of endpoint `{owner}` in the configuration file"))
        })
    }

    /// Whose a claim is.
    pub(super) fn owner_of(&self, claim: &Claim<'_>, macs: &BTreeMap<&str, &str>) -> Option<String> {
        match claim {
            Claim::Username(name) => self.by_username(name).map(|endpoint| endpoint.id.clone()),
            Claim::Extension(extension) => self.by_extension(extension).map(|endpoint| endpoint.id.clone()),
            Claim::Number(number) => self.by_number(number).map(|endpoint| endpoint.id.clone()),
            Claim::Mac(mac) => macs.get(mac.as_ref()).map(|id| (*id).to_owned()),
            // The configuration knows none.
            Claim::Serial(_) => None,
        }
    }
}

/// The account of a phone that the store keeps. Without a user it shows its username: nobody can call it by that.
fn endpoint(record: &EndpointRecord, user: Option<&UserRecord>, realm: &str) -> Endpoint {
    let secret = &record.secret;
    let ha1 =
        if secret.realm == realm { Ha1 { md5: Some(secret.md5.clone()), sha256: Some(secret.sha256.clone()) } } else { Ha1::default() };
    let own = || Some(record.name.clone()).filter(|name| !name.is_empty());
    Endpoint {
        id: record.id.clone(),
        extension: user.map_or_else(|| record.username.clone(), |user| user.extension.clone()),
        username: record.username.clone(),
        ha1,
        name: user.map(UserRecord::shown).map(str::to_owned).or_else(own).unwrap_or_else(|| record.username.clone()),
        enabled: record.enabled,
        licence: record.licence.clone(),
        location: record.location.clone(),
        mac: record.mac.clone(),
        numbers: user.map(|user| user.numbers.clone()).unwrap_or_default(),
    }
}

/// What stands at a user's extension. It has no username and no password: nobody registers as it.
fn entry(user: &UserRecord) -> Endpoint {
    Endpoint {
        id: user.id.clone(),
        extension: user.extension.clone(),
        username: String::new(),
        ha1: Ha1::default(),
        name: user.shown().to_owned(),
        enabled: user.enabled,
        licence: None,
        location: None,
        mac: None,
        numbers: user.numbers.clone(),
    }
}
