//! Transactions that were made again after a restart.

use super::*;

/// The stack of another process.
fn another(transport: Transport) -> Bench {
    let mut bench = Bench::new(transport);
    bench.stack = Stack::new(Limits::default(), Random::from_seed([8; 32]));
    // Its places are taken by others.
    for _ in 0..3 {
        bench.request(Method::Options);
    }
    bench.take();
    bench
}

/// An INVITE that was sent by a process that is gone, as it was sent, and its branch.
fn before(transport: Transport) -> (Bytes, Branch) {
    let mut bench = Bench::new(transport);
    let id = bench.request(Method::Invite);
    (bench.sent().clone(), bench.stack.branch(id).unwrap())
}

fn again(bench: &mut Bench, branch: Branch, heard: Heard) -> ClientId {
    let mut out = Outbox::new();
    let id = bench.stack.restore_invite_client(our_request(Method::Invite), bench.flow, branch, heard, bench.now, &mut out);
    bench.note(out);
    id
}

#[test]
fn what_was_not_heard_of_is_sent_again_octet_for_octet() {
    let (invite, branch) = before(Transport::Udp);
    let mut bench = another(Transport::Udp);
    again(&mut bench, branch, Heard::Nothing);
    assert_eq!(*bench.sent(), invite);
}

#[test]
fn an_answer_finds_the_invite_of_before_and_a_refusal_is_acknowledged() {
    for status in [200, 486] {
        let (invite, branch) = before(Transport::Udp);
        let mut bench = another(Transport::Udp);
        let id = again(&mut bench, branch, Heard::Provisional);
        assert_eq!(bench.take(), "", "nothing is sent");
        assert_eq!(bench.stack.branch(id), Some(branch), "as it is kept for the next time");
        bench.receive(answer(&invite, status));
        let text = bench.take();
        assert!(text.contains(&format!("deliver {status}")), "{text}");
        assert_eq!(text.contains("→ ACK"), status == 486, "{text}");
        bench.wait(Duration::from_secs(200));
        assert_eq!(bench.stack.transactions(), (0, 0));
        assert!(bench.stack.restored.is_empty());
    }
}

#[test]
fn a_cancel_has_the_branch_of_before_and_its_answer_is_known() {
    let (invite, branch) = before(Transport::Udp);
    let mut bench = another(Transport::Udp);
    let id = again(&mut bench, branch, Heard::Provisional);
    bench.cancel(id, None);
    let cancel = bench.sent().clone();
    let via = |bytes: &Bytes| parse(bytes).via().unwrap().branch().unwrap().to_vec();
    assert_eq!(via(&cancel), via(&invite));
    bench.take();
    bench.receive(answer(&cancel, 200));
    bench.receive(answer(&invite, 487));
    let text = bench.take();
    assert!(text.contains("deliver 487") && !text.contains("stray"), "{text}");
    bench.wait(Duration::from_secs(200));
    assert_eq!(bench.stack.transactions(), (0, 0));
    assert!(bench.stack.restored.is_empty());
}

#[test]
fn an_answer_that_was_heard_may_come_again() {
    let (invite, branch) = before(Transport::Udp);
    let mut bench = another(Transport::Udp);
    again(&mut bench, branch, Heard::Answer);
    bench.receive(answer(&invite, 200));
    assert!(bench.take().contains("deliver 200"));
}

#[test]
fn an_invite_of_a_peer_is_known_answered_and_cancelled() {
    let text = request("INVITE", "z9hG4bKx");
    let mut bench = another(Transport::Udp);
    bench.stack.expire(bench.now, &mut Outbox::new());
    let id = bench.stack.restore_invite_server(&parse(text.as_bytes()), bench.flow, false, bench.now).unwrap();
    assert_eq!(bench.stack.restore_invite_server(&parse(text.as_bytes()), bench.flow, false, bench.now), None, "once");
    bench.receive(&text);
    assert!(bench.take().contains("→ 100 (INVITE)"), "a repeated one is no new call");
    bench.receive(request("CANCEL", "z9hG4bKx"));
    assert!(bench.take().contains("cancelled"));
    (bench.server, bench.message) = (Some(id), Some(parse(text.as_bytes())));
    bench.respond(487);
    assert!(bench.take().contains("→ 487 (INVITE)"));
}

#[test]
fn an_invite_that_had_its_answer_absorbs_repetitions_and_its_answer_can_be_sent_elsewhere() {
    let text = request("INVITE", "z9hG4bKx");
    let mut bench = another(Transport::Tcp);
    let id = bench.stack.restore_invite_server(&parse(text.as_bytes()), bench.flow, true, bench.now).unwrap();
    bench.receive(&text);
    assert!(!bench.take().contains("deliver"));
    bench.stack.redirect(id, Flow { remote: "203.0.113.9:40000".parse().unwrap(), connection: 9, ..bench.flow });
    (bench.server, bench.message) = (Some(id), Some(parse(text.as_bytes())));
    bench.respond(200);
    assert!(bench.take().contains("→ 200 (INVITE) to 203.0.113.9:40000"));
}
