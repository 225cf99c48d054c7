//! What lies in the policy folder: `NN-name.wasm`, each with an optional `NN-name.toml` and `NN-name.cases.toml`. Symbolic links are followed.

use super::load::{FILE_MAX, Rejection, hash};
use std::{collections::BTreeMap, fs, io, path::Path, time::SystemTime};

/// One component and what is said about it.
pub(super) struct Found {
    /// `NN-name.wasm`.
    pub(super) file: String,
    /// `name`.
    pub(super) name: String,
    pub(super) bytes: Result<Vec<u8>, Rejection>,
    /// The text of `NN-name.toml`; empty when there is none.
    pub(super) toml: Result<String, Rejection>,
    /// The text of `NN-name.cases.toml`; empty when there is none.
    pub(super) cases: Result<String, Rejection>,
}

impl Found {
    /// What the content hashes to: equal = nothing to do.
    pub(super) fn digest(&self) -> [u8; 32] {
        fn digest<T: AsRef<[u8]>>(part: &Result<T, Rejection>) -> [u8; 32] {
            part.as_ref().map_or_else(|rejection| hash(format!("\0{rejection}").as_bytes()), |part| hash(part.as_ref()))
        }
        hash(&[digest(&self.bytes), digest(&self.toml), digest(&self.cases)].concat())
    }
}

/// Reads the folder; in the order of file names. A missing folder is an empty one.
///
/// # Errors
/// When the folder is there and cannot be listed.
pub(super) fn read(folder: &Path) -> io::Result<Vec<Found>> {
    let mut names = Vec::new();
    for file in list(folder)?.into_keys() {
        if let Some(stem) = file.strip_suffix(".wasm") {
            names.push((file.clone(), stem.to_owned()));
        }
    }
    Ok(names.into_iter().map(|(file, stem)| found(folder, file, &stem)).collect())
}

/// One component, wherever it lies; `None` when the path names no file.
pub(super) fn one(path: &Path) -> Option<Found> {
    let (folder, file) = (path.parent()?, path.file_name()?.to_str()?);
    Some(found(folder, file.to_owned(), file.strip_suffix(".wasm").unwrap_or(file)))
}

fn found(folder: &Path, file: String, stem: &str) -> Found {
    Found {
        name: policy_name(stem).to_owned(),
        bytes: bytes(&folder.join(&file)),
        toml: text(&folder.join(format!("{stem}.toml"))),
        cases: text(&folder.join(format!("{stem}.cases.toml"))),
        file,
    }
}

/// File names with what changes when their content does. Hidden files, which is where most tools write before they rename, are left out.
pub(super) fn list(folder: &Path) -> io::Result<BTreeMap<String, Option<(SystemTime, u64)>>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut files = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with('.') || !(name.ends_with(".wasm") || name.ends_with(".toml")) {
            continue;
        }
        // Of what a link leads to: a link that is turned elsewhere shows another time or size.
        let metadata = fs::metadata(entry.path()).ok().filter(fs::Metadata::is_file);
        files.insert(name, metadata.and_then(|metadata| Some((metadata.modified().ok()?, metadata.len()))));
    }
    Ok(files)
}

/// The name without the number that orders it: `licence` for `20-licence`.
fn policy_name(stem: &str) -> &str {
    match stem.split_once('-') {
        Some((number, name)) if !name.is_empty() && number.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => stem,
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, Rejection> {
    let length = fs::metadata(path).map_err(|error| unreadable(&error))?.len();
    if length > FILE_MAX {
        return Err(Rejection::new(format!("it has {length} octets, more than {FILE_MAX}"), "build a smaller component"));
    }
    fs::read(path).map_err(|error| unreadable(&error))
}

fn text(path: &Path) -> Result<String, Rejection> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => {
            Err(Rejection::new(format!("{}: {error}", path.file_name().unwrap_or_default().display()), "make the file readable text"))
        }
    }
}

fn unreadable(error: &io::Error) -> Rejection {
    Rejection::new(format!("it cannot be read: {error}"), "make the file readable for the user that runs holdfast")
}
