//! How often each address has done something in the last minute: whoever does it too often is not listened to for the rest of it.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Addresses that are remembered; the one that began longest ago makes room.
const SOURCES: usize = 1_024;
/// How long they are.
const WINDOW: Duration = Duration::from_secs(60);

/// What is counted of addresses. One network of IPv6 (64 bits) is one address: whoever has one has all of it.
#[derive(Debug)]
pub(crate) struct Sources {
    most: usize,
    sources: Mutex<BTreeMap<IpAddr, (Instant, usize)>>,
}

impl Sources {
    /// So many a minute from one address.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, sources: Mutex::default() }
    }

    /// How long this address is not listened to.
    pub(crate) fn shut_out(&self, source: IpAddr, now: Instant) -> Option<Duration> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, times) = sources.get(&network(source))?;
        let left = WINDOW.checked_sub(now.saturating_duration_since(*since))?;
        (*times >= self.most && !left.is_zero()).then_some(left)
    }

    /// It has done it.
    pub(crate) fn count(&self, source: IpAddr, now: Instant) {
        let source = network(source);
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let over = |since: Instant| now.saturating_duration_since(since) >= WINDOW;
        if sources.len() >= SOURCES && !sources.contains_key(&source) {
            sources.retain(|_, (since, _)| !over(*since));
            let oldest = sources.iter().min_by_key(|(_, (since, _))| *since).map(|(source, _)| *source);
            if let Some(oldest) = oldest.filter(|_| sources.len() >= SOURCES) {
                sources.remove(&oldest);
            }
        }
        let entry = sources.entry(source).or_insert((now, 0));
        if over(entry.0) {
            *entry = (now, 0);
        }
        entry.1 += 1;
    }
}

fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        IpAddr::V4(address) => address.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_guesses_is_shut_out_for_a_minute_and_others_are_not() {
        let sources = Sources::new(2);
        let [guesser, other] = ["192.0.2.1", "192.0.2.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let begin = Instant::now();
        sources.count(guesser, begin);
        assert_eq!(sources.shut_out(guesser, begin), None);
        sources.count(guesser, begin + Duration::from_secs(10));
        assert_eq!(sources.shut_out(guesser, begin + Duration::from_secs(20)), Some(Duration::from_secs(40)));
        assert_eq!(sources.shut_out(other, begin), None);
        assert_eq!(sources.shut_out(guesser, begin + WINDOW), None);
        // The memory has a limit: the oldest is forgotten.
        for n in 0..SOURCES {
            let address = IpAddr::from([10, 0, u8::try_from(n / 256).unwrap(), u8::try_from(n % 256).unwrap()]);
            sources.count(address, begin + Duration::from_secs(11));
        }
        assert_eq!(sources.sources.lock().unwrap().len(), SOURCES);
        assert!(!sources.sources.lock().unwrap().contains_key(&guesser));
    }

    #[test]
    fn whoever_has_a_network_of_ipv6_is_one() {
        let sources = Sources::new(2);
        let begin = Instant::now();
        let [one, two, far] = ["2001:db8::1", "2001:db8::ffff:1", "2001:db8:0:1::1"].map(|text| text.parse::<IpAddr>().unwrap());
        sources.count(one, begin);
        sources.count(two, begin);
        assert!(sources.shut_out(one, begin).is_some() && sources.shut_out(far, begin).is_none());
    }
}
