//! The site's directory while the gateway runs: what the configuration file says and what the store keeps beside it, joined and put in force.
//!
//! Both ways of changing it end here, one after the other: a saved file ([`Keeper::take_file`]) and the commands `holdfast endpoint` and `holdfast user`
//! ([`Keeper::change`]). Each makes a new directory and swaps it in; calls and other registrations go on, policies see it from their next decision on.

use crate::{
    calls::Keep as _,
    clock::Clock,
    config::default,
    store::{Entry, Standing, Started, Store},
};
use sip::Instant;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use switch::{
    directory::{
        Directory, LeftOut,
        record::{Edit, Password},
        roster::{Note, Problem, Roster, Subject},
    },
    limits::kept,
    registrar::Change,
    site::Site,
};
use tokio::runtime::Handle;

/// Lines of a history that are shown.
const HISTORY: u16 = 50;

/// How often a store that must be told everything is tried.
const AGAIN: Duration = Duration::from_secs(1);

/// The only one who changes the directory. One per gateway.
#[derive(Debug)]
pub struct Keeper {
    site: Arc<Site>,
    store: Arc<Store>,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// As the configuration file has it.
    file: Arc<Directory>,
    roster: Roster,
    left_out: Vec<LeftOut>,
    /// Directories of before that a decision still looks at. They end here, not on a thread that carries calls: taking a large one apart takes long.
    old: Vec<Arc<Directory>>,
}

impl State {
    /// Puts a directory in force; returns the bindings that ended.
    fn put(&mut self, site: &Site, directory: impl Into<Arc<Directory>>, now: Instant) -> Vec<Change> {
        self.old.push(site.directory());
        let ended = site.replace_directory(directory, now);
        self.old.retain(|old| Arc::strong_count(old) > 1);
        ended
    }
}

/// A password that was made for an endpoint. It is told once and kept as hashes only.
#[derive(Clone, PartialEq, Eq)]
pub struct Made {
    /// The endpoint.
    pub id: String,
    /// The password.
    pub password: String,
}

/// What has been done.
#[derive(Clone, PartialEq, Eq)]
pub struct Done {
    /// What is different now, by endpoint and user.
    pub notes: Vec<Note>,
    /// Passwords that were made.
    pub made: Vec<Made>,
    /// Bindings that ended.
    pub ended: usize,
}

/// Why nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum No {
    /// These edits cannot be.
    Problems(Vec<Problem>),
    /// The gateway could not do it now.
    Trouble(String),
}

/// A look at everything, while nothing changes.
#[derive(Debug)]
pub struct View<'a> {
    /// As the configuration file has it.
    pub file: &'a Directory,
    /// What the store keeps.
    pub roster: &'a Roster,
    /// What of it is not in force.
    pub left_out: &'a [LeftOut],
    /// The site.
    pub site: &'a Site,
    /// Now.
    pub now: Instant,
}

impl Keeper {
    /// Keeps the directory of `site` from now on, as the store has `started` it; takes what it has read out of it.
    #[must_use]
    pub fn new(site: Arc<Site>, started: &mut Started, clock: Clock) -> Arc<Self> {
        let (roster, left_out) = (std::mem::take(&mut started.roster), std::mem::take(&mut started.left_out));
        let state = Mutex::new(State { file: Arc::clone(&started.file), roster, left_out, old: Vec::new() });
        Arc::new(Self { site, store: Arc::clone(&started.store), clock, state })
    }

    /// Writes everything anew whenever the store has become another file: it was damaged, or was not there. In a runtime.
    pub async fn run(self: Arc<Self>) {
        let mut renewed = self.store.renewed();
        while renewed.changed().await.is_ok() {
            let keeper = Arc::clone(&self);
            // It waits for the store, and for as long as that cannot be written.
            while let Ok(Err(why)) = tokio::task::spawn_blocking({
                let keeper = Arc::clone(&keeper);
                move || keeper.write_whole()
            })
            .await
            {
                tracing::debug!("endpoints and users are not yet in the new store: {why}");
                tokio::time::sleep(AGAIN).await;
            }
        }
    }

    fn write_whole(&self) -> Result<(), String> {
        let state = self.state();
        if state.roster.is_empty() {
            return Ok(());
        }
        self.store.write(Arc::new(state.roster.whole()), "", self.clock.now())
    }

    /// How the store stands.
    #[must_use]
    pub fn store(&self) -> Standing {
        self.store.standing()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes all of these edits or none, on disk before it returns; `by` whom, for the history. A dry run only says what would be. Waits for the store, so on a
    /// thread that may wait, of a runtime.
    ///
    /// # Errors
    /// Everything that is wrong with the edits, or why the store could not keep them.
    pub fn change(&self, by: &str, edits: Vec<Edit>, dry_run: bool) -> Result<Done, No> {
        self.change_seen(by, dry_run, |_| Ok(edits), |_| ()).map(|(done, ())| done)
    }

    /// As [`Keeper::change`], for whoever must first see how things stand (`plan`), and what came of it (`see`): nobody else changes anything in between.
    ///
    /// # Errors
    /// As [`Keeper::change`], and what `plan` refuses.
    pub fn change_seen<T, E: From<No>>(
        &self,
        by: &str,
        dry_run: bool,
        plan: impl FnOnce(View<'_>) -> Result<Vec<Edit>, E>,
        see: impl FnOnce(View<'_>) -> T,
    ) -> Result<(Done, T), E> {
        let mut state = self.state();
        let mut edits = plan(self.look(&state))?;
        if edits.len() > kept::EDITS {
            return Err(No::Trouble(format!("{} edits in one request, {} allowed", edits.len(), kept::EDITS)).into());
        }
        let made = make_passwords(&mut edits, &state.roster).map_err(|error| No::Trouble(format!("{error:#}")))?;
        let change = state.roster.apply(&edits, &state.file).map_err(No::Problems)?;
        let notes = change.notes.clone();
        if dry_run || change.is_empty() {
            return Ok((Done { notes, made: Vec::new(), ended: 0 }, see(self.look(&state))));
        }
        let change = Arc::new(change);
        self.store.write(Arc::clone(&change), by, self.clock.now()).map_err(No::Trouble)?;
        state.roster.commit(Arc::unwrap_or_clone(change));
        let (joined, left_out) = state.file.with_roster(&state.roster);
        state.left_out = left_out;
        let gone = state.put(&self.site, joined, self.clock.now());
        let seen = see(self.look(&state));
        drop(state);
        let ended = gone.len();
        if !gone.is_empty()
            && let Err(why) = Handle::current().block_on(self.store.keep(gone))
        {
            // The next start forgets them: their endpoint is disabled.
            tracing::error!("bindings of disabled endpoints are not yet off the disk: {why}");
        }
        tracing::info!(by, changed = notes.len(), bindings_ended = ended, "the directory has changed");
        Ok((Done { notes, made, ended }, seen))
    }

    /// Puts a changed configuration in force beside what the store keeps; returns the bindings that ended, which the caller has to have forgotten.
    ///
    /// # Errors
    /// What the store has given to somebody else. Then nothing is changed.
    pub fn take_file(&self, file: Directory) -> Result<Vec<Change>, Vec<LeftOut>> {
        let mut state = self.state();
        let file = Arc::new(file);
        let joined = if state.roster.is_empty() {
            Arc::clone(&file)
        } else {
            let (joined, left_out) = file.with_roster(&state.roster);
            let new: Vec<_> = left_out.iter().filter(|left_out| !state.left_out.contains(left_out)).cloned().collect();
            if !new.is_empty() {
                return Err(new);
            }
            state.left_out = left_out;
            Arc::new(joined)
        };
        state.file = file;
        Ok(state.put(&self.site, joined, self.clock.now()))
    }

    /// The time of what happens now.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Looks at everything, as long as `look` takes.
    pub fn view<T>(&self, look: impl FnOnce(View<'_>) -> T) -> T {
        look(self.look(&self.state()))
    }

    fn look<'a>(&'a self, state: &'a State) -> View<'a> {
        View { file: &state.file, roster: &state.roster, left_out: &state.left_out, site: &self.site, now: self.clock.now() }
    }

    /// The latest entries of a history, newest first. Waits for the store, so on a thread that may wait.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn history(&self, subject: Subject) -> Result<Vec<Entry>, String> {
        self.store.history(subject, HISTORY)
    }
}

/// Makes the passwords that these edits leave to the gateway: of new endpoints without one, and where an empty one is given.
fn make_passwords(edits: &mut [Edit], roster: &Roster) -> anyhow::Result<Vec<Made>> {
    let mut made = Vec::new();
    let mut new = BTreeSet::new();
    for edit in edits {
        let Edit::Endpoint { id, fields, .. } = edit else { continue };
        let first = roster.endpoint(id).is_none() && new.insert(id.clone());
        if fields.password.as_ref().map_or(first, |password| password.0.is_empty()) {
            let password = default::password()?;
            fields.password = Some(Password(password.clone()));
            made.push(Made { id: id.clone(), password });
        }
    }
    Ok(made)
}
