//! The `name=value` lists of challenges and credentials.

use super::Algorithm;
use crate::header::{SplitCommas, starts_with_ignore_case, trim};
use memchr::{memchr, memrchr};

/// The fields of a Digest challenge or of Digest credentials, as received, without their quotes.
#[derive(Clone, Default, Debug)]
pub(super) struct Fields<'a> {
    pub(super) username: Option<&'a [u8]>,
    pub(super) realm: Option<&'a [u8]>,
    pub(super) nonce: Option<&'a [u8]>,
    pub(super) uri: Option<&'a [u8]>,
    pub(super) response: Option<&'a [u8]>,
    pub(super) qop: Option<&'a [u8]>,
    pub(super) nc: Option<&'a [u8]>,
    pub(super) cnonce: Option<&'a [u8]>,
    pub(super) opaque: Option<&'a [u8]>,
    pub(super) algorithm: Option<&'a [u8]>,
    pub(super) stale: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// `None` for another scheme than Digest. The first of repeated fields counts.
    pub(super) fn parse(value: &'a [u8]) -> Option<Self> {
        let (scheme, rest) = value.split_at_checked(b"Digest".len())?;
        if !starts_with_ignore_case(scheme, b"Digest") || !rest.first()?.is_ascii_whitespace() {
            return None;
        }
        let mut fields = Self::default();
        for field in (SplitCommas { rest }) {
            let Some((name, value)) = memchr(b'=', field).and_then(|equals| field.split_at_checked(equals)) else { continue };
            let value = unquote(trim(value.get(1..).unwrap_or_default()));
            if let Some(slot) = fields.slot(trim(name)) {
                slot.get_or_insert(value);
            }
        }
        Some(fields)
    }

    fn slot(&mut self, name: &[u8]) -> Option<&mut Option<&'a [u8]>> {
        let slots: [(&str, &mut Option<&'a [u8]>); 11] = [
            ("username", &mut self.username),
            ("realm", &mut self.realm),
            ("nonce", &mut self.nonce),
            ("uri", &mut self.uri),
            ("response", &mut self.response),
            ("qop", &mut self.qop),
            ("nc", &mut self.nc),
            ("cnonce", &mut self.cnonce),
            ("opaque", &mut self.opaque),
            ("algorithm", &mut self.algorithm),
            ("stale", &mut self.stale),
        ];
        slots.into_iter().find(|(text, _)| name.eq_ignore_ascii_case(text.as_bytes())).map(|(_, slot)| slot)
    }

    /// RFC 7616 3.3: without the field, MD5 is meant. `None` for one that is not spoken here.
    pub(super) fn algorithm(&self) -> Option<Algorithm> {
        let Some(token) = self.algorithm else { return Some(Algorithm::Md5) };
        [Algorithm::Sha256, Algorithm::Md5].into_iter().find(|a| token.eq_ignore_ascii_case(a.token().as_bytes()))
    }
}

fn unquote(value: &[u8]) -> &[u8] {
    match value.strip_prefix(b"\"") {
        Some(inside) => inside.get(..memrchr(b'"', inside).unwrap_or(inside.len())).unwrap_or_default(),
        None => value,
    }
}

/// The text of a quoted string with its escapes decoded.
pub(super) fn unescape(quoted: &[u8]) -> String {
    if memchr(b'\\', quoted).is_none() {
        return String::from_utf8_lossy(quoted).into_owned();
    }
    let mut escaped = false;
    let plain: Vec<u8> = quoted
        .iter()
        .copied()
        .filter(|byte| {
            escaped = *byte == b'\\' && !escaped;
            !escaped
        })
        .collect();
    String::from_utf8_lossy(&plain).into_owned()
}

/// The text as it stands between quotes; line ends are left out.
pub(super) fn escape(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len());
    for character in text.chars().filter(|c| !matches!(c, '\r' | '\n')) {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted
}
