//! Made-up sites, calls and registrations for property tests, and the property that every policy should have. Generators are those of the crate
//! `proptest`, so that they go into tests of an author's own: `proptest!(|(site in testing::sites())| …)`.

use super::{Call, Endpoint, Fault, Hooks, Location, Policy, Registration, Site, Trunk};
use crate::{CallKind, CallRecord, Setting, Value, trunks::Standing as TrunkStanding};
use proptest::{
    collection::vec,
    option,
    prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof},
    sample::{Index, select, subsequence},
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};

/// The end of the century, in milliseconds since the UNIX epoch.
const LATEST_MS: u64 = 4_102_444_800_000;
/// Octets of a called or shown number.
const NUMBER_MAX: usize = 256;

/// Any site: one to seven phones, some of them registered, disabled or without a seat; trunks, places, pools; any time of this century.
pub fn sites() -> impl Strategy<Value = Site> {
    let endpoints =
        vec(("[0-9]{1,6}", line(), any::<bool>(), option::of(any::<Index>()), option::of(any::<Index>()), vec(outside(), 0..3)), 1..8);
    let standing = select(vec![TrunkStanding::Up, TrunkStanding::Degraded, TrunkStanding::Down]);
    let trunks = vec((vec(pattern(), 0..3), standing, 0..100_u32), 0..4);
    let locations = vec((option::of(outside()), option::of(line())), 0..3);
    let pools = vec((0..10_u32, 0..12_u32), 0..3);
    let parts = (endpoints, trunks, locations, pools).prop_map(|(endpoints, trunks, locations, pools)| {
        let mut site = Site::new();
        for (place, (seats, taken)) in pools.iter().enumerate() {
            site = site.pool(format!("pool-{place}"), *seats, *taken);
        }
        for (place, (elin, address)) in locations.iter().enumerate() {
            site = site.location(Location { name: format!("place-{place}"), elin: elin.clone(), address: address.clone() });
        }
        for (place, (numbers, standing, calls)) in trunks.into_iter().enumerate() {
            site = site.trunk(Trunk { name: format!("trunk-{place}"), numbers, standing, calls });
        }
        for (place, (extension, name, enabled, pool, location, numbers)) in endpoints.into_iter().enumerate() {
            // What others dial, and what they dial from outside, belongs to one phone.
            let taken = |known: &Endpoint| known.extension == extension || known.numbers.iter().any(|number| numbers.contains(number));
            if site.0.endpoints.iter().any(taken) {
                continue;
            }
            site = site.endpoint(Endpoint {
                id: format!("desk-{place}"),
                extension,
                name,
                enabled,
                pool: pool.filter(|_| !pools.is_empty()).map(|index| format!("pool-{}", index.index(pools.len()))),
                location: location.filter(|_| !locations.is_empty()).map(|index| format!("place-{}", index.index(locations.len()))),
                numbers,
                dial_class: None,
                calls: None,
            });
        }
        site
    });
    parts
        .prop_flat_map(|site| {
            let names: Vec<String> = site.0.trunks.iter().map(|trunk| trunk.name.clone()).collect();
            let count = names.len();
            (Just(site), subsequence(names, 0..=count)).prop_map(|(site, names)| site.emergency_trunks(names))
        })
        .prop_flat_map(|site| moments(&site))
}

/// The same site at any time, with any of its phones registered, with or without a seat.
fn moments(site: &Site) -> impl Strategy<Value = Site> + use<> {
    let standings = vec(0..3_u8, site.0.endpoints.len());
    (Just(site.clone()), standings, 0..LATEST_MS, -1440..=1440).prop_map(|(site, standings, now, utc_offset_minutes)| {
        let ids: Vec<String> = site.0.endpoints.iter().map(|endpoint| endpoint.id.clone()).collect();
        ids.into_iter().zip(standings).fold(site.at_ms(now).utc_offset_minutes(utc_offset_minutes), |site, (id, standing)| match standing {
            0 => site,
            1 => site.emergency_only(id),
            _ => site.registered(id),
        })
    })
}

/// Any call at a site: by its phones, its trunks and strangers; to its extensions and numbers, to the outside, and to what only an attacker would dial.
pub fn calls(site: &Site) -> impl Strategy<Value = Call> + use<> {
    called_by(site, called(site))
}

/// Any call for help, or test of the way, at a site.
pub fn calls_for_help(site: &Site) -> impl Strategy<Value = Call> + use<> {
    let numbers = ["112", "999", "911", "933", "urn:service:sos", "urn:service:sos.ambulance", "urn:service:test.sos"];
    called_by(site, select(numbers.map(str::to_owned).to_vec()).boxed())
}

/// Any registration of a phone of the site.
///
/// # Panics
/// When the site has no phone.
pub fn registrations(site: &Site) -> impl Strategy<Value = Registration> + use<> {
    let ids: Vec<String> = site.0.endpoints.iter().map(|endpoint| endpoint.id.clone()).collect();
    (select(ids), 1..86_400_u32, headers(), attributes()).prop_map(|(id, seconds, headers, attributes)| {
        let registration = Registration::of(id).expires_seconds(seconds);
        let registration = headers.into_iter().fold(registration, |registration, (name, value)| registration.header(name, value));
        attributes.into_iter().fold(registration, |registration, (name, value)| registration.attribute(name, value))
    })
}

/// Tries a policy at made-up sites with made-up calls, registrations and settings, as many as the variable `PROPTEST_CASES` says (256 without it): it
/// never panics, never asks the host without end, and never answers against the contract (statuses, lengths, control characters, ring times, sizes of plans,
/// unknown endpoints, trunks and pools). What fails is made as small as it gets, then told.
///
/// ```
/// # use holdfast_policy::*;
/// # struct Night;
/// # impl RoutingPolicy for Night { fn route(_: CallFacts, _: &Call) -> Decision { Decision::pass() } }
/// # export!(Night: routing);
/// testing::keeps_the_contract::<Night>();
/// ```
///
/// # Panics
/// When the policy does any of that.
#[track_caller]
pub fn keeps_the_contract<P: Policy>() {
    holds(&sites().prop_flat_map(|site| events(&site, P::HOOKS)).boxed(), P::HOOKS);
}

/// The same for the phones, trunks and settings of one site, for policies that need some: only who is registered, the time, calls and registrations are
/// made up.
///
/// # Panics
/// When the policy does any of that, or has something against the site's settings.
#[track_caller]
pub fn keeps_the_contract_at<P: Policy>(site: &Site) {
    if P::HOOKS.configuration.is_some() {
        let problems = P::HOOKS.check(site);
        assert_eq!(problems, Ok(Ok(())), "the policy has something against the settings of the site");
    }
    holds(&moments(site).prop_flat_map(|site| events(&site, P::HOOKS)).boxed(), P::HOOKS);
}

/// Something that a policy is asked about at a site.
#[derive(Clone, Debug)]
enum Event {
    Registration(Registration),
    Call(Call),
    Help(CallKind, Call),
    Ended(CallRecord),
    Settings(Vec<Setting>),
}

/// Events for the hooks that the policy has.
fn events(site: &Site, hooks: Hooks) -> BoxedStrategy<(Site, Event)> {
    let mut kinds: Vec<BoxedStrategy<Event>> = Vec::new();
    if hooks.registration.is_some() && !site.0.endpoints.is_empty() {
        kinds.push(registrations(site).prop_map(Event::Registration).boxed());
    }
    if hooks.routing.is_some() {
        kinds.push(calls(site).prop_map(Event::Call).boxed());
    }
    if hooks.emergency.is_some() {
        let kind = select(vec![CallKind::Emergency, CallKind::EmergencyTest]);
        kinds.push((kind, calls_for_help(site)).prop_map(|(kind, call)| Event::Help(kind, call)).boxed());
    }
    if hooks.observation.is_some() {
        kinds.push(records().prop_map(Event::Ended).boxed());
    }
    if hooks.configuration.is_some() {
        kinds.push(settings().prop_map(Event::Settings).boxed());
    }
    if kinds.is_empty() {
        return Just((site.clone(), Event::Settings(Vec::new()))).boxed();
    }
    (Just(site.clone()), select(kinds).prop_flat_map(|kind| kind)).boxed()
}

#[track_caller]
#[allow(clippy::panic, reason = "a test fails by panicking")]
fn holds(events: &BoxedStrategy<(Site, Event)>, hooks: Hooks) {
    let mut runner = TestRunner::new(Config { failure_persistence: None, ..Config::default() });
    let outcome = runner.run(events, |(site, event)| {
        let fault = match event {
            Event::Registration(registration) => hooks.admit(&site, &registration).err(),
            Event::Call(call) => hooks.route(&site, &call).err(),
            Event::Help(kind, call) => hooks.help(&site, kind, &call).err(),
            Event::Ended(record) => hooks.ended(&site, record).err(),
            Event::Settings(settings) => settings.into_iter().fold(site, |site, made| site.setting(made.key, made.value)).checked(hooks),
        };
        fault.map_or(Ok(()), |fault| Err(TestCaseError::fail(fault.to_string())))
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(fault, (site, event))) => panic!("the policy {fault}\nat this event: {event:#?}\nin this site: {site:#?}"),
        Err(TestError::Abort(reason)) => panic!("no case could be made up: {reason}"),
    }
}

impl Site {
    /// How the policy fails to check the settings; a policy without that hook does not.
    fn checked(&self, hooks: Hooks) -> Option<Fault> {
        hooks.configuration.and_then(|_| hooks.check(self).err())
    }
}

fn called_by(site: &Site, called: BoxedStrategy<String>) -> impl Strategy<Value = Call> + use<> {
    let mut callers = vec![Call::to("")];
    callers.extend(site.0.endpoints.iter().map(|endpoint| Call::to("").from(&endpoint.id)));
    callers.extend(site.0.trunks.iter().map(|trunk| Call::to("").from_trunk(&trunk.name)));
    let mut places = vec![None, Some("nowhere".to_owned())];
    places.extend(site.0.locations.iter().map(|location| Some(location.name.clone())));
    let shown = option::of(prop_oneof![outside(), dialled()]);
    (select(callers), called, shown, option::of(line()), select(places), headers(), attributes()).prop_map(
        |(mut call, called, number, name, place, headers, attributes)| {
            call.called = called;
            if let Some(number) = number {
                call = call.caller_number(number);
            }
            if let Some(name) = name {
                call = call.caller_name(name);
            }
            if let Some(place) = place {
                call = call.location(place);
            }
            call = headers.into_iter().fold(call, |call, (name, value)| call.header(name, value));
            attributes.into_iter().fold(call, |call, (name, value)| call.attribute(name, value))
        },
    )
}

fn called(site: &Site) -> BoxedStrategy<String> {
    let own: Vec<String> =
        site.0.endpoints.iter().flat_map(|endpoint| endpoint.numbers.iter().chain([&endpoint.extension])).cloned().collect();
    let anything = prop_oneof![outside(), "[0-9*#]{0,12}", "[+]?[0-9]{100,256}", dialled()];
    if own.is_empty() { anything.boxed() } else { prop_oneof![select(own), anything].boxed() }
}

/// A telephone number.
fn outside() -> BoxedStrategy<String> {
    "[+]?[0-9]{3,15}".boxed()
}

/// Whatever can be written before the `@` of a SIP URI, decoded.
fn dialled() -> BoxedStrategy<String> {
    "(?s).{0,80}".prop_filter("longer than a number may be", |text| text.len() <= NUMBER_MAX).boxed()
}

/// Numbers of a trunk.
fn pattern() -> BoxedStrategy<String> {
    "[+]?[0-9]{1,8}%?[0-9]{0,2}".boxed()
}

/// A text for one line.
fn line() -> BoxedStrategy<String> {
    "\\PC{0,30}".boxed()
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let names = ["Subject", "User-Agent", "P-Asserted-Identity", "Diversion", "Priority", "Privacy", "X-Account"];
    vec((select(names.map(str::to_owned).to_vec()), line()), 0..4)
}

fn attributes() -> impl Strategy<Value = Vec<(String, String)>> {
    vec(("[a-z]{1,10}[.][a-z]{1,10}", line()), 0..4)
}

fn settings() -> impl Strategy<Value = Vec<Setting>> {
    let value = prop_oneof![
        line().prop_map(Value::Text),
        any::<i64>().prop_map(Value::Number),
        any::<bool>().prop_map(Value::Flag),
        vec(line(), 0..3).prop_map(Value::Texts),
    ];
    vec(("[a-z_]{1,10}([.][0-9]{1,4}[.][a-z]{1,6})?", value).prop_map(|(key, value)| Setting { key, value }), 0..5)
}

fn records() -> impl Strategy<Value = CallRecord> {
    let texts = (line(), line(), line(), option::of(line()));
    let times = (0..LATEST_MS, option::of(0..100_000_u64), 0..10_000_000_u64);
    let kind = select(vec![CallKind::Normal, CallKind::Emergency, CallKind::EmergencyTest]);
    (texts, times, kind, 200..700_u16).prop_map(|((call_id, caller, called, answered_by), (began_ms, rang, lasted), kind, status)| {
        CallRecord {
            call_id,
            kind,
            caller,
            called,
            answered_by,
            began_ms,
            answered_ms: rang.map(|rang| began_ms + rang),
            ended_ms: began_ms + rang.unwrap_or(0) + lasted,
            status,
            cause: "the caller hung up".to_owned(),
        }
    })
}
