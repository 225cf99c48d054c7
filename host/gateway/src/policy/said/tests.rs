use super::*;
use std::time::Duration;
use switch::decision::{Plan, SeatRequest};

fn stage(targets: Vec<Target>) -> Stage {
    Stage { targets, ..Stage::default() }
}

fn trunk(name: &str, number: &str, shown: Option<&str>) -> TrunkTarget {
    TrunkTarget { trunk: name.to_owned(), number: number.to_owned(), caller_number: shown.map(str::to_owned) }
}

#[test]
fn a_route_names_everything_that_rings() {
    let desk = |id: &str| Target::Endpoint(id.to_owned());
    let one = Decision::Route(Plan { stages: vec![stage(vec![desk("desk-2")])] });
    assert_eq!(decision(&one), "route desk-2");
    let many = Decision::Route(Plan {
        stages: vec![
            Stage {
                ring: Some(Duration::from_secs(20)),
                next: NextOn { busy: true, no_answer: true, unreachable: false },
                ..stage(vec![desk("a"), desk("b")])
            },
            Stage {
                next: NextOn { busy: false, no_answer: false, unreachable: false },
                ..stage(vec![Target::Trunk(trunk("provider", "+4420", Some("+4421")))])
            },
            stage(vec![Target::Trunk(trunk("backup", "", None))]),
        ],
    });
    assert_eq!(
        decision(&many),
        "route a + b for 20 s and next on busy or no answer, then provider/+4420 as +4421 and next on nothing, then backup"
    );
}

#[test]
fn every_other_answer_has_its_words() {
    assert_eq!(decision(&Decision::Pass(Amendments::default())), "pass");
    let amendments = Amendments {
        called: Some("1002".to_owned()),
        caller_number: None,
        caller_name: Some("Shop".to_owned()),
        attributes: vec![("account".to_owned(), "7".to_owned())],
    };
    assert_eq!(decision(&Decision::Pass(amendments)), "pass, called 1002, caller name Shop, account=7");
    assert_eq!(decision(&Decision::Refuse(Refusal::new(404, "Not Found", "detail"))), "refuse 404 Not Found");
    let admit = |when_full| admission(&Admission::Admit(SeatRequest { pool: "site".to_owned(), when_full }));
    assert_eq!(admit(WhenFull::Refuse(Refusal::new(403, "Full", ""))), "admit site");
    assert_eq!(admit(WhenFull::EmergencyOnly), "admit site or for emergency calls only");
    assert_eq!(admission(&Admission::Pass), "pass");
    let plan = EmergencyPlan { trunks: vec![trunk("provider", "112", Some("+442030001111")), trunk("backup", "112", None)] };
    assert_eq!(emergency(&plan), "route provider/112 as +442030001111, then backup/112");
}
