//! Thousands of phones on one socket that only register: at a rate, or one after the other, and that remember what they were told.

use super::DOMAIN;
use bytes::Bytes;
use sip::{Limits, Message, digest, header::Name};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

/// What a phone wants of its registration.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// To know it.
    Query,
    /// A new contact in the place of the one that it has.
    Bind,
    /// None any more.
    Unbind,
}

/// One of the phones.
#[derive(Debug, Default)]
struct Phone {
    user: String,
    /// The challenge that its credentials answer, and how often they did.
    challenge: Option<(Vec<u8>, u32)>,
    /// Number of its latest contact.
    contact: u32,
    /// The contact that was acknowledged last.
    bound: Option<u32>,
}

/// A REGISTER without an answer.
#[derive(Debug)]
struct Open {
    phone: usize,
    wish: Wish,
    /// What the phone would be bound to.
    contact: Option<u32>,
    text: String,
    sent: Instant,
}

/// The phones.
#[derive(Debug)]
pub struct Fleet {
    socket: UdpSocket,
    local: SocketAddr,
    phones: Vec<Phone>,
    open: BTreeMap<u32, Open>,
    next: u32,
    /// REGISTERs that were answered 200, queries apart.
    pub acknowledged: u64,
    /// Phones that were challenged although they had credentials, `stale` or not.
    pub challenged_again: u64,
    /// REGISTERs that were answered 503, all of them with Retry-After.
    pub unavailable: u64,
    /// What queries have shown, by phone: numbers of contacts.
    shown: BTreeMap<usize, BTreeSet<u32>>,
}

impl Fleet {
    /// Phones with these users, whose passwords are `pw-USER`, of the gateway at `port` on loopback.
    #[must_use]
    pub fn new(port: u16, users: impl IntoIterator<Item = String>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        let local = socket.local_addr().unwrap();
        let phones = users.into_iter().map(|user| Phone { user, ..Phone::default() }).collect();
        Self {
            socket,
            local,
            phones,
            open: BTreeMap::new(),
            next: 0,
            acknowledged: 0,
            challenged_again: 0,
            unavailable: 0,
            shown: BTreeMap::new(),
        }
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.phones.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.phones.is_empty()
    }

    /// Whose contact was acknowledged last, as far as this fleet knows.
    #[must_use]
    pub fn bound(&self) -> BTreeSet<&str> {
        self.phones.iter().filter(|phone| phone.bound.is_some()).map(|phone| phone.user.as_str()).collect()
    }

    /// Sends a REGISTER of this phone, unless one is without an answer.
    pub fn send(&mut self, place: usize, wish: Wish) {
        if !self.open.values().any(|open| open.phone == place) {
            self.ask(place, wish);
        }
    }

    fn ask(&mut self, place: usize, wish: Wish) {
        self.next += 1;
        let (number, local) = (self.next, self.local);
        let phone = &mut self.phones[place];
        let user = &phone.user;
        let uri = |contact: u32| format!("<sip:{user}@{local};line={contact}>");
        let (contact, lines) = match wish {
            Wish::Query => (phone.bound, String::new()),
            Wish::Unbind => (None, "Contact: *\r\nExpires: 0\r\n".to_owned()),
            Wish::Bind => {
                phone.contact += 1;
                let mut line = format!("Contact: {};expires=3600", uri(phone.contact));
                if let Some(old) = phone.bound {
                    write!(line, ", {};expires=0", uri(old)).unwrap();
                }
                (Some(phone.contact), line + "\r\n")
            }
        };
        let target = format!("sip:{DOMAIN}");
        let credentials = phone.challenge.as_mut().map_or_else(String::new, |(challenge, uses)| {
            *uses += 1;
            let (password, nonce) = (format!("pw-{user}"), format!("c{number}"));
            let answer = digest::answer(challenge, user, &password, "REGISTER", &target, *uses, &nonce).unwrap();
            format!("Authorization: {answer}\r\n")
        });
        let text = format!(
            "REGISTER {target} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{port}x{number};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{DOMAIN}>;tag={number}\r\nTo: <sip:{user}@{DOMAIN}>\r\nCall-ID: {user}-{port}\r\nCSeq: {number} REGISTER\r\n\
             {lines}{credentials}Content-Length: 0\r\n\r\n",
            port = local.port()
        );
        // A door that is closed is knocked at again.
        drop(self.socket.send(text.as_bytes()));
        self.open.insert(number, Open { phone: place, wish, contact, text, sent: Instant::now() });
    }

    /// Takes in what has arrived, waiting a millisecond when there is nothing; whether there was something.
    pub fn receive(&mut self) -> bool {
        let mut buffer = [0; 65_535];
        let length = match self.socket.recv(&mut buffer) {
            Ok(length) => length,
            // Nobody listens at the moment; what had come before may still be there.
            Err(error) => return error.kind() == ErrorKind::ConnectionRefused,
        };
        let message = Message::parse(Bytes::copy_from_slice(&buffer[..length]), &Limits::default()).unwrap();
        let Some(open) = message.cseq().and_then(|cseq| self.open.remove(&cseq.number)) else { return true };
        let phone = &mut self.phones[open.phone];
        match message.status() {
            200 => match open.wish {
                Wish::Query => {
                    let contacts = message.values(Name::Contact).map(line_of).collect();
                    self.shown.insert(open.phone, contacts);
                }
                Wish::Bind | Wish::Unbind => {
                    phone.bound = open.contact;
                    self.acknowledged += 1;
                }
            },
            401 => {
                self.challenged_again += u64::from(phone.challenge.is_some());
                phone.challenge = Some((message.header(Name::WwwAuthenticate).unwrap().to_vec(), 0));
                self.ask(open.phone, open.wish);
            }
            503 => {
                assert!(message.number(Name::RetryAfter).is_some_and(|seconds| seconds > 0), "{message:?}");
                self.unavailable += 1;
            }
            status => panic!("{} was answered {status} to {:?}", phone.user, open.wish),
        }
        true
    }

    /// Takes in what has arrived, and sends again what has no answer for half a second, until nothing is without an answer.
    ///
    /// # Panics
    /// After a minute.
    pub fn settle(&mut self) {
        self.settle_every(Duration::from_millis(500));
    }

    fn settle_every(&mut self, again: Duration) {
        let ends = Instant::now() + Duration::from_secs(60);
        while !self.open.is_empty() {
            if self.receive() {
                continue;
            }
            assert!(Instant::now() < ends, "{} REGISTERs have no answer", self.open.len());
            for open in self.open.values_mut().filter(|open| open.sent.elapsed() >= again) {
                open.sent = Instant::now();
                drop(self.socket.send(open.text.as_bytes()));
            }
        }
    }

    /// Has all of these phones register, a hundred at a time.
    pub fn all(&mut self, phones: impl IntoIterator<Item = usize>, wish: Wish) {
        for place in phones {
            self.send(place, wish);
            while self.open.len() >= 100 {
                if !self.receive() {
                    // Something was lost.
                    self.settle();
                }
            }
        }
        self.settle();
    }

    /// So many registrations a second for so long, one phone after the other beginning with `first`; each ninth one takes its contact away. Returns the next phone.
    pub fn load(&mut self, first: usize, rate: u32, time: Duration) -> usize {
        let (begin, mut sent) = (Instant::now(), 0_u32);
        while begin.elapsed() < time {
            while f64::from(sent) < begin.elapsed().as_secs_f64() * f64::from(rate) {
                let place = (first + sent as usize) % self.phones.len();
                sent += 1;
                let away = sent.is_multiple_of(9) && self.phones[place].bound.is_some();
                self.send(place, if away { Wish::Unbind } else { Wish::Bind });
            }
            self.receive();
        }
        first + sent as usize
    }

    /// The gateway has been killed: what it had sent is taken in, what has no answer stays so. Returns those phones, and what each is bound to when its REGISTER
    /// was kept all the same.
    pub fn killed(&mut self) -> BTreeMap<usize, Option<u32>> {
        while self.receive() {}
        std::mem::take(&mut self.open).into_values().map(|open| (open.phone, open.contact)).collect()
    }

    /// Asks for one phone's registration again and again, every few milliseconds, until that is answered: the gateway is up.
    pub fn first_answer(&mut self) -> Instant {
        self.ask(0, Wish::Query);
        self.settle_every(Duration::from_millis(5));
        Instant::now()
    }

    /// Asks for all registrations, and compares them with what was acknowledged. Phones in `either` may instead be bound as it says there: their REGISTER had no
    /// answer. Returns how many of those were kept. Afterwards the phones know how they are registered.
    ///
    /// # Panics
    /// When one is different.
    pub fn compare(&mut self, either: &BTreeMap<usize, Option<u32>>) -> usize {
        self.shown.clear();
        self.all(0..self.len(), Wish::Query);
        let mut kept = 0;
        for (place, shown) in std::mem::take(&mut self.shown) {
            let phone = &mut self.phones[place];
            let set = |bound: Option<u32>| bound.into_iter().collect::<BTreeSet<_>>();
            if shown != set(phone.bound) {
                let other = either.get(&place).copied();
                assert_eq!(
                    Some(&shown),
                    other.map(set).as_ref(),
                    "{}: acknowledged {:?}, without an answer {other:?}",
                    phone.user,
                    phone.bound
                );
                phone.bound = other.flatten();
                kept += 1;
            }
        }
        kept
    }
}

fn line_of(contact: &[u8]) -> u32 {
    let text = String::from_utf8_lossy(contact);
    let (_, line) = text.split_once(";line=").unwrap();
    line.split('>').next().unwrap().parse().unwrap()
}
