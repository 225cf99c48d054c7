use super::*;
use crate::Limits;

fn torture() -> Vec<(String, Bytes)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/torture");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "dat"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), Bytes::from(std::fs::read(path).unwrap())))
        .collect();
    files.sort();
    assert_eq!(files.len(), 49);
    files
}

/// What [`Message::check`] alone decides on each message of RFC 4475; the others pass it, and the layers above judge them.
#[rustfmt::skip]
const REFUSED: &[(&str, u16, &str)] = &[
    ("badinv01", 400, "Invalid Via"), ("badvers", 505, "Version Not Supported"), ("bigcode", 400, "Invalid Status Code"),
    ("clerr", 400, "Content-Length Beyond Message"), ("escruri", 400, "Headers in Request-URI"), ("insuf", 400, "Missing From"),
    ("ltgtruri", 400, "Invalid Request-URI"), ("lwsruri", 400, "Invalid Request-URI"), ("mcl01", 400, "Repeated Content-Length"),
    ("mismatch01", 400, "CSeq Method Mismatch"), ("mismatch02", 400, "CSeq Method Mismatch"), ("multi01", 400, "Repeated CSeq"),
    ("ncl", 400, "Invalid Content-Length"), ("quotbal", 400, "Invalid To"), ("regbadct", 400, "Invalid Contact"),
    ("scalar02", 400, "Invalid CSeq"), ("scalarlg", 400, "Invalid CSeq"),
];

#[test]
fn the_torture_messages_are_judged() {
    let mut refused = Vec::new();
    for (name, bytes) in torture() {
        let message = Message::parse(bytes, &Limits::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        if let Err(malformed) = message.check() {
            refused.push((name, malformed.status, malformed.phrase));
        }
    }
    let refused: Vec<_> = refused.iter().map(|(n, s, p)| (n.as_str(), *s, *p)).collect();
    assert_eq!(refused, REFUSED);
}

#[test]
fn every_header_line_is_relayed_byte_for_byte() {
    for (name, bytes) in torture() {
        let message = Message::parse(bytes.clone(), &Limits::default()).unwrap();
        let mut writer = crate::build::Writer::request(Method::Options, b"", b"sip:x");
        for header in message.headers() {
            writer.copy(header);
        }
        let written = writer.finish_request(b"");
        let section = written.bytes().strip_prefix(b"OPTIONS sip:x SIP/2.0\r\n").unwrap();
        let section = section.strip_suffix(b"Content-Length: 0\r\n\r\n").unwrap();
        let first_line = memchr::memchr(b'\n', &bytes).unwrap() + 1;
        let blank = memchr::memmem::find(&bytes, b"\r\n\r\n").unwrap() + 2;
        assert_eq!(section.escape_ascii().to_string(), bytes[first_line..blank].escape_ascii().to_string(), "{name}");
    }
}

fn parse(text: &[u8]) -> Message {
    Message::parse(Bytes::copy_from_slice(text), &Limits::default()).unwrap()
}

fn texts<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<&'a str> {
    values.map(|v| core::str::from_utf8(v).unwrap()).collect()
}

#[test]
fn headers_are_found_by_any_name() {
    let message = parse(
        b"MESSAGE sip:a SIP/2.0\r\ns : one\r\nX-Own:\t two \r\nk: 100rel,  Replaces\r\nSUPPORTED:\r\nsupported:\r\n timer\r\nl: 2\r\n\r\nhi",
    );
    assert_eq!(message.header_named(b"Subject"), Some(&b"one"[..]));
    assert_eq!(message.header_named(b"S"), Some(&b"one"[..]));
    assert_eq!(message.header_named(b"x-own"), Some(&b"two"[..]));
    assert_eq!(message.header_named(b"supported"), Some(&b"100rel,  Replaces"[..]));
    assert_eq!(message.header_named(b"Nothing"), None);
    assert_eq!(message.header_named(b""), None);
    assert_eq!(texts(message.values(Name::Supported)), ["100rel", "Replaces", "timer"]);
    assert!(message.lists(Name::Supported, "TIMER") && !message.lists(Name::Supported, "10"));
    assert_eq!(message.body(), b"hi");
    let names: Vec<_> = message.headers().map(|h| core::str::from_utf8(h.raw_name).unwrap()).collect();
    assert_eq!(names, ["s", "X-Own", "k", "SUPPORTED", "supported", "l"]);
}

#[test]
fn methods_are_case_sensitive() {
    assert_eq!(parse(b"INVITE sip:a SIP/2.0\r\n\r\n").method(), Method::Invite);
    let message = parse(b"invite sip:a SIP/2.0\r\n\r\n");
    assert_eq!((message.method(), message.method_token()), (Method::Other, &b"invite"[..]));
    for method in [Method::Register, Method::Prack, Method::Publish, Method::Update] {
        assert_eq!(Method::from_token(method.token().as_bytes()), method);
    }
    assert_eq!(Method::from_token(b""), Method::Other);
}

#[test]
fn responses_have_status_reason_and_the_method_of_their_cseq() {
    let message = parse(b"sip/2.0 486 Busy  Here\r\nCSeq: 7 INVITE\r\n\r\n");
    assert_eq!((message.is_request(), message.status(), message.reason()), (false, 486, &b"Busy  Here"[..]));
    assert_eq!((message.method(), message.request_uri(), message.uri().is_none()), (Method::Invite, &b""[..], true));
    for (line, status) in [("SIP/2.0 100 ", 100), ("SIP/2.0 200", 200), ("SIP/2.0 099 x", 0), ("SIP/2.0 700 x", 0), ("SIP/2.0 2000 x", 0)] {
        assert_eq!(parse(format!("{line}\r\n\r\n").as_bytes()).status(), status, "{line}");
    }
}

#[test]
fn the_request_line_may_hold_any_uri() {
    for uri in ["urn:service:sos", "tel:112", "sip:[2001:db8::1]:5060;lr", "sips:a@b", "soap.beep://x"] {
        let message = parse(format!("\r\n\r\nINVITE {uri} sip/2.0\r\n\r\n").as_bytes());
        assert_eq!(message.request_uri(), uri.as_bytes());
        assert!(message.uri().is_some());
    }
    // RFC 4475 3.1.2.9 and 3.1.2.10: superfluous spaces are repaired.
    assert_eq!(parse(b"INVITE  sip:a   SIP/2.0  \r\n\r\n").request_uri(), b"sip:a");
    // White space within the URI is not (3.1.2.8).
    assert_eq!(parse(b"INVITE sip:a; lr SIP/2.0\r\n\r\n").uri().map(|u| u.raw.to_vec()), None);
}

#[test]
fn numbers_saturate() {
    let message = parse(b"A sip:a SIP/2.0\r\nExpires: 10000000000000\r\nx: 1800;refresher=uac\r\nRetry-After: 5 (busy)\r\nMin-SE: x\r\nMin-Expires:\r\n\r\n");
    assert_eq!(message.number(Name::Expires), Some(u32::MAX));
    assert_eq!(message.number(Name::SessionExpires), Some(1800));
    assert_eq!(message.number(Name::RetryAfter), Some(5));
    assert_eq!(message.number(Name::MinSe), None);
    assert_eq!(message.number(Name::MinExpires), None);
    assert_eq!(message.number(Name::MaxForwards), None);
}

#[test]
fn the_body_ends_where_content_length_says() {
    let body = |text: &[u8]| parse(text).body().to_vec();
    assert_eq!(body(b"A sip:a SIP/2.0\r\nl: 3\r\n\r\nabcdef"), b"abc");
    assert_eq!(body(b"A sip:a SIP/2.0\r\n\r\nabc\r\n\r\n\0\xff"), b"abc\r\n\r\n\0\xff");
    assert_eq!(body(b"A sip:a SIP/2.0\r\nl: 7\r\n\r\nabc"), b"abc");
    assert_eq!(body(b"A sip:a SIP/2.0\nl: 2\n\nabc"), b"ab");
}

#[test]
fn what_cannot_be_framed_is_refused() {
    let limits = Limits { message_bytes: 60, headers: 2, ..Limits::default() };
    let error = |text: &[u8]| Message::parse(Bytes::copy_from_slice(text), &limits).unwrap_err();
    for text in [
        &b""[..],
        b"\r\n\r\n",
        b"INVITE sip:a SIP/2.0",
        b"hello\r\n\r\n",
        b"INVITE sip:a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\r\n\r\n",
    ] {
        assert_eq!(error(text), ParseError::StartLine, "{}", text.escape_ascii());
    }
    for text in
        [&b"A sip:a SIP/2.0\r\n"[..], b"A sip:a SIP/2.0\r\nTo: x\r\n", b"A sip:a SIP/2.0\r\nTo: x\r\n ", b"A sip:a SIP/2.0\r\nTo: x"]
    {
        assert_eq!(error(text), ParseError::HeaderEnd, "{}", text.escape_ascii());
    }
    assert_eq!(error(b"A sip:a SIP/2.0\r\na:1\r\nb:2\r\nc:3\r\n\r\n"), ParseError::TooManyHeaders(2));
    assert_eq!(error(&[b'x'; 61]), ParseError::TooLong(60));
    assert!(Message::parse(Bytes::from_static(b"A sip:a SIP/2.0\r\na:1\r\nb:2\r\n\r\n"), &limits).is_ok());
}

/// A request that passes, with one line replaced or added.
fn checked(change: impl Fn(&mut Vec<String>)) -> Result<(), Malformed> {
    let mut lines: Vec<String> = [
        "OPTIONS sip:a@b SIP/2.0",
        "Via: SIP/2.0/UDP a;branch=z9hG4bK1",
        "From: <sip:a@b>;tag=1",
        "To: <sip:a@b>",
        "Call-ID: 1",
        "CSeq: 1 OPTIONS",
        "Max-Forwards: 70",
        "Contact: <sip:a@b>",
        "Content-Length: 0",
    ]
    .map(str::to_owned)
    .into();
    change(&mut lines);
    parse(format!("{}\r\n\r\n", lines.join("\r\n")).as_bytes()).check()
}

#[test]
fn each_broken_rule_is_named() {
    assert_eq!(checked(|_| {}), Ok(()));
    let missing = ["Via", "From", "To", "Call-ID", "CSeq"];
    for name in missing {
        let result = checked(|lines| lines.retain(|l| !l.starts_with(&format!("{name}:"))));
        assert_eq!(result.unwrap_err().phrase, format!("Missing {name}"));
    }
    for name in ["From", "To", "Call-ID", "CSeq", "Max-Forwards", "Content-Length"] {
        let result = checked(|lines| {
            let line = lines.iter().find(|l| l.starts_with(&format!("{name}:"))).unwrap().clone();
            lines.push(line);
        });
        assert_eq!(result.unwrap_err().phrase, format!("Repeated {name}"));
    }
    for (line, phrase) in [
        ("no colon", "Invalid Header Line"),
        (": no name", "Invalid Header Line"),
        ("Via: SIP/2.0/UDP a, ;", "Invalid Via"),
        ("Contact: <sip:a@b>, sip:a?b=c", "Invalid Contact"),
    ] {
        assert_eq!(checked(|lines| lines.push(line.to_owned())), Err(Malformed { status: 400, phrase }), "{line}");
    }
    for (place, line, phrase) in [
        (0, "OPT(IONS sip:a@b SIP/2.0", "Invalid Method"),
        (0, "OPTIONS sip:a@b? SIP/2.0", ""),
        (0, "OPTIONS  SIP/2.0", "Invalid Request-URI"),
        (1, " Via: fold of nothing", "Invalid Header Line"),
        (6, "Max-Forwards: many", "Invalid Max-Forwards"),
        (4, "Call-ID:", "Invalid Call-ID"),
        (5, "CSeq: 1 options", "CSeq Method Mismatch"),
        (8, "Content-Length: 0x", "Invalid Content-Length"),
        (8, "Content-Length: 1", "Content-Length Beyond Message"),
        (7, "Contact: *", ""),
        (6, "X-None: Max-Forwards is not needed", ""),
    ] {
        let result = checked(|lines| lines[place] = line.to_owned());
        assert_eq!(result.err().map_or("", |m| m.phrase), phrase, "{line}");
    }
}

#[test]
fn another_version_is_505() {
    cov_mark::check!(rfc3261_21_5_6_version);
    assert_eq!(checked(|lines| lines[0] = "OPTIONS sip:a SIP/7.0".to_owned()).unwrap_err().status, 505);
}

#[test]
fn clones_share_everything() {
    let message = parse(b"A sip:a SIP/2.0\r\n\r\n");
    assert!(core::ptr::eq(message.clone().bytes(), message.bytes()));
    assert_eq!(size_of::<Message>(), size_of::<usize>(), "a message moves as one pointer through queues and effects");
}

#[test]
fn what_can_be_put_right_is_and_twice_the_same() {
    let call =
        |start: &str, lines: &str| parse(format!("{start}\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\n{lines}\r\nv=0\r\n").as_bytes());
    let good = "f: <sip:a@b>;tag=1\r\nTo: <sip:911@b>\r\ni: c1\r\nCSeq: 7 INVITE\r\n";
    let invite = "INVITE sip:911@b SIP/2.0";
    for (start, lines, contains) in [
        ("INVITE sip:911@b?Priority=x SIP/2.0", good.to_owned(), "INVITE sip:911@b SIP/2.0\r\n"),
        (invite, format!("{good}Content-Length: 500\r\n"), "\r\nContent-Length: 5\r\n\r\nv=0\r\n"),
        (invite, format!("{good}Content-Length: many\r\n"), "\r\nContent-Length: 5\r\n\r\nv=0\r\n"),
        (invite, format!("{good}l: 5\r\nl: 5\r\n"), "\r\nContent-Length: 5\r\n\r\nv=0\r\n"),
        (invite, format!("{good}Max-Forwards: seventy\r\nMax-Forwards: 71\r\n"), "Max-Forwards: 70\r\n"),
        (invite, format!("{good}this is no header\r\n: nor this\r\n"), "CSeq: 7 INVITE\r\nContent-Length"),
        (invite, format!("{good}Contact: nobody at all\r\n"), "CSeq: 7 INVITE\r\nContent-Length"),
        (invite, format!("{good}Via: rubbish\r\n"), "CSeq: 7 INVITE\r\nContent-Length"),
        (invite, format!("{good}From: <sip:x@y>;tag=2\r\n"), "f: <sip:a@b>;tag=1\r\nTo: <sip:911@b>\r\n"),
        (invite, good.replace("<sip:a@b>;tag=1", "\"A <sip:a@b>;tag=1;x"), "f: <sip:anonymous@anonymous.invalid>;tag=1\r\n"),
        (invite, good.replace("f: <sip:a@b>;tag=1\r\n", ""), "From: <sip:anonymous@anonymous.invalid>\r\n"),
        (invite, good.replace("<sip:911@b>", "911"), "To: <sip:911@b>\r\n"),
        (invite, good.replace("To: <sip:911@b>\r\n", ""), "To: <sip:911@b>\r\n"),
        (invite, good.replace("7 INVITE", "7 invite"), "CSeq: 7 INVITE\r\n"),
        (invite, good.replace("7 INVITE", "many INVITE"), "CSeq: 1 INVITE\r\n"),
        (invite, good.replace("CSeq: 7 INVITE\r\n", ""), "CSeq: 1 INVITE\r\n"),
        (invite, good.replace("i: c1\r\n", ""), "Call-ID: z9hG4bK1\r\n"),
    ] {
        let broken = call(start, &lines);
        assert!(broken.check().is_err(), "{lines}");
        let repaired = broken.repaired().unwrap_or_else(|| panic!("{lines}"));
        let text = String::from_utf8(repaired.bytes().to_vec()).unwrap();
        assert!(text.contains(contains), "{text}");
        assert_eq!(repaired.body(), b"v=0\r\n", "{text}");
        assert_eq!(repaired.bytes(), broken.repaired().unwrap().bytes());
        assert_eq!(repaired.repaired().unwrap().bytes(), repaired.bytes(), "nothing is left to repair");
    }
    for (start, lines) in [("INVITE sip:911@b SIP/7.0", good), ("INVITE 911 SIP/2.0", good), ("SIP/2.0 200 OK", good)] {
        assert!(call(start, lines).repaired().is_none(), "{start}");
    }
}

#[test]
fn the_torture_messages_are_repaired_or_left() {
    for (name, bytes) in torture() {
        if let Some(repaired) = Message::parse(bytes, &Limits::default()).unwrap().repaired() {
            assert_eq!(repaired.check(), Ok(()), "{name}");
        }
    }
}
