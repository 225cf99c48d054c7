use super::*;

fn wanted(uri: &str) -> Wanted {
    Wanted::of(&Trunk {
        name: "t".to_owned(),
        uri: uri.to_owned(),
        sources: Vec::new(),
        username: None,
        password: None,
        numbers: Vec::new(),
        ..Trunk::default()
    })
    .unwrap()
}

#[test]
fn an_address_needs_no_name_server() {
    for (uri, transport, address) in [
        ("sip:192.0.2.10", Transport::Udp, "192.0.2.10:5060"),
        ("sip:192.0.2.10:5080;transport=tcp", Transport::Tcp, "192.0.2.10:5080"),
        ("sips:192.0.2.10", Transport::Tls, "192.0.2.10:5061"),
        ("sip:[2001:db8::1];transport=tls", Transport::Tls, "[2001:db8::1]:5061"),
        ("sip:trunk.example;maddr=192.0.2.11", Transport::Udp, "192.0.2.11:5060"),
    ] {
        assert_eq!(wanted(uri).by_address(), Some((transport, address.parse().unwrap())), "{uri}");
    }
    assert_eq!(wanted("sip:trunk.example").by_address(), None);
}

/// A name server that knows one trunk, and can be silenced.
mod server {
    use hickory_resolver::proto::{
        op::{Message, MessageType, ResponseCode},
        rr::{
            Name, RData, Record, RecordType,
            rdata::{A, SRV},
        },
        serialize::binary::{BinDecodable as _, BinEncodable as _},
    };
    use std::net::{Ipv4Addr, SocketAddr};

    pub(super) async fn run() -> SocketAddr {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                let Ok(query) = Message::from_bytes(&buffer[..length]) else { continue };
                let question = query.queries[0].clone();
                let name = question.name().to_utf8();
                let mut answer = query.clone();
                answer.metadata.message_type = MessageType::Response;
                answer.metadata.response_code = ResponseCode::NoError;
                let srv =
                    |priority, weight, port, target: &str| RData::SRV(SRV::new(priority, weight, port, Name::from_utf8(target).unwrap()));
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
                    _ => Vec::new(),
                };
                for rdata in data {
                    answer.add_answer(Record::from_rdata(question.name().clone(), 60, rdata));
                }
                socket.send_to(&answer.to_bytes().unwrap(), from).await.unwrap();
            }
        });
        address
    }
}

fn resolver(server: SocketAddr) -> TokioResolver {
    use hickory_resolver::{
        config::{ConnectionConfig, NameServerConfig, ResolverConfig},
        net::runtime::TokioRuntimeProvider,
    };
    let mut connection = ConnectionConfig::udp();
    connection.port = server.port();
    let server = NameServerConfig::new(server.ip(), true, vec![connection]);
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    hickory_resolver::Resolver::builder_with_config(config, TokioRuntimeProvider::default()).build().unwrap()
}

#[tokio::test]
async fn services_come_in_the_order_of_their_priority_and_weight() {
    let names = resolver(server::run().await);
    let found = wanted("sip:trunk.example").by_name(&names).await;
    let expected: Vec<(Transport, SocketAddr)> =
        ["192.0.2.2:5072", "192.0.2.1:5071", "192.0.2.3:5070"].iter().map(|a| (Transport::Udp, a.parse().unwrap())).collect();
    assert_eq!(found, expected);
}

#[tokio::test]
async fn a_name_without_services_or_with_a_port_is_an_address() {
    let names = resolver(server::run().await);
    assert_eq!(wanted("sip:plain.example").by_name(&names).await, [(Transport::Udp, "192.0.2.3:5060".parse().unwrap())]);
    assert_eq!(wanted("sip:plain.example:5090;transport=tcp").by_name(&names).await, [(Transport::Tcp, "192.0.2.3:5090".parse().unwrap())]);
    // The port says that no service is looked up, although there is one.
    assert_eq!(wanted("sip:a.trunk.example:5071").by_name(&names).await, [(Transport::Udp, "192.0.2.1:5071".parse().unwrap())]);
    assert_eq!(wanted("sip:gone.example").by_name(&names).await, []);
}
