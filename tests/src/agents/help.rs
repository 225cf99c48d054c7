//! Calls for help on plain sockets, as no well-behaved agent would make them, and a provider that answers whoever calls: both count, and keep what they heard.

use super::{Wire, free_ports, until};
use bytes::{Bytes, BytesMut};
use sip::{
    Limits, Message,
    build::Writer,
    frame::{self, Frame},
    header::Name,
    message::Method,
};
use std::{
    fmt::Write as _,
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// How long a caller for help waits for its answer: as long as its transaction lives (64*T1).
const PATIENCE: Duration = Duration::from_secs(32);
/// How long both talk.
const TALK: Duration = Duration::from_millis(20);

/// What a provider does with a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carries {
    /// It rings and answers at once.
    Calls,
    /// It says nothing.
    Nothing,
    /// It refuses with this status.
    Refuses(u16),
}

#[derive(Debug)]
struct Shared {
    carries: Mutex<Carries>,
    heard: Mutex<Vec<(Instant, Bytes)>>,
    stop: AtomicBool,
    here: SocketAddr,
}

/// A provider on a port of its own of 127.0.0.1, over UDP and TCP.
#[derive(Debug)]
pub struct Provider {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Provider {
    /// One that listens.
    #[must_use]
    pub fn start(carries: Carries) -> Self {
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, free_ports(1)));
        let shared = Arc::new(Shared { carries: carries.into(), heard: Mutex::default(), stop: AtomicBool::new(false), here });
        let (socket, listener) = (UdpSocket::bind(here).unwrap(), TcpListener::bind(here).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (over_udp, over_tcp) = (Arc::clone(&shared), Arc::clone(&shared));
        let threads = vec![thread::spawn(move || datagrams(&over_udp, &socket)), thread::spawn(move || connections(&over_tcp, &listener))];
        Self { shared, threads }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.shared.here.port()
    }

    /// From now on it does this.
    pub fn carry(&self, carries: Carries) {
        *self.shared.carries.lock().unwrap() = carries;
    }

    /// What it has heard so far, with the moment of each.
    #[must_use]
    pub fn heard(&self) -> Vec<(Instant, Message)> {
        let heard = self.shared.heard.lock().unwrap();
        heard.iter().map(|(at, bytes)| (*at, Message::parse(bytes.clone(), &Limits::default()).unwrap())).collect()
    }

    /// When it was first called with the session description of the [`Caller`] with this number.
    #[must_use]
    pub fn called_at(&self, number: u64) -> Option<Instant> {
        let described = format!("o=help {number} ");
        let heard = self.shared.heard.lock().unwrap();
        let is = |bytes: &Bytes| bytes.starts_with(b"INVITE ") && String::from_utf8_lossy(bytes).contains(&described);
        heard.iter().find(|(_, bytes)| is(bytes)).map(|(at, _)| *at)
    }

    /// Waits until it has heard this method of so many different calls: a caller is answered before its provider hears that it has hung up.
    ///
    /// # Panics
    /// When it hears of more, or not of so many within half a minute.
    pub fn hears(&self, method: Method, calls: usize) {
        until(&format!("the provider to hear {} of {calls} calls", method.token()), super::PATIENCE, || {
            (self.calls(method) >= calls).then_some(())
        });
        assert_eq!(self.calls(method), calls, "calls with {}", method.token());
    }

    /// How many different calls it has heard this method of.
    #[must_use]
    pub fn calls(&self, method: Method) -> usize {
        let mut calls: Vec<_> = self.heard().iter().filter(|(_, m)| m.method() == method).map(|(_, m)| m.call_id().to_vec()).collect();
        calls.sort_unstable();
        calls.dedup();
        calls.len()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.shared.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that has panicked has said why.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    /// What is said to a message, in order.
    fn answers(&self, bytes: &Bytes) -> Vec<Vec<u8>> {
        let now = Instant::now();
        let Ok(message) = Message::parse(bytes.clone(), &Limits::default()) else { return Vec::new() };
        if !message.is_request() {
            return Vec::new();
        }
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push((now, bytes.clone()));
        let carries = *self.carries.lock().unwrap_or_else(PoisonError::into_inner);
        match (message.method(), carries) {
            (Method::Ack, _) | (_, Carries::Nothing) => Vec::new(),
            (Method::Invite, Carries::Calls) => vec![self.response(&message, 180, b""), self.response(&message, 200, b"v=0\r\n")],
            (Method::Invite, Carries::Refuses(status)) => vec![self.response(&message, status, b"")],
            _ => vec![self.response(&message, 200, b"")],
        }
    }

    fn response(&self, request: &Message, status: u16, body: &[u8]) -> Vec<u8> {
        let mut writer = Writer::response(request, status, sip::build::reason_phrase(status), Some("provider"));
        writer.header(Name::Contact, format!("<sip:{}>", self.here).as_bytes());
        writer.finish_response(body).bytes().to_vec()
    }
}

fn datagrams(shared: &Shared, socket: &UdpSocket) {
    let mut buffer = vec![0; 65_535];
    while !shared.stopped() {
        // Nothing came, or a peer that is gone was told something.
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        for answer in shared.answers(&Bytes::copy_from_slice(&buffer[..length])) {
            drop(socket.send_to(&answer, from));
        }
    }
}

fn connections(shared: &Arc<Shared>, listener: &TcpListener) {
    let mut open = Vec::new();
    while !shared.stopped() {
        match listener.accept() {
            Ok((stream, _)) => {
                let shared = Arc::clone(shared);
                open.push(thread::spawn(move || connection(&shared, stream)));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(Duration::from_millis(5)),
            Err(error) => panic!("the provider cannot accept: {error}"),
        }
    }
    open.into_iter().for_each(|thread| drop(thread.join()));
}

fn connection(shared: &Shared, mut stream: TcpStream) {
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let (mut frames, mut buffer) = (Frames::default(), vec![0; 65_535]);
    while !shared.stopped() {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => {
                for bytes in frames.add(&buffer[..length]) {
                    for answer in shared.answers(&bytes) {
                        drop(stream.write_all(&answer));
                    }
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}

/// Messages of a stream.
#[derive(Default)]
struct Frames {
    buffer: BytesMut,
    scanned: usize,
}

impl Frames {
    fn add(&mut self, octets: &[u8]) -> Vec<Bytes> {
        self.buffer.extend_from_slice(octets);
        let mut messages = Vec::new();
        while let Some(frame) = frame::next(&mut self.buffer, &mut self.scanned, &Limits::default()).unwrap() {
            if let Frame::Message(bytes) = frame {
                messages.push(bytes);
            }
        }
        messages
    }
}

/// A call for help that was connected: answered, acknowledged, and hung up by the caller.
#[derive(Clone, Copy, Debug)]
pub struct Connected {
    /// When its INVITE was first sent.
    pub sent: Instant,
    /// When the 200 came.
    pub answered: Instant,
}

/// A call for help that is up.
#[derive(Debug)]
pub struct Up<'a> {
    caller: &'a Caller,
    invite: &'a str,
    answer: Message,
    connected: Connected,
}

impl Up<'_> {
    /// The caller hangs up.
    ///
    /// # Errors
    /// When the gateway knows nothing of the call.
    pub fn hang_up(self) -> Result<Connected, String> {
        let bye = self.caller.inside(self.invite, &self.answer, "BYE", 2);
        let ack = self.caller.inside(self.invite, &self.answer, "ACK", 1);
        let bye = self.caller.ask_and(bye.as_bytes(), "BYE", ack.as_bytes())?;
        if bye.status() == 200 { Ok(self.connected) } else { Err(format!("the BYE was answered {}", bye.status())) }
    }
}

/// Somebody nobody knows, who calls for help.
#[derive(Debug)]
pub struct Caller {
    wire: Wire,
    way: &'static str,
    number: u64,
}

impl Caller {
    /// On this wire; `way` as in a Via.
    #[must_use]
    pub fn new(wire: Wire, way: &'static str) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { wire, way, number: NEXT.fetch_add(1, Relaxed) }
    }

    /// Its wire, for whatever else it says.
    #[must_use]
    pub const fn wire(&self) -> &Wire {
        &self.wire
    }

    /// The number of its call, as in the session description.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// An INVITE to `target` as a good phone sends it, ready to be spoilt. Its session description has the number of the call.
    #[must_use]
    pub fn invite(&self, target: &str) -> String {
        let (number, local) = (self.number, self.wire.local());
        let body =
            format!("v=0\r\no=help {number} 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\n");
        format!(
            "INVITE {target} SIP/2.0\r\nVia: SIP/2.0/{} {local};branch=z9hG4bKhelp{number}x{};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:nobody@127.0.0.1>;tag=h{number}\r\nTo: <{target}>\r\nCall-ID: help-{number}-{}\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:nobody@{local}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
            self.way,
            std::process::id(),
            local.port(),
            body.len()
        )
    }

    /// Calls with this INVITE, talks for a moment, hangs up.
    ///
    /// # Errors
    /// What happened instead of a connected call.
    pub fn call(&self, invite: &str) -> Result<Connected, String> {
        let up = self.connect(invite)?;
        thread::sleep(TALK);
        up.hang_up()
    }

    /// Calls with this INVITE.
    ///
    /// # Errors
    /// What happened instead of an answer.
    pub fn connect<'a>(&'a self, invite: &'a str) -> Result<Up<'a>, String> {
        let sent = Instant::now();
        let answer = self.ask(invite.as_bytes(), "INVITE")?;
        let answered = Instant::now();
        if answer.status() != 200 {
            return Err(format!("answered {} {}", answer.status(), String::from_utf8_lossy(answer.reason())));
        }
        self.wire.send(self.inside(invite, &answer, "ACK", 1).as_bytes());
        Ok(Up { caller: self, invite, answer, connected: Connected { sent, answered } })
    }

    /// A request inside the dialog, by a phone that writes From as it does in its INVITE.
    fn inside(&self, invite: &str, answer: &Message, method: &str, cseq: u32) -> String {
        let text = |name| String::from_utf8_lossy(answer.header(name).unwrap_or_default()).into_owned();
        let target = answer.contact().map_or_else(String::new, |contact| String::from_utf8_lossy(contact.uri).into_owned());
        // A folded one is all that stands until the next line that begins at its margin.
        let mut lines = invite.lines().skip_while(|line| !line.starts_with("From:") && !line.starts_with("f:"));
        let first = lines.next().map(str::to_owned);
        let folds: String = lines.take_while(|line| line.starts_with([' ', '\t'])).collect();
        let from = first.map_or_else(|| format!("From: {}", text(Name::From)), |first| first + &folds);
        let cseq = answer.cseq().map_or(0, |cseq| cseq.number) + cseq - 1;
        let mut request = format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/{} {};branch=z9hG4bKhelp{}{method}{};rport\r\nMax-Forwards: 70\r\n{from}\r\n",
            self.way,
            self.wire.local(),
            self.number,
            std::process::id()
        );
        write!(request, "To: {}\r\nCall-ID: {}\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n", text(Name::To), text(Name::CallId))
            .unwrap();
        request
    }

    /// Sends a request, again and again over UDP, until its final answer comes.
    fn ask(&self, request: &[u8], method: &str) -> Result<Message, String> {
        self.ask_and(request, method, b"")
    }

    /// And acknowledges the answer to the INVITE again when that comes again.
    fn ask_and(&self, request: &[u8], method: &str, ack: &[u8]) -> Result<Message, String> {
        let begin = Instant::now();
        let (mut frames, mut again, mut heard) = (Frames::default(), Duration::from_millis(500), false);
        self.wire.send(request);
        let mut next = begin + again;
        while begin.elapsed() < PATIENCE {
            let (asked, wait) = (Instant::now(), next.saturating_duration_since(Instant::now()).max(Duration::from_millis(1)));
            let some = self.wire.read(wait, |all| !all.is_empty());
            if some.is_empty() && matches!(self.wire, Wire::Tcp(_)) && asked.elapsed() < wait {
                return Err(format!("the connection was closed before the answer to the {method}"));
            }
            for bytes in frames.add(&some) {
                let message = Message::parse(bytes, &Limits::default()).map_err(|error| error.to_string())?;
                let mine = message.call_id().starts_with(format!("help-{}-", self.number).as_bytes());
                if mine && message.status() == 200 && message.method() == Method::Invite && !ack.is_empty() {
                    self.wire.send(ack);
                }
                if message.is_request() || message.method_token() != method.as_bytes() || !mine {
                    continue;
                }
                heard = true;
                if message.status() >= 200 {
                    return Ok(message);
                }
            }
            if Instant::now() >= next {
                again = (again * 2).min(Duration::from_secs(4));
                next = Instant::now() + again;
                if matches!(self.wire, Wire::Udp(_)) && !(heard && method == "INVITE") {
                    self.wire.send(request);
                }
            }
        }
        Err(format!("no answer to the {method} within {PATIENCE:?}"))
    }
}
