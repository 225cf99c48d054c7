use super::*;

fn text(octets: &[u8]) -> &str {
    core::str::from_utf8(octets).unwrap()
}

#[rustfmt::skip]
const NAMES: &[Name] = &[
    Name::Accept, Name::Allow, Name::AllowEvents, Name::Authorization, Name::CallId, Name::Contact, Name::ContentLength, Name::ContentType,
    Name::CSeq, Name::Diversion, Name::Event, Name::Expires, Name::From, Name::Geolocation, Name::HistoryInfo, Name::Identity,
    Name::MaxForwards, Name::MinExpires, Name::MinSe, Name::PAssertedIdentity, Name::PPreferredIdentity, Name::Path, Name::Priority,
    Name::Privacy, Name::ProxyAuthenticate, Name::ProxyAuthorization, Name::ProxyRequire, Name::RAck, Name::RSeq, Name::Reason,
    Name::RecordRoute, Name::ReferTo, Name::ReferredBy, Name::RemotePartyId, Name::Replaces, Name::Require, Name::ResourcePriority,
    Name::RetryAfter, Name::Route, Name::Server, Name::SessionExpires, Name::SubscriptionState, Name::Supported, Name::To,
    Name::Unsupported, Name::UserAgent, Name::Via, Name::Warning, Name::WwwAuthenticate, Name::Date, Name::ServiceRoute,
];

#[test]
fn every_name_is_recognised_in_any_case() {
    assert_eq!(NAMES.len(), Name::Other as usize, "the table above misses a name");
    for name in NAMES {
        let canonical = name.canonical();
        for spelling in [canonical.to_owned(), canonical.to_lowercase(), canonical.to_uppercase()] {
            assert_eq!(Name::from_bytes(spelling.as_bytes()), *name, "{spelling}");
        }
        // A name one character longer or different is another field.
        for other in [format!("{canonical}s"), format!("{}_", &canonical[..canonical.len() - 1]), canonical.replace('-', "_")] {
            assert!(other == canonical || Name::from_bytes(other.as_bytes()) == Name::Other, "{other}");
        }
    }
    assert_eq!(Name::from_bytes(b""), Name::Other);
}

#[test]
fn compact_forms_are_recognised() {
    let compact = [
        (b"b", Name::ReferredBy),
        (b"c", Name::ContentType),
        (b"f", Name::From),
        (b"i", Name::CallId),
        (b"k", Name::Supported),
        (b"l", Name::ContentLength),
        (b"m", Name::Contact),
        (b"o", Name::Event),
        (b"r", Name::ReferTo),
        (b"t", Name::To),
        (b"u", Name::AllowEvents),
        (b"v", Name::Via),
        (b"x", Name::SessionExpires),
        (b"y", Name::Identity),
        (b"s", Name::Other),
    ];
    for (letter, name) in compact {
        assert_eq!(Name::from_bytes(letter), name);
        assert_eq!(Name::from_bytes(&letter.to_ascii_uppercase()), name);
    }
    // What differs from a letter by bit 5 only is no letter.
    assert_eq!(Name::from_bytes(b"\x16"), Name::Other);
}

/// Value, display name, URI and parameters.
const ADDRESSES: &[(&str, &str, &str, &str)] = &[
    ("sip:a@b", "", "sip:a@b", ""),
    ("sip:a@b;tag=1", "", "sip:a@b", ";tag=1"),
    ("<sip:a@b;lr>;tag=1", "", "sip:a@b;lr", ";tag=1"),
    ("<sip:a@b> ; tag = 1", "", "sip:a@b", "; tag = 1"),
    ("Bob<sip:a@b>", "Bob", "sip:a@b", ""),
    ("  Bob  Smith\r\n <sip:a@b>", "Bob  Smith", "sip:a@b", ""),
    ("\"Smith, Bob; <x> @ \\\" \\\\\" <sip:a@b>;x", "Smith, Bob; <x> @ \\\" \\\\", "sip:a@b", ";x"),
    ("\"\"<sip:a@b>", "", "sip:a@b", ""),
    ("< sip:a@b >", "", "sip:a@b", ""),
    ("Bell, Alexander <sip:a@b>", "Bell, Alexander", "sip:a@b", ""),
    ("sip:a@b;x=\"<y;z>\"", "", "sip:a@b", ";x=\"<y;z>\""),
    ("<tel:+44;ext=1>;tag=x", "", "tel:+44;ext=1", ";tag=x"),
    ("urn:service:sos", "", "urn:service:sos", ""),
    ("<sip:a@[2001:db8::1]:5060?Route=%3Cx%3E>", "", "sip:a@[2001:db8::1]:5060?Route=%3Cx%3E", ""),
];

#[test]
fn addresses_are_taken_apart() {
    for (value, display, uri, params) in ADDRESSES {
        let address = NameAddr::parse(value.as_bytes()).unwrap_or_else(|| panic!("{value}"));
        assert_eq!((text(address.display), text(address.uri), text(address.params)), (*display, *uri, *params), "{value}");
        assert_eq!(text(address.raw), value.trim());
    }
}

#[test]
fn what_is_no_address_is_refused() {
    let wrong = [
        "",
        "*",
        "Bob",
        "\"Bob <sip:a@b>",
        "\"Bob\" sip:a@b",
        "<sip:a@b",
        "<>",
        "<a@b>",
        "<sip:a@b>x",
        "<sip:a@b>;x=\"1",
        "sip:a@b;x=\"1",
        "sip:a@b?Route=x",
        "sip:a b",
        "\"Bob\\\" <sip:a@b>",
        "<sip:a@b>, <sip:c@d>",
    ];
    for value in wrong {
        assert!(NameAddr::parse(value.as_bytes()).is_none(), "{value}");
    }
}

#[test]
fn display_names_need_not_be_utf_8() {
    let address = NameAddr::parse(b"\"J\xfcrgen\" <sip:a@b>").unwrap();
    assert_eq!(address.display, b"J\xfcrgen");
}

#[test]
fn parameters_are_found_in_any_case_and_without_quotes() {
    let params = b"; tag    = 1918181833n;LR;Text=\"a;b=\\\"c\\\"\" ;\r\n q\r\n =\r\n 0.5;;empty=";
    let found = |name: &str| param(params, name.as_bytes()).map(text);
    assert_eq!(found("TAG"), Some("1918181833n"));
    assert_eq!(found("lr"), Some(""));
    assert_eq!(found("text"), Some("a;b=\\\"c\\\""));
    assert_eq!(found("q"), Some("0.5"));
    assert_eq!(found("empty"), Some(""));
    assert_eq!(found("b"), None, "what stands in quotes is no parameter");
    assert_eq!(found(""), None);
    assert_eq!(param(b"", b"tag"), None);
    assert_eq!(param(b";x=\"open;tag=1", b"tag"), None);
}

#[test]
fn commas_split_only_at_the_top_level() {
    let parts = |value: &'static str| split_commas(value.as_bytes()).map(text).collect::<Vec<_>>();
    assert_eq!(parts("a, b ,,c,\r\n d"), ["a", "b", "c", "d"]);
    assert_eq!(parts("<sip:a,b@c>, \"x, \\\", y\" <sip:d>;p=\",\""), ["<sip:a,b@c>", "\"x, \\\", y\" <sip:d>;p=\",\""]);
    assert_eq!(parts("\"open, <sip:a>"), ["\"open, <sip:a>"]);
    assert_eq!(parts("<open, b"), ["<open, b"]);
    assert!(parts(" ,, ").is_empty());
}

#[test]
fn vias_are_read_leniently() {
    let cases = [
        ("SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1;rport", "UDP", "192.0.2.1", Some(5060), Some("z9hG4bK1")),
        ("SIP/2.0/TLS host.example.com", "TLS", "host.example.com", None, None),
        (
            "SIP / 2.0\r\n / TCP     spindle.example.com   ;\r\n branch  =   z9hG4bK9ikj8",
            "TCP",
            "spindle.example.com",
            None,
            Some("z9hG4bK9ikj8"),
        ),
        ("sip/2.0/UDP [2001:db8::9:1]:5070 ;branch=\"z9\"", "UDP", "[2001:db8::9:1]", Some(5070), Some("z9")),
        ("SIP/2.0/NEW-ONE a : 99", "NEW-ONE", "a", Some(99), None),
    ];
    for (value, transport, host, port, branch) in cases {
        let via = Via::parse(value.as_bytes()).unwrap_or_else(|| panic!("{value}"));
        assert_eq!((text(via.transport), text(via.host), via.port, via.branch().map(text)), (transport, host, port, branch), "{value}");
    }
    let via = Via::parse(b"SIP/2.0/UDP a;rport;received=192.0.2.9").unwrap();
    assert_eq!((via.param(b"rport"), via.param(b"received")), (Some(&b""[..]), Some(&b"192.0.2.9"[..])));
}

#[test]
fn what_is_no_via_is_refused() {
    for value in [
        "",
        ";",
        "SIP/2.0/UDP",
        "SIP/2.0/UDP ",
        "SIP/2.0/UDP ;x",
        "SIP/2.0 a",
        "SIP/2.0/UDP a:x",
        "SIP/2.0/UDP a:70000",
        "SIP/2.0/UDP a b",
        "SIP/2.0/UDP [::1",
        "SIP/2.0/UDP a;x=\"",
        "HTTP/2.0/UDP a",
        "SIP/2.0/ a",
    ] {
        assert!(Via::parse(value.as_bytes()).is_none(), "{value}");
    }
}

#[test]
fn cseq_numbers_stay_below_two_to_the_31() {
    assert_eq!(CSeq::parse(b"0009\r\n  INVITE"), Some(CSeq { number: 9, method: b"INVITE" }));
    assert_eq!(CSeq::parse(b"2147483647 X-New").map(|c| c.number), Some(0x7fff_ffff));
    for wrong in
        ["2147483648 INVITE", "36893488147419103232 REGISTER", "", "1", "1 ", "INVITE", "-1 INVITE", "1INVITE", "1 INVITE x", "+1 INVITE"]
    {
        assert_eq!(CSeq::parse(wrong.as_bytes()), None, "{wrong}");
    }
}
