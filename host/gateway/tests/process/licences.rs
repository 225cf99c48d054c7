//! Licence pools of a real process: the last seat, what an operator sees, and what a restart and a changed file leave as it was.

use crate::{gateway::Site, phone::Phone};
use axum::http::Method;
use gateway::manage::ask;
use serde_json::{Value, json};
use std::{process::Command, sync::Barrier, thread, time::Duration};

const PHONES: usize = 16;

fn holdfast(site: &Site, arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_holdfast")).args(arguments).arg("--data").arg(site.data()).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

fn shown(site: &Site, pool: &str) -> Value {
    let (well, text) = holdfast(site, &["licence", "show", pool, "--json"]);
    assert!(well, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The ids of those who stand so.
fn standing<'a>(page: &'a Value, standing: &str) -> Vec<&'a str> {
    let rows = page["endpoints"].as_array().unwrap().iter();
    rows.filter(|row| row["standing"] == standing).map(|row| row["id"].as_str().unwrap()).collect()
}

fn with_seats(seats: usize, more: &str) -> Site {
    let site = Site::with_endpoints(PHONES + 1);
    site.edit(|text| text.replace("seats = 50", &format!("seats = {seats}\n{more}")));
    site
}

fn register(phone: &Phone, n: usize, seconds: u32) -> u16 {
    phone.register(&Site::user(n), &Site::password(n), Some(seconds))
}

#[test]
fn of_many_phones_that_want_the_last_seat_at_once_exactly_one_gets_it() {
    let site = with_seats(2, "");
    site.edit(|text| text.replace("[limits]", "[limits]\nshards = 4"));
    let gateway = site.start();
    let first = Phone::new(&gateway);
    assert_eq!(register(&first, 0, 600), 200);
    let mut phones: Vec<(usize, Phone)> = (1..=PHONES).map(|n| (n, Phone::new(&gateway))).collect();
    for _ in 0..3 {
        let start = Barrier::new(PHONES);
        let answered: Vec<(usize, Phone, u16)> = thread::scope(|scope| {
            let racers = phones.into_iter().map(|(n, phone)| {
                let start = &start;
                scope.spawn(move || {
                    let challenge = phone.challenge(&Site::user(n));
                    start.wait();
                    let status = phone.answer(&challenge, &Site::user(n), &Site::password(n), Some(600));
                    (n, phone, status)
                })
            });
            racers.collect::<Vec<_>>().into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        let won: Vec<usize> = answered.iter().filter(|(.., status)| *status == 200).map(|(n, ..)| *n).collect();
        assert_eq!((won.len(), answered.iter().filter(|(.., status)| *status == 403).count()), (1, PHONES - 1));
        let page = shown(&site, "site");
        assert_eq!((&page["taken"], &page["waiting"], &page["most"]), (&json!(2), &json!(PHONES - 1), &json!(2)));
        assert_eq!(standing(&page, "seated"), ["desk-0".to_owned(), format!("desk-{}", won[0])]);
        phones = answered.into_iter().map(|(n, phone, _)| (n, phone)).collect();
        // The seat is free again; whoever waits longest is the next.
        let (n, winner) = phones.iter().find(|(n, _)| *n == won[0]).unwrap();
        assert_eq!(register(winner, *n, 0), 200);
    }
    let (status, last) = gateway.terminate();
    assert!(status.success(), "{last}");
}

#[test]
fn an_operator_sees_seats_reservations_turns_and_what_is_wrong() {
    let site = with_seats(3, "reserved = [\"desk-0\"]\ngrace_days = 10");
    let mut gateway = site.start();
    site.listen_on(&gateway);
    let phones: Vec<Phone> = (0..5).map(|_| Phone::new(&gateway)).collect();
    assert_eq!([1, 2, 3].map(|n| register(&phones[n], n, 600)), [200, 200, 403], "the last one is kept for desk-0");
    let page = shown(&site, "site");
    assert_eq!((standing(&page, "away"), standing(&page, "waiting")), (vec!["desk-0"], vec!["desk-3"]));
    assert_eq!((&page["reserved"], &page["away"], &page["refused"], &page["validity"]), (&json!(1), &json!(1), &json!(1), &json!("valid")));
    assert_eq!(register(&phones[0], 0, 600), 200);
    let (well, table) = holdfast(&site, &["licence", "show", "site", "desk-3"]);
    assert!(well && table.contains("seats        3, one per endpoint") && table.contains("desk-3  1003       waiting   no"), "{table}");
    assert!(!table.contains("desk-1"), "{table}");
    let (well, why) = holdfast(&site, &["licence", "show", "gold", "--json"]);
    assert!(!well && why.contains("there is no licence pool `gold`"), "{why}");

    // Killed at once: the seats are there again, and nobody else has them.
    gateway.kill();
    gateway = site.start();
    assert_eq!(standing(&shown(&site, "site"), "seated"), ["desk-0", "desk-1", "desk-2"]);
    assert_eq!(register(&phones[3], 3, 600), 403);
    assert_eq!(register(&phones[1], 1, 600), 200);

    // Made smaller while it runs: everything goes on, an alarm is told, and a phone that comes back finds its seat.
    site.edit(|text| text.replace("seats = 3", "seats = 1"));
    gateway.wait_for_log("configuration in force");
    gateway
        .wait(Duration::from_secs(30), || gateway.log().contains("licence pool `site` is over-committed: 3 seats are used, 1 are owned"));
    assert_eq!([register(&phones[2], 2, 0), register(&phones[2], 2, 600), register(&phones[4], 4, 600)], [200, 403, 403], "desk-3 waits");
    assert_eq!([register(&phones[3], 3, 600), register(&phones[2], 2, 600)], [200, 403]);
    let page = shown(&site, "site");
    assert_eq!((&page["over_committed"], &page["reduced"]["former"]), (&json!(true), &json!(3)));
    let since = page["reduced"]["since"].clone();
    let metrics = ask(&site.data(), Method::GET, "/metrics").unwrap().body;
    let metrics = String::from_utf8(metrics.to_vec()).unwrap();
    for line in [
        "holdfast_licence_seats{pool=\"site\"} 1",
        "holdfast_licence_seats_taken{pool=\"site\"} 3",
        "holdfast_licence_seats_most{pool=\"site\"} 3",
        "holdfast_licence_over_committed{pool=\"site\"} 1",
        "holdfast_licence_validity{pool=\"site\",state=\"valid\"} 1",
        "holdfast_dropped_total{reason=\"licence-alarm\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    // A restart does not begin the grace period anew.
    assert!(gateway.terminate().0.success());
    gateway = site.start();
    let page = shown(&site, "site");
    assert_eq!((&page["reduced"]["since"], &page["most"], &page["taken"]), (&since, &json!(3), &json!(3)));

    // Ended long ago: those who are registered stay, nobody else comes in.
    site.edit(|text| text.replace("grace_days = 10", "grace_days = 10\nnot_after = 2020-02-28"));
    gateway.wait_for_log("configuration in force");
    assert_eq!([register(&phones[1], 1, 600), register(&phones[4], 4, 600)], [200, 403]);
    let (_, list) = holdfast(&site, &["licence", "list"]);
    assert!(
        list.contains("2020-02-29 00:00:00 UTC") && list.contains("ended") && list.contains("renew it and change `not_after`"),
        "{list}"
    );
    gateway.wait(Duration::from_secs(30), || {
        gateway.log().contains("is valid no more since 2020-02-29T00:00:00Z; until 2020-03-10T00:00:00Z")
    });
}

#[test]
fn what_was_bought_is_entered_by_command_and_in_force_at_once() {
    let site = with_seats(1, "");
    let gateway = site.start();
    site.listen_on(&gateway);
    let phones: Vec<Phone> = (0..2).map(|_| Phone::new(&gateway)).collect();
    assert_eq!([0, 1].map(|n| register(&phones[n], n, 600)), [200, 403]);
    let config = site.config();
    let enter =
        |arguments: &[&str]| holdfast(&site, &[&["licence"], arguments, &["--config", config.to_str().unwrap(), "--json"]].concat());
    let (well, said) = enter(&["set", "site", "--seats", "2"]);
    assert!(well && said.contains("\"changed\":true"), "{said}");
    gateway.wait(Duration::from_secs(30), || shown(&site, "site")["seats"] == json!(2));
    assert_eq!(register(&phones[1], 1, 600), 200);
    let (well, said) = enter(&["add", "guests", "--seats", "3", "--per", "user"]);
    assert!(well, "{said}");
    gateway.wait(Duration::from_secs(30), || holdfast(&site, &["licence", "show", "guests"]).0);
    let (well, said) = enter(&["set", "gold", "--seats", "3"]);
    assert!(!well && said.contains("has no pool `gold`"), "{said}");
    let (status, last) = gateway.terminate();
    assert!(status.success(), "{last}");
}
