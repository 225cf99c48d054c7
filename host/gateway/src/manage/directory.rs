//! Endpoints and users: shown as they stand, and changed in one go.

use super::{Refused, Shown, apart, refuse, rfc3339};
use crate::{
    keeper::{Done, Made, No, View},
    store::Entry,
};
use axum::{
    Json,
    body::Bytes,
    extract::{Path as Named, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use sip::Instant;
use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};
use switch::directory::{
    CallSettings, Endpoint,
    record::{Assigned, Edit, EndpointRecord, Kind, LineKey, UserRecord},
    roster::Subject,
};
use utoipa::ToSchema;

/// Rows of one page at most.
const PAGE: usize = 1_000;
/// Octets of a name under which somebody asks.
pub(super) const BY: usize = 64;

/// Which part of a list is wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Page {
    /// From which row on, of all that are there.
    pub from: usize,
    /// Only what has this in its id, name, username, extension, model, hardware address or location, in any case.
    pub find: String,
}

/// Where something stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stands {
    /// In the configuration file: it is changed there.
    File,
    /// In the store: it is changed by command.
    Store,
}

/// An endpoint.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EndpointRow {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub stands: Stands,
    /// Digest user.
    pub username: String,
    /// What others see.
    pub name: String,
    /// Its own name, which its first user's goes before.
    pub own_name: String,
    /// What others dial: its own extension, or that of its first user.
    pub extension: Option<String>,
    /// Whose it is.
    pub users: Vec<Assigned>,
    /// Whether it may register.
    pub enabled: bool,
    /// Whether it is registered.
    pub registered: bool,
    /// What it is.
    pub kind: Option<Kind>,
    /// The maker's name for it.
    pub model: Option<String>,
    /// Hardware address.
    pub mac: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Location.
    pub location: Option<String>,
    /// Licence pool.
    pub licence: Option<String>,
    /// Its keys.
    pub keys: Vec<LineKey>,
    /// Further lines of its settings file.
    pub settings: String,
    /// Why it is not in force, or cannot register.
    pub trouble: Option<String>,
}

/// A user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserRow {
    /// Its id.
    pub id: String,
    /// What others see.
    pub name: String,
    /// What others dial.
    pub extension: String,
    /// Direct numbers.
    pub numbers: Vec<String>,
    /// Whether others reach it.
    pub enabled: bool,
    /// What becomes of its calls.
    #[serde(flatten)]
    pub calls: CallSettings,
    /// Its endpoints.
    pub endpoints: Vec<PhoneOf>,
    /// Why it is not in force.
    pub trouble: Option<String>,
}

/// An endpoint of a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PhoneOf {
    /// Its id.
    pub endpoint: String,
    /// Whether it rings when the user is called.
    pub rings: bool,
    /// Whether it is registered.
    pub registered: bool,
}

/// A part of a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rows<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next part begins; `None`: this was the last.
    pub next: Option<usize>,
    /// How many there are in all, wanted or not.
    pub of: usize,
}

/// One line of a history.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Happened {
    /// When, as in RFC 3339.
    pub at: String,
    /// By whom, as he said himself.
    pub by: String,
    /// What.
    pub what: String,
}

/// Everything about an endpoint but its password.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EndpointPage {
    /// How it stands.
    #[serde(flatten)]
    pub row: EndpointRow,
    /// Where it is registered: Contact, User-Agent.
    pub bindings: Vec<(String, String)>,
    /// What became of it, newest first.
    pub history: Vec<Happened>,
}

/// Everything about a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UserPage {
    /// How it stands.
    #[serde(flatten)]
    pub row: UserRow,
    /// What became of it, newest first.
    pub history: Vec<Happened>,
}

/// The body of `POST /directory`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edits {
    /// Who asks, for the history.
    pub by: String,
    /// Only say what would be.
    #[serde(default)]
    pub dry_run: bool,
    /// What is to be changed: all of it, or nothing.
    pub edits: Vec<Edit>,
}

/// What came of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Edited {
    /// What is different now.
    pub changes: Vec<Different>,
    /// Passwords that were made, told this once.
    pub passwords: BTreeMap<String, String>,
    /// Registrations that ended.
    pub ended: usize,
}

/// One endpoint or user that is different now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Different {
    /// `endpoint` or `user`.
    pub kind: String,
    /// Its id.
    pub id: String,
    /// What is different.
    pub what: String,
}

/// The answer to edits that cannot be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wrong {
    /// The first of them, as any refusal.
    #[serde(flatten)]
    pub first: Refused,
    /// Everything that is wrong, in the order of the edits.
    pub problems: Vec<WrongEdit>,
}

/// What is wrong with one edit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WrongEdit {
    /// Which, from 0.
    pub edit: usize,
    /// Where in its fields, as a JSON pointer; empty where the edit as a whole is meant.
    #[serde(default)]
    pub at: String,
    /// Why it cannot be.
    pub reason: String,
    /// What to do about it.
    pub remedy: String,
}

/// An endpoint, wherever it stands.
enum Either<'a> {
    File(&'a Endpoint),
    Store(&'a EndpointRecord),
}

pub(super) async fn endpoints(State(shown): State<Shown>, Query(page): Query<Page>) -> Response {
    let look = move || {
        shown.keeper.view(|view| {
            let file = view.file.endpoints.iter().map(|endpoint| Either::File(endpoint));
            let all = file.chain(view.roster.endpoints().map(Either::Store));
            let row = |either| match either {
                Either::File(endpoint) => of_file(endpoint, &view),
                Either::Store(record) => of_store(record, &view),
            };
            let wanted = |row: &EndpointRow| endpoint_has(row, &page.find);
            part(all, view.file.endpoints.len() + view.roster.sizes().0, &page, row, wanted)
        })
    };
    apart(look).await.map_or_else(|broken| broken, |rows| Json(rows).into_response())
}

pub(super) async fn users(State(shown): State<Shown>, Query(page): Query<Page>) -> Response {
    let look = move || {
        shown.keeper.view(|view| {
            let wanted = |row: &UserRow| user_has(row, &page.find);
            let mut users = part(view.roster.users(), view.roster.sizes().1, &page, |record| user(record, &view), wanted);
            with_phones(&mut users.rows, &view);
            users
        })
    };
    apart(look).await.map_or_else(|broken| broken, |rows| Json(rows).into_response())
}

/// Whether an endpoint is found by this text.
pub(crate) fn endpoint_has(row: &EndpointRow, wanted: &str) -> bool {
    let some = [&row.extension, &row.model, &row.mac, &row.location];
    [&row.id, &row.name, &row.username].into_iter().chain(some.into_iter().flatten()).any(|text| has(text, wanted))
}

/// Whether a user is found by this text.
pub(crate) fn user_has(row: &UserRow, wanted: &str) -> bool {
    [&row.id, &row.name, &row.extension].into_iter().chain(&row.numbers).any(|text| has(text, wanted))
}

pub(super) fn has(text: &str, wanted: &str) -> bool {
    wanted.is_empty() || text.to_lowercase().contains(&wanted.to_lowercase())
}

/// The rows of a page, and no more: a list of a hundred thousand is asked for in a hundred parts.
fn part<T, R>(all: impl Iterator<Item = T>, of: usize, page: &Page, row: impl Fn(T) -> R, wanted: impl Fn(&R) -> bool) -> Rows<R> {
    let mut rows = all.enumerate().skip(page.from).map(|(place, entry)| (place, row(entry))).filter(|(_, row)| wanted(row));
    let found: Vec<R> = rows.by_ref().take(PAGE).map(|(_, row)| row).collect();
    let next = rows.next().map(|(place, _)| place);
    Rows { rows: found, next, of }
}

pub(crate) fn of_file(endpoint: &Endpoint, view: &View<'_>) -> EndpointRow {
    EndpointRow {
        id: endpoint.id.clone(),
        stands: Stands::File,
        username: endpoint.username.clone(),
        name: endpoint.name.clone(),
        own_name: endpoint.name.clone(),
        extension: Some(endpoint.extension.clone()),
        users: Vec::new(),
        enabled: endpoint.enabled,
        registered: view.site.registrar.registered(&endpoint.id, view.now),
        kind: None,
        model: None,
        mac: endpoint.mac.clone(),
        serial: None,
        location: endpoint.location.clone(),
        licence: endpoint.licence.clone(),
        keys: Vec::new(),
        settings: String::new(),
        trouble: None,
    }
}

pub(crate) fn of_store(record: &EndpointRecord, view: &View<'_>) -> EndpointRow {
    let user = record.users.first().and_then(|assigned| view.roster.user(&assigned.user));
    let name = user.map_or(record.name.as_str(), |user| user.shown());
    let domain = &view.file.domain;
    let other_realm = || {
        let reason = format!("its password was made for the domain {}, and is of no use in {domain}: set a new one", record.secret.realm);
        Some(reason).filter(|_| record.secret.realm != *domain)
    };
    EndpointRow {
        id: record.id.clone(),
        stands: Stands::Store,
        username: record.username.clone(),
        name: name.to_owned(),
        own_name: record.name.clone(),
        extension: user.map(|user| user.extension.clone()),
        users: record.users.clone(),
        enabled: record.enabled,
        registered: view.site.registrar.registered(&record.id, view.now),
        kind: Some(record.kind),
        model: record.model.clone(),
        mac: record.mac.clone(),
        serial: record.serial.clone(),
        location: record.location.clone(),
        licence: record.licence.clone(),
        keys: record.keys.clone(),
        settings: record.settings.clone(),
        trouble: left_out(&Subject::Endpoint(record.id.clone()), view).or_else(other_realm),
    }
}

fn left_out(subject: &Subject, view: &View<'_>) -> Option<String> {
    if view.left_out.is_empty() {
        return None;
    }
    let who = subject.to_string();
    view.left_out.iter().find(|left_out| left_out.who == who).map(|left_out| left_out.reason.clone())
}

/// Names the endpoints of these users.
pub(crate) fn with_phones(users: &mut [UserRow], view: &View<'_>) {
    let places: BTreeMap<String, usize> = users.iter().enumerate().map(|(place, user)| (user.id.clone(), place)).collect();
    for record in view.roster.endpoints() {
        for assigned in &record.users {
            let user = places.get(&assigned.user).and_then(|place| users.get_mut(*place));
            if let Some(user) = user {
                let registered = view.site.registrar.registered(&record.id, view.now);
                user.endpoints.push(PhoneOf { endpoint: record.id.clone(), rings: assigned.rings, registered });
            }
        }
    }
}

pub(crate) fn user(record: &UserRecord, view: &View<'_>) -> UserRow {
    UserRow {
        id: record.id.clone(),
        name: record.name.clone(),
        extension: record.extension.clone(),
        numbers: record.numbers.clone(),
        enabled: record.enabled,
        calls: record.calls.clone(),
        endpoints: Vec::new(),
        trouble: left_out(&Subject::User(record.id.clone()), view),
    }
}

pub(super) async fn endpoint(State(shown): State<Shown>, Named(id): Named<String>) -> Response {
    let look = move || {
        let history = match shown.keeper.history(Subject::Endpoint(id.clone())) {
            Ok(history) => happened(history),
            Err(why) => return trouble(why),
        };
        let page = shown.keeper.view(|view| {
            let bindings = view.site.registrar.bindings(&id, view.now);
            let bindings = bindings.iter().map(|binding| (binding.contact.to_string(), binding.user_agent.to_string())).collect();
            if let Some(record) = view.roster.endpoint(&id) {
                return Some(EndpointPage { row: of_store(record, &view), bindings, history });
            }
            Some(EndpointPage { row: of_file(view.file.endpoint(&id)?, &view), bindings, history })
        });
        page.map_or_else(|| nobody("endpoint", &id), |page| Json(page).into_response())
    };
    apart(look).await.unwrap_or_else(|broken| broken)
}

pub(super) async fn user_page(State(shown): State<Shown>, Named(id): Named<String>) -> Response {
    let look = move || {
        let history = match shown.keeper.history(Subject::User(id.clone())) {
            Ok(history) => happened(history),
            Err(why) => return trouble(why),
        };
        let page = shown.keeper.view(|view| {
            let mut row = user(view.roster.user(&id)?, &view);
            with_phones(std::slice::from_mut(&mut row), &view);
            Some(UserPage { row, history })
        });
        page.map_or_else(|| nobody("user", &id), |page| Json(page).into_response())
    };
    apart(look).await.unwrap_or_else(|broken| broken)
}

pub(super) fn nobody(noun: &str, id: &str) -> Response {
    refuse(StatusCode::NOT_FOUND, format!("there is no {noun} `{id}`"), format!("`holdfast {noun} list` shows all of them"))
}

pub(super) fn trouble(why: String) -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, why, "nothing was changed; free space on the disk or repair it, and ask again")
}

pub(crate) fn happened(history: Vec<Entry>) -> Vec<Happened> {
    let at = |at: Instant| rfc3339(UNIX_EPOCH + Duration::from_micros(at.unix_micros()));
    history.into_iter().map(|Entry { at: when, by, what }| Happened { at: at(when), by, what }).collect()
}

pub(super) async fn change(State(shown): State<Shown>, body: Bytes) -> Response {
    let done = move || {
        let Edits { by, dry_run, edits } = match serde_json::from_slice(&body) {
            Ok(edits) => edits,
            Err(error) => {
                let remedy = r#"send `{"by": "NAME", "edits": [...]}`, as `host/switch/src/directory/record.rs` describes them"#;
                return refuse(StatusCode::BAD_REQUEST, format!("the body is no list of edits: {error}"), remedy);
            }
        };
        if by.is_empty() || by.len() > BY || by.chars().any(char::is_control) {
            return refuse(StatusCode::BAD_REQUEST, "`by` is no name", format!("name who asks, with {BY} octets at most"));
        }
        match shown.keeper.change(&by, edits, dry_run) {
            Ok(Done { notes, made, ended }) => {
                let changes = notes.into_iter().map(|note| match note.subject {
                    Subject::Endpoint(id) => Different { kind: "endpoint".to_owned(), id, what: note.what },
                    Subject::User(id) => Different { kind: "user".to_owned(), id, what: note.what },
                });
                let passwords = made.into_iter().map(|Made { id, password }| (id, password)).collect();
                Json(Edited { changes: changes.collect(), passwords, ended }).into_response()
            }
            Err(No::Trouble(why)) => trouble(why),
            Err(No::Problems(problems)) => {
                let problems: Vec<WrongEdit> =
                    problems.into_iter().map(|p| WrongEdit { edit: p.edit, at: p.at, reason: p.reason, remedy: p.remedy }).collect();
                let first = problems.first().map_or_else(|| (String::new(), String::new()), |p| (p.reason.clone(), p.remedy.clone()));
                let first = Refused { reason: first.0, remedy: first.1 };
                (StatusCode::UNPROCESSABLE_ENTITY, Json(Wrong { first, problems })).into_response()
            }
        }
    };
    apart(done).await.unwrap_or_else(|broken| broken)
}
