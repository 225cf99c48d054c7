//! Lines: which dialogs each phone has, for others that watch it (RFC 4235) or pick up what rings there.
//!
//! A call lives on one shard, a subscription on another, so that what is shown stands in one table of the site. A call whose phones nobody watches pays
//! one look at a flag: a line is kept from the moment on when somebody first watches it, and the calls that it has then are looked through once. Where
//! the site has a feature code for pickup, all lines are kept. The table grows with the directory and with the calls, which both have limits.

use crate::bridge::DialogId;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// Dialogs that are looked at to find one that rings.
const SEARCHED: usize = 1000;
/// Flags that say "nobody keeps this line" without a lock; two endpoints that share one cost each other a lock per change, nothing else.
const FLAGS: usize = 1024;

/// Names one dialog of a line.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LineId {
    /// Where its call lives.
    pub shard: usize,
    /// The call.
    pub call: u64,
    /// The party of the call.
    pub party: usize,
}

/// State of a dialog (RFC 4235 3.7.1). Terminated is not among them: then it is no longer there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LineState {
    /// The phone has called; nothing has come back yet.
    Trying,
    /// It rings, here or there.
    Early,
    /// They talk.
    Confirmed,
}

/// One dialog of a phone, as others see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineDialog {
    /// How far it is.
    pub state: LineState,
    /// The phone began it.
    pub outgoing: bool,
    /// What watchers call it. A name made up for them ([`Lines::named`]): who knew how we and the phone call it could take it over also when they talk.
    /// `None` for a call for help, which nobody takes over.
    pub name: Option<String>,
    /// The dialog, while the phone rings in it and its call may be taken.
    pub wanted: Option<DialogId>,
    /// The other side: display name and URI. `None` when it is not to be shown (a call for help, a caller who asks for privacy).
    pub remote: Option<(String, String)>,
}

/// All lines of a site.
#[derive(Debug)]
pub struct Lines {
    /// Some line is kept.
    any: AtomicBool,
    /// Every line is kept.
    every: AtomicBool,
    flags: Box<[AtomicBool]>,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    lines: HashMap<Arc<str>, Line>,
    /// Whose phones ring.
    ringing: BTreeMap<LineId, Arc<str>>,
    /// The same by the names that watchers know.
    names: HashMap<String, LineId>,
}

#[derive(Debug, Default)]
struct Line {
    /// Somebody has asked for it once.
    kept: bool,
    /// Shards with subscriptions, and how many.
    watchers: BTreeMap<usize, usize>,
    dialogs: BTreeMap<LineId, Arc<LineDialog>>,
    /// What the voice mail outside has said last.
    mail: Option<Arc<[u8]>>,
}

impl Default for Lines {
    fn default() -> Self {
        let flags = (0..FLAGS).map(|_| AtomicBool::new(false)).collect();
        Self { any: AtomicBool::new(false), every: AtomicBool::new(false), flags, table: Mutex::default() }
    }
}

impl Lines {
    /// Whether any line is kept at all.
    #[must_use]
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether calls of this endpoint are to be shown here; sometimes true for one that nobody has asked for.
    #[must_use]
    pub fn keeps(&self, endpoint: &str) -> bool {
        self.every.load(Ordering::Acquire) || self.flag(endpoint).is_some_and(|flag| flag.load(Ordering::Acquire))
    }

    /// From now on every line is kept, or only those that somebody asks for.
    pub fn keep_all(&self, all: bool) {
        self.every.store(all, Ordering::Release);
        if all {
            self.any.store(true, Ordering::Release);
        }
    }

    /// A subscription on `shard` watches this endpoint. `true`: the line was not kept yet, and each shard must show the calls that it has already.
    #[must_use]
    pub fn watch(&self, endpoint: &str, shard: usize) -> bool {
        let mut table = self.table();
        let line = table.lines.entry(Arc::from(endpoint)).or_default();
        *line.watchers.entry(shard).or_default() += 1;
        if std::mem::replace(&mut line.kept, true) {
            return false;
        }
        if let Some(flag) = self.flag(endpoint) {
            flag.store(true, Ordering::Release);
        }
        self.any.store(true, Ordering::Release);
        !self.every.load(Ordering::Acquire)
    }

    /// A subscription on `shard` has ended.
    pub fn unwatch(&self, endpoint: &str, shard: usize) {
        if let Some(line) = self.table().lines.get_mut(endpoint)
            && let Some(count) = line.watchers.get_mut(&shard)
        {
            *count -= 1;
            if *count == 0 {
                line.watchers.remove(&shard);
            }
        }
    }

    /// Shows a dialog of this endpoint, or (`None`) takes it away. Returns the shards whose watchers are to be told.
    #[must_use]
    pub fn set(&self, endpoint: &str, id: LineId, dialog: Option<Arc<LineDialog>>) -> Vec<usize> {
        let mut table = self.table();
        let Table { lines, ringing, names } = &mut *table;
        if let Some(old) = ringing.remove(&id).and_then(|endpoint| lines.get(&endpoint)?.dialogs.get(&id)?.name.clone()) {
            names.remove(&old);
        }
        match dialog {
            Some(dialog) => {
                if dialog.wanted.is_some() {
                    ringing.insert(id, Arc::from(endpoint));
                    names.extend(dialog.name.clone().map(|name| (name, id)));
                }
                let line = match lines.get_mut(endpoint) {
                    Some(line) => line,
                    None => lines.entry(Arc::from(endpoint)).or_default(),
                };
                line.dialogs.insert(id, dialog);
                line.watchers.keys().copied().collect()
            }
            None => {
                let Some(line) = lines.get_mut(endpoint) else { return Vec::new() };
                line.dialogs.remove(&id);
                let shards = line.watchers.keys().copied().collect();
                if !line.kept && line.dialogs.is_empty() {
                    lines.remove(endpoint);
                }
                shards
            }
        }
    }

    /// The first `most` dialogs of an endpoint, oldest first on each shard.
    #[must_use]
    pub fn dialogs(&self, endpoint: &str, most: usize) -> BTreeMap<LineId, Arc<LineDialog>> {
        self.table()
            .lines
            .get(endpoint)
            .map(|line| line.dialogs.iter().take(most).map(|(id, dialog)| (*id, Arc::clone(dialog))).collect())
            .unwrap_or_default()
    }

    /// The dialog of a call that rings at this endpoint.
    #[must_use]
    pub fn ringing(&self, endpoint: &str) -> Option<DialogId> {
        let table = self.table();
        let line = table.lines.get(endpoint)?;
        // Whoever has called so often himself that what rings is far behind has to wait: the search ends somewhere.
        line.dialogs.values().take(SEARCHED).find_map(|dialog| dialog.wanted.clone())
    }

    /// The dialog of a call that rings at any endpoint that `near` accepts. `near` must not use these lines.
    #[must_use]
    pub fn rings_anywhere(&self, near: impl Fn(&str) -> bool) -> Option<DialogId> {
        let table = self.table();
        let mut found = table.ringing.iter().take(SEARCHED).filter(|(_, endpoint)| near(endpoint));
        found.find_map(|(id, endpoint)| table.lines.get(endpoint)?.dialogs.get(id)?.wanted.clone())
    }

    /// The dialog that a watcher names, while the phone rings in it.
    #[must_use]
    pub fn named(&self, wanted: &DialogId) -> Option<DialogId> {
        let table = self.table();
        let id = table.names.get(std::str::from_utf8(&wanted.call_id).ok()?)?;
        table.lines.get(table.ringing.get(id)?)?.dialogs.get(id)?.wanted.clone()
    }

    /// What the voice mail outside says of an endpoint's messages. Returns the shards whose watchers are to be told.
    #[must_use]
    pub fn set_mail(&self, endpoint: &str, summary: &[u8]) -> Vec<usize> {
        let mut table = self.table();
        let line = table.lines.entry(Arc::from(endpoint)).or_default();
        // It stays for who subscribes later.
        line.kept = true;
        line.mail = Some(Arc::from(summary));
        line.watchers.keys().copied().collect()
    }

    /// What it said last.
    #[must_use]
    pub fn mail(&self, endpoint: &str) -> Option<Arc<[u8]>> {
        self.table().lines.get(endpoint)?.mail.clone()
    }

    fn flag(&self, endpoint: &str) -> Option<&AtomicBool> {
        // FNV-1a; the ids are the operator's, so that nobody can aim at one flag.
        let hash = endpoint.bytes().fold(0x811c_9dc5_u32, |hash, octet| (hash ^ u32::from(octet)).wrapping_mul(0x0100_0193));
        self.flags.get(hash as usize % FLAGS)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(call: u64) -> LineId {
        LineId { shard: 0, call, party: 1 }
    }

    fn dialog(state: LineState, name: &str) -> Arc<LineDialog> {
        let wanted = DialogId { call_id: b"c".to_vec(), local_tag: b"ours".to_vec(), remote_tag: b"theirs".to_vec(), early_only: true };
        let wanted = (state == LineState::Early).then_some(wanted);
        Arc::new(LineDialog { state, outgoing: false, name: Some(name.to_owned()), wanted, remote: None })
    }

    fn watched(name: &str) -> DialogId {
        DialogId { call_id: name.as_bytes().to_vec(), local_tag: Vec::new(), remote_tag: Vec::new(), early_only: false }
    }

    #[test]
    fn a_line_is_kept_from_the_first_watcher_on() {
        let lines = Lines::default();
        assert!(!lines.any() && !lines.keeps("bob"));
        assert!(lines.watch("bob", 1), "calls that are there must be looked through");
        assert!(!lines.watch("bob", 0) && lines.keeps("bob") && lines.any());
        assert_eq!(lines.set("bob", id(1), Some(dialog(LineState::Early, "x"))), [0, 1]);
        lines.unwatch("bob", 0);
        assert_eq!(lines.set("bob", id(1), None), [1]);
        lines.unwatch("bob", 1);
        assert!(lines.set("bob", id(1), None).is_empty());
        assert!(!lines.watch("bob", 1), "once kept, always kept");
    }

    #[test]
    fn with_a_feature_code_every_line_is_kept_while_it_has_calls() {
        let lines = Lines::default();
        lines.keep_all(true);
        assert!(lines.any() && lines.keeps("bob"));
        assert!(lines.set("bob", id(1), Some(dialog(LineState::Confirmed, "x"))).is_empty());
        assert_eq!(lines.ringing("bob"), None);
        assert!(lines.set("bob", id(3), Some(dialog(LineState::Early, "y"))).is_empty());
        assert_eq!(lines.ringing("bob").unwrap().local_tag, b"ours");
        assert_eq!(lines.named(&watched("y")), lines.ringing("bob"));
        assert_eq!(lines.named(&watched("x")), None, "it talks");
        assert!(
            lines.rings_anywhere(|endpoint| endpoint == "bob").is_some() && lines.rings_anywhere(|endpoint| endpoint == "carol").is_none()
        );
        assert_eq!(lines.dialogs("bob", 1).len(), 1);
        assert!(lines.set("bob", id(3), Some(dialog(LineState::Confirmed, "y"))).is_empty());
        assert_eq!((lines.named(&watched("y")), lines.ringing("bob")), (None, None), "it is answered");
        for call in [1, 3] {
            assert!(lines.set("bob", id(call), None).is_empty());
        }
        assert!(
            {
                let table = lines.table();
                table.lines.is_empty() && table.ringing.is_empty() && table.names.is_empty()
            },
            "nothing is left of a line without calls and watchers"
        );
    }
}
