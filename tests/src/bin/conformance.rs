//! Prints which sentence of which RFC is proved by which test: `cargo run -p world --bin conformance`, or `-- --json` for machines.

#![allow(clippy::print_stdout, reason = "a command speaks to a terminal")]

use clap::Parser;
use std::{path::Path, process::ExitCode};
use world::conformance::table;

/// Prints which sentence of which RFC is proved by which test.
#[derive(Parser)]
#[command(name = "conformance")]
struct Arguments {
    /// As JSON, one array.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(root) = Path::new(env!("CARGO_MANIFEST_DIR")).parent() else { return ExitCode::FAILURE };
    let (rows, unknown) = table(root);
    if arguments.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                serde_json::json!({
                    "rfc": row.rfc, "section": row.section_text(), "mark": row.mark, "sentence": row.sentence, "places": row.places, "tests": row.tests,
                })
            })
            .collect();
        println!("{}", serde_json::Value::Array(rows));
    } else {
        for row in &rows {
            let origin = if row.rfc == 0 { "own rule".to_owned() } else { format!("RFC {} {}", row.rfc, row.section_text()) };
            println!("{origin:<20} {}", row.mark);
            for line in wrapped(&row.sentence, 110) {
                println!("    {line}");
            }
            println!("    in {}", row.places.join(", "));
            for test in &row.tests {
                println!("    proved by {test}");
            }
        }
        println!("{} rules, {} of them of an RFC", rows.len(), rows.iter().filter(|row| row.rfc > 0).count());
    }
    let unproved = rows.iter().filter(|row| row.tests.is_empty()).count();
    if unproved + unknown.len() > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() && line.chars().count() + word.chars().count() >= width {
                lines.push(word.to_owned());
            } else {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
        }
    }
    lines
}
