use super::*;
use expect_test::{Expect, expect};

/// A file in which nothing is to be said but what `lines` cause.
const QUIET: &str = "SET SIP_CONTROLLER_LIST cloud.example:5096;transport=tls\nSET PHNEMERGNUM 112\n\
                     SET FORCE_SIP_USERNAME u\nSET FORCE_SIP_PASSWORD p\nSET FORCE_SIP_EXTENSION e\n";

fn table(file: &[u8]) -> String {
    lint(settings(file))
        .iter()
        .map(|finding| {
            let line = finding.line.map_or_else(|| "-".to_owned(), |line| line.to_string());
            format!("{line} {:?} {}: {}\n", finding.severity, finding.rule, finding.reason)
        })
        .collect()
}

fn check(file: impl AsRef<[u8]>, expected: Expect) {
    expected.assert_eq(&table(file.as_ref()));
}

/// What is said because of `line`, added to a file about which nothing is.
fn of(line: &str, expected: Expect) {
    check(format!("{QUIET}{line}\n"), expected);
}

/// What is said about a list of controllers.
fn list(list: &str, expected: Expect) {
    check(QUIET.replace("cloud.example:5096;transport=tls", list), expected);
}

#[test]
fn nothing_is_said_about_a_file_without_traps() {
    assert_eq!(table(QUIET.as_bytes()), "");
}

#[test]
fn the_file_of_a_phone_before_and_after() {
    check(ACO, expect![[""]]);
    let gateway = Controller::new("148.147.171.101", Transport::Tcp).unwrap();
    check(
        add(settings(ACO), &gateway).ok().unwrap().octets,
        expect![[r#"
        14 Note plain-tcp: `148.147.171.101:5060;transport=tcp`: calls and registrations cross the network unencrypted
        14 Warning mixed: names and addresses are mixed: phones are documented to use the names and to ignore the addresses
        14 Note several-controllers: Avaya's template of 2022 says that one controller is supported outside of Avaya Aura; its guide to persistent gateways shows two
    "#]],
    );
    let gateway = Controller::new("holdfast.example.net", Transport::Tls).unwrap();
    check(
        add(settings(ACO), &gateway).ok().unwrap().octets,
        expect![[r#"
        14 Note needs-dns: `holdfast.example.net`: a phone that restarts while the site is cut off finds it only with a DNS server at the site
        14 Note several-controllers: Avaya's template of 2022 says that one controller is supported outside of Avaya Aura; its guide to persistent gateways shows two
        14 Note trust: a controller behind the first speaks TLS, and TRUSTCERTS names no WebRootCA.pem
    "#]],
    );
}

#[test]
fn files_of_the_field() {
    check(
        PRINTED,
        expect![[r#"
         2 Error broken-line: the list breaks off here; line 3 looks like its rest and is a comment for the phone
    "#]],
    );
    check(
        SERVER,
        expect![[r#"
            - Note no-credentials: the file logs nobody in (no FORCE_SIP_USERNAME, FORCE_SIP_PASSWORD, FORCE_SIP_EXTENSION): no endpoint can be made of it
            2 Note jumps: IF and GOTO decide which lines count: what a phone takes depends on its model and address
            10 Note default-tls: `10.8.61.20`: no transport means TLS
            13 Warning failback: FAILBACK_POLICY admin: the phone stays at the gateway when the cloud is back, until an administrator moves it
            14 Note https-only: AUTH 1: from now on the phone takes files over HTTPS only, until it is cleared by hand
        "#]],
    );
    check(
        QUOTED,
        expect![[r#"
         6 Warning blank-in-list: blanks stand between the entries of the list; the phone's rule is none
         6 Note needs-dns: `sip20.ringcentral.com`: a phone that restarts while the site is cut off finds it only with a DNS server at the site
         6 Note several-controllers: Avaya's template of 2022 says that one controller is supported outside of Avaya Aura; its guide to persistent gateways shows two
         6 Note trust: a controller behind the first speaks TLS, and TRUSTCERTS names no WebRootCA.pem
    "#]],
    );
}

#[test]
fn the_list_of_controllers() {
    list(
        "a.example",
        expect![[r#"
         1 Note default-tls: `a.example`: no transport means TLS
    "#]],
    );
    list(
        "a.example:5060",
        expect![[r#"
         1 Warning default-tls: `a.example:5060`: no transport means TLS, and 5060 is the port of TCP
    "#]],
    );
    list(
        "a.example;transport=udp",
        expect![[r#"
         1 Warning transport: `a.example;transport=udp`: a persistent gateway is reached over tcp or tls; J100 phones do not use udp unless told to
    "#]],
    );
    list(
        "a.example;transport=auto",
        expect![[r#"
         1 Note transport: `a.example;transport=auto`: the transport is looked up in the DNS, which must be reachable when the cloud is not
    "#]],
    );
    list(
        "a.example;transport=sctp",
        expect![[r#"
         1 Error transport: `a.example;transport=sctp`: no phone knows this transport
    "#]],
    );
    list(
        "a.example:70000;transport=tls",
        expect![[r#"
         1 Error port: `a.example:70000;transport=tls`: the port is no number from 1 to 65535
    "#]],
    );
    list(
        "a.example;transport=tls, b.example;transport=tls",
        expect![[r#"
         1 Warning blank-in-list: blanks stand between the entries of the list; the phone's rule is none, and without quotes what follows the first may be lost
         1 Note needs-dns: `b.example`: a phone that restarts while the site is cut off finds it only with a DNS server at the site
         1 Note several-controllers: Avaya's template of 2022 says that one controller is supported outside of Avaya Aura; its guide to persistent gateways shows two
         1 Note trust: a controller behind the first speaks TLS, and TRUSTCERTS names no WebRootCA.pem
    "#]],
    );
    list(
        "\"a.example;transport=tls, b.example;transport=tls\"",
        expect![[r#"
         1 Warning blank-in-list: blanks stand between the entries of the list; the phone's rule is none
         1 Note needs-dns: `b.example`: a phone that restarts while the site is cut off finds it only with a DNS server at the site
         1 Note several-controllers: Avaya's template of 2022 says that one controller is supported outside of Avaya Aura; its guide to persistent gateways shows two
         1 Note trust: a controller behind the first speaks TLS, and TRUSTCERTS names no WebRootCA.pem
    "#]],
    );
    list(
        "a.example;transport=tls b.example;transport=tls",
        expect![[r#"
         1 Error blank: a blank stands inside an entry of the list
         1 Error transport: `a.example;transport=tls b.example;transport=tls`: no phone knows this transport
    "#]],
    );
    list(
        "a.example;transport=tls,,192.0.2.1;transport=tls",
        expect![[r#"
         1 Warning empty-entry: nothing stands between two commas of the list
         1 Warning mixed: names and addresses are mixed: phones are documented to use the names and to ignore the addresses
         1 Note several-controllers: Avaya's template of 2022 says that one controller is supported outside of Avaya Aura; its guide to persistent gateways shows two
         1 Note trust: a controller behind the first speaks TLS, and TRUSTCERTS names no WebRootCA.pem
    "#]],
    );
    list(
        "a.example;transport=tls,A.example:5061;transport=tls",
        expect![[r#"
         1 Warning twice: `A.example:5061;transport=tls` stands in the list twice
         1 Note needs-dns: `A.example`: a phone that restarts while the site is cut off finds it only with a DNS server at the site
         1 Note several-controllers: Avaya's template of 2022 says that one controller is supported outside of Avaya Aura; its guide to persistent gateways shows two
         1 Note trust: a controller behind the first speaks TLS, and TRUSTCERTS names no WebRootCA.pem
    "#]],
    );
}

#[test]
fn a_list_that_leads_nowhere() {
    list(
        &"a".repeat(256),
        expect![[r#"
         1 Error too-long: the list has 256 characters; a phone takes 255
    "#]],
    );
    list(
        "\"\"",
        expect![[r#"
         1 Error empty-list: the list is empty: it leads a phone nowhere
    "#]],
    );
    list(
        "a.example;transport=tls,\n192.0.2.1;transport=tcp",
        expect![[r#"
         1 Error broken-line: the list breaks off here; line 2 looks like its rest and is a comment for the phone
    "#]],
    );
    list(
        "“a.example”",
        expect![[r#"
         1 Error quotes: the value stands in typographic quotes, which a phone takes for a part of it
    "#]],
    );
}

#[test]
fn lists_that_are_several_or_none() {
    of(
        "SET SIP_CONTROLLER_LIST b.example;transport=tls",
        expect![[r#"
         1 Warning overridden: line 6 sets SIP_CONTROLLER_LIST again: this one has no effect
    "#]],
    );
    of(
        "ADD SIP_CONTROLLER_LIST b.example;transport=tls",
        expect![[r#"
         6 Error added-list: ADD is documented for keys, not for SIP_CONTROLLER_LIST: where the phone puts this is not known
    "#]],
    );
    of(
        "SET SIP_CONTROLLER_LIST_2 \"192.0.2.1:5061;transport=tls\"",
        expect![[r#"
         6 Warning second-list: SIP_CONTROLLER_LIST_2 is set: a phone with IPv4 and IPv6 takes it instead of SIP_CONTROLLER_LIST
    "#]],
    );
    check(
        QUIET.replace("SET SIP_CONTROLLER_LIST", "Set SIP_Controller_List"),
        expect![[r#"
         - Error no-list: the file has no line `SET SIP_CONTROLLER_LIST`: it leads a phone nowhere
         1 Warning no-statement: SIP_CONTROLLER_LIST: the phone takes this line for a comment, since it does not begin with `SET `
    "#]],
    );
}

#[test]
fn modes_that_take_one_controller() {
    let two = QUIET.replace("transport=tls\n", "transport=tls,holdfast.example;transport=tls\nSET TRUSTCERTS WebRootCA.pem\n");
    check(
        &two,
        expect![[r#"
         1 Note needs-dns: `holdfast.example`: a phone that restarts while the site is cut off finds it only with a DNS server at the site
         1 Note several-controllers: Avaya's template of 2022 says that one controller is supported outside of Avaya Aura; its guide to persistent gateways shows two
    "#]],
    );
    for lines in [
        "SET 3PCC_SERVER_MODE 5",
        "SET 3PCC_SERVER_MODE 0",
        "SET 3PCC_SERVER_MODE 4",
        "SET ENABLE_3PCC_ENVIRONMENT 0\nSET 3PCC_SERVER_MODE 1",
    ] {
        let said: String = table(format!("{two}{lines}\n").as_bytes()).lines().filter(|line| !line.contains("needs-dns")).collect();
        assert_eq!(
            said.contains("takes one controller"),
            lines.starts_with("SET 3PCC_SERVER_MODE") && !lines.ends_with('5'),
            "{lines}: {said}"
        );
    }
    of(
        "SET 3PCC_SERVER_MODE 4",
        expect![[r#"
         6 Warning mode: 3PCC_SERVER_MODE 4 (RingCentral) is not known to phones since R4.0.8
    "#]],
    );
    of(
        "SET 3PCC_SERVER_MODE 5\n## Model: J129",
        expect![[r#"
         6 Warning mode: a J129 does not know 3PCC_SERVER_MODE 5 (Avaya Cloud Office)
    "#]],
    );
    check(
        QUIET.replace("cloud.example", "192.0.2.1") + "SET 3PCC_SERVER_MODE 1\n",
        expect![[r#"
         6 Warning mode: 3PCC_SERVER_MODE 1 (BroadSoft) takes a name as its controller, no address
    "#]],
    );
}

#[test]
fn emergency_numbers() {
    check(
        QUIET.replace("SET PHNEMERGNUM 112\n", ""),
        expect![[r#"
         - Warning no-emergency-number: PHNEMERGNUM is not set: the phone has no number for its Emerg key and dials none when nobody is logged in
    "#]],
    );
    check(
        QUIET.replace("SET PHNEMERGNUM 112", "SET PHNEMERGNUM \"\""),
        expect![[r#"
         - Warning no-emergency-number: PHNEMERGNUM is not set: the phone has no number for its Emerg key and dials none when nobody is logged in
    "#]],
    );
    check(
        QUIET.replace("SET PHNEMERGNUM 112", "SET PHNEMERGNUM 112,911"),
        expect![[r#"
         2 Warning emergency-number: PHNEMERGNUM: `112,911` is not one number
    "#]],
    );
    of(
        "SET PHNMOREEMERGNUMS \"112, 911\"",
        expect![[r#"
         6 Warning emergency-number: PHNMOREEMERGNUMS: `112, 911` is not a list of at most 100 numbers
    "#]],
    );
    of("SET PHNMOREEMERGNUMS 112,911", expect![[""]]);
    of(
        "SET ENABLE_SHOW_EMERG_SK 0\nSET ENABLE_SHOW_EMERG_SK_UNREG 0",
        expect![[r#"
         6 Note no-emergency-key: ENABLE_SHOW_EMERG_SK 0: the phone shows no Emerg key while it is registered
         7 Note no-emergency-key: ENABLE_SHOW_EMERG_SK_UNREG 0: the phone shows no Emerg key while it is not registered
    "#]],
    );
    of(
        "SET SOFTKEY_CONFIGURATION 0,1,3\n## Model: J129",
        expect![[r#"
         6 Note no-emergency-key: SOFTKEY_CONFIGURATION without 2: a J129 shows no Emerg key, even with PHNEMERGNUM
    "#]],
    );
    of("SET SOFTKEY_CONFIGURATION 0,1,3", expect![[""]]);
}

#[test]
fn the_way_there_and_back() {
    of(
        "SET FAILBACK_POLICY admin",
        expect![[r#"
         6 Warning failback: FAILBACK_POLICY admin: the phone stays at the gateway when the cloud is back, until an administrator moves it
    "#]],
    );
    of(
        "SET SIPREGPROXYPOLICY \"simultaneous\"",
        expect![[r#"
         6 Warning simultaneous: SIPREGPROXYPOLICY simultaneous: the phone registers at the gateway all the time, and only Avaya Aura's proxies support that
    "#]],
    );
    of(
        "SET TCP_KEEP_ALIVE_STATUS 0",
        expect![[r#"
         6 Warning keep-alive: TCP_KEEP_ALIVE_STATUS 0: the phone notices a lost cloud only when a request of its own stays without an answer
    "#]],
    );
    of(
        "SET AUTH 1",
        expect![[r#"
         6 Note https-only: AUTH 1: from now on the phone takes files over HTTPS only, until it is cleared by hand
    "#]],
    );
    of(
        "IF $MODEL4 SEQ J129 GOTO X",
        expect![[r#"
         6 Note jumps: IF and GOTO decide which lines count: what a phone takes depends on its model and address
    "#]],
    );
}

#[test]
fn values_that_a_phone_does_not_take() {
    of(
        "SET REGISTERWAIT 10\nSET FAST_RESPONSE_TIMEOUT 33\nSET CONTROLLER_SEARCH_INTERVAL four",
        expect![[r#"
         6 Warning range: REGISTERWAIT: `10` is not a number of seconds from 30 to 86400
         7 Warning range: FAST_RESPONSE_TIMEOUT: `33` is not a number of seconds from 0 to 32
         8 Warning range: CONTROLLER_SEARCH_INTERVAL: `four` is not a number of seconds from 4 to 3600
    "#]],
    );
    of("SET REGISTERWAIT 300\nSET FAST_RESPONSE_TIMEOUT 0\nSET CONTROLLER_SEARCH_INTERVAL 4", expect![[""]]);
    of(
        &format!("SET SIPDOMAIN {}", "a".repeat(256)),
        expect![[r#"
         6 Warning too-long: SIPDOMAIN has 256 characters; a phone takes 255
    "#]],
    );
    of(
        "SET FORCE_WEB_ADMIN_PASSWORD 27238",
        expect![[r#"
         6 Warning web-password: FORCE_WEB_ADMIN_PASSWORD is the one phones are delivered with, or not of 8 to 31 characters
    "#]],
    );
    check(
        QUIET.replace("PASSWORD p", &format!("PASSWORD {}", "p".repeat(32))),
        expect![[r#"
         4 Warning too-long: FORCE_SIP_PASSWORD has 32 characters; J100 phones take 31
    "#]],
    );
}

#[test]
fn lines_that_are_not_what_they_seem() {
    of(
        "set PHNEMERGNUM 112\n SET PHNMOREEMERGNUMS 911\nSET\tTRUSTCERTS a.pem",
        expect![[r#"
         6 Warning no-statement: PHNEMERGNUM: the phone takes this line for a comment, since it does not begin with `SET `
         7 Warning no-statement: PHNMOREEMERGNUMS: the phone takes this line for a comment, since it does not begin with `SET `
         8 Warning no-statement: TRUSTCERTS: the phone takes this line for a comment, since it does not begin with `SET `
    "#]],
    );
    of("set it up as described", expect![[""]]);
    of(
        "SET DISPLAY_NAME “Ada”\nSET LABEL \"x\nSET OTHER \"x\" y",
        expect![[r#"
         6 Warning quotes: `DISPLAY_NAME`: the value stands in typographic quotes, which a phone takes for a part of it
         7 Warning quotes: `LABEL`: the value begins with a quote that is never closed
         8 Warning quotes: `OTHER`: something stands behind the closing quote of the value
    "#]],
    );
    of(
        "SET DISPLAY_NAME Ada Lovelace",
        expect![[r#"
         6 Warning blank: `DISPLAY_NAME`: a blank stands in a value without quotes; what follows it may be lost
    "#]],
    );
    of(
        "SET OBSCURE_PREFERENCES \n\"ESMENABLED,ESMSRVR\"",
        expect![[r#"
         6 Warning broken-line: `OBSCURE_PREFERENCES`: the list breaks off here; line 7 looks like its rest and is a comment for the phone
    "#]],
    );
    check(
        format!("\u{feff}SET PHNMOREEMERGNUMS 1\n{QUIET}"),
        expect![[r#"
         1 Warning no-statement: PHNMOREEMERGNUMS: the phone takes this line for a comment, since it does not begin with `SET `
    "#]],
    );
    check(
        b"\xff\xfeS\0E\0T\0 \0",
        expect![[r#"
         - Error encoding: the file is in UTF-16: no line of it begins with `SET ` for a phone
    "#]],
    );
    check(
        b"SET A 1\nSET B \0\n",
        expect![[r#"
         2 Error encoding: a zero octet: this is no text file
    "#]],
    );
}

#[test]
fn credentials() {
    check(
        "SET SIP_CONTROLLER_LIST cloud.example:5096;transport=tls\nSET PHNEMERGNUM 112\n",
        expect![[r#"
         - Note no-credentials: the file logs nobody in (no FORCE_SIP_USERNAME, FORCE_SIP_PASSWORD, FORCE_SIP_EXTENSION): no endpoint can be made of it
    "#]],
    );
    check(
        QUIET.replace("SET FORCE_SIP_USERNAME u\n", ""),
        expect![[r#"
         - Error missing: the file has no line `SET FORCE_SIP_USERNAME`
    "#]],
    );
    check(
        QUIET.replace("SET FORCE_SIP_USERNAME u", "SET FORCE_SIP_USERNAME \"u"),
        expect![[r#"
         3 Error quotes: FORCE_SIP_USERNAME: the value begins with a quote that is never closed
    "#]],
    );
}
