use super::*;
use crate::fixture::at;
use proptest::prelude::*;

const OUT: Purpose = Purpose { way: Way::Out, help: false };

fn holder(call: u64) -> Holder {
    Holder { shard: 0, call }
}

fn capacity(all: Option<u32>, inbound: Option<u32>, outbound: Option<u32>, reserved: u32) -> Capacity {
    Capacity { all, inbound, outbound, reserved }
}

/// Takes as many as there are, up to ten.
fn fill(trunks: &Trunks, way: Way, capacity: &Capacity) -> Vec<Channel> {
    (0..10).map_while(|call| trunks.take("t", way, capacity, holder(call), at(call))).collect()
}

#[test]
fn each_way_has_its_limit_and_both_have_one() {
    for (limits, inbound, outbound) in [
        (capacity(None, None, None, 0), 10, 10),
        (capacity(Some(3), None, None, 0), 3, 0),
        (capacity(None, Some(2), None, 0), 2, 10),
        (capacity(None, None, Some(2), 0), 10, 2),
        (capacity(Some(4), Some(3), Some(2), 0), 3, 1),
        (capacity(Some(4), Some(3), Some(2), 1), 3, 0),
        // What is kept is kept of those out, where nothing limits all of them.
        (capacity(None, Some(3), Some(4), 3), 3, 1),
        (capacity(Some(2), None, None, 5), 0, 0),
        (capacity(None, None, None, 5), 10, 10),
        (capacity(Some(0), None, None, 0), 0, 0),
    ] {
        let trunks = Trunks::new();
        let (one, other) = (fill(&trunks, Way::In, &limits), fill(&trunks, Way::Out, &limits));
        assert_eq!((one.len(), other.len()), (inbound, outbound), "{limits:?}");
        assert_eq!(trunks.in_use("t"), u32::try_from(inbound + outbound).unwrap());
        drop((one, other));
        assert_eq!(trunks.in_use("t"), 0);
    }
}

#[test]
fn a_call_for_help_takes_what_is_kept_for_it_and_then_the_youngest_calls_channel() {
    let trunks = Trunks::new();
    let limits = capacity(Some(4), None, None, 1);
    let calls = fill(&trunks, Way::Out, &limits);
    assert_eq!(calls.len(), 3);
    let help = |call| trunks.take_for_help("t", Way::Out, &limits, holder(call), at(100));
    let (first, nobody) = help(11);
    assert_eq!(nobody, None, "one was kept");
    let (second, evicted) = help(12);
    assert_eq!(evicted, Some(Evicted { holder: holder(2), channel: calls[2].number(), trunk: "t".into() }), "the youngest of three");
    // The next one does not wait for that one's end, and takes another.
    let (third, evicted) = help(13);
    assert_eq!(evicted.map(|evicted| evicted.holder.call), Some(1));
    assert_eq!(trunks.in_use("t"), 6);
    // One call for help is over before those have ended: there is room, nobody else has to go.
    drop(second);
    assert_eq!(help(14).1, None);
    // Only calls for help are left: more of them are never refused.
    drop(calls);
    let more: Vec<_> = (20..25).map(help).collect();
    assert!(more.iter().all(|(_, evicted)| evicted.is_none()));
    assert_eq!(trunks.in_use("t"), 7);
    assert!(trunks.take("t", Way::Out, &limits, holder(30), at(200)).is_none());
    drop((first, third, more));
    assert_eq!(trunks.in_use("t"), 0);
}

#[test]
fn where_one_way_is_full_a_call_of_that_way_goes() {
    let trunks = Trunks::new();
    let limits = capacity(None, None, Some(1), 0);
    let _out = trunks.take("t", Way::Out, &limits, holder(1), at(1)).unwrap();
    let _younger = trunks.take("t", Way::In, &limits, holder(2), at(2)).unwrap();
    assert_eq!(trunks.take_for_help("t", Way::Out, &limits, holder(3), at(3)).1.map(|evicted| evicted.holder.call), Some(1));
    // Of what is full both ways together any call may go.
    let trunks = Trunks::new();
    let limits = capacity(Some(2), None, None, 0);
    let _out = trunks.take("t", Way::Out, &limits, holder(1), at(1)).unwrap();
    let _younger = trunks.take("t", Way::In, &limits, holder(2), at(2)).unwrap();
    assert_eq!(trunks.take_for_help("t", Way::Out, &limits, holder(3), at(3)).1.map(|evicted| evicted.holder.call), Some(2));
}

/// A channel may go from one call to another in the very moment in which its call is told to end.
#[test]
fn whoever_has_taken_a_channel_over_is_told() {
    let trunks = Trunks::new();
    let limits = capacity(Some(1), None, None, 0);
    let channel = trunks.take("t", Way::Out, &limits, holder(1), at(1)).unwrap();
    assert_eq!(channel.goes_to(holder(2)), None);
    let (_help, evicted) = trunks.take_for_help("t", Way::Out, &limits, holder(9), at(9));
    assert_eq!(evicted.map(|evicted| evicted.holder), Some(holder(2)));
    assert_eq!(channel.goes_to(holder(3)).map(|evicted| evicted.holder), Some(holder(3)));
    assert_eq!(channel.purpose(), OUT);
}

/// What can happen on a trunk.
#[derive(Clone, Debug)]
enum Deed {
    Take(bool),
    Help(bool),
    /// A call ends.
    End(usize),
    /// It goes from one call to another.
    Move(usize),
    /// Those that were told to end do.
    Obey,
    /// The process is killed, and its calls are taken up again in any order.
    Crash(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        4 => any::<bool>().prop_map(Deed::Take),
        2 => any::<bool>().prop_map(Deed::Help),
        3 => any::<usize>().prop_map(Deed::End),
        1 => any::<usize>().prop_map(Deed::Move),
        2 => Just(Deed::Obey),
        1 => any::<usize>().prop_map(Deed::Crash),
    ]
}

fn limit() -> impl Strategy<Value = Option<u32>> {
    prop::option::of(0..5_u32)
}

proptest! {
    /// Whatever happens: normal calls never exceed a limit, nor touch what is kept; none is told to end but for a call for help that found no room; a call for help
    /// always gets a channel; and when all calls are over, no channel is taken.
    #[test]
    fn no_channel_is_lost_and_no_limit_exceeded(all in limit(), inbound in limit(), outbound in limit(), reserved in 0..4_u32, deeds in prop::collection::vec(deed(), 0..120)) {
        let limits = capacity(all, inbound, outbound, reserved);
        let mut trunks = Trunks::new();
        // The calls that are up: channel, purpose, when it began, whether it was told to end.
        let mut calls: Vec<(Channel, Purpose, u64, bool)> = Vec::new();
        for (time, deed) in (0..).zip(deeds) {
            let way = |inbound: bool| if inbound { Way::In } else { Way::Out };
            let normal = |calls: &[(Channel, Purpose, u64, bool)], of: Option<Way>| {
                calls.iter().filter(|(_, purpose, ..)| !purpose.help && of.is_none_or(|way| purpose.way == way)).count()
            };
            let up = |calls: &[(Channel, Purpose, u64, bool)], of: Option<Way>, doomed: bool| {
                calls.iter().filter(|(_, purpose, _, told)| (doomed || !told) && of.is_none_or(|way| purpose.way == way)).count()
            };
            match deed {
                Deed::Take(inwards) => {
                    let way = way(inwards);
                    let one_way = if inwards { inbound } else { outbound };
                    let below = |limit: Option<u32>, kept: u32, of: Option<Way>| limit.is_none_or(|limit| {
                        up(&calls, of, true) < limit as usize && normal(&calls, of) < limit.saturating_sub(kept) as usize
                    });
                    let kept_of_way = if all.is_none() && !inwards { reserved } else { 0 };
                    let expected = below(all, reserved, None) && below(one_way, kept_of_way, Some(way));
                    let taken = trunks.take("t", way, &limits, holder(time), at(time));
                    prop_assert_eq!(taken.is_some(), expected);
                    calls.extend(taken.map(|channel| (channel, Purpose { way, help: false }, time, false)));
                }
                Deed::Help(inwards) => {
                    let way = way(inwards);
                    let one_way = if inwards { inbound } else { outbound };
                    let full = |limit: Option<u32>, of: Option<Way>| limit.is_some_and(|limit| up(&calls, of, false) >= limit as usize);
                    let (all_full, way_full) = (full(all, None), full(one_way, Some(way)));
                    let (channel, evicted) = trunks.take_for_help("t", way, &limits, holder(time), at(time));
                    let fits = |(_, purpose, _, told): &&mut (Channel, Purpose, u64, bool)| !purpose.help && !told && (!way_full || purpose.way == way);
                    let youngest = calls.iter_mut().filter(fits).max_by_key(|(_, _, since, _)| *since);
                    let expected = youngest.filter(|_| all_full || way_full).map(|call| {
                        call.3 = true;
                        call.0.number()
                    });
                    prop_assert_eq!(evicted.map(|evicted| evicted.channel), expected);
                    calls.push((channel, Purpose { way, help: true }, time, false));
                }
                Deed::End(which) if !calls.is_empty() => drop(calls.swap_remove(which % calls.len())),
                Deed::Move(which) if !calls.is_empty() => {
                    let (channel, _, _, told) = &calls[which % calls.len()];
                    prop_assert_eq!(channel.goes_to(holder(1000 + time)).is_some(), *told);
                }
                Deed::Obey => calls.retain(|(_, _, _, told)| !told),
                Deed::Crash(turn) => {
                    // Who was told to end has been, by the process that died or by whoever notices.
                    let mut kept: Vec<_> = calls.drain(..).filter(|(_, _, _, told)| !told).map(|(channel, _, since, _)| (channel.purpose(), since)).collect();
                    trunks = Trunks::new();
                    let turn = turn % kept.len().max(1);
                    kept.rotate_left(turn);
                    calls.extend(kept.into_iter().map(|(purpose, since)| (trunks.take_again("t", purpose, holder(since), at(since)), purpose, since, false)));
                }
                Deed::End(_) | Deed::Move(_) => {}
            }
            prop_assert_eq!(trunks.in_use("t") as usize, calls.len());
            for (limit, of) in [(all, None), (inbound, Some(Way::In)), (outbound, Some(Way::Out))] {
                prop_assert!(limit.is_none_or(|limit| normal(&calls, of) <= limit as usize), "only calls for help go beyond a limit");
            }
        }
        calls.clear();
        prop_assert_eq!(trunks.in_use("t"), 0);
    }
}
