use super::*;

#[test]
fn the_rest_of_a_phones_file_holds_everything_but_its_secrets() {
    let Rest { text, left_out } = rest(settings(ACO));
    assert_eq!(left_out, [15, 16, 17]);
    assert!(text.contains("SET SIP_CONTROLLER_LIST sip1vs=avayams.int.rclabenv.com:5096;transport=tls\n"), "{text}");
    assert!(text.contains("## MAC: 00:1B:4F:0A:1B:2C\n") && text.ends_with("SET MEDIAENCRYPTION 1,2,9\n"), "{text}");
    assert!(!text.contains("FORCE_SIP") && !text.contains("kX8#") && !text.contains("802395710004"), "{text}");
    // Lines keep their order, and as many are there as were not left out.
    assert_eq!(text.lines().count() + left_out.len(), settings(ACO).lines().count());
}

#[test]
fn what_is_named_like_a_password_is_left_out_wherever_it_stands() {
    for line in [
        "SET ADMIN_PASSWORD 27238",
        "SET PROCPSWD 1",
        "ADD FORCE_WEB_ADMIN_PASSWORD x",
        "SET NVIKEPSK x",
        "SET SNMPSTRING public",
        "set force_sip_password x",
        "## SET FORCE_SIP_PASSWORD x",
        "the password is x",
        "SET HTTPSRVR https://u:p@192.0.2.1/",
        "SET X \u{1}",
    ] {
        let file = format!("SET A 1\n{line}\r\nSET B 2");
        assert_eq!(rest(settings(file.as_bytes())), Rest { text: "SET A 1\nSET B 2\n".to_owned(), left_out: vec![2] }, "{line}");
    }
    for line in
        ["SET PHONEKEY \"Keynum=1\"", "ADD SOFTKEY_ACTIVE \"type=dtmf\"", "SET SIPDOMAIN a@b", "# LABEL", "IF $MODEL4 SEQ J129 GOTO X"]
    {
        assert_eq!(rest(settings(line.as_bytes())).left_out, [0_usize; 0], "{line}");
    }
    assert_eq!(rest(settings(b"\xef\xbb\xbfSET A 1\nSET B \xff\n")), Rest { text: "SET A 1\n".to_owned(), left_out: vec![2] });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]
    #[test]
    fn the_rest_is_text_without_credentials_and_its_own_rest(file in file()) {
        let Rest { text, left_out } = rest(settings(&file));
        prop_assert!(!text.to_uppercase().contains("SET FORCE_SIP"), "{text:?}");
        prop_assert!(text.chars().all(|c| !c.is_control() || c == '\t' || c == '\n'), "{text:?}");
        prop_assert_eq!(text.matches('\n').count() + left_out.len(), settings(&file).lines().count());
        prop_assert_eq!(rest(settings(text.as_bytes())), Rest { text: text.clone(), left_out: Vec::new() });
        if let Ok(imported) = read(&file) {
            // What is in quotes at one place may be a word of another: only longer secrets prove something.
            let secret = imported.password.reveal();
            let elsewhere = settings(&file).lines().any(|line| {
                !matches!(line.statement, Statement::Set(a) if a.is("FORCE_SIP_PASSWORD")) && String::from_utf8_lossy(line.text).contains(secret)
            });
            prop_assert!(secret.len() < 6 || elsewhere || !text.contains(secret), "{text:?}");
        }
    }
}
