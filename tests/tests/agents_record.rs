//! What a running gateway writes down of real calls, and what `holdfast explain` and `holdfast policy replay` make of it. sipp calls, is refused, and calls
//! for help.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::Value;
use std::{fs, path::Path, process::Output, time::Duration};
use world::agents::{Callee, Site, Subject, Way, call, holdfast, until};

fn run(arguments: &[&str]) -> Output {
    holdfast().args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    assert!(output.status.success(), "{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn explain(data: &Path, more: &[&str]) -> Output {
    run(&[&["explain", "--data", data.to_str().unwrap()], more].concat())
}

#[test]
fn a_call_is_told_with_its_decisions_and_its_ladder_and_decided_the_same_again() {
    let subject = Subject::holdfast(&Site::with_phones(1001..=1004));
    let data = subject.data();
    let mut answering = Callee::register(&subject, Way::Udp, 1002, "callee-answers");
    call(&subject, Way::Udp, 1001, 1002, "caller-answered");
    answering.saw(&["invited", "acknowledged", "bye"]);
    let mut ringing = Callee::register(&subject, Way::Tcp, 1004, "callee-rings");
    call(&subject, Way::Udp, 1003, 1004, "caller-cancels");
    ringing.saw(&["invited", "cancelled", "acknowledged"]);

    // The record is written beside the calls: both have an entry once their last answers are in.
    let entries = until("both calls in the record", Duration::from_secs(40), || {
        let entries: Vec<Value> = text(&explain(&data, &["--json"])).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (entries.len() == 2).then_some(entries)
    });
    assert!(entries[0]["outcome"].as_str().unwrap().starts_with("answered by phone-1002"), "{entries:?}");
    assert_eq!((&entries[1]["asked"], &entries[1]["failed"]), (&Value::from("phone-1003 calls 1004"), &Value::from(true)), "{entries:?}");

    let first = entries[0]["call_id"].as_str().unwrap();
    let told = text(&explain(&data, &[first]));
    // In this order, whatever stands between.
    let mut rest = told.as_str();
    for wanted in [
        "phone-1001 calls 1002",
        "internal route phone-1002",
        "asked directory.endpoint-by-extension(1002)",
        "dialled phone-1002 at 127.0.0.1:",
        "answered by phone-1002",
        "INVITE",
        "180 Ringing",
        "200 OK",
        "ACK",
        "BYE",
        "200 OK",
    ] {
        let at = rest.find(wanted).unwrap_or_else(|| panic!("`{wanted}` is missing or in the wrong place:\n{told}"));
        rest = &rest[at..];
    }
    assert!(!told.contains('\u{1b}'), "no colours where no terminal listens");

    // The other side knows the call by another Call-ID.
    let story: Value = serde_json::from_str(&text(&explain(&data, &["--json", first]))).unwrap();
    let leg = story["call"]["legs"][0]["call_id"].as_str().unwrap();
    assert_ne!(leg, first);
    assert!(text(&explain(&data, &[leg])).contains("phone-1001 calls 1002"));
    let cancelled = text(&explain(&data, &["--last"]));
    assert!(cancelled.contains("CANCEL") && cancelled.contains("487"), "{cancelled}");

    // Registrations are recorded, and nothing of their credentials.
    let record = fs::read_to_string(data.join("decisions/decisions.jsonl")).unwrap();
    assert!(record.contains(r#""policy":"licence""#) && record.contains("REGISTER "), "{record}");
    for secret in ["response=", "nonce=", "pw-1001", "v=0"] {
        assert!(!record.contains(secret), "{secret} in {record}");
    }

    let component = data.join("policies/30-internal.wasm");
    let cases = data.join("30-internal.cases.toml");
    let replay = |more: &[&str]| run(&[&["policy", "replay", "--data", data.to_str().unwrap(), "--candidate"], more].concat());
    let shown = text(&replay(&[component.to_str().unwrap(), "--record-cases", cases.to_str().unwrap()]));
    assert!(shown.contains("2 decisions of `internal`") && shown.contains("2 same"), "{shown}");
    let tested = run(&["policy", "test", component.to_str().unwrap(), "--cases", cases.to_str().unwrap()]);
    assert!(text(&tested).contains("route phone-1002"));
    // Another policy says something else: the exit code tells a script.
    let other = replay(&[data.join("policies/40-external.wasm").to_str().unwrap(), "--policy", "internal", "--json"]);
    assert_eq!(other.status.code(), Some(1));
    let summary: Value = serde_json::from_slice(&other.stdout).unwrap();
    assert_eq!(
        (&summary["decisions"], &summary["same"], &summary["ok"]),
        (&Value::from(2), &Value::from(0), &Value::from(false)),
        "{summary}"
    );
    let unknown = replay(&[component.to_str().unwrap(), "--policy", "nobody"]);
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("decisions of"), "{unknown:?}");
}

#[test]
fn what_cannot_be_told_says_why() {
    let folder = world::agents::Folder::new();
    let nothing = explain(folder.path(), &[]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("has no decision record; name the gateway's data folder with --data"));

    let mut site = Site::with_phones([1001]);
    site.more = "[decisions]\nrecord = \"off\"\n".to_owned();
    let subject = Subject::holdfast(&site);
    assert!(!subject.data().join("decisions").exists());
    drop(subject);

    // A folder that cannot be written is no reason to leave phones without service.
    let folder = world::agents::Folder::new();
    fs::create_dir_all(folder.path().join("data")).unwrap();
    fs::write(folder.path().join("data/decisions"), "a file where the folder should be").unwrap();
    let ports = world::agents::free_ports(2);
    let subject = Subject::holdfast_at(&Site::with_phones(1001..=1002), folder, ports, ports + 1);
    let mut answering = Callee::register(&subject, Way::Udp, 1002, "callee-answers");
    call(&subject, Way::Udp, 1001, 1002, "caller-answered");
    answering.saw(&["invited", "acknowledged", "bye"]);
    assert!(subject.process.output().contains("decisions are not recorded"));
}
