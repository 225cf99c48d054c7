//! The transaction layer and its user's door (RFC 3261 section 17, RFC 6026, RFC 3581, RFC 4320): one [`Stack`] per shard.
//!
//! Everything that it can ask of the world is one [`Effect`]. The machines are in `server` and `client`, arrivals in `receive`; how a message
//! finds its transaction is in `branch`, and how a response finds its way back in `via`.

mod branch;
mod client;
mod compose;
mod effect;
mod out;
mod receive;
mod restore;
mod server;
mod slab;
#[cfg(test)]
mod tests;
mod timers;
mod via;

pub use branch::Branch;
pub use effect::{DROPPED, Effect, Failure};
pub use restore::Heard;

use crate::{
    Instant, Limits, Message,
    build::{Request, Response, Writer},
    message::Method,
    random::{Random, Token},
    transport::Flow,
};
use branch::{Key, Keyed, Keys};
use bytes::Bytes;
use client::{Acknowledged, InviteClient, InviteClientEvent, NonInviteClient, NonInviteClientEvent};
use out::Out;
use server::{InviteServer, InviteServerEvent, NonInviteServer, NonInviteServerEvent};
use slab::Slab;
use std::{
    collections::{BTreeSet, HashMap},
    mem,
    net::SocketAddr,
};
use timers::{Due, Owner, Timers};
use via::Reply;

/// A server transaction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize)]
pub struct ServerId(pub u64);
/// A client transaction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ClientId(pub u64);

/// The timer that a deadline belongs to, by its name in RFC 3261 table 4 and RFC 6026.
///
/// C bounds both sides of an INVITE here: 185 s without a new provisional response for a client transaction, then a CANCEL and 64*T1 more; half an
/// hour without an answer of the transaction user for a server transaction. J also bounds a non-INVITE server transaction that is not answered.
/// `Trying`, which the RFCs give no letter, is the 200 ms that a 100 waits (RFC 3261 17.2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[allow(missing_docs, reason = "the names are the RFC's")]
pub enum Timer {
    A,
    B,
    C,
    D,
    E,
    F,
    G,
    H,
    I,
    J,
    K,
    L,
    M,
    Trying,
}

/// Effects of one step, in order. The caller owns it and drains it; the stack never keeps one.
pub type Outbox = Vec<Effect>;

/// Seconds in the Retry-After of a 503: this and up to seven more, so that the refused do not come back all at once.
const RETRY_AFTER_MIN: u32 = 3;

/// Tells urgent requests from others; see [`Stack::set_reserve`].
struct Urgent(Box<dyn Fn(&Message) -> bool + Send>);

impl core::fmt::Debug for Urgent {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Urgent")
    }
}

/// All transactions of one shard.
#[derive(Debug)]
pub struct Stack {
    limits: Limits,
    random: Random,
    keys: Keys,
    urgent: Urgent,
    servers: Slab<Server>,
    by_key: HashMap<Key, ServerId, Keyed>,
    /// Requests outside of dialogs by what two copies of one have in common (8.2.2.2).
    by_origin: HashMap<Key, ServerId, Keyed>,
    clients: Slab<Client>,
    /// Those that were made again after a restart, by the random part of their branch: its other part is their id of before.
    restored: HashMap<u64, ClientId, Keyed>,
    /// Client transactions without a final answer, by the peer's address: [`Stack::unreachable`] looks at no others.
    waiting: BTreeSet<(SocketAddr, ClientId)>,
    vias: compose::Vias,
    timers: Timers,
}

#[derive(Debug)]
struct Server {
    machine: ServerMachine,
    reply: Reply,
    key: Key,
    origin: Option<Key>,
    cancelled: bool,
}

#[derive(Debug)]
enum ServerMachine {
    Invite(InviteServer),
    Other(NonInviteServer),
}

#[derive(Debug)]
struct Client {
    machine: ClientMachine,
    flow: Flow,
    branch: Branch,
    method: Method,
    /// The Reason of a CANCEL that still waits for a provisional response.
    reason: Option<Box<str>>,
    /// The CANCEL of this INVITE: it has the same branch (9.1).
    cancel: Option<ClientId>,
    /// A CANCEL: nobody above knows it.
    quiet: bool,
}

#[derive(Debug)]
enum ClientMachine {
    Invite(InviteClient),
    Other(NonInviteClient),
}

impl Stack {
    /// An empty stack. `random` makes branches, tags of stateless answers and the keys of its tables.
    #[must_use]
    pub fn new(limits: Limits, mut random: Random) -> Self {
        Self {
            limits,
            keys: Keys::new(&mut random),
            random,
            urgent: Urgent(Box::new(|_| false)),
            servers: Slab::new(),
            by_key: HashMap::default(),
            by_origin: HashMap::default(),
            clients: Slab::new(),
            restored: HashMap::default(),
            waiting: BTreeSet::new(),
            vias: compose::Vias::default(),
            timers: Timers::default(),
        }
    }

    /// The generator, for tags and Call-IDs of the layer above.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Keeps room for urgent requests: those that `urgent` recognises are taken in until one eighth above [`Limits::server_transactions`]
    /// (and at least 16 of them), all others are refused with 503 at the limit itself. And they are repaired ([`Message::repaired`]) where others are refused
    /// as malformed. The stack knows no emergency number; whoever does says so here.
    pub fn set_reserve(&mut self, urgent: impl Fn(&Message) -> bool + Send + 'static) {
        self.urgent = Urgent(Box::new(urgent));
    }

    /// Takes in one datagram or framed message: parses, checks, absorbs retransmissions, matches responses, CANCEL and ACK.
    ///
    /// What it answers by itself, without a transaction: 400, 505 (malformed), 513 (too long), 483 (Max-Forwards 0, except OPTIONS and REGISTER, which are
    /// for us anyway, and urgent INVITEs), 482 (merged or looped), 481 (CANCEL for nothing), 503 with Retry-After (at the limit of transactions). Every such
    /// answer is also an [`Effect::Dropped`]. Messages are delivered as they were received; what RFC 3581 demands (`received`, `rport`) is written into
    /// the responses. A datagram of nothing but line ends is a keep-alive and ignored.
    pub fn receive(&mut self, bytes: Bytes, flow: Flow, now: Instant, out: &mut Outbox) {
        self.arrive(bytes, flow, now, out);
        self.forget_unwanted();
    }

    /// Sends a response of the transaction user. 2xx to INVITE moves to Accepted (RFC 6026): further calls with a 2xx send it again, and the
    /// transaction user does so until the ACK comes (RFC 3261 13.3.1.4). Unknown or ended transactions ignore it.
    ///
    /// To a non-INVITE request, provisional responses and 408 are not sent (RFC 4320): a 408 ends the transaction in silence. A challenge (401, 407) ends it
    /// at once: the request is judged anew when it comes again, and nobody who cannot prove a password makes us remember anything. RFC 3261 8.2.7
    /// asks for a To tag that such answers share: [`Stack::stateless_tag`].
    pub fn respond(&mut self, id: ServerId, response: Response, now: Instant, out: &mut Outbox) {
        let status = response.status();
        let Some(server) = self.servers.get_mut(id.0) else { return };
        if matches!(status, 401 | 407) {
            // Phones that repeat a challenged request under its old CSeq are common; it is a new request, not a merged one.
            if let Some(origin) = server.origin.take() {
                self.by_origin.remove(&origin);
            }
        }
        // A copy of just this size: it is kept for half a minute, and the buffer in which it was written has room to spare.
        let bytes = Bytes::copy_from_slice(&server.reply.mark(response.bytes));
        match &server.machine {
            ServerMachine::Other(NonInviteServer::Trying { .. }) if matches!(status, 401 | 407) => {
                cov_mark::hit!(rfc3261_8_2_7_stateless_challenge);
                out.push(Effect::Transmit { flow: server.reply.flow, bytes });
                self.end_server(id);
            }
            ServerMachine::Invite(_) => {
                let event = match status {
                    ..200 => InviteServerEvent::Provisional(bytes),
                    200..300 => InviteServerEvent::Success(bytes),
                    300.. => InviteServerEvent::Refusal(bytes),
                };
                self.invite_server(id, event, now, out);
            }
            ServerMachine::Other(_) => {
                let event = match status {
                    ..200 => {
                        // RFC 4320 4.1: "An element MUST NOT send any provisional response with a Status-Code other than 100 to a non-INVITE request."
                        cov_mark::hit!(rfc4320_4_1_no_provisional);
                        return;
                    }
                    408 => {
                        // RFC 4320 4.2: "A transaction-stateful SIP element MUST NOT send a response with Status-Code of 408 to a non-INVITE request."
                        cov_mark::hit!(rfc4320_4_2_no_408);
                        NonInviteServerEvent::Silence
                    }
                    _ => NonInviteServerEvent::Final(bytes),
                };
                self.other_server(id, event, now, out);
            }
        }
        self.forget_unwanted();
    }

    /// The To tag of an answer that is given without keeping the transaction: the same each time the request comes (RFC 3261 8.2.7).
    #[must_use]
    pub fn stateless_tag(&self, request: &Message) -> Token {
        self.keys.stateless_tag(request)
    }

    /// Starts a client transaction: adds Via with a fresh branch and `rport`, sends, arms timers.
    ///
    /// At [`Limits::client_transactions`] nothing is sent: the transaction has failed before it began, and `out` says so.
    pub fn request(&mut self, request: Request, flow: Flow, now: Instant, out: &mut Outbox) -> ClientId {
        self.request_within(self.limits.client_transactions, request, flow, now, out)
    }

    /// The same for a request of an urgent call, which is sent until one eighth above the limit, as [`Stack::set_reserve`] says of those that come in.
    pub fn request_urgent(&mut self, request: Request, flow: Flow, now: Instant, out: &mut Outbox) -> ClientId {
        self.request_within(Limits::with_reserve(self.limits.client_transactions), request, flow, now, out)
    }

    fn request_within(&mut self, limit: usize, request: Request, flow: Flow, now: Instant, out: &mut Outbox) -> ClientId {
        let id = ClientId(self.clients.reserve());
        if self.clients.len() > limit {
            cov_mark::hit!(limit_client_transactions);
            self.clients.take(id.0);
            out.push(Effect::Dropped { flow, why: "too-many-client-transactions" });
            out.push(Effect::Failed { id, why: Failure::Unreachable });
            return id;
        }
        let branch = Branch { id: id.0, nonce: self.random.next_u64() };
        let method = request.method();
        let bytes = self.vias.add(request, flow, branch);
        self.start_client(id, branch, method, bytes, flow, false, now, out);
        id
    }

    /// Sends the ACK of a 2xx to an INVITE of ours, and again whenever that 2xx comes again, for 64*T1 after the first (RFC 3261 13.2.2.4). `tag`: the To
    /// tag of the 2xx. One that is kept already for this tag is replaced; when the transaction has ended, the ACK goes out this once.
    pub fn acknowledge(&mut self, id: ClientId, tag: &[u8], ack: Request, flow: Flow, out: &mut Outbox) {
        let bytes = self.send_once(ack, flow, out);
        if let Some(Client { machine: ClientMachine::Invite(machine), .. }) = self.clients.get_mut(id.0) {
            // A copy of just this size: the buffer in which it was written has room to spare.
            machine.acknowledged(Acknowledged { tag: tag.into(), ack: Bytes::copy_from_slice(&bytes), flow });
        }
    }

    /// Sends a request without a transaction: the ACK of a 2xx whose INVITE is not known any more.
    pub fn transmit(&mut self, request: Request, flow: Flow, out: &mut Outbox) {
        self.send_once(request, flow, out);
    }

    fn send_once(&mut self, request: Request, flow: Flow, out: &mut Outbox) -> Bytes {
        let branch = Branch { id: self.random.next_u64(), nonce: self.random.next_u64() };
        let bytes = self.vias.add(request, flow, branch);
        out.push(Effect::Transmit { flow, bytes: bytes.clone() });
        bytes
    }

    /// Cancels an INVITE (RFC 3261 9.1): at once after a provisional response, else when the first arrives; nothing once it is final. Extra header
    /// lines (Reason) are written from `reason`.
    ///
    /// The INVITE still ends by itself: with its final response (487, or the 2xx that was faster), or as [`Failure::Timeout`] 64*T1 after the CANCEL.
    pub fn cancel(&mut self, id: ClientId, reason: Option<&str>, now: Instant, out: &mut Outbox) {
        let Some(client) = self.clients.get_mut(id.0) else { return };
        if let Some(reason) = reason {
            client.reason.get_or_insert_with(|| reason.into());
        }
        self.invite_client(id, InviteClientEvent::Cancel, now, out);
        self.forget_unwanted();
    }

    /// The transport failed on this flow: its client transactions without a final answer fail at once (RFC 3261 8.1.3.1, ICMP, reset).
    ///
    /// A datagram flow stands for all requests to its remote address, a connection for those that were sent over it or over "any connection to that
    /// address". Costs as much as there are unanswered requests to that one address, however many transactions live.
    pub fn unreachable(&mut self, flow: Flow, now: Instant, out: &mut Outbox) {
        let from = (flow.remote, ClientId(0));
        let to = (flow.remote, ClientId(u64::MAX));
        let failed: Vec<ClientId> = self.waiting.range(from..=to).map(|(_, id)| *id).collect();
        for id in failed {
            let Some(client) = self.clients.get(id.0) else { continue };
            let other = client.flow.connection;
            let same = other == flow.connection || other == 0 || flow.connection == 0;
            if client.flow.transport != flow.transport || !same {
                continue;
            }
            match client.machine {
                ClientMachine::Invite(_) => self.invite_client(id, InviteClientEvent::Unreachable, now, out),
                ClientMachine::Other(_) => self.other_client(id, NonInviteClientEvent::Unreachable, now, out),
            }
        }
        self.forget_unwanted();
    }

    /// When [`Stack::expire`] is next due, and for which timer.
    #[must_use]
    pub fn deadline(&self) -> Option<(Instant, Timer)> {
        self.timers.first().map(|due| (due.at, due.timer))
    }

    /// Fires what is due at `now`. Extra calls do nothing.
    pub fn expire(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(due) = self.timers.first().filter(|due| due.at <= now) {
            self.timers.pop();
            if wanted(&self.servers, &self.clients, &due) {
                self.fire(due, now, out);
            }
        }
        self.forget_unwanted();
    }

    /// Whether a message belongs to a live transaction. Reads all of it.
    #[must_use]
    pub fn knows(&self, bytes: &Bytes) -> bool {
        let Ok(message) = Message::parse(bytes.clone(), &self.limits) else { return false };
        let Some(via) = message.via() else { return false };
        if message.is_request() {
            self.by_key.contains_key(&self.keys.transaction(&message, &via))
        } else {
            via.branch().and_then(Branch::read).and_then(|branch| self.client_of(branch)).is_some()
        }
    }

    /// Live server and client transactions.
    #[must_use]
    pub fn transactions(&self) -> (usize, usize) {
        (self.servers.len(), self.clients.len())
    }

    /// Live transactions that no timer will ever end: there must be none. Looks at all of them, so it is for tests and simulations.
    #[must_use]
    pub fn endless(&self) -> usize {
        let mut ended = BTreeSet::new();
        for due in self.timers.iter().filter(|due| wanted(&self.servers, &self.clients, due)) {
            ended.insert(match due.owner {
                Owner::Server(id) => (false, id.0),
                Owner::Client(id) => (true, id.0),
            });
        }
        (self.servers.len() + self.clients.len()).saturating_sub(ended.len())
    }

    fn fire(&mut self, due: Due, now: Instant, out: &mut Outbox) {
        let timer = due.timer;
        match due.owner {
            Owner::Server(id) => match self.servers.get(id.0).map(|server| &server.machine) {
                Some(ServerMachine::Invite(machine)) => {
                    if let Some(last) = machine.unanswered(timer) {
                        self.answer_forgotten(id, last, now, out);
                    } else {
                        self.invite_server(id, InviteServerEvent::Timer(timer), now, out);
                    }
                }
                Some(ServerMachine::Other(_)) => self.other_server(id, NonInviteServerEvent::Timer(timer), now, out),
                None => {}
            },
            Owner::Client(id) => match self.clients.get(id.0).map(|client| &client.machine) {
                Some(ClientMachine::Invite(_)) => self.invite_client(id, InviteClientEvent::Timer(timer), now, out),
                Some(ClientMachine::Other(_)) => self.other_client(id, NonInviteClientEvent::Timer(timer), now, out),
                None => {}
            },
        }
    }

    /// Answers an INVITE that the transaction user forgot with 408, made from the last provisional answer: it has all that the INVITE had.
    fn answer_forgotten(&mut self, id: ServerId, last: Bytes, now: Instant, out: &mut Outbox) {
        cov_mark::hit!(forgotten_invite);
        if let Some(server) = self.servers.get(id.0) {
            out.push(Effect::Dropped { flow: server.reply.flow, why: "unanswered" });
        }
        let event = match Message::parse(last, &self.limits) {
            Ok(last) => {
                let tag = self.random.token();
                let response = Writer::response(&last, 408, "Request Timeout", Some(tag.as_str())).finish_response(b"");
                InviteServerEvent::Refusal(Bytes::from(response.bytes))
            }
            Err(_) => InviteServerEvent::Timer(Timer::C),
        };
        self.invite_server(id, event, now, out);
    }

    fn forget_unwanted(&mut self) {
        let (servers, clients) = (&self.servers, &self.clients);
        self.timers.forget(|due| wanted(servers, clients, due));
    }

    fn invite_server(&mut self, id: ServerId, event: InviteServerEvent, now: Instant, out: &mut Outbox) {
        let Some(server) = self.servers.get_mut(id.0) else { return };
        let ServerMachine::Invite(machine) = &mut server.machine else { return };
        let mut out = Out {
            owner: Owner::Server(id),
            flow: server.reply.flow,
            quiet: false,
            effects: out,
            timers: &mut self.timers,
            send_cancel: false,
        };
        *machine = mem::replace(machine, InviteServer::Terminated).on(event, now, &mut out);
        if matches!(machine, InviteServer::Terminated) {
            self.end_server(id);
        }
    }

    fn other_server(&mut self, id: ServerId, event: NonInviteServerEvent, now: Instant, out: &mut Outbox) {
        let Some(server) = self.servers.get_mut(id.0) else { return };
        let ServerMachine::Other(machine) = &mut server.machine else { return };
        let mut out = Out {
            owner: Owner::Server(id),
            flow: server.reply.flow,
            quiet: false,
            effects: out,
            timers: &mut self.timers,
            send_cancel: false,
        };
        *machine = mem::replace(machine, NonInviteServer::Terminated).on(event, now, &mut out);
        if matches!(machine, NonInviteServer::Terminated) {
            self.end_server(id);
        }
    }

    fn end_server(&mut self, id: ServerId) {
        let Some(server) = self.servers.take(id.0) else { return };
        self.by_key.remove(&server.key);
        if let Some(origin) = server.origin {
            self.by_origin.remove(&origin);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "everything that a new client transaction is made of")]
    fn start_client(
        &mut self,
        id: ClientId,
        branch: Branch,
        method: Method,
        bytes: Bytes,
        flow: Flow,
        quiet: bool,
        now: Instant,
        out: &mut Outbox,
    ) {
        let mut out = Out { owner: Owner::Client(id), flow, quiet, effects: out, timers: &mut self.timers, send_cancel: false };
        let machine = match method {
            Method::Invite => ClientMachine::Invite(InviteClient::start(bytes, now, &mut out)),
            Method::Ack
            | Method::Bye
            | Method::Cancel
            | Method::Register
            | Method::Options
            | Method::Subscribe
            | Method::Notify
            | Method::Refer
            | Method::Message
            | Method::Info
            | Method::Update
            | Method::Prack
            | Method::Publish
            | Method::Other => ClientMachine::Other(NonInviteClient::start(bytes, now, &mut out)),
        };
        self.waiting.insert((flow.remote, id));
        self.clients.put(id.0, Client { machine, flow, branch, method, reason: None, cancel: None, quiet });
    }

    fn invite_client(&mut self, id: ClientId, event: InviteClientEvent, now: Instant, out: &mut Outbox) {
        let Some(client) = self.clients.get_mut(id.0) else { return };
        let ClientMachine::Invite(machine) = &mut client.machine else { return };
        let waited = machine.request().is_some();
        let mut step = Out {
            owner: Owner::Client(id),
            flow: client.flow,
            quiet: client.quiet,
            effects: out,
            timers: &mut self.timers,
            send_cancel: false,
        };
        *machine = mem::replace(machine, InviteClient::Terminated).on(event, now, &mut step);
        let send_cancel = step.send_cancel;
        let ended = matches!(machine, InviteClient::Terminated);
        if waited && machine.request().is_none() {
            self.waiting.remove(&(client.flow.remote, id));
        }
        if send_cancel {
            self.send_cancel(id, now, out);
        }
        if ended && let Some(cancel) = self.take_client(id).and_then(|client| client.cancel) {
            // Its answer could no longer be matched: it has the branch of the INVITE.
            self.end_client(cancel);
        }
    }

    fn other_client(&mut self, id: ClientId, event: NonInviteClientEvent, now: Instant, out: &mut Outbox) {
        let Some(client) = self.clients.get_mut(id.0) else { return };
        let ClientMachine::Other(machine) = &mut client.machine else { return };
        let waited = machine.request().is_some();
        let mut step = Out {
            owner: Owner::Client(id),
            flow: client.flow,
            quiet: client.quiet,
            effects: out,
            timers: &mut self.timers,
            send_cancel: false,
        };
        *machine = mem::replace(machine, NonInviteClient::Terminated).on(event, now, &mut step);
        let ended = matches!(machine, NonInviteClient::Terminated);
        if waited && machine.request().is_none() {
            self.waiting.remove(&(client.flow.remote, id));
        }
        if ended {
            self.end_client(id);
        }
    }

    fn end_client(&mut self, id: ClientId) {
        if let Some(client) = self.take_client(id) {
            self.waiting.remove(&(client.flow.remote, id));
        }
    }

    /// The CANCEL of an INVITE: a transaction of its own with the branch of the INVITE (9.1), beyond the limit of client transactions because
    /// it ends one.
    fn send_cancel(&mut self, id: ClientId, now: Instant, out: &mut Outbox) {
        let Some(client) = self.clients.get_mut(id.0) else { return };
        let ClientMachine::Invite(machine) = &client.machine else { return };
        let Some(request) = machine.request() else { return };
        let bytes = compose::cancel(request, client.reason.as_deref());
        let (flow, branch) = (client.flow, client.branch);
        let cancel = ClientId(self.clients.reserve());
        if let Some(client) = self.clients.get_mut(id.0) {
            client.cancel = Some(cancel);
        }
        self.start_client(cancel, branch, Method::Cancel, bytes, flow, true, now, out);
    }
}

/// Whether the owner of a timer still waits for it: its state names the same moment.
fn wanted(servers: &Slab<Server>, clients: &Slab<Client>, due: &Due) -> bool {
    let armed = match due.owner {
        Owner::Server(id) => servers.get(id.0).and_then(|server| match &server.machine {
            ServerMachine::Invite(machine) => machine.armed(due.timer),
            ServerMachine::Other(machine) => machine.armed(due.timer),
        }),
        Owner::Client(id) => clients.get(id.0).and_then(|client| match &client.machine {
            ClientMachine::Invite(machine) => machine.armed(due.timer),
            ClientMachine::Other(machine) => machine.armed(due.timer),
        }),
    };
    armed == Some(due.at)
}
