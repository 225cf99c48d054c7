//! Who has called for help outlives the process, so that the answering point can call back whatever happens here.
//!
//! The table is small and changes rarely: each time the whole of it is written to `callbacks.json` in the data folder, synced, by a task that is only woken on the
//! path of a call for help. It stands beside the store, not in it: a store that is broken must not cost a call back.

use crate::{data, observe::Counters};
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use switch::{emergency::callback::CallForHelp, site::Site};
use tokio::sync::Notify;

/// The file in the data folder.
const FILE: &str = "callbacks.json";
/// Raised when an entry means something else than before.
const VERSION: u32 = 1;
/// After a failed write it is tried again this often.
const AGAIN: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    callers: &'a [CallForHelp],
}

#[derive(Deserialize)]
struct Read {
    version: u32,
    callers: Vec<CallForHelp>,
}

/// Reads what an earlier process knew into `site`, and has what comes written down. What comes back is the task that writes. Nothing of it keeps a gateway from
/// starting: an unreadable file is set aside with an alarm.
pub(crate) fn start(root: &Path, site: &Arc<Site>, counters: &Arc<Counters>) -> impl Future<Output = ()> + use<> {
    let file = root.join(FILE);
    match read(&file) {
        Ok(callers) => site.callbacks.restore(callers, site.limits.callbacks),
        Err(error) => {
            let aside = file.with_extension("set-aside");
            counters.count("callbacks-unreadable");
            tracing::error!(
                "who has called for help is not known any more, callbacks go to the security desk: {error:#}; set aside as {}",
                aside.display()
            );
            if let Err(error) = fs::rename(&file, &aside) {
                tracing::error!("{} cannot be set aside: {error}", file.display());
            }
        }
    }
    let noted = Arc::new(Notify::new());
    let wake = Arc::clone(&noted);
    site.callbacks.on_note(move || wake.notify_one());
    keep(file, Arc::clone(site), noted, Arc::clone(counters))
}

fn read(file: &Path) -> anyhow::Result<Vec<CallForHelp>> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", file.display())),
    };
    let Read { version, callers } =
        serde_json::from_slice(&bytes).with_context(|| format!("{} is not what was written", file.display()))?;
    anyhow::ensure!(version == VERSION, "{} is of version {version}, {VERSION} is spoken here", file.display());
    Ok(callers)
}

/// Writes the table whenever it has changed.
async fn keep(file: PathBuf, site: Arc<Site>, noted: Arc<Notify>, counters: Arc<Counters>) {
    loop {
        noted.notified().await;
        loop {
            let (path, callers) = (file.clone(), site.callbacks.all());
            let written = tokio::task::spawn_blocking(move || write(&path, &callers)).await;
            let Err(error) = written.map_err(anyhow::Error::from).flatten() else { break };
            counters.limit("callbacks-not-kept", || format!("who has called for help would be forgotten by a restart: {error:#}"));
            tokio::time::sleep(AGAIN).await;
        }
    }
}

fn write(file: &Path, callers: &[CallForHelp]) -> anyhow::Result<()> {
    data::write_private(file, &serde_json::to_vec_pretty(&Written { version: VERSION, callers })?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sip::{
        Instant,
        transport::{Flow, Transport},
    };
    use switch::{
        Limits,
        directory::{Directory, Emergency},
    };

    fn site() -> Arc<Site> {
        let directory = Directory::new("sip.example".to_owned(), Vec::new(), Vec::new(), Vec::new(), Emergency::default(), Vec::new());
        Arc::new(Site::new(directory, Limits::default()))
    }

    fn caller(number: &str, seconds: u64) -> CallForHelp {
        let (local, remote) = ("192.0.2.1:5060".parse().unwrap(), "10.1.0.7:5060".parse().unwrap());
        CallForHelp {
            at: Instant::from_unix_micros(seconds * 1_000_000),
            numbers: vec![number.to_owned()],
            endpoint: None,
            contact: format!("sip:{number}@10.1.0.7"),
            flow: Flow { transport: Transport::Udp, local, remote, connection: 0 },
            location: Some("hq".to_owned()),
            call_id: "a".to_owned(),
        }
    }

    #[test]
    fn what_was_written_is_known_to_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let callers = [caller("+441", 1), caller("+442", 2)];
        write(&folder.path().join(FILE), &callers).unwrap();
        let site = site();
        drop(start(folder.path(), &site, &Arc::default()));
        assert_eq!(site.callbacks.all(), callers);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_set_aside_and_nothing_stops() {
        for content in ["", "{", "{\"version\":2,\"callers\":[]}", "[]"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join(FILE), content).unwrap();
            let (site, counters) = (site(), Arc::new(Counters::default()));
            drop(start(folder.path(), &site, &counters));
            assert_eq!((site.callbacks.all().len(), counters.read().dropped["callbacks-unreadable"]), (0, 1), "{content}");
            assert_eq!(fs::read_to_string(folder.path().join("callbacks.set-aside")).unwrap(), content);
        }
    }
}
