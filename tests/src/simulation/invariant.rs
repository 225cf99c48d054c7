//! What must be true of a gateway whatever its phones and its network do. For each there is a [`super::Fault`] that breaks it.

use std::fmt;

/// A sentence that every run checks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Invariant {
    /// What the gateway sends is SIP.
    WellFormed,
    /// RFC 3261 12.2.1.1: inside a dialog each new request of the gateway has a higher CSeq.
    NumbersRise,
    /// RFC 3261 17: an ACK is never answered.
    NoAnswerToAck,
    /// An INVITE has one final answer, however often it comes.
    OneAnswer,
    /// Each INVITE gets a final answer, and in time.
    Answered,
    /// A call goes on until somebody ends it.
    EndedBySomebody,
    /// A call has one record.
    OneRecord,
    /// A call for help is not refused before every trunk was tried.
    HelpTriesAll,
    /// Both legs end: a phone whose other side has left hears of it.
    BothLegsEnd,
    /// A call whose phone has left ends.
    LeaversAreNoticed,
    /// Nobody rings for ever.
    RingingEnds,
    /// As many seats are taken as endpoints sit on one.
    SeatsAdd,
    /// As many trunk channels are counted as legs hold.
    ChannelsAdd,
    /// A phone that was answered 200 is registered until its time is over, also after a crash.
    Registered,
    /// Every transaction has a timer that ends it.
    TransactionsEnd,
    /// No table leads to a call that is gone.
    NoOrphans,
    /// Every call waits for something that will happen.
    CallsGoOn,
    /// One call keeps no more than it may.
    CallsAreBounded,
    /// The tables are no larger than calls and limits allow.
    TablesAreBounded,
    /// When everybody has hung up, the gateway comes to rest.
    ComesToRest,
    /// At rest, with all registrations lapsed, nothing is left.
    NothingIsLeft,
    /// No timer fires for ever at one moment.
    TimeMoves,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::WellFormed,
        Self::NumbersRise,
        Self::NoAnswerToAck,
        Self::OneAnswer,
        Self::Answered,
        Self::EndedBySomebody,
        Self::OneRecord,
        Self::HelpTriesAll,
        Self::BothLegsEnd,
        Self::LeaversAreNoticed,
        Self::RingingEnds,
        Self::SeatsAdd,
        Self::ChannelsAdd,
        Self::Registered,
        Self::TransactionsEnd,
        Self::NoOrphans,
        Self::CallsGoOn,
        Self::CallsAreBounded,
        Self::TablesAreBounded,
        Self::ComesToRest,
        Self::NothingIsLeft,
        Self::TimeMoves,
    ];

    /// It does not hold, because of `what`.
    pub(super) fn broken(self, what: impl Into<String>) -> Broken {
        Broken { invariant: self, what: what.into() }
    }
}

/// An invariant that does not hold, and how that shows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Broken {
    /// Which.
    pub invariant: Invariant,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.invariant, self.what)
    }
}
