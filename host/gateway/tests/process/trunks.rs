//! Trunks of a real process: registered at, shown, taken back at the end; found by name, and found again when the name servers are dead.

use crate::gateway::Site;
use axum::http::Method;
use bytes::Bytes;
use gateway::manage::ask;
use hickory_resolver::proto::{
    op::{Message as Query, MessageType, ResponseCode},
    rr::{
        Name as DnsName, RData, Record, RecordType,
        rdata::{A, NAPTR, SRV},
    },
    serialize::binary::{BinDecodable as _, BinEncodable as _},
};
use serde_json::Value;
use sip::{
    Instant, Message,
    build::Writer,
    digest::{Authenticator, Ha1, Verdict},
    header::Name,
    message::Method as Sip,
    random::Random,
};
use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

/// A provider on a socket of its own: registers whoever proves the account, and answers OPTIONS.
struct Provider {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Provider {
    fn new() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (address, heard) = (socket.local_addr().unwrap(), Arc::default());
        let notes: Arc<Mutex<Vec<String>>> = Arc::clone(&heard);
        std::thread::spawn(move || {
            let authenticator = Authenticator::new("provider.test", [1; 32], 300, 100);
            let (account, mut random) = (Ha1::from_password("acct", "provider.test", "secret"), Random::from_seed([1; 32]));
            let mut buffer = [0; 65_535];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).unwrap();
                let Ok(message) = Message::parse(Bytes::copy_from_slice(&buffer[..length]), &sip::Limits::default()) else { continue };
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
                let now = Instant::from_unix_micros(u64::try_from(since.as_micros()).unwrap());
                let verdict = authenticator.verify(&message, Some(&account), now);
                let response = if message.method() == Sip::Register && verdict != Verdict::Accepted {
                    let mut response = Writer::response(&message, 401, "Unauthorized", Some("p"));
                    for challenge in authenticator.challenges(false, now, &mut random) {
                        response.header(Name::WwwAuthenticate, challenge.as_bytes());
                    }
                    response
                } else {
                    let expires = message.header(Name::Expires).map(|seconds| String::from_utf8_lossy(seconds).into_owned());
                    let said = format!("{} {}", message.method().token(), expires.unwrap_or_default());
                    notes.lock().unwrap().push(said.trim_end().to_owned());
                    let mut response = Writer::response(&message, 200, "OK", Some("p"));
                    if let Some(contact) = message.contact() {
                        response.header(Name::Contact, contact.raw);
                    }
                    response
                };
                socket.send_to(response.finish_response(b"").bytes(), from).unwrap();
            }
        });
        Self { address, heard }
    }

    /// How often it has heard this.
    fn heard(&self, what: &str) -> usize {
        self.heard.lock().unwrap().iter().filter(|said| *said == what).count()
    }
}

/// A name server that knows where `provider.test` is, as long as it is not dead.
fn name_server(provider: SocketAddr) -> (SocketAddr, Arc<AtomicBool>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let dead = Arc::new(AtomicBool::new(false));
    let silent = Arc::clone(&dead);
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        loop {
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            let Ok(query) = Query::from_bytes(&buffer[..length]) else { continue };
            if silent.load(Ordering::SeqCst) {
                continue;
            }
            let question = query.queries[0].clone();
            let mut answer = query.clone();
            answer.metadata.message_type = MessageType::Response;
            answer.metadata.response_code = ResponseCode::NoError;
            let named = |name: &str| DnsName::from_utf8(name).unwrap();
            let text = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
            let data = match (question.name().to_utf8().as_str(), question.query_type()) {
                ("provider.test.", RecordType::NAPTR) => {
                    Some(RData::NAPTR(NAPTR::new(1, 1, text("s"), text("SIP+D2U"), text(""), named("_sip._udp.provider.test."))))
                }
                ("_sip._udp.provider.test.", RecordType::SRV) => {
                    Some(RData::SRV(SRV::new(1, 1, provider.port(), named("edge.provider.test."))))
                }
                ("edge.provider.test.", RecordType::A) => Some(RData::A(A(Ipv4Addr::LOCALHOST))),
                _ => None,
            };
            if let Some(data) = data {
                answer.add_answer(Record::from_rdata(question.name().clone(), 60, data));
            }
            socket.send_to(&answer.to_bytes().unwrap(), from).unwrap();
        }
    });
    (address, dead)
}

/// The site with a trunk at this URI.
fn with_trunk(uri: &str, sip: &str) -> Site {
    let site = Site::new();
    site.edit(|text| {
        format!(
            "{}[[trunk]]\nname = \"provider\"\nuri = \"{uri}\"\nregister = true\nusername = \"acct\"\npassword = \"secret\"\noptions_seconds = 1\n",
            text.replace("[limits]", &format!("{sip}[limits]"))
        )
    });
    site
}

fn holdfast(site: &Site, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast")).args(arguments).arg("--data").arg(site.data()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn trunk(site: &Site) -> Value {
    let shown: Value = serde_json::from_str(&holdfast(site, &["trunk", "list", "--json"])).unwrap();
    shown["trunks"][0].clone()
}

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_trunk_is_registered_at_shown_and_taken_back_at_the_end() {
    let provider = Provider::new();
    let site = with_trunk(&format!("sip:{}", provider.address), "");
    let gateway = site.start();
    gateway.wait(PATIENCE, || provider.heard("REGISTER 600") == 1 && provider.heard("OPTIONS") > 0);
    gateway.wait(PATIENCE, || trunk(&site)["registration"]["registered"] == true && trunk(&site)["latency_ms"].is_u64());
    let shown = trunk(&site);
    assert_eq!((&shown["trunk"], &shown["state"], &shown["calls"]), (&"provider".into(), &"up".into(), &0.into()));
    assert_eq!(shown["addresses"][0]["address"], format!("udp:{}", provider.address));
    assert_eq!(shown["registration"]["address"], shown["addresses"][0]["address"]);
    let table = holdfast(&site, &["trunk", "list"]);
    assert!(table.contains("provider") && table.contains(" until "), "{table}");
    let metrics = ask(&site.data(), Method::GET, "/metrics").unwrap();
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for line in [
        "holdfast_trunk_state{trunk=\"provider\",state=\"up\"} 1",
        "holdfast_trunk_state{trunk=\"provider\",state=\"down\"} 0",
        "holdfast_trunk_registered{trunk=\"provider\"} 1",
        "holdfast_trunk_calls{trunk=\"provider\"} 0",
        "holdfast_trunk_latency_seconds{trunk=\"provider\"} 0",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    let (status, last) = gateway.terminate();
    assert!(status.success(), "{last}");
    assert_eq!(provider.heard("REGISTER 0"), 1);
}

#[test]
fn a_trunk_that_is_down_says_why_and_what_to_do() {
    // A port where nobody is: the socket is closed at once.
    let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = with_trunk(&format!("sip:{gone}"), "");
    let gateway = site.start();
    gateway.wait(PATIENCE, || trunk(&site)["state"] == "down");
    let shown = trunk(&site);
    assert_eq!(shown["reason"], format!("udp:{gone} cannot be reached"));
    assert!(shown["remedy"].as_str().unwrap().contains("network, firewall"), "{shown}");
    assert_eq!(shown["registration"]["registered"], false);
    let table = holdfast(&site, &["trunk", "list"]);
    assert!(table.contains("down") && table.contains("cannot be reached") && table.contains("no, next try"), "{table}");
    assert!(gateway.log().contains("trunk is down"), "{}", gateway.log());
}

#[test]
fn a_trunk_is_found_by_name_and_found_again_with_dead_name_servers() {
    let provider = Provider::new();
    let (server, dead) = name_server(provider.address);
    let site = with_trunk("sip:provider.test", &format!("name_servers = [\"{server}\"]\n"));
    let mut gateway = site.start();
    site.listen_on(&gateway);
    gateway.wait(PATIENCE, || provider.heard("REGISTER 600") == 1);
    gateway.wait(PATIENCE, || site.data().join("trunks.json").is_file());
    dead.store(true, Ordering::SeqCst);
    gateway.kill();
    let again = site.start();
    again.wait(PATIENCE, || provider.heard("REGISTER 600") == 2);
    assert_eq!(trunk(&site)["addresses"][0]["address"], format!("udp:{}", provider.address));
}
