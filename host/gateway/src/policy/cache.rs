//! Compiled code kept on disk, so that a restart compiles nothing.
//!
//! The work is done by wasmtime's own cache: one file for each component, named after the SHA-256 of its bytes, of the engine's version and of all else that
//! the code depends on (the compiler's settings, the processor's features); those used longest ago go when there are too many. It does not notice a file that
//! is damaged in a way that still unpacks, and damaged machine code would be run. So the sum of every file is kept beside them, and what does not match it is
//! removed at start. That finds accidents, not attackers: who can write here decides what the gateway executes, so the folder is for its user only, and one
//! that others may enter is not used. Whatever goes wrong with it costs compiling, and a line in the log.

use crate::data::write_private;
use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};
use wasmtime::{Cache, CacheConfig};

/// Most components whose code is kept.
const FILES: u64 = 256;
/// Octets on disk.
const BYTES: u64 = 512 << 20;
/// Of zstd. The same for what is used often: wasmtime must not rewrite a file whose sum we have.
const COMPRESSION: i32 = 3;
/// The sums, as `sha256sum -c` reads them.
const SUMS: &str = "SHA256SUMS";
/// Where wasmtime keeps its files, in `modules/wasmtime-VERSION`.
const CODE: &str = "code";

pub(super) struct CodeCache {
    folder: PathBuf,
    cache: Cache,
    known: Mutex<BTreeMap<String, Known>>,
}

/// One file, as it was when it was last read.
struct Known {
    modified: SystemTime,
    sum: String,
}

/// How often code was found, and how often it was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Counts {
    pub(super) found: usize,
    pub(super) kept: usize,
}

impl CodeCache {
    /// Opens the cache in `folder`, which is made when it is not there. Removes what is not as it was written.
    ///
    /// # Errors
    /// When the folder cannot be used: the gateway does without.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        Self::bounded(folder, FILES, BYTES)
    }

    pub(super) fn bounded(folder: &Path, files: u64, bytes: u64) -> anyhow::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let folder = folder.canonicalize()?;
        ours_alone(&folder)?;
        let known = sound(&folder)?;
        let mut config = CacheConfig::new();
        config
            .with_directory(folder.join(CODE))
            .with_baseline_compression_level(COMPRESSION)
            .with_optimized_compression_level(COMPRESSION)
            .with_file_count_soft_limit(files)
            .with_files_total_size_soft_limit(bytes)
            // At every file that comes. With any other interval it is done once in the life of a process (wasmtime 48): its mark that it was done is not taken away.
            .with_cleanup_interval(Duration::ZERO);
        let cache = Cache::new(config).map_err(|error| anyhow::anyhow!("{error:#}"))?;
        Ok(Self { folder, cache, known: Mutex::new(known) })
    }

    /// For the engine's configuration.
    pub(super) fn cache(&self) -> Cache {
        self.cache.clone()
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { found: self.cache.cache_hits(), kept: self.cache.cache_misses() }
    }

    /// Something was compiled, or found, since `before`: keeps the sum of what was written.
    pub(super) fn compiled(&self, before: Counts) {
        let now = self.counts();
        let kept = match now.kept > before.kept {
            true => self.sum_up(),
            false if now.found > before.found => Ok(()),
            false => Err(anyhow::anyhow!("it could not be written")),
        };
        if let Err(error) = kept {
            tracing::warn!(folder = %self.folder.display(), error = format!("{error:#}"), "compiled code is not kept: the next start compiles it again");
        }
    }

    fn sum_up(&self) -> anyhow::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut there = BTreeMap::new();
        for (name, path) in files(&self.folder)? {
            if path.extension().is_some() {
                continue;
            }
            // It may be cleaned away at any time.
            let Ok(modified) = fs::metadata(&path).and_then(|metadata| metadata.modified()) else { continue };
            let as_before = known.remove(&name).filter(|known| known.modified == modified).map(|known| known.sum);
            let Some(sum) = as_before.or_else(|| sum(&path).ok()) else { continue };
            there.insert(name, Known { modified, sum });
        }
        let mut text = String::new();
        for (name, Known { sum, .. }) in &there {
            text.extend([sum, "  ", name, "\n"]);
        }
        *known = there;
        write_private(&self.folder.join(SUMS), text.as_bytes())
    }
}

/// Whoever can write here decides what we execute.
fn ours_alone(folder: &Path) -> anyhow::Result<()> {
    let metadata = fs::metadata(folder)?;
    if metadata.mode() & 0o077 != 0 {
        bail!("others may enter it: chmod 700 {}", folder.display());
    }
    let we = tempfile::tempfile_in(folder)?.metadata()?.uid();
    if metadata.uid() != we {
        bail!("it belongs to user {}, and holdfast runs as user {we}: chown -R {we} {}", metadata.uid(), folder.display());
    }
    Ok(())
}

/// Removes every file that is not as its sum says, and returns the others.
fn sound(folder: &Path) -> anyhow::Result<BTreeMap<String, Known>> {
    let text = match fs::read(folder.join(SUMS)) {
        Ok(text) => String::from_utf8_lossy(&text).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).context(SUMS),
    };
    let sums: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once("  ")).map(|(sum, name)| (name, sum)).collect();
    let mut sound = BTreeMap::new();
    for (name, path) in files(folder)? {
        // How often each was used, for wasmtime's own cleaning.
        if path.extension().is_some_and(|extension| extension == "stats") {
            continue;
        }
        let Some(now) = unless_gone(sum(&path)).with_context(|| name.clone())? else { continue };
        if sums.get(name.as_str()) == Some(&now.as_str()) {
            if let Some(metadata) = unless_gone(fs::metadata(&path)).with_context(|| name.clone())? {
                sound.insert(name, Known { modified: metadata.modified()?, sum: now });
            }
        } else {
            tracing::warn!(file = %path.display(), "compiled code removed, for it is not as it was written; it is compiled again");
            unless_gone(fs::remove_file(&path)).with_context(|| name.clone())?;
        }
    }
    Ok(sound)
}

/// `None` for a file that is not there any more: wasmtime writes and cleans on a thread of its own, and another process may share the folder.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The files of the cache: name below `folder`, and path.
fn files(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for version in list(&folder.join(CODE).join("modules"))? {
        for path in list(&version)? {
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            files.push((name, path));
        }
    }
    Ok(files)
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = unless_gone(fs::read_dir(folder))?;
    entries.into_iter().flatten().map(|entry| Ok(entry?.path())).collect()
}

fn sum(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(super::engine::hex(&hash.finalize()));
        }
        hash.update(chunk.get(..read).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests;
