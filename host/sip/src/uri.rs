//! URIs as views: `sip:`, `sips:`, `tel:`, `urn:service:*`, and any other scheme as opaque text (RFC 3261 19.1, RFC 3966, RFC 5031).

#[cfg(test)]
mod tests;

use crate::{
    header::{Params, decimal, param, trim},
    transport::Transport,
};
use core::net::IpAddr;
use memchr::{memchr, memchr2};
use std::borrow::Cow;

/// What kind of URI it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// `urn:`
    Urn,
    /// Any other.
    Other,
}

/// A URI read without copying.
#[derive(Clone, Copy, Debug)]
pub struct Uri<'a> {
    /// The whole URI as received.
    pub raw: &'a [u8],
    /// Which scheme.
    pub scheme: Scheme,
    /// User part as received (escapes kept, password not included); the number of `tel:`; what follows `urn:` or another scheme; empty where there is none.
    pub user: &'a [u8],
    /// Host, brackets kept for IPv6; empty for `tel:` and `urn:`.
    pub host: &'a [u8],
    /// Port, when written.
    pub port: Option<u16>,
    /// URI parameters beginning with `;`, or empty.
    pub params: &'a [u8],
    /// What follows `?`, without it; empty when nothing does.
    pub headers: &'a [u8],
}

impl<'a> Uri<'a> {
    /// Reads a URI; `None` when it is not one (no scheme, white space, unbalanced brackets, bad port, no host in `sip:`).
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let colon = scheme_end(text)?;
        let (scheme_text, rest) = (text.get(..colon)?, text.get(colon + 1..)?);
        if rest.is_empty() || rest.iter().copied().any(never_in_uri) {
            return None;
        }
        let scheme = Scheme::from_token(scheme_text);
        let (user, after_user) = match scheme {
            Scheme::Sip | Scheme::Sips => return Self::parse_sip(text, scheme, rest),
            Scheme::Tel | Scheme::Urn => {
                let end = memchr2(b';', b'?', rest).unwrap_or(rest.len());
                rest.split_at_checked(end)?
            }
            Scheme::Other => (rest, <&[u8]>::default()),
        };
        if user.is_empty() {
            return None;
        }
        let (params, headers) = split_headers(after_user);
        Some(Self { raw: text, scheme, user, host: &[], port: None, params, headers })
    }

    fn parse_sip(raw: &'a [u8], scheme: Scheme, rest: &'a [u8]) -> Option<Self> {
        // RFC 3261 25.1: the user part may hold `;`, `?` and `,` unescaped but never `@`; so all up to the first `@` is userinfo.
        let (user, after_user) = match memchr(b'@', rest) {
            Some(at) => {
                let userinfo = rest.get(..at)?;
                let user = userinfo.get(..memchr(b':', userinfo).unwrap_or(at))?;
                if user.is_empty() {
                    return None;
                }
                (user, rest.get(at + 1..)?)
            }
            None => (<&[u8]>::default(), rest),
        };
        let end = memchr2(b';', b'?', after_user).unwrap_or(after_user.len());
        let (host_text, tail) = after_user.split_at_checked(end)?;
        let (host, port) = host_port(host_text)?;
        let (params, headers) = split_headers(tail);
        Some(Self { raw, scheme, user, host, port, params, headers })
    }

    /// A URI parameter by name in any case; `Some(b"")` for one without a value.
    #[must_use]
    pub fn param(&self, name: &[u8]) -> Option<&'a [u8]> {
        param(self.params, name)
    }

    /// The user part with `%xx` decoded and, for a telephone number with parameters inside the user (RFC 3261 19.1.6: `+44203;ext=5@…`),
    /// only the number. A semicolon behind anything else is part of the user (RFC 4475 3.1.1.9).
    /// Invalid escapes stay as they are. `%00` decodes to NUL and never cuts.
    #[must_use]
    pub fn user_decoded(&self) -> Cow<'a, [u8]> {
        let number = self.user.get(..memchr(b';', self.user).unwrap_or(self.user.len())).unwrap_or_default();
        let user = if is_telephone_number(number) { number } else { self.user };
        decoded(user)
    }

    /// The `transport` parameter; else what the scheme implies (`sips:` = TLS); else `None`.
    #[must_use]
    pub fn transport(&self) -> Option<Transport> {
        // RFC 3261 26.2.2: a SIPS URI is reached over TLS whatever its transport parameter says (`sips:…;transport=tcp` is TLS over TCP).
        match (self.scheme, self.param(b"transport")) {
            (Scheme::Sips, _) => Some(Transport::Tls),
            (_, Some(token)) => Transport::from_token(token),
            (_, None) => None,
        }
    }

    /// Whether two URIs name the same resource (RFC 3261 19.1.4): user exact after unescaping, host in any case, port and the
    /// parameters user, ttl, method, maddr, transport equal where present in either.
    ///
    /// `tel:` numbers compare without visual separators (RFC 3966 section 5), `urn:` in any case (RFC 5031), other schemes as text.
    #[must_use]
    pub fn same_resource(&self, other: &Uri<'_>) -> bool {
        if self.raw == other.raw {
            return true;
        }
        if self.scheme != other.scheme {
            return false;
        }
        match self.scheme {
            Scheme::Other => false,
            Scheme::Urn => self.user.eq_ignore_ascii_case(other.user) && self.params.eq_ignore_ascii_case(other.params),
            Scheme::Tel => {
                let digits = |uri: &Uri<'_>| -> Vec<u8> {
                    uri.user.iter().filter(|b| !is_visual_separator(**b)).map(u8::to_ascii_lowercase).collect()
                };
                digits(self) == digits(other) && params_within(self, other, true) && params_within(other, self, true)
            }
            Scheme::Sip | Scheme::Sips => {
                Unescaped { rest: self.userinfo() }.eq(Unescaped { rest: other.userinfo() })
                    && same_host(self, other)
                    && self.port == other.port
                    && params_within(self, other, false)
                    && params_within(other, self, false)
                    && headers_within(self.headers, other.headers)
                    && headers_within(other.headers, self.headers)
            }
        }
    }

    /// User and password as received.
    fn userinfo(&self) -> &'a [u8] {
        let rest = memchr(b':', self.raw).and_then(|colon| self.raw.get(colon + 1..)).unwrap_or_default();
        memchr(b'@', rest).and_then(|at| rest.get(..at)).unwrap_or_default()
    }

    /// The host as an address when it is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        host_address(self.host)
    }
}

impl Scheme {
    fn from_token(token: &[u8]) -> Self {
        match token.len() {
            3 if token.eq_ignore_ascii_case(b"sip") => Self::Sip,
            4 if token.eq_ignore_ascii_case(b"sips") => Self::Sips,
            3 if token.eq_ignore_ascii_case(b"tel") => Self::Tel,
            3 if token.eq_ignore_ascii_case(b"urn") => Self::Urn,
            _ => Self::Other,
        }
    }
}

/// Where the colon behind a scheme stands (RFC 3986 3.1: a letter, then letters, digits, `+`, `-`, `.`).
pub(crate) fn scheme_end(text: &[u8]) -> Option<usize> {
    if !text.first()?.is_ascii_alphabetic() {
        return None;
    }
    let colon = text.iter().position(|b| !(b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')))?;
    (text.get(colon) == Some(&b':')).then_some(colon)
}

/// Reads `host [":" port]`; white space around the colon is allowed in a Via (RFC 3261 25.1, COLON), and URIs never hold any.
pub(crate) fn host_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let (host, after) = match text.first()? {
        b'[' => {
            let (address, after) = text.split_at_checked(memchr(b']', text)? + 1)?;
            let inside = address.get(1..address.len() - 1)?;
            let plausible = inside.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b':' | b'.' | b'%' | b'-' | b'_'));
            if inside.is_empty() || !plausible {
                return None;
            }
            (address, trim(after))
        }
        _ => {
            let (name, after) = text.split_at_checked(memchr(b':', text).unwrap_or(text.len()))?;
            let name = trim(name);
            // A name beyond ASCII is not for us to judge: it is relayed, or found to lead nowhere.
            let plausible = name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_') || !b.is_ascii());
            if name.is_empty() || !plausible {
                return None;
            }
            (name, after)
        }
    };
    if after.is_empty() {
        return Some((host, None));
    }
    let digits = trim(after.strip_prefix(b":")?);
    let port = u16::try_from(decimal(digits)?).ok()?;
    Some((host, Some(port)))
}

/// A host as an address, IPv6 with or without brackets.
pub(crate) fn host_address(host: &[u8]) -> Option<IpAddr> {
    let bare = host.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]")).unwrap_or(host);
    core::str::from_utf8(bare).ok()?.parse().ok()
}

/// White space, control characters and the delimiters of `name-addr`.
const fn never_in_uri(byte: u8) -> bool {
    matches!(byte, 0..=b' ' | 0x7f | b'<' | b'>' | b'"')
}

/// Splits what follows the host into parameters and headers.
fn split_headers(tail: &[u8]) -> (&[u8], &[u8]) {
    match memchr(b'?', tail) {
        Some(at) => (tail.get(..at).unwrap_or_default(), tail.get(at + 1..).unwrap_or_default()),
        None => (tail, &[]),
    }
}

/// RFC 3966: a global number begins with `+`; a local one consists of digits, `*`, `#` and letters A-F. Here it must hold a digit first,
/// so that the user `fee;x` is no number.
fn is_telephone_number(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    digits.first().is_some_and(|b| b.is_ascii_digit() || matches!(b, b'*' | b'#' | b'('))
        && digits.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b'*' | b'#') || is_visual_separator(*b))
}

const fn is_visual_separator(byte: u8) -> bool {
    matches!(byte, b'-' | b'.' | b'(' | b')')
}

/// Characters that mean something else when escaped (RFC 3261 25.1, `reserved`): `%3B` in a user is not `;`.
const fn is_reserved(byte: u8) -> bool {
    matches!(byte, b';' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'+' | b'$' | b',')
}

/// Octets with `%xx` decoded. Invalid escapes stay as they are.
#[must_use]
pub fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'%', text).is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(Unescaped { rest: text }.map(|(byte, _)| byte).collect())
}

/// Octets with `%xx` decoded, each with whether it was a reserved character in escaped form.
struct Unescaped<'a> {
    rest: &'a [u8],
}

impl Iterator for Unescaped<'_> {
    type Item = (u8, bool);

    fn next(&mut self) -> Option<(u8, bool)> {
        if let [b'%', high, low, rest @ ..] = self.rest
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            self.rest = rest;
            let byte = high << 4 | low;
            return Some((byte, is_reserved(byte)));
        }
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some((*first, false))
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn same_host(a: &Uri<'_>, b: &Uri<'_>) -> bool {
    // RFC 5118 4.1 and RFC 5954: an IPv6 address has many spellings and compares as an address.
    a.host.eq_ignore_ascii_case(b.host) || (a.host.first() == Some(&b'[') && a.address().is_some() && a.address() == b.address())
}

/// RFC 3261 19.1.4: a parameter in both must match; user, ttl, method, maddr and transport must match also when only one has it;
/// others in only one are ignored. With `all`, no parameter is ignored (RFC 3966 section 5).
fn params_within(a: &Uri<'_>, b: &Uri<'_>, all: bool) -> bool {
    Params { rest: a.params }.all(|(name, value)| match b.param(name) {
        Some(theirs) => lower_unescaped(theirs).eq(lower_unescaped(value)),
        None => !all && !["user", "ttl", "method", "maddr", "transport"].iter().any(|n| name.eq_ignore_ascii_case(n.as_bytes())),
    })
}

fn headers_within(a: &[u8], b: &[u8]) -> bool {
    // RFC 3261 19.1.4: header components are never ignored; their order does not matter.
    a.split(|byte| *byte == b'&').all(|ours| b.split(|byte| *byte == b'&').any(|theirs| lower_unescaped(ours).eq(lower_unescaped(theirs))))
}

fn lower_unescaped(text: &[u8]) -> impl Iterator<Item = (u8, bool)> {
    Unescaped { rest: text }.map(|(byte, escaped)| (byte.to_ascii_lowercase(), escaped))
}
