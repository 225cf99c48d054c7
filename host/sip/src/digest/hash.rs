//! The hashes of RFC 7616 section 3.4, made from slices.

use md5::Md5;
use sha2::{Digest, Sha256};

/// Hash function of a challenge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Algorithm {
    /// RFC 8760; offered first.
    Sha256,
    /// What most phones still speak.
    Md5,
}

impl Algorithm {
    /// The token of the `algorithm` field.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    /// The hexadecimal hash of the parts joined by colons.
    pub(super) fn hash(self, parts: &[&[u8]]) -> Hex {
        match self {
            Self::Sha256 => hash::<Sha256>(parts),
            Self::Md5 => hash::<Md5>(parts),
        }
    }
}

fn hash<D: Digest>(parts: &[&[u8]]) -> Hex {
    let mut state = D::new();
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            state.update(b":");
        }
        state.update(part);
    }
    Hex::from_octets(&state.finalize())
}

/// A hash in lower-case hexadecimal, on the stack.
#[derive(Clone, Copy)]
pub(super) struct Hex {
    text: [u8; 64],
    length: usize,
}

impl Hex {
    pub(super) fn from_octets(octets: &[u8]) -> Self {
        let mut text = [b'0'; 64];
        let mut length = 0;
        for (pair, octet) in text.chunks_exact_mut(2).zip(octets) {
            if let [high, low] = pair {
                (*high, *low) = (digit(octet >> 4), digit(octet & 0xf));
            }
            length += 2;
        }
        Self { text, length }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.get(..self.length).unwrap_or_default()
    }

    pub(super) fn as_str(&self) -> &str {
        core::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

const fn digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// H(user ":" realm ":" password) per algorithm, in lower-case hexadecimal. A user without the hash of an algorithm cannot answer its challenge.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Ha1 {
    /// MD5, 32 characters.
    pub md5: Option<String>,
    /// SHA-256, 64 characters.
    pub sha256: Option<String>,
}

impl Ha1 {
    /// Both hashes of a clear-text password.
    #[must_use]
    pub fn from_password(username: &str, realm: &str, password: &str) -> Self {
        let of = |algorithm: Algorithm| {
            let hex = algorithm.hash(&[username.as_bytes(), realm.as_bytes(), password.as_bytes()]);
            Some(hex.as_str().to_owned())
        };
        Self { md5: of(Algorithm::Md5), sha256: of(Algorithm::Sha256) }
    }

    pub(super) fn of(&self, algorithm: Algorithm) -> Option<&str> {
        match algorithm {
            Algorithm::Sha256 => self.sha256.as_deref(),
            Algorithm::Md5 => self.md5.as_deref(),
        }
    }
}

impl core::fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Ha1(secret)")
    }
}

/// What an answer with quality of protection hashes besides, each as received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Qop<'a> {
    pub(super) nc: &'a [u8],
    pub(super) cnonce: &'a [u8],
    pub(super) qop: &'a [u8],
}

/// The public part of a response hash.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof<'a> {
    pub(super) nonce: &'a [u8],
    pub(super) qop: Option<&'a Qop<'a>>,
    pub(super) method: &'a [u8],
    pub(super) uri: &'a [u8],
}

impl Proof<'_> {
    /// RFC 7616 3.4.1: KD(H(A1), nonce ":" nc ":" cnonce ":" qop ":" H(A2)); without qop, as in RFC 2069, KD(H(A1), nonce ":" H(A2)).
    pub(super) fn response(&self, algorithm: Algorithm, ha1: &[u8]) -> Hex {
        let ha2 = algorithm.hash(&[self.method, self.uri]);
        match self.qop {
            Some(Qop { nc, cnonce, qop }) => algorithm.hash(&[ha1, self.nonce, nc, cnonce, qop, ha2.as_bytes()]),
            None => algorithm.hash(&[ha1, self.nonce, ha2.as_bytes()]),
        }
    }

    /// Whether `response` is right. Without an HA1 it never is, after the same work.
    pub(super) fn holds(&self, algorithm: Algorithm, ha1: Option<&str>, response: &[u8]) -> bool {
        const NOBODY: &[u8] = &[b'0'; 64];
        let length = match algorithm {
            Algorithm::Sha256 => 64,
            Algorithm::Md5 => 32,
        };
        let nobody = NOBODY.get(..length).unwrap_or_default();
        let expected = self.response(algorithm, ha1.map_or(nobody, str::as_bytes));
        equal_in_constant_time(expected.as_bytes(), response) & ha1.is_some()
    }
}

/// Compares without telling by its duration where the difference is. RFC 7616 3.4 wants lower case; upper case is taken as well.
pub(super) fn equal_in_constant_time(ours: &[u8], theirs: &[u8]) -> bool {
    if ours.len() != theirs.len() {
        return false;
    }
    let difference = ours.iter().zip(theirs).fold(0_u8, |all, (a, b)| core::hint::black_box(all | (a ^ b.to_ascii_lowercase())));
    difference == 0
}
