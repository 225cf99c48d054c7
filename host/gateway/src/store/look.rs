//! The store as `holdfast check` sees it: only read, also while a gateway runs on it.

use super::{
    file,
    trouble::{Kind, Trouble, openable},
};
use serde::{Deserialize, Serialize};
use sqlx::{Connection as _, SqliteConnection};
use std::{fs, path::Path};

/// Mistakes that are named at most.
const MISTAKES: u32 = 10;

/// What a store holds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Seen {
    /// The file.
    pub file: String,
    /// Its size with its write-ahead log, octets.
    pub bytes: u64,
    /// Its schema, and the latest that this program knows. The older one is brought up to date by the next start.
    pub schema: i64,
    /// See there.
    pub latest_schema: i64,
    /// Endpoints.
    pub endpoints: u64,
    /// Users.
    pub users: u64,
    /// Bindings, those that have expired included until the next start.
    pub bindings: u64,
    /// Lines of histories.
    pub history: u64,
    /// Whether every page and index of it is as it should be.
    pub sound: bool,
}

/// A store, and what is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Look {
    /// As much as could be read; `None`: nothing, or there is no file yet.
    pub seen: Option<Seen>,
    /// What is wrong.
    pub troubles: Vec<Trouble>,
}

/// Looks into the store `file` without changing it, every page of it. Waits, so not in a runtime.
///
/// # Errors
/// When the system gives no thread.
pub fn look(file: &Path) -> anyhow::Result<Look> {
    match fs::metadata(file) {
        Ok(meta) if meta.len() > 0 => {}
        // The next start makes it.
        Ok(_) => return Ok(Look::default()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Look::default()),
        Err(error) => return Ok(Look { seen: None, troubles: vec![Trouble::io(file, &error)] }),
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    Ok(runtime.block_on(whole(file)))
}

async fn whole(file: &Path) -> Look {
    let mut look = Look::default();
    match file::look(file).await {
        Ok(mut connection) => {
            match seen(file, &mut connection, &mut look.troubles).await {
                Ok(seen) => look.seen = Some(seen),
                Err(error) => look.troubles.push(Trouble::of(file, &error)),
            }
            connection.close().await.ok();
        }
        Err(error) => look.troubles.push(Trouble::of(file, &error)),
    }
    if let Err(error) = openable(file) {
        look.troubles.push(Trouble::io(file, &error));
    }
    look
}

async fn seen(file: &Path, connection: &mut SqliteConnection, troubles: &mut Vec<Trouble>) -> Result<Seen, sqlx::Error> {
    let (schema, latest_schema) = (file::schema(connection).await?, file::latest());
    let trouble = |kind, said| Trouble { kind, file: file.to_owned(), said };
    if schema > latest_schema {
        troubles.push(trouble(Kind::Newer, format!("its schema is {schema}, this version knows {latest_schema} at most")));
    }
    let mistakes: Vec<String> =
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("PRAGMA integrity_check({MISTAKES})"))).fetch_all(&mut *connection).await?;
    let sound = mistakes == ["ok"];
    if !sound {
        troubles.push(trouble(Kind::Damaged, mistakes.join("; ")));
    }
    let bytes = |file: &Path| fs::metadata(file).map_or(0, |meta| meta.len());
    let bytes = bytes(file) + bytes(&file::beside(file, "-wal"));
    let [endpoints, users, bindings, history] = count(connection).await?;
    Ok(Seen { file: file.display().to_string(), bytes, schema, latest_schema, endpoints, users, bindings, history, sound })
}

/// Rows of the tables. One that is not there has none: the next start makes it.
async fn count(connection: &mut SqliteConnection) -> Result<[u64; 4], sqlx::Error> {
    let mut counts = [0; 4];
    for (table, count) in ["endpoint", "site_user", "binding", "history"].into_iter().zip(&mut counts) {
        let there: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = ?")
            .bind(table)
            .fetch_one(&mut *connection)
            .await?;
        if there > 0 {
            let rows: i64 =
                sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"))).fetch_one(&mut *connection).await?;
            *count = rows.cast_unsigned();
        }
    }
    Ok(counts)
}
