//! The one change: this gateway behind the cloud in `SIP_CONTROLLER_LIST`.

use super::{
    Assignment, CONTROLLER_LIST, Controller, Entry, Finding, Found, Line, Misquoted, Settings, Severity::Error, Statement, Value, shown,
};
use crate::limits::SETTINGS_VALUE;

/// A file with the gateway in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Added {
    /// The whole file. But for what [`Added::changed`] names it is the file as it was.
    pub octets: Vec<u8>,
    /// Which lines are longer than before; none when the gateway stood there already.
    pub changed: Vec<Change>,
}

/// A line that is longer than before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// From 1.
    pub line: usize,
    /// Where in the line the new part begins, in octets.
    pub at: usize,
    /// The new part.
    pub inserted: String,
}

/// Puts the gateway at the end of the list of controllers, so that phones prefer all that they know already, the cloud first (Avaya, "Using IP Office as an ACO Persistent
/// Gateway", issue 1, page 10: "after the ACO address").
///
/// A list that leads to the same host, port and transport is left as it is, however it is written: doing it twice changes nothing the second time. Of several lists the last
/// counts, and only that is changed; where `IF` or `GOTO` decide which counts, each is.
///
/// # Errors
/// What keeps a phone from using the result: no list or an empty one (the gateway alone would take the phone away from its cloud), one that breaks off at the end
/// of its line, quotes that do not pair, the same host with another port or transport, more than 255 characters. Then nothing is changed.
pub fn add(settings: Settings<'_>, controller: &Controller) -> Result<Added, Vec<Finding>> {
    let mut found = Found::default();
    found.0.extend(settings.unreadable());
    let mut changed = Vec::new();
    let mut lists = 0_usize;
    for (line, list, next) in counting(settings) {
        lists += 1;
        match insertion(line, list, next, controller) {
            Ok(change) => changed.extend(change),
            Err(finding) => found.push(finding),
        }
    }
    for line in settings.lines() {
        if matches!(line.statement, Statement::Add(a) if a.is(CONTROLLER_LIST)) {
            found.add(
                Error,
                line.number,
                "added-list",
                "ADD for SIP_CONTROLLER_LIST: where the gateway would come to stand is not known",
                "write the whole list into one SET line",
            );
        }
    }
    if lists == 0 {
        found.add(
            Error,
            None,
            "no-list",
            "the file has no line `SET SIP_CONTROLLER_LIST`: with the gateway alone in it the phone would leave its cloud",
            "export the file from a phone that is registered at the cloud, or write the cloud's address into such a line first",
        );
    }
    if !found.0.is_empty() {
        return Err(found.sorted());
    }
    Ok(Added { octets: written(settings, &changed), changed })
}

/// Whether a phone with this file would look for the gateway: each list that may count leads to it.
#[must_use]
pub fn carries(settings: Settings<'_>, controller: &Controller) -> bool {
    let mut lists = counting(settings).peekable();
    lists.peek().is_some()
        && lists.all(|(_, list, _)| list.value().is_ok_and(|value| Entry::list(value.content()).any(|entry| entry.means(controller))))
}

/// The lists that may count, each with the line behind it: the last, or where the phone decides, all.
pub(super) fn counting<'a>(settings: Settings<'a>) -> impl Iterator<Item = (Line<'a>, Assignment<'a>, Option<Line<'a>>)> {
    let is_list = |line: &Line<'_>| matches!(line.statement, Statement::Set(a) if a.is(CONTROLLER_LIST));
    let last = if settings.jumps() { None } else { settings.lines().filter(is_list).last().map(|line| line.number) };
    let behind = settings.lines().skip(1).map(Some).chain([None]);
    settings.lines().zip(behind).filter_map(move |(line, next)| match line.statement {
        Statement::Set(list) if list.is(CONTROLLER_LIST) && last.is_none_or(|last| last == line.number) => Some((line, list, next)),
        _ => None,
    })
}

/// Whether a list breaks off at the end of its line and goes on in the next, which a phone takes for a comment. Documents print long lists so.
pub(super) fn breaks_off(value: Value<'_>, next: Option<Line<'_>>) -> bool {
    let more = |line: Line<'_>| line.statement == Statement::Comment && !line.text.trim_ascii().is_empty() && !line.text.starts_with(b"#");
    value.content().trim_ascii_end().last().is_none_or(|octet| *octet == b',') && next.is_some_and(more)
}

/// What is wrong with a list that breaks off.
pub(super) fn broken_off(line: usize) -> Finding {
    Finding {
        severity: Error,
        line: Some(line),
        rule: "broken-line",
        reason: format!("the list breaks off here; line {} looks like its rest and is a comment for the phone", line + 1),
        remedy: "join the two lines".to_owned(),
    }
}

/// What is wrong with a list whose value cannot be told.
pub(super) fn misquoted(line: usize, how: Misquoted) -> Finding {
    Finding { severity: Error, line: Some(line), rule: "quotes", reason: how.reason().to_owned(), remedy: how.remedy().to_owned() }
}

/// What is new in a line, if anything is.
fn insertion(line: Line<'_>, list: Assignment<'_>, next: Option<Line<'_>>, controller: &Controller) -> Result<Option<Change>, Finding> {
    let error =
        |rule, reason: String, remedy: &str| Finding { severity: Error, line: Some(line.number), rule, reason, remedy: remedy.to_owned() };
    let value = list.value().map_err(|how| misquoted(line.number, how))?;
    if breaks_off(value, next) {
        return Err(broken_off(line.number));
    }
    let content = value.content().trim_ascii_end();
    if Entry::list(content).all(|entry| entry.is_empty()) {
        return Err(error(
            "empty-list",
            "the list is empty: with the gateway alone in it the phone would leave its cloud".to_owned(),
            "export the file from a phone that is registered at the cloud, or write the cloud's address here first",
        ));
    }
    if Entry::list(content).any(|entry| entry.means(controller)) {
        return Ok(None);
    }
    if let Some(other) = Entry::list(content).find(|entry| entry.is_at(controller)) {
        return Err(error(
            "other-way",
            format!("the list has {} already, which is not {controller}", shown(other.written.trim_ascii())),
            "take that entry out, or name the port and transport that stand there",
        ));
    }
    // A comma at the end has its place for one more entry.
    let comma = if content.ends_with(b",") { "" } else { "," };
    let inserted = format!("{comma}{controller}");
    let length = content.len() + inserted.len();
    if length > SETTINGS_VALUE {
        return Err(error(
            "too-long",
            format!("with {controller} the list would have {length} characters; a phone takes {SETTINGS_VALUE}"),
            "take entries out that are needed no more, or give the gateway a shorter name",
        ));
    }
    let quote = usize::from(matches!(value, Value::Quoted(_)));
    Ok(Some(Change { line: line.number, at: list.value_at() + quote + content.len(), inserted }))
}

/// The file with its changes, which are in the order of its lines.
fn written(settings: Settings<'_>, changed: &[Change]) -> Vec<u8> {
    let more: usize = changed.iter().map(|change| change.inserted.len()).sum();
    let mut octets = Vec::with_capacity(settings.octets().len() + more);
    let mut changes = changed.iter().peekable();
    for line in settings.lines() {
        match changes.next_if(|change| change.line == line.number) {
            Some(Change { at, inserted, .. }) => {
                let (before, behind) = line.text.split_at(line.text.len().min(*at));
                octets.extend_from_slice(before);
                octets.extend_from_slice(inserted.as_bytes());
                octets.extend_from_slice(behind);
            }
            None => octets.extend_from_slice(line.text),
        }
        octets.extend_from_slice(line.end);
    }
    octets
}
