//! A whole record made again by a candidate: read once, decided on every core, summed up.

use super::{DecisionLine, Line, PolicyLine, files::LINE_MAX};
use crate::policy::{Candidate, Replayed};
use anyhow::Context as _;
use memchr::{memchr, memmem};
use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    iter,
    path::PathBuf,
    sync::{Arc, mpsc::sync_channel},
    time::Duration,
};

/// Examples kept of each group.
const EXAMPLES: usize = 3;
/// Octets of lines that a thread takes at a time, and a line more.
const BATCH: usize = 256 << 10;
/// Times kept for the distribution; of a longer record the first ones.
const TIMES: usize = 2_000_000;
/// A decision is slower when it took more than twice the recorded time, and at least so much more.
const SLOWER: Duration = Duration::from_micros(50);

/// What came of a replay.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Summary {
    /// Decisions of the policy in the record.
    pub decisions: u64,
    /// The candidate said the same.
    pub same: u64,
    /// It said something else: `route -> refuse 403`, with examples.
    pub changed: BTreeMap<String, Group>,
    /// It failed, by kind.
    pub faulted: BTreeMap<String, Group>,
    /// It asked what was not asked then, by question.
    pub unanswered: BTreeMap<String, Group>,
    /// Could not be made again, by reason.
    pub skipped: BTreeMap<String, u64>,
    /// Took more than twice as long as recorded, and more than 50 µs longer.
    pub slower: u64,
    /// Lines that could not be read.
    pub unreadable: u64,
    /// Other policies with decisions in the record.
    pub others: BTreeMap<String, u64>,
    /// Microseconds that decisions took: recorded and now.
    pub times: Vec<(f32, f32)>,
}

/// Decisions that differ in one way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Group {
    /// How many.
    pub count: u64,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// One decision that differs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Example {
    /// Its Call-ID.
    pub call_id: String,
    /// What was asked, in words.
    pub asked: String,
    /// What the record says.
    pub old: String,
    /// What the candidate says.
    pub new: String,
}

impl Summary {
    /// Decisions that differ, fail, or cannot be compared because the candidate asks something else.
    #[must_use]
    pub fn differences(&self) -> u64 {
        [&self.changed, &self.faulted, &self.unanswered].iter().flat_map(|groups| groups.values()).map(|group| group.count).sum()
    }

    fn count(&mut self, line: &DecisionLine, replayed: Replayed, took: Duration) {
        self.decisions += 1;
        let groups = match &replayed {
            Replayed::Same => {
                self.same += 1;
                None
            }
            Replayed::Changed(new) => Some((&mut self.changed, format!("{} -> {}", shape(&line.said), shape(new)), new)),
            Replayed::Faulted(kind, said) => Some((&mut self.faulted, (*kind).to_owned(), said)),
            Replayed::Unanswered(question) => {
                let name = question.split('(').next().unwrap_or_default();
                Some((&mut self.unanswered, name.to_owned(), question))
            }
            Replayed::Skipped(why) => {
                *self.skipped.entry((*why).to_owned()).or_default() += 1;
                return;
            }
        };
        if let Some((groups, key, new)) = groups {
            let group = groups.entry(key).or_default();
            group.count += 1;
            if group.examples.len() < EXAMPLES {
                group.examples.push(Example {
                    call_id: line.call_id.clone(),
                    asked: line.asked_in_words(),
                    old: line.said.clone(),
                    new: new.clone(),
                });
            }
        }
        let took_us = took.as_secs_f64() * 1e6;
        self.slower += u64::from(took_us > 2.0 * line.took_us && took_us > line.took_us + SLOWER.as_secs_f64() * 1e6);
        if self.times.len() < TIMES {
            #[expect(clippy::cast_possible_truncation, reason = "seven digits of a time are enough")]
            self.times.push((line.took_us as f32, took_us as f32));
        }
    }

    fn add(&mut self, other: Self) {
        self.decisions += other.decisions;
        self.same += other.same;
        self.slower += other.slower;
        self.unreadable += other.unreadable;
        for (into, from) in
            [(&mut self.changed, other.changed), (&mut self.faulted, other.faulted), (&mut self.unanswered, other.unanswered)]
        {
            for (key, group) in from {
                let whole = into.entry(key).or_default();
                whole.count += group.count;
                whole.examples.extend(group.examples);
                whole.examples.truncate(EXAMPLES);
            }
        }
        for (into, from) in [(&mut self.skipped, other.skipped), (&mut self.others, other.others)] {
            for (key, count) in from {
                *into.entry(key).or_default() += count;
            }
        }
        let room = TIMES.saturating_sub(self.times.len());
        self.times.extend(other.times.into_iter().take(room));
    }
}

/// What kind of decision it is: `refuse 403`, `route`, `pass`, `admit site`.
pub(super) fn shape(said: &str) -> String {
    let words = match said.split(' ').next() {
        Some("refuse" | "admit") => 2,
        _ => 1,
    };
    said.split(' ').take(words).collect::<Vec<_>>().join(" ").trim_end_matches(',').to_owned()
}

/// The settings of the policies that a part of the record names, by name, hash and settings.
type Policies = Arc<HashMap<(String, String, String), PolicyLine>>;

/// A part of the record.
struct Batch {
    policies: Policies,
    /// As they stand there, each with its end.
    lines: Vec<u8>,
}

impl Batch {
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.lines.as_slice();
        let next = move || {
            let (line, after) = rest.split_at(memchr(b'\n', rest).map_or(rest.len(), |end| end + 1));
            rest = after;
            (!line.is_empty()).then(|| line.trim_ascii())
        };
        iter::from_fn(next).filter(|line| !line.is_empty())
    }
}

/// Lets `candidate` make every decision of `policy` in `files` again, on `threads` threads. `chosen` sees each decision and what the candidate said, on those threads; `progress` is told the octets that were read.
///
/// # Errors
/// When a file cannot be read, or the system gives no threads.
pub fn replay(
    files: &[PathBuf],
    candidate: &Arc<Candidate>,
    policy: &str,
    threads: usize,
    chosen: &(dyn Fn(&DecisionLine, &Replayed) + Sync),
    mut progress: impl FnMut(u64),
) -> anyhow::Result<Summary> {
    std::thread::scope(|scope| {
        let mut senders = Vec::new();
        let mut workers = Vec::new();
        for number in 0..threads.max(1) {
            let (sender, batches) = sync_channel::<Batch>(4);
            let player = candidate.player();
            let work = move || {
                let mut player = player;
                let mut summary = Summary::default();
                for batch in batches {
                    for text in batch.lines() {
                        one(text, policy, &batch.policies, &mut player, &mut summary, chosen);
                    }
                }
                summary
            };
            let worker = std::thread::Builder::new().name(format!("replay-{number}")).spawn_scoped(scope, work);
            workers.push(worker.context("the system gives no threads")?);
            senders.push(sender);
        }
        let read = distribute(files, &senders, &mut progress);
        drop(senders);
        let mut summary = Summary::default();
        for worker in workers {
            summary.add(worker.join().map_err(|_| anyhow::anyhow!("a thread of the replay ended by itself"))?);
        }
        read.map(|()| summary)
    })
}

fn distribute(files: &[PathBuf], senders: &[std::sync::mpsc::SyncSender<Batch>], progress: &mut impl FnMut(u64)) -> anyhow::Result<()> {
    let mut policies = Policies::default();
    let mut turn = senders.iter().cycle();
    let is_policy = memmem::Finder::new(br#""kind":"policy""#);
    for file in files {
        let open = || format!("the record {}", file.display());
        let mut reader = BufReader::with_capacity(1 << 20, File::open(file).with_context(open)?);
        loop {
            let mut lines = Vec::with_capacity(BATCH + (BATCH >> 2));
            while lines.len() < BATCH {
                let begin = lines.len();
                if reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut lines).with_context(open)? == 0 {
                    break;
                }
                let line = lines.get(begin..).unwrap_or_default();
                if is_policy.find(line).is_some()
                    && let Ok(Some(Line::Policy(named))) = Line::read(line.trim_ascii())
                {
                    let key = (named.policy.clone(), named.hash.clone(), named.settings_id.clone());
                    Arc::make_mut(&mut policies).insert(key, named);
                }
            }
            if lines.is_empty() {
                break;
            }
            progress(lines.len() as u64);
            if let Some(sender) = turn.next() {
                sender.send(Batch { policies: Arc::clone(&policies), lines }).context("a thread of the replay ended by itself")?;
            }
        }
    }
    Ok(())
}

fn one(
    text: &[u8],
    policy: &str,
    policies: &Policies,
    player: &mut crate::policy::Player,
    summary: &mut Summary,
    chosen: &(dyn Fn(&DecisionLine, &Replayed) + Sync),
) {
    let mut line = match Line::read(text) {
        Ok(Some(Line::Decision(line))) => line,
        Ok(_) => return,
        Err(_) => {
            summary.unreadable += 1;
            return;
        }
    };
    if line.policy != policy {
        *summary.others.entry(line.policy).or_default() += 1;
        return;
    }
    let key = (line.policy.clone(), line.hash.clone(), line.settings_id.clone());
    let (replayed, took) = player.replay(&mut line, policies.get(&key));
    chosen(&line, &replayed);
    summary.count(&line, replayed, took);
}
