use super::*;
use switch::decision::{Amendments, Refusal};

const MICRO: Duration = Duration::from_micros(1);

fn late() -> Result<Decision, PolicyFault> {
    Err(PolicyFault::Late(Duration::from_millis(5)))
}

#[test]
fn every_result_and_every_kind_of_fault_has_its_own_counter() {
    let meter = Meter::default();
    let decisions: [Result<Decision, _>; 8] = [
        Ok(Decision::Pass(Amendments::default())),
        Ok(Decision::Route(switch::decision::Plan::default())),
        Ok(Decision::Refuse(Refusal::new(404, "Not Found", ""))),
        Err(PolicyFault::Trap(String::new())),
        late(),
        Err(PolicyFault::Bound(String::new())),
        Err(PolicyFault::Nonsense(String::new())),
        Err(PolicyFault::Resting),
    ];
    for decision in &decisions {
        meter.count(Hook::Routing, 0, decision, MICRO);
    }
    meter.count(Hook::Emergency, 0, &Ok(EmergencyPlan::default()), MICRO);
    let routing = meter.read(Hook::Routing);
    let some = |counted: Vec<(&'static str, u64)>| counted.into_iter().filter(|(_, n)| *n > 0).collect::<Vec<_>>();
    assert_eq!(some(routing.results().collect()), [("pass", 1), ("route", 1), ("refuse", 1)]);
    assert_eq!(some(routing.faults().collect()), [("trap", 1), ("late", 1), ("bound", 1), ("nonsense", 1), ("resting", 1)]);
    assert_eq!(routing.latency().map(|(_, n)| n).sum::<u64>(), 7, "one that was left out took no time");
    assert_eq!(routing.took(), 7 * MICRO);
    assert_eq!(meter.read(Hook::Emergency).results().collect::<Vec<_>>()[4], ("plan", 1));
    assert_eq!(meter.total().decisions(), 4);
}

#[test]
fn what_shards_count_apart_is_read_as_one_and_can_be_read_from_a_moment_on() {
    let meter = Meter::default();
    for shard in 0..20 {
        meter.count(Hook::Routing, shard, &late(), MICRO);
    }
    let before = meter.total();
    assert_eq!(before.faults().map(|(_, n)| n).sum::<u64>(), 20);
    meter.count(Hook::Registration, 3, &Ok(Admission::Pass), MICRO);
    let since = meter.total().since(&before);
    assert_eq!((since.decisions(), since.took(), since.faults().map(|(_, n)| n).sum::<u64>()), (1, MICRO, 0));
}

#[test]
fn a_time_belongs_to_the_first_bound_that_it_does_not_exceed() {
    let meter = Meter::default();
    let of = |nanos: u64| {
        let before = meter.total();
        meter.count(Hook::Observation, 0, &Ok(()), Duration::from_nanos(nanos));
        meter.total().since(&before).p99().unwrap()
    };
    assert_eq!(of(0), MICRO);
    assert_eq!(of(1_000), MICRO);
    assert_eq!(of(1_001), 2 * MICRO);
    assert_eq!(of(10_000_000), Figures::LAST_BOUND);
    assert_eq!(of(10_000_001), Duration::MAX);
}

#[test]
fn of_a_hundred_decisions_one_may_be_slower_than_the_p99() {
    let meter = Meter::default();
    assert_eq!(meter.total().p99(), None);
    for n in 0..100 {
        meter.count(Hook::Observation, n, &Ok(()), if n == 50 { Duration::from_millis(4) } else { 3 * MICRO });
    }
    assert_eq!(meter.total().p99(), Some(5 * MICRO));
    meter.count(Hook::Observation, 0, &Ok(()), Duration::from_millis(4));
    assert_eq!(meter.total().p99(), Some(Duration::from_millis(5)));
}
