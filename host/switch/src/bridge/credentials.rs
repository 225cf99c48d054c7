//! Providers may challenge any request, not only the first INVITE (RFC 3261 22.2): what we send a trunk inside a dialog is sent once more with the trunk's own
//! credentials. A second challenge is a refusal.

use super::{Bridge, Party, Sent, write};
use crate::facts::Caller;
use sip::{Message, build::Request, dialog::Dialog, digest, header::Name, message::Method, random::Random, transport::Flow};

/// The header that answers a challenge, and its value.
pub(super) type Credentials = (Name, String);

impl Bridge {
    /// What answers the challenge of this party; `None` when it is no trunk, has no password, or asks in a way that is not spoken.
    pub(super) fn credentials(&self, party: usize, challenge: &Message, random: &mut Random) -> Option<Credentials> {
        let Party { dialog, leg, .. } = self.parties.get(party)?;
        let uri = std::str::from_utf8(&dialog.remote_target).ok()?;
        let name = match leg {
            Some(leg) => self.legs.get(*leg)?.target.trunk.as_deref()?,
            None => match &self.call.caller {
                Caller::Trunk(name) => name,
                Caller::Endpoint(_) | Caller::Unknown => return None,
            },
        };
        self.trunk_credentials(name, challenge, uri, random)
    }

    /// The same for a request to `uri` that goes to this trunk.
    pub(super) fn trunk_credentials(&self, trunk: &str, challenge: &Message, uri: &str, random: &mut Random) -> Option<Credentials> {
        let directory = self.site.directory();
        let trunk = directory.trunk(trunk)?;
        let (username, password) = (trunk.username.as_ref()?, trunk.password.as_ref()?);
        let (asked, answer) = match challenge.status() {
            401 => (Name::WwwAuthenticate, Name::Authorization),
            407 => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
            _ => return None,
        };
        let cnonce = random.token();
        let method = challenge.method().token();
        let challenges = challenge.headers().filter(|header| header.name == asked);
        let mut answers = challenges.filter_map(|header| digest::answer(header.value, username, password, method, uri, 1, cnonce.as_str()));
        answers.next().map(|value| (answer, value))
    }

    /// Asks somebody who was taken from another call for a session, inside its dialog.
    pub(super) fn ask(&mut self, leg: usize, party: usize, credentials: Option<&Credentials>, out: &mut Vec<super::Effect>) {
        let Some(mut dialog) = self.parties.get(party).map(|party| party.dialog.clone()) else { return };
        let Some((request, flow)) = self.question(leg, party, &mut dialog, credentials) else { return };
        let number = dialog.local_cseq;
        if let Some(party) = self.parties.get_mut(party) {
            party.dialog = dialog;
        }
        self.sent.retain(|(_, sent)| !matches!(sent, Sent::Invite(sent) if *sent == leg));
        let send = self.send(request, flow, Sent::Invite(leg), out);
        if let Some(leg) = self.legs.get_mut(leg) {
            leg.send = send;
            leg.template.local_cseq = number;
        }
    }

    /// The INVITE that asks it, with the dialog's next number, and where it goes.
    pub(super) fn question(
        &self,
        leg: usize,
        party: usize,
        dialog: &mut Dialog,
        credentials: Option<&Credentials>,
    ) -> Option<(Request, Flow)> {
        let leg = self.legs.get(leg)?;
        // Who is transferred offers no session of its own: the party's is asked for (RFC 3725 4.3).
        let call = (!self.transfers(leg.hunt)).then(|| self.call_of(leg.hunt));
        let flow = write::next_hop(dialog, self.behind_trunk(party));
        let mut writer = dialog.request(Method::Invite, b"INVITE", 70);
        write::contact(&mut writer, flow);
        if let Some((name, value)) = credentials {
            writer.header(*name, value.as_bytes());
        }
        if let Some(call) = call {
            // Phones that obey RFC 3325 show whom they talk to now.
            let caller = write::caller_identity(call, &leg.target, &self.site.directory());
            if !caller.asserted.is_empty() {
                writer.header(Name::PAssertedIdentity, &caller.asserted);
            }
            write::copy_content_type(&mut writer, &call.message);
        }
        let request = writer.finish_request(call.map_or(&b""[..], |call| call.message.body()));
        Some((request, flow))
    }
}
