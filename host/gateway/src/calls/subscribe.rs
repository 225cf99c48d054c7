//! The script of a SUBSCRIBE, and the subscriptions of one shard (RFC 6665): `dialog` and `message-summary`; every other package is refused by name.
//!
//! A subscription lives on the shard of its Call-ID. What it watches stands in [`switch::lines`]; whoever changes that wakes this shard.

use super::{
    exchange::News,
    setup::{self, No, Replies},
    shard::Shard,
};
use sip::{
    Instant, Message,
    build::Writer,
    header::Name,
    stack::{ClientId, Effect},
    transport::Flow,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};
use switch::{
    decision::Refusal,
    directory::{Directory, Endpoint},
    extension,
    facts::CallKind,
    intake::{self, Identity},
    subscription::{Full, Package, Span, Subscription},
};

type Key = u64;

/// The subscriptions of one shard. Tags are made here at random, so that no peer can choose keys that collide.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    subscriptions: BTreeMap<Key, Entry>,
    next: Key,
    by_tag: HashMap<Box<[u8]>, Key>,
    /// NOTIFYs on the way.
    by_client: HashMap<ClientId, Key>,
    by_line: HashMap<Arc<str>, BTreeSet<Key>>,
    timers: BTreeSet<(Instant, Key)>,
}

#[derive(Debug)]
struct Entry {
    subscription: Subscription,
    armed: Option<Instant>,
}

impl Watchers {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }
}

/// Subscribes, or answers why not.
pub(super) fn subscribe(
    shard: &mut Shard,
    replies: &mut Replies,
    message: &Message,
    flow: Flow,
    now: Instant,
    more: &mut Vec<Effect>,
) -> Result<(), No> {
    let Some(package) = Package::of(message.header(Name::Event).unwrap_or_default()) else {
        // RFC 6665 4.2.1.1: 489 names what there is.
        let tag = shard.random.token();
        let mut writer = Writer::response(message, 489, "Bad Event", Some(tag.as_str()));
        writer.header(Name::AllowEvents, Package::NAMES);
        replies.add(writer.finish_response(b""));
        return Ok(());
    };
    let directory = shard.parts.site.directory();
    let watcher = match intake::authenticate(message, flow, &shard.parts.site, &shard.parts.authenticator, now) {
        Identity::Endpoint(endpoint) => endpoint,
        Identity::Challenge { stale } => return Err(No::Challenge { stale }),
        Identity::Refused(refusal) => return Err(refusal.into()),
        Identity::Trunk(name) => return Err(Refusal::new(403, "Forbidden", format!("trunk {name} may not subscribe")).into()),
    };
    if let Some(unknown) = extension::unsupported(message, true) {
        return Err(No::Extensions(unknown));
    }
    let span = match Span::read(message, &shard.parts.site.limits) {
        Span::TooBrief(least) => {
            let tag = shard.random.token();
            let mut writer = Writer::response(message, 423, "Interval Too Brief", Some(tag.as_str()));
            writer.number(Name::MinExpires, least);
            replies.add(writer.finish_response(b""));
            return Ok(());
        }
        span => span,
    };
    let key = if message.to().is_some_and(|to| to.tag().is_some()) {
        refresh(shard, message, flow, &watcher, span, now)?
    } else {
        begin(shard, message, flow, &directory, package, &watcher, span, now)?
    };
    let Some(entry) = shard.watchers.subscriptions.get(&key) else { return Ok(()) };
    replies.add(entry.subscription.accepted(message, span));
    // RFC 6665 4.2.1.2: the NOTIFY follows the 200.
    for response in replies.take() {
        shard.stack.respond(replies.id, response, now, more);
    }
    shard.settle(key, now, more);
    Ok(())
}

/// RFC 6665 4.2.1: a SUBSCRIBE in the dialog of a subscription.
fn refresh(shard: &mut Shard, message: &Message, flow: Flow, watcher: &Endpoint, span: Span, now: Instant) -> Result<Key, No> {
    let unknown = || No::from(Refusal::new(481, "Subscription Does Not Exist", "a SUBSCRIBE in a dialog that nobody has"));
    let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
    let key = shard.watchers.by_tag.get(tag).copied().ok_or_else(unknown)?;
    let subscription = shard.watchers.subscriptions.get_mut(&key).map(|entry| &mut entry.subscription);
    let subscription = subscription.filter(|known| known.owns(message) && known.watcher() == watcher.id).ok_or_else(unknown)?;
    if !subscription.refresh(message, flow, span, now) {
        return Err(Refusal::new(500, "CSeq Out Of Order", "a SUBSCRIBE out of order").into());
    }
    Ok(key)
}

#[expect(clippy::too_many_arguments, reason = "a SUBSCRIBE and who it is from")]
fn begin(
    shard: &mut Shard,
    message: &Message,
    flow: Flow,
    directory: &Directory,
    package: Package,
    watcher: &Arc<Endpoint>,
    span: Span,
    now: Instant,
) -> Result<Key, No> {
    let site = shard.parts.site.clone();
    if !accepts(message, package) {
        return Err(
            Refusal::new(406, "Not Acceptable", format!("a subscriber of {} that does not accept its documents", package.name())).into()
        );
    }
    let watched = watched(message, directory, package, watcher)?;
    let watched = directory.endpoint(directory.line_of(&watched.id)).cloned().unwrap_or(watched);
    if package == Package::Dialog {
        if !watcher.enabled {
            return Err(Refusal::new(403, "Disabled", format!("endpoint `{}` is disabled", watcher.id)).into());
        }
        if site.registrar.emergency_only(&watcher.id, now) {
            let detail = format!("endpoint `{}` is registered without a licence seat", watcher.id);
            return Err(Refusal::new(403, "Emergency Calls Only", detail).into());
        }
    }
    let limits = &site.limits;
    let place =
        site.subscriptions.take(&watcher.id, limits.subscriptions_per_endpoint, limits.subscriptions).map_err(|full| match full {
            Full::Endpoint => {
                shard.parts.observer.dropped(now, flow, "subscriptions-per-endpoint");
                let detail = format!(
                    "{} subscriptions of endpoint `{}` (limits.subscriptions_per_endpoint)",
                    limits.subscriptions_per_endpoint, watcher.id
                );
                Refusal::new(403, "Too Many Subscriptions", detail)
            }
            Full::Site => {
                shard.parts.observer.dropped(now, flow, "subscriptions");
                Refusal::new(
                    503,
                    "Too Many Subscriptions",
                    format!("{} subscriptions on the site (limits.subscriptions)", limits.subscriptions),
                )
            }
        })?;
    let tag = shard.random.token();
    let subscription = Subscription::new(message, tag.as_str(), flow, package, watcher, &watched, &directory.domain, span, place, now)
        .ok_or_else(|| Refusal::new(400, "Missing Contact", "the SUBSCRIBE has no Contact to notify"))?;
    let line = Arc::clone(subscription.line());
    if site.lines.watch(&line, shard.parts.index) {
        // Calls that are up already are shown from now on: those of this shard at once, those of others as soon as they hear of it.
        shard.show_all_of(&line);
        shard.parts.exchange.show_line(shard.parts.index, &line);
    }
    let key = shard.watchers.next;
    shard.watchers.next += 1;
    shard.watchers.by_tag.insert(subscription.tag().into(), key);
    shard.watchers.by_line.entry(line).or_default().insert(key);
    shard.watchers.subscriptions.insert(key, Entry { subscription, armed: None });
    Ok(key)
}

/// Whose calls, or mailbox: that of the Request-URI for `dialog`; one's own for `message-summary`, whatever mailbox the phone has been told to ask.
fn watched(message: &Message, directory: &Directory, package: Package, watcher: &Arc<Endpoint>) -> Result<Arc<Endpoint>, No> {
    if package == Package::MessageSummary {
        return Ok(Arc::clone(watcher));
    }
    let uri = message.uri().ok_or_else(|| Refusal::new(400, "Bad Request-URI", "a SUBSCRIBE with an unreadable Request-URI"))?;
    match intake::read_target(&uri, directory)? {
        (CallKind::Normal, user) => {
            directory.by_user(&user).cloned().ok_or_else(|| Refusal::new(404, "Not Found", format!("nobody to watch at `{user}`")).into())
        }
        _ => Err(Refusal::new(404, "Not Found", "a SUBSCRIBE for a number of the emergency services").into()),
    }
}

/// RFC 6665 3.1.3: without Accept, the package's own type is meant.
fn accepts(message: &Message, package: Package) -> bool {
    let mut any = false;
    for value in message.values(Name::Accept) {
        any = true;
        let kind = value.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
        if kind.eq_ignore_ascii_case(package.content_type().as_bytes()) || matches!(kind, b"*/*" | b"application/*") {
            return true;
        }
    }
    !any
}

/// A trunk says, outside of any dialog, what waits in a mailbox (RFC 3842 4.4: voice mail on another server): whoever owns the number and has subscribed is told.
pub(super) fn mail(shard: &mut Shard, replies: &mut Replies, message: &Message, flow: Flow, now: Instant) {
    if let Err(no) = pass_on(shard, message, flow, now) {
        return setup::refuse(shard, replies, message, no, now);
    }
    let tag = shard.random.token();
    replies.add(Writer::response(message, 200, "OK", Some(tag.as_str())).finish_response(b""));
}

/// Octets of one summary: RFC 3842 documents are a few lines.
const SUMMARY_MAX: usize = 2048;

fn pass_on(shard: &Shard, message: &Message, flow: Flow, now: Instant) -> Result<(), No> {
    let directory = shard.parts.site.directory();
    if Package::of(message.header(Name::Event).unwrap_or_default()) != Some(Package::MessageSummary)
        || shard.parts.site.trunk_from(flow).is_none()
    {
        return Err(Refusal::new(481, "Subscription Does Not Exist", "a NOTIFY that nobody has asked for").into());
    }
    let call = intake::read_call(message, flow, &directory, now)?;
    let owner = directory.by_user(&call.called).filter(|_| call.kind == CallKind::Normal);
    let owner =
        owner.ok_or_else(|| Refusal::new(404, "Not Found", format!("nobody here has the number `{}` of a mailbox", call.called)))?;
    if message.body().len() > SUMMARY_MAX {
        return Err(Refusal::new(513, "Message Too Large", format!("a message summary of {} octets", message.body().len())).into());
    }
    let line = directory.line_of(&owner.id);
    for shard_index in shard.parts.site.lines.set_mail(line, message.body()) {
        shard.parts.exchange.line_changed(shard_index, line);
    }
    Ok(())
}

impl Shard {
    /// A NOTIFY was answered, or (`None`) was not; `false` when it was none.
    pub(super) fn answer_notify(&mut self, id: ClientId, answer: Option<&Message>, now: Instant, more: &mut Vec<Effect>) -> bool {
        let Some(key) = self.watchers.by_client.get(&id).copied() else { return false };
        if answer.is_some_and(|answer| answer.status() < 200) {
            return true;
        }
        self.watchers.by_client.remove(&id);
        if let Some(entry) = self.watchers.subscriptions.get_mut(&key) {
            entry.subscription.answered(answer.map(Message::status));
            self.settle(key, now, more);
        }
        true
    }

    /// What is due of the subscriptions.
    pub(super) fn expire_subscriptions(&mut self, now: Instant, more: &mut Vec<Effect>) {
        while let Some((at, key)) = self.watchers.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.watchers.timers.remove(&(at, key));
            if let Some(entry) = self.watchers.subscriptions.get_mut(&key) {
                entry.armed = None;
            }
            self.settle(key, now, more);
        }
    }

    /// What other calls and shards have made known about lines.
    pub(super) fn read_news(&mut self, now: Instant, more: &mut Vec<Effect>) {
        let News { changed, show } = self.parts.exchange.news(self.parts.index);
        for line in show {
            self.show_all_of(&line);
        }
        for line in changed {
            let keys: Vec<Key> = self.watchers.by_line.get(&line).into_iter().flatten().copied().collect();
            for key in keys {
                if let Some(entry) = self.watchers.subscriptions.get_mut(&key) {
                    entry.subscription.changed();
                    self.settle(key, now, more);
                }
            }
        }
    }

    /// Sends what is due of one subscription, forgets one that is over, and sets its clock.
    fn settle(&mut self, key: Key, now: Instant, more: &mut Vec<Effect>) {
        let Some(entry) = self.watchers.subscriptions.get_mut(&key) else { return };
        if let Some((notify, flow)) = entry.subscription.notify(&self.parts.site.lines, now) {
            let client = self.stack.request(notify, flow, now, more);
            self.watchers.by_client.insert(client, key);
        }
        let deadline = entry.subscription.deadline();
        if entry.armed != deadline {
            if let Some(armed) = entry.armed {
                self.watchers.timers.remove(&(armed, key));
            }
            self.watchers.timers.extend(deadline.map(|at| (at, key)));
            entry.armed = deadline;
        }
        if !entry.subscription.over() {
            return;
        }
        let line = Arc::clone(entry.subscription.line());
        self.watchers.by_tag.remove(entry.subscription.tag());
        self.watchers.subscriptions.remove(&key);
        if let Some(keys) = self.watchers.by_line.get_mut(&line) {
            keys.remove(&key);
            if keys.is_empty() {
                self.watchers.by_line.remove(&line);
            }
        }
        self.parts.site.lines.unwatch(&line, self.parts.index);
    }
}
