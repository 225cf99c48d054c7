//! The registration at one provider: asked for, answered, renewed, moved, and taken back at the end. A value: who drives it gives time, randomness and the
//! answers, and sends what it says.

use super::{
    Peer, RegistrationReport, Sign,
    ask::{Sequence, is_ours},
    peer,
    reach::Register,
};
use crate::directory::Trunk;
use sip::{
    Instant, Message,
    build::Request,
    digest,
    header::{Name, NameAddr},
    message::Method,
    random::Random,
    stack::Failure,
    transport::Flow,
};
use std::time::Duration;

/// RFC 5626 4.5, of a provider of whom no way works: "The base-time […] 30 seconds", "max-time […] 1800 seconds".
const BASE: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(1_800);
/// A Min-Expires beyond this is refused: nobody is told of a move in all that time.
const EXPIRES_MAX: u32 = 7 * 24 * 3600;
/// So often in one attempt may a provider say that only the nonce was at fault.
const STALE_MAX: u8 = 3;
/// A way that has been lost is replaced after up to so long: a provider that restarts loses all its customers at once.
const HURRY: Duration = Duration::from_secs(2);

/// Why a registration does not stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// What happened.
    pub why: String,
    /// What to do about it.
    pub remedy: String,
    /// The provider has answered: that it can be reached again changes nothing.
    pub answered: bool,
}

/// A registration.
#[derive(Debug)]
pub struct Registration {
    sequence: Sequence,
    /// What is asked for: what the operator wrote, or what the provider's 423 demands.
    seconds: u32,
    /// The last challenge, which is answered again before it is asked again.
    challenge: Option<Challenge>,
    state: State,
    /// What the provider holds.
    held: Option<Held>,
    failures: u32,
    /// Ways that have failed in this round.
    tried: Vec<Peer>,
    trouble: Option<Trouble>,
    /// The way that holds has been lost, and the next attempt is on its way for that reason.
    hurried: bool,
}

#[derive(Debug)]
struct Challenge {
    value: Vec<u8>,
    answer: Name,
    /// How often it has been answered (RFC 7616 3.4: `nc`).
    count: u32,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    until: Instant,
    /// As it was asked.
    way: Flow,
    /// As it was answered: a connection has its number here.
    flow: Flow,
}

#[derive(Debug)]
enum State {
    /// The next attempt is due then.
    Waiting(Instant),
    /// An answer is waited for.
    Asking(Asking),
    /// Taken back.
    Left,
}

#[derive(Clone, Copy, Debug)]
struct Asking {
    flow: Flow,
    /// A new challenge has been answered: one more means that the credentials are wrong.
    proved: bool,
    stale: u8,
    /// A 423 has been obeyed.
    raised: bool,
    /// It is being taken back.
    leaving: bool,
}

/// A request to be sent by that way.
type Sent = Option<(Request, Flow)>;

/// What an attempt is made with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Account<'a> {
    pub(super) trunk: &'a Trunk,
    pub(super) register: &'a Register,
}

/// The ways to the provider, in the order in which they are tried, and whether each is down.
pub(super) type Ways<'a> = &'a [(Flow, bool)];

impl Registration {
    /// One that is due at once. `call_id` is that of all its requests.
    pub(super) fn new(call_id: String, seconds: u32, random: &mut Random, now: Instant) -> Self {
        Self {
            sequence: Sequence::new(call_id, random),
            seconds,
            challenge: None,
            state: State::Waiting(now),
            held: None,
            failures: 0,
            tried: Vec::new(),
            trouble: None,
            hurried: false,
        }
    }

    /// How it stands.
    pub(super) fn report(&self) -> RegistrationReport {
        let next = if let State::Waiting(at) = self.state { Some(at) } else { None };
        let (until, flow) = self.held.map(|held| (held.until, held.way)).unzip();
        RegistrationReport { until, flow, trouble: self.trouble.clone(), next }
    }

    /// Whether it has been taken back.
    pub(super) const fn left(&self) -> bool {
        matches!(self.state, State::Left)
    }

    /// Time passes.
    pub(super) fn look(&mut self, account: Account<'_>, ways: Ways<'_>, now: Instant, random: &mut Random) -> Sent {
        if self.held.is_some_and(|held| held.until <= now) {
            self.held = None;
        }
        let State::Waiting(at) = self.state else { return None };
        if at <= now {
            return self.attempt(account, ways, now, random);
        }
        if let Some(held) = &self.held
            && !self.hurried
        {
            let there = ways.iter().find(|(flow, _)| *flow == held.way);
            let better = ways.iter().any(|(_, down)| !down);
            // Its addresses were resolved anew, or ours has changed; or it does not answer there, and does elsewhere.
            if !ways.is_empty() && there.is_none_or(|(_, down)| *down && better) {
                self.hurry(at, now, random);
            }
        }
        None
    }

    /// A connection has ended; when it is the one by which we are registered, calls cannot come by it any more.
    pub(super) fn lost(&mut self, flow: Flow, now: Instant, random: &mut Random) {
        let same = |held: &Held| flow.connection != 0 && held.flow.connection == flow.connection && held.flow.transport == flow.transport;
        if let State::Waiting(at) = self.state
            && self.held.as_ref().is_some_and(same)
        {
            self.hurry(at, now, random);
        }
    }

    /// The provider has been seen again: what failed because it was away (`down`: it was away for sure) need not wait longer.
    pub(super) fn recovered(&mut self, down: bool, now: Instant, random: &mut Random) {
        if let State::Waiting(at) = self.state
            && self.trouble.as_ref().is_some_and(|trouble| !trouble.answered)
            && !self.hurried
            && (down || self.failures <= 2)
        {
            self.hurry(at, now, random);
        }
    }

    fn hurry(&mut self, at: Instant, now: Instant, random: &mut Random) {
        self.hurried = true;
        self.state = State::Waiting(at.min(now + part_of(HURRY, 0, 100, random)));
    }

    /// Takes it back, where the provider may hold something.
    pub(super) fn leave(&mut self, account: Account<'_>, random: &mut Random) -> Sent {
        let asked = if let State::Asking(asking) = &self.state { Some(asking.flow) } else { None };
        let Some(flow) = self.held.take().map(|held| held.way).or(asked) else {
            self.state = State::Left;
            return None;
        };
        self.ask(account, Asking { flow, proved: false, stale: 0, raised: false, leaving: true }, random)
    }

    /// A final answer.
    pub(super) fn answered(
        &mut self,
        account: Account<'_>,
        message: &Message,
        flow: Flow,
        ways: Ways<'_>,
        now: Instant,
        random: &mut Random,
    ) -> Sent {
        let State::Asking(asking) = self.state else { return None };
        if asking.leaving && !matches!(message.status(), 401 | 407) {
            self.state = State::Left;
            return None;
        }
        match message.status() {
            200..=299 => {
                self.granted(account, message, asking, flow, now, random);
                None
            }
            // RFC 3261 22.2: "the originator […] re-originates the request with the proper credentials".
            401 | 407 => self.challenged(account, message, asking, now, random),
            // 10.2.8: "If a UA receives a 423 (Interval Too Brief) response, it MAY retry the registration after making the expiration interval […] equal to or
            // greater than the expiration interval within the Min-Expires header field".
            423 => {
                match message.number(Name::MinExpires).filter(|least| !asking.raised && (self.seconds + 1..=EXPIRES_MAX).contains(least)) {
                    Some(least) => {
                        cov_mark::hit!(rfc3261_10_2_8_interval_too_brief);
                        self.seconds = least;
                        self.ask(account, Asking { raised: true, ..asking }, random)
                    }
                    None => self.refused(message, "set `register_seconds` to what the provider accepts", now, random),
                }
            }
            408 | 500..=599 => {
                let why = format!("{}:{} answers {}", asking.flow.transport.uri_token(), asking.flow.remote, message.status());
                let wait = retry_after(message);
                self.unanswered(account, asking, why, true, wait, ways, now, random)
            }
            403 => {
                self.refused(message, "ask the provider whether the account is active, and check `username` and `password`", now, random)
            }
            404 => {
                self.refused(message, "check `contact_user` (or `username`) and `uri`: the provider knows nobody of that name", now, random)
            }
            _ => self.refused(message, "ask the provider what this answer means for the account", now, random),
        }
    }

    /// No answer has come.
    pub(super) fn failed(&mut self, account: Account<'_>, why: Failure, ways: Ways<'_>, now: Instant, random: &mut Random) -> Sent {
        let State::Asking(asking) = self.state else { return None };
        if asking.leaving {
            self.state = State::Left;
            return None;
        }
        let sign = match why {
            Failure::Timeout => Sign::Silent,
            Failure::Unreachable => Sign::Unreachable,
        };
        let why = format!("{}:{} {sign}", asking.flow.transport.uri_token(), asking.flow.remote);
        self.unanswered(account, asking, why, false, Duration::ZERO, ways, now, random)
    }

    /// The first way that has not failed in this round.
    fn attempt(&mut self, account: Account<'_>, ways: Ways<'_>, now: Instant, random: &mut Random) -> Sent {
        let Some(flow) = ways.iter().map(|(flow, _)| *flow).find(|flow| !self.tried.contains(&peer(*flow))) else {
            self.tried.clear();
            self.trouble = Some(Trouble {
                why: "it has no address".to_owned(),
                remedy: "see whether the name in `uri` (or `outbound_proxy`) can be resolved here".to_owned(),
                answered: false,
            });
            self.state = State::Waiting(now + Duration::from_secs(1));
            return None;
        };
        self.ask(account, Asking { flow, proved: false, stale: 0, raised: false, leaving: false }, random)
    }

    fn ask(&mut self, account: Account<'_>, asking: Asking, random: &mut Random) -> Sent {
        let credentials = self.credentials(account, random);
        let seconds = if asking.leaving { 0 } else { self.seconds };
        let request = self.sequence.register(account.trunk, account.register, asking.flow, seconds, credentials.as_ref());
        self.state = State::Asking(asking);
        request.map(|request| (request, asking.flow))
    }

    /// What answers the last challenge once more (RFC 7616 3.4: the same nonce, `nc` one higher).
    fn credentials(&mut self, account: Account<'_>, random: &mut Random) -> Option<(Name, String)> {
        let challenge = self.challenge.as_mut()?;
        challenge.count += 1;
        let (username, password) = (account.trunk.username.as_deref()?, account.trunk.password.as_deref()?);
        let uri = super::ask::registrar(account.trunk)?;
        let cnonce = random.token();
        let value = digest::answer(&challenge.value, username, password, Method::Register.token(), &uri, challenge.count, cnonce.as_str())?;
        Some((challenge.answer, value))
    }

    fn challenged(&mut self, account: Account<'_>, message: &Message, asking: Asking, now: Instant, random: &mut Random) -> Sent {
        let (asked, answer) = match message.status() {
            401 => (Name::WwwAuthenticate, Name::Authorization),
            _ => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
        };
        let challenges = || message.headers().filter(move |header| header.name == asked).map(|header| header.value);
        // RFC 7616 3.3: stale: "the client may wish to simply retry the request with a new encrypted response, without re-prompting the user".
        let stale = challenges().any(digest::stale);
        if asking.proved && !(stale && asking.stale < STALE_MAX) {
            self.challenge = None;
            return self.refused(message, "check `username` and `password` of the trunk", now, random);
        }
        // RFC 8760 2.4: the first challenge that can be answered; the provider's best comes first.
        for value in challenges() {
            self.challenge = Some(Challenge { value: value.to_vec(), answer, count: 0 });
            if self.credentials(account, random).is_some() {
                if let Some(challenge) = &mut self.challenge {
                    challenge.count = 0;
                }
                let stale = asking.stale + u8::from(stale);
                return self.ask(account, Asking { proved: true, stale, ..asking }, random);
            }
        }
        self.challenge = None;
        let remedy = match (&account.trunk.username, &account.trunk.password) {
            (Some(_), Some(_)) => "the provider asks for a digest that is not spoken here: MD5 and SHA-256 with `qop=auth` are",
            _ => "the provider asks for a password: write `username` and `password`",
        };
        self.refused(message, remedy, now, random)
    }

    fn granted(&mut self, account: Account<'_>, message: &Message, asking: Asking, flow: Flow, now: Instant, random: &mut Random) {
        // RFC 3261 10.2.4: "The UA […] finds the expiration interval […] of each binding in the expires parameter"; without it, in Expires.
        let ours = |value: &&[u8]| {
            NameAddr::parse(value).and_then(|contact| Some(is_ours(&contact.uri()?, account.register, asking.flow))).unwrap_or(false)
        };
        let contacts = || message.values(Name::Contact);
        let only = || contacts().next().filter(|_| contacts().count() == 1);
        let own = contacts().find(ours).or_else(only);
        let expires = own.and_then(|value| std::str::from_utf8(NameAddr::parse(value)?.param(b"expires")?).ok()?.parse().ok());
        let seconds: u32 = expires.or_else(|| message.number(Name::Expires)).unwrap_or(self.seconds).min(EXPIRES_MAX);
        self.failures = 0;
        self.tried.clear();
        self.trouble = None;
        self.hurried = false;
        // One that is over at once would be asked for without end.
        let lasts = Duration::from_secs(u64::from(seconds.max(10)));
        self.held = Some(Held { until: now + lasts, way: asking.flow, flow });
        // Long before its end: there is time for a second attempt, and a third. At random: not all trunks of all sites at once.
        self.state = State::Waiting(now + part_of(lasts, 60, 75, random));
    }

    fn refused(&mut self, message: &Message, remedy: &str, now: Instant, random: &mut Random) -> Sent {
        if let State::Asking(Asking { leaving: true, .. }) = self.state {
            self.state = State::Left;
            return None;
        }
        let why = format!("the provider answers {} {}", message.status(), String::from_utf8_lossy(message.reason()));
        self.trouble = Some(Trouble { why, remedy: remedy.to_owned(), answered: true });
        self.tried.clear();
        self.wait(retry_after(message), now, random);
        None
    }

    #[expect(clippy::too_many_arguments, reason = "everything that the next attempt needs")]
    fn unanswered(
        &mut self,
        account: Account<'_>,
        asking: Asking,
        why: String,
        answered: bool,
        least: Duration,
        ways: Ways<'_>,
        now: Instant,
        random: &mut Random,
    ) -> Sent {
        self.tried.push(peer(asking.flow));
        let remedy = if answered {
            "the provider has trouble of its own; it is tried again"
        } else {
            "see whether the way to the provider is open (network, firewall) and whether `uri` names the right place"
        };
        self.trouble = Some(Trouble { why, remedy: remedy.to_owned(), answered: false });
        if ways.iter().any(|(flow, _)| !self.tried.contains(&peer(*flow))) {
            return self.attempt(account, ways, now, random);
        }
        self.tried.clear();
        self.wait(least, now, random);
        None
    }

    /// RFC 5626 4.5: "W = min( max-time, (base-time * (2 ^ consecutive-failures)))"; "the UA MUST wait a […] time […] between 50 and 100% of the upper-bound".
    fn wait(&mut self, least: Duration, now: Instant, random: &mut Random) {
        self.failures = self.failures.saturating_add(1);
        let upper = BASE.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST);
        self.hurried = false;
        self.state = State::Waiting(now + part_of(upper, 50, 100, random).max(least.min(LONGEST)));
    }
}

/// RFC 3261 20.33.
fn retry_after(message: &Message) -> Duration {
    Duration::from_secs(u64::from(message.number(Name::RetryAfter).unwrap_or(0)))
}

/// Between so many and so many hundredths of a time, at random.
pub(super) fn part_of(whole: Duration, from: u64, to: u64, random: &mut Random) -> Duration {
    let micros = u64::try_from(whole.as_micros()).unwrap_or(u64::MAX);
    let (least, most) = (micros / 100 * from, micros / 100 * to);
    Duration::from_micros(least + random.next_u64() % (most - least).max(1))
}
