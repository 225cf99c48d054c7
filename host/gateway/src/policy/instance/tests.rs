use super::*;
use crate::policy::{EngineSettings, load, memory::Memory, options::Options, shipped};
use switch::{Limits, directory::Emergency};

fn instance() -> Instance {
    let emergency = Emergency { numbers: vec![], test_numbers: vec![], trunks: vec![], networks: vec![], outside_prefixes: vec![] };
    let directory = Directory::new("sip.example".to_owned(), vec![], vec![], vec![], emergency, vec![]);
    let site = Arc::new(Site::new(directory, Limits::default()));
    let machine = Arc::new(Machine::new(EngineSettings { watch: false, ..EngineSettings::default() }).unwrap());
    let (file, bytes) = shipped::COMPONENTS[2];
    let source =
        load::Source { file, name: "internal", bytes, options: Options::default(), memory: Arc::new(Memory::default()), compiled: None };
    let policy = load::load(source, &machine, &site).unwrap();
    Instance::new(&policy, &site, &machine, Duration::from_millis(5)).unwrap()
}

#[test]
fn a_panic_of_the_host_ends_at_the_door() {
    let mut instance = instance();
    let fault = instance.enter(Duration::from_millis(5), |_| -> Result<()> { panic!("boom") });
    assert_eq!(fault, Err(PolicyFault::Trap("the host's answer failed: boom".to_owned())));
}

#[test]
fn an_error_of_the_host_that_nobody_foresaw_is_a_trap_with_its_text() {
    let mut instance = instance();
    let fault = instance.enter(Duration::from_millis(5), |store| store.data_mut().call().map(|_| ()));
    assert_eq!(fault, Err(PolicyFault::Trap("no call is being decided".to_owned())));
}
