//! What the store keeps of calls to the outside: what each account has used.

use super::owed::ROWS;
use serde::{Deserialize, Serialize};
use sip::Instant;
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};
use std::{sync::Arc, time::Duration};
use switch::toll::{Balance, Outage, Talk};

/// Accounts that are kept no longer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Gone {
    /// All but those that are written.
    Others,
    /// Those of these endpoints and users; `None`: the site's.
    These(Vec<Option<Arc<str>>>),
}

/// What the column `state` holds. Times and durations are in microseconds, times since 1970. Names are what lies on disk: a new one needs a default.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct State {
    /// When its hour began, and the calls in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hour: Option<(u64, u32)>,
    /// When its day began, and the talk in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    day: Option<(u64, u64)>,
    talk_in_outage: u64,
    /// Of calls that may go on: when each was answered, its talk in the day, that in the outage.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    talks: Vec<(u64, u64, u64)>,
    /// Of the site: when the outage began, and when it was last seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outage: Option<(u64, u64)>,
}

impl State {
    fn of(balance: &Balance) -> Self {
        let Balance { payer: _, hour, day, talk_in_outage, talks, outage } = balance;
        let talk = |talk: &Talk| (talk.answered.unix_micros(), micros(talk.in_day), micros(talk.in_outage));
        Self {
            hour: hour.map(|(began, calls)| (began.unix_micros(), calls)),
            day: day.map(|(began, talk)| (began.unix_micros(), micros(talk))),
            talk_in_outage: micros(*talk_in_outage),
            talks: talks.iter().map(talk).collect(),
            outage: outage.map(|Outage { began, seen }| (began.unix_micros(), seen.unix_micros())),
        }
    }

    fn balance(self, payer: Option<Arc<str>>) -> Balance {
        let Self { hour, day, talk_in_outage, talks, outage } = self;
        let (at, lasts) = (Instant::from_unix_micros, Duration::from_micros);
        let talk = |(answered, in_day, in_outage)| Talk { answered: at(answered), in_day: lasts(in_day), in_outage: lasts(in_outage) };
        Balance {
            payer,
            hour: hour.map(|(began, calls)| (at(began), calls)),
            day: day.map(|(began, talk)| (at(began), lasts(talk))),
            talk_in_outage: lasts(talk_in_outage),
            talks: talks.into_iter().map(talk).collect(),
            outage: outage.map(|(began, seen)| Outage { began: at(began), seen: at(seen) }),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Reads everything. What cannot be read is told in the log and left out.
pub(super) async fn load(connection: &mut SqliteConnection) -> Result<Vec<Balance>, sqlx::Error> {
    let rows: Vec<(String, String)> = sqlx::query_as("SELECT payer, state FROM toll_account").fetch_all(connection).await?;
    let read = |(payer, state): (String, String)| match serde_json::from_str::<State>(&state) {
        Ok(state) => Some(state.balance((!payer.is_empty()).then(|| payer.into()))),
        Err(error) => {
            tracing::warn!(payer, "what calls to the outside have used on this account is unreadable and was forgotten: {error}");
            None
        }
    };
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Writes these, each in the place of what was kept of its account, and forgets those that are gone.
pub(super) async fn write(connection: &mut SqliteConnection, balances: &[Balance], gone: &Gone) -> Result<(), sqlx::Error> {
    let mut rows = Vec::with_capacity(balances.len());
    for balance in balances {
        let state = serde_json::to_string(&State::of(balance)).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        rows.push((key(balance.payer.as_ref()), state));
    }
    let mut transaction = connection.begin().await?;
    match gone {
        Gone::Others => {
            sqlx::query("DELETE FROM toll_account").execute(&mut *transaction).await?;
        }
        Gone::These(payers) => {
            for payers in payers.chunks(ROWS) {
                let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM toll_account WHERE payer IN (");
                let mut keys = query.separated(", ");
                for payer in payers {
                    keys.push_bind(key(payer.as_ref()));
                }
                query.push(")").build().execute(&mut *transaction).await?;
            }
        }
    }
    for rows in rows.chunks(ROWS) {
        let mut query = QueryBuilder::<Sqlite>::new("INSERT OR REPLACE INTO toll_account (payer, state) ");
        query.push_values(rows, |mut row, (payer, state)| {
            row.push_bind(*payer).push_bind(state);
        });
        query.build().execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

/// No endpoint or user has an empty id.
fn key(payer: Option<&Arc<str>>) -> &str {
    payer.map_or("", |payer| payer)
}
