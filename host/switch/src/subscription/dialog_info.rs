//! The dialog information document (RFC 4235 4), written by hand: it is a handful of elements, nothing is ever read, and every text goes through one function
//! that escapes it.

use crate::lines::{LineDialog, LineId, LineState};
use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

/// Writes what has changed from `told` to `dialogs`, or all of it.
pub(super) fn write(
    entity: &str,
    version: u32,
    full: bool,
    told: &BTreeMap<LineId, Arc<LineDialog>>,
    dialogs: &BTreeMap<LineId, Arc<LineDialog>>,
) -> Vec<u8> {
    let mut text = String::with_capacity(512);
    let state = if full { "full" } else { "partial" };
    text.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\"");
    attribute(&mut text, "version", &version.to_string());
    attribute(&mut text, "state", state);
    attribute(&mut text, "entity", entity);
    text.push_str(">\r\n");
    // RFC 4235 4.1.1: a partial document has those dialogs only that have changed since the one before, among them those that are over.
    if !full {
        for (id, dialog) in told.iter().filter(|(id, _)| !dialogs.contains_key(id)) {
            element(&mut text, *id, dialog, "terminated", entity);
        }
    }
    for (id, dialog) in dialogs.iter().filter(|(id, dialog)| full || told.get(id) != Some(dialog)) {
        let state = match dialog.state {
            LineState::Trying => "trying",
            LineState::Early => "early",
            LineState::Confirmed => "confirmed",
        };
        element(&mut text, *id, dialog, state, entity);
    }
    text.push_str("</dialog-info>\r\n");
    text.into_bytes()
}

fn element(text: &mut String, id: LineId, dialog: &LineDialog, state: &str, entity: &str) {
    text.push_str("<dialog");
    attribute(text, "id", &format!("{}-{}-{}", id.shard, id.call, id.party));
    // One made-up name stands for all three: whoever writes them into Replaces is understood while the phone rings, and not later.
    for part in ["call-id", "local-tag", "remote-tag"] {
        if let Some(name) = &dialog.name {
            attribute(text, part, name);
        }
    }
    attribute(text, "direction", if dialog.outgoing { "initiator" } else { "recipient" });
    text.push_str(">\r\n<state>");
    text.push_str(state);
    text.push_str("</state>\r\n<local>");
    party(text, "", entity);
    text.push_str("</local>\r\n");
    if let Some((display, uri)) = &dialog.remote {
        text.push_str("<remote>");
        party(text, display, uri);
        text.push_str("</remote>\r\n");
    }
    text.push_str("</dialog>\r\n");
}

fn party(text: &mut String, display: &str, uri: &str) {
    text.push_str("<identity");
    if !display.is_empty() {
        attribute(text, "display", display);
    }
    text.push('>');
    escaped(text, uri);
    text.push_str("</identity><target");
    attribute(text, "uri", uri);
    text.push_str("/>");
}

fn attribute(text: &mut String, name: &str, value: &str) {
    text.push(' ');
    text.push_str(name);
    text.push_str("=\"");
    escaped(text, value);
    text.push('"');
}

/// XML 1.0: the five characters that mean something are written as entities; those that may not stand in a document at all (2.2), and whatever an attribute would
/// lose, are left out or written by number.
pub(crate) fn escaped(text: &mut String, value: &str) {
    for character in value.chars() {
        match character {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&apos;"),
            '\t' => {
                // Writing into a String cannot fail.
                let _written = write!(text, "&#{};", u32::from(character));
            }
            '\0'..='\u{1f}' | '\u{7f}' | '\u{fffe}' | '\u{ffff}' => {}
            _ => text.push(character),
        }
    }
}
