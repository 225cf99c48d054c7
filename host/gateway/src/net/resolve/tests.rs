use super::{names::asking, *};
use hickory_resolver::TokioResolver;
use switch::trunk::{Address, Reach};

fn places(uri: &str) -> Places {
    Places::of(&Trunk { name: "t".to_owned(), uri: uri.to_owned(), ..Trunk::default() })
}

fn shown(found: Vec<Found>) -> Vec<String> {
    found.into_iter().map(|f| format!("{}:{} {}/{} {}", f.transport.uri_token(), f.remote, f.priority, f.weight, f.host)).collect()
}

#[test]
fn an_address_needs_no_name_server() {
    for (uri, expected) in [
        ("sip:192.0.2.10", "udp:192.0.2.10:5060 0/10 192.0.2.10"),
        ("sip:192.0.2.10:5080;transport=tcp", "tcp:192.0.2.10:5080 0/10 192.0.2.10"),
        ("sips:192.0.2.10", "tls:192.0.2.10:5061 0/10 192.0.2.10"),
        ("sip:[2001:db8::1];transport=tls", "tls:[2001:db8::1]:5061 0/10 2001:db8::1"),
        ("sip:trunk.example;maddr=192.0.2.11", "udp:192.0.2.11:5060 0/10 192.0.2.11"),
    ] {
        assert_eq!(places(uri).by_address().map(shown), Some(vec![expected.to_owned()]), "{uri}");
    }
    assert_eq!(places("sip:trunk.example").by_address(), None);
}

#[test]
fn a_proxy_stands_for_the_trunk_and_addresses_for_its_name() {
    let address = |uri: &str, priority| Address { uri: uri.to_owned(), priority, weight: 5 };
    let reach = Reach {
        addresses: vec![address("sip:192.0.2.1;transport=tls", 20), address("sip:192.0.2.2:5071;transport=tls", 10)],
        ..Reach::default()
    };
    let trunk = Trunk { uri: "sip:trunk.example;transport=tls".to_owned(), reach, ..Trunk::default() };
    assert_eq!(
        Places::of(&trunk).by_address().map(shown),
        Some(vec!["tls:192.0.2.1:5061 20/5 trunk.example".to_owned(), "tls:192.0.2.2:5071 10/5 trunk.example".to_owned()])
    );
    let reach = Reach { outbound_proxy: Some("sip:192.0.2.9;lr".to_owned()), ..trunk.reach.clone() };
    let behind = Trunk { reach, ..trunk };
    assert_eq!(Places::of(&behind).by_address().map(shown), Some(vec!["udp:192.0.2.9:5060 0/10 192.0.2.9".to_owned()]));
}

/// A name server that knows some trunks, and can be silenced.
pub(super) mod server {
    use hickory_resolver::proto::{
        op::{Message, MessageType, ResponseCode},
        rr::{
            Name, RData, Record, RecordType,
            rdata::{A, NAPTR, SRV},
        },
        serialize::binary::{BinDecodable as _, BinEncodable as _},
    };
    use std::{
        net::{Ipv4Addr, SocketAddr},
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
    };

    pub(crate) async fn run() -> (SocketAddr, Arc<AtomicBool>) {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let dead = Arc::new(AtomicBool::new(false));
        let silent = Arc::clone(&dead);
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let Ok(query) = Message::from_bytes(&buffer[..length]) else { continue };
                if silent.load(Ordering::SeqCst) {
                    continue;
                }
                let question = query.queries[0].clone();
                let name = question.name().to_utf8();
                let mut answer = query.clone();
                answer.metadata.message_type = MessageType::Response;
                answer.metadata.response_code = ResponseCode::NoError;
                let named = |name: &str| Name::from_utf8(name).unwrap();
                let srv = |priority, weight, port, target: &str| RData::SRV(SRV::new(priority, weight, port, named(target)));
                let naptr = |order, services: &str, to: &str| {
                    let text = |text: &str| text.as_bytes().to_vec().into_boxed_slice();
                    RData::NAPTR(NAPTR::new(order, 0, text("s"), text(services), text(""), named(to)))
                };
                let data = match (name.as_str(), question.query_type()) {
                    ("_sip._udp.trunk.example.", RecordType::SRV) => vec![
                        srv(20, 0, 5070, "c.trunk.example."),
                        srv(10, 5, 5071, "a.trunk.example."),
                        srv(10, 50, 5072, "b.trunk.example."),
                    ],
                    ("_sip._udp.closed.example.", RecordType::SRV) => vec![srv(0, 0, 0, ".")],
                    ("a.trunk.example.", RecordType::A) => vec![RData::A(A(Ipv4Addr::new(192, 0, 2, 1)))],
                    ("b.trunk.example.", RecordType::A) => vec![RData::A(A(Ipv4Addr::new(192, 0, 2, 2)))],
                    ("c.trunk.example." | "plain.example.", RecordType::A) => vec![RData::A(A(Ipv4Addr::new(192, 0, 2, 3)))],
                    ("chosen.example.", RecordType::NAPTR) => vec![
                        naptr(50, "SIP+D2U", "_sip._udp.chosen.example."),
                        naptr(10, "SIP+D2S", "_sip._sctp.chosen.example."),
                        naptr(20, "SIPS+D2T", "secure.elsewhere.example."),
                    ],
                    ("secure.elsewhere.example.", RecordType::SRV) => vec![srv(1, 1, 5081, "a.trunk.example.")],
                    ("_sip._udp.chosen.example.", RecordType::SRV) => vec![srv(1, 1, 5082, "b.trunk.example.")],
                    _ => Vec::new(),
                };
                for rdata in data {
                    answer.add_answer(Record::from_rdata(question.name().clone(), 60, rdata));
                }
                socket.send_to(&answer.to_bytes().unwrap(), from).await.unwrap();
            }
        });
        (address, dead)
    }
}

async fn resolver() -> TokioResolver {
    asking(&[server::run().await.0]).unwrap()
}

async fn asked(uri: &str, names: &TokioResolver) -> Vec<String> {
    shown(places(uri).by_name(names).await.0)
}

#[tokio::test]
async fn services_have_their_priority_and_weight_and_a_time_to_live() {
    let names = resolver().await;
    assert_eq!(
        asked("sip:trunk.example", &names).await,
        ["udp:192.0.2.2:5072 0/50 trunk.example", "udp:192.0.2.1:5071 0/5 trunk.example", "udp:192.0.2.3:5070 1/0 trunk.example"]
    );
    let (_, until) = places("sip:trunk.example").by_name(&names).await;
    let left = until.saturating_duration_since(Instant::now());
    assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(30), "{left:?}");
}

#[tokio::test]
async fn a_name_says_by_which_transport_it_wants_to_be_reached() {
    let names = resolver().await;
    assert_eq!(asked("sip:chosen.example", &names).await, ["tls:192.0.2.1:5081 0/1 chosen.example"]);
    // Whoever names a transport has chosen.
    assert_eq!(asked("sip:chosen.example;transport=udp", &names).await, ["udp:192.0.2.2:5082 0/1 chosen.example"]);
}

#[tokio::test]
async fn a_name_without_services_or_with_a_port_is_an_address() {
    let names = resolver().await;
    assert_eq!(asked("sip:plain.example", &names).await, ["udp:192.0.2.3:5060 0/10 plain.example"]);
    assert_eq!(asked("sip:plain.example:5090;transport=tcp", &names).await, ["tcp:192.0.2.3:5090 0/10 plain.example"]);
    // The port says that no service is looked up, although there is one.
    assert_eq!(asked("sip:a.trunk.example:5071", &names).await, ["udp:192.0.2.1:5071 0/10 a.trunk.example"]);
    assert!(asked("sip:gone.example", &names).await.is_empty());
}

#[test]
fn what_was_found_is_known_after_a_restart_unless_the_trunk_names_something_else() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trunks.json");
    assert!(Kept::read(&file).of("t", &places("sip:trunk.example")).is_empty());
    let found = places("sip:192.0.2.1").by_address().unwrap();
    let (name, wanted) = ("t".to_owned(), places("sip:trunk.example"));
    Kept::write(&file, [(&name, &wanted, &found)].into_iter()).unwrap();
    assert_eq!(Kept::read(&file).of("t", &wanted), found);
    assert!(Kept::read(&file).of("t", &places("sip:other.example")).is_empty());
    std::fs::write(&file, b"{").unwrap();
    assert!(Kept::read(&file).of("t", &wanted).is_empty());
}
