//! A scripted phone: one UDP socket, one `sip` stack, and the few things that a telephone does.

use super::{Account, STEP, speech};
use crate::clock::Clock;
use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use sip::{
    Limits, Message,
    build::Writer,
    dialog::Dialog,
    digest,
    header::Name,
    message::Method,
    random::Random,
    stack::{ClientId, Effect, ServerId, Stack},
    transport::{Flow, Transport},
};
use std::{collections::VecDeque, net::SocketAddr, time::Duration};
use tokio::{net::UdpSocket, time};

/// A phone, registered or not.
pub(super) struct Phone {
    account: Account,
    domain: String,
    socket: UdpSocket,
    media: UdpSocket,
    flow: Flow,
    stack: Stack,
    outbox: Vec<Effect>,
    arrived: VecDeque<Effect>,
    clock: Clock,
    registration: Registration,
    /// The latest request.
    asked: Option<ClientId>,
}

/// What all REGISTERs of one phone share (RFC 3261 10.2: the same Call-ID, a growing CSeq).
struct Registration {
    call_id: String,
    tag: String,
    cseq: u32,
}

/// A call that this phone made.
pub(super) struct Outgoing {
    dialog: Dialog,
    invite: u32,
}

/// A call that came in.
pub(super) struct Incoming {
    id: ServerId,
    request: Message,
    tag: String,
    dialog: Dialog,
    /// Where the caller wants speech.
    pub(super) media: SocketAddr,
}

/// Everything about one request that stays the same when it is sent again with credentials.
struct Ask<'a> {
    method: Method,
    uri: &'a str,
    to: &'a str,
    tag: &'a str,
    call_id: &'a str,
    expires: Option<u32>,
    body: &'a str,
}

impl Phone {
    /// A phone on a free port, on the gateway's side of the network.
    pub(super) async fn new(account: &Account, domain: &str, gateway: SocketAddr, clock: Clock) -> anyhow::Result<Self> {
        let any = SocketAddr::new(if gateway.ip().is_loopback() { gateway.ip() } else { local_address(gateway)? }, 0);
        let socket = UdpSocket::bind(any).await.context("no free UDP port for a phone")?;
        let media = UdpSocket::bind(any).await.context("no free UDP port for a phone's speech")?;
        let flow = Flow { transport: Transport::Udp, local: socket.local_addr()?, remote: gateway, connection: 0 };
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).context("the operating system gives no random numbers")?;
        let mut stack = Stack::new(Limits::default(), Random::from_seed(seed));
        let registration = Registration { call_id: stack.random().token().to_string(), tag: stack.random().token().to_string(), cseq: 0 };
        Ok(Self {
            account: account.clone(),
            domain: domain.to_owned(),
            socket,
            media,
            flow,
            stack,
            outbox: Vec::new(),
            arrived: VecDeque::new(),
            clock,
            registration,
            asked: None,
        })
    }

    /// Where its SIP socket is bound.
    pub(super) const fn address(&self) -> SocketAddr {
        self.flow.local
    }

    /// Its RTP socket.
    pub(super) const fn media(&self) -> &UdpSocket {
        &self.media
    }

    /// Registers for five minutes, answering the challenge.
    pub(super) async fn register(&mut self) -> anyhow::Result<()> {
        self.send_register(300).await.with_context(|| format!("{} could not register", self.account.extension))
    }

    /// Removes its binding.
    pub(super) async fn unregister(&mut self) -> anyhow::Result<()> {
        self.send_register(0).await.with_context(|| format!("{} could not remove its registration", self.account.extension))
    }

    async fn send_register(&mut self, expires: u32) -> anyhow::Result<()> {
        let (uri, to) = (format!("sip:{}", self.domain), format!("<{}>", self.address_of_record(&self.account.extension)));
        let (call_id, tag) = (self.registration.call_id.clone(), self.registration.tag.clone());
        let ask = Ask { method: Method::Register, uri: &uri, to: &to, tag: &tag, call_id: &call_id, expires: Some(expires), body: "" };
        let (response, cseq) = self.ask(&ask, self.registration.cseq).await?;
        self.registration.cseq = cseq;
        expect(&response, 200)
    }

    /// Calls a number and waits until the other phone is heard ringing.
    pub(super) async fn call(&mut self, number: &str) -> anyhow::Result<Outgoing> {
        let (uri, body) = (self.address_of_record(number), speech::description(self.media.local_addr()?));
        let to = format!("<{uri}>");
        let (call_id, tag) = (self.stack.random().token().to_string(), self.stack.random().token().to_string());
        let mut dialog = Dialog::as_client(&call_id, self.from().as_bytes(), &tag, to.as_bytes(), uri.as_bytes(), self.flow);
        let ask = Ask { method: Method::Invite, uri: &uri, to: &to, tag: &tag, call_id: &call_id, expires: None, body: &body };
        let (mut response, invite) = self.ask(&ask, 0).await.with_context(|| format!("{} called {number}", self.account.extension))?;
        dialog.local_cseq = invite;
        while response.status() != 180 {
            ensure!(response.status() < 200, "{} called {number} and got {}", self.account.extension, line(&response));
            response = self.response("ringing").await?;
        }
        dialog.learn(&response);
        Ok(Outgoing { dialog, invite })
    }

    /// Calls a number and gives up as soon as the other side rings or answers. What was heard first: `180 Ringing`, `404 Not Found`.
    pub(super) async fn attempt(&mut self, number: &str) -> anyhow::Result<(u16, String)> {
        let (uri, body) = (self.address_of_record(number), speech::description(self.media.local_addr()?));
        let to = format!("<{uri}>");
        let (call_id, tag) = (self.stack.random().token().to_string(), self.stack.random().token().to_string());
        let mut dialog = Dialog::as_client(&call_id, self.from().as_bytes(), &tag, to.as_bytes(), uri.as_bytes(), self.flow);
        let ask = Ask { method: Method::Invite, uri: &uri, to: &to, tag: &tag, call_id: &call_id, expires: None, body: &body };
        let (mut response, invite) = self.ask(&ask, 0).await.with_context(|| format!("{} called {number}", self.account.extension))?;
        let heard = (response.status(), String::from_utf8_lossy(response.reason()).into_owned());
        if response.status() < 200
            && let Some(asked) = self.asked
        {
            let now = self.clock.now();
            self.stack.cancel(asked, None, now, &mut self.outbox);
            self.work().await?;
            while response.status() < 200 {
                response = self.response("the end of the call").await?;
            }
        }
        if response.status() < 300 {
            // Somebody answered before the CANCEL arrived.
            dialog.local_cseq = invite;
            dialog.learn(&response);
            let ack = dialog.ack(invite).finish_request(b"");
            self.stack.transmit(ack, dialog.flow, &mut self.outbox);
            let bye = dialog.request(Method::Bye, b"BYE", 70).finish_request(b"");
            let now = self.clock.now();
            self.stack.request(bye, dialog.flow, now, &mut self.outbox);
            self.work().await?;
            self.response("the answer to BYE").await?;
        }
        Ok(heard)
    }

    /// Waits for the answer, acknowledges it and returns where the other phone wants speech.
    pub(super) async fn hears_answer(&mut self, call: &mut Outgoing) -> anyhow::Result<SocketAddr> {
        let response = loop {
            let response = self.response("200 OK").await?;
            if response.status() >= 200 {
                break response;
            }
        };
        expect(&response, 200).with_context(|| format!("the call of {} was not answered", self.account.extension))?;
        call.dialog.learn(&response);
        let ack = call.dialog.ack(call.invite).finish_request(b"");
        self.stack.transmit(ack, call.dialog.flow, &mut self.outbox);
        self.work().await?;
        speech::destination(response.body()).context("the answer says nothing about speech")
    }

    /// Ends the call; the other phone must see it.
    pub(super) async fn hang_up(&mut self, call: &mut Outgoing, other: &mut Self, incoming: &Incoming) -> anyhow::Result<()> {
        let mut bye = call.dialog.request(Method::Bye, b"BYE", 70);
        bye.header(Name::UserAgent, AGENT);
        let now = self.clock.now();
        self.stack.request(bye.finish_request(b""), call.dialog.flow, now, &mut self.outbox);
        self.work().await?;
        other.hears_hang_up(incoming).await?;
        expect(&self.response("200 OK to BYE").await?, 200).context("hanging up failed")
    }

    /// Waits for a call and rings.
    pub(super) async fn ring(&mut self) -> anyhow::Result<Incoming> {
        let (id, request, flow) = loop {
            match self.next("a call").await? {
                Effect::Request { id, message, flow } if message.method() == Method::Invite => {
                    break (id, message, flow);
                }
                Effect::Request { id, message, .. } => {
                    self.respond(id, Writer::response(&message, 200, "OK", None).finish_response(b"")).await?;
                }
                _ => {}
            }
        };
        let tag = self.stack.random().token().to_string();
        let dialog = Dialog::as_server(&request, &tag, flow).context("the INVITE cannot begin a dialog")?;
        let media = speech::destination(request.body()).context("the INVITE says nothing about speech")?;
        let mut ringing = Writer::response(&request, 180, "Ringing", Some(&tag));
        ringing.header(Name::Contact, self.contact().as_bytes());
        self.respond(id, ringing.finish_response(b"")).await?;
        Ok(Incoming { id, request, tag, dialog, media })
    }

    /// Waits until the caller has given up.
    #[cfg(test)]
    pub(super) async fn is_given_up(&mut self) -> anyhow::Result<()> {
        while !matches!(self.next("a CANCEL").await?, Effect::Cancelled { .. }) {}
        Ok(())
    }

    /// Picks up.
    pub(super) async fn answer(&mut self, call: &Incoming) -> anyhow::Result<()> {
        let body = speech::description(self.media.local_addr()?);
        let mut ok = Writer::response(&call.request, 200, "OK", Some(&call.tag));
        ok.header(Name::Contact, self.contact().as_bytes());
        ok.header(Name::ContentType, b"application/sdp");
        self.respond(call.id, ok.finish_response(body.as_bytes())).await
    }

    /// Waits for the ACK of the answer.
    pub(super) async fn acknowledged(&mut self, call: &Incoming) -> anyhow::Result<()> {
        loop {
            if let Effect::Ack { message, .. } = self.next("the ACK").await?
                && message.call_id() == call.dialog.call_id
            {
                return Ok(());
            }
        }
    }

    async fn hears_hang_up(&mut self, call: &Incoming) -> anyhow::Result<()> {
        loop {
            if let Effect::Request { id, message, .. } = self.next("a BYE").await? {
                let ended = message.method() == Method::Bye && message.call_id() == call.dialog.call_id;
                self.respond(id, Writer::response(&message, 200, "OK", None).finish_response(b"")).await?;
                if ended {
                    return Ok(());
                }
            }
        }
    }

    /// Sends a request outside a dialog, again with credentials when challenged, and returns the first response above 100 with the CSeq that it has.
    async fn ask(&mut self, ask: &Ask<'_>, cseq: u32) -> anyhow::Result<(Message, u32)> {
        let mut cseq = cseq + 1;
        self.send(ask, cseq, None).await?;
        let mut response = self.response("an answer").await?;
        if matches!(response.status(), 401 | 407) {
            let credentials = self.credentials(&response, ask)?;
            cseq += 1;
            self.send(ask, cseq, Some((response.status(), &credentials))).await?;
            response = self.response("an answer").await?;
        }
        Ok((response, cseq))
    }

    async fn send(&mut self, ask: &Ask<'_>, cseq: u32, credentials: Option<(u16, &str)>) -> anyhow::Result<()> {
        let token = ask.method.token();
        let mut writer = Writer::request(ask.method, token.as_bytes(), ask.uri.as_bytes());
        writer.number(Name::MaxForwards, 70);
        writer.header(Name::From, format!("{};tag={}", self.from(), ask.tag).as_bytes());
        writer.header(Name::To, ask.to.as_bytes());
        writer.header(Name::CallId, ask.call_id.as_bytes());
        writer.header(Name::CSeq, format!("{cseq} {token}").as_bytes());
        writer.header(Name::Contact, self.contact().as_bytes());
        writer.header(Name::UserAgent, AGENT);
        if let Some(expires) = ask.expires {
            writer.number(Name::Expires, expires);
        }
        if let Some((status, value)) = credentials {
            let name = if status == 401 { Name::Authorization } else { Name::ProxyAuthorization };
            writer.header(name, value.as_bytes());
        }
        if !ask.body.is_empty() {
            writer.header(Name::ContentType, b"application/sdp");
        }
        let now = self.clock.now();
        self.asked = Some(self.stack.request(writer.finish_request(ask.body.as_bytes()), self.flow, now, &mut self.outbox));
        self.work().await
    }

    /// Answers the first challenge that this phone can compute.
    fn credentials(&mut self, response: &Message, ask: &Ask<'_>) -> anyhow::Result<String> {
        let name = if response.status() == 401 { Name::WwwAuthenticate } else { Name::ProxyAuthenticate };
        let cnonce = self.stack.random().token();
        response
            .headers()
            .filter(|h| h.name == name)
            .find_map(|h| {
                digest::answer(h.value, &self.account.username, &self.account.password, ask.method.token(), ask.uri, 1, cnonce.as_str())
            })
            .with_context(|| format!("{} cannot answer any challenge of the {}", self.account.extension, line(response)))
    }

    /// The next response above 100.
    async fn response(&mut self, wanted: &str) -> anyhow::Result<Message> {
        loop {
            match self.next(wanted).await? {
                Effect::Response { message, .. } if message.status() > 100 => return Ok(message),
                Effect::Failed { why, .. } => bail!("{} sent a request that was never answered ({why:?})", self.account.extension),
                _ => {}
            }
        }
    }

    async fn respond(&mut self, id: ServerId, response: sip::build::Response) -> anyhow::Result<()> {
        let now = self.clock.now();
        self.stack.respond(id, response, now, &mut self.outbox);
        self.work().await
    }

    /// The next thing that the stack reports.
    async fn next(&mut self, wanted: &str) -> anyhow::Result<Effect> {
        let limit = time::Instant::now() + STEP;
        let mut buffer = vec![0; 65_535];
        loop {
            if let Some(effect) = self.arrived.pop_front() {
                return Ok(effect);
            }
            let now = self.clock.now();
            let timer = self.stack.deadline().map_or(STEP, |(at, _)| at.since(now));
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => {
                    let (length, remote) = received.with_context(|| format!("the gateway at {} does not listen", self.flow.remote))?;
                    let bytes = Bytes::copy_from_slice(buffer.get(..length).unwrap_or_default());
                    self.stack.receive(bytes, Flow { remote, ..self.flow }, self.clock.now(), &mut self.outbox);
                }
                () = time::sleep(timer.max(Duration::from_millis(1))) => self.stack.expire(self.clock.now(), &mut self.outbox),
                () = time::sleep_until(limit) => {
                    bail!("{} waited {} seconds for {wanted} and nothing came", self.account.extension, STEP.as_secs())
                }
            }
            self.work().await?;
        }
    }

    /// Carries out what the stack asked for.
    async fn work(&mut self) -> anyhow::Result<()> {
        for effect in std::mem::take(&mut self.outbox) {
            if let Effect::Transmit { flow, bytes } = effect {
                self.socket.send_to(&bytes, flow.remote).await.with_context(|| format!("nothing can be sent to {}", flow.remote))?;
            } else {
                self.arrived.push_back(effect);
            }
        }
        Ok(())
    }

    fn address_of_record(&self, user: &str) -> String {
        format!("sip:{user}@{}", self.domain)
    }

    fn from(&self) -> String {
        let name: String = self.account.name.chars().filter(|c| !matches!(c, '"' | '\\')).collect();
        format!("\"{name}\" <{}>", self.address_of_record(&self.account.extension))
    }

    fn contact(&self) -> String {
        format!("<sip:{}@{}>", self.account.extension, self.flow.local)
    }
}

const AGENT: &[u8] = b"Holdfast demonstration phone";

/// The address that packets to `peer` leave from; nothing is sent to find it.
fn local_address(peer: SocketAddr) -> anyhow::Result<std::net::IpAddr> {
    let any: SocketAddr =
        if peer.is_ipv4() { (std::net::Ipv4Addr::UNSPECIFIED, 0).into() } else { (std::net::Ipv6Addr::UNSPECIFIED, 0).into() };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(peer).with_context(|| format!("there is no way to the gateway at {peer}"))?;
    Ok(socket.local_addr()?.ip())
}

fn expect(response: &Message, status: u16) -> anyhow::Result<()> {
    ensure!(response.status() == status, "the answer was {}", line(response));
    Ok(())
}

fn line(response: &Message) -> String {
    format!("{} {}", response.status(), String::from_utf8_lossy(response.reason()))
}
