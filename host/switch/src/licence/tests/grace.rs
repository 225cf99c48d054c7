//! Dates, pools that become smaller, and the alarms of both, in days of virtual time.

use super::*;

const DAY: u64 = 24 * 3600;

fn on(day: u64) -> Instant {
    at(day * DAY)
}

fn set(ledger: &Ledger, pool: Pool, day: u64) {
    ledger.set_pools(&[pool], on(day));
}

fn ask(ledger: &Ledger, name: &str, day: u64) -> Result<Seat, NoSeat> {
    take_at(ledger, "site", name, day * DAY)
}

/// Valid from day 10 to day 20.
fn dated() -> Pool {
    Pool { not_before: Some(on(10)), not_after: Some(on(20)), ..Pool::new("site", 5) }
}

/// The days on which something is told, asked every hour.
fn told(ledger: &Ledger, days: std::ops::Range<u64>) -> Vec<(u64, Trouble)> {
    let hours = days.start * 24..days.end * 24;
    hours.flat_map(|hour| ledger.alarms(at(hour * 3600)).into_iter().map(move |alarm| (hour / 24, alarm.trouble))).collect()
}

#[test]
fn seats_are_given_between_the_dates_and_thirty_days_longer() {
    let ledger = Ledger::new();
    set(&ledger, dated(), 0);
    let validity = |day| ledger.report("site", on(day)).unwrap().validity;
    assert_eq!(ask(&ledger, "early", 9).unwrap_err(), NoSeat::NotYet);
    let first = ask(&ledger, "first", 10).unwrap();
    let second = ask(&ledger, "second", 20).unwrap();
    let third = ask(&ledger, "third", 49).unwrap();
    assert_eq!(ask(&ledger, "fourth", 50).unwrap_err(), NoSeat::Ended);
    assert_eq!([9, 10, 19, 20, 49, 50].map(validity).map(Validity::name), ["not-yet", "valid", "valid", "grace", "grace", "ended"]);
    // Who holds one keeps it until it lapses.
    assert!(first.same(&ask(&ledger, "first", 500).unwrap()));
    drop(second);
    assert_eq!(ask(&ledger, "second", 500).unwrap_err(), NoSeat::Ended);
    // Renewed: at once.
    set(&ledger, Pool { not_after: Some(on(900)), ..dated() }, 501);
    assert!(ask(&ledger, "second", 501).is_ok());
    drop(third);
}

#[test]
fn an_owner_gets_no_seat_of_a_pool_that_has_ended_either() {
    let ledger = Ledger::new();
    set(&ledger, Pool { reserved: ["boss".to_owned()].into(), ..dated() }, 0);
    assert_eq!(ask(&ledger, "boss", 9).unwrap_err(), NoSeat::NotYet);
    assert_eq!(ask(&ledger, "boss", 50).unwrap_err(), NoSeat::Ended);
    assert!(ask(&ledger, "boss", 15).is_ok());
}

#[test]
fn a_pool_that_has_ended_is_told_of_once_a_day() {
    let ledger = Ledger::new();
    set(&ledger, dated(), 0);
    let ended = |day| (day, Trouble::Ended { since: on(20), until: on(50) });
    assert_eq!(told(&ledger, 0..25), [20, 21, 22, 23, 24].map(ended));
    // Also when the grace period is over, until it is renewed.
    assert_eq!(told(&ledger, 50..53), [50, 51, 52].map(ended));
    set(&ledger, Pool { not_after: Some(on(900)), ..dated() }, 53);
    assert_eq!(told(&ledger, 53..60), []);
    assert_eq!(ledger.troubles("site", on(60)), []);
}

#[test]
fn a_pool_that_was_made_smaller_is_used_as_before_for_thirty_days() {
    let ledger = Ledger::new();
    set(&ledger, Pool::new("site", 4), 0);
    let mut seats: Vec<Seat> = ["a", "b", "c"].map(|name| ask(&ledger, name, 0).unwrap()).into();
    set(&ledger, Pool::new("site", 2), 1);
    assert_eq!(ledger.report("site", on(1)).unwrap().reduced, Some(Reduced { former: 4, since: on(1) }));
    // The phone that was off in the night comes back, and one more as before; not more than there were.
    seats.push(ask(&ledger, "d", 30).unwrap());
    assert_eq!(ask(&ledger, "e", 30).unwrap_err(), NoSeat::Full(4));
    let over = |day| (day, Trouble::OverCommitted { taken: 4, seats: 2, until: on(31) });
    assert_eq!(told(&ledger, 30..33), [30, 31, 32].map(over));
    // After it: those who have seats keep them, and no more are given until there are fewer than owned.
    seats.truncate(3);
    assert_eq!(ask(&ledger, "d", 31).unwrap_err(), NoSeat::Full(2));
    assert!(ask(&ledger, "a", 31).is_ok());
    seats.truncate(1);
    seats.push(ask(&ledger, "d", 31).unwrap());
    assert_eq!(ask(&ledger, "e", 31).unwrap_err(), NoSeat::Full(2));
    assert_eq!(told(&ledger, 33..36), []);
    assert_eq!(ledger.report("site", on(33)).unwrap().reduced, None);
}

#[test]
fn a_second_reduction_does_not_begin_the_grace_period_anew_and_more_seats_end_it() {
    let ledger = Ledger::new();
    set(&ledger, Pool::new("site", 4), 0);
    set(&ledger, Pool::new("site", 3), 1);
    set(&ledger, Pool::new("site", 1), 20);
    let reduced = |day| ledger.report("site", on(day)).unwrap().reduced;
    assert_eq!(reduced(20), Some(Reduced { former: 4, since: on(1) }));
    set(&ledger, Pool::new("site", 3), 21);
    assert_eq!(reduced(21), Some(Reduced { former: 4, since: on(1) }), "still smaller than it was");
    set(&ledger, Pool::new("site", 4), 22);
    assert_eq!(reduced(22), None);
    set(&ledger, Pool::new("site", 1), 23);
    assert_eq!(reduced(23), Some(Reduced { former: 4, since: on(23) }));
}

#[test]
fn two_troubles_of_two_pools_are_each_told() {
    let ledger = Ledger::new();
    ledger.set_pools(&[Pool::new("site", 1), Pool { pool: "guests".to_owned(), ..dated() }], on(0));
    let _held = ask(&ledger, "a", 0).unwrap();
    let small = [Pool::new("site", 0), Pool { pool: "guests".to_owned(), ..dated() }];
    ledger.set_pools(&small, on(21));
    let pools: Vec<_> = ledger.alarms(on(21)).into_iter().map(|alarm| alarm.pool.to_string()).collect();
    assert_eq!(pools, ["guests", "site"]);
    assert_eq!(ledger.alarms(on(21)), []);
}

#[test]
fn a_restart_neither_begins_nor_forgets_a_grace_period_nor_the_most_seats_in_use() {
    let old = Ledger::new();
    set(&old, Pool::new("site", 4), 0);
    let seats = ["a", "b", "c"].map(|name| ask(&old, name, 0).unwrap());
    set(&old, Pool::new("site", 2), 1);
    let marks = old.marks(on(1));
    drop(seats);

    let again = |seats: u32, bound: &[&str], marks: &[Mark], day| {
        let ledger = Ledger::new();
        set(&ledger, Pool::new("site", seats), day);
        let kept: Vec<Seat> = bound.iter().map(|name| ledger.retake("site", name, on(day))).collect();
        ledger.recall(marks, on(day));
        let report = ledger.report("site", on(day)).unwrap();
        drop(kept);
        (report.reduced, report.peak.taken)
    };
    assert_eq!(again(2, &["a"], &marks, 10), (Some(Reduced { former: 4, since: on(1) }), 3));
    assert_eq!(again(2, &["a"], &marks, 40), (None, 3));
    // Made smaller while it did not run; larger again.
    assert_eq!(again(1, &["a"], &marks, 10), (Some(Reduced { former: 4, since: on(1) }), 3));
    assert_eq!(again(4, &["a"], &marks, 10), (None, 3));
    let full = Ledger::new();
    set(&full, Pool::new("site", 4), 0);
    assert_eq!(again(1, &[], &full.marks(on(0)), 10), (Some(Reduced { former: 4, since: on(10) }), 0));
    // Nothing is known: what had been acknowledged counts.
    assert_eq!(again(1, &["a", "b", "c"], &[], 10), (Some(Reduced { former: 3, since: on(10) }), 3));
    assert_eq!(again(3, &["a", "b", "c"], &[], 10), (None, 3));
}
