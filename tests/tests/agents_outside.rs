//! The edge of the site with real processes: sipp as phone and as provider. Which provider a call goes out by, what a provider is told and what not, whom a provider's
//! call reaches, and what nobody is let out for.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{fmt::Write as _, fs, path::PathBuf, process::Command, thread, time::Duration};
use world::agents::{Callee, DOMAIN, Folder, Line, PATIENCE, Process, Site, Subject, Way, fixture, free_ports, sipp, until};

const LONG: Duration = Duration::from_secs(20);

/// A running gateway with these phones and two providers on loopback ports of their own; `policy` are the settings of `40-external`.
struct Edge {
    subject: Subject,
    site: Site,
    north: u16,
    south: u16,
}

impl Edge {
    fn new(north_more: &str, policy: &str, more: &str) -> Self {
        let mut site = Site::with_phones(1001..=1004);
        let (north, south) = (free_ports(1), free_ports(1));
        for (name, port, extra) in [("north", north, north_more), ("south", south, "")] {
            writeln!(
                site.more,
                "[[trunk]]\nname = \"{name}\"\nuri = \"sip:127.0.0.1:{port};transport=udp\"\nsources = [\"127.0.0.1:{port}\"]\n\
                 numbers = [\"+44203000%\"]\n{extra}\n"
            )
            .unwrap();
        }
        site.more.push_str(more);
        let folder = Folder::new();
        let policies = folder.path().join("data/policies");
        fs::create_dir_all(&policies).unwrap();
        fs::write(policies.join("40-external.toml"), policy).unwrap();
        let ports = free_ports(2);
        Self { subject: Subject::holdfast_at(&site, folder, ports, ports + 1), site, north, south }
    }

    /// Another process goes on, where this one was killed or has ended in good order.
    fn again(self, killed: bool) -> Self {
        let Self { subject, site, north, south } = self;
        let Subject { mut process, sip, tls, folder, .. } = subject;
        if killed {
            assert!(Command::new("kill").args(["-KILL", &process.id().to_string()]).status().unwrap().success());
            process.wait(LONG);
        } else {
            assert_eq!(process.stop(LONG), Some(0));
        }
        Self { subject: Subject::holdfast_at(&site, folder, sip, tls), site, north, south }
    }

    /// A provider that plays a scenario, and where it writes down what it gets.
    fn provider(&self, port: u16, scenario: &str, status: u16) -> (Process, PathBuf) {
        // The status line is the one place where sipp takes no key.
        let script = self.subject.folder.path().join(format!("{scenario}-{status}"));
        let text = fs::read_to_string(fixture(&format!("{scenario}.xml"))).unwrap().replace("[status]", &status.to_string());
        fs::write(script.with_extension("xml"), text).unwrap();
        let line = Line::new(&self.subject, Way::Udp);
        let mut command = sipp(&self.subject, &line, Way::Udp, 1, script.to_str().unwrap());
        let seen = self.subject.folder.path().join(format!("messages-{port}"));
        command.args(["-p", &port.to_string(), "-trace_msg", "-message_file"]).arg(&seen);
        (Process::start(&format!("sipp-provider-{port}"), command, self.subject.folder.path()), seen)
    }

    /// A phone calls; how its scenario ends.
    fn calls(&self, from: u32, to: &str, scenario: &str) -> i32 {
        let line = Line::new(&self.subject, Way::Udp);
        let mut command = sipp(&self.subject, &line, Way::Udp, from, scenario);
        command.args(["-m", "1", "-key", "peer", to, "-auth_uri", &format!("{to}@{DOMAIN}")]);
        Process::start(&format!("sipp-{from}-{scenario}"), command, self.subject.folder.path()).wait(LONG)
    }

    /// A provider calls; how its scenario ends.
    fn comes_in(&self, port: u16, to: &str) -> i32 {
        let users = self.subject.folder.path().join(format!("called-{port}.csv"));
        fs::write(&users, format!("SEQUENTIAL\n{to}\n")).unwrap();
        let line = Line::new(&self.subject, Way::Udp);
        let mut command = sipp(&self.subject, &line, Way::Udp, 1, "trunk-in");
        command.args(["-m", "1", "-p", &port.to_string(), "-inf"]).arg(&users);
        Process::start(&format!("sipp-comes-in-{port}"), command, self.subject.folder.path()).wait(LONG)
    }
}

/// The INVITEs among a provider's messages.
fn invites(seen: &PathBuf) -> Vec<String> {
    let text = fs::read_to_string(seen).unwrap_or_default();
    let messages = text.split("UDP message received").skip(1);
    messages.filter(|message| message.contains("\nINVITE ")).map(str::to_owned).collect()
}

const NUMBERS: &str = "[settings]\ncountry_code = \"44\"\nnational_prefix = \"0\"\ninternational_prefix = \"00\"\ncaller_number = \"+442030001000\"\n\
                       [[settings.trunk]]\nname = \"north\"\nformat = \"e164\"\n[[settings.trunk]]\nname = \"south\"\nformat = \"national\"\n";

#[test]
fn a_provider_is_told_what_it_must_know_and_no_more() {
    let edge = Edge::new("caller_in = \"both\"\ncaller_domain = \"far.example\"\n", NUMBERS, "");
    let _caller = Callee::register(&edge.subject, Way::Udp, 1001, "callee-answers");
    let (_north, seen) = edge.provider(edge.north, "answer", 200);
    assert_eq!(edge.calls(1001, "02079460000", "caller-pretends"), 0, "{}", edge.subject.errors());
    let invites = invites(&seen);
    let invite = invites.first().expect("the provider was called");
    assert!(invite.contains("INVITE sip:+442079460000@127.0.0.1"), "{invite}");
    assert!(invite.contains("<sip:+442030001000@far.example>") && invite.contains("P-Asserted-Identity: "), "{invite}");
    let said = fs::read_to_string(&seen).unwrap();
    let told: Vec<_> = said.lines().filter(|line| line.contains("evil")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn the_next_provider_is_tried_in_its_own_form_when_one_fails() {
    let edge = Edge::new("next_on = [\"404\"]\n", NUMBERS, "");
    let _caller = Callee::register(&edge.subject, Way::Udp, 1001, "callee-answers");
    let (_south, seen) = edge.provider(edge.south, "answer", 200);
    let mut calls = 0;
    for status in [503, 500, 404] {
        let (north, tried) = edge.provider(edge.north, "provider-refuses", status);
        assert_eq!(edge.calls(1001, "02079460000", "caller-answered"), 0, "after {status}: {}", edge.subject.errors());
        calls += 1;
        assert_eq!(invites(&tried).len(), 1, "{status}");
        assert_eq!(invites(&seen).len(), calls);
        assert!(invites(&seen)[0].contains("INVITE sip:02079460000@127.0.0.1"));
        drop(north);
        fs::remove_file(tried).unwrap();
    }
    // Nobody is there, and the kernel says so.
    assert_eq!(edge.calls(1001, "02079460000", "caller-answered"), 0, "{}", edge.subject.errors());
}

#[test]
fn a_person_who_is_busy_is_not_called_by_another_provider() {
    let edge = Edge::new("", NUMBERS, "");
    let _caller = Callee::register(&edge.subject, Way::Udp, 1001, "callee-answers");
    let (_south, seen) = edge.provider(edge.south, "answer", 200);
    let (_north, _) = edge.provider(edge.north, "provider-refuses", 486);
    assert_eq!(edge.calls(1001, "02079460000", "caller-hears-busy"), 0, "{}", edge.subject.errors());
    assert_eq!(invites(&seen).len(), 0);
}

#[test]
fn a_call_from_outside_reaches_whom_the_operator_says() {
    let policy = format!(
        "{NUMBERS}[[settings.inbound]]\ntrunk = \"north\"\nnumber = \"+442030002%\"\ngroup = \"sales\"\n\
         [[settings.group]]\nname = \"sales\"\nmembers = [\"1003\", \"1002\"]\nmode = \"in-turn\"\nring_seconds = 2\n"
    );
    let edge = Edge::new("", &policy, "");
    let mut first = Callee::register(&edge.subject, Way::Udp, 1002, "callee-answers");
    assert_eq!(edge.comes_in(edge.north, "02030002000"), 0, "{}", edge.subject.errors());
    first.saw(&["invited", "acknowledged", "bye"]);
    // By the last digits, from the other provider; then what nobody has, and who is no provider.
    assert_eq!(edge.comes_in(edge.south, "+442030001002"), 0, "{}", edge.subject.errors());
    assert_ne!(edge.comes_in(edge.south, "+33123456789"), 0);
    assert_ne!(edge.comes_in(free_ports(1), "+442030001002"), 0);
    let log = edge.subject.process.output();
    assert!(log.contains("is none of the numbers of trunk south"), "{log}");
}

#[test]
fn what_is_too_dear_is_refused_with_its_reason_and_counted() {
    let tolls = "[tolls]\ndenied = [\"+44900%\"]\ncalls_per_hour = 1\n";
    let edge = Edge::new("", NUMBERS, tolls);
    let _caller = Callee::register(&edge.subject, Way::Udp, 1001, "callee-answers");
    let (_north, seen) = edge.provider(edge.north, "answer", 200);
    assert_ne!(edge.calls(1001, "+449001234", "caller-answered"), 0);
    assert_eq!(invites(&seen).len(), 0);
    let log = || edge.subject.process.output();
    until("the refusal in the log", PATIENCE, || log().contains("`+449001234` is one of `+44900%`").then_some(()));
    assert!(log().contains("toll-denied"), "{}", log());
    assert_ne!(edge.calls(1001, "02079460000", "caller-answered"), 0, "the attempt before was the one of this hour");
    assert!(log().contains("the ceiling `calls_per_hour` of [tolls]"), "{}", log());
}

#[test]
fn what_was_used_outlives_the_process() {
    let edge = Edge::new("", NUMBERS, "[tolls]\ncalls_per_hour = 2\n");
    let _callers = [1001, 1002].map(|phone| Callee::register(&edge.subject, Way::Udp, phone, "callee-answers"));
    let (_north, seen) = edge.provider(edge.north, "answer", 200);
    let refused = |edge: &Edge, from: u32, after: usize| {
        assert_ne!(edge.calls(from, "02079460000", "caller-answered"), 0);
        let log = edge.subject.process.output();
        let said = format!("phone-{from}: the ceiling `calls_per_hour` of [tolls]");
        assert!(log.contains(&said), "{log}");
        assert_eq!(invites(&seen).len(), after);
    };
    for from in [1001, 1001, 1002] {
        assert_eq!(edge.calls(from, "02079460000", "caller-answered"), 0, "{}", edge.subject.errors());
    }
    let edge = edge.again(false);
    refused(&edge, 1001, 3);
    assert_eq!(edge.calls(1002, "02079460000", "caller-answered"), 0, "{}", edge.subject.errors());
    // It is written down every ten seconds.
    thread::sleep(Duration::from_secs(12));
    let edge = edge.again(true);
    refused(&edge, 1001, 4);
    refused(&edge, 1002, 4);
}
