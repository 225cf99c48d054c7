//! A small phone on a blocking socket.

use super::gateway::Gateway;
use bytes::Bytes;
use sip::{Message, build::Writer, header::Name, message::Method};
use std::{
    cell::{Cell, RefCell},
    net::{SocketAddr, UdpSocket},
    sync::mpsc::{Receiver, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

pub(crate) struct Phone {
    socket: UdpSocket,
    gateway: SocketAddr,
    sequence: Cell<u32>,
    last: RefCell<Option<Message>>,
}

impl Phone {
    pub(crate) fn new(gateway: &Gateway) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        Self { socket, gateway: gateway.udp(), sequence: Cell::new(0), last: RefCell::default() }
    }

    /// Sends a request until it is answered, as transactions do; its final response.
    fn request(&self, method: &str, user: &str, extra: &str) -> Option<Message> {
        let sequence = self.sequence.get() + 1;
        self.sequence.set(sequence);
        let local = self.socket.local_addr().unwrap();
        let text = format!(
            "{method} sip:sip.example SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{}-{sequence};rport\r\nMax-Forwards: 70\r\nFrom: <sip:{user}@sip.example>;tag=t\r\nTo: <sip:{user}@sip.example>\r\nCall-ID: {}@phone\r\nCSeq: {sequence} {method}\r\n{extra}Content-Length: 0\r\n\r\n",
            local.port(),
            local.port()
        );
        for _ in 0..8 {
            self.socket.send_to(text.as_bytes(), self.gateway).unwrap();
            let mut buffer = [0; 65_535];
            while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
                let message = Message::parse(Bytes::copy_from_slice(&buffer[..length]), &sip::Limits::default()).unwrap();
                if message.status() >= 200 && message.cseq().unwrap().number == sequence {
                    *self.last.borrow_mut() = Some(message.clone());
                    return Some(message);
                }
            }
        }
        None
    }

    pub(crate) fn options(&self) -> bool {
        self.request("OPTIONS", "anybody", "").is_some_and(|m| m.status() == 200)
    }

    fn contact(&self, seconds: Option<u32>) -> String {
        let local = self.socket.local_addr().unwrap();
        seconds.map_or_else(String::new, |seconds| format!("Contact: <sip:{local}>\r\nExpires: {seconds}\r\n"))
    }

    /// The challenge to a REGISTER without credentials.
    pub(crate) fn challenge(&self, user: &str) -> Vec<u8> {
        let response = self.request("REGISTER", user, &self.contact(Some(60))).expect("no answer");
        assert_eq!(response.status(), 401);
        response.header(Name::WwwAuthenticate).unwrap().to_vec()
    }

    /// Answers a challenge; the status.
    pub(crate) fn answer(&self, challenge: &[u8], user: &str, password: &str, seconds: Option<u32>) -> u16 {
        let credentials = sip::digest::answer(challenge, user, password, "REGISTER", "sip:sip.example", 1, "0a4f113b").unwrap();
        let extra = format!("Authorization: {credentials}\r\n{}", self.contact(seconds));
        self.request("REGISTER", user, &extra).expect("no answer").status()
    }

    /// Registers for so many seconds, or (`None`) asks for the bindings; the final status.
    pub(crate) fn register(&self, user: &str, password: &str, seconds: Option<u32>) -> u16 {
        let challenge = self.challenge(user);
        self.answer(&challenge, user, password, seconds)
    }

    /// From now on it answers whatever it is asked, until the test ends; what it hears.
    pub(crate) fn listens(self) -> Receiver<Message> {
        listen(self.socket)
    }

    /// Sends an INVITE to `uri` until it is answered, and acknowledges the answer; its status.
    pub(crate) fn calls(&self, uri: &str) -> u16 {
        let local = self.socket.local_addr().unwrap();
        let session = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0\r\n";
        let port = local.port();
        let request = |method: &str, to: &str, body: &str| {
            format!(
                "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{method}-{port};rport\r\nMax-Forwards: 70\r\nFrom: \"Workshop\" <sip:1002@sip.example>;tag=t\r\nTo: {to}\r\nCall-ID: {port}@caller\r\nCSeq: 1 {method}\r\nContact: <sip:{local}>\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        for _ in 0..20 {
            self.socket.send_to(request("INVITE", &format!("<{uri}>"), session).as_bytes(), self.gateway).unwrap();
            let mut buffer = [0; 65_535];
            while let Ok((length, _)) = self.socket.recv_from(&mut buffer) {
                let message = Message::parse(Bytes::copy_from_slice(&buffer[..length]), &sip::Limits::default()).unwrap();
                if message.status() >= 200 {
                    let to = String::from_utf8_lossy(message.header(Name::To).unwrap()).into_owned();
                    self.socket.send_to(request("ACK", &to, "").as_bytes(), self.gateway).unwrap();
                    return message.status();
                }
            }
        }
        panic!("no answer to the INVITE")
    }

    /// From now on it answers every call, on a thread of its own, until it is hung up; then what it has heard.
    pub(crate) fn answers(self) -> JoinHandle<Vec<String>> {
        std::thread::spawn(move || {
            self.socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            let mut heard: Vec<(String, u32)> = Vec::new();
            let mut buffer = [0; 65_535];
            loop {
                let (length, from) = self.socket.recv_from(&mut buffer).expect("the gateway is silent");
                let message = Message::parse(Bytes::copy_from_slice(&buffer[..length]), &sip::Limits::default()).unwrap();
                // What comes again because an answer was late counts once.
                let said = (String::from_utf8_lossy(message.method_token()).into_owned(), message.cseq().unwrap().number);
                if !heard.contains(&said) {
                    heard.push(said);
                }
                if message.method() == Method::Ack {
                    continue;
                }
                let mut response = Writer::response(&message, 200, "OK", Some("callee"));
                response.header(Name::Contact, format!("<sip:{}>", self.socket.local_addr().unwrap()).as_bytes());
                let session = &b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"[..];
                let body = if message.method() == Method::Invite { session } else { b"" };
                response.header(Name::ContentType, b"application/sdp");
                self.socket.send_to(response.finish_response(body).bytes(), from).unwrap();
                if message.method() == Method::Bye {
                    return heard.into_iter().map(|(method, _)| method).collect();
                }
            }
        })
    }

    /// For how many seconds the last response says that it is registered.
    pub(crate) fn granted(&self) -> u32 {
        let last = self.last.borrow();
        let contact = last.as_ref().unwrap().header(Name::Contact).unwrap();
        String::from_utf8_lossy(contact).split_once("expires=").unwrap().1.split(';').next().unwrap().parse().unwrap()
    }

    /// How many contacts the last response listed.
    pub(crate) fn contacts(&self) -> usize {
        self.last.borrow().as_ref().map_or(0, |m| m.values(Name::Contact).count())
    }
}

/// Answers every request at `socket`, an INVITE after it has rung, until the test ends; each that was not heard before is handed on.
pub(crate) fn listen(socket: UdpSocket) -> Receiver<Message> {
    let (heard, inbox) = sync_channel(64);
    std::thread::spawn(move || {
        socket.set_read_timeout(None).unwrap();
        let mut known: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let mut buffer = [0; 65_535];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let message = Message::parse(Bytes::copy_from_slice(&buffer[..length]), &sip::Limits::default()).unwrap();
            if message.status() > 0 {
                continue;
            }
            if message.method() != Method::Ack {
                let statuses: &[(u16, &str)] =
                    if message.method() == Method::Invite { &[(180, "Ringing"), (200, "OK")] } else { &[(200, "OK")] };
                for (status, phrase) in statuses {
                    let mut response = Writer::response(&message, *status, phrase, Some("listens"));
                    response.header(Name::Contact, format!("<sip:{}>", socket.local_addr().unwrap()).as_bytes());
                    let session =
                        &b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"[..];
                    let body = if *status == 200 && message.method() == Method::Invite { session } else { b"" };
                    response.header(Name::ContentType, b"application/sdp");
                    socket.send_to(response.finish_response(body).bytes(), from).unwrap();
                }
            }
            let said = (message.call_id().to_vec(), message.header(Name::CSeq).unwrap().to_vec());
            if !known.contains(&said) {
                known.push(said);
                // The test may be over.
                if heard.send(message).is_err() {
                    return;
                }
            }
        }
    });
    inbox
}
