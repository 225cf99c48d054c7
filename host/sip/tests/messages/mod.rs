//! The messages on which the tests of the message layer stand.

use std::{fs, path::Path};

/// The messages of RFC 4475, with their names.
pub(crate) fn torture() -> Vec<(String, Vec<u8>)> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/torture"))
}

/// What phones and trunks ordinarily send.
pub(crate) fn phones() -> Vec<(String, Vec<u8>)> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/phones"))
}

fn read(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "dat"))
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    files.sort();
    assert!(files.len() > 10, "{} holds the test messages", folder.display());
    files
}
