//! `/v1/endpoints.csv` and `/v1/users.csv`: thousands in one go, by the tables of `holdfast endpoint export` and `import`.

use super::{
    Api, Asked, By, apart,
    problem::{Refusal, Written, Wrong},
    request::{self, CSV},
};
use crate::{
    keeper::{Done, No, View},
    manage,
    sheet::{self, Edits, Table},
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::{IntoParams, ToSchema};

/// How a table is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SheetQuery {
    /// Only say what would change.
    #[serde(default)]
    #[param(required = false)]
    dry_run: bool,
}

/// What a table has changed, or would.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Imported {
    /// Whether nothing was changed yet.
    pub dry_run: bool,
    /// Lines of the table, without the first.
    pub lines: usize,
    /// Those of them that are new.
    pub added: usize,
    /// Those that are different now.
    pub changed: usize,
    /// Those that are as they were.
    pub unchanged: usize,
    /// What is different, by id.
    pub changes: BTreeMap<String, String>,
    /// Passwords that were made, by id. They are not shown again.
    pub passwords: BTreeMap<String, String>,
    /// Registrations that ended.
    pub ended: usize,
}

/// Shows the store's endpoints as a table, without passwords.
#[utoipa::path(get, path = "/v1/endpoints.csv", operation_id = "export_endpoints", tag = "endpoints",
    responses((status = 200, description = "One line each, by id.", body = String, content_type = "text/csv")))]
pub(super) async fn endpoints_out(State(api): State<Api>) -> Result<Response, Refusal> {
    apart(move || out::<sheet::Endpoints>(&api, |view| view.roster.endpoints().map(|record| manage::of_store(record, view)).collect()))
        .await
}

/// Shows the users as a table.
#[utoipa::path(get, path = "/v1/users.csv", operation_id = "export_users", tag = "users",
    responses((status = 200, description = "One line each, by id.", body = String, content_type = "text/csv")))]
pub(super) async fn users_out(State(api): State<Api>) -> Result<Response, Refusal> {
    apart(move || out::<sheet::Users>(&api, |view| view.roster.users().map(|record| manage::user(record, view)).collect())).await
}

/// Makes endpoints as a table has them: all of it, or nothing.
///
/// The first line names the columns: `id` and any of kind, model, mac, serial, username, password, name, enabled, location, licence, keys, settings, users.
/// A column that is not there changes nothing, an empty cell takes away what may be missing; `keys` and `users` have one entry a line of the cell, `alice:silent` is a
/// user whose calls do not ring there. Lines with a new id are added, and have a password made where they have none.
#[utoipa::path(post, path = "/v1/endpoints.csv", operation_id = "import_endpoints", tag = "endpoints", params(SheetQuery),
    request_body(content = String, content_type = "text/csv", example = "id,name\ndesk-8,Reception\n"),
    responses((status = 200, description = "It is so now.", body = Imported), Written))]
pub(super) async fn endpoints_in(
    State(api): State<Api>,
    By(by): By,
    Asked(query): Asked<SheetQuery>,
    request::Table(table): request::Table,
) -> Result<Response, Refusal> {
    apart(move || taken::<sheet::Endpoints>(&api, &by, &table, query.dry_run)).await
}

/// Makes users as a table has them: all of it, or nothing.
///
/// The first line names the columns: `id` and any of name, extension, numbers (one a line of the cell), enabled. Lines with a new id are added.
#[utoipa::path(post, path = "/v1/users.csv", operation_id = "import_users", tag = "users", params(SheetQuery),
    request_body(content = String, content_type = "text/csv", example = "id,name,extension\nbob,Bob Hale,1108\n"),
    responses((status = 200, description = "It is so now.", body = Imported), Written))]
pub(super) async fn users_in(
    State(api): State<Api>,
    By(by): By,
    Asked(query): Asked<SheetQuery>,
    request::Table(table): request::Table,
) -> Result<Response, Refusal> {
    apart(move || taken::<sheet::Users>(&api, &by, &table, query.dry_run)).await
}

fn out<T: Table>(api: &Api, rows: impl FnOnce(&View<'_>) -> Vec<T::Row>) -> Result<Response, Refusal> {
    let rows = api.shown.keeper.view(|view| rows(&view));
    let written = sheet::write::<T>(&rows);
    let (text, _) = written.map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), "ask again"))?;
    Ok(([(CONTENT_TYPE, CSV)], text).into_response())
}

fn taken<T: Table>(api: &Api, by: &str, table: &[u8], dry_run: bool) -> Result<Response, Refusal> {
    let wrong = |line: u64, detail: String, remedy: String| Wrong { line: Some(line), detail, remedy, ..Wrong::default() };
    let read = sheet::read::<T>(table, |_| {}).map_err(|error| {
        Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}"), "send UTF-8 text whose first line names the columns")
    })?;
    let Edits { edits, lines } = read.map_err(|lines| {
        let errors = lines.into_iter().map(|found| wrong(found.line, found.reason, found.remedy)).collect();
        Refusal::wrong(StatusCode::UNPROCESSABLE_ENTITY, errors)
    })?;
    let Done { notes, made, ended } = api.shown.keeper.change(by, edits, dry_run).map_err(|no| match no {
        No::Problems(problems) => {
            let line = |edit: usize| lines.get(edit).copied().unwrap_or_default();
            let errors = problems.into_iter().map(|problem| wrong(line(problem.edit), problem.reason, problem.remedy)).collect();
            Refusal::wrong(StatusCode::UNPROCESSABLE_ENTITY, errors)
        }
        trouble @ No::Trouble(_) => trouble.into(),
    })?;
    let added = notes.iter().filter(|note| note.what == "added").count();
    let (lines, changed) = (lines.len(), notes.len() - added);
    let passwords = made.into_iter().map(|made| (made.id, made.password)).collect();
    let changes = notes.into_iter().map(|note| (note.subject.into_id(), note.what)).collect();
    let unchanged = lines.saturating_sub(added + changed);
    Ok(Json(Imported { dry_run, lines, added, changed, unchanged, changes, passwords, ended }).into_response())
}
