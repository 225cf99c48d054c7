//! Providers may challenge any request, not only the first INVITE (RFC 3261 22.2): what we send a trunk inside a dialog is sent once more with the trunk's own
//! credentials. A second challenge is a refusal.

use super::{Bridge, Party};
use crate::facts::Caller;
use sip::{Message, digest, header::Name, random::Random};

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
}
