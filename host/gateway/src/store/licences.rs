//! What the store keeps of licence pools besides the seats, which are those of the bindings.

use super::owed::ROWS;
use serde::{Deserialize, Serialize};
use sip::Instant;
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};
use switch::licence::{Mark, Peak, Reduced, Turn};

/// What the column `state` holds. Names are what lies on disk: a new one needs a default.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct State {
    seats: u32,
    peak: u32,
    /// Microseconds since 1970, as all times here.
    peak_at: u64,
    /// The seats that it had before it was made smaller, and when that was.
    former: Option<(u32, u64)>,
    /// Who waits, in their order: who, since when, until when.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waiting: Vec<(String, u64, u64)>,
}

/// Reads everything. What cannot be read is told in the log and left out.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Vec<Mark>, sqlx::Error> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT pool, state FROM licence_pool").fetch_all(connection).await?;
    let read = |(pool, state): (String, String)| match serde_json::from_str::<State>(&state) {
        Ok(State { seats, peak, peak_at, former, waiting }) => Some(Mark {
            pool,
            seats,
            peak: Peak { taken: peak, at: Instant::from_unix_micros(peak_at) },
            reduced: former.map(|(former, since)| Reduced { former, since: Instant::from_unix_micros(since) }),
            waiting: waiting.into_iter().map(turn).collect(),
        }),
        Err(error) => {
            tracing::warn!(pool, "what the store keeps of a licence pool is unreadable and was forgotten: {error}");
            None
        }
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

fn turn((name, since, until): (String, u64, u64)) -> Turn {
    Turn { name: name.into(), since: Instant::from_unix_micros(since), until: Instant::from_unix_micros(until) }
}

/// Puts these in the place of all that was kept.
pub(super) async fn write(connection: &mut SqliteConnection, marks: &[Mark]) -> Result<(), sqlx::Error> {
    let mut rows = Vec::with_capacity(marks.len());
    for Mark { pool, seats, peak, reduced, waiting } in marks {
        let former = reduced.map(|reduced| (reduced.former, reduced.since.unix_micros()));
        let waiting = waiting.iter().map(|turn| (turn.name.to_string(), turn.since.unix_micros(), turn.until.unix_micros())).collect();
        let state = State { seats: *seats, peak: peak.taken, peak_at: peak.at.unix_micros(), former, waiting };
        rows.push((pool, serde_json::to_string(&state).map_err(|error| sqlx::Error::Encode(Box::new(error)))?));
    }
    let mut transaction = connection.begin().await?;
    sqlx::query("DELETE FROM licence_pool").execute(&mut *transaction).await?;
    for rows in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT INTO licence_pool (pool, state) ");
        query.push_values(rows, |mut row, (pool, state)| {
            row.push_bind(*pool).push_bind(state);
        });
        query.build().execute(&mut *transaction).await?;
    }
    transaction.commit().await
}
