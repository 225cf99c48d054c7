//! `holdfast settings` on real folders: the program is run, and what lies on the disk afterwards is compared octet by octet.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use serde_json::Value;
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
};

const LIST: &str = "SET SIP_CONTROLLER_LIST sip1vs=avayams.int.rclabenv.com:5096;transport=tls";
const SECRET: &str = "kX8#q;Lw2%";

fn holdfast(arguments: &[&str], paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_holdfast")).arg("settings").args(arguments).args(paths).output().unwrap()
}

fn said(output: &Output) -> String {
    let text = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
    assert!(!text.contains(SECRET) && !text.contains("b ue-Sky"), "a password is shown: {text}");
    text
}

/// One object a line; the last is the sum.
fn rows(output: &Output) -> (Vec<Value>, Value) {
    let text = said(output);
    let mut rows: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect();
    let done = rows.pop().unwrap();
    assert_eq!(done["event"], "done");
    (rows, done)
}

/// Files as phones export them.
fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../switch/tests/settings")
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(fixtures().join(name)).unwrap()
}

fn aco() -> Vec<u8> {
    fixture("001b4f0a1b2c/ACO_J1xx_Persistsettings.txt")
}

/// A folder for each phone, as an installer keeps files that all have the same name.
fn phones(count: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = String::from_utf8(aco()).unwrap();
    for phone in 0..count {
        let mac = format!("001b4f{phone:06x}");
        let text = text.replace("## MAC: 00:1B:4F:0A:1B:2C\n", "").replace("*101", &format!("*{}", 1000 + phone));
        fs::create_dir(folder.path().join(&mac)).unwrap();
        fs::write(folder.path().join(mac).join("ACO_J1xx_Persistsettings.txt"), text).unwrap();
    }
    folder
}

#[test]
fn a_thousand_files_get_the_gateway_and_nothing_else() {
    let phones = phones(1000);
    let out = tempfile::tempdir().unwrap();
    let ready = out.path().join("ready");
    let arguments = ["export", "--json", "--controller", "148.147.171.101", "--transport", "tcp", "--out", ready.to_str().unwrap()];
    let output = holdfast(&arguments, &[phones.path()]);
    let (files, done) = rows(&output);
    assert!(output.status.success(), "{done}");
    assert_eq!((files.len(), &done["files"], &done["outcomes"]["written"], &done["ok"]), (1000, &1000.into(), &1000.into(), &true.into()));
    let mut inodes = Vec::new();
    for (phone, row) in files.iter().enumerate() {
        let mac = format!("001b4f{phone:06x}");
        assert_eq!((&row["mac"], &row["model"], &row["outcome"]), (&mac.as_str().into(), &"J179".into(), &"written".into()), "{row}");
        assert_eq!(row["extension"], format!("17205550142*{}", 1000 + phone));
        let name = Path::new(&mac).join("ACO_J1xx_Persistsettings.txt");
        let before = fs::read_to_string(phones.path().join(&name)).unwrap();
        let written = ready.join(&name);
        assert_eq!(fs::read_to_string(&written).unwrap(), before.replace(LIST, &format!("{LIST},148.147.171.101:5060;transport=tcp")));
        assert!(!before.contains("148.147.171.101"), "the file that was read is as it was");
        let metadata = fs::metadata(&written).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "it holds a password");
        inodes.push(metadata.ino());
    }
    let again = holdfast(&arguments, &[phones.path()]);
    assert_eq!((again.status.success(), &rows(&again).1["outcomes"]["unchanged"]), (true, &1000.into()));
    for (phone, inode) in inodes.into_iter().enumerate() {
        let file = ready.join(format!("001b4f{phone:06x}/ACO_J1xx_Persistsettings.txt"));
        assert_eq!(fs::metadata(file).unwrap().ino(), inode, "a second time writes nothing");
    }
    let check = ["check", "--json", "--controller", "148.147.171.101", "--transport", "tcp"];
    assert!(holdfast(&check, &[&ready]).status.success(), "every file leads to the gateway");
    let (unchanged, _) = rows(&holdfast(&check, &[phones.path()]));
    assert!(unchanged.iter().all(|row| row["findings"].to_string().contains("not-carried")));
}

#[test]
fn without_being_told_where_nothing_is_written() {
    let phones = phones(3);
    let output = holdfast(&["export", "--controller", "holdfast.example.net"], &[phones.path()]);
    let text = said(&output);
    assert!(output.status.success(), "{text}");
    assert_eq!(text.matches("would change").count(), 4, "each file, and the sum: {text}");
    assert!(
        text.contains("at the end of SIP_CONTROLLER_LIST: holdfast.example.net:5061;transport=tls")
            && text.contains("*1000  line 13\n")
            && text.contains("nothing is written"),
        "{text}"
    );
    assert!(text.contains("3 files, first: 001b4f000000") && text.contains("DNS server at the site"), "{text}");
    for phone in 0..3 {
        let folder = phones.path().join(format!("001b4f{phone:06x}"));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        assert!(!fs::read_to_string(folder.join("ACO_J1xx_Persistsettings.txt")).unwrap().contains("holdfast"));
    }
}

#[test]
fn files_are_changed_in_place_when_asked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("J159 00-1B-4F-0A-1B-2D.txt");
    let before = fixture("J159 00-1B-4F-0A-1B-2D.txt");
    fs::write(&file, &before).unwrap();
    let arguments = ["export", "--json", "--overwrite", "--controller", "192.0.2.10"];
    let (files, _) = rows(&holdfast(&arguments, &[&file]));
    assert_eq!((&files[0]["outcome"], &files[0]["mac"], &files[0]["model"]), (&"written".into(), &"001b4f0a1b2d".into(), &"J159".into()));
    let after = fs::read(&file).unwrap();
    let new = b",192.0.2.10:5061;transport=tls";
    let place = after.windows(new.len()).position(|part| part == new).expect("the gateway is in it");
    assert_eq!([&after[..place], &after[place + new.len()..]].concat(), before);
    let (files, _) = rows(&holdfast(&arguments, &[&file]));
    assert_eq!(files[0]["outcome"], "unchanged");
    assert_eq!(fs::read(&file).unwrap(), after);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn nothing_is_overwritten_unless_asked() {
    let phones = phones(2);
    let out = tempfile::tempdir().unwrap();
    let there = out.path().join("001b4f000000/ACO_J1xx_Persistsettings.txt");
    fs::create_dir(there.parent().unwrap()).unwrap();
    fs::write(&there, "mine").unwrap();
    let arguments = ["export", "--json", "--controller", "192.0.2.10", "--out", out.path().to_str().unwrap()];
    let output = holdfast(&arguments, &[phones.path()]);
    let (files, done) = rows(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((&files[0]["outcome"], &files[0]["findings"][0]["rule"]), (&"refused".into(), &"there-already".into()));
    assert_eq!((&files[1]["outcome"], &done["with_errors"]), (&"written".into(), &1.into()), "the other file is written");
    assert_eq!(fs::read_to_string(&there).unwrap(), "mine");
    let output = holdfast(&[&arguments[..], &["--overwrite"]].concat(), &[phones.path()]);
    assert!(output.status.success());
    assert!(fs::read_to_string(&there).unwrap().contains("192.0.2.10:5061;transport=tls"));
}

#[test]
fn two_files_that_would_be_one_are_not() {
    let phones = phones(2);
    let out = tempfile::tempdir().unwrap();
    let files = [0, 1].map(|phone| phones.path().join(format!("001b4f{phone:06x}/ACO_J1xx_Persistsettings.txt")));
    let arguments = ["export", "--json", "--overwrite", "--controller", "192.0.2.10", "--out", out.path().to_str().unwrap()];
    let output = holdfast(&arguments, &[&files[0], &files[1]]);
    let (rows, _) = rows(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!((&rows[0]["outcome"], &rows[1]["findings"][0]["rule"]), (&"written".into(), &"same-name".into()));
    assert!(fs::read_to_string(out.path().join("ACO_J1xx_Persistsettings.txt")).unwrap().contains("*1000"));
}

#[test]
fn what_an_earlier_run_has_written_is_not_read_again() {
    let phones = phones(1);
    let ready = phones.path().join("ready");
    for _ in 0..2 {
        let output = holdfast(&["export", "--json", "--controller", "192.0.2.10", "--out", ready.to_str().unwrap()], &[phones.path()]);
        assert!(output.status.success());
        assert_eq!(rows(&output).1["files"], 1);
    }
}

#[test]
fn a_bad_file_is_named_with_line_and_remedy_and_the_others_are_written() {
    let phones = phones(2);
    fs::write(phones.path().join("as-printed.txt"), fixture("as-printed.txt")).unwrap();
    fs::write(phones.path().join("notes.TXT"), "phones of the second floor\n").unwrap();
    fs::write(phones.path().join("photo.jpg"), [0xff, 0xd8]).unwrap();
    let out = tempfile::tempdir().unwrap();
    let output = holdfast(&["export", "--controller", "192.0.2.10", "--out", out.path().to_str().unwrap()], &[phones.path()]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("line 2: the list breaks off here; line 3 looks like its rest") && text.contains("join the two lines"), "{text}");
    assert!(text.contains("no line `SET SIP_CONTROLLER_LIST`"), "{text}");
    assert!(text.contains("not all is well  4 files: 2 written, 2 refused; 2 with errors"), "{text}");
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 2);
}

#[test]
fn a_name_that_is_no_text_is_no_reason_to_stop() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"J\xfcrgen.txt")), aco()).unwrap();
    let out = tempfile::tempdir().unwrap();
    let output = holdfast(&["export", "--json", "--controller", "192.0.2.10", "--out", out.path().to_str().unwrap()], &[folder.path()]);
    assert!(output.status.success());
    assert!(rows(&output).0[0]["written"].as_str().unwrap().ends_with("rgen.txt"));
    assert_eq!(fs::read_dir(out.path()).unwrap().next().unwrap().unwrap().file_name().as_bytes(), b"J\xfcrgen.txt");
}

#[test]
fn check_says_what_a_phone_would_stumble_over() {
    let good = holdfast(&["check"], &[&fixtures().join("001b4f0a1b2c")]);
    let text = said(&good);
    assert!(good.status.success(), "{text}");
    assert!(text.contains("ok") && text.contains("17205550142*101") && text.contains("001b4f0a1b2c"), "{text}");

    let warned = holdfast(&["check"], &[&fixtures().join("46xxsettings.txt")]);
    let text = said(&warned);
    assert!(warned.status.success(), "warnings are no errors: {text}");
    assert!(text.contains("line 13: FAILBACK_POLICY admin") && text.contains("set it to auto"), "{text}");

    let bad = holdfast(&["check"], &[&fixtures()]);
    let text = said(&bad);
    assert_eq!(bad.status.code(), Some(1), "{text}");
    assert!(text.contains("as-printed.txt") && text.contains("breaks off"), "{text}");
    assert!(text.contains("4 files: 1 ok, 2 warnings, 1 errors; 1 with errors"), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours where no terminal listens");
}

#[test]
fn what_cannot_be_meant_is_said() {
    for (arguments, part) in [
        (&["export", "--controller", "2001:db8::1"][..], "IPv6 address cannot stand in SIP_CONTROLLER_LIST"),
        (&["export", "--controller", "a.example:0"], "the port is a number from 1 to 65535"),
        (&["export", "--controller", "192.0.2.10", "--transport", "udp"], "invalid value 'udp'"),
        (&["export"], "--controller"),
        (&["check", "--transport", "tcp"], "--controller"),
    ] {
        let output = holdfast(arguments, &[&fixtures()]);
        assert!(!output.status.success());
        assert!(said(&output).contains(part), "{arguments:?}: {}", said(&output));
    }
    let nothing = tempfile::tempdir().unwrap();
    let text = said(&holdfast(&["check"], &[nothing.path()]));
    assert!(text.contains("holds no settings file"), "{text}");
    let text = said(&holdfast(&["check"], &[&nothing.path().join("gone.txt")]));
    assert!(text.contains("gone.txt is not there"), "{text}");
}
