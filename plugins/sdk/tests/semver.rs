//! Every component that was built for 0.1.0 fits the contract of today: the frozen copy of its WIT (`tests/guests/frozen/wit-0.1.0`) against `wit/`.
//!
//! The check is wit-component's own: a component of the frozen world is put where one of today's world is expected. So today's world may import more
//! (functions, interfaces), and nothing else may differ. A hook is optional, so a new one is no break though the world `policy` exports it: that world is
//! compared by the names of its hooks, and each hook by its own world.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::{fs, path::Path};
use wit_bindgen_core::wit_parser::{PackageId, Resolve, SourceMap};

/// Puts the package in `folder` into `resolve` after `change`, under a version of its own: two packages of one version would be one.
fn push(resolve: &mut Resolve, folder: &str, version: &str, change: impl Fn(&str) -> String) -> PackageId {
    let mut sources = SourceMap::default();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "wit") {
            let text = fs::read_to_string(&path).unwrap();
            let (package, rest) = text.split_once(';').unwrap();
            let name = package.split_once('@').unwrap().0;
            sources.push(&path, change(&format!("{name}@{version};{rest}")));
        }
    }
    resolve.push_group(sources.parse().map_err(|(_, error)| error).unwrap()).unwrap()
}

/// What a component of 0.1.0 would stumble over in the contract of today after `change`, world by world.
fn breaks(change: impl Fn(&str) -> String) -> Vec<String> {
    let mut resolve = Resolve::default();
    let frozen = push(&mut resolve, "tests/guests/frozen/wit-0.1.0", "0.1.0", str::to_owned);
    let today = push(&mut resolve, "wit", "0.1.4294967295", change);
    let mut broken = Vec::new();
    for (name, prev) in &resolve.packages[frozen].worlds {
        let Some(new) = resolve.packages[today].worlds.get(name) else {
            broken.push(format!("{name}: is gone"));
            continue;
        };
        if name == "policy" {
            let hooks = |world| {
                let interface = |key| resolve.name_world_key(key).split('@').next().map(str::to_owned);
                resolve.worlds[world].exports.keys().filter_map(interface).collect::<Vec<_>>()
            };
            let left = hooks(*new);
            broken.extend(hooks(*prev).into_iter().filter(|hook| !left.contains(hook)).map(|hook| format!("policy: {hook} is gone")));
        } else if let Err(error) = wit_component::semver_check(resolve.clone(), *prev, *new) {
            broken.push(format!("{name}: {error:#}"));
        }
    }
    broken
}

#[test]
fn a_component_of_0_1_0_fits_the_contract_of_today() {
    let broken = breaks(str::to_owned);
    assert!(
        broken.is_empty(),
        "this would refuse components that run today; it waits in wit/README.md for the next major version:\n{}",
        broken.join("\n")
    );
}

/// Replaces text that is there.
fn replace(text: &str, from: &str, to: &str, done: &std::cell::Cell<u32>) -> String {
    done.set(done.get() + u32::from(text.contains(from)));
    text.replace(from, to)
}

/// How many worlds break when `from` becomes `to`.
fn broken_by(from: &str, to: &str) -> usize {
    let done = std::cell::Cell::new(0);
    let broken = breaks(|text| replace(text, from, to, &done));
    assert_eq!(done.get(), 1, "`{from}` stands in one file");
    broken.len()
}

#[test]
fn what_breaks_a_component_of_0_1_0_is_found() {
    let check = "    check: func(settings: list<setting>) -> result<_, list<problem>>;";
    let two_functions = format!("{check}\n\n    /// New.\n    @since(version = 0.1.1)\n    changed: func();");
    // What it is, the change, and how many of the six worlds with types of their own it breaks.
    for (what, from, to, worlds) in [
        ("another type of a field", "        enabled: bool,\n", "        enabled: u32,\n", 6),
        ("one more field", "        enabled: bool,\n", "        enabled: bool,\n        /// New.\n        locked: bool,\n", 6),
        ("one more case", "        registered,\n    }", "        registered,\n        /// New.\n        away,\n    }", 6),
        ("a function that is gone", "    longest-extension: func() -> u32;", "    longest-extension-of: func() -> u32;", 6),
        ("a parameter of another name", "    pool-of: func(id: string)", "    pool-of: func(endpoint-id: string)", 6),
        ("another result", "    now-ms: func() -> u64;", "    now-ms: func() -> s64;", 6),
        ("another type of what a hook answers", "        status: u16,\n        /// Short", "        status: u32,\n        /// Short", 2),
        ("one more function of a hook", check, &two_functions, 1),
    ] {
        assert_eq!(broken_by(from, to), worlds, "{what}");
    }
}

#[test]
fn what_only_adds_is_no_break() {
    let function =
        "    /// New.\n    @since(version = 0.1.1)\n    queue-of: func(id: string) -> option<string>;\n\n    /// The length of the longest";
    assert_eq!(broken_by("    /// The length of the longest", function), 0, "one more function of the host");
    let interface = "    @since(version = 0.1.0)\n    import clock;\n    @since(version = 0.1.1)\n    import presence;";
    let new = "\n}\n\n/// New.\n@since(version = 0.1.1)\ninterface presence {\n    /// New.\n    @since(version = 0.1.1)\n    of: func(id: string) -> bool;\n}\n";
    let change = |text: &str| {
        text.replace("    @since(version = 0.1.0)\n    import clock;", interface)
            .replace("    import memory;\n}\n", &format!("    import memory;{new}"))
    };
    assert_eq!(breaks(change), Vec::<String>::new(), "one more interface of the host");
    let hook = "    export configuration;\n    @since(version = 0.1.1)\n    export parking;\n}\n\n/// New.\n@since(version = 0.1.1)\ninterface parking {\n    /// New.\n    @since(version = 0.1.1)\n    parked: func(id: string);\n}\n";
    let last = |text: &str| {
        text.rsplit_once("    export configuration;\n}\n")
            .map_or_else(|| text.to_owned(), |(before, after)| format!("{before}{hook}{after}"))
    };
    assert_eq!(breaks(last), Vec::<String>::new(), "one more hook");
}
