//! Builds the shipped policies for WebAssembly, encodes them as components and leaves them in `OUT_DIR` for the host to carry, together with a list of the
//! files that `holdfast policy new` writes.
//!
//! Asks for the standard library of `wasm32-unknown-unknown` and lets rustup fetch it; `HOLDFAST_GUEST_RUSTC` names another compiler where rustup cannot.
//! With `HOLDFAST_GUEST_TARGET_DIR` the guests are built there instead of in `OUT_DIR`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};
use wit_component::ComponentEncoder;

const TARGET: &str = "wasm32-unknown-unknown";
const POLICIES: [&str; 4] = ["emergency", "licence", "internal", "external"];
/// Policies for tests: one that misbehaves, one that imports WASI, one that asks while it starts, and one that plans as an office wants it.
const TEST_GUESTS: [&str; 4] = ["zoo", "wasi", "early", "office"];

fn main() {
    if let Err(sentence) = build() {
        // Cargo shows what a failed build script writes to standard error; a panic would bury the sentence.
        eprintln!("\nerror: {sentence}\n");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let here = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = here.join("../..").canonicalize().map_err(|error| format!("{}: {error}", here.display()))?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    for watched in ["plugins", "wit", "tests/guests"] {
        println!("cargo::rerun-if-changed={}", root.join(watched).display());
    }
    for watched in ["HOLDFAST_GUEST_RUSTC", "HOLDFAST_GUEST_TARGET_DIR"] {
        println!("cargo::rerun-if-env-changed={watched}");
    }

    fs::write(out.join("interfaces.rs"), interfaces(&root.join("wit")).map_err(|error| format!("wit: {error}"))?)
        .map_err(|error| format!("{}: {error}", out.display()))?;

    let compiler = env::var_os("HOLDFAST_GUEST_RUSTC")
        .map_or_else(|| PathBuf::from(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into())), PathBuf::from);
    find_target(&compiler)?;
    let target_dir = env::var_os("HOLDFAST_GUEST_TARGET_DIR").map_or_else(|| out.join("guests"), PathBuf::from);
    compile(&root, &compiler, &target_dir)?;
    for name in POLICIES.into_iter().chain(TEST_GUESTS) {
        let module = target_dir.join(TARGET).join("release").join(format!("{name}.wasm"));
        let world = root.join("tests/guests").join(name).join("wit");
        let mut component =
            encode(&module, &world).map_err(|error| format!("{} could not be made a component: {error}", module.display()))?;
        // The metadata sections that `wasm-tools metadata` knows. The policies have the version of the host that carries them.
        custom_section(&mut component, "version", &variable("CARGO_PKG_VERSION")?);
        fs::write(out.join(format!("{name}.wasm")), component).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    println!("cargo::metadata=ZOO={}", out.join("zoo.wasm").display());
    templates(&root, &out)?;
    println!("cargo::rustc-env=HOLDFAST_ZOO={}", out.join("zoo.wasm").display());
    println!("cargo::rustc-env=HOLDFAST_WASI={}", out.join("wasi.wasm").display());
    println!("cargo::rustc-env=HOLDFAST_EARLY={}", out.join("early.wasm").display());
    Ok(())
}

/// Makes sure that the compiler can build for WebAssembly.
fn find_target(compiler: &Path) -> Result<(), String> {
    if has_target(compiler)? {
        return Ok(());
    }
    let fetched = Command::new("rustup").args(["target", "add", TARGET]).status().is_ok_and(|status| status.success());
    if fetched && has_target(compiler)? {
        return Ok(());
    }
    Err(format!(
        "the Rust standard library for {TARGET} is missing, which the policies are built for; bring it with: rustup target add {TARGET} \
         (or name a compiler that has it in HOLDFAST_GUEST_RUSTC)"
    ))
}

fn has_target(compiler: &Path) -> Result<bool, String> {
    let output = Command::new(compiler).args(["--print", "target-libdir", "--target", TARGET]).output();
    let output = output.map_err(|error| format!("{} could not be run: {error}", compiler.display()))?;
    let libraries = fs::read_dir(String::from_utf8_lossy(&output.stdout).trim());
    Ok(libraries.is_ok_and(|mut files| files.any(|file| file.is_ok_and(|file| file.file_name().to_string_lossy().starts_with("libcore-")))))
}

/// Runs a cargo of its own, with a folder of its own (ours is locked) and nothing of ours in its environment.
fn compile(root: &Path, compiler: &Path, target_dir: &Path) -> Result<(), String> {
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cargo")))
        .unwrap_or_default();
    let mut cargo = Command::new(variable("CARGO")?);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let leaks = [
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
            "RUSTDOC",
            "RUSTDOCFLAGS",
            "MAKEFLAGS",
            "TARGET",
            "HOST",
            "PROFILE",
            "OPT_LEVEL",
        ];
        if leaks.contains(&name.as_str())
            || (name.starts_with("CARGO_") && name != "CARGO_HOME" && !name.starts_with("CARGO_NET_") && !name.starts_with("CARGO_HTTP_"))
        {
            cargo.env_remove(name);
        }
    }
    // The same bytes wherever the sources and the registry lie.
    let flags = [format!("--remap-path-prefix={}=/holdfast", root.display()), format!("--remap-path-prefix={}=/cargo", home.display())];
    let status = cargo
        .current_dir(root.join("plugins"))
        .args(["build", "--release", "--locked", "--target", TARGET, "--target-dir"])
        .arg(target_dir)
        .args(POLICIES.into_iter().chain(TEST_GUESTS).flat_map(|name| ["-p", name]))
        .env("RUSTC", compiler)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("the policies in plugins/ did not build ({status}); the compiler's messages stand above")),
        Err(error) => Err(format!("cargo could not be run for the policies: {error}")),
    }
}

/// The interfaces that the contract lets components import, with their functions, as Rust.
fn interfaces(wit: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let mut resolve = wit_parser::Resolve::default();
    let (package, _) = resolve.push_path(wit)?;
    let world = resolve.select_world(&[package], Some("host"))?;
    let mut rows = String::new();
    let world = resolve.worlds.get(world).ok_or("the contract has no world `host`")?;
    for item in world.imports.values() {
        let wit_parser::WorldItem::Interface { id, .. } = item else { continue };
        let interface = resolve.interfaces.get(*id).ok_or("an interface of the contract is not there")?;
        let functions: Vec<&String> = interface.functions.keys().collect();
        rows += &format!("    Interface {{ name: {:?}, functions: &{functions:?} }},\n", interface.name.as_deref().unwrap_or_default());
    }
    Ok(format!(
        "/// Every interface of the contract that a component may import.\npub(super) const INTERFACES: &[Interface] = &[\n{rows}];\n"
    ))
}

/// Makes a component of a core module. A guest that imports more than the contract says so in a `wit` folder of its own.
fn encode(module: &Path, world: &Path) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    let mut bytes = fs::read(module)?;
    if world.is_dir() {
        let mut resolve = wit_parser::Resolve::default();
        let (package, _) = resolve.push_path(world)?;
        let world = resolve.select_world(&[package], None)?;
        wit_component::embed_component_metadata(&mut bytes, &resolve, world, wit_component::StringEncoding::UTF8, false)?;
    }
    Ok(ComponentEncoder::default().validate(true).module(&bytes)?.encode()?)
}

/// Writes the list of the files that projects begin with, as an array of paths and contents.
fn templates(root: &Path, out: &Path) -> Result<(), String> {
    let mut files = Vec::new();
    for place in ["examples/business-hours", "wit", "plugins/sdk/Cargo.toml", "plugins/sdk/src"] {
        collect(&root.join(place), &mut files)?;
    }
    files.sort();
    let mut list = String::from("&[\n");
    for file in files {
        let path = file.strip_prefix(root).unwrap_or(&file).to_string_lossy().replace('\\', "/");
        // By file, not by folder: a folder changes whenever an example is built in it.
        println!("cargo::rerun-if-changed={}", file.display());
        list.push_str(&format!("    ({path:?}, include_bytes!({:?})),\n", file.to_string_lossy()));
    }
    list.push(']');
    fs::write(out.join("templates.rs"), list).map_err(|error| format!("{}: {error}", out.display()))
}

/// Source files at and below `place`, without what building leaves there.
fn collect(place: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let unreadable = |error| format!("{}: {error}", place.display());
    if place.is_file() {
        files.push(place.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(place).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let built = ["target", "node_modules", "__pycache__"].iter().any(|built| name == *built)
            || Path::new(&name).extension().is_some_and(|ending| ending == "wasm");
        // The contract is linked to below the examples and carried once.
        if !built && !entry.file_type().map_err(unreadable)?.is_symlink() {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}

/// Appends a custom section (id 0): its length, then its name with its length, then its content.
fn custom_section(component: &mut Vec<u8>, name: &str, content: &str) {
    let (Ok(name_length), Ok(length)) = (u8::try_from(name.len()), u8::try_from(1 + name.len() + content.len())) else { return };
    // One-octet LEB128: both are short.
    component.extend([0, length & 0x7f, name_length]);
    component.extend(name.bytes().chain(content.bytes()));
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
