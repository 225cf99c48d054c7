//! Random registrations against a plain list.

use super::*;
use crate::directory::Pool;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone, Debug)]
enum Step {
    Register { endpoint: usize, contact: usize, seconds: u32, connection: u64 },
    RemoveAll { endpoint: usize },
    Wait(u64),
    Expire,
    ConnectionLost(u64),
    Retain(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..4_usize, 0..3_usize, prop_oneof![Just(0), 20..200_u32], 0..4_u64)
            .prop_map(|(endpoint, contact, seconds, connection)| Step::Register { endpoint, contact, seconds, connection }),
        1 => (0..4_usize).prop_map(|endpoint| Step::RemoveAll { endpoint }),
        3 => (0..60_u64).prop_map(Step::Wait),
        2 => Just(Step::Expire),
        1 => (0..4_u64).prop_map(Step::ConnectionLost),
        1 => (0..4_usize).prop_map(Step::Retain),
    ]
}

/// The reference: (endpoint, contact) to end and connection.
type Model = BTreeMap<(String, String), (Instant, u64)>;

proptest! {
    #[test]
    fn bindings_and_seats_agree_with_a_plain_list(steps in prop::collection::vec(step(), 1..60)) {
        const SEATS: u32 = 2;
        let ledger = Ledger::new();
        ledger.set_pools(&[Pool::new("site", SEATS)], at(0));
        let registrar = Registrar::new(Limits::default());
        let mut model = Model::new();
        // What a store that follows the changes would hold.
        let mut stored = BTreeSet::new();
        let mut now = 0;
        let mut cseq = 0;
        for step in steps {
            cseq += 1;
            let mut changes = Vec::new();
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Register { endpoint, contact, seconds, connection } => {
                    let id = format!("desk-{endpoint}");
                    let contact = format!("sip:{contact}@a");
                    let request = register(&id, &id, cseq, &format!("Contact: <{contact}>;expires={seconds}\n"));
                    let wish = registrar.read(&request).unwrap();
                    let seat = if seconds == 0 { Ok(Seat::none()) } else { ledger.take("site", &id, at(now), at(now)) };
                    let Ok(seat) = seat else {
                        // Refused rightly: as many other endpoints hold bindings, expired ones included until they are swept.
                        let holders: BTreeSet<_> = stored.iter().map(|(id, _): &(String, String)| id.clone()).collect();
                        prop_assert!(holders.len() >= SEATS as usize && !holders.contains(&id), "{holders:?} {id}");
                        continue;
                    };
                    changes = registrar.apply(&id, &wish, &request, tcp("10.1.0.7:5060", connection), seat, false, at(now)).unwrap();
                    if seconds == 0 { model.remove(&(id, contact)); } else { model.insert((id, contact), (at(now + u64::from(seconds)), connection)); }
                }
                Step::RemoveAll { endpoint } => {
                    let id = format!("desk-{endpoint}");
                    let request = register(&id, &id, cseq, "Contact: *\nExpires: 0\n");
                    changes = registrar.apply(&id, &Wish::RemoveAll, &request, udp("10.1.0.7:5060"), Seat::none(), false, at(now)).unwrap();
                    model.retain(|(owner, _), _| *owner != id);
                }
                Step::Expire => {
                    changes = registrar.expire(at(now));
                    prop_assert!(registrar.deadline().is_none_or(|deadline| deadline > at(now)));
                    prop_assert_eq!(registrar.len(), model.values().filter(|(end, _)| *end > at(now)).count());
                }
                Step::ConnectionLost(connection) => {
                    changes = registrar.connection_lost(connection);
                    model.retain(|_, (_, of)| connection == 0 || *of != connection);
                }
                Step::Retain(endpoint) => {
                    let refused = format!("desk-{endpoint}");
                    changes = registrar.retain(|id| id != refused);
                    model.retain(|(owner, _), _| *owner != refused);
                }
            }
            model.retain(|_, (end, _)| *end > at(now));
            for change in changes {
                match change {
                    Change::Bound(binding) => { stored.insert((binding.endpoint.to_string(), binding.contact.to_string())); }
                    Change::Unbound { endpoint, contact } => prop_assert!(stored.remove(&(endpoint.to_string(), contact.to_string()))),
                }
            }
            let mut live = Model::new();
            for endpoint in 0..4 {
                let id = format!("desk-{endpoint}");
                for binding in registrar.bindings(&id, at(now)) {
                    live.insert((id.clone(), binding.contact.to_string()), (binding.expires, binding.flow.connection));
                }
            }
            prop_assert_eq!(&live, &model);
            prop_assert_eq!(registrar.len(), stored.len());
            if let Some(first) = model.values().map(|(end, _)| *end).min() {
                prop_assert!(registrar.deadline().is_some_and(|deadline| deadline <= first));
            }
            let holders: BTreeSet<_> = stored.iter().map(|(id, _)| id).collect();
            let usage = ledger.usage("site").unwrap();
            prop_assert_eq!(usage.taken as usize, holders.len(), "a seat per registered endpoint, none lost");
            prop_assert!(usage.taken <= SEATS);
        }
    }
}
