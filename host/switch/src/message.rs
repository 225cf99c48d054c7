//! A MESSAGE outside a call on its way to a phone (RFC 3428): forked to every binding of its recipient, the first success wins.
//!
//! Messages stay on the site: phones write to phones, and a trunk writes to the phone that owns the number. A policy decides about calls and registrations;
//! who may register here may write here.
//!
//! A value: answers go in through [`Courier::answered`] and [`Courier::failed`], and what the sender is to be told comes out, once.

use crate::{
    boundary::Passage,
    bridge::write,
    decision::{NextOn, Plan, Refusal, Stage, Target},
    directory::Trunk,
    facts::{Call, CallKind, Caller},
    plan::{self, Resolved},
    privacy::Hidden,
    site::Site,
};
use bytes::Bytes;
use sip::{
    Instant, Message,
    build::{Request, Response, Writer},
    dialog::Dialog,
    header::Name,
    message::Method,
    random::Random,
    transport::Flow,
};
use std::sync::Arc;

/// What the gateway has to say to a phone.
#[derive(Clone, Copy, Debug)]
pub struct Notice<'a> {
    /// Extension.
    pub to: &'a str,
    /// The number that it seems to come from: whom the reader may want to call.
    pub number: &'a str,
    /// The name of it.
    pub name: &'a str,
    /// What is said.
    pub text: &'a str,
}

/// One MESSAGE that waits for its answer.
#[derive(Debug)]
pub struct Courier {
    request: Message,
    /// Who wrote it, when that is a trunk.
    sender: Option<Arc<Trunk>>,
    /// Copies that have no final answer yet.
    open: usize,
    /// The best refusal so far.
    best: Option<Message>,
    told: bool,
}

impl Courier {
    /// Who is to get the message in `call` (read and identified as if its sender called), and the copy for each of the recipient's phones. `call_id` makes
    /// the Call-ID of each.
    ///
    /// # Errors
    /// 404 when nobody here has that number, 403 for a disabled recipient, 480 for one that is not registered, 405 for a service that takes calls only.
    pub fn new(
        call: &Call,
        site: &Site,
        random: &mut Random,
        call_id: impl Fn(&mut Random) -> String,
    ) -> Result<(Self, Vec<(Request, Flow)>), Refusal> {
        if call.kind != CallKind::Normal {
            return Err(Refusal::new(
                405,
                "Calls Only",
                format!("a written call for help to `{}`: the way out takes calls only", call.called),
            ));
        }
        let directory = site.directory();
        let Some(recipient) = directory.by_user(&call.called) else {
            return Err(Refusal::new(404, "Not Found", format!("nobody here has the number `{}` that a message is for", call.called)));
        };
        if !recipient.enabled {
            return Err(Refusal::new(403, "Forbidden", format!("a message for {}, which is disabled", recipient.id)));
        }
        let ring = Stage { targets: vec![Target::Endpoint(recipient.id.clone())], ring: None, next: NextOn::default() };
        let phones = plan::resolve(&Plan { stages: vec![ring] }, call, site)?;
        let copies = Self::copies(call, phones, site, random, call_id);
        let sender = match &call.caller {
            Caller::Trunk(name) => directory.trunk(name).cloned(),
            Caller::Endpoint(_) | Caller::Unknown => None,
        };
        Ok((Self { request: call.message.clone(), sender, open: copies.len(), best: None, told: false }, copies))
    }

    /// A message of the gateway's own to the phones of an extension, which shows this name and number. The answer that settles it is what a sender would be
    /// told.
    ///
    /// # Errors
    /// 404 when nobody has that extension, 480 when none of its phones is registered, 400 for a text that makes no message.
    pub fn own(
        notice: &Notice<'_>,
        site: &Site,
        now: Instant,
        random: &mut Random,
        call_id: impl Fn(&mut Random) -> String,
    ) -> Result<(Self, Vec<(Request, Flow)>), Refusal> {
        let Notice { to, number, name, text } = *notice;
        let directory = site.directory();
        let recipient = directory.by_extension(to);
        let recipient = recipient.ok_or_else(|| Refusal::new(404, "Not Found", format!("nobody has the extension `{to}`")))?;
        let flow = site.targets(&recipient.id, now).first().map(|binding| binding.flow);
        let flow = flow.ok_or_else(|| Refusal::new(480, "Not Registered", format!("no phone of extension {to} is registered")))?;
        let address = format!("sip:{}@{}", plan::escape_user(to), directory.domain);
        let mut from = write::name_addr(name, number, &directory.domain);
        from.extend_from_slice(format!(";tag={}", random.token().as_str()).as_bytes());
        let mut writer = Writer::request(Method::Message, b"", address.as_bytes());
        writer
            .header(Name::From, &from)
            .header(Name::To, format!("<{address}>").as_bytes())
            .header(Name::CallId, call_id(random).as_bytes());
        writer.header(Name::CSeq, b"1 MESSAGE").number(Name::MaxForwards, 70);
        writer.header(Name::ContentType, b"text/plain;charset=UTF-8");
        let request = writer.finish_request(text.as_bytes());
        let message = Message::parse(Bytes::copy_from_slice(request.bytes()), &sip::Limits::default())
            .map_err(|_| Refusal::new(400, "Bad Message", "the text makes no message"))?;
        let call = Call {
            message,
            at: now,
            flow,
            caller: Caller::Unknown,
            kind: CallKind::Normal,
            called: recipient.extension.clone(),
            caller_number: number.to_owned(),
            caller_name: name.to_owned(),
            location: None,
            attributes: Vec::new(),
        };
        let ring = Stage { targets: vec![Target::Endpoint(recipient.id.clone())], ring: None, next: NextOn::default() };
        let phones = plan::resolve(&Plan { stages: vec![ring] }, &call, site)?;
        let copies = Self::copies(&call, phones, site, random, call_id);
        Ok((Self { request: call.message, sender: None, open: copies.len(), best: None, told: false }, copies))
    }

    /// The copy for each phone.
    fn copies(
        call: &Call,
        phones: Resolved,
        site: &Site,
        random: &mut Random,
        call_id: impl Fn(&mut Random) -> String,
    ) -> Vec<(Request, Flow)> {
        let directory = site.directory();
        let hops = call.message.number(Name::MaxForwards).unwrap_or(70).saturating_sub(1);
        phones
            .stages
            .into_iter()
            .flat_map(|stage| stage.legs)
            .map(|leg| {
                let write::Shown { from, asserted } = write::caller_identity(call, &leg, &directory);
                let to = write::callee_identity(&leg, &directory.domain);
                let tag = random.token();
                let mut dialog = Dialog::as_client(&call_id(random), &from, tag.as_str(), &to, leg.uri.as_bytes(), leg.flow);
                dialog.route_set = leg.route.iter().map(|route| route.as_bytes().to_vec()).collect();
                let mut writer = dialog.request(Method::Message, b"MESSAGE", hops);
                if !asserted.is_empty() {
                    writer.header(Name::PAssertedIdentity, &asserted);
                }
                write::copy_call(&mut writer, call, Passage::of_call(call, &directory, None), Hidden::of(call), false);
                // RFC 3428 4: a MESSAGE has no Contact.
                (writer.finish_request(call.message.body()), leg.flow)
            })
            .collect()
    }

    /// One phone has answered; what the sender is told, when that settles it.
    pub fn answered(&mut self, response: &Message) -> Option<Response> {
        match response.status() {
            // Whoever relays a MESSAGE answers at once or not at all: nobody needs to know that it is on its way.
            100..200 => return None,
            200..300 => return self.tell(response),
            _ => {}
        }
        if self.best.as_ref().is_none_or(|best| rank(response) < rank(best)) {
            self.best = Some(response.clone());
        }
        self.settle()
    }

    /// One phone cannot be reached.
    pub fn failed(&mut self) -> Option<Response> {
        self.settle()
    }

    /// Whether nothing is awaited any more.
    #[must_use]
    pub const fn done(&self) -> bool {
        self.open == 0
    }

    fn settle(&mut self) -> Option<Response> {
        self.open = self.open.saturating_sub(1);
        if self.open > 0 || self.told {
            return None;
        }
        match self.best.take() {
            Some(best) => self.tell_of(&best),
            None => {
                self.told = true;
                Some(Writer::response(&self.request, 480, "Temporarily Unavailable", Some("unreached")).finish_response(b""))
            }
        }
    }

    fn tell(&mut self, response: &Message) -> Option<Response> {
        self.open = self.open.saturating_sub(1);
        self.tell_of(response)
    }

    fn tell_of(&mut self, response: &Message) -> Option<Response> {
        let passage = Passage::between(None, self.sender.as_ref().map(|trunk| &trunk.manners), false);
        (!std::mem::replace(&mut self.told, true)).then(|| write::relayed_refusal(&self.request, response, passage))
    }
}

/// RFC 3261 16.7 step 6: a 6xx before all others, then "the lowest response class".
fn rank(response: &Message) -> u16 {
    match response.status() {
        600.. => 0,
        status => status / 100,
    }
}
