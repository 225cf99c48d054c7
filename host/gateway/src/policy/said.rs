//! Decisions in words: in the log, in the ladder, and in the cases that a policy must decide. One decision has one text, and different ones have different
//! texts in all that their authors care about.

use std::fmt::Write as _;
use switch::decision::{Admission, Amendments, Decision, EmergencyPlan, NextOn, Refusal, Stage, Target, TrunkTarget, WhenFull};

/// `pass`, `pass, called 1002`, `refuse 404 Not Found`, `route desk-1 + desk-2 for 20 s, then provider/+4420 as +4421`.
pub(super) fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Pass(amendments) => pass(amendments),
        Decision::Refuse(refusal) => refuse(refusal),
        Decision::Route(plan) => {
            let mut text = "route ".to_owned();
            for (index, stage) in plan.stages.iter().enumerate() {
                if index > 0 {
                    text.push_str(", then ");
                }
                push_stage(&mut text, stage);
            }
            text
        }
    }
}

/// `pass`, `admit site`, `admit site or for emergency calls only`, `refuse 403 No licence available`.
pub(super) fn admission(admission: &Admission) -> String {
    match admission {
        Admission::Pass => "pass".to_owned(),
        Admission::Refuse(refusal) => refuse(refusal),
        Admission::Admit(request) => match request.when_full {
            WhenFull::Refuse(_) => format!("admit {}", request.pool),
            WhenFull::EmergencyOnly => format!("admit {} or for emergency calls only", request.pool),
        },
    }
}

/// `route provider/112 as +442030001111, then backup/112`.
pub(super) fn emergency(plan: &EmergencyPlan) -> String {
    let mut text = "route ".to_owned();
    for (index, target) in plan.trunks.iter().enumerate() {
        if index > 0 {
            text.push_str(", then ");
        }
        push_trunk(&mut text, target);
    }
    text
}

fn refuse(refusal: &Refusal) -> String {
    format!("refuse {} {}", refusal.status, refusal.phrase)
}

fn pass(amendments: &Amendments) -> String {
    let mut text = "pass".to_owned();
    let named = [("called", &amendments.called), ("caller number", &amendments.caller_number), ("caller name", &amendments.caller_name)];
    for (name, value) in named {
        if let Some(value) = value {
            text.push_str(", ");
            text.push_str(name);
            text.push(' ');
            text.push_str(value);
        }
    }
    for (name, value) in &amendments.attributes {
        // Writing to a String does not fail.
        let _infallible = write!(text, ", {name}={value}");
    }
    text
}

fn push_stage(text: &mut String, stage: &Stage) {
    for (index, target) in stage.targets.iter().enumerate() {
        if index > 0 {
            text.push_str(" + ");
        }
        match target {
            Target::Endpoint(id) => text.push_str(id),
            Target::Trunk(trunk) => push_trunk(text, trunk),
        }
    }
    if let Some(ring) = stage.ring {
        let _infallible = write!(text, " for {} s", ring.as_secs_f32());
    }
    if stage.next != NextOn::default() {
        let NextOn { busy, no_answer, unreachable } = stage.next;
        let all = [(busy, "busy"), (no_answer, "no answer"), (unreachable, "unreachable")];
        let named: Vec<&str> = all.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        text.push_str(" and next on ");
        text.push_str(if named.is_empty() { "nothing" } else { "" });
        text.push_str(&named.join(" or "));
    }
}

fn push_trunk(text: &mut String, target: &TrunkTarget) {
    text.push_str(&target.trunk);
    if !target.number.is_empty() {
        text.push('/');
        text.push_str(&target.number);
    }
    if let Some(number) = &target.caller_number {
        text.push_str(" as ");
        text.push_str(number);
    }
}

#[cfg(test)]
mod tests;
