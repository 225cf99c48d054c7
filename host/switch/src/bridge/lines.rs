//! What others are shown of this call's phones: see [`crate::lines`].

use super::{Bridge, DialogId, Party, State, leg::LegState};
use crate::{
    facts::{CallKind, Caller},
    lines::{LineDialog, LineState},
    plan::escape_user,
};
use sip::{
    dialog::Dialog,
    header::{Name, NameAddr},
};

impl Bridge {
    /// Whether a phone of this line (an endpoint, or the user whose phone it is) calls here or was called.
    #[must_use]
    pub fn involves(&self, line: &str) -> bool {
        let directory = self.site.directory();
        let is = |endpoint: Option<&str>| endpoint.is_some_and(|endpoint| directory.line_of(endpoint) == line);
        is(self.calling_endpoint()) || self.legs.iter().any(|leg| is(leg.target.endpoint.as_deref()))
    }

    /// The dialogs of this call on lines that `keeps` asks for: number of the party, line (an endpoint, or the user whose phone it is), dialog, whose name for watchers the caller makes up. None once
    /// the call is over.
    #[must_use]
    pub fn lines(&self, keeps: impl Fn(&str) -> bool) -> Vec<(usize, String, LineDialog)> {
        let mut shown = Vec::new();
        let directory = self.site.directory();
        let mut show = |number: usize, endpoint: Option<&str>, state: LineState, outgoing: bool, dialog: Option<&Dialog>| {
            if let Some(endpoint) = endpoint.map(|endpoint| directory.line_of(endpoint)).filter(|endpoint| keeps(endpoint)) {
                let remote = dialog.and_then(|dialog| self.other_side(number, dialog));
                let wanted =
                    dialog.filter(|_| self.call.kind == CallKind::Normal && state == LineState::Early && !outgoing).map(|dialog| {
                        DialogId {
                            call_id: dialog.call_id.clone(),
                            local_tag: dialog.local_tag.clone(),
                            remote_tag: dialog.remote_tag.clone(),
                            early_only: true,
                        }
                    });
                shown.push((number, endpoint.to_owned(), LineDialog { state, outgoing, name: None, wanted, remote }));
            }
        };
        match self.state {
            State::Ended => return shown,
            // Whose phones ring for a call that the gateway places: they are legs of it.
            State::Ringing if self.invite.is_none() => {}
            State::Ringing => {
                let early = self.party(0, super::Side::Caller);
                let state = if early.is_some() { LineState::Early } else { LineState::Trying };
                show(0, self.calling_endpoint(), state, true, Some(early.map_or(&self.caller, |party| &party.dialog)));
            }
            State::Answered(place) => {
                for party in self.pairs.get(place).into_iter().flat_map(|pair| [pair.caller, pair.callee]) {
                    if let Some(Party { dialog, leg, .. }) = self.parties.get(party).filter(|_| self.gone != Some(party)) {
                        match leg.and_then(|leg| Some((leg, self.legs.get(leg)?))) {
                            Some((number, leg)) => {
                                show(number + 1, leg.target.endpoint.as_deref(), LineState::Confirmed, leg.adopted, Some(dialog));
                            }
                            None => show(0, self.calling_endpoint(), LineState::Confirmed, true, Some(dialog)),
                        }
                    }
                }
            }
        }
        for (number, leg) in self.legs.iter().enumerate() {
            if leg.state == LegState::Ringing && leg.alive && !leg.adopted {
                let party = self.parties.iter().find(|party| party.leg == Some(number) && !party.dialog.remote_tag.is_empty());
                let dialog = party.filter(|_| self.state == State::Ringing).map(|party| &party.dialog);
                show(number + 1, leg.target.endpoint.as_deref(), LineState::Early, false, dialog);
            }
        }
        shown
    }

    fn calling_endpoint(&self) -> Option<&str> {
        match &self.call.caller {
            Caller::Endpoint(endpoint) => Some(&endpoint.id),
            Caller::Trunk(_) | Caller::Unknown => None,
        }
    }

    /// Who is on the other side of a dialog. A call for help is shown as a busy phone and nothing more: no key that was lit by it dials its number.
    fn other_side(&self, number: usize, dialog: &Dialog) -> Option<(String, String)> {
        // RFC 3323 4.2: who asks for privacy is not named to third parties.
        let private = self.call.message.header(Name::Privacy).is_some_and(|value| !value.eq_ignore_ascii_case(b"none"));
        if private || self.call.kind != CallKind::Normal {
            return None;
        }
        if number == 0 {
            let domain = &self.site.directory().domain;
            return Some((String::new(), format!("sip:{}@{domain}", escape_user(&self.call.called))));
        }
        let address = NameAddr::parse(&dialog.local)?;
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        Some((text(address.display), text(address.uri)))
    }
}
