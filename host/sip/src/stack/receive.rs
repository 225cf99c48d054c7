//! Arrivals: what the layer does with a message before, or instead of, any transaction.

use super::{
    Branch, ClientMachine, Effect, InviteClientEvent, InviteServer, InviteServerEvent, NonInviteClientEvent, NonInviteServer,
    NonInviteServerEvent, Outbox, RETRY_AFTER_MIN, Server, ServerId, ServerMachine, Stack, compose, out::Out, timers::Owner, via::Reply,
};
use crate::{
    Instant, Limits, Message,
    build::Writer,
    header::{Name, Via},
    message::{Method, ParseError},
    transport::Flow,
};
use bytes::Bytes;

impl Stack {
    pub(super) fn arrive(&mut self, bytes: Bytes, flow: Flow, now: Instant, out: &mut Outbox) {
        match Message::parse(bytes.clone(), &self.limits) {
            Ok(message) if message.is_request() => self.arrive_request(message, flow, now, out),
            Ok(message) => self.arrive_response(message, flow, now, out),
            Err(error) => self.arrive_unreadable(bytes, error, flow, now, out),
        }
    }

    /// What is too big to be taken in may still be answered, when it is a request. An urgent one is taken in with half as many header fields as a message may
    /// have, so that it goes on to others who have such a limit; a datagram, and what a stream may bring at once, is bounded all the same.
    fn arrive_unreadable(&mut self, bytes: Bytes, error: ParseError, flow: Flow, now: Instant, out: &mut Outbox) {
        let (status, phrase, why) = match error {
            // Keep-alives of phones behind address translators: line ends, sometimes with NULs.
            ParseError::StartLine | ParseError::HeaderEnd if bytes.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) => return,
            ParseError::StartLine | ParseError::HeaderEnd => {
                cov_mark::hit!(not_sip);
                return out.push(Effect::Dropped { flow, why: "not-sip" });
            }
            ParseError::TooLong(_) => (513, "Message Too Large", "too-long"),
            ParseError::TooManyHeaders(_) => (400, "Too Many Headers", "too-many-headers"),
        };
        let unlimited = Limits { message_bytes: usize::MAX, headers: usize::MAX, ..self.limits };
        let message = Message::parse(bytes, &unlimited).ok().filter(Message::is_request);
        let urgent = message.as_ref().filter(|message| (self.urgent.0)(message));
        if let Some(message) = urgent.and_then(|message| message.shortened(self.limits.headers / 2)) {
            cov_mark::hit!(urgent_too_big);
            out.push(Effect::Dropped { flow, why: "repaired" });
            return self.arrive_request(message, flow, now, out);
        }
        out.push(Effect::Dropped { flow, why });
        if let Some(message) = message.filter(|message| message.method() != Method::Ack)
            && let Some(via) = message.via()
        {
            cov_mark::hit!(too_big_answered);
            self.answer(&message, &via, flow, status, phrase, out);
        }
    }

    fn arrive_request(&mut self, message: Message, flow: Flow, now: Instant, out: &mut Outbox) {
        let method = message.method();
        let (message, malformed) = match message.check() {
            Ok(()) => (message, None),
            Err(malformed) => match (self.urgent.0)(&message).then(|| message.repaired()).flatten() {
                Some(repaired) => {
                    cov_mark::hit!(urgent_repaired);
                    out.push(Effect::Dropped { flow, why: "repaired" });
                    (repaired, None)
                }
                None => (message, Some(malformed)),
            },
        };
        // Without a Via there is no way back.
        let Some(via) = message.via() else {
            return out.push(Effect::Dropped { flow, why: "malformed" });
        };
        if let Some(malformed) = malformed {
            out.push(Effect::Dropped { flow, why: "malformed" });
            // An ACK is never answered (17), nor what may have been one.
            if method != Method::Ack && message.cseq().is_none_or(|cseq| cseq.method != b"ACK") {
                self.answer(&message, &via, flow, malformed.status, malformed.phrase, out);
            }
            return;
        }

        let key = self.keys.transaction(&message, &via);
        let known = self.by_key.get(&key).copied();
        match (method, known) {
            (Method::Cancel, known) => return self.cancelled(known, message, flow, out),
            // The ACK of an answer that we gave without a transaction ends here; the ACK of a 2xx goes to its dialog.
            (Method::Ack, None) => {
                if message.to().and_then(|to| to.tag()) == Some(self.keys.stateless_tag(&message).as_bytes()) {
                    cov_mark::hit!(ack_of_stateless_answer);
                    return;
                }
                return out.push(Effect::Ack { message, flow });
            }
            (Method::Ack, Some(id)) => return self.invite_server(id, InviteServerEvent::Ack(message, flow), now, out),
            (_, Some(id)) => {
                return match self.servers.get(id.0).map(|server| &server.machine) {
                    Some(ServerMachine::Invite(_)) => self.invite_server(id, InviteServerEvent::Again, now, out),
                    Some(ServerMachine::Other(_)) => self.other_server(id, NonInviteServerEvent::Again, now, out),
                    None => {}
                };
            }
            (_, None) => {}
        }

        // RFC 3261 16.3: with Max-Forwards 0 a request is not forwarded: 483. "If the request is for OPTIONS, the element MAY act as the
        // final recipient and respond"; a REGISTER is for us as well.
        // An urgent INVITE is not forwarded by us either, but answered by whoever is above: what it does about a circle is its matter.
        let for_us = matches!(method, Method::Options | Method::Register) || method == Method::Invite && (self.urgent.0)(&message);
        if message.number(Name::MaxForwards) == Some(0) && !for_us {
            cov_mark::hit!(rfc3261_16_3_max_forwards);
            return self.refuse(&message, &via, flow, 483, "Too Many Hops", "too-many-hops", out);
        }
        if self.looped(&message, &via) {
            cov_mark::hit!(rfc3261_16_3_loop);
            return self.refuse(&message, &via, flow, 482, "Loop Detected", "loop", out);
        }
        // RFC 3261 8.2.2.2: "If the request has no tag in the To header field, the UAS core MUST check the request against ongoing
        // transactions. If the From tag, Call-ID, and CSeq exactly match those associated with an ongoing transaction, but the request
        // does not match that transaction … the UAS core SHOULD generate a 482".
        let outside = message.to().is_some_and(|to| to.tag().is_none());
        let origin = outside.then(|| self.keys.merged(&message));
        if origin.is_some_and(|origin| self.by_origin.contains_key(&origin)) {
            cov_mark::hit!(rfc3261_8_2_2_2_merged);
            return self.refuse(&message, &via, flow, 482, "Merged Request", "merged", out);
        }
        if self.full(&message) {
            cov_mark::hit!(limit_server_transactions);
            return self.refuse(&message, &via, flow, 503, "Service Unavailable", "too-many-transactions", out);
        }

        let id = ServerId(self.servers.reserve());
        let reply = Reply::new(&via, flow);
        let mut step =
            Out { owner: Owner::Server(id), flow: reply.flow, quiet: false, effects: out, timers: &mut self.timers, send_cancel: false };
        let machine = if method == Method::Invite {
            ServerMachine::Invite(InviteServer::start(trying(&message, &reply), now, &mut step))
        } else {
            ServerMachine::Other(NonInviteServer::start(now, &mut step))
        };
        self.servers.put(id.0, Server { machine, reply, key, origin, cancelled: false });
        self.by_key.insert(key, id);
        if let Some(origin) = origin {
            self.by_origin.insert(origin, id);
        }
        out.push(Effect::Request { id, message, flow });
    }

    /// RFC 3261 9.2. The CANCEL itself needs no transaction of its own: a retransmitted one gets the same answer again.
    fn cancelled(&mut self, known: Option<ServerId>, message: Message, flow: Flow, out: &mut Outbox) {
        let Some(via) = message.via() else { return };
        let Some((id, server)) = known.and_then(|id| Some((id, self.servers.get_mut(id.0)?))) else {
            // "If the UAS did not find a matching transaction for the CANCEL according to the procedure above, it SHOULD respond to the
            // CANCEL with a 481".
            cov_mark::hit!(rfc3261_9_2_stray);
            return self.refuse(&message, &via, flow, 481, "Call/Transaction Does Not Exist", "stray-cancel", out);
        };
        let ServerMachine::Invite(machine) = &server.machine else { return };
        // "Regardless of the method of the original request, as long as the CANCEL matched an existing transaction, the UAS answers the
        // CANCEL request itself with a 200 (OK) response … the To tag of the response to the CANCEL and the To tag in the response to
        // the original request SHOULD be the same."
        let answer = machine.answer().and_then(|answer| Message::parse(answer.clone(), &self.limits).ok());
        let derived = self.keys.stateless_tag(&message);
        let tag = answer.as_ref().and_then(|answer| answer.to()?.tag()).unwrap_or(derived.as_bytes());
        let response = Writer::response(&message, 200, "OK", std::str::from_utf8(tag).ok()).finish_response(b"");
        let reply = Reply::new(&via, flow);
        out.push(Effect::Transmit { flow: reply.flow, bytes: Bytes::from(reply.mark(response.bytes)) });
        // "If the UAS has already sent a final response for that request, … the CANCEL has no effect on the processing of the original request".
        if matches!(machine, InviteServer::Proceeding { .. }) && !server.cancelled {
            cov_mark::hit!(rfc3261_9_2_cancelled);
            server.cancelled = true;
            out.push(Effect::Cancelled { id, message });
        }
    }

    fn arrive_response(&mut self, message: Message, flow: Flow, now: Instant, out: &mut Outbox) {
        if message.check().is_err() {
            cov_mark::hit!(malformed_response);
            return out.push(Effect::Dropped { flow, why: "malformed-response" });
        }
        // RFC 3261 8.1.3.3: "If more than one Via header field value is present in a response, the UAC SHOULD discard the message."
        if message.values(Name::Via).nth(1).is_some() {
            cov_mark::hit!(rfc3261_8_1_3_3_vias);
            return out.push(Effect::Dropped { flow, why: "misrouted-response" });
        }
        // RFC 3261 17.1.3: the branch must be that of the request, and the method in CSeq too, because a CANCEL has the branch of its INVITE.
        let branch = message.via().and_then(|via| Branch::read(via.branch()?));
        let Some((id, client)) = branch.and_then(|branch| self.client_of(branch)) else {
            // A CANCEL ends with its INVITE, so its answer may be late: nobody waits for it.
            if message.method() != Method::Cancel {
                cov_mark::hit!(stray_response);
                out.push(Effect::Dropped { flow, why: "stray-response" });
            }
            return;
        };
        match (&client.machine, client.cancel) {
            (ClientMachine::Invite(_), Some(cancel)) if message.method() == Method::Cancel => {
                cov_mark::hit!(rfc3261_17_1_3_cancel);
                self.other_client(cancel, NonInviteClientEvent::Response(message, flow), now, out);
            }
            _ if message.method() != client.method => {
                // 17.1.3: "the method parameter in the CSeq header field matches the method of the request that created the transaction".
                cov_mark::hit!(rfc3261_17_1_3_method);
                out.push(Effect::Dropped { flow, why: "stray-response" });
            }
            (ClientMachine::Invite(_), _) => self.invite_client(id, InviteClientEvent::Response(message, flow), now, out),
            (ClientMachine::Other(_), _) => self.other_client(id, NonInviteClientEvent::Response(message, flow), now, out),
        }
    }

    /// RFC 3261 16.3: a request that has passed us before, seen by a branch of ours in any of its Vias, has looped when nobody changed its
    /// Request-URI since; else it has spiralled, which is legal.
    fn looped(&self, message: &Message, top: &Via<'_>) -> bool {
        let ours = |via: Via<'_>| {
            let branch = via.branch().and_then(Branch::read)?;
            let (_, client) = self.client_of(branch)?;
            let request = match &client.machine {
                ClientMachine::Invite(machine) => machine.request(),
                ClientMachine::Other(machine) => machine.request(),
            }?;
            Some(compose::request_uri(request) == Some(message.request_uri()))
        };
        ours(*top) == Some(true) || message.values(Name::Via).skip(1).any(|via| Via::parse(via).and_then(ours) == Some(true))
    }

    /// Answers a request with 503 and Retry-After, without a transaction: for who sends more than is taken in. What must not be answered is not.
    pub fn turn_away(&self, message: &Message, flow: Flow, out: &mut Outbox) {
        if message.is_request()
            && message.method() != Method::Ack
            && message.check().is_ok()
            && let Some(via) = message.via()
        {
            self.answer(message, &via, flow, 503, "Too Many Requests", out);
        }
    }

    fn full(&self, message: &Message) -> bool {
        let limit = self.limits.server_transactions;
        let live = self.servers.len();
        live >= limit && (live >= Limits::with_reserve(limit) || !(self.urgent.0)(message))
    }

    /// Answers without a transaction, and says so to whoever counts.
    #[expect(clippy::too_many_arguments, reason = "an answer and its reason")]
    fn refuse(&self, message: &Message, via: &Via<'_>, flow: Flow, status: u16, phrase: &'static str, why: &'static str, out: &mut Outbox) {
        out.push(Effect::Dropped { flow, why });
        self.answer(message, via, flow, status, phrase, out);
    }

    /// An answer without a transaction (RFC 3261 8.2.7): every retransmission of the request gets the same again.
    fn answer(&self, message: &Message, via: &Via<'_>, flow: Flow, status: u16, phrase: &'static str, out: &mut Outbox) {
        let tag = self.keys.stateless_tag(message);
        let mut writer = Writer::response(message, status, phrase, Some(tag.as_str()));
        if status == 503 {
            let spread = tag.as_bytes().last().map_or(0, |digit| u32::from(digit & 7));
            writer.number(Name::RetryAfter, RETRY_AFTER_MIN + spread);
        }
        let reply = Reply::new(via, flow);
        let response = writer.finish_response(b"");
        out.push(Effect::Transmit { flow: reply.flow, bytes: Bytes::from(reply.mark(response.bytes)) });
    }
}

/// The 100 to an INVITE. 8.2.6.1: "any Timestamp header field present in the request MUST be copied into this 100 (Trying) response".
pub(super) fn trying(invite: &Message, reply: &Reply) -> Bytes {
    let mut writer = Writer::response(invite, 100, "Trying", None);
    if let Some(timestamp) = invite.header_named(b"Timestamp") {
        writer.header_named(b"Timestamp", timestamp);
    }
    Bytes::from(reply.mark(writer.finish_response(b"").bytes))
}
