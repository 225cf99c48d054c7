//! Which registrations must be there: those that were answered 200, until their time is over.

use sip::{Instant, Message, header::Name, message::Method, uri::Uri};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

/// A user and the Contact URI of one of its phones.
pub(super) type Binding = (Vec<u8>, Vec<u8>);

/// A user, and what tells its phones apart: instance-id or, without one, Contact.
type Phone = (Vec<u8>, Vec<u8>);

struct Asked {
    phone: Phone,
    contact: Vec<u8>,
    /// `None`: it wants to be bound no more.
    until: Option<Instant>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Bound {
    /// By branch.
    asked: HashMap<Vec<u8>, Asked>,
    /// Every branch that has come: what comes again says nothing new.
    came: BTreeSet<Vec<u8>>,
    granted: BTreeMap<Phone, (Vec<u8>, Instant)>,
}

impl Bound {
    /// A REGISTER has come to the gateway: until it is answered, this phone may be bound or not.
    pub(super) fn asked(&mut self, message: &Message, branch: Vec<u8>, now: Instant) {
        if message.method() != Method::Register || message.check().is_err() || !self.came.insert(branch.clone()) {
            return;
        }
        let user = message.to().and_then(|to| Some(Uri::parse(to.uri)?.user.to_vec()));
        let (Some(user), Some(contact)) = (user, message.contact()) else { return };
        let text = String::from_utf8_lossy(message.header(Name::Contact).unwrap_or_default()).into_owned();
        let instance = text.split_once("+sip.instance=").map(|(_, rest)| rest.as_bytes().to_vec());
        let phone = (user, instance.unwrap_or_else(|| contact.uri.to_vec()));
        // What it asked before is over, even if its answer, which waits for the disk, comes later.
        self.granted.remove(&phone);
        self.asked.retain(|_, asked| asked.phone != phone);
        // A connection that is lost takes its binding along.
        if !text.contains("transport=") {
            let seconds = message.number(Name::Expires).filter(|seconds| *seconds > 0);
            let until = seconds.map(|seconds| now + Duration::from_secs(u64::from(seconds)));
            let asked = Asked { phone, contact: contact.uri.to_vec(), until };
            self.asked.insert(branch, asked);
        }
    }

    /// The gateway has answered a REGISTER.
    pub(super) fn answered(&mut self, message: &Message, branch: &[u8]) {
        if message.method() == Method::Register
            && let Some(Asked { phone, contact, until: Some(until) }) = self.asked.remove(branch)
            && message.status() == 200
        {
            self.granted.insert(phone, (contact, until));
        }
    }

    /// Somebody has put a malformed REGISTER on the wire, who knows whose.
    pub(super) fn disturbed(&mut self) {
        self.asked.clear();
        self.granted.clear();
    }

    /// A phone that must be bound and is not.
    pub(super) fn missing(&mut self, bound: &BTreeSet<Binding>, now: Instant) -> Option<Binding> {
        self.granted.retain(|_, (_, until)| *until > now);
        let bindings = self.granted.iter().map(|((user, _), (contact, _))| (user.clone(), contact.clone()));
        bindings.into_iter().find(|binding| !bound.contains(binding))
    }
}
