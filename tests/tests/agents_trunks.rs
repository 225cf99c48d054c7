//! Providers as real programs: sipp that is registered at, sipp of which one dies while calls run, Kamailio over TLS, and one that is known by its certificate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use world::agents::{
    Callee, Folder, Kind, Line, Load, PATIENCE, Process, Site, Subject, Way, call, fixture, free_ports, load_with, sipp, tool, until,
};

const PHONES: std::ops::RangeInclusive<u32> = 2001..=2010;
const RATE: u32 = 50;

/// A trunk of the configuration.
fn trunk(name: &str, uri: &str, more: &str) -> String {
    format!("[[trunk]]\nname = \"{name}\"\nuri = \"{uri}\"\nnumbers = [\"+44203000%\"]\n{more}\n")
}

/// sipp as a provider at this port, with that scenario.
fn provider(subject: &Subject, port: u16, scenario: &str) -> Process {
    let line = Line::new(subject, Way::Udp);
    let mut command = sipp(subject, &line, Way::Udp, 1, scenario);
    command.args(["-p", &port.to_string(), "-buff_size", "4194304", "-l", "100000"]);
    Process::start(&format!("sipp-{scenario}-{port}"), command, subject.folder.path())
}

fn signal(process: &Process, name: &str) {
    assert!(Command::new("kill").arg(format!("-{name}")).arg(process.id().to_string()).status().unwrap().success());
}

/// One line a phone: its extension and its credentials; all of them are registered when this returns.
fn phones(subject: &Subject) -> PathBuf {
    let users = subject.folder.path().join("users.csv");
    let mut text = "SEQUENTIAL\n".to_owned();
    for extension in PHONES {
        writeln!(text, "{extension};[authentication username={extension} password=pw-{extension}]").unwrap();
    }
    fs::write(&users, text).unwrap();
    let line = Line::new(subject, Way::Udp);
    let mut registrations = sipp(subject, &line, Way::Udp, 2001, "register-users");
    registrations.args(["-m", &PHONES.count().to_string(), "-inf"]).arg(&users);
    assert_eq!(Process::start("sipp-register", registrations, subject.folder.path()).wait(PATIENCE), 0, "the phones could not register");
    users
}

/// Waits until so many more calls have gone well, or all have been made.
fn progress(calls: &mut Load, more: u64) {
    let before = calls.successful();
    until("calls to go on", Duration::from_secs(60), || (!calls.running() || calls.successful() >= before + more).then_some(()));
}

/// Fifty calls a second go out to two providers, the first of which dies in the middle in some way. None is lost.
fn one_of_two_dies(seconds: u32, dies: impl FnOnce(&Subject, Process, u16, &mut Load)) -> String {
    let ports = free_ports(2);
    let mut site = Site::with_phones(PHONES);
    // sipp's scenarios know calls only.
    site.more = ["first", "second"].iter().zip([ports, ports + 1]).fold(String::new(), |text, (name, port)| {
        text + &trunk(name, &format!("sip:127.0.0.1:{port}"), "sources = [\"192.0.2.1\"]\noptions_seconds = 0")
    });
    let subject = Subject::holdfast(&site);
    let (first, _second) = (provider(&subject, ports, "answer"), provider(&subject, ports + 1, "answer"));
    let users = phones(&subject);
    // Left alone, sipp signs the address of the server instead of the Request-URI.
    let uri = format!("+442071234567@{}", world::agents::DOMAIN);
    let count = RATE * seconds;
    let mut calls = load_with(&subject, "caller-out", &users, RATE, count, &["-auth_uri", &uri]);
    progress(&mut calls, 100);
    dies(&subject, first, ports, &mut calls);
    let outcome = calls.finish(Duration::from_secs(180));
    let log = subject.process.output();
    let carried = |name: &str| log.matches(&format!("trunk:{name}")).count();
    eprintln!("{outcome:?}; carried by first {}, by second {}", carried("first"), carried("second"));
    assert_eq!((outcome.failed, outcome.successful), (0, u64::from(count)), "calls were lost:\n{}", subject.errors());
    assert!(carried("first") > 50 && carried("second") > 50);
    log
}

#[test]
fn a_provider_that_is_gone_loses_no_call() {
    let log = one_of_two_dies(16, |_, mut first, _, _| {
        first.stop(Duration::from_secs(3));
    });
    assert!(log.contains("trunk is down"), "{log}");
}

#[test]
fn a_provider_that_goes_silent_loses_no_call() {
    let log = one_of_two_dies(16, |_, first, _, calls| {
        signal(&first, "STOP");
        progress(calls, u64::MAX / 2);
        signal(&first, "CONT");
    });
    assert!(log.contains("does not answer"), "{log}");
}

#[test]
fn a_provider_that_answers_503_loses_no_call() {
    let log = one_of_two_dies(16, |subject, mut first, port, calls| {
        first.stop(Duration::from_secs(3));
        let _unavailable = provider(subject, port, "unavailable");
        progress(calls, u64::MAX / 2);
    });
    assert!(log.contains("answers 503") || log.contains("cannot be reached"), "{log}");
}

#[test]
fn a_provider_that_is_slow_loses_no_call() {
    one_of_two_dies(16, |subject, mut first, port, calls| {
        first.stop(Duration::from_secs(3));
        let _slow = provider(subject, port, "slow");
        progress(calls, u64::MAX / 2);
    });
}

#[test]
fn a_provider_that_flaps_loses_no_call() {
    one_of_two_dies(20, |_, first, _, calls| {
        while calls.running() {
            signal(&first, "STOP");
            progress(calls, 75);
            signal(&first, "CONT");
            progress(calls, 75);
        }
    });
}

/// sipp challenges, checks the password, and calls the contact that it was told.
#[test]
fn a_provider_is_registered_at_and_calls_back() {
    let port = free_ports(1);
    let mut site = Site::with_phones([1002]);
    let account = "register = true\nusername = \"acct\"\npassword = \"secret\"\ncontact_user = \"+442030001002\"\noptions_seconds = 0";
    site.more = trunk("provider", &format!("sip:127.0.0.1:{port}"), account);
    let subject = Subject::holdfast(&site);
    let mut phone = Callee::register(&subject, Way::Udp, 1002, "callee-answers");
    let line = Line::new(&subject, Way::Udp);
    let mut registrar = sipp(&subject, &line, Way::Udp, 1, "registrar");
    registrar.args(["-p", &port.to_string(), "-m", "1"]);
    let mut registrar = Process::start("sipp-registrar", registrar, subject.folder.path());
    assert_eq!(registrar.wait(Duration::from_secs(120)), 0, "{}", subject.errors());
    phone.saw(&["invited", "acknowledged", "bye"]);
}

/// A certificate and its key, made by openssl; its own authority, or signed by `authority`.
fn certificate(folder: &Path, name: &str, subject: &str, alternative: &str, authority: Option<&str>) -> (PathBuf, PathBuf) {
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let mut openssl = Command::new(tool("openssl"));
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject]);
    openssl.args(["-addext", &format!("subjectAltName={alternative}")]);
    match authority {
        Some(authority) => {
            openssl.args(["-addext", "basicConstraints=critical,CA:FALSE", "-CA"]).arg(folder.join(format!("{authority}.pem")));
            openssl.arg("-CAkey").arg(folder.join(format!("{authority}.key")));
        }
        None => drop(openssl.args(["-addext", "keyUsage=critical,keyCertSign,digitalSignature"])),
    }
    let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().unwrap();
    assert!(made.status.success(), "openssl cannot make a certificate: {}", String::from_utf8_lossy(&made.stderr));
    (certificate, key)
}

/// Kamailio as a provider over TLS, with its certificates; numbers outside are answered at `out`.
fn kamailio(out: u16) -> Subject {
    let (folder, ports) = (Folder::new(), free_ports(2));
    let path = folder.path();
    certificate(path, "authority", "/CN=authority", "DNS:authority.test", None);
    let (certificate, key) = certificate(path, "server", "/CN=127.0.0.1", "IP:127.0.0.1", Some("authority"));
    let mut config = fs::read_to_string(fixture("provider.cfg")).unwrap();
    for (name, value) in [
        ("@sip@", ports.to_string()),
        ("@tls@", (ports + 1).to_string()),
        ("@out@", out.to_string()),
        ("@certificate@", certificate.display().to_string()),
        ("@key@", key.display().to_string()),
    ] {
        config = config.replace(name, &value);
    }
    let file = path.join("provider.cfg");
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
    Subject { process, kind: Kind::Kamailio, sip: ports, tls: ports + 1, folder }
}

/// Out through it, in down the connection that we made, and told at the end that we are gone.
#[test]
fn kamailio_over_tls_is_registered_at_called_through_and_left() {
    let out = free_ports(1);
    let outside = kamailio(out);
    let mut site = Site::with_phones([1002]);
    let account = "register = true\nusername = \"acct\"\npassword = \"secret\"\ncontact_user = \"+442030001002\"\noptions_seconds = 1";
    let authorities = outside.folder.path().join("authority.pem");
    site.more = format!("[tls]\ntrunk_authorities = \"{}\"\n", authorities.display())
        + &trunk("provider", &format!("sip:127.0.0.1:{};transport=tls", outside.tls), account);
    let mut subject = Subject::holdfast(&site);
    until("the registration", PATIENCE, || outside.process.output().contains("provider: registered for 600").then_some(()));
    until("OPTIONS", PATIENCE, || outside.process.output().contains("provider: asked").then_some(()));
    let _answering = provider(&subject, out, "answer");
    let mut phone = Callee::register(&subject, Way::Udp, 1002, "callee-answers");
    call(&subject, Way::Udp, 1002, 2_071_234, "caller-answered");
    assert!(outside.process.output().contains("provider: carries 2071234"));
    // From outside to the number that is registered: Kamailio has no other way than our connection.
    let numbers = outside.folder.path().join("numbers.csv");
    fs::write(&numbers, "SEQUENTIAL\n+442030001002;\n").unwrap();
    let calls = load_with(&outside, "trunk-in", &numbers, 1, 1, &[]).finish(Duration::from_secs(60));
    assert_eq!((calls.successful, calls.failed), (1, 0), "{}", outside.errors());
    phone.saw(&["invited", "acknowledged", "bye"]);
    assert_eq!(subject.process.stop(Duration::from_secs(10)), Some(0));
    until("the end of the registration", PATIENCE, || outside.process.output().contains("provider: registered for 0").then_some(()));
}

/// Who shows the right certificate calls in from wherever it is; others are asked for a password, as phones are.
#[test]
fn a_trunk_is_known_by_its_certificate() {
    let folder = Folder::new();
    let path = folder.path().to_owned();
    certificate(&path, "authority", "/CN=authority", "DNS:authority.test", None);
    certificate(&path, "stranger", "/CN=stranger", "DNS:stranger.test", None);
    let known = certificate(&path, "known", "/CN=known", "DNS:sbc.provider.test", Some("authority"));
    let forged = certificate(&path, "forged", "/CN=forged", "DNS:sbc.provider.test", Some("stranger"));
    let mut site = Site::with_phones([1002]);
    site.more = format!("[tls]\ntrunk_authorities = \"{}\"\n", path.join("authority.pem").display())
        + &trunk("provider", "sip:192.0.2.10;transport=tls", "certificate = \"sbc.provider.test\"\noptions_seconds = 0");
    let ports = free_ports(2);
    let subject = Subject::holdfast_at(&site, folder, ports, ports + 1);
    let mut phone = Callee::register(&subject, Way::Tls, 1002, "callee-answers");
    let numbers = path.join("numbers.csv");
    fs::write(&numbers, "SEQUENTIAL\n+442030001002;\n").unwrap();
    for (shows, comes_in) in [(Some(&known), true), (Some(&forged), false), (None, false)] {
        let port = free_ports(1);
        let mut options = format!("OPENSSL:127.0.0.1:{},cafile={},verify=1", subject.tls, subject.authority().display());
        if let Some((certificate, key)) = shows {
            write!(options, ",cert={},key={}", certificate.display(), key.display()).unwrap();
        }
        let mut socat = Command::new(tool("socat"));
        socat.arg(format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr")).arg(options);
        let _tunnel = Process::start(&format!("socat-{port}"), socat, &path);
        let table = || fs::read_to_string("/proc/net/tcp").unwrap_or_default();
        until("socat to listen", PATIENCE, || table().contains(&format!("0100007F:{port:04X} 00000000:0000 0A")).then_some(()));
        let line = Line::to(port);
        let mut caller = sipp(&subject, &line, Way::Tls, 1, "trunk-in");
        caller.args(["-m", "1", "-inf"]).arg(&numbers);
        let code = Process::start(&format!("sipp-trunk-{port}"), caller, &path).wait(Duration::from_secs(60));
        assert_eq!(code == 0, comes_in, "{}", subject.errors());
    }
    phone.saw(&["invited", "acknowledged", "bye"]);
}
