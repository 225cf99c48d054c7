//! What calls to the outside have used.

use super::*;
use crate::{clock::Clock, tolls::Cashier};
use switch::toll::{Balance, Outage, Talk};

fn balance(payer: Option<&str>, seconds: u64) -> Balance {
    let talk = Duration::from_secs(seconds);
    Balance {
        payer: payer.map(Into::into),
        hour: Some((NOW, 2)),
        day: Some((NOW, talk)),
        talk_in_outage: talk,
        talks: vec![Talk { answered: NOW, in_day: talk, in_outage: talk }],
        outage: payer.is_none().then_some(Outage { began: NOW, seen: NOW }),
    }
}

async fn write(store: &Arc<Store>, balances: Vec<Balance>, gone: Gone) {
    let store = Arc::clone(store);
    tokio::task::spawn_blocking(move || store.write_balances(balances, gone)).await.unwrap().unwrap();
}

async fn rows(file: &Path) -> Vec<(String, String)> {
    let mut other = file::connect(file).await.unwrap();
    let rows = sqlx::query_as("SELECT payer, state FROM toll_account ORDER BY payer").fetch_all(&mut other).await.unwrap();
    other.close().await.unwrap();
    rows
}

async fn kept(file: &Path) -> Vec<Balance> {
    let mut other = file::connect(file).await.unwrap();
    let balances = super::super::tolls::load(&mut other).await.unwrap();
    other.close().await.unwrap();
    balances
}

#[tokio::test]
async fn accounts_come_back_as_they_were_and_a_row_that_is_unreadable_loses_only_itself() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.sqlite");
    let (store, writer, _) = start(folder.path(), &site(&["a", "b"], 5)).await;
    write(&store, vec![balance(None, 30), balance(Some("a"), 10), balance(Some("gone"), 20)], Gone::Others).await;
    write(&store, vec![balance(Some("b"), 20)], Gone::These(vec![Some("gone".into()), Some("never".into())])).await;
    assert_eq!(kept(&file).await, [balance(None, 30), balance(Some("a"), 10), balance(Some("b"), 20)]);
    stop(store, writer).await;

    let mut other = file::connect(&file).await.unwrap();
    sqlx::query("UPDATE toll_account SET state = '{\"hour\": -1}' WHERE payer = 'a'").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    let again = site(&["a", "b"], 5);
    let (store, writer, _) = start(folder.path(), &again).await;
    let used = |who: &str| (again.tolls.usage(who, NOW).calls_in_hour, again.tolls.usage(who, NOW).talk_in_day.as_secs());
    assert_eq!((used("a"), used("b")), ((0, 0), (2, 20)));
    assert_eq!((again.tolls.usage_of_site(NOW).talk_in_outage.as_secs(), again.tolls.outage()), (30, Some(NOW)));
    stop(store, writer).await;
}

/// As the gateway does.
#[tokio::test]
async fn what_has_changed_is_written_and_who_has_no_account_any_more_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.sqlite");
    let site = site(&["a", "b"], 5);
    let (store, writer, _) = start(folder.path(), &site).await;
    write(&store, vec![balance(Some("a"), 10)], Gone::Others).await;
    let clock = Clock::start();
    let cashier = Cashier::new(Arc::clone(&site), Arc::clone(&store), clock, Arc::default());
    let look = async || {
        let cashier = Arc::clone(&cashier);
        tokio::task::spawn_blocking(move || cashier.look()).await.unwrap();
        rows(&file).await.into_iter().map(|(payer, _)| payer).collect::<Vec<_>>()
    };
    assert_eq!(look().await, [""; 0], "nobody has used anything");
    let ceilings = switch::toll::Ceilings::default();
    site.tolls.admit(Some("a"), &ceilings, clock.now()).unwrap();
    site.tolls.admit(Some("b"), &ceilings, clock.now()).unwrap();
    assert_eq!(look().await, ["a", "b"]);
    // Only what has changed: what somebody else writes meanwhile stays.
    let mut other = file::connect(&file).await.unwrap();
    sqlx::query("UPDATE toll_account SET state = 'mine' WHERE payer = 'a'").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    site.tolls.admit(Some("b"), &ceilings, clock.now()).unwrap();
    look().await;
    let written = rows(&file).await;
    assert!(written[0].1 == "mine" && written[1].1.contains(",2]"), "{written:?}");
    site.tolls.retain(|payer| payer == "a");
    assert_eq!(look().await, ["a"]);
    drop(cashier);
    stop(store, writer).await;
}

#[tokio::test]
async fn a_file_that_takes_the_place_of_a_damaged_one_is_told_everything() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.sqlite");
    let site = site(&["a", "b"], 5);
    let (store, writer, _) = start(folder.path(), &site).await;
    let clock = Clock::start();
    let cashier = Cashier::new(Arc::clone(&site), Arc::clone(&store), clock, Arc::default());
    let look = async || {
        let cashier = Arc::clone(&cashier);
        tokio::task::spawn_blocking(move || cashier.look()).await.unwrap();
    };
    site.tolls.admit(Some("a"), &switch::toll::Ceilings::default(), clock.now()).unwrap();
    look().await;
    // Somebody changes it, so that the store has to read again what it knew; then a program writes over it, and over its log.
    let mut other = file::connect(&file).await.unwrap();
    sqlx::query("CREATE TABLE strange (x TEXT)").execute(&mut other).await.unwrap();
    for name in ["store.sqlite", "store.sqlite-wal"] {
        let path = folder.path().join(name);
        let length = fs::metadata(&path).map_or(0, |meta| meta.len());
        let over = fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&over, &vec![0x5a; usize::try_from(length).unwrap()], 0).unwrap();
    }
    site.tolls.admit(Some("b"), &switch::toll::Ceilings::default(), clock.now()).unwrap();
    for _ in 0..600 {
        look().await;
        if store.standing().aside.is_some() && store.standing().trouble.is_none() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    look().await;
    assert_eq!(rows(&file).await.into_iter().map(|(payer, _)| payer).collect::<Vec<_>>(), ["a", "b"]);
    drop(cashier);
    stop(store, writer).await;
    // Not before: it removes the log of the file by its name.
    other.close().await.ok();
}
