//! What one decision costs: each shipped policy alone, the whole chain as calls see it, and the same logic in native Rust as the floor.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a benchmark")]

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use gateway::policy::{Engine, EngineSettings, Runner};
use sip::{
    Instant, Message,
    digest::Ha1,
    transport::{Flow, Transport},
};
use std::{fs, hint::black_box, sync::Arc};
use switch::{
    Limits,
    decision::{Admission, Decision, NextOn, Plan, Stage, Target},
    directory::{Directory, Emergency, Endpoint, Location, NumberPattern, Pool, Trunk},
    facts::{Call, CallKind, Caller, Registration},
    licence::Seat,
    site::Site,
};

const NOW: Instant = Instant::from_unix_micros(1_700_000_000_000_000);

/// A site of 500 phones, the first two registered.
fn site() -> Arc<Site> {
    let endpoint = |n: usize| Endpoint {
        id: format!("desk-{n}"),
        extension: (1000 + n).to_string(),
        username: (1000 + n).to_string(),
        ha1: Ha1::default(),
        name: format!("Desk number {n}"),
        enabled: true,
        licence: Some("site".to_owned()),
        location: Some("hq".to_owned()),
        mac: None,
        numbers: vec![format!("+44203000{}", 1000 + n)],
    };
    let trunk = |name: &str| Trunk {
        name: name.to_owned(),
        uri: "sip:192.0.2.10:5060".to_owned(),
        sources: Vec::new(),
        username: None,
        password: None,
        numbers: vec![NumberPattern("+44203000%".to_owned())],
    };
    let emergency = Emergency {
        numbers: vec!["112".to_owned()],
        test_numbers: Vec::new(),
        trunks: vec!["provider".to_owned(), "backup".to_owned()],
        networks: Vec::new(),
        outside_prefixes: Vec::new(),
    };
    let hq = Location { name: "hq".to_owned(), networks: Vec::new(), elin: Some("+442030001111".to_owned()), address: None };
    let directory = Directory::new(
        "sip.example".to_owned(),
        (0..500).map(endpoint).collect(),
        vec![Pool { pool: "site".to_owned(), seats: 500 }],
        vec![trunk("provider"), trunk("backup")],
        emergency,
        vec![hq],
    );
    let site = Arc::new(Site::new(directory, Limits::default()));
    for id in ["desk-0", "desk-1"] {
        let request = register(id);
        let wish = site.registrar.read(&request).unwrap();
        site.register(id, &wish, &request, flow(), Seat::none(), false, NOW).unwrap();
    }
    site
}

fn flow() -> Flow {
    Flow { transport: Transport::Udp, local: "127.0.0.1:5060".parse().unwrap(), remote: "10.1.0.7:5060".parse().unwrap(), connection: 0 }
}

fn message(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()), &sip::Limits::default()).unwrap()
}

fn register(id: &str) -> Message {
    message(&format!(
        "REGISTER sip:sip.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.7;branch=z9hG4bK2\r\nMax-Forwards: 70\r\nFrom: <sip:{id}@sip.example>;tag=1\r\n\
         To: <sip:{id}@sip.example>\r\nCall-ID: reg-{id}\r\nCSeq: 1 REGISTER\r\nContact: <sip:{id}@10.1.0.7>\r\nExpires: 300\r\nContent-Length: 0\r\n\r\n"
    ))
}

fn call(site: &Site, caller: Option<&str>, called: &str) -> Call {
    let caller = match caller {
        Some(id) => Caller::Endpoint(Arc::clone(site.directory().endpoint(id).unwrap())),
        None => Caller::Trunk("provider".to_owned()),
    };
    Call {
        message: message(&format!(
            "INVITE sip:{called}@sip.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.7;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
             From: \"Desk\" <sip:1001@sip.example>;tag=1\r\nTo: <sip:{called}@sip.example>\r\nCall-ID: the-call\r\nCSeq: 1 INVITE\r\n\
             Contact: <sip:1001@10.1.0.7>\r\nContent-Length: 0\r\n\r\n"
        )),
        at: NOW,
        flow: flow(),
        caller,
        kind: CallKind::Normal,
        called: called.to_owned(),
        caller_number: "1001".to_owned(),
        caller_name: "Desk".to_owned(),
        location: Some("hq".to_owned()),
        attributes: Vec::new(),
    }
}

fn registration(site: &Site) -> Arc<Registration> {
    Arc::new(Registration {
        message: register("desk-0"),
        at: NOW,
        flow: flow(),
        endpoint: Arc::clone(site.directory().endpoint("desk-0").unwrap()),
        contact: "sip:desk-0@10.1.0.7".to_owned(),
        expires: 300,
        registered: true,
        attributes: Vec::new(),
    })
}

/// A runner on those shipped policies whose file name is among `keep`.
fn runner(site: &Arc<Site>, keep: &[&str]) -> Runner {
    let folder = tempfile::tempdir().unwrap();
    for file in Engine::install_shipped(folder.path()).unwrap() {
        if !keep.iter().any(|name| file.contains(name)) {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
    }
    let settings = EngineSettings { watch: false, ..EngineSettings::default() };
    Engine::start(folder.path(), Arc::clone(site), settings).unwrap().runner(Arc::clone(site))
}

/// What `internal` does, in native Rust behind a `dyn` call.
fn native(call: &Call, site: &Site) -> Decision {
    let directory = site.directory();
    let Caller::Endpoint(caller) = &call.caller else { panic!() };
    let callee = directory.by_extension(&call.called).unwrap();
    assert!(callee.enabled && !site.registrar.bindings(&caller.id, call.at).iter().all(|binding| binding.emergency_only));
    Decision::Route(Plan {
        stages: vec![Stage { targets: vec![Target::Endpoint(callee.id.clone())], ring: None, next: NextOn::default() }],
    })
}

fn routing(c: &mut Criterion, name: &str, runner: &mut Runner, call: &Call) {
    let mut call = call.clone();
    let mut steps = Vec::with_capacity(8);
    assert!(matches!(runner.route(&mut call, &mut steps), Decision::Route(_)), "{steps:?}");
    c.bench_function(name, |b| {
        b.iter(|| {
            steps.clear();
            black_box(runner.route(black_box(&mut call), &mut steps))
        });
    });
}

fn decisions(c: &mut Criterion) {
    let site = site();
    let inside = call(&site, Some("desk-0"), "1001");
    let outside = call(&site, Some("desk-0"), "+442079460000");
    let inbound = call(&site, None, "+442030001001");
    let help = Call { kind: CallKind::Emergency, ..call(&site, Some("desk-0"), "112") };

    let floor: &dyn Fn(&Call, &Site) -> Decision = black_box(&native);
    c.bench_function("native: extension to extension", |b| b.iter(|| black_box(floor(black_box(&inside), &site))));

    routing(c, "internal: extension to extension", &mut runner(&site, &["internal"]), &inside);
    routing(c, "external: out to two trunks", &mut runner(&site, &["external"]), &outside);
    routing(c, "external: in from a trunk", &mut runner(&site, &["external"]), &inbound);

    let mut alone = runner(&site, &["licence"]);
    let attempt = registration(&site);
    let mut steps = Vec::with_capacity(8);
    assert!(matches!(alone.admit(&attempt, &mut steps), Admission::Admit(_)));
    c.bench_function("licence: a registration", |b| {
        b.iter(|| {
            steps.clear();
            black_box(alone.admit(black_box(&attempt), &mut steps))
        });
    });

    let mut alone = runner(&site, &["emergency"]);
    assert_eq!(alone.emergency(&help, &mut steps).unwrap().trunks.len(), 2);
    c.bench_function("emergency: a call for help", |b| {
        b.iter(|| {
            steps.clear();
            black_box(alone.emergency(black_box(&help), &mut steps).unwrap())
        });
    });

    let mut chain = runner(&site, &["emergency", "licence", "internal", "external"]);
    routing(c, "chain of four: extension to extension (one asked)", &mut chain, &inside);
    routing(c, "chain of four: out to two trunks (two asked)", &mut chain, &outside);
    c.bench_function("chain of four: registration, help, inside, outside (all four, five decisions)", |b| {
        let (mut inside, mut outside) = (inside.clone(), outside.clone());
        b.iter(|| {
            steps.clear();
            black_box(chain.admit(&attempt, &mut steps));
            black_box(chain.emergency(&help, &mut steps).unwrap());
            black_box(chain.route(&mut inside, &mut steps));
            black_box(chain.route(&mut outside, &mut steps));
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(30).measurement_time(std::time::Duration::from_secs(3)).warm_up_time(std::time::Duration::from_secs(1));
    targets = decisions
}
criterion_main!(benches);
