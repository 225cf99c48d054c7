//! The committed bindings of the examples in C and Go are what the contract says. After a change of the contract: `BLESS=1 cargo test -p holdfast-policy --test
//! examples`, and `gofmt -w` on what it has written.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::{fs, path::Path};
use wit_bindgen_core::{Files, WorldGenerator, wit_parser::Resolve};

/// Without what a formatter changes: white space, the order of lines, semicolons at their ends, and how an empty import list stands.
fn lines(text: &str) -> Vec<String> {
    let line = |line: &str| line.split_whitespace().collect::<String>().trim_end_matches(';').to_owned();
    let mut lines: Vec<String> = text.lines().map(line).filter(|line| !["", ")", "import(", "import()"].contains(&line.as_str())).collect();
    lines.sort();
    lines
}

fn current(mut generator: Box<dyn WorldGenerator>, folder: &str) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/business-hours");
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(examples.join("wit")).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    let mut files = Files::default();
    generator.generate(&mut resolve, world, &mut files).unwrap();
    assert!(files.iter().count() > 1);
    // The module file carries the place of the runtime too.
    for (name, bytes) in files.iter().filter(|(name, _)| *name != "go.mod") {
        let path = examples.join(folder).join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, bytes).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            lines(&committed) == lines(&String::from_utf8_lossy(bytes)),
            "{} is not current: run this test with BLESS=1",
            path.display()
        );
    }
}

#[test]
fn bindings_in_c_are_those_of_the_contract() {
    let mut options = wit_bindgen_c::Opts::default();
    options.no_object_file = true;
    current(options.build(), "c/bindings");
}

#[test]
fn bindings_in_go_are_those_of_the_contract() {
    let mut options = wit_bindgen_go::Opts::default();
    options.format = wit_bindgen_go::Format::False;
    current(options.build(), "go");
}
