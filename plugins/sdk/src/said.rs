//! Decisions in words, as the log, the ladder and the cases of a policy write them.

use crate::{Admission, Amendments, Decision, EmergencyPlan, NextOn, Refusal, Stage, Target, TrunkTarget, WhenFull};
use std::fmt::{self, Display, Formatter};

/// `pass, called 1002`, `refuse 404 Not Found`, `route desk-1 + desk-2 for 20 s, then provider/+4420 as +4421 and next on unreachable`.
impl Display for Decision {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass(amendments) => pass(f, amendments),
            Self::Route(plan) => {
                f.write_str("route ")?;
                joined(f, ", then ", &plan.stages, stage)
            }
            Self::Refuse(refusal) => refuse(f, refusal),
        }
    }
}

/// `pass`, `admit site`, `admit site or for emergency calls only`, `refuse 403 No licence available`.
impl Display for Admission {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Admit(request) => match request.when_full {
                WhenFull::Refuse(_) => write!(f, "admit {}", request.pool),
                WhenFull::EmergencyOnly => write!(f, "admit {} or for emergency calls only", request.pool),
            },
            Self::Refuse(refusal) => refuse(f, refusal),
        }
    }
}

/// `route provider/112 as +442030001111, then backup/112`.
impl Display for EmergencyPlan {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("route ")?;
        joined(f, ", then ", &self.trunks, trunk)
    }
}

fn joined<T>(f: &mut Formatter<'_>, between: &str, all: &[T], one: fn(&mut Formatter<'_>, &T) -> fmt::Result) -> fmt::Result {
    for (place, item) in all.iter().enumerate() {
        if place > 0 {
            f.write_str(between)?;
        }
        one(f, item)?;
    }
    Ok(())
}

fn pass(f: &mut Formatter<'_>, amendments: &Amendments) -> fmt::Result {
    f.write_str("pass")?;
    let named = [("called", &amendments.called), ("caller number", &amendments.caller_number), ("caller name", &amendments.caller_name)];
    for (name, value) in named {
        if let Some(value) = value {
            write!(f, ", {name} {value}")?;
        }
    }
    amendments.attributes.iter().try_for_each(|attribute| write!(f, ", {}={}", attribute.name, attribute.value))
}

fn refuse(f: &mut Formatter<'_>, refusal: &Refusal) -> fmt::Result {
    write!(f, "refuse {} {}", refusal.status, refusal.phrase)
}

fn stage(f: &mut Formatter<'_>, stage: &Stage) -> fmt::Result {
    joined(f, " + ", &stage.targets, |f, target| match target {
        Target::Endpoint(id) => f.write_str(id),
        Target::Trunk(target) => trunk(f, target),
    })?;
    if let Some(seconds) = stage.ring_seconds {
        write!(f, " for {seconds} s")?;
    }
    // What nearly every plan says is not said.
    let NextOn { busy, no_answer, unreachable } = stage.next;
    if (busy, no_answer, unreachable) == (false, true, true) {
        return Ok(());
    }
    let all = [(busy, "busy"), (no_answer, "no answer"), (unreachable, "unreachable")];
    let named: Vec<&str> = all.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    write!(f, " and next on {}", if named.is_empty() { "nothing".to_owned() } else { named.join(" or ") })
}

fn trunk(f: &mut Formatter<'_>, target: &TrunkTarget) -> fmt::Result {
    f.write_str(&target.trunk)?;
    if !target.number.is_empty() {
        write!(f, "/{}", target.number)?;
    }
    target.caller_number.iter().try_for_each(|number| write!(f, " as {number}"))
}
