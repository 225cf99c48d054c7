//! Does a call or a registration cost more when the tables are large, and do two shards carry twice as much as one?
//!
//!     cargo bench -p benches --bench scale
//!     cargo bench -p benches --bench scale -- --calls 200000 --phones 1000000
//!
//! Each size has as many phones registered as endpoints. Two shards share one site and one set of policies, as in the gateway. The load (the two sides of
//! each call) is played by the same threads and is part of what is measured there; the cost of INVITE and REGISTER is the shard's alone.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark")]

use benches::{keep, nanoseconds, office::Office, percentile};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Wall time of so many calls on each of so many shards at once.
fn together(office: &Office, shards: usize, calls: usize) -> Duration {
    let ready = std::sync::Barrier::new(shards + 1);
    thread::scope(|scope| {
        for index in 0..shards {
            let ready = &ready;
            scope.spawn(move || {
                let mut desk = office.desk(index);
                if index == 0 {
                    desk.register_all();
                }
                ready.wait();
                ready.wait();
                for _ in 0..calls {
                    desk.call();
                }
                ready.wait();
            });
        }
        ready.wait();
        let began = Instant::now();
        ready.wait();
        ready.wait();
        began.elapsed()
    })
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| arguments.iter().position(|argument| argument == name).and_then(|at| arguments.get(at + 1)?.parse().ok());
    // `cargo test` runs every bench once.
    let whole = arguments.iter().any(|argument| argument == "--bench");
    let calls = value("--calls").unwrap_or(if whole { 50_000 } else { 20 });
    let largest = value("--phones").unwrap_or(if whole { 100_000 } else { 100 });
    let mut figures = Vec::new();
    for phones in [100, 10_000, largest].into_iter().filter(|phones| *phones <= largest) {
        let office = Office::new(phones, 1);
        let mut desk = office.desk(0);
        desk.register_all();
        let mut invites = Vec::with_capacity(calls);
        let mut registers = Vec::with_capacity(calls);
        for _ in 0..calls {
            let (took, callee, out) = desk.invite_to_invite(desk.invite());
            desk.finish(callee, &out);
            invites.push(took);
            registers.push(desk.refresh());
        }
        invites.sort_unstable();
        registers.sort_unstable();
        for (name, took) in [("INVITE in to INVITE out", &invites), ("REGISTER", &registers)] {
            let median = percentile(took, 50);
            println!("{name}, {phones} phones registered: p50 {median:?}, p99 {:?}", percentile(took, 99));
            figures.push((format!("{name}, {phones} phones"), nanoseconds(median)));
        }
    }
    let one = together(&Office::new(1000.min(largest), 1), 1, calls);
    let two = together(&Office::new(1000.min(largest), 2), 2, calls);
    let ratio = 2.0 * one.as_secs_f64() / two.as_secs_f64();
    println!("{calls} calls on one shard: {one:?}; as many on each of two: {two:?}; throughput {ratio:.2} times");
    figures.push(("two shards against one".to_owned(), ratio));
    if whole {
        let figures: Vec<(&str, f64)> = figures.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        keep(env!("CARGO_TARGET_TMPDIR"), "scale", &figures);
    }
}
