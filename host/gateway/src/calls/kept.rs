//! Calls are written down as they change, and taken up again after a restart.

use super::{
    ladder::Ladder,
    live::{Entry, Key},
    shard::Shard,
};
use crate::{
    calls::Transmit,
    journal::{Journal, Saved},
};
use sip::{
    Instant,
    stack::{Branch, ClientId, Effect, ServerId, Stack},
};
use std::{sync::Arc, time::Duration};
use switch::{
    bridge::{Again, Bridge, SendId, Stamps},
    facts::{Call, CallKind},
    record::{CallDetail, CallRecord},
};

/// Calls that are carried over into a new file in one turn: about as much as a turn writes anyway.
const CARRIED: usize = 16;

/// How long what may be written a moment later waits for more of the same: a call that is hung up as soon as it was answered is written down twice instead of
/// five times, and what many calls have to say at other times is one write.
const LATE: Duration = Duration::from_millis(50);

/// What is to be written down.
#[derive(Debug, Default)]
pub(super) struct Unwritten {
    journal: Option<Journal>,
    changed: Vec<Key>,
    /// Calls of which only what may wait has changed…
    late: Vec<Key>,
    /// …and those that are over, with the record that is to be kept of each before it is forgotten here…
    gone: Vec<(Key, Option<Arc<CallDetail>>)>,
    /// …and when both are written.
    due: Option<Instant>,
    /// Calls that the new file does not have yet.
    carry: Vec<Key>,
    /// A call for help is among those that have changed.
    help: bool,
}

impl Unwritten {
    /// Something has happened in a call.
    pub(super) fn changed(&mut self, key: Key, entry: &Entry) {
        if self.journal.is_some() && !entry.bridge.is_alone() {
            self.help |= entry.bridge.call().kind != CallKind::Normal;
            if self.changed.last() != Some(&key) {
                self.changed.push(key);
            }
        }
    }

    /// A call is forgotten.
    pub(super) fn gone(&mut self, key: Key, entry: &Entry) {
        if entry.written != Stamps::default() {
            self.gone.push((key, entry.detail.clone()));
        }
    }

    /// When [`Shard::write_down`] has something to do again.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }
}

impl Shard {
    /// Writes down what has changed in calls. To be called at the end of each turn, before what the shard says goes on the wire, but for a turn of a call
    /// for help ([`Shard::helps`]).
    pub fn write_down(&mut self, now: Instant) {
        let Unwritten { journal, changed, late, gone, due, carry, help } = &mut self.live.unwritten;
        *help = false;
        let Some(journal) = journal else { return };
        let over = due.is_some_and(|due| due <= now);
        if changed.is_empty() && carry.is_empty() && !over && (gone.is_empty() || due.is_some()) {
            return;
        }
        if journal.rolls() {
            *carry = self.live.calls.iter().filter(|(_, entry)| !entry.bridge.is_alone()).map(|(key, _)| *key).collect();
        } else if !journal.writes() {
            // All of it is carried over when the journal writes again.
            changed.clear();
            late.clear();
            gone.clear();
            *due = None;
            return;
        }
        for key in changed.drain(..) {
            if let Some(entry) = self.live.calls.get_mut(&key)
                && !note(journal, &self.stack, key, entry, What::Pressing)
                && !entry.late
            {
                entry.late = true;
                late.push(key);
            }
        }
        if over {
            *due = None;
            for key in late.drain(..) {
                if let Some(entry) = self.live.calls.get_mut(&key) {
                    note(journal, &self.stack, key, entry, What::Changed);
                }
            }
            gone.retain(|(key, detail)| {
                let kept = detail.as_ref().is_none_or(|detail| Arc::strong_count(detail) == 1);
                if kept {
                    journal.gone(*key);
                }
                !kept
            });
            if !gone.is_empty() {
                *due = Some(now + LATE);
            }
        } else if due.is_none() && !(late.is_empty() && gone.is_empty()) {
            *due = Some(now + LATE);
        }
        for key in carry.split_off(carry.len().saturating_sub(CARRIED)) {
            if let Some(entry) = self.live.calls.get_mut(&key) {
                note(journal, &self.stack, key, entry, What::All);
            }
        }
        if journal.write() && carry.is_empty() {
            journal.carried_over();
        }
    }

    /// Whether something of a call for help has not been written down: then what the shard says goes on the wire first.
    #[must_use]
    pub const fn helps(&self) -> bool {
        self.live.unwritten.help
    }

    /// Takes calls up that were up when an earlier process ended, and writes down from now on. Returns how many could be taken up; what they have to say
    /// is in `out`.
    pub fn take_up(&mut self, journal: Journal, mut saved: Vec<Saved>, now: Instant, out: &mut Vec<Transmit>) -> usize {
        self.live.unwritten.journal = Some(journal);
        // A party that went from one call to another is the other's.
        saved.sort_by_key(|saved| !saved.course.ended() && saved.given.is_empty());
        let mut effects = std::mem::take(&mut self.effects);
        let before = self.live.len();
        for saved in saved {
            self.take_up_call(saved, now, &mut effects);
        }
        let taken = self.live.len() - before;
        self.work(effects, now, out);
        taken
    }

    fn take_up_call(&mut self, saved: Saved, now: Instant, more: &mut Vec<Effect>) {
        let Saved { key, facts, course, branches, given } = saved;
        let (call, ended) = (facts.call(), course.ended());
        let known =
            course.invite(now).and_then(|answered| self.stack.restore_invite_server(&call.message, call.flow.restarted(), answered, now));
        // Nobody has this number.
        let invite = known.unwrap_or(ServerId(u64::MAX));
        let mut effects = Vec::new();
        let (site, home) = (self.parts.site.clone(), self.live.home());
        let call = call.clone();
        if call.kind != CallKind::Normal {
            self.parts.observer.calls_for_help(&call, None, None);
        }
        let Some(mut bridge) = Bridge::restore(site, facts, course, invite, home, now, &mut self.random, &mut effects) else {
            return self.parts.observer.detailed(&Arc::new(lost(&call, now)));
        };
        bridge.named(key, &mut effects);
        for (call_id, tag) in &given {
            bridge.has_given(call_id, tag, now, &mut effects);
        }
        let mut tags = Vec::new();
        let mut moved = Vec::new();
        for (call_id, tag) in bridge.dialogs() {
            // It was given to a call that another shard has taken up, or will.
            if ended && self.parts.exchange.has_moved(call_id) || given.iter().any(|(theirs, own)| theirs == call_id && own == tag) {
                continue;
            }
            self.live.by_tag.insert(tag.into(), key);
            self.live.helped.add(tag, &bridge);
            tags.push(tag.into());
            if self.parts.exchange.home(call_id) != self.parts.index {
                self.parts.exchange.moves(call_id, self.parts.index);
            }
            // Also where a call that had given it away has come first.
            if self.parts.exchange.has_moved(call_id) {
                moved.push((call_id.into(), tag.into()));
            }
        }
        self.live.by_server.insert(invite, key);
        let mut entry = Entry::new(bridge, Ladder::default());
        (entry.tags, entry.moved, entry.branches) = (tags, moved, branches);
        if let Some(detail) = entry.bridge.detail_unnoticed(now) {
            let detail = Arc::new(detail);
            self.parts.observer.detailed(&detail);
            entry.detail = Some(detail);
        }
        // Both parts are written down, though not as they are now.
        entry.written = Stamps { facts: 1, course: 1, late: 1 };
        self.live.calls.insert(key, Box::new(entry));
        self.obey(key, effects, now, more);
    }
}

impl Entry {
    /// Makes the client transaction of an INVITE again. `None`: its branch is not known.
    pub(super) fn send_again(&mut self, again: Again, stack: &mut Stack, now: Instant, more: &mut Vec<Effect>) -> Option<ClientId> {
        let Again { id, request, flow, heard } = again;
        let (_, branch) = self.branches.iter().find(|(sent, _)| *sent == id)?;
        let client = stack.restore_invite_client(request, flow, *branch, heard, now, more);
        self.sent.push((id, client, flow.remote));
        Some(client)
    }
}

/// The record of a call that could not be taken up.
fn lost(call: &Call, now: Instant) -> CallDetail {
    let record = CallRecord::unanswered(call, 500, "could not be taken up after a restart", now);
    CallDetail { restored: true, end_noticed: true, ..CallDetail::undialled(call, record, Vec::new(), None) }
}

/// What of a call is noted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// What has changed, when something of it cannot wait. Nothing of a call for help waits.
    Pressing,
    /// What has changed.
    Changed,
    All,
}

/// Notes what of a call has changed since it was noted last. `false`: that waits.
fn note(journal: &mut Journal, stack: &Stack, key: Key, entry: &mut Entry, what: What) -> bool {
    let (stamps, written) = (entry.bridge.stamps(), entry.written);
    let all = what == What::All;
    let facts = all || (stamps.facts != 0 && stamps.facts != written.facts);
    let course = facts || (stamps.course != 0 && stamps.course != written.course);
    let late = stamps.late != written.late;
    if what == What::Pressing && late && !course && entry.bridge.call().kind == CallKind::Normal {
        return false;
    }
    if facts {
        journal.facts(key, &entry.bridge.facts());
    }
    if course || late {
        let branch = |id: SendId| {
            let sent = entry.sent.iter().rev().find(|(sent, ..)| *sent == id);
            Some((id, stack.branch(sent?.1)?))
        };
        let branches: Vec<(SendId, Branch)> = entry.bridge.invites().filter_map(|(id, _)| branch(id)).collect();
        journal.course(key, &entry.bridge.course(), &branches);
    }
    (entry.written, entry.late) = (stamps, false);
    true
}
