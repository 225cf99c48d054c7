//! The interoperability run: every ordered pair of three independent user agents, on each transport, through a row of cases.
//!
//! On each transport one gateway serves two phones of each make; the third party of a transfer is of another make than the caller. A phone of a case
//! that failed is started anew, so that one failure is one failure. A case that failed is tried once more: user agents
//! have races of their own, as when a key is pressed while one is still busy with the request before, and what fails twice is none of these.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test harness fails by panicking")]

use crate::agents::{Make, Order, Phone, Rtp, Sign, Site, Softphone, Subject, Way};
use std::{
    fmt, fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

/// Of what one side sent, so many percent must arrive at the other: both count, and the last packets may be on their way.
const ARRIVING_PERCENT: u64 = 90;
/// Phones send fifty packets a second; so many of a hundred must have been sent, since a call's first and last moments are without.
const SENDING_PERCENT: u64 = 75;

/// What is tried with a pair.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Case {
    /// A call is answered, speech goes both ways, the caller ends it.
    Call,
    /// Keys are heard both ways; the callee ends the call.
    Digits,
    /// The caller holds and takes back, then the callee does.
    Hold,
    /// The callee sends the caller on to a third phone.
    Transfer,
    /// The caller sends the callee on to a third phone.
    Onward,
    /// The callee asks a third phone and joins the caller with it.
    Attended,
    /// The callee's phone answers 302.
    Forward,
    /// The callee turns the call away.
    Busy,
    /// Nobody answers.
    NoAnswer,
    /// The caller gives up while it rings.
    GivenUp,
}

impl Case {
    /// All of them, in the order in which they are tried.
    pub const ALL: [Self; 10] = [
        Self::Call,
        Self::Digits,
        Self::Hold,
        Self::Transfer,
        Self::Onward,
        Self::Attended,
        Self::Forward,
        Self::Busy,
        Self::NoAnswer,
        Self::GivenUp,
    ];

    /// A word for tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Digits => "digits",
            Self::Hold => "hold",
            Self::Transfer => "transfer",
            Self::Onward => "onward",
            Self::Attended => "attended",
            Self::Forward => "forward",
            Self::Busy => "busy",
            Self::NoAnswer => "no-answer",
            Self::GivenUp => "given-up",
        }
    }

    /// Why this pair cannot show it: a command that the user agent lacks.
    const fn lacking(self, callee: Make) -> Option<&'static str> {
        match self {
            Self::Attended if !callee.joins() => Some("baresip cannot join two calls"),
            Self::Forward if !callee.forwards() => Some("baresip cannot answer 302"),
            _ => None,
        }
    }
}

/// How a case went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// As it should, with what was counted.
    Passed(String),
    /// It did not, and why.
    Failed(String),
    /// The user agent lacks the command.
    Lacking(&'static str),
}

/// One cell of the table.
#[derive(Clone, Debug)]
pub struct Cell {
    /// The transport of all phones.
    pub way: Way,
    /// Whose phone calls.
    pub caller: Make,
    /// Whose phone is called.
    pub callee: Make,
    /// What was tried.
    pub case: Case,
    /// How it went, the last time that it was tried.
    pub outcome: Outcome,
    /// What had gone wrong the first time, where it was tried twice.
    pub first: Option<String>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, note) = match &self.outcome {
            Outcome::Passed(note) => ("ok", note.as_str()),
            Outcome::Failed(reason) => ("FAILED", reason.as_str()),
            Outcome::Lacking(why) => ("lacking", *why),
        };
        let (way, caller, callee, case) = (self.way.upper(), self.caller.name(), self.callee.name(), self.case.name());
        write!(f, "{way:<4} {caller:<9} {callee:<9} {case:<10} {verdict:<8} {note}")?;
        self.first.iter().try_for_each(|first| write!(f, " (at the second try; at the first: {first})"))
    }
}

/// What is run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Transports.
    pub ways: Vec<Way>,
    /// Only pairs in which one of these takes part.
    pub makes: Vec<Make>,
    /// Cases.
    pub cases: Vec<Case>,
    /// How long [`Case::Call`] talks.
    pub talk: Duration,
    /// Where the logs of failed cases are left.
    pub failures: PathBuf,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            ways: vec![Way::Udp, Way::Tcp, Way::Tls],
            makes: Make::ALL.to_vec(),
            cases: Case::ALL.to_vec(),
            talk: Duration::from_secs(2),
            failures: std::env::temp_dir().join(format!("holdfast-interop-{}", std::process::id())),
        }
    }
}

/// Runs the plan; `tell` hears of each cell as it is known.
pub fn run(plan: &Plan, mut tell: impl FnMut(&Cell)) {
    for way in plan.ways.iter().copied() {
        let mut floor = Floor::new(way);
        for caller in Make::ALL {
            for callee in Make::ALL {
                if !plan.makes.contains(&caller) && !plan.makes.contains(&callee) {
                    continue;
                }
                for case in plan.cases.iter().copied() {
                    let mut cell = floor.run(plan, caller, callee, case);
                    if let Outcome::Failed(first) = cell.outcome {
                        cell = Cell { first: Some(first), ..floor.run(plan, caller, callee, case) };
                    }
                    tell(&cell);
                }
            }
        }
    }
}

/// A gateway and two phones of each make.
struct Floor {
    subject: Subject,
    site: Site,
    way: Way,
    phones: [Option<Box<dyn Softphone>>; 6],
}

impl Floor {
    fn new(way: Way) -> Self {
        let site = Site::with_phones(1001..=1006);
        Self { subject: Subject::start(&site), site, way, phones: Default::default() }
    }

    /// The phone at a place, started if it is not running.
    fn take(&mut self, place: usize) -> Party {
        let account: &Phone = &self.site.phones[place];
        let phone = self.phones[place].take().unwrap_or_else(|| Make::ALL[place / 2].register(&self.subject, self.way, account));
        Party { phone, extension: account.extension.clone() }
    }

    fn run(&mut self, plan: &Plan, caller: Make, callee: Make, case: Case) -> Cell {
        let begin = Instant::now();
        if let Some(why) = case.lacking(callee) {
            return Cell { way: self.way, caller, callee, case, outcome: Outcome::Lacking(why), first: None, took: begin.elapsed() };
        }
        let number = |make: Make| Make::ALL.iter().position(|m| *m == make).unwrap();
        let places = [number(caller) * 2, number(callee) * 2 + 1, (number(caller) + 1) % 3 * 2];
        let [a, b, c] = places.map(|place| self.take(place));
        let mut trio = Trio { a, b, c, talk: plan.talk };
        for party in [&mut trio.a, &mut trio.b, &mut trio.c] {
            party.phone.fresh();
        }
        let outcome = match trio.run(case) {
            Ok(note) => {
                for (place, party) in places.into_iter().zip([trio.a, trio.b, trio.c]) {
                    self.phones[place] = Some(party.phone);
                }
                Outcome::Passed(note)
            }
            Err(reason) => {
                let folder = plan.failures.join(format!("{}-{}-{}-{}", self.way.lower(), caller.name(), callee.name(), case.name()));
                fs::create_dir_all(&folder).unwrap();
                for (name, party) in [("caller", &trio.a), ("callee", &trio.b), ("third", &trio.c)] {
                    fs::write(folder.join(format!("{name}.log")), party.phone.log()).unwrap();
                }
                fs::write(folder.join("gateway.log"), self.subject.process.output()).unwrap();
                Outcome::Failed(format!("{reason} ({})", folder.display()))
            }
        };
        Cell { way: self.way, caller, callee, case, outcome, first: None, took: begin.elapsed() }
    }
}

/// A phone in a case.
struct Party {
    phone: Box<dyn Softphone>,
    extension: String,
}

impl Party {
    fn tell(&mut self, order: Order<'_>) -> Result<(), String> {
        self.phone.tell(order).map_err(|e| format!("{} cannot {order:?}: {e}", self.extension))
    }

    fn shows(&mut self, sign: Sign) -> Result<String, String> {
        self.phone.shows(sign).map_err(|e| format!("{} did not show {sign:?}: {e}", self.extension))
    }

    fn counted(&mut self) -> Result<Rtp, String> {
        self.phone.counted().map_err(|e| format!("{}: {e}", self.extension))
    }
}

/// The caller, the callee and somebody else.
struct Trio {
    a: Party,
    b: Party,
    c: Party,
    talk: Duration,
}

type Done = Result<String, String>;

impl Trio {
    fn run(&mut self, case: Case) -> Done {
        match case {
            Case::Call => self.call(),
            Case::Digits => self.digits(),
            Case::Hold => self.hold(),
            Case::Transfer => self.transfer(),
            Case::Onward => self.onward(),
            Case::Attended => self.attended(),
            Case::Forward => self.forward(),
            Case::Busy => self.busy(),
            Case::NoAnswer => self.no_answer(),
            Case::GivenUp => self.given_up(),
        }
    }

    /// The callee rings.
    fn ring(&mut self) -> Result<(), String> {
        self.a.tell(Order::Dial(&self.b.extension))?;
        self.b.shows(Sign::Called)?;
        self.a.shows(Sign::Rings).map(drop)
    }

    /// The two talk.
    fn connect(&mut self) -> Result<(), String> {
        self.ring()?;
        self.b.tell(Order::Answer)?;
        self.b.shows(Sign::Talks)?;
        self.a.shows(Sign::Talks).map(drop)
    }

    fn call(&mut self) -> Done {
        self.connect()?;
        thread::sleep(self.talk);
        self.a.tell(Order::HangUp)?;
        self.b.shows(Sign::Ended)?;
        self.a.shows(Sign::Ended)?;
        let (a, b) = (self.a.counted()?, self.b.counted()?);
        speech(a, b, self.talk)
    }

    fn digits(&mut self) -> Done {
        self.connect()?;
        self.a.tell(Order::Press('5'))?;
        self.b.shows(Sign::Heard('5'))?;
        self.b.tell(Order::Press('7'))?;
        self.a.shows(Sign::Heard('7'))?;
        self.b.tell(Order::HangUp)?;
        self.a.shows(Sign::Ended)?;
        self.b.shows(Sign::Ended)?;
        Ok(String::new())
    }

    fn hold(&mut self) -> Done {
        self.connect()?;
        held(&mut self.a, &mut self.b)?;
        held(&mut self.b, &mut self.a)?;
        self.a.tell(Order::HangUp)?;
        self.b.shows(Sign::Ended)?;
        self.a.shows(Sign::Ended)?;
        Ok(String::new())
    }

    fn transfer(&mut self) -> Done {
        self.connect()?;
        self.b.tell(Order::Transfer(&self.c.extension))?;
        self.c.shows(Sign::Called)?;
        self.c.tell(Order::Answer)?;
        self.c.shows(Sign::Talks)?;
        self.b.shows(Sign::Ended)?;
        part(&mut self.a, &mut self.c)
    }

    fn onward(&mut self) -> Done {
        self.connect()?;
        self.a.tell(Order::Transfer(&self.c.extension))?;
        self.c.shows(Sign::Called)?;
        self.c.tell(Order::Answer)?;
        self.c.shows(Sign::Talks)?;
        self.a.shows(Sign::Ended)?;
        part(&mut self.b, &mut self.c)
    }

    fn attended(&mut self) -> Done {
        self.connect()?;
        self.b.tell(Order::Hold)?;
        self.b.shows(Sign::Holds)?;
        self.b.tell(Order::Dial(&self.c.extension))?;
        self.c.shows(Sign::Called)?;
        self.c.tell(Order::Answer)?;
        self.c.shows(Sign::Talks)?;
        self.b.shows(Sign::Talks)?;
        // The two speak before they are parted: linphone, when moved while its media are just starting, may hear nothing of the new party.
        thread::sleep(Duration::from_millis(500));
        self.b.tell(Order::Join)?;
        self.b.shows(Sign::Ended)?;
        self.b.shows(Sign::Ended)?;
        part(&mut self.a, &mut self.c)
    }

    fn forward(&mut self) -> Done {
        self.ring()?;
        self.b.tell(Order::Forward(&self.c.extension))?;
        self.c.shows(Sign::Called)?;
        self.b.shows(Sign::Ended)?;
        self.c.tell(Order::Answer)?;
        self.c.shows(Sign::Talks)?;
        self.a.shows(Sign::Talks)?;
        part(&mut self.a, &mut self.c)
    }

    fn busy(&mut self) -> Done {
        self.ring()?;
        self.b.tell(Order::Refuse)?;
        self.b.shows(Sign::Ended)?;
        self.a.shows(Sign::Ended).map(short)
    }

    fn no_answer(&mut self) -> Done {
        self.ring()?;
        self.b.shows(Sign::Ended)?;
        self.a.shows(Sign::Ended).map(short)
    }

    fn given_up(&mut self) -> Done {
        self.ring()?;
        self.a.tell(Order::HangUp)?;
        self.b.shows(Sign::Ended)?;
        self.a.shows(Sign::Ended).map(short)
    }
}

/// One holds the other and takes it back.
fn held(holder: &mut Party, other: &mut Party) -> Result<(), String> {
    for (order, theirs, ours) in [(Order::Hold, Sign::Held, Sign::Holds), (Order::Resume, Sign::Freed, Sign::Freed)] {
        holder.tell(order)?;
        holder.shows(ours)?;
        other.shows(theirs)?;
    }
    Ok(())
}

/// Two that were brought together talk for a second; the first ends the call.
fn part(first: &mut Party, other: &mut Party) -> Done {
    thread::sleep(Duration::from_secs(1));
    first.tell(Order::HangUp)?;
    other.shows(Sign::Ended)?;
    first.shows(Sign::Ended)?;
    let counted = other.counted()?;
    if counted.sent == 0 || counted.received == 0 {
        return Err(format!("{} counted {counted:?}", other.extension));
    }
    Ok(format!("third heard {}", counted.received))
}

/// Whether speech went both ways for as long as the call took.
fn speech(a: Rtp, b: Rtp, talk: Duration) -> Done {
    let counts = format!("caller sent {} heard {}, callee sent {} heard {}", a.sent, a.received, b.sent, b.received);
    let least = u64::try_from(talk.as_millis() / 20).unwrap_or(0) * SENDING_PERCENT / 100;
    let arrived = |sent: u64, received: u64| received * 100 >= sent * ARRIVING_PERCENT;
    if a.sent < least || b.sent < least || !arrived(a.sent, b.received) || !arrived(b.sent, a.received) {
        return Err(counts);
    }
    Ok(counts)
}

/// A line that a phone printed, short enough for a table.
fn short(line: String) -> String {
    let from = line.find("reason=").or_else(|| line.find("ended (")).or_else(|| line.find("\"param\"")).unwrap_or(0);
    line.get(from..).unwrap_or_default().chars().take(60).collect()
}
