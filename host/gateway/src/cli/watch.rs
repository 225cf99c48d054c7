//! Running something again whenever one of a few files changes.

use notify::{RecursiveMode, Watcher as _};
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::mpsc::sync_channel,
    time::Duration,
};

/// A change is over when nothing has happened for so long: compilers write a file more than once.
const QUIET: Duration = Duration::from_millis(100);

/// Runs `run` once, and again after every change of one of `files`; for ever, or until `run` fails. Files may come and go: their folders are watched.
///
/// # Errors
/// When the folders cannot be watched, and what `run` says.
pub(super) fn again_and_again(files: &[PathBuf], mut run: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    let names: BTreeSet<_> = files.iter().filter_map(|file| file.file_name()).map(ToOwned::to_owned).collect();
    let (tell, told) = sync_channel(1);
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let ours = event.is_ok_and(|event| {
            !event.kind.is_access() && event.paths.iter().any(|path| path.file_name().is_some_and(|name| names.contains(name)))
        });
        if ours {
            // A full channel says the same already.
            let _told = tell.try_send(());
        }
    })?;
    let folders: BTreeSet<&Path> = files.iter().filter_map(|file| file.parent()).collect();
    for folder in folders {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
    }
    loop {
        run()?;
        told.recv()?;
        while told.recv_timeout(QUIET).is_ok() {}
    }
}
