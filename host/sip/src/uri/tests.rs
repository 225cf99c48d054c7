use super::*;

fn parse(text: &str) -> Uri<'_> {
    Uri::parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"))
}

fn parts<'a>(uri: &Uri<'a>) -> [&'a str; 4] {
    [uri.user, uri.host, uri.params, uri.headers].map(|octets| core::str::from_utf8(octets).unwrap())
}

#[test]
fn uris_are_taken_apart() {
    let cases = [
        ("sip:example.com", Scheme::Sip, ["", "example.com", "", ""], None),
        (
            "SIP:a@example.com:5070;transport=tcp;lr?subject=x&a=b",
            Scheme::Sip,
            ["a", "example.com", ";transport=tcp;lr", "subject=x&a=b"],
            Some(5070),
        ),
        ("sips:a:secret@b", Scheme::Sips, ["a", "b", "", ""], None),
        ("sip:a@[2001:db8::1]:5060", Scheme::Sip, ["a", "[2001:db8::1]", "", ""], Some(5060)),
        ("sip:[::1]", Scheme::Sip, ["", "[::1]", "", ""], None),
        ("sip:user;par=u%40example.net@example.com", Scheme::Sip, ["user;par=u%40example.net", "example.com", "", ""], None),
        ("sip:a?b,c&d=e/f@h;x=y@z", Scheme::Sip, ["a?b,c&d=e/f", "h", ";x=y@z", ""], None),
        ("tel:+1-201-555-0123;ext=5", Scheme::Tel, ["+1-201-555-0123", "", ";ext=5", ""], None),
        ("urn:service:sos.police", Scheme::Urn, ["service:sos.police", "", "", ""], None),
        ("soap.beep://192.0.2.103:3002", Scheme::Other, ["//192.0.2.103:3002", "", "", ""], None),
        ("nobodyKnowsThisScheme:totallyopaquecontent;a?b", Scheme::Other, ["totallyopaquecontent;a?b", "", "", ""], None),
    ];
    for (text, scheme, expected, port) in cases {
        let uri = parse(text);
        assert_eq!((uri.scheme, parts(&uri), uri.port, uri.raw), (scheme, expected, port, text.as_bytes()), "{text}");
    }
}

#[test]
fn what_is_no_uri_is_refused() {
    for text in [
        "",
        "sip",
        "sip:",
        ":a",
        "1sip:a",
        "sip:a@",
        "sip:@b",
        "sip::x@b",
        "sip:a@b c",
        "sip:a@b; lr",
        "<sip:a@b>",
        "sip:a@[::1",
        "sip:a@[]",
        "sip:a@b:",
        "sip:a@b:x",
        "sip:a@b:65536",
        "sip:a@b:1:2",
        "sip:a@::1",
        "sip:a@b\"c",
        "sip:a@b@c",
        "tel:",
        "tel:;ext=1",
        "urn:",
        "sip:a@b\0",
        "sip:a\r\n@b",
    ] {
        assert!(Uri::parse(text.as_bytes()).is_none(), "{text:?}");
    }
}

#[test]
fn octets_beyond_ascii_are_kept() {
    let uri = Uri::parse(b"sip:J\xfcrgen@example.com").unwrap();
    assert_eq!(uri.user, b"J\xfcrgen");
}

#[test]
fn users_are_unescaped_but_never_cut() {
    let cases: &[(&str, &[u8])] = &[
        ("sip:sips%3Auser%40example.com@example.net", b"sips:user@example.com"),
        ("sip:null-%00-null@example.com", b"null-\0-null"),
        ("sip:100%@b", b"100%"),
        ("sip:a%4@b", b"a%4"),
        ("sip:a%zz%41@b", b"a%zzA"),
        ("sip:%25%34%31@b", b"%41"),
        ("sip:user;par=u%40example.net@example.com", b"user;par=u@example.net"),
        ("sip:+44-20;ext=5@b;user=phone", b"+44-20"),
        ("sip:112;phone-context=+44@b", b"112"),
        ("sip:*99;x@b", b"*99"),
        ("tel:112", b"112"),
        ("sip:b", b""),
    ];
    for (text, user) in cases {
        assert_eq!(parse(text).user_decoded(), *user, "{text}");
    }
}

#[test]
fn transport_comes_from_parameter_or_scheme() {
    assert_eq!(parse("sip:a").transport(), None);
    assert_eq!(parse("sip:a;Transport=TCP").transport(), Some(Transport::Tcp));
    assert_eq!(parse("sip:a;transport=sctp").transport(), None);
    assert_eq!(parse("sips:a").transport(), Some(Transport::Tls));
    assert_eq!(parse("sips:a;transport=tcp").transport(), Some(Transport::Tls));
}

#[test]
fn hosts_become_addresses() {
    assert_eq!(parse("sip:a@192.0.2.1").address(), "192.0.2.1".parse().ok());
    assert_eq!(parse("sip:a@[2001:DB8::1]:5060").address(), "2001:db8::1".parse().ok());
    assert_eq!(parse("sip:a@example.com").address(), None);
    assert_eq!(parse("sip:a@1.2.3").address(), None);
}

/// The examples of RFC 3261 19.1.4, and those of RFC 3966 and RFC 5118 that matter to us.
#[test]
fn equivalence_is_that_of_rfc_3261() {
    let same = [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        ("sip:alice@atlanta.com?subject=project%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=project%20x"),
        ("tel:+1-201-555-0123", "tel:+12015550123"),
        ("urn:service:sos", "URN:service:SOS"),
        ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"),
    ];
    for (a, b) in same {
        assert!(parse(a).same_resource(&parse(b)) && parse(b).same_resource(&parse(a)), "{a} {b}");
    }
    let different = [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@b", "sips:a@b"),
        ("sip:a:x@b", "sip:a:y@b"),
        ("sip:a;b@c", "sip:a%3Bb@c"),
        ("tel:+44;ext=1", "tel:+44"),
        ("urn:service:sos", "urn:service:sos.fire"),
        ("isbn:1", "isbn:2"),
    ];
    for (a, b) in different {
        assert!(!parse(a).same_resource(&parse(b)) && !parse(b).same_resource(&parse(a)), "{a} {b}");
    }
}
