//! Digest authentication (RFC 7616, RFC 8760): MD5 and SHA-256, `qop=auth`, nonces that need no table.
//! SKELETON: signatures are the contract.

use crate::{Instant, Message, random::Random};

/// Hash function of a challenge.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Algorithm { /// RFC 8760; offered first.
    Sha256, /// What most phones still speak.
    Md5 }

/// H(user ":" realm ":" password) per algorithm, in lower-case hexadecimal; an algorithm without a hash is not offered to that user.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Ha1 { /// MD5, 32 characters.
    pub md5: Option<String>, /// SHA-256, 64 characters.
    pub sha256: Option<String> }

impl Ha1 {
    /// Both hashes of a clear-text password.
    #[must_use]
    pub fn from_password(_username: &str, _realm: &str, _password: &str) -> Self { todo!() }
}

impl core::fmt::Debug for Ha1 { fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result { f.write_str("Ha1(secret)") } }

/// Makes and checks nonces: time and randomness, authenticated with a key that the shell keeps over restarts.
#[derive(Debug)]
pub struct Authenticator { realm: String }

/// What a request's credentials turned out to be. `username` is what the request claims, as received.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Right.
    Accepted,
    /// No credentials for our realm: challenge.
    Missing,
    /// Right or wrong, but the nonce is too old, not ours, or its nonce count was used before: challenge with `stale=true` if the hash was right, without otherwise.
    Stale,
    /// Wrong: challenge again (RFC 3261 22.1), never telling whether the user exists.
    Wrong,
    /// Malformed credentials: 400.
    Malformed(&'static str),
}

impl Authenticator {
    /// `key` authenticates nonces; `nonce_seconds` is how long one may be used (then `stale=true`); at most `replay_entries` nonce counts are remembered.
    #[must_use]
    pub fn new(_realm: &str, _key: [u8; 32], _nonce_seconds: u32, _replay_entries: usize) -> Self { todo!() }
    /// The realm of challenges.
    #[must_use]
    pub fn realm(&self) -> &str { &self.realm }
    /// Who the request says it is: the `username` of the credentials for our realm, from Authorization (REGISTER to us) or Proxy-Authorization.
    #[must_use]
    pub fn claimed_username(&self, _request: &Message) -> Option<String> { todo!() }
    /// Checks the credentials against `ha1`; `None` = no such user, which takes the same time and gives [`Verdict::Wrong`].
    pub fn verify(&self, _request: &Message, _ha1: Option<&Ha1>, _now: Instant) -> Verdict { todo!() }
    /// The values for WWW-Authenticate or Proxy-Authenticate, one per algorithm, SHA-256 first.
    #[must_use]
    pub fn challenges(&self, _stale: bool, _now: Instant, _random: &mut Random) -> Vec<String> { todo!() }
}

/// Answers a challenge as a client (trunk registration, the built-in phones, tests): the value of (Proxy-)Authorization.
/// `challenge` is a whole WWW-/Proxy-Authenticate value. `None` when it cannot be answered (unknown algorithm or qop).
#[must_use]
pub fn answer(_challenge: &[u8], _username: &str, _password: &str, _method: &str, _uri: &str, _nonce_count: u32, _cnonce: &str) -> Option<String> { todo!() }
