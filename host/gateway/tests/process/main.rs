//! The binary as an operator runs it: a real process, real sockets, real signals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "test code fails by panicking")]

mod connect;
mod directory;
mod drills;
mod gateway;
mod http;
mod licences;
mod onward;
mod phone;
mod phones;
mod policies;
mod provision;
mod rest;
mod spans;
mod survivable;
mod told;
mod trunks;

use gateway::Site;
use phone::Phone;
use std::{fs, process::Command, time::Duration};

#[test]
fn what_passes_check_starts_and_ends_cleanly_when_told_to() {
    let site = Site::new();
    let check = site.command("check").arg("--json").output().unwrap();
    assert!(check.status.success(), "{check:?}");
    let findings: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(findings["ok"], true);
    assert_eq!(findings["policies"].as_array().unwrap().len(), 4);

    let gateway = site.start();
    assert_eq!(gateway.policies.len(), 4);
    assert!(Phone::new(&gateway).options(), "no answer to OPTIONS");
    let (status, last) = gateway.terminate();
    assert!(status.success(), "{status:?}");
    assert_eq!(last["event"], "ended");
}

#[test]
fn what_does_not_pass_check_does_not_start_and_both_say_where_and_why() {
    let site = Site::new();
    site.edit(|text| text.replace("seats = 50", "seets = 50"));
    let check = site.command("check").output().unwrap();
    assert_eq!(check.status.code(), Some(1));
    let text = String::from_utf8(check.stdout).unwrap();
    assert!(
        text.contains("holdfast.toml:") && text.contains("licence[1].seets: unknown key") && text.contains("did you mean `seats`?"),
        "{text}"
    );
    let serve = site.command("serve").output().unwrap();
    assert_eq!(serve.status.code(), Some(1));
    let text = String::from_utf8(serve.stderr).unwrap();
    assert!(text.contains("licence[1].seets: unknown key; did you mean `seats`?"), "{text}");
}

#[test]
fn a_broken_policy_fails_the_check() {
    let site = Site::new();
    let policies = site.data().join("policies");
    fs::create_dir_all(&policies).unwrap();
    fs::write(policies.join("30-mine.wasm"), b"\0asm but no more").unwrap();
    let check = site.command("check").arg("--json").output().unwrap();
    assert_eq!(check.status.code(), Some(1));
    let findings: serde_json::Value = serde_json::from_slice(&check.stdout).unwrap();
    let error = findings["problems"].as_array().unwrap().iter().find(|p| p["severity"] == "error").unwrap();
    assert!(error["file"].as_str().unwrap().ends_with("30-mine.wasm"), "{findings}");
}

#[test]
fn check_binds_and_writes_nothing() {
    let site = Site::new();
    let _held = site.start();
    let other = Site::new();
    let check = other.command("check").output().unwrap();
    assert!(check.status.success());
    assert!(!other.data().exists(), "check made {:?}", other.data());
}

#[test]
fn a_second_gateway_on_the_same_data_is_refused_with_a_remedy() {
    let site = Site::new();
    let _running = site.start();
    let second = site.command("serve").output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let text = String::from_utf8(second.stderr).unwrap();
    assert!(text.contains("another gateway runs on the data folder") && text.contains("--data"), "{text}");
}

#[test]
fn the_demonstration_ends_well() {
    let demo = Command::new(env!("CARGO_BIN_EXE_holdfast")).arg("demo").output().unwrap();
    let text = String::from_utf8(demo.stdout).unwrap();
    assert!(demo.status.success(), "{text}");
    assert!(text.contains("INVITE") && text.contains("internal: route"), "{text}");
}

#[test]
fn every_registration_that_was_acknowledged_is_there_after_kill_9() {
    let site = Site::with_endpoints(40);
    let mut gateway = site.start();
    // From now on on the same ports: the phones know no others.
    site.listen_on(&gateway);
    let mut acknowledged = 0;
    for n in 0..40 {
        let phone = Phone::new(&gateway);
        assert_eq!(phone.register(&Site::user(n), &Site::password(n), Some(600)), 200);
        acknowledged += 1;
        if n == 30 {
            // Not a moment is given to it after the answer.
            gateway.kill();
            break;
        }
    }
    let again = site.start();
    assert_eq!(again.restored, acknowledged);
    // Asked as the phones would: each still has its contact.
    for n in 0..acknowledged {
        let phone = Phone::new(&again);
        assert_eq!(phone.register(&Site::user(n), &Site::password(n), None), 200);
        assert_eq!(phone.contacts(), 1, "phone {n}");
    }
    assert_eq!(Phone::new(&again).register(&Site::user(35), &Site::password(35), None), 200);
}

#[test]
fn a_nonce_from_before_a_restart_is_still_good() {
    let site = Site::new();
    let mut gateway = site.start();
    site.listen_on(&gateway);
    let phone = Phone::new(&gateway);
    let challenge = phone.challenge(&Site::user(0));
    gateway.kill();
    let _again = site.start();
    assert_eq!(phone.answer(&challenge, &Site::user(0), &Site::password(0), Some(60)), 200);
}

#[test]
fn a_changed_configuration_is_in_force_soon_and_drops_no_binding() {
    let site = Site::with_endpoints(1);
    let gateway = site.start();
    let old = Phone::new(&gateway);
    assert_eq!(old.register(&Site::user(0), &Site::password(0), Some(600)), 200);
    let new = Phone::new(&gateway);
    assert_eq!(new.register(&Site::user(1), &Site::password(1), Some(600)), 401);

    site.edit(|text| format!("{text}{}", Site::endpoint(1)));
    gateway.wait_for_log("configuration in force");
    assert_eq!(new.register(&Site::user(1), &Site::password(1), Some(600)), 200);
    assert_eq!(old.register(&Site::user(0), &Site::password(0), None), 200);
    assert_eq!(old.contacts(), 1);

    // The endpoint is taken away again by replacing the file, as deployment tools do; SIGHUP is not needed for it, but harmless.
    site.replace(|text| text.replace(&Site::endpoint(1), ""));
    gateway.hang_up();
    gateway.wait(Duration::from_secs(5), || new.register(&Site::user(1), &Site::password(1), None) == 401);
    assert_eq!(old.register(&Site::user(0), &Site::password(0), None), 200);
    assert_eq!(old.contacts(), 1);
}

#[test]
fn an_invalid_configuration_leaves_the_old_one_in_force_and_says_why() {
    let site = Site::with_endpoints(1);
    let gateway = site.start();
    let phone = Phone::new(&gateway);
    assert_eq!(phone.register(&Site::user(0), &Site::password(0), Some(600)), 200);
    site.edit(|text| text.replace("licence = \"site\"", "licence = \"sight\""));
    gateway.wait_for_log("the one before stays in force");
    let log = gateway.log();
    assert!(log.contains("there is no pool `sight`") && log.contains("holdfast.toml:"), "{log}");
    assert_eq!(phone.register(&Site::user(0), &Site::password(0), Some(600)), 200);
    // A restart-only key is named, the rest taken over.
    site.edit(|text| {
        text.replace("licence = \"sight\"", "licence = \"site\"").replace("domain = \"sip.example\"", "domain = \"new.example\"")
    });
    gateway.wait_for_log("in force only after a restart: sip.domain");
    assert_eq!(phone.register(&Site::user(0), &Site::password(0), Some(600)), 200);
}

#[test]
fn two_shards_are_one_gateway() {
    let site = Site::with_endpoints(20);
    site.edit(|text| text.replace("[limits]", "[limits]\nshards = 2"));
    let gateway = site.start();
    for n in 0..20 {
        // Each phone has its own port and Call-ID: the kernel and the Call-ID choose shards independently.
        let phone = Phone::new(&gateway);
        assert!(phone.options(), "phone {n}");
        assert_eq!(phone.register(&Site::user(n), &Site::password(n), Some(600)), 200, "phone {n}");
        // Through another port, so perhaps another shard, the same binding is seen.
        let elsewhere = Phone::new(&gateway);
        assert_eq!(elsewhere.register(&Site::user(n), &Site::password(n), None), 200, "phone {n}");
        assert_eq!(elsewhere.contacts(), 1, "phone {n}");
    }
    let (status, last) = gateway.terminate();
    assert!(status.success());
    assert!(last["counters"]["dropped"].get("shard-queue").is_none(), "{last}");
}
