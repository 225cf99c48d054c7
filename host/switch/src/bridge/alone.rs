//! Calls that the gateway makes in its own name, with nobody behind it: to ring the desk that must know of a call for help, and to try the way that such a
//! call would take. No media is at its end, and nothing pretends that there is: the desk reads who called from its display while it rings, and is held
//! when it answers; a test call offers a session that never flows, and ends when it is answered.
//!
//! Such a call is not written down: whoever wants it makes it again after a restart.

use super::{Bridge, Effect, Home, Pair, State, held, leg::LegState, placed};
use crate::{
    decision::{NextOn, Plan, Refusal, Stage, Target},
    facts::{Call, CallKind, Caller},
    plan::{self, Resolved},
    site::Site,
    trunk::Sign,
};
use sip::{Instant, Message, dialog::Dialog, random::Random, transport::Flow};
use std::{sync::Arc, time::Duration};

/// How long a desk that has answered is held at most, so that its display can be read.
const HELD: Duration = Duration::from_secs(60);

/// What a phone is shown that is rung to tell something.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Announced {
    /// The name that its display shows.
    pub name: String,
    /// RFC 3261 20.36: "a summary or indicates the nature of the call".
    pub subject: String,
    /// RFC 3261 20.26: `Priority: emergency`, "when life, limb, or property are in imminent danger".
    pub urgent: bool,
}

impl Announced {
    /// Its lines of an INVITE.
    pub(super) fn lines(&self) -> Vec<(&'static [u8], Vec<u8>)> {
        let subject: Vec<u8> = self.subject.bytes().filter(|octet| *octet >= 0x20 && *octet != 0x7f).collect();
        let mut lines = Vec::new();
        if !subject.is_empty() {
            lines.push((&b"Subject"[..], subject));
        }
        if self.urgent {
            lines.push((&b"Priority"[..], b"emergency".to_vec()));
        }
        lines
    }
}

/// What happens when a call of the gateway's own is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Alone {
    /// Whoever has answered is held until it hangs up, or [`HELD`] is over.
    Held,
    /// It ends.
    Ended,
}

impl Bridge {
    /// A call to the phones of extension `to` that shows `number` and what is announced, not yet dialled. No policy is asked: the configuration has named
    /// whom to ring.
    ///
    /// # Errors
    /// 404 when nobody has that extension, 480 when none of its phones is registered.
    pub fn announcing(
        site: Arc<Site>,
        to: &str,
        number: &str,
        announced: &Announced,
        home: Home,
        now: Instant,
        random: &mut Random,
    ) -> Result<Self, Refusal> {
        let directory = site.directory();
        let desk = directory.by_extension(to).cloned();
        let desk = desk.ok_or_else(|| Refusal::new(404, "Not Found", format!("nobody has the extension `{to}`")))?;
        let flow = site.targets(&desk.id, now).first().map(|binding| binding.flow);
        let flow = flow.ok_or_else(|| Refusal::new(480, "Not Registered", format!("no phone of extension {to} is registered")))?;
        let call_id = (home.call_id)(random, home.index, home.shards);
        let lines = announced.lines();
        let lines: Vec<(&[u8], &[u8])> = lines.iter().map(|(name, value)| (*name, value.as_slice())).collect();
        let address = placed::write_address(&desk.extension, &directory.domain);
        let from = (announced.name.as_str(), number);
        let call = Call {
            message: placed::invite(&address, from, &directory.domain, &call_id, random.token().as_str(), &lines)?,
            at: now,
            flow,
            // Nobody of the site: all phones of the desk are to ring.
            caller: Caller::Unknown,
            kind: CallKind::Normal,
            called: desk.extension.clone(),
            caller_number: number.to_owned(),
            caller_name: announced.name.clone(),
            location: None,
            attributes: Vec::new(),
        };
        let stage = Stage { targets: vec![Target::Endpoint(desk.id.clone())], ring: Some(site.limits.ring_total), next: NextOn::default() };
        let phones = plan::resolve(&Plan { stages: vec![stage] }, &call, &site)?;
        Self::alone(site, call, phones, Alone::Held, home, now)
    }

    /// A call that tries its plan and ends when it is answered.
    ///
    /// # Errors
    /// 400 when its INVITE cannot begin a dialog.
    pub fn trying(site: Arc<Site>, call: Call, plan: Resolved, home: Home, now: Instant) -> Result<Self, Refusal> {
        Self::alone(site, call, plan, Alone::Ended, home, now)
    }

    fn alone(site: Arc<Site>, call: Call, plan: Resolved, alone: Alone, home: Home, now: Instant) -> Result<Self, Refusal> {
        let caller = Dialog::as_server(&call.message, "", call.flow)
            .ok_or_else(|| Refusal::new(400, "Bad Target", format!("`{}` cannot be called", call.called)))?;
        let mut bridge = Self::of(site, call, None, caller, plan, home, now);
        bridge.alone = Some(alone);
        Ok(bridge)
    }

    /// Whether the gateway makes this call in its own name: it is not written down.
    #[must_use]
    pub const fn is_alone(&self) -> bool {
        self.alone.is_some()
    }

    /// Somebody has answered a call of the gateway's own.
    #[expect(clippy::too_many_arguments, reason = "what an answer is, and what came of the call")]
    pub(super) fn alone_answered(
        &mut self,
        alone: Alone,
        leg: usize,
        message: &Message,
        flow: Flow,
        now: Instant,
        random: &mut Random,
        out: &mut Vec<Effect>,
    ) {
        let party = self.fork(leg, message, flow);
        let Some(entry) = self.legs.get_mut(leg) else { return };
        let (send, who) = (entry.send, entry.party());
        entry.state = LegState::Dead;
        if self.state != State::Ringing {
            // RFC 3261 13.2.2.4: somebody else was faster, or the call is over.
            return self.decline_answer(party, message, out);
        }
        self.note_trunk(leg, Sign::Answered(None), now);
        self.won(leg, out);
        self.answered_at = Some(now);
        self.answered_by = Some(who);
        if alone == Alone::Ended {
            self.decline_answer(party, message, out);
            return self.end(200, "answered, and ended by the test", now, out);
        }
        let Some(answer) = held::answer(message.body(), random) else {
            self.decline_answer(party, message, out);
            return self.end(200, "answered without a session", now, out);
        };
        self.acknowledge_with(party, send, message, Some((b"application/sdp", &answer)), out);
        let nobody = self.nobody(party, random);
        self.pairs.push(Pair { caller: nobody, callee: party });
        self.state = State::Answered(self.pairs.len() - 1);
        self.check_at = Some(now + HELD);
    }
}
