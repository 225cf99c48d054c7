use super::*;
use crate::fixture::at;
use std::{sync::Barrier, thread, time::Duration};

mod grace;
mod model;
mod turns;
mod would;

fn pools(sizes: &[(&str, u32)]) -> Vec<Pool> {
    // Without a grace period a smaller pool is smaller at once.
    sizes.iter().map(|&(pool, seats)| Pool { grace: Duration::ZERO, ..Pool::new(pool, seats) }).collect()
}

fn ledger(sizes: &[(&str, u32)]) -> Ledger {
    let ledger = Ledger::new();
    ledger.set_pools(&pools(sizes), at(0));
    ledger
}

/// Asks at `now` and does not wait.
fn take_at(ledger: &Ledger, pool: &str, name: &str, now: u64) -> Result<Seat, NoSeat> {
    ledger.take(pool, name, at(now), at(now))
}

fn take(ledger: &Ledger, pool: &str, name: &str) -> Result<Seat, NoSeat> {
    take_at(ledger, pool, name, 0)
}

#[test]
fn a_seat_comes_back_with_its_last_clone() {
    let ledger = ledger(&[("site", 1)]);
    let seat = take(&ledger, "site", "a").unwrap();
    let again = take(&ledger, "site", "a").unwrap();
    assert!(seat.same(&again));
    assert_eq!(seat.pool().map(|pool| &**pool), Some("site"));
    assert_eq!(take(&ledger, "site", "b").unwrap_err(), NoSeat::Full(1));
    drop(seat);
    assert_eq!(take(&ledger, "site", "b").unwrap_err(), NoSeat::Full(1));
    drop(again);
    assert_eq!(ledger.usage("site"), Some(Usage { seats: 1, taken: 0 }));
    assert!(take(&ledger, "site", "b").is_ok());
}

#[test]
fn seats_of_no_pool_are_not_counted() {
    let ledger = ledger(&[("site", 0)]);
    assert_eq!(take(&ledger, "site", "a").unwrap_err(), NoSeat::Full(0));
    assert_eq!(take(&ledger, "other", "a").unwrap_err(), NoSeat::UnknownPool);
    assert_eq!(ledger.usage("other"), None);
    assert!(Seat::none().pool().is_none());
    assert!(Seat::none().same(&Seat::none()));
}

#[test]
fn a_pool_that_shrinks_keeps_its_phones_and_takes_no_more() {
    let ledger = ledger(&[("site", 3)]);
    let seats: Vec<Seat> = ["a", "b", "c"].iter().map(|id| take(&ledger, "site", id).unwrap()).collect();
    ledger.set_pools(&pools(&[("site", 2)]), at(0));
    assert_eq!(ledger.usage("site"), Some(Usage { seats: 2, taken: 3 }));
    assert!(take(&ledger, "site", "a").is_ok(), "a refresh keeps the seat");
    assert_eq!(take(&ledger, "site", "d").unwrap_err(), NoSeat::Full(2));
    drop(seats.into_iter().next());
    assert_eq!(ledger.usage("site").unwrap().taken, 0, "all three were dropped");
}

#[test]
fn a_pool_that_is_gone_lives_until_its_last_seat_comes_back() {
    let ledger = ledger(&[("site", 1)]);
    let seat = take(&ledger, "site", "a").unwrap();
    ledger.set_pools(&[], at(0));
    assert_eq!(ledger.usage("site"), None);
    assert_eq!(take(&ledger, "site", "a").unwrap_err(), NoSeat::UnknownPool);
    // The operator brings it back: the phone had its seat all the time.
    ledger.set_pools(&pools(&[("site", 1), ("site", 9)]), at(0));
    assert_eq!(ledger.usage("site"), Some(Usage { seats: 1, taken: 1 }), "of two pools with one name the first counts");
    ledger.set_pools(&[], at(0));
    drop(seat);
    assert!(lock(&ledger.book).pools.is_empty(), "nothing is left of it");
}

#[test]
fn what_was_acknowledged_before_a_restart_is_kept_in_a_smaller_pool() {
    let ledger = ledger(&[("site", 1)]);
    let kept = [ledger.retake("site", "a", at(0)), ledger.retake("site", "b", at(0))];
    assert_eq!(ledger.usage("site"), Some(Usage { seats: 1, taken: 2 }));
    assert!(ledger.retake("gone", "a", at(0)).pool().is_none());
    drop(kept);
    assert_eq!(ledger.usage("site").unwrap().taken, 0);
}

#[test]
fn exactly_one_of_many_gets_the_last_seat() {
    const THREADS: usize = 8;
    for _ in 0..200 {
        let ledger = ledger(&[("site", 1)]);
        let start = Barrier::new(THREADS);
        let won: Vec<Option<Seat>> = thread::scope(|scope| {
            let racers: Vec<_> = (0..THREADS)
                .map(|racer| {
                    let (ledger, start) = (&ledger, &start);
                    scope.spawn(move || {
                        start.wait();
                        take(ledger, "site", &format!("desk-{racer}")).ok()
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert_eq!(won.iter().flatten().count(), 1);
        drop(won);
        assert_eq!(ledger.usage("site").unwrap().taken, 0);
    }
}

#[test]
fn taking_while_the_last_clone_is_dropped_loses_no_seat() {
    let ledger = ledger(&[("site", 2)]);
    thread::scope(|scope| {
        for racer in 0..4 {
            let ledger = &ledger;
            scope.spawn(move || {
                // Two threads share each endpoint, so that a seat is taken over while its old token is being dropped.
                let endpoint = format!("desk-{}", racer % 2);
                for _ in 0..20_000 {
                    let seat = take(ledger, "site", &endpoint).unwrap();
                    assert!(ledger.usage("site").unwrap().taken <= 2);
                    drop(seat);
                }
            });
        }
    });
    assert_eq!(ledger.usage("site").unwrap().taken, 0);
}
