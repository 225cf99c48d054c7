//! What a phone knows of one call.

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
    pub(super) const fn outgoing(dialog: Dialog) -> Self {
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
