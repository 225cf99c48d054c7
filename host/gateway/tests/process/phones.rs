//! `holdfast endpoint import` of the settings files that phones export: real files, a real gateway, and phones that register with what stood in them.

use crate::{gateway::Site, phone::Phone};
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const SECRET: &str = "kX8#q;Lw2%";

/// Runs a command, and looks that no password of a file is shown.
fn holdfast(site: &Site, arguments: &[&str], paths: &[&Path]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let output = command.args(arguments).args(paths).arg("--data").arg(site.data()).output().unwrap();
    let text = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
    assert!(!text.contains(SECRET) && !text.contains("pw-of-"), "a password is shown: {text}");
    (output.status.success(), text)
}

/// One object a file, and the sum.
fn import(site: &Site, more: &[&str], paths: &[&Path]) -> (bool, Vec<Value>, Value) {
    let (well, text) = holdfast(site, &[&["endpoint", "import", "--json"], more].concat(), paths);
    let mut rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {text}"))).collect();
    let done = rows.pop().unwrap();
    assert_eq!((&done["event"], &done["ok"]), (&json!("done"), &json!(well)), "{text}");
    (well, rows, done)
}

fn show(site: &Site, noun: &str, id: &str) -> Value {
    let (well, text) = holdfast(site, &[noun, "show", id, "--json"], &[]);
    assert!(well, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn aco() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../switch/tests/settings/001b4f0a1b2c/ACO_J1xx_Persistsettings.txt");
    fs::read_to_string(file).unwrap()
}

/// The file of a phone whose names all differ.
fn file_of(n: usize) -> String {
    aco()
        .replace("## MAC: 00:1B:4F:0A:1B:2C\n", "")
        .replace("802395710004", &format!("80239{n:07}"))
        .replace(SECRET, &format!("pw-of-{n}"))
        .replace("17205550142*101", &format!("1720555*{n}"))
}

/// A folder for each phone, as an installer keeps files that all have the same name.
fn put(folder: &Path, n: usize, text: &str) -> PathBuf {
    let phone = folder.join(format!("001b4f{n:06x}"));
    fs::create_dir_all(&phone).unwrap();
    let file = phone.join("ACO_J1xx_Persistsettings.txt");
    fs::write(&file, text).unwrap();
    file
}

fn errors(row: &Value) -> Vec<(u64, &str)> {
    let errors = row["findings"].as_array().unwrap().iter().filter(|finding| finding["severity"] == "error");
    errors.map(|finding| (finding["line"].as_u64().unwrap_or(0), finding["reason"].as_str().unwrap())).collect()
}

#[test]
fn a_phones_file_becomes_an_endpoint_a_user_and_a_phone_that_registers() {
    let site = Site::new();
    let gateway = site.start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ACO_J1xx_Persistsettings.txt");
    fs::write(&file, aco()).unwrap();
    let (well, rows, done) = import(&site, &["--licence", "site", "--dry-run"], &[&file]);
    assert!(well && rows[0]["outcome"] == "added" && done["dry_run"] == true, "{rows:?}");
    assert_eq!(Phone::new(&gateway).register("802395710004", SECRET, Some(600)), 401, "a dry run adds nothing");

    let (_, rows, done) = import(&site, &["--licence", "site"], &[&file]);
    let wanted = json!({
        "event": "file", "file": file, "outcome": "added", "what": "user user-17205550142-101 added", "endpoint": "802395710004", "username": "802395710004",
        "user": "user-17205550142-101", "extension": "17205550142*101", "mac": "001b4f0a1b2c", "model": "J179", "findings": [],
    });
    assert_eq!((&rows[0], &done["outcomes"]), (&wanted, &json!({"added": 1})));
    // At once, with the password of the file.
    let phone = Phone::new(&gateway);
    assert_eq!(phone.register("802395710004", SECRET, Some(600)), 200);
    let endpoint = show(&site, "endpoint", "802395710004");
    assert_eq!(
        (&endpoint["mac"], &endpoint["model"], &endpoint["licence"], &endpoint["extension"], &endpoint["registered"]),
        (&json!("001b4f0a1b2c"), &json!("J179"), &json!("site"), &json!("17205550142*101"), &json!(true))
    );
    let kept = endpoint["settings"].as_str().unwrap();
    assert!(kept.contains("SET SIP_CONTROLLER_LIST sip1vs=avayams") && !kept.contains("FORCE_SIP"), "{kept}");

    // Once more: nothing is different, and the phone stays where it is.
    let (_, rows, done) = import(&site, &[], &[&file]);
    assert_eq!((&rows[0]["outcome"], &done["ended"]), (&json!("unchanged"), &json!(0)));
    // Another password, another extension: it is shown what changes, and nothing is taken away.
    fs::write(&file, aco().replace(SECRET, "pw-of-new").replace("*101", "*102")).unwrap();
    let (_, rows, _) = import(&site, &["--dry-run"], &[&file]);
    let what = rows[0]["what"].as_str().unwrap();
    assert_eq!(
        (&rows[0]["outcome"], what),
        (
            &json!("changed"),
            "users: user-17205550142-101 -> user-17205550142-102, user-17205550142-101; password changed; user user-17205550142-102 added"
        )
    );
    import(&site, &[], &[&file]);
    assert_eq!(Phone::new(&gateway).register("802395710004", "pw-of-new", Some(600)), 200);
    assert_eq!(show(&site, "endpoint", "802395710004")["extension"], "17205550142*102");
    let (well, table) = holdfast(&site, &["endpoint", "import"], &[&file]);
    assert!(
        well && table.contains("unchanged     ACO_J1xx_Persistsettings.txt  J179  001b4f0a1b2c  802395710004 at 17205550142*102"),
        "{table}"
    );
}

#[test]
fn a_thousand_files_come_in_one_go_and_a_second_time_change_nothing() {
    const PHONES: usize = 1000;
    let site = Site::new();
    site.edit(|text| text.replace("seats = 50", "seats = 1000"));
    let gateway = site.start();
    let folder = tempfile::tempdir().unwrap();
    for n in 0..PHONES {
        put(folder.path(), n, &file_of(n));
    }
    let (well, rows, done) = import(&site, &["--licence", "site"], &[folder.path()]);
    assert!(well && done["outcomes"] == json!({"added": PHONES}) && rows.len() == PHONES, "{done}");
    for (n, row) in rows.iter().enumerate() {
        let names = (&row["username"], &row["extension"], &row["mac"]);
        assert_eq!(names, (&json!(format!("80239{n:07}")), &json!(format!("1720555*{n}")), &json!(format!("001b4f{n:06x}"))));
    }
    let (_, _, done) = import(&site, &["--licence", "site"], &[folder.path()]);
    assert_eq!(done["outcomes"], json!({"unchanged": PHONES}));
    for n in [0, 500, PHONES - 1] {
        assert_eq!(Phone::new(&gateway).register(&format!("80239{n:07}"), &format!("pw-of-{n}"), Some(600)), 200);
    }
    assert_eq!(show(&site, "endpoint", "802390000007")["history"].as_array().unwrap().len(), 1, "unchanged is not written down");

    // One file is changed, one comes new: these two, and nothing else.
    let changed = put(folder.path(), 3, &file_of(3).replace("1720555*3", "1720555*4"));
    put(folder.path(), PHONES, &file_of(PHONES));
    let (_, rows, done) = import(&site, &[], &[folder.path()]);
    assert_eq!(done["outcomes"], json!({"added": 1, "changed": 1, "unchanged": PHONES - 1}));
    let row = rows.iter().find(|row| row["outcome"] == "changed").unwrap();
    assert_eq!((&row["file"], &row["what"]), (&json!(changed), &json!("users: user-1720555-3 -> user-1720555-4, user-1720555-3")));
    let phones = show(&site, "user", "user-1720555-4")["endpoints"].clone();
    assert_eq!(phones.as_array().unwrap().len(), 2, "two phones of one user: {phones}");
}

#[test]
fn every_wrong_file_is_named_with_its_line_and_keeps_all_out_unless_it_is_skipped() {
    let site = Site::with_endpoints(2);
    let _gateway = site.start();
    let folder = tempfile::tempdir().unwrap();
    let good = put(folder.path(), 1, &file_of(1));
    let twins = [2, 3].map(|n| put(folder.path(), n, &file_of(2)));
    let bare = put(folder.path(), 4, &file_of(4).replace("SET FORCE_SIP_PASSWORD", "set FORCE_SIP_PASSWORD"));
    // What only the gateway knows: a number for help, an extension of the configuration, a username with a blank.
    let help = put(folder.path(), 5, &file_of(5).replace("1720555*5", "112"));
    let taken = put(folder.path(), 6, &file_of(6).replace("1720555*6", "1000"));
    let strange = put(folder.path(), 7, &file_of(7).replace("80239", "a@80239"));
    let other = put(folder.path(), 8, &file_of(8).replace("802390000008", "user-1"));
    // This one stands in the configuration with this very extension: there is nothing to do.
    let known = put(folder.path(), 9, &file_of(9).replace("802390000009", "user-1").replace("1720555*9", "1001"));
    fs::remove_file(&other).unwrap();
    let (well, rows, done) = import(&site, &[], &[folder.path()]);
    let of = |file: &Path| rows.iter().find(|row| row["file"] == json!(file)).unwrap();
    assert!(!well && done["dry_run"] == true, "{done}");
    assert_eq!(done["outcomes"], json!({"ready": 1, "configured": 1, "wrong": 6}));
    assert_eq!(of(&good)["outcome"], "ready");
    for (twin, other) in [(0, 1), (1, 0)] {
        let reason = format!("FORCE_SIP_USERNAME `802390000002` stands in {}:14, too", twins[other].display());
        assert_eq!(errors(of(&twins[twin])), [(14, reason.as_str())]);
    }
    assert_eq!(errors(of(&bare)), [(15, "FORCE_SIP_PASSWORD is missing: this line is a comment, since it does not begin with `SET `")]);
    assert_eq!(errors(of(&help)), [(16, "`112` is an emergency number: calls to it never reach a phone")]);
    assert_eq!(errors(of(&taken)), [(16, "the extension `1000` is that of endpoint `desk-0` in the configuration file")]);
    assert_eq!(errors(of(&strange)), [(14, "`a@802390000007` is not a username")]);
    assert_eq!(of(&known)["outcome"], "configured");
    let (well, text) = holdfast(&site, &["endpoint", "list", "80239"], &[]);
    assert!(well && !text.contains("80239"), "nothing is imported: {text}");
    let (_, text) = holdfast(&site, &["endpoint", "import"], &[folder.path()]);
    assert!(
        text.contains(&format!("error  {}:15: FORCE_SIP_PASSWORD is missing", bare.display())) && text.contains("--skip-wrong"),
        "{text}"
    );

    // The username of the configuration with another extension is a contradiction.
    fs::write(&known, file_of(9).replace("802390000009", "user-1")).unwrap();
    let (_, rows, done) = import(&site, &["--skip-wrong"], &[folder.path()]);
    assert_eq!(done["outcomes"], json!({"added": 1, "wrong": 7}));
    let row = rows.iter().find(|row| row["file"] == json!(known)).unwrap();
    assert!(errors(row)[0].1.contains("endpoint `desk-1` in the configuration file, whose extension is 1001, not 1720555*9"), "{row}");
    assert_eq!(show(&site, "endpoint", "802390000001")["extension"], "1720555*1");
}

#[test]
fn tables_and_settings_files_are_told_apart_and_not_mixed() {
    let site = Site::new();
    let gateway = site.start();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    // Each under the name of the other.
    let table = write("table.txt", "id,password,settings\nlobby,pw-of-lobby,\"SET FORCE_SIP_USERNAME x\nSET FORCE_SIP_PASSWORD y\"\n");
    let phone = write("phone.csv", &file_of(1));
    let neither = write("letter.doc", "Dear customer,\n");
    let (well, text) = holdfast(&site, &["endpoint", "import"], &[&table]);
    assert!(well && text.contains("1 lines: 1 added"), "{text}");
    assert_eq!(Phone::new(&gateway).register("lobby", "pw-of-lobby", Some(600)), 200);
    let (well, rows, _) = import(&site, &["--without-settings"], &[&phone]);
    assert!(well && rows[0]["outcome"] == "added");
    assert_eq!(show(&site, "endpoint", "802390000001")["settings"], "");
    for (arguments, paths, why) in [
        (&["endpoint", "import"][..], &[&*phone, &*table][..], "is a CSV file: import it alone"),
        (&["endpoint", "import"], &[&*neither], "is neither a CSV file (its first line names no column `id`) nor a phone's settings file"),
        (&["endpoint", "import", "--skip-wrong"], &[&*table], "are for settings files"),
        (&["endpoint", "import", "--passwords", "x"], &[&*phone], "--passwords is for CSV files"),
        (&["endpoint", "import"], &[Path::new("/nowhere/at/all")], "/nowhere/at/all cannot be read"),
    ] {
        let (well, text) = holdfast(&site, arguments, paths);
        assert!(!well && text.contains(why), "{text}");
    }
    // Too much to be kept is said, and who the phone is counts all the same.
    let long = write("long.txt", &format!("{}SET PHONEKEY \"{}\"\n", file_of(2), "x".repeat(20_000)));
    let (well, rows, _) = import(&site, &[], &[&long]);
    assert!(well && rows[0]["outcome"] == "added" && rows[0]["findings"][0]["rule"] == "not-kept", "{rows:?}");
}
