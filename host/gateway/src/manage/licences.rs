//! Licence pools: how full they are, and who holds their seats, waits for one, or has one kept.

use super::{Shown, apart, directory::has, refuse};
use crate::clock::rfc3339;
use axum::{
    Json,
    extract::{Path as Named, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sip::Instant;
use switch::{
    directory::Directory,
    licence::{Place, Report, Standing},
};
use utoipa::ToSchema;

/// Endpoints of one page at most.
const PAGE: usize = 1_000;
const DAY: u64 = 24 * 3600;

/// The answer to `GET /licences`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pools {
    /// In the order of the configuration.
    pub pools: Vec<PoolRow>,
}

/// A licence pool. Times are as in RFC 3339.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PoolRow {
    /// Its name.
    pub pool: String,
    /// `endpoint` or `user`: who needs a seat.
    pub per: String,
    /// Seats owned.
    pub seats: u32,
    /// Seats in use.
    pub taken: u32,
    /// Seats that are kept for somebody.
    pub reserved: u32,
    /// Those of them that are not in use now.
    pub away: u32,
    /// How many wait for a seat.
    pub waiting: u32,
    /// The most seats in use at a time.
    pub most: u32,
    /// When that was; `None` before the first.
    pub most_at: Option<String>,
    /// How often one asked who found no seat, since the gateway started.
    pub refused: u64,
    /// `not-yet`, `valid`, `grace`, `ended`: see [`switch::licence::Validity`].
    pub validity: String,
    /// From when on it is valid.
    pub not_before: Option<String>,
    /// From when on it is not.
    pub not_after: Option<String>,
    /// How long it is used as before when it has ended or was made smaller.
    pub grace_days: u64,
    /// More seats are used than owned.
    pub over_committed: bool,
    /// That it was made smaller.
    pub reduced: Option<ReducedRow>,
}

/// That a pool was made smaller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ReducedRow {
    /// The seats that it had.
    pub former: u32,
    /// When it lost them.
    pub since: String,
    /// Until when it is used as if it had them.
    pub until: String,
}

/// Which part of a pool's endpoints is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct After {
    /// Those whose ids come after this one.
    pub after: String,
    /// Only those that have this in their id or extension, in any case.
    pub find: String,
}

/// A licence pool and those who hold its seats, wait for one, or have one kept, by id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PoolPage {
    /// How it stands.
    #[serde(flatten)]
    pub row: PoolRow,
    /// A part of them.
    pub endpoints: Vec<SeatRow>,
    /// After whom the next part begins; `None`: this was the last.
    pub next: Option<String>,
}

/// How an endpoint or user stands in a pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SeatRow {
    /// Its id.
    pub id: String,
    /// What others dial; `None`: nobody of that id is in the directory.
    pub extension: Option<String>,
    /// `seated`, `waiting` or `away`.
    pub standing: String,
    /// Whether a seat is kept for it.
    pub reserved: bool,
    /// Since when it holds its seat or waits. Of one that was registered before the gateway started, since that start.
    pub since: Option<String>,
    /// When its turn is lost unless it asks again.
    pub until: Option<String>,
    /// How often it has asked since it waits.
    pub asked: Option<u32>,
}

pub(super) async fn pools(State(shown): State<Shown>) -> Response {
    let look = move || {
        let (directory, now) = (shown.site.directory(), shown.keeper.now());
        let pools = directory.pools.iter().filter_map(|pool| Some(row(shown.site.ledger.report(&pool.pool, now)?)));
        Json(Pools { pools: pools.collect() }).into_response()
    };
    apart(look).await.unwrap_or_else(|broken| broken)
}

pub(super) async fn pool(State(shown): State<Shown>, Named(name): Named<String>, Query(page): Query<After>) -> Response {
    let look = move || {
        let (directory, now) = (shown.site.directory(), shown.keeper.now());
        let ledger = &shown.site.ledger;
        let Some((report, mut places)) = ledger.report(&name, now).zip(ledger.places(&name, &page.after, PAGE + 1, now)) else {
            let remedy = "`holdfast licence list` shows all of them; [[licence]] of the configuration adds one";
            return refuse(StatusCode::NOT_FOUND, format!("there is no licence pool `{name}`"), remedy);
        };
        let more = places.len() > PAGE;
        places.truncate(PAGE);
        let next = places.last().filter(|_| more).map(|place| place.name.to_string());
        let rows = places.into_iter().map(|place| seat(place, &directory));
        let wanted = |row: &SeatRow| has(&row.id, &page.find) || row.extension.as_ref().is_some_and(|extension| has(extension, &page.find));
        Json(PoolPage { row: row(report), endpoints: rows.filter(wanted).collect(), next }).into_response()
    };
    apart(look).await.unwrap_or_else(|broken| broken)
}

/// A pool as it is shown.
pub(crate) fn row(report: Report) -> PoolRow {
    let Report { pool, taken, away, waiting, refused, peak, validity, reduced } = report;
    PoolRow {
        per: pool.per.name().to_owned(),
        seats: pool.seats,
        taken,
        reserved: u32::try_from(pool.reserved.len()).unwrap_or(u32::MAX),
        away,
        waiting,
        most: peak.taken,
        most_at: Some(rfc3339(peak.at)).filter(|_| peak.taken > 0),
        refused,
        validity: validity.name().to_owned(),
        not_before: pool.not_before.map(rfc3339),
        not_after: pool.not_after.map(rfc3339),
        grace_days: pool.grace.as_secs() / DAY,
        over_committed: taken > pool.seats,
        reduced: reduced.map(|reduced| ReducedRow {
            former: reduced.former,
            since: rfc3339(reduced.since),
            until: rfc3339(reduced.since + pool.grace),
        }),
        pool: pool.pool,
    }
}

fn seat(Place { name, reserved, standing }: Place, directory: &Directory) -> SeatRow {
    let at = |at: Instant| Some(rfc3339(at));
    let (word, since, until, asked) = match standing {
        Standing::Seated { since } => ("seated", at(since), None, None),
        Standing::Waiting { since, until, asked } => ("waiting", at(since), at(until), Some(asked)),
        Standing::Away => ("away", None, None, None),
    };
    SeatRow {
        extension: directory.endpoint(&name).map(|endpoint| endpoint.extension.clone()),
        id: name.to_string(),
        standing: word.to_owned(),
        reserved,
        since,
        until,
        asked,
    }
}
