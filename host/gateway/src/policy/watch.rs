//! Follows the policy folder: told by the system where it can be (inotify and its like), and by looking every second in any case, which also finds what
//! the system does not tell: a link's target rewritten, the folder itself replaced, a network file system.

use super::{engine::Engine, folder};
use notify::{RecursiveMode, Watcher as _};
use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Weak,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Between two looks where nothing was told.
const LOOK: Duration = Duration::from_secs(1);
/// Several writes in a row are one change: it is over when nothing has happened for so long…
const QUIET: Duration = Duration::from_millis(50);
/// …or when it has gone on for so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// Starts the thread that follows `folder` for as long as the engine lives.
///
/// # Errors
/// When the system gives no thread.
pub(super) fn start(engine: &Arc<Engine>, folder: &Path) -> std::io::Result<()> {
    let engine = Arc::downgrade(engine);
    let folder = folder.to_owned();
    thread::Builder::new().name("policy-watch".to_owned()).spawn(move || run(&engine, &folder))?;
    Ok(())
}

fn run(engine: &Weak<Engine>, folder: &Path) {
    let (tell, told) = sync_channel(1);
    if let Some(engine) = engine.upgrade() {
        engine.attended_by(tell.clone());
    }
    let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // That somebody reads the folder, as we do ourselves after every change, is no change. An error is: something may have been missed.
        if event.is_ok_and(|event| event.kind.is_access()) {
            return;
        }
        // A full channel says the same already; a closed one means that the engine is gone.
        let _told = tell.try_send(());
    });
    let mut watcher = watcher.map_err(|error| tracing::info!(%error, "the policy folder is looked at every second")).ok();
    let mut watched = None;
    let mut seen = None;
    // Something may have changed since the folder was read and before it was watched.
    let mut happened = true;
    loop {
        if let Some(watcher) = &mut watcher {
            rewatch(watcher, folder, &mut watched);
        }
        {
            let Some(engine) = engine.upgrade() else { return };
            let now = state(folder);
            if happened || now != seen {
                if let Err(error) = engine.rescan() {
                    tracing::warn!(error = format!("{error:#}"), "the policies stay as they are");
                }
                seen = now;
            }
            engine.attend(Instant::now());
        }
        happened = match told.recv_timeout(LOOK) {
            Ok(()) => settle(&told),
            // Closed, the engine is gone, which the next turn finds out.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
        };
    }
}

/// Waits until a change is over.
fn settle(told: &Receiver<()>) -> bool {
    let began = Instant::now();
    while began.elapsed() < PATIENCE && told.recv_timeout(QUIET).is_ok() {}
    true
}

/// Names, times and sizes of the files; `None` when the folder cannot be listed.
type State = Option<std::collections::BTreeMap<String, Option<(std::time::SystemTime, u64)>>>;

fn state(folder: &Path) -> State {
    folder::list(folder).ok()
}

/// Keeps the watch on what the path means now: the folder may be made later, or be a link that is turned.
fn rewatch(watcher: &mut notify::RecommendedWatcher, folder: &Path, watched: &mut Option<PathBuf>) {
    let current = folder.canonicalize().ok();
    if current == *watched {
        return;
    }
    if let Some(old) = watched.take() {
        // The old folder may be gone, and its watch with it.
        let _gone = watcher.unwatch(&old);
    }
    if let Some(current) = current {
        match watcher.watch(&current, RecursiveMode::NonRecursive) {
            Ok(()) => *watched = Some(current),
            Err(error) => tracing::debug!(%error, "the policy folder is looked at every second"),
        }
    }
}
