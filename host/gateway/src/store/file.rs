//! The file of the store: opened and brought to the present schema, read whole, set aside when it is damaged, left alone when a later version has made it.
//! Whatever is wrong with it keeps no gateway from starting.

use super::{
    State, directory, licences, tolls,
    trouble::{Kind, Trouble},
};
use sqlx::{
    Connection as _, SqliteConnection,
    migrate::{MigrateError, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};
use switch::{directory::roster::Roster, licence::Mark, registrar::Binding, toll::Balance};

static MIGRATIONS: Migrator = sqlx::migrate!("src/store/migrations");

/// How long another program may hold the file before it counts as trouble.
const BUSY: Duration = Duration::from_secs(2);

/// What a store holds. What could not be read of it is not here.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) roster: Roster,
    pub(super) bindings: Vec<Binding>,
    /// Endpoint and contact of bindings that are unreadable.
    pub(super) unreadable: Vec<(String, String)>,
    pub(super) marks: Vec<Mark>,
    pub(super) balances: Vec<Balance>,
    /// Whether all of it could be read.
    pub(super) complete: bool,
}

/// The store at a start.
pub(super) struct Opened {
    /// To write to; `None` while there is trouble.
    pub(super) connection: Option<SqliteConnection>,
    pub(super) contents: Contents,
    pub(super) trouble: Option<Trouble>,
    /// Where a damaged file was set aside. Then what was read of it is in `contents` only.
    pub(super) aside: Option<PathBuf>,
}

/// Opens the store at a start, made when it is not there, and reads it.
///
/// | what is wrong | what comes of it |
/// |---|---|
/// | damaged | it is set aside under another name, whatever can be read of it counts, a new one is made |
/// | made by a later version | it is only read, and not written as long as that is so |
/// | anything else | it is read as far as it can be; writing is tried again and again |
pub(super) async fn open(file: &Path) -> Opened {
    let trouble = match open_whole(file).await {
        Ok((mut connection, contents)) => {
            let (connection, trouble) = match probe(&mut connection).await {
                Ok(()) => (Some(connection), None),
                Err(error) => (None, Some(give_up(connection, Trouble::of(file, &error)).await)),
            };
            return Opened { connection, contents, trouble, aside: None };
        }
        Err(trouble) => trouble,
    };
    if trouble.kind != Kind::Damaged {
        return Opened { connection: None, contents: salvage(file).await, trouble: Some(trouble), aside: None };
    }
    match set_aside(file) {
        Ok(aside) => {
            let contents = salvage(&aside).await;
            let (connection, trouble) = match connect(file).await {
                Ok(connection) => (Some(connection), None),
                Err(trouble) => (None, Some(trouble)),
            };
            Opened { connection, contents, trouble, aside: Some(aside) }
        }
        Err(error) => {
            let said = format!("{}; it cannot be set aside: {error}", trouble.said);
            Opened { connection: None, contents: salvage(file).await, trouble: Some(Trouble { said, ..trouble }), aside: None }
        }
    }
}

async fn open_whole(file: &Path) -> Result<(SqliteConnection, Contents), Trouble> {
    let mut connection = connect(file).await?;
    match read(&mut connection).await {
        Ok(contents) => Ok((connection, contents)),
        Err(error) => Err(give_up(connection, Trouble::of(file, &error)).await),
    }
}

/// Closes a connection with which something is wrong. Waits for the end of that: what is still open removes the write-ahead log by its name when it is closed,
/// and by then that may be the log of another file.
pub(super) async fn give_up(connection: SqliteConnection, trouble: Trouble) -> Trouble {
    connection.close().await.ok();
    trouble
}

/// Opens a file for writing and brings it to the present schema.
pub(super) async fn connect(file: &Path) -> Result<SqliteConnection, Trouble> {
    refuse_newer(file).await?;
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A transaction is on disk when it is reported so, also over a power cut.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(BUSY);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(|error| Trouble::of(file, &error))?;
    let trouble = match MIGRATIONS.run(&mut connection).await {
        Ok(()) => return Ok(connection),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => Trouble::of(file, &error),
        Err(other) => Trouble { kind: Kind::Failing, file: file.to_owned(), said: other.to_string() },
    };
    Err(give_up(connection, trouble).await)
}

/// The latest schema that this program knows.
pub(super) fn latest() -> i64 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Looks before anything is opened for writing: closing such a connection already changes the file.
async fn refuse_newer(file: &Path) -> Result<(), Trouble> {
    if fs::metadata(file).map_or(0, |meta| meta.len()) == 0 {
        return Ok(());
    }
    // What cannot be read here is told by the one who opens it for writing.
    let Ok(mut connection) = look(file).await else { return Ok(()) };
    let found = schema(&mut connection).await;
    connection.close().await.ok();
    match found {
        Ok(found) if found > latest() => {
            let said = format!("its schema is {found}, this version knows {} at most", latest());
            Err(Trouble { kind: Kind::Newer, file: file.to_owned(), said })
        }
        _ => Ok(()),
    }
}

/// The schema of a store.
pub(super) async fn schema(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM _sqlx_migrations").fetch_one(connection).await
}

/// Opens a file for reading only. Nothing of it is changed.
pub(super) async fn look(file: &Path) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true).busy_timeout(BUSY);
    let first = match SqliteConnection::connect_with(&options).await {
        Ok(mut connection) => match sqlx::query("SELECT COUNT(*) FROM sqlite_schema").execute(&mut connection).await {
            Ok(_) => return Ok(connection),
            Err(error) => {
                connection.close().await.ok();
                error
            }
        },
        Err(error) => error,
    };
    // On a disk that takes no writes, the index of the write-ahead log cannot be made. Without such a log none is needed.
    if fs::metadata(beside(file, "-wal")).map_or(0, |meta| meta.len()) > 0 {
        return Err(first);
    }
    SqliteConnection::connect_with(&options.immutable(true)).await
}

/// Reads everything.
async fn read(connection: &mut SqliteConnection) -> Result<Contents, sqlx::Error> {
    let roster = directory::load(connection).await?;
    let (bindings, unreadable) = bindings(connection).await?;
    let marks = licences::load(connection).await?;
    let balances = tolls::load(connection).await?;
    Ok(Contents { roster, bindings, unreadable, marks, balances, complete: true })
}

/// Reads what can be read of a file that is not as it should be.
async fn salvage(file: &Path) -> Contents {
    let mut contents = Contents { complete: !file.exists(), ..Contents::default() };
    let Ok(mut connection) = look(file).await else { return contents };
    let told = |what: &str, error: &sqlx::Error| tracing::error!("{what} of {} cannot be read: {error}", file.display());
    contents.complete = true;
    match directory::load(&mut connection).await {
        Ok(roster) => contents.roster = roster,
        Err(error) => {
            contents.complete = false;
            told("endpoints and users", &error);
        }
    }
    match bindings(&mut connection).await {
        Ok((bindings, unreadable)) => (contents.bindings, contents.unreadable) = (bindings, unreadable),
        Err(error) => {
            contents.complete = false;
            told("bindings", &error);
        }
    }
    match licences::load(&mut connection).await {
        Ok(marks) => contents.marks = marks,
        Err(error) => {
            contents.complete = false;
            told("grace periods of licence pools", &error);
        }
    }
    match tolls::load(&mut connection).await {
        Ok(balances) => contents.balances = balances,
        Err(error) => {
            contents.complete = false;
            told("what calls to the outside have used", &error);
        }
    }
    connection.close().await.ok();
    contents
}

/// All bindings, and the keys of those that are unreadable.
async fn bindings(connection: &mut SqliteConnection) -> Result<(Vec<Binding>, Vec<(String, String)>), sqlx::Error> {
    let rows: Vec<(String, String, String)> = sqlx::query_as("SELECT endpoint, contact, state FROM binding").fetch_all(connection).await?;
    let (mut bindings, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for (endpoint, contact, state) in rows {
        let state = serde_json::from_str::<State<'_>>(&state).map_err(anyhow::Error::from);
        match state.and_then(|state| state.binding(&endpoint, &contact)) {
            Ok(binding) => bindings.push(binding),
            Err(error) => {
                tracing::warn!(endpoint, "a stored binding is unreadable and was forgotten: {error:#}");
                unreadable.push((endpoint, contact));
            }
        }
    }
    Ok((bindings, unreadable))
}

/// Whether a transaction reaches the disk. It leaves nothing behind.
pub(super) async fn probe(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("INSERT INTO licence_pool (pool, state) VALUES ('', '') ON CONFLICT (pool) DO NOTHING").execute(&mut *transaction).await?;
    sqlx::query("DELETE FROM licence_pool WHERE pool = ''").execute(&mut *transaction).await?;
    transaction.commit().await
}

/// Gives a damaged file another name, and what lies beside it: transactions that were acknowledged may still be in the write-ahead log only.
pub(super) fn set_aside(file: &Path) -> io::Result<PathBuf> {
    let aside = (1_u32..=u32::MAX).map(|n| beside(file, &format!(".damaged-{n}"))).find(|path| !path.exists());
    let aside = aside.unwrap_or_else(|| beside(file, ".damaged"));
    // The log first: in the other order, a new file would be met by the log of the old one if the process ended in between.
    for suffix in ["-wal", "-shm"] {
        match fs::rename(beside(file, suffix), beside(&aside, suffix)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    fs::rename(file, &aside)?;
    Ok(aside)
}

pub(super) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
