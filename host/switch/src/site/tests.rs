use super::*;
use crate::{
    directory::{Endpoint, Pool},
    fixture::{at, directory, register, udp},
};
use sip::transport::Transport;

fn site() -> Site {
    Site::new(directory(), Limits::default())
}

fn changed(mut change: impl FnMut(&mut Vec<Endpoint>, &mut Vec<Pool>)) -> Directory {
    let old = directory();
    let mut endpoints: Vec<Endpoint> = old.endpoints.iter().map(|endpoint| (**endpoint).clone()).collect();
    let mut pools = old.pools.clone();
    change(&mut endpoints, &mut pools);
    let trunks = old.trunks.iter().map(|trunk| (**trunk).clone()).collect();
    Directory::new(old.domain.clone(), endpoints, pools, trunks, old.emergency.clone(), old.locations)
}

/// Registers an endpoint on the pool `site`.
fn bind(site: &Site, endpoint: &str, cseq: u32) -> Result<Vec<Change>, Refusal> {
    let request = register("x", endpoint, cseq, &format!("Contact: <sip:{endpoint}@a>\nExpires: 60\n"));
    let wish = site.registrar.read(&request)?;
    let seat =
        site.seat("site", endpoint, Duration::ZERO, at(0)).map_err(|full| Refusal::new(403, "No Licence Available", full.to_string()))?;
    site.register(endpoint, &wish, &request, udp("10.1.0.7:5060"), seat, false, at(0))
}

fn taken(site: &Site) -> u32 {
    site.ledger.usage("site").unwrap().taken
}

#[test]
fn a_new_directory_takes_the_bindings_of_those_who_are_gone_and_nothing_else() {
    let site = site();
    bind(&site, "desk-1", 1).unwrap();
    bind(&site, "desk-2", 1).unwrap();
    let channel = site
        .trunks
        .take("first", crate::trunk::Way::Out, &crate::trunk::Capacity::default(), crate::trunk::Holder::default(), at(0))
        .unwrap();
    assert_eq!(taken(&site), 2);
    let kept = site.registrar.bindings("desk-2", at(0));
    assert!(site.replace_directory(directory(), at(0)).is_empty());
    assert_eq!(taken(&site), 2);
    let changes = site.replace_directory(
        changed(|endpoints, pools| {
            endpoints.remove(0);
            pools[0].seats = 1;
        }),
        at(0),
    );
    assert_eq!(changes, [Change::Unbound { endpoint: "desk-1".into(), contact: "sip:desk-1@a".into() }]);
    assert_eq!(taken(&site), 1);
    assert_eq!(site.registrar.bindings("desk-2", at(0)), kept);
    assert_eq!(site.trunks.in_use("first"), 1);
    drop(channel);
    let changes = site.replace_directory(changed(|endpoints, _| endpoints[1].enabled = false), at(0));
    assert_eq!(changes, [Change::Unbound { endpoint: "desk-2".into(), contact: "sip:desk-2@a".into() }]);
    assert_eq!((taken(&site), site.registrar.len()), (0, 0));
}

#[test]
fn a_registration_that_was_under_way_leaves_no_binding_behind() {
    let site = site();
    bind(&site, "desk-1", 1).unwrap();
    // The phone was proved by the old directory and its policy has decided; then the endpoint is disabled.
    site.replace_directory(changed(|endpoints, _| endpoints[0].enabled = false), at(0));
    let refusal = bind(&site, "desk-1", 2).unwrap_err();
    assert_eq!((refusal.status, refusal.phrase.as_str()), (403, "Disabled"));
    assert_eq!((taken(&site), site.registrar.len()), (0, 0));
}

#[test]
fn no_registration_slips_through_a_change_of_the_directory() {
    let site = site();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for cseq in 1..3000 {
                let _either = bind(&site, "desk-1", cseq);
            }
        });
        for round in 0..300 {
            site.replace_directory(changed(|endpoints, _| endpoints[0].enabled = round % 2 == 0), at(0));
        }
        site.replace_directory(changed(|endpoints, _| endpoints[0].enabled = false), at(0));
    });
    assert_eq!((taken(&site), site.registrar.len()), (0, 0));
}

#[test]
fn what_the_store_kept_comes_back_with_its_seat() {
    let old = site();
    bind(&old, "desk-1", 1).unwrap();
    let kept = (*old.registrar.bindings("desk-1", at(0))[0]).clone();
    let new = site();
    assert!(new.restore(kept.clone(), at(10)));
    assert_eq!((taken(&new), new.registrar.len()), (1, 1));
    assert_eq!(new.registrar.bindings("desk-1", at(10)), old.registrar.bindings("desk-1", at(10)));
    assert_eq!(new.registrar.deadline(), Some(at(60)));
    // Twice is once; and its CSeq still counts.
    assert!(new.restore(kept.clone(), at(10)));
    assert_eq!((taken(&new), new.registrar.len()), (1, 1));
    assert_eq!(bind(&new, "desk-1", 1).unwrap_err().status, 500);
    assert_eq!(bind(&new, "desk-1", 2).unwrap().len(), 1);
    // Too late, gone, disabled.
    assert!(!site().restore(kept.clone(), at(60)));
    assert!(!site().restore(Binding { endpoint: "desk-9".into(), ..kept.clone() }, at(10)));
    assert!(!site().restore(Binding { endpoint: "desk-3".into(), ..kept.clone() }, at(10)));
    // A pool that has become too small keeps what was acknowledged.
    let small = Site::new(changed(|_, pools| pools[0].seats = 0), Limits::default());
    assert!(small.restore(kept.clone(), at(10)));
    assert_eq!(taken(&small), 1);
    assert_eq!(kept.flow.transport, Transport::Udp);
}

#[test]
fn seats_follow_bindings_through_expiry_and_removal() {
    let site = site();
    bind(&site, "desk-1", 1).unwrap();
    bind(&site, "desk-2", 1).unwrap();
    let refusal = bind(&site, "desk-3", 1).unwrap_err();
    assert_eq!(refusal.detail, "all 2 seats are taken");
    bind(&site, "desk-2", 2).unwrap();
    site.registrar.expire(at(60));
    assert_eq!(taken(&site), 0);
    bind(&site, "desk-1", 3).unwrap();
    let request = register("x", "desk-1", 4, "Contact: *\nExpires: 0\n");
    let wish = site.registrar.read(&request).unwrap();
    site.register("desk-1", &wish, &request, udp("10.1.0.7:5060"), Seat::none(), false, at(61)).unwrap();
    assert_eq!(taken(&site), 0);
}
