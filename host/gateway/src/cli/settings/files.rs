//! Which files are meant, and where the changed ones go.

use super::{Outcome, about_file};
use anyhow::bail;
use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, File},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
};
use switch::settings::{Finding, LARGEST};
use walkdir::WalkDir;

/// Folders in folders that are looked into.
const DEPTH: usize = 8;

/// A settings file.
#[derive(Debug)]
pub(in crate::cli) struct Source {
    /// Where it is.
    pub(in crate::cli) path: PathBuf,
    /// Where it is below the folder that was named; its name when it was named itself.
    pub(in crate::cli) name: PathBuf,
}

impl Source {
    /// Its octets; one more than a settings file may have is as good as all.
    pub(in crate::cli) fn read(&self) -> Result<Vec<u8>, Finding> {
        let mut octets = Vec::new();
        let read = File::open(&self.path).and_then(|file| file.take(LARGEST as u64 + 1).read_to_end(&mut octets));
        read.map(|_| octets).map_err(|error| {
            about_file(&self.path, "unreadable", &format!("cannot be read: {error}"), "let this user read it, or leave it out")
        })
    }
}

/// The files that `paths` name, in the order of their names. What lies in `out` was written by an earlier run.
pub(in crate::cli) fn find(paths: &[PathBuf], out: Option<&Path>) -> anyhow::Result<Vec<Source>> {
    let out = out.and_then(|out| fs::canonicalize(out).ok());
    let mut sources = Vec::new();
    for path in paths {
        if !path.is_dir() {
            let Some(name) = path.file_name().filter(|_| path.exists()) else { bail!("{} is not there", path.display()) };
            sources.push(Source { path: path.clone(), name: name.into() });
            continue;
        }
        let before = sources.len();
        let theirs = |folder: &Path| out.is_none() || fs::canonicalize(folder).ok() != out;
        let walk = WalkDir::new(path).max_depth(DEPTH).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(|entry| entry.depth() == 0 || !entry.file_type().is_dir() || theirs(entry.path())) {
            let path_of = entry?.into_path();
            let text = path_of.extension().and_then(OsStr::to_str).is_some_and(|extension| extension.eq_ignore_ascii_case("txt"));
            if text && path_of.is_file() {
                let name = path_of.strip_prefix(path).unwrap_or(&path_of).to_owned();
                sources.push(Source { path: path_of, name });
            }
        }
        if sources.len() == before {
            bail!("{} holds no settings file: none whose name ends with .txt", path.display());
        }
    }
    Ok(sources)
}

/// Where changed files go.
pub(super) struct Place<'a> {
    out: Option<&'a Path>,
    overwrite: bool,
    /// What this run has put somewhere: two files with one name would be one.
    taken: BTreeSet<PathBuf>,
}

impl<'a> Place<'a> {
    pub(super) const fn new(out: Option<&'a Path>, overwrite: bool) -> Self {
        Self { out, overwrite, taken: BTreeSet::new() }
    }

    /// Whether nothing is written.
    pub(super) const fn is_dry(&self) -> bool {
        self.out.is_none() && !self.overwrite
    }

    /// Puts a file where it belongs, as a whole or not at all; says what came of it, and where it lies if it was written.
    pub(super) fn put(&mut self, source: &Source, octets: &[u8], same: bool) -> Result<(Outcome, Option<PathBuf>), Finding> {
        let path = match self.out {
            Some(out) => out.join(&source.name),
            None if same => return Ok((Outcome::Unchanged, None)),
            None if self.overwrite => fs::canonicalize(&source.path).unwrap_or_else(|_| source.path.clone()),
            None => return Ok((Outcome::WouldChange, None)),
        };
        if !self.taken.insert(path.clone()) {
            let remedy = "name the folder that holds both instead of the files";
            return Err(about_file(&path, "same-name", "is what another file of this run is called, too", remedy));
        }
        match fs::read(&path) {
            Ok(there) if there == octets => return Ok((Outcome::Unchanged, None)),
            Ok(_) if !self.overwrite => return Err(there_already(&path)),
            _ => {}
        }
        match self.write(&path, octets) {
            Ok(()) => Ok((Outcome::Written, Some(path))),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(there_already(&path)),
            Err(error) => {
                let remedy = "make room, or name another folder with --out";
                Err(about_file(&path, "unwritable", &format!("cannot be written: {error}"), remedy))
            }
        }
    }

    /// It holds a password: only its owner may read it (the mode that temporary files have). After a power cut it is there as a whole or not at all.
    fn write(&self, path: &Path, octets: &[u8]) -> io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(octets)?;
        file.as_file().sync_all()?;
        if self.overwrite { file.persist(path) } else { file.persist_noclobber(path) }.map(drop).map_err(|error| error.error)
    }
}

fn there_already(path: &Path) -> Finding {
    about_file(
        path,
        "there-already",
        "is there already, and is another file",
        "say --overwrite to replace it, or name another folder with --out",
    )
}
