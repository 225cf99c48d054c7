//! Calls for help are told and calls are recorded, with sipp as phones: a message that a phone reads, and one record for each call although the gateway is
//! killed under load.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
    time::Duration,
};
use world::agents::{Callee, DOMAIN, Folder, Line, Process, Site, Subject, Way, free_ports, holdfast, sipp, until};

const PATIENCE: Duration = Duration::from_secs(60);

/// A site whose calls for help go to a sipp trunk on `port`.
fn site(port: u16, more: &str) -> Site {
    let mut site = Site::with_phones([1001, 1002]);
    site.more = format!(
        "[[trunk]]\nname = \"provider\"\nuri = \"sip:127.0.0.1:{port};transport=udp\"\nsources = [\"127.0.0.1:{port}\"]\n\n\
         [emergency]\nnumbers = [\"112\"]\ntest_numbers = [\"933\"]\ntrunks = [\"provider\"]\nnetworks = [\"127.0.0.0/8\"]\n{more}"
    );
    site
}

fn trunk(subject: &Subject, port: u16) -> Process {
    let line = Line::new(subject, Way::Udp);
    let mut trunk = sipp(subject, &line, Way::Udp, 1, "answer");
    trunk.args(["-p", &port.to_string()]);
    Process::start("sipp-trunk", trunk, subject.folder.path())
}

/// Every record of the data folder.
fn records(folder: &Path) -> Vec<Value> {
    let mut command = holdfast();
    let output = command.args(["calls", "export", "--data"]).arg(folder.join("data")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_phone_reads_of_a_call_for_help_and_of_a_test_as_a_test() {
    let port = free_ports(1);
    let ports = free_ports(2);
    let site = site(port, "[[notify]]\nname = \"reader\"\nby = \"message\"\nto = [\"1001\"]\n");
    let subject = Subject::holdfast_at(&site, Folder::new(), ports, ports + 1);
    let _trunk = trunk(&subject, port);
    let mut reader = Callee::register(&subject, Way::Udp, 1001, "callee-told");
    for number in ["sip:112", "sip:933"] {
        let line = Line::new(&subject, Way::Udp);
        let mut caller = sipp(&subject, &line, Way::Udp, 9, "caller-for-help");
        caller.args(["-m", "1", "-key", "help", &format!("{number}@{DOMAIN}")]);
        assert_eq!(Process::start("sipp-help", caller, subject.folder.path()).wait(PATIENCE), 0, "{number} was not connected");
    }
    reader.saw(&["told"]);
    let alarms = || {
        let output =
            holdfast().args(["alarm", "list", "--all", "--json", "--data"]).arg(subject.folder.path().join("data")).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["alarms"].as_array().unwrap().clone()
    };
    let told = |alarm: &Value| alarm["ways"][0]["told"].is_string();
    until("both are told", PATIENCE, || (alarms().len() == 2 && alarms().iter().all(told)).then_some(()));
    let kinds: Vec<_> = alarms().iter().map(|alarm| (alarm["kind"].clone(), alarm["open"].clone())).collect();
    assert_eq!(kinds, [("emergency-call".into(), true.into()), ("emergency-test".into(), false.into())]);
}

/// Calls for help, since they need no password and sipp repeats each INVITE until the gateway that was started anew answers it: each of them must come
/// through, and each must have one record.
#[test]
fn each_call_has_one_record_although_the_gateway_is_killed_under_load() {
    const CALLS: usize = 300;
    let port = free_ports(1);
    let ports = free_ports(2);
    let site = site(port, "");
    let mut subject = Subject::holdfast_at(&site, Folder::new(), ports, ports + 1);
    let _trunk = trunk(&subject, port);
    let line = Line::new(&subject, Way::Udp);
    let mut caller = sipp(&subject, &line, Way::Udp, 9, "caller-for-help");
    let seen = subject.folder.path().join("caller-messages");
    caller.args(["-m", &CALLS.to_string(), "-r", "50", "-l", "400", "-key", "help", &format!("sip:112@{DOMAIN}")]);
    caller.args(["-trace_msg", "-message_file"]).arg(&seen);
    let path = subject.folder.path().to_owned();
    let mut calling = Process::start("sipp-load", caller, &path);
    for share in [3, 2] {
        until("calls to be made", PATIENCE, || (records(&path).len() >= CALLS / share / 2).then_some(()));
        let killed = Command::new("kill").args(["-KILL", &subject.process.id().to_string()]).status().unwrap();
        assert!(killed.success());
        let folder = std::mem::replace(&mut subject.folder, Folder::new());
        drop(subject);
        subject = Subject::holdfast_at(&site, folder, ports, ports + 1);
    }
    calling.wait(PATIENCE);
    let made: BTreeSet<String> = fs::read_to_string(&seen)
        .unwrap()
        .split("UDP message sent")
        .filter(|message| message.contains("INVITE sip:112@"))
        .filter_map(|message| message.lines().find_map(|line| line.strip_prefix("Call-ID: ")).map(|id| id.trim().to_owned()))
        .collect();
    assert_eq!(made.len(), CALLS);
    let count = || {
        let mut count: BTreeMap<String, usize> = BTreeMap::new();
        for record in records(&path) {
            *count.entry(record["call_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        count
    };
    until("every call to have a record", Duration::from_secs(180), || (count().len() >= CALLS).then_some(()));
    let count = count();
    let twice: Vec<_> = count.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "more than one record: {twice:?}");
    assert_eq!(count.keys().cloned().collect::<BTreeSet<_>>(), made);
    let restored = records(&path).iter().filter(|record| record["restored"] == true).count();
    eprintln!("{CALLS} calls, {restored} of them went through a restart, each with one record");
}
