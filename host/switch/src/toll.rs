//! Tolls: what calls to the outside may cost, whatever a policy says.
//!
//! Policies decide who may call where. What is here holds behind them: [`Ceilings`] of the operator that no component can open, and the account of what was used
//! ([`Tolls`]), which policies may read. Paid for is a leg to a trunk, by the endpoint whose rights made it (who forwards or transfers pays for where that leads); a call
//! from a trunk to another is paid by the site alone. A call for help is neither counted nor asked about ([`crate::facts::CallKind`]).
//!
//! An hour and a day begin with an account's first call in them. Minutes are those of talk. What was used outlives a restart ([`Tolls::kept`], [`Tolls::restore`]), as does how
//! long a call lasts that goes on after it ([`Paid`]).

mod kept;

pub use kept::{Balance, Outage, Paid, Talk};

use crate::{
    decision::Refusal,
    directory::{Directory, NumberPattern},
    emergency::normalise,
    facts::{Call, Caller},
};
use sip::Instant;
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

/// How often a call is looked at whose minutes may run out.
const LOOK_EVERY: Duration = Duration::from_secs(10);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What no policy can go beyond. The default sets no bound.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ceilings {
    /// Calls of an endpoint, or of all phones of a user, to the outside at a time.
    pub calls_per_endpoint: Option<u32>,
    /// Calls of the whole site to the outside at a time.
    pub calls_per_site: Option<u32>,
    /// Calls of an endpoint to the outside within an hour, answered or not.
    pub calls_per_hour: Option<u32>,
    /// Talk of an endpoint within a day. A call that goes beyond is ended within ten seconds.
    pub talk_per_day: Option<Duration>,
    /// Talk of the whole site while phones are here without their cloud. A call that goes beyond is ended within ten seconds.
    pub talk_per_outage: Option<Duration>,
    /// The longest call to the outside; then it is ended.
    pub longest_call: Option<Duration>,
    /// Numbers that nobody calls, as they are dialled or as they go out.
    pub denied: Vec<NumberPattern>,
}

/// Which ceiling has bitten.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "each is the ceiling of that name")]
pub enum Bite {
    Denied,
    CallsPerEndpoint,
    CallsPerSite,
    CallsPerHour,
    TalkPerDay,
    TalkPerOutage,
    LongestCall,
}

impl Bite {
    const ALL: [Self; 7] = [
        Self::Denied,
        Self::CallsPerEndpoint,
        Self::CallsPerSite,
        Self::CallsPerHour,
        Self::TalkPerDay,
        Self::TalkPerOutage,
        Self::LongestCall,
    ];

    /// The name of its counter.
    #[must_use]
    pub const fn counter(self) -> &'static str {
        match self {
            Self::Denied => "toll-denied",
            Self::CallsPerEndpoint => "toll-calls-per-endpoint",
            Self::CallsPerSite => "toll-calls-per-site",
            Self::CallsPerHour => "toll-calls-per-hour",
            Self::TalkPerDay => "toll-minutes-per-day",
            Self::TalkPerOutage => "toll-minutes-per-outage",
            Self::LongestCall => "toll-longest-call",
        }
    }

    /// What the caller's phone shows, and what the operator reads.
    #[must_use]
    pub fn refusal(self, who: &str) -> Refusal {
        let (phrase, key) = match self {
            Self::Denied => ("Number Barred", "denied"),
            Self::CallsPerEndpoint => ("Too Many Outside Calls", "calls_per_endpoint"),
            Self::CallsPerSite => ("Too Many Outside Calls Of The Site", "calls_per_site"),
            Self::CallsPerHour => ("Too Many Outside Calls This Hour", "calls_per_hour"),
            Self::TalkPerDay => ("Outside Minutes Of The Day Used Up", "minutes_per_day"),
            Self::TalkPerOutage => ("Outside Minutes Of The Site Used Up", "minutes_per_outage"),
            Self::LongestCall => ("Longest Call", "longest_call_minutes"),
        };
        Refusal::new(403, phrase, format!("an outside call of {who}: the ceiling `{key}` of [tolls]"))
    }

    /// Why a call was ended, for its record.
    #[must_use]
    pub const fn cause(self) -> &'static str {
        match self {
            Self::LongestCall => "the longest call to the outside",
            _ => "the minutes to the outside are used up",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

impl Ceilings {
    /// The pattern that bars this number.
    #[must_use]
    pub fn bars(&self, number: &str) -> Option<&NumberPattern> {
        if self.denied.is_empty() {
            return None;
        }
        let number = normalise(number);
        self.denied.iter().find(|pattern| pattern.matches(&number))
    }
}

/// Who pays for a call to the outside: the endpoint whose rights count, or its user for all of its phones; `None`: nobody but the site.
#[must_use]
pub fn payer<'a>(call: &'a Call, directory: &'a Directory) -> Option<&'a str> {
    match &call.caller {
        Caller::Endpoint(endpoint) => Some(directory.line_of(&endpoint.id)),
        Caller::Trunk(_) | Caller::Unknown => None,
    }
}

/// What an endpoint, or the site, has used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Calls to the outside now.
    pub calls: u32,
    /// Calls to the outside within the hour, of endpoints only.
    pub calls_in_hour: u32,
    /// Talk within the day, of endpoints only.
    pub talk_in_day: Duration,
    /// Talk since phones are here without their cloud.
    pub talk_in_outage: Duration,
}

/// The accounts of a site. As many as endpoints have called, and no more than the directory has.
#[derive(Debug, Default)]
pub struct Tolls {
    table: Mutex<Table>,
    /// Ceilings that have kept calls from being made, and that nobody was told of yet.
    bitten: AtomicU32,
}

#[derive(Debug, Default)]
struct Table {
    accounts: BTreeMap<Arc<str>, Account>,
    site: Account,
    outage: Option<Instant>,
    /// When the outage, begun before a restart, was last seen going on.
    resumed: Option<Instant>,
    /// The process ends: calls whose legs are dropped from now on stay up.
    leaving: bool,
    next: u64,
}

#[derive(Clone, Debug, Default)]
struct Account {
    /// Calls that are up, and since when somebody talks.
    calls: Vec<(u64, Option<Instant>)>,
    hour: Option<(Instant, u32)>,
    day: Option<(Instant, Duration)>,
    outage: Duration,
    /// Talks that the day and the outage have in them already, of calls that are taken up again after a restart, or, when one has come, still may be.
    talks: Vec<Talk>,
}

impl Account {
    fn usage(&self, now: Instant) -> Usage {
        let talking: Duration = self.calls.iter().filter_map(|(_, since)| Some(now.since((*since)?))).sum();
        Usage {
            calls: u32::try_from(self.calls.len()).unwrap_or(u32::MAX),
            calls_in_hour: self.hour.filter(|(began, _)| *began + HOUR > now).map_or(0, |(_, calls)| calls),
            talk_in_day: self.day.filter(|(began, _)| *began + DAY > now).map_or(Duration::ZERO, |(_, talk)| talk) + talking,
            talk_in_outage: self.outage + talking,
        }
    }

    /// `leaves`: its call goes on, without this process.
    fn end(&mut self, id: u64, leaves: bool, now: Instant) {
        let Some(place) = self.calls.iter().position(|(call, _)| *call == id) else { return };
        let (_, Some(since)) = self.calls.swap_remove(place) else { return };
        self.settle(since, leaves, now);
    }

    fn settle(&mut self, since: Instant, leaves: bool, now: Instant) {
        let talk = now.since(since);
        self.outage += talk;
        let day = self.day.filter(|(began, _)| *began + DAY > now);
        if day.is_none() {
            self.talks.iter_mut().for_each(|talk| talk.in_day = Duration::ZERO);
        }
        let (began, in_day) = day.unwrap_or((since, Duration::ZERO));
        self.day = Some((began, in_day + talk));
        if leaves {
            self.talks.push(Talk { answered: since, in_day: talk, in_outage: talk });
        }
    }

    fn outage_begins(&mut self) {
        self.outage = Duration::ZERO;
        self.talks.iter_mut().for_each(|talk| talk.in_outage = Duration::ZERO);
    }
}

impl Table {
    fn account(&mut self, payer: &str) -> &mut Account {
        if !self.accounts.contains_key(payer) {
            self.accounts.insert(payer.into(), Account::default());
        }
        self.accounts.entry(payer.into()).or_default()
    }

    fn outage_begins(&mut self, now: Instant) {
        self.accounts.values_mut().chain([&mut self.site]).for_each(Account::outage_begins);
        (self.outage, self.resumed) = (Some(now), None);
    }

    fn usage(&self, payer: &str, now: Instant) -> Usage {
        self.accounts.get(payer).map_or_else(Usage::default, |account| account.usage(now))
    }

    /// Whether minutes are used up.
    fn spent(&self, payer: Option<&str>, ceilings: &Ceilings, now: Instant) -> Option<Bite> {
        let day = payer.filter(|_| ceilings.talk_per_day.is_some()).map(|payer| self.usage(payer, now).talk_in_day);
        if ceilings.talk_per_day.zip(day).is_some_and(|(most, day)| day >= most) {
            return Some(Bite::TalkPerDay);
        }
        let site = ceilings.talk_per_outage.map(|most| self.site.usage(now).talk_in_outage >= most);
        site.filter(|spent| *spent).map(|_| Bite::TalkPerOutage)
    }

    fn refuses(&self, payer: Option<&str>, ceilings: &Ceilings, now: Instant) -> Option<Bite> {
        let reached = |most: Option<u32>, calls: u32| most.is_some_and(|most| calls >= most);
        if payer.is_some_and(|payer| reached(ceilings.calls_per_endpoint, self.usage(payer, now).calls)) {
            return Some(Bite::CallsPerEndpoint);
        }
        if reached(ceilings.calls_per_site, self.site.usage(now).calls) {
            return Some(Bite::CallsPerSite);
        }
        self.spent(payer, ceilings, now)
    }
}

impl Tolls {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bites(&self, bite: Bite) -> Bite {
        self.bitten.fetch_or(bite.bit(), Ordering::Relaxed);
        bite
    }

    /// Counts one call that a policy has sent to the outside.
    ///
    /// # Errors
    /// Which ceiling it would go beyond; then it is not counted.
    pub fn admit(&self, payer: Option<&str>, ceilings: &Ceilings, now: Instant) -> Result<(), Bite> {
        let mut table = self.table();
        if let Some(bite) = table.refuses(payer, ceilings, now) {
            return Err(self.bites(bite));
        }
        let Some(payer) = payer else { return Ok(()) };
        let account = table.account(payer);
        let (began, calls) = account.hour.filter(|(began, _)| *began + HOUR > now).unwrap_or((now, 0));
        if ceilings.calls_per_hour.is_some_and(|most| calls >= most) {
            return Err(self.bites(Bite::CallsPerHour));
        }
        account.hour = Some((began, calls.saturating_add(1)));
        Ok(())
    }

    /// A number is barred.
    pub fn barred(&self) -> Bite {
        self.bites(Bite::Denied)
    }

    /// A leg to a trunk begins.
    ///
    /// # Errors
    /// Which ceiling it would go beyond.
    pub fn begin(self: &Arc<Self>, payer: Option<&str>, ceilings: &Ceilings, now: Instant) -> Result<Toll, Bite> {
        let mut table = self.table();
        match table.refuses(payer, ceilings, now) {
            Some(bite) => Err(bite),
            None => Ok(self.enter(&mut table, payer, None, now)),
        }
    }

    /// A leg that was up before the gateway was restarted goes on, whatever the ceilings say now; somebody talks since `answered`. What its account has of that talk already
    /// is taken back: it counts from there again.
    #[must_use]
    pub fn resume(self: &Arc<Self>, payer: Option<&str>, answered: Option<Instant>, now: Instant) -> Toll {
        let mut table = self.table();
        if let Some(answered) = answered {
            let Table { accounts, site, .. } = &mut *table;
            let account = payer.and_then(|payer| accounts.get_mut(payer));
            account.into_iter().chain([site]).for_each(|account| account.take_back(answered));
        }
        self.enter(&mut table, payer, answered, now)
    }

    fn enter(self: &Arc<Self>, table: &mut Table, payer: Option<&str>, answered: Option<Instant>, now: Instant) -> Toll {
        table.next += 1;
        let id = table.next;
        table.site.calls.push((id, answered));
        if let Some(payer) = payer {
            table.account(payer).calls.push((id, answered));
        }
        Toll { tolls: Arc::clone(self), payer: payer.map(Into::into), id, answered, looked: now, seen: now }
    }

    /// What an endpoint has used.
    #[must_use]
    pub fn usage(&self, endpoint: &str, now: Instant) -> Usage {
        self.table().usage(endpoint, now)
    }

    /// What the site has used.
    #[must_use]
    pub fn usage_of_site(&self, now: Instant) -> Usage {
        self.table().site.usage(now)
    }

    /// A phone has registered; `first`: none was registered. Then phones are without their cloud again, unless it is still the outage in which the gateway was restarted.
    pub fn registered(&self, first: bool, now: Instant) {
        let mut table = self.table();
        if table.outage.is_none() || first && table.still_lasts(now).is_none() {
            table.outage_begins(now);
        }
    }

    /// Since when phones are here without their cloud, as far as is known; whether they still are, the registrar knows.
    #[must_use]
    pub fn outage(&self) -> Option<Instant> {
        self.table().outage
    }

    /// Which ceilings have kept calls from being made since this was asked last. Those that bite later are told as [`crate::bridge::Effect::Limit`].
    pub fn bitten(&self) -> impl Iterator<Item = Bite> + use<> {
        // Nearly always none has, and a load costs nothing.
        let bits = if self.bitten.load(Ordering::Relaxed) == 0 { 0 } else { self.bitten.swap(0, Ordering::Relaxed) };
        Bite::ALL.into_iter().filter(move |bite| bits & bite.bit() != 0)
    }

    /// Forgets accounts without calls that `keep` refuses.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) {
        self.table().accounts.retain(|endpoint, account| !account.calls.is_empty() || keep(endpoint));
    }
}

/// One leg to the outside that is being paid for, until it is dropped.
#[derive(Debug)]
pub struct Toll {
    tolls: Arc<Tolls>,
    payer: Option<Arc<str>>,
    id: u64,
    answered: Option<Instant>,
    /// When what it costs was looked at last.
    looked: Instant,
    /// Until when it is known to last.
    seen: Instant,
}

impl Toll {
    /// Somebody talks.
    pub fn answered(&mut self, now: Instant) {
        if self.answered.is_some() {
            return;
        }
        self.answered = Some(now);
        self.looked = now;
        let mut table = self.tolls.table();
        let Table { accounts, site, .. } = &mut *table;
        let account = self.payer.as_ref().and_then(|payer| accounts.get_mut(payer));
        for call in account.into_iter().chain([site]).flat_map(|account| &mut account.calls).filter(|(id, _)| *id == self.id) {
            call.1 = Some(now);
        }
    }

    /// When it is to be looked at again.
    #[must_use]
    pub fn due(&self, ceilings: &Ceilings) -> Option<Instant> {
        let ends = ceilings.longest_call.and_then(|longest| Some(self.answered? + longest));
        // Whose parties are just changing cannot be ended, and is looked at again.
        let ends = ends.map(|ends| if self.looked < ends { ends } else { self.looked + LOOK_EVERY });
        let budget = ceilings.talk_per_day.is_some() || ceilings.talk_per_outage.is_some();
        let look = self.answered.filter(|_| budget).map(|_| self.looked + LOOK_EVERY);
        ends.into_iter().chain(look).min()
    }

    /// Looks at it: which ceiling ends it now.
    pub fn look(&mut self, ceilings: &Ceilings, now: Instant) -> Option<Bite> {
        let answered = self.answered?;
        self.looked = now;
        if ceilings.longest_call.is_some_and(|longest| now.since(answered) >= longest) {
            return Some(Bite::LongestCall);
        }
        self.tolls.table().spent(self.payer.as_deref(), ceilings, now)
    }

    /// It lasts until now, at least.
    pub const fn runs_until(&mut self, now: Instant) {
        self.seen = now;
    }
}

impl Drop for Toll {
    fn drop(&mut self) {
        let mut table = self.tolls.table();
        let Table { accounts, site, leaving, .. } = &mut *table;
        let account = self.payer.as_ref().and_then(|payer| accounts.get_mut(payer));
        for account in account.into_iter().chain([site]) {
            account.end(self.id, *leaving, self.seen);
        }
    }
}

#[cfg(test)]
mod tests;
