use super::*;
use crate::{
    decision::Refusal,
    directory::{Directory, Endpoint, Trunk},
    fixture::{at, directory, invite, message, register, site, tcp, udp},
    licence::Seat,
};
use expect_test::expect;
use sip::{digest, digest::Ha1, random::Random};
use std::cell::RefCell;

const REALM: &str = "sip.example";

fn with_passwords(old: &Directory) -> Directory {
    let endpoints = old.endpoints.iter().map(|endpoint| Endpoint {
        ha1: Ha1::from_password(&endpoint.username, REALM, &format!("secret-{}", endpoint.extension)),
        ..(**endpoint).clone()
    });
    let trunks = old.trunks.iter().map(|trunk| (**trunk).clone()).collect();
    Directory::new(old.domain.clone(), endpoints.collect(), old.pools.clone(), trunks, old.emergency.clone(), old.locations.clone())
}

struct Door {
    site: Site,
    authenticator: Authenticator,
    random: RefCell<Random>,
}

impl Door {
    fn new() -> Self {
        Self {
            site: Site::new(with_passwords(&directory()), crate::Limits::default()),
            authenticator: Authenticator::new(REALM, [7; 32], 300, 1000),
            random: RefCell::new(Random::from_seed([1; 32])),
        }
    }

    /// `method` signed by `username`, as a phone answers the first challenge.
    fn signed(&self, method: &str, username: &str, password: &str, now: u64) -> Message {
        let challenge = &self.authenticator.challenges(false, at(now), &mut self.random.borrow_mut())[0];
        let credentials = digest::answer(challenge.as_bytes(), username, password, method, "sip:sip.example", 1, "c0").unwrap();
        let header = if method == "REGISTER" { "Authorization" } else { "Proxy-Authorization" };
        message(&format!(
            "{method} sip:sip.example SIP/2.0\nVia: SIP/2.0/UDP 10.1.0.7:5060;branch=z9hG4bKx\nFrom: <sip:1001@x>;tag=1\nTo: <sip:1001@x>\nCall-ID: c\nCSeq: 1 {method}\n\
             {header}: {credentials}\nContent-Length: 0\n\n"
        ))
    }

    fn ask(&self, request: &Message, from: &str, now: u64) -> String {
        match authenticate(request, udp(from), &self.site, &self.authenticator, at(now)) {
            Identity::Trunk(trunk) => format!("trunk {trunk}"),
            Identity::Endpoint(endpoint) => format!("endpoint {}", endpoint.id),
            Identity::Challenge { stale } => format!("challenge stale={stale}"),
            Identity::Refused(refusal) => format!("{} {}: {}", refusal.status, refusal.phrase, refusal.detail),
        }
    }
}

const PHONE: &str = "10.1.0.7:5060";
const TRUNK: &str = "192.0.2.10:5060";

#[test]
fn phones_prove_their_password() {
    let door = Door::new();
    assert_eq!(door.ask(&door.signed("REGISTER", "user-1001", "secret-1001", 0), PHONE, 1), "endpoint desk-1");
    assert_eq!(door.ask(&door.signed("INVITE", "user-1002", "secret-1002", 0), PHONE, 1), "endpoint desk-2");
    assert_eq!(door.ask(&register("1001", "a", 1, ""), PHONE, 0), "challenge stale=false");
    assert_eq!(door.ask(&invite("sip:1002@x", ""), PHONE, 0), "challenge stale=false");
    // Right, but too old.
    assert_eq!(door.ask(&door.signed("INVITE", "user-1002", "secret-1002", 0), PHONE, 10_000), "challenge stale=true");
    // A disabled phone is known all the same: its call for help shows who calls.
    assert_eq!(door.ask(&door.signed("INVITE", "user-1003", "secret-1003", 0), PHONE, 1), "endpoint desk-3");
}

#[test]
fn wrong_passwords_and_unknown_users_get_one_answer() {
    let door = Door::new();
    for (username, password) in [
        ("user-1001", "wrong"),
        ("nobody", "wrong"),
        ("nobody", "secret-1001"),
        ("1001", "secret-1001"),
        ("desk-1", "secret-1001"),
        ("", ""),
    ] {
        for method in ["REGISTER", "INVITE"] {
            for now in [1, 10_000] {
                assert_eq!(
                    door.ask(&door.signed(method, username, password, 0), PHONE, now),
                    "challenge stale=false",
                    "{method} {username} {now}"
                );
            }
        }
    }
}

#[test]
fn trunks_are_known_by_their_source_but_never_register() {
    let door = Door::new();
    assert_eq!(door.ask(&invite("sip:1002@x", ""), TRUNK, 0), "trunk first");
    assert_eq!(door.ask(&register("1001", "a", 1, ""), TRUNK, 0), "challenge stale=false");
    // A phone in the trunk's network.
    assert_eq!(door.ask(&door.signed("INVITE", "user-1001", "secret-1001", 0), TRUNK, 1), "endpoint desk-1");
    assert_eq!(door.ask(&door.signed("INVITE", "user-1001", "wrong", 0), TRUNK, 1), "challenge stale=false");
    // Credentials for somebody else's realm are none for us.
    let foreign = invite(
        "sip:1002@x",
        "Proxy-Authorization: Digest username=\"a\", realm=\"cloud.example\", nonce=\"n\", uri=\"sip:x\", response=\"00\"\n",
    );
    assert_eq!(door.ask(&foreign, TRUNK, 0), "trunk first");
    assert_eq!(door.ask(&foreign, PHONE, 0), "challenge stale=false");
}

fn read(uri: &str) -> Result<Call, Refusal> {
    read_call(&invite(uri, ""), udp(PHONE), &directory(), at(0))
}

#[test]
fn a_call_is_read_from_its_request_uri() {
    cov_mark::check!(rfc3261_8_2_2_1_scheme);
    let told = |uri: &str| match read(uri) {
        Ok(call) => format!("{uri} -> {:?} `{}`\n", call.kind, call.called),
        Err(refusal) => format!("{uri} -> {} {}: {}\n", refusal.status, refusal.phrase, refusal.detail),
    };
    let all: String = [
        "sip:1002@cloud.example",
        "sips:1002@cloud.example;user=phone",
        "sip:+44%20(20)-3000.1234;phone-context=x@cloud.example",
        "sip:bob.smith%40home@cloud.example",
        "tel:+44-20-3000-1234",
        "tel:7042;phone-context=example.com",
        "sip:b%FFb@cloud.example",
        "sip:9-911@cloud.example",
        "tel:0933",
        "URN:service:SOS.fire",
        "urn:service:test.sos",
        "urn:isbn:0451450523",
        "mailto:a@b.example",
        "http://a.example/",
        "sip:cloud.example",
        "sip:@cloud.example",
        "sip:;x=1@cloud.example",
        "sip:10:02:@:",
        "nonsense",
    ]
    .into_iter()
    .map(told)
    .collect();
    expect![[r#"
        sip:1002@cloud.example -> Normal `1002`
        sips:1002@cloud.example;user=phone -> Normal `1002`
        sip:+44%20(20)-3000.1234;phone-context=x@cloud.example -> Normal `+442030001234`
        sip:bob.smith%40home@cloud.example -> Normal `bob.smith@home`
        tel:+44-20-3000-1234 -> Normal `+442030001234`
        tel:7042;phone-context=example.com -> Normal `7042`
        sip:b%FFb@cloud.example -> Normal `b�b`
        sip:9-911@cloud.example -> Emergency `911`
        tel:0933 -> EmergencyTest `933`
        URN:service:SOS.fire -> Emergency `URN:service:SOS.fire`
        urn:service:test.sos -> EmergencyTest `urn:service:test.sos`
        urn:isbn:0451450523 -> 416 Unsupported URI Scheme: `urn:isbn:0451450523` cannot be called
        mailto:a@b.example -> 416 Unsupported URI Scheme: `mailto:a@b.example` cannot be called
        http://a.example/ -> 416 Unsupported URI Scheme: `http://a.example/` cannot be called
        sip:cloud.example -> 484 Address Incomplete: `sip:cloud.example` names no number
        sip:@cloud.example -> 400 Bad Request-URI: unreadable Request-URI `sip:@cloud.example`
        sip:;x=1@cloud.example -> Normal `;x=1`
        sip:10:02:@: -> 400 Bad Request-URI: unreadable Request-URI `sip:10:02:@:`
        nonsense -> 400 Bad Request-URI: unreadable Request-URI `nonsense`
    "#]]
    .assert_eq(&all);
}

#[test]
fn a_called_number_has_a_length_and_help_comes_whatever_is_called() {
    let refusal = read(&format!("sip:{}@sip.example", "1".repeat(129))).unwrap_err();
    assert_eq!((refusal.status, refusal.phrase.as_str()), (414, "Request-URI Too Long"));
    assert_eq!(read(&format!("sip:{}@sip.example", "1".repeat(128))).unwrap().called.len(), 128);
    let help = read(&format!("urn:service:sos.{}", "x".repeat(200))).unwrap();
    assert_eq!((help.kind, help.called.as_str()), (CallKind::Emergency, "urn:service:sos"));
    assert_eq!(read("urn:service:sos.fire").unwrap().called, "urn:service:sos.fire");
}

#[test]
fn until_proved_a_caller_is_what_from_claims() {
    let call = read("sip:1002@x").unwrap();
    assert_eq!(call.caller, Caller::Unknown);
    assert_eq!((call.caller_number.as_str(), call.caller_name.as_str()), ("1001", "Front \"desk\""));
    assert_eq!(call.location.as_deref(), Some("annex"));
}

#[test]
fn proved_callers_show_their_own_numbers() {
    let site = site();
    let directory = site.directory();
    let mut call = read("sip:1002@x").unwrap();
    call.location = Some("hq".to_owned());
    let mut unplaced = call.clone();
    identify(&mut call, &Identity::Endpoint(directory.endpoint("desk-1").unwrap().clone()), &site);
    assert_eq!((call.caller_number.as_str(), call.caller_name.as_str(), call.location.as_deref()), ("1001", "Phone 1001", Some("annex")));
    identify(&mut unplaced, &Identity::Endpoint(directory.endpoint("desk-2").unwrap().clone()), &site);
    assert_eq!(
        (unplaced.caller_number.as_str(), unplaced.location.as_deref()),
        ("1002", Some("hq")),
        "no place of its own: that of the network"
    );

    let mut believing = (*directory).clone();
    if let Some(first) = believing.trunks.first_mut() {
        Arc::make_mut(first).manners.trusted = true;
    }
    site.replace_directory(believing, at(0));
    let trunk = |lines: &str| {
        let mut call = read_call(&invite("sip:1002@x", lines), udp(TRUNK), &directory, at(0)).unwrap();
        identify(&mut call, &Identity::Trunk("first".to_owned()), &site);
        assert_eq!(call.caller, Caller::Trunk("first".to_owned()));
        format!("{} `{}`", call.caller_number, call.caller_name)
    };
    assert_eq!(trunk(""), "1001 `Front \"desk\"`");
    assert_eq!(
        trunk("P-Asserted-Identity: \"Smith, \\\"J\\\"\" <sip:+44-20-7946-0000@p.example;user=phone>, <tel:+442079460000>\n"),
        "+442079460000 `Smith, \"J\"`"
    );
    assert_eq!(trunk("P-Asserted-Identity: <tel:+44-20-7946-0000>\n"), "+442079460000 `Front \"desk\"`");
    assert_eq!(trunk("P-Asserted-Identity: junk\n"), "1001 `Front \"desk\"`");
}

fn bind(site: &Site, endpoint: &str, flow: Flow, emergency_only: bool) {
    let request = register("x", &format!("{flow:?}"), 1, &format!("Contact: <sip:{endpoint}@10.1.0.7>\nExpires: 60\n"));
    let wish = site.registrar.read(&request).unwrap();
    site.register(endpoint, &wish, &request, flow, Seat::none(), emergency_only, at(0)).unwrap();
}

#[test]
fn a_registered_phone_calling_for_help_is_known_by_its_flow() {
    let site = site();
    bind(&site, "desk-2", udp(PHONE), true);
    let caller = |uri: &str, flow: Flow, now: u64| {
        let mut call = read_call(&invite(uri, ""), flow, &site.directory(), at(now)).unwrap();
        identify(&mut call, &Identity::Challenge { stale: false }, &site);
        match call.caller {
            Caller::Endpoint(endpoint) => endpoint.id.clone(),
            other @ (Caller::Trunk(_) | Caller::Unknown) => format!("{other:?}"),
        }
    };
    assert_eq!(caller("sip:911@x", udp(PHONE), 1), "desk-2");
    assert_eq!(caller("urn:service:test.sos", udp(PHONE), 1), "desk-2");
    assert_eq!(caller("sip:911@x", udp("10.1.0.7:5061"), 1), "Unknown");
    assert_eq!(caller("sip:911@x", udp(PHONE), 60), "Unknown", "the binding has ended");
    assert_eq!(caller("sip:1002@x", udp(PHONE), 1), "Unknown", "any other call has to prove who calls");
    // Behind one proxy From decides, and only among those who registered there.
    let proxy = tcp("10.1.0.5:5060", 9);
    bind(&site, "desk-1", proxy, false);
    assert_eq!(caller("sip:911@x", proxy, 1), "desk-1");
    bind(&site, "desk-2", proxy, false);
    assert_eq!(caller("sip:911@x", proxy, 1), "desk-1");
}

#[test]
fn who_may_only_call_for_help() {
    let site = site();
    bind(&site, "desk-2", udp(PHONE), true);
    let asked = |id: &str, uri: &str| {
        let mut call = read_call(&invite(uri, ""), udp(PHONE), &site.directory(), at(1)).unwrap();
        identify(&mut call, &Identity::Endpoint(site.directory().endpoint(id).unwrap().clone()), &site);
        permit(&call, &site).map_err(|refusal| format!("{} {}: {}", refusal.status, refusal.phrase, refusal.detail))
    };
    assert_eq!(asked("desk-1", "sip:1002@x"), Ok(()));
    assert_eq!(
        asked("desk-2", "sip:1001@x").unwrap_err(),
        "403 Emergency Calls Only: endpoint `desk-2` is registered without a licence seat"
    );
    assert_eq!(asked("desk-3", "sip:1001@x").unwrap_err(), "403 Disabled: endpoint `desk-3` is disabled");
    for id in ["desk-1", "desk-2", "desk-3"] {
        for uri in ["sip:911@x", "sip:9-112@x", "urn:service:sos", "tel:933"] {
            assert_eq!(asked(id, uri), Ok(()), "{id} {uri}");
        }
    }
    // Trunks and unknown callers are the policies' matter.
    let call = read("sip:1002@x").unwrap();
    assert_eq!(permit(&call, &site), Ok(()));
}

#[test]
fn whose_address_of_record_it_is() {
    cov_mark::check!(rfc3261_10_3_address_of_record);
    let site = site();
    let asked = |id: &str, to: &str, lines: &str| {
        let text = format!("REGISTER sip:x SIP/2.0\nTo: {to}\nFrom: {to};tag=1\nCall-ID: a\nCSeq: 1 REGISTER\n{lines}\n");
        let endpoint = site.directory().endpoint(id).unwrap().clone();
        read_registration(&message(&text), udp(PHONE), &endpoint, &site, at(0), &mut Random::from_seed([1; 32]))
            .map_err(|refusal| format!("{} {}", refusal.status, refusal.phrase))
    };
    let contact = "Contact: <sip:gone@a>;expires=0, <sip:new@a>;expires=60\n";
    for to in [
        "<sip:1001@sip.example>",
        "<sip:1001@cloud.example:5061>",
        "\"Any; name\" <sips:user-1001@x>",
        "sip:desk-1@x",
        "<sip:+442030001234@x>",
        "<sip:+44-20-3000-1234;phone-context=x@x;user=phone>",
        "<sip:%31001@x>",
    ] {
        let (registration, wish) = asked("desk-1", to, contact).unwrap();
        assert_eq!((registration.contact.as_str(), registration.expires, registration.registered), ("sip:new@a", 60, false), "{to}");
        assert!(matches!(wish, Wish::Bind(contacts) if contacts.len() == 2));
    }
    assert_eq!(asked("desk-1", "<sip:1002@x>", contact).unwrap_err(), "403 Not Your Address");
    assert_eq!(asked("desk-1", "<sip:1003@x>", contact).unwrap_err(), "403 Not Your Address");
    assert_eq!(asked("desk-1", "<sip:7777@x>", contact).unwrap_err(), "404 Not Found");
    assert_eq!(asked("desk-1", "<sip:x.example>", contact).unwrap_err(), "404 Not Found");
    assert_eq!(asked("desk-1", "<tel:1001>", contact).unwrap_err(), "400 Bad To");
    assert_eq!(asked("desk-1", "<urn:service:sos>", contact).unwrap_err(), "400 Bad To");
    assert_eq!(asked("desk-3", "<sip:1003@x>", contact).unwrap_err(), "403 Disabled");
    // Who the address belongs to is judged before the contacts are.
    assert_eq!(asked("desk-1", "<sip:1002@x>", "Contact: <sip:a@b>;expires=1\n").unwrap_err(), "403 Not Your Address");
    assert_eq!(asked("desk-1", "<sip:1001@x>", "Contact: <sip:a@b>;expires=1\n").unwrap_err(), "423 Interval Too Brief");
    let (registration, wish) = asked("desk-1", "<sip:1001@x>", "").unwrap();
    assert_eq!((registration.contact.as_str(), wish), ("", Wish::Query));
    bind(&site, "desk-1", udp(PHONE), false);
    assert!(asked("desk-1", "<sip:1001@x>", contact).unwrap().0.registered);
}

#[test]
fn a_trunk_is_known_where_we_are_registered_and_by_its_certificate() {
    let site = site();
    let mut directory = directory();
    let register = Some(crate::trunk::Register { user: "acct".to_owned(), seconds: 60 });
    let certificate = Some("sbc.provider.example".to_owned());
    let with = |trunk: &Trunk, reach| Arc::new(Trunk { sources: Vec::new(), reach, ..trunk.clone() });
    directory.trunks[0] = with(&directory.trunks[0], crate::trunk::Reach { register, ..Default::default() });
    directory.trunks[1] = with(&directory.trunks[1], crate::trunk::Reach { certificate, ..Default::default() });
    site.replace_directory(directory, at(0));
    let from = |flow: Flow| site.trunk_from(flow).map(|trunk| trunk.name.clone());
    assert_eq!(from(udp("192.0.2.10:5060")), None, "nobody has registered yet");
    site.trunks.set_registered("first", Some(crate::trunk::RegistrationReport::default()), at(0));
    assert_eq!(from(udp("192.0.2.10:5060")).as_deref(), Some("first"));
    // Another port there is somebody else, and so is another transport.
    assert_eq!((from(udp("192.0.2.10:5062")), from(tcp("192.0.2.10:5060", 3))), (None, None));
    let tls = |connection| Flow { transport: sip::transport::Transport::Tls, ..tcp("203.0.113.77:40000", connection) };
    site.trunks.prove(4, vec!["sbc.provider.example".to_owned()]);
    site.trunks.prove(5, vec!["other.example".to_owned()]);
    assert_eq!((from(tls(4)).as_deref(), from(tls(5)), from(tls(6))), (Some("second"), None, None));
    site.trunks.forget_connection(4);
    assert_eq!(from(tls(4)), None);
}
