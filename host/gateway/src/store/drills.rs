//! When phones were last registered, and drills: what shows which of them would survive the loss of their cloud.
//!
//! A refresh costs nothing more: a binding is written with its time anyway, and only when it goes that time is kept in a row of its own, in the same transaction.

use super::{file, owed::ROWS};
use serde::Deserialize;
use sip::Instant;
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};
use switch::limits::kept;

/// A drill: a site loses its cloud on purpose.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drill {
    /// From 1; never used twice.
    pub number: i64,
    /// What its operator calls it; may be empty.
    pub name: String,
    /// Who has begun it, as he says himself.
    pub by: String,
    /// When it began.
    pub began: Instant,
    /// When it ended; `None`: it runs.
    pub ended: Option<Instant>,
}

/// What came of beginning a drill.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Begun {
    /// It runs.
    Now(Drill),
    /// Another one runs already.
    Running(Drill),
}

/// An ended drill, and what it showed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// The drill.
    pub drill: Drill,
    /// As it was handed in at its end.
    pub report: String,
}

/// Everything that is kept about which phones came.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sightings {
    /// When phones were last registered whose bindings have gone, by endpoint. Bindings that are there know more.
    pub seen: HashMap<String, Instant>,
    /// The number of the last ended drill in which each was registered, and when that was.
    pub drilled: HashMap<String, (i64, Instant)>,
    /// Drills, newest first.
    pub drills: Vec<Drill>,
}

impl Sightings {
    /// The drill that runs.
    #[must_use]
    pub fn running(&self) -> Option<&Drill> {
        self.drills.iter().find(|drill| drill.ended.is_none())
    }
}

const fn micros(at: Instant) -> i64 {
    at.unix_micros().cast_signed()
}

const fn instant(micros: i64) -> Instant {
    Instant::from_unix_micros(micros.cast_unsigned())
}

/// What of [`super::State`] is of use here.
#[derive(Deserialize)]
struct Refreshed {
    #[serde(default)]
    seen: i64,
}

/// Keeps when these bindings, or (`None`) all, were last refreshed, before they are removed.
pub(super) async fn keep_seen(connection: &mut SqliteConnection, keys: Option<&[(&str, &str)]>) -> Result<(), sqlx::Error> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT endpoint, state FROM binding");
    if let Some(keys) = keys {
        query.push(" WHERE (endpoint, contact) IN (");
        query.push_values(keys, |mut key, (endpoint, contact)| {
            key.push_bind(*endpoint).push_bind(*contact);
        });
        query.push(")");
    }
    let rows: Vec<(String, String)> = query.build_query_as().fetch_all(&mut *connection).await?;
    let mut latest = BTreeMap::new();
    for (endpoint, state) in rows {
        // Each database has its own words for what is in a JSON text; of an unreadable binding nothing is known.
        if let Ok(Refreshed { seen }) = serde_json::from_str(&state)
            && seen > 0
        {
            let at = latest.entry(endpoint).or_insert(seen);
            *at = seen.max(*at);
        }
    }
    write_seen(connection, latest.into_iter().collect()).await
}

/// Notes when phones were last registered, where that is later than what is noted.
async fn write_seen(connection: &mut SqliteConnection, seen: Vec<(String, i64)>) -> Result<(), sqlx::Error> {
    for rows in seen.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO seen (endpoint, at) ");
        query.push_values(rows, |mut row, (endpoint, at)| {
            row.push_bind(endpoint).push_bind(*at);
        });
        query.push(" ON CONFLICT (endpoint) DO UPDATE SET at = excluded.at WHERE excluded.at > seen.at");
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// A drill as it is kept: number, name, who began it, when, when it ended, its report.
type Drilled = (i64, String, String, i64, Option<i64>, Option<String>);

/// Takes over what can be read of a damaged file: sightings and drills with their reports. What is known already stays.
pub(super) async fn rescue(from: &Path, to: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let told = |what: &str, error: &sqlx::Error| tracing::error!("{what} of {} cannot be read: {error}", from.display());
    let mut damaged = match file::look(from).await {
        Ok(connection) => connection,
        Err(error) => {
            told("drills", &error);
            return Ok(());
        }
    };
    let seen = sqlx::query_as("SELECT endpoint, at FROM seen").fetch_all(&mut damaged).await;
    let seen: Vec<(String, i64)> = seen.inspect_err(|error| told("when phones were last registered", error)).unwrap_or_default();
    let drilled = sqlx::query_as("SELECT endpoint, drill, at FROM drilled").fetch_all(&mut damaged).await;
    let drilled: Vec<(String, i64, i64)> = drilled.inspect_err(|error| told("who came to drills", error)).unwrap_or_default();
    let drills = sqlx::query_as("SELECT number, name, by_whom, began, ended, report FROM drill").fetch_all(&mut damaged).await;
    let drills: Vec<Drilled> = drills.inspect_err(|error| told("drills", error)).unwrap_or_default();
    damaged.close().await.ok();
    let mut transaction = to.begin().await?;
    write_seen(&mut transaction, seen).await?;
    for rows in drilled.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO drilled (endpoint, drill, at) ");
        query.push_values(rows, |mut row, (endpoint, drill, at)| {
            row.push_bind(endpoint).push_bind(*drill).push_bind(*at);
        });
        query.push(" ON CONFLICT (endpoint) DO NOTHING").build().execute(&mut *transaction).await?;
    }
    for rows in drills.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO drill (number, name, by_whom, began, ended, report) ");
        query.push_values(rows, |mut row, (number, name, by, began, ended, report)| {
            row.push_bind(*number).push_bind(name).push_bind(by).push_bind(*began).push_bind(*ended).push_bind(report);
        });
        query.push(" ON CONFLICT (number) DO NOTHING").build().execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

type Row = (i64, String, String, i64, Option<i64>);

fn drill((number, name, by, began, ended): Row) -> Drill {
    Drill { number, name, by, began: instant(began), ended: ended.map(instant) }
}

/// Reads everything but the reports.
pub(super) async fn sightings(connection: &mut SqliteConnection) -> Result<Sightings, sqlx::Error> {
    let seen: Vec<(String, i64)> = sqlx::query_as("SELECT endpoint, at FROM seen").fetch_all(&mut *connection).await?;
    let drilled: Vec<(String, i64, i64)> = sqlx::query_as("SELECT endpoint, drill, at FROM drilled").fetch_all(&mut *connection).await?;
    let drills: Vec<Row> =
        sqlx::query_as("SELECT number, name, by_whom, began, ended FROM drill ORDER BY number DESC").fetch_all(connection).await?;
    Ok(Sightings {
        seen: seen.into_iter().map(|(endpoint, at)| (endpoint, instant(at))).collect(),
        drilled: drilled.into_iter().map(|(endpoint, drill, at)| (endpoint, (drill, instant(at)))).collect(),
        drills: drills.into_iter().map(drill).collect(),
    })
}

/// Begins a drill, unless one runs. The oldest are forgotten when there are more than [`kept::DRILLS`].
pub(super) async fn begin(connection: &mut SqliteConnection, name: &str, by: &str, now: Instant) -> Result<Begun, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let running: Option<Row> = sqlx::query_as("SELECT number, name, by_whom, began, ended FROM drill WHERE ended IS NULL LIMIT 1")
        .fetch_optional(&mut *transaction)
        .await?;
    if let Some(running) = running {
        return Ok(Begun::Running(drill(running)));
    }
    let (last,): (Option<i64>,) = sqlx::query_as("SELECT MAX(number) FROM drill").fetch_one(&mut *transaction).await?;
    let number = last.unwrap_or(0) + 1;
    sqlx::query("INSERT INTO drill (number, name, by_whom, began) VALUES (?, ?, ?, ?)")
        .bind(number)
        .bind(name)
        .bind(by)
        .bind(micros(now))
        .execute(&mut *transaction)
        .await?;
    let kept = i64::try_from(kept::DRILLS).unwrap_or(i64::MAX);
    sqlx::query("DELETE FROM drill WHERE number <= ?").bind(number - kept).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(Begun::Now(Drill { number, name: name.to_owned(), by: by.to_owned(), began: now, ended: None }))
}

/// Ends the drill of that number with its report and those who were registered in it. `None`: it does not run any more.
pub(super) async fn end(
    connection: &mut SqliteConnection,
    number: i64,
    report: &str,
    came: &[(String, Instant)],
    now: Instant,
) -> Result<Option<Drill>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let query = "UPDATE drill SET ended = ?, report = ? WHERE number = ? AND ended IS NULL RETURNING number, name, by_whom, began, ended";
    let ended: Option<Row> = sqlx::query_as(query).bind(micros(now)).bind(report).bind(number).fetch_optional(&mut *transaction).await?;
    let Some(ended) = ended else { return Ok(None) };
    for came in came.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO drilled (endpoint, drill, at) ");
        query.push_values(came, |mut row, (endpoint, at)| {
            row.push_bind(endpoint).push_bind(number).push_bind(micros(*at));
        });
        query.push(" ON CONFLICT (endpoint) DO UPDATE SET drill = excluded.drill, at = excluded.at");
        query.build().execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(Some(drill(ended)))
}

/// The report of an ended drill.
pub(super) async fn report(connection: &mut SqliteConnection, number: i64) -> Result<Option<Report>, sqlx::Error> {
    let row: Option<(String, String, i64, i64, String)> = sqlx::query_as(
        "SELECT name, by_whom, began, ended, report FROM drill WHERE number = ? AND report IS NOT NULL AND ended IS NOT NULL",
    )
    .bind(number)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|(name, by, began, ended, report)| Report { drill: drill((number, name, by, began, Some(ended))), report }))
}
