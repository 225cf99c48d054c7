//! The store: what was acknowledged to phones, on disk before they hear of it; and the endpoints and users that do not stand in the configuration.
//!
//! SQLite in the data folder. One thread gathers the changes of all registrations that wait at the same time into one transaction (group commit), so
//! that ten thousand phones that register in a second cost a few hundred disk flushes.
//!
//! Trouble with the disk or the file keeps nobody from calling: what could be read counts, what cannot be written is owed to the disk, an alarm says so, and
//! the setting `[store] degraded` says whether phones are told 200 or 503 meanwhile ([`Trouble`]).

mod calls;
mod commit;
mod directory;
mod drills;
mod file;
mod gather;
mod licences;
mod look;
mod owed;
#[cfg(test)]
mod tests;
mod tolls;
mod trouble;
mod writer;

pub use calls::{CallRow, CallsKept, CallsWanted};
pub use commit::{Options, Started, Store};
pub use directory::Entry;
pub use drills::{Begun, Drill, Report, Sightings};
pub use look::{Look, Seen, look};
pub use tolls::Gone;
pub use trouble::{Health, Kind, Standing, Trouble};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use sip::{
    Instant,
    transport::{Flow, Transport},
};
use std::{borrow::Cow, net::SocketAddr};
use switch::registrar::Binding;

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
