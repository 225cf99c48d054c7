//! Real user agents over loopback: sipp, baresip, pjsua and linphone against the real `holdfast` program, or against Kamailio with
//! `HOLDFAST_SUBJECT=kamailio`, which shows that a scenario is right before it judges the gateway.
//!
//! `.ci/setup` brings the programs. A test that lacks one fails and says so; none is skipped.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test harness fails by panicking")]

mod baresip;
mod console;
mod fleet;
mod help;
mod linphone;
mod pjsua;
mod process;
mod real;
mod sipp;
mod softphone;
mod subject;
mod wire;

pub use baresip::{Account, Baresip};
use console::Console;
pub use fleet::{Fleet, Wish};
pub use help::{Caller, Carries, Connected, Provider, Up};
pub use linphone::Linphone;
pub use pjsua::Pjsua;
pub use process::{Folder, PATIENCE, Process, free_ports, until};
pub use real::Agent;
pub use sipp::{Callee, Line, Load, call, load, load_with, sipp};
pub use softphone::{Make, Order, Rtp, Sign, Softphone};
pub use subject::{DOMAIN, Kind, Phone, Site, Subject, holdfast};
pub use wire::Wire;

use std::path::{Path, PathBuf};

/// The transport that an agent speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Datagrams.
    Udp,
    /// A TCP connection.
    Tcp,
    /// TLS, the server's certificate verified against its own root.
    Tls,
}

impl Way {
    /// As in a Via header.
    #[must_use]
    pub const fn upper(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// As in a URI.
    #[must_use]
    pub const fn lower(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// A file below `tests/agents`.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("agents").join(name)
}

/// A component of `tests/guests`; the build of the gateway leaves it in its output folder.
///
/// # Panics
/// When it is not there.
#[must_use]
pub fn guest(name: &str) -> Vec<u8> {
    let test = std::env::current_exe().unwrap();
    let build = test.parent().and_then(Path::parent).unwrap().join("build");
    let newest = std::fs::read_dir(build)
        .unwrap()
        .flatten()
        .map(|entry| entry.path().join(format!("out/{name}.wasm")))
        .filter(|file| file.is_file())
        .max_by_key(|file| file.metadata().unwrap().modified().unwrap())
        .expect("the gateway's build leaves its guests");
    std::fs::read(newest).unwrap()
}

/// Finds a program on the path or among the tools that `.ci/setup` keeps for itself.
///
/// # Panics
/// When it is nowhere, naming the command that brings it.
#[must_use]
pub fn tool(name: &str) -> PathBuf {
    let cache =
        std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let own = cache.map(|c| c.join("holdfast-tools/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    own.into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("the program `{name}` is missing: run ./.ci/setup"))
}
