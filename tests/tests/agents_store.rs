//! The store loses nothing: the `holdfast` program is killed under five hundred registrations a second, its disk is full, read-only or gives back rubbish, and it
//! starts with a large directory. `HOLDFAST_CRASH_RUNS=50` kills it fifty times; `HOLDFAST_START_ENDPOINTS=100000` starts it with so many endpoints.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};
use world::agents::{
    Callee, DOMAIN, Fleet, Folder, Line, PATIENCE, Process, Site, Subject, Way, Wire, Wish, call, fixture, free_ports, holdfast, sipp,
    until,
};

/// A gateway with these phones, and ways to look at it.
struct Gateway {
    subject: Subject,
    metrics: u16,
    trunk: u16,
}

impl Gateway {
    fn new(phones: std::ops::RangeInclusive<u32>, limits: &str, more: &str) -> Self {
        let (ports, metrics, trunk) = (free_ports(2), free_ports(1), free_ports(1));
        let mut site = Site::with_phones(phones);
        // Nobody shall be challenged because a long run has taken long.
        site.limits = format!("nonce_seconds = 86400\nsource_registrations = 1000000\n{limits}");
        let seats = site.phones.len();
        let licence = if more.contains("[[licence]]") { String::new() } else { format!("[[licence]]\npool = \"site\"\nseats = {seats}\n") };
        site.more = format!(
            "{licence}[metrics]\nlisten = \"127.0.0.1:{metrics}\"\n[[trunk]]\nname = \"provider\"\noptions_seconds = 0\nuri = \"sip:127.0.0.1:{trunk};transport=udp\"\n\
             [emergency]\nnumbers = [\"112\"]\ntrunks = [\"provider\"]\nnetworks = [\"127.0.0.0/8\"]\n{more}"
        );
        Self { subject: Subject::holdfast_at(&site, Folder::new(), ports, ports + 1), metrics, trunk }
    }

    fn path(&self) -> &Path {
        self.subject.folder.path()
    }

    fn fleet(&self, phones: impl IntoIterator<Item = u32>) -> Fleet {
        Fleet::new(self.subject.sip, phones.into_iter().map(|phone| phone.to_string()))
    }

    /// SIGKILL: nothing is said, nothing is written any more.
    fn kill(&mut self) {
        let killed = Command::new("kill").args(["-KILL", &self.subject.process.id().to_string()]).status().unwrap();
        assert!(killed.success());
        self.subject.process.wait(PATIENCE);
    }

    /// Starts it again, `under` another program or by itself. It may not answer yet.
    fn start(&mut self, under: &[&str]) {
        let program = holdfast();
        let mut command = match under {
            [] => program,
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program.get_program());
                command
            }
        };
        command.arg("serve").arg("--config").arg(self.path().join("holdfast.toml")).arg("--data").arg(self.subject.data());
        self.subject.process = Process::start("holdfast", command, self.path());
    }

    /// Waits until it answers phones, and whoever asks for its counters: these are two sockets, opened one after the other.
    fn ready(&self) {
        let wire = Wire::udp(self.subject.sip);
        until("an answer to OPTIONS", Duration::from_secs(60), || wire.ping().then_some(()));
        until("the metrics", PATIENCE, || self.metric("holdfast_bindings"));
    }

    /// What a command says on this gateway, and whether it was content.
    fn ask(&self, arguments: &[&str]) -> (bool, Value) {
        let output = holdfast().args(arguments).arg("--json").arg("--data").arg(self.subject.data()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        (output.status.success(), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?} said {text:?}: {error}")))
    }

    fn check(&self) -> (bool, Value) {
        self.ask(&["check", "--config", self.path().join("holdfast.toml").to_str().unwrap()])
    }

    /// Who holds a seat.
    fn seated(&self) -> BTreeSet<String> {
        let (_, page) = self.ask(&["licence", "show", "site"]);
        let seated = page["endpoints"].as_array().unwrap().iter().filter(|seat| seat["standing"] == "seated");
        seated.map(|seat| seat["id"].as_str().unwrap().trim_start_matches("phone-").to_owned()).collect()
    }

    /// A number among what is counted.
    fn metric(&self, name: &str) -> Option<u64> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.metrics)).ok()?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    fn troubled(&self, kinds: &[&str]) -> bool {
        kinds.iter().any(|kind| self.metric(&format!("holdfast_store_trouble{{kind=\"{kind}\"}}")) == Some(1))
    }

    /// Waits until the alarm has ended and nothing is owed to the disk.
    fn well(&self) {
        let all = ["full", "read-only", "damaged", "newer", "locked", "failing", "hanging"];
        until("the store to be well again", PATIENCE, || {
            (self.metric("holdfast_store_owed") == Some(0) && !self.troubled(&all)).then_some(())
        });
    }

    /// A call between two phones and a call for help both go through.
    fn calls_go_on(&self, caller: u32, callee: u32) {
        let mut called = Callee::register(&self.subject, Way::Udp, callee, "callee-answers");
        call(&self.subject, Way::Udp, caller, callee, "caller-answered");
        called.saw(&["invited", "acknowledged"]);
        self.help_goes_out();
    }

    fn help_goes_out(&self) {
        let line = Line::new(&self.subject, Way::Udp);
        let mut trunk = sipp(&self.subject, &line, Way::Udp, 1, "answer");
        trunk.args(["-p", &self.trunk.to_string()]);
        let _trunk = Process::start("sipp-trunk", trunk, self.path());
        let mut caller = sipp(&self.subject, &line, Way::Udp, 9, "caller-for-help");
        caller.args(["-m", "1", "-key", "help", &format!("sip:112@{DOMAIN}")]);
        let code = Process::start("sipp-help", caller, self.path()).wait(PATIENCE);
        assert_eq!(code, 0, "the call for help was not connected: {}", self.subject.errors());
    }
}

fn number(name: &str, otherwise: u32) -> u32 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A thousand phones, as many seats, 500 registrations a second; each ninth takes its phone's contact away, each other one puts a new contact in the place of
/// the old. At a moment between half a second and two seconds: SIGKILL.
///
/// After the restart a phone whose last REGISTER was answered 200 is registered with exactly the contact of that REGISTER, or not at all where that took the
/// contact away. One whose last REGISTER had no answer is registered as before it or as that wanted, nothing in between. Exactly those that are registered hold a seat.
#[test]
fn killed_under_500_registrations_a_second_it_has_kept_what_it_acknowledged() {
    let runs = number("HOLDFAST_CRASH_RUNS", 3);
    let mut gateway = Gateway::new(5001..=6000, "", "");
    let mut fleet = gateway.fleet(5001..=6000);
    fleet.all(0..1, Wish::Bind);
    let (mut next, mut ups, mut answers, mut left) = (1, Vec::new(), 0, 0);
    for run in 1..=runs {
        let before = fleet.acknowledged;
        // Another moment each time, and the same ones in each test.
        let time = Duration::from_millis(500 + u64::from(run.wrapping_mul(0x9e37_79b9) >> 8) % 1500);
        next = fleet.load(next, 500, time);
        gateway.kill();
        let either = fleet.killed();
        let acknowledged = fleet.acknowledged - before;

        let begin = Instant::now();
        gateway.start(&[]);
        let up = fleet.first_answer() - begin;
        let kept = fleet.compare(&either);
        let registered: BTreeSet<String> = fleet.bound().into_iter().map(str::to_owned).collect();
        assert_eq!(gateway.seated(), registered, "a seat for each phone that is registered, and for nobody else");
        assert_eq!(fleet.challenged_again, 0, "nonces of before the kill are good after it");
        eprintln!(
            "{run:>3}: {acknowledged} acknowledged in {} ms, all kept; {} without an answer, {kept} of them kept; {} registered; up after {} ms",
            time.as_millis(),
            either.len(),
            registered.len(),
            up.as_millis()
        );
        ups.push(up);
        (answers, left) = (answers + acknowledged, left + either.len());
    }
    let most = ups.iter().max().copied().unwrap_or_default();
    eprintln!(
        "{runs} kills: {answers} registrations acknowledged, 0 lost; {left} without an answer; first REGISTER answered {} ms after the start (median), {} ms at most",
        median(&mut ups).as_millis(),
        most.as_millis()
    );
}

/// What a full disk says to a program, said to this one only: no file may be written beyond its first 64 kB. The log stays below.
fn fill_disk(gateway: &Gateway, full: bool) {
    let limit = if full { "--fsize=65536:unlimited" } else { "--fsize=unlimited:unlimited" };
    let set = Command::new("prlimit").args(["--pid", &gateway.subject.process.id().to_string(), limit]).status().unwrap();
    assert!(set.success());
}

const FULL: [&str; 2] = ["full", "failing"];

#[test]
fn with_a_full_disk_phones_register_in_memory_until_it_is_well_again() {
    let mut gateway = Gateway::new(1001..=1100, "ring_seconds = 5\n", "");
    let (mut old, mut new) = (gateway.fleet(1001..=1050), gateway.fleet(1051..=1090));
    old.all(0..50, Wish::Bind);
    fill_disk(&gateway, true);
    new.all(0..40, Wish::Bind);
    assert_eq!((new.acknowledged, new.unavailable), (40, 0));
    until("the alarm", PATIENCE, || gateway.troubled(&FULL).then_some(()));
    assert!(gateway.metric("holdfast_store_owed").unwrap() > 0);
    let (content, said) = gateway.check();
    assert!(!content && FULL.contains(&said["running"]["state"].as_str().unwrap()), "{said}");
    assert!(said["running"]["remedy"].as_str().unwrap().contains("df -h"), "{said}");
    let log = gateway.subject.process.output();
    assert!(log.contains("phones register in memory meanwhile") && log.contains("store.sqlite"), "{log}");
    gateway.calls_go_on(1091, 1092);

    fill_disk(&gateway, false);
    gateway.well();
    assert!(gateway.subject.process.output().contains("everything owed to it is on disk"));
    gateway.kill();
    gateway.start(&[]);
    gateway.ready();
    for fleet in [&mut old, &mut new] {
        fleet.compare(&BTreeMap::new());
    }
}

#[test]
fn with_a_full_disk_and_refuse_nothing_is_acknowledged_that_is_not_kept() {
    let mut gateway = Gateway::new(1001..=1100, "ring_seconds = 5\n", "[store]\ndegraded = \"refuse\"\n");
    let [mut old, mut new, mut later] = [1001..=1050, 1051..=1070, 1071..=1090].map(|phones| gateway.fleet(phones));
    old.all(0..50, Wish::Bind);
    // A phone that was registered before goes on being called.
    let mut called = Callee::register(&gateway.subject, Way::Udp, 1092, "callee-answers");
    fill_disk(&gateway, true);
    new.all(0..20, Wish::Bind);
    assert_eq!((new.acknowledged, new.unavailable), (0, 20));
    // Nor is it in force: nobody is registered who was told that he is not.
    new.compare(&BTreeMap::new());
    until("the alarm", PATIENCE, || gateway.troubled(&FULL).then_some(()));
    call(&gateway.subject, Way::Udp, 1091, 1092, "caller-answered");
    called.saw(&["invited", "acknowledged"]);
    gateway.help_goes_out();

    fill_disk(&gateway, false);
    gateway.well();
    later.all(0..20, Wish::Bind);
    assert_eq!(later.acknowledged, 20);
    gateway.kill();
    gateway.start(&[]);
    gateway.ready();
    for fleet in [&mut old, &mut later] {
        fleet.compare(&BTreeMap::new());
    }
    new.compare(&BTreeMap::new());
}

/// Starts the gateway anew on a disk whose flushes hang while the file that is returned is there.
fn on_a_disk_that_hangs(gateway: &mut Gateway) -> PathBuf {
    let (library, hang) = (gateway.path().join("hang.so"), gateway.path().join("hang"));
    let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(fixture("hang.c")).status().unwrap();
    assert!(built.success(), "cc builds tests/agents/hang.c");
    gateway.kill();
    let preload = format!("LD_PRELOAD={}", library.display());
    gateway.start(&["env", &preload, &format!("HOLDFAST_HANG={}", hang.display())]);
    gateway.ready();
    hang
}

#[test]
fn a_flush_that_never_returns_keeps_no_phone_waiting() {
    let mut gateway = Gateway::new(1001..=1100, "ring_seconds = 5\nstore_patience_milliseconds = 300\n", "");
    let hang = on_a_disk_that_hangs(&mut gateway);
    let [mut old, mut new, mut later] = [1001..=1030, 1031..=1060, 1061..=1090].map(|phones| gateway.fleet(phones));
    old.all(0..30, Wish::Bind);
    assert!(!gateway.troubled(&["hanging"]));
    fs::write(&hang, "").unwrap();
    new.all(0..30, Wish::Bind);
    assert_eq!((new.acknowledged, new.unavailable), (30, 0));
    assert!(gateway.troubled(&["hanging"]), "{}", gateway.subject.process.output());
    let (content, said) = gateway.check();
    assert!(!content && said["running"]["state"] == "hanging", "{said}");
    // Whoever would change the directory is told so, too.
    let (content, said) = gateway.ask(&["user", "add", "alice", "--extension", "1999"]);
    assert!(!content && said["reason"].as_str().unwrap().contains("does not answer"), "{said}");
    gateway.calls_go_on(1091, 1092);
    // Nobody waits a second time for what is known.
    later.all(0..30, Wish::Bind);
    assert_eq!(later.acknowledged, 30);
    let log = gateway.subject.process.output();
    assert!(log.contains("phones register in memory meanwhile") && log.contains("store_patience_milliseconds"), "{log}");

    fs::remove_file(&hang).unwrap();
    gateway.well();
    gateway.kill();
    gateway.start(&[]);
    gateway.ready();
    for fleet in [&mut old, &mut new, &mut later] {
        fleet.compare(&BTreeMap::new());
    }
}

#[test]
fn where_a_flush_never_returns_and_nothing_may_be_acknowledged_phones_are_told_so() {
    let more = "[store]\ndegraded = \"refuse\"\n";
    let mut gateway = Gateway::new(1001..=1100, "ring_seconds = 5\nstore_patience_milliseconds = 300\n", more);
    let hang = on_a_disk_that_hangs(&mut gateway);
    let [mut old, mut new] = [1001..=1030, 1031..=1060].map(|phones| gateway.fleet(phones));
    old.all(0..30, Wish::Bind);
    fs::write(&hang, "").unwrap();
    new.all(0..30, Wish::Bind);
    assert_eq!((new.acknowledged, new.unavailable), (0, 30));
    new.compare(&BTreeMap::new());
    old.compare(&BTreeMap::new());
    gateway.help_goes_out();

    fs::remove_file(&hang).unwrap();
    gateway.well();
    // The flush that hung has written some of them; that is taken back on the disk as well.
    until("those alone to be kept that were told so", PATIENCE, || {
        (gateway.check().1["store"]["bindings"].as_u64() == Some(30)).then_some(())
    });
    gateway.kill();
    gateway.start(&[]);
    gateway.ready();
    for fleet in [&mut old, &mut new] {
        fleet.compare(&BTreeMap::new());
    }
}

#[test]
fn a_flush_that_never_returns_does_not_keep_the_process_from_its_end() {
    let mut gateway = Gateway::new(1001..=1100, "ring_seconds = 5\nstore_patience_milliseconds = 300\n", "");
    let hang = on_a_disk_that_hangs(&mut gateway);
    fs::write(&hang, "").unwrap();
    let mut fleet = gateway.fleet(1001..=1030);
    fleet.all(0..30, Wish::Bind);
    gateway.calls_go_on(1091, 1092);
    assert!(gateway.troubled(&["hanging"]), "{}", gateway.subject.process.output());
    assert_eq!(gateway.subject.process.stop(PATIENCE), Some(0), "{}", gateway.subject.process.output());
    let log = gateway.subject.process.output();
    assert!(log.contains("the store did not finish within"), "{log}");
}

/// Whoever is root may write everything, but for these two rights.
fn without_rights() -> &'static [&'static str] {
    let root = fs::metadata("/proc/self").unwrap().uid() == 0;
    if root { &["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] } else { &[] }
}

fn let_write(gateway: &Gateway, mode: &str) {
    let changed = Command::new("chmod").args(["-R", mode]).arg(gateway.subject.data()).status().unwrap();
    assert!(changed.success());
}

#[test]
fn on_a_read_only_disk_it_starts_with_what_it_had_kept_and_writes_when_it_may() {
    let mut gateway = Gateway::new(1001..=1100, "ring_seconds = 5\n", "");
    let (mut old, mut new) = (gateway.fleet(1001..=1050), gateway.fleet(1051..=1090));
    old.all(0..50, Wish::Bind);
    gateway.kill();
    let_write(&gateway, "a-w");
    gateway.start(without_rights());
    gateway.ready();
    old.compare(&BTreeMap::new());
    new.all(0..40, Wish::Bind);
    assert_eq!((new.acknowledged, new.unavailable), (40, 0));
    assert!(gateway.troubled(&["read-only"]), "{}", gateway.subject.process.output());
    let log = gateway.subject.process.output();
    assert!(log.contains("may not be written") && log.contains("mount the disk"), "{log}");
    gateway.calls_go_on(1091, 1092);

    let_write(&gateway, "u+w");
    gateway.well();
    gateway.kill();
    gateway.start(&[]);
    gateway.ready();
    for fleet in [&mut old, &mut new] {
        fleet.compare(&BTreeMap::new());
    }
}

#[test]
fn a_damaged_file_is_kept_under_another_name_and_everything_goes_on() {
    let mut gateway = Gateway::new(1001..=1100, "ring_seconds = 5\n", "");
    let mut fleet = gateway.fleet(1001..=1050);
    fleet.all(0..50, Wish::Bind);
    // Ended in order, everything is in the one file.
    assert_eq!(gateway.subject.process.stop(PATIENCE), Some(0));
    let file = gateway.subject.data().join("store.sqlite");
    let mut bytes = fs::read(&file).unwrap();
    // All but the first page, which says what the file is.
    bytes[4096..].fill(0x5a);
    fs::write(&file, &bytes).unwrap();
    let (content, said) = gateway.check();
    let told = said["problems"].as_array().unwrap().iter().any(|problem| problem["reason"].as_str().unwrap().contains("damaged"));
    assert!(!content && told, "{said}");
    assert_eq!(fs::read(&file).unwrap(), bytes, "looking changes nothing");

    gateway.start(&[]);
    gateway.ready();
    assert_eq!(fs::read(gateway.subject.data().join("store.sqlite.damaged-1")).unwrap(), bytes);
    let log = gateway.subject.process.output();
    assert!(log.contains("the store was damaged; it was set aside") && log.contains("store.sqlite.damaged-1"), "{log}");
    assert_eq!(gateway.metric("holdfast_dropped_total{reason=\"store-damaged\"}"), Some(1));
    gateway.well();
    fleet.all(0..50, Wish::Bind);
    gateway.calls_go_on(1091, 1092);
    gateway.kill();
    gateway.start(&[]);
    gateway.ready();
    fleet.compare(&BTreeMap::new());
}

/// From the start of the process to the first REGISTER that is answered 200, with credentials of before: so many endpoints in the store, half of them registered.
#[test]
fn it_starts_with_a_large_directory() {
    let (endpoints, runs) = (number("HOLDFAST_START_ENDPOINTS", 2_000), number("HOLDFAST_START_RUNS", 3));
    let more = format!("[[licence]]\npool = \"site\"\nseats = {endpoints}\n");
    let mut gateway = Gateway::new(1001..=1001, &format!("bindings = {endpoints}\nstore_queue = 100000\n"), &more);
    let mut table = "id,username,password,licence,name,mac\n".to_owned();
    let user = |number: u32| (1_000_000 + number).to_string();
    for number in 0..endpoints {
        let user = user(number);
        writeln!(table, "{user},{user},pw-{user},site,Phone {user},001b4f{number:06x}").unwrap();
    }
    let file = gateway.path().join("phones.csv");
    fs::write(&file, table).unwrap();
    let (content, said) = gateway.ask(&["endpoint", "import", file.to_str().unwrap()]);
    assert!(content, "{said}");
    let mut fleet = Fleet::new(gateway.subject.sip, (0..endpoints / 2).map(user));
    fleet.all(0..fleet.len(), Wish::Bind);

    let mut ups = Vec::new();
    for _ in 0..runs {
        gateway.kill();
        let begin = Instant::now();
        gateway.start(&[]);
        ups.push(fleet.first_answer() - begin);
        gateway.ready();
        assert_eq!(gateway.metric("holdfast_bindings"), Some(u64::from(endpoints / 2)));
    }
    assert_eq!(fleet.challenged_again, 0, "nonces of before the kill are good after it");
    let (_, said) = gateway.check();
    let store = &said["store"];
    assert_eq!(
        (store["endpoints"].as_u64(), store["bindings"].as_u64(), store["sound"].as_bool()),
        (Some(endpoints.into()), Some(u64::from(endpoints / 2)), Some(true))
    );
    let (least, most) = (ups.iter().min().copied().unwrap(), ups.iter().max().copied().unwrap());
    eprintln!(
        "{endpoints} endpoints, {} registered: first REGISTER answered {} ms after the start (median of {runs}; {} to {})",
        endpoints / 2,
        median(&mut ups).as_millis(),
        least.as_millis(),
        most.as_millis()
    );
}
