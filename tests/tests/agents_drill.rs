//! A site loses its cloud on purpose: phones whose settings files were imported register here with what stood in these, for a short time, and the drill says who came.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use std::{fs, path::Path, time::Duration};
use world::agents::{Baresip, Phone, Site, Subject, Way, holdfast, until};

/// Runs a command on the gateway that works on this data folder; the last object that it prints.
fn ask(data: &Path, arguments: &[&str]) -> (bool, Value) {
    let output = holdfast().args(arguments).arg("--json").arg("--data").arg(data).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("pw-"), "a password is shown: {text}");
    let last = text.lines().last().unwrap_or_default();
    (output.status.success(), serde_json::from_str(last).unwrap_or_else(|error| panic!("{arguments:?} said {text:?}: {error}")))
}

fn phone(extension: &str) -> Phone {
    Phone { extension: extension.to_owned() }
}

fn row<'a>(page: &'a Value, id: &str) -> &'a Value {
    page["phones"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap()
}

#[test]
fn imported_phones_come_in_a_drill_and_the_report_says_who_did_not() {
    let more = "[[licence]]\npool = \"site\"\nseats = 3\n\n[survivable]\nexpires_seconds = 20\nspread_percent = 0\n";
    let site = Site { more: more.to_owned(), ..Site::with_phones([1001]) };
    let subject = Subject::holdfast(&site);
    let data = subject.data();
    // As the installer has changed them, the gateway behind the cloud.
    let phones = subject.folder.path().join("phones");
    for (mac, extension) in [("001b4f002001", "2001"), ("001b4f002002", "2002")] {
        fs::create_dir_all(phones.join(mac)).unwrap();
        let text = format!(
            "SET SIP_CONTROLLER_LIST sip1vs=cloud.example.net:5096;transport=tls,127.0.0.1:{};transport=tls\r\nSET FORCE_SIP_USERNAME {extension}\r\n\
             SET FORCE_SIP_PASSWORD \"pw-{extension}\"\r\nSET FORCE_SIP_EXTENSION {extension}\r\n",
            subject.tls
        );
        fs::write(phones.join(mac).join("ACO_J1xx_Persistsettings.txt"), text).unwrap();
    }
    let (well, done) = ask(&data, &["endpoint", "import", &phones.display().to_string(), "--licence", "site"]);
    assert!(well && done["outcomes"] == json!({"added": 2}), "{done}");

    let (well, page) = ask(&data, &["drill"]);
    assert!(!well && page["survive"] == 0, "nobody was ever here: {page}");
    assert!(ask(&data, &["drill", "start", "the line is cut"]).0);
    let _first = Baresip::register(&subject, Way::Tls, &phone("2001"));
    let _other = Baresip::register(&subject, Way::Tcp, &phone("1001"));
    let (well, page) = ask(&data, &["drill"]);
    assert!(!well && page["survive"] == 2, "{page}");
    let of = |id: &str| (row(&page, id)["came"].clone(), row(&page, id)["carries"].clone(), row(&page, id)["failing"].clone());
    assert_eq!(of("2001"), (json!(true), json!(true), json!([])));
    assert_eq!(of("2002"), (json!(false), json!(true), json!(["absent"])));
    assert_eq!(of("phone-1001"), (json!(true), json!(null), json!([])));

    // A registration is short here: a real phone that asked for five minutes comes back before that.
    let seen = row(&page, "2001")["seen"].clone();
    until("the phone to refresh its registration", Duration::from_secs(60), || {
        let (_, page) = ask(&data, &["drill"]);
        (row(&page, "2001")["seen"] != seen).then_some(())
    });

    let _second = Baresip::register(&subject, Way::Tls, &phone("2002"));
    let (well, report) = ask(&data, &["drill", "stop"]);
    assert!(well && report["survive"] == 3 && report["drill"]["name"] == "the line is cut", "{report}");
    let (well, page) = ask(&data, &["drill"]);
    assert!(well && page["phones"].as_array().unwrap().iter().all(|row| row["drill"] == 1), "{page}");
}
