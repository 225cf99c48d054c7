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
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4_usize).prop_map(Step::Call),
        4 => (0..8_usize).prop_map(Step::Answer),
        3 => (0..8_usize).prop_map(Step::End),
        4 => prop_oneof![1..30_u64, 600..4_000_u64, 80_000..90_000_u64].prop_map(Step::Wait),
        1 => Just(Step::Outage),
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
        let tolls = Arc::new(Tolls::default());
        let mut model = Model::default();
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
                    tolls.outage_begins(at(now));
                    now += 1;
                }
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
