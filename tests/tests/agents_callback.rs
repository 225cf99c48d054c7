//! The answering point calls back after the gateway was killed, and a call for help takes the channel of another call: the real `holdfast` program, sipp as provider
//! and as answering point, phones on real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use sip::transport::Transport;
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};
use world::{
    agents::{Agent, Folder, Line, PATIENCE, Process, Site, Subject, Way, free_ports, sipp, until},
    node::password,
    phone::{End, Phone},
};

const ELIN: &str = "+442030001111";

/// A site with one trunk: calls go out to the first of three ports, and come in from the second.
struct Place {
    site: Site,
    ports: u16,
    sip: u16,
}

impl Place {
    fn new(trunk: &str) -> Self {
        let ports = free_ports(3);
        let mut site = Site::with_phones([]);
        site.more = format!(
            "[[endpoint]]\nid = \"alice\"\nextension = \"1001\"\nusername = \"alice\"\npassword = \"{}\"\nlicence = \"site\"\n\n\
             [[licence]]\npool = \"site\"\nseats = 1\n\n\
             [[trunk]]\nname = \"provider\"\nuri = \"sip:127.0.0.1:{ports};transport=udp\"\nsources = [\"127.0.0.1:{}\"]\n{trunk}\n\
             [[location]]\nname = \"hq\"\nnetworks = [\"127.0.0.0/8\"]\nelin = \"{ELIN}\"\n\n\
             [emergency]\nnumbers = [\"112\"]\ntrunks = [\"provider\"]\n",
            password("alice"),
            ports + 1,
        );
        Self { site, ports, sip: free_ports(2) }
    }

    fn start(&self, folder: Folder) -> Subject {
        Subject::holdfast_at(&self.site, folder, self.sip, self.sip + 1)
    }

    /// The provider answers every call; what it sees is in the file.
    fn provider(&self, subject: &Subject) -> (Process, PathBuf) {
        let line = Line::new(subject, Way::Udp);
        let mut provider = sipp(subject, &line, Way::Udp, 1, "answer");
        let seen = subject.folder.path().join("provider-messages");
        provider.args(["-p", &self.ports.to_string(), "-trace_msg", "-message_file"]).arg(&seen);
        let process = Process::start("sipp-provider", provider, subject.folder.path());
        // A port where nobody listens refuses at once.
        let table = || fs::read_to_string("/proc/net/udp").unwrap_or_default();
        until("the provider to listen", PATIENCE, || table().contains(&format!("0100007F:{:04X}", self.ports)).then_some(()));
        (process, seen)
    }
}

fn agent(subject: &Subject, name: &'static str, extension: &str) -> Agent {
    Agent::new(name, extension, SocketAddr::from(([127, 0, 0, 1], subject.sip)), Transport::Udp)
}

/// Lets the phone go on until `done`.
fn wait(agent: &mut Agent, what: &str, mut done: impl FnMut(&mut Agent) -> bool) {
    let ends = Instant::now() + 4 * PATIENCE;
    while !done(agent) {
        assert!(Instant::now() < ends, "{what}: {:?}", agent.phone.calls());
        agent.turn();
    }
}

/// Killed in the middle of the call for help, and again before the answering point calls: the phone, which nobody knows, rings.
#[test]
fn who_has_called_for_help_is_called_back_after_the_gateway_was_killed_twice() {
    let place = Place::new("");
    let mut subject = place.start(Folder::new());
    let (_provider, _) = place.provider(&subject);
    let mut ghost = agent(&subject, "ghost", "2001");
    ghost.act(|phone, now, out| phone.dial("112", now, out));
    wait(&mut ghost, "help", |ghost| ghost.phone.call().up());
    let kept = subject.data().join("callbacks.json");
    wait(&mut ghost, "the number to be written down", |_| fs::read_to_string(&kept).is_ok_and(|text| text.contains(ELIN)));
    for round in 0..2 {
        let killed = Command::new("kill").args(["-KILL", &subject.process.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let Subject { process, folder, .. } = subject;
        drop(process);
        subject = place.start(folder);
        if round == 0 {
            // The call has gone on meanwhile.
            ghost.act(Phone::hang_up);
            wait(&mut ghost, "the end of the call for help", |ghost| ghost.phone.call().end() == Some(End::WeHungUp));
        }
    }

    let numbers = subject.folder.path().join("numbers.csv");
    fs::write(&numbers, format!("SEQUENTIAL\n{ELIN}\n")).unwrap();
    let line = Line::new(&subject, Way::Udp);
    let mut caller = sipp(&subject, &line, Way::Udp, 1, "trunk-in");
    caller.args(["-p", &(place.ports + 1).to_string(), "-m", "1", "-inf"]).arg(&numbers);
    let mut caller = Process::start("sipp-answering-point", caller, subject.folder.path());
    wait(&mut ghost, "being called back", |_| !caller.alive());
    assert_eq!(caller.wait(Duration::from_secs(1)), 0, "the answering point's call went as it should:\n{}", subject.errors());
    assert_eq!((ghost.phone.calls().len(), ghost.phone.call().end()), (2, Some(End::TheyHungUp)));
    assert_eq!(ghost.phone.call().last("INVITE", "Priority"), "psap-callback");
}

#[test]
fn a_call_for_help_takes_the_channel_of_another_call() {
    let place = Place::new("channels = 1\n");
    let subject = place.start(Folder::new());
    let (_provider, seen) = place.provider(&subject);
    let mut alice = agent(&subject, "alice", "1001");
    alice.act(Phone::register);
    wait(&mut alice, "registering", |alice| alice.phone.registered());
    alice.act(|phone, now, out| phone.dial("+442071234567", now, out));
    wait(&mut alice, "a call to the outside", |alice| alice.phone.call().up());

    let line = Line::new(&subject, Way::Udp);
    let mut help = sipp(&subject, &line, Way::Udp, 9, "caller-for-help");
    help.args(["-m", "1", "-key", "help", "sip:112@sip.test"]);
    let mut help = Process::start("sipp-help", help, subject.folder.path());
    wait(&mut alice, "the end of the other call", |alice| alice.phone.call().end().is_some());
    assert_eq!(help.wait(Duration::from_secs(20)), 0, "the call for help was connected:\n{}", subject.errors());
    assert_eq!(alice.phone.call().end(), Some(End::TheyHungUp));
    assert!(alice.phone.call().reason().contains("preemption;cause=1"), "{}", alice.phone.call().reason());
    let messages = fs::read_to_string(seen).unwrap();
    let place = |text: &str| messages.find(text).unwrap_or_else(|| panic!("the provider never saw {text}"));
    assert!(place("INVITE sip:112@") < place("Reason: preemption;cause=1"), "the call for help waited for nobody");
    assert!(subject.process.output().contains("the youngest call of a full trunk was ended for a call for help"));
}
