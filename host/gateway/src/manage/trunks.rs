//! Trunks as they stand: reachable or not, registered or not, and what to do about those that are not well.

use super::{Shown, apart};
use crate::clock::rfc3339;
use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use switch::trunk::{AddressReport, RegistrationReport, Report, Standing};

/// The answer to `GET /trunks`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrunkRows {
    /// In the order of the configuration.
    pub trunks: Vec<TrunkRow>,
}

/// A trunk. Times are as in RFC 3339.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrunkRow {
    /// Its name.
    pub trunk: String,
    /// `up`, `degraded` or `down`: see [`Standing`].
    pub state: String,
    /// Since when; `None`: since the start.
    pub since: Option<String>,
    /// Why it is not up.
    pub reason: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Calls on it.
    pub calls: u32,
    /// How long the address that serves took to answer last, in milliseconds; `None`: not known.
    pub latency_ms: Option<u64>,
    /// Where it is, in the order in which it is tried.
    pub addresses: Vec<TrunkAddress>,
    /// The registration at the provider; `None`: there is none to be made.
    pub registration: Option<TrunkRegistration>,
}

/// One address of a trunk.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrunkAddress {
    /// `udp:192.0.2.10:5060`.
    pub address: String,
    /// Lower is tried first.
    pub priority: u16,
    /// Among equals one of twice the weight is chosen twice as often.
    pub weight: u16,
    /// `up`, `degraded` or `down`.
    pub state: String,
    /// The last bad sign.
    pub failed: Option<String>,
    /// When that was.
    pub failed_at: Option<String>,
    /// How long its last measured answer took, in milliseconds.
    pub latency_ms: Option<u64>,
}

/// The registration at a provider.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrunkRegistration {
    /// Whether it stands.
    pub registered: bool,
    /// Until when.
    pub until: Option<String>,
    /// At which address.
    pub address: Option<String>,
    /// What is wrong.
    pub reason: Option<String>,
    /// When it is renewed or tried again.
    pub next: Option<String>,
}

pub(super) async fn trunks(State(shown): State<Shown>) -> Response {
    apart(move || Json(TrunkRows { trunks: reports(&shown).iter().map(row).collect() }).into_response())
        .await
        .unwrap_or_else(|broken| broken)
}

/// All trunks of the configuration; of one that nobody has looked after yet, that it is up as far as is known.
pub(super) fn reports(shown: &Shown) -> Vec<Report> {
    let directory = shown.site.directory();
    let unknown = |name: &str| Report {
        trunk: name.to_owned(),
        standing: Standing::Up,
        since: None,
        why: String::new(),
        calls: 0,
        addresses: Vec::new(),
        registration: None,
    };
    directory.trunks.iter().map(|trunk| shown.site.trunks.report(&trunk.name).unwrap_or_else(|| unknown(&trunk.name))).collect()
}

fn row(report: &Report) -> TrunkRow {
    TrunkRow {
        trunk: report.trunk.clone(),
        state: report.standing.name().to_owned(),
        since: report.since.map(rfc3339),
        reason: Some(report.why.clone()).filter(|why| !why.is_empty()),
        remedy: report.remedy(),
        calls: report.calls,
        latency_ms: report.latency().map(millis),
        addresses: report.addresses.iter().map(address).collect(),
        registration: report.registration.as_ref().map(registration),
    }
}

fn address(AddressReport { server, pulse }: &AddressReport) -> TrunkAddress {
    TrunkAddress {
        address: format!("{}:{}", server.flow.transport.uri_token(), server.flow.remote),
        priority: server.priority,
        weight: server.weight,
        state: pulse.standing.name().to_owned(),
        failed: pulse.failed.map(|(sign, _)| sign.to_string()),
        failed_at: pulse.failed.map(|(_, at)| rfc3339(at)),
        latency_ms: pulse.latency.map(millis),
    }
}

fn registration(report: &RegistrationReport) -> TrunkRegistration {
    TrunkRegistration {
        registered: report.until.is_some(),
        until: report.until.map(rfc3339),
        address: report.flow.map(|flow| format!("{}:{}", flow.transport.uri_token(), flow.remote)),
        reason: report.trouble.as_ref().map(|trouble| trouble.why.clone()),
        next: report.next.map(rfc3339),
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
