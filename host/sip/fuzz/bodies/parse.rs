//! Any octets as a message, a frame, a URI, an address: nothing panics, and what passes the checks can be answered and relayed.

use bytes::{Bytes, BytesMut};
use sip::{
    Instant, Limits, Message,
    build::Writer,
    digest::{Authenticator, Ha1, Verdict},
    frame,
    header::{Name, NameAddr, Via, split_commas},
    uri::Uri,
};

/// How far a case came.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Reached {
    /// It is no message.
    Nothing,
    /// It is a message that is refused as malformed.
    Message,
    /// It is a message that is taken in.
    Taken,
}

/// One case.
pub fn run(data: &[u8]) -> Reached {
    let limits = Limits { headers: 64, ..Limits::default() };
    let (mut buffer, mut scanned) = (BytesMut::from(data), 0);
    while let Ok(Some(_)) = frame::next(&mut buffer, &mut scanned, &limits) {}
    pieces(data);
    let Ok(message) = Message::parse(Bytes::copy_from_slice(data), &limits) else { return Reached::Nothing };
    read_everything(&message);
    if message.check().is_err() {
        return Reached::Message;
    }
    can_be_answered(&message, &limits);
    can_be_relayed(&message, &limits);
    Reached::Taken
}

fn pieces(data: &[u8]) {
    if let Some(uri) = Uri::parse(data) {
        assert!(uri.same_resource(&uri), "{:?}", data.escape_ascii().to_string());
        let _parts = (uri.transport(), uri.address(), uri.user_decoded().len(), uri.param(b"lr"));
    }
    let _address =
        NameAddr::parse(data).map(|address| (address.tag(), address.param(b"q"), address.uri().map(|uri| uri.user_decoded().len())));
    let _via = Via::parse(data).map(|via| (via.branch(), via.param(b"rport")));
}

fn read_everything(message: &Message) {
    for header in message.headers() {
        assert!(header.line.starts_with(header.raw_name));
        for value in split_commas(header.value) {
            pieces(value);
        }
    }
    assert!(message.uri().is_none_or(|uri| uri.same_resource(&uri)), "{:?}", message.request_uri().escape_ascii().to_string());
    let _views = (
        message.via().map(|via| via.branch()),
        message.cseq(),
        message.contact().map(|contact| contact.uri()),
        message.number(Name::Expires),
    );
    let authenticator = Authenticator::new("sip.example", [0; 32], 60, 16);
    assert_ne!(authenticator.verify(message, Some(&Ha1::default()), Instant::default()), Verdict::Accepted);
    let _claimed = authenticator.claimed_username(message);
}

fn can_be_answered(message: &Message, limits: &Limits) {
    let answer = Writer::response(message, 486, "", Some("tag")).finish_response(b"");
    let context = || message.bytes().escape_ascii().to_string();
    let answer = Message::parse(Bytes::copy_from_slice(answer.bytes()), limits).unwrap_or_else(|error| panic!("{error}: {}", context()));
    if let Err(malformed) = answer.check() {
        panic!("{malformed:?}: {}", context());
    }
    assert_eq!((answer.status(), answer.call_id(), answer.cseq()), (486, message.call_id(), message.cseq()), "{}", context());
    assert_eq!(answer.values(Name::Via).collect::<Vec<_>>(), message.values(Name::Via).collect::<Vec<_>>(), "{}", context());
    assert!(answer.to().unwrap().tag().is_some(), "{}", context());
}

fn can_be_relayed(message: &Message, limits: &Limits) {
    let uri = if message.is_request() { message.request_uri() } else { b"sip:relay" };
    let mut writer = Writer::request(message.method(), message.method_token(), uri);
    for header in message.headers().filter(|header| header.name != Name::ContentLength) {
        writer.copy(header);
    }
    let written = writer.finish_request(message.body());
    let context = || message.bytes().escape_ascii().to_string();
    let relayed = Message::parse(Bytes::copy_from_slice(written.bytes()), limits).unwrap_or_else(|error| panic!("{error}: {}", context()));
    assert_eq!(relayed.check(), Ok(()), "{}", context());
    let lines = |message: &Message| -> Vec<Vec<u8>> {
        message.headers().filter(|header| header.name != Name::ContentLength).map(|header| header.line.to_vec()).collect()
    };
    assert_eq!(lines(&relayed), lines(message), "{}", context());
    assert_eq!(relayed.body(), message.body(), "{}", context());
}
