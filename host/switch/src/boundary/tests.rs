use super::*;
use crate::{
    fixture::{at, invite, message, site, udp},
    intake::{Identity, identify, read_call},
    site::Site,
    trunk::NumberFrom,
};
use std::sync::Arc;

/// The same field in all the ways in which it can be written.
fn spellings(name: &str) -> Vec<String> {
    let mixed: String =
        name.chars().enumerate().map(|(at, c)| if at % 2 == 0 { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() }).collect();
    let written = [name.to_owned(), name.to_lowercase(), name.to_uppercase(), mixed];
    let colons = [":", " :", "\t:", "  \t :", " \r\n :", "\r\n\t:"];
    let values =
        [" <sip:911@evil.example>", "<sip:911@evil.example>", "\r\n <sip:911@evil.example>", " \r\n\t<sip:911@evil.example>\r\n ;x=1"];
    let mut lines = Vec::new();
    for name in &written {
        for colon in colons {
            for value in values {
                lines.push(format!("{name}{colon}{value}\r\n"));
            }
        }
    }
    lines
}

const NAMES: [&str; 14] = [
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Remote-Party-ID",
    "Diversion",
    "CC-Diversion",
    "History-Info",
    "Identity",
    "y",
    "Identity-Info",
    "n",
    "P-Served-User",
    "P-Charging-Vector",
    "P-Asserted-Service",
    "P-Called-Party-ID",
];

fn with(lines: &str) -> Message {
    let text = String::from_utf8(invite("sip:+442079460000@sip.example", "Subject: hello\n").bytes().to_vec()).unwrap();
    Message::parse(text.replace("Subject:", &format!("{lines}Subject:")).into_bytes().into(), &sip::Limits::default()).unwrap()
}

#[test]
fn what_an_outsider_says_of_identity_is_gone_at_the_door_in_every_spelling() {
    for line in NAMES.iter().flat_map(|name| spellings(name)) {
        let told = with(&line);
        assert!(told.check().is_ok(), "{line:?}");
        let clean = without_identity(&told);
        let text = String::from_utf8_lossy(clean.bytes()).to_lowercase();
        assert!(!text.contains("evil") && text.contains("subject: hello"), "{line:?}: {text}");
        assert_eq!(clean.call_id(), told.call_id());
    }
}

#[test]
fn a_name_that_is_none_goes_nowhere() {
    for name in [
        "P-Asserted-Identity\u{b}",
        "P-Asserted-Identity\0",
        "P-Asserted Identity",
        "P-Asserted-Identity;x",
        "\u{a0}P-Asserted-Identity",
        "(x)Diversion",
    ] {
        let clean = without_identity(&with(&format!("{name}: <sip:911@evil.example>\r\n")));
        assert!(!String::from_utf8_lossy(clean.bytes()).contains("evil"), "{name:?}");
    }
}

#[test]
fn who_says_nothing_of_it_keeps_the_very_message() {
    let plain = with("User-Agent: phone\r\nX-Whatever: 1\r\n");
    assert_eq!(without_identity(&plain).bytes().as_ptr(), plain.bytes().as_ptr());
}

/// What a trunk gets of these lines, written by a phone.
fn goes_out(lines: &str, manners: &TrunkManners, help: bool) -> String {
    let told = with(lines);
    let passage = Passage { from: None, to: Some(manners), believed: true, help, own: false };
    let mut writer = Writer::request(told.method(), told.method_token(), told.request_uri());
    for header in told.headers().filter(|header| passage.lets(header)) {
        passage.write(&mut writer, header);
    }
    String::from_utf8(writer.finish_request(b"").bytes().to_vec()).unwrap()
}

#[test]
fn a_trunk_gets_what_a_call_needs_and_nothing_of_the_phones() {
    let lines = "User-Agent: Phone 1.2 at 10.1.0.7\r\nServer: x\r\nCall-Info: <http://10.1.0.7/me.png>\r\nWarning: 399 10.1.0.7 \"x\"\r\nReply-To: <sip:a@10.1.0.7>\r\n\
                 Organization: us\r\nX-Phone: 10.1.0.7\r\nAlert-Info: <http://10.1.0.7/r>\r\nReferred-By: <sip:a@10.1.0.7>\r\n\
                 Supported: timer, 100rel\r\nSession-Expires: 1800\r\nk: join\r\nx: 90\r\nAllow: INVITE\r\ns: short\r\nX-Account: 7\r\n";
    let plain = goes_out(lines, &TrunkManners::default(), false);
    assert!(!plain.contains("10.1.0.7\r\n") && !plain.contains("X-") && !plain.contains("Organization"), "{plain}");
    for needed in ["Supported: timer, 100rel", "Session-Expires: 1800", "k: join", "x: 90", "Allow: INVITE", "s: short", "Subject: hello"] {
        assert!(plain.contains(needed), "{needed}: {plain}");
    }
    let named =
        goes_out(lines, &TrunkManners { headers: vec!["x-account".to_owned(), "user-agent".to_owned()], ..TrunkManners::default() }, false);
    assert!(named.contains("X-Account: 7") && named.contains("User-Agent: Phone") && !named.contains("X-Phone"), "{named}");
    let all = goes_out(lines, &TrunkManners { headers: vec!["*".to_owned()], ..TrunkManners::default() }, false);
    assert!(all.contains("X-Phone") && all.contains("Alert-Info"), "{all}");
    let untimed = goes_out(lines, &TrunkManners { session_timers: false, ..TrunkManners::default() }, false);
    assert!(untimed.contains("Supported: 100rel\r\n") && !untimed.contains("1800") && !untimed.contains("x: 90"), "{untimed}");
}

#[test]
fn nothing_of_a_call_for_help_is_lost_on_its_way_but_who_it_pretends_to_be() {
    let lines = "Call-Info: <cid:1@x>;purpose=EmergencyCallData.ProviderInfo\r\nX-Anything: 1\r\nGeolocation: <cid:2@x>\r\nP-Asserted-Identity: <sip:911@evil.example>\r\n";
    let told = goes_out(lines, &TrunkManners::default(), true);
    assert!(
        told.contains("EmergencyCallData") && told.contains("X-Anything") && told.contains("Geolocation:") && !told.contains("evil"),
        "{told}"
    );
}

#[test]
fn a_line_goes_out_as_one_line() {
    let folded = goes_out("Accept: application/sdp,\r\n P-Asserted-Identity: <sip:911@evil.example>\r\n", &TrunkManners::default(), false);
    assert!(folded.contains("\r\nAccept: application/sdp,  P-Asserted-Identity: <sip:911@evil.example>\r\n"), "{folded}");
    for disguised in ["Reason: a\rP-Asserted-Identity: <sip:911@evil.example>\r\n", "Reason: a\n\tDiversion: x\r\n", "Reason: a\0b\r\n"] {
        let written = goes_out(disguised, &TrunkManners::default(), false);
        let reason = written.split("\r\n").find(|line| line.starts_with("Reason")).unwrap();
        assert!(!reason.contains(['\r', '\n', '\0', '\t']), "{written:?}");
    }
}

#[test]
fn identity_passes_between_those_who_trust_each_other() {
    let trusted = TrunkManners { trusted: true, ..TrunkManners::default() };
    let silent = TrunkManners { diversion: false, ..TrunkManners::default() };
    let stranger = TrunkManners::default();
    let told = with("P-Asserted-Identity: <sip:1@a>\r\nDiversion: <sip:2@a>\r\nIdentity: signed\r\nRemote-Party-ID: <sip:3@a>\r\n");
    let passes = |from: Option<&TrunkManners>, to: Option<&TrunkManners>| {
        let passage = Passage::between(from, to, false);
        let fields = [Name::PAssertedIdentity, Name::Diversion, Name::Identity, Name::RemotePartyId];
        let passes = |name: &Name| told.headers().any(|header| header.name == *name && passage.lets(&header));
        fields.iter().filter(|name| passes(name)).map(|name| name.canonical()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(passes(None, None), "");
    assert_eq!(passes(None, Some(&trusted)), "");
    assert_eq!(passes(Some(&stranger), None), "");
    assert_eq!(passes(Some(&stranger), Some(&trusted)), "");
    assert_eq!(passes(Some(&trusted), None), "P-Asserted-Identity Diversion Identity");
    assert_eq!(passes(Some(&trusted), Some(&trusted)), "P-Asserted-Identity Diversion Identity");
    assert_eq!(passes(Some(&trusted), Some(&stranger)), "Diversion Identity");
    assert_eq!(passes(Some(&trusted), Some(&silent)), "Identity");
}

/// The fixture's site, whose first trunk behaves so.
fn behaving(manners: TrunkManners) -> Site {
    let site = site();
    let mut directory = (*site.directory()).clone();
    let first = Arc::make_mut(directory.trunks.first_mut().unwrap());
    first.manners = manners;
    site.replace_directory(directory, at(0));
    site
}

fn call_from_outside(site: &Site, lines: &str) -> Call {
    let directory = site.directory();
    let told = message(&format!(
        "INVITE sip:account@sip.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKi\nMax-Forwards: 70\nFrom: <sip:+15550100@far.example>;tag=1\n\
         To: <sip:+44-20-3000-1234@sip.example>\nCall-ID: call\nCSeq: 1 INVITE\n{lines}Content-Length: 0\n\n"
    ));
    let mut call = read_call(&told, udp("192.0.2.10:5060"), &directory, at(1)).unwrap();
    identify(&mut call, &Identity::Trunk("first".to_owned()), site);
    call
}

#[test]
fn only_a_trusted_trunk_is_believed() {
    let lines = "P-Asserted-Identity: \"Real\" <tel:+15550199>\nDiversion: <sip:2@far.example>\n";
    let strange = call_from_outside(&behaving(TrunkManners::default()), lines);
    assert_eq!((strange.caller_number.as_str(), strange.message.header(Name::Diversion)), ("+15550100", None));
    let trusted = call_from_outside(&behaving(TrunkManners { trusted: true, ..TrunkManners::default() }), lines);
    assert_eq!((trusted.caller_number.as_str(), trusted.caller_name.as_str()), ("+15550199", "Real"));
    assert_eq!(trusted.message.header(Name::Diversion), Some(&b"<sip:2@far.example>"[..]));
}

#[test]
fn the_called_number_stands_where_the_operator_says() {
    assert_eq!(call_from_outside(&behaving(TrunkManners::default()), "").called, "account");
    let of_to = behaving(TrunkManners { number_from: NumberFrom::To, ..TrunkManners::default() });
    assert_eq!(call_from_outside(&of_to, "").called, "+442030001234");
}
