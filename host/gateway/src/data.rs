//! The data folder: what the gateway keeps over restarts, and the lock that keeps a second gateway out.

use anyhow::{Context as _, bail};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, chown},
    path::{Path, PathBuf},
};

/// Name of the store in the data folder.
pub const STORE: &str = "store.sqlite";

/// A data folder. Everything below it belongs to the gateway; secrets in it are readable for its user only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataFolder {
    root: PathBuf,
}

/// Held while a gateway runs on a folder.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl DataFolder {
    /// The folder `root`, made when it is not there.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn open(root: &Path) -> anyhow::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(root)
            .with_context(|| format!("the data folder {} cannot be made; name another with --data", root.display()))?;
        let root = root.canonicalize().with_context(|| format!("the data folder {} cannot be read", root.display()))?;
        Ok(Self { root })
    }

    /// The platform's state folder for this user (`$XDG_STATE_HOME/holdfast`, mostly `~/.local/state/holdfast`); for a user without a home
    /// `/var/lib/holdfast`.
    #[must_use]
    pub fn default_root() -> PathBuf {
        directories::ProjectDirs::from("org", "holdfast", "holdfast").map_or_else(
            || PathBuf::from("/var/lib/holdfast"),
            |dirs| dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir()).to_path_buf(),
        )
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where site root and server certificate are.
    #[must_use]
    pub fn tls(&self) -> PathBuf {
        self.root.join("tls")
    }

    /// Where compiled policies are kept. What lies in it is executed.
    #[must_use]
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.root.join(STORE)
    }

    /// The folder of the decision record.
    #[must_use]
    pub fn decisions(&self) -> PathBuf {
        self.root.join(crate::record::FOLDER)
    }

    /// The folder of the journal of calls.
    #[must_use]
    pub fn calls(&self) -> PathBuf {
        self.root.join("calls")
    }

    /// The folder of the records of calls.
    #[must_use]
    pub fn records(&self) -> PathBuf {
        self.root.join(crate::cdr::FOLDER)
    }

    /// Where the addresses of trunks are kept.
    #[must_use]
    pub fn trunks(&self) -> PathBuf {
        self.root.join("trunks.json")
    }

    /// The configuration that is used when none is named.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.root.join(crate::config::FILE)
    }

    /// Takes the folder for this process. The lock ends with the process, also when it is killed.
    ///
    /// # Errors
    /// When another gateway has it.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        let path = self.root.join("lock");
        let written = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        // On a disk that takes no writes it can be locked all the same when it is there.
        let file = written
            .or_else(|error| File::open(&path).map_err(|_| error))
            .with_context(|| format!("the lock file {} cannot be opened", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => {
                bail!("another gateway runs on the data folder {}; stop it, or name another folder with --data", self.root.display())
            }
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("the lock file {} cannot be locked", path.display())),
        }
    }

    /// The key that authenticates digest nonces: made once, so that nonces stay good over a restart.
    ///
    /// # Errors
    /// When it can be neither read nor made, or was damaged.
    pub fn nonce_key(&self) -> anyhow::Result<[u8; 32]> {
        let path = self.root.join("secret.key");
        match fs::read(&path) {
            Ok(bytes) => <[u8; 32]>::try_from(bytes.as_slice())
                .ok()
                .with_context(|| format!("{} is not 32 octets long; remove it, and phones authenticate anew", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key = random_bytes()?;
                write_private(&path, &key)?;
                Ok(key)
            }
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }
}

/// 32 octets from the operating system.
///
/// # Errors
/// When it has none.
pub fn random_bytes() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).context("the operating system has no random numbers")?;
    Ok(bytes)
}

/// Writes a whole file that only its owner may read. It appears complete or not at all, also over a power cut.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_whole(path, bytes, 0o600, None)
}

/// Writes a whole file that everybody may read, as [`write_private`] does.
///
/// # Errors
/// When the folder cannot be written.
pub fn write_public(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_whole(path, bytes, 0o644, None)
}

/// Writes a whole file in the place of one that is there, as [`write_private`] does; whose it is and who may read it stays.
///
/// # Errors
/// When there is none, or the folder cannot be written, or the file is somebody else's and this user may not give it to them.
pub fn write_over(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let old = fs::metadata(path).with_context(|| format!("{} cannot be read", path.display()))?;
    write_whole(path, bytes, old.mode() & 0o777, Some((old.uid(), old.gid())))
}

fn write_whole(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> anyhow::Result<()> {
    let folder = path.parent().with_context(|| format!("{} is not a file name", path.display()))?;
    let temporary = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        if temporary.exists() {
            fs::remove_file(&temporary)?;
        }
        let mut file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        if let Some((user, group)) = owner {
            chown(&temporary, Some(user), Some(group))?;
        }
        fs::rename(&temporary, path)?;
        File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("{} cannot be written", path.display()))
}
