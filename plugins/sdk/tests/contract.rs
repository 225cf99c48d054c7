//! The contract itself: it parses, it encodes to a valid package, and every item says what it is and since when.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm, reason = "test code")]

use std::path::Path;
use wit_bindgen_core::wit_parser::{Docs, PackageId, Resolve, Stability, TypeDefKind, TypeOwner};

const VERSION: &str = "0.1.2";

fn contract() -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit")).unwrap();
    (resolve, package)
}

#[test]
fn the_package_is_valid() {
    let (resolve, package) = contract();
    assert_eq!(resolve.packages[package].name.to_string(), format!("holdfast:policy@{VERSION}"));
    let encoded = wit_component::encode(&resolve, package, false).unwrap();
    let features = wasmparser::WasmFeatures::default() | wasmparser::WasmFeatures::COMPONENT_MODEL;
    wasmparser::Validator::new_with_features(features).validate_all(&encoded).unwrap();
}

#[test]
fn every_item_has_a_description_and_a_version() {
    let (resolve, package) = contract();
    let mut bare = Vec::new();
    let mut look = |what: String, docs: &Docs, stability: &Stability| {
        if docs.contents.as_ref().is_none_or(|text| text.trim().is_empty()) {
            bare.push(format!("{what}: no description"));
        }
        if !matches!(stability, Stability::Stable { .. }) {
            bare.push(format!("{what}: no @since"));
        }
    };
    let package = &resolve.packages[package];
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        look(name.clone(), &interface.docs, &interface.stability);
        for (function, item) in &interface.functions {
            look(format!("{name}.{function}"), &item.docs, &item.stability);
        }
        for (type_name, id) in &interface.types {
            let item = &resolve.types[*id];
            // What `use` brings in is described where it comes from.
            let used = matches!(&item.kind, TypeDefKind::Type(_))
                && item.owner == TypeOwner::Interface(resolve.packages[interface.package.unwrap()].interfaces[name]);
            if used {
                continue;
            }
            look(format!("{name}.{type_name}"), &item.docs, &item.stability);
            let stable = Stability::Stable { since: VERSION.parse().unwrap(), deprecated: None };
            let mut member = |member: &str, docs: &Docs| look(format!("{name}.{type_name}.{member}"), docs, &stable);
            match &item.kind {
                TypeDefKind::Record(record) => record.fields.iter().for_each(|field| member(&field.name, &field.docs)),
                TypeDefKind::Variant(variant) => variant.cases.iter().for_each(|case| member(&case.name, &case.docs)),
                TypeDefKind::Enum(words) => words.cases.iter().for_each(|case| member(&case.name, &case.docs)),
                _ => {}
            }
        }
    }
    for (name, id) in &package.worlds {
        let world = &resolve.worlds[*id];
        look(name.clone(), &world.docs, &world.stability);
    }
    assert!(bare.is_empty(), "{}", bare.join("\n"));
}

#[test]
fn nothing_of_wasi_is_used() {
    let (resolve, _) = contract();
    let names: Vec<_> = resolve.packages.iter().map(|(_, package)| package.name.to_string()).collect();
    assert_eq!(names, [format!("holdfast:policy@{VERSION}")]);
}

#[test]
fn every_hook_is_one_interface_with_one_function() {
    let (resolve, package) = contract();
    let world = &resolve.worlds[resolve.packages[package].worlds["policy"]];
    let hooks: Vec<_> = world
        .exports
        .keys()
        .map(|key| {
            let name = resolve.name_world_key(key);
            let interface = resolve.packages[package].interfaces.iter().find(|(short, _)| name.contains(&format!("/{short}@"))).unwrap();
            (interface.0.clone(), resolve.interfaces[*interface.1].functions.keys().cloned().collect::<Vec<_>>().join(" "))
        })
        .collect();
    let expected =
        [("registration", "admit"), ("routing", "route"), ("emergency", "route"), ("observation", "ended"), ("configuration", "check")];
    assert_eq!(hooks, expected.map(|(hook, function)| (hook.to_owned(), function.to_owned())));
}
