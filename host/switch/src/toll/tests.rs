use super::*;
use crate::{
    decision::{NextOn, Plan, Stage, Target, TrunkTarget},
    emergency,
    fixture::{at, invite, site, udp},
    intake::{Identity, identify, read_call},
    plan,
    site::Site,
};
use proptest::prelude::*;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
enum Step {
    /// A policy sends a call of one of three endpoints out, and it is dialled. 3: the site's own.
    Call(usize),
    /// One of the calls is answered.
    Answer(usize),
    /// One of the calls ends.
    End(usize),
    /// Time passes, and calls that are due are looked at.
    Wait(u64),
    Outage,
    /// The gateway is started again, after it was killed or had ended in good order.
    Restart {
        killed: bool,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_usize).prop_map(Step::Call),
        4 => (0..8_usize).prop_map(Step::Answer),
        3 => (0..8_usize).prop_map(Step::End),
        4 => prop_oneof![1..30_u64, 600..4_000_u64, 80_000..90_000_u64].prop_map(Step::Wait),
        1 => Just(Step::Outage),
        1 => proptest::bool::ANY.prop_map(|killed| Step::Restart { killed }),
    ];
    proptest::collection::vec(step, 0..60)
}

fn ceilings() -> impl Strategy<Value = Ceilings> {
    let count = || proptest::option::of(0..4_u32);
    let talk = |most| proptest::option::of((0..most).prop_map(Duration::from_secs));
    (count(), count(), count(), talk(5_000_u64), talk(20_000), talk(4_000)).prop_map(|(endpoint, site, hour, day, outage, longest)| {
        Ceilings {
            calls_per_endpoint: endpoint,
            calls_per_site: site,
            calls_per_hour: hour,
            talk_per_day: day,
            talk_per_outage: outage,
            longest_call: longest.map(|longest| longest.max(SECOND)),
            denied: Vec::new(),
        }
    })
}

/// One call as the model knows it.
#[derive(Clone, Copy, Debug)]
struct Was {
    who: usize,
    answered: Option<u64>,
}

/// The rules once more, told over lists of what happened instead of kept accounts.
#[derive(Default)]
struct Model {
    up: Vec<(Was, Toll)>,
    /// Admitted calls: who, when.
    sent: Vec<(usize, u64)>,
    /// Talks that are over: who, from, to.
    talks: Vec<(usize, u64, u64)>,
    outages: Vec<u64>,
}

impl Model {
    fn hour(&self, who: usize, now: u64) -> u32 {
        let mut began: Option<u64> = None;
        let mut calls = 0;
        for (_, at) in self.sent.iter().filter(|(caller, _)| *caller == who) {
            if began.is_none_or(|began| began + 3600 <= *at) {
                (began, calls) = (Some(*at), 0);
            }
            calls += 1;
        }
        if began.is_some_and(|began| began + 3600 > now) { calls } else { 0 }
    }

    fn talking(&self, of: impl Fn(usize) -> bool, now: u64) -> u64 {
        self.up.iter().filter(|(was, _)| of(was.who)).filter_map(|(was, _)| Some(now - was.answered?)).sum()
    }

    fn day(&self, who: usize, now: u64) -> u64 {
        let mut began: Option<u64> = None;
        let mut talk = 0;
        for (_, from, to) in self.talks.iter().filter(|(caller, ..)| *caller == who) {
            if began.is_none_or(|began| began + 24 * 3600 <= *to) {
                (began, talk) = (Some(*from), 0);
            }
            talk += to - from;
        }
        let over = if began.is_some_and(|began| began + 24 * 3600 > now) { talk } else { 0 };
        over + self.talking(|caller| caller == who, now)
    }

    fn outage(&self, now: u64) -> u64 {
        let since = self.outages.last().copied().unwrap_or(0);
        // A talk counts in the outage in which it ends, as a whole.
        let over: u64 = self.talks.iter().filter(|(_, _, to)| *to >= since).map(|(_, from, to)| to - from).sum();
        over + self.talking(|_| true, now)
    }
}

fn name(who: usize) -> Option<&'static str> {
    ["desk-1", "desk-2", "desk-3"].get(who).copied()
}

proptest! {
    #[test]
    fn accounts_say_what_happened(ceilings in ceilings(), steps in steps()) {
        let mut tolls = Arc::new(Tolls::default());
        let mut model = Model { outages: vec![1], ..Model::default() };
        tolls.registered(true, at(1));
        let mut now = 1_u64;
        for step in steps {
            now += 1;
            match step {
                Step::Call(who) => {
                    let calls = model.up.iter().filter(|(was, _)| was.who == who).count();
                    let reached = |most: Option<u32>, calls: usize| most.is_some_and(|most| calls >= most as usize);
                    let expected = if name(who).is_some() && reached(ceilings.calls_per_endpoint, calls) {
                        Some(Bite::CallsPerEndpoint)
                    } else if reached(ceilings.calls_per_site, model.up.len()) {
                        Some(Bite::CallsPerSite)
                    } else if name(who).is_some() && ceilings.talk_per_day.is_some_and(|most| model.day(who, now) >= most.as_secs()) {
                        Some(Bite::TalkPerDay)
                    } else if ceilings.talk_per_outage.is_some_and(|most| model.outage(now) >= most.as_secs()) {
                        Some(Bite::TalkPerOutage)
                    } else if name(who).is_some() && ceilings.calls_per_hour.is_some_and(|most| model.hour(who, now) >= most) {
                        Some(Bite::CallsPerHour)
                    } else {
                        None
                    };
                    let admitted = tolls.admit(name(who), &ceilings, at(now));
                    prop_assert_eq!(admitted.err(), expected);
                    if admitted.is_ok() {
                        model.sent.push((who, now));
                        let toll = tolls.begin(name(who), &ceilings, at(now)).unwrap();
                        model.up.push((Was { who, answered: None }, toll));
                    }
                }
                Step::Answer(place) => {
                    if let Some((was, toll)) = model.up.get_mut(place).filter(|(was, _)| was.answered.is_none()) {
                        was.answered = Some(now);
                        toll.answered(at(now));
                    }
                }
                Step::End(place) if place < model.up.len() => end(&mut model, place, now),
                Step::End(_) => {}
                Step::Wait(seconds) => {
                    for _ in 0..seconds.min(200) {
                        now += seconds.div_ceil(200);
                        while let Some(place) = model.up.iter().position(|(_, toll)| toll.due(&ceilings).is_some_and(|due| due <= at(now))) {
                            let (was, toll) = &mut model.up[place];
                            let since = was.answered.unwrap();
                            let who = was.who;
                            match toll.look(&ceilings, at(now)) {
                                Some(Bite::LongestCall) => prop_assert!(now - since >= ceilings.longest_call.unwrap().as_secs()),
                                Some(Bite::TalkPerDay) => prop_assert!(model.day(who, now) >= ceilings.talk_per_day.unwrap().as_secs()),
                                Some(Bite::TalkPerOutage) => prop_assert!(model.outage(now) >= ceilings.talk_per_outage.unwrap().as_secs()),
                                Some(other) => prop_assert!(false, "{:?} ends no call", other),
                                None => {
                                    let lasts = ceilings.longest_call.is_none_or(|longest| now - since < longest.as_secs());
                                    let pays = name(who).is_none() || ceilings.talk_per_day.is_none_or(|most| model.day(who, now) < most.as_secs());
                                    prop_assert!(lasts && pays);
                                    continue;
                                }
                            }
                            end(&mut model, place, now);
                        }
                    }
                }
                Step::Outage => {
                    // Who talks across its beginning pays in the new one.
                    model.outages.push(now + 1);
                    tolls.table().outage_begins(at(now));
                    now += 1;
                }
                Step::Restart { killed } => tolls = restart(&tolls, &mut model, killed, now),
            }
            for (who, endpoint) in (0..).zip(["desk-1", "desk-2", "desk-3"]) {
                let usage = tolls.usage(endpoint, at(now));
                prop_assert_eq!(usage.calls as usize, model.up.iter().filter(|(was, _)| was.who == who).count());
                prop_assert_eq!(usage.calls_in_hour, model.hour(who, now));
                prop_assert_eq!(usage.talk_in_day.as_secs(), model.day(who, now));
            }
            let site = tolls.usage_of_site(at(now));
            prop_assert_eq!((site.calls as usize, site.talk_in_outage.as_secs()), (model.up.len(), model.outage(now)));
        }
        let named: Vec<_> = tolls.bitten().collect();
        prop_assert_eq!(tolls.bitten().count(), 0, "{:?} are told once", named);
    }

    /// Whatever the ceilings and whatever was used: a call for help goes out as without any, and nothing of it is counted.
    #[test]
    fn a_call_for_help_is_never_counted_nor_refused(ceilings in ceilings(), used in 0..5_u32, denied in proptest::bool::ANY, number in "112|911|9112|urn:service:sos|933") {
        let site = restricted(Ceilings { denied: vec![NumberPattern(if denied { "%" } else { "9%" }.to_owned())], ..ceilings });
        for _ in 0..used {
            let _full = site.tolls.admit(Some("desk-1"), &Ceilings::default(), at(1));
        }
        let _up: Vec<_> = (0..used).map(|_| site.tolls.resume(Some("desk-1"), Some(at(0)), at(1))).collect();
        let before = (site.tolls.usage("desk-1", at(2)), site.tolls.usage_of_site(at(2)));
        let uri = if number.starts_with("urn") { number.clone() } else { format!("sip:{number}@sip.example") };
        let call = call(&site, &uri);
        let plan = emergency::own_plan(&call, &site.directory());
        let resolved = emergency::resolve(&plan, &call, &site);
        let free = crate::fixture::site();
        prop_assert_eq!(&resolved, &emergency::resolve(&plan, &call, &free));
        prop_assert!(!resolved.stages.is_empty());
        prop_assert_eq!(before, (site.tolls.usage("desk-1", at(2)), site.tolls.usage_of_site(at(2))));
        prop_assert_eq!(site.tolls.bitten().count(), 0);
    }
}

/// What the next process makes of what this one leaves, its calls taken up.
fn restart(tolls: &Arc<Tolls>, model: &mut Model, killed: bool, now: u64) -> Arc<Tolls> {
    let up = std::mem::take(&mut model.up);
    let calls: Vec<_> = up.iter().map(|(was, toll)| (*was, toll.paid())).collect();
    let kept = if killed {
        tolls.kept(true, at(now))
    } else {
        tolls.leave();
        drop(up);
        tolls.kept(true, at(now))
    };
    let tolls = Arc::new(Tolls::default());
    tolls.restore(kept, at(now));
    model.up = calls.into_iter().map(|(was, paid)| (was, tolls.resume(paid.payer.as_deref(), paid.answered, at(now)))).collect();
    tolls
}

fn end(model: &mut Model, place: usize, now: u64) {
    let (was, mut toll) = model.up.swap_remove(place);
    toll.runs_until(at(now));
    drop(toll);
    if let Some(since) = was.answered {
        model.talks.push((was.who, since, now));
    }
}

fn restricted(ceilings: Ceilings) -> Site {
    let site = site();
    let mut directory = (*site.directory()).clone();
    directory.tolls = ceilings;
    site.replace_directory(directory, at(0));
    site
}

fn call(site: &Site, uri: &str) -> Call {
    let directory = site.directory();
    let mut call = read_call(&invite(uri, "Contact: <sip:one@10.1.0.1>\n"), udp("10.1.0.1:5060"), &directory, at(1)).unwrap();
    identify(&mut call, &Identity::Endpoint(directory.endpoint("desk-1").unwrap().clone()), site);
    call
}

fn resolve(site: &Site, dialled: &str, numbers: &[&str]) -> Result<Vec<String>, String> {
    let out = |number: &&str| Stage {
        targets: vec![Target::Trunk(TrunkTarget { trunk: "first".to_owned(), number: (*number).to_owned(), caller_number: None })],
        ring: None,
        next: NextOn::default(),
    };
    let plan = Plan { stages: numbers.iter().map(out).collect() };
    let resolved = plan::resolve(&plan, &call(site, &format!("sip:{dialled}@sip.example")), site);
    let numbers = |resolved: plan::Resolved| resolved.stages.iter().flat_map(|stage| &stage.legs).map(|leg| leg.called.clone()).collect();
    resolved.map(numbers).map_err(|refusal| format!("{} {}: {}", refusal.status, refusal.phrase, refusal.detail))
}

#[test]
fn a_barred_number_goes_out_in_no_disguise() {
    let site = restricted(Ceilings {
        denied: vec![NumberPattern("+44900%".to_owned()), NumberPattern("0900%".to_owned())],
        ..Ceilings::default()
    });
    let barred = "403 Number Barred: an outside call of desk-1: the ceiling `denied` of [tolls]: ";
    assert_eq!(resolve(&site, "+449001234", &["+449001234"]), Err(format!("{barred}`+449001234` is one of `+44900%`")));
    // As a policy has it written for the trunk, with separators or parameters.
    assert_eq!(resolve(&site, "77", &["0900-1234"]), Err(format!("{barred}`0900-1234` is one of `0900%`")));
    assert_eq!(
        resolve(&site, "77", &["0900(12)34;phone-context=x"]),
        Err(format!("{barred}`0900(12)34;phone-context=x` is one of `0900%`"))
    );
    // As it was dialled, whatever goes out.
    assert_eq!(resolve(&site, "+449001234", &["5551234"]), Err(format!("{barred}`+449001234` is one of `+44900%`")));
    assert_eq!(resolve(&site, "77", &["", "09001", "08001"]), Ok(vec!["77".to_owned(), "08001".to_owned()]));
    assert_eq!(site.tolls.bitten().collect::<Vec<_>>(), [Bite::Denied]);
}

#[test]
fn calls_beyond_the_hours_are_refused_and_the_next_hour_is_a_new_one() {
    let site = restricted(Ceilings { calls_per_hour: Some(2), ..Ceilings::default() });
    assert!(resolve(&site, "77", &["", "1"]).is_ok() && resolve(&site, "77", &[""]).is_ok());
    let full = "403 Too Many Outside Calls This Hour: an outside call of desk-1: the ceiling `calls_per_hour` of [tolls]";
    assert_eq!(resolve(&site, "77", &[""]), Err(full.to_owned()));
    assert_eq!(site.tolls.usage("desk-1", at(10)).calls_in_hour, 2);
    assert_eq!(site.tolls.usage("desk-1", at(3601)).calls_in_hour, 0);
}

#[test]
fn a_phone_of_a_user_calls_on_the_users_account() {
    let site = restricted(Ceilings::default());
    assert_eq!(payer(&call(&site, "sip:77@sip.example"), &site.directory()), Some("desk-1"));
}

const MINUTE: u64 = 60;
const HOUR_S: u64 = 3600;

/// A call of desk-1 that was made and answered at `from`.
fn talk(tolls: &Arc<Tolls>, from: u64) -> Toll {
    tolls.admit(Some("desk-1"), &Ceilings::default(), at(from)).unwrap();
    let mut toll = tolls.begin(Some("desk-1"), &Ceilings::default(), at(from)).unwrap();
    toll.answered(at(from));
    toll
}

/// One more that has ended.
fn talked(tolls: &Arc<Tolls>, from: u64, to: u64) {
    talk(tolls, from).runs_until(at(to));
}

fn next(kept: &[Balance], now: u64) -> Arc<Tolls> {
    let tolls = Arc::new(Tolls::default());
    tolls.restore(kept.to_vec(), at(now));
    tolls
}

#[test]
fn what_was_used_is_the_same_after_a_restart() {
    let tolls = Arc::new(Tolls::default());
    tolls.registered(true, at(0));
    talked(&tolls, 10, 40);
    let kept = tolls.kept(true, at(100));
    assert_eq!(kept.iter().map(|balance| balance.payer.as_deref()).collect::<Vec<_>>(), [None, Some("desk-1")]);
    let again = next(&kept, 200);
    let used = Usage { calls: 0, calls_in_hour: 1, talk_in_day: SECOND * 30, talk_in_outage: SECOND * 30 };
    assert_eq!((tolls.usage("desk-1", at(200)), again.usage("desk-1", at(200))), (used, used));
    assert_eq!(again.usage_of_site(at(200)), tolls.usage_of_site(at(200)));
    assert_eq!(again.outage(), Some(at(0)));
    // A restart after which nothing has happened changes nothing of it either.
    assert_eq!(again.kept(true, at(200)), kept);
}

#[test]
fn a_call_that_is_up_is_counted_once_whether_it_goes_on_or_has_ended_meanwhile() {
    let tolls = Arc::new(Tolls::default());
    tolls.registered(true, at(0));
    talked(&tolls, 5, 10);
    let up = talk(&tolls, 10);
    let kept = tolls.kept(true, at(100));
    // Killed: it ended before the next was written, and nobody takes it up.
    let ended = next(&kept, 200);
    assert_eq!(ended.usage("desk-1", at(200)).talk_in_day, SECOND * 95);
    // It goes on.
    let again = next(&kept, 200);
    let mut goes_on = again.resume(Some("desk-1"), up.paid().answered, at(200));
    let told = |tolls: &Tolls, now| (tolls.usage("desk-1", at(now)).talk_in_day, tolls.usage_of_site(at(now)).talk_in_outage);
    assert_eq!(told(&again, 200), (SECOND * 195, SECOND * 195));
    goes_on.runs_until(at(300));
    drop(goes_on);
    assert_eq!(told(&again, 400), (SECOND * 295, SECOND * 295));
    // In good order: the process lets it go before the last is written.
    tolls.leave();
    drop(up);
    let again = next(&tolls.kept(true, at(200)), 200);
    let _goes_on = again.resume(Some("desk-1"), Some(at(10)), at(200));
    assert_eq!(told(&again, 200), (SECOND * 195, SECOND * 195));
}

#[test]
fn what_is_over_is_forgotten() {
    let tolls = Arc::new(Tolls::default());
    tolls.registered(true, at(0));
    talked(&tolls, 0, 60);
    let desk = |registered, now| tolls.kept(registered, at(now)).into_iter().find(|balance| balance.payer.is_some());
    let of = |balance: Option<Balance>| balance.map(|kept| (kept.hour.is_some(), kept.day.is_some(), kept.talk_in_outage));
    assert_eq!(of(desk(true, HOUR_S - 1)), Some((true, true, SECOND * 60)));
    assert_eq!(of(desk(true, HOUR_S)), Some((false, true, SECOND * 60)));
    assert_eq!(of(desk(true, 24 * HOUR_S)), Some((false, false, SECOND * 60)));
    assert_eq!(of(desk(false, 24 * HOUR_S - 1)), Some((false, true, Duration::ZERO)));
    assert_eq!(tolls.kept(false, at(24 * HOUR_S)), []);
    // Also when it was kept before it was over.
    let kept = tolls.kept(true, at(60));
    assert_eq!(next(&kept, HOUR_S).usage("desk-1", at(HOUR_S)).calls_in_hour, 0);
    assert_eq!(next(&kept, 24 * HOUR_S).usage("desk-1", at(24 * HOUR_S)).talk_in_day, Duration::ZERO);
}

#[test]
fn a_restart_begins_no_outage_and_a_long_absence_of_phones_ends_one() {
    let kept = {
        let tolls = Arc::new(Tolls::default());
        tolls.registered(true, at(0));
        talked(&tolls, 0, 60);
        tolls.kept(true, at(10 * MINUTE))
    };
    let since = |tolls: &Tolls, now| (tolls.outage(), tolls.usage_of_site(at(now)).talk_in_outage);
    let same = (Some(at(0)), SECOND * 60);
    // Phones are registered from before.
    let tolls = next(&kept, 30 * HOUR_S);
    tolls.registered(false, at(30 * HOUR_S));
    assert_eq!(since(&tolls, 30 * HOUR_S), same);
    // All registrations have lapsed meanwhile; two phones are the first.
    let tolls = next(&kept, 30 * MINUTE);
    assert_eq!(tolls.kept(false, at(30 * MINUTE)), kept, "another restart forgets nothing of it");
    tolls.registered(true, at(40 * MINUTE));
    tolls.registered(true, at(40 * MINUTE));
    assert_eq!(since(&tolls, 40 * MINUTE), same);
    // Nobody comes for so long that it is another one.
    let tolls = next(&kept, 30 * MINUTE);
    assert_eq!(tolls.kept(false, at(2 * HOUR_S)).iter().map(|balance| balance.talk_in_outage).sum::<Duration>(), Duration::ZERO);
    tolls.registered(true, at(2 * HOUR_S));
    assert_eq!(since(&tolls, 2 * HOUR_S), (Some(at(2 * HOUR_S)), Duration::ZERO));
}

#[test]
fn a_clock_that_was_set_back_lets_nothing_begin_in_the_future() {
    let tolls = Arc::new(Tolls::default());
    tolls.registered(true, at(90 * HOUR_S));
    talked(&tolls, 90 * HOUR_S, 90 * HOUR_S + 60);
    let up = talk(&tolls, 90 * HOUR_S + 60);
    let tolls = next(&tolls.kept(true, at(90 * HOUR_S + 70)), 5);
    let goes_on = tolls.resume(Some("desk-1"), up.paid().answered, at(5));
    let used = Usage { calls: 1, calls_in_hour: 2, talk_in_day: SECOND * 60, talk_in_outage: SECOND * 60 };
    assert_eq!((tolls.usage("desk-1", at(5)), tolls.outage()), (used, Some(at(5))));
    drop(goes_on);
    assert_eq!(tolls.usage("desk-1", at(5 + HOUR_S)).calls_in_hour, 0);
    assert_eq!(tolls.usage("desk-1", at(5 + 24 * HOUR_S)).talk_in_day, Duration::ZERO);
}

#[test]
fn who_is_gone_meanwhile_has_no_account_any_more() {
    let kept = |payer: &str| Balance { payer: Some(payer.into()), talk_in_outage: SECOND, ..Balance::default() };
    let site = restricted(Ceilings::default());
    site.restore_balances(vec![kept("desk-1"), kept("gone")], at(0));
    let talk = |who| site.tolls.usage(who, at(0)).talk_in_outage;
    assert_eq!((talk("desk-1"), talk("gone")), (SECOND, Duration::ZERO));
}
