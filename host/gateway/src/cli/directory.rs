//! What `holdfast endpoint` and `holdfast user` share: asking for lists, sending edits, saying what came of them.

use super::{
    ERROR, GOOD, HELP, WARNING,
    running::{refuse, understand},
};
use crate::{
    manage::{Answer, Edited, Edits, Refused, Rows, Wrong, ask, ask_with},
    sheet::WrongLine,
};
use anstyle::Style;
use anyhow::Context as _;
use axum::http::{Method, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::json;
use std::{io::Write as _, path::Path};
use switch::directory::record::Edit;

/// Problems that are shown to a person; a program gets all of them.
const SHOWN: usize = 50;

/// Who asks, as the history shows it: the user of the terminal, also behind sudo.
pub(super) fn by() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let named = named.unwrap_or_else(|| format!("uid {}", rustix::process::getuid().as_raw()));
    named.chars().filter(|c| !c.is_control()).take(32).collect()
}

/// The path of one endpoint or user.
pub(super) fn path_of(list: &str, id: &str) -> String {
    format!("{list}/{}", utf8_percent_encode(id, NON_ALPHANUMERIC))
}

/// All rows of a list, part by part; `seen` hears how many of how many have come.
pub(super) fn all<T: DeserializeOwned>(
    data: &Path,
    list: &str,
    find: &str,
    mut seen: impl FnMut(usize, usize),
) -> anyhow::Result<Result<Vec<T>, Refused>> {
    let mut rows = Vec::new();
    let mut from = 0;
    loop {
        let path = format!("{list}?from={from}&find={}", utf8_percent_encode(find, NON_ALPHANUMERIC));
        let part: Rows<T> = match understand(&ask(data, Method::GET, &path)?)? {
            Ok(part) => part,
            Err(refused) => return Ok(Err(refused)),
        };
        rows.extend(part.rows);
        seen(part.next.unwrap_or(part.of), part.of);
        match part.next {
            // Rows only come after those that were there.
            Some(next) if next > from => from = next,
            _ => return Ok(Ok(rows)),
        }
    }
}

/// What the gateway said to edits.
pub(super) enum Said {
    /// They are made.
    Done(Edited),
    /// None is made, because of these.
    Wrong(Wrong),
    /// None is made: the gateway could not.
    Refused(Refused),
}

/// Sends edits.
pub(super) fn send(data: &Path, edits: Vec<Edit>, dry_run: bool) -> anyhow::Result<Said> {
    let body = serde_json::to_vec(&Edits { by: by(), dry_run, edits })?;
    let answer = ask_with(data, Method::POST, "/directory", body)?;
    if answer.status == StatusCode::UNPROCESSABLE_ENTITY {
        return Ok(Said::Wrong(serde_json::from_slice(&answer.body).context("the gateway's answer is unreadable")?));
    }
    Ok(match understand::<Edited>(&answer)? {
        Ok(edited) => Said::Done(edited),
        Err(refused) => Said::Refused(refused),
    })
}

/// Makes edits that were given as one command, and says what came of them.
pub(super) fn make(data: &Path, edits: Vec<Edit>, json: bool) -> anyhow::Result<bool> {
    let edited = match send(data, edits, false)? {
        Said::Done(edited) => edited,
        Said::Refused(refused) => return refuse(&refused, json),
        Said::Wrong(wrong) if json => {
            writeln!(anstream::stdout(), "{}", json!({"event": "refused", "problems": wrong.problems}))?;
            return Ok(false);
        }
        Said::Wrong(wrong) => {
            for problem in wrong.problems.iter().take(SHOWN) {
                refuse(&Refused { reason: problem.reason.clone(), remedy: problem.remedy.clone() }, false)?;
            }
            return Ok(false);
        }
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&edited)?)?;
        return Ok(true);
    }
    if edited.changes.is_empty() {
        writeln!(out, "nothing changes: it is so already")?;
    }
    for change in &edited.changes {
        writeln!(out, "{GOOD}done{GOOD:#}  {} {}: {}", change.kind, change.id, change.what)?;
    }
    for (id, password) in &edited.passwords {
        writeln!(out, "      password of {id}: {password}\n      {HELP}it is not kept in clear and not shown again{HELP:#}")?;
    }
    if edited.ended > 0 {
        writeln!(out, "      registrations ended: {}", edited.ended)?;
    }
    Ok(true)
}

/// One endpoint or user, for a program as it came; `None` for a person, who wants it written out.
pub(super) fn page<T: DeserializeOwned + Serialize>(answer: &Answer, json: bool) -> anyhow::Result<Result<Option<T>, bool>> {
    let page: T = match understand(answer)? {
        Ok(page) => page,
        Err(refused) => return Ok(Err(refuse(&refused, json)?)),
    };
    if json {
        writeln!(anstream::stdout(), "{}", serde_json::to_string(&page)?)?;
        return Ok(Ok(None));
    }
    Ok(Ok(Some(page)))
}

/// Says what is wrong with a file, line by line; always `false`.
pub(super) fn wrong_lines(file: &Path, wrong: &[WrongLine], json: bool) -> anyhow::Result<bool> {
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", json!({"event": "refused", "file": file, "problems": wrong}))?;
        return Ok(false);
    }
    for WrongLine { line, reason, remedy } in wrong.iter().take(SHOWN) {
        writeln!(out, "{ERROR}error{ERROR:#}  {}:{line}\n       {reason}\n       {HELP}{remedy}{HELP:#}", file.display())?;
    }
    if wrong.len() > SHOWN {
        writeln!(out, "{WARNING}and {} more{WARNING:#}", wrong.len() - SHOWN)?;
    }
    writeln!(out, "\n{ERROR}nothing was changed{ERROR:#}  {} lines are wrong", wrong.len())?;
    Ok(false)
}

/// How a status looks.
pub(super) fn status_style(status: &str) -> Style {
    match status {
        "registered" => GOOD,
        "disabled" => WARNING,
        "not in force" => ERROR,
        _ => Style::new(),
    }
}

/// Writes `key  value` lines, those with a value.
pub(super) fn facts(rows: &[(&str, String)]) -> anyhow::Result<()> {
    let mut out = anstream::stdout();
    for (key, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        let mut lines = value.lines();
        writeln!(out, "  {key:12} {}", lines.next().unwrap_or_default())?;
        for line in lines {
            writeln!(out, "  {:12} {line}", "")?;
        }
    }
    Ok(())
}
