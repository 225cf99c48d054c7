use super::*;
use crate::policy::{EngineSettings, load, memory::Memory, options::Options, shipped};
use switch::{Limits, directory::Emergency};

fn instance() -> Box<Instance> {
    let emergency = Emergency::default();
    let directory = Directory::new("sip.example".to_owned(), vec![], vec![], vec![], emergency, vec![]);
    let site = Arc::new(Site::new(directory, Limits::default()));
    let machine = Arc::new(Machine::new(EngineSettings { watch: false, ..EngineSettings::default() }).unwrap());
    let (file, bytes) = shipped::COMPONENTS[2];
    let source = load::Source {
        file,
        name: "internal",
        bytes,
        options: Options::default(),
        memory: Arc::new(Memory::default()),
        meter: Arc::default(),
        cases: "",
        at_start: false,
        trial: true,
        compiled: None,
    };
    let policy = load::load(source, &machine, &site).unwrap();
    at_once(Instance::new(&policy, &site, &machine, Duration::from_millis(5))).unwrap()
}

#[test]
fn a_panic_of_the_host_ends_at_the_door() {
    let mut instance = instance();
    let fault = at_once(instance.enter(Duration::from_millis(5), async |_: &mut Store<State>| -> Result<()> { panic!("boom") }));
    assert_eq!(fault, Err(PolicyFault::Trap("the host's answer failed: boom".to_owned())));
}

#[test]
fn an_error_of_the_host_that_nobody_foresaw_is_a_trap_with_its_text() {
    let mut instance = instance();
    let fault = at_once(instance.enter(Duration::from_millis(5), async |store: &mut Store<State>| store.data_mut().call().map(|_| ())));
    assert_eq!(fault, Err(PolicyFault::Trap("no call is being decided".to_owned())));
}

/// What a component that never ends looks like from outside.
fn steps(each: Duration) -> impl Future<Output = ()> {
    poll_fn(move |_| {
        let begin = std::time::Instant::now();
        while begin.elapsed() < each {
            std::hint::spin_loop();
        }
        Poll::Pending
    })
}

/// How often it was given control until it was late.
fn until_late(deadline: Duration, each: Duration) -> usize {
    let (mut watch, mut running, mut polls) = (Watch::new(deadline), pin!(steps(each)), 0);
    let mut counted = pin!(poll_fn(|context| {
        polls += 1;
        running.as_mut().poll(context)
    }));
    let late = at_once(poll_fn(|context| watch.poll(counted.as_mut(), context)));
    assert_eq!(late, None);
    polls
}

#[test]
fn time_in_which_the_component_did_not_run_is_not_counted() {
    // What another thread or a hypervisor takes away lies between two looks at the clock: none of them counts for more than STEP_COUNTS.
    assert_eq!(until_late(Duration::from_millis(1), Duration::from_millis(20)), 4);
}

#[test]
fn short_steps_count_for_what_they_took() {
    let polls = until_late(Duration::from_millis(2), Duration::from_micros(100));
    assert!((4..=21).contains(&polls), "{polls}");
}

#[test]
fn it_pauses_once() {
    let (mut watch, mut running) = (Watch::new(Duration::from_millis(5)), pin!(steps(Duration::from_micros(100))));
    let mut context = Context::from_waker(Waker::noop());
    assert_eq!(watch.poll(running.as_mut(), &mut context), Poll::Pending);
    assert!(watch.ran > STAY && watch.ran < Duration::from_millis(2), "{:?}", watch.ran);
    assert_eq!(watch.poll(running.as_mut(), &mut context), Poll::Ready(None));
}
