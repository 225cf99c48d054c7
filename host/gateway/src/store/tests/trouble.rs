//! Files that are not as they should be, at a start and while the store runs; histories that grow too long.

use super::*;

/// A store with the phones "a" and "b" registered and an endpoint of its own, closed in order; and its file.
async fn full(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("store.sqlite");
    let Started { store, ended, mut roster, .. } = open(&file, &site(&["a", "b"], 5), Degraded::Memory).await;
    change(&store, &mut roster, ALICE).await.unwrap();
    store.keep(vec![bound(&binding("a", "sip:a@1", 60)), bound(&binding("b", "sip:b@1", 60))]).await.unwrap();
    let told = Arc::clone(&store);
    let drill = move || {
        told.begin_drill("spring", "ops", NOW).unwrap();
        told.end_drill(1, "who came".to_owned(), vec![("a".to_owned(), NOW)], NOW).unwrap();
    };
    tokio::task::spawn_blocking(drill).await.unwrap();
    stop(store, ended).await;
    file
}

async fn open(file: &Path, site: &Arc<Site>, degraded: Degraded) -> Started {
    Store::start(file, site, NOW, options(degraded), Arc::default()).await.unwrap()
}

async fn run(file: &Path, statement: &'static str) {
    let mut other = file::connect(file).await.unwrap();
    sqlx::query(statement).execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}

fn kind(store: &Store) -> Option<Kind> {
    store.standing().trouble.map(|(trouble, _)| trouble.kind)
}

async fn until_well(store: &Store) {
    for _ in 0..600 {
        if kind(store).is_none() && store.standing().owed == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("still {:?}", store.standing());
}

/// Bindings and endpoints that a store gives back.
async fn kept(file: &Path) -> (usize, (usize, usize)) {
    let Started { store, ended, restored, roster, .. } = open(file, &site(&["a", "b", "c"], 5), Degraded::Memory).await;
    stop(store, ended).await;
    (restored, roster.sizes())
}

#[tokio::test]
async fn a_store_of_a_later_version_is_read_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let file = full(folder.path()).await;
    run(
        &file,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (9999, 'later', TRUE, x'00', 0)",
    )
    .await;
    let before = fs::read(&file).unwrap();
    for (degraded, accepted) in [(Degraded::Memory, true), (Degraded::Refuse, false)] {
        let site = site(&["a", "b", "c"], 5);
        let Started { store, ended, restored, roster, .. } = open(&file, &site, degraded).await;
        assert_eq!((restored, roster.sizes(), kind(&store)), (2, (1, 1), Some(Kind::Newer)), "what can be read of it counts");
        let answer = store.keep(vec![bound(&binding("c", "sip:c@1", 60))]).await;
        assert_eq!(answer.is_ok(), accepted, "{answer:?}");
        let mut roster = roster;
        let why = change(&store, &mut roster, r#"[{"edit": "endpoint", "id": "new", "existing": "not", "fields": {"password": "x"}}]"#)
            .await
            .unwrap_err();
        assert!(why.contains("its schema is 9999, this version knows"), "{why}");
        let (trouble, _) = store.standing().trouble.unwrap();
        assert!(trouble.to_string().contains("start the version that made it"), "{trouble}");
        stop(store, ended).await;
        assert_eq!(fs::read(&file).unwrap(), before);
    }
    let seen = tokio::task::spawn_blocking({
        let file = file.clone();
        move || look(&file).unwrap()
    });
    let Look { seen, troubles } = seen.await.unwrap();
    assert_eq!(troubles.iter().map(|trouble| trouble.kind).collect::<Vec<_>>(), [Kind::Newer]);
    let Seen { endpoints, users, bindings, sound, schema, .. } = seen.unwrap();
    assert_eq!((endpoints, users, bindings, sound, schema), (1, 1, 2, true, 9999));
    assert_eq!(fs::read(&file).unwrap(), before);
}

#[tokio::test]
async fn of_a_damaged_table_the_others_are_saved_into_a_new_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = full(folder.path()).await;
    // The first page of the bindings' table.
    let mut other = file::connect(&file).await.unwrap();
    let page: i64 = sqlx::query_scalar("SELECT rootpage FROM sqlite_schema WHERE name = 'binding'").fetch_one(&mut other).await.unwrap();
    other.close().await.unwrap();
    let mut bytes = fs::read(&file).unwrap();
    let at = usize::try_from(page - 1).unwrap() * 4096;
    bytes[at..at + 4096].fill(0x5a);
    fs::write(&file, &bytes).unwrap();

    let site = site(&["a", "b"], 5);
    let mut started = open(&file, &site, Degraded::Memory).await;
    assert_eq!((started.restored, started.roster.sizes()), (0, (1, 1)));
    assert_eq!(fs::read(folder.path().join("store.sqlite.damaged-1")).unwrap(), bytes);
    // As the gateway does.
    let keeper = crate::keeper::Keeper::new(Arc::clone(&site), &mut started, crate::clock::Clock::start(), None);
    let running = tokio::spawn(Arc::clone(&keeper).run());
    let Started { store, ended, .. } = started;
    store.keep(vec![bound(&binding("a", "sip:a@1", 60))]).await.unwrap();
    let told = Arc::clone(&store);
    let (sightings, report) =
        tokio::task::spawn_blocking(move || (told.sightings().unwrap(), told.drill_report(1).unwrap())).await.unwrap();
    assert_eq!((sightings.drills.len(), sightings.drilled["a"].0), (1, 1));
    assert_eq!(report.unwrap().report, "who came");
    for _ in 0..600 {
        let mut other = file::connect(&file).await.unwrap();
        let endpoints: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM endpoint").fetch_one(&mut other).await.unwrap();
        other.close().await.unwrap();
        if endpoints == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    drop(keeper);
    stop(store, ended).await;
    assert_eq!(kept(&file).await, (1, (1, 1)));
}

#[tokio::test]
async fn a_file_that_is_found_damaged_while_it_is_written_is_replaced_and_told_everything() {
    let folder = tempfile::tempdir().unwrap();
    let file = full(folder.path()).await;
    let site = site(&["a", "b"], 5);
    let Started { store, ended, restored, .. } = open(&file, &site, Degraded::Memory).await;
    assert_eq!(restored, 2);
    // Somebody changes it, so that the store has to read again what it knew; then a program writes over it, and over its log.
    let mut other = file::connect(&file).await.unwrap();
    sqlx::query("CREATE TABLE strange (x TEXT)").execute(&mut other).await.unwrap();
    for name in ["store.sqlite", "store.sqlite-wal"] {
        let path = folder.path().join(name);
        let length = fs::metadata(&path).map_or(0, |meta| meta.len());
        let over = fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&over, &vec![0x5a; usize::try_from(length).unwrap()], 0).unwrap();
    }
    store.keep(vec![bound(&binding("b", "sip:b@1", 90))]).await.unwrap();
    for _ in 0..600 {
        if store.standing().aside.is_some() && kind(&store).is_none() {
            break;
        }
        store.keep(vec![bound(&binding("b", "sip:b@1", 90))]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(store.standing().aside, Some(folder.path().join("store.sqlite.damaged-1")));
    stop(store, ended).await;
    // Not before: it removes the log of the file by its name.
    other.close().await.ok();
    assert_eq!(kept(&file).await.0, 2, "also the phone that has not registered since");
}

#[tokio::test]
async fn a_store_that_another_program_holds_is_an_alarm_until_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let file = full(folder.path()).await;
    let Started { store, ended, .. } = open(&file, &site(&["a", "b"], 5), Degraded::Memory).await;
    let mut other = file::connect(&file).await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    store.keep(vec![bound(&binding("a", "sip:a@2", 60))]).await.unwrap();
    assert_eq!((kind(&store), store.standing().owed), (Some(Kind::Locked), 1));
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    until_well(&store).await;
    stop(store, ended).await;
    assert_eq!(kept(&file).await.0, 3);
}

/// SQLite's own limit: the real error of a full disk.
#[tokio::test]
async fn a_full_disk_has_its_own_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = full(folder.path()).await;
    let mut connection = file::connect(&file).await.unwrap();
    sqlx::query("PRAGMA max_page_count = 1").execute(&mut connection).await.unwrap();
    let big = "INSERT INTO binding VALUES ('x', 'x', hex(zeroblob(100000)))";
    let error = sqlx::query(big).execute(&mut connection).await.unwrap_err();
    let trouble = Trouble::of(&file, &error);
    assert_eq!(trouble.kind, Kind::Full, "{trouble}");
    assert!(trouble.to_string().contains("free space on the disk of"), "{trouble}");
}

#[tokio::test]
async fn more_than_is_remembered_one_by_one_is_written_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.sqlite");
    let site = site(&["a", "b"], 5);
    assert!(site.restore(binding("a", "sip:a@1", 60), NOW));
    let Started { store, ended, .. } =
        Store::start(&file, &site, NOW, Options { backlog: 1, ..options(Degraded::Memory) }, Arc::default()).await.unwrap();
    break_disk(folder.path(), true).await;
    let gone = Change::Unbound { endpoint: "b".into(), contact: "sip:b@1".into() };
    store.keep(vec![bound(&binding("a", "sip:a@1", 60)), gone]).await.unwrap();
    assert_eq!(store.standing().owed, 1, "those in memory");
    break_disk(folder.path(), false).await;
    until_well(&store).await;
    stop(store, ended).await;
    assert_eq!(kept(&file).await.0, 1);
}

#[tokio::test]
async fn a_history_has_no_more_lines_than_it_may_and_the_oldest_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.sqlite");
    let counters = Arc::new(Counters::default());
    let Started { store, ended, mut roster, .. } =
        Store::start(&file, &site(&["a"], 5), NOW, options(Degraded::Memory), Arc::clone(&counters)).await.unwrap();
    change(&store, &mut roster, ALICE).await.unwrap();
    for name in ["one", "two", "three", "four"] {
        change(
            &store,
            &mut roster,
            &format!(r#"[{{"edit": "endpoint", "id": "desk", "existing": "must", "fields": {{"name": "{name}"}}}}]"#),
        )
        .await
        .unwrap();
    }
    let history = |subject: Subject| {
        let store = Arc::clone(&store);
        tokio::task::spawn_blocking(move || store.history(subject, 50).unwrap().into_iter().map(|entry| entry.what).collect::<Vec<_>>())
    };
    let desk = history(Subject::Endpoint("desk".to_owned())).await.unwrap();
    assert!(desk.len() == 3 && desk[0].contains("four") && desk[2].contains("two"), "{desk:?}");
    assert_eq!(history(Subject::User("alice".to_owned())).await.unwrap(), ["added"], "those of others stay");
    assert_eq!(counters.read().dropped["history-forgotten"], 2);
    stop(store, ended).await;
}
