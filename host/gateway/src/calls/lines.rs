//! What the calls of this shard show of phones that others watch ([`switch::lines`]), and bringing a picker to the call that rings.

use super::{exchange::Letter, live::Key, shard::Shard};
use sip::{Instant, stack::Effect};
use std::sync::Arc;
use switch::{
    bridge::{DialogId, Event, Half},
    facts::CallKind,
    lines::{LineDialog, LineId},
};

/// One dialog that a call has shown.
#[derive(Debug)]
pub(super) struct OnLine {
    endpoint: String,
    party: usize,
    dialog: Arc<LineDialog>,
}

impl Shard {
    /// Brings what is shown of a call up to date.
    pub(super) fn show(&mut self, key: Key) {
        let (lines, shard) = (&self.parts.site.lines, self.parts.index);
        if !lines.any() {
            return;
        }
        let Some((bridge, on_lines)) = self.live.shown(key) else { return };
        let shown = bridge.lines(|endpoint| lines.keeps(endpoint));
        let tell = |endpoint: &str, party: usize, dialog: Option<Arc<LineDialog>>| {
            for watcher in lines.set(endpoint, LineId { shard, call: key, party }, dialog) {
                self.parts.exchange.line_changed(watcher, endpoint);
            }
        };
        on_lines.retain(|old| {
            let stays = shown.iter().any(|(party, endpoint, _)| *party == old.party && *endpoint == old.endpoint);
            if !stays {
                tell(&old.endpoint, old.party, None);
            }
            stays
        });
        let nameable = bridge.call().kind == CallKind::Normal;
        for (party, endpoint, dialog) in shown {
            let old = on_lines.iter_mut().find(|old| old.party == party && old.endpoint == endpoint);
            let known = old.as_ref().and_then(|old| old.dialog.name.clone());
            let name = known.or_else(|| nameable.then(|| self.random.token().to_string()));
            let dialog = LineDialog { name, ..dialog };
            if old.as_ref().is_some_and(|old| *old.dialog == dialog) {
                continue;
            }
            let dialog = Arc::new(dialog);
            tell(&endpoint, party, Some(Arc::clone(&dialog)));
            match old {
                Some(old) => old.dialog = dialog,
                None => on_lines.push(OnLine { endpoint, party, dialog }),
            }
        }
    }

    /// Somebody watches a line for the first time: shows the calls that it has already.
    pub(super) fn show_all_of(&mut self, endpoint: &str) {
        for key in self.live.with(endpoint) {
            self.show(key);
        }
    }

    /// Brings a picker to the call that rings, on whatever shard it lives.
    pub(super) fn bring(&mut self, key: Key, dialog: DialogId, half: Box<Half>, now: Instant, more: &mut Vec<Effect>) {
        let home = self.parts.exchange.home(&dialog.call_id);
        if home == self.parts.index {
            let back = self.take_in(&dialog, half, now, more);
            return self.step(key, Event::Brought { back }, now, more);
        }
        let letter = Letter::Bring { from: self.parts.index, key, dialog, half };
        if let Some(Letter::Bring { half, .. }) = self.parts.exchange.offer(home, letter) {
            self.step(key, Event::Brought { back: Some(half) }, now, more);
        }
    }
}
