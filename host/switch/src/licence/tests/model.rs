//! Random operations against plain lists.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

const POOLS: [&str; 2] = ["one", "two"];
/// How long who asks waits.
const WAIT: u64 = 50;
const GRACE: u64 = 200;

#[derive(Clone, Debug)]
enum Step {
    Take {
        pool: usize,
        endpoint: usize,
    },
    /// A binding that the store had kept.
    Retake {
        pool: usize,
        endpoint: usize,
    },
    Drop(usize),
    Leave(usize),
    Pass(u64),
    Describe {
        pool: usize,
        seats: u32,
        reserved: BTreeSet<usize>,
        begins: Option<u64>,
        lasts: Option<u64>,
    },
    Withdraw(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let date = || prop_oneof![3 => Just(None), 1 => (0..400_u64).prop_map(Some)];
    prop_oneof![
        12 => (0..2_usize, 0..6_usize).prop_map(|(pool, endpoint)| Step::Take { pool, endpoint }),
        1 => (0..2_usize, 0..6_usize).prop_map(|(pool, endpoint)| Step::Retake { pool, endpoint }),
        6 => any::<usize>().prop_map(Step::Drop),
        1 => (0..6_usize).prop_map(Step::Leave),
        4 => (0..60_u64).prop_map(Step::Pass),
        1 => (0..2_usize, 0..5_u32, prop::collection::btree_set(0..6_usize, 0..3), date(), date()).prop_map(
            |(pool, seats, reserved, begins, lasts)| Step::Describe { pool, seats, reserved, begins, lasts }
        ),
        1 => (0..2_usize).prop_map(Step::Withdraw),
    ]
}

/// One pool, as a clerk would write it down.
#[derive(Clone, Debug, Default)]
struct Clerk {
    seats: u32,
    reserved: BTreeSet<usize>,
    dates: (Option<u64>, Option<u64>),
    /// What it had been, and until when that counts.
    former: Option<(u32, u64)>,
    /// Who asked in vain, first come first; until when.
    line: Vec<(usize, u64)>,
}

impl Clerk {
    /// The same pool, as it is described anew.
    fn described(self, seats: u32, reserved: BTreeSet<usize>, dates: (Option<u64>, Option<u64>), now: u64) -> Self {
        let running = self.former.filter(|(_, until)| now < *until);
        let former = if seats < self.seats {
            Some(running.map_or((self.seats, now + GRACE), |(former, until)| (former.max(self.seats), until)))
        } else {
            self.former.filter(|(former, _)| *former > seats)
        };
        Self { seats, reserved, dates, former, line: self.line }
    }

    fn owned(&self, now: u64) -> u32 {
        let (begins, ends) = self.dates;
        if begins.is_some_and(|begins| now < begins) || ends.is_some_and(|ends| now >= ends + GRACE) {
            return 0;
        }
        self.former.filter(|(_, until)| now < *until).map_or(self.seats, |(former, _)| former.max(self.seats))
    }

    /// Whether somebody who holds none gets a seat.
    fn gives(&self, who: usize, holders: &BTreeSet<usize>, now: u64) -> bool {
        let free = i64::from(self.owned(now)) - holders.len() as i64;
        if self.reserved.contains(&who) {
            return free > 0;
        }
        let kept = self.reserved.difference(holders).count() as i64;
        let others =
            self.line.iter().take_while(|(waits, _)| *waits != who).filter(|(waits, _)| !self.reserved.contains(waits)).count() as i64;
        free - kept - others > 0
    }
}

fn name(endpoint: usize) -> String {
    format!("desk-{endpoint}")
}

fn described(pool: usize, clerk: &Clerk) -> Pool {
    Pool {
        reserved: clerk.reserved.iter().map(|endpoint| name(*endpoint)).collect(),
        not_before: clerk.dates.0.map(at),
        not_after: clerk.dates.1.map(at),
        grace: Duration::from_secs(GRACE),
        ..Pool::new(POOLS[pool], clerk.seats)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    /// Who gets a seat, who waits for whom, how many are taken: as a clerk with plain lists would have it. Seats used never exceed those owned, outside of
    /// what a pool had before, and none is lost.
    #[test]
    fn seats_agree_with_a_clerk(steps in prop::collection::vec(step(), 1..120)) {
        let ledger = Ledger::new();
        let mut clerks: [Option<Clerk>; 2] = [(); 2].map(|()| Some(Clerk { seats: 2, ..Clerk::default() }));
        let mut tokens: Vec<(usize, usize, Seat)> = Vec::new();
        let mut now = 0;
        // The most that any had been allowed when a seat was given, or kept over a restart.
        let mut allowed = [0_u32; 2];
        let set = |clerks: &[Option<Clerk>; 2], now: u64| {
            let pools: Vec<Pool> = clerks.iter().enumerate().filter_map(|(pool, clerk)| Some(described(pool, clerk.as_ref()?))).collect();
            ledger.set_pools(&pools, at(now));
        };
        set(&clerks, now);
        for step in steps {
            let holders = |tokens: &[(usize, usize, Seat)], pool: usize| {
                tokens.iter().filter(|(of, ..)| *of == pool).map(|(_, endpoint, _)| *endpoint).collect::<BTreeSet<_>>()
            };
            match step {
                Step::Take { pool, endpoint } => {
                    let before = holders(&tokens, pool);
                    let taken = ledger.take(POOLS[pool], &name(endpoint), at(now + WAIT), at(now));
                    let Some(clerk) = &mut clerks[pool] else {
                        prop_assert_eq!(taken.unwrap_err(), NoSeat::UnknownPool);
                        continue;
                    };
                    let has = before.contains(&endpoint);
                    let given = has || clerk.gives(endpoint, &before, now);
                    prop_assert_eq!(taken.is_ok(), given, "{:?} {:?}", clerk, taken);
                    match taken {
                        Ok(seat) => {
                            if !has {
                                clerk.line.retain(|(waits, _)| *waits != endpoint);
                                allowed[pool] = allowed[pool].max(clerk.owned(now));
                            }
                            let old = tokens.iter().find(|(p, e, _)| (*p, *e) == (pool, endpoint));
                            prop_assert!(old.is_none_or(|(_, _, old)| old.same(&seat)), "one seat, however often it is asked for");
                            tokens.push((pool, endpoint, seat));
                        }
                        Err(_) => match clerk.line.iter_mut().find(|(waits, _)| *waits == endpoint) {
                            Some((_, until)) => *until = now + WAIT,
                            None => clerk.line.push((endpoint, now + WAIT)),
                        },
                    }
                }
                Step::Retake { pool, endpoint } => {
                    let seat = ledger.retake(POOLS[pool], &name(endpoint), at(now));
                    prop_assert_eq!(seat.pool().is_some(), clerks[pool].is_some());
                    if let Some(clerk) = &mut clerks[pool] {
                        if !holders(&tokens, pool).contains(&endpoint) {
                            clerk.line.retain(|(waits, _)| *waits != endpoint);
                        }
                        tokens.push((pool, endpoint, seat));
                        allowed[pool] = allowed[pool].max(u32::try_from(holders(&tokens, pool).len()).unwrap());
                    }
                }
                Step::Drop(place) if !tokens.is_empty() => { tokens.swap_remove(place % tokens.len()); }
                Step::Drop(_) => {}
                Step::Leave(endpoint) => {
                    ledger.leave(&name(endpoint));
                    clerks.iter_mut().flatten().for_each(|clerk| clerk.line.retain(|(waits, _)| *waits != endpoint));
                }
                Step::Pass(seconds) => {
                    now += seconds;
                    clerks.iter_mut().flatten().for_each(|clerk| clerk.line.retain(|(_, until)| *until > now));
                }
                Step::Describe { pool, seats, reserved, begins, lasts } => {
                    let reserved = reserved.into_iter().take(seats as usize).collect();
                    // One that comes back while its phones still hold seats remembers what a clerk has forgotten.
                    if clerks[pool].is_none() && !holders(&tokens, pool).is_empty() {
                        continue;
                    }
                    let dates = (begins.map(|begins| now + begins), lasts.map(|lasts| now + lasts));
                    clerks[pool] = Some(clerks[pool].take().unwrap_or_default().described(seats, reserved, dates, now));
                    set(&clerks, now);
                }
                Step::Withdraw(pool) => {
                    clerks[pool] = None;
                    set(&clerks, now);
                }
            }
            for (pool, clerk) in clerks.iter().enumerate() {
                let taken = u32::try_from(holders(&tokens, pool).len()).unwrap();
                let expected = clerk.as_ref().map(|clerk| Usage { seats: clerk.seats, taken });
                prop_assert_eq!(ledger.usage(POOLS[pool]), expected);
                prop_assert!(taken <= allowed[pool], "more than were ever owned");
                if let Some(clerk) = clerk {
                    let report = ledger.report(POOLS[pool], at(now)).unwrap();
                    prop_assert_eq!(report.waiting as usize, clerk.line.len());
                    prop_assert_eq!(report.away as usize, clerk.reserved.difference(&holders(&tokens, pool)).count());
                }
            }
        }
        tokens.clear();
        for (pool, clerk) in POOLS.iter().zip(&clerks) {
            prop_assert_eq!(ledger.usage(pool).map(|usage| usage.taken), clerk.as_ref().map(|_| 0), "every seat comes back");
        }
    }
}
