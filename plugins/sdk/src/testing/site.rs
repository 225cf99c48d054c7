//! The site that answers a policy's questions.

use super::{Call, Fault, Hooks, Registration, at_site, subject::Subject};
use crate::{
    Admission, CallKind, CallRecord, ConfigurationPolicy, Decision, EmergencyPlan, EmergencyPolicy, ObservationPolicy, Problem,
    RegistrationPolicy, RoutingPolicy, Setting, Value,
    directory::{Binding, CallSettings},
    licences::Standing,
    log::Level,
    trunks::Standing as TrunkStanding,
};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    fmt,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};
use time::{Date, Month, UtcOffset};
use toml::value::{Datetime, Offset, Table};

/// When things happen that name no time: 2026-01-05, a Monday, at noon UTC.
const NOON: u64 = 1_767_614_400;

/// A phone's account.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    pub(super) id: String,
    pub(super) extension: String,
    pub(super) name: String,
    pub(super) enabled: bool,
    pub(super) pool: Option<String>,
    pub(super) location: Option<String>,
    pub(super) numbers: Vec<String>,
    pub(super) dial_class: Option<String>,
    pub(super) calls: Option<CallSettings>,
}

impl Endpoint {
    /// Enabled, named like its extension, with neither pool, location, numbers, dial class nor call settings.
    #[must_use]
    pub fn new(id: impl Into<String>, extension: impl Into<String>) -> Self {
        let (id, extension) = (id.into(), extension.into());
        Self {
            id,
            name: extension.clone(),
            extension,
            enabled: true,
            pool: None,
            location: None,
            numbers: Vec::new(),
            dial_class: None,
            calls: None,
        }
    }

    /// Its display name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// It may not register.
    #[must_use]
    pub const fn disabled(mut self) -> Self {
        self.enabled = false;
        self
    }

    /// Its licence pool.
    #[must_use]
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = Some(pool.into());
        self
    }

    /// Where it stands.
    #[must_use]
    pub fn location(mut self, name: impl Into<String>) -> Self {
        self.location = Some(name.into());
        self
    }

    /// Its direct numbers, first the one that it should show.
    #[must_use]
    pub fn numbers<N: Into<String>>(mut self, numbers: impl IntoIterator<Item = N>) -> Self {
        self.numbers = numbers.into_iter().map(Into::into).collect();
        self
    }

    /// The class of what it may dial.
    #[must_use]
    pub fn dial_class(mut self, class: impl Into<String>) -> Self {
        self.dial_class = Some(class.into());
        self
    }

    /// It is a user, and this becomes of its calls.
    #[must_use]
    pub fn calls(mut self, settings: CallSettings) -> Self {
        self.calls = Some(settings);
        self
    }
}

/// A way out of the site.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trunk {
    pub(super) name: String,
    pub(super) numbers: Vec<String>,
    pub(super) standing: TrunkStanding,
    pub(super) calls: u32,
}

impl Trunk {
    /// Up, without calls and without numbers.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), numbers: Vec::new(), standing: TrunkStanding::Up, calls: 0 }
    }

    /// Inbound numbers that it owns; `%` stands for any digits.
    #[must_use]
    pub fn numbers<N: Into<String>>(mut self, patterns: impl IntoIterator<Item = N>) -> Self {
        self.numbers = patterns.into_iter().map(Into::into).collect();
        self
    }

    /// It serves, but not all is well.
    #[must_use]
    pub const fn degraded(mut self) -> Self {
        self.standing = TrunkStanding::Degraded;
        self
    }

    /// It is down: the last attempts did not reach it.
    #[must_use]
    pub const fn unhealthy(mut self) -> Self {
        self.standing = TrunkStanding::Down;
        self
    }

    /// Calls on it.
    #[must_use]
    pub const fn calls(mut self, calls: u32) -> Self {
        self.calls = calls;
        self
    }
}

/// What an endpoint has used of the outside: nothing, by default.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Outside {
    /// Calls to the outside now.
    pub calls: u32,
    /// Calls to the outside within the hour.
    pub calls_in_hour: u32,
    /// Seconds of talk within the day.
    pub seconds_in_day: u32,
    /// Seconds of talk since phones are here without their cloud.
    pub seconds_in_outage: u32,
}

/// A place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Location {
    pub(super) name: String,
    pub(super) elin: Option<String>,
    pub(super) address: Option<String>,
}

impl Location {
    /// Without number and address.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), elin: None, address: None }
    }

    /// The number that calls for help from here show.
    #[must_use]
    pub fn elin(mut self, number: impl Into<String>) -> Self {
        self.elin = Some(number.into());
        self
    }

    /// Its street address.
    #[must_use]
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.address = Some(address.into());
        self
    }
}

/// A little site with one instance of a policy. Built up by its methods; each of them makes it another site, with a fresh instance: what a
/// [`Kept`](crate::Kept) holds is made anew. What the policy put into `memory` stays.
pub struct Site(pub(super) Rc<State>);

#[derive(Clone, Debug)]
pub(super) struct State {
    /// Which instance of the policy runs here; never the same for two sites that differ.
    pub(super) instance: u64,
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) trunks: Vec<Trunk>,
    pub(super) locations: Vec<Location>,
    /// Name, seats, seats taken.
    pub(super) pools: Vec<(String, u32, u32)>,
    /// What else is known of some of them.
    pub(super) standings: Vec<(String, Standing)>,
    pub(super) emergency_trunks: Vec<String>,
    pub(super) settings: Vec<Setting>,
    /// Endpoints and how they can be reached.
    pub(super) bindings: Vec<(String, Binding)>,
    /// Endpoints at which somebody has talked, and how long ago.
    pub(super) idle: BTreeMap<String, u32>,
    pub(super) outage: Option<u32>,
    pub(super) used: BTreeMap<String, Outside>,
    pub(super) now_ms: u64,
    pub(super) utc_offset_minutes: i32,
    pub(super) memory: RefCell<BTreeMap<String, String>>,
    pub(super) log: RefCell<Vec<(Level, String)>>,
}

static INSTANCES: AtomicU64 = AtomicU64::new(1);

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

/// A site of its own, with a copy of what the policy keeps in `memory`.
impl Clone for Site {
    fn clone(&self) -> Self {
        Self(Rc::new(State::clone(&self.0)))
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Site {
    /// A site without phones, trunks and settings, on a Monday noon UTC.
    #[must_use]
    pub fn new() -> Self {
        Self(Rc::new(State {
            instance: INSTANCES.fetch_add(1, Relaxed),
            endpoints: Vec::new(),
            trunks: Vec::new(),
            locations: Vec::new(),
            pools: Vec::new(),
            standings: Vec::new(),
            emergency_trunks: Vec::new(),
            settings: Vec::new(),
            bindings: Vec::new(),
            idle: BTreeMap::new(),
            outage: None,
            used: BTreeMap::new(),
            now_ms: NOON * 1000,
            utc_offset_minutes: 0,
            memory: RefCell::default(),
            log: RefCell::default(),
        }))
    }

    fn with(mut self, change: impl FnOnce(&mut State)) -> Self {
        let state = Rc::make_mut(&mut self.0);
        state.instance = INSTANCES.fetch_add(1, Relaxed);
        change(state);
        self
    }

    /// One more endpoint.
    #[must_use]
    pub fn endpoint(self, endpoint: Endpoint) -> Self {
        self.with(|state| state.endpoints.push(endpoint))
    }

    /// One more trunk, after those that are there.
    #[must_use]
    pub fn trunk(self, trunk: Trunk) -> Self {
        self.with(|state| state.trunks.push(trunk))
    }

    /// One more place.
    #[must_use]
    pub fn location(self, location: Location) -> Self {
        self.with(|state| state.locations.push(location))
    }

    /// A licence pool with so many seats, of which so many are taken.
    #[must_use]
    pub fn pool(self, pool: impl Into<String>, seats: u32, taken: u32) -> Self {
        self.with(|state| state.pools.push((pool.into(), seats, taken)))
    }

    /// What else is known of a licence pool; where nothing is said: nobody waits, none was refused, and as many seats were in use as are taken.
    #[must_use]
    pub fn standing(self, pool: impl Into<String>, standing: Standing) -> Self {
        self.with(|state| state.standings.push((pool.into(), standing)))
    }

    /// The trunks for calls for help, in order.
    #[must_use]
    pub fn emergency_trunks<N: Into<String>>(self, names: impl IntoIterator<Item = N>) -> Self {
        self.with(|state| state.emergency_trunks = names.into_iter().map(Into::into).collect())
    }

    /// One setting of the policy: text, integer, boolean or texts.
    #[must_use]
    pub fn setting(self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.with(|state| {
            state.settings.push(Setting { key: key.into(), value: value.into() });
            state.settings.sort_by(|a, b| a.key.cmp(&b.key));
        })
    }

    /// All settings of the policy, as the `[settings]` table of its file has them: `outside_prefix = "9"`.
    ///
    /// # Panics
    /// When it is not TOML.
    #[must_use]
    #[track_caller]
    #[allow(clippy::panic, reason = "a mistake of a test, told where it was made")]
    pub fn settings(self, toml: &str) -> Self {
        match toml.parse::<Table>() {
            Ok(table) => self.settings_table(table),
            Err(error) => panic!("the settings are not TOML: {error}"),
        }
    }

    pub(super) fn settings_table(self, table: Table) -> Self {
        self.with(|state| {
            state.settings.clear();
            flatten("", table, &mut state.settings);
        })
    }

    /// The endpoint is registered, for another hour.
    #[must_use]
    pub fn registered(self, id: impl Into<String>) -> Self {
        self.bound(id.into(), false)
    }

    /// The endpoint is registered without a seat, for another hour.
    #[must_use]
    pub fn emergency_only(self, id: impl Into<String>) -> Self {
        self.bound(id.into(), true)
    }

    fn bound(self, id: String, emergency_only: bool) -> Self {
        let contact = format!("sip:{id}@127.0.0.1:5060");
        self.binding(id, Binding { contact, user_agent: String::new(), expires_seconds: 3600, emergency_only })
    }

    /// The endpoint can be reached there, after its bindings so far. It has to be written so that the best comes first.
    #[must_use]
    pub fn binding(self, id: impl Into<String>, binding: Binding) -> Self {
        self.with(|state| state.bindings.push((id.into(), binding)))
    }

    /// Somebody talked at this endpoint so many seconds ago; 0: somebody talks.
    #[must_use]
    pub fn idle(self, id: impl Into<String>, seconds: u32) -> Self {
        self.with(|state| {
            state.idle.insert(id.into(), seconds);
        })
    }

    /// Phones are here without their cloud for so many seconds.
    #[must_use]
    pub fn outage(self, seconds: u32) -> Self {
        self.with(|state| state.outage = Some(seconds))
    }

    /// What this endpoint has used of the outside.
    #[must_use]
    pub fn used(self, id: impl Into<String>, outside: Outside) -> Self {
        self.with(|state| {
            state.used.insert(id.into(), outside);
        })
    }

    /// The time of what is decided: `2026-01-05T22:00:00Z`. Without an offset it is UTC.
    ///
    /// # Panics
    /// When it is no date with a time, or before 1970.
    #[must_use]
    #[track_caller]
    #[allow(clippy::panic, reason = "a mistake of a test, told where it was made")]
    pub fn at(self, time: &str) -> Self {
        match time.parse().ok().and_then(seconds) {
            Some(seconds) => self.at_ms(seconds * 1000),
            None => panic!("`{time}` must be a date with a time, like 2026-01-05T12:00:00Z"),
        }
    }

    /// The time of what is decided, in milliseconds since the UNIX epoch.
    #[must_use]
    pub fn at_ms(self, milliseconds: u64) -> Self {
        self.with(|state| state.now_ms = milliseconds)
    }

    /// How far the site's clock is from UTC at the time of what is decided; 0 where nothing is said.
    #[must_use]
    pub fn utc_offset_minutes(self, minutes: i32) -> Self {
        self.with(|state| state.utc_offset_minutes = minutes)
    }

    pub(super) fn trunk_stands(self, name: &str, standing: TrunkStanding) -> Self {
        self.with(|state| state.trunks.iter_mut().filter(|trunk| trunk.name == name).for_each(|trunk| trunk.standing = standing))
    }

    /// Lines that the policy has written so far, cut and limited as the gateway does.
    #[must_use]
    pub fn log(&self) -> Vec<(Level, String)> {
        self.0.log.borrow().clone()
    }

    /// What the policy keeps in `memory` under a key.
    #[must_use]
    pub fn kept(&self, key: &str) -> Option<String> {
        self.0.memory.borrow().get(key).cloned()
    }

    /// Runs something that asks the host, with this site as the host; nothing is being decided.
    pub fn ask<T>(&self, run: impl FnOnce() -> T) -> T {
        at_site(&self.0, Subject::None, run)
    }

    /// What the policy says to a registration.
    ///
    /// # Panics
    /// When the policy panics or answers against the contract, and when the site has no such endpoint.
    #[must_use]
    #[track_caller]
    pub fn admit<P: RegistrationPolicy>(&self, registration: &Registration) -> Admission {
        said(Hooks { registration: Some(P::admit), ..Hooks::NONE }.admit(self, registration))
    }

    /// What the policy says to a call.
    ///
    /// # Panics
    /// When the policy panics or answers against the contract.
    #[must_use]
    #[track_caller]
    pub fn route<P: RoutingPolicy>(&self, call: &Call) -> Decision {
        said(Hooks { routing: Some(P::route), ..Hooks::NONE }.route(self, call))
    }

    /// What the policy says to a call for help.
    ///
    /// # Panics
    /// When the policy panics or answers against the contract.
    #[must_use]
    #[track_caller]
    pub fn emergency<P: EmergencyPolicy>(&self, call: &Call) -> EmergencyPlan {
        said(Hooks { emergency: Some(P::route), ..Hooks::NONE }.help(self, CallKind::Emergency, call))
    }

    /// What the policy says to a test of the way for help.
    ///
    /// # Panics
    /// When the policy panics or answers against the contract.
    #[must_use]
    #[track_caller]
    pub fn emergency_test<P: EmergencyPolicy>(&self, call: &Call) -> EmergencyPlan {
        said(Hooks { emergency: Some(P::route), ..Hooks::NONE }.help(self, CallKind::EmergencyTest, call))
    }

    /// Tells the policy about a call that has ended.
    ///
    /// # Panics
    /// When the policy panics.
    #[track_caller]
    pub fn ended<P: ObservationPolicy>(&self, record: CallRecord) {
        said(Hooks { observation: Some(P::ended), ..Hooks::NONE }.ended(self, record));
    }

    /// What the policy has against this site's settings; empty when they are as they should be.
    ///
    /// # Panics
    /// When the policy panics.
    #[must_use]
    #[track_caller]
    pub fn check<P: ConfigurationPolicy>(&self) -> Vec<Problem> {
        said(Hooks { configuration: Some(P::check), ..Hooks::NONE }.check(self)).err().unwrap_or_default()
    }
}

#[track_caller]
#[allow(clippy::panic, reason = "a test fails by panicking")]
fn said<T>(answer: Result<T, Fault>) -> T {
    answer.unwrap_or_else(|fault| panic!("the policy {fault}"))
}

impl State {
    pub(super) fn endpoint(&self, id: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|endpoint| endpoint.id == id)
    }

    pub(super) fn bindings<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a Binding> {
        self.bindings.iter().filter(move |(owner, _)| owner == id).map(|(_, binding)| binding)
    }

    /// Holds a binding, with a seat or without.
    pub(super) fn registered(&self, id: &str) -> bool {
        self.bindings(id).next().is_some()
    }
}

/// Seconds since 1970; a time without an offset is UTC. `None` for a date or a time alone, and before 1970.
pub(super) fn seconds(at: Datetime) -> Option<u64> {
    let (date, clock) = (at.date?, at.time?);
    let minutes = match at.offset {
        Some(Offset::Custom { minutes }) => i32::from(minutes),
        Some(Offset::Z) | None => 0,
    };
    let day = Date::from_calendar_date(i32::from(date.year), Month::try_from(date.month).ok()?, date.day).ok()?;
    let time = day.with_hms(clock.hour, clock.minute, clock.second.unwrap_or(0)).ok()?;
    let offset = UtcOffset::from_whole_seconds(minutes * 60).ok()?;
    u64::try_from(time.assume_offset(offset).unix_timestamp()).ok()
}

/// Joins the keys of inner tables with dots and counts arrays of tables from 0.
fn flatten(prefix: &str, table: Table, into: &mut Vec<Setting>) {
    for (key, value) in table {
        flatten_value(format!("{prefix}{key}"), value, into);
    }
}

fn flatten_value(key: String, value: toml::Value, into: &mut Vec<Setting>) {
    use toml::Value as Toml;
    let text = |value: Toml| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let value = match value {
        Toml::String(text) => Value::Text(text),
        Toml::Integer(number) => Value::Number(number),
        Toml::Boolean(flag) => Value::Flag(flag),
        Toml::Float(number) => Value::Text(number.to_string()),
        Toml::Datetime(moment) => Value::Text(moment.to_string()),
        Toml::Table(table) => return flatten(&format!("{key}."), table, into),
        Toml::Array(values) if values.iter().any(Toml::is_table) => {
            for (index, value) in values.into_iter().enumerate() {
                flatten_value(format!("{key}.{index}"), value, into);
            }
            return;
        }
        Toml::Array(values) => Value::Texts(values.into_iter().map(text).collect()),
    };
    into.push(Setting { key, value });
}
