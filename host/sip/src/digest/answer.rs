//! The client's side.

use super::{
    fields::{Fields, escape, unescape},
    hash::{Proof, Qop},
};
use crate::header::SplitCommas;
use std::fmt::Write as _;

/// Answers a challenge as a client (trunk registration, the built-in phones, tests): the value of (Proxy-)Authorization.
/// `challenge` is a whole WWW-/Proxy-Authenticate value. `None` when it cannot be answered (unknown algorithm or qop).
///
/// `nonce_count` begins with 1 and grows with each use of one nonce; `cnonce` is a fresh token (RFC 7616 3.4). Both go out only where the
/// challenge offers `qop`.
#[must_use]
pub fn answer(challenge: &[u8], username: &str, password: &str, method: &str, uri: &str, nonce_count: u32, cnonce: &str) -> Option<String> {
    let fields = Fields::parse(challenge)?;
    let (realm, nonce) = (fields.realm?, fields.nonce?);
    let algorithm = fields.algorithm()?;
    let nc = format!("{nonce_count:08x}");
    let qop = match fields.qop {
        // RFC 7616 3.3: a list of which one is chosen.
        Some(offered) if (SplitCommas { rest: offered }).any(|q| q.eq_ignore_ascii_case(b"auth")) => {
            Some(Qop { nc: nc.as_bytes(), cnonce: cnonce.as_bytes(), qop: b"auth" })
        }
        Some(_) => return None,
        None => None,
    };
    let ha1 = algorithm.hash(&[username.as_bytes(), unescape(realm).as_bytes(), password.as_bytes()]);
    let proof = Proof { nonce, qop: qop.as_ref(), method: method.as_bytes(), uri: uri.as_bytes() };
    let response = proof.response(algorithm, ha1.as_bytes());

    let text = |octets| core::str::from_utf8(octets).ok();
    let mut value = format!(
        "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{}\"",
        escape(username),
        text(realm)?,
        text(nonce)?,
        response.as_str()
    );
    if let Some(name) = fields.algorithm {
        write!(value, ", algorithm={}", text(name)?).ok()?;
    }
    if qop.is_some() {
        write!(value, ", qop=auth, nc={nc}, cnonce=\"{cnonce}\"").ok()?;
    }
    if let Some(opaque) = fields.opaque {
        write!(value, ", opaque=\"{}\"", text(opaque)?).ok()?;
    }
    Some(value)
}

/// Whether a challenge says that only the nonce was at fault (RFC 7616 3.3: `stale=true`): the same credentials are worth another try.
#[must_use]
pub fn stale(challenge: &[u8]) -> bool {
    Fields::parse(challenge).and_then(|fields| fields.stale).is_some_and(|stale| stale.eq_ignore_ascii_case(b"true"))
}
