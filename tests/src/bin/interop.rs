//! The interoperability run for people: `cargo run -p world --bin interop -- [--seconds 30] [--only baresip] [--way tls] [--case hold] [--json]`.
//! Every ordered pair of baresip, pjsua and linphone calls through the gateway; see `tests/src/interop.rs`. With `HOLDFAST_SUBJECT=kamailio` they call
//! through Kamailio. Ends with 1 when a case failed.

#![allow(clippy::print_stdout, clippy::indexing_slicing, reason = "it is there to print, and stops when it is broken")]

use clap::Parser;
use std::{
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
    time::Duration,
};
use world::{
    agents::{Make, Way},
    interop::{Case, Cell, Outcome, Plan, run},
};

/// Calls between independent user agents through the gateway.
#[derive(Parser)]
#[command(name = "interop")]
struct Arguments {
    /// How long the case `call` talks.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Only pairs in which this user agent takes part (baresip, pjsua, linphone); may be given again.
    #[arg(long, value_parser = make)]
    only: Vec<Make>,
    /// Only this transport (udp, tcp, tls); may be given again.
    #[arg(long, value_parser = way)]
    way: Vec<Way>,
    /// Only this case; may be given again.
    #[arg(long, value_parser = case)]
    case: Vec<Case>,
    /// One line of JSON for each cell instead of the table.
    #[arg(long)]
    json: bool,
}

fn named<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, wanted: &str) -> Result<T, String> {
    let known = || all.iter().map(|one| name(*one)).collect::<Vec<_>>().join(", ");
    all.iter().copied().find(|one| name(*one) == wanted).ok_or_else(|| format!("one of: {}", known()))
}

fn make(text: &str) -> Result<Make, String> {
    named(&Make::ALL, Make::name, text)
}

fn way(text: &str) -> Result<Way, String> {
    named(&[Way::Udp, Way::Tcp, Way::Tls], Way::lower, text)
}

fn case(text: &str) -> Result<Case, String> {
    named(&Case::ALL, Case::name, text)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut plan = Plan { talk: Duration::from_secs(arguments.seconds), ..Plan::default() };
    if !arguments.only.is_empty() {
        plan.makes = arguments.only;
    }
    if !arguments.way.is_empty() {
        plan.ways = arguments.way;
    }
    if !arguments.case.is_empty() {
        plan.cases = arguments.case;
    }
    let mut table = Table { colours: std::io::stdout().is_terminal(), row: None };
    let (mut failed, mut twice) = (Vec::new(), Vec::new());
    let mut counts = [0; 3];
    run(&plan, |cell| {
        let (place, name, note) = match &cell.outcome {
            Outcome::Passed(note) => (0, "passed", note.as_str()),
            Outcome::Failed(reason) => (1, "failed", reason.as_str()),
            Outcome::Lacking(why) => (2, "lacking", *why),
        };
        counts[place] += 1;
        if arguments.json {
            let line = serde_json::json!({
                "transport": cell.way.lower(), "caller": cell.caller.name(), "callee": cell.callee.name(), "case": cell.case.name(),
                "outcome": name, "note": note, "first_try": cell.first, "ms": u64::try_from(cell.took.as_millis()).unwrap_or(u64::MAX),
            });
            println!("{line}");
        } else {
            table.cell(&plan, cell);
        }
        if place == 1 {
            failed.push(cell.to_string());
        } else if cell.first.is_some() {
            twice.push(cell.to_string());
        }
    });
    if !arguments.json {
        println!("\n\n{} passed, {} failed, {} for which the user agent has no command", counts[0], counts[1], counts[2]);
        for line in failed.iter().chain(&twice) {
            println!("{line}");
        }
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A row for each transport and pair, a column for each case, printed as the cells become known.
struct Table {
    colours: bool,
    row: Option<(Way, Make, Make)>,
}

impl Table {
    fn cell(&mut self, plan: &Plan, cell: &Cell) {
        let row = (cell.way, cell.caller, cell.callee);
        if self.row.is_none() {
            print!("{:<26}", "transport caller callee");
            for case in &plan.cases {
                print!(" {:<9}", case.name());
            }
        }
        if self.row.replace(row) != Some(row) {
            print!("\n{:<4} {:<9} {:<10} ", cell.way.upper(), cell.caller.name(), cell.callee.name());
        }
        let (word, colour) = match cell.outcome {
            Outcome::Passed(_) => ("ok", "32"),
            Outcome::Failed(_) => ("FAILED", "31;1"),
            Outcome::Lacking(_) => ("-", "2"),
        };
        if self.colours {
            print!(" \x1b[{colour}m{word:<9}\x1b[0m");
        } else {
            print!(" {word:<9}");
        }
        // Nobody is told when the terminal is gone; the exit code still says how it went.
        std::io::stdout().flush().ok();
    }
}
