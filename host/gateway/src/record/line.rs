//! The lines of the decision record: one JSON object each, the same for whoever writes, explains or replays them.
//!
//! | `kind` | what |
//! |---|---|
//! | `policy` | a component that decides from here on, with its settings; each file names those that it needs |
//! | `decision` | one decision of one policy: what it was told, what it asked, what it said |
//! | `refused` | a registration or call that was refused, by whom and why |
//! | `call` | a call that has ended: its legs, its ladder |

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, fmt};

/// One line.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Line {
    /// See [`PolicyLine`].
    Policy(PolicyLine),
    /// See [`DecisionLine`].
    Decision(Box<DecisionLine>),
    /// See [`RefusedLine`].
    Refused(RefusedLine),
    /// See [`CallLine`].
    Call(CallLine),
}

/// A component in force.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PolicyLine {
    /// The policy's name.
    pub policy: String,
    /// Its file.
    pub file: String,
    /// Version, from its metadata.
    pub version: Option<String>,
    /// SHA-256 of the component, in hexadecimal.
    pub hash: String,
    /// Names these settings in the lines of its decisions.
    pub settings_id: String,
    /// Its settings, by their keys.
    pub settings: BTreeMap<String, Value>,
    /// Interfaces that it may import.
    pub grants: Vec<String>,
}

/// One decision of one policy.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct DecisionLine {
    /// When the request came in, in microseconds since the UNIX epoch: also the time that the policy was told.
    pub at_us: u64,
    /// Call-ID of the request.
    pub call_id: String,
    /// `registration`, `routing` or `emergency`.
    pub hook: String,
    /// The policy's name.
    pub policy: String,
    /// Version, from its metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// SHA-256 of the component, in hexadecimal.
    pub hash: String,
    /// See [`PolicyLine::settings_id`].
    pub settings_id: String,
    /// The decision in words; the fault, when it failed.
    pub said: String,
    /// What a refusal says to the operator.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// The kind of fault, when it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Time from the question to the answer, in microseconds.
    pub took_us: f64,
    /// What it was told: a call…
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallFacts>,
    /// …or a registration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registration: Option<RegistrationFacts>,
    /// What it asked the host beyond that, with arguments and answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub asked: Vec<(String, Vec<String>, Value)>,
    /// What it wrote to the log meanwhile: level and line.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<(String, String)>,
    /// Something of it did not fit the record: it cannot be made again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
    /// Something of it is masked: it cannot be made again exactly.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
}

impl DecisionLine {
    /// What was to be decided, in words: `desk-1 calls 1002`, `desk-1 registers`.
    #[must_use]
    pub fn asked_in_words(&self) -> String {
        match (&self.call, &self.registration) {
            (Some(call), _) => format!("{} calls {}", call.caller, if call.called.is_empty() { "nobody" } else { &call.called }),
            (None, Some(registration)) => format!("{} registers", registration.endpoint),
            (None, None) => String::new(),
        }
    }
}

/// Who called.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Caller {
    /// An endpoint, by its id.
    Endpoint(String),
    /// A trunk, by its name.
    Trunk(String),
    /// Nobody the host knows.
    #[default]
    Unknown,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(id) => f.write_str(id),
            Self::Trunk(name) => write!(f, "trunk {name}"),
            Self::Unknown => f.write_str("somebody unknown"),
        }
    }
}

/// A call, as it was told to a policy.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CallFacts {
    /// `normal`, `emergency` or `emergency-test`.
    pub kind: String,
    /// Who called.
    pub caller: Caller,
    /// The called number.
    pub called: String,
    /// The number to show.
    pub caller_number: String,
    /// The name to show.
    pub caller_name: String,
    /// The caller's location.
    pub location: Option<String>,
    /// What earlier policies noted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
    /// Address that the INVITE came from.
    pub source: String,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// Request line and header fields, without credentials; empty when masked.
    pub head: String,
}

/// A registration, as it was told to a policy.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct RegistrationFacts {
    /// The endpoint's id.
    pub endpoint: String,
    /// Its extension.
    pub extension: String,
    /// Its licence pool.
    pub pool: Option<String>,
    /// It held a binding already.
    pub registered: bool,
    /// Seconds asked for.
    pub expires: u32,
    /// The contact asked for.
    pub contact: String,
    /// What earlier policies noted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<(String, String)>,
    /// Address that the REGISTER came from.
    pub source: String,
    /// `udp`, `tcp` or `tls`.
    pub transport: String,
    /// Request line and header fields, without credentials; empty when masked.
    pub head: String,
}

/// A registration or call that was refused.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefusedLine {
    /// When, in microseconds since the UNIX epoch.
    pub at_us: u64,
    /// Call-ID of the request.
    pub call_id: String,
    /// Status sent.
    pub status: u16,
    /// Phrase sent.
    pub phrase: String,
    /// What the operator should know; empty where fields are masked.
    pub detail: String,
    /// The policy that refused; the host itself when absent.
    pub policy: Option<String>,
}

/// A call that has ended.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CallLine {
    /// When its INVITE came in, in microseconds since the UNIX epoch.
    pub at_us: u64,
    /// Call-ID of the caller's leg.
    pub call_id: String,
    /// `normal`, `emergency` or `emergency-test`.
    pub call_kind: String,
    /// Endpoint id, `trunk:NAME`, or the source address.
    pub caller: String,
    /// What was called.
    pub called: String,
    /// Who answered.
    pub answered_by: Option<String>,
    /// Milliseconds from the INVITE to the answer.
    pub answered_ms: Option<f64>,
    /// Milliseconds from the INVITE to the end.
    pub lasted_ms: f64,
    /// Final status sent to the caller; 200 for an answered call.
    pub status: u16,
    /// Who ended it and why.
    pub cause: String,
    /// What was dialled.
    pub legs: Vec<LegLine>,
    /// What was said.
    pub ladder: Vec<BeatLine>,
    /// Messages in the middle of `ladder` that were not kept.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u32,
}

/// One target that was dialled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LegLine {
    /// Call-ID of the leg.
    pub call_id: String,
    /// Endpoint id, `trunk:NAME`, or the URI.
    pub who: String,
    /// Address.
    pub at: String,
}

/// One message of a call.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct BeatLine {
    /// Milliseconds since the INVITE.
    pub ms: f64,
    /// The other side's address.
    pub peer: String,
    /// It came in; otherwise it went out.
    pub inbound: bool,
    /// `INVITE`, `180 Ringing`.
    pub what: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Line {
    /// Reads one line; `None` for one of a kind that this version does not know.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(text: &[u8]) -> Result<Option<Self>, serde_json::Error> {
        #[derive(Deserialize)]
        struct Kind<'a> {
            kind: &'a str,
        }
        // Most lines are decisions, and the kind comes first where this program wrote it.
        let kind = if text.starts_with(br#"{"kind":"decision","#) { "decision" } else { serde_json::from_slice::<Kind<'_>>(text)?.kind };
        Ok(match kind {
            "decision" => Some(Self::Decision(serde_json::from_slice(text)?)),
            "policy" => Some(Self::Policy(serde_json::from_slice(text)?)),
            "refused" => Some(Self::Refused(serde_json::from_slice(text)?)),
            "call" => Some(Self::Call(serde_json::from_slice(text)?)),
            _ => None,
        })
    }
}
