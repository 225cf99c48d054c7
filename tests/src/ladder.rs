//! Conversations as text: one line per message, as a reader would tell it.

use sip::{Instant, Limits, Message, header::Name, message::Method};
use std::fmt::Write as _;

/// What was said so far.
#[derive(Debug)]
pub struct Ladder {
    zero: Instant,
    text: String,
}

impl Ladder {
    /// An empty ladder whose clock begins at `zero`.
    #[must_use]
    pub const fn new(zero: Instant) -> Self {
        Self { zero, text: String::new() }
    }

    /// A message on its way. `lost`: it will not arrive.
    pub fn message(&mut self, at: Instant, from: &str, to: &str, bytes: &[u8], lost: bool) {
        let way = format!("{from} → {to}");
        let lost = if lost { "  ✗" } else { "" };
        self.line(at, &format!("{way:<18} {}{lost}", summary(bytes)));
    }

    /// What a policy decided.
    pub fn decision(&mut self, at: Instant, policy: &str, outcome: &str) {
        self.line(at, &format!("{:<18} {policy}: {outcome}", "gw ⇢ policy"));
    }

    /// Something that happened to `who`.
    pub fn event(&mut self, at: Instant, who: &str, what: &str) {
        self.line(at, &format!("{who:<18} {what}"));
    }

    /// The lines since the last call; the clock begins again at `now`.
    pub fn take(&mut self, now: Instant) -> String {
        self.zero = now;
        std::mem::take(&mut self.text)
    }

    fn line(&mut self, at: Instant, what: &str) {
        let millis = at.since(self.zero).as_millis();
        // Flush left: a snapshot loses the indentation that all its lines share.
        let clock = format!("{}.{:03}", millis / 1000, millis % 1000);
        let written = writeln!(self.text, "{clock:<8} {}", what.trim_end());
        debug_assert!(written.is_ok());
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
