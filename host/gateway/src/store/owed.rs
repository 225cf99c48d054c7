//! What the disk does not have yet: the changes of bindings, written in as few statements as they need.

use super::{State, drills};
use sqlx::{Connection as _, QueryBuilder, Sqlite, SqliteConnection};
use std::{collections::BTreeMap, sync::Arc};
use switch::{
    registrar::{Binding, Change},
    site::Site,
};

/// Rows in one statement. Each number of rows is a statement of its own, which the connection keeps prepared.
pub(super) const ROWS: usize = 64;

/// What is to become of each binding: kept as it is now, or forgotten.
type Pending = BTreeMap<(Arc<str>, Arc<str>), Option<Arc<Binding>>>;

/// Bindings that are different on the disk and in memory.
#[derive(Debug)]
pub(super) enum Owed {
    /// These.
    Changes(Pending),
    /// Any: what is in memory takes the place of what is on the disk.
    Everything,
}

impl Default for Owed {
    fn default() -> Self {
        Self::Changes(Pending::new())
    }
}

impl Owed {
    /// A change more. Above `most`, all bindings are written instead: memory has them in any case.
    pub(super) fn add(&mut self, change: &Change, most: usize) {
        let Self::Changes(pending) = self else { return };
        match change {
            Change::Bound(binding) => {
                pending.insert((Arc::clone(&binding.endpoint), Arc::clone(&binding.contact)), Some(Arc::clone(binding)))
            }
            Change::Unbound { endpoint, contact } => pending.insert((Arc::clone(endpoint), Arc::clone(contact)), None),
        };
        if pending.len() > most {
            *self = Self::Everything;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.as_changes().is_some_and(BTreeMap::is_empty)
    }

    /// How many bindings; of everything, those in memory.
    pub(super) fn len(&self, site: &Site) -> usize {
        self.as_changes().map_or_else(|| site.registrar.len(), BTreeMap::len)
    }

    const fn as_changes(&self) -> Option<&Pending> {
        match self {
            Self::Changes(pending) => Some(pending),
            Self::Everything => None,
        }
    }

    /// Writes it in one transaction.
    pub(super) async fn write(&self, connection: &mut SqliteConnection, site: &Site) -> Result<(), sqlx::Error> {
        let Some(pending) = self.as_changes() else { return everything(connection, site).await };
        let mut bound = Vec::with_capacity(pending.len());
        let mut gone = Vec::new();
        for ((endpoint, contact), binding) in pending {
            match binding {
                Some(binding) => bound.push(row(binding)?),
                None => gone.push((&**endpoint, &**contact)),
            }
        }
        // One statement is a transaction by itself, and saves the database's thread two turns.
        if gone.is_empty() && bound.len() <= ROWS {
            return insert(connection, &bound).await;
        }
        let mut transaction = connection.begin().await?;
        for rows in bound.chunks(ROWS) {
            insert(&mut transaction, rows).await?;
        }
        delete(&mut transaction, &gone).await?;
        transaction.commit().await
    }
}

async fn everything(connection: &mut SqliteConnection, site: &Site) -> Result<(), sqlx::Error> {
    // Memory changes before the store hears of it: what is read here is as new as what waits to be written, or newer.
    let bindings = site.registrar.all();
    let rows = bindings.iter().map(|binding| row(binding)).collect::<Result<Vec<_>, _>>()?;
    let mut transaction = connection.begin().await?;
    drills::keep_seen(&mut transaction, None).await?;
    sqlx::query("DELETE FROM binding").execute(&mut *transaction).await?;
    for rows in rows.chunks(ROWS) {
        insert(&mut transaction, rows).await?;
    }
    transaction.commit().await
}

type Row<'a> = (&'a str, &'a str, String);

fn row(binding: &Binding) -> Result<Row<'_>, sqlx::Error> {
    let state = serde_json::to_string(&State::of(binding)).map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
    Ok((&binding.endpoint, &binding.contact, state))
}

async fn insert(connection: &mut SqliteConnection, rows: &[Row<'_>]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut query = QueryBuilder::<Sqlite>::new("INSERT OR REPLACE INTO binding (endpoint, contact, state) ");
    query.push_values(rows, |mut row, (endpoint, contact, state)| {
        row.push_bind(*endpoint).push_bind(*contact).push_bind(state);
    });
    query.build().execute(connection).await.map(|_| ())
}

/// Forgets bindings, but for when their phones were last registered.
async fn delete(connection: &mut SqliteConnection, keys: &[(&str, &str)]) -> Result<(), sqlx::Error> {
    for keys in keys.chunks(ROWS) {
        drills::keep_seen(connection, Some(keys)).await?;
        let mut query = QueryBuilder::<Sqlite>::new("DELETE FROM binding WHERE (endpoint, contact) IN (");
        query.push_values(keys, |mut key, (endpoint, contact)| {
            key.push_bind(*endpoint).push_bind(*contact);
        });
        query.push(")").build().execute(&mut *connection).await?;
    }
    Ok(())
}
