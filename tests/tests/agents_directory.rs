//! Endpoints and users that are made by command while the gateway runs: real softphones register with them at once, ring as their user's extension says,
//! and are disabled in the middle of a call. Then the gateway is killed, and everything is still there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use std::{fs, path::Path, process::Command, time::Duration};
use world::agents::{
    Baresip, DOMAIN, Line, Order, PATIENCE, Phone, Process, Sign, Site, Softphone as _, Subject, Way, free_ports, holdfast, sipp, until,
};

/// Runs a command on the gateway that works on this data folder.
fn ask(data: &Path, arguments: &[&str]) -> (bool, Value) {
    let output = holdfast().args(arguments).arg("--json").arg("--data").arg(data).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.success(), serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?} said {text:?}: {error}")))
}

fn done(data: &Path, arguments: &[&str]) -> Value {
    let (well, said) = ask(data, arguments);
    assert!(well, "{arguments:?}: {said}");
    said
}

fn refused(data: &Path, arguments: &[&str]) -> String {
    let (well, said) = ask(data, arguments);
    assert!(!well, "{arguments:?}: {said}");
    said["problems"].as_array().unwrap().iter().map(|problem| problem["reason"].as_str().unwrap()).collect::<Vec<_>>().join("; ")
}

fn phone(extension: &str) -> Phone {
    Phone { extension: extension.to_owned() }
}

/// A site with one phone in its configuration, two seats, and a way out for calls for help.
fn site(trunk: u16) -> Site {
    let more = format!(
        "[[licence]]\npool = \"site\"\nseats = 2\n\n[[trunk]]\nname = \"provider\"\noptions_seconds = 0\nuri = \"sip:127.0.0.1:{trunk};transport=udp\"\n\n\
         [emergency]\nnumbers = [\"112\"]\ntrunks = [\"provider\"]\nnetworks = [\"127.0.0.0/8\"]\n"
    );
    Site { limits: "ring_seconds = 30\n".into(), more, ..Site::with_phones([1001]) }
}

/// A REGISTER of this phone with the right password is answered 403.
fn is_refused(subject: &Subject, extension: u32) {
    let line = Line::new(subject, Way::Udp);
    let mut register = sipp(subject, &line, Way::Udp, extension, "register-refused");
    register.args(["-m", "1"]);
    let code = Process::start("sipp-refused", register, subject.folder.path()).wait(Duration::from_secs(20));
    assert_eq!(code, 0, "{}", subject.errors());
}

fn talks(caller: &mut Baresip, callee: &mut Baresip, number: &str) {
    caller.command("dial", &format!("sip:{number}@{DOMAIN}"));
    callee.event("CALL_INCOMING");
    callee.command("accept", "");
    caller.event("CALL_ESTABLISHED");
    callee.event("CALL_ESTABLISHED");
}

#[test]
fn an_endpoint_is_added_called_disabled_in_a_call_and_outlives_a_kill() {
    let trunk_port = free_ports(1);
    let site = site(trunk_port);
    let subject = Subject::holdfast(&site);
    let data = subject.data();
    done(&data, &["user", "add", "alice", "--extension", "2000", "--name", "Alice"]);
    let added = ["endpoint", "add", "2001", "--password", "pw-2001", "--licence", "site", "--user", "alice"];
    assert_eq!(done(&data, &added)["changes"], json!([{"kind": "endpoint", "id": "2001", "what": "added"}]));
    let second = ["endpoint", "add", "2002", "--password", "pw-2002", "--user", "alice", "--kind", "softphone"];
    done(&data, &second);
    // What stands in the file stays there.
    assert_eq!(refused(&data, &["endpoint", "disable", "phone-1001"]), "endpoint `phone-1001` stands in the configuration file");
    assert_eq!(
        refused(&data, &["user", "set", "alice", "--extension", "1001"]),
        "the extension `1001` is that of endpoint `phone-1001` in the configuration file"
    );

    // Both phones of the user ring; one answers.
    let [mut caller, mut desk, mut mobile] =
        ["1001", "2001", "2002"].map(|extension| Baresip::register(&subject, Way::Udp, &phone(extension)));
    assert_eq!(done(&data, &["endpoint", "show", "2001"])["registered"], true);
    caller.command("dial", &format!("sip:2000@{DOMAIN}"));
    let incoming = desk.event("CALL_INCOMING");
    assert!(incoming["peeruri"].as_str().unwrap().contains("1001"), "{incoming}");
    mobile.event("CALL_INCOMING");
    desk.command("accept", "");
    caller.event("CALL_ESTABLISHED");
    desk.event("CALL_ESTABLISHED");
    caller.event("CALL_RTPESTAB");
    mobile.event("CALL_CLOSED");

    // It is disabled: nobody is registered there any more, its seat is free, and the call goes on in both directions.
    let disabled = done(&data, &["endpoint", "disable", "2001"]);
    assert_eq!((&disabled["ended"], &disabled["changes"][0]["what"]), (&json!(1), &json!("status: enabled -> disabled")));
    assert_eq!(done(&data, &["endpoint", "show", "2001"])["bindings"], json!([]));
    is_refused(&subject, 2001);
    done(&data, &["endpoint", "set", "2002", "--licence", "site"]);
    assert_eq!(done(&data, &["endpoint", "show", "2002"])["registered"], true, "a change of another kind ends no registration");
    desk.tell(Order::Hold).unwrap();
    caller.shows(Sign::Held).unwrap();
    desk.tell(Order::Resume).unwrap();
    caller.shows(Sign::Freed).unwrap();
    desk.command("hangup", "");
    caller.event("CALL_CLOSED");
    desk.event("CALL_CLOSED");

    // A disabled phone may still call for help.
    let line = Line::new(&subject, Way::Udp);
    let mut trunk = sipp(&subject, &line, Way::Udp, 1, "answer");
    trunk.args(["-p", &trunk_port.to_string()]);
    let _trunk = Process::start("sipp-trunk", trunk, subject.folder.path());
    until("the trunk to listen", PATIENCE, || {
        fs::read_to_string("/proc/net/udp").unwrap().contains(&format!("0100007F:{trunk_port:04X} ")).then_some(())
    });
    desk.fresh();
    desk.command("dial", &format!("sip:112@{DOMAIN}"));
    desk.event("CALL_ESTABLISHED");
    desk.command("hangup", "");
    desk.event("CALL_CLOSED");

    // The user is at another extension from now on, and only the second phone rings.
    done(&data, &["user", "set", "alice", "--extension", "2100"]);
    caller.fresh();
    mobile.fresh();
    talks(&mut caller, &mut mobile, "2100");

    // Killed and started again: nothing is lost, the call goes on.
    let (ports, folder) = ((subject.sip, subject.tls), subject.folder);
    assert!(Command::new("kill").args(["-KILL", &subject.process.id().to_string()]).status().unwrap().success());
    drop(subject.process);
    let subject = Subject::holdfast_at(&site, folder, ports.0, ports.1);
    let page = done(&data, &["endpoint", "show", "2001"]);
    assert_eq!((&page["enabled"], &page["users"]), (&json!(false), &json!([{"user": "alice", "rings": true}])));
    let history: Vec<&str> = page["history"].as_array().unwrap().iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    assert_eq!(history, ["status: enabled -> disabled", "added"]);
    let alice = done(&data, &["user", "show", "alice"]);
    assert_eq!((&alice["extension"], alice["history"].as_array().unwrap().len()), (&json!("2100"), 2));
    let registered = |id: &str| done(&data, &["endpoint", "show", id])["registered"].clone();
    assert_eq!((registered("2001"), registered("2002"), registered("phone-1001")), (json!(false), json!(true), json!(true)));
    is_refused(&subject, 2001);
    mobile.command("hangup", "");
    caller.event("CALL_CLOSED");
    mobile.event("CALL_CLOSED");
    caller.fresh();
    mobile.fresh();
    talks(&mut caller, &mut mobile, "2100");

    // Enabled again, the phone can register, now that its seat is free.
    done(&data, &["endpoint", "disable", "2002"]);
    done(&data, &["endpoint", "enable", "2001"]);
    drop(desk);
    let _desk = Baresip::register(&subject, Way::Udp, &phone("2001"));
}

/// Ten thousand endpoints and users by file: all of it or nothing, and out again as it came.
#[test]
fn ten_thousand_endpoints_come_and_go_as_files() {
    const MANY: usize = 10_000;
    let subject = Subject::holdfast(&site(free_ports(1)));
    let (data, folder) = (subject.data(), subject.folder.path().to_owned());
    let file = |name: &str| folder.join(name).display().to_string();
    let (users, phones) = (file("users.csv"), file("phones.csv"));
    let text: String = (0..MANY).map(|n| format!("user-{n},\"User, {n}\",3{n:05},+44203{n:05}\n")).collect();
    fs::write(&users, format!("id,name,extension,numbers\n{text}")).unwrap();
    let row = |n: usize| format!("tel-{n},pw-{n},00:1b:4f:{:02x}:{:02x}:{:02x},site,user-{n}\n", n >> 16, n >> 8 & 0xff, n & 0xff);
    let header = "id,password,mac,licence,users\n";
    let text: String = (0..MANY).map(row).collect();
    fs::write(&phones, format!("{header}{text}")).unwrap();

    // Lines that are wrong are named, and nothing of such a file is made.
    let wrong = file("wrong.csv");
    fs::write(&wrong, format!("{header}{}{}tel-8,x,00:1b:4f:00:00:01,gold,nobody\n", row(0), row(1))).unwrap();
    let (well, said) = ask(&data, &["endpoint", "import", &wrong]);
    let lines: Vec<_> = said["problems"].as_array().unwrap().iter().map(|problem| problem["line"].as_u64().unwrap()).collect();
    assert!(!well && lines == [2, 3, 4, 4, 4], "{said}");

    assert_eq!(done(&data, &["user", "import", &users])["added"], MANY);
    let dry = done(&data, &["endpoint", "import", &phones, "--dry-run"]);
    assert_eq!((&dry["added"], &dry["dry_run"]), (&json!(MANY), &json!(true)));
    assert_eq!(done(&data, &["endpoint", "list", "tel-"])["endpoints"], json!([]), "a dry run adds nothing");
    assert_eq!(done(&data, &["endpoint", "import", &phones])["added"], MANY);
    let again = done(&data, &["user", "import", &users]);
    assert_eq!((&again["changed"], &again["unchanged"]), (&json!(0), &json!(MANY)));

    // What goes out comes in again and changes nothing.
    let out = file("out.csv");
    assert_eq!(done(&data, &["endpoint", "export", &out])["lines"], MANY);
    assert_eq!(done(&data, &["endpoint", "import", &out])["unchanged"], MANY);
    let text = fs::read_to_string(&out).unwrap();
    fs::write(&out, text.replace("tel-77,desk-phone,", "tel-77,softphone,")).unwrap();
    let changed = done(&data, &["endpoint", "import", &out]);
    assert_eq!(changed["changes"], json!([{"kind": "endpoint", "id": "tel-77", "what": "kind: desk-phone -> softphone"}]));

    // Passwords that are made are written down, for nobody else to read.
    let (bare, secrets) = (file("bare.csv"), file("secrets.csv"));
    fs::write(&bare, "id\nnew-1\nnew-2\n").unwrap();
    assert!(!ask_without_answer(&data, &["endpoint", "import", &bare]), "nobody would know them");
    assert_eq!(done(&data, &["endpoint", "import", &bare, "--passwords", &secrets])["added"], 2);
    assert_eq!(fs::read_to_string(&secrets).unwrap().lines().count(), 3);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&secrets).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let _phone = Baresip::register(&subject, Way::Tcp, &phone("1001"));
}

fn ask_without_answer(data: &Path, arguments: &[&str]) -> bool {
    holdfast().args(arguments).arg("--data").arg(data).output().unwrap().status.success()
}
