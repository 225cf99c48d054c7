//! The decision record: every decision of a policy as one line of JSON, with everything that it was told, so that it can be explained (`holdfast explain`) and
//! made again by another component (`holdfast policy replay`). Also what was refused, and the ladder of each call that has ended.
//!
//! The call path only hands over what it has anyway; a thread of its own turns it into text and writes it. When that thread falls behind, lines are left
//! out and counted: a record is never a reason for a call to wait. Passwords, digests and bodies are never in it.

mod cases;
pub(crate) mod files;
mod line;
mod mask;
mod replay;
mod story;

pub use cases::CaseFile;
pub use files::{list, read};
pub use line::{BeatLine, CallFacts, CallLine, Caller, DecisionLine, LegLine, Line, PolicyLine, RefusedLine, RegistrationFacts};
pub use mask::{FIELDS, Field};
pub use replay::{Example, Group, Summary, replay};
pub use story::{Entry, Story, latest, outcome, story};

use crate::{
    calls::{Beat, Ladder, Observer, Said, shard_of},
    data,
    observe::Counters,
    policy::{Decided, Step},
    priority::behind_the_calls,
};
use anyhow::Context as _;
use files::Files;
use mask::Mask;
use sip::Instant;
use std::{
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TryRecvError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};
use switch::{
    decision::Refusal,
    facts::CallKind,
    record::{CallRecord, LegRecord},
};

/// The record's folder in the data folder.
pub const FOLDER: &str = "decisions";

/// Lines that may wait to be written…
const QUEUE: usize = 8192;
/// …and octets of the messages that they are about and of the host's answers: both may be long.
const QUEUE_BYTES: usize = 32 << 20;

/// Room for a line that is kept: most lines take a few kilobytes, one with a long message a hundred.
const LINE_KEPT: usize = 16 << 10;

/// How long the thread that writes lets lines gather once one has woken it. Waking it costs more than writing a line; a crash costs the lines of this time.
const GATHER: Duration = Duration::from_millis(100);

/// What is recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
    /// One of so many calls and registrations, chosen by Call-ID, so that all decisions of one are there or none; 1 = all, 0 = nothing.
    pub one_of: u32,
    /// Octets of one file.
    pub file_bytes: u64,
    /// Files kept; the oldest is removed.
    pub files: u32,
    /// What must not stand there in clear.
    pub mask: Vec<Field>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { one_of: 1, file_bytes: 64 << 20, files: 8, mask: Vec::new() }
    }
}

/// Records decisions, refusals and calls. Cheap to share; ends with the last one who shares it, after everything is written.
pub struct Recorder {
    events: Option<SyncSender<(usize, Event)>>,
    /// Octets of messages and answers in the queue.
    waiting: Arc<AtomicUsize>,
    one_of: u32,
    counters: Arc<Counters>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

enum Event {
    Decided(Box<Decided>),
    Refused(Box<RefusedLine>),
    /// Boxed, like the others: the queue has room for all that may wait from the beginning.
    Told(Box<(CallRecord, Ladder, Vec<LegRecord>)>),
}

impl Recorder {
    /// Starts the thread that writes into `folder`; `None` when nothing is to be recorded.
    ///
    /// # Errors
    /// When the folder or the thread cannot be had.
    pub fn start(folder: &Path, settings: Settings, counters: Arc<Counters>) -> anyhow::Result<Option<Arc<Self>>> {
        if settings.one_of == 0 {
            return Ok(None);
        }
        let files = Files::open(folder, files::STEM, settings.file_bytes, settings.files)
            .with_context(|| format!("the decision record {} cannot be written", folder.display()))?;
        let (events, inbox) = sync_channel(QUEUE);
        let mask = Mask::new(settings.mask, data::random_bytes()?);
        let waiting = Arc::new(AtomicUsize::new(0));
        let writer =
            Writer { files, mask, line: Vec::new(), known: Vec::new(), counters: Arc::clone(&counters), waiting: Arc::clone(&waiting) };
        let thread = std::thread::Builder::new().name("decisions".to_owned()).spawn(move || {
            behind_the_calls();
            writer.run(&inbox);
        });
        let thread = thread.context("the thread that writes the decision record could not be started")?;
        Ok(Some(Arc::new(Self { events: Some(events), waiting, one_of: settings.one_of, counters, writer: Mutex::new(Some(thread)) })))
    }

    /// Whether what has this Call-ID is recorded.
    #[must_use]
    pub fn wants(&self, call_id: &[u8]) -> bool {
        self.one_of == 1 || shard_of(call_id, self.one_of as usize) == 0
    }

    /// Takes one decision.
    pub(crate) fn decided(&self, decided: Decided) {
        self.push(decided.octets(), Event::Decided(Box::new(decided)));
    }

    fn push(&self, octets: usize, event: Event) {
        let room = self.waiting.fetch_add(octets, Relaxed).saturating_add(octets) <= QUEUE_BYTES;
        if !room || self.events.as_ref().is_none_or(|events| events.try_send((octets, event)).is_err()) {
            self.waiting.fetch_sub(octets, Relaxed);
            self.counters.limit("decision-not-recorded", || {
                format!("a decision, refusal or call is missing in the decision record: {QUEUE} of them or {QUEUE_BYTES} octets wait to be written")
            });
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        drop(self.events.take());
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the thread that wrote the decision record had ended by itself");
        }
    }
}

impl Observer for Recorder {
    fn refused(&self, at: Instant, call_id: &[u8], refusal: &Refusal, step: Option<&Step>) {
        if self.wants(call_id) {
            let line = RefusedLine {
                at_us: at.unix_micros(),
                call_id: String::from_utf8_lossy(call_id).into_owned(),
                status: refusal.status,
                phrase: refusal.phrase.clone(),
                detail: refusal.detail.clone(),
                policy: step.map(|step| step.policy.to_string()),
            };
            self.push(0, Event::Refused(Box::new(line)));
        }
    }

    fn told(&self, record: &CallRecord, ladder: &Ladder, legs: &[LegRecord]) {
        if self.wants(record.call_id.as_bytes()) {
            self.push(0, Event::Told(Box::new((record.clone(), ladder.clone(), legs.to_vec()))));
        }
    }
}

struct Writer {
    files: Files,
    mask: Mask,
    /// The line that is being written; its room is kept.
    line: Vec<u8>,
    /// Policies that the current file names: hash and settings. A chain has few.
    known: Vec<(String, String)>,
    counters: Arc<Counters>,
    waiting: Arc<AtomicUsize>,
}

impl Writer {
    fn run(mut self, inbox: &Receiver<(usize, Event)>) {
        loop {
            let (octets, event) = match inbox.try_recv() {
                Ok(event) => event,
                Err(TryRecvError::Empty) => {
                    // Whoever asks now finds everything.
                    let flushed = self.files.flush();
                    self.report(flushed);
                    match inbox.recv() {
                        Ok(event) => {
                            // What else comes in a moment finds this thread awake: waking it costs whoever decides more than handing over does.
                            std::thread::sleep(GATHER);
                            event
                        }
                        Err(_) => return,
                    }
                }
                Err(TryRecvError::Disconnected) => {
                    let flushed = self.files.flush();
                    return self.report(flushed);
                }
            };
            let written = self.write(event);
            self.waiting.fetch_sub(octets, Relaxed);
            self.report(written);
        }
    }

    fn report(&self, result: std::io::Result<()>) {
        if let Err(error) = result {
            self.counters
                .limit("decision-not-written", || format!("the decision record cannot be written, and lines of it are lost: {error}"));
        }
    }

    fn write(&mut self, event: Event) -> std::io::Result<()> {
        match event {
            Event::Decided(decided) => {
                self.line.clear();
                decided.write(&mut self.line)?;
                if !self.mask.is_empty() {
                    let mut line = serde_json::from_slice(&self.line)?;
                    self.mask.decision(&mut line);
                    self.line.clear();
                    serde_json::to_writer(&mut self.line, &Line::Decision(Box::new(line)))?;
                }
                self.line.push(b'\n');
                self.room(self.line.len())?;
                let (hash, settings_id) = decided.by();
                if !self.known.iter().any(|(known, settings)| known == hash && settings == settings_id) {
                    let named = text(&Line::Policy(decided.policy_line()))?;
                    self.files.write(&named)?;
                    self.known.push((hash.to_owned(), settings_id.to_owned()));
                }
                self.files.write(&self.line)?;
                self.line.shrink_to(LINE_KEPT);
                Ok(())
            }
            Event::Refused(mut line) => {
                if !self.mask.is_empty() {
                    line.detail.clear();
                }
                self.append(&Line::Refused(*line))
            }
            Event::Told(told) => {
                let (record, ladder, legs) = *told;
                let line = self.call(&record, &ladder, legs);
                self.append(&Line::Call(line))
            }
        }
    }

    fn append(&mut self, line: &Line) -> std::io::Result<()> {
        let text = text(line)?;
        self.room(text.len())?;
        self.files.write(&text)
    }

    fn room(&mut self, octets: usize) -> std::io::Result<()> {
        if self.files.make_room(octets)? {
            self.known.clear();
        }
        Ok(())
    }

    fn call(&self, record: &CallRecord, ladder: &Ladder, legs: Vec<LegRecord>) -> CallLine {
        // A call has two addresses, and a dozen messages that name one of them.
        let mut known: Vec<(std::net::SocketAddr, String)> = Vec::with_capacity(2);
        let mut address = |at: std::net::SocketAddr| {
            if let Some((_, text)) = known.iter().find(|(address, _)| *address == at) {
                return text.clone();
            }
            let mut text = at.to_string();
            self.mask.value(Field::Address, &mut text);
            known.push((at, text.clone()));
            text
        };
        // In whole microseconds, which is what there is: a line says 35.584 and not 35.583999999999996.
        let ms = |at: Instant| (at.since(record.began).as_secs_f64() * 1e6).round() / 1e3;
        let (mut caller, mut called) = (record.caller.clone(), record.called.clone());
        self.mask.value(Field::Called, &mut called);
        if !caller.starts_with("trunk:") && caller.contains(':') {
            self.mask.value(Field::Address, &mut caller);
        }
        let mut beat_line = |beat: Beat| BeatLine {
            ms: ms(beat.at),
            peer: address(beat.peer),
            inbound: beat.inbound,
            what: match beat.what {
                Said::Request(method) => method.token().to_owned(),
                Said::Response(status) => format!("{status} {}", sip::build::reason_phrase(status)),
                Said::Silence => "no answer".to_owned(),
            },
        };
        let beats = ladder.beats().map(&mut beat_line).collect();
        CallLine {
            at_us: record.began.unix_micros(),
            call_id: record.call_id.clone(),
            call_kind: kind(record.kind).to_owned(),
            caller,
            called,
            answered_by: record.answered_by.clone(),
            answered_ms: record.answered.map(ms),
            lasted_ms: ms(record.ended),
            status: record.status,
            cause: record.cause.to_owned(),
            legs: legs.into_iter().map(|leg| LegLine { call_id: leg.call_id, at: address(leg.at), who: leg.who }).collect(),
            ladder: beats,
            left_out: ladder.left_out(),
        }
    }
}

/// The kind of a call, as the record says it.
pub(crate) const fn kind(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Normal => "normal",
        CallKind::Emergency => "emergency",
        CallKind::EmergencyTest => "emergency-test",
        CallKind::Callback => "callback",
    }
}

fn text(line: &Line) -> std::io::Result<Vec<u8>> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    Ok(text)
}
