//! The command line.

mod alarm;
mod bench;
mod calls;
mod connect;
mod desk;
mod directory;
mod drill;
mod emergency;
mod endpoint;
mod explain;
mod licence;
mod new;
mod openapi;
mod phones;
mod replay;
mod rows;
mod running;
mod settings;
mod table;
mod token;
mod trunk;
mod user;
mod watch;

use crate::{
    check::{self, Findings},
    config::{Log, LogFormat, Report, Severity},
    data::DataFolder,
    manage::StoreStands,
    serve,
    store::Seen,
};
use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use std::{io::Write, path::PathBuf, process::ExitCode, time::Duration};

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const HELP: Style = AnsiColor::Cyan.on_default();

const EXAMPLES: &str = "\
Examples:
  holdfast serve
      Start on this machine with a few demonstration extensions and show a call.
  holdfast serve --config /etc/holdfast.toml --data /var/lib/holdfast
      Run a site.
  holdfast check --config /etc/holdfast.toml --json
      Try a configuration and every policy before using them; a program reads the result.
  holdfast explain
      The latest calls; with a Call-ID the story of one.
  holdfast connect 1001 1002
      Ring the phone of extension 1001, then 1002.
  holdfast endpoint add desk-7 --user alice --licence site
      A telephone for a user of the site, at once; `holdfast user add` adds the user.
  holdfast endpoint import phones/ --licence site
      Every phone whose settings file lies in phones/ (ACO_J1xx_Persistsettings.txt) becomes an endpoint with its own password.
  holdfast licence show site
      Who holds a seat of the licence pool, who waits for one, and until when it is valid.
  holdfast drill
      Which phones would survive a loss of their cloud today, and what to do about the others; `holdfast drill start` begins a drill.
  holdfast alarm list
      Calls for help that nobody has acknowledged; `holdfast notify test` tries the ways in which somebody is told of them.
  holdfast calls export --csv --since 30d
      The records of calls as a table.
  holdfast trunk list
      Whether the ways out are up and registered, and what to do about those that are not.
  holdfast policy new night-desk --lang python
      Begin a policy of your own.
  holdfast policy test 30-internal.wasm
      Ask a policy the cases that lie beside it, and compare what it says.
  holdfast policy list
      How the policies of the running gateway stand; `holdfast policy rollback internal` puts one's last component back.
  holdfast settings export phones/ --controller 192.0.2.10 --out ready/
      Put this gateway behind the cloud in the phones' own settings files; `holdfast settings check` only looks through them.
  kill -HUP $(pidof holdfast)
      Take a changed configuration over now. Saving the file is enough.";

const CHECK_EXAMPLES: &str = "\
Examples:
  holdfast check --config /etc/holdfast.toml --data /var/lib/holdfast
      Before a start, or while the gateway runs: then it also says whether that can write its store.
  holdfast check --config new.toml --json
      One JSON object, for a program.
Every page of the store is read (some seconds for 100,000 endpoints), and nothing of it is changed.";

/// SIP survivability gateway: keeps a site's phones alive when their cloud telephone service is lost.
#[derive(Parser, Debug)]
#[command(name = "holdfast", version, after_help = EXAMPLES, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Write for a program: one JSON object a line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run the gateway until Ctrl-C or SIGTERM.
    #[command(
        after_help = "Without --config the configuration in the data folder is used; a first start writes one there, for loopback, with four\ndemonstration extensions and random passwords, and plays a call between two of them."
    )]
    Serve {
        #[command(flatten)]
        files: Files,
        /// Do not play the demonstration call.
        #[arg(long)]
        no_demo: bool,
    },
    /// Load and try the configuration and every policy, and look through the store; bind and change nothing. Exit code 0: `serve` would start with all of it.
    #[command(after_help = CHECK_EXAMPLES)]
    Check {
        #[command(flatten)]
        files: Files,
    },
    /// Play one call between two built-in phones on a gateway of its own, show its ladder, and end.
    Demo,
    /// Tell the story of one call: what was asked, which policy said what and why, what was then done.
    #[command(after_help = explain::EXAMPLES)]
    Explain(explain::Explain),
    /// Call a number through the running gateway, as one of its phones, and say what is heard. The call is given up as soon as it rings.
    Call {
        /// What to dial.
        number: String,
        /// The extension that calls; the first of the configuration when not given. Its password must stand in the configuration in clear.
        #[arg(long, value_name = "EXTENSION")]
        from: Option<String>,
        #[command(flatten)]
        files: Files,
    },
    /// Ring the phone of an extension, then whom it shall talk to: click to dial.
    #[command(after_help = connect::CONNECT_EXAMPLES)]
    Connect(connect::Connect),
    /// End a call by its Call-ID.
    #[command(after_help = connect::HANGUP_EXAMPLES)]
    Hangup(connect::Hangup),
    /// See and change the endpoints of a running gateway: those that stand in its store.
    #[command(subcommand, after_help = endpoint::EXAMPLES)]
    Endpoint(endpoint::Command),
    /// See and change the users of a running gateway: who has which extension, numbers and endpoints.
    #[command(subcommand, after_help = user::EXAMPLES)]
    User(user::Command),
    /// See the licence pools of a running gateway: who holds a seat, who waits for one, what is wrong.
    #[command(subcommand, after_help = licence::EXAMPLES)]
    Licence(licence::Command),
    /// See the trunks of a running gateway: which are up, registered, down, and what to do about it.
    #[command(subcommand, after_help = trunk::EXAMPLES)]
    Trunk(trunk::Command),
    /// See which phones would survive a loss of their cloud today; hold drills that show it.
    #[command(after_help = drill::EXAMPLES, args_conflicts_with_subcommands = true)]
    Drill(drill::Drill),
    /// See and acknowledge calls for help.
    #[command(subcommand, after_help = alarm::EXAMPLES)]
    Alarm(alarm::Command),
    /// Try the ways in which somebody is told of calls for help.
    #[command(subcommand, after_help = alarm::NOTIFY_EXAMPLES)]
    Notify(alarm::Notify),
    /// Show and export the records of calls.
    #[command(subcommand, after_help = calls::EXAMPLES)]
    Calls(calls::Command),
    /// What is known about calls for help: the emergency numbers of countries.
    #[command(subcommand, after_help = emergency::EXAMPLES)]
    Emergency(emergency::Command),
    /// Write, try and time a policy before it meets a call; see and steer those of a running gateway.
    #[command(subcommand)]
    Policy(desk::Command),
    /// Print the OpenAPI document of the REST API (`[rest]` in the configuration).
    #[command(after_help = openapi::EXAMPLES)]
    Openapi,
    /// Change and look through the settings files that phones export (ACO_J1xx_Persistsettings.txt).
    #[command(subcommand)]
    Settings(settings::Command),
}

#[derive(Args, Debug)]
struct Files {
    /// The configuration file (see examples/holdfast.toml).
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder for policies, certificates and the store.
    #[arg(long, short, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Files {
    fn data(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(DataFolder::default_root)
    }
}

/// Reads the command line and does what it says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(code) => code,
        Err(error) => {
            tell(&error, cli.json);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Serve { files, no_demo } => {
            let data = DataFolder::open(&files.data())?;
            let loaded = serve::load(files.config.as_deref(), &data)?;
            serve::start_log(&loaded.config.log, cli.json)?;
            let request = serve::Request { config: files.config.as_deref(), data: data.root(), demo: !no_demo, json: cli.json };
            let runtime = runtime(loaded.config.limits.threads)?;
            let served = runtime.block_on(serve::serve(request, &data, loaded));
            // Who still waits for a disk that does not answer does not keep the process.
            runtime.shutdown_background();
            served?;
        }
        Command::Check { files } => {
            let findings = check::check(files.config.as_deref(), &files.data())?;
            print(&findings, cli.json)?;
            return Ok(if findings.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Call { number, from, files } => {
            let data = DataFolder::open(&files.data())?;
            runtime(1)?.block_on(serve::call(files.config.as_deref(), &data, from.as_deref(), number, cli.json))?;
        }
        Command::Connect(wanted) => return Ok(done(connect::connect(wanted, cli.json)?)),
        Command::Hangup(call) => return Ok(done(connect::hang_up(call, cli.json)?)),
        Command::Policy(command) => return desk::run(command, cli.json),
        Command::Settings(command) => return settings::run(command, cli.json),
        Command::Endpoint(command) => return Ok(done(endpoint::run(command, cli.json)?)),
        Command::User(command) => return Ok(done(user::run(command, cli.json)?)),
        Command::Licence(command) => return Ok(done(licence::run(command, cli.json)?)),
        Command::Trunk(command) => return Ok(done(trunk::run(command, cli.json)?)),
        Command::Drill(drill) => return Ok(done(drill::run(drill, cli.json)?)),
        Command::Alarm(command) => return Ok(done(alarm::run(command, cli.json)?)),
        Command::Notify(command) => return Ok(done(alarm::notify(command, cli.json)?)),
        Command::Calls(command) => return Ok(done(calls::run(command, cli.json)?)),
        Command::Emergency(command) => return Ok(done(emergency::run(command, cli.json)?)),
        Command::Explain(explain) => return explain::run(explain, cli.json),
        Command::Openapi => openapi::print(cli.json)?,
        Command::Demo => {
            serve::start_log(&Log { level: "warn".to_owned(), format: LogFormat::Text }, cli.json)?;
            runtime(2)?.block_on(serve::demonstrate(cli.json))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn done(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How long a thread that has waited for the disk stays for the next task that must. Less than the time between two looks at the licence pools, so that one
/// ends every ten seconds: at the end of a thread the allocator gives back to the system what has been free for a second. A gateway that has read its
/// configuration and then only answers has no other moment for it, and would keep what reading ten thousand phones took, some 20 MB.
const IDLE: Duration = Duration::from_secs(5);

fn runtime(threads: usize) -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .thread_keep_alive(IDLE)
        .worker_threads(threads)
        .thread_name("holdfast-io")
        .enable_all()
        .build()
        .context("the system gives no threads")
}

fn tell(error: &anyhow::Error, json: bool) {
    let mut err = anstream::stderr();
    let told = if json {
        writeln!(err, "{}", serde_json::json!({"event": "failed", "reason": format!("{error:#}")}))
    } else {
        writeln!(err, "{ERROR}holdfast:{ERROR:#} {error:#}")
    };
    // Nowhere is left to report that this fails.
    told.ok();
}

/// What is wrong with files, for people.
fn problems(out: &mut dyn Write, report: &Report) -> std::io::Result<()> {
    for problem in &report.problems {
        let (style, word) = match problem.severity {
            Severity::Error => (ERROR, "error"),
            Severity::Warning => (WARNING, "warning"),
        };
        let place = problem.line.map_or_else(|| problem.file.clone(), |line| format!("{}:{line}", problem.file));
        let key = if problem.key.is_empty() { String::new() } else { format!("{}: ", problem.key) };
        writeln!(out, "{style}{word}{style:#}  {place}\n         {key}{}\n         {HELP}{}{HELP:#}", problem.reason, problem.remedy)?;
    }
    Ok(())
}

fn print(findings: &Findings, json: bool) -> anyhow::Result<()> {
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(findings)?)?;
        return Ok(());
    }
    problems(&mut out, &findings.report)?;
    if !findings.policies.is_empty() {
        let width = findings.policies.iter().map(|p| p.file.len()).max().unwrap_or(0);
        writeln!(out, "\npolicies, in the order in which they are asked:")?;
        for policy in &findings.policies {
            let (style, word) = if policy.accepted { (GOOD, "accepted") } else { (ERROR, "refused ") };
            writeln!(
                out,
                "  {:width$}  {style}{word}{style:#}  {}  {}",
                policy.file,
                policy.version.as_deref().unwrap_or("-"),
                policy.hooks.join(", ")
            )?;
        }
    }
    if let Some(store) = &findings.store {
        stored(store, findings.running.as_ref(), &mut out)?;
    }
    let (errors, warnings) = (findings.report.errors().count(), findings.report.warnings().count());
    if findings.ok {
        writeln!(out, "\n{GOOD}ok{GOOD:#}  {} ({warnings} warnings)", findings.config)?;
    } else {
        writeln!(out, "\n{ERROR}not valid{ERROR:#}  {} ({errors} errors, {warnings} warnings)", findings.config)?;
    }
    Ok(())
}

/// What the store holds.
fn stored(store: &Seen, running: Option<&StoreStands>, out: &mut impl Write) -> anyhow::Result<()> {
    let Seen { file, bytes, schema, latest_schema, endpoints, users, bindings, history, sound } = store;
    writeln!(out, "\nstore {file}:")?;
    let (style, word) = if *sound { (GOOD, "sound") } else { (ERROR, "damaged") };
    let schema = if schema < latest_schema { format!("{schema}, the next start makes it {latest_schema}") } else { schema.to_string() };
    writeln!(out, "  {style}{word}{style:#}  {} kB, schema {schema}", bytes / 1024)?;
    for (name, count) in [("endpoints", endpoints), ("users", users), ("bindings", bindings), ("lines of history", history)] {
        writeln!(out, "  {count:>9}  {name}")?;
    }
    if let Some(StoreStands { state, since, owed, .. }) = running {
        let style = if state == "well" { GOOD } else { ERROR };
        let since = since.as_ref().map_or_else(String::new, |since| format!(" since {since}, {owed} bindings are owed to it"));
        writeln!(out, "  the gateway that runs on it: {style}{state}{style:#}{since}")?;
    }
    Ok(())
}
