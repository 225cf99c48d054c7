//! What a phone writes outside a call, and what it gets (RFC 3428).

use super::{Manner, Phone, Purpose};
use crate::node;
use gateway::calls::Transmit;
use sip::{Instant, Message, build::Writer, dialog::Dialog, header::Name, message::Method, stack::ServerId};

/// Messages of one phone.
#[derive(Debug, Default)]
pub(super) struct Letters {
    /// The one that it wrote last.
    draft: Option<(Dialog, &'static str)>,
    told: Vec<u16>,
    got: Vec<String>,
}

impl Phone {
    /// Writes to a number.
    pub fn write(&mut self, number: &str, text: &'static str, now: Instant, out: &mut Vec<Transmit>) {
        let local = format!("<sip:{}@{}>", self.extension, node::DOMAIN);
        let target = format!("sip:{number}@{}", node::DOMAIN);
        let (call_id, tag, flow) = (self.token(), self.token(), self.flow());
        let remote = format!("<{target}>");
        let dialog = Dialog::as_client(&call_id, local.as_bytes(), &tag, remote.as_bytes(), target.as_bytes(), flow);
        self.letters.draft = Some((dialog, text));
        self.send_message(None, now, out);
    }

    /// Final answers to what it wrote, challenges aside.
    #[must_use]
    pub fn told(&self) -> &[u16] {
        &self.letters.told
    }

    /// What others wrote: `From: text`.
    #[must_use]
    pub fn got(&self) -> &[String] {
        &self.letters.got
    }

    fn send_message(&mut self, challenge: Option<&Message>, now: Instant, out: &mut Vec<Transmit>) {
        let Some((mut dialog, text)) = self.letters.draft.take() else { return };
        let target = String::from_utf8_lossy(&dialog.remote_target).into_owned();
        let credentials = challenge.map(|challenge| self.credentials(challenge, "MESSAGE", &target));
        let mut writer = dialog.request(Method::Message, b"", 70);
        if let Some((name, value)) = credentials {
            writer.header(name, value.as_bytes());
        }
        writer.header(Name::ContentType, b"text/plain");
        let (request, flow) = (writer.finish_request(text.as_bytes()), self.flow());
        self.letters.draft = Some((dialog, text));
        self.request(request, Purpose::Message, flow, now, out);
    }

    pub(super) fn message_answered(&mut self, message: &Message, now: Instant, out: &mut Vec<Transmit>) {
        let first = self.letters.draft.as_ref().is_some_and(|(dialog, _)| dialog.local_cseq == 1);
        match message.status() {
            401 | 407 if first => self.send_message(Some(message), now, out),
            status @ 200.. => self.letters.told.push(status),
            _ => {}
        }
    }

    pub(super) fn written_to(&mut self, id: ServerId, message: &Message, now: Instant, out: &mut Vec<Transmit>) {
        let status = if let Manner::Refuses(status) = self.manner { status } else { 200 };
        if status == 200 {
            let from = message.header(Name::From).unwrap_or_default().split(|octet| *octet == b';').next().unwrap_or_default();
            self.letters.got.push(format!("{}: {}", String::from_utf8_lossy(from), String::from_utf8_lossy(message.body())));
        }
        self.respond(id, Writer::response(message, status, sip::build::reason_phrase(status), Some("letter")), b"", now, out);
    }
}
