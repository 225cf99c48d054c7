//! `holdfast settings`: the phones' own settings files, exported with this gateway in them or only looked through. What is done to a file is `switch::settings`; here are
//! the folders, the report and the exit code.

mod files;
mod report;

use super::HELP;
use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use files::Place;
pub(super) use files::{Source, find};
use report::{Outcome, Report, Row};
use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};
use switch::settings::{self, CONTROLLER_LIST, Controller, Finding, Settings, Severity, Transport};

const EXPORT_EXAMPLES: &str = "\
Examples:
  holdfast settings export phones/ --controller 192.0.2.10 --out ready/
      Every settings file in phones/ and its folders, with the gateway behind the cloud, into ready/. Nothing in ready/ is overwritten.
  holdfast settings export ACO_J1xx_Persistsettings.txt --controller holdfast.example.net:5060 --transport tcp
      What would be changed in one file. Nothing is written.
  holdfast settings export phones/ --controller 192.0.2.10 --overwrite --json
      Changes the files themselves, each as a whole or not at all; one JSON object a file, for a program.
What is written holds passwords: only its owner may read it. A file that leads to the gateway already stays as it is.
With tls a phone must trust the gateway: import root.pem (tls/ of the data folder) on the phone's web page, under Trusted Certificates.
Exit code 0: every file has the gateway in it and no error.";

const CHECK_EXAMPLES: &str = "\
Examples:
  holdfast settings check ACO_J1xx_Persistsettings.txt
      What the phone would stumble over, with line and remedy.
  holdfast settings check phones/ --controller 192.0.2.10 --json
      Also whether each file leads to the gateway; one JSON object a file, for a program.
Exit code 0: no file has an error. Warnings and notes are no errors.";

#[derive(Subcommand, Debug)]
pub(super) enum Command {
    /// Write settings files with this gateway behind the cloud in SIP_CONTROLLER_LIST, and everything else as it was.
    #[command(after_help = EXPORT_EXAMPLES)]
    Export(Export),
    /// Look through settings files for what phones are known to stumble over. Changes nothing.
    #[command(after_help = CHECK_EXAMPLES)]
    Check(Check),
}

/// Which files get the gateway.
#[derive(Args, Debug)]
pub(super) struct Export {
    /// Settings files, or folders with them: every .txt in these and in the folders in them.
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,
    /// Where phones reach this gateway: a name or an IPv4 address. Without a port 5061 for tls, 5060 for tcp.
    #[arg(long, value_name = "HOST[:PORT]")]
    controller: String,
    /// How phones reach it.
    #[arg(long, value_enum, default_value_t = Way::Tls)]
    transport: Way,
    /// The folder to write to, with the folders that the files were found in. Without it nothing is written.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Replace files that are there; without --out the settings files themselves.
    #[arg(long)]
    overwrite: bool,
}

/// Which files are looked through.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// Settings files, or folders with them: every .txt in these and in the folders in them.
    #[arg(required = true, value_name = "FILE|FOLDER")]
    paths: Vec<PathBuf>,
    /// A file that does not lead here has an error.
    #[arg(long, value_name = "HOST[:PORT]")]
    controller: Option<String>,
    /// How phones are to reach the controller.
    #[arg(long, value_enum, default_value_t = Way::Tls, requires = "controller")]
    transport: Way,
}

/// How phones reach the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Way {
    /// Encrypted; the phone must trust the gateway's root certificate.
    Tls,
    /// In clear.
    Tcp,
}

impl Way {
    pub(super) fn to(self, controller: &str) -> anyhow::Result<Controller> {
        let transport = match self {
            Self::Tls => Transport::Tls,
            Self::Tcp => Transport::Tcp,
        };
        Controller::new(controller, transport).with_context(|| format!("--controller {controller}"))
    }
}

pub(super) fn run(command: &Command, json: bool) -> anyhow::Result<ExitCode> {
    let good = match command {
        Command::Export(wanted) => export(wanted, json)?,
        Command::Check(wanted) => check(wanted, json)?,
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn export(wanted: &Export, json: bool) -> anyhow::Result<bool> {
    let controller = wanted.transport.to(&wanted.controller)?;
    let sources = find(&wanted.paths, wanted.out.as_deref())?;
    let mut place = Place::new(wanted.out.as_deref(), wanted.overwrite);
    // Warnings that all phones of a site share would hide what became of the files.
    let mut report = Report::new(&sources, json, Severity::Error);
    if !json {
        writeln!(anstream::stdout(), "{HELP}at the end of {CONTROLLER_LIST}: {controller}{HELP:#}\n")?;
    }
    for source in &sources {
        report.row(&one(source, &controller, &mut place))?;
    }
    report.end(place.is_dry())
}

/// Changes one file, and says what came of it.
fn one<'a>(source: &'a Source, controller: &Controller, place: &mut Place<'_>) -> Row<'a> {
    let octets = match source.read() {
        Ok(octets) => octets,
        Err(finding) => return Row::refused(source, vec![finding]),
    };
    let added = Settings::new(&octets).map_err(|finding| vec![finding]).and_then(|before| settings::add(before, controller));
    let added = match added {
        Ok(added) => added,
        Err(findings) => return Row { findings, ..Row::of(source, &octets, Outcome::Refused) },
    };
    let (outcome, written) = match place.put(source, &added.octets, added.changed.is_empty()) {
        Ok(put) => put,
        Err(finding) => return Row { findings: vec![finding], ..Row::of(source, &octets, Outcome::Refused) },
    };
    let findings = looked_through(&added.octets);
    Row { changed: added.changed, written, findings, ..Row::of(source, &octets, outcome) }
}

fn looked_through(octets: &[u8]) -> Vec<Finding> {
    Settings::new(octets).map_or_else(|finding| vec![finding], settings::lint)
}

fn check(wanted: &Check, json: bool) -> anyhow::Result<bool> {
    let controller = wanted.controller.as_ref().map(|controller| wanted.transport.to(controller)).transpose()?;
    let sources = find(&wanted.paths, None)?;
    let mut report = Report::new(&sources, json, Severity::Warning);
    for source in &sources {
        let row = match source.read() {
            Err(finding) => Row::refused(source, vec![finding]),
            Ok(octets) => {
                let mut findings = looked_through(&octets);
                findings.extend(controller.as_ref().and_then(|controller| led_astray(&octets, controller)));
                let outcome = Outcome::looked_at(&findings);
                Row { findings, ..Row::of(source, &octets, outcome) }
            }
        };
        report.row(&row)?;
    }
    report.end(false)
}

/// What is said about a file that does not lead to the gateway.
fn led_astray(octets: &[u8], controller: &Controller) -> Option<Finding> {
    let settings = Settings::new(octets).ok()?;
    (!settings::carries(settings, controller)).then(|| Finding {
        severity: Severity::Error,
        line: None,
        rule: "not-carried",
        reason: format!("a phone with this file does not look for {controller}"),
        remedy: "export the file with this controller, and import it on the phone".to_owned(),
    })
}

/// Something about a file itself and not about what stands in it.
fn about_file(path: &Path, rule: &'static str, reason: &str, remedy: &str) -> Finding {
    let reason = format!("{} {reason}", path.display());
    Finding { severity: Severity::Error, line: None, rule, reason, remedy: remedy.to_owned() }
}
