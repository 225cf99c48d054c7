//! A drill: the test call that shows what an answering point would see of a call for help from a location, over one trunk.

use super::{classify, own_plan, stages_of};
use crate::{
    decision::{Refusal, TrunkTarget},
    directory::Directory,
    facts::{Call, CallKind, Caller},
    plan::{Resolved, escape_user},
    site::Site,
};
use bytes::Bytes;
use sip::{Instant, Message, build::Writer, header::Name, message::Method, random::Random, transport::Flow, uri::Uri};
use std::{sync::Arc, time::Duration};

/// How long the trunk may ring: a number for tests answers by itself.
const RINGS: Duration = Duration::from_secs(20);

/// What is to be tried.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trial {
    /// The trunk.
    pub trunk: String,
    /// The location, by name; `None`: nowhere in particular.
    pub location: Option<String>,
    /// The test number; the first of the configuration when `None`.
    pub number: Option<String>,
}

/// The test call as a phone of the location would make it: one that stands there by configuration, else nobody. Its session is inactive and leads nowhere.
///
/// # Errors
/// 404 when there is no such trunk or location, 403 when the number is none that the site tests with: a drill never calls for help; 480 when the trunk has
/// no address.
pub fn test_call(trial: &Trial, site: &Site, call_id: &str, now: Instant, random: &mut Random) -> Result<Call, Refusal> {
    let directory = site.directory();
    if directory.trunk(&trial.trunk).is_none() {
        return Err(Refusal::new(404, "Not Found", format!("there is no trunk `{}`", trial.trunk)));
    }
    if let Some(name) = trial.location.as_deref().filter(|name| directory.location(name).is_none()) {
        return Err(Refusal::new(404, "Not Found", format!("there is no location `{name}`")));
    }
    let number = match &trial.number {
        Some(number) => number.clone(),
        None => directory.emergency.test_numbers.first().cloned().unwrap_or_else(|| "urn:service:test.sos".to_owned()),
    };
    let to = if number.contains(':') { number.clone() } else { format!("sip:{}@{}", escape_user(&number), directory.domain) };
    tests(&to, &directory)?;
    let flow = site.trunks.flows(&trial.trunk).first().copied();
    let flow = flow.ok_or_else(|| Refusal::new(480, "No Address", format!("trunk `{}` has no address at the moment", trial.trunk)))?;
    let stands_there = directory.endpoints.iter().find(|endpoint| endpoint.enabled && endpoint.location == trial.location);
    let caller =
        stands_there.filter(|_| trial.location.is_some()).map_or(Caller::Unknown, |endpoint| Caller::Endpoint(Arc::clone(endpoint)));
    let (caller_number, caller_name) = match &caller {
        Caller::Endpoint(endpoint) => (endpoint.extension.clone(), endpoint.name.clone()),
        Caller::Trunk(_) | Caller::Unknown => (String::new(), "Emergency drill".to_owned()),
    };
    let tag = random.token();
    let from = format!("<sip:{}@{}>;tag={}", escape_user(&caller_number), directory.domain, tag.as_str());
    let from = from.replace("<sip:@", "<sip:");
    let mut writer = Writer::request(Method::Invite, b"", to.as_bytes());
    writer.header(Name::From, from.as_bytes()).header(Name::To, format!("<{to}>").as_bytes()).header(Name::CallId, call_id.as_bytes());
    writer.header(Name::CSeq, b"1 INVITE").number(Name::MaxForwards, 70);
    writer.header(Name::Contact, format!("<sip:{}>", directory.domain).as_bytes());
    writer.header(Name::ContentType, b"application/sdp");
    let request = writer.finish_request(session(flow, random).as_bytes());
    let message = Message::parse(Bytes::copy_from_slice(request.bytes()), &sip::Limits::default())
        .map_err(|_| Refusal::new(400, "Bad Target", format!("`{number}` cannot be called")))?;
    Ok(Call {
        message,
        at: now,
        flow,
        caller,
        kind: CallKind::EmergencyTest,
        called: number,
        caller_number,
        caller_name,
        location: trial.location.clone(),
        attributes: Vec::new(),
    })
}

/// What of `plan` leads over this trunk; what the host itself would send there when the plan has nothing for it.
///
/// # Errors
/// 403 when it would dial anything but a test: then nothing is dialled.
pub fn through(trunk: &str, plan: Resolved, call: &Call, site: &Site) -> Result<Resolved, Refusal> {
    let directory = site.directory();
    let over = |stage: &crate::plan::ResolvedStage| stage.legs.iter().any(|leg| leg.trunk.as_deref() == Some(trunk));
    let mut stages: Vec<_> = plan.stages.into_iter().filter(over).collect();
    if stages.is_empty() {
        let caller_number = own_plan(call, &directory).trunks.into_iter().find_map(|target| target.caller_number);
        let target = TrunkTarget { trunk: trunk.to_owned(), number: call.called.clone(), caller_number };
        stages = stages_of(&[target], call, &directory, site);
    }
    // One call: what it meets at the trunk's first address is the answer.
    stages.truncate(1);
    for stage in &mut stages {
        stage.ring = stage.ring.min(RINGS);
    }
    for leg in stages.iter().flat_map(|stage| &stage.legs) {
        tests(&leg.uri, &directory)?;
    }
    if stages.is_empty() {
        return Err(Refusal::new(480, "No Address", format!("trunk `{trunk}` has no address at the moment")));
    }
    Ok(Resolved { stages })
}

/// Refuses whatever is not a test call.
fn tests(uri: &str, directory: &Directory) -> Result<(), Refusal> {
    let uri = Uri::parse(uri.as_bytes()).filter(|uri| classify(uri, directory) == CallKind::EmergencyTest);
    match uri {
        Some(_) => Ok(()),
        None => Err(Refusal::new(403, "No Test Number", "this would be no test call: name one of `test_numbers` of [emergency]")),
    }
}

/// An offer with the codecs that every provider knows, none of which flows: port 9 (discard) and inactive.
fn session(flow: Flow, random: &mut Random) -> String {
    let (id, address) = (random.next_u64() >> 2, flow.local.ip());
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    format!(
        "v=0\r\no=- {id} {id} IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\nm=audio 9 RTP/AVP 0 8 101\r\n\
         a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=inactive\r\n"
    )
}

#[cfg(test)]
mod tests;
