//! What a transaction machine may do to the world: the door through which each `on` leaves.

use super::{
    ClientId, Effect, Failure, Outbox, ServerId, Timer,
    timers::{Owner, Timers},
};
use crate::{Instant, Message, transport::Flow};
use bytes::Bytes;
use std::time::Duration;

/// Takes the effects of one step of one transaction.
#[derive(Debug)]
pub(crate) struct Out<'a> {
    pub(crate) owner: Owner,
    /// Where the messages of this transaction go.
    pub(crate) flow: Flow,
    /// The stack's own transactions (CANCEL) have no transaction user to tell.
    pub(crate) quiet: bool,
    pub(crate) effects: &'a mut Outbox,
    pub(crate) timers: &'a mut Timers,
    /// Set by an INVITE client transaction whose CANCEL is to be sent now.
    pub(crate) send_cancel: bool,
}

impl Out<'_> {
    /// Whether timers A, E and G, and all that absorb retransmissions, have nothing to do.
    pub(crate) const fn reliable(&self) -> bool {
        self.flow.transport.reliable()
    }

    pub(crate) fn transmit(&mut self, bytes: &Bytes) {
        self.effects.push(Effect::Transmit { flow: self.flow, bytes: bytes.clone() });
    }

    pub(crate) fn arm(&mut self, timer: Timer, now: Instant, span: Duration) -> Instant {
        self.timers.arm(self.owner, timer, now, span)
    }

    pub(crate) fn ack(&mut self, message: Message, flow: Flow) {
        self.effects.push(Effect::Ack { message, flow });
    }

    pub(crate) fn unacknowledged(&mut self) {
        if let Some(id) = self.server() {
            self.effects.push(Effect::Unacknowledged { id });
        }
    }

    pub(crate) fn response(&mut self, message: Message, flow: Flow) {
        if let (Some(id), false) = (self.client(), self.quiet) {
            self.effects.push(Effect::Response { id, message, flow });
        }
    }

    pub(crate) fn failed(&mut self, why: Failure) {
        if let (Some(id), false) = (self.client(), self.quiet) {
            self.effects.push(Effect::Failed { id, why });
        }
    }

    const fn server(&self) -> Option<ServerId> {
        match self.owner {
            Owner::Server(id) => Some(id),
            Owner::Client(_) => None,
        }
    }

    const fn client(&self) -> Option<ClientId> {
        match self.owner {
            Owner::Client(id) => Some(id),
            Owner::Server(_) => None,
        }
    }
}
