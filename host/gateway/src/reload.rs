//! Takes a changed configuration over while calls run. An invalid file changes nothing.

use crate::{
    config::{Config, Report, Tls},
    data::DataFolder,
    gateway::Gateway,
};
use notify::Watcher as _;
use sha2::{Digest as _, Sha256};
use std::{path::Path, sync::Arc, time::Duration};
use switch::directory::LeftOut;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, futures::Notified},
    time::timeout,
};

/// Editors and deployment tools touch a file several times in a row: it is read once it has been left alone for so long.
const QUIET: Duration = Duration::from_millis(200);
/// How often certificates are looked at besides: for renewal.
const CERTIFICATES: Duration = Duration::from_secs(12 * 3_600);

/// Watches the configuration file. Dropped, it stops.
pub struct FileWatch {
    changed: Arc<Notify>,
    _watcher: notify::RecommendedWatcher,
}

impl FileWatch {
    /// Begins to watch. The folder is watched, not the file, so that replacing the file (rename, symbolic link) is seen too.
    ///
    /// # Errors
    /// When the system has no watches left.
    pub fn new(file: &Path) -> anyhow::Result<Self> {
        let changed = Arc::new(Notify::new());
        let noticed = Arc::clone(&changed);
        let name = file.file_name().map(std::ffi::OsStr::to_owned);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Links (`..data` of container platforms) change beside the file, so other names count as well; lock and store do not.
            let relevant =
                event.is_ok_and(|e| !e.kind.is_access() && e.paths.iter().any(|p| p.file_name() == name.as_deref() || p.is_symlink()));
            if relevant {
                noticed.notify_one();
            }
        })?;
        let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        watcher.watch(folder, notify::RecursiveMode::NonRecursive)?;
        Ok(Self { changed, _watcher: watcher })
    }

    /// Resolves when the file has changed and has been left alone since.
    pub async fn changed(&self) {
        self.changed.notified().await;
        while timeout(QUIET, self.next()).await.is_ok() {}
    }

    fn next(&self) -> Notified<'_> {
        self.changed.notified()
    }
}

/// Reads the configuration again and puts it in force, or leaves everything as it is.
///
/// # Errors
/// What is wrong with the file.
pub fn reload(gateway: &Gateway, running: &mut Config, data: &DataFolder) -> Result<(), Report> {
    let loaded = Config::load_with(&running.file, Some(&running.domain))?;
    for warning in loaded.report.warnings() {
        tracing::warn!("{warning}");
    }
    let new = loaded.config;
    let changes = gateway.keeper.take_file(new.directory.clone()).map_err(|clashes| of_store(&running.file, clashes))?;
    let restart = new.needs_restart(running, gateway.verifies);
    if !restart.is_empty() {
        tracing::warn!("changed, but in force only after a restart: {}", restart.join(", "));
    }
    if let Err(error) = gateway.certificate.reload(&new.tls, data, &gateway.names) {
        tracing::error!("the old certificate stays in use: {error:#}");
    }
    let removed = changes.len();
    if !changes.is_empty() {
        let kept = gateway.keep.keep(changes);
        tokio::spawn(async move {
            if let Err(why) = kept.await {
                tracing::error!("bindings of removed endpoints may come back at the next start: {why}");
            }
        });
    }
    gateway.trunks_changed.notify_one();
    if let Some(notifier) = &gateway.notifier {
        notifier.take_ways(new.notify.clone());
    }
    tracing::info!(
        endpoints = new.directory.endpoints.len(),
        trunks = new.directory.trunks.len(),
        bindings_removed = removed,
        "configuration in force"
    );
    // What needs a restart stays as it runs, so that the next reload names it again.
    running.notify = new.notify;
    running.directory = new.directory;
    running.tls = Tls { trunk_authorities: running.tls.trunk_authorities.take(), ..new.tls };
    Ok(())
}

/// A file that gives away what somebody in the store has.
fn of_store(file: &Path, clashes: Vec<LeftOut>) -> Report {
    let mut report = Report::default();
    for LeftOut { who, reason } in clashes {
        let reason = format!("{reason}, and that of {who} in the store too");
        report.extend(Report::of_file(
            file.display().to_string(),
            reason,
            "give each its own; `holdfast endpoint` and `holdfast user` change the store",
        ));
    }
    report
}

/// What the system says to the process: to read the configuration again (SIGHUP) or to end (SIGINT, SIGTERM).
pub struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From now on none of them ends the process by itself: take them before anybody is told that the gateway is up.
    ///
    /// # Errors
    /// When the system gives no signals.
    pub fn take() -> anyhow::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }
}

/// Follows signals and the file until the gateway is told to end. `content`: [`digest`] of what stood in the file before the gateway started; whoever has saved it since then
/// is heard, too. Returns why it is to end.
pub async fn follow(
    gateway: &Gateway,
    mut running: Config,
    data: &DataFolder,
    mut content: Option<[u8; 32]>,
    mut signals: Signals,
) -> &'static str {
    let watch = match FileWatch::new(&running.file) {
        Ok(watch) => Some(watch),
        Err(error) => {
            tracing::warn!("{} is not watched ({error}); send SIGHUP after a change", running.file.display());
            None
        }
    };
    let mut renew = tokio::time::interval(CERTIFICATES);
    renew.reset();
    // Saved before anybody watched, and perhaps only half: it is looked at as after any change, once it has been left alone.
    if let Some(watch) = watch.as_ref().filter(|_| digest(&running.file) != content) {
        watch.changed.notify_one();
    }
    loop {
        tokio::select! {
            _ = signals.interrupt.recv() => return "interrupted",
            _ = signals.terminate.recv() => return "told to end",
            _ = signals.hangup.recv() => {}
            () = file_changed(watch.as_ref()) => {
                let now = digest(&running.file);
                if now == content {
                    continue;
                }
                content = now;
            }
            _ = renew.tick() => {
                if let Err(error) = gateway.certificate.reload(&running.tls, data, &gateway.names) {
                    tracing::error!("the certificate could not be renewed: {error:#}");
                }
                continue;
            }
        }
        if let Err(report) = reload(gateway, &mut running, data) {
            for problem in report.errors() {
                tracing::error!("{problem}");
            }
            tracing::error!(file = %running.file.display(), "the changed configuration is not valid; the one before stays in force");
        }
    }
}

/// Tells one content of the file from another, without keeping either: a site of ten thousand phones has a file of more than a megabyte. `None`: it cannot be
/// read.
#[must_use]
pub fn digest(file: &Path) -> Option<[u8; 32]> {
    std::fs::read(file).ok().map(|content| Sha256::digest(content).into())
}

async fn file_changed(watch: Option<&FileWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}
