//! What a request is for: inside a dialog to its call, else to the script of its method. Nothing is ever left without an answer.

use super::{
    message, register,
    setup::{self, No, Replies},
    shard::Shard,
};
use sip::{Instant, Message, build::Writer, dialog::Dialog, header::Name, message::Method, stack::Effect, transport::Flow, uri::Scheme};
use switch::{
    decision::Refusal,
    intake::{self, Identity},
};

/// What we understand, for OPTIONS and refusals.
pub(super) const ALLOW: &[u8] = b"INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, REFER, INFO, UPDATE, PRACK, MESSAGE";
/// Extensions that need something from us rather than from the other phone. Those of the phones pass through.
const SUPPORTED: &[u8] = b"path, outbound, replaces, timer, 100rel";

pub(super) fn request(shard: &mut Shard, replies: &mut Replies, message: &Message, flow: Flow, now: Instant, more: &mut Vec<Effect>) {
    let in_dialog = message.to().is_some_and(|to| to.tag().is_some());
    if in_dialog && shard.in_dialog(replies.id, message, flow, now, more) {
        return;
    }
    let outcome = match message.method() {
        Method::Options => options(shard, replies, message),
        Method::Subscribe => subscribe(shard, replies, message, flow, now, more),
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
        // RFC 3261 8.2.1: a method that is known, but not here, is 405.
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
    let unsupported: Vec<&[u8]> = [Name::Require, Name::ProxyRequire]
        .into_iter()
        .flat_map(|name| message.values(name))
        .filter(|option| !SUPPORTED.split(|byte| *byte == b',').any(|known| known.trim_ascii().eq_ignore_ascii_case(option)))
        .collect();
    if !unsupported.is_empty() {
        // RFC 3261 8.2.2.3.
        let mut writer = Writer::response(message, 420, "Bad Extension", Some(tag.as_str()));
        writer.header(Name::Unsupported, &unsupported.join(&b", "[..]));
        replies.add(writer.finish_response(b""));
        return Ok(());
    }
    let mut writer = Writer::response(message, 200, "OK", Some(tag.as_str()));
    writer
        .header(Name::Allow, ALLOW)
        .header(Name::Accept, b"application/sdp, application/simple-message-summary")
        .header(Name::Supported, SUPPORTED);
    replies.add(writer.finish_response(b""));
    Ok(())
}

/// RFC 6665. `message-summary` is accepted and told at once that no message waits (RFC 3842); every other package is refused by name.
fn subscribe(
    shard: &mut Shard,
    replies: &mut Replies,
    message: &Message,
    flow: Flow,
    now: Instant,
    more: &mut Vec<Effect>,
) -> Result<(), No> {
    let event = message.header(Name::Event).unwrap_or_default();
    let package = event.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let tag = shard.random.token();
    if !package.eq_ignore_ascii_case(b"message-summary") {
        // RFC 6665 4.2.1.1: 489 names what there is.
        let mut writer = Writer::response(message, 489, "Bad Event", Some(tag.as_str()));
        writer.header(Name::AllowEvents, b"message-summary");
        replies.add(writer.finish_response(b""));
        return Ok(());
    }
    let directory = shard.parts.site.directory();
    match intake::authenticate(message, flow, &directory, &shard.parts.authenticator, now) {
        Identity::Endpoint(_) => {}
        Identity::Challenge { stale } => return Err(No::Challenge { stale }),
        Identity::Refused(refusal) => return Err(refusal.into()),
        Identity::Trunk(name) => return Err(Refusal::new(403, "Forbidden", format!("trunk {name} may not subscribe")).into()),
    }
    let expires = message.number(Name::Expires).unwrap_or(3600).min(3600);
    // A refresh keeps its dialog: our tag is the To tag that the phone already has.
    let known = message.to().and_then(|to| to.tag()).map(|tag| String::from_utf8_lossy(tag).into_owned());
    let local_tag = known.unwrap_or_else(|| tag.as_str().to_owned());
    let Some(mut dialog) = Dialog::as_server(message, &local_tag, flow) else {
        return Err(Refusal::new(400, "Missing Contact", "the SUBSCRIBE has no Contact to notify").into());
    };
    let mut writer = Writer::response(message, 200, "OK", Some(&local_tag));
    writer.number(Name::Expires, expires);
    switch::bridge::contact(&mut writer, flow);
    replies.add(writer.finish_response(b""));
    for response in replies.take() {
        shard.stack.respond(replies.id, response, now, more);
    }
    // Nothing is kept of a subscription that never has news: the clock numbers its NOTIFYs in rising order.
    dialog.local_cseq = u32::try_from(now.unix_seconds() & 0x3fff_ffff).unwrap_or(1);
    let mut notify = dialog.request(Method::Notify, b"NOTIFY", 70);
    switch::bridge::contact(&mut notify, flow);
    notify.header(Name::Event, event);
    let state = if expires == 0 { "terminated;reason=timeout".to_owned() } else { format!("active;expires={expires}") };
    notify.header(Name::SubscriptionState, state.as_bytes()).header(Name::ContentType, b"application/simple-message-summary");
    let notify = notify.finish_request(b"Messages-Waiting: no\r\n");
    shard.stack.request(notify, flow, now, more);
    Ok(())
}
