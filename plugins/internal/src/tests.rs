use super::*;
use holdfast_policy::testing;

#[test]
fn says_what_it_should() {
    testing::cases::<Internal>("cases.toml");
}

#[test]
fn keeps_the_contract() {
    testing::keeps_the_contract::<Internal>();
}
