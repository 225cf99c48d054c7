//! The committed bindings are what the contract in `wit/` says. After a change of the contract: `BLESS=1 cargo test -p holdfast-policy --test bindings`.
//!
//! What `wit-bindgen` writes is changed in two ways: on any other target than WebAssembly the host's functions are those of the test harness
//! (`src/testing/host.rs`), and a policy that lacks the trait of a hook hears which one it is and how it begins.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod bindings {
    pub(crate) mod native;
}

use std::{fs, path::Path};
use wit_bindgen_core::{
    Files, WorldGenerator,
    wit_parser::{Resolve, WorldItem},
};
use wit_component::StringEncoding;

const HOOKS: [&str; 5] = ["registration", "routing", "emergency", "observation", "configuration"];

#[test]
fn bindings_are_those_of_the_contract() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(here.join("../../wit")).unwrap();

    let mut expected: Vec<(String, Vec<u8>)> = Vec::new();
    for hook in HOOKS {
        let world = resolve.select_world(&[package], Some(&format!("{hook}-policy"))).unwrap();
        let section = wit_component::metadata::encode(&resolve, world, StringEncoding::UTF8, None, false).unwrap();
        expected.push((format!("{hook}.world"), section));
    }

    let world = resolve.select_world(&[package], Some("policy")).unwrap();
    let mut options = wit_bindgen_rust::Opts::default();
    options.format = true;
    options.generate_all = true;
    options.generate_unused_types = true;
    options.pub_export_macro = true;
    options.additional_derive_attributes = vec!["PartialEq".to_owned(), "Eq".to_owned()];
    options.additional_derive_ignore = vec!["call".to_owned(), "registration".to_owned()];
    let mut files = Files::default();
    options.build().generate(&mut resolve, world, &mut files).unwrap();
    let (_, bindings) = files.iter().next().unwrap();
    let interfaces = resolve.worlds[world].imports.values().filter_map(|item| match item {
        WorldItem::Interface { id, .. } => Some(&resolve.interfaces[*id]),
        WorldItem::Function(_) | WorldItem::Type { .. } => None,
    });
    let functions = interfaces.map(|interface| interface.functions.len()).sum();
    let bindings = bindings::native::with_native_arms(std::str::from_utf8(bindings).unwrap(), functions);
    expected.push(("bindings.rs".to_owned(), bindings.into_bytes()));

    for (name, bytes) in expected {
        let path = here.join("src/generated").join(&name);
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        assert!(fs::read(&path).is_ok_and(|committed| committed == bytes), "{} is not current: run this test with BLESS=1", path.display());
    }
}
