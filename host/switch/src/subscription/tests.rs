use super::*;
use crate::{
    fixture::{at, endpoint, message, udp},
    lines::LineState,
};

fn subscribe(cseq: u32, tag: &str, lines: &str) -> Message {
    message(&format!(
        "SUBSCRIBE sip:1002@sip.example SIP/2.0\nVia: SIP/2.0/UDP 10.1.0.7:5060;branch=z9hG4bK{cseq}\nMax-Forwards: 70\nFrom: <sip:1001@sip.example>;tag=w\n\
         To: <sip:1002@sip.example>{tag}\nCall-ID: watch\nCSeq: {cseq} SUBSCRIBE\nContact: <sip:1001@10.1.0.7>\n{lines}Content-Length: 0\n\n"
    ))
}

fn place() -> Place {
    Places::default().take("desk-1", 1, 1).unwrap()
}

fn begin(lines: &str, span: Span) -> Subscription {
    let (watcher, watched) = (endpoint("desk-1", "1001"), endpoint("desk-2", "1002"));
    let flow = udp("10.1.0.7:5060");
    Subscription::new(&subscribe(1, "", lines), "ours", flow, Package::Dialog, &watcher, &watched, "sip.example", span, place(), at(0))
        .unwrap()
}

fn show(lines: &Lines, call: u64, state: LineState, name: &str) {
    let remote = Some(("<\"Eve\" & 'co'>\u{7}".to_owned(), "sip:1003@sip.example".to_owned()));
    let dialog = LineDialog { state, outgoing: false, name: Some(name.to_owned()), wanted: None, remote };
    let id = LineId { shard: 0, call, party: 1 };
    let _shards = lines.set("desk-2", id, Some(Arc::new(dialog)));
}

fn text(notify: Option<(Request, Flow)>) -> String {
    String::from_utf8(notify.expect("a NOTIFY").0.bytes().to_vec()).unwrap()
}

#[test]
fn one_notify_at_a_time_and_no_more_than_one_a_second() {
    let lines = Lines::default();
    let mut watch = begin("", Span::Seconds(600));
    let first = text(watch.notify(&lines, at(0)));
    assert!(first.contains("state=\"full\"") && first.contains("Subscription-State: active;expires=600\r\n"), "{first}");
    show(&lines, 1, LineState::Early, "c");
    watch.changed();
    assert!(watch.notify(&lines, at(5)).is_none(), "the first is not answered");
    watch.answered(Some(200));
    let second = text(watch.notify(&lines, at(5)));
    assert!(second.contains("version=\"1\" state=\"partial\"") && second.contains("<state>early</state>"), "{second}");
    show(&lines, 1, LineState::Confirmed, "c");
    watch.changed();
    watch.answered(Some(200));
    assert_eq!(watch.deadline(), Some(at(6)), "RFC 4235 3.10");
    assert!(watch.notify(&lines, at(5)).is_none());
    assert!(text(watch.notify(&lines, at(6))).contains("<state>confirmed</state>"));
    watch.answered(Some(200));
    // What came and went between two NOTIFYs was never there.
    show(&lines, 2, LineState::Early, "d");
    let _shards = lines.set("desk-2", LineId { shard: 0, call: 2, party: 1 }, None);
    watch.changed();
    assert!(watch.notify(&lines, at(9)).is_none());
    assert_eq!(watch.deadline(), Some(at(600)));
}

#[test]
fn nothing_that_a_peer_has_written_becomes_markup() {
    let lines = Lines::default();
    show(&lines, 1, LineState::Early, "a\"b<c>&'\u{1}d");
    let mut watch = begin("", Span::Seconds(600));
    let document = text(watch.notify(&lines, at(0)));
    assert!(document.contains("call-id=\"a&quot;b&lt;c&gt;&amp;&apos;d\" local-tag=\"a&quot;b"), "{document}");
    assert!(document.contains("display=\"&lt;&quot;Eve&quot; &amp; &apos;co&apos;&gt;\""), "{document}");
}

#[test]
fn a_document_shows_so_many_dialogs_and_no_more() {
    let lines = Lines::default();
    for call in 0..1000 {
        show(&lines, call, LineState::Confirmed, "c");
    }
    let mut watch = begin("", Span::Seconds(600));
    assert_eq!(text(watch.notify(&lines, at(0))).matches("<state>").count(), DIALOGS);
}

#[test]
fn how_it_ends() {
    let lines = Lines::default();
    for (status, over) in [(Some(200), false), (Some(500), false), (Some(481), true), (Some(489), true), (None, true)] {
        let mut watch = begin("", Span::Seconds(600));
        let _notify = text(watch.notify(&lines, at(0)));
        watch.answered(status);
        assert_eq!(watch.over(), over, "RFC 5057 5.1: {status:?}");
        assert_eq!(watch.deadline().is_none(), over);
    }
    // By the clock, also while a change waits for its second.
    let mut watch = begin("", Span::Seconds(600));
    let _notify = text(watch.notify(&lines, at(0)));
    watch.answered(Some(200));
    assert!(text(watch.notify(&lines, at(600))).contains("Subscription-State: terminated;reason=timeout"));
    watch.answered(Some(200));
    assert!(watch.over());
    // By the watcher, while a NOTIFY is on its way: the last one follows it.
    let mut watch = begin("", Span::Seconds(600));
    let _notify = text(watch.notify(&lines, at(0)));
    assert!(watch.refresh(&subscribe(2, ";tag=ours", ""), udp("10.1.0.7:5060"), Span::Once, at(1)));
    watch.answered(Some(200));
    assert!(!watch.over());
    assert!(text(watch.notify(&lines, at(1))).contains("terminated"));
    watch.answered(Some(200));
    assert!(watch.over());
}

#[test]
fn requests_of_its_dialog_are_told_from_others() {
    let mut watch = begin("Event: Dialog ; sla ; ID = x7\n", Span::Seconds(600));
    assert!(text(watch.notify(&Lines::default(), at(0))).contains("Event: dialog;ID = x7\r\n"));
    assert!(watch.owns(&subscribe(2, ";tag=ours", "")));
    assert!(!watch.refresh(&subscribe(0, ";tag=ours", ""), udp("10.1.0.7:5060"), Span::Seconds(60), at(1)), "a lower CSeq");
    assert!(watch.refresh(&subscribe(2, ";tag=ours", ""), udp("10.1.0.8:5060"), Span::Seconds(60), at(1)));
    watch.answered(Some(200));
    assert_eq!(watch.notify(&Lines::default(), at(1)).unwrap().1, udp("10.1.0.8:5060"), "it is reached where it now is");
}

#[test]
fn spans() {
    cov_mark::check!(rfc6665_4_2_1_1_too_brief);
    let limits = Limits::default();
    let read = |lines: &str| Span::read(&subscribe(1, "", lines), &limits);
    assert_eq!(read(""), Span::Seconds(3600));
    assert_eq!(read("Expires: 0\n"), Span::Once);
    assert_eq!(read("Expires: 59\n"), Span::TooBrief(60));
    assert_eq!(read("Expires: 60\n"), Span::Seconds(60));
    assert_eq!(read("Expires: 4294967295\n"), Span::Seconds(3600));
}

#[test]
fn places_come_back() {
    let places = Places::default();
    let first = places.take("a", 1, 2).unwrap();
    assert_eq!(places.take("a", 1, 2).unwrap_err(), Full::Endpoint);
    let _second = places.take("b", 1, 2).unwrap();
    assert_eq!(places.take("c", 1, 2).unwrap_err(), Full::Site);
    drop(first);
    assert!(places.take("a", 1, 2).is_ok());
    assert_eq!(places.taken(), 1);
}
