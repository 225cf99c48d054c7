//! Calls that whoever runs the gateway has made and ended: click to dial.

use super::{Shown, refuse};
use crate::calls::Stage;
use axum::{
    Json,
    body::Bytes,
    extract::{Path as Named, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use switch::{bridge::Order, decision::Refusal};
use tokio::time::timeout;

/// How long somebody who waits for an outcome waits at most; then he asks again. Shorter than a connection lasts.
const WAIT: Duration = Duration::from_secs(25);

/// The body of `POST /calls`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The extension whose phone rings first, and with whose rights the call is made.
    pub from: String,
    /// Who is called then, as the user would dial it.
    pub to: String,
    /// Asks the user's phone to answer by itself.
    #[serde(default)]
    pub auto_answer: bool,
}

/// How a call stands that the gateway has made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Placed {
    /// Its Call-ID, as in the decision record and the log.
    pub call_id: String,
    /// `calling`, `talking` or `ended`.
    pub state: String,
    /// Who talks with the user: endpoint id or `trunk:NAME`.
    pub answered_by: Option<String>,
    /// Of a call that has ended: 200 when the two had talked, else the SIP status of what went wrong.
    pub status: Option<u16>,
    /// The same in words.
    pub cause: Option<String>,
}

impl Placed {
    fn new(call_id: String, stage: Stage) -> Self {
        let (state, answered_by, status, cause) = match stage {
            Stage::Calling | Stage::Reached => ("calling", None, None, None),
            Stage::Talking { answered_by } => ("talking", Some(answered_by), None, None),
            Stage::Ended { status, cause } => ("ended", None, Some(status), Some(cause)),
        };
        Self { call_id, state: state.to_owned(), answered_by, status, cause }
    }
}

/// The answer to `DELETE /calls/{call-id}`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HungUp {
    /// Its Call-ID.
    pub call_id: String,
}

pub(super) async fn place(State(shown): State<Shown>, body: Bytes) -> Response {
    let Wanted { from, to, auto_answer } = match serde_json::from_slice(&body) {
        Ok(wanted) => wanted,
        Err(error) => {
            let remedy = r#"send `{"from": "1001", "to": "1002"}`, with `"auto_answer": true` where the phone shall answer by itself"#;
            return refuse(StatusCode::BAD_REQUEST, format!("the body is no call: {error}"), remedy);
        }
    };
    match shown.exchange.place(Order { from, to, auto_answer, announced: None }).await {
        Ok(Ok(call_id)) => (StatusCode::CREATED, Json(Placed::new(call_id, Stage::Calling))).into_response(),
        Ok(Err(refusal)) => told(&refusal),
        Err(_) => ending(),
    }
}

pub(super) async fn standing(State(shown): State<Shown>, Named(call_id): Named<String>) -> Response {
    match shown.exchange.placed(&call_id) {
        Some(stage) => {
            let stage = stage.borrow().clone();
            Json(Placed::new(call_id, stage)).into_response()
        }
        None => unknown(&call_id),
    }
}

pub(super) async fn outcome(State(shown): State<Shown>, Named(call_id): Named<String>) -> Response {
    let Some(mut stage) = shown.exchange.placed(&call_id) else { return unknown(&call_id) };
    // As it stands when nothing has come of it yet, and when the gateway ends.
    let _waited = timeout(WAIT, stage.wait_for(|stage| !matches!(stage, Stage::Calling | Stage::Reached))).await.is_ok();
    let stage = stage.borrow().clone();
    Json(Placed::new(call_id, stage)).into_response()
}

pub(super) async fn hang_up(State(shown): State<Shown>, Named(call_id): Named<String>) -> Response {
    match shown.exchange.hang_up(call_id.clone()).await {
        Ok(Ok(())) => Json(HungUp { call_id }).into_response(),
        Ok(Err(refusal)) => told(&refusal),
        Err(_) => ending(),
    }
}

fn unknown(call_id: &str) -> Response {
    refuse(
        StatusCode::NOT_FOUND,
        format!("the gateway has made no call with the Call-ID `{call_id}`, or long ago"),
        "`POST /calls` and `holdfast connect` name it; `holdfast explain` knows older ones",
    )
}

fn ending() -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the gateway is ending", "ask again when it runs")
}

/// A refusal of the rules, as HTTP says it.
pub(super) fn told(Refusal { status, detail, .. }: &Refusal) -> Response {
    let (code, remedy) = match status {
        403 => (StatusCode::FORBIDDEN, "what this phone may dial is decided by the configuration, its licence seat and the policies"),
        404 => (StatusCode::NOT_FOUND, "name an extension of the configuration, or the Call-ID of a call that is up (`holdfast explain`)"),
        480 => (StatusCode::CONFLICT, "the phone that shall ring first must be registered"),
        503 => (StatusCode::SERVICE_UNAVAILABLE, "try again later, or raise the limit under [limits]"),
        _ => (StatusCode::BAD_REQUEST, "name who is to be called as the phone would dial it"),
    };
    refuse(code, detail.clone(), remedy)
}
