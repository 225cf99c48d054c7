//! One alarm: a call for help, what is said about it, and who has been told.

use crate::clock::rfc3339;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sip::Instant;
use std::{collections::BTreeMap, fmt::Write as _};
use switch::facts::{Call, CallKind, Caller};

/// What the alarm is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Somebody has called for help.
    EmergencyCall,
    /// Somebody has tried the way that such a call takes.
    EmergencyTest,
    /// Whoever runs the gateway tries the ways of telling.
    NotificationTest,
}

impl Kind {
    /// Whether nobody is in danger.
    #[must_use]
    pub const fn is_test(self) -> bool {
        !matches!(self, Self::EmergencyCall)
    }
}

/// A call for help as a shard reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Raised {
    /// Whether it is a test.
    pub kind: Kind,
    /// Its Call-ID: a call raises one alarm, however often it is reported.
    pub call_id: String,
    /// When it came.
    pub at: Instant,
    /// The emergency number.
    pub dialled: String,
    /// Who calls.
    pub caller: Who,
    /// Where, by name.
    pub location: Option<String>,
    /// The number that the answering point is shown.
    pub callback: Option<String>,
    /// The trunk that is tried first.
    pub trunk: Option<String>,
}

impl Raised {
    /// Of a call for help; `None` for any other.
    #[must_use]
    pub fn of(call: &Call, shown: Option<&str>, trunk: Option<&str>) -> Option<Self> {
        let kind = match call.kind {
            CallKind::Normal | CallKind::Callback => return None,
            CallKind::Emergency => Kind::EmergencyCall,
            CallKind::EmergencyTest => Kind::EmergencyTest,
        };
        let endpoint = if let Caller::Endpoint(endpoint) = &call.caller { Some(endpoint.id.clone()) } else { None };
        let caller =
            Who { number: call.caller_number.clone(), name: call.caller_name.clone(), endpoint, address: call.flow.remote.to_string() };
        Some(Self {
            kind,
            call_id: String::from_utf8_lossy(call.message.call_id()).into_owned(),
            at: call.at,
            dialled: call.called.clone(),
            caller,
            location: call.location.clone(),
            callback: shown.map(str::to_owned),
            trunk: trunk.map(str::to_owned),
        })
    }
}

/// Who calls for help.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Who {
    /// Extension, or whatever number the phone has given itself.
    pub number: String,
    /// Name.
    pub name: String,
    /// The endpoint, where it is known.
    pub endpoint: Option<String>,
    /// The phone's address and port.
    pub address: String,
}

/// An alarm.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alarm {
    /// Names it; from 1.
    pub number: u64,
    /// What it is about.
    pub kind: Kind,
    /// The call's Call-ID.
    pub call_id: String,
    /// When the call came, microseconds since 1970.
    pub at: u64,
    /// The emergency number that was dialled.
    pub dialled: String,
    /// Who called.
    pub caller: Who,
    /// Where, by name.
    pub location: Option<String>,
    /// Where: street, building, floor, room.
    pub address: Option<String>,
    /// The number under which the answering point calls back.
    pub callback: String,
    /// The trunk that was tried first.
    pub trunk: Option<String>,
    /// Who has been told, by the name of the way.
    pub told: BTreeMap<String, Told>,
    /// Who has acknowledged it.
    pub acknowledged: Option<Acknowledged>,
}

/// How far telling in one way has come.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Told {
    /// When it was told, microseconds since 1970; `None`: not yet.
    pub at: Option<u64>,
    /// Attempts.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// Who has acknowledged an alarm.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Acknowledged {
    /// As he says himself.
    pub by: String,
    /// When, microseconds since 1970.
    pub at: u64,
}

impl Alarm {
    /// Whether somebody still has to do something about it.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.acknowledged.is_none() && !self.kind.is_test()
    }

    /// When the call came, as in RFC 3339.
    #[must_use]
    pub fn time(&self) -> String {
        rfc3339(Instant::from_unix_micros(self.at))
    }

    /// The caller in a few words: number and name.
    #[must_use]
    pub fn who(&self) -> String {
        let Who { number, name, address, .. } = &self.caller;
        match (number.is_empty(), name.is_empty()) {
            (false, false) => format!("{number} {name}"),
            (false, true) => number.clone(),
            (true, false) => name.clone(),
            (true, true) => format!("unknown phone {address}"),
        }
    }

    /// What a display shows: a test never looks like the real thing.
    #[must_use]
    pub fn headline(&self) -> String {
        format!("{} {}", if self.kind.is_test() { "TEST" } else { "EMERGENCY" }, self.who())
    }

    /// One line: who has dialled what.
    #[must_use]
    pub fn subject(&self) -> String {
        match self.kind {
            Kind::EmergencyCall => format!("EMERGENCY CALL: {} dialled {}", self.who(), self.dialled),
            Kind::EmergencyTest => format!("TEST, no emergency: {} dialled the test number {}", self.who(), self.dialled),
            Kind::NotificationTest => "TEST, no emergency: the ways of telling are tried".to_owned(),
        }
    }

    /// Where: by name and address.
    #[must_use]
    pub fn place(&self) -> String {
        match (&self.location, &self.address) {
            (Some(name), Some(address)) => format!("{name}, {address}"),
            (Some(name), None) => name.clone(),
            (None, Some(address)) => address.clone(),
            (None, None) => format!("not known; the phone is at {}", self.caller.address),
        }
    }

    /// Everything, for people. 47 U.S.C. 623(c): "the fact that a 911 call has been made", "a valid callback number", and "the information about the caller's
    /// location" that goes to the answering point.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.subject();
        let endpoint = self.caller.endpoint.as_ref().map_or_else(String::new, |endpoint| format!(" ({endpoint})"));
        let lines = [
            ("Caller", format!("{}{endpoint}", self.who())),
            ("Location", self.place()),
            ("Callback number", self.callback.clone()),
            ("Time", self.time()),
            ("Alarm", format!("{} (holdfast alarm ack {})", self.number, self.number)),
        ];
        for (name, value) in lines {
            // Writing into a String cannot fail.
            let _written = write!(text, "\r\n{name}: {value}");
        }
        if self.kind.is_test() {
            text.push_str("\r\nThis is a test. Nobody needs help.");
        }
        text
    }

    /// The same for a program.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "event": self.kind,
            "test": self.kind.is_test(),
            "alarm": self.number,
            "time": self.time(),
            "dialled": self.dialled,
            "caller": self.caller,
            "location": { "name": self.location, "address": self.address },
            "callback": self.callback,
            "trunk": self.trunk,
            "call_id": self.call_id,
            "text": self.subject(),
        })
    }
}
