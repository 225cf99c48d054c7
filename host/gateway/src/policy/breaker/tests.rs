use super::*;
use crate::policy::cases::tests::{call_from, registration_of};

/// Faults that come in turn from two callers.
fn fail(breaker: &Breaker, n: u64, now: Instant) -> bool {
    breaker.failed("trapped".to_owned(), call_from(if n.is_multiple_of(2) { "desk-1" } else { "desk-2" }), now)
}

fn opened(start: Instant) -> Breaker {
    let breaker = Breaker::default();
    for n in 0..5 {
        fail(&breaker, n, start);
    }
    assert!(breaker.is_open());
    breaker
}

#[test]
fn five_faults_within_ten_seconds_open_it_and_only_the_fifth_says_so() {
    let (breaker, start) = (Breaker::default(), Instant::now());
    for n in 0..4 {
        assert!(!fail(&breaker, n, start + Duration::from_secs(n)));
        assert!(!breaker.is_open());
    }
    assert!(fail(&breaker, 4, start + Duration::from_secs(4)));
    assert!(breaker.is_open());
    assert!(!fail(&breaker, 5, start + Duration::from_secs(4)));
    assert_eq!(breaker.reason(), "it failed 5 times within 10 s; the last time it trapped");
}

#[test]
fn rare_faults_do_not_open_it() {
    let (breaker, start) = (Breaker::default(), Instant::now());
    for n in 0..100 {
        assert!(!fail(&breaker, n, start + Duration::from_secs(3 * n)));
    }
}

#[test]
fn one_caller_alone_cannot_open_it() {
    let (breaker, now) = (Breaker::default(), Instant::now());
    for _ in 0..100 {
        assert!(!breaker.failed("trapped".to_owned(), call_from("desk-1"), now));
    }
    let (breaker, phone) = (Breaker::default(), registration_of("desk-1"));
    for _ in 0..100 {
        assert!(!breaker.failed("trapped".to_owned(), phone.clone(), now));
    }
    assert!(breaker.failed("trapped".to_owned(), registration_of("desk-2"), now));
}

#[test]
fn it_is_tried_again_after_a_rest_that_doubles_up_to_a_minute() {
    let start = Instant::now();
    let breaker = opened(start);
    assert!(breaker.due(start).is_none());
    assert_eq!(breaker.due(start + REST).map(|subjects| subjects.len()), Some(5));
    let rests: Vec<u64> = (0..6).map(|_| breaker.stay_open("is late".to_owned(), &[], start).as_secs()).collect();
    assert_eq!(rests, [4, 8, 16, 32, 60, 60]);
    assert!(breaker.due(start + Duration::from_secs(59)).is_none());
    breaker.close();
    assert!(!breaker.is_open() && breaker.due(start + Duration::from_secs(600)).is_none());
    assert!(!fail(&breaker, 0, start + Duration::from_secs(600)), "it counts from nothing again");
}

#[test]
fn a_call_that_fails_twice_does_not_keep_it_out_for_ever() {
    let start = Instant::now();
    let breaker = opened(start);
    let left = || breaker.due(start + REST_MAX).map(|subjects| subjects.len());
    breaker.stay_open("trapped".to_owned(), &[1, 3], start);
    assert_eq!(left(), Some(3));
    breaker.stay_open("trapped".to_owned(), &[0, 1, 2], start);
    assert_eq!(left(), Some(0));
}

#[test]
fn one_that_opens_again_soon_rests_for_longer_and_a_sound_one_does_not() {
    let start = Instant::now();
    let breaker = opened(start);
    breaker.close();
    for n in 0..5 {
        fail(&breaker, n, start + Duration::from_secs(20));
    }
    assert!(breaker.due(start + Duration::from_secs(22)).is_none() && breaker.due(start + Duration::from_secs(24)).is_some());
    breaker.close();
    let later = start + Duration::from_secs(20) + SOUND;
    for n in 0..5 {
        fail(&breaker, n, later);
    }
    assert!(breaker.due(later + REST).is_some());
}
