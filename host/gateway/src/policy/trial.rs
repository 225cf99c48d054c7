//! The cases that every new policy must decide without a fault before it joins the chain: made-up calls and registrations of the site's own
//! endpoints and trunks, and of strangers. What it answers does not matter, only that it does.

use super::{
    instance::{Instance, at_once},
    load::Policy,
};
use bytes::Bytes;
use sip::{
    Instant, Message,
    digest::Ha1,
    transport::{Flow, Transport},
};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use switch::{
    decision::PolicyFault,
    directory::{Directory, Endpoint},
    facts::{Call, CallKind, Caller, Registration},
    record::CallRecord,
    site::Site,
};

/// First decisions are slower than later ones: script engines start, pages are touched.
pub(super) const DEADLINE: Duration = Duration::from_millis(250);

const INVITE: &[u8] = b"INVITE sip:1@trial.invalid SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-trial\r\nMax-Forwards: 70\r\nFrom: \"Trial\" <sip:0@trial.invalid>;tag=trial\r\n\
    To: <sip:1@trial.invalid>\r\nCall-ID: trial\r\nCSeq: 1 INVITE\r\nContact: <sip:0@127.0.0.1:5060>\r\nContent-Length: 0\r\n\r\n";
const REGISTER: &[u8] = b"REGISTER sip:trial.invalid SIP/2.0\r\n\
    Via: SIP/2.0/UDP 127.0.0.1:5060;branch=z9hG4bK-trial\r\nMax-Forwards: 70\r\nFrom: <sip:0@trial.invalid>;tag=trial\r\n\
    To: <sip:0@trial.invalid>\r\nCall-ID: trial\r\nCSeq: 1 REGISTER\r\nContact: <sip:0@127.0.0.1:5060>\r\nExpires: 300\r\nContent-Length: 0\r\n\r\n";

/// Tries every hook; the case and the fault of the first that fails.
pub(super) fn run(policy: &Policy, instance: &mut Instance, site: &Site) -> Result<(), (String, PolicyFault)> {
    let directory = site.directory();
    let (Some(invite), Some(register)) = (message(INVITE), message(REGISTER)) else { return Ok(()) };
    let mut endpoints = vec![Arc::new(stranger())];
    endpoints.extend(directory.endpoints.iter().take(2).cloned());
    if policy.hooks.registration.is_some() {
        for endpoint in &endpoints {
            let case = Arc::new(registration(&register, endpoint));
            at_once(instance.admit(&case, &directory, DEADLINE))
                .map_err(|fault| (format!("a registration of `{}`", endpoint.id), fault))?;
        }
    }
    if policy.hooks.routing.is_some() {
        for case in calls(&invite, &endpoints, &directory) {
            let what = format!("a call to `{}`", case.called);
            at_once(instance.route(&Arc::new(case), &directory, DEADLINE)).map_err(|fault| (what, fault))?;
        }
    }
    if policy.hooks.emergency.is_some() {
        for (kind, called) in [(CallKind::Emergency, "urn:service:sos"), (CallKind::Emergency, "112"), (CallKind::EmergencyTest, "933")] {
            let mut case = call(&invite, Caller::Unknown, called, &directory);
            case.kind = kind;
            at_once(instance.emergency(&Arc::new(case), &directory, DEADLINE))
                .map_err(|fault| (format!("a call for help to `{called}`"), fault))?;
        }
    }
    if policy.hooks.observation.is_some() {
        at_once(instance.ended(&record(), &directory, DEADLINE)).map_err(|fault| ("a call that has ended".to_owned(), fault))?;
    }
    Ok(())
}

fn message(bytes: &'static [u8]) -> Option<Message> {
    Message::parse(Bytes::from_static(bytes), &sip::Limits::default()).ok()
}

fn calls(invite: &Message, endpoints: &[Arc<Endpoint>], directory: &Directory) -> Vec<Call> {
    let mut callers = vec![Caller::Unknown];
    callers.extend(endpoints.iter().cloned().map(Caller::Endpoint));
    callers.extend(directory.trunks.first().map(|trunk| Caller::Trunk(trunk.name.clone())));
    let mut numbers = vec!["1", "+15550100", ""];
    numbers.extend(endpoints.last().map(|endpoint| endpoint.extension.as_str()));
    callers.iter().flat_map(|caller| numbers.iter().map(|number| call(invite, caller.clone(), number, directory))).collect()
}

fn call(invite: &Message, caller: Caller, called: &str, directory: &Directory) -> Call {
    Call {
        message: invite.clone(),
        at: Instant::default(),
        flow: flow(),
        caller,
        kind: CallKind::Normal,
        called: called.to_owned(),
        caller_number: "0".to_owned(),
        caller_name: "Trial".to_owned(),
        location: directory.locations.first().map(|location| location.name.clone()),
        attributes: Vec::new(),
    }
}

fn registration(register: &Message, endpoint: &Arc<Endpoint>) -> Registration {
    Registration {
        message: register.clone(),
        at: Instant::default(),
        flow: flow(),
        endpoint: Arc::clone(endpoint),
        contact: "sip:0@127.0.0.1:5060".to_owned(),
        expires: 300,
        registered: false,
        attributes: Vec::new(),
    }
}

fn record() -> CallRecord {
    CallRecord {
        call_id: "trial".to_owned(),
        kind: CallKind::Normal,
        caller: "trial".to_owned(),
        called: "1".to_owned(),
        answered_by: None,
        began: Instant::default(),
        answered: None,
        ended: Instant::default(),
        status: 404,
        cause: "trial",
    }
}

fn stranger() -> Endpoint {
    Endpoint {
        id: "trial".to_owned(),
        extension: "0".to_owned(),
        username: "trial".to_owned(),
        ha1: Ha1::default(),
        name: "Trial".to_owned(),
        enabled: true,
        licence: None,
        location: None,
        mac: None,
        numbers: Vec::new(),
    }
}

fn flow() -> Flow {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 5060));
    Flow { transport: Transport::Udp, local: address, remote: address, connection: 0 }
}
