//! The store: what was acknowledged to phones, on disk before they hear of it; and the endpoints and users that do not stand in the configuration.
//!
//! SQLite in the data folder. One thread gathers the changes of all registrations that wait at the same time into one transaction (group commit), so
//! that ten thousand phones that register in a second cost a few hundred disk flushes.

mod commit;
mod directory;
mod drills;
mod licences;
#[cfg(test)]
mod tests;

pub use commit::{Options, Started, Store};
pub use directory::Entry;
pub use drills::{Begun, Drill, Report, Sightings};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sip::{
    Instant,
    transport::{Flow, Transport},
};
use sqlx::{
    Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{
    borrow::Cow,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use switch::{registrar::Binding, site::Site};

/// What the column `state` holds of a binding. Names are what lies on disk: a new one needs a default.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
struct State<'a> {
    params: Cow<'a, str>,
    q: u16,
    instance: Option<Cow<'a, str>>,
    reg_id: Option<u32>,
    path: Cow<'a, [String]>,
    transport: Cow<'a, str>,
    local: SocketAddr,
    remote: SocketAddr,
    connection: u64,
    call_id: Cow<'a, str>,
    cseq: u32,
    /// Microseconds since 1970; 0 in what an earlier version has written.
    #[serde(default)]
    seen: u64,
    /// Microseconds since 1970.
    expires: u64,
    pool: Option<Cow<'a, str>>,
    emergency_only: bool,
    user_agent: Cow<'a, str>,
}

impl<'a> State<'a> {
    fn of(binding: &'a Binding) -> Self {
        Self {
            params: Cow::Borrowed(&binding.params),
            q: binding.q,
            instance: binding.instance.as_deref().map(Cow::Borrowed),
            reg_id: binding.reg_id,
            path: Cow::Borrowed(&binding.path),
            transport: Cow::Borrowed(binding.flow.transport.uri_token()),
            local: binding.flow.local,
            remote: binding.flow.remote,
            connection: binding.flow.connection,
            call_id: Cow::Borrowed(&binding.call_id),
            cseq: binding.cseq,
            seen: binding.seen.unix_micros(),
            expires: binding.expires.unix_micros(),
            pool: binding.pool.as_deref().map(Cow::Borrowed),
            emergency_only: binding.emergency_only,
            user_agent: Cow::Borrowed(&binding.user_agent),
        }
    }

    fn binding(self, endpoint: &str, contact: &str) -> anyhow::Result<Binding> {
        Ok(Binding {
            endpoint: endpoint.into(),
            contact: contact.into(),
            params: self.params.into(),
            q: self.q,
            instance: self.instance.map(Into::into),
            reg_id: self.reg_id,
            path: self.path.into_owned(),
            flow: Flow {
                transport: Transport::from_token(self.transport.as_bytes()).context("unknown transport")?,
                local: self.local,
                remote: self.remote,
                connection: self.connection,
            },
            call_id: self.call_id.into(),
            cseq: self.cseq,
            seen: Instant::from_unix_micros(self.seen),
            expires: Instant::from_unix_micros(self.expires),
            pool: self.pool.map(Into::into),
            emergency_only: self.emergency_only,
            user_agent: self.user_agent.into(),
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
    tracing::error!(kept = %aside.display(), "the store was damaged ({error}); it was set aside: phones must register again, and endpoints and users that were added by command are in it");
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
    let rows: Vec<(String, String, String)> = sqlx::query_as("SELECT endpoint, contact, state FROM binding")
        .fetch_all(&mut *connection)
        .await
        .context("the bindings cannot be read")?;
    let (mut restored, mut forgotten) = (0, Vec::new());
    for (endpoint, contact, state) in rows {
        let read = serde_json::from_str::<State<'_>>(&state).map_err(anyhow::Error::from);
        let kept = match read.and_then(|state| state.binding(&endpoint, &contact)) {
            Ok(binding) => site.restore(binding, now),
            Err(error) => {
                tracing::warn!(endpoint, "a stored binding is unreadable and was forgotten: {error:#}");
                false
            }
        };
        if kept {
            restored += 1;
        } else {
            forgotten.push((endpoint, contact));
        }
    }
    let forgotten: Vec<_> = forgotten.iter().map(|(endpoint, contact): &(String, String)| (&**endpoint, &**contact)).collect();
    commit::delete(connection, &forgotten).await.context("bindings that have ended cannot be removed")?;
    Ok(restored)
}
