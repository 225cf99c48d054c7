//! Records of calls, from the store.

use super::{Shown, apart, refuse};
use crate::store::CallsWanted;
use axum::{
    Json,
    extract::{Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Records of one answer.
const PAGE: u32 = 1_000;

/// Which records.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallsPage {
    /// Begun then or later, as in RFC 3339.
    pub since: Option<String>,
    /// Begun before: the `began` of the last record of a page leads to the next.
    pub until: Option<String>,
    /// So many, 1,000 at most.
    pub limit: Option<u32>,
}

/// The answer to `GET /calls`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CallRecords {
    /// Newest first: see [`crate::cdr::CallLine`].
    pub calls: Vec<Value>,
}

pub(super) async fn records(State(shown): State<Shown>, Query(page): Query<CallsPage>) -> Response {
    let CallsPage { since, until, limit } = page;
    let (Ok(since), Ok(until)) = (micros(since.as_deref(), 0), micros(until.as_deref(), u64::MAX)) else {
        return refuse(StatusCode::BAD_REQUEST, "a time is not as in RFC 3339", "write it like 2026-06-30T18:00:00Z");
    };
    let wanted = CallsWanted { since, until, most: limit.unwrap_or(PAGE).min(PAGE) };
    match apart(move || shown.keeper.calls(wanted)).await {
        Err(broken) => broken,
        Ok(Ok(lines)) => {
            let calls = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect();
            Json(CallRecords { calls }).into_response()
        }
        Ok(Err(why)) => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, why, "`holdfast calls list` reads the files of the record, which need no store")
        }
    }
}

fn micros(time: Option<&str>, otherwise: u64) -> Result<u64, time::error::Parse> {
    let Some(time) = time else { return Ok(otherwise) };
    let time = OffsetDateTime::parse(time, &Rfc3339)?;
    Ok(u64::try_from(time.unix_timestamp_nanos() / 1_000).unwrap_or(0))
}
