//! The reference model: what must be true of a gateway, told from nothing but the wire and what the phones themselves believe.
//!
//! It knows which calls must exist: a call that talks goes on until one of its phones has said or done something that ends it, and then it ends for all. It
//! knows which answers are owed. Times are those of RFC 3261 with a margin: what is wrong for longer than a peer may need to find out is a fault.

use super::{
    bound::{Binding, Bound},
    invariant::{Broken, Invariant},
};
use gateway::calls::Tables;
use sip::{Instant, Limits, Message, header::Name, message::Method};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    time::Duration,
};
use switch::{
    bridge::{DialogId, Sight},
    facts::CallKind,
    record::{CallRecord, LegRecord},
};

/// An INVITE outside a dialog has its answer when a call has rung for as long as it may (180 s).
const ANSWER_OUTSIDE: Duration = Duration::from_secs(185);
/// One inside a dialog: timer C of the leg, a CANCEL and 64*T1.
const ANSWER_INSIDE: Duration = Duration::from_secs(225);
/// In this time a peer that lives has heard of everything: 60 s in which a gateway that was started again has asked everybody, 32 s until a phone has a
/// connection again or is given up, and the slowest network.
const HEARD: Duration = Duration::from_secs(110);
/// In this time a peer that is gone has been found out: it is asked every 300 s.
const FOUND_OUT: Duration = Duration::from_secs(390);
/// How long a phone may ring: the whole call's time and a CANCEL.
const RINGS: Duration = Duration::from_secs(260);
/// Counters that two parts of the gateway keep may differ while a letter is on its way between shards.
const ON_ITS_WAY: Duration = Duration::from_secs(5);
/// So long the gateway repeats the BYE of a call that is over: until the phone has a connection, and then 64*T1.
const LAST_WORDS: Duration = Duration::from_secs(80);
/// What one call may keep in lists. Limits of the gateway stop long before: forks, stages, forwards, transfers.
const KEPT_MAX: usize = 1200;
/// Tags of one call.
const TAGS_MAX: usize = 400;

/// What a phone did, or what befell it, in one dialog.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// It sent BYE.
    pub(super) bye: bool,
    /// It sent CANCEL.
    pub(super) cancel: bool,
    /// It said 408 or 481 inside.
    pub(super) denied: bool,
    /// It lost power, or moved.
    pub(super) gone: bool,
    /// Its connection was lost for a while, in which it may have left.
    pub(super) shaken: bool,
    /// It is a call for help: nobody had to prove who he is, so nobody can be found again.
    pub(super) help: bool,
    /// Its phone can be found again by its registration, until then.
    pub(super) bound_until: Option<Instant>,
    /// Somebody put malformed messages into it.
    pub(super) disturbed: bool,
}

impl Facts {
    /// Its connection was lost, and then its registration, before anybody had to look for it.
    fn lost_for_good(&self, now: Instant) -> bool {
        self.bound_until.is_some_and(|until| until < now)
    }
}

/// A call as a phone sees it.
pub(super) struct Held {
    pub(super) phone: usize,
    pub(super) call_id: Vec<u8>,
    pub(super) own_tag: Vec<u8>,
    pub(super) other_tag: Vec<u8>,
    pub(super) up: bool,
    pub(super) hanging_up: bool,
    pub(super) rings: bool,
}

/// What the gateway is at one moment.
pub(super) struct State {
    pub(super) sights: Vec<Sight>,
    pub(super) tables: Vec<Tables>,
    pub(super) orphans: usize,
    pub(super) endless: usize,
    /// Channels in use by the counter of the trunks.
    pub(super) channels: usize,
    /// Seats taken by the ledger, and endpoints that are registered with one.
    pub(super) seats: (usize, usize),
    /// Server transactions of each shard.
    pub(super) servers: Vec<usize>,
    /// Every binding.
    pub(super) bound: BTreeSet<Binding>,
}

/// What happened, so that a run in which nothing does is not taken for a good one.
#[derive(Clone, Debug, Default)]
pub struct Counts(pub BTreeMap<&'static str, u64>);

impl Counts {
    pub(super) fn add(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    /// How often.
    #[must_use]
    pub fn of(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }
}

/// What is not as it should be: how long that may be so, and what does not hold then.
type Wrong = BTreeMap<String, (Duration, Invariant)>;

struct Invite {
    call_id: Vec<u8>,
    /// It begins a call.
    outside: bool,
    emergency: bool,
    answered: Option<u16>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Model {
    facts: BTreeMap<Vec<u8>, Facts>,
    invites: HashMap<Vec<u8>, Invite>,
    due: BTreeSet<(Instant, Vec<u8>)>,
    /// Branches that forged messages carry, and some from before a crash: what is answered to them proves nothing.
    forged: BTreeSet<Vec<u8>>,
    /// The CSeq of each request of the gateway in each dialog, and its method.
    numbers: HashMap<Vec<u8>, BTreeMap<u32, Method>>,
    bound: Bound,
    /// Dialogs that the gateway has ended, and when: the BYE may still be on its way.
    ending: VecDeque<(Instant, Vec<u8>)>,
    /// Server transactions that one shard may have.
    servers_max: usize,
    /// Since when something is not as it should be.
    wrong: BTreeMap<String, Instant>,
    /// Calls for help that were refused, until it is known where they went.
    refused: BTreeMap<Vec<u8>, u16>,
    recorded: BTreeSet<String>,
    pub(super) counts: Counts,
}

impl Model {
    /// Nothing has happened yet at a gateway with these limits.
    pub(super) fn new(limits: &Limits) -> Self {
        // Urgent requests are taken in beyond the limit.
        let servers_max = limits.server_transactions + (limits.server_transactions / 8).max(16);
        Self { servers_max, ..Self::default() }
    }

    /// What is known of a dialog.
    pub(super) fn facts(&mut self, call_id: &[u8]) -> &mut Facts {
        self.facts.entry(call_id.to_vec()).or_default()
    }

    /// A message that no honest phone has sent goes on the wire.
    pub(super) fn forges(&mut self, message: &Message) {
        self.facts(message.call_id()).disturbed = true;
        // As a record writes it, which is text.
        self.facts(String::from_utf8_lossy(message.call_id()).as_bytes()).disturbed = true;
        if message.method() == Method::Register {
            self.bound.disturbed();
        }
        if let Some(branch) = branch(message) {
            self.invites.remove(&branch);
            self.forged.insert(branch);
        }
    }

    /// The gateway was killed and started again. What it does not keep is what a peer repeats or asks again by itself.
    pub(super) fn crashed(&mut self, now: Instant) {
        // Refusals, and requests inside dialogs that were being relayed, are forgotten: when they come again they are judged anew.
        // Nor does anybody repeat the BYE that was on its way to the other side, nor tell of a call that was over.
        self.still_ending(now);
        for (_, call_id) in std::mem::take(&mut self.ending) {
            self.facts(&call_id).gone = true;
        }
        let facts = &self.facts;
        let over = |invite: &Invite| facts.get(&invite.call_id).is_some_and(|facts| facts.bye || facts.cancel || facts.gone);
        // Whether the transaction of a call that is over was taken up again depends on who is still to be heard.
        let over_now = self.invites.iter().filter(|(_, invite)| invite.outside && over(invite)).map(|(branch, _)| branch.clone());
        self.forged.extend(over_now);
        self.invites.retain(|_, invite| invite.outside && invite.answered.is_none_or(|status| status < 300) && !over(invite));
        // An INVITE whose sender has heard nothing comes again, and is a new call.
        self.recorded.clear();
        self.refused.clear();
        self.wrong.clear();
    }

    fn still_ending(&mut self, now: Instant) {
        while self.ending.front().is_some_and(|(at, _)| *at + LAST_WORDS < now) {
            self.ending.pop_front();
        }
    }

    /// A phone sends a message.
    pub(super) fn phone_sent(&mut self, message: &Message) {
        match (message.is_request(), message.method()) {
            (true, Method::Bye) => self.facts(message.call_id()).bye = true,
            (true, Method::Cancel) => self.facts(message.call_id()).cancel = true,
            // That of a refusal has the branch of its INVITE: should that still be on its way to a gateway that was killed meanwhile, nobody waits for an
            // answer.
            (true, Method::Ack) => self.refusal_heard(message),
            (false, _) if matches!(message.status(), 408 | 481) => self.facts(message.call_id()).denied = true,
            _ => {}
        }
    }

    fn refusal_heard(&mut self, ack: &Message) {
        let unanswered = |branch: &Vec<u8>| self.invites.get(branch).is_none_or(|invite| invite.answered.is_none());
        if let Some(branch) = branch(ack).filter(unanswered) {
            self.invites.remove(&branch);
            self.forged.insert(branch);
        }
    }

    /// A message comes to the gateway; `site`: from the site's networks, where nobody has to prove who he is to call for help.
    pub(super) fn gateway_got(&mut self, message: &Message, site: bool, now: Instant) {
        let Some(branch) = branch(message).filter(|_| message.is_request()) else { return };
        if message.method() == Method::Register && !self.forged.contains(&branch) {
            self.bound.asked(message, branch, now);
            return;
        }
        if message.method() != Method::Invite || message.check().is_err() {
            return;
        }
        if self.forged.contains(&branch) || self.invites.contains_key(&branch) {
            return;
        }
        let outside = message.to().is_some_and(|to| to.tag().is_none());
        let until = now + if outside { ANSWER_OUTSIDE } else { ANSWER_INSIDE };
        let emergency = outside && site && message.uri().is_some_and(|uri| uri.user == b"112");
        if emergency {
            self.counts.add("calls for help");
        }
        self.facts(message.call_id()).help |= emergency;
        self.due.insert((until, branch.clone()));
        self.invites.insert(branch, Invite { call_id: message.call_id().to_vec(), outside, emergency, answered: None });
    }

    /// The gateway sends a message.
    pub(super) fn gateway_sent(&mut self, message: &Message, now: Instant) -> Result<(), Broken> {
        // An answer that says that the request was malformed repeats its headers as they were.
        if message.is_request() || !matches!(message.status(), 400 | 505 | 513) {
            message
                .check()
                .map_err(|malformed| Invariant::WellFormed.broken(format!("the gateway sent a malformed message ({malformed:?})")))?;
        }
        if message.is_request() { self.gateway_asked(message, now) } else { self.gateway_answered(message) }
    }

    fn gateway_asked(&mut self, message: &Message, now: Instant) -> Result<(), Broken> {
        let method = message.method();
        if matches!(method, Method::Ack | Method::Cancel) {
            return Ok(());
        }
        if method == Method::Bye {
            self.still_ending(now);
            self.ending.push_back((now, message.call_id().to_vec()));
        }
        // RFC 3261 12.2.1.1: "the CSeq sequence number … MUST be incremented by one" with each new request.
        let tag =
            |address: Option<sip::header::NameAddr<'_>>| address.and_then(|address| Some(address.tag()?.to_vec())).unwrap_or_default();
        let (from, to) = (tag(message.from()), tag(message.to()));
        let dialog = [message.call_id(), &from, &to].join(&b'\n');
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        let numbers = self.numbers.entry(dialog).or_default();
        // A retransmission has its number; what never left, because a connection was lost, is sent again down another way.
        let again = numbers.get(&number) == Some(&method);
        let disturbed = self.facts.get(message.call_id()).is_some_and(|facts| facts.disturbed);
        if !again && !disturbed && numbers.last_key_value().is_some_and(|(highest, _)| *highest >= number) {
            let call_id = String::from_utf8_lossy(message.call_id());
            return Err(Invariant::NumbersRise
                .broken(format!("the gateway's new {method:?} in the call {call_id} has CSeq {number}, and there were {numbers:?}")));
        }
        numbers.insert(number, method);
        Ok(())
    }

    fn gateway_answered(&mut self, message: &Message) -> Result<(), Broken> {
        if message.cseq().is_some_and(|cseq| cseq.method == b"ACK") {
            return Err(Invariant::NoAnswerToAck.broken("the gateway answered an ACK"));
        }
        let status = message.status();
        if message.method() == Method::Bye && status == 503 {
            // A gateway that is full has not heard it: it finds out by asking.
            self.facts(message.call_id()).denied = true;
        }
        let Some(branch) = branch(message).filter(|_| status >= 200) else { return Ok(()) };
        self.bound.answered(message, &branch);
        if message.method() != Method::Invite {
            return Ok(());
        }
        let Some(invite) = self.invites.get_mut(&branch) else { return Ok(()) };
        match invite.answered {
            // 503 is said without keeping anything: the same INVITE may find room when it comes again.
            Some(503) => invite.answered = Some(status),
            Some(before) if before != status => {
                let call_id = String::from_utf8_lossy(&invite.call_id);
                return Err(Invariant::OneAnswer.broken(format!("an INVITE of the call {call_id} was answered {before} and then {status}")));
            }
            Some(_) => {}
            None => {
                invite.answered = Some(status);
                // 482: a copy of it under another branch is being served.
                if invite.emergency && status >= 300 && status != 482 {
                    let call_id = invite.call_id.clone();
                    self.refused.insert(call_id, status);
                }
            }
        }
        Ok(())
    }

    /// Every INVITE whose time is over has an answer.
    pub(super) fn answers_are_given(&mut self, now: Instant) -> Result<(), Broken> {
        while self.due.first().is_some_and(|(until, _)| *until <= now) {
            let Some((_, branch)) = self.due.pop_first() else { break };
            let Some(invite) = self.invites.get(&branch) else { continue };
            if invite.answered.is_none() {
                let call_id = String::from_utf8_lossy(&invite.call_id);
                return Err(Invariant::Answered.broken(format!("an INVITE of the call {call_id} has had no final answer within its time")));
            }
            self.invites.remove(&branch);
        }
        Ok(())
    }

    /// A call has ended: somebody must have ended it.
    pub(super) fn ended(&mut self, record: &CallRecord, legs: &[LegRecord], now: Instant) -> Result<(), Broken> {
        let dialogs = || std::iter::once(record.call_id.as_bytes()).chain(legs.iter().map(|leg| leg.call_id.as_bytes()));
        let any =
            |fact: fn(&Facts) -> bool| dialogs().any(|call_id| self.facts.get(call_id).is_some_and(|facts| fact(facts) || facts.disturbed));
        let lapsed = dialogs().any(|call_id| self.facts.get(call_id).is_some_and(|facts| facts.lost_for_good(now)));
        let justified = match record.cause {
            "caller hung up" | "callee hung up" | "the target of a transfer could not be reached" => any(|facts| facts.bye),
            "cancelled" => any(|facts| facts.cancel || facts.bye),
            // Who has hung up in the dialog of a fork that lost is gone, too.
            "one side is gone" => any(|facts| facts.denied || facts.gone || facts.bye) || lapsed,
            "the answer was never acknowledged" => any(|facts| facts.gone || facts.cancel || facts.denied),
            _ => true,
        };
        if !justified {
            return Err(
                Invariant::EndedBySomebody.broken(format!("the call {} ended ({}), and nobody had ended it", record.call_id, record.cause))
            );
        }
        if record.kind == CallKind::Emergency {
            self.refused.remove(record.call_id.as_bytes());
            let dialled: BTreeSet<&str> = legs.iter().map(|leg| leg.who.as_str()).collect();
            if record.answered.is_none() && record.cause != "cancelled" && dialled.len() < crate::node::TRUNKS.len() {
                return Err(Invariant::HelpTriesAll.broken(format!(
                    "the call for help {} was refused with {} before every trunk was tried: {dialled:?}",
                    record.call_id, record.status
                )));
            }
        }
        let disturbed = any(|_| false);
        if !self.recorded.insert(record.call_id.clone()) && !disturbed {
            return Err(Invariant::OneRecord.broken(format!("the call {} has two records", record.call_id)));
        }
        self.counts.add(record.cause);
        if record.answered.is_some() {
            self.counts.add("answered");
        }
        Ok(())
    }

    /// Compares what the phones believe with what the gateway holds.
    pub(super) fn compare(&mut self, state: &State, held: &[Held], now: Instant) -> Result<(), Broken> {
        self.tables_are_right(state)?;
        if let Some((user, contact)) = self.bound.missing(&state.bound, now) {
            let (user, contact) = (String::from_utf8_lossy(&user).into_owned(), String::from_utf8_lossy(&contact).into_owned());
            return Err(Invariant::Registered.broken(format!("{user} was told that it is registered at {contact}, and is not")));
        }
        let mut wrong = BTreeMap::new();
        let held_channels: usize = state.sights.iter().map(|sight| sight.channels).sum();
        if held_channels != state.channels {
            let what = format!("{} trunk channels are counted, {held_channels} are held", state.channels);
            wrong.insert(what, (ON_ITS_WAY, Invariant::ChannelsAdd));
        }
        if state.seats.0 != state.seats.1 {
            let what = format!("{} seats are taken, {} endpoints sit on one", state.seats.0, state.seats.1);
            wrong.insert(what, (ON_ITS_WAY, Invariant::SeatsAdd));
        }
        self.phones_without_a_call(state, held, now, &mut wrong);
        self.calls_without_a_phone(state, held, &mut wrong);
        for (call_id, status) in &self.refused {
            let call_id = String::from_utf8_lossy(call_id);
            let what = format!("the call for help {call_id} was refused with {status} and has no record");
            wrong.insert(what, (FOUND_OUT, Invariant::HelpTriesAll));
        }
        self.wrong.retain(|what, _| wrong.contains_key(what));
        for (what, (patience, invariant)) in wrong {
            let since = *self.wrong.entry(what.clone()).or_insert(now);
            if now.since(since) > patience {
                return Err(invariant.broken(format!("{what}, for {} s", now.since(since).as_secs())));
            }
        }
        Ok(())
    }

    fn tables_are_right(&self, state: &State) -> Result<(), Broken> {
        if state.endless > 0 {
            return Err(Invariant::TransactionsEnd.broken(format!("{} transactions have no timer", state.endless)));
        }
        if state.orphans > 0 {
            return Err(Invariant::NoOrphans.broken(format!("{} entries lead to calls that are gone", state.orphans)));
        }
        if let Some(sight) = state.sights.iter().find(|sight| !sight.goes_on) {
            return Err(Invariant::CallsGoOn.broken(format!("a call waits for nothing: {sight:?}")));
        }
        if let Some(sight) = state.sights.iter().find(|sight| sight.kept > KEPT_MAX) {
            return Err(Invariant::CallsAreBounded.broken(format!("a call keeps {} things", sight.kept)));
        }
        if let Some(tables) = state.tables.iter().find(|tables| tables.tags > TAGS_MAX * tables.calls) {
            return Err(Invariant::TablesAreBounded.broken(format!("too many tags: {tables:?}")));
        }
        if let Some(servers) = state.servers.iter().find(|servers| **servers > self.servers_max) {
            let what = format!("{servers} server transactions, {} are the limit", self.servers_max);
            return Err(Invariant::TablesAreBounded.broken(what));
        }
        Ok(())
    }

    /// A phone that believes that it talks, and nobody is there; or that rings for ever.
    fn phones_without_a_call(&self, state: &State, held: &[Held], now: Instant, wrong: &mut Wrong) {
        let talking: BTreeSet<(&[u8], &[u8], &[u8])> = state.sights.iter().flat_map(|sight| &sight.talking).map(seen_by_peer).collect();
        for call in held {
            if self.facts.get(&call.call_id).is_some_and(|facts| facts.gone || facts.disturbed || facts.lost_for_good(now)) {
                continue;
            }
            let name = || format!("phone {} in call {}", call.phone, String::from_utf8_lossy(&call.call_id));
            if call.rings {
                wrong.insert(format!("{} rings", name()), (RINGS, Invariant::RingingEnds));
            } else if call.up && !call.hanging_up && !talking.contains(&(&call.call_id[..], &call.own_tag[..], &call.other_tag[..])) {
                wrong.insert(format!("{} talks to nobody: the other side has ended", name()), (HEARD, Invariant::BothLegsEnd));
            }
        }
    }

    /// A call that the gateway holds up although a phone has left it.
    fn calls_without_a_phone(&self, state: &State, held: &[Held], wrong: &mut Wrong) {
        let there: BTreeSet<(&[u8], &[u8])> = held.iter().map(|call| (&call.call_id[..], &call.own_tag[..])).collect();
        let is_there = |dialog: &DialogId| there.contains(&(&dialog.call_id[..], &dialog.remote_tag[..]));
        // A call for help goes on while one of its sides does.
        let expected = |sight: &&Sight| !(sight.help && sight.talking.iter().any(is_there));
        for dialog in state.sights.iter().filter(expected).flat_map(|sight| &sight.talking) {
            let call_id = &dialog.call_id;
            if !is_there(dialog) {
                let odd = self.facts.get(call_id).is_some_and(|facts| facts.gone || facts.shaken || facts.disturbed || facts.denied);
                let patience = if odd { FOUND_OUT } else { HEARD };
                let call_id = String::from_utf8_lossy(call_id);
                let what = format!("the call {call_id} is up at the gateway, and its phone has left it");
                wrong.insert(what, (patience, Invariant::LeaversAreNoticed));
            }
        }
    }

    /// All is quiet: nothing is remembered.
    pub(super) fn quiet(&mut self) {
        self.facts.clear();
        self.forged.clear();
        self.numbers.clear();
        self.wrong.clear();
        self.recorded.clear();
        self.ending.clear();
    }
}

/// A dialog of the gateway as its peer names it: Call-ID, the peer's tag, ours.
fn seen_by_peer(dialog: &DialogId) -> (&[u8], &[u8], &[u8]) {
    (&dialog.call_id, &dialog.remote_tag, &dialog.local_tag)
}

/// What distinguishes a transaction of a peer: its branch and where it says that it is.
pub(super) fn branch(message: &Message) -> Option<Vec<u8>> {
    message.values(Name::Via).next().and_then(sip::header::Via::parse).and_then(|via| Some(via.branch()?.to_vec()))
}

/// Reads a message of the wire.
pub(super) fn read(bytes: &bytes::Bytes) -> Option<Message> {
    Message::parse(bytes.clone(), &Limits::default()).ok()
}
