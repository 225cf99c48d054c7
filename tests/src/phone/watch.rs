//! What a phone watches (RFC 6665): its subscriptions, and what it was told.

#![allow(clippy::indexing_slicing, reason = "a harness that is broken stops its test at once")]

use super::{Phone, Purpose};
use crate::node;
use gateway::calls::Transmit;
use sip::{Instant, Message, build::Writer, dialog::Dialog, header::Name, message::Method, stack::ServerId};

/// One subscription of a phone.
#[derive(Debug)]
pub struct Watch {
    dialog: Dialog,
    event: &'static str,
    accept: &'static str,
    expires: u32,
    answers: Vec<(u16, Option<u32>)>,
    told: Vec<Told>,
    /// With which status NOTIFYs are answered; 0: not at all.
    manner: u16,
}

/// One NOTIFY.
#[derive(Clone, Debug)]
pub struct Told {
    /// When it came.
    pub at: Instant,
    /// Value of Subscription-State.
    pub state: String,
    /// Value of Event.
    pub event: String,
    /// Its body.
    pub body: String,
}

impl Told {
    /// The value of an attribute of the dialog information that comes behind `after`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn attribute(&self, name: &str) -> String {
        let begin = format!(" {name}=\"");
        let at = self.body.find(&begin).unwrap_or_else(|| panic!("no {name} in {}", self.body)) + begin.len();
        self.body[at..].split('"').next().unwrap_or_default().to_owned()
    }

    /// The states of the dialogs in it.
    #[must_use]
    pub fn states(&self) -> Vec<&str> {
        self.body.split("<state>").skip(1).map(|rest| rest.split('<').next().unwrap_or_default()).collect()
    }

    /// What a phone writes into Replaces to take the call of the first dialog that is shown.
    #[must_use]
    pub fn replaces(&self) -> String {
        let [call_id, to, from] = ["call-id", "local-tag", "remote-tag"].map(|name| self.attribute(name));
        format!("{call_id};to-tag={to};from-tag={from}")
    }
}

impl Watch {
    /// Final answers to the SUBSCRIBEs, challenges aside, with Expires (or Min-Expires).
    #[must_use]
    pub fn answers(&self) -> &[(u16, Option<u32>)] {
        &self.answers
    }

    /// What it was told, in order.
    #[must_use]
    pub fn told(&self) -> &[Told] {
        &self.told
    }

    /// The last NOTIFY.
    ///
    /// # Panics
    /// When there was none.
    #[must_use]
    pub fn last(&self) -> &Told {
        self.told.last().expect("a NOTIFY")
    }

    /// From now on NOTIFYs are answered with this status.
    pub fn manner(&mut self, status: u16) {
        self.manner = status;
    }
}

impl Phone {
    /// Subscribes to `event` of a number for so many seconds; the subscription's place is returned.
    pub fn watch(&mut self, number: &str, event: &'static str, expires: u32, now: Instant, out: &mut Vec<Transmit>) -> usize {
        self.watch_accepting(number, event, "", expires, now, out)
    }

    /// The same, with an Accept header.
    pub fn watch_accepting(
        &mut self,
        number: &str,
        event: &'static str,
        accept: &'static str,
        expires: u32,
        now: Instant,
        out: &mut Vec<Transmit>,
    ) -> usize {
        let local = format!("<sip:{}@{}>", self.extension, node::DOMAIN);
        let target = format!("sip:{number}@{}", node::DOMAIN);
        let (call_id, tag, flow) = (self.token(), self.token(), self.flow());
        let remote = format!("<{target}>");
        let dialog = Dialog::as_client(&call_id, local.as_bytes(), &tag, remote.as_bytes(), target.as_bytes(), flow);
        self.watches.push(Watch { dialog, event, accept, expires, answers: Vec::new(), told: Vec::new(), manner: 200 });
        let place = self.watches.len() - 1;
        self.send_subscribe(place, None, now, out);
        place
    }

    /// Subscribes again in the same dialog; 0 seconds end it.
    pub fn watch_again(&mut self, place: usize, expires: u32, now: Instant, out: &mut Vec<Transmit>) {
        self.watches[place].expires = expires;
        self.send_subscribe(place, None, now, out);
    }

    /// Its subscriptions.
    pub fn watches(&mut self) -> &mut [Watch] {
        &mut self.watches
    }

    fn send_subscribe(&mut self, place: usize, challenge: Option<&Message>, now: Instant, out: &mut Vec<Transmit>) {
        let (flow, contact) = (self.flow(), self.contact());
        let target = String::from_utf8_lossy(&self.watches[place].dialog.remote_target).into_owned();
        let credentials = challenge.map(|challenge| self.credentials(challenge, "SUBSCRIBE", &target));
        let watch = &mut self.watches[place];
        let mut writer = watch.dialog.request(Method::Subscribe, b"", 70);
        writer.header(Name::Contact, contact.as_bytes()).header(Name::Event, watch.event.as_bytes()).number(Name::Expires, watch.expires);
        if !watch.accept.is_empty() {
            writer.header(Name::Accept, watch.accept.as_bytes());
        }
        if let Some((name, value)) = &credentials {
            writer.header(*name, value.as_bytes());
        }
        self.request(writer.finish_request(b""), Purpose::Subscribe(place, credentials.is_some()), flow, now, out);
    }

    pub(super) fn subscribe_answered(&mut self, place: usize, proved: bool, message: &Message, now: Instant, out: &mut Vec<Transmit>) {
        match message.status() {
            401 | 407 if !proved => self.send_subscribe(place, Some(message), now, out),
            status @ 200.. => {
                let watch = &mut self.watches[place];
                watch.dialog.learn(message);
                watch.answers.push((status, message.number(Name::Expires).or_else(|| message.number(Name::MinExpires))));
            }
            _ => {}
        }
    }

    /// Takes a NOTIFY of one of the subscriptions; `false` when it is none.
    pub(super) fn told_by_notify(&mut self, id: ServerId, message: &Message, now: Instant, out: &mut Vec<Transmit>) -> bool {
        let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
        let mine = |watch: &Watch| watch.dialog.call_id == message.call_id() && watch.dialog.local_tag == tag;
        let Some(watch) = self.watches.iter_mut().find(|watch| message.method() == Method::Notify && mine(watch)) else { return false };
        let status = if watch.dialog.in_order(message) { watch.manner } else { 500 };
        let text = |name| String::from_utf8_lossy(message.header(name).unwrap_or_default()).into_owned();
        let (state, event, body) = (text(Name::SubscriptionState), text(Name::Event), String::from_utf8_lossy(message.body()).into_owned());
        watch.told.push(Told { at: now, state, event, body });
        if status != 0 {
            self.respond(id, Writer::response(message, status, sip::build::reason_phrase(status), None), b"", now, out);
        }
        true
    }
}

impl Phone {
    /// Tells, outside any dialog, what waits in a mailbox (RFC 3842).
    pub fn tell_of_mail(&mut self, number: &str, summary: &str, now: Instant, out: &mut Vec<Transmit>) {
        let local = format!("<sip:mail@{}>", self.address);
        let target = format!("sip:{number}@{}", node::DOMAIN);
        let (call_id, tag, flow) = (self.token(), self.token(), self.flow());
        let remote = format!("<{target}>");
        let mut dialog = Dialog::as_client(&call_id, local.as_bytes(), &tag, remote.as_bytes(), target.as_bytes(), flow);
        let mut writer = dialog.request(Method::Notify, b"", 70);
        writer
            .header(Name::Event, b"message-summary")
            .header(Name::SubscriptionState, b"active")
            .header(Name::ContentType, b"application/simple-message-summary");
        self.request(writer.finish_request(summary.as_bytes()), Purpose::Message, flow, now, out);
    }
}
