//! sipp: scripted calls by a program that the whole field uses. The scenarios are in `tests/agents`.
//!
//! sipp's own TLS breaks off in the versions that can be had; over TLS it speaks TCP to `socat`, which speaks TLS to the subject and
//! verifies its certificate.

use super::{PATIENCE, Process, Subject, Way, fixture, free_ports, subject::DOMAIN, tool, until};
use std::{fs, path::PathBuf, process::Command, time::Duration};

/// The way of one sipp to the subject: the port to speak to, and the tunnel where it needs one.
#[derive(Debug)]
pub struct Line {
    port: u16,
    _tunnel: Option<Process>,
}

impl Line {
    /// A line to this port of the own machine, whatever listens there.
    #[must_use]
    pub const fn to(port: u16) -> Self {
        Self { port, _tunnel: None }
    }

    /// A line of its own for one sipp.
    #[must_use]
    pub fn new(subject: &Subject, way: Way) -> Self {
        if way != Way::Tls {
            return Self { port: subject.sip, _tunnel: None };
        }
        let port = free_ports(1);
        let mut socat = Command::new(tool("socat"));
        socat.arg(format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr")).arg(format!(
            "OPENSSL:127.0.0.1:{},cafile={},verify=1",
            subject.tls,
            subject.authority().display()
        ));
        let tunnel = Process::start(&format!("socat-{port}"), socat, subject.folder.path());
        let table = || fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        until("socat to listen", PATIENCE, || table().contains(&format!("0100007F:{port:04X} 00000000:0000 0A")).then_some(()));
        Self { port, _tunnel: Some(tunnel) }
    }

    /// The port of 127.0.0.1 to speak to.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

/// A sipp command for one extension; the caller adds what its scenario needs.
#[must_use]
pub fn sipp(subject: &Subject, line: &Line, way: Way, extension: u32, scenario: &str) -> Command {
    let ports = free_ports(4);
    let mut command = Command::new(tool("sipp"));
    command
        .current_dir(subject.folder.path())
        .arg(format!("127.0.0.1:{}", line.port))
        .args(["-t", if way == Way::Udp { "u1" } else { "t1" }])
        .arg("-sf")
        .arg(fixture(&format!("{scenario}.xml")))
        .args(["-i", "127.0.0.1", "-p", &ports.to_string(), "-mp", &(ports + 2).to_string(), "-nostdin"])
        .args(["-au", &extension.to_string(), "-ap", &format!("pw-{extension}")])
        .args(["-key", "me", &extension.to_string(), "-key", "domain", DOMAIN, "-key", "way", way.upper()])
        .args(["-trace_err", "-error_file", &format!("{scenario}-{ports}.errors")]);
    command
}

/// A phone that has registered and waits to be called.
#[derive(Debug)]
pub struct Callee {
    process: Process,
    notes: PathBuf,
    _line: Line,
}

impl Callee {
    /// Registers `extension` with digest; whoever calls it meets `scenario`. Returns when it is registered.
    #[must_use]
    pub fn register(subject: &Subject, way: Way, extension: u32, scenario: &str) -> Self {
        let line = Line::new(subject, way);
        let notes = subject.folder.path().join(format!("notes-{extension}-{}", way.lower()));
        let mut command = sipp(subject, &line, way, extension, "register");
        command.args(["-m", "1", "-oocsf"]).arg(fixture(&format!("{scenario}.xml"))).args(["-key", "notes"]).arg(&notes);
        let process = Process::start(&format!("sipp-{extension}-{scenario}"), command, subject.folder.path());
        let mut callee = Self { process, notes, _line: line };
        callee.saw(&["registered"]);
        callee
    }

    /// Waits until the phone has seen all of these: `registered`, `invited`, `acknowledged`, `cancelled`, `bye`, `read`, and what else its scenario notes.
    ///
    /// # Panics
    /// After five seconds.
    pub fn saw(&mut self, wanted: &[&str]) {
        until(&format!("the called phone to see {wanted:?}"), PATIENCE, || {
            let notes = fs::read_to_string(&self.notes).unwrap_or_default();
            assert!(self.process.alive(), "the called phone's sipp ended; it saw {notes:?}");
            wanted.iter().all(|w| notes.lines().any(|l| l == *w)).then_some(())
        });
    }
}

/// Runs a calling scenario once.
///
/// # Panics
/// When the call does not go as the scenario says, or takes longer than twenty seconds.
pub fn call(subject: &Subject, way: Way, from: u32, to: u32, scenario: &str) {
    let line = Line::new(subject, way);
    let mut command = sipp(subject, &line, way, from, scenario);
    // Left alone, sipp signs the address of the server instead of the Request-URI. It writes `sip:` itself.
    command.args(["-m", "1", "-key", "peer", &to.to_string(), "-auth_uri", &format!("{to}@{DOMAIN}")]);
    let mut process = Process::start(&format!("sipp-{from}-{scenario}"), command, subject.folder.path());
    let code = process.wait(Duration::from_secs(20));
    assert_eq!(code, 0, "{scenario} over {} failed:\n{}", way.upper(), subject.errors());
}

/// Calls at a steady rate and what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Calls that went as the scenario says.
    pub successful: u64,
    /// All others.
    pub failed: u64,
    /// Messages that sipp had to send again.
    pub retransmissions: u64,
}

/// A load that runs in the background.
#[derive(Debug)]
pub struct Load {
    process: Process,
    statistics: PathBuf,
}

/// Starts `rate` calls a second, `calls` in all, from 127.0.0.2, with a scenario whose fields come from `users` (a sipp injection file).
#[must_use]
pub fn load(subject: &Subject, scenario: &str, users: &std::path::Path, rate: u32, calls: u32) -> Load {
    load_with(subject, scenario, users, rate, calls, &[])
}

/// The same with further arguments for sipp.
#[must_use]
pub fn load_with(subject: &Subject, scenario: &str, users: &std::path::Path, rate: u32, calls: u32, more: &[&str]) -> Load {
    let line = Line::new(subject, Way::Udp);
    let mut command = sipp(subject, &line, Way::Udp, 0, scenario);
    let statistics = subject.folder.path().join(format!("{scenario}.csv"));
    command
        .args([
            "-i",
            "127.0.0.2",
            "-r",
            &rate.to_string(),
            "-m",
            &calls.to_string(),
            "-l",
            "100000",
            "-buff_size",
            "4194304",
            "-timeout",
            "120",
            "-inf",
        ])
        .arg(users)
        .args(more)
        .args(["-trace_stat", "-fd", "1", "-stf"])
        .arg(&statistics);
    Load { process: Process::start(&format!("sipp-{scenario}"), command, subject.folder.path()), statistics }
}

impl Load {
    /// Whether it still runs.
    pub fn running(&mut self) -> bool {
        self.process.alive()
    }

    /// Calls that have gone well so far, as of the last second or two.
    #[must_use]
    pub fn successful(&self) -> u64 {
        self.statistic("SuccessfulCall(C)").unwrap_or(0)
    }

    /// The last value of this name that sipp has written.
    fn statistic(&self, name: &str) -> Option<u64> {
        let text = fs::read_to_string(&self.statistics).ok()?;
        let mut lines = text.lines().filter(|l| !l.is_empty());
        let place = lines.next()?.split(';').position(|n| n == name)?;
        // The last line may not be whole yet.
        lines.filter_map(|line| line.split(';').nth(place)?.parse().ok()).next_back()
    }

    /// Waits for its end and reads sipp's statistics.
    ///
    /// # Panics
    /// When it does not end within `limit` or leaves no statistics.
    pub fn finish(&mut self, limit: Duration) -> Outcome {
        self.process.wait(limit);
        let value = |name: &str| self.statistic(name).unwrap_or_else(|| panic!("sipp reports no {name}"));
        Outcome { successful: value("SuccessfulCall(C)"), failed: value("FailedCall(C)"), retransmissions: value("Retransmissions(C)") }
    }
}
