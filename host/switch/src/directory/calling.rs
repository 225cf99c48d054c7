//! How a user is reached: how long the phones ring, where a call goes on to that the user does not take, and what the user may dial.

use super::{
    Directory,
    record::UserFields,
    rules::{Fault, dialled, fault, malformed, shown, word},
};
use crate::{emergency::classify_number, facts::CallKind, limits::RING_SECONDS};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What becomes of calls to a user, and of those that the user makes. Names are what lies on disk: a new one needs a default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CallSettings {
    /// How long the user's phones ring, in seconds, 1 to 600; `None`: as long as the site or the policy lets them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_seconds: Option<u32>,
    /// Where every call goes on to, without ringing here: an extension or an outside number, as the user would dial it. So are the other three.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_always: Option<String>,
    /// Where calls go on to while the user is busy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_busy: Option<String>,
    /// Where calls go on to that nobody answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_no_answer: Option<String>,
    /// Where calls go on to while none of the user's phones can be reached; `None`: as those that nobody answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_unreachable: Option<String>,
    /// What the user may dial: a class, of which the policies know the meaning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dial_class: Option<String>,
}

/// Why a call goes on from a user to somebody else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Forwarded {
    /// Every call does.
    Always,
    /// The user is busy.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// No phone can be reached.
    Unreachable,
}

impl Forwarded {
    /// RFC 4458 table 1 (and RFC 7044): the status that stands for it in History-Info, and the reason that RFC 5806 4 has for it in Diversion.
    #[must_use]
    pub const fn said(self) -> (u16, &'static str) {
        match self {
            Self::Always => (302, "unconditional"),
            Self::Busy => (486, "user-busy"),
            Self::NoAnswer => (408, "no-answer"),
            Self::Unreachable => (503, "unavailable"),
        }
    }
}

impl CallSettings {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    /// How long the user's phones ring.
    #[must_use]
    pub fn ring(&self) -> Option<Duration> {
        self.ring_seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }

    /// Where a call goes on to, and why that is not here.
    #[must_use]
    pub fn forward(&self, why: Forwarded) -> Option<&str> {
        let to = match why {
            Forwarded::Always => &self.forward_always,
            Forwarded::Busy => &self.forward_busy,
            Forwarded::NoAnswer => &self.forward_no_answer,
            Forwarded::Unreachable => &self.forward_unreachable,
        };
        to.as_deref()
    }

    /// Whether calls can go on from here.
    #[must_use]
    pub fn forwards(&self) -> bool {
        [Forwarded::Always, Forwarded::Busy, Forwarded::NoAnswer, Forwarded::Unreachable].into_iter().any(|why| self.forward(why).is_some())
    }

    /// Gives new values; an empty text, and 0 seconds, take away what is there. Says everything that is wrong with them; `extension` is the user's own.
    pub(super) fn set(&mut self, fields: &UserFields, extension: &str, file: &Directory, faults: &mut Vec<Fault>) {
        let UserFields { ring_seconds, forward_always, forward_busy, forward_no_answer, forward_unreachable, dial_class, .. } = fields;
        if let Some(seconds) = *ring_seconds {
            if seconds > RING_SECONDS {
                let reason = format!("phones cannot ring for {seconds} seconds");
                faults.push(malformed("/ring_seconds", reason, format!("use 1 to {RING_SECONDS}, or 0 for as long as the site lets them")));
            }
            self.ring_seconds = Some(seconds).filter(|seconds| *seconds > 0);
        }
        for (at, value, place) in [
            ("/forward_always", forward_always, &mut self.forward_always),
            ("/forward_busy", forward_busy, &mut self.forward_busy),
            ("/forward_no_answer", forward_no_answer, &mut self.forward_no_answer),
            ("/forward_unreachable", forward_unreachable, &mut self.forward_unreachable),
        ] {
            if let Some(text) = value {
                if !text.is_empty() {
                    faults.extend(number_fault(at, text, file));
                }
                *place = Some(text.clone()).filter(|text| !text.is_empty());
            }
            // Also when the extension is what is new.
            if !extension.is_empty() && place.as_deref() == Some(extension) {
                let reason = format!("calls to `{extension}` would go on to `{extension}` itself");
                faults.push(fault(at, reason, "name another extension or an outside number"));
            }
        }
        if let Some(text) = dial_class {
            self.dial_class = word("/dial_class", "dial class", text, faults);
        }
    }
}

/// Why no call could go on to a number. What policies say of it is asked when one does.
fn number_fault(at: &str, number: &str, file: &Directory) -> Option<Fault> {
    if !dialled(number) {
        let reason = format!("`{}` is not a number that can be dialled", shown(number));
        return Some(malformed(at, reason, "write an extension or an outside number, as the user would dial it"));
    }
    // Somebody who only wants to speak to a colleague would be connected to those who help others.
    (classify_number(number.as_bytes(), file).0 != CallKind::Normal).then(|| {
        let reason = format!("`{number}` is an emergency number: calls for help are made by whoever needs it");
        fault(at, reason, "name an extension or another outside number")
    })
}
