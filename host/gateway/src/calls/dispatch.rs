//! What a request is for: inside a dialog to its call, else to the script of its method. Nothing is ever left without an answer.

use super::{
    message, register,
    setup::{self, No, Replies},
    shard::Shard,
    subscribe,
};
use crate::net::urgent::calls_for_help;
use sip::{Instant, Message, build::Writer, header::Name, message::Method, stack::Effect, transport::Flow, uri::Scheme};
use switch::{decision::Refusal, extension, subscription::Package};

/// What we understand, for OPTIONS and refusals.
pub(super) const ALLOW: &[u8] = b"INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, REFER, INFO, UPDATE, PRACK, MESSAGE";

pub(super) fn request(shard: &mut Shard, replies: &mut Replies, message: &Message, flow: Flow, now: Instant, more: &mut Vec<Effect>) {
    let in_dialog = message.to().is_some_and(|to| to.tag().is_some());
    if in_dialog && shard.in_dialog(replies.id, message, flow, now, more) {
        return;
    }
    // A call for help is one whatever its To says, only not one of which we know. It gets answers with a tag of ours, where RFC 3261 8.2.6.2 would have us keep
    // that of the request, and 12.2.2 refuse it.
    if in_dialog
        && calls_for_help(message.bytes(), &shard.parts.site.directory())
        && let Some(outside) = message.outside_dialog()
    {
        return setup::setup(shard, replies, &outside, flow, now, more);
    }
    let outcome = match message.method() {
        Method::Options => options(shard, replies, message),
        Method::Subscribe => subscribe::subscribe(shard, replies, message, flow, now, more),
        Method::Notify if !in_dialog => {
            subscribe::mail(shard, replies, message, flow, now);
            Ok(())
        }
        // RFC 3261 12.2.2: no dialog, no request inside it.
        Method::Invite | Method::Register | Method::Other | Method::Message if !in_dialog => match message.method() {
            Method::Invite => {
                setup::setup(shard, replies, message, flow, now, more);
                Ok(())
            }
            Method::Register => {
                register::register(shard, replies, message, flow, now);
                Ok(())
            }
            Method::Message => {
                message::message(shard, replies, message, flow, now, more);
                Ok(())
            }
            // RFC 3261 21.5.2: an unknown method is 501.
            _ => Err(Refusal::new(501, "Not Implemented", "an unknown method outside a call").into()),
        },
        // RFC 3261 8.2.1: a method that is known, but not here, is 405. A REFER outside a call would have us call for a phone that can dial itself, or make
        // another phone call: whoever may do that does it through the door in the data folder.
        Method::Refer | Method::Publish if !in_dialog => Err(Refusal::new(405, "Method Not Allowed", "outside a call").into()),
        _ => Err(Refusal::new(481, "Call/Transaction Does Not Exist", "no call has this dialog").into()),
    };
    if let Err(no) = outcome {
        setup::refuse(shard, replies, message, no, now);
    }
}

/// RFC 3261 11.2. Anybody is answered at once: phones find out by OPTIONS whether we are alive.
fn options(shard: &mut Shard, replies: &mut Replies, message: &Message) -> Result<(), No> {
    // RFC 3261 8.2.2.1: "If the Request-URI uses a scheme not supported by the UAS, it SHOULD reject the request with a 416".
    if message.uri().is_none_or(|uri| uri.scheme == Scheme::Other) {
        return Err(Refusal::new(416, "Unsupported URI Scheme", "OPTIONS for a scheme that is not spoken here").into());
    }
    let tag = shard.random.token();
    // RFC 3261 8.2.2.3.
    if let Some(unknown) = extension::unsupported(message, true) {
        return Err(No::Extensions(unknown));
    }
    let mut writer = Writer::response(message, 200, "OK", Some(tag.as_str()));
    writer
        .header(Name::Allow, ALLOW)
        .header(Name::Accept, b"application/sdp, application/simple-message-summary")
        .header(Name::AllowEvents, Package::NAMES)
        .header(Name::Supported, extension::SUPPORTED.as_bytes());
    replies.add(writer.finish_response(b""));
    Ok(())
}
