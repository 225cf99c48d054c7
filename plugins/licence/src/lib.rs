//! Each endpoint's registration draws a seat from the pool that the directory names for it; an endpoint without a pool is not counted.
//!
//! Settings: `when_full = "refuse"` (the default: 403) or `"emergency-only"` (registered, but for calls for help only).

use holdfast_policy::{
    Admission, ConfigurationPolicy, Kept, Problem, Refusal, Registration, RegistrationFacts, RegistrationPolicy, SeatRequest, Setting,
    Settings, WhenFull, export,
};

struct Licence;

static EMERGENCY_ONLY: Kept<bool> = Kept::new(|| emergency_only(&Settings::all()).unwrap_or(false));

impl RegistrationPolicy for Licence {
    fn admit(facts: RegistrationFacts, _registration: &Registration) -> Admission {
        let Some(pool) = facts.pool else { return Admission::Pass };
        let when_full = if *EMERGENCY_ONLY {
            WhenFull::EmergencyOnly
        } else {
            WhenFull::Refuse(Refusal::new(403, "No licence available", format!("every seat of pool {pool} is taken")))
        };
        Admission::Admit(SeatRequest { pool, when_full })
    }
}

impl ConfigurationPolicy for Licence {
    fn check(settings: Vec<Setting>) -> Result<(), Vec<Problem>> {
        let settings = Settings::from(settings);
        let mut problems = settings.unknown(&["when_full"]);
        problems.extend(emergency_only(&settings).err());
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

/// What a phone gets that finds no seat.
fn emergency_only(settings: &Settings) -> Result<bool, Problem> {
    match settings.text("when_full")? {
        None | Some("refuse") => Ok(false),
        Some("emergency-only") => Ok(true),
        Some(other) => Err(Problem::new("when_full", &format!("is `{other}`; should be `refuse` or `emergency-only`"))),
    }
}

export!(Licence: registration, configuration);

#[cfg(test)]
mod tests;
