//! One line of the record of calls, and its row in a table.
//!
//! | field | what it says |
//! |---|---|
//! | `id` | names the call, also across restarts: no two records have the same |
//! | `call_id` | Call-ID of the caller's leg; `holdfast explain` takes it |
//! | `kind` | `normal`, `emergency` or `emergency-test` |
//! | `emergency` | `true` for a call for help; never for a test of one |
//! | `made` | `received` (a phone or trunk called), `placed` (`holdfast connect`), `own` (the gateway itself: a desk was rung, a drill) |
//! | `began`, `ringing`, `answered`, `ended` | times as in RFC 3339, UTC, to the millisecond; `null` where it never came to that |
//! | `ring_ms`, `talk_ms` | from the beginning to the answer or the end; from the answer to the end |
//! | `caller` | endpoint id, `trunk:NAME`, or the address of one who is not known |
//! | `caller_number`, `caller_name` | as the host knows them, before any number was put in their place |
//! | `address` | where the INVITE came from |
//! | `location` | the caller's, by name |
//! | `called` | the number that was dialled, without an outside prefix where it is an emergency number |
//! | `answered_by` | who talked with the caller last: endpoint id or `trunk:NAME` |
//! | `trunk_in`, `trunk_out` | over which trunk it came, and over which it went last |
//! | `status`, `cause` | what the caller was told (200: it was answered), and why it ended, in words |
//! | `ended_by` | `caller`, `callee`, `operator` or `gateway` |
//! | `reason` | what the operator is told of a refusal |
//! | `offered` | codecs of the caller's offer, in its order; what was chosen is between the two sides |
//! | `legs` | everybody who was dialled: who, the number sent, the number shown, address, Call-ID |
//! | `policies` | what each policy that was asked has said |
//! | `restored` | the call was taken up after a restart |
//! | `end_noticed` | `ended` is when the end was noticed: the gateway was not running when it came |

use crate::record::kind;
use serde::{Deserialize, Serialize};
use sip::Instant;
use std::time::{Duration, UNIX_EPOCH};
use switch::{
    facts::CallKind,
    record::{CallDetail, DetailedLeg, LegRecord, Said},
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

/// One call. The fields are explained above.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the table above says it, once")]
pub struct CallLine {
    pub id: String,
    pub call_id: String,
    pub kind: String,
    pub emergency: bool,
    pub made: String,
    pub began: String,
    pub ringing: Option<String>,
    pub answered: Option<String>,
    pub ended: String,
    pub ring_ms: u64,
    pub talk_ms: u64,
    pub caller: String,
    pub caller_number: String,
    pub caller_name: String,
    pub address: String,
    pub location: Option<String>,
    pub called: String,
    pub answered_by: Option<String>,
    pub trunk_in: Option<String>,
    pub trunk_out: Option<String>,
    pub status: u16,
    pub cause: String,
    pub ended_by: String,
    pub reason: Option<String>,
    pub offered: Vec<String>,
    pub legs: Vec<CallLeg>,
    pub policies: Vec<CallPolicy>,
    pub restored: bool,
    pub end_noticed: bool,
}

/// Somebody who was dialled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallLeg {
    /// Endpoint id, `trunk:NAME`, or a URI.
    pub who: String,
    /// The number that was sent.
    pub number: String,
    /// The number that was shown.
    pub shown: String,
    /// Where it was dialled.
    pub at: String,
    /// Its Call-ID.
    pub call_id: String,
}

/// What a policy said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallPolicy {
    /// Its name.
    pub policy: String,
    /// In words.
    pub outcome: String,
}

/// Names a call across restarts: a Call-ID is chosen by the caller and may come again, but not in the same microsecond.
pub(super) fn id(call_id: &str, began: Instant) -> String {
    format!("{:x}-{call_id}", began.unix_micros())
}

fn millis(at: Instant) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    // The form has a place for every time up to the year 9999.
    OffsetDateTime::from(UNIX_EPOCH + Duration::from_micros(at.unix_micros())).format(&form).unwrap_or_default()
}

/// Microseconds since 1970 of a time as a line has it.
pub(super) fn micros(time: &str) -> Option<u64> {
    let time = OffsetDateTime::parse(time, &Rfc3339).ok()?;
    u64::try_from(time.unix_timestamp_nanos() / 1_000).ok()
}

fn trunk(who: &str) -> Option<String> {
    who.strip_prefix("trunk:").map(str::to_owned)
}

impl From<&CallDetail> for CallLine {
    fn from(detail: &CallDetail) -> Self {
        let record = &detail.record;
        let spent = |from: Instant, to: Instant| u64::try_from(to.since(from).as_millis()).unwrap_or(u64::MAX);
        let legs: Vec<CallLeg> = detail.legs.iter().map(leg).collect();
        let last = || legs.iter().rev().find_map(|leg| trunk(&leg.who));
        Self {
            id: id(&record.call_id, record.began),
            call_id: record.call_id.clone(),
            kind: kind(record.kind).to_owned(),
            emergency: record.kind == CallKind::Emergency,
            made: detail.made.name().to_owned(),
            began: millis(record.began),
            ringing: detail.ringing.map(millis),
            answered: record.answered.map(millis),
            ended: millis(record.ended),
            ring_ms: spent(record.began, record.answered.unwrap_or(record.ended)),
            talk_ms: record.answered.map_or(0, |answered| spent(answered, record.ended)),
            caller: record.caller.clone(),
            caller_number: detail.caller_number.clone(),
            caller_name: detail.caller_name.clone(),
            address: detail.address.to_string(),
            location: detail.location.clone(),
            called: record.called.clone(),
            answered_by: record.answered_by.clone(),
            trunk_in: trunk(&record.caller),
            trunk_out: record.answered_by.as_deref().and_then(trunk).or_else(last),
            status: record.status,
            cause: record.cause.to_owned(),
            ended_by: record.ended_by().name().to_owned(),
            reason: detail.reason.clone(),
            offered: detail.offered.clone(),
            policies: detail
                .said
                .iter()
                .map(|Said { policy, outcome }| CallPolicy { policy: policy.clone(), outcome: outcome.clone() })
                .collect(),
            restored: detail.restored,
            end_noticed: detail.end_noticed,
            legs,
        }
    }
}

fn leg(DetailedLeg { leg: LegRecord { call_id, who, at }, number, shown }: &DetailedLeg) -> CallLeg {
    CallLeg { who: who.clone(), number: number.clone(), shown: shown.clone(), at: at.to_string(), call_id: call_id.clone() }
}

/// The headings of a table of calls: the fields of [`CallLine`].
pub const COLUMNS: [&str; 29] = [
    "id",
    "call_id",
    "kind",
    "emergency",
    "made",
    "began",
    "ringing",
    "answered",
    "ended",
    "ring_ms",
    "talk_ms",
    "caller",
    "caller_number",
    "caller_name",
    "address",
    "location",
    "called",
    "answered_by",
    "trunk_in",
    "trunk_out",
    "status",
    "cause",
    "ended_by",
    "reason",
    "offered",
    "legs",
    "policies",
    "restored",
    "end_noticed",
];

impl CallLine {
    /// Its cells below [`COLUMNS`]. What a caller has chosen cannot become a formula in a spreadsheet.
    #[must_use]
    pub fn row(&self) -> Vec<String> {
        let plain = |text: &str| if text.starts_with(['=', '@', '-', '\t']) { format!("'{text}") } else { text.to_owned() };
        let maybe = |text: &Option<String>| text.as_deref().map(plain).unwrap_or_default();
        let yes = |so: bool| if so { "yes" } else { "no" }.to_owned();
        let legs = self.legs.iter().map(|leg| format!("{} at {}: {} shown {}", leg.who, leg.at, leg.number, leg.shown));
        let policies = self.policies.iter().map(|said| format!("{}: {}", said.policy, said.outcome));
        vec![
            plain(&self.id),
            plain(&self.call_id),
            self.kind.clone(),
            yes(self.emergency),
            self.made.clone(),
            self.began.clone(),
            maybe(&self.ringing),
            maybe(&self.answered),
            self.ended.clone(),
            self.ring_ms.to_string(),
            self.talk_ms.to_string(),
            plain(&self.caller),
            plain(&self.caller_number),
            plain(&self.caller_name),
            self.address.clone(),
            maybe(&self.location),
            plain(&self.called),
            maybe(&self.answered_by),
            maybe(&self.trunk_in),
            maybe(&self.trunk_out),
            self.status.to_string(),
            self.cause.clone(),
            self.ended_by.clone(),
            maybe(&self.reason),
            plain(&self.offered.join(" ")),
            plain(&legs.collect::<Vec<_>>().join("; ")),
            plain(&policies.collect::<Vec<_>>().join("; ")),
            yes(self.restored),
            yes(self.end_noticed),
        ]
    }
}
