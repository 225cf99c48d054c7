//! The picture of a call: three columns (phone, holdfast, phone), one line a message, each policy's decision and its time beside the
//! message that it was asked about.

use super::{Account, Style, feed::Event, speech::Heard};
use crate::policy::Step;
use anstyle::{AnsiColor, Style as Ink};
use bytes::Bytes;
use serde_json::json;
use sip::{Instant, Limits, Message, message::Method};
use std::{
    collections::VecDeque,
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

/// How long a line waits for the decision that belongs to it before it is written without one.
pub(super) const DECISION_WAIT: Duration = Duration::from_millis(60);

/// Characters between two lifelines.
const SPAN: usize = 27;

const DIM: Ink = Ink::new().dimmed();
const BOLD: Ink = Ink::new().bold();
const GOOD: Ink = AnsiColor::Green.on_default();
const WAIT: Ink = AnsiColor::Yellow.on_default();
const BAD: Ink = AnsiColor::Red.on_default();
const ASK: Ink = AnsiColor::Cyan.on_default();
const RULE: Ink = AnsiColor::Magenta.on_default();

/// Draws as events come in. A line whose decision is still to come holds back those after it.
#[derive(Debug)]
pub(super) struct Ladder {
    style: Style,
    phones: [Column; 2],
    /// The first message: everything is timed from there.
    began: Option<Instant>,
    rows: VecDeque<Row>,
}

#[derive(Debug)]
struct Column {
    address: SocketAddr,
    extension: String,
    name: String,
}

#[derive(Debug)]
struct Row {
    at: Instant,
    /// Index of the phone.
    phone: usize,
    /// Whether the phone sent it.
    inbound: bool,
    label: String,
    ink: Ink,
    call_id: Bytes,
    decisions: Vec<Step>,
    /// A decision may still come.
    waits: bool,
}

impl Ladder {
    pub(super) fn new(style: Style, phones: [(SocketAddr, &Account); 2]) -> Self {
        let phones = phones.map(|(address, account)| Column { address, extension: account.extension.clone(), name: account.name.clone() });
        Self { style, phones, began: None, rows: VecDeque::new() }
    }

    /// Writes the heads of the columns.
    pub(super) fn begin(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.style == Style::Json {
            return Ok(());
        }
        let [left, right] = &self.phones;
        let titles = [format!("{} {}", left.extension, left.name), "holdfast".to_owned(), format!("{} {}", right.extension, right.name)];
        write!(out, "{DIM}{:>9} {DIM:#}", "ms")?;
        for title in titles {
            write!(out, "{BOLD}{:<width$}{BOLD:#}", shorten(&title, SPAN), width = SPAN + 1)?;
        }
        writeln!(out)
    }

    /// Takes one event in and writes what can be written.
    pub(super) fn add(&mut self, event: Event, out: &mut dyn Write) -> io::Result<()> {
        match event {
            Event::Received { at, flow, bytes } => self.message(at, flow.remote, true, bytes),
            Event::Sent { at, flow, bytes } => self.message(at, flow.remote, false, bytes),
            Event::Decided { call_id, steps } => {
                if let Some(row) = self.rows.iter_mut().rev().find(|r| r.waits && r.call_id == call_id) {
                    row.decisions = steps;
                    row.waits = false;
                }
            }
        }
        while self.rows.front().is_some_and(|r| !r.waits) {
            self.write_next(out)?;
        }
        Ok(())
    }

    /// Writes everything that waited in vain.
    pub(super) fn flush(&mut self, out: &mut dyn Write) -> io::Result<()> {
        while !self.rows.is_empty() {
            self.write_next(out)?;
        }
        out.flush()
    }

    /// Writes the rest and how it ended.
    pub(super) fn finish(&mut self, outcome: &anyhow::Result<Heard>, lost: u64, out: &mut dyn Write) -> io::Result<()> {
        self.flush(out)?;
        if lost > 0 && self.style == Style::Ladder {
            writeln!(out, "({lost} events came too fast to be shown)")?;
        }
        let [left, right] = &self.phones;
        match (self.style, outcome) {
            (Style::Ladder, Ok(heard)) => writeln!(
                out,
                "{GOOD}The call worked.{GOOD:#} Speech went straight from phone to phone: {} heard {} packets, {} heard {}.",
                left.extension, heard.caller, right.extension, heard.callee
            )?,
            (Style::Ladder, Err(error)) => writeln!(out, "{BAD}The call failed:{BAD:#} {error:#}")?,
            (Style::Json, Ok(heard)) => writeln!(
                out,
                "{}",
                json!({"event": "result", "ok": true, "packets_heard": {"caller": heard.caller, "callee": heard.callee}, "events_lost": lost})
            )?,
            (Style::Json, Err(error)) => {
                writeln!(out, "{}", json!({"event": "result", "ok": false, "reason": format!("{error:#}"), "events_lost": lost}))?;
            }
        }
        out.flush()
    }

    fn message(&mut self, at: Instant, remote: SocketAddr, inbound: bool, bytes: Bytes) {
        let Some(phone) = self.phones.iter().position(|p| p.address == remote) else {
            return;
        };
        let Ok(message) = Message::parse(bytes, &Limits::default()) else {
            return;
        };
        self.began.get_or_insert(at);
        let call_id = Bytes::copy_from_slice(message.call_id());
        let (label, ink) = label(&message);
        let opens = message.is_request()
            && inbound
            && matches!(message.method(), Method::Invite | Method::Register)
            && message.to().is_some_and(|to| to.tag().is_none());
        if !message.is_request() && message.status() >= 200 {
            for row in self.rows.iter_mut().filter(|r| r.call_id == call_id) {
                row.waits = false;
            }
        }
        self.rows.push_back(Row { at, phone, inbound, label, ink, call_id, decisions: Vec::new(), waits: opens });
    }

    fn write_next(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let Some(row) = self.rows.pop_front() else {
            return Ok(());
        };
        match self.style {
            Style::Ladder => self.draw(&row, out),
            Style::Json => self.report(&row, out),
        }
    }

    fn since_begin(&self, row: &Row) -> Duration {
        self.began.map_or(Duration::ZERO, |began| row.at.since(began))
    }

    fn draw(&self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        let ms = self.since_begin(row).as_secs_f64() * 1000.0;
        write!(out, "{DIM}{ms:>9.1} {DIM:#}")?;
        // The left phone's arrows run in the left span, the right phone's in the right one.
        let rightwards = row.inbound == (row.phone == 0);
        let arrow = Arrow { label: &row.label, rightwards };
        let ink = row.ink;
        if row.phone == 0 {
            write!(out, "│{ink}{arrow}{ink:#}│{:SPAN$}│", "")?;
        } else {
            write!(out, "│{:SPAN$}│{ink}{arrow}{ink:#}│", "")?;
        }
        let mut steps = row.decisions.iter();
        if let Some(step) = steps.next() {
            write!(out, "  {}", Decision(step))?;
        }
        writeln!(out)?;
        for step in steps {
            writeln!(out, "{:>9} │{:SPAN$}│{:SPAN$}│  {}", "", "", "", Decision(step))?;
        }
        Ok(())
    }

    fn report(&self, row: &Row, out: &mut dyn Write) -> io::Result<()> {
        let extension = self.phones.get(row.phone).map_or("", |p| p.extension.as_str());
        let (from, to) = if row.inbound { (extension, "holdfast") } else { ("holdfast", extension) };
        let decisions: Vec<_> = row
            .decisions
            .iter()
            .map(|s| {
                json!({"policy": s.policy.as_ref(), "outcome": s.outcome, "fault": s.fault.as_ref().map(ToString::to_string),
                       "took_us": micros(s.took)})
            })
            .collect();
        writeln!(
            out,
            "{}",
            json!({"event": "message", "at_us": micros(self.since_begin(row)), "from": from, "to": to,
                   "message": row.label, "call_id": String::from_utf8_lossy(&row.call_id), "decisions": decisions})
        )
    }
}

/// What stands on the arrow: the method (with the number for INVITE), or status and reason.
fn label(message: &Message) -> (String, Ink) {
    if message.is_request() {
        let method = String::from_utf8_lossy(message.method_token()).into_owned();
        let called = message.uri().filter(|_| message.method() == Method::Invite).map(|u| u.user_decoded().into_owned());
        let label = match called {
            Some(called) => format!("{method} {}", String::from_utf8_lossy(&called)),
            None => method,
        };
        return (label, ASK);
    }
    let status = message.status();
    let ink = match status {
        ..200 | 401 | 407 => WAIT,
        200..300 => GOOD,
        _ => BAD,
    };
    (format!("{status} {}", String::from_utf8_lossy(message.reason())), ink)
}

struct Arrow<'a> {
    label: &'a str,
    rightwards: bool,
}

impl std::fmt::Display for Arrow<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let label = shorten(self.label, SPAN - 6);
        let tail = "─".repeat(SPAN - 5 - label.chars().count());
        if self.rightwards { write!(f, "── {label} {tail}▶") } else { write!(f, "◀── {label} {tail}") }
    }
}

struct Decision<'a>(&'a Step);

impl std::fmt::Display for Decision<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Step { policy, outcome, fault, took, .. } = self.0;
        let ink = if fault.is_some() { BAD } else { RULE };
        write!(f, "{ink}{policy}{ink:#}: {outcome} {DIM}{} µs{DIM:#}", micros(*took))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
