//! Whoever must know of a call for help is told, at the moment when it goes out (47 U.S.C. 623(c), Kari's Law): by SIP MESSAGE, by a ringing desk, over HTTP,
//! by e-mail.
//!
//! A shard hands a few words over ([`Observer::calls_for_help`]) and goes on with the call; from then on nothing here is on the call's way: not the file in
//! which alarms are kept until they are acknowledged (`book`), not a name that does not resolve, not a server that is dead. Each way of each alarm is a
//! task of its own, which tries until it has told, somebody has acknowledged the alarm, or a day is over.
//!
//! The same call raises one alarm, by its Call-ID: after a restart, whatever had not been told is told, and calls for help that go on are reported again.

mod alarm;
mod book;
mod mail;
#[cfg(test)]
mod tests;
mod webhook;

pub use alarm::{Acknowledged, Alarm, Kind, Raised, Told, Who};

use crate::{
    calls::{Exchange, Followed, Observer, Stage, Words},
    clock::Clock,
    config::{
        Limits,
        notify::{By, Way},
    },
    observe::Counters,
};
use anyhow::{Context as _, anyhow, bail};
use arc_swap::ArcSwap;
use book::{Book, Shared};
use sip::Instant;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use switch::{
    bridge::{Announced, Order},
    decision::Refusal,
    facts::Call,
    site::Site,
};
use tokio::{
    sync::{Semaphore, mpsc, oneshot, watch},
    time::timeout,
};

/// The first pause after an attempt that failed; each is twice as long as the one before, up to the limit `notify_pause_seconds`.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long whoever acknowledges waits for the disk.
const DISK: Duration = Duration::from_secs(2);

/// Tells whoever must know.
pub struct Notifier {
    inbox: mpsc::Sender<Raised>,
    alarms: Shared,
    book: Book,
    ways: ArcSwap<Vec<Way>>,
    /// Attempts at a time, by way.
    turns: Mutex<BTreeMap<String, Arc<Semaphore>>>,
    /// What has come of attempts, by way: told, failed.
    counted: Mutex<BTreeMap<String, (u64, u64)>>,
    /// Counts changes of alarms, for whoever waits for one.
    changed: watch::Sender<u64>,
    limits: Limits,
    clock: Clock,
    counters: Arc<Counters>,
    way_out: OnceLock<(Arc<Exchange>, Arc<Site>)>,
}

/// What is raised waits here for [`Notifier::run`].
pub struct Inbox(mpsc::Receiver<Raised>);

impl Notifier {
    /// Takes up the alarms that are kept in `folder`.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn open(folder: &Path, ways: &[Way], limits: Limits, clock: Clock, counters: Arc<Counters>) -> anyhow::Result<(Arc<Self>, Inbox)> {
        let (book, alarms) = Book::open(folder, limits.alarms, Arc::clone(&counters))?;
        let (inbox, raised) = mpsc::channel(limits.alarms);
        let notifier = Self {
            inbox,
            alarms,
            book,
            ways: ArcSwap::from_pointee(ways.to_vec()),
            turns: Mutex::default(),
            counted: Mutex::default(),
            changed: watch::channel(0).0,
            limits,
            clock,
            counters,
            way_out: OnceLock::new(),
        };
        Ok((Arc::new(notifier), Inbox(raised)))
    }

    /// From now on these are the ways; also for what has not been told yet.
    pub fn take_ways(&self, ways: Vec<Way>) {
        self.ways.store(Arc::new(ways));
    }

    /// Tells what is raised, until the gateway ends. In a runtime.
    pub async fn run(self: Arc<Self>, mut inbox: Inbox, exchange: Arc<Exchange>, site: Arc<Site>) {
        // Nobody else sets it.
        let _set = self.way_out.set((exchange, Arc::clone(&site)));
        let open: Vec<u64> = self.alarms.lock().kept.values().filter(|alarm| alarm.is_open()).map(|alarm| alarm.number).collect();
        for number in open {
            self.tell(number);
        }
        while let Some(raised) = inbox.0.recv().await {
            self.raise(raised, &site);
        }
    }

    /// Raises an alarm; `None`: its call has raised one.
    fn raise(self: &Arc<Self>, raised: Raised, site: &Site) -> Option<u64> {
        let directory = site.directory();
        let Raised { kind, call_id, at, dialled, caller, location, callback, trunk } = raised;
        let address = location.as_deref().and_then(|name| directory.location(name)?.address.clone());
        let callback = callback.unwrap_or_else(|| caller.number.clone());
        let alarm = Alarm {
            number: 0,
            kind,
            call_id,
            at: at.unix_micros(),
            dialled,
            caller,
            location,
            address,
            callback,
            trunk,
            told: BTreeMap::new(),
            acknowledged: None,
        };
        let (number, gone) = {
            let mut alarms = self.alarms.lock();
            if alarms.knows(&alarm.call_id) {
                return None;
            }
            alarms.add(alarm.clone())
        };
        self.book.write(number, None);
        if gone.iter().any(Alarm::is_open) {
            self.counters.limit("alarm-forgotten", || {
                "an alarm that nobody has acknowledged had to make room for another: limit `alarms`, and `holdfast alarm list`".to_owned()
            });
        }
        let text = Alarm { number, ..alarm }.text().replace("\r\n", "; ");
        if kind.is_test() {
            tracing::info!(alarm = number, "{text}");
        } else {
            self.counters.count("alarm");
            tracing::warn!(alarm = number, "{text}");
        }
        self.tell(number);
        Some(number)
    }

    /// Begins to tell an alarm in every way in which it was not told.
    fn tell(self: &Arc<Self>, number: u64) {
        let Some(alarm) = self.alarm(number) else { return };
        for way in self.ways.load().iter() {
            let wanted = way.tests || alarm.kind != Kind::EmergencyTest;
            let told = alarm.told.get(&way.name).is_some_and(|told| told.at.is_some());
            if wanted && !told {
                if let Some(alarm) = self.alarms.lock().kept.get_mut(&number) {
                    alarm.told.entry(way.name.clone()).or_default();
                }
                tokio::spawn(Arc::clone(self).keep_telling(number, way.name.clone()));
            }
        }
    }

    /// Tells an alarm in one way, until that has worked or nobody needs it any more.
    async fn keep_telling(self: Arc<Self>, number: u64, name: String) {
        let mut pause = FIRST_PAUSE;
        // Extensions that have their message.
        let mut done = BTreeSet::new();
        let mut changed = self.changed.subscribe();
        loop {
            let turn = self.turn(&name);
            let Ok(permit) = turn.acquire().await else { return };
            // As it is now: the file may have been changed, and the alarm acknowledged.
            let way = self.ways.load().iter().find(|way| way.name == name).cloned();
            let (Some(way), Some(alarm)) = (way, self.alarm(number).filter(|alarm| self.wanted(alarm))) else { return };
            let attempt = tokio::select! {
                attempt = self.attempt(&way, &alarm, &mut done) => attempt,
                () = self.over(number) => return,
            };
            drop(permit);
            let worked = self.note(number, &name, attempt);
            if worked || alarm.kind == Kind::NotificationTest {
                return;
            }
            let until = tokio::time::sleep(pause);
            tokio::pin!(until);
            loop {
                tokio::select! {
                    () = &mut until => break,
                    seen = changed.changed() => {
                        if seen.is_err() || self.alarm(number).is_none_or(|alarm| !self.wanted(&alarm)) {
                            return;
                        }
                    }
                }
            }
            pause = (pause * 2).min(self.limits.notify_pause);
        }
    }

    /// Whether it still makes sense to tell this.
    fn wanted(&self, alarm: &Alarm) -> bool {
        let age = self.clock.now().since(Instant::from_unix_micros(alarm.at));
        alarm.acknowledged.is_none() && age < self.limits.notify_for
    }

    /// Resolves when nobody needs to be told any more.
    async fn over(&self, number: u64) {
        let mut changed = self.changed.subscribe();
        while self.alarm(number).is_some_and(|alarm| alarm.acknowledged.is_none()) {
            if changed.changed().await.is_err() {
                return;
            }
        }
    }

    fn turn(&self, name: &str) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(self.limits.notify_attempts))))
    }

    async fn attempt(&self, way: &Way, alarm: &Alarm, done: &mut BTreeSet<String>) -> anyhow::Result<()> {
        let most = self.limits.notify_attempt;
        let late = || format!("no answer within {} s", most.as_secs());
        match &way.by {
            By::Message { to } => {
                let mut wrong = Vec::new();
                for to in to {
                    if done.contains(to) {
                        continue;
                    }
                    match timeout(most, self.write_to(to, alarm)).await.with_context(late).flatten() {
                        Ok(()) => drop(done.insert(to.clone())),
                        Err(why) => wrong.push(format!("{to}: {why:#}")),
                    }
                }
                if wrong.is_empty() { Ok(()) } else { bail!("{}", wrong.join("; ")) }
            }
            By::Call { to, connect } => {
                timeout(self.limits.site.ring_total + most, self.ring(to, *connect, alarm)).await.with_context(late)?
            }
            By::Webhook { url, token, authorities } => {
                timeout(most, webhook::post(url, token.as_ref(), authorities.as_deref(), alarm)).await.with_context(late)?
            }
            By::Mail(mail) => timeout(most, mail::send(mail, alarm, most)).await.with_context(late)?,
        }
    }

    /// Writes to the phones of an extension.
    async fn write_to(&self, to: &str, alarm: &Alarm) -> anyhow::Result<()> {
        let (exchange, _) = self.way_out.get().context("the gateway is starting")?;
        let words = Words { to: to.to_owned(), number: shown(alarm), name: alarm.headline(), text: alarm.text() };
        match exchange.write(words).await.context("the gateway is ending")? {
            Ok(200..300) => Ok(()),
            Ok(status) => bail!("answered {status}"),
            Err(refusal) => bail!("{}", refusal.detail),
        }
    }

    /// Rings the phones of an extension; told is who answers.
    async fn ring(&self, to: &str, connect: bool, alarm: &Alarm) -> anyhow::Result<()> {
        let (exchange, site) = self.way_out.get().context("the gateway is starting")?;
        let announced = Announced { name: alarm.headline(), subject: alarm.subject(), urgent: !alarm.kind.is_test() };
        // Only a phone of the site can be called back from here.
        let known = site.directory().by_extension(&alarm.caller.number).is_some();
        let followed = if connect && known && alarm.kind != Kind::NotificationTest {
            let order = Order { from: to.to_owned(), to: alarm.caller.number.clone(), auto_answer: false, announced: Some(announced) };
            let placed = exchange.place(order).await.context("the gateway is ending")?;
            placed.and_then(|call_id| match exchange.placed(&call_id) {
                Some(stage) => Ok(Followed { call_id, stage }),
                None => Err(Refusal::new(503, "Service Unavailable", "the call was forgotten at once")),
            })
        } else {
            exchange.announce(to.to_owned(), shown(alarm), announced).await.context("the gateway is ending")?
        };
        let Followed { call_id, mut stage } = followed.map_err(|refusal| anyhow!("{}", refusal.detail))?;
        let mut ringing = Ringing { exchange, call_id };
        let stands = stage.wait_for(|stage| *stage != Stage::Calling).await.context("the gateway is ending")?.clone();
        match stands {
            Stage::Calling | Stage::Reached | Stage::Talking { .. } | Stage::Ended { status: 200, .. } => {
                // Somebody has taken it: it is his to end.
                ringing.call_id.clear();
                Ok(())
            }
            Stage::Ended { status, cause } => bail!("{status} {cause}"),
        }
    }

    /// Writes down what came of an attempt. `true`: it has worked.
    fn note(&self, number: u64, name: &str, attempt: anyhow::Result<()>) -> bool {
        let worked = attempt.is_ok();
        {
            let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
            let (told, failed) = counted.entry(name.to_owned()).or_default();
            *(if worked { told } else { failed }) += 1;
        }
        if let Some(alarm) = self.alarms.lock().kept.get_mut(&number) {
            let told = alarm.told.entry(name.to_owned()).or_default();
            told.attempts = told.attempts.saturating_add(1);
            told.error = attempt.as_ref().err().map(|error| format!("{error:#}"));
            told.at = worked.then(|| self.clock.now().unix_micros());
        }
        match attempt {
            Ok(()) => {
                tracing::info!(alarm = number, way = name, "told");
                self.book.write(number, None);
            }
            Err(error) => self
                .counters
                .limit("notify-failed", || format!("alarm {number} could not be told by `{name}`, and is tried again: {error:#}")),
        }
        self.changed.send_modify(|changes| *changes = changes.wrapping_add(1));
        worked
    }

    /// The alarms, oldest first.
    #[must_use]
    pub fn alarms(&self) -> Vec<Alarm> {
        self.alarms.lock().kept.values().cloned().collect()
    }

    /// One of them.
    #[must_use]
    pub fn alarm(&self, number: u64) -> Option<Alarm> {
        self.alarms.lock().kept.get(&number).cloned()
    }

    /// What has come of attempts to tell, by way: told, failed.
    #[must_use]
    pub fn counted(&self) -> Vec<(String, u64, u64)> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let ways = self.ways.load();
        let none = (0, 0);
        ways.iter().map(|way| (way.name.clone(), counted.get(&way.name).unwrap_or(&none))).map(|(name, n)| (name, n.0, n.1)).collect()
    }

    /// Somebody has seen an alarm. `None`: there is none of that number; else the alarm, and whether that is on disk.
    pub async fn acknowledge(&self, number: u64, by: &str) -> Option<(Alarm, bool)> {
        let alarm = {
            let mut alarms = self.alarms.lock();
            let alarm = alarms.kept.get_mut(&number)?;
            let at = self.clock.now().unix_micros();
            alarm.acknowledged.get_or_insert_with(|| Acknowledged { by: by.to_owned(), at });
            alarm.clone()
        };
        self.changed.send_modify(|changes| *changes = changes.wrapping_add(1));
        tracing::info!(alarm = number, by, "alarm acknowledged");
        let (done, kept) = oneshot::channel();
        self.book.write(number, Some(done));
        let kept = matches!(timeout(DISK, kept).await, Ok(Ok(true)));
        Some((alarm, kept))
    }

    /// Tries every way once, with an alarm that says that it is a test. Its number.
    pub fn try_ways(self: &Arc<Self>, by: &str) -> Option<u64> {
        let (_, site) = self.way_out.get()?;
        let now = self.clock.now();
        let raised = Raised {
            kind: Kind::NotificationTest,
            call_id: format!("test-{}", now.unix_micros()),
            at: now,
            dialled: String::new(),
            caller: Who { name: by.to_owned(), ..Who::default() },
            location: None,
            callback: None,
            trunk: None,
        };
        self.raise(raised, site)
    }

    /// An alarm, once every way has been tried or `patience` is over; `None`: there is none of that number.
    pub async fn outcome(&self, number: u64, patience: Duration) -> Option<Alarm> {
        let mut changed = self.changed.subscribe();
        let tried = async {
            while self.alarm(number).is_some_and(|alarm| alarm.told.values().any(|told| told.attempts == 0)) {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        };
        let _late = timeout(patience, tried).await.is_err();
        self.alarm(number)
    }
}

/// A desk that rings. Dropped, it stops: somebody has acknowledged the alarm elsewhere.
struct Ringing<'a> {
    exchange: &'a Exchange,
    call_id: String,
}

impl Drop for Ringing<'_> {
    fn drop(&mut self) {
        if !self.call_id.is_empty() {
            // Nobody waits for the answer.
            drop(self.exchange.hang_up(std::mem::take(&mut self.call_id)));
        }
    }
}

/// The number under which the desk reaches whoever called for help.
fn shown(alarm: &Alarm) -> String {
    if alarm.caller.number.is_empty() { alarm.callback.clone() } else { alarm.caller.number.clone() }
}

impl Observer for Notifier {
    fn calls_for_help(&self, call: &Call, shown: Option<&str>, trunk: Option<&str>) {
        let Some(raised) = Raised::of(call, shown, trunk) else { return };
        if self.inbox.try_send(raised).is_err() {
            self.counters.limit("alarm-lost", || "nobody is told of a call for help: too many at a time (limit `alarms`)".to_owned());
        }
    }
}
