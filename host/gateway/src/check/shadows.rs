//! Rules of policies that stand before an emergency number, or would like to: the host recognises calls for help before any policy is asked, so that such a rule is
//! never asked about one; or it takes a number for something else that people dial for help.

use crate::config::{Problem, Severity};
use std::{fs, path::Path};
use switch::{
    directory::Directory,
    emergency::{classify_number, normalise},
    facts::CallKind,
};
use toml::{Table, Value};

/// Looks through the settings of every policy in the folder. What cannot be read is the policies' own check's to tell.
pub(super) fn look(folder: &Path, directory: &Directory) -> Vec<Problem> {
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    let mut problems = Vec::new();
    for file in files {
        let settings = fs::read_to_string(&file).ok().and_then(|text| text.parse::<Table>().ok());
        if let Some(Value::Table(settings)) = settings.as_ref().and_then(|table| table.get("settings")) {
            problems.extend(settings_of(&file.display().to_string(), settings, directory));
        }
    }
    problems
}

fn settings_of(file: &str, settings: &Table, directory: &Directory) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut warn = |key: &str, reason: String, remedy: String| {
        problems.push(Problem { severity: Severity::Warning, file: file.to_owned(), line: None, key: key.to_owned(), reason, remedy });
    };
    let prefix = settings.get("outside_prefix").and_then(Value::as_str).unwrap_or_default();
    if let Some(number) = directory.emergency.numbers.first().filter(|_| !prefix.is_empty())
        && classify_number(format!("{prefix}{number}").as_bytes(), directory).0 == CallKind::Normal
    {
        warn(
            "settings.outside_prefix",
            format!("`{prefix}{number}` is dialled for help by whoever is used to the prefix, and goes out as any other call"),
            format!("add \"{prefix}\" to `outside_prefixes` of [emergency]"),
        );
    }
    for rule in settings.get("rule").and_then(Value::as_array).into_iter().flatten() {
        let Some(number) = rule.get("number").and_then(Value::as_str) else { continue };
        if classify_number(normalise(number).as_bytes(), directory).0 != CallKind::Normal {
            warn(
                "settings.rule.number",
                format!("`{number}` is an emergency number: the rule is never asked about it"),
                "take the rule away; [emergency] and [[location]] say how calls for help go out".to_owned(),
            );
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use switch::directory::Emergency;

    fn told(settings: &str, prefixes: &[&str]) -> Vec<String> {
        let emergency = Emergency {
            numbers: vec!["112".to_owned(), "999".to_owned()],
            outside_prefixes: prefixes.iter().map(|&prefix| prefix.to_owned()).collect(),
            ..Emergency::default()
        };
        let directory = Directory::new(String::new(), Vec::new(), Vec::new(), Vec::new(), emergency, Vec::new());
        settings_of("40-external.toml", &settings.parse().unwrap(), &directory).into_iter().map(|problem| problem.reason).collect()
    }

    #[test]
    fn what_is_dialled_for_help_is_nothing_else() {
        assert_eq!(told("outside_prefix = \"9\"", &["9", "0"]), Vec::<String>::new());
        assert_eq!(
            told("outside_prefix = \"8\"", &["9"]),
            ["`8112` is dialled for help by whoever is used to the prefix, and goes out as any other call"]
        );
        assert_eq!(
            told("[[rule]]\nnumber = \"1-1-2\"\n[[rule]]\nnumber = \"%\"\n[[rule]]\nnumber = \"9999\"\n[[rule]]\nother = 1", &["9"]),
            [
                "`1-1-2` is an emergency number: the rule is never asked about it",
                "`9999` is an emergency number: the rule is never asked about it"
            ]
        );
        assert_eq!(told("outside_prefix = 9\nrule = \"x\"", &[]), Vec::<String>::new());
    }

    #[test]
    fn a_folder_is_looked_through() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("40-external.toml"), "[settings]\noutside_prefix = \"8\"\n").unwrap();
        fs::write(folder.path().join("50-broken.toml"), "[settings\n").unwrap();
        let emergency = Emergency { numbers: vec!["112".to_owned()], ..Emergency::default() };
        let directory = Directory::new(String::new(), Vec::new(), Vec::new(), Vec::new(), emergency, Vec::new());
        assert_eq!(look(folder.path(), &directory).len(), 1);
        assert_eq!(look(&folder.path().join("nowhere"), &directory).len(), 0);
    }
}
