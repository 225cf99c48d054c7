//! The REST API against its own OpenAPI document: schemathesis asks the real gateway whatever the document allows and forbids, and every answer must be one that the
//! document describes. Afterwards phones are served as before.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::{fs, process::Command, time::Duration};
use world::agents::{Baresip, PATIENCE, Phone, Process, Site, Subject, Way, fixture, free_ports, holdfast, tool, until};

#[test]
fn the_rest_api_is_what_its_document_says() {
    let port = free_ports(1);
    let more = format!("[rest]\nlisten = \"127.0.0.1:{port}\"\n\n[[location]]\nname = \"hq\"\nnetworks = [\"10.0.0.0/8\"]\n");
    // Every operation is asked with wrong tokens, too.
    let limits = "ring_seconds = 2\nrest_failures = 1000000\n".to_owned();
    let site = Site { limits, more, ..Site::with_phones([1001]) };
    let mut subject = Subject::holdfast(&site);
    let tokens = fs::read_to_string(subject.data().join("rest.token")).unwrap();
    let token = tokens.lines().last().unwrap();
    // Those of the examples, so that there is something to be found.
    for arguments in
        [&["user", "add", "alice", "--extension", "1101"][..], &["endpoint", "add", "desk-7", "--password", "pw-desk-7", "--user", "alice"]]
    {
        let output = holdfast().args(arguments).arg("--data").arg(subject.data()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    let mut command = Command::new(tool("schemathesis"));
    command
        .arg("--config-file")
        .arg(fixture("schemathesis.toml"))
        .args(["run", &format!("http://127.0.0.1:{port}/v1/openapi.json"), "--no-color", "--checks", "all"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "25", "--continue-on-failure"])
        .args(["-H", &format!("Authorization: Bearer {token}")])
        .current_dir(subject.folder.path());
    let mut process = Process::start("schemathesis", command, subject.folder.path());
    let code = process.wait(Duration::from_secs(600));
    let said = process.output();
    assert_eq!(code, 0, "{said}");
    // It has asked, and has asked every operation.
    for line in ["Examples", "Coverage", "Fuzzing"] {
        assert!(said.contains(line), "no phase {line}: {said}");
    }

    assert!(subject.process.alive());
    let log = subject.process.output();
    assert!(!log.contains("panicked"), "{log}");
    until("the phone", PATIENCE, || Some(Baresip::register(&subject, Way::Udp, &Phone { extension: "1001".to_owned() })));
}
