//! Three user agents that share no code (baresip, pjsua, linphone) call each other through the gateway: every ordered pair, each case of
//! [`Case`], on UDP, TCP and TLS. `cargo run -p world --bin interop` shows the same as a table and talks longer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and shows what it tried"
)]

use std::{sync::Mutex, thread};
use world::{
    agents::Way,
    interop::{Cell, Outcome, Plan, run},
};

/// A race of a user agent is rare. More second tries than these among all cells, and it is not the user agents.
const SECOND_TRIES: usize = 3;

/// The three transports at the same time, each with a gateway of its own: most of a call is waiting.
#[test]
fn every_pair_on_every_transport() {
    let cells = Mutex::new(Vec::<Cell>::new());
    thread::scope(|scope| {
        for way in [Way::Udp, Way::Tcp, Way::Tls] {
            let cells = &cells;
            scope.spawn(move || {
                run(&Plan { ways: vec![way], ..Plan::default() }, |cell| {
                    println!("{cell} [{} ms]", cell.took.as_millis());
                    cells.lock().unwrap().push(cell.clone());
                });
            });
        }
    });
    let cells = cells.into_inner().unwrap();
    let failed: Vec<String> = cells.iter().filter(|c| matches!(c.outcome, Outcome::Failed(_))).map(ToString::to_string).collect();
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), cells.len(), failed.join("\n"));
    let twice: Vec<String> = cells.iter().filter(|c| c.first.is_some()).map(ToString::to_string).collect();
    assert!(twice.len() <= SECOND_TRIES, "{} of {} needed a second try:\n{}", twice.len(), cells.len(), twice.join("\n"));
}
