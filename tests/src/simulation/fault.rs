//! Gateways that are broken on purpose. An invariant that none of them trips would be worth nothing.

use super::{
    Invariant, Role, Run,
    model::{State, read},
};
use crate::{
    net::{PhoneId, Tamper},
    phone::Manner,
};
use bytes::Bytes;
use gateway::calls::Transmit;
use sip::{Message, build::Writer, message::Method, transport::Flow};
use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};
use switch::{licence::Seat, registrar::Binding, trunk::Channel};

/// What is wrong with the gateway.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// It cuts its 180s off.
    CutsMessages,
    /// Every request that it sends inside a dialog has the same CSeq number.
    StandsStillInNumbers,
    /// It answers ACKs.
    AnswersAcks,
    /// It refuses an INVITE with one status, and then with another.
    RefusesTwice,
    /// It never refuses an INVITE: its refusals do not leave it.
    NeverRefuses,
    /// It takes ACKs for BYEs.
    HangsUpByItself,
    /// It tells of each call twice.
    RecordsTwice,
    /// It refuses calls for help at the door.
    RefusesHelp,
    /// It knows one trunk for calls for help where there are two.
    KnowsOneTrunk,
    /// Its BYEs do not leave it.
    SwallowsByes,
    /// It does not hear BYEs.
    HearsNoByes,
    /// Its CANCELs do not leave it.
    SwallowsCancels,
    /// A seat was taken and is not given back.
    LosesSeat,
    /// A trunk channel was taken and is not given back.
    LosesChannel,
    /// What its store says it has kept is gone after a crash.
    ForgetsBindings,
    /// It has a transaction without a timer.
    EndlessTransaction,
    /// A table leads to a call that is gone.
    Orphan,
    /// A call has no timer and awaits nothing.
    IdleCall,
    /// A call keeps everything.
    GreedyCall,
    /// Tags of calls that are gone stay in the table.
    TagsStay,
    /// Its limit of transactions does not hold.
    NoLimit,
    /// Its clock stops when all hang up.
    ClockStops,
    /// A binding never lapses.
    EternalBinding,
    /// Its timers are due and never fire.
    TimersNeverFire,
}

impl Fault {
    /// Every fault, and what it breaks.
    pub const ALL: [(Self, Invariant); 24] = [
        (Self::CutsMessages, Invariant::WellFormed),
        (Self::StandsStillInNumbers, Invariant::NumbersRise),
        (Self::AnswersAcks, Invariant::NoAnswerToAck),
        (Self::RefusesTwice, Invariant::OneAnswer),
        (Self::NeverRefuses, Invariant::Answered),
        (Self::HangsUpByItself, Invariant::EndedBySomebody),
        (Self::RecordsTwice, Invariant::OneRecord),
        (Self::RefusesHelp, Invariant::HelpTriesAll),
        (Self::KnowsOneTrunk, Invariant::HelpTriesAll),
        (Self::SwallowsByes, Invariant::BothLegsEnd),
        (Self::HearsNoByes, Invariant::LeaversAreNoticed),
        (Self::SwallowsCancels, Invariant::RingingEnds),
        (Self::LosesSeat, Invariant::SeatsAdd),
        (Self::LosesChannel, Invariant::ChannelsAdd),
        (Self::ForgetsBindings, Invariant::Registered),
        (Self::EndlessTransaction, Invariant::TransactionsEnd),
        (Self::Orphan, Invariant::NoOrphans),
        (Self::IdleCall, Invariant::CallsGoOn),
        (Self::GreedyCall, Invariant::CallsAreBounded),
        (Self::TagsStay, Invariant::TablesAreBounded),
        (Self::NoLimit, Invariant::TablesAreBounded),
        (Self::ClockStops, Invariant::ComesToRest),
        (Self::EternalBinding, Invariant::NothingIsLeft),
        (Self::TimersNeverFire, Invariant::TimeMoves),
    ];
}

/// What a broken gateway holds on to.
#[derive(Default)]
pub(super) struct Grip {
    seat: Option<Seat>,
    channel: Option<Channel>,
    /// All have hung up.
    all_hung_up: Rc<Cell<bool>>,
}

/// Stands between the gateway and the wire.
struct Between {
    fault: Fault,
    all_hung_up: Rc<Cell<bool>>,
}

impl Run<'_> {
    /// Breaks the gateway.
    pub(super) fn break_gateway(&mut self) {
        let Some(fault) = self.fault else { return };
        let now = self.world.now();
        self.world.tamper(Box::new(Between { fault, all_hung_up: Rc::clone(&self.grip.all_hung_up) }));
        if fault == Fault::KnowsOneTrunk {
            let trunks = (0..self.players.len()).filter(|place| self.players.get(*place).is_some_and(|player| player.role == Role::Trunk));
            for place in trunks.collect::<Vec<_>>() {
                self.world.phone(PhoneId(place)).manner(Manner::Refuses(503));
            }
        }
        let site = self.world.gateway().site();
        match fault {
            Fault::LosesSeat => self.grip.seat = site.ledger.take("site", "nobody", now, now).ok(),
            Fault::LosesChannel => {
                let (way, nobody) = (switch::trunk::Way::Out, switch::trunk::Holder::default());
                self.grip.channel = site.trunks.take("north", way, &switch::trunk::Capacity::default(), nobody, now);
            }
            Fault::EternalBinding => {
                let expires = now + Duration::from_secs(1_000_000);
                site.registrar.restore(eternal(expires), site.ledger.retake("site", "ada", now));
            }
            _ => {}
        }
    }

    /// All have hung up now.
    pub(super) fn all_hung_up(&self, hung_up: bool) {
        self.grip.all_hung_up.set(hung_up);
    }

    /// What the gateway says of itself, where it is wrong about that.
    pub(super) fn bend(&self, state: &mut State) {
        match self.fault {
            Some(Fault::EndlessTransaction) => state.endless += 1,
            Some(Fault::Orphan) => state.orphans += 1,
            Some(Fault::IdleCall) => state.sights.iter_mut().for_each(|sight| sight.goes_on = false),
            Some(Fault::GreedyCall) => state.sights.iter_mut().for_each(|sight| sight.kept += 10_000),
            Some(Fault::TagsStay) => state.tables.iter_mut().for_each(|tables| tables.tags += 1000 * (1 + tables.calls)),
            _ => {}
        }
    }
}

fn eternal(expires: sip::Instant) -> Binding {
    let address = std::net::SocketAddr::from(([10, 9, 9, 9], 5060));
    Binding {
        endpoint: Arc::from("ada"),
        contact: Arc::from("sip:2001@10.9.9.9"),
        params: Arc::from(""),
        q: 0,
        instance: None,
        reg_id: None,
        path: Vec::new(),
        flow: Flow { transport: sip::transport::Transport::Udp, local: address, remote: address, connection: 0 },
        call_id: Arc::from("eternal"),
        cseq: 1,
        seen: sip::Instant::default(),
        expires,
        pool: Some(Arc::from("site")),
        emergency_only: false,
        user_agent: Arc::from(""),
    }
}

impl Tamper for Between {
    fn sends(&mut self, transmit: Transmit) -> Vec<Transmit> {
        let Some(message) = read(&transmit.bytes) else { return vec![transmit] };
        let (method, status) = (message.method(), message.status());
        let refuses = method == Method::Invite && status >= 300 && !matches!(status, 401 | 407 | 503);
        let inside = message.is_request() && message.to().is_some_and(|to| to.tag().is_some());
        match self.fault {
            Fault::CutsMessages if status == 180 => vec![Transmit { bytes: transmit.bytes.slice(..20), ..transmit }],
            Fault::StandsStillInNumbers if inside && !matches!(method, Method::Ack | Method::Cancel) => {
                let number = message.cseq().map_or(0, |cseq| cseq.number);
                vec![Transmit { bytes: replaced(&transmit.bytes, &format!("CSeq: {number} "), "CSeq: 77 "), ..transmit }]
            }
            Fault::RefusesTwice if refuses => {
                let other = if status == 486 { 480 } else { 486 };
                let bytes = replaced(&transmit.bytes, &format!("SIP/2.0 {status} "), &format!("SIP/2.0 {other} "));
                vec![transmit.clone(), Transmit { bytes, ..transmit }]
            }
            Fault::NeverRefuses if refuses => Vec::new(),
            Fault::SwallowsByes if message.is_request() && method == Method::Bye => Vec::new(),
            Fault::SwallowsCancels if message.is_request() && method == Method::Cancel => Vec::new(),
            _ => vec![transmit],
        }
    }

    fn gets(&mut self, bytes: Bytes, flow: Flow) -> (Vec<Bytes>, Vec<Transmit>) {
        let Some(message) = read(&bytes).filter(Message::is_request) else { return (vec![bytes], Vec::new()) };
        // What is malformed cannot be refused in a well-formed way.
        let help = || {
            message.check().is_ok()
                && message.uri().is_some_and(|uri| uri.user == b"112")
                && message.to().is_some_and(|to| to.tag().is_none())
        };
        let answer = |status| {
            let response = Writer::response(&message, status, "Broken", Some("broken")).finish_response(b"");
            vec![Transmit { flow, bytes: Bytes::copy_from_slice(response.bytes()) }]
        };
        match (self.fault, message.method()) {
            (Fault::AnswersAcks, Method::Ack) => (vec![bytes.clone()], answer(200)),
            (Fault::HangsUpByItself, Method::Ack) => {
                let number = message.cseq().map_or(0, |cseq| cseq.number);
                let bye = replaced(&bytes, "ACK ", "BYE ");
                let bye = replaced(&bye, &format!("CSeq: {number} ACK"), &format!("CSeq: {} BYE", number + 5000));
                (vec![bytes.clone(), replaced(&bye, "branch=z9hG4bK", "branch=z9hG4bKbroken")], Vec::new())
            }
            (Fault::HearsNoByes, Method::Bye) => (Vec::new(), Vec::new()),
            (Fault::RefusesHelp, Method::Invite) if help() => (Vec::new(), answer(403)),
            (Fault::RefusesHelp, Method::Ack) if help() => (Vec::new(), Vec::new()),
            _ => (vec![bytes], Vec::new()),
        }
    }

    fn knows_when(&self) -> bool {
        self.fault != Fault::ClockStops || !self.all_hung_up.get()
    }

    fn fires(&self) -> bool {
        self.fault != Fault::TimersNeverFire
    }
}

/// With the first `old` replaced.
fn replaced(bytes: &Bytes, old: &str, new: &str) -> Bytes {
    String::from_utf8_lossy(bytes).replacen(old, new, 1).into()
}
