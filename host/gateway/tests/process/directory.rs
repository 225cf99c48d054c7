//! Endpoints of the store and a configuration file that changes beside them.

use crate::{gateway::Site, phone::Phone};
use serde_json::Value;
use std::process::{Command, Output};

fn run(site: &Site, arguments: &[&str]) -> (Output, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let output = command.args(arguments).arg("--json").arg("--data").arg(site.data()).output().unwrap();
    let said = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (output, said)
}

/// A phone of the store, of no user, with this username.
fn add(site: &Site, id: &str, username: &str) {
    let arguments = ["endpoint", "add", id, "--username", username, "--password", "secret", "--licence", "site"];
    let (output, said) = run(site, &arguments);
    assert!(output.status.success(), "{said}");
}

#[test]
fn a_saved_file_keeps_what_the_store_has_and_takes_nothing_from_it() {
    let site = Site::with_endpoints(1);
    let mut gateway = site.start();
    add(&site, "lobby", &Site::user(1));
    let (old, lobby) = (Phone::new(&gateway), Phone::new(&gateway));
    assert_eq!(old.register(&Site::user(0), &Site::password(0), Some(600)), 200);
    assert_eq!(lobby.register(&Site::user(1), "secret", Some(600)), 200);

    // A file that changes something else is taken over beside the store.
    site.edit(|text| format!("{text}{}", Site::endpoint(2)));
    gateway.wait_for_log("configuration in force");
    assert_eq!(Phone::new(&gateway).register(&Site::user(2), &Site::password(2), Some(600)), 200);
    // One that gives the phone's username to another is not, and the log names both places.
    site.edit(|text| format!("{text}{}", Site::endpoint(1)));
    gateway.wait_for_log("the one before stays in force");
    let log = gateway.log();
    assert!(
        log.contains(
            "the username `user-1` is that of endpoint `desk-1` in the configuration file, and that of endpoint `lobby` in the store"
        ),
        "{log}"
    );
    assert_eq!((lobby.register(&Site::user(1), "secret", None), lobby.contacts()), (200, 1));
    assert_eq!((old.register(&Site::user(0), &Site::password(0), None), old.contacts()), (200, 1));

    // At a start the file's comes first, nobody else goes without service, and it is said.
    gateway.kill();
    let gateway = site.start();
    assert!(gateway.log().contains("endpoint `lobby` of the store is not in force: the username `user-1` is that of endpoint `desk-1`"));
    assert_eq!(Phone::new(&gateway).register(&Site::user(1), &Site::password(1), Some(600)), 200);
    let (_, said) = run(&site, &["endpoint", "show", "lobby"]);
    assert!(said["trouble"].as_str().unwrap().contains("desk-1"), "{said}");
    let (output, _) = run(&site, &["endpoint", "set", "lobby", "--username", "lobby", "--password", "other"]);
    assert!(output.status.success());
    assert_eq!(Phone::new(&gateway).register("lobby", "other", Some(600)), 200, "with another name it is in force again");
}

#[test]
fn passwords_are_good_for_the_domain_that_they_were_made_for() {
    let site = Site::with_endpoints(1);
    let mut gateway = site.start();
    add(&site, "lobby", "lobby");
    gateway.kill();
    site.edit(|text| text.replace("domain = \"sip.example\"", "domain = \"sip.other\""));
    let gateway = site.start();
    let (_, said) = run(&site, &["endpoint", "show", "lobby"]);
    assert!(said["trouble"].as_str().unwrap().contains("made for the domain sip.example"), "{said}");
    assert_eq!(Phone::new(&gateway).register("lobby", "secret", Some(600)), 401);
    let (output, said) = run(&site, &["endpoint", "set", "lobby", "--new-password"]);
    assert!(output.status.success(), "{said}");
    let password = said["passwords"]["lobby"].as_str().unwrap();
    assert_eq!(Phone::new(&gateway).register("lobby", password, Some(600)), 200);
}
