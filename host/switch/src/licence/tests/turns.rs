//! Reserved seats, and who comes next.

use super::*;

fn reserved(seats: u32, owners: &[&str]) -> Pool {
    Pool { reserved: owners.iter().map(|&owner| owner.to_owned()).collect(), ..Pool::new("site", seats) }
}

fn with(pool: Pool) -> Ledger {
    let ledger = Ledger::new();
    ledger.set_pools(&[pool], at(0));
    ledger
}

/// Asks at `now` and waits a hundred seconds.
fn ask(ledger: &Ledger, name: &str, now: u64) -> Result<Seat, NoSeat> {
    ledger.take("site", name, at(now + 100), at(now))
}

fn report(ledger: &Ledger, now: u64) -> Report {
    ledger.report("site", at(now)).unwrap()
}

#[test]
fn a_reserved_seat_is_its_owners_also_while_the_owner_is_away() {
    let ledger = with(reserved(3, &["boss", "door"]));
    let guest = ask(&ledger, "guest", 0).unwrap();
    assert_eq!(ask(&ledger, "other", 1).unwrap_err(), NoSeat::Reserved);
    let boss = ask(&ledger, "boss", 2).unwrap();
    assert_eq!(ask(&ledger, "other", 3).unwrap_err(), NoSeat::Reserved, "the door's is kept");
    assert_eq!((report(&ledger, 3).taken, report(&ledger, 3).away), (2, 1));
    let door = ask(&ledger, "door", 4).unwrap();
    assert_eq!(ask(&ledger, "other", 5).unwrap_err(), NoSeat::Full(3));
    drop(boss);
    assert_eq!(ask(&ledger, "other", 6).unwrap_err(), NoSeat::Reserved, "its owner will come back");
    assert!(ask(&ledger, "boss", 7).is_ok());
    drop(guest);
    assert!(ask(&ledger, "other", 8).is_ok());
    drop(door);
}

#[test]
fn a_seat_that_is_reserved_while_others_have_all_is_kept_when_the_next_comes_back() {
    let ledger = with(reserved(2, &[]));
    let (one, two) = (ask(&ledger, "one", 0).unwrap(), ask(&ledger, "two", 0).unwrap());
    ledger.set_pools(&[reserved(2, &["boss"])], at(1));
    assert_eq!(ask(&ledger, "boss", 2).unwrap_err(), NoSeat::Full(2), "nobody loses a seat");
    drop(one);
    assert_eq!(ask(&ledger, "three", 3).unwrap_err(), NoSeat::Reserved);
    let boss = ask(&ledger, "boss", 4).unwrap();
    // What is reserved no more is anybody's.
    ledger.set_pools(&[reserved(2, &[])], at(5));
    drop((boss, two));
    assert_eq!((report(&ledger, 5).taken, report(&ledger, 5).away), (0, 0));
}

#[test]
fn who_holds_one_when_it_is_reserved_for_it_is_counted_once() {
    let ledger = with(reserved(2, &[]));
    let boss = ask(&ledger, "boss", 0).unwrap();
    ledger.set_pools(&[reserved(2, &["boss"])], at(1));
    assert_eq!((report(&ledger, 1).taken, report(&ledger, 1).away), (1, 0));
    assert!(boss.same(&ask(&ledger, "boss", 2).unwrap()));
    assert!(ask(&ledger, "other", 2).is_ok());
}

#[test]
fn free_seats_go_to_those_who_wait_in_their_order() {
    let ledger = with(Pool::new("site", 2));
    let (one, two) = (ask(&ledger, "one", 0).unwrap(), ask(&ledger, "two", 0).unwrap());
    for (name, now) in [("third", 1), ("fourth", 2), ("fifth", 3)] {
        assert_eq!(ask(&ledger, name, now).unwrap_err(), NoSeat::Full(2));
    }
    drop(one);
    // Asking again does not move anybody forward.
    assert_eq!(ask(&ledger, "fourth", 4).unwrap_err(), NoSeat::Turn);
    assert_eq!(ask(&ledger, "newcomer", 5).unwrap_err(), NoSeat::Turn);
    let third = ask(&ledger, "third", 6).unwrap();
    assert_eq!(ask(&ledger, "fourth", 7).unwrap_err(), NoSeat::Full(2));
    drop((two, third));
    // Two are free: the two that wait longest may come in any order, and nobody else.
    assert_eq!(ask(&ledger, "newcomer", 8).unwrap_err(), NoSeat::Turn);
    assert!(ask(&ledger, "fifth", 9).is_ok());
    assert!(ask(&ledger, "fourth", 9).is_ok());
}

#[test]
fn a_wait_lapses_when_it_is_not_asked_again_in_time() {
    let ledger = with(Pool::new("site", 1));
    let one = ask(&ledger, "one", 0).unwrap();
    ask(&ledger, "gone", 10).unwrap_err();
    ask(&ledger, "patient", 20).unwrap_err();
    drop(one);
    ask(&ledger, "newcomer", 109).unwrap_err();
    ask(&ledger, "patient", 109).unwrap_err();
    assert_eq!(report(&ledger, 109).waiting, 3);
    // The first has not asked again.
    assert_eq!(ask(&ledger, "newcomer", 110).unwrap_err(), NoSeat::Turn);
    assert_eq!(report(&ledger, 110).waiting, 2);
    assert!(ask(&ledger, "patient", 110).is_ok());
    assert_eq!(ask(&ledger, "gone", 111).map(|_| ()), Err(NoSeat::Turn), "and is the last now: somebody waits");
}

#[test]
fn who_unregisters_or_is_taken_out_of_the_directory_waits_no_more() {
    let ledger = with(Pool::new("site", 1));
    let one = ask(&ledger, "one", 0).unwrap();
    for name in ["a", "b", "c"] {
        ask(&ledger, name, 1).unwrap_err();
    }
    drop(one);
    ledger.leave("a");
    ledger.retain_waiting(at(2), |name| name != "b");
    assert_eq!(report(&ledger, 2).waiting, 1);
    assert_eq!(ask(&ledger, "b", 3).unwrap_err(), NoSeat::Turn);
    assert!(ask(&ledger, "c", 3).is_ok());
}

#[test]
fn an_owner_is_not_held_up_by_those_who_wait_nor_they_by_an_owner() {
    let ledger = with(reserved(2, &["boss"]));
    let one = ask(&ledger, "one", 0).unwrap();
    assert_eq!(ask(&ledger, "two", 1).unwrap_err(), NoSeat::Reserved);
    let boss = ask(&ledger, "boss", 2).unwrap();
    // A second owner, of whom the pool has no seat left.
    ledger.set_pools(&[reserved(2, &["boss", "door"])], at(3));
    assert_eq!(ask(&ledger, "door", 4).unwrap_err(), NoSeat::Full(2));
    ledger.set_pools(&[reserved(3, &["boss", "door"])], at(5));
    assert_eq!(ask(&ledger, "two", 6).unwrap_err(), NoSeat::Reserved);
    ledger.set_pools(&[reserved(4, &["boss", "door"])], at(7));
    assert!(ask(&ledger, "two", 8).is_ok(), "the door's own seat is still free");
    drop((one, boss));
}

#[test]
fn what_is_seen_of_a_pool_agrees_with_who_has_asked() {
    let ledger = with(reserved(3, &["boss", "door"]));
    let _held = (ask(&ledger, "desk", 1).unwrap(), ask(&ledger, "boss", 2).unwrap());
    ask(&ledger, "late", 3).unwrap_err();
    ask(&ledger, "late", 4).unwrap_err();
    let seen = report(&ledger, 5);
    assert_eq!((seen.taken, seen.away, seen.waiting, seen.refused, seen.peak), (2, 1, 1, 2, Peak { taken: 2, at: at(2) }));
    let place = |name: &str, reserved, standing| Place { name: name.into(), reserved, standing };
    let all = [
        place("boss", true, Standing::Seated { since: at(2) }),
        place("desk", false, Standing::Seated { since: at(1) }),
        place("door", true, Standing::Away),
        place("late", false, Standing::Waiting { since: at(3), until: at(104), asked: 2 }),
    ];
    assert_eq!(ledger.places("site", "", 10, at(5)).unwrap(), all);
    assert_eq!(ledger.places("site", "boss", 2, at(5)).unwrap(), all[1..3]);
    assert_eq!(ledger.places("site", "late", 2, at(5)).unwrap(), []);
    assert_eq!(ledger.places("other", "", 2, at(5)), None);
}

#[test]
fn turns_outlive_a_restart_in_their_order() {
    let old = with(Pool::new("site", 1));
    let one = ask(&old, "one", 0).unwrap();
    for (name, now) in [("late", 3), ("first", 4), ("lapsed", 5), ("seated", 6)] {
        ask(&old, name, now).unwrap_err();
    }
    ask(&old, "late", 50).unwrap_err();
    ask(&old, "first", 60).unwrap_err();
    let marks = old.marks(at(70));
    drop(one);

    let ledger = with(Pool::new("site", 1));
    let seat = ledger.retake("site", "seated", at(120));
    ledger.recall(&marks, at(120));
    assert_eq!(report(&ledger, 120).waiting, 2, "who has a seat does not wait, and a wait lapses also while nobody counts");
    drop(seat);
    assert_eq!(ask(&ledger, "newcomer", 121).unwrap_err(), NoSeat::Turn);
    assert_eq!(ask(&ledger, "first", 122).unwrap_err(), NoSeat::Turn);
    assert_eq!(ledger.place("site", "first", at(122)), Some(Some(Standing::Waiting { since: at(4), until: at(222), asked: 2 })));
    let late = ask(&ledger, "late", 123).unwrap();
    assert_eq!(ledger.place("site", "late", at(123)), Some(Some(Standing::Seated { since: at(123) })));
    assert_eq!((ledger.place("site", "nobody", at(123)), ledger.place("other", "late", at(123))), (Some(None), None));
    drop(late);
}
