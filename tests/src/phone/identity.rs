//! What a phone says of itself: its Contact, its instance-id, and the GRUU that it was given for it (RFC 5627).

use super::Phone;
use sip::{Message, build::Writer, header::Name, transport::Transport};

/// Which phone it is.
#[derive(Debug, Default)]
pub(super) struct Instance {
    id: Option<String>,
    /// It uses a GRUU when it is given one.
    routable: bool,
    gruu: Option<String>,
}

impl Phone {
    /// With this instance-id; it asks for a GRUU, and uses it as its Contact once it has one.
    #[must_use]
    pub fn instance(mut self, id: &str) -> Self {
        self.names_itself(id.into());
        self.instance.routable = true;
        self
    }

    /// It has this instance-id from now on, and asks for nothing (RFC 5626 4.1).
    pub fn names_itself(&mut self, id: String) {
        self.instance.id = Some(id);
    }

    /// The GRUU that it was given.
    #[must_use]
    pub fn gruu(&self) -> Option<&str> {
        self.instance.gruu.as_deref()
    }

    /// It has this GRUU, from whomever.
    pub fn calls_itself(&mut self, gruu: &str) {
        self.instance.gruu = Some(gruu.into());
    }

    pub(super) fn contact(&self) -> String {
        match &self.instance.gruu {
            Some(gruu) => format!("<{gruu}>"),
            None => self.own_contact(),
        }
    }

    fn own_contact(&self) -> String {
        match self.transport {
            Transport::Udp => format!("<sip:{}@{}>", self.contact_user, self.address),
            Transport::Tcp | Transport::Tls => {
                format!("<sip:{}@{};transport={}>", self.contact_user, self.address, self.transport.uri_token())
            }
        }
    }

    pub(super) fn write_binding(&self, writer: &mut Writer) {
        let mut contact = self.own_contact();
        if let Some(id) = &self.instance.id {
            contact.push_str(&format!(";+sip.instance=\"<{id}>\""));
        }
        writer.header(Name::Contact, contact.as_bytes());
        if self.instance.routable {
            writer.header(Name::Supported, b"path, gruu");
        }
    }

    pub(super) fn bound(&mut self, response: &Message) {
        self.registered = (200..300).contains(&response.status());
        let text = String::from_utf8_lossy(response.bytes()).into_owned();
        let own = text.lines().find(|line| line.starts_with("Contact:") && line.contains(&self.address.to_string()));
        self.instance.gruu = own.and_then(|line| Some(line.split_once("pub-gruu=\"")?.1.split_once('"')?.0.to_owned()));
    }
}
