//! When phones were last registered, and drills.

use super::*;
use switch::limits::kept::DRILLS;

/// Asks the store on a thread that may wait.
async fn asked<T: Send + 'static>(store: &Arc<Store>, ask: impl FnOnce(&Store) -> Result<T, String> + Send + 'static) -> T {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || ask(&store)).await.unwrap().unwrap()
}

const fn later(seconds: u64) -> Instant {
    Instant::from_unix_micros(NOW.unix_micros() + seconds * 1_000_000)
}

#[tokio::test]
async fn when_a_phone_was_last_registered_is_kept_when_its_binding_goes_and_costs_a_refresh_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = start(folder.path(), &site(&["a", "b"], 5)).await;
    let seen = |endpoint: &str, contact: &str, at: u64| bound(&Binding { seen: later(at), ..binding(endpoint, contact, 60) });
    for at in [1, 2, 3] {
        store.keep(vec![seen("a", "sip:a@1", at), seen("a", "sip:a@2", at + 5)]).await.unwrap();
    }
    assert_eq!(asked(&store, Store::sightings).await, Sightings::default(), "a refresh writes its binding and nothing else");
    let gone = |contact: &str| Change::Unbound { endpoint: "a".into(), contact: contact.into() };
    store.keep(vec![gone("sip:a@1")]).await.unwrap();
    assert_eq!(asked(&store, Store::sightings).await.seen, [("a".to_owned(), later(3))].into());
    store.keep(vec![gone("sip:a@2")]).await.unwrap();
    assert_eq!(asked(&store, Store::sightings).await.seen, [("a".to_owned(), later(8))].into());
    // An older one does not go before it, and what nobody knows of is no sighting.
    store.keep(vec![seen("a", "sip:a@3", 4), bound(&Binding { seen: Instant::default(), ..binding("b", "sip:b@1", 60) })]).await.unwrap();
    store.keep(vec![gone("sip:a@3"), Change::Unbound { endpoint: "b".into(), contact: "sip:b@1".into() }]).await.unwrap();
    assert_eq!(asked(&store, Store::sightings).await.seen, [("a".to_owned(), later(8))].into());
    stop(store, writer).await;
}

#[tokio::test]
async fn a_binding_that_ends_while_no_gateway_runs_is_remembered_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = start(folder.path(), &site(&["a"], 5)).await;
    store.keep(vec![bound(&Binding { seen: later(2), ..binding("a", "sip:a@1", 0) })]).await.unwrap();
    stop(store, writer).await;
    let (store, writer, restored) = start(folder.path(), &site(&["a"], 5)).await;
    assert_eq!((restored, asked(&store, Store::sightings).await.seen), (0, [("a".to_owned(), later(2))].into()));
    stop(store, writer).await;
}

#[tokio::test]
async fn one_drill_runs_at_a_time_and_outlives_the_process_with_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = start(folder.path(), &site(&["a"], 5)).await;
    let Begun::Now(drill) = asked(&store, |store| store.begin_drill("spring", "ops", NOW)).await else { panic!() };
    assert_eq!(drill, Drill { number: 1, name: "spring".into(), by: "ops".into(), began: NOW, ended: None });
    assert_eq!(asked(&store, |store| store.begin_drill("other", "ops", NOW)).await, Begun::Running(drill.clone()));
    stop(store, writer).await;

    let (store, writer, _) = start(folder.path(), &site(&["a"], 5)).await;
    assert_eq!(asked(&store, Store::sightings).await.running(), Some(&drill));
    assert_eq!(asked(&store, |store| store.drill_report(1)).await, None);
    let came: Vec<_> = (0..200).map(|n| (format!("p{n}"), later(n))).collect();
    let expected = came.iter().map(|(id, at)| (id.clone(), (1, *at))).collect();
    let ended = asked(&store, |store| store.end_drill(1, "[1]".into(), came, later(300))).await.unwrap();
    assert_eq!(ended, Drill { ended: Some(later(300)), ..drill });
    assert_eq!(asked(&store, |store| store.end_drill(1, "[2]".into(), Vec::new(), later(301))).await, None);
    stop(store, writer).await;

    let (store, writer, _) = start(folder.path(), &site(&["a"], 5)).await;
    assert_eq!(asked(&store, |store| store.drill_report(1)).await, Some(Report { drill: ended.clone(), report: "[1]".into() }));
    let sightings = asked(&store, Store::sightings).await;
    assert_eq!((sightings.running(), &sightings.drills, &sightings.drilled), (None, &vec![ended], &expected));
    stop(store, writer).await;
}

#[tokio::test]
async fn of_more_drills_than_are_kept_the_oldest_are_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (store, writer, _) = start(folder.path(), &site(&["a"], 5)).await;
    let last = i64::try_from(DRILLS).unwrap() + 2;
    for number in 1..=last {
        let Begun::Now(drill) = asked(&store, |store| store.begin_drill("", "ops", NOW)).await else { panic!() };
        assert_eq!(drill.number, number, "no number is used twice");
        let came = vec![("a".to_owned(), later(1))];
        asked(&store, move |store| store.end_drill(number, "[]".into(), came, later(1))).await.unwrap();
    }
    let sightings = asked(&store, Store::sightings).await;
    let numbers: Vec<i64> = sightings.drills.iter().map(|drill| drill.number).collect();
    assert_eq!(numbers, (3..=last).rev().collect::<Vec<_>>());
    assert_eq!(sightings.drilled["a"].0, last);
    assert_eq!(asked(&store, |store| store.drill_report(1)).await, None);
    stop(store, writer).await;
}
