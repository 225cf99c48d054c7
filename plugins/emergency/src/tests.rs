use super::*;
use holdfast_policy::testing::{self, Site, Trunk};

#[test]
fn says_what_it_should() {
    testing::cases::<Emergency>("cases.toml");
}

fn site() -> Site {
    Site::new().trunk(Trunk::new("provider")).trunk(Trunk::new("spare")).emergency_trunks(["provider"])
}

#[test]
fn keeps_the_contract() {
    testing::keeps_the_contract::<Emergency>();
    testing::keeps_the_contract_at::<Emergency>(&site().setting("test_trunks", ["spare"]));
}

#[test]
fn tests_of_the_way_can_go_another_way() {
    let site = site().setting("test_trunks", ["spare"]);
    assert_eq!(site.emergency_test::<Emergency>(&testing::Call::to("933")).to_string(), "route spare/933");
    assert_eq!(site.emergency::<Emergency>(&testing::Call::to("112")).to_string(), "route provider/112");
}

#[test]
fn a_trunk_that_is_not_there_is_a_problem() {
    assert_eq!(
        site().setting("test_trunks", ["spare", "gone"]).check::<Emergency>(),
        [Problem::new("test_trunks", "there is no trunk `gone`")]
    );
    assert_eq!(site().setting("test_trunks", true).check::<Emergency>().len(), 1, "of another type");
    assert_eq!(site().setting("tets_trunks", ["spare"]).check::<Emergency>().len(), 1, "misspelt");
}
