//! Which phones would survive the loss of their cloud today, and drills that show it: the site loses its cloud on purpose, and who registers here is written down.

use super::{EndpointRow, Refused, Shown, Turned, apart, of_file, of_store, refuse};
use crate::{
    clock::rfc3339,
    store::{Begun, Drill, Report, Sightings},
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path as Named, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sip::{Instant, transport::Transport as Way};
use std::collections::BTreeMap;
use switch::{
    licence::NoSeat,
    settings::{CONTROLLER_LIST, Controller, Settings, Statement, Transport, Unusable, carries},
};
use utoipa::ToSchema;

/// Rows of one page at most.
const PAGE: usize = 10_000;
/// Characters of the name of a drill, and of who begins it.
pub(crate) const NAME: usize = 64;

/// Which part is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Look {
    /// From which row on.
    pub from: usize,
    /// How phones reach this gateway, as entries of `SIP_CONTROLLER_LIST` with commas between; empty: the addresses that it listens on.
    pub controllers: String,
}

/// Phones as they would do, or did.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DrillPage {
    /// The drill that runs, or that this is the report of.
    pub drill: Option<DrillShown>,
    /// What settings files are looked through for; empty: nothing is known.
    pub controllers: Vec<String>,
    /// The phones.
    pub rows: Vec<DrillRow>,
    /// Where the next part begins; `None`: this was the last.
    pub next: Option<usize>,
}

/// A drill. Times are as in RFC 3339.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Drill)]
pub struct DrillShown {
    /// Its number.
    pub number: i64,
    /// Its name.
    pub name: String,
    /// Who has begun it.
    pub by: String,
    /// When it began.
    pub began: String,
    /// When it ended; `None`: it runs.
    pub ended: Option<String>,
}

/// The answer to `GET /drills`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Drills {
    /// Newest first.
    pub drills: Vec<DrillShown>,
}

/// A phone, and what stands between it and surviving a loss. Names are what lies on disk in reports: a new one needs a default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[schema(as = Phone)]
pub struct DrillRow {
    /// Id of the endpoint; of a phone that the directory does not know, its file.
    pub id: String,
    /// What others dial.
    pub extension: Option<String>,
    /// Digest user.
    pub username: String,
    /// Hardware address.
    pub mac: Option<String>,
    /// Whether the directory has it.
    pub known: bool,
    /// Whether it may register.
    pub enabled: bool,
    /// Why it is not in force, or could not register although it may.
    pub trouble: Option<String>,
    /// The pool from which it draws a seat; `None`: it needs none.
    pub pool: Option<String>,
    /// Why it would get no seat if all phones came now.
    pub unlicensed: Option<String>,
    /// Whether its settings file leads here; `None`: no file is known.
    pub carries: Option<bool>,
    /// Whether it is registered now.
    pub registered: bool,
    /// When it was last registered or refreshed; `None`: never.
    pub seen: Option<String>,
    /// The last ended drill in which it was registered.
    pub drill: Option<i64>,
    /// When it was registered in that drill.
    pub drilled: Option<String>,
    /// Whether it was registered in the drill that runs, or that this is the report of; `None`: there is none.
    pub came: Option<bool>,
}

/// What keeps a phone from surviving a loss.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Failing {
    /// The directory does not have it.
    Unknown,
    /// It may not or cannot register.
    Disabled,
    /// It would find no seat.
    Unlicensed,
    /// Its settings file does not lead here.
    Settings,
    /// It was never registered here.
    NeverSeen,
    /// It was not registered in this drill.
    Absent,
}

impl DrillRow {
    /// Everything that fails. A phone of which no file is known, and that was seen, leads here.
    #[must_use]
    pub fn failing(&self) -> Vec<Failing> {
        if !self.known {
            return vec![Failing::Unknown];
        }
        let all = [
            (!self.enabled || self.trouble.is_some(), Failing::Disabled),
            (self.unlicensed.is_some(), Failing::Unlicensed),
            (self.carries == Some(false), Failing::Settings),
            // In a drill it is asked who came to that, and nothing older.
            (self.seen.is_none() && self.came.is_none(), Failing::NeverSeen),
            (self.came == Some(false), Failing::Absent),
        ];
        all.into_iter().filter(|(fails, _)| *fails).map(|(_, failing)| failing).collect()
    }
}

/// The body of `POST /drills`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BeginDrill {
    /// Who asks.
    pub by: String,
    /// What it is called; may be empty.
    pub name: String,
}

/// The body of `POST /drills/stop`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopDrill {
    /// See [`Look::controllers`].
    pub controllers: String,
    /// Whether phones' settings files lead here, by endpoint, where they were looked at; for the report.
    pub carries: BTreeMap<String, bool>,
    /// Phones that have a settings file and are not in the directory.
    pub unknown: Vec<DrillRow>,
}

/// What is kept of a drill.
#[derive(Serialize, Deserialize)]
struct Kept {
    controllers: Vec<String>,
    rows: Vec<DrillRow>,
}

/// Phones as they would do now, or did in a drill.
pub(crate) struct Shape {
    /// The drill that runs, or that this is the report of.
    pub(crate) drill: Option<DrillShown>,
    /// What settings files were looked through for.
    pub(crate) controllers: Vec<String>,
    /// All of them.
    pub(crate) rows: Vec<DrillRow>,
}

/// Which phones of the directory would survive a loss now; in a drill, who has come to it. Waits for the store.
pub(crate) fn now(shown: &Shown, named: &str) -> Result<Shape, Turned> {
    let ours = controllers(named, shown)?;
    let sightings = shown.keeper.sightings().map_err(Turned::trouble)?;
    let running = sightings.running();
    let rows = phones(shown, &sightings, running, &ours).into_iter().map(|(row, _)| row).collect();
    Ok(Shape { drill: running.map(told), controllers: ours.iter().map(ToString::to_string).collect(), rows })
}

/// All drills, newest first. Waits for the store.
pub(crate) fn all(shown: &Shown) -> Result<Vec<DrillShown>, Turned> {
    let sightings = shown.keeper.sightings().map_err(Turned::trouble)?;
    Ok(sightings.drills.iter().map(told).collect())
}

/// The report of an ended drill. Waits for the store.
pub(crate) fn kept(shown: &Shown, number: i64) -> Result<Shape, Turned> {
    let report = shown.keeper.drill_report(number).map_err(Turned::trouble)?;
    let Some(Report { drill, report }) = report else {
        let remedy = "`holdfast drill list` shows all that have ended";
        return Err(Turned::new(StatusCode::NOT_FOUND, format!("there is no report of a drill {number}"), remedy));
    };
    match serde_json::from_str::<Kept>(&report) {
        Ok(Kept { controllers, rows }) => Ok(Shape { drill: Some(told(&drill)), controllers, rows }),
        Err(error) => Err(Turned::trouble(format!("the report of drill {number} is unreadable: {error}"))),
    }
}

/// Begins a drill. Waits for the store.
pub(crate) fn start(shown: &Shown, by: &str, name: &str) -> Result<DrillShown, Turned> {
    match shown.keeper.begin_drill(name, by).map_err(Turned::trouble)? {
        Begun::Now(drill) => {
            tracing::warn!(number = drill.number, name, by, "a drill has begun: phones that register from now on have come to it");
            Ok(told(&drill))
        }
        Begun::Running(drill) => Err(Turned::new(
            StatusCode::CONFLICT,
            format!("drill {} runs since {}", drill.number, rfc3339(drill.began)),
            "end it with `holdfast drill stop` first",
        )),
    }
}

/// Ends the drill that runs, if it is the one with this number where one is given. Waits for the store.
pub(crate) fn end(shown: &Shown, number: Option<i64>, asked: StopDrill) -> Result<DrillShown, Turned> {
    let StopDrill { controllers: named, carries, unknown } = asked;
    let ours = controllers(&named, shown)?;
    let sightings = shown.keeper.sightings().map_err(Turned::trouble)?;
    let none = || Turned::new(StatusCode::CONFLICT, "no drill runs", "begin one with `holdfast drill start`");
    let drill = sightings.running().filter(|drill| number.is_none_or(|number| drill.number == number)).ok_or_else(none)?;
    let mut came = Vec::new();
    let mut rows = Vec::new();
    for (mut row, seen) in phones(shown, &sightings, Some(drill), &ours) {
        came.extend(seen.filter(|seen| *seen >= drill.began).map(|seen| (row.id.clone(), seen)));
        row.carries = carries.get(&row.id).copied().or(row.carries);
        rows.push(row);
    }
    rows.extend(unknown.into_iter().map(|row| DrillRow { known: false, ..row }));
    let kept = Kept { controllers: ours.iter().map(ToString::to_string).collect(), rows };
    let report = serde_json::to_string(&kept).map_err(|error| Turned::trouble(error.to_string()))?;
    let phones = came.len();
    let ended = shown.keeper.end_drill(drill.number, report, came).map_err(Turned::trouble)?.ok_or_else(none)?;
    tracing::warn!(number = ended.number, phones, "the drill has ended");
    Ok(told(&ended))
}

/// The phones of the directory.
pub(super) async fn look(State(shown): State<Shown>, Query(look): Query<Look>) -> Response {
    apart(move || now(&shown, &look.controllers).map(|shape| part(shape, look.from))).await.map_or_else(|broken| broken, answered)
}

fn part(Shape { drill, controllers, rows }: Shape, from: usize) -> DrillPage {
    let next = from.saturating_add(PAGE);
    let next = Some(next).filter(|next| rows.len() > *next);
    let rows = rows.into_iter().skip(from).take(PAGE).collect();
    DrillPage { drill, controllers, rows, next }
}

fn answered<T: Serialize>(done: Result<T, Turned>) -> Response {
    done.map_or_else(IntoResponse::into_response, |done| Json(done).into_response())
}

fn told(drill: &Drill) -> DrillShown {
    let Drill { number, name, by, began, ended } = drill;
    DrillShown { number: *number, name: name.clone(), by: by.clone(), began: rfc3339(*began), ended: ended.map(rfc3339) }
}

/// How phones reach this gateway: as the operator says, or the addresses that it listens on.
fn controllers(named: &str, shown: &Shown) -> Result<Vec<Controller>, Turned> {
    if named.is_empty() {
        let own = shown.listening.iter().filter(|listen| !listen.address.ip().is_unspecified()).filter_map(|listen| {
            let transport = match listen.transport {
                Way::Tls => Transport::Tls,
                Way::Tcp => Transport::Tcp,
                Way::Udp => return None,
            };
            Controller::new(&listen.address.to_string(), transport).ok()
        });
        return Ok(own.collect());
    }
    let read = |entry: &str| {
        let (place, transport) = entry.split_once(";transport=").unwrap_or((entry, "tls"));
        let transport = if transport == "tcp" { Transport::Tcp } else { Transport::Tls };
        let refused = |why: Unusable| Turned::new(StatusCode::BAD_REQUEST, format!("`{entry}`: {why}"), "name another one");
        Controller::new(place, transport).map_err(refused)
    };
    named.split(',').map(read).collect()
}

/// Every phone, and when it was last seen.
fn phones(shown: &Shown, sightings: &Sightings, drill: Option<&Drill>, ours: &[Controller]) -> Vec<(DrillRow, Option<Instant>)> {
    shown.keeper.view(|view| {
        let file = view.file.endpoints.iter().map(|endpoint| of_file(endpoint, &view));
        let all: Vec<EndpointRow> = file.chain(view.roster.endpoints().map(|record| of_store(record, &view))).collect();
        let directory = view.site.directory();
        // Who may register and needs a seat asks for one, all at the same time.
        let mut asking: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for row in all.iter().filter(|row| row.enabled && row.trouble.is_none()) {
            if let Some(pool) = &row.licence {
                asking.entry(pool).or_default().push(directory.seat_holder(pool, &row.id));
            }
        }
        let seats: BTreeMap<&str, BTreeMap<&str, Result<(), NoSeat>>> =
            asking.iter().map(|(pool, names)| (*pool, view.site.ledger.would(pool, names, view.now))).collect();
        let told = |row: &EndpointRow| {
            let seat = row.licence.as_ref().and_then(|pool| seats.get(pool.as_str())?.get(directory.seat_holder(pool, &row.id)));
            let unlicensed = seat.and_then(|seat| seat.as_ref().err().map(ToString::to_string));
            let bindings = view.site.registrar.bindings(&row.id, view.now);
            let seen = bindings.iter().map(|binding| binding.seen).chain(sightings.seen.get(&row.id).copied()).max();
            let drilled = sightings.drilled.get(&row.id);
            let told = DrillRow {
                id: row.id.clone(),
                extension: row.extension.clone(),
                username: row.username.clone(),
                mac: row.mac.clone(),
                known: true,
                enabled: row.enabled,
                trouble: row.trouble.clone(),
                pool: row.licence.clone(),
                unlicensed,
                carries: leads(&row.settings, ours),
                registered: row.registered,
                seen: seen.map(rfc3339),
                drill: drilled.map(|(number, _)| *number),
                drilled: drilled.map(|(_, at)| rfc3339(*at)),
                came: drill.map(|drill| seen.is_some_and(|seen| seen >= drill.began)),
            };
            (told, seen)
        };
        all.iter().map(told).collect()
    })
}

/// Whether a settings text leads to one of these; `None` where that cannot be told.
fn leads(text: &str, ours: &[Controller]) -> Option<bool> {
    let settings = Settings::new(text.as_bytes()).ok().filter(|_| !ours.is_empty())?;
    let lists = settings.lines().any(|line| matches!(line.statement, Statement::Set(list) if list.is(CONTROLLER_LIST)));
    lists.then(|| ours.iter().any(|controller| carries(settings, controller)))
}

pub(super) async fn drills(State(shown): State<Shown>) -> Response {
    apart(move || all(&shown).map(|drills| Drills { drills })).await.map_or_else(|broken| broken, answered)
}

pub(super) async fn report(State(shown): State<Shown>, Named(number): Named<i64>, Query(look): Query<Look>) -> Response {
    apart(move || kept(&shown, number).map(|shape| part(shape, look.from))).await.map_or_else(|broken| broken, answered)
}

pub(super) async fn begin(State(shown): State<Shown>, body: Bytes) -> Response {
    let beginning = move || {
        let BeginDrill { by, name } = match serde_json::from_slice(&body) {
            Ok(asked) => asked,
            Err(error) => {
                return refuse(
                    StatusCode::BAD_REQUEST,
                    format!("the body begins no drill: {error}"),
                    r#"send `{"by": "NAME", "name": ""}`"#,
                );
            }
        };
        let wrong = |text: &str| text.chars().count() > NAME || text.chars().any(char::is_control);
        if by.is_empty() || wrong(&by) || wrong(&name) {
            return refuse(StatusCode::BAD_REQUEST, "this is no name", format!("use {NAME} characters at most, in one line"));
        }
        match start(&shown, &by, &name) {
            Ok(drill) => (StatusCode::CREATED, Json(drill)).into_response(),
            Err(turned) => turned.into_response(),
        }
    };
    apart(beginning).await.unwrap_or_else(|broken| broken)
}

pub(super) async fn stop(State(shown): State<Shown>, body: Bytes) -> Response {
    let stopping = move || match serde_json::from_slice(&body) {
        Ok(asked) => answered(end(&shown, None, asked)),
        Err(error) => refuse(
            StatusCode::BAD_REQUEST,
            format!("the body ends no drill: {error}"),
            "see `StopDrill` in host/gateway/src/manage/drills.rs",
        ),
    };
    apart(stopping).await.unwrap_or_else(|broken| broken)
}

impl From<Failing> for Refused {
    /// What is wrong, of several phones, and what to do about it.
    fn from(failing: Failing) -> Self {
        let (reason, remedy) = match failing {
            Failing::Unknown => ("not in the directory", "import their settings files: `holdfast endpoint import FILE --licence POOL`"),
            Failing::Disabled => {
                ("disabled or not in force", "`holdfast endpoint enable ID`; `holdfast endpoint show ID` says why one is not in force")
            }
            Failing::Unlicensed => (
                "without a licence seat",
                "raise `seats` of the pool in the configuration; `holdfast licence show POOL` shows who holds one",
            ),
            Failing::Settings => (
                "with a settings file that does not lead here",
                "`holdfast settings export FILE --controller HOST` puts this gateway in; then import the file on the phone's web page",
            ),
            Failing::NeverSeen => ("never registered here", "hold a drill: `holdfast drill start`, block the cloud, and look again"),
            Failing::Absent => (
                "not registered in this drill",
                "give it the time in which phones notice, then look at its screen, its settings file and whether it trusts tls/root.pem",
            ),
        };
        Self { reason: reason.to_owned(), remedy: remedy.to_owned() }
    }
}
