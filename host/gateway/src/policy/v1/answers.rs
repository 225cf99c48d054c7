//! What a component has answered, checked against the contract and turned into the values of `switch`. Whatever breaks a rule of `wit/` is
//! [`PolicyFault::Nonsense`]: it would otherwise reach a phone or a provider.

use super::{exports, imports::types as wit};
use std::time::Duration;
use switch::{
    decision::{
        Admission, Amendments, Decision, EmergencyPlan, NextOn, Plan, PolicyFault, Refusal, SeatRequest, Stage, Target, TrunkTarget,
        WhenFull,
    },
    directory::Directory,
    plan,
    site::Site,
};

const PHRASE_MAX: usize = 64;
const DETAIL_MAX: usize = 512;
const TEXT_MAX: usize = 256;
const NUMBER_MAX: usize = 128;
const NAME_MAX: usize = 64;
const ATTRIBUTES_MAX: usize = 16;
const TRUNKS_MAX: usize = 16;
const RING_MAX: u32 = 600;

fn nonsense<T>(what: impl Into<String>) -> Result<T, PolicyFault> {
    Err(PolicyFault::Nonsense(what.into()))
}

/// A routing answer. Without a site (a decision of long ago is made again) its names are taken on trust.
pub(in crate::policy) fn decision(answer: exports::routing::Decision, site: Option<&Site>) -> Result<Decision, PolicyFault> {
    match answer {
        exports::routing::Decision::Pass(amendments) => Ok(Decision::Pass(amended(amendments)?)),
        exports::routing::Decision::Refuse(answer) => Ok(Decision::Refuse(refusal(answer)?)),
        exports::routing::Decision::Route(answer) => {
            let plan = Plan { stages: answer.stages.into_iter().map(stage).collect::<Result<_, _>>()? };
            if plan.stages.is_empty() {
                return nonsense("a plan without stages");
            }
            if let Some(site) = site {
                plan::check(&plan, site)?;
            }
            Ok(Decision::Route(plan))
        }
    }
}

/// An admission answer; without a directory as [`decision`] without a site.
pub(in crate::policy) fn admission(
    answer: exports::registration::Admission,
    directory: Option<&Directory>,
) -> Result<Admission, PolicyFault> {
    use exports::registration as wit;
    match answer {
        wit::Admission::Pass => Ok(Admission::Pass),
        wit::Admission::Refuse(answer) => Ok(Admission::Refuse(refusal(answer)?)),
        wit::Admission::Admit(wit::SeatRequest { pool, when_full }) => {
            if directory.is_some_and(|directory| directory.pools.iter().all(|known| known.pool != pool)) {
                return nonsense(format!("a seat from a pool that the site does not have: {}", printable(&pool)));
            }
            let when_full = match when_full {
                wit::WhenFull::EmergencyOnly => WhenFull::EmergencyOnly,
                wit::WhenFull::Refuse(answer) => WhenFull::Refuse(refusal(answer)?),
            };
            Ok(Admission::Admit(SeatRequest { pool, when_full }))
        }
    }
}

/// An emergency answer; without a directory as [`decision`] without a site.
pub(in crate::policy) fn emergency(
    answer: exports::emergency::EmergencyPlan,
    directory: Option<&Directory>,
) -> Result<EmergencyPlan, PolicyFault> {
    if answer.trunks.is_empty() && directory.is_some_and(|directory| !directory.emergency.trunks.is_empty()) {
        return nonsense("no trunk for a call for help, though the site has some");
    }
    if answer.trunks.len() > TRUNKS_MAX {
        return nonsense(format!("{} trunks for a call for help", answer.trunks.len()));
    }
    let trunks = answer.trunks.into_iter().map(trunk_target).collect::<Result<Vec<_>, _>>()?;
    let unknown = |target: &&TrunkTarget| directory.is_some_and(|directory| directory.trunk(&target.trunk).is_none());
    match trunks.iter().find(unknown) {
        Some(unknown) => nonsense(format!("a trunk that the site does not have: {}", printable(&unknown.trunk))),
        None => Ok(EmergencyPlan { trunks }),
    }
}

fn refusal(answer: wit::Refusal) -> Result<Refusal, PolicyFault> {
    if !(400..=699).contains(&answer.status) {
        return nonsense(format!("a refusal with status {}", answer.status));
    }
    if answer.phrase.is_empty() {
        return nonsense("a refusal without a phrase");
    }
    text("phrase", &answer.phrase, PHRASE_MAX)?;
    if answer.detail.len() > DETAIL_MAX {
        return nonsense(format!("a detail of {} octets", answer.detail.len()));
    }
    Ok(Refusal { status: answer.status, phrase: answer.phrase, detail: answer.detail })
}

fn amended(answer: exports::routing::Amendments) -> Result<Amendments, PolicyFault> {
    let texts = [("called", &answer.called), ("caller-number", &answer.caller_number), ("caller-name", &answer.caller_name)];
    for (what, value) in texts {
        text(what, value.as_deref().unwrap_or_default(), TEXT_MAX)?;
    }
    if answer.attributes.len() > ATTRIBUTES_MAX {
        return nonsense(format!("{} attributes", answer.attributes.len()));
    }
    for attribute in &answer.attributes {
        text("name of an attribute", &attribute.name, NAME_MAX)?;
        text("attribute", &attribute.value, TEXT_MAX)?;
        if attribute.name.is_empty() {
            return nonsense("an attribute without a name");
        }
    }
    Ok(Amendments {
        called: answer.called,
        caller_number: answer.caller_number,
        caller_name: answer.caller_name,
        attributes: answer.attributes.into_iter().map(|attribute| (attribute.name, attribute.value)).collect(),
    })
}

fn stage(answer: wit::Stage) -> Result<Stage, PolicyFault> {
    if answer.targets.is_empty() {
        return nonsense("a stage without targets");
    }
    if let Some(seconds) = answer.ring_seconds.filter(|seconds| !(1..=RING_MAX).contains(seconds)) {
        return nonsense(format!("a ring time of {seconds} s"));
    }
    Ok(Stage {
        targets: answer.targets.into_iter().map(target).collect::<Result<_, _>>()?,
        ring: answer.ring_seconds.map(|seconds| Duration::from_secs(u64::from(seconds))),
        next: NextOn { busy: answer.next.busy, no_answer: answer.next.no_answer, unreachable: answer.next.unreachable },
    })
}

fn target(answer: wit::Target) -> Result<Target, PolicyFault> {
    match answer {
        wit::Target::Endpoint(id) => Ok(Target::Endpoint(id)),
        wit::Target::Trunk(answer) => Ok(Target::Trunk(trunk_target(answer)?)),
    }
}

fn trunk_target(answer: wit::TrunkTarget) -> Result<TrunkTarget, PolicyFault> {
    number("number", &answer.number)?;
    if let Some(shown) = &answer.caller_number {
        number("caller-number", shown)?;
    }
    Ok(TrunkTarget { trunk: answer.trunk, number: answer.number, caller_number: answer.caller_number })
}

/// A text that will stand in a header field.
fn text(what: &str, value: &str, max: usize) -> Result<(), PolicyFault> {
    if value.len() > max {
        return nonsense(format!("a {what} of {} octets", value.len()));
    }
    if value.chars().any(char::is_control) {
        return nonsense(format!("a {what} with control characters: {}", printable(value)));
    }
    Ok(())
}

/// A number that will stand in a URI.
fn number(what: &str, value: &str) -> Result<(), PolicyFault> {
    text(what, value, NUMBER_MAX)?;
    if value.contains([' ', '"', '<', '>', '@']) {
        return nonsense(format!("a {what} that is none: {}", printable(value)));
    }
    Ok(())
}

/// At most 40 characters of a text, for the log.
fn printable(value: &str) -> String {
    value.chars().take(40).flat_map(char::escape_debug).collect()
}
