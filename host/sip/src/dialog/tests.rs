//! Dialogs by the examples of RFC 3261 12 and 16.12.1.

use super::*;
use crate::{Limits, transport::Transport};
use bytes::Bytes;
use expect_test::expect;

fn parse(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()), &Limits::default()).unwrap()
}

fn flow() -> Flow {
    Flow {
        transport: Transport::Udp,
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: "198.51.100.7:5060".parse().unwrap(),
        connection: 0,
    }
}

fn invite(routes: &str) -> Message {
    parse(&format!(
        "INVITE sip:bob@gw.example SIP/2.0\r\nVia: SIP/2.0/UDP p.example;branch=z9hG4bKa\r\n{routes}\
         From: \"Alice, A.\" <sip:alice@example.com>;x=1;tag=a1\r\nTo: Bob <sip:bob@gw.example>;y=2\r\nCall-ID: c1\r\nCSeq: 314 INVITE\r\n\
         Contact: \"A\" <sip:alice@198.51.100.7:5062;transport=udp>;expires=9\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn response(status: u16, to: &str, more: &str) -> Message {
    parse(&format!(
        "SIP/2.0 {status} Phrase\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:gw@h>;tag=g1\r\nTo: {to}\r\nCall-ID: c1\r\n\
         CSeq: 1 INVITE\r\n{more}Content-Length: 0\r\n\r\n"
    ))
}

fn text(writer: Writer) -> String {
    String::from_utf8(writer.finish_request(b"").bytes().to_vec()).unwrap().replace('\r', "")
}

#[test]
fn dialog_of_an_answered_invite() {
    let routes = "Record-Route: <sip:p3.example;lr>, <sip:p2.example;lr>\r\nRecord-Route: <sip:p1.example;lr;n=1>\r\n";
    let mut dialog = Dialog::as_server(&invite(routes), "b1", flow()).unwrap();
    assert_eq!((dialog.remote_tag.as_slice(), dialog.local_tag.as_slice()), (b"a1".as_slice(), b"b1".as_slice()));
    expect![[r#"
        BYE sip:alice@198.51.100.7:5062;transport=udp SIP/2.0
        Route: <sip:p3.example;lr>
        Route: <sip:p2.example;lr>
        Route: <sip:p1.example;lr;n=1>
        Max-Forwards: 70
        From: Bob <sip:bob@gw.example>;y=2;tag=b1
        To: "Alice, A." <sip:alice@example.com>;x=1;tag=a1
        Call-ID: c1
        CSeq: 1 BYE
        Content-Length: 0

    "#]]
    .assert_eq(&text(dialog.request(Method::Bye, b"", 70)));
    expect![[r#"
        PING sip:alice@198.51.100.7:5062;transport=udp SIP/2.0
        Route: <sip:p3.example;lr>
        Route: <sip:p2.example;lr>
        Route: <sip:p1.example;lr;n=1>
        Max-Forwards: 7
        From: Bob <sip:bob@gw.example>;y=2;tag=b1
        To: "Alice, A." <sip:alice@example.com>;x=1;tag=a1
        Call-ID: c1
        CSeq: 2 PING
        Content-Length: 0

    "#]]
    .assert_eq(&text(dialog.request(Method::Other, b"PING", 7)));
}

#[test]
fn no_dialog_without_a_contact() {
    let text = String::from_utf8(invite("").bytes().to_vec()).unwrap().replace("Contact:", "X:");
    assert!(Dialog::as_server(&parse(&text), "b1", flow()).is_none());
}

/// A peer of RFC 2543 has no From tag.
#[test]
fn peer_without_a_tag() {
    let text = String::from_utf8(invite("").bytes().to_vec()).unwrap().replace(";tag=a1", "");
    let dialog = Dialog::as_server(&parse(&text), "b1", flow()).unwrap();
    assert!(dialog.remote_tag.is_empty());
    assert_eq!(dialog.remote, b"\"Alice, A.\" <sip:alice@example.com>;x=1");
}

#[test]
fn dialog_of_our_invite() {
    let mut dialog = Dialog::as_client("c1", b"\"GW\" <sip:gw@h>", "g1", b"<sip:bob@h>", b"sip:bob@198.51.100.7;ob", flow());
    expect![[r#"
        INVITE sip:bob@198.51.100.7;ob SIP/2.0
        Max-Forwards: 69
        From: "GW" <sip:gw@h>;tag=g1
        To: <sip:bob@h>
        Call-ID: c1
        CSeq: 1 INVITE
        Content-Length: 0

    "#]]
    .assert_eq(&text(dialog.request(Method::Invite, b"", 69)));

    // Two phones behind a proxy ring: each is a clone with its own tag and target.
    let mut fork = dialog.clone();
    dialog.learn(&response(100, "<sip:bob@h>", ""));
    assert!(dialog.remote_tag.is_empty());
    dialog.learn(&response(180, "<sip:bob@h>;tag=x", "Contact: <sip:x@10.0.0.1>\r\nRecord-Route: <sip:p1;lr>, <sip:p2;lr>\r\n"));
    fork.learn(&response(183, "<sip:bob@h>;tag=y", "Contact: <sip:y@10.0.0.2>\r\n"));
    assert_eq!((dialog.remote_tag.as_slice(), fork.remote_tag.as_slice()), (b"x".as_slice(), b"y".as_slice()));
    assert_eq!(
        (dialog.remote_target.as_slice(), fork.remote_target.as_slice()),
        (b"sip:x@10.0.0.1".as_slice(), b"sip:y@10.0.0.2".as_slice())
    );
    assert_eq!(dialog.route_set, [b"<sip:p2;lr>".to_vec(), b"<sip:p1;lr>".to_vec()]);
    dialog.learn(&response(180, "<sip:bob@h>;tag=x", ""));
    assert_eq!(dialog.route_set.len(), 2, "a bare repetition takes nothing away");
    dialog.learn(&response(486, "<sip:bob@h>;tag=z", "Contact: <sip:z@10.0.0.9>\r\n"));
    assert_eq!(dialog.remote_tag, b"x", "a refusal creates no dialog");

    // 13.2.2.4: the 2xx computes the route set anew.
    dialog.learn(&response(200, "<sip:bob@h>;tag=x", "Contact: <sip:x@10.0.0.1:5070>\r\nRecord-Route: <sip:p1;lr>\r\n"));
    expect![[r#"
        ACK sip:x@10.0.0.1:5070 SIP/2.0
        Route: <sip:p1;lr>
        Max-Forwards: 70
        From: "GW" <sip:gw@h>;tag=g1
        To: <sip:bob@h>;tag=x
        Call-ID: c1
        CSeq: 1 ACK
        Content-Length: 0

    "#]]
    .assert_eq(&text(dialog.ack(1)));
    expect![[r#"
        UPDATE sip:x@10.0.0.1:5070 SIP/2.0
        Route: <sip:p1;lr>
        Max-Forwards: 70
        From: "GW" <sip:gw@h>;tag=g1
        To: <sip:bob@h>;tag=x
        Call-ID: c1
        CSeq: 2 UPDATE
        Content-Length: 0

    "#]]
    .assert_eq(&text(dialog.request(Method::Update, b"", 70)));
}

/// 12.2.1.1: the next hop is a strict router.
#[test]
fn strict_route() {
    cov_mark::check!(rfc3261_12_2_1_1_strict);
    let routes = "Record-Route: <sip:p1.example:5061;method=INVITE;transport=tcp?Subject=x>, <sip:p2.example;lr>\r\n";
    let mut dialog = Dialog::as_server(&invite(routes), "b1", flow()).unwrap();
    expect![[r#"
        BYE sip:p1.example:5061;transport=tcp SIP/2.0
        Route: <sip:p2.example;lr>
        Route: <sip:alice@198.51.100.7:5062;transport=udp>
        Max-Forwards: 70
        From: Bob <sip:bob@gw.example>;y=2;tag=b1
        To: "Alice, A." <sip:alice@example.com>;x=1;tag=a1
        Call-ID: c1
        CSeq: 1 BYE
        Content-Length: 0

    "#]]
    .assert_eq(&text(dialog.request(Method::Bye, b"", 70)));
}

#[test]
fn target_refresh() {
    let mut dialog = Dialog::as_server(&invite(""), "b1", flow()).unwrap();
    dialog.refresh_target(&response(200, "<sip:bob@h>", ""));
    assert_eq!(dialog.remote_target, b"sip:alice@198.51.100.7:5062;transport=udp");
    dialog.refresh_target(&response(200, "<sip:bob@h>", "Contact: <sip:elsewhere@10.0.0.1>\r\n"));
    assert_eq!(dialog.remote_target, b"sip:elsewhere@10.0.0.1");
}

#[test]
fn order_of_requests() {
    cov_mark::check!(rfc3261_12_2_2_out_of_order);
    let request = |method: &str, number: u32| {
        let text = String::from_utf8(invite("").bytes().to_vec()).unwrap();
        parse(&text.replace("INVITE sip", &format!("{method} sip")).replace("314 INVITE", &format!("{number} {method}")))
    };
    let mut dialog = Dialog::as_server(&invite(""), "b1", flow()).unwrap();
    assert!(dialog.in_order(&request("PRACK", 315)));
    assert!(dialog.in_order(&request("ACK", 314)));
    assert!(dialog.in_order(&request("INFO", 400)), "gaps are legal");
    assert!(!dialog.in_order(&request("BYE", 399)));
    assert!(dialog.in_order(&request("BYE", 401)));
    let mut ours = Dialog::as_client("c1", b"<sip:gw@h>", "g1", b"<sip:bob@h>", b"sip:bob@h", flow());
    assert!(ours.in_order(&request("BYE", 1)), "the first number may be any");
}
