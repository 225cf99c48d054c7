use super::*;
use crate::{calls::Keep as _, config::Degraded, observe::Counters};
use sip::digest::Ha1;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use std::{fs, path::Path, sync::Arc, time::Duration};
use switch::site::Site;
use switch::{
    directory::{
        Directory, Emergency, Endpoint, Pool,
        record::Edit,
        roster::{Roster, Subject},
    },
    registrar::Change,
};

mod drills;
mod tolls;
mod trouble;

const NOW: Instant = Instant::from_unix_micros(1_700_000_000_000_000);

fn site(endpoints: &[&str], seats: u32) -> Arc<Site> {
    let endpoints = endpoints.iter().map(|id| Endpoint {
        id: (*id).to_owned(),
        extension: (*id).to_owned(),
        username: (*id).to_owned(),
        ha1: Ha1::default(),
        name: String::new(),
        enabled: true,
        licence: Some("site".to_owned()),
        location: None,
        mac: None,
        numbers: Vec::new(),
    });
    let emergency = Emergency::default();
    let pools = vec![Pool::new("site", seats)];
    Arc::new(Site::new(
        Directory::new("sip.example".to_owned(), endpoints.collect(), pools, Vec::new(), emergency, Vec::new()),
        switch::Limits::default(),
    ))
}

fn binding(endpoint: &str, contact: &str, expires: u64) -> Binding {
    Binding {
        endpoint: endpoint.into(),
        contact: contact.into(),
        params: ";+sip.instance=\"<urn:uuid:1>\";x=\"ü'\"".into(),
        q: 700,
        instance: Some("<urn:uuid:1>".into()),
        reg_id: Some(1),
        path: vec!["<sip:edge.example;lr>".to_owned(), "\"odd, one\" <sip:x;lr>".to_owned()],
        flow: Flow {
            transport: Transport::Tls,
            local: "[2001:db8::1]:5061".parse().unwrap(),
            remote: "[2001:db8::2]:40000".parse().unwrap(),
            // As after any restart.
            connection: u64::MAX,
        },
        call_id: "abc@phone".into(),
        cseq: 2_147_483_647,
        seen: NOW,
        expires: NOW + Duration::from_secs(expires),
        pool: Some("site".into()),
        emergency_only: false,
        user_agent: "Phone \"1\" \\ 2".into(),
    }
}

fn options(degraded: Degraded) -> Options {
    Options { wait: Duration::from_millis(5), queue: 64, degraded, backlog: 100, history: 3, patience: Duration::from_secs(10) }
}

async fn start(folder: &Path, site: &Arc<Site>) -> (Arc<Store>, tokio::sync::oneshot::Receiver<()>, usize) {
    let counters = Arc::new(Counters::default());
    let started = Store::start(&folder.join("store.sqlite"), site, NOW, options(Degraded::Refuse), counters).await.unwrap();
    (started.store, started.ended, started.restored)
}

async fn stop(store: Arc<Store>, writer: tokio::sync::oneshot::Receiver<()>) {
    drop(store);
    writer.await.unwrap();
}

fn bound(binding: &Binding) -> Change {
    Change::Bound(Arc::new(binding.clone()))
}

#[tokio::test]
async fn what_was_kept_comes_back_whole_with_its_seat() {
    let folder = tempfile::tempdir().unwrap();
    let kept = binding("a", "sip:a@10.0.0.1:5060;transport=tls", 60);
    let (store, writer, restored) = start(folder.path(), &site(&["a"], 5)).await;
    assert_eq!(restored, 0);
    store.keep(vec![bound(&kept)]).await.unwrap();
    stop(store, writer).await;

    let site = site(&["a"], 5);
    let (store, writer, restored) = start(folder.path(), &site).await;
    assert_eq!(restored, 1);
    assert_eq!(*site.registrar.bindings("a", NOW)[0], kept);
    assert_eq!(site.ledger.usage("site").unwrap().taken, 1);
    stop(store, writer).await;
}

#[tokio::test]
async fn what_has_expired_or_belongs_to_nobody_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = start(folder.path(), &site(&["a", "b"], 5)).await;
    store.keep(vec![bound(&binding("a", "sip:a@1", 0)), bound(&binding("b", "sip:b@1", 60))]).await.unwrap();
    stop(store, writer).await;

    let (store, writer, restored) = start(folder.path(), &site(&["a"], 5)).await;
    assert_eq!(restored, 0);
    stop(store, writer).await;
    // Also on disk: with the endpoint back, its old binding stays forgotten.
    let (store, writer, restored) = start(folder.path(), &site(&["a", "b"], 5)).await;
    assert_eq!(restored, 0);
    stop(store, writer).await;
}

#[tokio::test]
async fn of_many_changes_in_one_commit_the_last_of_each_binding_counts() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = start(folder.path(), &site(&["a", "b"], 5)).await;
    let unbound = |endpoint: &str, contact: &str| Change::Unbound { endpoint: endpoint.into(), contact: contact.into() };
    let later = Binding { cseq: 9, ..binding("b", "sip:b@1", 600) };
    // Queued together, so that they fall into one transaction.
    let waits = [
        store.keep(vec![bound(&binding("a", "sip:a@1", 60))]),
        store.keep(vec![bound(&binding("b", "sip:b@1", 60)), bound(&binding("a", "sip:a@2", 60))]),
        store.keep(vec![unbound("a", "sip:a@1")]),
        store.keep(vec![unbound("b", "sip:b@1"), bound(&later)]),
    ];
    for wait in waits {
        wait.await.unwrap();
    }
    stop(store, writer).await;

    let site = site(&["a", "b"], 5);
    let (store, writer, restored) = start(folder.path(), &site).await;
    assert_eq!(restored, 2);
    assert_eq!(*site.registrar.bindings("a", NOW)[0].contact, *"sip:a@2");
    assert_eq!(site.registrar.bindings("b", NOW)[0].cseq, 9);
    stop(store, writer).await;
}

#[tokio::test]
async fn a_thousand_registrations_at_once_share_a_few_commits() {
    let folder = tempfile::tempdir().unwrap();
    let ids: Vec<String> = (0..1000).map(|n| format!("phone-{n}")).collect();
    let names: Vec<&str> = ids.iter().map(String::as_str).collect();
    let counters = Arc::new(Counters::default());
    let wide = Options { queue: 2000, backlog: 2000, ..options(Degraded::Refuse) };
    let file = folder.path().join("store.sqlite");
    let Started { store, ended: writer, .. } = Store::start(&file, &site(&names, 2000), NOW, wide, counters).await.unwrap();
    let waits: Vec<_> = ids.iter().map(|id| store.keep(vec![bound(&binding(id, "sip:x@1", 60))])).collect();
    let began = std::time::Instant::now();
    for wait in waits {
        wait.await.unwrap();
    }
    // One flush each would take many seconds on any disk.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    stop(store, writer).await;
    let (store, writer, restored) = start(folder.path(), &site(&names, 2000)).await;
    assert_eq!(restored, 1000);
    stop(store, writer).await;
}

#[tokio::test]
async fn a_damaged_store_is_set_aside_and_a_new_one_made() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("store.sqlite"), vec![b'x'; 8192]).unwrap();
    let (store, writer, restored) = start(folder.path(), &site(&["a"], 5)).await;
    assert_eq!(restored, 0);
    store.keep(vec![bound(&binding("a", "sip:a@1", 60))]).await.unwrap();
    stop(store, writer).await;
    assert_eq!(fs::read(folder.path().join("store.sqlite.damaged-1")).unwrap()[0], b'x');
}

/// Makes every write fail, as a full disk does, until the trigger is taken away again.
async fn break_disk(folder: &Path, broken: bool) {
    let mut other = file::connect(&folder.join("store.sqlite")).await.unwrap();
    let statement = if broken {
        "CREATE TRIGGER full BEFORE INSERT ON binding BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
    } else {
        "DROP TRIGGER full"
    };
    sqlx::query(statement).execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_disk_that_fails_is_an_alarm_and_what_it_is_owed_is_written_when_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(Counters::default());
    let file = folder.path().join("store.sqlite");
    let Started { store, ended: writer, .. } =
        Store::start(&file, &site(&["a", "b"], 5), NOW, options(Degraded::Memory), Arc::clone(&counters)).await.unwrap();
    break_disk(folder.path(), true).await;
    store.keep(vec![bound(&binding("a", "sip:a@1", 60))]).await.unwrap();
    assert!(counters.read().dropped["store-failed"] >= 1);

    break_disk(folder.path(), false).await;
    // Nobody registers again; it comes by itself.
    let stored = async || {
        let mut other = file::connect(&file).await.unwrap();
        let rows = sqlx::query("SELECT endpoint FROM binding").fetch_all(&mut other).await.unwrap().len();
        other.close().await.unwrap();
        rows
    };
    for _ in 0..50 {
        if stored().await == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(stored().await, 1);
    stop(store, writer).await;
}

#[tokio::test]
async fn with_refuse_a_failing_disk_is_said_to_the_phone() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = start(folder.path(), &site(&["a"], 5)).await;
    break_disk(folder.path(), true).await;
    let why = store.keep(vec![bound(&binding("a", "sip:a@1", 60))]).await.unwrap_err();
    assert!(why.contains("disk is full"), "{why}");
    break_disk(folder.path(), false).await;
    // It is tried again once a second.
    while store.keep(vec![bound(&binding("a", "sip:a@1", 60))]).await.is_err() {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop(store, writer).await;
}

fn edits(edits: &str) -> Vec<Edit> {
    serde_json::from_str(edits).unwrap()
}

/// Makes edits beside the configuration of this site, on disk.
async fn change(store: &Arc<Store>, roster: &mut Roster, wanted: &str) -> Result<(), String> {
    let change = Arc::new(roster.apply(&edits(wanted), &site(&["a"], 5).directory()).unwrap());
    let (store, written) = (Arc::clone(store), Arc::clone(&change));
    tokio::task::spawn_blocking(move || store.write(written, "ann", NOW)).await.unwrap()?;
    roster.commit(Arc::unwrap_or_clone(change));
    Ok(())
}

const ALICE: &str = r#"[{"edit": "user", "id": "alice", "existing": "not", "fields": {"extension": "2001", "numbers": ["+1", "+2"]}},
    {"edit": "endpoint", "id": "desk", "existing": "not", "fields": {"password": "x", "mac": "00:1b:4f:00:00:01", "keys": ["line", "speed-dial:1=ü"],
     "settings": "SET A 1\n", "users": [{"user": "alice", "rings": false}]}}]"#;

#[tokio::test]
async fn endpoints_and_users_come_back_as_they_were_and_are_in_force_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.sqlite");
    let open = async |site: &Arc<Site>| Store::start(&file, site, NOW, options(Degraded::Refuse), Arc::default()).await.unwrap();
    let Started { store, ended, mut roster, .. } = open(&site(&["a"], 5)).await;
    assert!(roster.is_empty());
    change(&store, &mut roster, ALICE).await.unwrap();
    change(&store, &mut roster, r#"[{"edit": "assign", "endpoint": "desk", "user": "alice", "rings": true}]"#).await.unwrap();
    store.keep(vec![bound(&binding("desk", "sip:a@1", 60))]).await.unwrap();
    stop(store, ended).await;

    let again = site(&["a"], 5);
    let Started { store, ended, mut roster, restored, .. } = open(&again).await;
    assert_eq!(restored, 1, "a phone of the store is as registered as any other");
    let desk = roster.endpoint("desk").unwrap();
    assert_eq!((desk.keys.len(), desk.settings.as_str(), desk.mac.as_deref()), (2, "SET A 1\n", Some("001b4f000001")));
    assert_eq!(again.directory().by_extension("2001").unwrap().id, "alice");
    assert_eq!(again.targets("alice", NOW).len(), 1);
    assert!(again.directory().by_username("desk").unwrap().ha1.md5.is_some());
    let history = tokio::task::spawn_blocking({
        let store = Arc::clone(&store);
        move || store.history(Subject::Endpoint("desk".to_owned()), 10).unwrap()
    });
    let history: Vec<_> = history.await.unwrap().into_iter().map(|entry| (entry.at, entry.by, entry.what)).collect();
    assert_eq!(history[0], (NOW, "ann".to_owned(), "users: alice (silent) -> alice".to_owned()));
    assert_eq!((history.len(), history[1].2.as_str()), (2, "added"));
    change(&store, &mut roster, r#"[{"edit": "endpoint", "id": "desk", "existing": "must", "fields": {"enabled": false}}]"#).await.unwrap();
    stop(store, ended).await;

    let disabled = site(&["a"], 5);
    let Started { store, ended, restored, .. } = open(&disabled).await;
    assert_eq!((restored, disabled.ledger.usage("site").unwrap().taken), (0, 0), "a disabled phone is not put back");
    stop(store, ended).await;
    // The configuration has given the names away since: it comes first, and the rest of the store stays in force.
    let theirs = site(&["alice", "desk", "2001"], 5);
    let Started { store, ended, roster, .. } = open(&theirs).await;
    assert_eq!(roster.sizes(), (1, 1));
    assert_eq!(theirs.directory().by_extension("2001").unwrap().id, "2001");
    stop(store, ended).await;
}

#[tokio::test]
async fn of_a_change_that_cannot_be_written_nothing_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.sqlite");
    let open = async || Store::start(&file, &site(&["a"], 5), NOW, options(Degraded::Memory), Arc::default()).await.unwrap();
    let Started { store, ended, mut roster, .. } = open().await;
    let mut other = file::connect(&file).await.unwrap();
    // After the endpoint and the user have been written.
    let full = "CREATE TRIGGER full BEFORE INSERT ON history BEGIN SELECT RAISE(ABORT, 'disk is full'); END";
    sqlx::query(full).execute(&mut other).await.unwrap();
    let why = change(&store, &mut roster, ALICE).await.unwrap_err();
    assert!(why.contains("disk is full"), "{why}");
    sqlx::query("DROP TRIGGER full").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    stop(store, ended).await;
    let Started { store, ended, mut roster, .. } = open().await;
    assert!(roster.is_empty());
    change(&store, &mut roster, ALICE).await.unwrap();
    stop(store, ended).await;
}

#[tokio::test]
async fn grace_periods_the_most_seats_in_use_and_turns_are_kept_over_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let old = site(&["a", "b", "c", "d", "gone"], 2);
    let (store, writer, _) = start(folder.path(), &old).await;
    let seats = ["a", "b"].map(|id| old.seat("site", id, Duration::ZERO, NOW).unwrap());
    for id in ["c", "d", "gone"] {
        old.seat("site", id, Duration::ZERO, NOW).unwrap_err();
    }
    let (told, marks) = (Arc::clone(&store), old.ledger.marks(NOW));
    tokio::task::spawn_blocking(move || told.write_marks(marks)).await.unwrap().unwrap();
    drop(seats);
    stop(store, writer).await;

    // Made smaller in between: in grace from now on, whoever is registered.
    let report = |site: &Arc<Site>| site.ledger.report("site", NOW).unwrap();
    let small = site(&["a", "b", "c", "d"], 1);
    let (store, writer, _) = start(folder.path(), &small).await;
    let reduced = Some(switch::licence::Reduced { former: 2, since: NOW });
    assert_eq!((report(&small).reduced, report(&small).peak.taken), (reduced, 2));
    let waits = |id: &str| matches!(small.ledger.place("site", id, NOW), Some(Some(switch::licence::Standing::Waiting { .. })));
    assert_eq!(["c", "d", "gone"].map(waits), [true, true, false], "who is not in the directory any more has lost its turn");
    stop(store, writer).await;

    // What is unreadable is forgotten, and keeps nothing else from starting.
    let mut other = file::connect(&folder.path().join("store.sqlite")).await.unwrap();
    sqlx::query("UPDATE licence_pool SET state = '{}'").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let again = site(&["a", "b"], 1);
    let (store, writer, _) = start(folder.path(), &again).await;
    assert_eq!((report(&again).reduced, report(&again).peak.taken), (None, 0));
    stop(store, writer).await;
}

/// As the first version of the table was written.
#[tokio::test]
async fn bindings_of_the_first_version_come_along() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.sqlite");
    let mut old = SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(&file).create_if_missing(true)).await.unwrap();
    let first = sqlx::migrate!("src/store/migrations");
    let first = sqlx::migrate::Migrator { migrations: first.migrations.iter().take(1).cloned().collect::<Vec<_>>().into(), ..first };
    first.run(&mut old).await.unwrap();
    let binding = binding("a", "sip:a@10.0.0.1:5060;transport=tls", 60);
    let path = serde_json::to_string(&binding.path).unwrap();
    sqlx::query(
        "INSERT INTO binding VALUES (?, ?, ?, 700, ?, 1, ?, 'tls', '[2001:db8::1]:5061', '[2001:db8::2]:40000', 7, ?, ?, ?, 'site', 0, ?)",
    )
    .bind(&*binding.endpoint)
    .bind(&*binding.contact)
    .bind(&*binding.params)
    .bind(binding.instance.as_deref())
    .bind(path)
    .bind(&*binding.call_id)
    .bind(binding.cseq)
    .bind(binding.expires.unix_micros().cast_signed())
    .bind(&*binding.user_agent)
    .execute(&mut old)
    .await
    .unwrap();
    old.close().await.unwrap();

    let site = site(&["a"], 5);
    let (store, writer, restored) = start(folder.path(), &site).await;
    assert_eq!(restored, 1);
    let flow = binding.flow.restarted();
    assert_eq!(*site.registrar.bindings("a", NOW)[0], Binding { flow, seen: Instant::default(), ..binding });
    stop(store, writer).await;
}
