//! Digest authentication (RFC 7616, RFC 8760): MD5 and SHA-256, `qop=auth`, nonces that need no table.

mod answer;
mod fields;
mod hash;
mod nonce;
#[cfg(test)]
mod tests;

pub use answer::{answer, stale};
pub use hash::{Algorithm, Ha1};

use crate::{Instant, Message, header::Name, random::Random, uri::Uri};
use fields::{Fields, unescape};
use hash::Proof;
use nonce::{Age, Nonces};

/// Makes and checks nonces: time and randomness, authenticated with a key that the shell keeps over restarts.
///
/// It may be shared between threads. No nonce is stored when it is handed out; only the counts of nonces that came back with the right
/// hash are remembered, so that nobody without a password can fill the memory. A count that was used before a restart and is
/// replayed after it, within the life of its nonce, is not recognised.
#[derive(Debug)]
pub struct Authenticator {
    realm: String,
    /// The realm as it stands between quotes.
    realm_text: String,
    nonces: Nonces,
    algorithms: Vec<Algorithm>,
    accept_without_qop: bool,
}

/// What a request's credentials turned out to be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Right.
    Accepted,
    /// No credentials for our realm: challenge.
    Missing,
    /// The hash was right, but the nonce is too old or not ours, or its nonce count was used before: challenge with `stale=true`, so that
    /// the phone tries again without asking its user (RFC 7616 3.3).
    Stale,
    /// Wrong: challenge again (RFC 3261 22.1), never telling whether the user exists.
    Wrong,
    /// Malformed credentials: 400.
    Malformed(&'static str),
}

impl Authenticator {
    /// `key` authenticates nonces; `nonce_seconds` is how long one may be used (then `stale=true`); at most `replay_entries` nonce counts are
    /// remembered. When they are full, the nonce that was issued first is forgotten, and it and all older ones become stale.
    ///
    /// Both algorithms are offered, and answers without `qop` are accepted; see [`Authenticator::offer`] and [`Authenticator::require_qop`].
    #[must_use]
    pub fn new(realm: &str, key: [u8; 32], nonce_seconds: u32, replay_entries: usize) -> Self {
        Self {
            realm: realm.to_owned(),
            realm_text: fields::escape(realm),
            nonces: Nonces::new(realm, &key, nonce_seconds, replay_entries),
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
            accept_without_qop: true,
        }
    }

    /// Offers and accepts only these algorithms, in this order. A challenge goes out before the user is known, and phones answer the first
    /// algorithm that they know (RFC 8760 2.4): where some user has an MD5 hash only, leave SHA-256 out, or that user may never get in.
    #[must_use]
    pub fn offer(mut self, algorithms: &[Algorithm]) -> Self {
        self.algorithms = algorithms.to_vec();
        self
    }

    /// Refuses answers without `qop`. Such answers of old phones (RFC 2069) carry no nonce count: whoever overhears one can send
    /// it again for the same method and URI until the nonce is too old. RFC 3261 22.4 obliges servers to accept them, so the default does.
    #[must_use]
    pub const fn require_qop(mut self) -> Self {
        self.accept_without_qop = false;
        self
    }

    /// The realm of challenges.
    #[must_use]
    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// Who the request says it is: the `username` of the credentials for our realm, from Authorization or Proxy-Authorization, escapes
    /// decoded. Octets that are not UTF-8 become U+FFFD, which is in nobody's name.
    #[must_use]
    pub fn claimed_username(&self, request: &Message) -> Option<String> {
        let username = self.credentials(request)?.username?;
        Some(unescape(username))
    }

    /// Checks the credentials against `ha1`; `None` = no such user, which takes the same time and gives [`Verdict::Wrong`].
    ///
    /// Call it once for each request: a nonce count is used up by it.
    ///
    /// The digest `uri` must name the same user or number as the Request-URI, after unescaping; scheme, host, port and parameters may
    /// differ. RFC 7616 3.4.6 asks for the same resource, but the proxies and gateways on the way to us rewrite the host, and phones
    /// write the domain of their cloud. What is called is in the user part, so nobody can use credentials of one call for another.
    #[must_use]
    pub fn verify(&self, request: &Message, ha1: Option<&Ha1>, now: Instant) -> Verdict {
        let Some(fields) = self.credentials(request) else { return Verdict::Missing };
        let (Some(_), Some(nonce), Some(uri), Some(response)) = (fields.username, fields.nonce, fields.uri, fields.response) else {
            return Verdict::Malformed("Incomplete Credentials");
        };
        // RFC 7616 3.4: an algorithm that was not offered cannot be judged; challenging again names those that can.
        let Some(algorithm) = fields.algorithm().filter(|a| self.algorithms.contains(a)) else { return Verdict::Wrong };
        let count = match fields.qop {
            None if !self.accept_without_qop => return Verdict::Wrong,
            None => None,
            Some(qop) if !qop.eq_ignore_ascii_case(b"auth") => return Verdict::Malformed("Unsupported qop"),
            Some(qop) => {
                let (Some(nc), Some(cnonce)) = (fields.nc, fields.cnonce) else { return Verdict::Malformed("Incomplete Credentials") };
                let Some(number) = nonce_count(nc) else { return Verdict::Malformed("Invalid Nonce Count") };
                Some((number, hash::Qop { nc, cnonce, qop }))
            }
        };
        if !same_target(uri, request) {
            // RFC 7616 3.4.6: the server "MUST assure that the resource designated by the "uri" parameter is the same as … in the Request-Line".
            cov_mark::hit!(rfc7616_3_4_6_digest_uri);
            return Verdict::Malformed("Digest URI Mismatch");
        }
        let proof = Proof { nonce, qop: count.as_ref().map(|(_, qop)| qop), method: request.method_token(), uri };
        // The hash is computed and compared in any case, so that an unknown user takes as long as a known one.
        let right = proof.holds(algorithm, ha1.and_then(|h| h.of(algorithm)), response);
        let age = self.nonces.age(nonce, now);
        if !right {
            return Verdict::Wrong;
        }
        match (age, count) {
            (Age::Fresh(id), Some((number, _))) if self.nonces.use_count(id, number, now) => Verdict::Accepted,
            (Age::Fresh(_), None) => Verdict::Accepted,
            // RFC 7616 3.3: stale only "if it receives a request for which the nonce is invalid" but with the right hash.
            (Age::Fresh(_) | Age::Stale, _) => Verdict::Stale,
        }
    }

    /// The values for WWW-Authenticate or Proxy-Authenticate, one per algorithm, SHA-256 first (RFC 8760 2.3: in order of preference).
    #[must_use]
    pub fn challenges(&self, stale: bool, now: Instant, random: &mut Random) -> Vec<String> {
        let nonce = self.nonces.make(now, random);
        let stale = if stale { ", stale=true" } else { "" };
        let value = |a: &Algorithm| {
            format!("Digest realm=\"{}\", nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}", self.realm_text, a.token())
        };
        self.algorithms.iter().map(value).collect()
    }

    /// The credentials for our realm. A request may carry others, for servers behind us (RFC 3261 22.3).
    fn credentials<'a>(&self, request: &'a Message) -> Option<Fields<'a>> {
        request
            .headers()
            .filter(|h| matches!(h.name, Name::Authorization | Name::ProxyAuthorization))
            .filter_map(|h| Fields::parse(h.value))
            .find(|f| f.realm == Some(self.realm_text.as_bytes()))
    }
}

/// RFC 7616 3.4: `nc` is eight hexadecimal digits. Fewer are read as well; the hash is made from the text as received.
fn nonce_count(text: &[u8]) -> Option<u32> {
    if text.is_empty() || text.len() > 8 {
        return None;
    }
    u32::from_str_radix(core::str::from_utf8(text).ok().filter(|t| !t.starts_with('+'))?, 16).ok()
}

fn same_target(uri: &[u8], request: &Message) -> bool {
    if uri == request.request_uri() {
        return true;
    }
    match (Uri::parse(uri), request.uri()) {
        (Some(theirs), Some(ours)) => theirs.user_decoded() == ours.user_decoded(),
        _ => false,
    }
}
