//! What the benches share: a site, and calls in it. The benches are in `benches/`; README.md says how to read them.
#![allow(clippy::missing_panics_doc, clippy::unwrap_used, clippy::expect_used, reason = "a benchmark")]

pub mod office;

use bytes::Bytes;
use sip::{
    Instant, Message,
    digest::Ha1,
    transport::{Flow, Transport},
};
use std::{path::Path, sync::Arc, time::Duration};
use switch::{
    Limits,
    directory::{Directory, Emergency, Endpoint, Location, NumberPattern, Pool, Trunk},
    facts::{Call, CallKind, Caller},
    licence::Seat,
    site::Site,
};

/// The gateway's own: what a decision costs is for a good part what its strings cost.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// When everything here happens.
pub const NOW: Instant = Instant::from_unix_micros(1_700_000_000_000_000);

/// A site of 500 phones, the first two registered.
#[must_use]
pub fn site() -> Arc<Site> {
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
        ..Trunk::default()
    };
    let emergency = Emergency {
        numbers: vec!["112".to_owned()],
        test_numbers: Vec::new(),
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
        (0..500).map(endpoint).collect(),
        vec![Pool::new("site", 500)],
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

/// Where the first phone's messages come from.
#[must_use]
pub fn flow() -> Flow {
    Flow { transport: Transport::Udp, local: "127.0.0.1:5060".parse().unwrap(), remote: "10.1.0.7:5060".parse().unwrap(), connection: 0 }
}

fn message(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes()), &sip::Limits::default()).unwrap()
}

/// A phone's REGISTER.
#[must_use]
pub fn register(id: &str) -> Message {
    message(&format!(
        "REGISTER sip:sip.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.7;branch=z9hG4bK2\r\nMax-Forwards: 70\r\nFrom: <sip:{id}@sip.example>;tag=1\r\n\
         To: <sip:{id}@sip.example>\r\nCall-ID: reg-{id}\r\nCSeq: 1 REGISTER\r\nContact: <sip:{id}@10.1.0.7>\r\nExpires: 300\r\nContent-Length: 0\r\n\r\n"
    ))
}

/// A call of an endpoint, or of a trunk.
#[must_use]
pub fn call(site: &Site, caller: Option<&str>, called: &str) -> Arc<Call> {
    let caller = match caller {
        Some(id) => Caller::Endpoint(Arc::clone(site.directory().endpoint(id).unwrap())),
        None => Caller::Trunk("provider".to_owned()),
    };
    Arc::new(Call {
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
    })
}

/// The bytes of one of the shipped policies.
#[must_use]
pub fn shipped(file: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    gateway::policy::Engine::install_shipped(folder.path()).unwrap();
    std::fs::read(folder.path().join(file)).unwrap()
}

/// The same component under another version: it decides alike, and is another content.
#[must_use]
pub fn renamed(component: &[u8], version: &str) -> Vec<u8> {
    let mut section = vec![7];
    section.extend(b"version");
    section.extend(version.as_bytes());
    [component, &[0, u8::try_from(section.len()).unwrap()], &section].concat()
}

/// Writes a file as an operator should: whole, under its name at once.
pub fn bring(file: &Path, bytes: &[u8]) {
    let new = file.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// The time that so many percent of `sorted` do not exceed.
#[must_use]
pub fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

/// As criterion writes times.
#[must_use]
pub fn nanoseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// Median, 99th percentile and longest of some times, in words.
#[must_use]
pub fn spread(took: &mut [Duration]) -> String {
    took.sort_unstable();
    let longest = took.last().copied().unwrap_or_default();
    format!("p50 {:?}, p99 {:?}, longest {longest:?} of {}", percentile(took, 50), percentile(took, 99), took.len())
}

/// Keeps the figures of a bench that criterion does not run, where `benches/table` finds them: in `figures` below `folder`.
pub fn keep(folder: &str, bench: &str, figures: &[(&str, f64)]) {
    let folder = Path::new(folder).join("figures");
    std::fs::create_dir_all(&folder).unwrap();
    let lines: Vec<String> = figures.iter().map(|(name, value)| format!("  {name:?}: {value}")).collect();
    std::fs::write(folder.join(format!("{bench}.json")), format!("{{\n{}\n}}\n", lines.join(",\n"))).unwrap();
}
