//! Records on real files and a real store.

use super::*;
use crate::{
    config::Degraded,
    store::{CallsWanted, Options},
};
use sip::{
    Message,
    header::Name,
    message::Method,
    transport::{Flow, Transport},
};
use std::net::SocketAddr;
use switch::{
    directory::{Directory, Emergency},
    facts::{Call, CallKind, Caller},
    record::{CallRecord, Made, Said},
    site::Site,
};

const ALL: CallsWanted = CallsWanted { since: 0, until: u64::MAX, most: 1_000 };

fn call(call_id: &str, at: Instant) -> Call {
    let uri = b"sip:1002@sip.example";
    let mut writer = sip::build::Writer::request(Method::Invite, b"", uri);
    writer.header(Name::From, b"<sip:1001@sip.example>;tag=a").header(Name::To, b"<sip:1002@sip.example>");
    writer.header(Name::CallId, call_id.as_bytes()).header(Name::CSeq, b"1 INVITE").number(Name::MaxForwards, 70);
    let request = writer.finish_request(b"m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n");
    let address: SocketAddr = "192.0.2.7:5060".parse().unwrap();
    Call {
        message: Message::parse(bytes::Bytes::copy_from_slice(request.bytes()), &sip::Limits::default()).unwrap(),
        at,
        flow: Flow { transport: Transport::Udp, local: address, remote: address, connection: 0 },
        caller: Caller::Trunk("provider".to_owned()),
        kind: CallKind::Emergency,
        called: "1002".to_owned(),
        caller_number: "1001".to_owned(),
        caller_name: "=cmd()".to_owned(),
        location: Some("hq".to_owned()),
        attributes: Vec::new(),
    }
}

fn detail(call_id: &str, at: Instant) -> Arc<CallDetail> {
    let call = call(call_id, at);
    let record = CallRecord::unanswered(&call, 486, "busy", at + Duration::from_millis(1_500));
    let said = vec![Said { policy: "internal".to_owned(), outcome: "route desk-2".to_owned() }];
    Arc::new(CallDetail::undialled(&call, record, said, None))
}

fn site() -> Arc<Site> {
    let emergency = Emergency::default();
    let directory = Directory::new("sip.example".to_owned(), vec![], vec![], vec![], emergency, vec![]);
    Arc::new(Site::new(directory, switch::Limits::default()))
}

async fn store(folder: &Path) -> Arc<Store> {
    let options = Options::new(&crate::config::Limits::default(), Degraded::Memory);
    Store::start(&folder.join("store.sqlite"), &site(), Instant::default(), options, Arc::default()).await.unwrap().store
}

fn now() -> Instant {
    crate::clock::Clock::start().now()
}

fn lines(folder: &Path, wanted: &Wanted) -> Vec<CallLine> {
    let mut lines = Vec::new();
    let unreadable = find(folder, wanted, |line| {
        lines.push(line);
        Ok(())
    });
    assert_eq!(unreadable.unwrap(), 0);
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_has_a_line_and_a_row_with_everything_that_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path()).await;
    let records = Records::start(&folder.path().join(FOLDER), Settings::default(), Arc::clone(&store), Arc::default()).unwrap();
    let at = now();
    records.detailed(&detail("a@phone", at));
    tokio::task::spawn_blocking(move || drop(records)).await.unwrap();
    let lines = lines(&folder.path().join(FOLDER), &Wanted::default());
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((line.call_id.as_str(), line.kind.as_str(), line.emergency), ("a@phone", "emergency", true));
    assert_eq!((line.caller.as_str(), line.trunk_in.as_deref(), line.called.as_str()), ("trunk:provider", Some("provider"), "1002"));
    assert_eq!((line.status, line.cause.as_str(), line.ended_by.as_str(), line.ring_ms), (486, "busy", "callee", 1_500));
    assert_eq!(line.offered, ["PCMA", "telephone-event"]);
    assert_eq!(line.policies[0].outcome, "route desk-2");
    assert_eq!(line.made, Made::Received.name());
    let row = line.row();
    assert_eq!(row.len(), COLUMNS.len());
    assert!(row.contains(&"'=cmd()".to_owned()), "a name that is a formula: {row:?}");
    let stored = tokio::task::spawn_blocking(move || store.calls(ALL)).await.unwrap().unwrap();
    assert_eq!(serde_json::from_str::<CallLine>(&stored[0]).unwrap(), *line);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_taken_up_gets_no_second_record() {
    let folder = tempfile::tempdir().unwrap();
    let (store, at) = (store(folder.path()).await, now());
    let path = folder.path().join(FOLDER);
    let records = Records::start(&path, Settings::default(), Arc::clone(&store), Arc::default()).unwrap();
    records.detailed(&detail("a@phone", at));
    tokio::task::spawn_blocking(move || drop(records)).await.unwrap();

    let records = Records::start(&path, Settings::default(), Arc::clone(&store), Arc::default()).unwrap();
    records.know(&path, &[("a@phone".to_owned(), at), ("b@phone".to_owned(), at)]);
    for call_id in ["a@phone", "b@phone"] {
        records.detailed(&Arc::new(CallDetail { restored: true, ..(*detail(call_id, at)).clone() }));
    }
    // The same Call-ID later is another call.
    records.detailed(&detail("a@phone", at + Duration::from_secs(1)));
    tokio::task::spawn_blocking(move || drop(records)).await.unwrap();
    let ids: Vec<_> = lines(&path, &Wanted::default()).into_iter().map(|line| (line.call_id, line.restored)).collect();
    assert_eq!(ids, [("a@phone".to_owned(), false), ("b@phone".to_owned(), true), ("a@phone".to_owned(), false)]);
    let stored = tokio::task::spawn_blocking(move || store.calls(ALL)).await.unwrap().unwrap();
    assert_eq!(stored.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_rows_have_their_limits() {
    let folder = tempfile::tempdir().unwrap();
    let (store, at) = (store(folder.path()).await, now());
    let path = folder.path().join(FOLDER);
    let settings = Settings { file_bytes: 4_000, files: 3, stored: 20, ..Settings::default() };
    let records = Records::start(&path, settings, Arc::clone(&store), Arc::default()).unwrap();
    for n in 0..100 {
        records.detailed(&detail(&format!("{n}@phone"), at + Duration::from_secs(n)));
    }
    tokio::task::spawn_blocking(move || drop(records)).await.unwrap();
    let files = files::list_of(&path, STEM);
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| fs::metadata(file).unwrap().len() <= 4_000));
    let kept = lines(&path, &Wanted::default());
    assert_eq!(kept.last().unwrap().call_id, "99@phone");
    let stored = tokio::task::spawn_blocking(move || store.calls(ALL)).await.unwrap().unwrap();
    assert_eq!(stored.len(), 20);
    assert!(stored[0].contains("99@phone") && stored[19].contains("80@phone"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_removed_and_a_file_holds_one_day() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = (store(folder.path()).await, folder.path().join(FOLDER));
    let days = |n: u64| Instant::from_unix_micros(now().unix_micros() - n * 86_400_000_000);
    let settings = Settings { days: 10, ..Settings::default() };
    let records = Records::start(&path, settings, Arc::clone(&store), Arc::default()).unwrap();
    records.detailed(&detail("old@phone", days(2)));
    tokio::task::spawn_blocking(move || drop(records)).await.unwrap();
    let ancient = path.join("calls.1.jsonl");
    fs::write(&ancient, "{}\n").unwrap();
    let file = fs::File::options().write(true).open(&ancient).unwrap();
    file.set_modified(SystemTime::now() - DAY * 11).unwrap();

    let records = Records::start(&path, settings, Arc::clone(&store), Arc::default()).unwrap();
    records.detailed(&detail("new@phone", now()));
    tokio::task::spawn_blocking(move || drop(records)).await.unwrap();
    let names: Vec<_> = files::list_of(&path, STEM).into_iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].contains("old@phone") && names[1].contains("new@phone"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_records_wait_the_journal_keeps_their_calls_and_too_many_are_let_go() {
    let folder = tempfile::tempdir().unwrap();
    let (store, path) = (store(folder.path()).await, folder.path().join(FOLDER));
    let counters = Arc::new(Counters::default());
    let settings = Settings { queue: 16, ..Settings::default() };
    let records = Records::start(&path, settings, store, Arc::clone(&counters)).unwrap();
    let details: Vec<_> = (0..5_000).map(|n| detail(&format!("{n}@phone"), now())).collect();
    details.iter().for_each(|detail| records.detailed(detail));
    tokio::task::spawn_blocking(move || drop(records)).await.unwrap();
    // Written or lost, nobody has a share any more but those who made the calls.
    assert!(details.iter().all(|detail| Arc::strong_count(detail) == 1));
    let lost = usize::try_from(counters.read().dropped["call-not-recorded"]).unwrap();
    assert_eq!(lines(&path, &Wanted::default()).len() + lost, 5_000);
}

#[test]
fn records_are_found_by_time_party_and_kind() {
    let folder = tempfile::tempdir().unwrap();
    let mut text = String::new();
    let at = Instant::from_unix_micros(1_800_000_000_000_000);
    for n in 0..10_u64 {
        let mut line = CallLine::from(&*detail(&format!("{n}@phone"), at + Duration::from_secs(n)));
        line.called = format!("20{n}");
        if n % 2 == 0 {
            line.kind = "normal".to_owned();
        }
        text.push_str(&serde_json::to_string(&line).unwrap());
        text.push('\n');
    }
    fs::write(folder.path().join("calls.jsonl"), text).unwrap();
    let count = |wanted: Wanted| lines(folder.path(), &wanted).len();
    assert_eq!(count(Wanted::default()), 10);
    assert_eq!(count(Wanted { since: Some((at + Duration::from_secs(3)).unix_micros()), ..Wanted::default() }), 7);
    assert_eq!(count(Wanted { until: Some((at + Duration::from_secs(3)).unix_micros()), ..Wanted::default() }), 3);
    assert_eq!(count(Wanted { who: Some("203".to_owned()), ..Wanted::default() }), 1);
    assert_eq!(count(Wanted { who: Some("provider".to_owned()), ..Wanted::default() }), 10);
    assert_eq!(count(Wanted { emergency: true, ..Wanted::default() }), 5);
}
