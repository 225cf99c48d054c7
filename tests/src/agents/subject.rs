//! What is tested: the `holdfast` program of this build, or Kamailio with the same phones.

use super::{Folder, Process, fixture, free_ports, tool, until, wire::Wire};
use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
    time::Duration,
};

/// Domain and digest realm of every subject.
pub const DOMAIN: &str = "sip.test";

/// Which program is being tested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Ours.
    Holdfast,
    /// The peer.
    Kamailio,
}

/// A phone that the subject knows: its password is `pw-` and the extension.
#[derive(Clone, Debug)]
pub struct Phone {
    /// Extension and digest user.
    pub extension: String,
}

impl Phone {
    /// The digest password.
    #[must_use]
    pub fn password(&self) -> String {
        format!("pw-{}", self.extension)
    }
}

/// What the subject serves.
#[derive(Clone, Debug)]
pub struct Site {
    /// Its phones.
    pub phones: Vec<Phone>,
    /// Further lines of the `[sip]` section.
    pub sip: String,
    /// Lines of the `[limits]` section.
    pub limits: String,
    /// Further sections of `holdfast.toml`; Kamailio does not see them.
    pub more: String,
}

impl Site {
    /// A site with these extensions, where a phone rings for two seconds.
    #[must_use]
    pub fn with_phones(extensions: impl IntoIterator<Item = u32>) -> Self {
        let phones = extensions.into_iter().map(|e| Phone { extension: e.to_string() }).collect();
        Self { phones, sip: String::new(), limits: "ring_seconds = 2\n".to_owned(), more: String::new() }
    }

    /// The configuration of the gateway at these ports.
    #[must_use]
    pub fn toml(&self, sip: u16, tls: u16) -> String {
        let mut text = format!(
            "[sip]\nlisten = [\"udp:127.0.0.1:{sip}\", \"tcp:127.0.0.1:{sip}\", \"tls:127.0.0.1:{tls}\"]\ndomain = \"{DOMAIN}\"\n{}\n[limits]\n{}\n",
            self.sip, self.limits
        );
        for phone in &self.phones {
            let (extension, password) = (&phone.extension, phone.password());
            writeln!(
                text,
                "[[endpoint]]\nid = \"phone-{extension}\"\nextension = \"{extension}\"\nusername = \"{extension}\"\npassword = \"{password}\"\n\
                 name = \"Phone {extension}\"\nlicence = \"site\"\n"
            )
            .unwrap();
        }
        if !self.more.contains("[[licence]]") {
            writeln!(text, "[[licence]]\npool = \"site\"\nseats = {}\n", self.phones.len()).unwrap();
        }
        if !self.more.contains("[survivable]") {
            // What sipp plays registers once and does not come back within a minute.
            text.push_str("[survivable]\nexpires_seconds = 0\n\n");
        }
        text.push_str(&self.more);
        text
    }
}

/// A running subject.
#[derive(Debug)]
pub struct Subject {
    /// Its process.
    pub process: Process,
    /// Which program.
    pub kind: Kind,
    /// UDP and TCP port on 127.0.0.1.
    pub sip: u16,
    /// TLS port.
    pub tls: u16,
    /// Where its files are: `holdfast.toml` and the data folder `data`.
    pub folder: Folder,
}

impl Subject {
    /// Starts what `HOLDFAST_SUBJECT` names (`holdfast` when unset) and waits until it answers OPTIONS.
    #[must_use]
    pub fn start(site: &Site) -> Self {
        match std::env::var("HOLDFAST_SUBJECT").as_deref() {
            Ok("kamailio") => Self::kamailio(),
            _ => Self::holdfast(site),
        }
    }

    /// Starts the gateway whatever the environment says: for what only it can do.
    #[must_use]
    pub fn holdfast(site: &Site) -> Self {
        let ports = free_ports(2);
        Self::holdfast_at(site, Folder::new(), ports, ports + 1)
    }

    /// Starts the gateway in a folder that may have been used before, or prepared.
    #[must_use]
    pub fn holdfast_at(site: &Site, folder: Folder, sip: u16, tls: u16) -> Self {
        let config = folder.path().join("holdfast.toml");
        fs::write(&config, site.toml(sip, tls)).unwrap();
        let mut command = Command::new(holdfast_program());
        command.arg("serve").arg("--config").arg(&config).arg("--data").arg(folder.path().join("data"));
        let process = Process::start("holdfast", command, folder.path());
        Self { process, kind: Kind::Holdfast, sip, tls, folder }.ready()
    }

    /// A gateway that was started in another way: `sip` is its port, the next that for TLS. Waits until it answers OPTIONS.
    #[must_use]
    pub fn started(process: Process, folder: Folder, sip: u16) -> Self {
        Self { process, kind: Kind::Holdfast, sip, tls: sip + 1, folder }.ready()
    }

    fn kamailio() -> Self {
        let (folder, ports) = (Folder::new(), free_ports(2));
        let path = folder.path();
        let (certificate, key) = (path.join("server.pem"), path.join("server.key"));
        let made = Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=127.0.0.1",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(made.status.success(), "openssl cannot make a certificate");
        let config = fs::read_to_string(fixture("kamailio.cfg"))
            .unwrap()
            .replace("@sip@", &ports.to_string())
            .replace("@tls@", &(ports + 1).to_string())
            .replace("@domain@", DOMAIN)
            .replace("@certificate@", &certificate.display().to_string())
            .replace("@key@", &key.display().to_string());
        let file = path.join("kamailio.cfg");
        fs::write(&file, config).unwrap();
        let mut command = Command::new(tool("kamailio"));
        command
            .args(["-x", "fm", "-X", "fm", "-DD", "-E", "-f"])
            .arg(file)
            .arg("-P")
            .arg(path.join("pid"))
            .arg("-Y")
            .arg(path)
            .arg("-w")
            .arg(path);
        let process = Process::start("kamailio", command, path);
        Self { process, kind: Kind::Kamailio, sip: ports, tls: ports + 1, folder }.ready()
    }

    fn ready(mut self) -> Self {
        let wire = Wire::udp(self.sip);
        until("an answer to OPTIONS", Duration::from_secs(60), || {
            assert!(self.process.alive(), "the program under test ended at its start");
            wire.ping().then_some(())
        });
        self
    }

    /// The certificate with which agents verify the subject.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        match self.kind {
            Kind::Holdfast => self.data().join("tls/root.pem"),
            Kind::Kamailio => self.folder.path().join("server.pem"),
        }
    }

    /// What sipp has written about its mistakes.
    #[must_use]
    pub fn errors(&self) -> String {
        let files = fs::read_dir(self.folder.path()).unwrap().flatten();
        files.filter(|f| f.file_name().to_string_lossy().ends_with(".errors")).filter_map(|f| fs::read_to_string(f.path()).ok()).collect()
    }

    /// The gateway's data folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Memory that belongs to the process, in kilobytes (proportional set size).
    #[must_use]
    pub fn memory_kb(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.process.id())).unwrap();
        let line = text.lines().find_map(|l| l.strip_prefix("Pss:")).unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    }

    /// How many pieces of compiled policies it holds: executable memory that comes from no file.
    #[must_use]
    pub fn compiled_pieces(&self) -> usize {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.process.id())).unwrap();
        maps.lines().filter(|line| line.split_whitespace().count() == 5 && line.split_whitespace().nth(1) == Some("r-xp")).count()
    }
}

/// The program, to be run with other arguments than those of a gateway.
#[must_use]
pub fn holdfast() -> Command {
    Command::new(holdfast_program())
}

/// The `holdfast` program of the build that this test belongs to, or the one that `HOLDFAST_PROGRAM` names.
///
/// # Panics
/// When it cannot be built.
#[must_use]
pub(super) fn holdfast_program() -> PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    if let Some(program) = std::env::var_os("HOLDFAST_PROGRAM") {
        return program.into();
    }
    PROGRAM
        .get_or_init(|| {
            // TARGET/PROFILE/deps/test-0123456789abcdef, or TARGET/PROFILE/interop
            let test = std::env::current_exe().unwrap();
            let folder = test.parent().unwrap();
            let profile_folder = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder };
            let profile = match profile_folder.file_name().and_then(|n| n.to_str()) {
                Some("debug") | None => "test",
                Some(name) => name,
            };
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
            // Asked for in this way, cargo settles on the features of the test build, and nothing is compiled twice.
            let mut cargo = Command::new(env!("CARGO"));
            // What cargo tells a test about its package would tell build scripts that theirs has changed.
            for (name, _) in std::env::vars_os() {
                if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
                    cargo.env_remove(name);
                }
            }
            let built = cargo
                .args(["test", "--workspace", "--no-run", "--test", "program", "--profile", profile, "--target-dir"])
                .arg(profile_folder.parent().unwrap())
                .current_dir(root)
                .output()
                .unwrap();
            assert!(built.status.success(), "holdfast cannot be built:\n{}", String::from_utf8_lossy(&built.stderr));
            profile_folder.join("holdfast")
        })
        .clone()
}
