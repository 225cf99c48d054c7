//! What a source sends beyond its allowance ([`switch::flood`]) goes no further than here.
//!
//! Trunks are exempt, and so are calls for help and whatever is said in a call that is up. Only what comes too much pays for finding that out.

use super::shard::Shard;
use bytes::Bytes;
use sip::{Instant, Message, message::Method, stack::Effect, transport::Flow};
use switch::{
    emergency,
    facts::CallKind,
    flood::{Class, Verdict},
};

impl Shard {
    /// Whether this message may be taken in. One that may not has been answered or dropped, and counted.
    pub(super) fn admits(&mut self, bytes: &Bytes, flow: Flow, now: Instant, effects: &mut Vec<Effect>) -> bool {
        let Some(class) = Class::of(bytes) else { return true };
        let verdict = self.flood.judge(flow.remote, class, now);
        if verdict == Verdict::Pass {
            return true;
        }
        let directory = self.parts.site.directory();
        if self.parts.site.trunk_from(flow).is_some() {
            return true;
        }
        if let Ok(message) = Message::parse(bytes.clone(), &self.parts.limits) {
            let help = || message.uri().is_some_and(|uri| emergency::classify(&uri, &directory) != CallKind::Normal);
            if message.method() == Method::Invite && help() || self.live.has(&message) {
                return true;
            }
            if verdict == Verdict::TurnAway {
                self.stack.turn_away(&message, flow, effects);
            }
        }
        self.parts.observer.dropped(now, flow, "flood");
        false
    }
}
