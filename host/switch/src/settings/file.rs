//! The lines of a settings file and what they are, each made of pieces that together are the line again.

use super::{Finding, Severity};
use crate::limits::SETTINGS_OCTETS;
use std::fmt;

/// A settings file: octets, looked at line by line. Nothing is kept of a line, so that a file costs no memory beyond its own.
///
/// It holds a phone's password in clear: what `Debug` shows of it and of its lines are sizes, numbers and names of parameters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Settings<'a> {
    octets: &'a [u8],
}

impl<'a> Settings<'a> {
    /// Any octets are a settings file.
    ///
    /// # Errors
    /// A finding when there are more than any phone's file has (4 MiB; the template of all parameters has 1 MB).
    pub fn new(octets: &'a [u8]) -> Result<Self, Finding> {
        if octets.len() > SETTINGS_OCTETS {
            return Err(Finding {
                severity: Severity::Error,
                line: None,
                rule: "too-large",
                reason: format!("{} octets are more than a settings file may have ({SETTINGS_OCTETS})", octets.len()),
                remedy: "name the file that the phone has exported".to_owned(),
            });
        }
        Ok(Self { octets })
    }

    /// The file as it was given.
    #[must_use]
    pub const fn octets(self) -> &'a [u8] {
        self.octets
    }

    /// Its lines, from 1. A line ends with LF, CR LF, or the file.
    pub fn lines(self) -> impl Iterator<Item = Line<'a>> {
        self.octets.split_inclusive(|octet| *octet == b'\n').enumerate().map(|(before, whole)| Line::new(before + 1, whole))
    }

    /// Whether which lines count depends on the phone that reads them: there is an `IF` or a `GOTO`.
    #[must_use]
    pub fn jumps(self) -> bool {
        self.lines().any(|line| matches!(line.statement, Statement::If | Statement::Goto))
    }

    /// The number of the first line that sets a parameter.
    #[must_use]
    pub fn line_of(self, name: &str) -> Option<usize> {
        self.lines().find(|line| matches!(line.statement, Statement::Set(assignment) if assignment.is(name))).map(|line| line.number)
    }

    /// Why nothing of the file can be understood although it may look well in an editor.
    pub(super) fn unreadable(self) -> Option<Finding> {
        let wide = self.octets.starts_with(b"\xff\xfe") || self.octets.starts_with(b"\xfe\xff");
        let zero = self.lines().find(|line| line.text.contains(&0));
        let (line, reason) = match zero {
            _ if wide => (None, "the file is in UTF-16: no line of it begins with `SET ` for a phone"),
            Some(line) => (Some(line.number), "a zero octet: this is no text file"),
            None => return None,
        };
        Some(Finding {
            severity: Severity::Error,
            line,
            rule: "encoding",
            reason: reason.to_owned(),
            remedy: "save it as plain text (ANSI or UTF-8), or export it from the phone again".to_owned(),
        })
    }
}

impl fmt::Debug for Settings<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("octets", &self.octets.len()).finish_non_exhaustive()
    }
}

/// One line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// From 1.
    pub number: usize,
    /// Without its end.
    pub text: &'a [u8],
    /// LF, CR LF, or nothing at the end of the file.
    pub end: &'a [u8],
    /// What a phone takes it for.
    pub statement: Statement<'a>,
}

impl<'a> Line<'a> {
    fn new(number: usize, whole: &'a [u8]) -> Self {
        let unended = whole.strip_suffix(b"\n").map_or(whole, |line| line.strip_suffix(b"\r").unwrap_or(line));
        let (text, end) = whole.split_at(unended.len());
        Self { number, text, end, statement: Statement::of(text) }
    }

    /// The pieces of which the line is made, its end included.
    pub fn pieces(self) -> impl Iterator<Item = &'a [u8]> {
        let pieces = match self.statement {
            Statement::Set(a) | Statement::Add(a) => [a.word, a.before_name, a.name, a.before_value, a.value, a.after],
            _ => [self.text, b"", b"", b"", b"", b""],
        };
        pieces.into_iter().chain([self.end])
    }

    /// A line that means to be a statement about one of these parameters, and is a comment for a phone: the keyword is in small letters, something stands before it, or
    /// no blank follows it.
    pub(super) fn disguised(self, names: &[&'static str]) -> Option<&'static str> {
        if self.statement != Statement::Comment {
            return None;
        }
        let text = self.text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(self.text).trim_ascii_start();
        let (word, rest) = text.split_at_checked(3)?;
        let behind = rest.trim_ascii_start();
        let name = behind.get(..behind.iter().position(u8::is_ascii_whitespace).unwrap_or(behind.len()))?;
        let meant = word.eq_ignore_ascii_case(b"SET") && behind.len() < rest.len();
        names.iter().copied().find(|known| meant && name.eq_ignore_ascii_case(known.as_bytes()))
    }
}

impl fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("number", &self.number).field("statement", &self.statement).finish_non_exhaustive()
    }
}

/// What a line is for a phone.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Statement<'a> {
    /// `SET NAME value`.
    Set(Assignment<'a>),
    /// `ADD NAME value`: appended to what the parameter has.
    Add(Assignment<'a>),
    /// `IF $MODEL4 SEQ J179 GOTO LABEL`.
    If,
    /// `GOTO LABEL`.
    Goto,
    /// `GET 46xxsettings.txt`: the phone goes on in another file.
    Get,
    /// `# LABEL`.
    Label,
    /// Everything else.
    Comment,
}

impl<'a> Statement<'a> {
    fn of(text: &'a [u8]) -> Self {
        match text.split_at_checked(4) {
            Some((b"SET ", _)) => Self::Set(Assignment::of(text)),
            Some((b"ADD ", _)) => Self::Add(Assignment::of(text)),
            Some((b"GET ", _)) => Self::Get,
            _ if text.starts_with(b"IF ") => Self::If,
            _ if text.starts_with(b"GOTO ") => Self::Goto,
            _ if text.starts_with(b"# ") => Self::Label,
            _ => Self::Comment,
        }
    }
}

/// `SET NAME value` in its pieces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Assignment<'a> {
    /// `SET ` or `ADD `.
    pub word: &'a [u8],
    /// Further blanks.
    pub before_name: &'a [u8],
    /// The parameter; empty when the line holds nothing else.
    pub name: &'a [u8],
    /// Blanks.
    pub before_value: &'a [u8],
    /// As written, quotes included, without the blanks around it.
    pub value: &'a [u8],
    /// Blanks behind the value.
    pub after: &'a [u8],
}

/// What a parameter is set to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// Without quotes.
    Plain(&'a [u8]),
    /// What stands between the quotes.
    Quoted(&'a [u8]),
}

/// Why a value cannot be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Misquoted {
    /// It begins with a quote and has no other.
    Unclosed,
    /// Something stands behind the closing quote.
    Behind,
    /// Quotes of a word processor: “ and ”.
    Typographic,
}

impl<'a> Assignment<'a> {
    /// Cuts a line that begins with a word of four octets.
    fn of(text: &'a [u8]) -> Self {
        let (word, rest) = text.split_at(text.len().min(4));
        let (before_name, rest) = rest.split_at(rest.len() - rest.trim_ascii_start().len());
        let (name, rest) = rest.split_at(rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len()));
        let (before_value, rest) = rest.split_at(rest.len() - rest.trim_ascii_start().len());
        let (value, after) = rest.split_at(rest.trim_ascii_end().len());
        Self { word, before_name, name, before_value, value, after }
    }

    /// Whether it is about this parameter.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name == name.as_bytes()
    }

    /// The value without its quotes.
    ///
    /// # Errors
    /// When the quotes are not a pair of straight double quotes around the whole of it.
    pub fn value(&self) -> Result<Value<'a>, Misquoted> {
        // In UTF-8, and in Windows-1252, whose two octets no UTF-8 begins with.
        let wide = [b"\xe2\x80\x9c", b"\xe2\x80\x9d"];
        if wide.iter().any(|quote| self.value.starts_with(*quote) || self.value.ends_with(*quote))
            || matches!(self.value.first(), Some(0x93 | 0x94))
        {
            return Err(Misquoted::Typographic);
        }
        let Some(opened) = self.value.strip_prefix(b"\"") else { return Ok(Value::Plain(self.value)) };
        match opened.iter().position(|octet| *octet == b'"') {
            None => Err(Misquoted::Unclosed),
            Some(closing) if closing + 1 == opened.len() => Ok(Value::Quoted(opened.split_at(closing).0)),
            Some(_) => Err(Misquoted::Behind),
        }
    }

    /// Where in the line the written value begins.
    pub(super) const fn value_at(&self) -> usize {
        self.word.len() + self.before_name.len() + self.name.len() + self.before_value.len()
    }
}

impl fmt::Debug for Assignment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Assignment").field(&String::from_utf8_lossy(self.name)).finish()
    }
}

impl<'a> Value<'a> {
    /// Without quotes.
    #[must_use]
    pub const fn content(self) -> &'a [u8] {
        match self {
            Self::Plain(content) | Self::Quoted(content) => content,
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value").field("octets", &self.content().len()).finish_non_exhaustive()
    }
}

impl Misquoted {
    /// What is wrong, for a finding.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Unclosed => "the value begins with a quote that is never closed",
            Self::Behind => "something stands behind the closing quote of the value",
            Self::Typographic => "the value stands in typographic quotes, which a phone takes for a part of it",
        }
    }

    /// What to do about it.
    pub(super) const fn remedy(self) -> &'static str {
        match self {
            Self::Unclosed | Self::Behind => "put the whole value between two straight double quotes (\"), or take them away",
            Self::Typographic => "write straight double quotes (\"), with an editor for plain text",
        }
    }
}
