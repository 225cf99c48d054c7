//! A call for help gets out with everything else broken: every policy traps, no seat is left, the caller is nobody. Real gateway, sipp as caller and as
//! trunk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use world::agents::{DOMAIN, Folder, Line, Process, Site, Subject, Way, free_ports, guest, sipp};

/// A data folder whose four policies are all the same: they pass the host's made-up calls, and trap whenever they are asked about a real one.
fn broken_policies() -> Folder {
    let folder = Folder::new();
    let policies = folder.path().join("data/policies");
    fs::create_dir_all(&policies).unwrap();
    let bytes = guest("zoo");
    for name in ["10-emergency", "20-licence", "30-internal", "40-external"] {
        fs::write(policies.join(format!("{name}.wasm")), &bytes).unwrap();
        let toml = "on_fault = \"refuse\"\ngrants = [\"directory\", \"settings\", \"log\", \"clock\", \"memory\", \"licences\", \"trunks\"]\n\n[settings]\nact = \"trap\"\nspare_trial = true\n";
        fs::write(policies.join(format!("{name}.toml")), toml).unwrap();
    }
    folder
}

fn answering_trunk(subject: &Subject, folder: &Path, port: u16) -> (Process, PathBuf) {
    let line = Line::new(subject, Way::Udp);
    let mut trunk = sipp(subject, &line, Way::Udp, 1, "answer");
    let seen = folder.join("trunk-messages");
    trunk.args(["-p", &port.to_string(), "-trace_msg", "-message_file"]).arg(&seen);
    (Process::start("sipp-trunk", trunk, folder), seen)
}

/// Connects four calls for help, each from a phone that nobody knows, and hands the gateway back.
fn calls_for_help(folder: Folder) -> Subject {
    let trunk_port = free_ports(1);
    let mut site = Site::with_phones([1001]);
    site.more = format!(
        "[[licence]]\npool = \"site\"\nseats = 0\n\n[[trunk]]\nname = \"provider\"\noptions_seconds = 0\nuri = \"sip:127.0.0.1:{trunk_port};transport=udp\"\n\n\
         [emergency]\nnumbers = [\"112\", \"911\"]\ntrunks = [\"provider\"]\nnetworks = [\"127.0.0.0/8\"]\noutside_prefixes = [\"9\"]\n"
    );
    let ports = free_ports(2);
    let subject = Subject::holdfast_at(&site, folder, ports, ports + 1);
    let path = subject.folder.path().to_owned();
    let (_trunk, seen) = answering_trunk(&subject, &path, trunk_port);
    for (number, way) in
        [("sip:112@HERE", Way::Udp), ("sip:9911@HERE;user=phone", Way::Tcp), ("urn:service:sos", Way::Tls), ("tel:112", Way::Udp)]
    {
        let help = number.replace("HERE", DOMAIN);
        let line = Line::new(&subject, way);
        let mut caller = sipp(&subject, &line, way, 9, "caller-for-help");
        caller.args(["-m", "1", "-key", "help", &help]);
        let code = Process::start("sipp-help", caller, &path).wait(Duration::from_secs(20));
        assert_eq!(code, 0, "the call for help to {help} over {} was not connected", way.upper());
    }
    let messages = fs::read_to_string(seen).unwrap();
    for called in ["INVITE sip:112@", "INVITE sip:911@", "INVITE urn:service:sos"] {
        assert!(messages.contains(called), "the trunk never saw {called}");
    }
    subject
}

#[test]
fn a_call_for_help_gets_out_when_every_policy_traps_and_no_seat_is_left() {
    let subject = calls_for_help(broken_policies());
    let log = subject.process.output();
    assert_eq!(log.matches("policy loaded").count(), 4, "all four joined the chain:\n{log}");
    assert_eq!(log.matches("policy failed").count(), 4, "each call for help asked the policy, and it trapped:\n{log}");
}

#[test]
fn a_call_for_help_gets_out_when_no_policy_is_there() {
    let folder = Folder::new();
    let policies = folder.path().join("data/policies");
    fs::create_dir_all(&policies).unwrap();
    // A folder with a component is left alone; this one is refused because it is none.
    fs::write(policies.join("10-emergency.wasm"), "this is no component").unwrap();
    calls_for_help(folder);
}

#[test]
fn a_call_for_help_takes_the_shipped_policies_too() {
    calls_for_help(Folder::new());
}
