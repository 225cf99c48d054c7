//! `holdfast connect` and `holdfast hangup`, between phones on real sockets.

use crate::{gateway::Site, phone::Phone};
use serde_json::Value;
use std::process::Output;

fn run(site: &Site, arguments: &[&str]) -> (Output, Value) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let output = command.args(arguments).arg("--json").arg("--data").arg(site.data()).output().unwrap();
    let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output, said)
}

#[test]
fn two_phones_are_connected_and_parted() {
    let site = Site::with_endpoints(2);
    let gateway = site.start();
    let phones: Vec<_> = (0..2)
        .map(|n| {
            let phone = Phone::new(&gateway);
            assert_eq!(phone.register(&Site::user(n), &Site::password(n), Some(600)), 200);
            phone.answers()
        })
        .collect();
    let (output, said) = run(&site, &["connect", "1000", "1001", "--wait"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((&said["state"], &said["answered_by"]), (&"talking".into(), &"desk-1".into()), "{said}");

    let call_id = said["call_id"].as_str().unwrap();
    let (output, said) = run(&site, &["hangup", call_id]);
    assert!(output.status.success() && said["call_id"] == call_id, "{output:?}");
    for phone in phones {
        // An INVITE without an offer for both, one with the other's offer for the first, each acknowledged, and the end.
        let heard = phone.join().unwrap();
        assert_eq!(heard.last().map(String::as_str), Some("BYE"), "{heard:?}");
        let invites = heard.iter().filter(|method| *method == "INVITE").count();
        assert!((1..=2).contains(&invites) && heard.iter().filter(|method| *method == "ACK").count() == invites, "{heard:?}");
    }
    let (output, said) = run(&site, &["hangup", call_id]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said["reason"].as_str().unwrap().contains("no call has the Call-ID"), "{said}");
}

#[test]
fn what_cannot_be_connected_is_told_with_a_remedy() {
    let site = Site::with_endpoints(2);
    let gateway = site.start();
    for (from, to, reason) in
        [("4711", "1001", "nobody has the extension `4711`"), ("1000", "1001", "no phone of extension 1000 is registered")]
    {
        let (output, said) = run(&site, &["connect", from, to, "--wait"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said["reason"].as_str().unwrap().contains(reason) && !said["remedy"].as_str().unwrap().is_empty(), "{said}");
    }
    let phone = Phone::new(&gateway);
    assert_eq!(phone.register(&Site::user(0), &Site::password(0), Some(600)), 200);
    let phone = phone.answers();
    let (output, said) = run(&site, &["connect", "1000", "1001", "--wait", "--auto-answer"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!((&said["state"], &said["status"]), (&"ended".into(), &480.into()), "{said}");
    assert_eq!(phone.join().unwrap(), ["INVITE", "ACK", "BYE"]);
}
