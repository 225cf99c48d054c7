use super::*;
use proptest::prelude::*;
use std::{sync::Barrier, thread};

fn pools(sizes: &[(&str, u32)]) -> Vec<Pool> {
    sizes.iter().map(|&(pool, seats)| Pool { pool: pool.to_owned(), seats }).collect()
}

fn ledger(sizes: &[(&str, u32)]) -> Ledger {
    let ledger = Ledger::new();
    ledger.set_pools(&pools(sizes));
    ledger
}

#[test]
fn a_seat_comes_back_with_its_last_clone() {
    let ledger = ledger(&[("site", 1)]);
    let seat = ledger.take("site", "a").unwrap();
    let again = ledger.take("site", "a").unwrap();
    assert!(seat.same(&again));
    assert_eq!(seat.pool().map(|pool| &**pool), Some("site"));
    assert_eq!(ledger.take("site", "b").unwrap_err(), NoSeat::Full(1));
    drop(seat);
    assert_eq!(ledger.take("site", "b").unwrap_err(), NoSeat::Full(1));
    drop(again);
    assert_eq!(ledger.usage("site"), Some(Usage { seats: 1, taken: 0 }));
    assert!(ledger.take("site", "b").is_ok());
}

#[test]
fn seats_of_no_pool_are_not_counted() {
    let ledger = ledger(&[("site", 0)]);
    assert_eq!(ledger.take("site", "a").unwrap_err(), NoSeat::Full(0));
    assert_eq!(ledger.take("other", "a").unwrap_err(), NoSeat::UnknownPool);
    assert_eq!(ledger.usage("other"), None);
    assert!(Seat::none().pool().is_none());
    assert!(Seat::none().same(&Seat::none()));
}

#[test]
fn a_pool_that_shrinks_keeps_its_phones_and_takes_no_more() {
    let ledger = ledger(&[("site", 3)]);
    let seats: Vec<Seat> = ["a", "b", "c"].iter().map(|id| ledger.take("site", id).unwrap()).collect();
    ledger.set_pools(&pools(&[("site", 2)]));
    assert_eq!(ledger.usage("site"), Some(Usage { seats: 2, taken: 3 }));
    assert!(ledger.take("site", "a").is_ok(), "a refresh keeps the seat");
    assert_eq!(ledger.take("site", "d").unwrap_err(), NoSeat::Full(2));
    drop(seats.into_iter().next());
    assert_eq!(ledger.usage("site").unwrap().taken, 0, "all three were dropped");
}

#[test]
fn a_pool_that_is_gone_lives_until_its_last_seat_comes_back() {
    let ledger = ledger(&[("site", 1)]);
    let seat = ledger.take("site", "a").unwrap();
    ledger.set_pools(&[]);
    assert_eq!(ledger.usage("site"), None);
    assert_eq!(ledger.take("site", "a").unwrap_err(), NoSeat::UnknownPool);
    // The operator brings it back: the phone had its seat all the time.
    ledger.set_pools(&pools(&[("site", 1), ("site", 9)]));
    assert_eq!(ledger.usage("site"), Some(Usage { seats: 1, taken: 1 }), "of two pools with one name the first counts");
    ledger.set_pools(&[]);
    drop(seat);
    assert!(lock(&ledger.book).pools.is_empty(), "nothing is left of it");
}

#[test]
fn what_was_acknowledged_before_a_restart_is_kept_in_a_smaller_pool() {
    let ledger = ledger(&[("site", 1)]);
    let kept = [ledger.retake("site", "a"), ledger.retake("site", "b")];
    assert_eq!(ledger.usage("site"), Some(Usage { seats: 1, taken: 2 }));
    assert!(ledger.retake("gone", "a").pool().is_none());
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
                        ledger.take("site", &format!("desk-{racer}")).ok()
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
                    let seat = ledger.take("site", &endpoint).unwrap();
                    assert!(ledger.usage("site").unwrap().taken <= 2);
                    drop(seat);
                }
            });
        }
    });
    assert_eq!(ledger.usage("site").unwrap().taken, 0);
}

#[derive(Clone, Debug)]
enum Step {
    Take { pool: usize, endpoint: usize },
    Drop(usize),
    Resize { pool: usize, seats: u32 },
    Withdraw(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2_usize, 0..5_usize).prop_map(|(pool, endpoint)| Step::Take { pool, endpoint }),
        4 => any::<usize>().prop_map(Step::Drop),
        1 => (0..2_usize, 0..4_u32).prop_map(|(pool, seats)| Step::Resize { pool, seats }),
        1 => (0..2_usize).prop_map(Step::Withdraw),
    ]
}

proptest! {
    /// Against a plain list of tokens: seats used never exceed those owned when taken, and none is lost.
    #[test]
    fn seats_agree_with_a_plain_list(steps in prop::collection::vec(step(), 1..80)) {
        const NAMES: [&str; 2] = ["one", "two"];
        let ledger = Ledger::new();
        let mut owned: [Option<u32>; 2] = [Some(2), Some(1)];
        let set = |owned: &[Option<u32>; 2]| {
            let sizes: Vec<_> = NAMES.iter().zip(owned).filter_map(|(name, seats)| seats.map(|seats| (*name, seats))).collect();
            ledger.set_pools(&pools(&sizes));
        };
        set(&owned);
        let mut tokens: Vec<(usize, usize, Seat)> = Vec::new();
        for step in steps {
            let holders = |tokens: &[(usize, usize, Seat)], pool: usize| {
                tokens.iter().filter(|(of, ..)| *of == pool).map(|(_, endpoint, _)| *endpoint).collect::<std::collections::BTreeSet<_>>()
            };
            match step {
                Step::Take { pool, endpoint } => {
                    let before = holders(&tokens, pool);
                    let expected = match owned[pool] {
                        None => Err(NoSeat::UnknownPool),
                        Some(seats) if before.len() >= seats as usize && !before.contains(&endpoint) => Err(NoSeat::Full(seats)),
                        Some(_) => Ok(()),
                    };
                    let taken = ledger.take(NAMES[pool], &format!("desk-{endpoint}"));
                    prop_assert_eq!(taken.as_ref().map(|_| ()).map_err(Clone::clone), expected);
                    if let Ok(seat) = taken {
                        let old = tokens.iter().find(|(p, e, _)| (*p, *e) == (pool, endpoint));
                        prop_assert!(old.is_none_or(|(_, _, old)| old.same(&seat)));
                        tokens.push((pool, endpoint, seat));
                    }
                }
                Step::Drop(place) if !tokens.is_empty() => { tokens.swap_remove(place % tokens.len()); }
                Step::Drop(_) => {}
                Step::Resize { pool, seats } => { owned[pool] = Some(seats); set(&owned); }
                Step::Withdraw(pool) => { owned[pool] = None; set(&owned); }
            }
            for (pool, name) in NAMES.iter().enumerate() {
                let expected = owned[pool].map(|seats| Usage { seats, taken: u32::try_from(holders(&tokens, pool).len()).unwrap() });
                prop_assert_eq!(ledger.usage(name), expected);
            }
        }
    }
}
