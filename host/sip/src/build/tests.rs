use super::*;
use crate::Limits;
use expect_test::expect;

fn parse(text: &str) -> Message {
    Message::parse(text.to_owned().into(), &Limits::default()).unwrap()
}

fn text(octets: &[u8]) -> String {
    core::str::from_utf8(octets).unwrap().replace('\r', "")
}

const OPTIONS: &str = "OPTIONS sip:gw SIP/2.0\r\nv: SIP/2.0/UDP a;branch=z9hG4bK1,\r\n SIP/2.0/TCP b\r\nSubject: x\r\nVIA:SIP/2.0/UDP c\r\n\
                       t : <sip:gw>\r\n ;x=1\r\nf: <sip:a@b>;tag=1\r\nCSeq: 1\r\n OPTIONS\r\nCall-ID: 1@a\r\n\r\n";

#[test]
fn a_request_is_written_in_the_order_of_the_calls() {
    let mut writer = Writer::request(Method::Invite, b"", b"sip:1002@192.0.2.2");
    writer.header(Name::From, b"<sip:a@b>;tag=1").number(Name::MaxForwards, 0).header_named(b"X-Call", b" 7 ");
    writer.header_with(Name::CSeq, |bytes| bytes.extend_from_slice(b"4294967295 INVITE")).number(Name::Expires, u32::MAX);
    let request = writer.finish_request(b"body");
    assert_eq!(request.method(), Method::Invite);
    assert_eq!(&request.bytes()[..request.via_at], b"INVITE sip:1002@192.0.2.2 SIP/2.0\r\n");
    expect![[r#"
        INVITE sip:1002@192.0.2.2 SIP/2.0
        From: <sip:a@b>;tag=1
        Max-Forwards: 0
        X-Call: 7
        CSeq: 4294967295 INVITE
        Expires: 4294967295
        Content-Length: 4

        body"#]]
    .assert_eq(&text(request.bytes()));
}

#[test]
fn a_response_repeats_what_rfc_3261_8_2_6_2_lists_as_received() {
    let response = Writer::response(&parse(OPTIONS), 200, "", Some("gw-1")).finish_response(b"");
    assert_eq!(response.status(), 200);
    expect![[r#"
        SIP/2.0 200 OK
        v: SIP/2.0/UDP a;branch=z9hG4bK1,
         SIP/2.0/TCP b
        VIA:SIP/2.0/UDP c
        f: <sip:a@b>;tag=1
        t : <sip:gw>
         ;x=1;tag=gw-1
        Call-ID: 1@a
        CSeq: 1
         OPTIONS
        Content-Length: 0

    "#]]
    .assert_eq(&text(response.bytes()));
}

#[test]
fn a_tag_is_added_once_and_never_to_100() {
    let tag_of = |request: &str, status| {
        let response = Writer::response(&parse(request), status, "x", Some("ours")).finish_response(b"");
        let message = Message::parse(response.bytes.into(), &Limits::default()).unwrap();
        message.to().and_then(|to| to.tag().map(<[u8]>::to_vec))
    };
    assert_eq!(tag_of(OPTIONS, 100), None);
    assert_eq!(tag_of(OPTIONS, 101), Some(b"ours".to_vec()));
    let tagged = OPTIONS.replace(";x=1", ";TAG=theirs");
    assert_eq!(tag_of(&tagged, 200), Some(b"theirs".to_vec()));
    let addr_spec = OPTIONS.replace("<sip:gw>", "sip:gw");
    assert_eq!(tag_of(&addr_spec, 486), Some(b"ours".to_vec()));
}

#[test]
fn a_response_to_a_request_without_mandatory_headers_holds_what_there_is() {
    let response =
        Writer::response(&parse("INVITE sip:a SIP/2.0\r\nTo: \"open\r\n\r\n"), 400, "Missing Via", Some("t")).finish_response(b"");
    assert_eq!(text(response.bytes()), "SIP/2.0 400 Missing Via\nTo: \"open;tag=t\nContent-Length: 0\n\n");
}

/// Everything that a policy, a configuration or a peer can put into a message, with a header of its own behind a line end.
#[test]
fn nobody_can_smuggle_in_a_header() {
    let evil = "x\r\nEvil: 1\n\nEvil: 2\rEvil: 3";
    let mut writer = Writer::request(Method::Other, evil.as_bytes(), evil.as_bytes());
    writer.header(Name::Reason, evil.as_bytes());
    writer.header_named(evil.as_bytes(), evil.as_bytes());
    writer.header_with(Name::Contact, |bytes| bytes.extend_from_slice(evil.as_bytes()));
    let line = evil.as_bytes();
    writer.copy(Header { name: Name::Other, raw_name: b"x", value: b"", line });
    let request = writer.finish_request(b"");
    let message = Message::parse(request.bytes.clone().into(), &Limits::default()).unwrap();
    let names: Vec<_> = message.headers().map(|h| text(h.raw_name)).collect();
    assert_eq!(names[..3], ["Reason", "xEvil1Evil2Evil3", "Contact"], "{}", request.bytes.escape_ascii());
    assert_eq!((names.len(), message.header_named(b"Evil")), (5, None), "the forged line is one line, then Content-Length");

    let response = Writer::response(&parse(OPTIONS), 400, evil, Some(evil)).finish_response(b"");
    let message = Message::parse(response.bytes.clone().into(), &Limits::default()).unwrap();
    assert!(message.header_named(b"Evil").is_none(), "{}", response.bytes.escape_ascii());
}

#[test]
fn a_field_without_a_name_writes_nothing() {
    let mut writer = Writer::request(Method::Bye, b"", b"sip:a");
    writer.header(Name::Other, b"value");
    assert_eq!(text(writer.finish_request(b"").bytes()), "BYE sip:a SIP/2.0\nContent-Length: 0\n\n");
}

#[test]
fn numbers_are_written_in_full() {
    for number in [0, 1, 9, 10, 70, 4_294_967_295] {
        let mut bytes = Vec::new();
        push_decimal(&mut bytes, number);
        assert_eq!(String::from_utf8(bytes).unwrap(), number.to_string());
    }
}

#[test]
fn statuses_have_their_registered_phrases() {
    assert_eq!(reason_phrase(423), "Interval Too Brief");
    assert_eq!(reason_phrase(481), "Call/Transaction Does Not Exist");
    assert_eq!(reason_phrase(299), "");
}
