//! The corpus that fuzzing has found, replayed: the same bodies as `fuzz/fuzz_targets`, each file a case.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

#[path = "../fuzz/bodies/parse.rs"]
mod parse;
#[path = "../fuzz/bodies/stack.rs"]
mod stack;

use std::{fs, path::Path};

/// Every case of a target; they are many, or fuzzing has found nothing.
fn cases(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 50, "{} holds only {} cases", folder.display(), files.len());
    files.iter().map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect()
}

fn replay<T>(target: &str, body: fn(&[u8]) -> T) {
    for (name, data) in cases(target) {
        let result = std::panic::catch_unwind(|| drop(body(&data)));
        assert!(result.is_ok(), "{name} fails");
    }
}

#[test]
fn the_corpus_of_parse() {
    replay("parse", parse::run);
}

#[test]
fn the_corpus_of_stack() {
    replay("stack", stack::run);
}
