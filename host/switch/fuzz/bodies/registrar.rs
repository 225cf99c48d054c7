//! Any sequence of REGISTERs, lost connections and time into one registrar: nothing panics, no limit is exceeded, what a phone is told is what is kept, every
//! binding lapses, and no seat is lost or kept for nobody.

use bytes::Bytes;
use sip::{
    Instant, Limits as Protocol, Message,
    build::Writer,
    transport::{Flow, Transport},
};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};
use switch::{
    Limits,
    directory::Pool,
    licence::{Ledger, Seat},
    registrar::{Change, Registrar, Wish, write_answer},
};

const SEATS: u32 = 3;
const ENDPOINTS: u8 = 5;
const BINDINGS_EACH: usize = 4;
const BINDINGS: usize = 9;
const EXPIRES_MAX: Duration = Duration::from_secs(3600);

/// Pieces of Contact, Expires and Path lines; a case strings them together.
const PIECES: [&str; 32] = [
    "Contact: *\r\n",
    "Contact: <sip:1@10.0.0.1>\r\n",
    "Contact: <sip:1@10.0.0.1:5060>;expires=60\r\n",
    "Contact: <sip:1@10.0.0.1:5060;transport=tcp>;expires=0\r\n",
    "Contact: <sip:2@10.0.0.2>;q=0.5\r\n",
    "Contact: <sip:2@10.0.0.2>;q=1.5\r\n",
    "Contact: \"x\" <sip:3@host;lr>;+sip.instance=\"<urn:uuid:1>\";reg-id=1\r\n",
    "Contact: <sip:4@host>;+sip.instance=\"<urn:uuid:1>\";reg-id=2\r\n",
    "Contact: <sip:5@host>;+sip.instance=\"<urn:uuid:1>\"\r\n",
    "Contact: <sip:6@host>;+sip.instance=\"<urn:uuid:2>\";reg-id=99999999999\r\n",
    "Contact: <sips:1@10.0.0.1>, <sip:1@10.0.0.1>;expires=4294967296\r\n",
    "Contact: sip:7@host;expires=30\r\n",
    "Contact: <tel:+44>\r\n",
    "Contact: <sip:8@[::1]:5060>\r\n",
    "Contact: <sip:9@host?Route=%3Csip:x%3E>\r\n",
    "Contact:\r\n",
    "Contact: <\r\n",
    "m: <sip:%31@10.0.0.1>;expires=1\r\n",
    "Expires: 0\r\n",
    "Expires: 20\r\n",
    "Expires: 3600\r\n",
    "Expires: 99999999999\r\n",
    "Expires: x\r\n",
    "Path: <sip:edge;lr>\r\n",
    "Path: <sip:edge2;lr>, <sip:edge3;lr>\r\n",
    "Supported: path, outbound\r\n",
    "Require: path\r\n",
    "User-Agent: x\r\n",
    "\tfolded\r\n",
    ";expires=0\r\n",
    ";q=0\r\n",
    "X: y\r\n",
];

fn register(endpoint: u8, call: u8, cseq: u8, lines: &str) -> Option<Message> {
    let text = format!(
        "REGISTER sip:sip.example SIP/2.0\r\nVia: SIP/2.0/UDP 10.1.0.7:5060;branch=z9hG4bK{cseq}\r\nMax-Forwards: 70\r\nFrom: <sip:{endpoint}@x>;tag=1\r\n\
         To: <sip:{endpoint}@x>\r\nCall-ID: c{call}\r\nCSeq: {cseq} REGISTER\r\n{lines}Content-Length: 0\r\n\r\n"
    );
    Message::parse(Bytes::from(text), &Protocol::default()).ok().filter(|message| message.check().is_ok())
}

/// One case.
pub fn run(data: &[u8]) {
    let limits = Limits {
        bindings_per_endpoint: BINDINGS_EACH,
        bindings: BINDINGS,
        binding_bytes: 512,
        expires_max: EXPIRES_MAX,
        ..Limits::default()
    };
    let (registrar, ledger) = (Registrar::new(limits), Ledger::new());
    ledger.set_pools(&[Pool::new("site", SEATS)], Instant::default());
    let mut now = Instant::from_unix_micros(1_800_000_000_000_000);
    let mut stored = BTreeSet::new();
    let mut steps = data.iter().copied();
    while let Some(kind) = steps.next() {
        let mut byte = || steps.next().unwrap_or_default();
        let changes = match kind % 8 {
            0 => {
                now = now + Duration::from_secs(u64::from(byte()) * u64::from(byte()) / 8);
                Vec::new()
            }
            1 => {
                let changes = registrar.expire(now);
                assert!(registrar.deadline().is_none_or(|at| at > now), "what has lapsed is still there");
                changes
            }
            2 => registrar.connection_lost(u64::from(byte() % 3)),
            3 => registrar.remove(&format!("desk-{}", byte() % ENDPOINTS)),
            _ => {
                let (endpoint, call, cseq, many) = (byte() % ENDPOINTS, byte() % 3, byte(), byte() % 6);
                let connection = u64::from(byte() % 3);
                let mut lines = String::new();
                for _ in 0..many {
                    lines.push_str(PIECES[usize::from(byte()) % PIECES.len()]);
                }
                let Some(request) = register(endpoint, call, cseq, &lines) else { continue };
                asked(&registrar, &ledger, endpoint, &request, connection, now)
            }
        };
        for change in changes {
            match change {
                Change::Bound(binding) => {
                    assert!(binding.expires <= now + EXPIRES_MAX, "{binding:?} is kept for too long");
                    stored.insert((binding.endpoint.to_string(), binding.contact.to_string()));
                }
                Change::Unbound { endpoint, contact } => {
                    assert!(stored.remove(&(endpoint.to_string(), contact.to_string())), "{contact} was not there")
                }
            }
        }
        agrees(&registrar, &ledger, &stored, now);
    }
    let end = now + EXPIRES_MAX + Duration::from_secs(1);
    drop(registrar.expire(end));
    assert!(registrar.is_empty() && registrar.deadline().is_none(), "every binding lapses");
    assert_eq!(ledger.usage("site").map(|usage| usage.taken), Some(0), "every seat comes back");
}

fn asked(registrar: &Registrar, ledger: &Ledger, endpoint: u8, request: &Message, connection: u64, now: Instant) -> Vec<Change> {
    let id = format!("desk-{endpoint}");
    let Ok(wish) = registrar.read(request) else { return Vec::new() };
    let seat = match wish {
        Wish::Bind(_) => match ledger.take("site", &id, now, now) {
            Ok(seat) => seat,
            Err(_) => return Vec::new(),
        },
        Wish::Query | Wish::Remove(_) | Wish::RemoveAll => Seat::none(),
    };
    let transport = if connection == 0 { Transport::Udp } else { Transport::Tcp };
    let address = |host: u8| SocketAddr::from(([192, 0, 2, host], 5060));
    let flow = Flow { transport, local: address(1), remote: address(2), connection };
    let before = registrar.bindings(&id, now);
    let Ok(changes) = registrar.apply(&id, &wish, request, flow, seat, false, now) else {
        assert_eq!(registrar.bindings(&id, now), before, "what is refused changes nothing");
        return Vec::new();
    };
    let mut writer = Writer::response(request, 200, "OK", Some("t"));
    write_answer(&mut writer, request, &registrar.bindings(&id, now), Some(("1001", "sip.example")), now);
    let answer = writer.finish_response(b"");
    let answer = Message::parse(Bytes::copy_from_slice(answer.bytes()), &Protocol::default()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(answer.check(), Ok(()));
    assert_eq!(answer.values(sip::header::Name::Contact).count(), registrar.bindings(&id, now).len(), "the answer names every binding");
    changes
}

fn agrees(registrar: &Registrar, ledger: &Ledger, stored: &BTreeSet<(String, String)>, now: Instant) {
    assert_eq!(registrar.len(), stored.len(), "the store knows what is kept");
    assert!(registrar.len() <= BINDINGS);
    let owners: BTreeSet<&String> = stored.iter().map(|(endpoint, _)| endpoint).collect();
    for endpoint in 0..ENDPOINTS {
        assert!(registrar.bindings(&format!("desk-{endpoint}"), now).len() <= BINDINGS_EACH);
    }
    let taken = ledger.usage("site").map_or(0, |usage| usage.taken);
    assert!(taken <= SEATS && taken as usize == owners.len(), "{taken} seats for {owners:?}");
}
