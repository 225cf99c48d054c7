//! Conversations as text: one line per message, as a reader would tell it.

use bytes::Bytes;
use sip::{Instant, Limits, Message, header::Name, message::Method};
use std::{borrow::Cow, collections::VecDeque, fmt::Write as _};

/// What was said so far.
#[derive(Debug)]
pub struct Ladder {
    zero: Instant,
    lines: VecDeque<(Instant, Line)>,
    /// How many lines are kept; the oldest go first.
    room: usize,
}

/// One line, which becomes text only when somebody reads it.
#[derive(Debug)]
enum Line {
    Message { from: Cow<'static, str>, to: Cow<'static, str>, bytes: Bytes, lost: bool },
    Text(String),
}

impl Ladder {
    /// An empty ladder whose clock begins at `zero`.
    #[must_use]
    pub const fn new(zero: Instant) -> Self {
        Self { zero, lines: VecDeque::new(), room: usize::MAX }
    }

    /// From now on only the last so many lines are kept.
    pub const fn keep(&mut self, lines: usize) {
        self.room = lines;
    }

    /// A message on its way. `lost`: it will not arrive.
    pub fn message(&mut self, at: Instant, from: Cow<'static, str>, to: Cow<'static, str>, bytes: &Bytes, lost: bool) {
        self.add(at, Line::Message { from, to, bytes: bytes.clone(), lost });
    }

    /// What a policy decided.
    pub fn decision(&mut self, at: Instant, policy: &str, outcome: &str) {
        self.add(at, Line::Text(format!("{:<18} {policy}: {outcome}", "gw ⇢ policy")));
    }

    /// Something that happened to `who`.
    pub fn event(&mut self, at: Instant, who: &str, what: &str) {
        self.add(at, Line::Text(format!("{who:<18} {what}")));
    }

    /// The lines since the last call; the clock begins again at `now`.
    pub fn take(&mut self, now: Instant) -> String {
        let mut text = String::new();
        for (at, line) in std::mem::take(&mut self.lines) {
            let millis = at.since(self.zero).as_millis();
            // Flush left: a snapshot loses the indentation that all its lines share.
            let clock = format!("{}.{:03}", millis / 1000, millis % 1000);
            let line = match line {
                Line::Text(text) => text,
                Line::Message { from, to, bytes, lost } => {
                    let lost = if lost { "  ✗" } else { "" };
                    format!("{:<18} {}{lost}", format!("{from} → {to}"), summary(&bytes))
                }
            };
            let written = writeln!(text, "{clock:<8} {}", line.trim_end());
            debug_assert!(written.is_ok());
        }
        self.zero = now;
        text
    }

    /// The last `lines` lines, and before them those messages that contain `text` (a Call-ID).
    #[must_use]
    pub fn last(&mut self, lines: usize, text: &str) -> String {
        let from = self.lines.len().saturating_sub(lines);
        let mut place = 0;
        self.lines.retain(|(_, line)| {
            place += 1;
            let names = |bytes: &Bytes| !text.is_empty() && bytes.windows(text.len()).any(|part| part == text.as_bytes());
            place > from || matches!(line, Line::Message { bytes, .. } if names(bytes))
        });
        let zero = self.zero;
        self.take(zero)
    }

    fn add(&mut self, at: Instant, line: Line) {
        if self.lines.len() >= self.room {
            self.lines.pop_front();
        }
        self.lines.push_back((at, line));
    }
}

/// A message in a few words: method and dialled user, or status and phrase; then what matters of the rest.
#[must_use]
pub fn summary(bytes: &[u8]) -> String {
    let Ok(message) = Message::parse(bytes.to_vec().into(), &Limits::default()) else { return "?".into() };
    let method = String::from_utf8_lossy(message.method_token()).into_owned();
    let mut text = if message.is_request() {
        let outside = message.to().is_some_and(|to| to.tag().is_none());
        let user = message.uri().map(|uri| String::from_utf8_lossy(uri.user).into_owned()).unwrap_or_default();
        if outside && !user.is_empty() && message.method() != Method::Cancel { format!("{method} {user}") } else { method }
    } else {
        let answer = format!("{} {}", message.status(), String::from_utf8_lossy(message.reason()));
        // The answers to an INVITE are most of a ladder: only the others say what they answer.
        if method == "INVITE" { answer } else { format!("{answer} ({method})") }
    };
    if message.header(Name::Authorization).or_else(|| message.header(Name::ProxyAuthorization)).is_some() {
        text.push_str(" +credentials");
    }
    if !message.body().is_empty() {
        text.push_str(" +body");
    }
    text
}
