//! `holdfast check`: everything is loaded and tried, the store is looked through, nothing is bound and nothing is written.

mod shadows;

use crate::{
    config::{Config, Problem, Report, Severity},
    data::STORE,
    manage::{SOCKET, StoreStands, ask},
    net::tls,
    policy::{Engine, PolicyState},
    provision, rest, store,
};
use axum::http::Method;
use serde::Serialize;
use std::{path::Path, sync::Arc};
use switch::site::Site;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Findings {
    /// Whether the gateway would start with all its policies.
    pub ok: bool,
    /// The configuration file.
    pub config: String,
    /// Every policy of the folder, in the order in which they are asked.
    pub policies: Vec<Policy>,
    /// What the store holds; `None` before the first start, or when it cannot be read.
    pub store: Option<store::Seen>,
    /// How the gateway that runs on the data folder gets on with it; `None`: none runs.
    pub running: Option<StoreStands>,
    /// Everything that is wrong.
    #[serde(flatten)]
    pub report: Report,
}

/// One policy that was loaded and tried.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Policy {
    /// `NN-name.wasm`.
    pub file: String,
    /// Its name.
    pub name: String,
    /// Its version, when it says one.
    pub version: Option<String>,
    /// The hooks that it has.
    pub hooks: Vec<&'static str>,
    /// Whether it would join the chain.
    pub accepted: bool,
}

/// Checks a configuration file (`None` = the one of a first start) and the policies that it names. `data` is the data folder, which need not be there.
///
/// # Errors
/// When checking itself is not possible.
pub fn check(file: Option<&Path>, data: &Path) -> anyhow::Result<Findings> {
    let kept = data.join(crate::config::FILE);
    let loaded = match file.or_else(|| kept.is_file().then_some(kept.as_path())) {
        Some(file) => Config::load(file),
        None => Config::parse("(first start)", &crate::config::default::text()?, None),
    };
    let shown = file.map_or_else(|| kept.display().to_string(), |f| f.display().to_string());
    let (config, mut report) = match loaded {
        Ok(loaded) => (loaded.config, loaded.report),
        Err(report) => return Ok(Findings { ok: false, config: shown, policies: Vec::new(), store: None, running: None, report }),
    };
    if let Err(error) = tls::try_files(&config.tls) {
        report.extend(Report::of_file(&shown, format!("[tls]: {error:#}"), "name PEM files that belong together"));
    }
    if let Some(Err(error)) = config.rest.as_ref().map(|rest| rest::try_tokens(rest, data)) {
        report.extend(Report::of_file(&shown, format!("[rest]: {error:#}"), "until then nobody can use the REST API; phones are served"));
    }
    if let Some(Err(error)) = config.provision.as_ref().map(|provision| provision::try_files(provision, data)) {
        report.extend(Report::of_file(
            &shown,
            format!("[provision]: {error:#}"),
            "until then no phone can fetch its settings; phones are served",
        ));
    }
    addresses(&config, &shown, &mut report);
    let (kept, running) = look_into_store(data, &mut report)?;

    let folder = data.join(&config.policy_folder);
    report.problems.extend(shadows::look(&folder, &config.directory));
    let site = Arc::new(Site::new(config.directory.clone(), config.limits.site));
    let found = Engine::check(&folder, site)?;
    report.problems.extend(found.problems.into_iter().map(|p| Problem {
        severity: Severity::Error,
        file: p.file.display().to_string(),
        line: None,
        key: String::new(),
        reason: p.reason,
        remedy: p.remedy,
    }));
    let policies = found
        .policies
        .into_iter()
        .map(|p| Policy { accepted: p.state == PolicyState::Running, file: p.file, name: p.name, version: p.version, hooks: p.hooks })
        .collect();
    Ok(Findings { ok: report.passes(), config: shown, policies, store: kept, running, report })
}

/// The store, which also a gateway that runs may have open. Trouble keeps no gateway from starting; but it starts degraded.
fn look_into_store(data: &Path, report: &mut Report) -> anyhow::Result<(Option<store::Seen>, Option<StoreStands>)> {
    let found = store::look(&data.join(STORE))?;
    for trouble in &found.troubles {
        report.extend(Report::of_file(trouble.file.display().to_string(), trouble.reason(), trouble.remedy()));
    }
    let answer = if data.join(SOCKET).exists() { ask(data, Method::GET, "/store").ok() } else { None };
    let running: Option<StoreStands> = answer.and_then(|answer| serde_json::from_slice(&answer.body).ok());
    if let Some(StoreStands { reason: Some(reason), remedy: Some(remedy), .. }) = &running {
        report.extend(Report::of_file(data.join(SOCKET).display().to_string(), format!("the gateway that runs says: {reason}"), remedy));
    }
    Ok((found.seen, running))
}

/// Addresses that this machine does not have cannot be listened on.
fn addresses(config: &Config, shown: &str, report: &mut Report) {
    let Ok(interfaces) = if_addrs::get_if_addrs() else { return };
    let sip = config.listen.iter().map(|listen| ("sip.listen", listen.address.ip()));
    let metrics = config.metrics.map(|address| ("metrics.listen", address.ip()));
    let rest = config.rest.as_ref().map(|rest| ("rest.listen", rest.listen.ip()));
    let provision = config
        .provision
        .iter()
        .flat_map(|p| p.https.iter().map(|a| ("provision.https", a)).chain(p.http.iter().map(|a| ("provision.http", a))));
    let provision = provision.map(|(key, address)| (key, address.ip()));
    for (key, ip) in sip.chain(metrics).chain(rest).chain(provision) {
        let ours = ip.is_unspecified() || ip.is_loopback() || interfaces.iter().any(|i| i.ip() == ip);
        if !ours {
            report.problems.push(Problem {
                severity: Severity::Error,
                file: shown.to_owned(),
                line: None,
                key: key.to_owned(),
                reason: format!("{ip} is not an address of this machine"),
                remedy: "choose one that `ip address` shows, or 0.0.0.0 for all of them".to_owned(),
            });
        }
    }
}
