//! How long registrations last while phones are here because they have lost their cloud, and that nothing outside of the site is needed for them.

use crate::{gateway::Site, phone::Phone};
use std::collections::BTreeSet;

#[test]
fn registrations_are_short_and_spread_and_a_saved_file_says_otherwise_at_once() {
    const PHONES: usize = 40;
    let site = Site::with_endpoints(PHONES);
    let gateway = site.start();
    let granted = |n: usize, asked: u32| {
        let phone = Phone::new(&gateway);
        assert_eq!(phone.register(&Site::user(n), &Site::password(n), Some(asked)), 200);
        phone.granted()
    };
    let all: BTreeSet<u32> = (0..PHONES).map(|n| granted(n, 3600)).collect();
    assert!(all.iter().all(|seconds| (54..=66).contains(seconds)) && all.len() > 3, "{all:?}");
    assert_eq!(granted(0, 30), 30, "a phone that asks for less gets less");

    site.edit(|text| format!("{text}[survivable]\nexpires_seconds = 120\nspread_percent = 0\n"));
    gateway.wait_for_log("configuration in force");
    assert_eq!(granted(1, 3600), 120);
    site.edit(|text| text.replace("expires_seconds = 120", "expires_seconds = 0"));
    gateway.wait(std::time::Duration::from_secs(30), || gateway.log().matches("configuration in force").count() == 2);
    assert_eq!(granted(2, 3600), 3600, "the phone's own wish");
}

/// Names that lead nowhere, a collector that is not there, a trunk that is gone: a site whose line is cut.
#[test]
fn a_site_that_is_cut_off_registers_its_phones() {
    let site = Site::with_endpoints(2);
    site.edit(|text| {
        format!(
            "{text}[[trunk]]\nname = \"provider\"\nuri = \"sip:trunk.provider.invalid;transport=tls\"\nsources = [\"192.0.2.10\"]\n\n\
             [[trunk]]\nname = \"other\"\nuri = \"sip:192.0.2.11:5060;transport=tcp\"\nsources = [\"192.0.2.11\"]\n\n\
             [telemetry]\notlp = \"http://127.0.0.1:9\"\n"
        )
    });
    let mut gateway = site.start();
    let phones = [Phone::new(&gateway), Phone::new(&gateway)];
    for (n, phone) in phones.iter().enumerate() {
        assert_eq!(phone.register(&Site::user(n), &Site::password(n), Some(3600)), 200);
    }
    // Also one that has just been started, when nothing has been resolved before.
    site.listen_on(&gateway);
    gateway.kill();
    let gateway = site.start();
    assert_eq!(gateway.restored, 2);
    assert_eq!(phones[0].register(&Site::user(0), &Site::password(0), Some(3600)), 200);
    assert_eq!(phones[0].contacts(), 1);
}
