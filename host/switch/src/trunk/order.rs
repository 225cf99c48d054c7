//! In which order the addresses of a trunk are tried (RFC 2782).

use sip::{random::Random, transport::Flow};

/// One address of a trunk, and when its turn comes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Server {
    /// The way to it.
    pub flow: Flow,
    /// Lower is tried first.
    pub priority: u16,
    /// Among those of one priority, one of twice the weight is first twice as often.
    pub weight: u16,
}

/// The ways in the order in which they are tried this time.
#[must_use]
pub fn order(ways: &[Server], random: &mut Random) -> Vec<Flow> {
    // "A client MUST attempt to contact the target host with the lowest-numbered priority it can reach."
    let mut left: Vec<Server> = ways.to_vec();
    // "those with weight 0 are placed at the beginning of the list".
    left.sort_by_key(|way| (way.priority, way.weight != 0));
    let mut order = Vec::with_capacity(left.len());
    while let Some(first) = left.first().map(|way| way.priority) {
        let equals = left.iter().take_while(|way| way.priority == first);
        let sum: u64 = equals.clone().map(|way| u64::from(way.weight)).sum();
        // "choose a uniform random number between 0 and the sum computed (inclusive)".
        let chosen = random.next_u64() % (sum + 1);
        let mut running = 0;
        // "select the RR whose running sum value is the first in the selected order which is greater than or equal to the random number selected".
        let place = equals.clone().position(|way| {
            running += u64::from(way.weight);
            running >= chosen
        });
        // "Remove this SRV RR from the set of the unordered SRV RRs".
        order.push(left.remove(place.unwrap_or(0)).flow);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::udp;

    fn ways(of: &[(&str, u16, u16)]) -> Vec<Server> {
        of.iter().map(|(remote, priority, weight)| Server { flow: udp(remote), priority: *priority, weight: *weight }).collect()
    }

    #[test]
    fn priority_first_and_nobody_is_left_out() {
        let ways = ways(&[("192.0.2.3:5060", 20, 100), ("192.0.2.1:5060", 10, 0), ("192.0.2.2:5060", 15, 0)]);
        let mut random = Random::from_seed([1; 32]);
        for _ in 0..20 {
            assert_eq!(order(&ways, &mut random), [udp("192.0.2.1:5060"), udp("192.0.2.2:5060"), udp("192.0.2.3:5060")]);
        }
        assert!(order(&[], &mut random).is_empty());
    }

    #[test]
    fn among_equals_the_weight_says_how_often_one_is_first() {
        let ways = ways(&[("192.0.2.1:5060", 10, 60), ("192.0.2.2:5060", 10, 30), ("192.0.2.3:5060", 10, 10), ("192.0.2.4:5060", 10, 0)]);
        let mut random = Random::from_seed([2; 32]);
        let mut first = [0_u32; 4];
        for _ in 0..10_000 {
            let order = order(&ways, &mut random);
            assert_eq!(order.len(), 4);
            first[ways.iter().position(|way| way.flow == order[0]).unwrap()] += 1;
        }
        // The one without weight has a chance of one in 101: "a very small chance of being selected".
        assert!((5_600..6_300).contains(&first[0]) && (2_700..3_300).contains(&first[1]), "{first:?}");
        assert!((800..1_200).contains(&first[2]) && (40..200).contains(&first[3]), "{first:?}");
    }
}
