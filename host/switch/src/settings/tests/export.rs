use super::*;

fn controller(place: &str, transport: Transport) -> Controller {
    Controller::new(place, transport).unwrap()
}

fn holdfast() -> Controller {
    controller("148.147.171.101", Transport::Tcp)
}

fn added(file: &[u8], controller: &Controller) -> Added {
    add(settings(file), controller).unwrap_or_else(|found| panic!("{found:?}"))
}

fn refused(file: &[u8], controller: &Controller) -> Finding {
    let mut found = add(settings(file), controller).err().expect("it is not changed");
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

/// Before and after of the lines that differ.
fn differences(before: &[u8], after: &[u8]) -> Vec<(String, String)> {
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let (before, after): (Vec<&[u8]>, Vec<&[u8]>) =
        (before.split_inclusive(|o| *o == b'\n').collect(), after.split_inclusive(|o| *o == b'\n').collect());
    assert_eq!(before.len(), after.len(), "no line comes or goes");
    before.iter().zip(&after).filter(|(a, b)| a != b).map(|(a, b)| (text(a), text(b))).collect()
}

#[test]
fn the_gateway_stands_behind_the_cloud_and_nothing_else_changes() {
    let after = added(ACO, &holdfast());
    assert_eq!(
        differences(ACO, &after.octets),
        [(
            "SET SIP_CONTROLLER_LIST sip1vs=avayams.int.rclabenv.com:5096;transport=tls\n".to_owned(),
            "SET SIP_CONTROLLER_LIST sip1vs=avayams.int.rclabenv.com:5096;transport=tls,148.147.171.101:5060;transport=tcp\n".to_owned()
        )]
    );
    assert_eq!(after.changed.len(), 1);
    assert_eq!((after.changed[0].line, after.changed[0].inserted.as_str()), (14, ",148.147.171.101:5060;transport=tcp"));
    assert!(!carries(settings(ACO), &holdfast()) && carries(settings(&after.octets), &holdfast()));
}

#[test]
fn quotes_blanks_line_ends_and_octets_that_are_no_text_stay() {
    let after = added(QUOTED, &controller("holdfast.example.net", Transport::Tls));
    let lines = differences(QUOTED, &after.octets);
    assert_eq!(lines.len(), 1);
    assert_eq!(
        lines[0].1,
        "SET SIP_CONTROLLER_LIST \"sip1vs=sip10.ringcentral.com:5096;transport=tls, sip2vs=sip20.ringcentral.com:5096;transport=tls,\
         holdfast.example.net:5061;transport=tls\"  \r\n"
    );
    assert!(after.octets.ends_with(b"## end"));
}

#[test]
fn a_second_time_changes_nothing() {
    for file in [ACO, QUOTED, SERVER] {
        let once = added(file, &holdfast());
        let twice = added(&once.octets, &holdfast());
        assert!(twice.changed.is_empty());
        assert_eq!(once.octets, twice.octets);
    }
}

#[test]
fn an_entry_that_means_the_same_place_is_enough() {
    for (entry, place, transport) in [
        ("HoldFast.Example.net:5061;transport=TLS", "holdfast.example.net", Transport::Tls),
        ("holdfast.example.net", "holdfast.example.net:5061", Transport::Tls),
        ("holdfast.example.net;transport=tcp", "holdfast.example.net:5060", Transport::Tcp),
        ("sip9=192.0.2.7:5070;x=1;transport=tcp ", "192.0.2.7:5070", Transport::Tcp),
    ] {
        let file = format!("SET SIP_CONTROLLER_LIST cloud.example, {entry}\n").into_bytes();
        assert!(added(&file, &controller(place, transport)).changed.is_empty(), "{entry}");
        assert!(carries(settings(&file), &controller(place, transport)), "{entry}");
    }
}

#[test]
fn a_comma_at_the_end_has_place_for_one_more() {
    let after = added(b"SET SIP_CONTROLLER_LIST cloud.example:5096;transport=tls,  \n## next\n", &holdfast());
    let text = String::from_utf8(after.octets).unwrap();
    assert_eq!(text, "SET SIP_CONTROLLER_LIST cloud.example:5096;transport=tls,148.147.171.101:5060;transport=tcp  \n## next\n");
}

#[test]
fn of_several_lists_the_last_counts() {
    let file = b"SET SIP_CONTROLLER_LIST old.example\nSET SIP_CONTROLLER_LIST new.example\n";
    let after = added(file, &holdfast());
    let lines = differences(file, &after.octets);
    assert_eq!((lines.len(), lines[0].0.as_str()), (1, "SET SIP_CONTROLLER_LIST new.example\n"));
}

#[test]
fn where_the_phone_decides_every_list_gets_it() {
    let after = added(SERVER, &holdfast());
    assert_eq!(after.changed.iter().map(|change| change.line).collect::<Vec<_>>(), [6, 10]);
    let half = String::from_utf8(after.octets).unwrap().replacen(",148.147.171.101:5060;transport=tcp", "", 1).into_bytes();
    assert!(!carries(settings(&half), &holdfast()), "one of the two is not enough");
    assert_eq!(added(&half, &holdfast()).changed.len(), 1);
}

#[test]
fn a_list_of_255_characters_fits_and_one_more_does_not() {
    let gateway = holdfast();
    let more = format!(",{gateway}").len();
    let list = |length: usize| format!("SET SIP_CONTROLLER_LIST \"{}\" \n", "a".repeat(length));
    let fits = list(255 - more);
    let after = added(fits.as_bytes(), &gateway);
    let Ok(Value::Quoted(content)) = value(&after.octets, CONTROLLER_LIST) else { panic!("not quoted") };
    assert_eq!(content.len(), 255);
    let finding = refused(list(256 - more).as_bytes(), &gateway);
    assert_eq!((finding.rule, finding.line), ("too-long", Some(1)));
    assert!(finding.reason.contains("256 characters"), "{finding}");
}

#[test]
fn what_cannot_be_done_well_is_not_done() {
    for (file, rule, line) in [
        (&b"SET PHNEMERGNUM 112\n"[..], "no-list", None),
        (b"set SIP_CONTROLLER_LIST cloud.example\n", "no-list", None),
        (b"\nSET SIP_CONTROLLER_LIST \"\"\n", "empty-list", Some(2)),
        (b"SET SIP_CONTROLLER_LIST\n", "empty-list", Some(1)),
        (b"SET SIP_CONTROLLER_LIST , ,\n", "empty-list", Some(1)),
        (PRINTED, "broken-line", Some(2)),
        (b"SET SIP_CONTROLLER_LIST \n\"cloud.example\"\n", "broken-line", Some(1)),
        (b"SET SIP_CONTROLLER_LIST \"cloud.example\n", "quotes", Some(1)),
        ("SET SIP_CONTROLLER_LIST “cloud.example”\n".as_bytes(), "quotes", Some(1)),
        (b"SET SIP_CONTROLLER_LIST cloud.example,148.147.171.101;transport=tls\n", "other-way", Some(1)),
        (b"SET SIP_CONTROLLER_LIST cloud.example,148.147.171.101:5070;transport=tcp\n", "other-way", Some(1)),
        (b"SET SIP_CONTROLLER_LIST a.example\nADD SIP_CONTROLLER_LIST b.example\n", "added-list", Some(2)),
        (b"SET SIP_CONTROLLER_LIST a.example\n\0\n", "encoding", Some(2)),
    ] {
        let finding = refused(file, &holdfast());
        assert_eq!((finding.rule, finding.line, finding.severity), (rule, line, Severity::Error), "{finding}");
    }
    let wide: Vec<u8> = "\u{feff}SET SIP_CONTROLLER_LIST cloud.example\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let found = add(settings(&wide), &holdfast()).err().unwrap();
    assert_eq!(found[0].rule, "encoding");
}

#[test]
fn a_controller_is_a_place_that_a_phone_can_use() {
    for (place, transport, written) in [
        ("192.0.2.10", Transport::Tls, "192.0.2.10:5061;transport=tls"),
        ("192.0.2.10", Transport::Tcp, "192.0.2.10:5060;transport=tcp"),
        ("holdfast.example.net:5096", Transport::Tls, "holdfast.example.net:5096;transport=tls"),
        ("gateway", Transport::Tcp, "gateway:5060;transport=tcp"),
    ] {
        assert_eq!(controller(place, transport).to_string(), written);
    }
    for (place, transport, why) in [
        ("[2001:db8::1]:5061", Transport::Tls, Unusable::Ipv6),
        ("2001:db8::1", Transport::Tls, Unusable::Ipv6),
        ("", Transport::Tls, Unusable::Host),
        ("10.1.2", Transport::Tls, Unusable::Host),
        ("a,b", Transport::Tls, Unusable::Host),
        ("a;transport=udp", Transport::Tls, Unusable::Host),
        ("a b", Transport::Tls, Unusable::Host),
        ("-a.example", Transport::Tls, Unusable::Host),
        ("a..example", Transport::Tls, Unusable::Host),
        ("a.example:0", Transport::Tls, Unusable::Port),
        ("a.example:65536", Transport::Tls, Unusable::Port),
        ("a.example:", Transport::Tls, Unusable::Port),
        ("a.example", Transport::Udp, Unusable::Transport),
        ("a.example", Transport::Auto, Unusable::Transport),
    ] {
        assert_eq!(Controller::new(place, transport), Err(why), "{place}");
    }
}

#[test]
fn entries_are_read_as_phones_mean_them() {
    let parts = |entry: &'static str| {
        let entry = Entry::list(entry.as_bytes()).next().unwrap();
        let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
        (entry.label.map(text), text(entry.host), entry.port(), entry.way(), entry.is_address())
    };
    let label = Some("sip1vs".to_owned());
    assert_eq!(parts("sip1vs=a.example:5096;transport=tls"), (label, "a.example".to_owned(), Ok(Some(5096)), Some(Transport::Tls), false));
    assert_eq!(parts(" 192.0.2.1;lr;Transport = TCP "), (None, "192.0.2.1".to_owned(), Ok(Some(5060)), Some(Transport::Tcp), true));
    assert_eq!(parts("a.example"), (None, "a.example".to_owned(), Ok(Some(5061)), Some(Transport::Tls), false));
    assert_eq!(parts("a.example;transport=auto"), (None, "a.example".to_owned(), Ok(None), Some(Transport::Auto), false));
    assert_eq!(parts("a.example:x;transport=sctp"), (None, "a.example".to_owned(), Err(Unusable::Port), None, false));
    assert_eq!(parts("[2001:db8::1]:5070"), (None, "[2001:db8::1]".to_owned(), Ok(Some(5070)), Some(Transport::Tls), true));
    assert_eq!(parts("2001:db8::1"), (None, "2001:db8::1".to_owned(), Ok(Some(5061)), Some(Transport::Tls), true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]
    /// A file that is taken: its lines are those of before, but for those named as changed, which have one insertion each; and all of it is found again.
    #[test]
    fn exactly_the_named_lines_differ(file in file(), name in any::<bool>(), tls in any::<bool>()) {
        let gateway = controller(if name { "holdfast.example" } else { "192.0.2.254" }, if tls { Transport::Tls } else { Transport::Tcp });
        if let Ok(after) = add(settings(&file), &gateway) {
            let lines = |octets: &[u8]| octets.split_inclusive(|o| *o == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>();
            let (old, new) = (lines(&file), lines(&after.octets));
            prop_assert_eq!(old.len(), new.len());
            for (number, (old, new)) in old.iter().zip(&new).enumerate() {
                match after.changed.iter().find(|change| change.line == number + 1) {
                    None => prop_assert_eq!(old, new),
                    Some(Change { at, inserted, .. }) => {
                        let made = [&old[..*at], inserted.as_bytes(), &old[*at..]].concat();
                        prop_assert_eq!(&made, new);
                        prop_assert!(old.starts_with(b"SET ") && old.windows(19).any(|w| w == b"SIP_CONTROLLER_LIST"));
                    }
                }
            }
            if !settings(&file).jumps() {
                prop_assert!(after.changed.len() <= 1);
            }
            prop_assert!(carries(settings(&after.octets), &gateway));
            let twice = add(settings(&after.octets), &gateway).unwrap();
            prop_assert!(twice.changed.is_empty() && twice.octets == after.octets);
            prop_assert!(!lint(settings(&after.octets)).iter().any(|f| f.rule == "too-long" && f.reason.starts_with("the list") && f.severity == Severity::Error
                && !after.changed.is_empty() && !settings(&file).jumps()));
        }
    }
}
