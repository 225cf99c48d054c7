//! Trunks: when the next one is tried, who is told what, and what it may cost.

use super::*;
use crate::{
    directory::{Endpoint, NumberPattern},
    toll::Ceilings,
    trunk::{CallerIn, TrunkManners},
};
use sip::header::Name;

/// A call of `desk-2` with these lines over two trunks, one after the other; both are `provider`, which behaves so.
fn outside(lines: &str, manners: TrunkManners, ceilings: Ceilings) -> Rig {
    let mut first = stage(vec![trunk("provider", 9)]);
    first.next = NextOn { busy: false, no_answer: false, unreachable: true };
    first.answer_wait = Some(Duration::from_secs(4));
    let second = ResolvedStage { legs: vec![trunk("provider", 8)], ..first.clone() };
    let text = String::from_utf8(invite().bytes().to_vec()).unwrap().replace("\r\n", "\n");
    let now = Instant::from_unix_micros(1_000_000_000);
    let site = site();
    let mut directory = (*site.directory()).clone();
    let provider = Arc::make_mut(directory.trunks.first_mut().unwrap());
    provider.manners = manners;
    provider.numbers = vec![NumberPattern("%".to_owned())];
    directory.tolls = ceilings;
    site.replace_directory(directory, now);
    let call = Call {
        message: message(&text.replace("X-Unknown:", &format!("{lines}X-Unknown:"))),
        at: now,
        flow: flow(PHONE),
        caller: Caller::Endpoint(Arc::new(Endpoint { name: "Two".to_owned(), ..crate::fixture::endpoint("desk-2", "1002") })),
        kind: CallKind::Normal,
        called: "1002".into(),
        caller_number: "+442030001002".into(),
        caller_name: "Two".into(),
        location: None,
        attributes: vec![],
    };
    let bridge = Bridge::new(site, call, ServerId(1), Resolved { stages: vec![first, second] }, HOME, now).unwrap();
    Rig {
        bridge,
        random: Random::from_seed([7; 32]),
        now,
        sent: std::collections::BTreeMap::new(),
        answers: vec![],
        acks: vec![],
        routes: vec![],
        reasons: vec![],
        log: String::new(),
    }
}

/// The same, begun.
pub(super) fn begun(lines: &str, manners: TrunkManners, ceilings: Ceilings) -> Rig {
    let mut rig = outside(lines, manners, ceilings);
    rig.on(Event::Start);
    rig
}

/// How many trunks were tried, and what the caller was told in the end.
fn tried(rig: &Rig) -> (usize, Option<u16>) {
    let invites = rig.sent.values().filter(|message| message.method() == Method::Invite).count();
    (invites, rig.answers.iter().map(Message::status).rfind(|status| *status >= 200))
}

#[test]
fn which_refusal_of_a_trunk_leads_to_the_next() {
    let mut table = String::new();
    for status in [400, 403, 404, 408, 410, 480, 482, 484, 486, 488, 500, 501, 502, 503, 504, 505, 580, 600, 603, 604, 606, 607] {
        let mut rig = begun("", TrunkManners::default(), Ceilings::default());
        rig.answer(0, status, "nine", "");
        table.push_str(&format!("{status} {:?}\n", tried(&rig)));
    }
    expect![[r#"
        400 (1, Some(400))
        403 (1, Some(403))
        404 (1, Some(404))
        408 (2, None)
        410 (1, Some(410))
        480 (1, Some(480))
        482 (1, Some(482))
        484 (1, Some(484))
        486 (1, Some(486))
        488 (1, Some(488))
        500 (2, None)
        501 (2, None)
        502 (2, None)
        503 (2, None)
        504 (2, None)
        505 (2, None)
        580 (2, None)
        600 (1, Some(600))
        603 (1, Some(603))
        604 (1, Some(604))
        606 (1, Some(606))
        607 (1, Some(607))
    "#]]
    .assert_eq(&table);
}

#[test]
fn a_setting_has_the_next_trunk_tried_where_a_provider_does_not_know_a_number() {
    let manners = || TrunkManners { next_on: vec![404, 484, 603], ..TrunkManners::default() };
    for (status, expected) in [(404, (2, None)), (484, (2, None)), (403, (1, Some(403))), (486, (1, Some(486))), (603, (1, Some(603)))] {
        let mut rig = begun("", manners(), Ceilings::default());
        rig.answer(0, status, "nine", "");
        assert_eq!(tried(&rig), expected, "{status}");
    }
}

#[test]
fn silence_leads_to_the_next_trunk_after_four_seconds_and_an_answer_never() {
    let mut rig = begun("", TrunkManners::default(), Ceilings::default());
    rig.pass(4);
    assert_eq!(tried(&rig), (2, None));

    // A sign of life in time: it rings as long as the stage says, and is then no trouble of the trunk's.
    let mut rig = begun("", TrunkManners::default(), Ceilings::default());
    rig.answer(0, 183, "nine", "");
    rig.pass(10);
    assert_eq!(tried(&rig), (1, None));

    let mut rig = begun("", TrunkManners::default(), Ceilings::default());
    rig.on(Event::Failed { id: 0, why: Failure::Unreachable });
    assert_eq!(tried(&rig), (2, None));

    let mut rig = begun("", TrunkManners::default(), Ceilings::default());
    rig.answer(0, 200, "nine", "");
    rig.caller(0, "ACK", 7, "");
    rig.pass(40);
    assert_eq!(tried(&rig), (1, Some(200)));
}

fn shown(rig: &Rig) -> String {
    let invite = &rig.sent[&0];
    let text = |name| invite.header(name).map_or_else(|| "-".to_owned(), |value| String::from_utf8_lossy(value).into_owned());
    let from = text(Name::From);
    let from = from.split(";tag").next().unwrap();
    format!("{from} | {} | {}", text(Name::PAssertedIdentity), text(Name::Privacy))
}

#[test]
fn a_trunk_is_shown_the_caller_where_it_looks_for_it() {
    let of = |lines: &str, manners: TrunkManners| shown(&begun(lines, manners, Ceilings::default()));
    let caller_in = |caller_in| TrunkManners { caller_in, ..TrunkManners::default() };
    let two = "\"Two\" <sip:+442030001002@sip.example>";
    assert_eq!(of("", TrunkManners::default()), format!("{two} | {two} | -"));
    assert_eq!(of("", caller_in(CallerIn::From)), format!("{two} | - | -"));
    assert_eq!(of("", caller_in(CallerIn::Asserted)), format!("<sip:acct@sip.example> | {two} | -"));
    let domain = TrunkManners { caller_domain: Some("far.example".to_owned()), ..TrunkManners::default() };
    assert_eq!(of("", domain), format!("{0} | {0} | -", two.replace("sip.example", "far.example")));

    let nobody = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";
    assert_eq!(of("Privacy: user;id\n", TrunkManners::default()), format!("{nobody} | - | id"));
    let trusted = TrunkManners { trusted: true, ..TrunkManners::default() };
    assert_eq!(of("Privacy: id\n", trusted.clone()), format!("{nobody} | {two} | id"));
    assert_eq!(of("Privacy: id\n", TrunkManners { caller_in: CallerIn::From, ..trusted }), format!("{nobody} | - | id"));
    assert_eq!(of("Privacy: none\n", TrunkManners::default()), format!("{two} | {two} | none"));
}

#[test]
fn a_call_for_help_asserts_its_number_and_hides_nothing() {
    let two = "\"Two\" <sip:+442030001002@sip.example>";
    for (caller_in, from) in [(CallerIn::From, two), (CallerIn::Both, two), (CallerIn::Asserted, "<sip:acct@sip.example>")] {
        let manners = TrunkManners { caller_in, ..TrunkManners::default() };
        let mut rig =
            outside("Privacy: id\n", manners, Ceilings { calls_per_endpoint: Some(0), calls_per_site: Some(0), ..Ceilings::default() });
        rig.bridge.call.kind = CallKind::Emergency;
        rig.on(Event::Start);
        assert_eq!(shown(&rig), format!("{from} | {two} | id"));
    }
}

#[test]
fn what_a_phone_writes_about_itself_stays_inside() {
    let lines = "User-Agent: Phone at 10.0.0.1\nCall-Info: <http://10.0.0.1/x>\nRemote-Party-ID: <sip:911@evil>\np-asserted-identity : <sip:911@evil>\n\
                 P-PREFERRED-IDENTITY:\n <sip:911@evil>\n";
    let mut rig = begun(lines, TrunkManners::default(), Ceilings::default());
    let text = String::from_utf8_lossy(rig.sent[&0].bytes()).into_owned();
    assert!(!text.contains("10.0.0.1") && !text.contains("evil") && !text.contains("call-a") && !text.contains("edge.example"), "{text}");
    assert!(!text.contains("X-Unknown"), "{text}");
    rig.answer(0, 200, "nine", "Server: provider\nP-Asserted-Identity: <sip:911@evil>\nIdentity: evil\n");
    let ok = String::from_utf8_lossy(rig.answers.last().unwrap().bytes()).into_owned();
    assert!(ok.starts_with("SIP/2.0 200") && !ok.contains("evil") && !ok.contains("provider"), "{ok}");
}

#[test]
fn who_may_not_hear_early_media_hears_ringing() {
    let session = "Content-Type: application/sdp\nContent-Disposition: session\n";
    let status = |early_media: bool, more: &str| {
        let mut rig = begun("", TrunkManners { early_media, ..TrunkManners::default() }, Ceilings::default());
        rig.answer(0, 183, "nine", &format!("{session}{more}"));
        let told = rig.answers.last().unwrap();
        (told.status(), told.header(Name::ContentType).is_some())
    };
    assert_eq!(status(true, ""), (183, true));
    let (status, session) = status(false, "");
    assert_eq!((status, session), (180, false));
}

#[test]
fn an_outside_call_is_ended_when_it_has_become_too_long() {
    let mut rig = begun("", TrunkManners::default(), Ceilings { longest_call: Some(Duration::from_secs(60)), ..Ceilings::default() });
    rig.answer(0, 200, "nine", "");
    rig.caller(0, "ACK", 7, "");
    rig.pass(29);
    assert_eq!(rig.bridge.site.tolls.usage("desk-2", rig.now).talk_in_day, Duration::from_secs(29));
    rig.pass(31);
    assert!(rig.log.contains("the longest call to the outside"), "{}", rig.log);
    let usage = rig.bridge.site.tolls.usage("desk-2", rig.now + Duration::from_secs(100));
    assert_eq!((usage.calls, usage.talk_in_day), (0, Duration::from_secs(60)));
}

#[test]
fn a_call_that_would_be_one_too_many_is_told_so() {
    let mut rig = outside("", TrunkManners::default(), Ceilings { calls_per_endpoint: Some(1), ..Ceilings::default() });
    let other = rig.bridge.site.tolls.resume(Some("desk-2"), None, rig.now);
    rig.on(Event::Start);
    assert_eq!(tried(&rig), (0, Some(403)));
    assert_eq!(rig.answers.last().unwrap().reason(), b"Too Many Outside Calls");
    drop(other);
    let mut rig = begun("", TrunkManners::default(), Ceilings { calls_per_endpoint: Some(1), ..Ceilings::default() });
    // The first trunk's place is free again when the second is tried.
    rig.answer(0, 503, "nine", "");
    assert_eq!(tried(&rig), (2, None));
}

#[test]
fn those_who_talk_do_not_rest() {
    use crate::idle::Rest;
    let mut rig = begun("", TrunkManners::default(), Ceilings::default());
    let idle = Arc::clone(&rig.bridge.site.idle);
    assert_eq!(idle.rest("desk-2"), Rest::Never);
    rig.answer(0, 200, "nine", "");
    assert_eq!(idle.rest("desk-2"), Rest::Talks);
    rig.pass(5);
    rig.on(Event::HangUp);
    assert_eq!(idle.rest("desk-2"), Rest::Since(rig.now));
}

/// It was left for being silent, and answers when it is cancelled: the call that comes of it costs what any other does, and has its channel.
#[test]
fn a_trunk_that_was_given_up_and_answers_is_paid_for() {
    let mut rig = begun("", TrunkManners::default(), Ceilings { longest_call: Some(Duration::from_secs(60)), ..Ceilings::default() });
    rig.pass(21);
    rig.answer(0, 200, "nine", "");
    rig.caller(0, "ACK", 7, "");
    assert_eq!(rig.bridge.site.trunks.in_use("provider"), 1, "{}", rig.log);
    rig.pass(60);
    assert!(rig.log.contains("the longest call to the outside"), "{}", rig.log);
    assert_eq!(rig.bridge.site.tolls.usage("desk-2", rig.now).calls, 0);
}
