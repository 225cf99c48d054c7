use super::*;
use crate::settings::serve::{self, LeftOut, Own, Site, Unfit, further, own_text, site_text};

fn own<'a>() -> Own<'a> {
    Own { username: "desk-7", password: "s3cret!", extension: "1101", name: "Alice Moss", keys: &[], more: "" }
}

fn site<'a>() -> Site<'a> {
    Site { domain: "sip.example", controllers: "192.0.2.10:5061;transport=tls", returns: false, root: true, emergency: &[], more: "" }
}

#[test]
fn a_phone_reads_its_own_file_as_the_directory_has_it() {
    let more = "## keys\nSET PHONEKEY \"Key=3;Type=Line;Name=primary\"\r\nADD SOFTKEY_ACTION x\n\n";
    let (text, left_out) = own_text(&Own { more, ..own() }).unwrap();
    expect_test::expect![[r#"
        ## What this telephone is told, by Holdfast.
        SET PHONEKEY "Key=3;Type=Line;Name=primary"
        ADD SOFTKEY_ACTION "x"
        SET FORCE_SIP_USERNAME "desk-7"
        SET FORCE_SIP_PASSWORD "s3cret!"
        SET FORCE_SIP_EXTENSION "1101"
        SET DISPLAY_NAME "Alice Moss"
    "#]]
    .assert_eq(&text);
    assert_eq!(left_out, []);
    let imported = read(text.as_bytes()).unwrap();
    assert_eq!((imported.username.as_str(), imported.password.reveal(), imported.extension.as_str()), ("desk-7", "s3cret!", "1101"));
}

#[test]
fn all_phones_are_told_where_to_register_whom_to_trust_and_how_to_call_for_help() {
    let emergency = ["112".to_owned(), "999".to_owned()];
    let more = "SET GMTOFFSET 0:00\n";
    let text = site_text(&Site { returns: true, emergency: &emergency, more, ..site() }).unwrap();
    let octets = text.as_bytes();
    for (name, expected) in [
        ("SIP_CONTROLLER_LIST", "192.0.2.10:5061;transport=tls"),
        ("SIPDOMAIN", "sip.example"),
        ("TRUSTCERTS", "WebRootCA.pem"),
        ("PHNEMERGNUM", "112"),
        ("PHNMOREEMERGNUMS", "112,999"),
        ("FAILBACK_POLICY", "auto"),
        ("GMTOFFSET", "0:00"),
        ("DISCOVER_AVAYA_ENVIRONMENT", "0"),
    ] {
        assert_eq!(value(octets, name).unwrap().content(), expected.as_bytes(), "{name}");
    }
    assert!(text.ends_with("\nGET $MACADDR.txt\n"), "{text}");
    assert!(carries(settings(octets), &Controller::new("192.0.2.10", Transport::Tls).unwrap()));
    let errors = lint(settings(octets)).into_iter().filter(|finding| finding.severity == Severity::Error);
    assert_eq!(errors.collect::<Vec<_>>(), []);
    let bare = site_text(&Site { root: false, ..site() }).unwrap();
    assert!(["TRUSTCERTS", "PHNEMERGNUM", "FAILBACK_POLICY", "FORCE_SIP"].iter().all(|name| !bare.contains(name)), "{bare}");
}

/// Its only statement sends a phone on; nothing names a file that is not kept.
#[test]
fn the_upgrade_file_names_no_firmware() {
    let statements: Vec<_> = settings(serve::UPGRADE_TEXT.as_bytes()).lines().filter(|l| l.statement != Statement::Comment).collect();
    assert_eq!(statements.iter().map(|line| line.text).collect::<Vec<_>>(), [b"GET 46xxsettings.txt"]);
}

#[test]
fn what_cannot_stand_between_quotes_is_refused_or_left_out_with_its_line() {
    for password in ["a\"b", "a\nSET X 1", "a\rb", "pässword", &"x".repeat(256)] {
        assert_eq!(own_text(&Own { password, ..own() }).unwrap_err(), Unfit { what: "password" }, "{password:?}");
    }
    assert_eq!(site_text(&Site { controllers: "a\nGET evil.txt", ..site() }).unwrap_err().what, "list of controllers");
    let lines = "SET A 1\nGET evil.txt\nIF $MODEL4 SEQ J129 GOTO X\nGOTO X\n# X\nSET FORCE_SIP_PASSWORD x\nSET B \"un\nSET C naïve\nSET D a\rSET E 2\n\
                 SET force_sip_username y\nSET A-B 1\nSET\nSET SIP_CONTROLLER_LIST cloud.example\n";
    let (text, left_out) = own_text(&Own { more: lines, ..own() }).unwrap();
    assert_eq!(left_out.iter().map(|line| line.line).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13]);
    assert_eq!(left_out, further(lines));
    assert_eq!(left_out.first().map(|LeftOut { reason, .. }| *reason), Some("a phone cannot be sent on to another file"));
    assert_eq!(text.lines().filter(|line| line.starts_with("SET ")).count(), 5, "{text}");
    let (text, _) = own_text(&Own { name: "Zoë \"Z\"\n# X", ..own() }).unwrap();
    assert_eq!(value(text.as_bytes(), "DISPLAY_NAME").unwrap(), Value::Quoted(b"Zo? 'Z'?# X"));
}

/// Anything that somebody could write into the directory, and what begins lines of a settings file among it.
fn text() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "SET ",
        "ADD ",
        "GET ",
        "IF ",
        "GOTO ",
        "# ",
        "FORCE_SIP_PASSWORD",
        "SIP_CONTROLLER_LIST",
        " ",
        "\"",
        "\n",
        "\r",
        "\r\n",
        "\u{2028}",
        "\0",
        "x",
    ]);
    let piece = prop_oneof![
        word.prop_map(str::to_owned),
        any::<char>().prop_map(String::from),
        file().prop_map(|f| String::from_utf8_lossy(&f).into_owned())
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// No directory content can inject a line: whatever it holds, the file is printable ASCII, its statements are assignments, and the account is the one that was asked for.
    #[test]
    fn nothing_in_the_directory_can_begin_a_line(username in text(), password in text(), extension in text(), name in text(), more in text()) {
        let written = own_text(&Own { username: &username, password: &password, extension: &extension, name: &name, keys: &[], more: &more });
        let fits = |text: &str| text.len() <= 255 && text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'"');
        prop_assert_eq!(written.is_ok(), [&username, &password, &extension].iter().all(|text| fits(text)));
        let Ok((text, left_out)) = written else { return Ok(()) };
        prop_assert!(text.bytes().all(|b| b == b'\n' || (b' '..=b'~').contains(&b)), "{:?}", text);
        let further = settings(more.as_bytes()).lines().filter(|line| line.statement != Statement::Comment).count() - left_out.len();
        let account = 3 + usize::from(!name.is_empty());
        prop_assert_eq!(text.lines().count(), 1 + further + account);
        for line in settings(text.as_bytes()).lines().skip(1) {
            let (Statement::Set(assignment) | Statement::Add(assignment)) = line.statement else { panic!("{text:?}") };
            prop_assert!(assignment.value().is_ok_and(|value| matches!(value, Value::Quoted(_))), "{:?}", text);
        }
        for (parameter, expected) in [("FORCE_SIP_USERNAME", &username), ("FORCE_SIP_PASSWORD", &password), ("FORCE_SIP_EXTENSION", &extension)] {
            prop_assert_eq!(value(text.as_bytes(), parameter), Ok(Value::Quoted(expected.as_bytes())));
        }
    }
}

#[test]
fn keys_are_lines_of_the_file_in_their_order() {
    let key = |text: &str| text.parse::<crate::directory::record::LineKey>().unwrap();
    let keys = [key("line"), key("speed-dial:+442079460000=Night; \"porter\""), key("busy-lamp:1003=Zoë"), key("speed-dial:*97")];
    let (text, _) = own_text(&Own { keys: &keys, ..own() }).unwrap();
    let (_, told) = text.split_once("DISPLAY_NAME \"Alice Moss\"\n").unwrap();
    expect_test::expect![[r#"
        SET PHONEKEY "Key=1;Type=line;Name=primary"
        SET PHONEKEY "Key=2;Type=autodial;Name=autodial;Attr1=+442079460000;Label=Night, 'porter'"
        ## The lamp of the next key is set up at the telephone.
        SET PHONEKEY "Key=3;Type=autodial;Name=autodial;Attr1=1003;Label=Zo?"
        SET PHONEKEY "Key=4;Type=autodial;Name=autodial;Attr1=*97"
    "#]]
    .assert_eq(told);
    let many = vec![key("line"); 128];
    let (text, _) = own_text(&Own { keys: &many, ..own() }).unwrap();
    assert!(text.contains("Key=96;") && !text.contains("Key=97;") && text.ends_with("## It has 128 keys here and takes 96.\n"), "{text}");
}
