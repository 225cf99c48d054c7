//! Records of calls: the latest of them, by time. The record's files ([`crate::cdr`]) are written first and keep more.

use super::owed::ROWS;
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};

/// One record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallRow {
    /// Names the call, across restarts.
    pub id: String,
    /// When it began, microseconds since 1970.
    pub at: u64,
    /// The record's line.
    pub record: String,
}

/// How much is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallsKept {
    /// Records.
    pub most: u64,
    /// None that began before, microseconds since 1970.
    pub since: u64,
}

/// Which records are asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallsWanted {
    /// Begun then or later, microseconds since 1970.
    pub since: u64,
    /// Begun before.
    pub until: u64,
    /// So many of them, the latest.
    pub most: u32,
}

const fn signed(micros: u64) -> i64 {
    // Beyond the year 294,000 all times are one.
    if micros > i64::MAX as u64 { i64::MAX } else { micros.cast_signed() }
}

/// Writes records, of which those that are there stay as they are, and forgets what is too old or too much.
pub(super) async fn write(connection: &mut SqliteConnection, rows: &[CallRow], kept: CallsKept) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    for rows in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO call_record (id, at, record) ");
        query.push_values(rows, |mut row, CallRow { id, at, record }| {
            row.push_bind(id).push_bind(signed(*at)).push_bind(record);
        });
        query.push(" ON CONFLICT (id) DO NOTHING");
        query.build().execute(&mut *transaction).await?;
    }
    sqlx::query("DELETE FROM call_record WHERE at < ?").bind(signed(kept.since)).execute(&mut *transaction).await?;
    // The time of the first one that is one too many, if there is one: an index answers that.
    let beyond: Option<i64> = sqlx::query_scalar("SELECT at FROM call_record ORDER BY at DESC LIMIT 1 OFFSET ?")
        .bind(signed(kept.most))
        .fetch_optional(&mut *transaction)
        .await?;
    if let Some(beyond) = beyond {
        sqlx::query("DELETE FROM call_record WHERE at <= ?").bind(beyond).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// The lines of the latest records, newest first.
pub(super) async fn read(connection: &mut SqliteConnection, wanted: CallsWanted) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar("SELECT record FROM call_record WHERE at >= ? AND at < ? ORDER BY at DESC LIMIT ?")
        .bind(signed(wanted.since))
        .bind(signed(wanted.until))
        .bind(wanted.most)
        .fetch_all(connection)
        .await
}
