//! A small site, and calls and registrations in it.

use bytes::Bytes;
use gateway::policy::{Engine, EngineSettings, Runner, Step};
use sip::{
    Instant, Message,
    digest::Ha1,
    transport::{Flow, Transport},
};
use std::rc::Rc;
use std::{path::Path, sync::Arc};
use switch::{
    Limits,
    directory::{Directory, Emergency, Endpoint, Location, NumberPattern, Pool, Trunk},
    facts::{Call, CallKind, Caller, Registration},
    licence::Seat,
    registrar::Wish,
    site::Site,
};

pub(crate) const NOW: Instant = Instant::from_unix_micros(1_700_000_000_000_000);

/// Four phones, one of them disabled and one without a pool; two trunks; headquarters with an ELIN.
pub(crate) fn site() -> Arc<Site> {
    let endpoint = |id: &str, extension: &str| Endpoint {
        id: id.to_owned(),
        extension: extension.to_owned(),
        username: extension.to_owned(),
        ha1: Ha1::default(),
        name: id.to_owned(),
        enabled: true,
        licence: Some("site".to_owned()),
        location: Some("hq".to_owned()),
        mac: None,
        numbers: Vec::new(),
    };
    let endpoints = vec![
        Endpoint { numbers: vec!["+442030001001".to_owned()], ..endpoint("desk-1", "1001") },
        endpoint("desk-2", "1002"),
        Endpoint { enabled: false, ..endpoint("desk-3", "1003") },
        Endpoint { licence: None, location: None, ..endpoint("door", "1004") },
    ];
    let trunk = |name: &str, port: u16| Trunk {
        name: name.to_owned(),
        uri: format!("sip:192.0.2.10:{port}"),
        sources: Vec::new(),
        username: None,
        password: None,
        numbers: vec![NumberPattern("+44203000%".to_owned())],
        ..Trunk::default()
    };
    let emergency = Emergency {
        numbers: vec!["112".to_owned(), "999".to_owned()],
        test_numbers: vec!["933".to_owned()],
        trunks: vec!["provider".to_owned(), "backup".to_owned()],
        networks: Vec::new(),
        outside_prefixes: Vec::new(),
        ..Emergency::default()
    };
    let hq = Location {
        name: "hq".to_owned(),
        networks: Vec::new(),
        elin: Some("+442030001111".to_owned()),
        address: None,
        ..Location::default()
    };
    let directory = Directory::new(
        "sip.example".to_owned(),
        endpoints,
        vec![Pool::new("site", 2)],
        vec![trunk("provider", 5060), trunk("backup", 5070)],
        emergency,
        vec![hq],
    );
    Arc::new(Site::new(directory, Limits::default()))
}

pub(crate) fn flow() -> Flow {
    Flow { transport: Transport::Udp, local: "127.0.0.1:5060".parse().unwrap(), remote: "10.1.0.7:5060".parse().unwrap(), connection: 0 }
}

fn message(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()), &sip::Limits::default()).unwrap()
}

pub(crate) fn phone(site: &Site, id: &str) -> Caller {
    Caller::Endpoint(Arc::clone(site.directory().endpoint(id).unwrap()))
}

pub(crate) fn call(caller: Caller, called: &str) -> Arc<Call> {
    of_kind(CallKind::Normal, caller, called)
}

pub(crate) fn help(caller: Caller, called: &str) -> Arc<Call> {
    of_kind(CallKind::Emergency, caller, called)
}

pub(crate) fn of_kind(kind: CallKind, caller: Caller, called: &str) -> Arc<Call> {
    let invite = format!(
        "INVITE sip:{}@sip.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         f: \"A\r\n B\" <sip:1001@sip.example>;tag=1\r\nTo: <sip:b@sip.example>\r\nCall-ID: the-call\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:1001@10.1.0.7>\r\nX-Odd:   a value  \r\nContent-Length: 0\r\n\r\n",
        if called.contains(['\r', ' ', ':']) { "x" } else { called }
    );
    Arc::new(Call {
        message: message(&invite),
        at: NOW,
        flow: flow(),
        location: match &caller {
            Caller::Endpoint(endpoint) => endpoint.location.clone(),
            Caller::Trunk(_) | Caller::Unknown => None,
        },
        caller,
        kind,
        called: called.to_owned(),
        caller_number: "1001".to_owned(),
        caller_name: "Reception".to_owned(),
        attributes: Vec::new(),
    })
}

fn register(id: &str, subject: &str) -> Message {
    message(&format!(
        "REGISTER sip:sip.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.7;branch=z9hG4bK2\r\nMax-Forwards: 70\r\n\
         From: <sip:{id}@sip.example>;tag=1\r\nTo: <sip:{id}@sip.example>\r\nCall-ID: reg-{id}\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:{id}@10.1.0.7>\r\nExpires: 300\r\nSubject: {subject}\r\nContent-Length: 0\r\n\r\n"
    ))
}

/// A registration; the Subject tells the zoo what to do.
pub(crate) fn registration(site: &Site, id: &str, subject: &str) -> Arc<Registration> {
    Arc::new(Registration {
        message: register(id, subject),
        at: NOW,
        flow: flow(),
        endpoint: Arc::clone(site.directory().endpoint(id).unwrap()),
        contact: format!("sip:{id}@10.1.0.7"),
        expires: 300,
        registered: false,
        attributes: Vec::new(),
    })
}

/// Puts a binding into the registrar, past every policy.
pub(crate) fn bind(site: &Site, id: &str, emergency_only: bool) {
    let request = register(id, "");
    let wish = site.registrar.read(&request).unwrap();
    assert!(matches!(wish, Wish::Bind(_)));
    site.register(id, &wish, &request, flow(), Seat::none(), emergency_only, NOW).unwrap();
}

/// Without a watcher: what a test changes in the folder counts after `rescan`.
pub(crate) fn engine(folder: &Path, site: &Arc<Site>) -> Arc<Engine> {
    Engine::start(folder, Arc::clone(site), EngineSettings { watch: false, ..EngineSettings::default() }).unwrap()
}

/// A folder with the shipped policies, and a runner on it.
pub(crate) fn shipped(site: &Arc<Site>) -> (tempfile::TempDir, Arc<Engine>, Rc<Runner>) {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Engine::install_shipped(folder.path()).unwrap().len(), 4);
    let engine = engine(folder.path(), site);
    let runner = engine.runner(Arc::clone(site));
    (folder, engine, runner)
}

/// `policy → outcome` of each step.
pub(crate) fn told(steps: &[Step]) -> Vec<String> {
    steps.iter().map(|step| format!("{} → {}", step.policy, step.outcome)).collect()
}
