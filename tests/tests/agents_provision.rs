//! A softphone that knows nothing but where to ask: it fetches the root over HTTP, then its settings over HTTPS as a J100 phone does, file by file, and registers over TLS
//! with what was served and nothing else. It is called, and calls.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};
use switch::settings::{CONTROLLER_LIST, Entry, Settings, Statement, Transport};
use world::agents::{Account, Baresip, DOMAIN, Folder, Site, Subject, Way, free_ports, holdfast, tool};

/// Runs a command on the gateway that works on this data folder.
fn done(data: &Path, arguments: &[&str]) -> Value {
    let output = holdfast().args(arguments).arg("--json").arg("--data").arg(data).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A phone as it comes out of its box: a hardware address, and where its installer pointed it.
struct Boxed {
    mac: &'static str,
    server: String,
    root: PathBuf,
    parameters: BTreeMap<String, String>,
}

impl Boxed {
    /// Fetches a file and does what it says: `SET` overrides, `GET` goes on in another file.
    fn follow(&mut self, name: &str) {
        let url = format!("{}/{name}", self.server);
        let output =
            Command::new(tool("curl")).args(["--silent", "--show-error", "--fail", "--cacert"]).arg(&self.root).arg(&url).output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        let mut next = None;
        for line in Settings::new(&output.stdout).unwrap().lines() {
            match line.statement {
                Statement::Set(set) => {
                    let value = set.value().unwrap().content();
                    let name = String::from_utf8(set.name.to_vec()).unwrap();
                    self.parameters.insert(name, String::from_utf8(value.to_vec()).unwrap());
                }
                Statement::Get => next = Some(String::from_utf8(line.text[4..].to_vec()).unwrap()),
                Statement::Comment => {}
                other => panic!("{name}: {other:?}"),
            }
        }
        if let Some(next) = next {
            self.follow(&next.replace("$MACADDR", self.mac));
        }
    }

    /// What it has been told.
    fn account(&self) -> Account {
        let told = |name: &str| {
            self.parameters.get(name).unwrap_or_else(|| panic!("nobody has said {name}: {:?}", self.parameters.keys())).clone()
        };
        let list = told(CONTROLLER_LIST);
        let controller = Entry::list(list.as_bytes()).next().unwrap();
        assert_eq!(controller.way(), Some(Transport::Tls));
        let host = std::str::from_utf8(controller.host).unwrap();
        assert_eq!(told("TRUSTCERTS"), "WebRootCA.pem");
        Account {
            username: told("FORCE_SIP_USERNAME"),
            password: told("FORCE_SIP_PASSWORD"),
            extension: told("FORCE_SIP_EXTENSION"),
            domain: told("SIPDOMAIN"),
            server: format!("{host}:{}", controller.port().unwrap().unwrap()),
            way: Way::Tls,
            authority: self.root.clone(),
        }
    }

    /// Takes it out of the box: the root comes over HTTP, since nothing is trusted yet.
    fn boot(mac: &'static str, server: String, first: &str, folder: &Path) -> Self {
        let root = folder.join(format!("{mac}.pem"));
        let fetched =
            Command::new(tool("curl")).args(["--silent", "--show-error", "--fail", first, "--output"]).arg(&root).output().unwrap();
        assert!(fetched.status.success(), "{fetched:?}");
        let mut phone = Self { mac, server, root, parameters: BTreeMap::new() };
        phone.follow("J100Supgrade.txt");
        phone
    }
}

#[test]
fn a_phone_that_knows_only_where_to_ask_registers_over_tls_and_talks() {
    let ports = free_ports(4);
    let (sip, tls, https, http) = (ports, ports + 1, ports + 2, ports + 3);
    let more = format!(
        "[provision]\nhttps = \"127.0.0.1:{https}\"\nhttp = \"127.0.0.1:{http}\"\ncontroller = \"127.0.0.1:{tls}\"\nknown_by = \"token\"\n"
    );
    let site = Site { limits: "ring_seconds = 30\n".to_owned(), more, ..Site::with_phones([1001]) };
    let subject = Subject::holdfast_at(&site, Folder::new(), sip, tls);
    let data = subject.data();
    done(&data, &["user", "add", "alice", "--extension", "2000", "--name", "Alice"]);
    // Its password is made by the gateway, and nobody here looks at it.
    done(&data, &["endpoint", "add", "desk-7", "--mac", "00:1b:4f:00:00:07", "--user", "alice"]);
    let token = done(&data, &["endpoint", "token", "desk-7"])["token"].as_str().unwrap().to_owned();

    let root = format!("http://127.0.0.1:{http}/WebRootCA.pem");
    let boxed = Boxed::boot("001B4F000007", format!("https://127.0.0.1:{https}/token/{token}"), &root, subject.folder.path());
    let account = boxed.account();
    assert_eq!((account.domain.as_str(), account.extension.as_str(), account.username.as_str()), (DOMAIN, "2000", "desk-7"));
    assert_eq!(account.server, format!("127.0.0.1:{tls}"));

    let mut desk = Baresip::with_account(&subject, &account);
    // It knows no other port of the gateway than that of TLS.
    assert_eq!(done(&data, &["endpoint", "show", "desk-7"])["registered"], true);
    let mut other = Baresip::register(&subject, Way::Tls, &site.phones[0]);
    other.command("dial", &format!("sip:2000@{DOMAIN}"));
    desk.event("CALL_INCOMING");
    desk.command("accept", "");
    other.event("CALL_ESTABLISHED");
    desk.event("CALL_RTPESTAB");
    other.command("hangup", "");
    desk.event("CALL_CLOSED");
}
