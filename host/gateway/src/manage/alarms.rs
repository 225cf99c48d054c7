//! Calls for help that are known, who was told of them, and who has acknowledged them.

use super::{Shown, refuse};
use crate::{
    clock::rfc3339,
    notify::{Alarm, Kind, Notifier, Told, Who},
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path as Named, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sip::Instant;
use std::{sync::Arc, time::Duration};

/// How long somebody waits at most who wants to know what came of it; then he asks again. Shorter than a connection lasts.
const WAIT: Duration = Duration::from_secs(25);

/// The answer to `GET /alarms`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Alarms {
    /// Oldest first.
    pub alarms: Vec<AlarmShown>,
}

/// A call for help.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AlarmShown {
    /// Names it.
    pub number: u64,
    /// `emergency-call`, `emergency-test` or `notification-test`.
    pub kind: Kind,
    /// Somebody still has to acknowledge it. Tests need not be.
    pub open: bool,
    /// When the call came, as in RFC 3339.
    pub at: String,
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
    /// Its Call-ID.
    pub call_id: String,
    /// Who was told.
    pub ways: Vec<WayShown>,
    /// Who has acknowledged it.
    pub acknowledged_by: Option<String>,
    /// When, as in RFC 3339.
    pub acknowledged_at: Option<String>,
}

/// How far telling in one way has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WayShown {
    /// Its name.
    pub name: String,
    /// When it was told, as in RFC 3339; `None`: not yet.
    pub told: Option<String>,
    /// Attempts.
    pub attempts: u32,
    /// Why the last one failed.
    pub error: Option<String>,
}

fn time(micros: u64) -> String {
    rfc3339(Instant::from_unix_micros(micros))
}

impl From<Alarm> for AlarmShown {
    fn from(alarm: Alarm) -> Self {
        let way = |(name, Told { at, attempts, error })| WayShown { name, told: at.map(time), attempts, error };
        Self {
            number: alarm.number,
            kind: alarm.kind,
            open: alarm.is_open(),
            at: alarm.time(),
            dialled: alarm.dialled,
            caller: alarm.caller,
            location: alarm.location,
            address: alarm.address,
            callback: alarm.callback,
            trunk: alarm.trunk,
            call_id: alarm.call_id,
            ways: alarm.told.into_iter().map(way).collect(),
            acknowledged_at: alarm.acknowledged.as_ref().map(|acknowledged| time(acknowledged.at)),
            acknowledged_by: alarm.acknowledged.map(|acknowledged| acknowledged.by),
        }
    }
}

/// The body of a request that is somebody's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct By {
    /// Whose, as he says himself.
    pub by: String,
}

/// The answer to `POST /alarms/{number}/acknowledge`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct AcknowledgedShown {
    /// The alarm.
    pub alarm: AlarmShown,
    /// Whether that is on disk. If not, it holds until the gateway ends.
    pub kept: bool,
}

pub(super) async fn alarms(State(shown): State<Shown>) -> Response {
    match notifier(&shown) {
        Ok(notifier) => Json(Alarms { alarms: notifier.alarms().into_iter().map(AlarmShown::from).collect() }).into_response(),
        Err(broken) => *broken,
    }
}

pub(super) async fn alarm(State(shown): State<Shown>, Named(number): Named<u64>) -> Response {
    match notifier(&shown) {
        Ok(notifier) => one(number, notifier.alarm(number)),
        Err(broken) => *broken,
    }
}

pub(super) async fn outcome(State(shown): State<Shown>, Named(number): Named<u64>) -> Response {
    match notifier(&shown) {
        Ok(notifier) => one(number, notifier.outcome(number, WAIT).await),
        Err(broken) => *broken,
    }
}

pub(super) async fn acknowledge(State(shown): State<Shown>, Named(number): Named<u64>, body: Bytes) -> Response {
    let (notifier, By { by }) = match notifier(&shown).and_then(|notifier| Ok((notifier, read(&body)?))) {
        Ok(wanted) => wanted,
        Err(broken) => return *broken,
    };
    match notifier.acknowledge(number, &by).await {
        Some((alarm, kept)) => Json(AcknowledgedShown { alarm: alarm.into(), kept }).into_response(),
        None => one(number, None),
    }
}

pub(super) async fn test(State(shown): State<Shown>, body: Bytes) -> Response {
    let (notifier, By { by }) = match notifier(&shown).and_then(|notifier| Ok((notifier, read(&body)?))) {
        Ok(wanted) => wanted,
        Err(broken) => return *broken,
    };
    match notifier.try_ways(&by).and_then(|number| notifier.alarm(number)) {
        Some(alarm) if alarm.told.is_empty() => refuse(
            StatusCode::CONFLICT,
            "the configuration names nobody who is told of calls for help",
            "add a [[notify]], e.g. `name = \"desk\"`, `by = \"call\"`, `to = \"1001\"`",
        ),
        Some(alarm) => (StatusCode::CREATED, Json(AlarmShown::from(alarm))).into_response(),
        None => refuse(StatusCode::SERVICE_UNAVAILABLE, "the gateway is starting", "ask again when it runs"),
    }
}

fn notifier(shown: &Shown) -> Result<&Arc<Notifier>, Box<Response>> {
    let refusal = || {
        let remedy = "the log of the gateway's start says why; start it anew";
        Box::new(refuse(StatusCode::SERVICE_UNAVAILABLE, "nobody is told of calls for help: that could not be started", remedy))
    };
    shown.notifier.as_ref().ok_or_else(refusal)
}

fn read(body: &[u8]) -> Result<By, Box<Response>> {
    let remedy = r#"send `{"by": "your name"}`"#;
    serde_json::from_slice(body)
        .map_err(|error| Box::new(refuse(StatusCode::BAD_REQUEST, format!("the body does not say whose request it is: {error}"), remedy)))
}

fn one(number: u64, alarm: Option<Alarm>) -> Response {
    match alarm {
        Some(alarm) => Json(AlarmShown::from(alarm)).into_response(),
        None => refuse(StatusCode::NOT_FOUND, format!("there is no alarm {number}"), "`holdfast alarm list` shows them"),
    }
}
