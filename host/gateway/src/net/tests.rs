use super::{
    connections::{Connections, Parts},
    *,
};
use crate::{clock::Clock, config, config::Limits, data::DataFolder, observe::Counters};
use sip::digest::Ha1;
use std::{sync::Arc, time::Duration};
use switch::{
    directory::{Directory, Emergency, Endpoint},
    licence::Seat,
    registrar::Binding,
    site::Site,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

const SOON: Duration = Duration::from_secs(5);

struct Fixture {
    connections: Arc<Connections>,
    inbox: queue::Inbox,
    site: Arc<Site>,
    counters: Arc<Counters>,
    tcp: SocketAddr,
    tls: SocketAddr,
    data: DataFolder,
    clock: Clock,
    _folder: tempfile::TempDir,
}

impl Fixture {
    fn new(limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::open(folder.path()).unwrap();
        let listen: Vec<Listen> = ["tcp:127.0.0.1:0", "tls:127.0.0.1:0"].iter().map(|l| l.parse().unwrap()).collect();
        let listeners = Listeners::bind(&listen, 1, 65_536).unwrap();
        let (shard, inbox) = queue::queues(64);
        let endpoint = Endpoint {
            id: "a".to_owned(),
            extension: "1".to_owned(),
            username: "1".to_owned(),
            ha1: Ha1::default(),
            name: String::new(),
            enabled: true,
            licence: None,
            location: None,
            mac: None,
            numbers: Vec::new(),
        };
        let emergency = Emergency {
            numbers: Vec::new(),
            test_numbers: Vec::new(),
            trunks: Vec::new(),
            networks: Vec::new(),
            outside_prefixes: Vec::new(),
            ..Emergency::default()
        };
        let directory = Directory::new("sip.example".to_owned(), vec![endpoint], Vec::new(), Vec::new(), emergency, Vec::new());
        let site = Arc::new(Site::new(directory, switch::Limits::default()));
        let counters = Arc::new(Counters::default());
        let names = tls::Names::new("sip.example", []);
        let shown = tls::Shown::load(&config::Tls::default(), &data, &names).unwrap();
        let authorities = config::Tls { trunk_authorities: Some(data.tls().join("root.pem")), ..config::Tls::default() };
        let parts = Parts {
            shards: vec![shard],
            site: Arc::clone(&site),
            keep: None,
            counters: Arc::clone(&counters),
            runtime: tokio::runtime::Handle::current(),
            server: tls::server_config(shown).unwrap(),
            client: tls::client_config(&authorities).unwrap(),
            authorities: None,
        };
        let clock = Clock::start();
        let connections = Connections::new(limits, parts, &clock);
        let mut addresses = Vec::new();
        for (transport, address, listener) in listeners.streams {
            addresses.push(address);
            tokio::spawn(Arc::clone(&connections).accept(transport, listener));
        }
        Self { connections, inbox, site, counters, tcp: addresses[0], tls: addresses[1], data, clock, _folder: folder }
    }

    async fn next(&mut self) -> Input {
        timeout(SOON, self.inbox.recv()).await.expect("nothing arrived").unwrap()
    }

    async fn message(&mut self) -> (Bytes, Flow) {
        match self.next().await {
            Input::Message { bytes, flow } => (bytes, flow),
            Input::Unreachable(flow) => panic!("{flow:?} is unreachable"),
            Input::Leave(_) => panic!("nobody ends this gateway"),
        }
    }

    fn dropped(&self, name: &str) -> u64 {
        self.counters.read().dropped.get(name).copied().unwrap_or(0)
    }
}

fn quick() -> Limits {
    Limits {
        half_message: Duration::from_millis(300),
        idle: Duration::from_secs(2),
        connect: Duration::from_millis(500),
        ..Limits::default()
    }
}

fn options(call_id: &str, body: &str) -> String {
    format!(
        "OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

async fn closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is an end, too.
    timeout(SOON, stream.read_to_end(&mut rest)).await.expect("still open").ok();
    rest
}

#[tokio::test]
async fn messages_survive_every_split_of_the_stream() {
    let mut gateway = Fixture::new(Limits::default());
    let text = format!("{}\r\n\r\n{}", options("first", "body\r\n\r\nOPTIONS"), options("second", ""));
    for split in (1..text.len()).step_by(7) {
        let mut phone = TcpStream::connect(gateway.tcp).await.unwrap();
        phone.set_nodelay(true).unwrap();
        phone.write_all(&text.as_bytes()[..split]).await.unwrap();
        tokio::task::yield_now().await;
        phone.write_all(&text.as_bytes()[split..]).await.unwrap();
        let (first, flow) = gateway.message().await;
        let (second, again) = gateway.message().await;
        assert_eq!(first, options("first", "body\r\n\r\nOPTIONS"), "split at {split}");
        assert_eq!(second, options("second", ""), "split at {split}");
        assert_eq!(flow, again);
        assert_eq!((flow.local, flow.remote), (gateway.tcp, phone.local_addr().unwrap()));
        drop(phone);
        assert!(matches!(gateway.next().await, Input::Unreachable(gone) if gone == flow));
    }
}

#[tokio::test]
async fn one_octet_at_a_time_is_a_message_too() {
    let mut gateway = Fixture::new(Limits::default());
    let mut phone = TcpStream::connect(gateway.tcp).await.unwrap();
    phone.set_nodelay(true).unwrap();
    for byte in options("slow", "x").as_bytes() {
        phone.write_all(&[*byte]).await.unwrap();
    }
    assert_eq!(gateway.message().await.0, options("slow", "x"));
}

#[tokio::test]
async fn a_ping_is_answered_with_a_pong() {
    let gateway = Fixture::new(Limits::default());
    let mut phone = TcpStream::connect(gateway.tcp).await.unwrap();
    phone.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    timeout(SOON, phone.read_exact(&mut pong)).await.unwrap().unwrap();
    assert_eq!(&pong, b"\r\n");
}

#[tokio::test]
async fn half_messages_and_silent_newcomers_are_closed_in_time_whatever_they_trickle() {
    let gateway = Fixture::new(quick());
    let began = Instant::now();
    let mut silent = TcpStream::connect(gateway.tcp).await.unwrap();
    let trickling = tokio::spawn({
        let address = gateway.tcp;
        async move {
            let mut phone = TcpStream::connect(address).await.unwrap();
            let started = Instant::now();
            for byte in options("never", "").as_bytes().iter().cycle() {
                if phone.write_all(&[*byte]).await.is_err() || started.elapsed() > SOON {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                let mut end = [0; 1];
                if let Ok(Ok(0)) = timeout(Duration::from_millis(1), phone.read(&mut end)).await {
                    break;
                }
            }
            started.elapsed()
        }
    });
    closed(&mut silent).await;
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(trickling.await.unwrap() < Duration::from_secs(2));
    assert_eq!(gateway.dropped("half-message"), 2);
}

#[tokio::test]
async fn a_connection_that_has_spoken_may_be_silent_but_not_for_ever() {
    let mut gateway = Fixture::new(Limits { idle: Duration::from_millis(800), ..quick() });
    let mut phone = TcpStream::connect(gateway.tcp).await.unwrap();
    phone.write_all(options("one", "").as_bytes()).await.unwrap();
    gateway.message().await;
    let began = Instant::now();
    closed(&mut phone).await;
    assert!(began.elapsed() > Duration::from_millis(700), "closed after {:?}", began.elapsed());
    assert_eq!(gateway.dropped("idle"), 1);
}

#[tokio::test]
async fn a_message_without_its_length_is_answered_400_and_the_stream_closed() {
    let gateway = Fixture::new(Limits::default());
    let mut phone = TcpStream::connect(gateway.tcp).await.unwrap();
    phone.write_all(options("no-length", "").replace("Content-Length: 0\r\n", "").as_bytes()).await.unwrap();
    let answer = String::from_utf8(closed(&mut phone).await).unwrap();
    assert!(answer.starts_with("SIP/2.0 400 Bad Content-Length\r\n"), "{answer}");
    assert!(answer.contains("Call-ID: no-length\r\n"), "{answer}");
    assert_eq!(gateway.dropped("unframed"), 1);
}

#[tokio::test]
async fn a_message_beyond_the_limit_closes_its_connection() {
    let gateway = Fixture::new(Limits { sip: sip::Limits { message_bytes: 2_000, ..sip::Limits::default() }, ..Limits::default() });
    let mut phone = TcpStream::connect(gateway.tcp).await.unwrap();
    phone.write_all(options("long", "").replace("Content-Length: 0", "Content-Length: 3000").as_bytes()).await.unwrap();
    closed(&mut phone).await;
    assert_eq!(gateway.dropped("unframed"), 1);
}

#[tokio::test]
async fn what_is_sent_to_a_phone_goes_down_its_own_connection() {
    let mut gateway = Fixture::new(Limits::default());
    let mut one = TcpStream::connect(gateway.tcp).await.unwrap();
    let mut two = TcpStream::connect(gateway.tcp).await.unwrap();
    one.write_all(options("one", "").as_bytes()).await.unwrap();
    let (_, flow_one) = gateway.message().await;
    two.write_all(options("two", "").as_bytes()).await.unwrap();
    let (_, flow_two) = gateway.message().await;
    assert_ne!(flow_one.connection, flow_two.connection);
    gateway.connections.send(flow_two, Bytes::from_static(b"for two"));
    gateway.connections.send(flow_one, Bytes::from_static(b"for one"));
    for (phone, expected) in [(&mut one, b"for one"), (&mut two, b"for two")] {
        let mut got = [0; 7];
        timeout(SOON, phone.read_exact(&mut got)).await.unwrap().unwrap();
        assert_eq!(&got, expected);
    }
}

#[tokio::test]
async fn a_lost_connection_takes_its_bindings_along_and_says_so_to_the_shards() {
    let mut gateway = Fixture::new(Limits::default());
    let mut phone = TcpStream::connect(gateway.tcp).await.unwrap();
    phone.write_all(options("reg", "").as_bytes()).await.unwrap();
    let (_, flow) = gateway.message().await;
    let now = gateway.clock.now();
    let binding = Binding {
        endpoint: "a".into(),
        contact: "sip:a@127.0.0.1;transport=tcp".into(),
        params: "".into(),
        q: 1000,
        instance: None,
        reg_id: None,
        path: Vec::new(),
        flow,
        call_id: "x".into(),
        cseq: 1,
        seen: now,
        expires: now + Duration::from_secs(60),
        pool: None,
        emergency_only: false,
        user_agent: "".into(),
    };
    gateway.site.registrar.restore(binding, Seat::none());
    assert_eq!(gateway.site.registrar.len(), 1);
    drop(phone);
    assert!(matches!(gateway.next().await, Input::Unreachable(gone) if gone == flow));
    for _ in 0..100 {
        if gateway.site.registrar.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(gateway.site.registrar.is_empty());
    // Sending to it is refused at once, not after a time-out.
    gateway.connections.send(flow, Bytes::from_static(b"x"));
    assert!(matches!(gateway.next().await, Input::Unreachable(gone) if gone == flow));
}

#[tokio::test]
async fn more_connections_than_allowed_are_for_calls_for_help_only() {
    let mut gateway = Fixture::new(Limits { connections: 3, connections_per_source: 2, ..Limits::default() });
    let mut phones = Vec::new();
    for n in 0..2 {
        let mut phone = TcpStream::connect(gateway.tcp).await.unwrap();
        phone.write_all(options(&n.to_string(), "").as_bytes()).await.unwrap();
        gateway.message().await;
        phones.push(phone);
    }
    let mut third = TcpStream::connect(gateway.tcp).await.unwrap();
    third.write_all(options("3", "").as_bytes()).await.unwrap();
    closed(&mut third).await;
    assert!(matches!(gateway.next().await, Input::Unreachable(_)));
    assert_eq!(gateway.dropped("connections-per-source"), 1);
    let help = options("help", "").replace("OPTIONS sip:a@b", "INVITE urn:service:sos").replace("1 OPTIONS", "1 INVITE");
    let mut caller = TcpStream::connect(gateway.tcp).await.unwrap();
    caller.write_all(help.as_bytes()).await.unwrap();
    assert_eq!(gateway.message().await.0, help);
    // What is said after it is listened to as well.
    caller.write_all(options("more", "").as_bytes()).await.unwrap();
    assert_eq!(gateway.message().await.0, options("more", ""));
    drop(caller);
    gateway.next().await;
    // A place that became free is free.
    phones.pop();
    gateway.next().await;
    let mut fourth = TcpStream::connect(gateway.tcp).await.unwrap();
    fourth.write_all(options("4", "").as_bytes()).await.unwrap();
    assert_eq!(gateway.message().await.0, options("4", ""));
}

#[tokio::test]
async fn a_peer_that_does_not_read_is_closed_and_harms_nobody() {
    let mut gateway = Fixture::new(Limits { write_queue: 8, ..quick() });
    let mut phone = TcpStream::connect(gateway.tcp).await.unwrap();
    phone.write_all(options("deaf", "").as_bytes()).await.unwrap();
    let (_, flow) = gateway.message().await;
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    let began = Instant::now();
    while gateway.dropped("write-queue") == 0 {
        assert!(began.elapsed() < SOON, "its queue never filled");
        gateway.connections.send(flow, chunk.clone());
        tokio::task::yield_now().await;
    }
    assert!(matches!(gateway.next().await, Input::Unreachable(gone) if gone == flow));
    drop(phone);
}

#[tokio::test]
async fn a_trunk_is_reached_over_one_connection_that_is_used_again() {
    let mut gateway = Fixture::new(quick());
    let trunk = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let flow = Flow { transport: Transport::Tcp, local: gateway.tcp, remote: trunk.local_addr().unwrap(), connection: 0 };
    gateway.connections.send(flow, Bytes::from_static(b"one "));
    gateway.connections.send(flow, Bytes::from_static(b"two"));
    let (mut provider, _) = timeout(SOON, trunk.accept()).await.unwrap().unwrap();
    let mut got = [0; 7];
    timeout(SOON, provider.read_exact(&mut got)).await.unwrap().unwrap();
    assert_eq!(&got, b"one two");
    provider.write_all(options("from the trunk", "").as_bytes()).await.unwrap();
    let (_, from) = gateway.message().await;
    assert_eq!((from.local, from.remote), (flow.local, flow.remote));
    assert_ne!(from.connection, 0);
    drop(provider);
    let mut gone = Vec::new();
    for _ in 0..2 {
        match gateway.next().await {
            Input::Unreachable(flow) => gone.push(flow.connection),
            other @ (Input::Message { .. } | Input::Leave(_)) => panic!("{other:?}"),
        }
    }
    assert_eq!(gone, [from.connection, 0]);
}

#[tokio::test]
async fn a_trunk_that_refuses_is_unreachable_at_once_and_one_that_is_silent_soon() {
    let mut gateway = Fixture::new(quick());
    let refused = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let began = Instant::now();
    let flow = Flow { transport: Transport::Tcp, local: gateway.tcp, remote: refused, connection: 0 };
    gateway.connections.send(flow, Bytes::from_static(b"x"));
    gateway.next().await;
    assert!(matches!(gateway.next().await, Input::Unreachable(gone) if gone == flow));
    assert!(began.elapsed() < Duration::from_millis(400));

    // It accepts but never speaks TLS.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let flow = Flow { transport: Transport::Tls, local: gateway.tls, remote: silent.local_addr().unwrap(), connection: 0 };
    let slow = Fixture::new(Limits { handshake: Duration::from_millis(300), ..quick() });
    slow.connections.send(flow, Bytes::from_static(b"x"));
    let mut inbox = slow.inbox;
    timeout(Duration::from_secs(2), inbox.recv()).await.expect("not in time").unwrap();
}

#[tokio::test]
async fn phones_and_trunks_speak_tls_and_a_trunk_must_be_who_its_uri_says() {
    let mut gateway = Fixture::new(Limits::default());
    let authorities = config::Tls { trunk_authorities: Some(gateway.data.tls().join("root.pem")), ..config::Tls::default() };
    let client = TlsConnector::from(tls::client_config(&authorities).unwrap());
    let stream = TcpStream::connect(gateway.tls).await.unwrap();
    let mut phone = client.connect(ServerName::try_from("sip.example").unwrap(), stream).await.unwrap();
    phone.write_all(options("tls", "").as_bytes()).await.unwrap();
    let (bytes, flow) = gateway.message().await;
    assert_eq!((bytes, flow.transport), (Bytes::from(options("tls", "")), Transport::Tls));
    gateway.connections.send(flow, Bytes::from_static(b"back"));
    let mut got = [0; 4];
    timeout(SOON, phone.read_exact(&mut got)).await.unwrap().unwrap();
    assert_eq!(&got, b"back");

    // The gateway calls itself as if it were a trunk: its certificate names sip.example and 127.0.0.1.
    let trunk = Flow { transport: Transport::Tls, local: gateway.tls, remote: gateway.tls, connection: 0 };
    gateway.connections.expect_name(gateway.tls, "other.example");
    gateway.connections.send(trunk, Bytes::from(options("to a stranger", "")));
    while !matches!(gateway.next().await, Input::Unreachable(gone) if gone == trunk) {}
    assert_eq!(gateway.dropped("connect-failed"), 1);
    gateway.connections.expect_name(gateway.tls, "sip.example");
    gateway.connections.send(trunk, Bytes::from(options("to a friend", "")));
    loop {
        if let Input::Message { bytes, .. } = gateway.next().await {
            assert_eq!(bytes, options("to a friend", ""));
            break;
        }
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_is_ended() {
    let gateway = Fixture::new(Limits { handshake: Duration::from_millis(300), ..quick() });
    let mut phone = TcpStream::connect(gateway.tls).await.unwrap();
    closed(&mut phone).await;
    assert_eq!(gateway.dropped("handshake-late"), 1);
    let mut phone = TcpStream::connect(gateway.tls).await.unwrap();
    phone.write_all(options("plain text", "").as_bytes()).await.unwrap();
    closed(&mut phone).await;
    assert_eq!(gateway.dropped("handshake-failed"), 1);
}

#[test]
fn an_unspecified_address_becomes_each_address_of_the_machine() {
    let addresses = expand("0.0.0.0:5060".parse().unwrap()).unwrap();
    assert!(addresses.contains(&"127.0.0.1:5060".parse().unwrap()));
    assert!(addresses.iter().all(|a| !a.ip().is_unspecified() && a.is_ipv4() && a.port() == 5060));
}

#[tokio::test]
async fn a_port_in_use_is_named_with_a_remedy() {
    let held = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = Listen { transport: Transport::Udp, address: held.local_addr().unwrap() };
    let error = format!("{:#}", Listeners::bind(&[listen], 1, 65_536).unwrap_err());
    assert!(error.contains(&listen.to_string()) && error.contains("ss -lntup"), "{error}");
}

#[tokio::test]
async fn the_network_says_which_address_cannot_be_reached() {
    let listen = "udp:127.0.0.1:0".parse().unwrap();
    let mut listeners = Listeners::bind(&[listen], 1, 65_536).unwrap();
    let socket = listeners.udp.remove(0).remove(0).attach().unwrap();
    let deaf = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let alive = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    assert_eq!(socket.send(b"anybody?", deaf), udp::Sent::Yes);
    timeout(SOON, socket.errored()).await.expect("no ICMP").unwrap();
    let mut unreachable = Vec::new();
    socket.network_errors(&mut unreachable);
    assert_eq!(unreachable, [Flow { transport: Transport::Udp, local: socket.local(), remote: deaf, connection: 0 }]);
    // The error does not keep the next datagram from leaving.
    assert_eq!(socket.send(b"hello", alive.local_addr().unwrap()), udp::Sent::Yes);
}

#[test]
fn the_call_id_is_found_in_any_form() {
    let found = |head: &str| {
        udp::call_id(format!("OPTIONS sip:x SIP/2.0\r\nVia: x\r\n{head}\r\n\r\nCall-ID: body\r\n").as_bytes())
            .map(|id| String::from_utf8(id.to_vec()).unwrap())
    };
    for head in ["Call-ID: abc@d", "CALL-id :abc@d ", "i: abc@d", "I:\r\n abc@d", "To: x\r\nCall-ID:\tabc@d"] {
        assert_eq!(found(head).as_deref(), Some("abc@d"), "{head}");
    }
    assert_eq!(found("X: y"), None);
}

#[tokio::test]
async fn what_came_before_garbage_is_answered_before_the_stream_is_closed() {
    let mut gateway = Fixture::new(Limits::default());
    let mut phone = TcpStream::connect(gateway.tcp).await.unwrap();
    phone.write_all(format!("{}no message\r\n\r\n", options("first", "")).as_bytes()).await.unwrap();
    let (_, flow) = gateway.message().await;
    gateway.connections.send(flow, Bytes::from_static(b"the answer"));
    assert_eq!(closed(&mut phone).await, b"the answer");
    assert_eq!(gateway.dropped("unframed"), 1);
}
