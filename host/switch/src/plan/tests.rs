use super::*;
use crate::{
    fixture::{at, invite, message, register, site, tcp, udp},
    intake::{Identity, identify, read_call},
    licence::Seat,
};
use expect_test::{Expect, expect};

fn stage(targets: Vec<Target>) -> Stage {
    Stage { targets, ring: None, next: NextOn::default() }
}

fn phone(id: &str) -> Target {
    Target::Endpoint(id.to_owned())
}

fn out(trunk: &str, number: &str) -> Target {
    Target::Trunk(TrunkTarget { trunk: trunk.to_owned(), number: number.to_owned(), caller_number: None })
}

fn plan(stages: Vec<Stage>) -> Plan {
    Plan { stages }
}

fn bind(site: &Site, endpoint: &str, call_id: &str, flow: Flow, emergency_only: bool, lines: &str) {
    let request = register("x", call_id, 1, lines);
    let wish = site.registrar.read(&request).unwrap();
    site.register(endpoint, &wish, &request, flow, Seat::none(), emergency_only, at(0)).unwrap();
}

/// A call of `desk-1` from `10.1.0.1`.
fn call(site: &Site, uri: &str) -> Call {
    call_with(site, uri, udp("10.1.0.1:5060"), "Contact: <sip:one@10.1.0.1>\n")
}

fn call_with(site: &Site, uri: &str, flow: Flow, lines: &str) -> Call {
    let directory = site.directory();
    let mut call = read_call(&invite(uri, lines), flow, &directory, at(1)).unwrap();
    identify(&mut call, &Identity::Endpoint(directory.endpoint("desk-1").unwrap().clone()), site);
    call
}

fn told(resolved: &Result<Resolved, Refusal>) -> String {
    let resolved = match resolved {
        Ok(resolved) => resolved,
        Err(refusal) => return format!("{} {}: {}\n", refusal.status, refusal.phrase, refusal.detail),
    };
    let mut text = String::new();
    for (number, stage) in (1..).zip(&resolved.stages) {
        writeln!(text, "stage {number}: ring {:?}, wait {:?}", stage.ring, stage.answer_wait).unwrap();
        for leg in &stage.legs {
            let whom = leg.trunk.as_deref().or(leg.endpoint.as_deref()).unwrap();
            writeln!(text, "  {whom}: {} by {:?} To {} Route {:?}", leg.uri, leg.flow, leg.called, leg.route).unwrap();
        }
    }
    text
}

fn resolves(site: &Site, stages: Vec<Stage>, uri: &str, expected: &Expect) {
    let plan = plan(stages);
    assert_eq!(check(&plan, site), Ok(()));
    expected.assert_eq(&told(&resolve(&plan, &call(site, uri), site)));
}

#[test]
fn a_plan_that_breaks_the_contract_is_nonsense() {
    let site = site();
    let offences = [
        plan(vec![]),
        plan(vec![stage(vec![])]),
        plan(vec![stage(vec![phone("desk-2")]), stage(vec![phone("desk-9")])]),
        plan(vec![stage(vec![phone("desk-2"), out("nowhere", "1")])]),
        plan(vec![stage(vec![phone("desk-2")]); 17]),
        plan(vec![stage(vec![phone("desk-2"); 17])]),
        plan(vec![Stage { ring: Some(Duration::ZERO), ..stage(vec![phone("desk-2")]) }]),
    ];
    let texts: String = offences.iter().map(|offence| format!("{}\n", check(offence, &site).unwrap_err())).collect();
    expect![[r#"
        answered nonsense: a plan without stages
        answered nonsense: stage 1 has no target
        answered nonsense: stage 2: there is no endpoint `desk-9`
        answered nonsense: stage 1: there is no trunk `nowhere`
        answered nonsense: a plan of 17 stages, 16 allowed (limits.stages)
        answered nonsense: stage 1 has 17 targets, 16 allowed (limits.forks)
        answered nonsense: stage 1 may not ring at all
    "#]]
    .assert_eq(&texts);
    assert_eq!(check(&plan(vec![stage(vec![phone("desk-2"); 16]); 16]), &site), Ok(()));
}

#[test]
fn an_endpoint_rings_at_all_its_live_bindings() {
    let site = site();
    bind(
        &site,
        "desk-2",
        "a",
        udp("10.1.0.2:5060"),
        false,
        "Contact: <sip:two@10.1.0.2>;q=0.5\nExpires: 60\nPath: <sip:edge.example;lr>\nPath: <sip:inner.example;lr>\n",
    );
    bind(&site, "desk-2", "b", tcp("10.1.0.3:31000", 4), false, "Contact: <sip:two@10.1.0.3;transport=tcp;ob>\nExpires: 60\n");
    resolves(
        &site,
        vec![stage(vec![phone("desk-2"), phone("desk-3")])],
        "sip:1002@x.example",
        &expect![[r#"
        stage 1: ring 60s, wait None
          desk-2: sip:two@10.1.0.3;transport=tcp;ob by tcp:10.1.0.3:31000#4 To 1002 Route []
          desk-2: sip:two@10.1.0.2 by udp:10.1.0.2:5060 To 1002 Route ["<sip:edge.example;lr>", "<sip:inner.example;lr>"]
    "#]],
    );
    let late = Call { at: at(60), ..call(&site, "sip:1002@x.example") };
    expect![[r#"
        480 Temporarily Unavailable: nobody to ring for `1002`: no live binding, no resolved trunk
    "#]]
    .assert_eq(&told(&resolve(&plan(vec![stage(vec![phone("desk-2")])]), &late, &site)));
}

#[test]
fn a_phone_without_a_seat_rings() {
    let site = site();
    bind(&site, "desk-2", "a", udp("10.1.0.2:5060"), true, "Contact: <sip:two@10.1.0.2>\n");
    resolves(
        &site,
        vec![stage(vec![phone("desk-2")])],
        "sip:1002@x.example",
        &expect![[r#"
        stage 1: ring 60s, wait None
          desk-2: sip:two@10.1.0.2 by udp:10.1.0.2:5060 To 1002 Route []
    "#]],
    );
}

#[test]
fn calling_the_own_extension_rings_the_other_phones_of_it() {
    let site = site();
    let own = vec![stage(vec![phone("desk-1")])];
    bind(&site, "desk-1", "a", udp("10.1.0.1:5060"), false, "Contact: <sip:one@10.1.0.1>\n");
    resolves(
        &site,
        own.clone(),
        "sip:1001@x.example",
        &expect![[r#"
        480 Temporarily Unavailable: nobody to ring for `1001`: no live binding, no resolved trunk
    "#]],
    );
    bind(&site, "desk-1", "b", tcp("10.1.0.9:31000", 3), false, "Contact: <sip:other@10.1.0.9;transport=tcp>\n");
    resolves(
        &site,
        own.clone(),
        "sip:1001@x.example",
        &expect![[r#"
        stage 1: ring 60s, wait None
          desk-1: sip:other@10.1.0.9;transport=tcp by tcp:10.1.0.9:31000#3 To 1001 Route []
    "#]],
    );
    // From the other one: recognised by its connection, though the INVITE shows another Contact.
    let plan = plan(own);
    let from_other = call_with(&site, "sip:1001@x.example", tcp("10.1.0.9:31000", 3), "Contact: <sip:whatever@10.1.0.9>\n");
    expect![[r#"
        stage 1: ring 60s, wait None
          desk-1: sip:one@10.1.0.1 by udp:10.1.0.1:5060 To 1001 Route []
    "#]]
    .assert_eq(&told(&resolve(&plan, &from_other, &site)));
    // Behind a proxy the flow is everybody's; the contact tells.
    bind(&site, "desk-1", "c", udp("10.1.0.5:5060"), false, "Contact: <sip:inner@172.16.0.1>\nPath: <sip:proxy;lr>\n");
    let from_proxy = call_with(&site, "sip:1001@x.example", udp("10.1.0.5:5060"), "Contact: <sip:outer@172.16.0.2>\n");
    assert_eq!(resolve(&plan, &from_proxy, &site).unwrap().stages[0].legs.len(), 3);
    let from_inner = call_with(&site, "sip:1001@x.example", udp("10.1.0.5:5060"), "Contact: <sip:inner@172.16.0.1>\n");
    assert_eq!(resolve(&plan, &from_inner, &site).unwrap().stages[0].legs.len(), 2);
    // Somebody else's call over the same flow does ring it.
    let mut other = from_inner;
    other.caller = Caller::Endpoint(site.directory().endpoint("desk-2").unwrap().clone());
    assert_eq!(resolve(&plan, &other, &site).unwrap().stages[0].legs.len(), 3);
}

#[test]
fn a_trunk_leg_keeps_what_the_operator_wrote() {
    let site = site();
    resolves(
        &site,
        vec![
            stage(vec![out("first", "")]),
            Stage { ring: Some(Duration::from_secs(9999)), ..stage(vec![out("second", "+44 20;x=y?z@evil")]) },
            Stage { ring: Some(Duration::from_secs(7)), ..stage(vec![out("spare", "*97#"), out("first", "urn:service:sos\r\nX: y")]) },
        ],
        "sip:0044203000@x.example",
        &expect![[r#"
            stage 1: ring 60s, wait Some(4s)
              first: sip:0044203000@192.0.2.10:5060;transport=udp by udp:192.0.2.10:5060 To 0044203000 Route []
            stage 2: ring 180s, wait Some(4s)
              second: sips:+44%2020%3Bx=y%3Fz%40evil@[2001:db8::5] by tcp:[2001:db8::5]:5061 To +44%2020%3Bx=y%3Fz%40evil Route []
            stage 3: ring 7s, wait Some(4s)
              spare: sip:*97%23@spare.example;user=phone by udp:203.0.113.7:5060 To *97%23 Route []
              first: urn:service:sos%0D%0AX:%20y by udp:192.0.2.10:5060 To urn:service:sos%0D%0AX:%20y Route []
        "#]],
    );
}

#[test]
fn an_empty_stage_counts_as_unreachable() {
    let site = site();
    bind(&site, "desk-2", "a", udp("10.1.0.2:5060"), false, "Contact: <sip:two@10.1.0.2>\n");
    site.trunks.set_flows("first", Vec::new());
    let nobody = || stage(vec![out("first", "1"), phone("desk-3")]);
    let final_nobody = || Stage { next: NextOn { unreachable: false, ..NextOn::default() }, ..nobody() };
    let somebody = || stage(vec![phone("desk-2")]);
    let count = |stages: Vec<Stage>| {
        resolve(&plan(stages), &call(&site, "sip:1002@x.example"), &site).map(|resolved| resolved.stages.len()).map_err(|r| r.status)
    };
    assert_eq!(count(vec![nobody(), somebody()]), Ok(1));
    assert_eq!(count(vec![somebody(), nobody(), somebody()]), Ok(2));
    assert_eq!(count(vec![somebody(), final_nobody(), somebody()]), Ok(1));
    assert_eq!(count(vec![final_nobody(), somebody()]), Err(480));
    assert_eq!(count(vec![nobody(), nobody()]), Err(480));
}

#[test]
fn a_stage_rings_no_more_than_its_limit() {
    let site = site();
    let contacts: String = (0..9).map(|n| format!("Contact: <sip:{n}@10.1.0.2>;q=0.{n}\n")).collect();
    bind(&site, "desk-1", "a", udp("10.1.0.2:5060"), false, &contacts);
    bind(&site, "desk-2", "a", udp("10.1.0.2:5060"), false, &contacts);
    let other = Call { caller: Caller::Unknown, ..call(&site, "sip:1002@x.example") };
    let resolved = resolve(&plan(vec![stage(vec![phone("desk-2"), phone("desk-1")])]), &other, &site).unwrap();
    let uris: Vec<&str> = resolved.stages[0].legs.iter().map(|leg| leg.uri.as_str()).collect();
    assert_eq!(uris.len(), 16);
    assert_eq!((uris[0], uris[8], uris[9], uris[15]), ("sip:8@10.1.0.2", "sip:0@10.1.0.2", "sip:8@10.1.0.2", "sip:2@10.1.0.2"));
}

#[test]
fn what_is_dialled_stays_one_uri() {
    for text in ["911", "alice", "a@b", "1;ext=2", "50%", "ä", "<>\"\r\n ", "sip:x@y", ""] {
        let uri = format!("sip:{}@host.example", escape_user(text));
        if text.is_empty() {
            continue;
        }
        let parsed = message(&format!("OPTIONS {uri} SIP/2.0\nCSeq: 1 OPTIONS\n\n"));
        let parsed = parsed.uri().unwrap_or_else(|| panic!("{uri}"));
        assert_eq!(parsed.host, b"host.example", "{uri}");
        assert!(parsed.params.is_empty() && parsed.headers.is_empty(), "{uri}");
        // A decoded `;` would begin parameters of the user; all else comes back as it was.
        if !text.contains(';') {
            assert_eq!(parsed.user_decoded(), text.as_bytes(), "{uri}");
        }
    }
}

#[test]
fn a_user_who_is_rung_alone_is_rung_as_the_users_settings_say() {
    use crate::directory::{
        record::{Edit, Existing, UserFields},
        roster::Roster,
    };
    let site = site();
    let mut roster = Roster::default();
    let with = |roster: &mut Roster, fields: UserFields| {
        let edit = Edit::User { id: "ann".to_owned(), existing: Existing::May, fields };
        let file = crate::fixture::directory();
        let change = roster.apply(&[edit], &file).unwrap();
        roster.commit(change);
        site.replace_directory(file.with_roster(roster).0, at(0));
    };
    let text = |text: &str| Some(text.to_owned());
    with(
        &mut roster,
        UserFields { extension: text("2001"), ring_seconds: Some(12), forward_no_answer: text("1002"), ..UserFields::default() },
    );
    bind(&site, "desk-2", "a", udp("10.1.0.2:5060"), false, "Contact: <sip:two@10.1.0.2>\n");
    let resolved = |stages: Vec<Stage>| resolve(&plan(stages), &call(&site, "sip:2001@sip.example"), &site);
    // Nobody is registered: the call goes on.
    let alone = resolved(vec![stage(vec![phone("ann")])]).unwrap();
    assert_eq!((alone.stages.len(), alone.stages[0].legs.len(), alone.stages[0].ring.as_secs()), (1, 0, 12));
    assert_eq!(alone.stages[0].onward.as_ref().unwrap().leads(Forwarded::Unreachable), Some((Forwarded::NoAnswer, "1002")));
    // What the policy says of the time comes first.
    let said = resolved(vec![Stage { ring: Some(Duration::from_secs(5)), ..stage(vec![phone("ann")]) }]).unwrap();
    assert_eq!(said.stages[0].ring.as_secs(), 5);
    // Beside others nothing goes on.
    let together = resolved(vec![stage(vec![phone("ann"), phone("desk-2")])]).unwrap();
    assert_eq!((together.stages[0].onward.as_ref(), together.stages[0].legs.len()), (None, 1));
    // Only while busy: who cannot be reached is not there.
    with(&mut roster, UserFields { forward_no_answer: text(""), forward_busy: text("1002"), ..UserFields::default() });
    assert_eq!(resolved(vec![stage(vec![phone("ann")])]).unwrap_err().status, 480);
    // A disabled user sends nothing on.
    with(&mut roster, UserFields { enabled: Some(false), forward_always: text("1002"), ..UserFields::default() });
    assert_eq!(resolved(vec![stage(vec![phone("ann")])]).unwrap_err().status, 480);
}

#[test]
fn a_trunk_that_is_down_comes_last_and_only_where_another_serves() {
    let order = |down: &[&str], next: NextOn| {
        let site = site();
        for trunk in down {
            for _ in 0..2 {
                site.trunks.note(trunk, site.trunks.flows(trunk)[0], crate::trunk::Sign::Silent, at(0));
            }
        }
        let stages = ["first", "second", "spare"].map(|trunk| Stage { next, ..stage(vec![out(trunk, "1")]) }).to_vec();
        let resolved = resolve(&plan(stages), &call(&site, "sip:+1@x.example"), &site).unwrap();
        let names = resolved.stages.iter().map(|stage| (stage.legs[0].trunk.clone().unwrap(), stage.next.unreachable));
        names.map(|(name, goes_on)| if goes_on { name } else { format!("{name}.") }).collect::<Vec<_>>().join(" ")
    };
    let on = NextOn { unreachable: true, ..NextOn::default() };
    assert_eq!(order(&[], on), "first second spare");
    assert_eq!(order(&["first"], on), "second spare first");
    assert_eq!(order(&["first", "second"], on), "spare first second");
    // One in the middle is met only when the first has failed.
    assert_eq!(order(&["second"], on), "first second spare");
    assert_eq!(order(&["first", "second", "spare"], on), "first second spare");
    // The policy does not want to go on.
    assert_eq!(order(&["first"], NextOn { unreachable: false, ..on }), "first. second. spare.");
}

#[test]
fn several_addresses_are_one_leg_and_a_proxy_is_its_route() {
    let site = site();
    let mut directory = crate::fixture::directory();
    let reach = crate::trunk::Reach { outbound_proxy: Some("sip:edge.example;transport=tcp".to_owned()), ..Default::default() };
    directory.trunks[0] = Arc::new(Trunk { reach, ..(*directory.trunks[0]).clone() });
    site.replace_directory(directory, at(0));
    let flows = ["192.0.2.10:5060", "192.0.2.11:5060", "192.0.2.12:5060"].map(udp);
    site.trunks.set_flows("first", flows.to_vec());
    let resolved = resolve(&plan(vec![stage(vec![out("first", "1")])]), &call(&site, "sip:+1@x.example"), &site).unwrap();
    let leg = &resolved.stages[0].legs[0];
    assert_eq!((leg.flow, leg.more.as_slice()), (flows[0], &flows[1..]));
    assert_eq!(
        (leg.uri.as_str(), leg.route.as_slice()),
        ("sip:1@192.0.2.10:5060;transport=udp", &["<sip:edge.example;transport=tcp;lr>".to_owned()][..])
    );
    // Of equals each has its calls.
    let ways = flows.map(|flow| crate::trunk::Server { flow, priority: 1, weight: 10 });
    site.trunks.set_servers("first", ways.to_vec());
    let mut firsts = std::collections::BTreeMap::<Flow, u32>::new();
    for number in 0..300 {
        let invite = message(&format!(
            "INVITE sip:+1@x.example SIP/2.0\nVia: SIP/2.0/UDP 10.1.0.7:5060;branch=z9hG4bKi\nMax-Forwards: 70\nFrom: <sip:1001@x>;tag=1\n\
             To: <sip:+1@x.example>\nCall-ID: call-{number}\nCSeq: 1 INVITE\nContact: <sip:one@10.1.0.1>\nContent-Length: 0\n\n"
        ));
        let call = read_call(&invite, udp("10.1.0.1:5060"), &site.directory(), at(1)).unwrap();
        let resolved = resolve(&plan(vec![stage(vec![out("first", "1")])]), &call, &site).unwrap();
        *firsts.entry(resolved.stages[0].legs[0].flow).or_default() += 1;
    }
    assert!(firsts.len() == 3 && firsts.values().all(|times| *times > 60), "{firsts:?}");
}
