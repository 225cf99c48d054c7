//! Drills of calls for help: the test call from a location over a trunk, and what the answering point would have seen.

use super::{Shown, calls::told, refuse};
use crate::calls::{Followed, Stage, Trace, Tried};
use axum::{
    Json,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sip::{Instant, Message};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use switch::emergency::drill::Trial;
use tokio::time::timeout;

/// How long a test call is waited for: longer than it may ring, shorter than a connection lasts.
const WAIT: Duration = Duration::from_secs(27);

/// The answer to `GET /emergency`: what can be tried.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Trials {
    /// Locations of the configuration.
    pub locations: Vec<String>,
    /// Trunks, in the order of the configuration.
    pub trunks: Vec<String>,
    /// Test numbers.
    pub numbers: Vec<String>,
}

/// The body of `POST /emergency/drills`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrialWanted {
    /// The trunk.
    pub trunk: String,
    /// The location, by name.
    #[serde(default)]
    pub location: Option<String>,
    /// The test number; the first of the configuration when it is not named.
    #[serde(default)]
    pub number: Option<String>,
}

/// A header line of the INVITE.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Name, as it was sent.
    pub name: String,
    /// Value.
    pub value: String,
}

/// What a test call has shown.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct TrialShown {
    /// From where.
    pub location: Option<String>,
    /// Over which trunk.
    pub trunk: String,
    /// The test number that was called.
    pub number: String,
    /// The endpoint of the location as which it was called; `None`: none stands there.
    pub endpoint: Option<String>,
    /// Where the INVITE went.
    pub address: Option<String>,
    /// Its Request-URI.
    pub uri: String,
    /// The number that the answering point would see and call back (P-Asserted-Identity, else From).
    pub shown: Option<String>,
    /// Values of Geolocation (RFC 6442), where the call carries a location.
    pub geolocation: Vec<String>,
    /// Every header line but those that only lead the message on its way.
    pub headers: Vec<Header>,
    /// The body, where it is more than the session: a location by value.
    pub body: Option<String>,
    /// Status of the first response.
    pub first_status: Option<u16>,
    /// When it came, in milliseconds after the INVITE.
    pub first_ms: Option<f64>,
    /// Status of the last final response.
    pub status: Option<u16>,
    /// Its phrase.
    pub phrase: Option<String>,
    /// When it came, in milliseconds after the INVITE.
    pub final_ms: Option<f64>,
    /// Whether the call was answered.
    pub connected: bool,
    /// What became of it, in words.
    pub cause: String,
    /// Its Call-ID.
    pub call_id: String,
}

pub(super) async fn trials(State(shown): State<Shown>) -> Response {
    let directory = shown.site.directory();
    Json(Trials {
        locations: directory.locations.iter().map(|location| location.name.clone()).collect(),
        trunks: directory.trunks.iter().map(|trunk| trunk.name.clone()).collect(),
        numbers: directory.emergency.test_numbers.clone(),
    })
    .into_response()
}

pub(super) async fn drill(State(shown): State<Shown>, body: Bytes) -> Response {
    let TrialWanted { trunk, location, number } = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            let remedy = r#"send `{"trunk": "provider", "location": "hq"}`"#;
            return refuse(StatusCode::BAD_REQUEST, format!("the body names no trial: {error}"), remedy);
        }
    };
    let trial = Trial { trunk: trunk.clone(), location: location.clone(), number };
    let Tried { followed: Followed { call_id, mut stage }, endpoint, number, trace } = match shown.exchange.try_trunk(trial).await {
        Ok(Ok(tried)) => tried,
        Ok(Err(refusal)) => return told(&refusal),
        Err(_) => return refuse(StatusCode::SERVICE_UNAVAILABLE, "the gateway is ending", "ask again when it runs"),
    };
    let ended = timeout(WAIT, stage.wait_for(|stage| matches!(stage, Stage::Ended { .. }))).await;
    let (connected, cause) = match ended.ok().and_then(Result::ok).as_deref() {
        Some(Stage::Ended { status, cause }) => (*status == 200, cause.clone()),
        _ => (false, format!("no end within {} s", WAIT.as_secs())),
    };
    let about = TrialShown { location, trunk, number, endpoint, connected, cause, call_id, ..TrialShown::default() };
    Json(seen(about, &trace)).into_response()
}

/// What went over the wire, as the answering point would see it.
fn seen(about: TrialShown, trace: &Mutex<Trace>) -> TrialShown {
    let trace = trace.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let after = |at: Instant| trace.sent.map(|sent| at.since(sent).as_secs_f64() * 1e3);
    let mut shown = TrialShown {
        address: trace.to.map(|to| to.to_string()),
        first_status: trace.first.map(|(status, _)| status),
        first_ms: trace.first.and_then(|(_, at)| after(at)),
        final_ms: trace.last.as_ref().and_then(|(.., at)| after(*at)),
        status: trace.last.as_ref().map(|(status, ..)| *status),
        phrase: trace.last.map(|(_, phrase, _)| phrase),
        ..about
    };
    let Ok(invite) = Message::parse(trace.invite, &sip::Limits::default()) else { return shown };
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    shown.uri = text(invite.request_uri());
    let on_its_way = ["via", "call-id", "cseq", "contact", "max-forwards", "content-length", "authorization", "proxy-authorization"];
    for header in invite.headers() {
        let (name, value) = (text(header.raw_name), text(header.value));
        if on_its_way.contains(&name.to_ascii_lowercase().as_str()) {
            continue;
        }
        if name.eq_ignore_ascii_case("geolocation") {
            shown.geolocation.push(value.clone());
        }
        shown.headers.push(Header { name, value });
    }
    let value = |wanted: &str| shown.headers.iter().find(|header| header.name.eq_ignore_ascii_case(wanted));
    let identity = value("p-asserted-identity").or_else(|| value("from"));
    shown.shown = identity.and_then(|header| user(&header.value)).filter(|user| !user.is_empty());
    let body = text(invite.body());
    shown.body = Some(body).filter(|body| !body.is_empty() && !body.starts_with("v=0"));
    shown
}

/// The user part of an address.
fn user(value: &str) -> Option<String> {
    let (_, rest) = value.split_once("sip:").or_else(|| value.split_once("sips:")).or_else(|| value.split_once("tel:"))?;
    let end = rest.find(['@', '>', ';']).unwrap_or(rest.len());
    let user = rest.get(..end)?;
    rest.get(end..).is_some_and(|rest| rest.starts_with('@')).then(|| user.to_owned())
}
