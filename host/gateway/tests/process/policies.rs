//! The policies of a running gateway, seen and steered from another process.

use super::{
    gateway::{Gateway, Site},
    phone::Phone,
};
use serde_json::Value;
use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::{Command, Output},
    time::Duration,
};

fn policy(site: &Site, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_holdfast")).arg("policy").args(arguments).arg("--data").arg(site.data()).output().unwrap()
}

fn list(site: &Site) -> Vec<Value> {
    let output = policy(site, &["list", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let mut answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    answer["policies"].as_array_mut().unwrap().drain(..).collect()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Puts the component of `from` into the place of `to`, as deployment tools do.
fn replace(site: &Site, from: &[u8], to: &str) {
    let folder = site.data().join("policies");
    fs::write(folder.join(".new"), from).unwrap();
    fs::rename(folder.join(".new"), folder.join(to)).unwrap();
}

fn wait_for(gateway: &Gateway, site: &Site, holds: impl Fn(&Value) -> bool) {
    gateway.wait(Duration::from_secs(30), || list(site).iter().any(&holds));
}

#[test]
fn a_running_gateway_shows_its_policies_and_a_killed_one_is_missed() {
    let site = Site::new();
    let none = policy(&site, &["list"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(text(&none.stderr).contains("no gateway runs on the data folder"), "{none:?}");

    let mut gateway = site.start();
    let phone = Phone::new(&gateway);
    assert_eq!(phone.register(&Site::user(0), &Site::password(0), Some(600)), 200);
    let policies = list(&site);
    let names: Vec<&str> = policies.iter().map(|policy| policy["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["emergency", "licence", "internal", "external"]);
    assert!(policies.iter().all(|policy| policy["state"] == "running" && policy["faults"] == 0), "{policies:?}");
    let licence = &policies[1];
    assert_eq!((&licence["hooks"][0], licence["decisions"].as_u64()), (&Value::from("registration"), Some(1)));
    assert!(licence["p99_us"].as_u64().unwrap() > 0 && licence["hash"].as_str().unwrap().len() == 64, "{licence}");

    let table = policy(&site, &["list"]);
    let table = text(&table.stdout);
    let line = table.lines().find(|line| line.contains("licence")).unwrap();
    assert!(line.starts_with("20 ") && line.contains("running") && line.contains("registration"), "{table}");

    gateway.kill();
    let killed = policy(&site, &["list"]);
    assert_eq!(killed.status.code(), Some(1));
    assert!(text(&killed.stderr).contains("no gateway runs on the data folder"), "{killed:?}");
    // What the killed one left behind does not keep the next from showing itself.
    let gateway = site.start();
    assert_eq!(list(&site).len(), 4);
    assert!(gateway.terminate().0.success());
    assert!(!site.data().join("holdfast.sock").exists());
}

#[test]
fn the_operator_puts_back_what_ran_before_and_the_file_is_not_tried_again() {
    let site = Site::new();
    let gateway = site.start();
    let was = list(&site)[2].clone();
    assert_eq!((&was["name"], &was["previous"]), (&Value::from("internal"), &Value::Null));
    let nothing = policy(&site, &["rollback", "internal"]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(text(&nothing.stderr).contains("policy `internal` has nothing to go back to"), "{nothing:?}");

    let licence = fs::read(site.data().join("policies/20-licence.wasm")).unwrap();
    replace(&site, &licence, "30-internal.wasm");
    wait_for(&gateway, &site, |policy| policy["name"] == "internal" && policy["hash"] != was["hash"]);
    let now = list(&site)[2].clone();
    assert_eq!(now["previous"]["hash"], was["hash"]);

    let wrong = policy(&site, &["rollback", "intrenal"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("there is no policy `intrenal`; the nearest is `internal`"), "{wrong:?}");

    let done = policy(&site, &["rollback", "internal", "--json"]);
    assert!(done.status.success(), "{done:?}");
    let done: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((&done["from"]["hash"], &done["to"]["hash"]), (&now["hash"], &was["hash"]));
    let back = list(&site)[2].clone();
    assert_eq!((&back["state"], &back["hash"]), (&Value::from("rolled-back"), &was["hash"]));
    let table = policy(&site, &["list"]);
    assert!(text(&table.stdout).contains("the operator took back"), "{table:?}");

    // The folder is looked at again, and what was taken back is left alone; another file is taken.
    replace(&site, &fs::read(site.data().join("policies/10-emergency.wasm")).unwrap(), "50-other.wasm");
    wait_for(&gateway, &site, |policy| policy["name"] == "other");
    assert_eq!(list(&site)[2]["hash"], was["hash"]);
    replace(&site, &fs::read(site.data().join("policies/40-external.wasm")).unwrap(), "30-internal.wasm");
    wait_for(&gateway, &site, |policy| policy["name"] == "internal" && policy["state"] == "running");
    assert!(gateway.log().contains("policy rolled back"), "{}", gateway.log());
}

#[test]
fn what_is_counted_can_be_read_where_the_configuration_says_so() {
    let site = Site::new();
    site.edit(|text| text.replace("[limits]", "[metrics]\nlisten = \"127.0.0.1:0\"\n[limits]"));
    let gateway = site.start();
    let phone = Phone::new(&gateway);
    assert_eq!(phone.register(&Site::user(0), &Site::password(0), Some(600)), 200);
    let log = gateway.log();
    let address = log.split("metrics are at http://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_else(|| panic!("{log}"));
    let read = || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: holdfast\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = read();
    for line in [
        "HTTP/1.1 200 OK\r",
        "holdfast_policy_decisions_total{policy=\"licence\",hook=\"registration\",result=\"admit\"} 1",
        "holdfast_policy_faults_total{policy=\"licence\",hook=\"registration\",kind=\"trap\"} 0",
        "holdfast_policy_decision_seconds_count{policy=\"licence\",hook=\"registration\"} 1",
        "holdfast_policy_breaker_open{policy=\"internal\",hook=\"routing\"} 0",
        "holdfast_policy_swaps_total{policy=\"internal\"} 1",
        "holdfast_policy_state{policy=\"internal\",state=\"running\"} 1",
        "holdfast_registrations_total 1",
        "holdfast_bindings 1",
        "holdfast_licence_seats{pool=\"site\"} 50",
        "holdfast_licence_seats_taken{pool=\"site\"} 1",
        "# EOF",
    ] {
        assert!(answer.lines().any(|there| there == line.trim_end()), "{line} is not in {answer}");
    }
    // A file that is refused is counted, and the counters of the policy that stays go on.
    replace(&site, b"no component", "20-licence.wasm");
    gateway.wait_for_log("policy refused");
    let answer = read();
    for line in [
        "holdfast_policy_refusals_total{policy=\"licence\"} 1",
        "holdfast_policy_state{policy=\"licence\",state=\"outdated\"} 1",
        "holdfast_policy_decisions_total{policy=\"licence\",hook=\"registration\",result=\"admit\"} 1",
    ] {
        assert!(answer.lines().any(|there| there == line), "{line} is not in {answer}");
    }
}
