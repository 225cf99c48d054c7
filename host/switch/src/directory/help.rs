//! The operator's rules for calls for help.

use ipnet::IpNet;
use std::time::Duration;

/// Emergency numbers and their way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Emergency {
    /// Numbers that are calls for help.
    pub numbers: Vec<String>,
    /// Numbers that test the route.
    pub test_numbers: Vec<String>,
    /// Trunks in order.
    pub trunks: Vec<String>,
    /// From where an unregistered phone may call for help.
    pub networks: Vec<IpNet>,
    /// Digits that may precede a number to get outside, e.g. `["9", "0"]`; a number with one of them before it is the same number.
    pub outside_prefixes: Vec<String>,
    /// Trunks for tests of the route, in order; none: those of real calls.
    pub test_trunks: Vec<String>,
    /// Where a caller is of whom nothing else is known.
    pub location: Option<String>,
    /// Which number a call for help shows.
    pub caller_id: CallerId,
    /// Value of Resource-Priority in calls for help (RFC 4412, RFC 7135: `esnet.1`).
    pub resource_priority: Option<String>,
    /// What the phone that calls for help may do with the call.
    pub may: May,
    /// The extension of the security desk: it is called back where the caller cannot be.
    pub security_desk: Option<String>,
    /// How long it is remembered who has called for help, so that the answering point can call back.
    pub callback: Duration,
    /// How long the caller's phone is tried before the security desk rings.
    pub callback_ring: Duration,
}

/// Which number a call for help shows where both are known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CallerId {
    /// The number of the place (its ELIN): the answering point finds the place by it, and we find the caller.
    #[default]
    Elin,
    /// The caller's own direct number.
    Own,
}

/// What a phone may do with its call for help.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct May {
    /// Hold it.
    pub hold: bool,
    /// Transfer it.
    pub transfer: bool,
}

/// What becomes of the place of a caller for help on a trunk (RFC 6442).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Geolocation {
    /// What the phone says about it goes on, and nothing is added.
    #[default]
    Pass,
    /// What the phone says goes on; where it says nothing, the address of its location is added.
    Add,
    /// Nothing is told: there are providers that refuse a call because of it.
    Remove,
}

/// The shortest time for which callers for help are remembered, and what is usual.
pub const CALLBACK: Duration = Duration::from_secs(3 * 3600);

impl Default for Emergency {
    fn default() -> Self {
        Self {
            numbers: Vec::new(),
            test_numbers: Vec::new(),
            trunks: Vec::new(),
            networks: Vec::new(),
            outside_prefixes: Vec::new(),
            test_trunks: Vec::new(),
            location: None,
            caller_id: CallerId::default(),
            resource_priority: None,
            may: May { hold: true, transfer: false },
            security_desk: None,
            callback: CALLBACK,
            callback_ring: Duration::from_secs(60),
        }
    }
}
