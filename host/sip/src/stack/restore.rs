//! Transactions made again after a restart, from what was kept of them: the branch of a request of ours, and an INVITE that was being answered.
//!
//! A response names its transaction by our branch, whose first part is the place that the transaction had in the earlier process. Another one may have
//! that place now, so that the second part, 64 random bits, finds those that were made again.

use super::{
    Branch, Client, ClientId, ClientMachine, InviteClient, InviteServer, Outbox, Server, ServerId, ServerMachine, Stack,
    out::Out,
    receive::trying,
    timers::{C_CLIENT, C_SERVER, Owner, T1_64},
    via::Reply,
};
use crate::{Instant, Message, build::Request, stack::Timer, transport::Flow};

/// How far an INVITE of ours had come before the restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Nothing was heard, as far as is known: it is sent again.
    Nothing,
    /// A provisional response.
    Provisional,
    /// A 2xx, which may come again.
    Answer,
}

impl Stack {
    /// The branch of a client transaction, to be kept for [`Stack::restore_invite_client`].
    #[must_use]
    pub fn branch(&self, id: ClientId) -> Option<Branch> {
        self.clients.get(id.0).map(|client| client.branch)
    }

    /// Makes the client transaction of an INVITE again. `request` is the INVITE as it was sent, but for its Via; a CANCEL and the ACK of a refusal are
    /// made from it, and need the same Request-URI, From, To, Call-ID, CSeq and Route only (RFC 3261 9.1, 17.1.1.3). Its timers start anew.
    pub fn restore_invite_client(
        &mut self,
        request: Request,
        flow: Flow,
        branch: Branch,
        heard: Heard,
        now: Instant,
        out: &mut Outbox,
    ) -> ClientId {
        let id = ClientId(self.clients.reserve());
        let method = request.method();
        let bytes = self.vias.add(request, flow, branch);
        let mut step = Out { owner: Owner::Client(id), flow, quiet: false, effects: out, timers: &mut self.timers, send_cancel: false };
        let machine = match heard {
            Heard::Nothing => InviteClient::start(bytes, now, &mut step),
            Heard::Provisional => InviteClient::Proceeding { request: bytes, c: step.arm(Timer::C, now, C_CLIENT), cancelled: false },
            Heard::Answer => InviteClient::Accepted { m: step.arm(Timer::M, now, T1_64), acks: Vec::new() },
        };
        if machine.request().is_some() {
            self.waiting.insert((flow.remote, id));
        }
        let machine = ClientMachine::Invite(machine);
        self.clients.put(id.0, Client { machine, flow, branch, method, reason: None, cancel: None, quiet: false });
        self.restored.insert(branch.nonce, id);
        id
    }

    /// Makes the server transaction of an INVITE again: it waits for its answer, or (`answered`) has had its 2xx. Nothing is sent. `None` for an INVITE
    /// without a Via, and for one that is known.
    pub fn restore_invite_server(&mut self, message: &Message, flow: Flow, answered: bool, now: Instant) -> Option<ServerId> {
        let via = message.via()?;
        let key = self.keys.transaction(message, &via);
        if self.by_key.contains_key(&key) {
            return None;
        }
        let id = ServerId(self.servers.reserve());
        let reply = Reply::new(&via, flow);
        let mut silent = Outbox::new();
        let mut step = Out {
            owner: Owner::Server(id),
            flow: reply.flow,
            quiet: false,
            effects: &mut silent,
            timers: &mut self.timers,
            send_cancel: false,
        };
        let machine = if answered {
            InviteServer::Accepted { l: step.arm(Timer::L, now, T1_64) }
        } else {
            InviteServer::Proceeding { last: trying(message, &reply), trying: None, c: step.arm(Timer::C, now, C_SERVER) }
        };
        let outside = message.to().is_some_and(|to| to.tag().is_none());
        let origin = outside.then(|| self.keys.merged(message));
        self.servers.put(id.0, Server { machine: ServerMachine::Invite(machine), reply, key, origin, cancelled: false });
        self.by_key.insert(key, id);
        if let Some(origin) = origin {
            self.by_origin.insert(origin, id);
        }
        Some(id)
    }

    /// From now on the answers to this request go this way: whoever sent it has another connection now.
    pub fn redirect(&mut self, id: ServerId, flow: Flow) {
        if let Some(server) = self.servers.get_mut(id.0) {
            server.reply.flow = flow;
        }
    }

    /// From now on this request goes this way when it is sent again, and so does its CANCEL: the peer has another connection now.
    pub fn reroute(&mut self, id: ClientId, flow: Flow) {
        if let Some(client) = self.clients.get_mut(id.0) {
            if self.waiting.remove(&(client.flow.remote, id)) {
                self.waiting.insert((flow.remote, id));
            }
            client.flow = flow;
        }
    }

    /// The client transaction with this branch.
    pub(super) fn client_of(&self, branch: Branch) -> Option<(ClientId, &Client)> {
        let with = |id: ClientId| self.clients.get(id.0).filter(|client| client.branch == branch).map(|client| (id, client));
        with(ClientId(branch.id)).or_else(|| with(*self.restored.get(&branch.nonce)?))
    }

    /// Takes a client transaction out.
    pub(super) fn take_client(&mut self, id: ClientId) -> Option<Client> {
        let client = self.clients.take(id.0)?;
        if self.restored.get(&client.branch.nonce) == Some(&id) {
            self.restored.remove(&client.branch.nonce);
        }
        Some(client)
    }
}
