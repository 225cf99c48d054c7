//! The story of one call or registration, gathered from the record.

use super::{CallLine, DecisionLine, Line, RefusedLine, files};
use std::{io, path::PathBuf};

/// Lines of one story that are kept: a phone that registers for a week under one Call-ID has many.
const STORY_MAX: usize = 64;

/// What the record says of one Call-ID.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Story {
    /// Decisions, oldest first.
    pub decisions: Vec<DecisionLine>,
    /// Refusals, oldest first.
    pub refused: Vec<RefusedLine>,
    /// How the call went, once it has ended.
    pub call: Option<CallLine>,
    /// Earlier lines that are left out.
    pub left_out: usize,
}

/// One call, as a list of calls shows it.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// When it came in, in microseconds since the UNIX epoch.
    pub at_us: u64,
    /// Call-ID of the caller's leg.
    pub call_id: String,
    /// What was asked: `desk-1 calls 1002`.
    pub asked: String,
    /// How it ended: `answered by desk-2, 12 s`, `403 Forbidden`.
    pub outcome: String,
    /// It was refused or failed.
    pub failed: bool,
}

/// Gathers the story of a Call-ID; that of a leg that the gateway dialled leads to the call that it belongs to. `None` when the record does not know it.
///
/// # Errors
/// When a file cannot be read.
pub fn story(files: &[PathBuf], call_id: &str) -> io::Result<Option<Story>> {
    let mut wanted = call_id.to_owned();
    loop {
        let mut story = Story::default();
        let mut belongs_to = None;
        let in_json = serde_json::to_string(&wanted)?;
        for file in files {
            files::read(file, Some(&in_json), |_, line| {
                match line {
                    Ok(Line::Decision(line)) if line.call_id == wanted => story.left_out += kept(&mut story.decisions, *line),
                    Ok(Line::Refused(line)) if line.call_id == wanted => story.left_out += kept(&mut story.refused, line),
                    Ok(Line::Call(line)) if line.call_id == wanted => story.call = Some(line),
                    Ok(Line::Call(line)) if line.legs.iter().any(|leg| leg.call_id == wanted) => belongs_to = Some(line.call_id),
                    Ok(_) | Err(_) => {}
                }
                true
            })?;
        }
        match belongs_to {
            Some(call_id) if story == Story::default() && call_id != wanted => wanted = call_id,
            _ => return Ok((story != Story::default()).then_some(story)),
        }
    }
}

/// The latest calls and refusals, newest last; registrations that were refused among them.
///
/// # Errors
/// When a file cannot be read.
pub fn latest(files: &[PathBuf], most: usize) -> io::Result<Vec<Entry>> {
    let mut entries = std::collections::VecDeque::new();
    let mut asked = std::collections::HashMap::new();
    for file in files {
        files::read(file, None, |_, line| {
            match line {
                // Of what was refused, only its decisions say what was asked.
                Ok(Line::Decision(line)) if line.said.starts_with("refuse ") => {
                    if asked.len() > 4 * most {
                        asked.clear();
                    }
                    asked.insert(line.call_id.clone(), line.asked_in_words());
                }
                Ok(Line::Refused(line)) => {
                    let asked = asked.remove(&line.call_id).unwrap_or_else(|| "-".to_owned());
                    let outcome = format!("{} {}", line.status, line.phrase);
                    entries.push_back(Entry { at_us: line.at_us, call_id: line.call_id, asked, outcome, failed: true });
                }
                Ok(Line::Call(line)) => {
                    let asked = format!("{} calls {}", line.caller, line.called);
                    let outcome = outcome(&line);
                    entries.push_back(Entry {
                        at_us: line.at_us,
                        asked,
                        failed: line.answered_by.is_none(),
                        call_id: line.call_id,
                        outcome,
                    });
                }
                Ok(_) | Err(_) => {}
            }
            if entries.len() > most {
                entries.pop_front();
            }
            true
        })?;
    }
    Ok(entries.into())
}

/// How a call ended, in words.
#[must_use]
pub fn outcome(call: &CallLine) -> String {
    match (&call.answered_by, call.answered_ms) {
        (Some(who), Some(answered)) => {
            format!("answered by {who}, talked {:.1} s, {}", (call.lasted_ms - answered).max(0.0) / 1e3, call.cause)
        }
        _ => format!("{} {}, {}", call.status, sip::build::reason_phrase(call.status), call.cause),
    }
}

/// Appends to a list that keeps the latest lines; how many had to go.
fn kept<T>(list: &mut Vec<T>, line: T) -> usize {
    let full = list.len() == STORY_MAX;
    if full {
        list.remove(0);
    }
    list.push(line);
    usize::from(full)
}
