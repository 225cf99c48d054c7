//! What a caller asks to be hidden (RFC 3323, RFC 3325 section 9.3).
//!
//! We are the privacy service of the site: our own Via, Contact and Call-ID stand on every leg anyway; what is left is the name. Nobody behind us is
//! trusted with what a caller hides, neither a provider nor another phone. A call for help shows who calls.

use crate::facts::{Call, CallKind};
use sip::header::{Header, Name};

/// From of a caller who hides (RFC 3323 4.1.1.3).
pub(crate) const ANONYMOUS: &[u8] = b"\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// What is hidden of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Hidden {
    /// Who calls: From and P-Asserted-Identity (`id`, `user`).
    pub(crate) caller: bool,
    /// What the caller's phone says about itself and its user (`user`).
    user: bool,
    /// Where the call has been (`history`, RFC 7044 10.1.2).
    history: bool,
}

impl Hidden {
    /// Reads the Privacy of a call.
    pub(crate) fn of(call: &Call) -> Self {
        if call.kind != CallKind::Normal || call.message.header(Name::Privacy).is_none() {
            return Self::default();
        }
        let wants = |value: &str| asked(call).any(|asked| asked.eq_ignore_ascii_case(value.as_bytes()));
        // RFC 3323 4.2: "none" forbids every privacy function, whatever else is said.
        if wants("none") {
            return Self::default();
        }
        Self { caller: wants("id") || wants("user"), user: wants("user"), history: wants("history") }
    }

    /// Whether a header of the caller goes on (RFC 3323 5.3: what a privacy service takes away for `user`).
    pub(crate) fn shows(self, header: &Header<'_>) -> bool {
        let user = [&b"Call-Info"[..], b"In-Reply-To", b"Organization", b"Reply-To", b"Subject"];
        match header.name {
            Name::UserAgent | Name::Warning => !self.user,
            Name::HistoryInfo | Name::Diversion => !self.history,
            Name::Other => !(self.user && user.iter().any(|name| header.raw_name.eq_ignore_ascii_case(name))),
            _ => true,
        }
    }
}

/// Whether the call may not be made because we cannot hide what must be hidden (RFC 3323 4.2, `critical`; section 5: 500): the phones' addresses in their
/// session descriptions stay as they are.
#[must_use]
pub fn impossible(call: &Call) -> bool {
    let wants = |value: &[u8]| asked(call).any(|asked| asked.eq_ignore_ascii_case(value));
    call.message.header(Name::Privacy).is_some() && wants(b"critical") && wants(b"session")
}

/// `Privacy: priv-value *(";" priv-value)`.
fn asked(call: &Call) -> impl Iterator<Item = &[u8]> {
    call.message.values(Name::Privacy).flat_map(|value| value.split(|octet| *octet == b';')).map(<[u8]>::trim_ascii)
}
