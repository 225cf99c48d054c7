//! How a message finds its transaction: our own branches say it themselves, those of others are looked up by a keyed hash.

use crate::{
    Message,
    header::{CSeq, Via},
    message::Method,
    random::{Random, Token},
};
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128 as _, SipHasher13};
use std::hash::{BuildHasherDefault, Hash, Hasher};

/// What begins every branch that is unique in space and time (RFC 3261 8.1.1.7).
const COOKIE: &[u8] = b"z9hG4bK";

/// A branch of ours: the id of the client transaction, and 64 random bits that nobody who did not see the branch can guess.
///
/// It tells us again what we wrote, so a response needs no table to find its transaction, and a request that comes back is recognised.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Branch {
    pub(crate) id: u64,
    pub(crate) nonce: u64,
}

impl Branch {
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(COOKIE);
        write_hex(self.id, out);
        write_hex(self.nonce, out);
    }

    /// Reads a branch that looks like one of ours.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let (cookie, rest) = text.split_at_checked(COOKIE.len())?;
        let (id, nonce) = rest.split_at_checked(16)?;
        // Tokens match in any case (7.3.1), and there are peers that change it.
        if nonce.len() != 16 || !cookie.eq_ignore_ascii_case(COOKIE) {
            return None;
        }
        Some(Self { id: read_hex(id)?, nonce: read_hex(nonce)? })
    }
}

pub(crate) fn write_hex(value: u64, out: &mut Vec<u8>) {
    for shift in (0..16).rev() {
        let nibble = u8::try_from((value >> (4 * shift)) & 0xf).unwrap_or(0);
        out.push(if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 });
    }
}

fn read_hex(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |value, digit| {
        let nibble = char::from(*digit).to_digit(16)?;
        Some((value << 4) | u64::from(nibble))
    })
}

/// What a server transaction is found by: 128 bits of a keyed hash, so that no peer can choose two requests that collide.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    low: u64,
    high: u64,
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.low);
    }
}

/// The hasher of tables whose keys are keyed hashes already.
#[derive(Debug, Default)]
pub(crate) struct Hashed(u64);

impl Hasher for Hashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

pub(crate) type Keyed = BuildHasherDefault<Hashed>;

/// The key of all hashes of one stack, drawn from its seed.
#[derive(Debug)]
pub(crate) struct Keys {
    first: u64,
    second: u64,
}

impl Keys {
    pub(crate) fn new(random: &mut Random) -> Self {
        Self { first: random.next_u64(), second: random.next_u64() }
    }

    /// RFC 3261 17.2.3: "the branch parameter in the request is the same as the one in the top Via header field of the request that
    /// created the transaction", "the sent-by value … is equal", and the method matches, except for ACK, where it is INVITE.
    /// CANCEL asks for the INVITE that it cancels.
    ///
    /// Without the cookie the branch means nothing (RFC 2543): then Request-URI, From tag, Call-ID, CSeq number and top Via decide.
    /// The To tag is left out, because an ACK has one where its INVITE had none.
    pub(crate) fn transaction(&self, message: &Message, via: &Via<'_>) -> Key {
        let method = match message.method() {
            Method::Ack | Method::Cancel | Method::Invite => b"INVITE",
            Method::Bye
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
            | Method::Other => message.method_token(),
        };
        let branch = via.branch().unwrap_or_default();
        if branch.get(..COOKIE.len()).is_some_and(|start| start.eq_ignore_ascii_case(COOKIE)) {
            let port = via.port.map_or([0; 3], |port| {
                let [high, low] = port.to_be_bytes();
                [1, high, low]
            });
            return self.hash(1, &[method, branch, &port], via.host);
        }
        let number = cseq_number(message);
        let from_tag = message.from().and_then(|from| from.tag()).unwrap_or_default();
        self.hash(2, &[method, message.request_uri(), from_tag, message.call_id(), &number, via.raw], b"")
    }

    /// RFC 3261 8.2.2.2: what a request that reached us by two ways has in common: From tag, Call-ID and CSeq.
    pub(crate) fn merged(&self, message: &Message) -> Key {
        let from_tag = message.from().and_then(|from| from.tag()).unwrap_or_default();
        self.hash(3, &[from_tag, message.call_id(), &cseq_number(message), message.method_token()], b"")
    }

    /// The To tag of an answer without a transaction: the same for every retransmission (RFC 3261 8.2.7), and known again in the ACK.
    pub(crate) fn stateless_tag(&self, message: &Message) -> Token {
        let via = message.via().map(|via| via.raw).unwrap_or_default();
        Token::from_bits(self.hash(4, &[via, message.call_id(), &cseq_number(message)], b"").low)
    }

    /// Hashes `parts` and, in any case, `host`.
    fn hash(&self, domain: u8, parts: &[&[u8]], host: &[u8]) -> Key {
        let mut hasher = SipHasher13::new_with_keys(self.first, self.second);
        hasher.write_u8(domain);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        let mut lower = [0u8; 64];
        for chunk in host.chunks(lower.len()) {
            for (slot, byte) in lower.iter_mut().zip(chunk) {
                *slot = byte.to_ascii_lowercase();
            }
            hasher.write(lower.get(..chunk.len()).unwrap_or_default());
        }
        let hash = hasher.finish128();
        Key { low: hash.h1, high: hash.h2 }
    }
}

fn cseq_number(message: &Message) -> [u8; 4] {
    message.cseq().map_or(0, |CSeq { number, .. }| number).to_be_bytes()
}
