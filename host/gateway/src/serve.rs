//! `holdfast serve` and `holdfast demo`: from the command line to a running gateway and back.

use crate::{
    calls::Observer,
    config::{self, Config, Listen, Loaded, default},
    data::DataFolder,
    demo,
    gateway::Gateway,
    reload,
};
use anstyle::{AnsiColor, Style};
use anyhow::{Context as _, bail};
use serde_json::json;
use sip::transport::Transport;
use std::{
    io::{IsTerminal as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

const STRONG: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default().bold();

/// What `serve` was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The configuration; that of the data folder when `None`.
    pub config: Option<&'a Path>,
    /// The data folder.
    pub data: &'a Path,
    /// Whether to play the demonstration call first where no configuration was named.
    pub demo: bool,
    /// Whether a program reads the output.
    pub json: bool,
}

/// Loads the configuration that `serve` would use.
///
/// # Errors
/// Every problem of the file, on lines of their own.
pub fn load(config: Option<&Path>, data: &DataFolder) -> anyhow::Result<Loaded> {
    let file = match config {
        Some(file) => file.to_path_buf(),
        None => default::file(data)?,
    };
    Config::load(&file).map_err(|report| anyhow::anyhow!("the configuration is not valid\n{report}"))
}

/// Runs a gateway until it is told to end.
///
/// # Errors
/// What kept it from starting.
pub async fn serve(request: Request<'_>, data: &DataFolder, loaded: Loaded) -> anyhow::Result<()> {
    for warning in loaded.report.warnings() {
        tracing::warn!("{warning}");
    }
    let config = loaded.config;
    let accounts = if request.config.is_none() { default::accounts(&config.file)? } else { Vec::new() };
    let mut accounts = accounts.into_iter();
    let cast = if request.demo { accounts.next().zip(accounts.next()) } else { None };

    let (watcher, feed) = demo::watch();
    let watcher: Option<Arc<dyn Observer>> = if cast.is_some() { Some(Arc::new(watcher)) } else { None };
    let content = reload::digest(&config.file);
    let gateway = Gateway::start(&config, data, watcher).await?;
    let signals = reload::Signals::take()?;
    announce(&gateway, request.json)?;
    if let (Some((caller, callee)), Some(address)) = (cast, gateway.address(Transport::Udp)) {
        let scene = scene(address, &config.domain, caller, callee);
        if let Err(error) = demo::run(&scene, feed, style(request.json), &mut anstream::stdout()).await {
            tracing::error!("the demonstration call failed: {error:#}");
        }
    }
    if let (Some(account), false) = (accounts.next(), request.json) {
        invite(&gateway, &config, &account)?;
    }
    let why = reload::follow(&gateway, config, data, content, signals).await;
    let counted = gateway.counters.read();
    gateway.stop().await?;
    let mut out = anstream::stdout();
    if request.json {
        writeln!(out, "{}", json!({"event": "ended", "why": why, "counters": counted}))?;
    } else {
        writeln!(out, "\nholdfast: {why}; ended cleanly after {} calls and {} messages.", counted.calls_ended, counted.received)?;
    }
    Ok(())
}

/// Plays the demonstration call on a gateway of its own: other ports, a data folder that is thrown away.
///
/// # Errors
/// The step that failed.
pub async fn demonstrate(json: bool) -> anyhow::Result<()> {
    let folder = tempfile::Builder::new().prefix("holdfast-demo-").tempdir().context("no folder for temporary files")?;
    let data = DataFolder::open(folder.path())?;
    let mut loaded = load(None, &data)?;
    loaded.config.listen = vec![Listen { transport: Transport::Udp, address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)) }];
    let mut accounts = default::accounts(&loaded.config.file)?.into_iter();
    let Some((caller, callee)) = accounts.next().zip(accounts.next()) else {
        bail!("the configuration of a first start has no two phones")
    };
    let (watcher, feed) = demo::watch();
    let gateway = Gateway::start(&loaded.config, &data, Some(Arc::new(watcher))).await?;
    let address = gateway.address(Transport::Udp).context("no UDP address")?;
    let outcome = demo::run(&scene(address, &loaded.config.domain, caller, callee), feed, style(json), &mut anstream::stdout()).await;
    gateway.stop().await?;
    outcome
}

/// Calls `number` through the running gateway of this configuration, as its phone with extension `from` (the first one when `None`), and says what was heard.
///
/// # Errors
/// What kept the call from being made. A refused call is none.
pub async fn call(config: Option<&Path>, data: &DataFolder, from: Option<&str>, number: &str, json: bool) -> anyhow::Result<()> {
    let config = load(config, data)?.config;
    let udp = config.listen.iter().find(|listen| listen.transport == Transport::Udp);
    let gateway = udp.with_context(|| format!("{} has no UDP address in `listen`", config.file.display()))?.address;
    let mut accounts = default::accounts(&config.file)?.into_iter();
    let account = match from {
        None => accounts.next().with_context(|| format!("{} has no endpoint with a password in clear", config.file.display()))?,
        Some(extension) => accounts
            .find(|account| account.extension == extension)
            .with_context(|| format!("{} has no endpoint with extension {extension} and a password in clear", config.file.display()))?,
    };
    let caller = player(account);
    let (status, phrase) = demo::call(gateway, &config.domain, &caller, number).await?;
    let mut out = anstream::stdout();
    if json {
        return Ok(writeln!(out, "{}", json!({"from": caller.extension, "to": number, "status": status, "phrase": phrase}))?);
    }
    Ok(writeln!(out, "{} calls {number}: {STRONG}{status} {phrase}{STRONG:#}", caller.extension)?)
}

fn style(json: bool) -> demo::Style {
    if json { demo::Style::Json } else { demo::Style::Ladder }
}

fn scene(gateway: SocketAddr, domain: &str, caller: default::Account, callee: default::Account) -> demo::Scene {
    demo::Scene { gateway, domain: domain.to_owned(), caller: player(caller), callee: player(callee) }
}

fn player(account: default::Account) -> demo::Account {
    let default::Account { extension, username, password, name } = account;
    demo::Account { extension, username, password, name }
}

fn announce(gateway: &Gateway, json: bool) -> anyhow::Result<()> {
    let policies: Vec<String> = gateway.engine.status().into_iter().map(|p| p.file).collect();
    let mut out = anstream::stdout();
    if json {
        writeln!(
            out,
            "{}",
            json!({
                "event": "listening",
                "addresses": gateway.listening,
                "policies": policies,
                "bindings_restored": gateway.restored,
                "calls_restored": gateway.calls.calls,
                "calls_lost": gateway.calls.lost,
                "rest": gateway.doors.rest,
                "provision": gateway.doors.provision,
            })
        )?;
        return Ok(());
    }
    writeln!(out, "{GOOD}Holdfast {} is up.{GOOD:#}", env!("CARGO_PKG_VERSION"))?;
    for listen in &gateway.listening {
        writeln!(out, "  listens on  {listen}")?;
    }
    if let Some(rest) = gateway.doors.rest {
        writeln!(out, "  REST API    {rest}")?;
    }
    for place in &gateway.doors.provision {
        writeln!(out, "  phone files {place}")?;
    }
    writeln!(out, "  policies    {}", policies.join(", "))?;
    if gateway.restored > 0 {
        writeln!(out, "  registered  {} phones from before", gateway.restored)?;
    }
    if gateway.calls.calls > 0 {
        writeln!(out, "  calls       {} go on from before", gateway.calls.calls)?;
    }
    writeln!(out)?;
    Ok(())
}

/// How to register a phone of one's own. The password is shown to a person at a terminal only, never to a log.
fn invite(gateway: &Gateway, config: &Config, account: &default::Account) -> anyhow::Result<()> {
    let Some(address) = gateway.address(Transport::Udp) else { return Ok(()) };
    let mut out = anstream::stdout();
    let file = config.file.display();
    let password = if std::io::stdout().is_terminal() { account.password.clone() } else { format!("in {file}") };
    writeln!(out, "\n{STRONG}Register a phone of your own{STRONG:#} (any SIP phone on this machine):")?;
    writeln!(
        out,
        "  server    {address}  (UDP or TCP)\n  domain    {}\n  user      {}\n  password  {password}",
        config.domain, account.username
    )?;
    writeln!(
        out,
        "Then dial another extension. Phones on your network reach the gateway once `listen` in\n{file} names this machine's address."
    )?;
    writeln!(out, "Ctrl-C ends it.")?;
    out.flush()?;
    Ok(())
}

/// The log: to standard error, so that standard output stays for what was asked for.
///
/// # Errors
/// When a log was set up before.
pub fn start_log(log: &config::Log, json: bool) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&log.level).context("[log] level")?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| demo::Log);
    let done = if json || log.format == config::LogFormat::Json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(std::io::stderr().is_terminal()).with_target(false).try_init()
    };
    done.map_err(|error| anyhow::anyhow!("the log cannot be set up: {error}"))
}
