//! What can be wrong with the store, said so that it can be mended; and how it stands, for whoever watches.

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

/// What keeps the store from being written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// No space is left, or a quota or size limit is reached.
    Full,
    /// The disk, the folder or the file may not be written.
    ReadOnly,
    /// What is in the file contradicts itself, or it is no store.
    Damaged,
    /// A later version of this program has made it.
    Newer,
    /// Another program holds it.
    Locked,
    /// The disk cannot be read or written, or something that has no name here.
    Failing,
    /// What was asked of the disk does not return.
    Hanging,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Full, Self::ReadOnly, Self::Damaged, Self::Newer, Self::Locked, Self::Failing, Self::Hanging];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::ReadOnly => "read-only",
            Self::Damaged => "damaged",
            Self::Newer => "newer",
            Self::Locked => "locked",
            Self::Failing => "failing",
            Self::Hanging => "hanging",
        }
    }
}

/// Why the store cannot be used: what, where, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// What kind of trouble.
    pub kind: Kind,
    /// The file.
    pub file: PathBuf,
    /// What was said about it, by the database or the operating system.
    pub said: String,
}

impl Trouble {
    /// What a failure of the database means.
    pub(super) fn of(file: &Path, error: &sqlx::Error) -> Self {
        // SQLite's result codes; the lower octet is the primary one.
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok()).map(|code| code & 0xff);
        let kind = match code {
            Some(13) => Kind::Full,
            // READONLY, PERM.
            Some(8 | 3) => Kind::ReadOnly,
            // CORRUPT, NOTADB.
            Some(11 | 26) => Kind::Damaged,
            // BUSY, LOCKED.
            Some(5 | 6) => Kind::Locked,
            // CANTOPEN says nothing; the operating system does.
            Some(14) => match openable(file) {
                Ok(()) => Kind::Failing,
                Err(error) => return Self::io(file, &error),
            },
            // IOERR of any kind. A size limit says nothing more.
            Some(10) if limited() => Kind::Full,
            _ => Kind::Failing,
        };
        Self { kind, file: file.to_owned(), said: error.to_string() }
    }

    /// What a failure of the operating system means.
    pub(super) fn io(file: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        let kind = match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Kind::Full,
            PermissionDenied | ReadOnlyFilesystem => Kind::ReadOnly,
            _ => Kind::Failing,
        };
        Self { kind, file: file.to_owned(), said: error.to_string() }
    }

    /// What is wrong, in one sentence without its end.
    #[must_use]
    pub fn reason(&self) -> String {
        let Self { kind, file, said } = self;
        let what = match kind {
            Kind::Full => "no space is left for the store",
            Kind::ReadOnly => "the store may not be written",
            Kind::Damaged => "the store is damaged",
            Kind::Newer => "the store is of a later version of this program",
            Kind::Locked => "another program holds the store",
            Kind::Failing => "the store cannot be used",
            Kind::Hanging => "the disk of the store does not answer",
        };
        format!("{what} ({}: {said})", file.display())
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> String {
        let folder = self.file.parent().unwrap_or(&self.file).display();
        match self.kind {
            Kind::Full => format!(
                "free space on the disk of {folder} (`df -h`, `df -i`), or raise its quota or size limit; the rest happens by itself"
            ),
            Kind::ReadOnly => {
                format!(
                    "mount the disk of {folder} for writing, and let this user write the folder and the file; the rest happens by itself"
                )
            }
            Kind::Damaged => {
                "look after the disk (`dmesg`, `smartctl`) and put a copy of the file back, with the gateway stopped".to_owned()
            }
            Kind::Newer => {
                "start the version that made it, or put a copy of the file of before the upgrade back; it was not touched".to_owned()
            }
            Kind::Locked => "end the program that has the file open (`fuser`); copies are best taken of a stopped gateway".to_owned(),
            Kind::Failing => format!("look after the disk of {folder} (`dmesg`, `df -h`); the rest happens by itself once it works"),
            Kind::Hanging => {
                format!(
                    "look after the disk of {folder} (`dmesg`, `iostat`, a network that it needs); the rest happens by itself once it answers"
                )
            }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.reason(), self.remedy())
    }
}

/// How the store stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// What is wrong, and since when; `None`: all is well.
    pub trouble: Option<(Trouble, SystemTime)>,
    /// Bindings that are different on the disk and in memory. While there is no trouble: 0.
    pub owed: usize,
    /// A damaged file that was set aside since the start.
    pub aside: Option<PathBuf>,
}

/// How the store stands, shared between the thread that writes, those who wait for it and whoever watches.
#[derive(Clone, Debug, Default)]
pub struct Health {
    standing: Arc<Mutex<Standing>>,
    /// Changes of bindings were not even taken in: the disk has to be told everything.
    missed: Arc<AtomicBool>,
}

impl Health {
    /// How it stands now.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.lock().clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody has waited long enough. Other trouble, of which more is known, is not forgotten for it.
    pub(super) fn hangs(&self, file: &Path, said: String) {
        let mut standing = self.lock();
        standing.owed += 1;
        standing.trouble.get_or_insert_with(|| (Trouble { kind: Kind::Hanging, file: file.to_owned(), said }, SystemTime::now()));
    }

    /// Whether the disk was found not to answer.
    pub(super) fn is_hanging(&self) -> bool {
        self.lock().trouble.as_ref().is_some_and(|(trouble, _)| trouble.kind == Kind::Hanging)
    }

    /// Notes that changes were not taken in.
    pub(super) fn miss(&self) {
        self.missed.store(true, Ordering::Release);
    }

    /// Whether changes were not taken in that the disk has not been told.
    pub(super) fn has_missed(&self) -> bool {
        self.missed.load(Ordering::Acquire)
    }

    /// The same, and from now on it is.
    pub(super) fn take_missed(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }
}

/// Whether files of this process may only grow so far (`ulimit -f`).
fn limited() -> bool {
    getrlimit(Resource::RLIMIT_FSIZE).is_ok_and(|(soft, _)| soft != RLIM_INFINITY)
}

/// Whether the operating system would let this file be written; made when it is not there.
pub(super) fn openable(file: &Path) -> std::io::Result<()> {
    std::fs::OpenOptions::new().read(true).append(true).create(true).open(file).map(|_| ())
}
