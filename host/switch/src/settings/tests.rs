//! Files as phones export them lie in `tests/settings` of this crate.

use super::*;
use proptest::prelude::*;

mod export;
mod import;
mod lint;
mod rest;
mod serve;

const ACO: &[u8] = include_bytes!("../../tests/settings/001b4f0a1b2c/ACO_J1xx_Persistsettings.txt");
const QUOTED: &[u8] = include_bytes!("../../tests/settings/J159 00-1B-4F-0A-1B-2D.txt");
const PRINTED: &[u8] = include_bytes!("../../tests/settings/as-printed.txt");
const SERVER: &[u8] = include_bytes!("../../tests/settings/46xxsettings.txt");

fn settings(octets: &[u8]) -> Settings<'_> {
    Settings::new(octets).unwrap()
}

/// The file put together again from the pieces of its lines.
fn again(octets: &[u8]) -> Vec<u8> {
    settings(octets).lines().flat_map(Line::pieces).collect::<Vec<_>>().concat()
}

/// The value of a parameter's only line.
fn value<'a>(octets: &'a [u8], name: &str) -> Result<Value<'a>, Misquoted> {
    let mut found = settings(octets).lines().filter_map(|line| match line.statement {
        Statement::Set(assignment) if assignment.is(name) => Some(assignment.value()),
        _ => None,
    });
    let only = found.next().unwrap();
    assert!(found.next().is_none(), "{name} is set twice");
    only
}

/// Files that look like a phone's, with all that can go wrong in them, and any octets.
pub(super) fn file() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "SET ",
        "ADD ",
        "set ",
        " SET ",
        "SET\t",
        "SET",
        "IF ",
        "GOTO ",
        "GET ",
        "# ",
        "## ",
        "",
        "\u{feff}SET ",
    ]);
    let name = prop::sample::select(vec![
        "SIP_CONTROLLER_LIST",
        "SIP_CONTROLLER_LIST_2",
        "FORCE_SIP_USERNAME",
        "FORCE_SIP_PASSWORD",
        "FORCE_SIP_EXTENSION",
        "PHNEMERGNUM",
        "PHNMOREEMERGNUMS",
        "3PCC_SERVER_MODE",
        "ENABLE_3PCC_ENVIRONMENT",
        "FAILBACK_POLICY",
        "SOMETHING_UNKNOWN",
        "",
    ]);
    let blank = prop::sample::select(vec![" ", "  ", "\t", ""]);
    let entry = "(sip1vs=)?([a-z]{1,8}\\.example|192\\.0\\.2\\.[0-9]{1,3}|\\[2001:db8::1\\])?(:[0-9]{1,6})?(;transport=(tls|tcp|udp|auto|x))?(;[a-z]=[0-9])?";
    let list =
        (prop::collection::vec(entry, 0..5), prop::sample::select(vec![",", ", ", ",,", " "])).prop_map(|(all, comma)| all.join(comma));
    let content = prop_oneof![4 => list, 2 => "[ -~]{0,20}", 1 => "\\PC{0,20}", 1 => "[a-z,]{250,260}"];
    let quote = prop::sample::select(vec!["", "\"", "\u{201c}"]);
    let end = prop::sample::select(vec!["\n", "\r\n", "\n", "\r", "\n\n"]);
    let line = (word, blank.clone(), name, blank.clone(), quote.clone(), content, quote, blank, end).prop_map(
        |(word, first, name, second, open, content, close, third, end)| {
            format!("{word}{first}{name}{second}{open}{content}{close}{third}{end}").into_bytes()
        },
    );
    let piece = prop_oneof![8 => line, 1 => prop::collection::vec(any::<u8>(), 0..30)];
    (prop::collection::vec(piece, 0..12), any::<bool>()).prop_map(|(pieces, unended)| {
        let mut file = pieces.concat();
        if unended {
            while file.last().is_some_and(|octet| b"\r\n".contains(octet)) {
                file.pop();
            }
        }
        file
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn any_file_in_unchanged_file_out(file in file()) {
        prop_assert_eq!(again(&file), file);
    }

    #[test]
    fn any_octets_in_unchanged_octets_out(file in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(again(&file), file);
    }

    #[test]
    fn what_is_said_holds_no_control_character_and_no_end(file in file()) {
        for finding in lint(settings(&file)).into_iter().chain(read(&file).err().into_iter().flatten()) {
            let said = finding.to_string();
            prop_assert!(!said.chars().any(char::is_control), "{said:?}");
            prop_assert!(said.len() < 600 && !finding.reason.is_empty() && !finding.remedy.is_empty(), "{said}");
            prop_assert!(finding.line.is_none_or(|line| line <= settings(&file).lines().count()), "{finding:?}");
        }
    }
}

#[test]
fn every_real_file_comes_out_as_it_went_in() {
    for file in [ACO, QUOTED, PRINTED, SERVER] {
        assert_eq!(again(file), file);
    }
}

#[test]
fn lines_are_what_the_template_says() {
    let file = b"SET A 1\nIF $MODEL4 SEQ J129 GOTO X\nGOTO X\n# X\nGET y.txt\nADD B 2\n## SET C 3\nset D 4\n SET E 5\nSET\tF 6\nSETG 7\n\n";
    let kinds: Vec<&str> = settings(file)
        .lines()
        .map(|line| match line.statement {
            Statement::Set(_) => "set",
            Statement::Add(_) => "add",
            Statement::If => "if",
            Statement::Goto => "goto",
            Statement::Get => "get",
            Statement::Label => "label",
            Statement::Comment => "comment",
        })
        .collect();
    assert_eq!(kinds, ["set", "if", "goto", "label", "get", "add", "comment", "comment", "comment", "comment", "comment", "comment"]);
}

#[test]
fn values_are_cut_out_of_blanks_and_quotes() {
    for (line, expected) in [
        (&b"SET N 1 "[..], Ok(Value::Plain(&b"1"[..]))),
        (b"SET  N\t \"a b\" \t\r\n", Ok(Value::Quoted(b"a b"))),
        (b"SET N \"\"", Ok(Value::Quoted(b""))),
        (b"SET N", Ok(Value::Plain(b""))),
        (b"SET N a, b\r\n", Ok(Value::Plain(b"a, b"))),
        (b"SET N a\"b", Ok(Value::Plain(b"a\"b"))),
        (b"SET N \"a", Err(Misquoted::Unclosed)),
        (b"SET N \"", Err(Misquoted::Unclosed)),
        (b"SET N \"a\"b", Err(Misquoted::Behind)),
        (b"SET N \"a\"\"", Err(Misquoted::Behind)),
        ("SET N “a”".as_bytes(), Err(Misquoted::Typographic)),
        ("SET N a”".as_bytes(), Err(Misquoted::Typographic)),
        (b"SET N \x93a\x94", Err(Misquoted::Typographic)),
    ] {
        assert_eq!(value(line, "N"), expected, "{}", String::from_utf8_lossy(line));
    }
}

#[test]
fn a_file_that_is_too_large_is_refused_and_what_fits_is_looked_through_in_no_time() {
    let large = vec![b'\n'; crate::limits::SETTINGS_OCTETS + 1];
    assert_eq!(Settings::new(&large).unwrap_err().rule, "too-large");
    // Line after line that means something to every rule.
    let hostile = b"SET SIP_CONTROLLER_LIST ,,,\nset PHNEMERGNUM\nIF a\nSET FORCE_SIP_PASSWORD \"\n".repeat(40_000);
    let found = lint(settings(&hostile));
    assert_eq!(found.len(), crate::limits::SETTINGS_FINDINGS + 1);
    assert!(found.iter().any(|finding| finding.rule == "too-many" && finding.severity == Severity::Error));
    assert_eq!(read(&hostile).unwrap_err().len(), crate::limits::SETTINGS_FINDINGS + 1);
    let commas = [&b"SET SIP_CONTROLLER_LIST "[..], &b",".repeat(3 << 20)].concat();
    assert!(lint(settings(&commas)).iter().any(|finding| finding.rule == "too-long"));
}

#[test]
fn no_secret_is_shown() {
    let files: Vec<Vec<u8>> = [
        "SET FORCE_SIP_PASSWORD hunter2",
        "SET FORCE_SIP_PASSWORD \"hunter2",
        "SET FORCE_SIP_PASSWORD “hunter2”",
        "SET FORCE_SIP_PASSWORD \"hunter2\"x",
        "SET FORCE_SIP_PASSWORD hunter2 hunter2",
        "SET FORCE_SIP_PASSWORD hunter2\nSET FORCE_SIP_PASSWORD hunter23",
        "ADD FORCE_SIP_PASSWORD hunter2",
        "set FORCE_SIP_PASSWORD hunter2",
        " SET FORCE_SIP_PASSWORD hunter2",
        "SET FORCE_SIP_PASSWORD\nhunter2",
        "SET FORCE_SIP_PASSWORD hunter2\u{7}",
        "SET FORCE_SIP_PASSWORD hunter2hunter2hunter2hunter2hunter2hunter2",
        "SET FORCE_WEB_ADMIN_PASSWORD hunter2",
        "SET FORCE_WEB_ADMIN_PASSWORD \"hunter2",
    ]
    .iter()
    .map(|line| format!("{line}\nSET FORCE_SIP_USERNAME 1\nSET FORCE_SIP_EXTENSION 1\n").into_bytes())
    .collect();
    for file in &files {
        let all = settings(file);
        let assignments = all.lines().filter_map(|line| match line.statement {
            Statement::Set(assignment) | Statement::Add(assignment) => Some(assignment.value()),
            _ => None,
        });
        let said = format!(
            "{all:?} {:?} {:?} {:?} {:?}",
            all.lines().collect::<Vec<_>>(),
            assignments.collect::<Vec<_>>(),
            read(file),
            lint(all),
        );
        assert!(!said.contains("hunter") && !format!("{said:#?}").contains("hunter"), "{said}");
    }
}
