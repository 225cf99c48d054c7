use super::*;
use crate::policy::{EngineSettings, load, memory::Memory, options::Options, shipped};
use switch::{Limits, directory::Emergency};

fn instance() -> Instance {
    let emergency = Emergency { numbers: vec![], test_numbers: vec![], trunks: vec![], networks: vec![], outside_prefixes: vec![] };
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

#[test]
fn time_in_which_the_component_did_not_run_is_not_counted() {
    let mut instance = instance();
    let state = instance.store.data_mut();
    state.deadline = Duration::from_millis(1);
    assert!(matches!(state.tick(), UpdateDeadline::Continue(1)));
    // What a hypervisor takes away looks like this even to the thread's own clock: processor time goes by, and the component is not seen.
    let begin = std::time::Instant::now();
    while begin.elapsed() < Duration::from_millis(20) {
        std::hint::spin_loop();
    }
    // It pauses once, for whoever would rather go on with it elsewhere.
    assert!(matches!(state.tick(), UpdateDeadline::Yield(1)));
    assert!(matches!(state.tick(), UpdateDeadline::Interrupt));
}

#[test]
fn a_deadline_is_missed_by_being_seen_at_one_tick_more_than_fit_into_it() {
    assert_eq!([1, 2, 3, 5, 40].map(|ms| allowed_ticks(Duration::from_millis(ms))), [2, 4, 6, 10, 80]);
}
