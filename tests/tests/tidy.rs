//! The style of the house as an ordinary test: what a reviewer would otherwise have to see with bare eyes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A text file of the tree, by its path from the root.
struct File {
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn below(&self, folder: &str) -> bool {
        self.path.starts_with(folder)
    }

    /// Code that is shipped: sources of the host's crates without their tests.
    fn is_shipped(&self) -> bool {
        self.is_rust()
            && self.below("host/")
            && self.path.contains("/src/")
            && !self.path.ends_with("tests.rs")
            && !self.path.contains("/tests/")
    }

    /// Lines with their numbers, comments left out.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(n, l)| (n + 1, l.split("//").next().unwrap_or_default()))
    }

    /// Every place where `wrong` stands in code.
    fn places(&self, wrong: &str) -> Vec<String> {
        self.code().filter(|(_, line)| line.contains(wrong)).map(|(n, _)| format!("{}:{n}: {wrong}", self.path)).collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every text file that belongs to the project.
fn files() -> Vec<File> {
    fn walk(folder: &Path, files: &mut Vec<File>) {
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            // Built things and git's own files are not ours.
            if name == "target" || name == ".git" {
                continue;
            }
            if path.is_dir() {
                walk(&path, files);
            } else if let Ok(text) = fs::read_to_string(&path) {
                files.push(File { path: path.strip_prefix(root()).unwrap().display().to_string(), text });
            }
        }
    }
    let mut files = Vec::new();
    walk(root(), &mut files);
    assert!(files.len() > 50, "the walk through the tree found only {} files", files.len());
    files
}

fn none(places: Vec<String>, rule: &str) {
    assert!(places.is_empty(), "{rule}:\n{}", places.join("\n"));
}

#[test]
fn no_file_is_longer_than_600_lines() {
    let long = files()
        .iter()
        .filter(|f| f.is_rust() && !f.path.contains("/generated/"))
        .map(|f| (&f.path, f.text.lines().count()))
        .filter(|(_, lines)| *lines > 600)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    none(long, "split it into a folder module");
}

#[test]
fn the_top_level_holds_what_it_should() {
    let known = ["Cargo.toml", "Cargo.lock", "host", "wit", "plugins", "examples", "benches", "tests", "README.md", "target"];
    let strange = fs::read_dir(root())
        .unwrap()
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && !known.contains(&name.as_str()))
        .collect();
    none(strange, "not at the top level");
}

#[test]
fn only_the_policy_folder_names_the_engine() {
    let places = files()
        .iter()
        .filter(|f| f.is_rust() && !f.below("host/gateway/src/policy") && f.path != "tests/tests/tidy.rs")
        .flat_map(|f| [f.places("wasmtime::"), f.places("wasmtime_wasi")].concat())
        .collect();
    none(places, "wasmtime stays in host/gateway/src/policy, so that there is one place to upgrade");
}

#[test]
fn only_the_store_names_sql() {
    let places = files()
        .iter()
        .filter(|f| f.is_rust() && !f.below("host/gateway/src/store") && f.path != "tests/tests/tidy.rs")
        .flat_map(|f| f.places("sqlx"))
        .collect();
    none(places, "rules return changes, host/gateway/src/store writes them");
}

#[test]
fn protocol_and_rules_are_pure() {
    for manifest in ["host/sip/Cargo.toml", "host/switch/Cargo.toml"] {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        for banned in ["tokio", "wasmtime", "sqlx", "tracing", "gateway"] {
            assert!(
                !text.lines().any(|l| l.trim_start().starts_with(banned)),
                "{manifest} names {banned}: the world stays in host/gateway"
            );
        }
    }
    let places = files()
        .iter()
        .filter(|f| f.is_shipped() && (f.below("host/sip/") || f.below("host/switch/")))
        .flat_map(|f| {
            ["std::net::UdpSocket", "SystemTime", "std::time::Instant", "thread::", "std::fs", "getrandom", "println!"]
                .map(|w| f.places(w))
                .concat()
        })
        .collect();
    none(places, "no clock, socket, thread, file or random source below the gateway");
}

#[test]
fn every_channel_is_bounded() {
    let places = files()
        .iter()
        .filter(|f| f.is_shipped())
        .flat_map(|f| ["unbounded_channel", "UnboundedSender", "unbounded()", "std::sync::mpsc::channel"].map(|w| f.places(w)).concat())
        .collect();
    none(places, "everything has a limit: a bounded channel, and a counter for what does not fit");
}

#[test]
fn nothing_is_unfinished_or_skipped() {
    let wrong = [["to", "do!("].concat(), ["unimple", "mented!("].concat(), ["SKEL", "ETON"].concat(), ["#[ig", "nore"].concat()];
    let mut places = Vec::new();
    for file in files().iter().filter(|f| f.is_rust()) {
        for (number, line) in file.text.lines().enumerate() {
            places.extend(wrong.iter().filter(|w| line.contains(w.as_str())).map(|w| format!("{}:{}: {w}", file.path, number + 1)));
        }
    }
    none(places, "finish it or leave it out");
}

#[test]
fn no_path_of_one_machine() {
    let folders = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat(), ["/far", "m/"].concat(), ["/tmp/", "wt-"].concat()];
    let files = files();
    let places = files.iter().filter(|f| f.path != "Cargo.lock").flat_map(|f| {
        f.text
            .lines()
            .enumerate()
            .filter(|(_, l)| {
                folders.iter().any(|w| {
                    l.match_indices(w.as_str()).any(|(at, _)| !l[..at].ends_with(|c: char| c.is_alphanumeric() || "_.-}".contains(c)))
                })
            })
            .map(|(n, l)| format!("{}:{}: {l}", f.path, n + 1))
    });
    none(places.collect(), "a path that exists on one machine only");
}

/// README's table says where things are; each path in it is there.
#[test]
fn the_map_in_the_readme_is_true() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let paths: Vec<PathBuf> = readme
        .lines()
        .filter(|l| l.starts_with('|'))
        .flat_map(|l| l.split('`').skip(1).step_by(2))
        .filter(|word| word.contains('/') && !word.contains([' ', '*', ':', '<']))
        .map(PathBuf::from)
        .collect();
    assert!(paths.len() > 15, "README.md has lost its table of places: {paths:?}");
    let gone = paths.iter().filter(|p| !root().join(p).exists()).map(|p| p.display().to_string()).collect();
    none(gone, "README.md names what is not there");
}

/// What is shown as an example can be used: every sample configuration passes the check.
#[test]
fn the_sample_configurations_load() {
    let samples: Vec<File> =
        files().into_iter().filter(|f| f.below("examples/") && f.path.ends_with(".toml") && f.text.contains("[sip]")).collect();
    assert!(!samples.is_empty(), "examples/ holds no configuration");
    for sample in samples {
        if let Err(report) = gateway::config::Config::parse(&sample.path, &sample.text, None) {
            panic!("{} does not load: {report:?}", sample.path);
        }
    }
}
