//! The door for whoever runs the gateway: how its policies stand, what is counted, and the way back from a policy. HTTP over a Unix domain socket in the data folder that
//! only the gateway's own user can open; what is counted also over TCP, where the configuration says so.
//!
//! | request | answer |
//! |---|---|
//! | `GET /policies` | every policy of the folder, in the order of the chain ([`Policies`]) |
//! | `POST /policies/{name}/rollback` | the component that ran before is put back ([`crate::policy::RolledBack`]); 404: no such policy; 409: nothing to go back to |
//! | `GET /metrics` | what is counted, as OpenMetrics text |
//! | `POST /calls` with [`Wanted`] | 201: the user's phone is called, the target follows ([`Placed`]); 404, 403, 409 (no phone registered), 503 (a limit) or 400: why not |
//! | `GET /calls/{call-id}` | how such a call stands ([`Placed`]) |
//! | `GET /calls/{call-id}/outcome` | the same, once it talks or has ended, after 25 seconds at the latest |
//! | `GET /endpoints`, `GET /users` with [`Page`] | endpoints of configuration and store, users ([`Rows`]) |
//! | `GET /endpoints/{id}`, `GET /users/{id}` | one of them with its history ([`EndpointPage`], [`UserPage`]); 404 |
//! | `POST /endpoints/{id}/token` with [`TokenWanted`] | 201: a one-time token for the phone's settings file ([`TokenMade`]); 404, 409: it could not be used; 503 |
//! | `GET /licences` | licence pools ([`Pools`]) |
//! | `GET /licences/{pool}` with [`After`] | one of them, and who holds its seats, waits, or has one kept ([`PoolPage`]); 404 |
//! | `GET /trunks` | trunks: whether they are up and registered, and what to do about those that are not ([`TrunkRows`]) |
//! | `GET /drill` with [`Look`] | which phones would survive a loss of their cloud ([`DrillPage`]) |
//! | `GET /drills` | all drills ([`Drills`]) |
//! | `GET /drills/{number}` | what an ended one showed ([`DrillPage`]); 404 |
//! | `POST /drills` with [`BeginDrill`], `POST /drills/stop` with [`StopDrill`] | a drill begins or ends ([`DrillShown`]); 409: one runs, none runs; 503 |
//! | `GET /alarms` | calls for help that are known, and who was told ([`Alarms`]) |
//! | `GET /alarms/{number}`, `GET /alarms/{number}/outcome` | one of them ([`AlarmShown`]), the latter once every way has been tried, after 25 seconds at the latest; 404 |
//! | `POST /alarms/{number}/acknowledge` with [`By`] | it is acknowledged ([`AcknowledgedShown`]); 404 |
//! | `POST /alarms/test` with [`By`] | 201: every way of telling is tried with a test ([`AlarmShown`]); 409: there is none; 503 |
//! | `GET /calls` with [`CallsPage`] | records of calls in the store, newest first ([`CallRecords`]) |
//! | `POST /emergency/drills` with [`TrialWanted`] | a test call is made over one trunk, and what came of it ([`TrialShown`]), after 25 seconds at the latest; 404, 403: it would be none; 503 |
//! | `GET /store` | whether the store can be written, and if not, why ([`StoreStands`]) |
//! | `POST /directory` with [`Edits`] | all of them are made, on disk and in force ([`Edited`]); 422: none, and why ([`Wrong`]); 503: the store cannot keep them |
//! | `DELETE /calls/{call-id}` | any call that is up is ended ([`HungUp`]); 403: it is one for help |
//!
//! Programs that provision a site use the REST API beside it ([`crate::rest`]), which is opened and shut with these doors.
//!
//! Everything here runs on the threads of connections and files, never on those that carry calls; what waits for a component that is being loaded waits on a thread of its own.
//! A refusal is a [`Refused`].

mod alarms;
mod calls;
mod client;
mod directory;
pub(crate) mod drills;
mod emergency;
mod licences;
mod metrics;
mod records;
pub(crate) mod server;
mod store;
#[cfg(test)]
mod tests;
pub(crate) mod tokens;
mod trunks;

pub use alarms::{AcknowledgedShown, AlarmShown, Alarms, By, WayShown};
pub use calls::{HungUp, Placed, Wanted};
pub use client::{Answer, ask, ask_with, exchange};
pub use directory::{
    Different, Edited, Edits, EndpointPage, EndpointRow, Happened, Page, PhoneOf, Rows, Stands, UserPage, UserRow, Wrong, WrongEdit,
};
pub use drills::{BeginDrill, DrillPage, DrillRow, DrillShown, Drills, Failing, Look, StopDrill};
pub use emergency::{Header, TrialShown, TrialWanted, Trials};
pub use records::{CallRecords, CallsPage};
// What the REST API shows too.
pub(crate) use directory::{endpoint_has, happened, of_file, of_store, user, user_has, with_phones};
pub(crate) use licences::row as pool_row;
pub use licences::{After, PoolPage, PoolRow, Pools, ReducedRow, SeatRow};
pub use store::StoreStands;
pub use tokens::{TokenMade, TokenWanted};
pub use trunks::{TrunkAddress, TrunkRegistration, TrunkRow, TrunkRows};

use crate::{
    calls::Exchange,
    config,
    data::DataFolder,
    keeper::Keeper,
    notify::Notifier,
    observe::Counters,
    policy::{Difference, Engine, NoWayBack, PolicyState, PolicyStatus, RolledBack, ShadowStatus, Which},
    provision, rest,
};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path as Named, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::Listener,
};
use serde::{Deserialize, Serialize};
use server::Terms;
use std::{
    future::ready,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use switch::site::Site;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::ServerConfig;

/// The socket's name in the data folder.
pub const SOCKET: &str = "holdfast.sock";

/// What can be seen through the doors.
#[derive(Clone)]
pub struct Shown {
    /// The policies.
    pub engine: Arc<Engine>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Bindings, pools.
    pub site: Arc<Site>,
    /// The way to the calls.
    pub exchange: Arc<Exchange>,
    /// Alarms.
    pub notifier: Option<Arc<Notifier>>,
    /// Endpoints and users.
    pub keeper: Arc<Keeper>,
    /// Where phones reach it.
    pub listening: Arc<[config::Listen]>,
}

/// The open doors. Dropped, they are shut.
#[derive(Debug)]
pub struct Doors {
    /// Where what is counted is served over TCP.
    pub metrics: Option<SocketAddr>,
    /// Where the REST API is served.
    pub rest: Option<SocketAddr>,
    /// Where phones fetch their settings: `https://` or `http://`, address and port.
    pub provision: Vec<String>,
    socket: Option<PathBuf>,
    serving: Vec<JoinHandle<()>>,
}

impl Doors {
    /// Opens the socket in the data folder, which the caller has locked, and `metrics` where it is asked for. A door that cannot be opened is told in the log and left shut:
    /// calls are worth more. In a runtime.
    #[must_use]
    pub fn open(data: &DataFolder, metrics: Option<SocketAddr>, shown: &Shown) -> Self {
        let mut doors = Self { metrics: None, rest: None, provision: Vec::new(), socket: None, serving: Vec::new() };
        let path = data.root().join(SOCKET);
        match server::socket(&path) {
            Ok(listener) => {
                doors.serving.push(tokio::spawn(served(listener, everything(shown.clone()))));
                doors.socket = Some(path);
            }
            Err(error) => tracing::error!("`holdfast policy list` and `rollback` cannot reach this gateway: {error:#}"),
        }
        if let Some(address) = metrics {
            match server::tcp(address) {
                Ok((listener, address)) => {
                    tracing::info!("metrics are at http://{address}/metrics");
                    doors.serving.push(tokio::spawn(served(listener, only_metrics(shown.clone()))));
                    doors.metrics = Some(address);
                }
                Err(error) => tracing::error!("metrics are not served on {address}: {error:#}; change `listen` under [metrics]"),
            }
        }
        doors
    }

    /// Opens the REST API too. As with the others, calls are worth more than a door.
    pub fn open_rest(
        &mut self,
        settings: &config::Rest,
        limits: &config::Limits,
        data: &DataFolder,
        tls: Arc<ServerConfig>,
        shown: &Shown,
    ) {
        match rest::open(settings, limits, data, tls, shown) {
            Ok((serving, address)) => {
                self.serving.push(serving);
                self.rest = Some(address);
            }
            Err(error) => tracing::error!("the REST API is not served: {error:#}"),
        }
    }
}

impl Doors {
    /// Opens the doors for phones that fetch their settings. As with the others, calls are worth more than a door.
    pub fn open_provision(&mut self, place: &provision::Place<'_>, shown: &Shown) {
        match provision::open(place, shown) {
            Ok(open) => {
                for (serving, address) in open {
                    self.serving.push(serving);
                    self.provision.push(address);
                }
            }
            Err(error) => tracing::error!("no phone can fetch its settings: {error:#}"),
        }
    }
}

/// Serves what only its own user or a monitoring system asks for.
async fn served<L: Listener<Addr: Send>>(listener: L, router: Router) {
    let terms = Terms { connections: server::CONNECTIONS, tls: None, full: Arc::new(|| ()) };
    server::run(listener, terms, move |_: &L::Addr| router.clone()).await;
}

impl Drop for Doors {
    fn drop(&mut self) {
        for task in &self.serving {
            task.abort();
        }
        if let Some(path) = &self.socket {
            // The next gateway replaces one that stays.
            let _removed = std::fs::remove_file(path);
        }
    }
}

fn everything(shown: Shown) -> Router {
    Router::new()
        .route("/policies", get(policies))
        .route("/policies/{name}/rollback", post(roll_back))
        .route("/metrics", get(counted))
        .route("/alarms", get(alarms::alarms))
        .route("/alarms/test", post(alarms::test).layer(DefaultBodyLimit::max(BODY_MAX)))
        .route("/alarms/{number}", get(alarms::alarm))
        .route("/alarms/{number}/outcome", get(alarms::outcome))
        .route("/alarms/{number}/acknowledge", post(alarms::acknowledge).layer(DefaultBodyLimit::max(BODY_MAX)))
        .route("/emergency", get(emergency::trials))
        .route("/emergency/drills", post(emergency::drill).layer(DefaultBodyLimit::max(BODY_MAX)))
        .route("/calls", post(calls::place).get(records::records).layer(DefaultBodyLimit::max(BODY_MAX)))
        .route("/calls/{call_id}", get(calls::standing).delete(calls::hang_up))
        .route("/calls/{call_id}/outcome", get(calls::outcome))
        .route("/endpoints", get(directory::endpoints))
        .route("/endpoints/{id}", get(directory::endpoint))
        .route("/endpoints/{id}/token", post(tokens::give).layer(DefaultBodyLimit::max(BODY_MAX)))
        .route("/users", get(directory::users))
        .route("/users/{id}", get(directory::user_page))
        .route("/store", get(store::stands))
        .route("/licences", get(licences::pools))
        .route("/licences/{pool}", get(licences::pool))
        .route("/trunks", get(trunks::trunks))
        .route("/drill", get(drills::look))
        .route("/drills", get(drills::drills).post(drills::begin).layer(DefaultBodyLimit::max(BODY_MAX)))
        .route("/drills/{number}", get(drills::report))
        .route("/drills/stop", post(drills::stop).layer(DefaultBodyLimit::max(EDITS_MAX)))
        .route("/directory", post(directory::change).layer(DefaultBodyLimit::max(EDITS_MAX)))
        .fallback(|| ready(nothing_there()))
        .with_state(shown)
}

/// Octets of a list of edits: a hundred thousand endpoints.
const EDITS_MAX: usize = 64 << 20;
/// Octets of a request's body.
const BODY_MAX: usize = 16 << 10;

fn only_metrics(shown: Shown) -> Router {
    Router::new().route("/metrics", get(counted)).fallback(|| ready(nothing_there())).with_state(shown)
}

/// The answer to `GET /policies`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Policies {
    /// In the order in which they are asked.
    pub policies: Vec<Policy>,
}

/// One policy of a running gateway.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// `NN-name.wasm`.
    pub file: String,
    /// Its name.
    pub name: String,
    /// Version of the component that runs, from its metadata.
    pub version: Option<String>,
    /// Description, from its metadata.
    pub description: Option<String>,
    /// `running`, `shadowing`, `resting`, `outdated`, `rolled-back`, `refused`: see [`crate::policy::PolicyState`].
    pub state: String,
    /// Why it is not simply running.
    pub reason: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Hooks of the component that runs.
    pub hooks: Vec<String>,
    /// Decisions since that component took its place.
    pub decisions: u64,
    /// Its faults.
    pub faults: u64,
    /// 99 of 100 decisions took no longer, in microseconds: a step of the histogram. `None` before the first decision.
    pub p99_us: Option<u64>,
    /// `p99_us` is the last step of the histogram, and was gone beyond.
    pub p99_beyond: bool,
    /// Since when it has been in this state, as in RFC 3339.
    pub since: String,
    /// SHA-256 of the component that runs, in hexadecimal.
    pub hash: Option<String>,
    /// What a roll-back would put back.
    pub previous: Option<Which>,
}

impl From<PolicyStatus> for Policy {
    fn from(status: PolicyStatus) -> Self {
        let (reason, remedy) = match &status.state {
            PolicyState::Running => (None, None),
            PolicyState::Shadowing(shadow) => (Some(beside(shadow)), None),
            PolicyState::Resting(why) | PolicyState::Outdated(why) | PolicyState::RolledBack(why) | PolicyState::Refused(why) => {
                (Some(why.reason.clone()), Some(why.remedy.clone()))
            }
        };
        let beyond = status.p99 == Some(Duration::MAX);
        let p99 = status.p99.map(|p99| p99.min(crate::policy::Figures::LAST_BOUND));
        Self {
            state: status.state.name().to_owned(),
            reason,
            remedy,
            file: status.file,
            name: status.name,
            version: status.version,
            description: status.description,
            hooks: status.hooks.into_iter().map(str::to_owned).collect(),
            decisions: status.decisions,
            faults: status.faults,
            p99_us: p99.map(|p99| u64::try_from(p99.as_micros()).unwrap_or(u64::MAX)),
            p99_beyond: beyond,
            since: rfc3339(status.since),
            hash: Some(status.hash).filter(|hash| !hash.is_empty()),
            previous: status.previous,
        }
    }
}

/// How what is tried beside the policy stands.
fn beside(shadow: &ShadowStatus) -> String {
    let ShadowStatus { version, hash, decided, different, faults, examples, .. } = shadow;
    let which = version.as_deref().unwrap_or_else(|| hash.get(..8).unwrap_or(hash));
    let example = examples.first().map_or_else(String::new, |Difference { asked, old, new }| format!("; {asked}: {old} -> {new}"));
    format!("{which} decides beside it: {decided} decisions, {different} different, {faults} failed{example}")
}

fn rfc3339(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time).truncate_to_second();
    // The form has a place for every time up to the year 9999.
    time.format(&Rfc3339).unwrap_or_default()
}

/// A request that came to nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// Why something was not done, and under which status that is told: what the socket and the REST API answer alike.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Turned {
    pub(crate) status: StatusCode,
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

impl Turned {
    pub(crate) fn new(status: StatusCode, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { status, reason: reason.into(), remedy: remedy.into() }
    }

    /// The store cannot do it.
    fn trouble(why: String) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, why, "nothing was changed; free space on the disk or repair it, and ask again")
    }
}

impl IntoResponse for Turned {
    fn into_response(self) -> Response {
        refuse(self.status, self.reason, self.remedy)
    }
}

fn refuse(status: StatusCode, reason: impl Into<String>, remedy: impl Into<String>) -> Response {
    (status, Json(Refused { reason: reason.into(), remedy: remedy.into() })).into_response()
}

fn nothing_there() -> Response {
    refuse(
        StatusCode::NOT_FOUND,
        "there is nothing of that name",
        "ask for /metrics; on the socket in the data folder also for /policies, /calls, /endpoints, /users, /licences, /trunks, /alarms, /store and /drill",
    )
}

async fn policies(State(shown): State<Shown>) -> Response {
    let policies = apart(move || shown.engine.status().into_iter().map(Policy::from).collect()).await;
    policies.map_or_else(|broken| broken, |policies| Json(Policies { policies }).into_response())
}

async fn roll_back(State(shown): State<Shown>, Named(name): Named<String>) -> Response {
    match apart(move || shown.engine.roll_back(&name)).await {
        Err(broken) => broken,
        Ok(Ok(done)) => Json::<RolledBack>(done).into_response(),
        Ok(Err(why @ NoWayBack::Unknown { .. })) => {
            refuse(StatusCode::NOT_FOUND, why.to_string(), "`holdfast policy list` shows the names")
        }
        Ok(Err(why @ NoWayBack::Nothing(_))) => refuse(
            StatusCode::CONFLICT,
            why.to_string(),
            "put the component that you want into the policy folder: it is swapped in while calls run",
        ),
    }
}

async fn counted(State(shown): State<Shown>) -> Response {
    match apart(move || metrics::text(&shown)).await {
        Err(broken) => broken,
        Ok(text) => ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
    }
}

/// Runs what may wait for a component that is being loaded on a thread of its own; at most as many as there are connections.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Response> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, format!("the gateway could not do it: {error}"), "its log says more"))
}
