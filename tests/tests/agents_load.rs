//! Policies are swapped while calls run: 200 calls a second for twenty seconds through sipp, a policy file replaced every second.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use world::agents::{Line, PATIENCE, Process, Site, Subject, Way, free_ports, load, sipp, until};

const PHONES: std::ops::RangeInclusive<u32> = 2001..=2020;
const RATE: u32 = 200;
const SECONDS: u32 = 20;

/// The trunk from which the load comes has an address of its own on loopback.
fn site() -> Site {
    let mut site = Site::with_phones(PHONES);
    site.more = "[[trunk]]\nname = \"load\"\nuri = \"sip:127.0.0.2:5060\"\nsources = [\"127.0.0.2\"]\nnumbers = [\"%\"]\n".to_owned();
    site
}

/// One line a phone: its extension and its credentials.
fn injection_file(folder: &Path) -> PathBuf {
    let file = folder.join("users.csv");
    let mut text = "SEQUENTIAL\n".to_owned();
    for extension in PHONES {
        writeln!(text, "{extension};[authentication username={extension} password=pw-{extension}]").unwrap();
    }
    fs::write(&file, text).unwrap();
    file
}

/// All phones register from one socket, at which they are called afterwards.
fn phones(subject: &Subject, users: &Path) -> Process {
    let port = free_ports(1).to_string();
    let line = Line::new(subject, Way::Udp);
    let mut registrations = sipp(subject, &line, Way::Udp, 2001, "register-users");
    registrations.args(["-p", &port, "-m", "20", "-inf"]).arg(users);
    let code = Process::start("sipp-register", registrations, subject.folder.path()).wait(Duration::from_secs(20));
    assert_eq!(code, 0, "the phones could not register");
    let mut answering = sipp(subject, &line, Way::Udp, 2001, "answer");
    answering.args(["-p", &port, "-buff_size", "4194304", "-l", "100000"]);
    Process::start("sipp-answer", answering, subject.folder.path())
}

/// Replaces policy files as an operator does, with bytes that differ each time: a custom section at the end of the component changes nothing
/// but its identity.
struct Swapper {
    policies: Vec<(PathBuf, Vec<u8>)>,
    swaps: u8,
}

impl Swapper {
    fn new(subject: &Subject) -> Self {
        let folder = subject.data().join("policies");
        let mut policies: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "wasm"))
            .map(|path| (path.clone(), fs::read(path).unwrap()))
            .collect();
        policies.sort();
        assert_eq!(policies.len(), 4, "the four shipped policies");
        Self { policies, swaps: 0 }
    }

    /// Swaps the next policy and waits until the gateway runs the new one.
    fn swap(&mut self, subject: &Subject) {
        self.swaps += 1;
        let (path, bytes) = &self.policies[usize::from(self.swaps) % self.policies.len()];
        let mut bytes = bytes.clone();
        // Section id 0, its size, the length of its name, its name, one octet of content.
        bytes.extend([0, 6, 4, b's', b'w', b'a', b'p', self.swaps]);
        let new = path.with_extension("new");
        fs::write(&new, bytes).unwrap();
        fs::rename(new, path).unwrap();
        let loaded = 4 + usize::from(self.swaps);
        until("the new policy to run", PATIENCE, || (subject.process.output().matches("policy loaded").count() >= loaded).then_some(()));
    }
}

#[test]
fn policies_are_swapped_under_load() {
    let subject = Subject::holdfast(&site());
    let compiled_at_start = subject.compiled_pieces();
    assert!(compiled_at_start >= 4, "each of the four policies is compiled: {compiled_at_start}");
    let users = injection_file(subject.folder.path());
    let _phones = phones(&subject, &users);
    let mut swapper = Swapper::new(&subject);

    let mut calls = load(&subject, "trunk-in", &users, RATE, RATE * SECONDS);
    let begin = Instant::now();
    let mut memory = Vec::new();
    for second in 1..=SECONDS {
        swapper.swap(&subject);
        memory.push(subject.memory_kb());
        thread::sleep(Duration::from_secs(u64::from(second)).saturating_sub(begin.elapsed()));
    }
    let outcome = calls.finish(Duration::from_secs(60));
    eprintln!("{outcome:?}; memory in kB, second by second: {memory:?}");
    assert_eq!(outcome.failed, 0, "calls failed while policies were swapped");
    assert_eq!(outcome.successful, u64::from(RATE * SECONDS));
    // A response that is lost is asked for again.
    assert_eq!(outcome.retransmissions, 0, "responses were lost while policies were swapped");

    // While calls run, memory also holds what SIP must remember of each for 32 seconds. What a swap costs shows when nothing else happens: forty
    // swaps to fill every pool, then as many more as would show a leak. The compiler's threads come and go between readings, so the least of each
    // twenty counts: what has leaked is in every reading.
    let mut least_of_twenty = || {
        let readings = (0..20).map(|_| {
            swapper.swap(&subject);
            subject.memory_kb()
        });
        readings.min().unwrap_or_default()
    };
    let filling = least_of_twenty();
    let settled = least_of_twenty();
    let windows: Vec<u64> = (0..4).map(|_| least_of_twenty()).collect();
    eprintln!("least memory of twenty swaps: {filling} kB, {settled} kB, then {windows:?} kB");
    let after = windows.last().copied().unwrap_or_default();
    // The compiler's buffers move single readings by ten megabytes, so this finds what is large or happens often; the next finds a single component.
    assert!(after <= settled + 12_288, "eighty swaps grew memory from {settled} kB to {after} kB");
    // A shard lets go of replaced policies when it decides next. Two components of each of the four stay ready to take its place again: the one before, and the
    // latest that had proved itself.
    assert_eq!(load(&subject, "trunk-in", &users, RATE, 10).finish(Duration::from_secs(20)).successful, 10);
    assert_eq!(subject.compiled_pieces(), compiled_at_start + 8, "pieces of compiled policies after {} swaps", swapper.swaps);
}
