//! What a phone knows of one call.

use super::{habits::Session, inside::Again};
use sip::{
    Instant, Message,
    build::Response,
    dialog::Dialog,
    header::Name,
    message::Method,
    stack::{ClientId, ServerId},
};
use std::time::Duration;

/// How a call ended for one phone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// This phone sent the BYE.
    WeHungUp,
    /// The other side did.
    TheyHungUp,
    /// Refused with this status, by the other side or by this phone.
    Refused(u16),
    /// Given up by the caller before it was answered.
    Cancelled,
    /// Nobody said anything.
    Unanswered,
}

/// One call of one phone.
#[derive(Debug)]
pub struct Call {
    pub(super) dialog: Dialog,
    /// Our INVITE, while it is not answered.
    pub(super) invite: Option<ClientId>,
    /// The INVITE that makes this phone ring.
    pub(super) ringing: Option<(ServerId, Message)>,
    /// CSeq of our first INVITE, as it was last sent.
    pub(super) cseq: u32,
    pub(super) answers: Vec<Answered>,
    pub(super) up: bool,
    pub(super) cancelled: bool,
    pub(super) bye_sent: bool,
    pub(super) end: Option<End>,
    pub(super) progress: Vec<u16>,
    pub(super) heard: Vec<String>,
    pub(super) said: Vec<(Method, u16)>,
    pub(super) acknowledged: u32,
    pub(super) answers_in_ack: u32,
    pub(super) notified: Vec<String>,
    /// The INVITE that made this phone ring.
    pub(super) invited: Option<Message>,
    /// Our re-INVITE that is not answered, and one that will be sent again.
    pub(super) reinvite: Option<(ClientId, Again)>,
    pub(super) again: Option<Again>,
    /// A re-INVITE that this phone thinks about.
    pub(super) asked: Option<(ServerId, Message)>,
    pub(super) session: Session,
    /// How often this phone was asked to prove itself.
    pub(super) challenges: u32,
    /// Reliable responses that it has acknowledged: tag and RSeq.
    pub(super) pracked: Vec<(Vec<u8>, u32)>,
    pub(super) received: Vec<Message>,
    /// Request-URI of the last request of the other side inside the call.
    pub(super) asked_at: String,
    /// The BYE of the other side.
    pub(super) farewell: Option<Message>,
}

/// A 2xx that is sent until its ACK comes.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) cseq: u32,
    pub(super) id: ServerId,
    pub(super) response: Response,
    pub(super) interval: Duration,
    pub(super) until: Instant,
}

impl Call {
    pub(super) fn outgoing(dialog: Dialog) -> Self {
        Self {
            dialog,
            invite: None,
            ringing: None,
            cseq: 0,
            answers: Vec::new(),
            up: false,
            cancelled: false,
            bye_sent: false,
            end: None,
            progress: Vec::new(),
            heard: Vec::new(),
            said: Vec::new(),
            acknowledged: 0,
            answers_in_ack: 0,
            notified: Vec::new(),
            invited: None,
            reinvite: None,
            again: None,
            asked: None,
            session: Session::default(),
            challenges: 0,
            pracked: Vec::new(),
            received: Vec::new(),
            asked_at: String::new(),
            farewell: None,
        }
    }

    pub(super) fn incoming(dialog: Dialog, id: ServerId, message: Message) -> Self {
        Self { invited: Some(message.clone()), ringing: Some((id, message)), ..Self::outgoing(dialog) }
    }

    /// Whether a request belongs to this call: Call-ID and our tag.
    pub(super) fn owns(&self, message: &Message) -> bool {
        let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
        message.call_id() == self.dialog.call_id && tag == self.dialog.local_tag
    }

    pub(super) fn tag(&self) -> String {
        String::from_utf8_lossy(&self.dialog.local_tag).into_owned()
    }

    /// Its Call-ID.
    #[must_use]
    pub fn call_id(&self) -> &[u8] {
        &self.dialog.call_id
    }

    /// What names this call in Replaces for whoever shall take this phone's place (RFC 3891): the other side's tag is `to-tag`.
    #[must_use]
    pub fn replaces_plain(&self) -> String {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
        format!("{};to-tag={};from-tag={}", text(&self.dialog.call_id), text(&self.dialog.remote_tag), text(&self.dialog.local_tag))
    }

    /// The same as it stands in a URI.
    #[must_use]
    pub fn replaces(&self) -> String {
        self.replaces_plain().replace(';', "%3B").replace('=', "%3D")
    }

    /// The other side hangs up.
    pub(super) fn hears_end(&mut self, bye: &Message) {
        self.end = Some(End::TheyHungUp);
        self.farewell = Some(bye.clone());
    }

    /// Where the last request of the other side was sent.
    #[must_use]
    pub fn asked_at(&self) -> &str {
        &self.asked_at
    }

    /// Why the other side has hung up, where it said so (RFC 3326).
    #[must_use]
    pub fn reason(&self) -> String {
        let reason = self.farewell.as_ref().and_then(|bye| bye.header(Name::Reason));
        String::from_utf8_lossy(reason.unwrap_or_default()).into_owned()
    }

    /// Whether this phone believes that the two are talking.
    #[must_use]
    pub const fn up(&self) -> bool {
        self.up
    }

    /// How it ended; `None` while it lives.
    #[must_use]
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    /// Provisional answers that the caller saw, 100 left out.
    #[must_use]
    pub fn progress(&self) -> &[u16] {
        &self.progress
    }

    /// Requests that the other side sent inside the call, ACK and BYE left out.
    #[must_use]
    pub fn heard(&self) -> &[String] {
        &self.heard
    }

    /// Final answers to requests that this phone sent inside the call, BYE left out.
    #[must_use]
    pub fn said(&self) -> &[(Method, u16)] {
        &self.said
    }

    /// The values of a header of the INVITE that made this phone ring.
    #[must_use]
    pub fn invited(&self, name: Name) -> Vec<String> {
        let invite = self.invited.iter();
        invite.flat_map(|invite| invite.values(name)).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The INVITE that made this phone ring, and every message that it has got in this call since, in order.
    pub fn received(&self) -> impl Iterator<Item = &Message> {
        self.invited.iter().chain(&self.received)
    }

    /// What the last request of this method, or (`INVITE 200`) the last response of this status, had in a header of that name; empty without it.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn last(&self, what: &str, name: &str) -> String {
        let (method, status) = what.split_once(' ').unwrap_or((what, "0"));
        let is = |message: &&Message| message.method_token() == method.as_bytes() && message.status().to_string() == status;
        let found = self.received().filter(is).last();
        let message = found.unwrap_or_else(|| panic!("no {what}"));
        String::from_utf8_lossy(message.header_named(name.as_bytes()).unwrap_or_default()).into_owned()
    }

    /// The session descriptions (or other bodies) that came, `method` by `method` and answer by answer; of messages without a body nothing.
    #[must_use]
    pub fn bodies(&self) -> Vec<String> {
        let with = self.received().filter(|message| !message.body().is_empty());
        with.map(|message| String::from_utf8_lossy(message.body()).trim_end().replace("\r\n", " ")).collect()
    }

    /// What NOTIFYs said about a transfer that this phone asked for: status line and state of the subscription.
    #[must_use]
    pub fn notified(&self) -> &[String] {
        &self.notified
    }

    /// How many ACKs brought the answer to an offer of this phone.
    #[must_use]
    pub const fn answers_in_ack(&self) -> u32 {
        self.answers_in_ack
    }

    /// How many ACKs came for the answers that this phone gave.
    #[must_use]
    pub const fn acknowledged(&self) -> u32 {
        self.acknowledged
    }
}
