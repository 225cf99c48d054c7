use super::*;

const WHOLE: &str = "SET FORCE_SIP_USERNAME u\nSET FORCE_SIP_PASSWORD p\nSET FORCE_SIP_EXTENSION e\n";

fn imported(file: &[u8]) -> Imported {
    read(file).unwrap_or_else(|found| panic!("{found:?}"))
}

#[test]
fn user_name_password_and_extension_may_all_differ() {
    let from = imported(ACO);
    assert_eq!(
        (from.username.as_str(), from.extension.as_str(), from.password.reveal()),
        ("802395710004", "17205550142*101", "kX8#q;Lw2%")
    );
    assert_eq!(from.phone, Phone { mac: Some("001b4f0a1b2c".to_owned()), model: Some("J179".to_owned()) });
    let from = imported(QUOTED);
    assert_eq!((from.username.as_str(), from.extension.as_str(), from.password.reveal()), ("802395710005", "17205550142*102", "b ue-Sky"));
    assert_eq!(from.phone, Phone::default());
    assert_eq!(imported(PRINTED).password.reveal(), "493827156");
}

#[test]
fn the_same_value_twice_is_one_value() {
    let file = format!("{WHOLE}SET FORCE_SIP_USERNAME \"u\"\n");
    assert_eq!(imported(file.as_bytes()).username, "u");
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let instead = |line: &str| WHOLE.replace("SET FORCE_SIP_PASSWORD p", line);
    for (file, rule, line, part) in [
        (instead("## none"), "missing", None, "no line `SET FORCE_SIP_PASSWORD`"),
        (instead("set FORCE_SIP_PASSWORD p"), "missing", Some(2), "this line is a comment"),
        (instead("\tSET FORCE_SIP_PASSWORD p"), "missing", Some(2), "this line is a comment"),
        (instead("SET\tforce_sip_password p"), "missing", Some(2), "this line is a comment"),
        (instead("SET FORCE_SIP_PASSWORD"), "empty", Some(2), "FORCE_SIP_PASSWORD: the value is empty"),
        (instead("SET FORCE_SIP_PASSWORD \"\""), "empty", Some(2), "the value is empty"),
        (instead("SET FORCE_SIP_PASSWORD \"p"), "quotes", Some(2), "never closed"),
        (instead("SET FORCE_SIP_PASSWORD \"p\"q"), "quotes", Some(2), "behind the closing quote"),
        (instead("SET FORCE_SIP_PASSWORD “p”"), "quotes", Some(2), "typographic"),
        (instead("SET FORCE_SIP_PASSWORD p q"), "blank", Some(2), "a value without quotes"),
        (instead("SET FORCE_SIP_PASSWORD p\u{7}"), "control-character", Some(2), "control character"),
        (instead(&format!("SET FORCE_SIP_PASSWORD {}", "p".repeat(256))), "too-long", Some(2), "256 characters"),
        (instead("ADD FORCE_SIP_PASSWORD p"), "appended", Some(2), "ADD appends to FORCE_SIP_PASSWORD"),
        (format!("{WHOLE}SET FORCE_SIP_PASSWORD q\n"), "set-twice", Some(4), "than in line 2"),
    ] {
        let found = read(file.as_bytes()).unwrap_err();
        assert_eq!(found.len(), 1, "{file}: {found:?}");
        assert_eq!((found[0].rule, found[0].line, found[0].severity), (rule, line, Severity::Error), "{file}");
        assert!(found[0].reason.contains(part), "{}", found[0]);
    }
    let latin = [&b"SET FORCE_SIP_USERNAME J\xfcrgen\n"[..], b"SET FORCE_SIP_PASSWORD p\nSET FORCE_SIP_EXTENSION e\n"].concat();
    assert_eq!(read(&latin).unwrap_err()[0].rule, "encoding");
    let utf8 = format!("SET FORCE_SIP_USERNAME Jürgen\n{}", WHOLE.split_once('\n').unwrap().1);
    assert_eq!(imported(utf8.as_bytes()).username, "Jürgen");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let found = read(b"SET FORCE_SIP_USERNAME \"u\n").unwrap_err();
    assert_eq!(found.iter().map(|finding| finding.rule).collect::<Vec<_>>(), ["missing", "missing", "quotes"]);
}

#[test]
fn a_file_that_begins_with_a_byte_order_mark_says_so_where_it_matters() {
    let file = format!("\u{feff}{WHOLE}");
    let found = read(file.as_bytes()).unwrap_err();
    assert_eq!((found[0].rule, found[0].line), ("missing", Some(1)));
}

#[test]
fn names_tell_which_phone_it_is() {
    let phone = |name: &str| {
        let Phone { mac, model } = Phone::of_name(name);
        (mac.unwrap_or_default(), model.unwrap_or_default())
    };
    for (name, mac, model) in [
        ("001b4f0a1b2c.txt", "001b4f0a1b2c", ""),
        ("J159 00-1B-4F-0A-1B-2D.txt", "001b4f0a1b2d", "J159"),
        ("phone-00:1B:4F:0A:1B:2E_j179.txt", "001b4f0a1b2e", "J179"),
        ("ACO_J1xx_Persistsettings.txt", "", ""),
        ("442071234567.txt", "", ""),
        ("44-20-71-23-45-67.txt", "442071234567", ""),
        ("001b4f0a1b2c and 001b4f0a1b2d.txt", "", ""),
        ("001b4f0a1b2c and 00:1b:4f:0a:1b:2c.txt", "001b4f0a1b2c", ""),
        ("001b4f0a1b2c3.txt", "", ""),
        ("x001b4f0a1b2c.txt", "", ""),
        ("00-1B-4F-0A:1B:2D.txt", "", ""),
        ("J179 J189.txt", "", ""),
        ("J1790.txt", "", ""),
        ("J199.txt", "", ""),
        ("", "", ""),
    ] {
        assert_eq!(phone(name), (mac.to_owned(), model.to_owned()), "{name}");
    }
    let of = |file: &str| imported(format!("{WHOLE}{file}").as_bytes()).phone;
    assert_eq!(of("IF $MODEL4 SEQ J129 GOTO X\nIF $MACADDR SEQ 001b4f0a1b2c GOTO X\n"), Phone::default());
    let phone = |mac: Option<&str>, model: Option<&str>| Phone { mac: mac.map(str::to_owned), model: model.map(str::to_owned) };
    let told = of("SET MACADDR 001B4F0A1B2C\nSET MODEL4 J189\n");
    assert_eq!(told, phone(Some("001b4f0a1b2c"), Some("J189")));
    // A file that lies under another phone's name belongs to neither.
    assert_eq!(told.clone().with(Phone::of_name("001b4f0a1b2d J189")), phone(None, Some("J189")));
    assert_eq!(told.with(Phone::default()), phone(Some("001b4f0a1b2c"), Some("J189")));
    assert_eq!(Phone::default().with(Phone::of_name("001b4f0a1b2d")), phone(Some("001b4f0a1b2d"), None));
}

proptest! {
    /// What was put in comes out, however it is written.
    #[test]
    fn what_a_phone_writes_is_read(
        name in "[!#-~]{1,40}", password in "[ !#-~]{1,40}", extension in "[!#-~]{1,40}", blanks in "[ \t]{0,3}", end in "\r?\n",
    ) {
        let file = format!("SET {blanks}FORCE_SIP_USERNAME {blanks}{name}{blanks}{end}SET FORCE_SIP_PASSWORD \"{password}\"{end}SET FORCE_SIP_EXTENSION \"{extension}\"");
        let from = imported(file.as_bytes());
        prop_assert_eq!((from.username, from.password.reveal(), from.extension), (name, password.as_str(), extension));
    }

    #[test]
    fn any_file_is_read_or_refused_with_an_error(file in file()) {
        if let Err(found) = read(&file) {
            prop_assert!(!found.is_empty() && found.iter().all(|finding| finding.severity == Severity::Error));
        }
    }
}
