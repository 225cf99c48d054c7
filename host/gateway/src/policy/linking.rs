//! What a component imports, against what this host has and the operator grants: a linker with exactly that, or the refusal that names what is missing.
//!
//! A component for a later version of the contract that uses only what is here is linked: versions are compared as semantic versioning says, and beyond
//! that what counts is which functions are asked, not which version their interface bears.

use super::{
    instance::State,
    load::Rejection,
    machine::Machine,
    options::Options,
    v1::{self, Interface},
};
use wasmtime::component::{Component, Linker, types::ComponentItem};

/// A linker with what the component imports and may have, and whether that includes WASI.
pub(super) fn link(compiled: &Component, options: &Options, file: &str, machine: &Machine) -> Result<(Linker<State>, bool), Rejection> {
    let mut linker = Linker::new(&machine.engine);
    let (mut wasi, mut added) = (false, Vec::new());
    let ours = |error: wasmtime::Error| Rejection::new(format!("the host could not offer its interfaces: {error:#}"), "report this");
    for (name, item) in compiled.component_type().imports(&machine.engine) {
        if name.starts_with("wasi:") && matches!(item.ty, ComponentItem::ComponentInstance(_)) {
            wasi = true;
            continue;
        }
        let Some((interface, version)) = name.strip_prefix(v1::PACKAGE).and_then(|rest| rest.split_once('@')) else {
            return Err(Rejection::new(format!("it imports `{name}`, which no policy can have"), "build it without that import"));
        };
        if !compatible(version) {
            return Err(Rejection::new(
                format!("it imports `{name}`, and this host speaks version {} of the contract", v1::VERSION),
                "build it for that version",
            ));
        }
        let known = v1::INTERFACES.iter().find(|known| known.name == interface);
        let missing = missing(interface, known, &item.ty, machine);
        if !missing.is_empty() {
            let reason = format!(
                "it asks {}, which version {} of the contract, spoken by this host, does not have",
                missing.join(" and "),
                v1::VERSION
            );
            return Err(Rejection::new(reason, format!("build it without that, or run it on a host of version {version} or later")));
        }
        if known.is_none() {
            return Err(Rejection::new(
                format!("it imports `{name}`, which this host does not have"),
                "build it against the contract of this host",
            ));
        }
        if !v1::ALWAYS_GRANTED.contains(&interface) && !options.grants.iter().any(|granted| granted == interface) {
            let settings = file.strip_suffix(".wasm").unwrap_or(file);
            return Err(Rejection::new(
                format!("it imports `{name}`, which is not granted to it"),
                format!("if it may have that, add \"{interface}\" to `grants` in {settings}.toml"),
            ));
        }
        // Parts of a component may have been built for different versions; what is linked answers for all that are compatible.
        if !added.contains(&interface) {
            v1::host::add(&mut linker, interface).map_err(ours)?;
            added.push(interface);
        }
    }
    if wasi {
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).map_err(ours)?;
    }
    Ok((linker, wasi))
}

/// The functions of an imported interface that this host does not have, as `interface.function`.
fn missing(interface: &str, known: Option<&Interface>, item: &ComponentItem, machine: &Machine) -> Vec<String> {
    let ComponentItem::ComponentInstance(instance) = item else { return Vec::new() };
    let functions = instance.exports(&machine.engine).filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
    let strange = functions.filter(|(name, _)| known.is_none_or(|known| !known.functions.contains(name)));
    // `[method]call.header` is `calls.call.header`.
    strange.map(|(name, _)| format!("`{interface}.{}`", name.rsplit(']').next().unwrap_or(name))).collect()
}

/// Semantic versioning: below 1.0 the second number is the one that breaks, from there on the first.
fn compatible(version: &str) -> bool {
    let numbers = |version: &str| version.split('.').map(|part| part.parse::<u32>().ok()).collect::<Option<Vec<_>>>();
    match (numbers(version).as_deref(), numbers(v1::VERSION).as_deref()) {
        (Some([major, minor, _]), Some([our_major, our_minor, _])) => major == our_major && (*major > 0 || minor == our_minor),
        _ => false,
    }
}

/// Hooks of the contract that the component exports and this host does not ask: those of later versions.
pub(super) fn hooks_of_later_versions(compiled: &Component, machine: &Machine) -> Vec<String> {
    let exports = compiled.component_type();
    let names = exports.exports(&machine.engine).map(|(name, _)| name.to_owned());
    let later = |name: &String| {
        let hook = name.strip_prefix(v1::PACKAGE).and_then(|rest| rest.split_once('@'));
        hook.is_some_and(|(hook, version)| !v1::HOOKS.contains(&hook) || !compatible(version))
    };
    names.filter(later).collect()
}

/// Why a component has none of the hooks.
pub(super) fn no_hook(compiled: &Component, machine: &Machine) -> String {
    let exports: Vec<_> = compiled.component_type().exports(&machine.engine).map(|(name, _)| name.to_owned()).collect();
    if exports.is_empty() {
        return "it has none of the hooks: it exports nothing".to_owned();
    }
    format!("it has none of the hooks of version {}: it exports {}", v1::VERSION, exports.join(", "))
}
