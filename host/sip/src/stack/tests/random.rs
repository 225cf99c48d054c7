//! Any sequence of events: no panic, every transaction ends, every client transaction in exactly one way.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

#[derive(Clone, Debug)]
enum Step {
    /// The peer sends a request of this kind under one of a few branches.
    Receive { method: usize, branch: u8, stream: bool },
    /// We answer one of the requests that we got.
    Respond { which: prop::sample::Index, status: u16 },
    /// We send a request.
    Request { method: usize, stream: bool },
    /// The peer answers one of our requests, or its CANCEL.
    Answer { which: prop::sample::Index, status: u16 },
    /// We give one up.
    Cancel { which: prop::sample::Index },
    /// The peer's address does not answer.
    Unreachable { stream: bool },
    /// Time passes.
    Wait { millis: u64 },
    /// A broken message arrives.
    Noise { cut: prop::sample::Index, octet: u8 },
}

const METHODS: [(&str, Method); 6] = [
    ("INVITE", Method::Invite),
    ("ACK", Method::Ack),
    ("CANCEL", Method::Cancel),
    ("BYE", Method::Bye),
    ("OPTIONS", Method::Options),
    ("REGISTER", Method::Register),
];

fn step() -> impl Strategy<Value = Step> {
    let status = || prop_oneof![Just(100), Just(180), Just(183), Just(200), Just(404), Just(408), Just(487), 100..700u16];
    prop_oneof![
        4 => (0..METHODS.len(), 0..4u8, any::<bool>()).prop_map(|(method, branch, stream)| Step::Receive { method, branch, stream }),
        4 => (any::<prop::sample::Index>(), status()).prop_map(|(which, status)| Step::Respond { which, status }),
        3 => (0..METHODS.len(), any::<bool>()).prop_map(|(method, stream)| Step::Request { method, stream }),
        4 => (any::<prop::sample::Index>(), status()).prop_map(|(which, status)| Step::Answer { which, status }),
        2 => any::<prop::sample::Index>().prop_map(|which| Step::Cancel { which }),
        1 => any::<bool>().prop_map(|stream| Step::Unreachable { stream }),
        4 => prop_oneof![0..1000u64, 0..40_000u64].prop_map(|millis| Step::Wait { millis }),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(|(cut, octet)| Step::Noise { cut, octet }),
    ]
}

/// What has become of everything so far.
struct Run {
    stack: Stack,
    now: Instant,
    servers: Vec<(ServerId, Message)>,
    /// Our requests as they were sent.
    sent: Vec<Bytes>,
    /// INVITE?, and how often each ended.
    clients: BTreeMap<ClientId, (bool, u32)>,
}

impl Run {
    fn new() -> Self {
        let limits = Limits { server_transactions: 12, client_transactions: 12, ..Limits::default() };
        let stack = Stack::new(limits, Random::from_seed([9; 32]));
        Self { stack, now: start(), servers: Vec::new(), sent: Vec::new(), clients: BTreeMap::new() }
    }

    fn take(&mut self, step: &Step) {
        let way = |stream: bool| flow(if stream { Transport::Tcp } else { Transport::Udp });
        let mut out = Outbox::new();
        match step {
            Step::Receive { method, branch, stream } => {
                let text = request(METHODS[*method].0, &format!("z9hG4bK{branch}"));
                self.stack.receive(Bytes::from(text), way(*stream), self.now, &mut out);
            }
            Step::Respond { which, status } if !self.servers.is_empty() => {
                let (id, message) = which.get(&self.servers);
                let response = Writer::response(message, *status, "Phrase", Some("gw")).finish_response(b"");
                self.stack.respond(*id, response, self.now, &mut out);
            }
            Step::Request { method, stream } => {
                let method = METHODS[*method].1;
                if matches!(method, Method::Ack | Method::Cancel) {
                    self.stack.transmit(our_request(method), way(*stream), &mut out);
                } else {
                    let id = self.stack.request(our_request(method), way(*stream), self.now, &mut out);
                    assert!(self.clients.insert(id, (method == Method::Invite, 0)).is_none(), "an id twice");
                }
            }
            Step::Answer { which, status } if !self.sent.is_empty() => {
                let bytes = answer(which.get::<Bytes>(&self.sent), *status);
                self.stack.receive(bytes, way(false), self.now, &mut out);
            }
            Step::Cancel { which } if !self.clients.is_empty() => {
                let ids: Vec<_> = self.clients.keys().copied().collect();
                self.stack.cancel(*which.get(&ids), None, self.now, &mut out);
            }
            Step::Unreachable { stream } => self.stack.unreachable(way(*stream), self.now, &mut out),
            Step::Wait { millis } => {
                self.now = self.now + Duration::from_millis(*millis);
                self.stack.expire(self.now, &mut out);
                let again = out.len();
                self.stack.expire(self.now, &mut out);
                assert_eq!(out.len(), again, "a second call does nothing");
            }
            Step::Noise { cut, octet } => {
                let mut text = request("INVITE", "z9hG4bKnoise").into_bytes();
                let at = cut.index(text.len());
                text[at] = *octet;
                self.stack.receive(Bytes::from(text), way(false), self.now, &mut out);
            }
            Step::Respond { .. } | Step::Answer { .. } | Step::Cancel { .. } => {}
        }
        self.note(out);
        if let Some((at, _)) = self.stack.deadline() {
            assert!(at > self.now || matches!(step, Step::Wait { .. }), "nothing is due that was not fired: {step:?}");
        }
    }

    fn note(&mut self, out: Outbox) {
        for effect in out {
            match effect {
                Effect::Transmit { bytes, .. } => {
                    let message = parse(&bytes);
                    if message.is_request() && message.method() != Method::Ack {
                        self.sent.push(bytes);
                    }
                }
                Effect::Request { id, message, .. } => self.servers.push((id, message)),
                Effect::Response { id, message, .. } => {
                    let (invite, ended) = self.clients.get_mut(&id).unwrap();
                    if message.status() < 200 {
                        assert_eq!(*ended, 0, "nothing provisional after the end");
                    } else if !(*invite && *ended == 1 && message.status() < 300) {
                        *ended += 1;
                    }
                }
                Effect::Failed { id, .. } => self.clients.get_mut(&id).unwrap().1 += 1,
                Effect::Ack { .. } | Effect::Cancelled { .. } | Effect::Unacknowledged { .. } | Effect::Dropped { .. } => {}
            }
        }
    }

    /// Lets everything end by itself.
    fn finish(&mut self) {
        let mut fired = 0;
        let mut last = self.now;
        while let Some((at, _)) = self.stack.deadline() {
            assert!(at >= last, "time runs backwards");
            last = at;
            self.now = self.now.max(at);
            let mut out = Outbox::new();
            self.stack.expire(self.now, &mut out);
            self.note(out);
            fired += 1;
            assert!(fired < 10_000, "it never ends");
        }
    }
}

proptest! {
    #[test]
    fn everything_ends_once(steps in prop::collection::vec(step(), 1..120)) {
        let mut run = Run::new();
        for step in &steps {
            run.take(step);
        }
        run.finish();
        prop_assert_eq!(run.stack.transactions(), (0, 0));
        prop_assert!(run.stack.by_key.is_empty() && run.stack.by_origin.is_empty() && run.stack.waiting.is_empty());
        for (id, (_, ended)) in &run.clients {
            prop_assert_eq!(*ended, 1, "{:?}", id);
        }
    }
}
