//! `holdfast emergency`: what is known about calls for help without a gateway.

use super::table;
use anstyle::Style;
use clap::Subcommand;
use std::io::Write as _;
use switch::emergency::numbers::{self, COUNTRIES, Country};

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast emergency numbers
      The emergency numbers of every country that is known, and where that is said.
  holdfast emergency numbers GB --json
      Those of one country, for a program. `country = \"GB\"` in [emergency] of the configuration has them recognised.
Exit code 0: it is shown. 1: the country is not known; its numbers are named in [emergency] one by one.";

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Show the emergency numbers of countries, with their sources.
    Numbers {
        /// Only this one, by its two letters (ISO 3166-1).
        country: Option<String>,
    },
}

pub(super) fn run(command: &Command, json: bool) -> anyhow::Result<bool> {
    let Command::Numbers { country } = command;
    let shown: Vec<&Country> = match country {
        Some(code) => numbers::country(code).into_iter().collect(),
        None => COUNTRIES.iter().collect(),
    };
    let mut out = anstream::stdout();
    if json {
        for Country { code, name, numbers, test_numbers, source } in &shown {
            let row =
                serde_json::json!({"country": code, "name": name, "numbers": numbers, "test_numbers": test_numbers, "source": source});
            writeln!(out, "{row}")?;
        }
    } else if !shown.is_empty() {
        let row = |country: &&Country| {
            let Country { code, name, numbers, test_numbers, source } = country;
            vec![(*code).to_owned(), (*name).to_owned(), numbers.join(" "), test_numbers.join(" "), (*source).to_owned()]
        };
        let rows: Vec<Vec<String>> = shown.iter().map(row).collect();
        table::write(&mut out, &["", "country", "numbers", "test", "source"], &rows, |_, _| Style::new())?;
    }
    if shown.is_empty() {
        let code = country.as_deref().unwrap_or_default();
        writeln!(anstream::stderr(), "the numbers of `{code}` are not known here; `holdfast emergency numbers` lists those that are")?;
    }
    Ok(!shown.is_empty())
}
