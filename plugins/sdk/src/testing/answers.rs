//! What a policy has answered, against the rules of the contract: what is wrong with it, in the gateway's words
//! (`host/gateway/src/policy/v1/answers.rs`).

use super::Site;
use crate::{Admission, Amendments, Decision, EmergencyPlan, Plan, Refusal, Stage, Target, TrunkTarget, WhenFull};

const PHRASE_MAX: usize = 64;
const DETAIL_MAX: usize = 512;
const TEXT_MAX: usize = 256;
const NUMBER_MAX: usize = 128;
const NAME_MAX: usize = 64;
const ATTRIBUTES_MAX: usize = 16;
const STAGES_MAX: usize = 16;
const TARGETS_MAX: usize = 16;
const TRUNKS_MAX: usize = 16;
const RING_MAX: u32 = 600;

type Checked = Result<(), String>;

pub(super) fn decision(answer: &Decision, site: &Site) -> Checked {
    match answer {
        Decision::Pass(amendments) => amended(amendments),
        Decision::Refuse(answer) => refusal(answer),
        Decision::Route(plan) => planned(plan, site),
    }
}

pub(super) fn admission(answer: &Admission, site: &Site) -> Checked {
    match answer {
        Admission::Pass => Ok(()),
        Admission::Refuse(answer) => refusal(answer),
        Admission::Admit(request) => {
            if !site.0.pools.iter().any(|(pool, ..)| *pool == request.pool) {
                return Err(format!("a seat from a pool that the site does not have: {}", printable(&request.pool)));
            }
            match &request.when_full {
                WhenFull::EmergencyOnly => Ok(()),
                WhenFull::Refuse(answer) => refusal(answer),
            }
        }
    }
}

pub(super) fn emergency(answer: &EmergencyPlan, site: &Site) -> Checked {
    if answer.trunks.is_empty() && !site.0.emergency_trunks.is_empty() {
        return Err("no trunk for a call for help, though the site has some".to_owned());
    }
    if answer.trunks.len() > TRUNKS_MAX {
        return Err(format!("{} trunks for a call for help", answer.trunks.len()));
    }
    answer.trunks.iter().try_for_each(trunk_target)?;
    match answer.trunks.iter().find(|target| !has_trunk(site, &target.trunk)) {
        Some(unknown) => Err(format!("a trunk that the site does not have: {}", printable(&unknown.trunk))),
        None => Ok(()),
    }
}

fn refusal(answer: &Refusal) -> Checked {
    if !(400..=699).contains(&answer.status) {
        return Err(format!("a refusal with status {}", answer.status));
    }
    if answer.phrase.is_empty() {
        return Err("a refusal without a phrase".to_owned());
    }
    text("phrase", &answer.phrase, PHRASE_MAX)?;
    if answer.detail.len() > DETAIL_MAX {
        return Err(format!("a detail of {} octets", answer.detail.len()));
    }
    Ok(())
}

fn amended(answer: &Amendments) -> Checked {
    let texts = [("called", &answer.called), ("caller-number", &answer.caller_number), ("caller-name", &answer.caller_name)];
    for (what, value) in texts {
        text(what, value.as_deref().unwrap_or_default(), TEXT_MAX)?;
    }
    if answer.attributes.len() > ATTRIBUTES_MAX {
        return Err(format!("{} attributes", answer.attributes.len()));
    }
    for attribute in &answer.attributes {
        text("name of an attribute", &attribute.name, NAME_MAX)?;
        text("attribute", &attribute.value, TEXT_MAX)?;
        if attribute.name.is_empty() {
            return Err("an attribute without a name".to_owned());
        }
    }
    Ok(())
}

fn planned(plan: &Plan, site: &Site) -> Checked {
    plan.stages.iter().try_for_each(stage)?;
    if plan.stages.is_empty() {
        return Err("a plan without stages".to_owned());
    }
    if plan.stages.len() > STAGES_MAX {
        return Err(format!("a plan of {} stages, {STAGES_MAX} allowed (limits.stages)", plan.stages.len()));
    }
    for (number, stage) in (1..).zip(&plan.stages) {
        if stage.targets.len() > TARGETS_MAX {
            return Err(format!("stage {number} has {} targets, {TARGETS_MAX} allowed (limits.forks)", stage.targets.len()));
        }
        for target in &stage.targets {
            match target {
                Target::Endpoint(id) if site.0.endpoint(id).is_none() => {
                    return Err(format!("stage {number}: there is no endpoint `{id}`"));
                }
                Target::Trunk(target) if !has_trunk(site, &target.trunk) => {
                    return Err(format!("stage {number}: there is no trunk `{}`", target.trunk));
                }
                Target::Endpoint(_) | Target::Trunk(_) => {}
            }
        }
    }
    Ok(())
}

fn stage(answer: &Stage) -> Checked {
    if answer.targets.is_empty() {
        return Err("a stage without targets".to_owned());
    }
    if let Some(seconds) = answer.ring_seconds.filter(|seconds| !(1..=RING_MAX).contains(seconds)) {
        return Err(format!("a ring time of {seconds} s"));
    }
    answer.targets.iter().try_for_each(|target| match target {
        Target::Endpoint(_) => Ok(()),
        Target::Trunk(answer) => trunk_target(answer),
    })
}

fn trunk_target(answer: &TrunkTarget) -> Checked {
    number("number", &answer.number)?;
    answer.caller_number.iter().try_for_each(|shown| number("caller-number", shown))
}

fn has_trunk(site: &Site, name: &str) -> bool {
    site.0.trunks.iter().any(|trunk| trunk.name == name)
}

/// A text that will stand in a header field.
fn text(what: &str, value: &str, max: usize) -> Checked {
    if value.len() > max {
        return Err(format!("a {what} of {} octets", value.len()));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("a {what} with control characters: {}", printable(value)));
    }
    Ok(())
}

/// A number that will stand in a URI.
fn number(what: &str, value: &str) -> Checked {
    text(what, value, NUMBER_MAX)?;
    if value.contains([' ', '"', '<', '>', '@']) {
        return Err(format!("a {what} that is none: {}", printable(value)));
    }
    Ok(())
}

/// At most 40 characters of a text.
fn printable(value: &str) -> String {
    value.chars().take(40).flat_map(char::escape_debug).collect()
}
