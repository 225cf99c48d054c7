//! What would be, if all came now.

use super::*;
use proptest::prelude::*;

const WAIT: u64 = 100;

fn with(seats: u32, reserved: &[&str]) -> Ledger {
    let ledger = Ledger::new();
    ledger.set_pools(&[Pool { reserved: reserved.iter().map(|&owner| owner.to_owned()).collect(), ..Pool::new("site", seats) }], at(0));
    ledger
}

#[test]
fn owners_come_first_then_those_who_wait_then_the_order_of_names() {
    let ledger = with(3, &["boss"]);
    let one = take_at(&ledger, "site", "one", 0).unwrap();
    let _two = take_at(&ledger, "site", "two", 0).unwrap();
    assert!(ledger.take("site", "late", at(WAIT), at(1)).is_err());
    drop(one);
    let told = ledger.would("site", &["a", "late", "two", "boss", "a"], at(2));
    let wanted = [("a", Err(NoSeat::Reserved)), ("boss", Ok(())), ("late", Ok(())), ("two", Ok(()))];
    assert_eq!(told.into_iter().collect::<Vec<_>>(), wanted);
    // Nobody was given a seat or a turn, and a turn that has lapsed counts for nothing.
    let report = ledger.report("site", at(2)).unwrap();
    assert_eq!((report.taken, report.waiting, report.refused), (1, 1, 1));
    assert_eq!(ledger.would("site", &["a", "late"], at(WAIT + 1))["a"], Ok(()));
    assert_eq!(ledger.would("gold", &["a"], at(2))["a"], Err(NoSeat::UnknownPool));
}

#[test]
fn a_pool_that_has_ended_gives_none_and_its_holders_stay() {
    let ledger = Ledger::new();
    ledger.set_pools(&[Pool { not_after: Some(at(10)), grace: Duration::ZERO, ..Pool::new("site", 2) }], at(0));
    let _seat = take(&ledger, "site", "a").unwrap();
    let told = ledger.would("site", &["a", "b"], at(20));
    assert_eq!((&told["a"], &told["b"]), (&Ok(()), &Err(NoSeat::Ended)));
    assert_eq!(ledger.would("site", &["b", "c"], at(5)).values().filter(|seat| seat.is_ok()).count(), 1);
}

proptest! {
    /// Whoever would hold a seat gets it when all come in that order, and nobody else does.
    #[test]
    fn it_is_what_comes_of_asking_for_all(
        seats in 0_u32..8, reserved in prop::collection::btree_set(0_usize..8, 0..4), held in prop::collection::vec(0_usize..8, 0..8),
        wait in prop::collection::vec(0_usize..8, 0..8), freed in 0_usize..8
    ) {
        prop_assume!(reserved.len() <= seats as usize);
        let names: Vec<String> = (0..8).map(|n| format!("p{n}")).collect();
        let owners: Vec<&str> = reserved.iter().map(|n| names[*n].as_str()).collect();
        let ledger = with(seats, &owners);
        let mut tokens: Vec<Seat> = held.iter().filter_map(|n| take_at(&ledger, "site", &names[*n], 0).ok()).collect();
        for n in wait {
            tokens.extend(ledger.take("site", &names[n], at(WAIT), at(1)));
        }
        tokens.truncate(tokens.len().saturating_sub(freed));
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        let told = ledger.would("site", &all, at(2));
        // Who is told yes asks first: owners, then by turn; a wrong yes or a wrong no would show.
        let places = ledger.places("site", "", 100, at(2)).unwrap();
        let turn = |name: &str| places.iter().find(|place| &*place.name == name).map_or_else(|| (2, at(0)), |place| match place.standing {
            Standing::Waiting { since, .. } => (1, since),
            Standing::Seated { .. } | Standing::Away => (0, at(0)),
        });
        let mut order: Vec<&str> = told.iter().filter(|(_, seat)| seat.is_ok()).map(|(name, _)| *name).collect();
        order.sort_by_key(|name| (!owners.contains(name), turn(name)));
        // Those who wait asked within one second: any order of them that gives all a seat is right, so each asks until it has one.
        for _ in 0..order.len() {
            for name in &order {
                tokens.extend(ledger.take("site", name, at(WAIT), at(3)));
            }
        }
        for name in &all {
            prop_assert_eq!(ledger.take("site", name, at(WAIT), at(4)).is_ok(), told[name].is_ok(), "{} {:?}", name, told);
        }
    }
}
