//! How calls go over one trunk: who is told what of whom, which headers pass, and what sends a call on to the next trunk.

/// The ways of one provider. The default suits a provider that is reached over the open network and known by its address only.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrunkManners {
    /// It lies within the site's trust boundary (RFC 3324 2.3): what it asserts of callers is believed, and it is told who calls also when the caller hides.
    pub trusted: bool,
    /// Where the called number of a call from it stands.
    pub number_from: NumberFrom,
    /// Where it finds the caller's number. A call for help asserts it in any case.
    pub caller_in: CallerIn,
    /// What stands behind the `@` of the caller that it is shown; the site's own domain when `None`.
    pub caller_domain: Option<String>,
    /// It is told through whom a call was forwarded (RFC 5806, RFC 7044).
    pub diversion: bool,
    /// What callers hear from it before somebody answers goes through; else it is a plain 180. What comes reliably (RFC 3262) goes through in any case: it may
    /// be the answer to the caller's offer.
    pub early_media: bool,
    /// Session timers (RFC 4028) are agreed with it; else nothing of them passes, and it finds out about the end of a call by its BYE.
    pub session_timers: bool,
    /// Header fields that pass in both directions beside those that every call needs, by any spelling; `*`: all.
    pub headers: Vec<String>,
    /// Refusals (400 to 499) after which the next trunk is tried, beside the failures that always lead there (time-out, 5xx).
    pub next_on: Vec<u16>,
}

/// Where a called number stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NumberFrom {
    /// In the Request-URI (RFC 3261 8.1.1.1).
    #[default]
    RequestUri,
    /// In To: some providers write the account into the Request-URI.
    To,
}

/// Where a provider finds the caller's number.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CallerIn {
    /// In From alone.
    From,
    /// In P-Asserted-Identity (RFC 3325); From names the account, where the trunk has one.
    Asserted,
    /// In both.
    #[default]
    Both,
}

impl Default for TrunkManners {
    fn default() -> Self {
        Self {
            trusted: false,
            number_from: NumberFrom::default(),
            caller_in: CallerIn::default(),
            caller_domain: None,
            diversion: true,
            early_media: true,
            session_timers: true,
            headers: Vec::new(),
            next_on: Vec::new(),
        }
    }
}
