//! `holdfast user`: the users of a running gateway, to whom its store's endpoints belong.

use super::{
    HELP,
    directory::{all, facts, make, page, path_of, status_style},
    endpoint::history,
    rows,
    running::{Where, refuse},
    table,
};
use crate::{
    manage::{UserPage, UserRow, ask},
    sheet,
};
use anstyle::Style;
use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::json;
use std::{io::Write as _, path::PathBuf};
use switch::directory::record::{Edit, Existing, UserFields};

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast user add alice --extension 1001 --name \"Alice Moss\" --number +442030001001
      Somebody with an extension and a direct number. `holdfast endpoint assign desk-7 alice` gives her a telephone.
  holdfast user set alice --extension 1101
      From now on she is reached at 1101 on all her telephones.
  holdfast user set alice --ring-seconds 20 --forward-no-answer 1005 --forward-unreachable +447700900123
      Her telephones ring for 20 seconds, then 1005 does; while none of them can be reached, her mobile does.
  holdfast user list --json
      One JSON object, for a program.
  holdfast user import users.csv
      Columns: id, name, extension, numbers (one a line of the cell), enabled, ring_seconds, forward_always, forward_busy,
      forward_no_answer, forward_unreachable, dial_class. All of it or nothing.
A call to an extension rings all endpoints of its user but those that were assigned with --silent.
Exit code 0: it is done. 1: nothing was changed, or no gateway runs.";

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Show all users, or those that have a text in their id, name, extension or numbers.
    List {
        /// The text.
        find: Option<String>,
        #[command(flatten)]
        place: Where,
    },
    /// Show one user with the history.
    Show {
        /// The id.
        id: String,
        #[command(flatten)]
        place: Where,
    },
    /// Add a user.
    Add {
        /// The id: letters, digits, dots, hyphens and underscores, 64 at most.
        id: String,
        /// What others dial.
        #[arg(long)]
        extension: String,
        #[command(flatten)]
        fields: Fields,
        #[command(flatten)]
        place: Where,
    },
    /// Change a user.
    Set {
        /// The id.
        id: String,
        /// What others dial.
        #[arg(long)]
        extension: Option<String>,
        #[command(flatten)]
        fields: Fields,
        /// Take all direct numbers away.
        #[arg(long, conflicts_with = "numbers")]
        no_numbers: bool,
        #[command(flatten)]
        place: Where,
    },
    /// Let users be called again.
    Enable {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        place: Where,
    },
    /// Let nobody reach users. Their telephones still call out; their extensions stay theirs.
    Disable {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        place: Where,
    },
    /// Add and change users as a CSV file has them: all of them, or nothing.
    Import {
        /// The file.
        file: PathBuf,
        /// Only say what would change.
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        place: Where,
    },
    /// Write all users as a CSV file.
    Export {
        /// The file; standard output when not given.
        file: Option<PathBuf>,
        #[command(flatten)]
        place: Where,
    },
}

/// What a user may get.
#[derive(Args, Debug)]
pub(super) struct Fields {
    /// Display name; the extension is shown when there is none.
    #[arg(long)]
    name: Option<String>,
    /// A direct number, as trunks present it; again for more. The first is shown to others outside.
    #[arg(long = "number", value_name = "NUMBER")]
    numbers: Vec<String>,
    /// How long the telephones ring, 1 to 600 seconds; 0: as long as the site lets them.
    #[arg(long, value_name = "SECONDS")]
    ring_seconds: Option<u32>,
    /// Where every call goes on to, without ringing here: an extension or an outside number, as the user would dial it; "" for none.
    #[arg(long, value_name = "NUMBER")]
    forward_always: Option<String>,
    /// Where calls go on to while the user is busy.
    #[arg(long, value_name = "NUMBER")]
    forward_busy: Option<String>,
    /// Where calls go on to that nobody answers.
    #[arg(long, value_name = "NUMBER")]
    forward_no_answer: Option<String>,
    /// Where calls go on to while no telephone can be reached; as those that nobody answers when not given.
    #[arg(long, value_name = "NUMBER")]
    forward_unreachable: Option<String>,
    /// What the user may dial: a class that the policies know; "" for none.
    #[arg(long, value_name = "CLASS")]
    dial_class: Option<String>,
}

impl Fields {
    fn read(&self, extension: Option<&String>) -> UserFields {
        UserFields {
            name: self.name.clone(),
            extension: extension.cloned(),
            numbers: Some(self.numbers.clone()).filter(|numbers| !numbers.is_empty()),
            enabled: None,
            ring_seconds: self.ring_seconds,
            forward_always: self.forward_always.clone(),
            forward_busy: self.forward_busy.clone(),
            forward_no_answer: self.forward_no_answer.clone(),
            forward_unreachable: self.forward_unreachable.clone(),
            dial_class: self.dial_class.clone(),
        }
    }
}

pub(super) fn run(command: &Command, json: bool) -> anyhow::Result<bool> {
    let edit = |id: &str, existing, fields| Edit::User { id: id.to_owned(), existing, fields };
    let set_enabled = |ids: &[String], enabled: bool| -> Vec<Edit> {
        let fields = || UserFields { enabled: Some(enabled), ..UserFields::default() };
        ids.iter().map(|id| edit(id, Existing::Must, fields())).collect()
    };
    match command {
        Command::List { find, place } => list(find.as_deref().unwrap_or_default(), place, json),
        Command::Show { id, place } => show(id, place, json),
        Command::Add { id, extension, fields, place } => {
            make(&place.data(), vec![edit(id, Existing::Not, fields.read(Some(extension)))], json)
        }
        Command::Set { id, extension, fields, no_numbers, place } => {
            let mut fields = fields.read(extension.as_ref());
            if *no_numbers {
                fields.numbers = Some(Vec::new());
            }
            make(&place.data(), vec![edit(id, Existing::Must, fields)], json)
        }
        Command::Enable { ids, place } => make(&place.data(), set_enabled(ids, true), json),
        Command::Disable { ids, place } => make(&place.data(), set_enabled(ids, false), json),
        Command::Import { file, dry_run, place } => rows::import::<sheet::Users>(file, *dry_run, None, &place.data(), json),
        Command::Export { file, place } => rows::export::<sheet::Users>(file.as_deref(), &place.data(), json),
    }
}

const HEADINGS: [&str; 6] = ["id", "extension", "name", "numbers", "status", "endpoints"];

fn status(row: &UserRow) -> &'static str {
    match row {
        UserRow { trouble: Some(_), .. } => "not in force",
        UserRow { enabled: false, .. } => "disabled",
        UserRow { endpoints, .. } if endpoints.iter().any(|phone| phone.registered && phone.rings) => "registered",
        _ => "enabled",
    }
}

fn phones(row: &UserRow) -> Vec<String> {
    row.endpoints.iter().map(|phone| if phone.rings { phone.endpoint.clone() } else { format!("{} (silent)", phone.endpoint) }).collect()
}

fn list(find: &str, place: &Where, json: bool) -> anyhow::Result<bool> {
    let rows: Vec<UserRow> = match all(&place.data(), "/users", find, |_, _| {})? {
        Ok(rows) => rows,
        Err(refused) => return refuse(&refused, json),
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", json!({"users": rows}))?;
        return Ok(true);
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let (numbers, endpoints) = (row.numbers.join(", "), phones(row).join(", "));
            vec![row.id.clone(), row.extension.clone(), row.name.clone(), numbers, status(row).to_owned(), endpoints]
        })
        .collect();
    table::write(&mut out, &HEADINGS, &cells, |place, heading| match heading {
        "status" => rows.get(place).map_or_else(Style::new, |row| status_style(status(row))),
        _ => Style::new(),
    })?;
    for row in &rows {
        if let Some(trouble) = &row.trouble {
            writeln!(out, "\n{HELP}{}{HELP:#}: {trouble}", row.id)?;
        }
    }
    Ok(true)
}

fn said(text: &Option<String>) -> String {
    text.clone().unwrap_or_default()
}

fn show(id: &str, place: &Where, json: bool) -> anyhow::Result<bool> {
    let answer = ask(&place.data(), Method::GET, &path_of("/users", id))?;
    let UserPage { row, history: happened } = match page::<UserPage>(&answer, json)? {
        Ok(Some(page)) => page,
        Ok(None) => return Ok(true),
        Err(done) => return Ok(done),
    };
    facts(&[
        ("id", row.id.clone()),
        ("status", status(&row).to_owned()),
        ("trouble", row.trouble.clone().unwrap_or_default()),
        ("extension", row.extension.clone()),
        ("name", row.name.clone()),
        ("numbers", row.numbers.join("\n")),
        ("endpoints", phones(&row).join("\n")),
        ("rings", row.calls.ring_seconds.map(|seconds| format!("{seconds} s")).unwrap_or_default()),
        ("forward always", said(&row.calls.forward_always)),
        ("forward when busy", said(&row.calls.forward_busy)),
        ("forward without answer", said(&row.calls.forward_no_answer)),
        ("forward when unreachable", said(&row.calls.forward_unreachable)),
        ("dial class", said(&row.calls.dial_class)),
    ])?;
    history(&happened)
}
