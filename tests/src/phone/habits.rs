//! How a phone speaks: what it adds to its messages, which extensions it has, and its session timer (RFC 4028).

#![allow(clippy::indexing_slicing, reason = "a harness that is broken stops its test at once")]

use super::{Alarm, Phone};
use gateway::calls::Transmit;
use sip::{Instant, Message, build::Writer, header::Name};
use std::time::Duration;

/// Ways of one phone.
#[derive(Debug)]
pub struct Habits {
    /// Lines of its REGISTERs.
    pub registers_with: Vec<(&'static str, &'static str)>,
    /// Lines of its INVITEs.
    pub calls_with: Vec<(&'static str, &'static str)>,
    /// The session description of its INVITEs; none when empty.
    pub calls_offering: &'static str,
    /// Lines of its 2xx to an INVITE.
    pub answers_with: Vec<(&'static str, &'static str)>,
    /// Lines of its BYEs.
    pub leaves_with: Vec<(&'static str, &'static str)>,
    /// The session description that it offers when asked for one.
    pub offer: &'static str,
    /// Extensions that it knows when somebody requires them; `None`: all.
    pub knows: Option<&'static [&'static str]>,
    /// It takes no call from somebody without 100rel.
    pub insists: bool,
    /// Whether it acknowledges reliable provisional responses.
    pub pracks: bool,
    /// How long it takes to answer a re-INVITE.
    pub thinks: Duration,
    /// Its session timer, when it has one.
    pub timer: Option<SessionTimer>,
}

/// What a phone wants of session timers.
#[derive(Clone, Copy, Debug)]
pub struct SessionTimer {
    /// Session-Expires, seconds.
    pub expires: u32,
    /// Min-SE: less is refused.
    pub min: u32,
    /// The refresher that it asks for, when it calls: `uac` or `uas`.
    pub refresher: Option<&'static str>,
    /// How it refreshes: `UPDATE` or `INVITE`.
    pub method: &'static str,
    /// How often it refreshes before it stops.
    pub times: u32,
}

impl SessionTimer {
    /// A timer of so many seconds, refreshed by this method.
    #[must_use]
    pub const fn every(expires: u32, method: &'static str) -> Self {
        Self { expires, min: 90, refresher: None, method, times: u32::MAX }
    }
}

impl Default for Habits {
    fn default() -> Self {
        Self {
            registers_with: Vec::new(),
            calls_with: vec![("Supported", "100rel")],
            calls_offering: "v=0\r\n",
            answers_with: Vec::new(),
            leaves_with: Vec::new(),
            offer: "v=0\r\n",
            knows: None,
            insists: false,
            pracks: true,
            thinks: Duration::ZERO,
            timer: None,
        }
    }
}

impl Habits {
    pub(super) fn knows(&self, option: &[u8]) -> bool {
        let timer = self.timer.is_some() && option.eq_ignore_ascii_case(b"timer");
        timer || self.knows.is_none_or(|known| known.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(option)))
    }

    /// The smallest interval that this phone takes, when `invite` asks for less.
    pub(super) fn too_often(&self, invite: &Message) -> Option<u32> {
        let (timer, asked) = (self.timer?, invite.number(Name::SessionExpires)?);
        (asked < timer.min).then_some(timer.min)
    }
}

/// The session timer of one call.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Each refresh makes the alarms before it void.
    pub(super) round: u32,
    refreshed: u32,
    /// After a 422: what the other side wants at least.
    pub(super) min: Option<u32>,
}

impl Phone {
    /// Its ways, to be changed.
    pub const fn habits(&mut self) -> &mut Habits {
        &mut self.habits
    }

    /// Writes the lines of an INVITE.
    pub(super) fn dress_invite(&self, place: usize, writer: &mut Writer) {
        for (name, value) in &self.habits.calls_with {
            writer.header_named(name.as_bytes(), value.as_bytes());
        }
        let Some(timer) = self.habits.timer else { return };
        let least = self.calls[place].session.min;
        let refresher = timer.refresher.map_or_else(String::new, |who| format!(";refresher={who}"));
        writer.header(Name::Supported, b"timer").number(Name::MinSe, least.unwrap_or(timer.min));
        writer.header(Name::SessionExpires, format!("{}{refresher}", timer.expires.max(least.unwrap_or(0))).as_bytes());
    }

    /// Writes the lines of a 2xx to an INVITE or UPDATE, and sets the timer as it says (RFC 4028 section 9).
    pub(super) fn dress_answer(&mut self, place: usize, request: &Message, writer: &mut Writer, now: Instant) {
        for (name, value) in &self.habits.answers_with {
            writer.header_named(name.as_bytes(), value.as_bytes());
        }
        let Some(timer) = self.habits.timer else { return };
        let asked = request.header(Name::SessionExpires).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default();
        let (theirs, seconds) = (request.lists(Name::Supported, "timer"), request.number(Name::SessionExpires).unwrap_or(timer.expires));
        // Table 2: without the caller's support the callee alone can refresh; else whom the caller has named, or the caller.
        let we = !theirs || asked.contains("refresher=uas");
        if theirs {
            writer.header(Name::Require, b"timer");
        }
        writer.header(Name::SessionExpires, format!("{seconds};refresher={}", if we { "uas" } else { "uac" }).as_bytes());
        self.keep_alive(place, seconds, we, now);
    }

    /// The other side has answered our INVITE or UPDATE (section 7.2).
    pub(super) fn session_agreed(&mut self, place: usize, answer: &Message, now: Instant) {
        if self.habits.timer.is_none() {
            return;
        }
        let Some(seconds) = answer.number(Name::SessionExpires) else {
            // "If the 2xx response did not contain a Session-Expires header field, there is no session expiration": nobody is given up; whoever has
            // refreshed before goes on with it.
            if self.calls[place].session.refreshed > 0 {
                let seconds = self.habits.timer.map_or(0, |timer| timer.expires);
                self.keep_alive(place, seconds, true, now);
            }
            return;
        };
        let value = answer.header(Name::SessionExpires).unwrap_or_default();
        self.keep_alive(place, seconds, !String::from_utf8_lossy(value).contains("refresher=uas"), now);
    }

    /// Sets the clock: whoever refreshes does so after half of the time, the other one hangs up shortly before its end (section 10).
    fn keep_alive(&mut self, place: usize, seconds: u32, we: bool, now: Instant) {
        self.calls[place].session.round += 1;
        let round = self.calls[place].session.round;
        if we {
            self.arm(now + Duration::from_secs(u64::from(seconds) / 2), Alarm::Refresh(place, round));
        } else {
            self.arm(now + Duration::from_secs(u64::from(seconds - (seconds / 3).min(32))), Alarm::Expired(place, round));
        }
    }

    pub(super) fn refresh(&mut self, place: usize, round: u32, now: Instant, out: &mut Vec<Transmit>) {
        let Some(timer) = self.habits.timer else { return };
        let call = &mut self.calls[place];
        if call.end.is_some() || call.session.round != round || call.session.refreshed >= timer.times {
            return;
        }
        call.session.refreshed += 1;
        let lines = [("Supported", "timer".to_owned()), ("Session-Expires", format!("{};refresher=uac", timer.expires))];
        let body = if timer.method == "INVITE" { self.habits.calls_offering.as_bytes() } else { b"" };
        self.say_in(place, timer.method, &lines, body, now, out);
    }

    pub(super) fn expired(&mut self, place: usize, round: u32, now: Instant, out: &mut Vec<Transmit>) {
        if self.calls[place].end.is_none() && self.calls[place].session.round == round {
            self.bye(place, now, out);
        }
    }
}
