//! Endpoints and users of the store, and their history: read whole at the start, changed in one transaction for each request.

use super::owed::ROWS;
use sip::Instant;
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};
use switch::directory::{
    record::{Assigned, EndpointRecord, UserRecord},
    roster::{Change, Note, Roster, Subject},
};

/// One line of a history.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When.
    pub at: Instant,
    /// Who asked for it, as he says himself.
    pub by: String,
    /// What was changed.
    pub what: String,
}

/// Reads everything. What cannot be read is told in the log and left out; it stays on disk.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Roster, sqlx::Error> {
    let rows: Vec<(String, i64, String, bool)> =
        sqlx::query_as("SELECT endpoint, place, site_user, rings FROM endpoint_user ORDER BY endpoint, place")
            .fetch_all(&mut *connection)
            .await?;
    // Both come in the order of their endpoints.
    let mut assigned = rows.into_iter().peekable();
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT id, state FROM endpoint ORDER BY id").fetch_all(&mut *connection).await?;
    let mut endpoints = Vec::with_capacity(rows.len());
    for (id, state) in rows {
        let mut users = Vec::new();
        while let Some((endpoint, _, user, rings)) = assigned.next_if(|(endpoint, ..)| *endpoint <= id) {
            if endpoint == id {
                users.push(Assigned { user, rings });
            }
        }
        endpoints.extend(read::<EndpointRecord>("endpoint", &id, &state).map(|record| EndpointRecord { id, users, ..record }));
    }
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT id, state FROM site_user ORDER BY id").fetch_all(connection).await?;
    let users = rows.into_iter().filter_map(|(id, state)| Some(UserRecord { id: id.clone(), ..read("user", &id, &state)? })).collect();
    Ok(Roster::restore(endpoints, users))
}

fn read<T: serde::de::DeserializeOwned>(noun: &str, id: &str, state: &str) -> Option<T> {
    serde_json::from_str(state)
        .inspect_err(|error| tracing::error!("the {noun} `{id}` of the store is unreadable and not in force; set it anew: {error}"))
        .ok()
}

/// Writes a change and what the histories say of it, all or nothing. Of each history the latest `most` lines stay; how many lines were forgotten.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    change: &Change,
    by: &str,
    now: Instant,
    most: usize,
) -> Result<u64, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    records(&mut transaction, "endpoint", change.endpoints.iter().map(|record| (record.id.as_str(), state(record)))).await?;
    records(&mut transaction, "site_user", change.users.iter().map(|record| (record.id.as_str(), state(record)))).await?;
    assignments(&mut transaction, &change.endpoints).await?;
    for notes in change.notes.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO history (kind, id, at, by_whom, what) ");
        query.push_values(notes, |mut row, Note { subject, what }| {
            let (kind, id) = key(subject);
            row.push_bind(kind).push_bind(id).push_bind(now.unix_micros().cast_signed()).push_bind(by).push_bind(what);
        });
        query.build().execute(&mut *transaction).await?;
    }
    let forgotten = forget(&mut transaction, &change.notes, most).await?;
    transaction.commit().await?;
    Ok(forgotten)
}

/// Shortens the histories of those who have got a line, the oldest lines first.
async fn forget(connection: &mut SqliteConnection, notes: &[Note], most: usize) -> Result<u64, sqlx::Error> {
    let mut forgotten = 0;
    for notes in notes.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new(
            "DELETE FROM history WHERE number IN (SELECT number FROM (SELECT number, row_number() OVER (PARTITION BY kind, id ORDER BY number DESC) \
             AS place FROM history WHERE (kind, id) IN (",
        );
        query.push_values(notes, |mut subject, Note { subject: of, .. }| {
            let (kind, id) = key(of);
            subject.push_bind(kind).push_bind(id);
        });
        query.push(")) AS placed WHERE place > ").push_bind(i64::try_from(most).unwrap_or(i64::MAX)).push(")");
        forgotten += query.build().execute(&mut *connection).await?.rows_affected();
    }
    Ok(forgotten)
}

fn state<T: serde::Serialize>(record: &T) -> Result<String, sqlx::Error> {
    serde_json::to_string(record).map_err(|error| sqlx::Error::Encode(Box::new(error)))
}

async fn records<'a>(
    connection: &mut SqliteConnection,
    table: &str,
    records: impl Iterator<Item = (&'a str, Result<String, sqlx::Error>)>,
) -> Result<(), sqlx::Error> {
    let rows = records.map(|(id, state)| state.map(|state| (id, state))).collect::<Result<Vec<_>, _>>()?;
    for rows in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO ");
        query.push(table).push(" (id, state) ");
        query.push_values(rows, |mut row, (id, state)| {
            row.push_bind(*id).push_bind(state);
        });
        query.push(" ON CONFLICT (id) DO UPDATE SET state = excluded.state").build().execute(&mut *connection).await?;
    }
    Ok(())
}

async fn assignments(connection: &mut SqliteConnection, endpoints: &[EndpointRecord]) -> Result<(), sqlx::Error> {
    for endpoints in endpoints.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM endpoint_user WHERE endpoint IN (");
        let mut ids = query.separated(", ");
        for endpoint in endpoints {
            ids.push_bind(&endpoint.id);
        }
        query.push(")").build().execute(&mut *connection).await?;
    }
    let rows: Vec<(&str, i64, &Assigned)> = endpoints
        .iter()
        .flat_map(|endpoint| (0..).zip(&endpoint.users).map(|(place, assigned)| (endpoint.id.as_str(), place, assigned)))
        .collect();
    for rows in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO endpoint_user (endpoint, place, site_user, rings) ");
        query.push_values(rows, |mut row, (endpoint, place, assigned)| {
            row.push_bind(*endpoint).push_bind(*place).push_bind(&assigned.user).push_bind(assigned.rings);
        });
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

const fn key(subject: &Subject) -> (&'static str, &String) {
    match subject {
        Subject::Endpoint(id) => ("endpoint", id),
        Subject::User(id) => ("user", id),
    }
}

/// The latest `most` entries about somebody, newest first.
pub(super) async fn history(connection: &mut SqliteConnection, subject: &Subject, most: i64) -> Result<Vec<Entry>, sqlx::Error> {
    let (kind, id) = key(subject);
    let rows: Vec<(i64, String, String)> =
        sqlx::query_as("SELECT at, by_whom, what FROM history WHERE kind = ? AND id = ? ORDER BY number DESC LIMIT ?")
            .bind(kind)
            .bind(id)
            .bind(most)
            .fetch_all(connection)
            .await?;
    Ok(rows.into_iter().map(|(at, by, what)| Entry { at: Instant::from_unix_micros(at.cast_unsigned()), by, what }).collect())
}
