//! What a registration lasts while the gateway stands in for the cloud.

use super::*;
use proptest::prelude::*;
use sip::random::Random;
use std::{collections::BTreeSet, time::Duration};

const SHORTEST: Duration = Duration::from_secs(20);

fn random(seed: u8) -> Random {
    Random::from_seed([seed; 32])
}

fn granted(survivable: Survivable, lines: &str, random: &mut Random) -> Vec<u32> {
    let wish = Desk::new().registrar.read(&register("1001", "a", 1, lines)).unwrap();
    match survivable.shorten(wish, SHORTEST, random) {
        Wish::Bind(contacts) | Wish::Remove(contacts) => contacts.iter().map(|contact| contact.seconds).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_thousand_phones_that_come_in_one_moment_come_back_spread_over_a_fifth_of_the_time() {
    let mut random = random(1);
    let all: Vec<u32> = (0..1000).map(|_| granted(Survivable::default(), "Contact: <sip:a@b>;expires=3600\n", &mut random)[0]).collect();
    let different: BTreeSet<u32> = all.iter().copied().collect();
    assert_eq!(different, (54..=66).collect());
    // None of the thirteen seconds sees more than twice its share.
    let most = different.iter().map(|seconds| all.iter().filter(|other| *other == seconds).count()).max().unwrap();
    assert!(most < 2 * 1000 / 13, "{most} phones would come back in the same second");
    let average = all.iter().sum::<u32>() / 1000;
    assert!((59..=61).contains(&average), "{average}");
}

#[test]
fn the_same_randomness_gives_the_same_time_and_a_phone_that_asks_for_less_gets_that() {
    let asks = "Contact: <sip:a@b>;expires=3600\n";
    let draw = |seed| granted(Survivable::default(), asks, &mut random(seed));
    assert_eq!(draw(7), draw(7));
    assert!((0..20).map(draw).collect::<BTreeSet<_>>().len() > 5);
    assert_eq!(granted(Survivable::default(), "Contact: <sip:a@b>;expires=30\n", &mut random(1)), [30]);
    // What is asked for no time has none; what is removed stays removed; all contacts of one request end together.
    assert!((54..=66).contains(&granted(Survivable::default(), "Contact: <sip:a@b>\n", &mut random(2))[0]));
    let several =
        granted(Survivable::default(), "Contact: <sip:a@b>;expires=300, <sip:c@d>;expires=0, <sip:e@f>;expires=900\n", &mut random(3));
    assert_eq!((several[0], several[1]), (several[2], 0));
    assert_eq!(granted(Survivable::default(), "Contact: <sip:a@b>;expires=0\n", &mut random(4)), [0]);
}

#[test]
fn without_spread_it_is_exact_and_what_asks_nothing_draws_nothing() {
    let exact = Survivable { expires: Duration::from_secs(90), spread_percent: 0 };
    assert_eq!(granted(exact, "Contact: <sip:a@b>;expires=3600\n", &mut random(1)), [90]);
    let (mut used, mut fresh) = (random(5), random(5));
    for wish in [Wish::Query, Wish::RemoveAll, Wish::Remove(Vec::new())] {
        assert_eq!(Survivable::default().shorten(wish.clone(), SHORTEST, &mut used), wish);
    }
    assert_eq!(used.next_u64(), fresh.next_u64());
    // Never below what a phone may ask for.
    assert_eq!(Survivable { expires: SHORTEST, spread_percent: 50 }.range(SHORTEST), (20, 30));
}

proptest! {
    #[test]
    fn what_is_granted_lies_in_the_range_and_is_never_longer_than_asked(
        asked in 20_u32..=7200, middle in 20_u64..=3600, spread_percent in 0_u32..100, seed in any::<u8>()
    ) {
        let survivable = Survivable { expires: Duration::from_secs(middle), spread_percent };
        let (least, most) = survivable.range(SHORTEST);
        prop_assert!(SHORTEST.as_secs() <= least && least <= most && least <= middle && middle <= most);
        let [seconds] = granted(survivable, &format!("Contact: <sip:a@b>;expires={asked}\n"), &mut random(seed))[..] else { panic!() };
        // The registrar's own longest comes first.
        let allowed = u64::from(asked.min(3600));
        prop_assert!(u64::from(seconds) <= allowed && u64::from(seconds) >= least.min(allowed) && u64::from(seconds) <= most);
    }
}
