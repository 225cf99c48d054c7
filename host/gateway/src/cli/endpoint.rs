//! `holdfast endpoint`: the endpoints of a running gateway.

use super::{
    HELP,
    directory::{all, facts, make, page, path_of, status_style},
    phones, rows,
    running::{Where, refuse},
    table, token,
};
use crate::{
    manage::{EndpointPage, EndpointRow, Happened, Stands, ask},
    sheet,
};
use anstyle::Style;
use anyhow::Context as _;
use axum::http::Method;
use clap::{Args, Subcommand};
use serde_json::json;
use std::{io::Write as _, path::PathBuf};
use switch::directory::record::{Assigned, Edit, EndpointFields, Existing, Kind, LineKey, Password};

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast user add alice --extension 1001 --name \"Alice Moss\" --number +442030001001
  holdfast endpoint add desk-7 --user alice --licence site --mac 00:1b:4f:00:00:07
      A telephone for her; its password is made and shown once. It can register at once.
  holdfast endpoint add alice-mobile --kind softphone --user alice --licence site
      A second one: a call to 1001 rings both.
  holdfast endpoint disable desk-7
      Its registration ends, its calls go on, it may still call for help.
  holdfast endpoint list desk --data /var/lib/holdfast --json
      One JSON object, for a program.
  holdfast endpoint token desk-7
      A one-time token with which its phone fetches its settings, its password among them ([provision] in the configuration).
  holdfast endpoint import phones/ --dry-run
      Says what the settings files of phones, or a CSV file, would change, and which lines are wrong. Endpoints are disabled or unassigned, never removed.
Endpoints of the configuration file are shown and are changed there.
Exit code 0: it is done. 1: nothing was changed, or no gateway runs.";

const IMPORT_EXAMPLES: &str = "\
Examples:
  holdfast endpoint import phones/ --licence site --dry-run
      What the settings files in phones/ and its folders would add and change, as phones export them (ACO_J1xx_Persistsettings.txt).
  holdfast endpoint import phones/ --licence site
      FORCE_SIP_USERNAME becomes an endpoint, FORCE_SIP_PASSWORD its password, FORCE_SIP_EXTENSION the extension of its user. Phones can register at once.
  holdfast endpoint import phones/ --skip-wrong --json
      The files that are right; one JSON object a file, and the sum. Exit code 1 when any was wrong.
  holdfast endpoint export phones.csv
  holdfast endpoint import phones.csv
      What is different in the file is changed; lines with a new id are added. All of it or nothing.
  holdfast endpoint import new.csv --passwords secret.csv
      Lines without a password get one; it is written into secret.csv, which only you can read, and nowhere else.
What a file is, is told by what stands in it: the first line of a CSV file names the column `id`, a settings file has lines that begin with `SET `.

Settings files: who is there already is found by username (endpoint) and by extension (user); what is new gets its username as id, a user `user-` and its extension. Nothing is
taken away: an endpoint keeps its users, and the file's comes first. A second import changes nothing. Two files with one username or hardware address are both refused. The rest of a file is
kept as the endpoint's settings text, without passwords. One wrong file keeps all out, so that a site is never half imported by mistake; --skip-wrong says otherwise.

CSV: the first line names the columns, `id` and any of: kind, model, mac, serial, username, password, name, enabled, location, licence, keys, settings, users.
A column that is not there changes nothing; an empty cell takes away what may be missing. `keys` and `users` have one entry a line of the cell;
`alice:silent` is a user whose calls do not ring there.";

const EXPORT_EXAMPLES: &str = "\
Examples:
  holdfast endpoint export phones.csv
      Every endpoint of the store; `holdfast endpoint import` takes the file back.
A phone's own settings file, with this gateway behind the cloud in it, is written by `holdfast settings export`.";

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Show all endpoints, or those that have a text in their id, name, extension, username, model, hardware address or location.
    List {
        /// The text.
        find: Option<String>,
        #[command(flatten)]
        place: Where,
    },
    /// Show one endpoint with its history.
    Show {
        /// Its id.
        id: String,
        #[command(flatten)]
        place: Where,
    },
    /// Add an endpoint. It can register at once.
    Add {
        /// Its id: letters, digits, dots, hyphens and underscores, 64 at most.
        id: String,
        #[command(flatten)]
        fields: Fields,
        #[command(flatten)]
        place: Where,
    },
    /// Change an endpoint. A text of nothing ("") takes away what may be missing.
    Set {
        /// Its id.
        id: String,
        #[command(flatten)]
        fields: Fields,
        /// Have a new password made; it is shown once.
        #[arg(long, conflicts_with = "password")]
        new_password: bool,
        #[command(flatten)]
        place: Where,
    },
    /// Let endpoints register again.
    Enable {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        place: Where,
    },
    /// End the registrations of endpoints and let them call for help only. Calls that are up go on.
    Disable {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        place: Where,
    },
    /// Make an endpoint a user's too.
    Assign {
        /// The endpoint's id.
        endpoint: String,
        /// The user's id.
        user: String,
        /// It does not ring when the user is called.
        #[arg(long)]
        silent: bool,
        #[command(flatten)]
        place: Where,
    },
    /// Take an endpoint from a user.
    Unassign {
        /// The endpoint's id.
        endpoint: String,
        /// The user's id.
        user: String,
        #[command(flatten)]
        place: Where,
    },
    /// Make a one-time token with which the endpoint's phone fetches its settings; it is shown once.
    #[command(after_help = token::EXAMPLES)]
    Token {
        /// The endpoint's id.
        id: String,
        #[command(flatten)]
        place: Where,
    },
    /// Add and change endpoints as a CSV file or the settings files of phones have them: all of them, or nothing.
    #[command(after_help = IMPORT_EXAMPLES)]
    Import {
        /// A CSV file; or settings files that phones have exported, or folders with them: every .txt in these and in the folders in them.
        #[arg(required = true, value_name = "FILE|FOLDER")]
        files: Vec<PathBuf>,
        /// Only say what would change.
        #[arg(long)]
        dry_run: bool,
        /// Of a CSV file: write passwords that are made into this file, which must not be there.
        #[arg(long, value_name = "FILE")]
        passwords: Option<PathBuf>,
        #[command(flatten)]
        wishes: phones::Wishes,
        #[command(flatten)]
        place: Where,
    },
    /// Write the store's endpoints as a CSV file, without passwords.
    #[command(after_help = EXPORT_EXAMPLES)]
    Export {
        /// The file; standard output when not given.
        file: Option<PathBuf>,
        #[command(flatten)]
        place: Where,
    },
}

/// What an endpoint may get.
#[derive(Args, Debug)]
pub(super) struct Fields {
    /// What it is: desk-phone, softphone or conference-room.
    #[arg(long)]
    kind: Option<Kind>,
    /// The maker's name for it.
    #[arg(long)]
    model: Option<String>,
    /// Hardware address.
    #[arg(long)]
    mac: Option<String>,
    /// Serial number.
    #[arg(long)]
    serial: Option<String>,
    /// SIP username; the id when not given.
    #[arg(long)]
    username: Option<String>,
    /// SIP password; `-` reads it from standard input. A new endpoint gets one made when none is given.
    #[arg(long)]
    password: Option<String>,
    /// Display name while it has no user.
    #[arg(long)]
    name: Option<String>,
    /// Location of the configuration.
    #[arg(long)]
    location: Option<String>,
    /// Licence pool of the configuration.
    #[arg(long, value_name = "POOL")]
    licence: Option<String>,
    /// A key, from the top; again for the next: `line`, `speed-dial:1002`, `busy-lamp:1003=Workshop`.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<LineKey>,
    /// Further lines for its settings file.
    #[arg(long, value_name = "TEXT")]
    settings: Option<String>,
    /// A user whose it is; again for more. It calls as the first.
    #[arg(long = "user", value_name = "ID")]
    users: Vec<String>,
}

impl Fields {
    fn read(&self) -> anyhow::Result<EndpointFields> {
        let password = match self.password.as_deref() {
            Some("-") => {
                let mut line = String::new();
                std::io::stdin().read_line(&mut line).context("standard input cannot be read")?;
                Some(line.trim_end_matches(['\r', '\n']).to_owned())
            }
            other => other.map(str::to_owned),
        };
        if password.as_deref() == Some("") {
            anyhow::bail!("the password is empty; leave it away and one is made");
        }
        let users: Vec<_> = self.users.iter().map(|user| Assigned { user: user.clone(), rings: true }).collect();
        Ok(EndpointFields {
            kind: self.kind,
            model: self.model.clone(),
            mac: self.mac.clone(),
            serial: self.serial.clone(),
            username: self.username.clone(),
            password: password.map(Password),
            sealed: None,
            name: self.name.clone(),
            enabled: None,
            location: self.location.clone(),
            licence: self.licence.clone(),
            keys: Some(self.keys.clone()).filter(|keys| !keys.is_empty()),
            settings: self.settings.clone(),
            users: Some(users).filter(|users| !users.is_empty()),
        })
    }
}

pub(super) fn run(command: &Command, json: bool) -> anyhow::Result<bool> {
    let edit = |id: &str, existing, fields| Edit::Endpoint { id: id.to_owned(), existing, fields };
    let set_enabled = |ids: &[String], enabled: bool| -> Vec<Edit> {
        let fields = || EndpointFields { enabled: Some(enabled), ..EndpointFields::default() };
        ids.iter().map(|id| edit(id, Existing::Must, fields())).collect()
    };
    match command {
        Command::List { find, place } => list(find.as_deref().unwrap_or_default(), place, json),
        Command::Show { id, place } => show(id, place, json),
        Command::Add { id, fields, place } => make(&place.data(), vec![edit(id, Existing::Not, fields.read()?)], json),
        Command::Set { id, fields, new_password, place } => {
            let mut fields = fields.read()?;
            if *new_password {
                // An empty one is the gateway's to make.
                fields.password = Some(Password(String::new()));
            }
            make(&place.data(), vec![edit(id, Existing::Must, fields)], json)
        }
        Command::Enable { ids, place } => make(&place.data(), set_enabled(ids, true), json),
        Command::Disable { ids, place } => make(&place.data(), set_enabled(ids, false), json),
        Command::Assign { endpoint, user, silent, place } => {
            make(&place.data(), vec![Edit::Assign { endpoint: endpoint.clone(), user: user.clone(), rings: !silent }], json)
        }
        Command::Unassign { endpoint, user, place } => {
            make(&place.data(), vec![Edit::Unassign { endpoint: endpoint.clone(), user: user.clone() }], json)
        }
        Command::Token { id, place } => token::make(id, place, json),
        Command::Import { files, dry_run, passwords, wishes, place } => match phones::table(files)? {
            Some(_) if wishes.given() => {
                anyhow::bail!(
                    "--skip-wrong, --without-settings, --licence and --location are for settings files; a CSV file has columns for these"
                )
            }
            Some(table) => rows::import::<sheet::Endpoints>(table, *dry_run, passwords.as_deref(), &place.data(), json),
            None if passwords.is_some() => anyhow::bail!("--passwords is for CSV files: settings files bring the phones' own passwords"),
            None => phones::import(files, wishes, *dry_run, &place.data(), json),
        },
        Command::Export { file, place } => rows::export::<sheet::Endpoints>(file.as_deref(), &place.data(), json),
    }
}

const HEADINGS: [&str; 9] = ["id", "extension", "name", "username", "status", "kind", "licence", "location", "stands in"];

fn status(row: &EndpointRow) -> &'static str {
    match row {
        EndpointRow { trouble: Some(_), .. } => "not in force",
        EndpointRow { enabled: false, .. } => "disabled",
        EndpointRow { registered: true, .. } => "registered",
        _ => "enabled",
    }
}

fn list(find: &str, place: &Where, json: bool) -> anyhow::Result<bool> {
    let rows: Vec<EndpointRow> = match all(&place.data(), "/endpoints", find, |_, _| {})? {
        Ok(rows) => rows,
        Err(refused) => return refuse(&refused, json),
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", json!({"endpoints": rows}))?;
        return Ok(true);
    }
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.id.clone(),
                or_dash(row.extension.as_deref()),
                row.name.clone(),
                row.username.clone(),
                status(row).to_owned(),
                or_dash(row.kind.map(Kind::token)),
                or_dash(row.licence.as_deref()),
                or_dash(row.location.as_deref()),
                stands(row.stands).to_owned(),
            ]
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

const fn stands(stands: Stands) -> &'static str {
    match stands {
        Stands::File => "configuration",
        Stands::Store => "store",
    }
}

fn show(id: &str, place: &Where, json: bool) -> anyhow::Result<bool> {
    let answer = ask(&place.data(), Method::GET, &path_of("/endpoints", id))?;
    let EndpointPage { row, bindings, history: happened } = match page::<EndpointPage>(&answer, json)? {
        Ok(Some(page)) => page,
        Ok(None) => return Ok(true),
        Err(done) => return Ok(done),
    };
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let users = row.users.iter().map(|a| if a.rings { a.user.clone() } else { format!("{} (silent)", a.user) });
    let bindings = bindings.iter().map(|(contact, agent)| format!("{contact}  {agent}"));
    facts(&[
        ("id", row.id.clone()),
        ("stands in", stands(row.stands).to_owned()),
        ("status", status(&row).to_owned()),
        ("trouble", text(&row.trouble)),
        ("extension", text(&row.extension)),
        ("users", users.collect::<Vec<_>>().join("\n")),
        ("name", row.name.clone()),
        ("username", row.username.clone()),
        ("kind", row.kind.map_or_else(String::new, |kind| kind.token().to_owned())),
        ("model", text(&row.model)),
        ("mac", text(&row.mac)),
        ("serial", text(&row.serial)),
        ("location", text(&row.location)),
        ("licence", text(&row.licence)),
        ("keys", row.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        ("settings", row.settings.clone()),
        ("registered", bindings.collect::<Vec<_>>().join("\n")),
    ])?;
    history(&happened)
}

/// What became of an endpoint or user.
pub(super) fn history(happened: &[Happened]) -> anyhow::Result<bool> {
    if !happened.is_empty() {
        let rows: Vec<_> =
            happened.iter().map(|h| vec![h.at.replace('T', " ").replace('Z', " UTC"), h.by.clone(), h.what.clone()]).collect();
        let mut out = anstream::stdout();
        writeln!(out)?;
        table::write(&mut out, &["when", "by", "what"], &rows, |_, _| Style::new())?;
    }
    Ok(true)
}
