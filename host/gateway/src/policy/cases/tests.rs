use super::*;
use crate::policy::instance::Subject;

const TEXT: &str = "[[endpoint]]\nid = \"desk-1\"\nextension = \"1\"\n[[endpoint]]\nid = \"desk-2\"\nextension = \"2\"\n";

fn case(from: &str, hook: &str) -> (Case, Directory) {
    let text = format!("{TEXT}[[case]]\nname = \"c\"\nhook = \"{hook}\"\nfrom = \"{from}\"\nexpect = \"pass\"\n");
    let mut cases = Cases::read(&text).unwrap();
    (cases.case.remove(0), cases.directory())
}

/// A call by that endpoint.
pub(in crate::policy) fn call_from(id: &str) -> Subject {
    let (case, directory) = case(id, "routing");
    Subject::Call(Arc::new(call(&case, CallKind::Normal, &directory, Instant::default()).unwrap()))
}

/// A registration of that endpoint.
pub(in crate::policy) fn registration_of(id: &str) -> Subject {
    let (case, directory) = case(id, "registration");
    let site = Site::new(directory, Limits::default());
    Subject::Registration(Arc::new(registration(&case, &site, Instant::default()).unwrap()))
}

#[test]
fn a_time_counts_with_its_offset() {
    let seconds = |text: &str| moment(text.parse().unwrap());
    assert_eq!(seconds("2026-01-05T12:00:00Z"), Some(NOON));
    assert_eq!(seconds("2026-01-05T12:00:00"), Some(NOON));
    assert_eq!(seconds("2026-01-05T13:30:00+01:30"), Some(NOON));
    assert_eq!(seconds("2026-01-05"), None);
    assert_eq!(seconds("1969-12-31T23:59:59Z"), None);
}
