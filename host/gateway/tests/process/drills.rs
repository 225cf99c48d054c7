//! `holdfast drill`: phones register or do not, the gateway is killed in the middle, and the report says what was seen.

use crate::{gateway::Site, phone::Phone};
use serde_json::{Value, json};
use std::{fs, path::Path, process::Command};

fn holdfast(site: &Site, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast")).args(arguments).arg("--data").arg(site.data()).output().unwrap();
    let text = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
    assert!(!text.contains("secret-"), "a password is shown: {text}");
    (output.status.success(), text)
}

fn drill(site: &Site, arguments: &[&str]) -> (bool, Value) {
    let (well, text) = holdfast(site, &[&["--json", "drill"], arguments].concat());
    (well, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}")))
}

/// What fails of each phone, by id.
fn failing(page: &Value) -> Vec<(String, Value)> {
    page["phones"].as_array().unwrap().iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row["failing"].clone())).collect()
}

fn phone<'a>(page: &'a Value, id: &str) -> &'a Value {
    page["phones"].as_array().unwrap().iter().find(|row| row["id"] == id).unwrap()
}

fn wanted(rows: &[(&str, Value)]) -> Vec<(String, Value)> {
    rows.iter().map(|(id, failing)| ((*id).to_owned(), failing.clone())).collect()
}

/// The settings file of a phone, with these controllers behind its cloud's.
fn put(folder: &Path, name: &str, username: &str, more: &str) {
    let text = format!(
        "SET SIP_CONTROLLER_LIST cloud.example.net:5096;transport=tls{more}\nSET FORCE_SIP_USERNAME {username}\nSET FORCE_SIP_PASSWORD secret-x\nSET FORCE_SIP_EXTENSION 1\n"
    );
    fs::write(folder.join(name), text).unwrap();
}

fn register(phone: &Phone, n: usize, seconds: u32) {
    assert_eq!(phone.register(&Site::user(n), &Site::password(n), Some(seconds)), 200);
}

#[test]
fn what_stands_between_a_phone_and_surviving_a_loss_is_told_with_its_remedy() {
    let site = Site::with_endpoints(4);
    site.edit(|text| text.replace("seats = 50", "seats = 2").replace("username = \"user-3\"", "username = \"user-3\"\nenabled = false"));
    let gateway = site.start();
    // Nobody was ever here; two seats for three phones that may register.
    let (well, page) = drill(&site, &[]);
    assert!(!well);
    let never = json!(["never-seen"]);
    let all = [
        ("desk-0", never.clone()),
        ("desk-1", never.clone()),
        ("desk-2", json!(["unlicensed", "never-seen"])),
        ("desk-3", json!(["disabled", "never-seen"])),
    ];
    assert_eq!(failing(&page), wanted(&all));
    assert_eq!((&page["survive"], &page["of"], &page["failing"]["never-seen"]), (&json!(0), &json!(4), &json!(4)));
    assert_eq!(phone(&page, "desk-2")["unlicensed"], "all 2 seats are taken");

    // Who is registered keeps its seat; who was is remembered, and nobody is given a seat by being looked at.
    let (two, one) = (Phone::new(&gateway), Phone::new(&gateway));
    register(&two, 2, 600);
    register(&one, 1, 600);
    register(&one, 1, 0);
    let (_, page) = drill(&site, &[]);
    assert_eq!(
        failing(&page),
        wanted(&[
            ("desk-0", never),
            ("desk-1", json!(["unlicensed"])),
            ("desk-2", json!([])),
            ("desk-3", json!(["disabled", "never-seen"]))
        ])
    );
    assert_eq!((&phone(&page, "desk-2")["registered"], &phone(&page, "desk-1")["registered"]), (&json!(true), &json!(false)));
    assert!(phone(&page, "desk-1")["seen"].is_string() && phone(&page, "desk-0")["seen"].is_null());
    let (_, licences) = holdfast(&site, &["licence", "show", "site", "--json"]);
    let licences: Value = serde_json::from_str(&licences).unwrap();
    assert_eq!((&licences["taken"], &licences["waiting"]), (&json!(1), &json!(0)));

    // The phones' own files: one leads here, one elsewhere, one is of a phone that nobody knows, one is nobody's.
    let folder = tempfile::tempdir().unwrap();
    let tcp = gateway.addresses.iter().find_map(|address| address.strip_prefix("tcp:")).unwrap();
    put(folder.path(), "one.txt", "user-1", &format!(",{tcp};transport=tcp"));
    put(folder.path(), "two.txt", "user-2", ",192.0.2.77:5060;transport=tcp");
    put(folder.path(), "nine.txt", "user-9", "");
    fs::write(folder.path().join("letter.txt"), "Dear customer\n").unwrap();
    let settings = folder.path().display().to_string();
    let (_, page) = drill(&site, &["--settings", &settings]);
    assert_eq!(page["controllers"].as_array().unwrap().len(), 2, "{page}");
    assert_eq!((&phone(&page, "desk-1")["carries"], &phone(&page, "desk-2")["failing"]), (&json!(true), &json!(["settings"])));
    let nine = page["phones"].as_array().unwrap().last().unwrap();
    assert_eq!((&nine["username"], &nine["known"], &nine["failing"]), (&json!("user-9"), &json!(false), &json!(["unknown"])));
    assert!(page["strange_files"][0].as_str().unwrap().ends_with("letter.txt"));
    // Another address is another question.
    let (_, page) = drill(&site, &["--settings", &settings, "--controller", "192.0.2.77", "--transport", "tcp"]);
    assert_eq!((&phone(&page, "desk-1")["carries"], &phone(&page, "desk-2")["carries"]), (&json!(false), &json!(true)));

    let (well, table) = holdfast(&site, &["drill", "--failing", "--settings", &settings]);
    let table: Vec<String> = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    let table = table.join("\n");
    assert!(!well, "{table}");
    for text in [
        "desk-3 1003 yes no site ? never never no\n",
        "0 of 5 phones would survive a loss of their cloud\n",
        "1 without a licence seat\nraise `seats`",
        "1 not in the directory\nimport their settings files",
        "1 files of which it cannot be told whose they are",
    ] {
        assert!(table.contains(text), "{text}: {table}");
    }
}

#[test]
fn a_drill_is_kept_from_its_beginning_to_its_report_also_when_the_gateway_is_killed() {
    let site = Site::with_endpoints(3);
    let mut gateway = site.start();
    site.listen_on(&gateway);
    let phones: Vec<Phone> = (0..3).map(|_| Phone::new(&gateway)).collect();
    register(&phones[0], 0, 600);
    register(&phones[2], 2, 600);
    assert_eq!(drill(&site, &["stop"]).1["reason"], "no drill runs");

    let (well, begun) = drill(&site, &["start", "spring"]);
    assert!(well && begun["number"] == 1 && begun["name"] == "spring", "{begun}");
    let (well, refused) = drill(&site, &["start"]);
    assert!(
        !well
            && refused["reason"].as_str().unwrap().starts_with("drill 1 runs since")
            && refused["remedy"].as_str().unwrap().contains("drill stop")
    );
    // Who was here before has not come yet.
    let (well, page) = drill(&site, &[]);
    assert!(!well && page["drill"]["name"] == "spring");
    assert_eq!(failing(&page), wanted(&[("desk-0", json!(["absent"])), ("desk-1", json!(["absent"])), ("desk-2", json!(["absent"]))]));

    // One refreshes, one comes and goes; then the gateway is killed.
    register(&phones[0], 0, 600);
    register(&phones[1], 1, 600);
    register(&phones[1], 1, 0);
    gateway.kill();
    let gateway = site.start();
    let (_, page) = drill(&site, &[]);
    assert_eq!((&page["drill"]["number"], &page["survive"]), (&json!(1), &json!(2)), "{page}");
    assert_eq!(failing(&page), wanted(&[("desk-0", json!([])), ("desk-1", json!([])), ("desk-2", json!(["absent"]))]));
    let (_, table) = holdfast(&site, &["drill"]);
    assert!(
        table.contains("drill 1 `spring` by")
            && table.contains("2 of 3 phones survive so far")
            && table.contains("1 not registered in this drill"),
        "{table}"
    );

    let (well, report) = drill(&site, &["stop"]);
    assert!(!well && report["ok"] == false && report["drill"]["ended"].is_string(), "one has not come: {report}");
    let (_, again) = drill(&site, &["report", "1"]);
    assert_eq!(again["phones"], report["phones"]);
    // What comes later changes no report, and who came is remembered with the drill.
    register(&phones[2], 2, 600);
    assert_eq!(drill(&site, &["report", "1"]).1["phones"], report["phones"]);
    let (well, page) = drill(&site, &[]);
    assert!(well, "all have been here: {page}");
    let drills: Vec<&Value> = page["phones"].as_array().unwrap().iter().map(|row| &row["drill"]).collect();
    assert_eq!(drills, [&json!(1), &json!(1), &json!(null)]);

    assert_eq!(drill(&site, &["start"]).1["number"], 2);
    for (n, phone) in phones.iter().enumerate() {
        register(phone, n, 600);
    }
    let (well, report) = drill(&site, &["stop"]);
    assert!(well && report["survive"] == 3, "{report}");
    let (_, list) = drill(&site, &["list"]);
    let names: Vec<(&Value, &Value)> = list["drills"].as_array().unwrap().iter().map(|drill| (&drill["number"], &drill["name"])).collect();
    assert_eq!(names, [(&json!(2), &json!("")), (&json!(1), &json!("spring"))]);
    assert_eq!(drill(&site, &["report", "3"]).1["reason"], "there is no report of a drill 3");
    assert!(gateway.log().matches("drill has").count() >= 3, "{}", gateway.log());
}
