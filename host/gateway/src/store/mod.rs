//! The store: what was acknowledged to phones, on disk before they hear of it.
//!
//! SQLite in the data folder. One task gathers the changes of all registrations that wait at the same time into one transaction (group commit), so
//! that ten thousand phones that register in a second cost a few hundred disk flushes.

mod commit;
#[cfg(test)]
mod tests;

pub use commit::{Options, Store};

use anyhow::Context as _;
use serde::Serialize;
use sip::{
    Instant,
    transport::{Flow, Transport},
};
use sqlx::{
    Connection as _, Row as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous},
};
use std::{
    borrow::Cow,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use switch::{registrar::Binding, site::Site};

/// A binding as its row in the table `binding`.
#[derive(Clone, PartialEq, Debug, Serialize)]
struct Row<'a> {
    endpoint: Cow<'a, str>,
    contact: Cow<'a, str>,
    params: Cow<'a, str>,
    q: u16,
    instance: Option<Cow<'a, str>>,
    reg_id: Option<u32>,
    path: String,
    transport: Cow<'a, str>,
    local: String,
    remote: String,
    connection: i64,
    call_id: Cow<'a, str>,
    cseq: u32,
    expires: i64,
    pool: Option<Cow<'a, str>>,
    emergency_only: bool,
    user_agent: Cow<'a, str>,
}

impl<'a> Row<'a> {
    fn of(binding: &'a Binding) -> Self {
        Self {
            endpoint: Cow::Borrowed(&binding.endpoint),
            contact: Cow::Borrowed(&binding.contact),
            params: Cow::Borrowed(&binding.params),
            q: binding.q,
            instance: binding.instance.as_deref().map(Cow::Borrowed),
            reg_id: binding.reg_id,
            path: serde_json::to_string(&binding.path).unwrap_or_else(|_| "[]".to_owned()),
            transport: Cow::Borrowed(binding.flow.transport.uri_token()),
            local: binding.flow.local.to_string(),
            remote: binding.flow.remote.to_string(),
            connection: binding.flow.connection.cast_signed(),
            call_id: Cow::Borrowed(&binding.call_id),
            cseq: binding.cseq,
            expires: binding.expires.unix_micros().cast_signed(),
            pool: binding.pool.as_deref().map(Cow::Borrowed),
            emergency_only: binding.emergency_only,
            user_agent: Cow::Borrowed(&binding.user_agent),
        }
    }
}

impl Row<'static> {
    fn read(row: &SqliteRow) -> Result<Self, sqlx::Error> {
        let text = |column: &str| row.try_get::<String, _>(column).map(Cow::Owned);
        let optional = |column: &str| row.try_get::<Option<String>, _>(column).map(|t| t.map(Cow::Owned));
        Ok(Self {
            endpoint: text("endpoint")?,
            contact: text("contact")?,
            params: text("params")?,
            q: row.try_get("q")?,
            instance: optional("instance")?,
            reg_id: row.try_get("reg_id")?,
            path: row.try_get("path")?,
            transport: text("transport")?,
            local: row.try_get("local")?,
            remote: row.try_get("remote")?,
            connection: row.try_get("connection")?,
            call_id: text("call_id")?,
            cseq: row.try_get("cseq")?,
            expires: row.try_get("expires")?,
            pool: optional("pool")?,
            emergency_only: row.try_get("emergency_only")?,
            user_agent: text("user_agent")?,
        })
    }

    fn binding(&self) -> anyhow::Result<Binding> {
        Ok(Binding {
            flow: Flow {
                transport: Transport::from_token(self.transport.as_bytes()).context("unknown transport")?,
                local: self.local.parse().context("local address")?,
                remote: self.remote.parse().context("remote address")?,
                connection: self.connection.cast_unsigned(),
            },
            path: serde_json::from_str(&self.path).context("path")?,
            expires: Instant::from_unix_micros(self.expires.cast_unsigned()),
            endpoint: Arc::from(self.endpoint.as_ref()),
            contact: Arc::from(self.contact.as_ref()),
            params: Arc::from(self.params.as_ref()),
            q: self.q,
            instance: self.instance.as_deref().map(Arc::from),
            reg_id: self.reg_id,
            call_id: Arc::from(self.call_id.as_ref()),
            cseq: self.cseq,
            pool: self.pool.as_deref().map(Arc::from),
            emergency_only: self.emergency_only,
            user_agent: Arc::from(self.user_agent.as_ref()),
        })
    }
}

/// Opens the store at `file`, made when it is not there. A file that is damaged is set aside under another name, loudly: phones that register
/// again matter more than the bindings in it.
///
/// # Errors
/// When no store can be opened or made.
async fn open(file: &Path) -> anyhow::Result<SqliteConnection> {
    let error = match connect(file).await {
        Ok(connection) => return Ok(connection),
        Err(error) => error,
    };
    let damaged = error.as_database_error().and_then(|e| e.code()).is_some_and(|code| ["11", "26"].contains(&code.as_ref()));
    if !damaged {
        return Err(error).with_context(|| format!("the store {} cannot be opened", file.display()));
    }
    let aside = set_aside(file).with_context(|| format!("the damaged store {} cannot be set aside", file.display()))?;
    tracing::error!(kept = %aside.display(), "the store was damaged ({error}); it was set aside, and phones must register again");
    connect(file).await.with_context(|| format!("the store {} cannot be made", file.display()))
}

async fn connect(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A transaction is on disk when it is reported so, also over a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(Duration::from_secs(2));
    let mut connection = SqliteConnection::connect_with(&options).await?;
    sqlx::migrate!("src/store/migrations").run(&mut connection).await.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error) => error,
        other => sqlx::Error::Migrate(Box::new(other)),
    })?;
    Ok(connection)
}

/// SQLite's codes for "malformed" (11) and "not a database" (26) are the only ones that lead here.
fn set_aside(file: &Path) -> std::io::Result<PathBuf> {
    let named = |suffix: &str| {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = (1_u32..).map(|n| named(&format!(".damaged-{n}"))).find(|p| !p.exists()).unwrap_or_else(|| named(".damaged"));
    fs::rename(file, &aside)?;
    for suffix in ["-wal", "-shm"] {
        match fs::remove_file(named(suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(aside)
}

/// Puts the bindings that the store has kept back into the registrar, each with its seat, and forgets those whose time or endpoint has gone.
/// Bindings over TCP and TLS come back too: they hold their seat, and calls to them fail at once until the phone has connected again.
async fn restore(connection: &mut SqliteConnection, site: &Site, now: Instant) -> anyhow::Result<usize> {
    let rows = sqlx::query("SELECT * FROM binding").fetch_all(&mut *connection).await.context("the bindings cannot be read")?;
    let (mut restored, mut forgotten) = (0, Vec::new());
    for row in &rows {
        let row = Row::read(row).context("a binding cannot be read")?;
        let key = (row.endpoint.to_string(), row.contact.to_string());
        match row.binding() {
            Ok(binding) => {
                if site.restore(binding, now) {
                    restored += 1;
                } else {
                    forgotten.push(key);
                }
            }
            Err(error) => {
                tracing::warn!(endpoint = %key.0, "a stored binding is unreadable and was forgotten: {error:#}");
                forgotten.push(key);
            }
        }
    }
    commit::delete(connection, &forgotten).await.context("bindings that have ended cannot be removed")?;
    Ok(restored)
}
