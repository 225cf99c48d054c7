//! Table tests of the bridge: events in, effects out, in virtual time.

mod address;
mod credentials;
mod forward;
mod help;
mod keep;
mod order;
mod outside;
mod parked;
mod pickup;
mod privacy;
mod relay;
mod reliable;
mod replace;
mod user;
mod way;

use super::*;
use crate::facts::Caller;
use crate::{
    Limits,
    decision::NextOn,
    directory::{Directory, Emergency, Trunk},
    plan::{LegTarget, ResolvedStage},
};
use bytes::Bytes;
use expect_test::{Expect, expect};
use sip::{message::Method, transport::Transport};

const PHONE: &str = "10.0.0.1:5060";
const GATEWAY: &str = "10.0.0.254:5060";

fn flow(remote: &str) -> Flow {
    Flow { transport: Transport::Udp, local: GATEWAY.parse().unwrap(), remote: remote.parse().unwrap(), connection: 0 }
}

fn message(text: &str) -> Message {
    let text = text.trim_start().replace('\n', "\r\n");
    Message::parse(Bytes::from(text), &sip::Limits::default()).unwrap()
}

fn invite() -> Message {
    message(
        "
INVITE sip:1002@sip.example SIP/2.0
Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bKa1
Record-Route: <sip:edge.example;lr>
From: \"Alice\" <sip:1001@sip.example>;tag=alice
To: <sip:1002@sip.example>
Call-ID: call-a
CSeq: 7 INVITE
Contact: <sip:1001@10.0.0.1>
X-Unknown: kept  as it is
Content-Type: application/sdp
Content-Length: 5

offer",
    )
}

const HOME: Home = Home { index: 0, shards: 1, call_id: |random, _, _| random.token().as_str().to_owned() };

struct Rig {
    bridge: Bridge,
    random: Random,
    now: Instant,
    /// INVITEs and other requests as they were sent, by id.
    sent: std::collections::BTreeMap<SendId, Message>,
    answers: Vec<Message>,
    acks: Vec<Message>,
    routes: Vec<Call>,
    /// Why what was cancelled was cancelled.
    reasons: Vec<Option<String>>,
    log: String,
}

fn target(host: u8) -> LegTarget {
    LegTarget {
        uri: format!("sip:phone{host}@10.0.0.{host}"),
        flow: flow(&format!("10.0.0.{host}:5060")),
        route: vec![],
        trunk: None,
        endpoint: Some(format!("desk-{host}")),
        caller_number: None,
        called: "1002".into(),
        more: vec![],
    }
}

fn trunk(name: &str, host: u8) -> LegTarget {
    LegTarget { trunk: Some(name.into()), endpoint: None, ..target(host) }
}

fn stage(legs: Vec<LegTarget>) -> ResolvedStage {
    ResolvedStage {
        legs,
        ring: Duration::from_secs(20),
        answer_wait: None,
        next: NextOn::default(),
        next_on_refusal: false,
        onward: None,
        seek: None,
    }
}

fn site() -> Arc<Site> {
    let emergency = Emergency::default();
    let provider = Trunk {
        name: "provider".into(),
        uri: "sip:10.0.0.9".into(),
        sources: vec![],
        username: Some("acct".into()),
        password: Some("secret".into()),
        numbers: vec![],
        ..Trunk::default()
    };
    let endpoints = (2..6_u8).map(|host| crate::fixture::endpoint(&format!("desk-{host}"), &format!("100{host}"))).collect();
    let directory = Directory::new("sip.example".into(), endpoints, vec![], vec![provider], emergency, vec![]);
    Arc::new(Site::new(directory, Limits { forwards: 2, ..Limits::default() }))
}

impl Rig {
    fn new(stages: Vec<ResolvedStage>) -> Self {
        Self::with(invite(), stages)
    }

    fn with(invite: Message, stages: Vec<ResolvedStage>) -> Self {
        let mut rig = Self::waiting(invite, stages);
        rig.on(Event::Start);
        rig
    }

    /// A call that is not dialled yet.
    fn waiting(invite: Message, stages: Vec<ResolvedStage>) -> Self {
        let now = Instant::from_unix_micros(1_000_000_000);
        let call = Call {
            message: invite,
            at: now,
            flow: flow(PHONE),
            caller: Caller::Unknown,
            kind: CallKind::Normal,
            called: "1002".into(),
            caller_number: "1001".into(),
            caller_name: "Alice \"A\"".into(),
            location: None,
            attributes: vec![],
        };
        let bridge = Bridge::new(site(), call, ServerId(1), Resolved { stages }, HOME, now).unwrap();
        Self {
            bridge,
            random: Random::from_seed([7; 32]),
            now,
            sent: Default::default(),
            answers: vec![],
            acks: vec![],
            routes: vec![],
            reasons: vec![],
            log: String::new(),
        }
    }

    fn on(&mut self, event: Event<'_>) {
        let mut out = Vec::new();
        self.bridge.on(event, self.now, &mut self.random, &mut out);
        self.note(out);
    }

    /// Writes down what a bridge wants.
    fn note(&mut self, out: Vec<Effect>) {
        for effect in out {
            let line = match effect {
                Effect::Send { id, request, flow } => {
                    let sent = Message::parse(Bytes::copy_from_slice(request.bytes()), &sip::Limits::default()).unwrap();
                    let cseq = sent.cseq().unwrap().number;
                    let line = format!("send {id}: {} -> {} cseq {cseq}", String::from_utf8_lossy(sent.method_token()), flow.remote.ip());
                    self.sent.insert(id, sent);
                    line
                }
                Effect::Again(Again { id, request, flow, heard }) => {
                    let again = Message::parse(Bytes::copy_from_slice(request.bytes()), &sip::Limits::default()).unwrap();
                    let same = self.sent.get(&id).is_none_or(|sent| sent.bytes() == again.bytes());
                    format!("again {id}: {heard:?} -> {}{}", flow.remote.ip(), if same { "" } else { ", but another request" })
                }
                Effect::Redirect { id, flow } => format!("redirect {} -> {}", id.0, flow.remote),
                Effect::Reroute { id, flow } => format!("reroute {id} -> {}", flow.remote),
                Effect::Respond { id, response } => {
                    let answer = Message::parse(Bytes::copy_from_slice(response.bytes()), &sip::Limits::default()).unwrap();
                    let line = format!("respond {}: {} {}", id.0, answer.status(), String::from_utf8_lossy(answer.reason()));
                    self.answers.push(answer);
                    line
                }
                Effect::Ack { request, flow, .. } => {
                    let ack = Message::parse(Bytes::copy_from_slice(request.bytes()), &sip::Limits::default()).unwrap();
                    let line = format!("ack -> {} cseq {}", flow.remote.ip(), ack.cseq().unwrap().number);
                    self.acks.push(ack);
                    line
                }
                Effect::Cancel { id, reason } => {
                    self.reasons.push(reason.map(Into::into));
                    format!("cancel {id}")
                }
                Effect::Route { hunt, call } => {
                    let line = format!("route {hunt}: {} for {:?}", call.called, call.caller_number);
                    self.routes.push(*call);
                    line
                }
                Effect::Take { hunt, dialog } => format!("take {hunt}: {}", String::from_utf8_lossy(&dialog.call_id)),
                Effect::Bring { dialog, .. } => format!("bring to {}", String::from_utf8_lossy(&dialog.call_id)),
                Effect::Adopt { call_id, .. } => format!("adopt {}", String::from_utf8_lossy(&call_id)),
                Effect::Evict(evicted) => format!("evict call {} from {}", evicted.holder.call, evicted.trunk),
                Effect::Limit(name) => format!("limit {name}"),
                Effect::Own(_) => continue,
                Effect::End(record) => format!("end {} {} by {:?}", record.status, record.cause, record.answered_by),
            };
            self.log.push_str(&line);
            self.log.push('\n');
        }
    }

    /// What has happened since the last look.
    fn expect(&mut self, expected: Expect) {
        expected.assert_eq(&std::mem::take(&mut self.log));
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
        self.on(Event::Expire);
    }

    /// The peer answers request `id`.
    fn answer(&mut self, id: SendId, status: u16, tag: &str, more: &str) {
        let request = &self.sent[&id];
        let contact = if (300..400).contains(&status) { "" } else { "Contact: <sip:there@10.0.0.77>\n" };
        let text = format!(
            "SIP/2.0 {status} Whatever\nFrom: {}\nTo: {};tag={tag}\nCall-ID: {}\nCSeq: {}\n{contact}{more}Content-Length: 6\n\nanswer",
            String::from_utf8_lossy(request.from().unwrap().raw),
            String::from_utf8_lossy(request.to().unwrap().raw).split(";tag").next().unwrap(),
            String::from_utf8_lossy(request.call_id()),
            String::from_utf8_lossy(request.header(sip::header::Name::CSeq).unwrap()),
        );
        let response = message(&text);
        self.on(Event::Response { id, message: &response, flow: flow("10.0.0.77:5060") });
    }

    /// The peer answers request `id` without a body.
    fn silent_answer(&mut self, id: SendId, status: u16, tag: &str) {
        let request = &self.sent[&id];
        let text = format!(
            "SIP/2.0 {status} Whatever\nFrom: {}\nTo: {};tag={tag}\nCall-ID: {}\nCSeq: {}\nContact: <sip:there@10.0.0.77>\nContent-Length: 0\n\n",
            String::from_utf8_lossy(request.from().unwrap().raw),
            String::from_utf8_lossy(request.to().unwrap().raw),
            String::from_utf8_lossy(request.call_id()),
            String::from_utf8_lossy(request.header(sip::header::Name::CSeq).unwrap()),
        );
        let response = message(&text);
        self.on(Event::Response { id, message: &response, flow: flow("10.0.0.77:5060") });
    }

    /// To of the caller's requests: as our last answer to it says.
    fn caller_to(&self) -> String {
        let own = self.answers.iter().rfind(|answer| answer.call_id() == b"call-a");
        String::from_utf8_lossy(own.or_else(|| self.answers.last()).unwrap().to().unwrap().raw).into_owned()
    }

    /// The caller says something inside its dialog.
    fn caller(&mut self, id: u64, method: &str, cseq: u32, more: &str) {
        let to = self.caller_to();
        self.request(id, method, cseq, "call-a", "<sip:1001@sip.example>;tag=alice", &to, more, PHONE);
    }

    /// The caller sends a request with a session description.
    fn offers(&mut self, id: u64, method: &str, cseq: u32) {
        let to = self.caller_to();
        let text = format!(
            "{method} sip:gateway@10.0.0.254 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK{id}\nMax-Forwards: 70\nFrom: <sip:1001@sip.example>;tag=alice\nTo: {to}\nCall-ID: call-a\nCSeq: {cseq} {method}\nContent-Type: application/sdp\nContent-Length: 5\n\noffer"
        );
        let request = message(&text);
        self.on(Event::Request { id: ServerId(id), message: &request, flow: flow(PHONE) });
    }

    /// The callee of INVITE `leg` says something, its tag being `tag`.
    fn callee(&mut self, id: u64, leg: SendId, tag: &str, method: &str, cseq: u32, more: &str) {
        let sent = &self.sent[&leg];
        let call_id = String::from_utf8_lossy(sent.call_id()).into_owned();
        let ours = String::from_utf8_lossy(sent.from().unwrap().raw).into_owned();
        self.request(id, method, cseq, &call_id, &format!("<sip:1002@sip.example>;tag={tag}"), &ours, more, "10.0.0.77:5060");
    }

    #[allow(clippy::too_many_arguments, reason = "one argument per header line")]
    fn request(&mut self, id: u64, method: &str, cseq: u32, call_id: &str, from: &str, to: &str, more: &str, remote: &str) {
        let text = format!(
            "{method} sip:gateway@10.0.0.254 SIP/2.0\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK{id}\nMax-Forwards: 70\nFrom: {from}\nTo: {to}\nCall-ID: {call_id}\nCSeq: {cseq} {method}\n{more}Content-Length: 0\n\n"
        );
        let request = message(&text);
        if method == "ACK" {
            self.on(Event::Ack { message: &request });
        } else {
            self.on(Event::Request { id: ServerId(id), message: &request, flow: flow(remote) });
        }
    }
}

/// A call that has been answered and acknowledged; the log is empty.
fn talking() -> Rig {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 200, "bob", "");
    rig.caller(0, "ACK", 7, "");
    rig.log.clear();
    rig
}

#[test]
fn a_call_is_dialled_answered_acknowledged_and_hung_up() {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 180, "bob", "");
    rig.answer(0, 200, "bob", "");
    rig.caller(0, "ACK", 7, "");
    rig.caller(2, "BYE", 8, "");
    rig.answer(1, 200, "bob", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        respond 1: 180 Whatever
        respond 1: 200 Whatever
        ack -> 10.0.0.77 cseq 1
        respond 2: 200 OK
        send 1: BYE -> 10.0.0.77 cseq 2
        end 200 caller hung up by Some("desk-2")
    "#]]);
    assert!(rig.bridge.finished());
}

#[test]
fn what_the_callee_sees_is_ours_and_the_rest_goes_through() {
    let rig = Rig::new(vec![stage(vec![target(2)])]);
    let invite = &rig.sent[&0];
    assert_eq!(invite.request_uri(), b"sip:phone2@10.0.0.2");
    assert_eq!(invite.header_named(b"X-Unknown"), Some(&b"kept  as it is"[..]));
    assert_eq!(invite.body(), b"offer");
    assert_eq!(invite.header(sip::header::Name::MaxForwards), Some(&b"69"[..]));
    assert_eq!(invite.contact().unwrap().uri, b"sip:10.0.0.254:5060");
    assert!(invite.from().unwrap().raw.starts_with(br#""Alice \"A\"" <sip:1001@sip.example>;tag="#));
    assert_eq!(invite.header(sip::header::Name::PAssertedIdentity), Some(&br#""Alice \"A\"" <sip:1001@sip.example>"#[..]));
    assert!(invite.header(sip::header::Name::RecordRoute).is_none());
}

#[test]
fn the_caller_gets_its_record_route_back_and_our_contact() {
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 183, "bob", "");
    let early = &rig.answers[0];
    assert_eq!(early.header(sip::header::Name::RecordRoute), Some(&b"<sip:edge.example;lr>"[..]));
    assert_eq!(early.contact().unwrap().uri, b"sip:10.0.0.254:5060");
    assert_eq!(early.body(), b"answer");
}

#[test]
fn the_first_of_several_answers_wins_and_the_others_are_cancelled() {
    let mut rig = Rig::new(vec![stage(vec![target(2), target(3)])]);
    rig.answer(0, 180, "two", "");
    rig.answer(1, 180, "three", "");
    rig.answer(1, 200, "three", "");
    rig.answer(0, 487, "two", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        send 1: INVITE -> 10.0.0.3 cseq 1
        respond 1: 180 Whatever
        respond 1: 180 Whatever
        respond 1: 200 Whatever
        cancel 0
    "#]]);
}

#[test]
fn an_answer_that_crossed_the_cancel_is_acknowledged_and_hung_up() {
    cov_mark::check!(rfc3261_13_2_2_4_late_answer);
    let mut rig = Rig::new(vec![stage(vec![target(2), target(3)])]);
    rig.answer(0, 200, "two", "");
    rig.log.clear();
    rig.answer(1, 200, "three", "");
    rig.expect(expect![[r#"
        ack -> 10.0.0.77 cseq 1
        send 2: BYE -> 10.0.0.77 cseq 2
    "#]]);
}

#[test]
fn a_cancelled_call_ends_with_487_and_its_legs_with_cancel() {
    cov_mark::check!(rfc3261_9_2_487);
    let mut rig = Rig::new(vec![stage(vec![target(2), target(3)])]);
    rig.log.clear();
    rig.on(Event::Cancelled { id: ServerId(1), reason: None });
    rig.answer(0, 487, "two", "");
    assert!(!rig.bridge.finished(), "one leg may still answer 200");
    rig.answer(1, 200, "three", "");
    rig.expect(expect![[r#"
        respond 1: 487 Request Terminated
        cancel 0
        cancel 1
        end 487 cancelled by None
        ack -> 10.0.0.77 cseq 1
        send 2: BYE -> 10.0.0.77 cseq 2
    "#]]);
    assert!(rig.bridge.finished());
}

#[test]
fn stages_follow_each_other_when_nobody_answers() {
    let mut rig = Rig::new(vec![stage(vec![target(2)]), stage(vec![target(3)])]);
    rig.answer(0, 180, "two", "");
    rig.pass(20);
    rig.answer(0, 487, "two", "");
    rig.pass(20);
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        respond 1: 180 Whatever
        cancel 0
        send 1: INVITE -> 10.0.0.3 cseq 1
        cancel 1
        respond 1: 480 No Answer
        end 480 no answer by None
    "#]]);
}

#[test]
fn busy_ends_the_call_unless_the_stage_says_otherwise() {
    let mut rig = Rig::new(vec![stage(vec![target(2)]), stage(vec![target(3)])]);
    rig.answer(0, 486, "two", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        respond 1: 486 Whatever
        end 486 busy by None
    "#]]);
    let mut first = stage(vec![target(2)]);
    first.next.busy = true;
    let mut rig = Rig::new(vec![first, stage(vec![target(3)])]);
    rig.answer(0, 486, "two", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        send 1: INVITE -> 10.0.0.3 cseq 1
    "#]]);
}

#[test]
fn a_person_who_declines_is_not_asked_again_elsewhere() {
    cov_mark::check!(rfc3261_16_7_decisive);
    let mut rig = Rig::new(vec![stage(vec![target(2), target(3)]), stage(vec![target(4)])]);
    rig.log.clear();
    rig.answer(0, 603, "two", "");
    rig.expect(expect![[r#"
        cancel 1
        respond 1: 603 Whatever
        end 603 declined by None
    "#]]);
}

#[test]
fn a_call_for_help_goes_on_after_every_refusal() {
    let urgent = |host| ResolvedStage { next_on_refusal: true, ..stage(vec![trunk("provider", host)]) };
    for status in [403, 404, 486, 488, 500, 503, 600, 603] {
        let mut rig = Rig::new(vec![urgent(9), urgent(8)]);
        rig.log.clear();
        rig.answer(0, status, "two", "");
        assert_eq!(rig.log, "send 1: INVITE -> 10.0.0.8 cseq 1\n", "after {status}");
    }
}

#[test]
fn a_silent_trunk_is_given_up_early_and_may_still_win() {
    let mut first = stage(vec![trunk("provider", 9)]);
    first.answer_wait = Some(Duration::from_secs(3));
    let mut rig = Rig::new(vec![first, stage(vec![trunk("provider", 8)])]);
    rig.pass(3);
    rig.answer(0, 200, "late", "");
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.9 cseq 1
        cancel 0
        send 1: INVITE -> 10.0.0.8 cseq 1
        respond 1: 200 Whatever
        cancel 1
    "#]]);
}

#[test]
fn a_503_of_a_target_is_not_the_callers_503() {
    cov_mark::check!(rfc3261_16_7_no_503);
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 503, "two", "");
    assert_eq!(rig.answers[0].status(), 500);
}

#[test]
fn a_trunk_channel_comes_back_however_the_call_ends() {
    let mut rig = Rig::new(vec![stage(vec![trunk("provider", 9)])]);
    assert_eq!(rig.bridge.site.trunks.in_use("provider"), 1);
    rig.answer(0, 486, "two", "");
    assert_eq!(rig.bridge.site.trunks.in_use("provider"), 0);

    let mut rig = Rig::new(vec![stage(vec![trunk("provider", 9)])]);
    rig.answer(0, 200, "two", "");
    rig.caller(0, "ACK", 7, "");
    assert_eq!(rig.bridge.site.trunks.in_use("provider"), 1);
    rig.callee(3, 0, "two", "BYE", 1, "");
    assert_eq!(rig.bridge.site.trunks.in_use("provider"), 0);

    let mut rig = Rig::new(vec![stage(vec![trunk("provider", 9)])]);
    rig.on(Event::Failed { id: 0, why: Failure::Unreachable });
    assert_eq!(rig.bridge.site.trunks.in_use("provider"), 0);
}

#[test]
fn a_providers_challenge_is_answered_once() {
    cov_mark::check!(rfc3261_22_2_credentials);
    let challenge = "Proxy-Authenticate: Digest realm=\"p\", nonce=\"n\", qop=\"auth\", algorithm=MD5\n";
    let mut rig = Rig::new(vec![stage(vec![trunk("provider", 9)])]);
    rig.answer(0, 407, "x", challenge);
    assert!(rig.sent[&1].header(sip::header::Name::ProxyAuthorization).unwrap().starts_with(b"Digest username=\"acct\""));
    rig.answer(1, 407, "x", challenge);
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.9 cseq 1
        send 1: INVITE -> 10.0.0.9 cseq 2
        respond 1: 500 Trunk Refused Our Credentials
        end 500 unreachable by None
    "#]]);
}

#[test]
fn an_answer_is_sent_again_until_it_is_acknowledged() {
    cov_mark::check!(rfc3261_13_3_1_4_again);
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 200, "bob", "");
    rig.answer(0, 200, "bob", "");
    rig.pass(1);
    rig.pass(1);
    rig.caller(0, "ACK", 7, "");
    rig.pass(4);
    rig.expect(expect![[r#"
        send 0: INVITE -> 10.0.0.2 cseq 1
        respond 1: 200 Whatever
        respond 1: 200 Whatever
        respond 1: 200 Whatever
        ack -> 10.0.0.77 cseq 1
    "#]]);
}

#[test]
fn a_caller_that_never_acknowledges_is_hung_up() {
    cov_mark::check!(rfc3261_13_3_1_4_no_ack);
    cov_mark::check!(rfc3261_15_acknowledged_first);
    let mut rig = Rig::new(vec![stage(vec![target(2)])]);
    rig.answer(0, 200, "bob", "");
    rig.pass(32);
    rig.log = rig.log.replace("respond 1: 200 Whatever\n", "").replace("send 0: INVITE -> 10.0.0.2 cseq 1\n", "");
    rig.expect(expect![[r#"
        send 1: BYE -> 10.0.0.1 cseq 1
        ack -> 10.0.0.77 cseq 1
        send 2: BYE -> 10.0.0.77 cseq 2
        end 200 the answer was never acknowledged by Some("desk-2")
    "#]]);
}

#[test]
fn the_whole_call_may_not_ring_longer_than_the_limit() {
    let stages = (2..20).map(|host| stage(vec![target(host)])).collect();
    let mut rig = Rig::new(stages);
    for _ in 0..9 {
        rig.pass(20);
    }
    assert!(rig.log.ends_with("respond 1: 480 No Answer\ncancel 9\nend 480 no answer by None\n"), "{}", rig.log);
}
