//! The site's directory while the gateway runs: what the configuration file says and what the store keeps beside it, joined and put in force.
//!
//! Both ways of changing it end here, one after the other: a saved file ([`Keeper::take_file`]) and the commands `holdfast endpoint` and `holdfast user`
//! ([`Keeper::change`]). Each makes a new directory and swaps it in; calls and other registrations go on, policies see it from their next decision on.

use crate::{
    calls::Keep as _,
    clock::Clock,
    config::default,
    data::random_bytes,
    provision::{Keeping, Vault},
    store::{Begun, CallsWanted, Drill, Entry, Report, Sightings, Standing, Started, Store},
};
use sha2::{Digest as _, Sha256};
use sip::Instant;
use std::{
    collections::BTreeSet,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use subtle::ConstantTimeEq as _;
use switch::{
    directory::{
        Directory, LeftOut,
        record::{Edit, Password, Token},
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
    /// Where passwords are kept for phones to be told; `None`: nowhere.
    keeping: Option<Keeping>,
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

/// A password that was made for an endpoint. It is told once and kept as hashes; where phones fetch their settings, also sealed.
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
    /// Keeps the directory of `site` from now on, as the store has `started` it; takes what it has read out of it. With `keeping`, passwords that are set from now on
    /// can be told to their phones.
    #[must_use]
    pub fn new(site: Arc<Site>, started: &mut Started, clock: Clock, keeping: Option<Keeping>) -> Arc<Self> {
        let (roster, left_out) = (std::mem::take(&mut started.roster), std::mem::take(&mut started.left_out));
        let state = Mutex::new(State { file: Arc::clone(&started.file), roster, left_out, old: Vec::new() });
        Arc::new(Self { site, store: Arc::clone(&started.store), clock, keeping, state })
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
        self.seal(&mut edits, &state.file.domain).map_err(|error| No::Trouble(format!("{error:#}")))?;
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

    /// Seals the passwords that these edits set.
    fn seal(&self, edits: &mut [Edit], realm: &str) -> anyhow::Result<()> {
        let Some(vault) = self.vault() else { return Ok(()) };
        for edit in edits {
            if let Edit::Endpoint { id, fields, .. } = edit
                && let Some(password) = &fields.password
            {
                fields.sealed = Some(vault.seal(id, realm, &password.0)?);
            }
        }
        Ok(())
    }

    /// Where passwords are kept for phones to be told.
    #[must_use]
    pub fn vault(&self) -> Option<&Vault> {
        self.keeping.as_ref().map(|keeping| &keeping.vault)
    }

    /// Makes a one-time token with which the phone of an endpoint may fetch its settings, in the place of one that it has: the token, which is kept as a hash and told
    /// once, and until when it is good. On disk before it returns; waits for the store, so on a thread that may wait. `None`: the store has no such endpoint, or phones
    /// cannot fetch anything.
    ///
    /// # Errors
    /// Why the store could not keep it.
    pub fn give_token(&self, by: &str, id: &str) -> Result<Option<(String, Instant)>, String> {
        let Some(Keeping { token: good, .. }) = &self.keeping else { return Ok(None) };
        let random = random_bytes().map_err(|error| format!("{error:#}"))?;
        // 128 bits: nobody guesses them, and an installer can still type them.
        let token: String = random.iter().take(16).map(|octet| format!("{octet:02x}")).collect();
        let until = self.clock.now() + *good;
        let kept = Token { hash: hash(&token), until: until.unix_seconds() };
        let mut state = self.state();
        let given = self.set_token(&mut state, by, id, Some(kept), "one-time token made for its settings file")?;
        Ok(given.then_some((token, until)))
    }

    /// Takes the one-time token of an endpoint, if `shown` is it and still good: it is never good again, also not after a crash. Waits for the store, so on a thread that
    /// may wait.
    ///
    /// # Errors
    /// Why the store could not forget it; then it was not taken.
    pub fn take_token(&self, id: &str, shown: &str, from: IpAddr) -> Result<bool, String> {
        let shown = hash(shown);
        let mut state = self.state();
        let kept = state.roster.endpoint(id).and_then(|record| record.token.clone());
        let good = kept
            .is_some_and(|kept| bool::from(kept.hash.as_bytes().ct_eq(shown.as_bytes())) && self.clock.now().unix_seconds() < kept.until);
        if !good {
            return Ok(false);
        }
        self.set_token(&mut state, "phone", id, None, &format!("one-time token used from {from}"))
    }

    fn set_token(&self, state: &mut State, by: &str, id: &str, token: Option<Token>, what: &str) -> Result<bool, String> {
        let Some(change) = state.roster.with_token(id, token, what) else { return Ok(false) };
        let change = Arc::new(change);
        self.store.write(Arc::clone(&change), by, self.clock.now())?;
        // Nothing of the directory in force is different.
        state.roster.commit(Arc::unwrap_or_clone(change));
        Ok(true)
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

    /// When phones were last registered whose bindings have gone, and all drills. Waits for the store, so on a thread that may wait.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn sightings(&self) -> Result<Sightings, String> {
        self.store.sightings()
    }

    /// Begins a drill, unless one runs: [`Store::begin_drill`].
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn begin_drill(&self, name: &str, by: &str) -> Result<Begun, String> {
        self.store.begin_drill(name, by, self.clock.now())
    }

    /// Ends a drill: [`Store::end_drill`].
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn end_drill(&self, number: i64, report: String, came: Vec<(String, Instant)>) -> Result<Option<Drill>, String> {
        self.store.end_drill(number, report, came, self.clock.now())
    }

    /// An ended drill: [`Store::drill_report`].
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn drill_report(&self, number: i64) -> Result<Option<Report>, String> {
        self.store.drill_report(number)
    }

    /// Records of calls in the store, newest first. Waits, so not in a runtime.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn calls(&self, wanted: CallsWanted) -> Result<Vec<String>, String> {
        self.store.calls(wanted)
    }
}

fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|octet| format!("{octet:02x}")).collect()
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
