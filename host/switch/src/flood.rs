//! Floods: so many requests a second from one source, and no more, before anything else is done with them.
//!
//! One phone that has lost its mind, sending hundreds of requests a second, must cost the others nothing. Sources are told apart by address and port: phones
//! behind one address translator share the address only. The table has a fixed size, so that forged sources cannot make it grow; who finds no place pushes
//! out whoever has been quiet longest, which costs that one nothing, since a source that is not in the table has its full allowance.

use sip::{Instant, random::Random};
use std::net::{IpAddr, SocketAddr};

/// Sources that are remembered.
const SOURCES: usize = 8192;
/// Places that one source may take: it is found by looking at no more.
const WAYS: usize = 4;
/// Answers that one flooding source gets in a second, and at once; beyond them there is silence.
const ANSWERS: Bucket = Bucket { one: 500_000, full: 5_000_000 };

/// What is counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// INVITE.
    Call,
    /// REGISTER.
    Registration,
    /// Every other request that is judged.
    Other,
}

impl Class {
    /// The class of a message by its first octets; `None` for what is never judged: responses, ACK and CANCEL, which end something or cost nothing.
    #[must_use]
    pub fn of(message: &[u8]) -> Option<Self> {
        let method = message.split(|octet| *octet == b' ').next().unwrap_or_default();
        match method {
            b"INVITE" => Some(Self::Call),
            b"REGISTER" => Some(Self::Registration),
            b"ACK" | b"CANCEL" | b"SIP/2.0" => None,
            _ => Some(Self::Other),
        }
    }
}

/// What is to be done with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing is wrong with it.
    Pass,
    /// There have been too many: say so.
    TurnAway,
    /// There have been too many, and that has been said.
    Drop,
}

/// A token bucket's size.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// Tokens that come back each second.
    pub a_second: usize,
    /// Tokens that there can be.
    pub burst: usize,
}

/// The buckets of all sources of one shard.
#[derive(Debug)]
pub struct Flood {
    /// Nobody who does not know it can aim at the place of another source.
    secret: u64,
    calls: Bucket,
    registrations: Bucket,
    others: Bucket,
    sources: Box<[Source]>,
}

/// One source. Token buckets are moments in microseconds: a bucket is full when its moment has passed, and each token taken moves it on (the virtual scheduling
/// algorithm of ITU-T I.371).
#[derive(Clone, Copy, Debug)]
struct Source {
    key: u64,
    heard: u64,
    calls: u64,
    registrations: u64,
    others: u64,
    answers: u64,
}

const NOBODY: Source = Source { key: 0, heard: 0, calls: 0, registrations: 0, others: 0, answers: 0 };

/// An allowance in microseconds: what one token moves the moment by, and how far it may lie ahead.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    one: u64,
    full: u64,
}

impl Flood {
    /// With these allowances for each source.
    #[must_use]
    pub fn new(calls: Allowance, registrations: Allowance, others: Allowance, random: &mut Random) -> Self {
        let [calls, registrations, others] = [calls, registrations, others].map(Bucket::of);
        Self { secret: random.next_u64(), calls, registrations, others, sources: vec![NOBODY; SOURCES].into_boxed_slice() }
    }

    /// Judges one request.
    pub fn judge(&mut self, from: SocketAddr, class: Class, now: Instant) -> Verdict {
        let (calls, registrations, others) = (self.calls, self.registrations, self.others);
        let now = now.unix_micros();
        let Some(source) = self.source(from, now) else { return Verdict::Pass };
        source.heard = now;
        let passes = match class {
            Class::Call => calls.take(&mut source.calls, now),
            Class::Registration => registrations.take(&mut source.registrations, now),
            Class::Other => others.take(&mut source.others, now),
        };
        if passes {
            Verdict::Pass
        } else if ANSWERS.take(&mut source.answers, now) {
            Verdict::TurnAway
        } else {
            Verdict::Drop
        }
    }

    /// The place of a source; that of whoever has been quiet longest when it has none.
    fn source(&mut self, from: SocketAddr, now: u64) -> Option<&mut Source> {
        let address = match from.ip() {
            IpAddr::V4(address) => u128::from(address.to_bits()),
            IpAddr::V6(address) => address.to_bits(),
        };
        // Two rounds of multiplying and folding: whoever collides on purpose, without the secret, pushes out a quiet source and gains nothing.
        let key = mix(mix(self.secret, address) ^ u64::from(from.port()), u128::from(self.secret)).max(1);
        let first = usize::try_from(key % (SOURCES / WAYS) as u64).unwrap_or(0) * WAYS;
        let places = self.sources.get_mut(first..first + WAYS)?;
        // A place that was heard of later than now belongs to a clock that was set back: it counts as heard now.
        let place = match places.iter().position(|source| source.key == key) {
            Some(place) => place,
            None => {
                let quietest = (0..WAYS).min_by_key(|place| places.get(*place).map_or(now, |source| source.heard.min(now)))?;
                *places.get_mut(quietest)? = Source { key, ..NOBODY };
                quietest
            }
        };
        places.get_mut(place)
    }
}

fn mix(state: u64, value: u128) -> u64 {
    let fold = |wide: u128| u64::try_from((wide ^ (wide >> 64)) & u128::from(u64::MAX)).unwrap_or(0);
    fold(u128::from(state ^ fold(value)).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

impl Bucket {
    fn of(allowance: Allowance) -> Self {
        let number = |n: usize| u64::try_from(n.max(1)).unwrap_or(u64::MAX);
        let one = (1_000_000 / number(allowance.a_second)).max(1);
        Self { one, full: one.saturating_mul(number(allowance.burst)) }
    }

    fn take(self, moment: &mut u64, now: u64) -> bool {
        // A moment that lies further ahead than the bucket is deep was reached by a clock that was set back.
        let from = (*moment).clamp(now, now.saturating_add(self.full));
        let next = from.saturating_add(self.one);
        let there = next.saturating_sub(now) <= self.full;
        *moment = if there { next } else { from };
        there
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::from_unix_micros(1_800_000_000_000_000 + millis * 1000)
    }

    fn flood() -> Flood {
        let others = Allowance { a_second: 100, burst: 1000 };
        let calls = Allowance { a_second: 1000, burst: 1000 };
        Flood::new(calls, calls, others, &mut Random::from_seed([7; 32]))
    }

    fn address(n: u32) -> SocketAddr {
        SocketAddr::from((std::net::Ipv4Addr::from(0x0a00_0000 + n), 5060))
    }

    #[test]
    fn a_phone_that_has_lost_its_mind() {
        let mut flood = flood();
        let mut count = [0; 3];
        // 760 a second for a minute.
        for n in 0..760 * 60 {
            let place = match flood.judge(address(1), Class::of(b"SUBSCRIBE sip:1").unwrap(), at(n * 1000 / 760)) {
                Verdict::Pass => 0,
                Verdict::TurnAway => 1,
                Verdict::Drop => 2,
            };
            count[place] += 1;
        }
        assert!((6990..=7010).contains(&count[0]), "the burst, and a hundred a second: {count:?}");
        assert!((110..=140).contains(&count[1]), "{count:?}");
        assert_eq!(count.iter().sum::<u64>(), 760 * 60);
        // Its calls are counted apart, and so is everybody else; what it says in dialogs that end is not counted at all.
        assert_eq!(flood.judge(address(1), Class::Call, at(60_000)), Verdict::Pass);
        assert_eq!(flood.judge(address(2), Class::Other, at(60_000)), Verdict::Pass);
        assert_eq!([Class::of(b"SIP/2.0 200 OK"), Class::of(b"ACK sip:1"), Class::of(b"CANCEL sip:1")], [None; 3]);
        // It comes to itself.
        assert_eq!(flood.judge(address(1), Class::Other, at(70_000)), Verdict::Pass);
    }

    #[test]
    fn forged_sources_take_no_memory_and_do_not_free_the_one_that_floods() {
        let mut flood = flood();
        let mut passed = 0;
        for n in 0..50_000_u32 {
            let now = at(u64::from(n) / 5);
            passed += u32::from(flood.judge(address(1), Class::Other, now) == Verdict::Pass);
            assert_eq!(flood.judge(address(1000 + n), Class::Other, now), Verdict::Pass);
        }
        assert_eq!(flood.sources.len(), SOURCES);
        // Five thousand a second for ten seconds.
        assert!(passed <= 2010, "{passed} passed");
    }

    #[test]
    fn a_clock_that_is_set_back_locks_nobody_out() {
        let mut flood = flood();
        for _ in 0..1000 {
            assert_eq!(flood.judge(address(1), Class::Other, at(3_600_000)), Verdict::Pass);
        }
        assert_ne!(flood.judge(address(1), Class::Other, at(3_600_000)), Verdict::Pass);
        assert_ne!(flood.judge(address(1), Class::Other, at(0)), Verdict::Pass);
        assert_eq!(flood.judge(address(1), Class::Other, at(10_000)), Verdict::Pass);
    }
}
