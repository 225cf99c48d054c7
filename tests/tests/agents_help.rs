//! Nothing stops a call for help: every way to break one that anybody thought of, each ending in a connected call, on the real program. What the machine's
//! load and limits do to them is in `agents_help_load`, what a crash does, too.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use sip::message::Method;
use std::{
    fs,
    net::UdpSocket,
    path::Path,
    process::Command,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};
use world::agents::{
    Caller, Carries, DOMAIN, Folder, Line, PATIENCE, Process, Provider, Site, Subject, Way, Wire, free_ports, guest, holdfast, until,
};

const NUMBER: &str = "sip:112@sip.test";

/// A site whose calls for help go to these trunks in order; `more` follows their sections.
fn site(trunks: &[(&str, String)], more: &str) -> Site {
    let mut site = Site::with_phones([1001, 1002]);
    site.more = trunks.iter().map(|(name, uri)| format!("[[trunk]]\nname = \"{name}\"\nuri = \"{uri}\"\n\n")).collect();
    let names: Vec<String> = trunks.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    site.more += &format!("[emergency]\nnumbers = [\"112\"]\ntrunks = [{}]\nnetworks = [\"127.0.0.0/8\"]\n\n{more}", names.join(", "));
    site
}

fn udp(provider: &Provider) -> String {
    format!("sip:127.0.0.1:{};transport=udp", provider.port())
}

/// A gateway with one trunk, whose data folder has been prepared.
fn gateway(folder: Folder, more: &str) -> (Subject, Provider) {
    let provider = Provider::start(Carries::Calls);
    let ports = free_ports(2);
    (Subject::holdfast_at(&site(&[("provider", udp(&provider))], more), folder, ports, ports + 1), provider)
}

/// A call for help over UDP, whose INVITE has more lines.
fn help(subject: &Subject, lines: &str, what: &str) {
    let caller = Caller::new(Wire::udp(subject.sip), "UDP");
    let invite = caller.invite(NUMBER).replacen("Contact:", &format!("{lines}Contact:"), 1);
    if let Err(why) = caller.call(&invite) {
        panic!("the call for help was not connected, {what}: {why}\n{}", subject.process.output());
    }
}

const TOML: &str = "grants = [\"directory\", \"settings\", \"log\", \"clock\", \"memory\", \"licences\", \"trunks\"]\non_fault = \"refuse\"\n\n[settings]\nspare_trial = true\n";

/// What the zoo can do instead of deciding, and what it can say instead of a plan.
const ACTS: [&str; 11] =
    ["trap", "spin", "grow", "recurse", "ask", "shout", "huge", "unknown-trunk", "crlf-number", "empty-plan", "many-trunks"];

/// A folder in which these policies are the zoo; where there are others, they are the shipped ones.
fn zoo(names: &[&str], toml: &str) -> Folder {
    let folder = Folder::new();
    let policies = folder.path().join("data/policies");
    fs::create_dir_all(&policies).unwrap();
    for name in names {
        put(&policies, name, &guest("zoo"));
        fs::write(policies.join(format!("{name}.toml")), toml).unwrap();
    }
    folder
}

/// Puts a component in its place at once, as whoever deploys one does.
fn put(policies: &Path, name: &str, bytes: &[u8]) {
    let new = policies.join(format!("{name}.new"));
    fs::write(&new, bytes).unwrap();
    fs::rename(new, policies.join(format!("{name}.wasm"))).unwrap();
}

#[test]
fn when_the_emergency_policy_traps_spins_fills_its_memory_or_talks_nonsense() {
    let (subject, provider) = gateway(zoo(&["10-emergency"], TOML), "");
    for act in ACTS {
        help(&subject, &format!("X-Act: {act}\r\n"), act);
        help(&subject, "X-Act: pass\r\n", "after it");
    }
    let log = subject.process.output();
    assert_eq!(log.matches("policy failed").count(), ACTS.len(), "each was asked, and failed:\n{log}");
    provider.hears(Method::Bye, 2 * ACTS.len());
}

#[test]
fn when_every_policy_does() {
    const NAMES: [&str; 4] = ["10-emergency", "20-licence", "30-internal", "40-external"];
    let (subject, provider) = gateway(zoo(&NAMES, TOML), "");
    let policies = subject.data().join("policies");
    let loaded = || subject.process.output().matches("policy loaded").count();
    // What makes no sense as a plan for help makes none as a route either, and such a policy is not loaded.
    let acts = &ACTS[..7];
    for act in acts {
        let before = loaded();
        for name in NAMES {
            fs::write(policies.join(format!("{name}.toml")), format!("{TOML}act = \"{act}\"\n")).unwrap();
        }
        until("the policies to be loaded", PATIENCE, || (loaded() >= before + NAMES.len()).then_some(()));
        help(&subject, "", act);
    }
    provider.hears(Method::Bye, acts.len());
}

/// A component is put in place every ten milliseconds, good ones, garbage and none in turn, while somebody calls for help again and again.
#[test]
fn while_the_emergency_policy_is_swapped_every_ten_milliseconds() {
    let (subject, provider) = gateway(zoo(&["10-emergency"], TOML), "");
    let (policies, done) = (subject.data().join("policies"), AtomicBool::new(false));
    let good = guest("zoo");
    let swaps = thread::scope(|scope| {
        let swapper = scope.spawn(|| {
            let mut swaps = 0_u32;
            while !done.load(Relaxed) {
                swaps += 1;
                match swaps % 4 {
                    0 => drop(fs::remove_file(policies.join("10-emergency.wasm"))),
                    1 => put(&policies, "10-emergency", b"this is no component"),
                    _ => {
                        // A section of its own makes it another component: id 0, size, length of its name, name, content.
                        let mut bytes = good.clone();
                        bytes.extend([0, 9, 4, b's', b'w', b'a', b'p']);
                        bytes.extend(swaps.to_le_bytes());
                        put(&policies, "10-emergency", &bytes);
                    }
                }
                thread::sleep(Duration::from_millis(10));
            }
            swaps
        });
        for call in 0..50 {
            help(&subject, if call % 2 == 0 { "X-Act: spin\r\n" } else { "" }, "while its policy was swapped");
        }
        done.store(true, Relaxed);
        swapper.join().unwrap()
    });
    provider.hears(Method::Bye, 50);
    assert!(swaps > 50, "there were {swaps} swaps during fifty calls");
}

/// The disk on which everything is written is full: store, journal, record of decisions, compiled policies.
#[test]
fn when_the_disk_is_full() {
    let provider = Provider::start(Carries::Calls);
    let (folder, ports) = (Folder::new(), free_ports(2));
    let (config, data) = (folder.path().join("holdfast.toml"), folder.path().join("data"));
    fs::create_dir_all(&data).unwrap();
    fs::write(&config, site(&[("provider", udp(&provider))], "").toml(ports, ports + 1)).unwrap();
    // A small disk of its own, in a view of the file system that only this program has.
    let script = format!(
        "mount -t tmpfs -o size=64m small {data} && exec {program} serve --config {config} --data {data}",
        data = data.display(),
        program = Path::new(holdfast().get_program()).display(),
        config = config.display()
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", &script]);
    let process = Process::start("holdfast", command, folder.path());
    let subject = Subject::started(process, folder, ports);
    help(&subject, "", "before the disk was full");
    // Its view of the disk can be entered, and filled.
    let inside = format!("/proc/{}/root{}", subject.process.id(), data.display());
    let filled = Command::new("dd").arg("if=/dev/zero").arg(format!("of={inside}/ballast")).arg("bs=64k").output().unwrap();
    let said = String::from_utf8_lossy(&filled.stderr).into_owned();
    assert!(said.contains("No space left"), "{said}");
    for _ in 0..20 {
        help(&subject, "", "with a full disk");
    }
    let log = subject.process.output();
    fs::remove_file(format!("{inside}/ballast")).unwrap();
    help(&subject, "", "after the disk was full");
    assert!(log.contains("No space left"), "it was noticed:\n{log}");
    provider.hears(Method::Bye, 22);
}

/// Refused with every code that a provider might have, not heard, not reachable, with a name that nobody resolves: the next trunk is tried, and the last answers.
/// All of them are known to be down: calls have failed there before.
#[test]
fn when_the_first_trunks_refuse_are_silent_or_gone() {
    let (refusing, silent, good) =
        (Provider::start(Carries::Nothing), Provider::start(Carries::Nothing), Provider::start(Carries::Refuses(503)));
    let closed = free_ports(2);
    let trunks = [
        ("unresolved", "sip:provider.invalid".to_owned()),
        ("refusing", udp(&refusing)),
        ("closed-tcp", format!("sip:127.0.0.1:{closed};transport=tcp")),
        ("closed-udp", format!("sip:127.0.0.1:{};transport=udp", closed + 1)),
        ("silent", udp(&silent)),
        ("good", udp(&good)),
    ];
    let mut site = site(&trunks, "");
    // Nobody has to wait long for a test.
    site.limits += "emergency_trunk_wait_milliseconds = 200\n";
    let ports = free_ports(2);
    let subject = Subject::holdfast_at(&site, Folder::new(), ports, ports + 1);
    for _ in 0..2 {
        let caller = Caller::new(Wire::udp(subject.sip), "UDP");
        let refused = caller.call(&caller.invite(NUMBER)).expect_err("nobody carries a call yet");
        assert!(refused.starts_with("answered "), "{refused}");
    }
    good.carry(Carries::Calls);
    let codes = [
        301, 302, 380, 400, 401, 403, 404, 407, 408, 410, 415, 420, 480, 481, 482, 484, 486, 488, 491, 500, 501, 503, 504, 505, 580, 600,
        603, 604, 606, 607,
    ];
    for code in codes {
        refusing.carry(Carries::Refuses(code));
        help(&subject, "", &format!("refused with {code}"));
    }
    good.hears(Method::Bye, codes.len());
    // Two more, of the calls that it has refused.
    good.hears(Method::Ack, codes.len() + 2);
    // Those two have asked the silent ones once more when it had refused.
    assert_eq!(refusing.calls(Method::Invite), codes.len() + 4, "each call has tried it, though it was down");
}

/// A name server that takes every question and never answers keeps nobody waiting.
#[test]
fn when_the_name_server_never_answers() {
    let (deaf, provider) = (UdpSocket::bind("127.0.0.1:0").unwrap(), Provider::start(Carries::Calls));
    let mut site = site(&[("named", "sip:provider.example".to_owned()), ("provider", udp(&provider))], "");
    site.sip = format!("name_servers = [\"127.0.0.1:{}\"]\n", deaf.local_addr().unwrap().port());
    let subject = Subject::holdfast(&site);
    for call in 1..=5 {
        help(&subject, "", "while the name server is silent");
        provider.hears(Method::Bye, call);
    }
    deaf.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(deaf.recv(&mut [0; 512]).is_ok(), "the name server was asked");
}

/// What breaks the rules of the protocol and can still be understood is a call for help all the same.
fn spoilt(invite: &str) -> Vec<(&'static str, String)> {
    let (head, body) = invite.split_once("\r\n\r\n").unwrap();
    let line = |name: &str| head.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    let without = |name: &str| invite.replacen(&format!("{}\r\n", line(name)), "", 1);
    let instead = |name: &str, new: &str| invite.replacen(&line(name), new, 1);
    let start = |new: &str| invite.replacen(&line("INVITE"), new, 1);
    let via = line("Via:");
    let branch = via.split(";branch=").nth(1).unwrap().split(';').next().unwrap().to_owned();
    let tag = line("From:").rsplit_once("tag=").unwrap().1.to_owned();
    let compact = [
        ("Via:", "v:"),
        ("From:", "f:"),
        ("To:", "t:"),
        ("Call-ID:", "i:"),
        ("Contact:", "m:"),
        ("Content-Type:", "c:"),
        ("Content-Length:", "l:"),
    ];
    vec![
        ("no Max-Forwards", without("Max-Forwards:")),
        ("Max-Forwards that is no number", instead("Max-Forwards:", "Max-Forwards: seventy")),
        ("Max-Forwards beyond every number", instead("Max-Forwards:", "Max-Forwards: 99999999999999999999")),
        ("no Contact", without("Contact:")),
        ("no Contact, and line ends before it", format!("\r\n\r\n{}", without("Contact:"))),
        ("a Contact that is none", instead("Contact:", "Contact: nobody")),
        ("Contact: *", instead("Contact:", "Contact: *")),
        ("no tag in From", instead("From:", "From: <sip:nobody@127.0.0.1>")),
        ("a From that cannot be read", instead("From:", &format!("From: \"Nobody <sip:nobody@127.0.0.1>;tag={tag}"))),
        ("a From with spaces and no scheme", instead("From:", &format!("From: nobody at all;tag={tag}"))),
        ("a tag of odd octets", instead("From:", "From: <sip:nobody@127.0.0.1>;tag=\u{e9}\u{2713}")),
        ("two From", invite.replacen("To:", &format!("{}\r\nTo:", line("From:")), 1)),
        ("a To that cannot be read", instead("To:", "To: 112")),
        ("no To", without("To:")),
        ("the tag of a call that nobody knows", instead("To:", "To: <sip:112@sip.test>;tag=of-another-day")),
        ("a CSeq that is no number", instead("CSeq:", "CSeq: one INVITE")),
        ("two CSeq", invite.replacen("CSeq:", "CSeq: 1 INVITE\r\nCSeq:", 1)),
        ("a longer Content-Length", instead("Content-Length:", &format!("Content-Length: {}", body.len() + 100))),
        ("a shorter Content-Length", instead("Content-Length:", "Content-Length: 10")),
        ("a negative Content-Length", instead("Content-Length:", "Content-Length: -1")),
        ("no Content-Length", without("Content-Length:")),
        ("bare LF", format!("{}\n\n{body}", head.replace("\r\n", "\n"))),
        ("folded headers", invite.replacen("From: ", "From:\r\n  ", 1).replacen("Contact: ", "Contact:\r\n\t", 1)),
        (
            "compact forms",
            compact.iter().fold(invite.to_owned(), |text, (long, short)| text.replacen(&format!("\r\n{long}"), &format!("\r\n{short}"), 1)),
        ),
        ("names in capitals", invite.replacen("From:", "FROM :", 1).replacen("Call-ID:", "CALL-ID:", 1)),
        ("a branch as RFC 2543 has it", invite.replacen(&branch, branch.strip_prefix("z9hG4bK").unwrap(), 1)),
        ("no branch", invite.replacen(&format!(";branch={branch}"), "", 1)),
        ("a Via below that is none", invite.replacen("Max-Forwards:", "Via: nothing\r\nMax-Forwards:", 1)),
        ("a line that is no header", invite.replacen("To:", "this is no header\r\nTo:", 1)),
        ("escapes in the number", start("INVITE sip:%31%31%32@sip.test SIP/2.0")),
        (
            "separators and parameters in the number",
            start("INVITE sip:1-1-2;phone-context=+49@cloud.example:5070;transport=tls;user=phone SIP/2.0"),
        ),
        ("headers in the Request-URI", start("INVITE sip:112@sip.test?Priority=emergency SIP/2.0")),
        ("a password in the Request-URI", start("INVITE sip:112:secret@sip.test SIP/2.0")),
        ("spaces in the start line", start("INVITE  sip:112@sip.test  SIP/2.0 ")),
        ("the version in small letters", start("INVITE sip:112@sip.test sip/2.0")),
        ("a service URN in capitals", start("INVITE URN:SERVICE:SOS.FIRE SIP/2.0")),
        ("tel:", start("INVITE tel:112;phone-context=+49 SIP/2.0")),
        ("sips:", start("INVITE sips:112@sip.test SIP/2.0")),
        ("what nobody supports is required", invite.replacen("To:", "Require: magic\r\nProxy-Require: wand\r\nTo:", 1)),
        ("Replaces of nothing", invite.replacen("To:", "Replaces: a;to-tag=b;from-tag=c\r\nTo:", 1)),
        ("an Expires of zero", invite.replacen("To:", "Expires: 0\r\nTo:", 1)),
        ("a session of one second", invite.replacen("To:", "Session-Expires: 1\r\nMin-SE: 1\r\nTo:", 1)),
        ("more lines than one message may have", invite.replacen("To:", &format!("{}To:", "X-More: and more\r\n".repeat(600)), 1)),
        ("two hundred and fifty lines more", invite.replacen("To:", &format!("{}To:", "X-More: and more\r\n".repeat(245)), 1)),
        (
            "no body",
            format!("{}\r\n\r\n", head.replace(&line("Content-Type:"), "X: y").replace(&line("Content-Length:"), "Content-Length: 0")),
        ),
    ]
}

/// Over a stream the length of the body must be right: where the next message begins depends on it.
fn frames(what: &str) -> bool {
    !what.contains("Content-Length")
}

fn understood(subject: &Subject, open: impl Fn() -> Caller, fits: impl Fn(&str) -> bool) -> usize {
    let all = spoilt(&Caller::new(Wire::udp(subject.sip), "UDP").invite(NUMBER)).len();
    let mut wrong = Vec::new();
    let mut connected = 0;
    for place in 0..all {
        let caller = open();
        let (what, invite) = spoilt(&caller.invite(NUMBER)).remove(place);
        if !fits(what) {
            continue;
        }
        match caller.call(&invite) {
            Ok(_) => connected += 1,
            Err(why) => wrong.push(format!("{what}: {why}")),
        }
    }
    assert!(wrong.is_empty(), "not connected:\n{}\n{}", wrong.join("\n"), subject.process.output());
    connected
}

#[test]
fn when_the_invite_is_malformed_and_can_be_understood() {
    let (subject, provider) = gateway(Folder::new(), "");
    let mut connected = understood(&subject, || Caller::new(Wire::udp(subject.sip), "UDP"), |_| true);
    connected += understood(&subject, || Caller::new(Wire::tcp(subject.sip), "TCP"), frames);
    provider.hears(Method::Ack, connected);
    provider.hears(Method::Bye, connected);
}

#[test]
fn when_it_is_malformed_over_tls() {
    let (subject, provider) = gateway(Folder::new(), "");
    let mut lines = Vec::new();
    let connected = {
        let lines = std::cell::RefCell::new(&mut lines);
        let open = || {
            let line = Line::new(&subject, Way::Tls);
            let caller = Caller::new(Wire::tcp(line.port()), "TLS");
            lines.borrow_mut().push(line);
            caller
        };
        understood(&subject, open, |what| frames(what) && (what.contains("Contact") || what.contains("From")))
    };
    provider.hears(Method::Bye, connected);
}

/// Who may not call anybody else: never registered, with a wrong password, an old nonce, credentials that cannot be read, or disabled.
#[test]
fn when_the_phone_is_unknown_or_disabled_or_its_credentials_are_wrong() {
    let disabled = "[[endpoint]]\nid = \"off\"\nextension = \"1003\"\nusername = \"1003\"\npassword = \"x\"\nenabled = false\n";
    let (subject, provider) = gateway(Folder::new(), disabled);
    let credentials = |user: &str, nonce: &str| {
        format!(
            "Proxy-Authorization: Digest username=\"{user}\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", uri=\"{NUMBER}\", algorithm=MD5, \
             response=\"0123456789abcdef0123456789abcdef\", qop=auth, nc=00000001, cnonce=\"c\"\r\n"
        )
    };
    let cases = [
        ("a stranger", String::new()),
        ("a wrong password", credentials("1001", "0000000000000000")),
        ("an old nonce", credentials("1001", "0000000065920080deadbeefdeadbeef")),
        ("a disabled phone", credentials("1003", "0000000000000000")),
        ("an unknown user", credentials("9999", "0000000000000000")),
        ("credentials without sense", format!("Proxy-Authorization: Digest realm=\"{DOMAIN}\", username=\r\n")),
        ("credentials of another scheme", "Authorization: Bearer abc\r\n".to_owned()),
    ];
    for (what, lines) in &cases {
        help(&subject, lines, what);
    }
    provider.hears(Method::Bye, cases.len());
}

/// A configuration that is broken, and then one without trunks, while a call for help is up: it goes on to its end.
#[test]
fn when_the_configuration_is_changed_to_something_broken_or_without_trunks() {
    let (subject, provider) = gateway(Folder::new(), "");
    let config = subject.folder.path().join("holdfast.toml");
    let good = fs::read_to_string(&config).unwrap();
    let says = |what: &str, times: usize| until(what, PATIENCE, || (subject.process.output().matches(what).count() >= times).then_some(()));
    fs::write(&config, good.replace("[emergency]", "[emergncy]")).unwrap();
    says("the changed configuration is not valid", 1);
    help(&subject, "", "after a broken configuration");
    // No trunk is left but in a call that has it already.
    let caller = Caller::new(Wire::udp(subject.sip), "UDP");
    let invite = caller.invite(NUMBER);
    let up = caller.connect(&invite).expect("connected");
    let bare = good.split("[[trunk]]").next().unwrap().to_owned() + "[emergency]\nnumbers = [\"112\"]\nnetworks = [\"127.0.0.0/8\"]\n";
    fs::write(&config, bare).unwrap();
    says("configuration in force", 1);
    up.hang_up().expect("hung up");
    provider.hears(Method::Bye, 2);
    // This is the one thing that cannot be helped, and it is said at once.
    let refused = Caller::new(Wire::udp(subject.sip), "UDP");
    let refused = refused.call(&refused.invite(NUMBER)).expect_err("there is no trunk");
    assert!(refused.starts_with("answered 4") || refused.starts_with("answered 5"), "{refused}");
    fs::write(&config, &good).unwrap();
    says("configuration in force", 2);
    help(&subject, "", "with the trunk back");
}

/// A certificate that has ended, the gateway's own: whoever connects all the same is served.
#[test]
fn when_the_certificate_of_the_gateway_has_expired() {
    let folder = Folder::new();
    let (certificate, key) = (folder.path().join("old.pem"), folder.path().join("old.key"));
    expired(&certificate, &key);
    let tls = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    let (subject, provider) = gateway(folder, &tls);
    let port = free_ports(1);
    let mut socat = Command::new("socat");
    socat.arg(format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr")).arg(format!("OPENSSL:127.0.0.1:{},verify=0", subject.tls));
    let _tunnel = Process::start("socat", socat, subject.folder.path());
    let stream = until("socat to listen", PATIENCE, || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
    let caller = Caller::new(Wire::Tcp(stream), "TLS");
    caller.call(&caller.invite(NUMBER)).unwrap_or_else(|why| panic!("{why}\n{}", subject.process.output()));
    provider.hears(Method::Bye, 1);
}

/// A certificate for 127.0.0.1 that was good for a day a long time ago.
fn expired(certificate: &Path, key: &Path) {
    let folder = certificate.parent().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new("openssl").args(arguments).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let (key, certificate) = (key.to_str().unwrap(), certificate.to_str().unwrap());
    run(&["req", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", "old.csr", "-subj", "/CN=127.0.0.1"]);
    fs::write(folder.join("ca.cnf"), "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nrand_serial = yes\ndefault_md = sha256\npolicy = any\nx509_extensions = shown\n[any]\ncommonName = supplied\n[shown]\nsubjectAltName = IP:127.0.0.1\n").unwrap();
    fs::write(folder.join("index"), "").unwrap();
    run(&[
        "ca",
        "-batch",
        "-config",
        "ca.cnf",
        "-selfsign",
        "-keyfile",
        key,
        "-in",
        "old.csr",
        "-out",
        certificate,
        "-outdir",
        ".",
        "-startdate",
        "20200101000000Z",
        "-enddate",
        "20200102000000Z",
        "-notext",
    ]);
}

/// So many connections to a port of the gateway that say nothing.
fn silent(port: u16, count: usize) -> Vec<std::net::TcpStream> {
    (0..count).map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).unwrap()).collect()
}

/// As many connections as there may be: one more may call for help, and do nothing else; and the trunk is reached over a connection, too.
#[test]
fn when_no_connection_is_left() {
    for limit in ["connections = 6", "connections_per_source = 6"] {
        let provider = Provider::start(Carries::Calls);
        let mut site = site(&[("provider", format!("sip:127.0.0.1:{};transport=tcp", provider.port()))], "");
        site.limits += &format!("{limit}\nhalf_message_seconds = 60\n");
        let ports = free_ports(2);
        let subject = Subject::holdfast_at(&site, Folder::new(), ports, ports + 1);
        let _silent = silent(subject.sip, 6);
        let full = || {
            let wire = Wire::tcp(subject.sip);
            !wire.ping() && wire.read(Duration::from_secs(5), |_| false).is_empty()
        };
        until("the limit to be reached", PATIENCE, || full().then_some(()));
        for way in [Way::Tcp, Way::Tls] {
            let line = Line::new(&subject, way);
            let caller = Caller::new(Wire::tcp(line.port()), way.upper());
            caller
                .call(&caller.invite(NUMBER))
                .unwrap_or_else(|why| panic!("{limit}, {}: {why}\n{}", way.upper(), subject.process.output()));
        }
        help(&subject, "", "over UDP");
        provider.hears(Method::Bye, 3);
        let named = limit.split(' ').next().unwrap();
        assert!(subject.process.output().contains(&format!("limit `{named}`")), "{limit}");
    }
}

/// As many handshakes as there may be are never finished: by connections that say nothing, and by an address that begins all of them and stops there.
#[test]
fn when_handshakes_hang() {
    let provider = Provider::start(Carries::Calls);
    let mut site = site(&[("provider", udp(&provider))], "");
    site.limits += "handshakes = 4\nhandshake_seconds = 60\n";
    let ports = free_ports(2);
    let subject = Subject::holdfast_at(&site, Folder::new(), ports, ports + 1);
    let _silent = silent(subject.tls, 8);
    let hello = subject.folder.path().join("hello");
    fs::write(&hello, first_flight()).unwrap();
    let _stuck: Vec<Process> = (0..8)
        .map(|number| {
            let mut socat = Command::new("socat");
            socat.args(["-u", "-t", "600"]).arg(format!("FILE:{},ignoreeof", hello.display()));
            socat.arg(format!("TCP:127.0.0.1:{},bind=127.0.0.2", subject.tls));
            Process::start(&format!("socat-{number}"), socat, subject.folder.path())
        })
        .collect();
    let established = || fs::read_to_string("/proc/net/tcp").unwrap().matches(&format!("0100007F:{:04X} 0200007F:", subject.tls)).count();
    until("the handshakes to begin", PATIENCE, || (established() >= 8).then_some(()));
    let line = Line::new(&subject, Way::Tls);
    let caller = Caller::new(Wire::tcp(line.port()), "TLS");
    caller.call(&caller.invite(NUMBER)).unwrap_or_else(|why| panic!("{why}\n{}", subject.process.output()));
    provider.hears(Method::Bye, 1);
}

/// What a TLS client says first.
fn first_flight() -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = Command::new("openssl");
    client.args(["s_client", "-connect", &listener.local_addr().unwrap().to_string()]);
    let folder = Folder::new();
    let _client = Process::start("s_client", client, folder.path());
    let (mut stream, _) = listener.accept().unwrap();
    let mut hello = vec![0; 16_384];
    let length = std::io::Read::read(&mut stream, &mut hello).unwrap();
    hello.truncate(length);
    hello
}

/// Whoever sends so much that nothing more is heard of it is heard when it calls for help, from the very same socket.
#[test]
fn when_its_own_phone_floods_the_gateway() {
    let provider = Provider::start(Carries::Calls);
    let mut site = site(&[("provider", udp(&provider))], "");
    site.limits += "source_calls = 5\n";
    let ports = free_ports(2);
    let subject = Subject::holdfast_at(&site, Folder::new(), ports, ports + 1);
    let caller = Caller::new(Wire::udp(subject.sip), "UDP");
    let invite = caller.invite(NUMBER);
    for number in 0..500 {
        let other = invite.replace("sip:112@", "sip:1001@").replace("help", &format!("flood{number}"));
        caller.wire().send(other.as_bytes());
    }
    let flooded = || subject.process.output().contains("refused: flood");
    until("the flood to be noticed", PATIENCE, || flooded().then_some(()));
    // Line ends before it make it no less a call for help.
    caller.call(&format!("\r\n{invite}")).unwrap_or_else(|why| panic!("{why}\n{}", subject.process.output()));
    provider.hears(Method::Bye, 1);
}

/// A trunk whose certificate has expired is not spoken to: who answers there cannot be known. The next one carries the call.
#[test]
fn when_the_certificate_of_a_trunk_has_expired() {
    let (folder, good, tls) = (Folder::new(), Provider::start(Carries::Calls), free_ports(1));
    let (certificate, key) = (folder.path().join("old.pem"), folder.path().join("old.key"));
    expired(&certificate, &key);
    let behind = Provider::start(Carries::Calls);
    let mut socat = Command::new("socat");
    socat.arg(format!("OPENSSL-LISTEN:{tls},bind=127.0.0.1,reuseaddr,fork,cert={},key={},verify=0", certificate.display(), key.display()));
    socat.arg(format!("TCP:127.0.0.1:{}", behind.port()));
    let _tunnel = Process::start("socat", socat, folder.path());
    let more = format!("[tls]\ntrunk_authorities = \"{}\"\n", certificate.display());
    let trunks = [("expired", format!("sip:127.0.0.1:{tls};transport=tls")), ("good", udp(&good))];
    let ports = free_ports(2);
    let subject = Subject::holdfast_at(&site(&trunks, &more), folder, ports, ports + 1);
    help(&subject, "", "with an expired certificate at its first trunk");
    let log = subject.process.output();
    assert!(log.contains("no connection to tls:") && log.to_lowercase().contains("expired"), "{log}");
    good.hears(Method::Bye, 1);
    assert_eq!(behind.calls(Method::Invite), 0);
}
