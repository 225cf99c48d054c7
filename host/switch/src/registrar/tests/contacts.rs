//! What a REGISTER says and what its answer shows.

use super::*;

#[test]
fn a_contact_is_shown_again_with_all_that_the_phone_wrote() {
    let desk = Desk::new();
    let request = register(
        "1001",
        "a",
        1,
        "m: \"Desk; one\" <sip:1001@10.1.0.7:5060;transport=udp;ob;x-odd=%41>;expires=3600;q=0.75;+sip.instance=\"<urn:uuid:1;2>\"\n ;reg-id=1;methods=\"INVITE,ACK\"\n\
         Path: <sip:edge.example;lr>\nPath: <sip:inner.example;lr>\n",
    );
    let changes = desk.send(0, &request).unwrap();
    expect![[r#"
        bound sip:1001@10.1.0.7:5060;transport=udp;ob;x-odd=%41
    "#]]
    .assert_eq(&told(&changes));
    expect![[r#"
        Contact: <sip:1001@10.1.0.7:5060;transport=udp;ob;x-odd=%41>;+sip.instance="<urn:uuid:1;2>";reg-id=1;methods="INVITE,ACK";q=0.750;expires=3600
        Path: <sip:edge.example;lr>
        Path: <sip:inner.example;lr>
    "#]]
    .assert_eq(&desk.answer(0, &request));
    let binding = &desk.registrar.bindings("desk-1", at(0))[0];
    assert_eq!(binding.path, ["<sip:edge.example;lr>", "<sip:inner.example;lr>"]);
    assert_eq!(binding.instance.as_deref(), Some("<urn:uuid:1;2>"));
    assert_eq!(binding.reg_id, Some(1));
}

#[test]
fn the_answer_lists_every_contact_with_the_seconds_that_are_left() {
    let desk = Desk::new();
    desk.send(
        0,
        &register(
            "1001",
            "a",
            1,
            "Contact: <sip:a@10.1.0.1>;q=0.2, <sip:b@10.1.0.2>;q=1.0\nContact: sip:c@10.1.0.3;expires=60\nExpires: 120\n",
        ),
    )
    .unwrap();
    desk.shows(
        10,
        &expect![[r#"
            Contact: <sip:c@10.1.0.3>;expires=50
            Contact: <sip:b@10.1.0.2>;expires=110
            Contact: <sip:a@10.1.0.1>;q=0.200;expires=110
        "#]],
    );
    // A second later than granted it is gone, whether or not anybody has swept.
    desk.shows(
        60,
        &expect![[r#"
            Contact: <sip:b@10.1.0.2>;expires=60
            Contact: <sip:a@10.1.0.1>;q=0.200;expires=60
        "#]],
    );
}

#[test]
fn what_cannot_be_read_is_refused_with_its_reason() {
    cov_mark::check!(rfc3261_10_3_interval_too_brief);
    let refusal = |lines: &str| match Desk::new().registrar.read(&register("1001", "a", 1, lines)) {
        Ok(wish) => format!("{lines}  -> accepted {wish:?}\n"),
        Err(refusal) => format!("{lines}  -> {} {}: {}\n", refusal.status, refusal.phrase, refusal.detail),
    };
    let all: String = [
        "Contact: *\n",
        "Contact: *\nExpires: 10\n",
        "Contact: *, <sip:a@b>\nExpires: 0\n",
        "Contact: <sip:a@b>\nContact: *\nExpires: 0\n",
        "Contact: <*>\nExpires: 0\n",
        "Contact: <tel:+15551234>\n",
        "Contact: <mailto:a@b.example>\n",
        "Contact: <sip:a b@c>\n",
        "Contact: <sip:a@b\n",
        "Contact: a@b\n",
        "Contact: <sip:a@b>;expires=19\n",
        "Contact: <sip:a@b>\nExpires: 1\n",
        "Contact: <sip:a@b>;expires=60, <sip:c@d>;expires=5\n",
    ]
    .into_iter()
    .map(refusal)
    .collect();
    expect![[r#"
        Contact: *
          -> 400 Contact * Needs Expires 0: REGISTER: `Contact: *` without `Expires: 0`
        Contact: *
        Expires: 10
          -> 400 Contact * Needs Expires 0: REGISTER: `Contact: *` without `Expires: 0`
        Contact: *, <sip:a@b>
        Expires: 0
          -> 400 Contact * With Others: REGISTER: `Contact: *` stands beside another contact
        Contact: <sip:a@b>
        Contact: *
        Expires: 0
          -> 400 Contact * With Others: REGISTER: `Contact: *` stands beside another contact
        Contact: <*>
        Expires: 0
          -> 400 Bad Contact: REGISTER: unreadable Contact `<*>`
        Contact: <tel:+15551234>
          -> 400 Contact Not SIP: REGISTER: Contact `tel:+15551234` is not a sip: or sips: URI
        Contact: <mailto:a@b.example>
          -> 400 Contact Not SIP: REGISTER: Contact `mailto:a@b.example` is not a sip: or sips: URI
        Contact: <sip:a b@c>
          -> 400 Bad Contact: REGISTER: unreadable Contact `<sip:a b@c>`
        Contact: <sip:a@b
          -> 400 Bad Contact: REGISTER: unreadable Contact `<sip:a@b`
        Contact: a@b
          -> 400 Bad Contact: REGISTER: unreadable Contact `a@b`
        Contact: <sip:a@b>;expires=19
          -> 423 Interval Too Brief: REGISTER: 19 s asked for, 20 s is the shortest (limits.expires_min)
        Contact: <sip:a@b>
        Expires: 1
          -> 423 Interval Too Brief: REGISTER: 1 s asked for, 20 s is the shortest (limits.expires_min)
        Contact: <sip:a@b>;expires=60, <sip:c@d>;expires=5
          -> 423 Interval Too Brief: REGISTER: 5 s asked for, 20 s is the shortest (limits.expires_min)
    "#]]
    .assert_eq(&all);
}

#[test]
fn contacts_are_read_tolerantly() {
    let granted = |lines: &str| match Desk::new().registrar.read(&register("1001", "a", 1, lines)).unwrap() {
        Wish::Bind(contacts) | Wish::Remove(contacts) => {
            contacts.iter().map(|c| (c.uri.to_string(), c.seconds, c.q, c.params.to_string())).collect::<Vec<_>>()
        }
        Wish::Query | Wish::RemoveAll => panic!("{lines}"),
    };
    let one = |seconds: u32, q: u16, params: &str| vec![("sip:a@b".to_owned(), seconds, q, params.to_owned())];
    // The parameter goes before the header, the header before the site's own default; more than the longest is shortened.
    assert_eq!(granted("Contact: <sip:a@b>;expires=60\nExpires: 90\n"), one(60, 1000, ""));
    assert_eq!(granted("Contact: <sip:a@b>\nExpires: 90\n"), one(90, 1000, ""));
    assert_eq!(granted("Contact: <sip:a@b>\n"), one(300, 1000, ""));
    assert_eq!(granted("Contact: <sip:a@b>;expires=20\n"), one(20, 1000, ""));
    assert_eq!(granted("Contact: <sip:a@b>;EXPIRES=99999999999999999999999999\n"), one(3600, 1000, ""));
    assert_eq!(granted("Contact: <sip:a@b>\nExpires: 99999999999999999999999999\n"), one(3600, 1000, ""));
    // 20.10: malformed = 3600.
    assert_eq!(granted("Contact: <sip:a@b>;expires=soon\n"), one(3600, 1000, ""));
    assert_eq!(granted("Contact: <sip:a@b>;expires=-1\n"), one(3600, 1000, ""));
    assert_eq!(granted("Contact: <sip:a@b>;expires\n"), one(3600, 1000, ""));
    assert_eq!(granted("Contact: <sip:a@b>\nExpires: soon\n"), one(3600, 1000, ""));
    // q in all its forms.
    for (written, q) in [
        ("0", 0),
        ("0.5", 500),
        ("0.05", 50),
        ("0.123", 123),
        ("0.1239", 123),
        (".5", 500),
        ("1", 1000),
        ("1.000", 1000),
        ("2", 1000),
        ("x", 1000),
        ("", 1000),
    ] {
        assert_eq!(granted(&format!("Contact: <sip:a@b>;q={written};expires=60\n")), one(60, q, ""), "q={written}");
    }
    // Without angle brackets the parameters are the header's; quotes hide separators; what the registrar gives itself is not taken from the phone.
    assert_eq!(granted("Contact: sip:a@b;expires=60;x=\"a;expires=7\"\n"), one(60, 1000, ";x=\"a;expires=7\""));
    assert_eq!(
        granted("m:<sip:a@b>;expires=60;pub-gruu=\"sip:x\";temp-gruu=\"sip:y\";+sip.instance=\"<u>\"\n"),
        one(60, 1000, ";+sip.instance=\"<u>\"")
    );
    assert_eq!(granted("Contact: \"quoted, <sip:x@y>\" <sip:a@b> ; expires = 60\n"), one(60, 1000, ""));
    // Nobody can smuggle a header line into the answer.
    assert_eq!(granted("Contact: <sip:a@b>;expires=60;x=1\n ;y=2\n"), one(60, 1000, ";x=1;y=2"));
    assert_eq!(Desk::new().registrar.read(&register("1001", "a", 1, "")).unwrap(), Wish::Query);
    assert_eq!(Desk::new().registrar.read(&register("1001", "a", 1, "Contact: *\nExpires: 0\n")).unwrap(), Wish::RemoveAll);
}

#[test]
fn a_binding_has_a_limit_in_octets() {
    let long = |octets: usize| format!("Contact: <sip:{}@b>\n", "a".repeat(octets));
    let desk = Desk::new();
    assert!(desk.registrar.read(&register("1001", "a", 1, &long(2000))).is_ok());
    let refusal = desk.registrar.read(&register("1001", "a", 1, &long(2048))).unwrap_err();
    assert_eq!((refusal.status, refusal.phrase.as_str()), (400, "Contact Too Long"));
    let path = format!("Contact: <sip:a@b>\nPath: <sip:{};lr>\n", "p".repeat(2048));
    assert_eq!(desk.registrar.read(&register("1001", "a", 1, &path)).unwrap_err().status, 400);
}
