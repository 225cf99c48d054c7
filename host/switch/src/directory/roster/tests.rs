use super::*;
use crate::{
    directory::record::{EndpointFields, Kind, LineKey, Password, UserFields},
    fixture::directory,
};
use proptest::prelude::*;

fn endpoint(id: &str, fields: EndpointFields) -> Edit {
    let password = fields.password.clone().or_else(|| Some(Password("secret".to_owned())));
    Edit::Endpoint { id: id.to_owned(), existing: Existing::Not, fields: EndpointFields { password, ..fields } }
}

fn set(id: &str, fields: EndpointFields) -> Edit {
    Edit::Endpoint { id: id.to_owned(), existing: Existing::Must, fields }
}

fn user(id: &str, extension: &str) -> Edit {
    let fields = UserFields { extension: Some(extension.to_owned()), ..UserFields::default() };
    Edit::User { id: id.to_owned(), existing: Existing::Not, fields }
}

fn set_user(id: &str, fields: UserFields) -> Edit {
    Edit::User { id: id.to_owned(), existing: Existing::Must, fields }
}

fn assign(endpoint: &str, user: &str, rings: bool) -> Edit {
    Edit::Assign { endpoint: endpoint.to_owned(), user: user.to_owned(), rings }
}

fn phone() -> EndpointFields {
    EndpointFields::default()
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// Makes edits that are right.
fn made(roster: &mut Roster, edits: &[Edit]) -> Vec<String> {
    let change = roster.apply(edits, &directory()).unwrap();
    let notes = change.notes.iter().map(|note| format!("{}: {}", note.subject, note.what)).collect();
    roster.commit(change);
    notes
}

/// Why edits cannot be, with the number of the edit.
fn refused(roster: &Roster, edits: &[Edit]) -> Vec<(usize, String)> {
    roster.apply(edits, &directory()).unwrap_err().into_iter().map(|problem| (problem.edit, problem.reason)).collect()
}

#[test]
fn endpoints_and_users_are_added_changed_and_found() {
    let mut roster = Roster::default();
    let fields = EndpointFields { mac: text("00-1B-4F-00-00-07"), licence: text("site"), location: text("annex"), ..phone() };
    let notes = made(&mut roster, &[user("alice", "2001"), endpoint("a", fields), assign("a", "alice", true)]);
    assert_eq!(notes, ["endpoint `a`: added", "user `alice`: added"]);
    let record = roster.endpoint("a").unwrap();
    assert_eq!((record.mac.as_deref(), record.username.as_str(), record.enabled), (Some("001b4f000007"), "a", true));
    assert_eq!(record.users, [Assigned { user: "alice".to_owned(), rings: true }]);

    let change = EndpointFields { enabled: Some(false), mac: text(""), model: text("J179"), settings: text("SET X 1"), ..phone() };
    let notes = made(&mut roster, &[set("a", change.clone())]);
    assert_eq!(
        notes,
        ["endpoint `a`: model: J179; mac: none... ".replace("none... ", "none; status: enabled -> disabled; settings changed")]
    );
    assert!(roster.apply(&[set("a", change)], &directory()).unwrap().is_empty(), "it is so already");
    let notes = made(
        &mut roster,
        &[assign("a", "alice", false), set_user("alice", UserFields { extension: text("2002"), ..UserFields::default() })],
    );
    assert_eq!(notes, ["endpoint `a`: users: alice -> alice (silent)", "user `alice`: extension: 2001 -> 2002"]);
}

#[test]
fn nobody_gets_what_somebody_else_has() {
    let mut roster = Roster::default();
    let numbers = UserFields { numbers: Some(vec!["+4420".to_owned()]), ..UserFields::default() };
    made(
        &mut roster,
        &[
            user("alice", "2001"),
            set_user("alice", numbers.clone()),
            endpoint("a", EndpointFields { mac: text("001b4f000007"), serial: text("S1"), ..phone() }),
        ],
    );
    let why = |edits: &[Edit]| refused(&roster, edits).into_iter().map(|(_, reason)| reason).collect::<Vec<_>>().join("; ");
    let named = |username: &str| EndpointFields { username: text(username), ..phone() };
    assert_eq!(why(&[endpoint("b", named("a"))]), "the username `a` is that of endpoint `a` of the store");
    assert_eq!(
        why(&[endpoint("b", named("user-1001"))]),
        "the username `user-1001` is that of endpoint `desk-1` in the configuration file"
    );
    assert_eq!(
        why(&[endpoint("b", EndpointFields { mac: text("00:1b:4f:00:00:07"), ..phone() })]),
        "the hardware address `001b4f000007` is that of endpoint `a` of the store"
    );
    assert_eq!(
        why(&[endpoint("b", EndpointFields { serial: text("S1"), ..phone() })]),
        "the serial number `S1` is that of endpoint `a` of the store"
    );
    assert_eq!(why(&[user("bob", "2001")]), "the extension `2001` is that of user `alice` of the store");
    assert_eq!(why(&[user("bob", "1001")]), "the extension `1001` is that of endpoint `desk-1` in the configuration file");
    assert_eq!(why(&[user("bob", "2"), set_user("bob", numbers)]), "the number `+4420` is that of user `alice` of the store");
    let theirs = UserFields { numbers: Some(vec!["+442030001234".to_owned()]), ..UserFields::default() };
    assert_eq!(why(&[set_user("alice", theirs)]), "the number `+442030001234` is that of endpoint `desk-1` in the configuration file");
    for id in ["desk-1", "alice", "a"] {
        assert!(!why(&[endpoint(id, named("x"))]).is_empty(), "{id}");
        assert!(!why(&[user(id, "77")]).is_empty(), "{id}");
    }
    assert_eq!(why(&[set("desk-1", phone())]), "endpoint `desk-1` stands in the configuration file");
    assert_eq!(why(&[set("z", phone())]), "the store has no endpoint `z`");
    // Also among the edits of one request; the later one is wrong.
    assert_eq!(refused(&roster, &[user("c", "5"), user("b", "5")]), [(1, "the extension `5` is that of user `c` of the store".to_owned())]);
}

#[test]
fn two_may_change_their_names_with_each_other() {
    let mut roster = Roster::default();
    made(&mut roster, &[user("alice", "2001"), user("bob", "2002")]);
    let to = |extension: &str| UserFields { extension: text(extension), ..UserFields::default() };
    made(&mut roster, &[set_user("alice", to("2002")), set_user("bob", to("2001"))]);
    assert_eq!(roster.user("alice").unwrap().extension, "2002");
    assert_eq!(refused(&roster, &[user("carol", "2001")])[0].1, "the extension `2001` is that of user `bob` of the store");
    // What nobody has any more is free.
    made(&mut roster, &[set_user("bob", to("2003")), user("carol", "2001")]);
}

#[test]
fn what_no_phone_could_use_is_refused_with_every_reason() {
    let roster = Roster::default();
    let wrong = EndpointFields {
        username: text("a b"),
        mac: text("12"),
        location: text("moon"),
        licence: text("gold"),
        name: text("a\nb"),
        password: Some(Password(String::new())),
        keys: Some(vec![LineKey { number: "a b".to_owned(), .."speed-dial:1".parse().unwrap() }]),
        users: Some(vec![Assigned { user: "nobody".to_owned(), rings: true }]),
        ..phone()
    };
    let why = refused(&roster, &[endpoint("a", wrong)]);
    assert_eq!(why.len(), 8, "{why:#?}");
    assert!(why.iter().all(|(edit, _)| *edit == 0));
    for extension in ["", "1 2", "112", "9112", "933"] {
        assert_eq!(refused(&roster, &[user("a", extension)]).len(), 1, "{extension}");
    }
    for id in ["", "a b", "ä", &"x".repeat(65)] {
        assert_eq!(refused(&roster, &[user(id, "5")]).len(), 1, "{id}");
    }
    let bare = Edit::Endpoint { id: "a".to_owned(), existing: Existing::Not, fields: phone() };
    assert_eq!(refused(&roster, &[bare])[0].1, "a new endpoint needs a password");
    assert_eq!(refused(&roster, &[assign("a", "b", true)])[0].1, "the store has no endpoint `a`");
}

#[test]
fn a_new_username_needs_its_password() {
    let mut roster = Roster::default();
    made(&mut roster, &[endpoint("a", phone())]);
    let before = roster.endpoint("a").unwrap().secret.clone();
    let named = EndpointFields { username: text("b"), ..phone() };
    assert_eq!(refused(&roster, &[set("a", named.clone())])[0].1, "a new username needs a password");
    let notes = made(&mut roster, &[set("a", EndpointFields { password: Some(Password("secret".to_owned())), ..named })]);
    assert_eq!(notes, ["endpoint `a`: username: a -> b; password changed"]);
    assert_ne!(roster.endpoint("a").unwrap().secret, before, "the same password with another username is another hash");
    assert!(!format!("{:?}", roster.endpoint("a").unwrap()).contains(&before.md5));
}

#[test]
fn a_user_has_no_more_phones_than_can_ring() {
    let mut roster = Roster::default();
    let mut edits = vec![user("alice", "2001")];
    edits.extend((0..PHONES).flat_map(|n| [endpoint(&format!("p{n}"), phone()), assign(&format!("p{n}"), "alice", true)]));
    made(&mut roster, &edits);
    let one_more = [endpoint("more", phone()), assign("more", "alice", true)];
    assert_eq!(refused(&roster, &one_more)[0].1, "user `alice` would have 17 endpoints");
    let unassign = Edit::Unassign { endpoint: "p0".to_owned(), user: "alice".to_owned() };
    made(&mut roster, &[one_more.as_slice(), &[unassign]].concat());
}

#[test]
fn keys_are_read_as_they_are_written() {
    for key in ["line", "line=Mine", "speed-dial:1002", "busy-lamp:*21#=Door = front", "speed-dial:+4420=a:b"] {
        assert_eq!(key.parse::<LineKey>().unwrap().to_string(), key);
    }
    for key in ["", "line:1", "speed-dial", "busy-lamp:=x", "lamp:1"] {
        assert!(key.parse::<LineKey>().is_err(), "{key}");
    }
    assert_eq!("softphone".parse(), Ok(Kind::Softphone));
    assert!("phone".parse::<Kind>().is_err());
}

/// Edits of few names, so that they meet.
fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let name = || prop_oneof![Just("a"), Just("b"), Just("c"), Just("d"), Just("desk-1")].prop_map(str::to_owned);
    let extension = prop_oneof![Just("1"), Just("2"), Just("3"), Just("1001"), Just("112")].prop_map(str::to_owned);
    let existing = || prop_oneof![Just(Existing::Not), Just(Existing::Must), Just(Existing::May)];
    let mac = prop_oneof![Just("001b4f000001"), Just("001b4f000002"), Just("")].prop_map(str::to_owned);
    let numbers = prop::collection::vec(prop_oneof![Just("+1"), Just("+2")].prop_map(str::to_owned), 0..3);
    let endpoint = (name(), existing(), name(), prop::option::of(mac), any::<bool>()).prop_map(|(id, existing, username, mac, enabled)| {
        let password = Some(Password("x".to_owned()));
        Edit::Endpoint {
            id,
            existing,
            fields: EndpointFields { username: Some(username), mac, enabled: Some(enabled), password, ..phone() },
        }
    });
    let user =
        (name(), existing(), prop::option::of(extension), prop::option::of(numbers)).prop_map(|(id, existing, extension, numbers)| {
            Edit::User { id, existing, fields: UserFields { extension, numbers, ..UserFields::default() } }
        });
    let assign = (name(), name(), any::<bool>()).prop_map(|(endpoint, user, rings)| Edit::Assign { endpoint, user, rings });
    let unassign = (name(), name()).prop_map(|(endpoint, user)| Edit::Unassign { endpoint, user });
    prop::collection::vec(prop_oneof![4 => endpoint, 4 => user, 2 => assign, 1 => unassign], 0..6)
}

proptest! {
    /// Whatever is asked for in whatever order: no name has two owners, who is assigned is there, what is refused changes nothing, what is kept comes back the
    /// same, and everything that is not refused is in force.
    #[test]
    fn the_rules_hold_whatever_is_asked_for(requests in prop::collection::vec(edits(), 1..20)) {
        let file = directory();
        let mut roster = Roster::default();
        for request in requests {
            let Ok(change) = roster.apply(&request, &file) else { continue };
            prop_assert_eq!(change.notes.len(), change.endpoints.len() + change.users.len());
            roster.commit(change);
            let mut owners = BTreeMap::new();
            let endpoints = roster.endpoints().flat_map(|record| record.claims().map(move |claim| (claim, record.id.clone())));
            let users = roster.users().flat_map(|record| record.claims().map(move |claim| (claim, record.id.clone())));
            for (claim, owner) in endpoints.chain(users) {
                prop_assert!(owners.insert(claim, owner).is_none(), "a name has two owners");
            }
            prop_assert_eq!(owners.len(), roster.claims.len());
            for record in roster.endpoints() {
                prop_assert!(roster.user(&record.id).is_none());
                prop_assert!(record.users.iter().all(|assigned| roster.user(&assigned.user).is_some()));
            }
            let endpoints = roster.endpoints().cloned().collect();
            let back = Roster::restore(endpoints, roster.users().cloned().collect());
            prop_assert_eq!((&back.claims, &back.endpoints, &back.users), (&roster.claims, &roster.endpoints, &roster.users));

            let (joined, left_out) = file.with_roster(&roster);
            prop_assert_eq!(left_out, Vec::new());
            for record in roster.endpoints() {
                prop_assert_eq!(&joined.by_username(&record.username).unwrap().id, &record.id);
            }
            for record in roster.users() {
                prop_assert_eq!(&joined.by_extension(&record.extension).unwrap().id, &record.id);
                prop_assert!(joined.by_username("").is_none(), "nobody registers as a user");
                let rings = joined.phones(&record.id).count();
                let wanted = roster.endpoints().filter(|e| e.users.iter().any(|a| a.user == record.id && a.rings)).count();
                prop_assert_eq!(rings, wanted);
            }
            for endpoint in &file.endpoints {
                prop_assert_eq!(joined.by_user(&endpoint.extension), Some(endpoint));
            }
        }
    }
}

#[test]
fn what_becomes_of_a_users_calls_is_set_and_taken_away_told_and_found() {
    let mut roster = Roster::default();
    made(&mut roster, &[user("alice", "2001"), user("bob", "2002"), endpoint("a", phone()), assign("a", "alice", true)]);
    let fields = UserFields {
        ring_seconds: Some(20),
        forward_busy: text("2002"),
        forward_unreachable: text("+447700900123"),
        dial_class: text("national"),
        ..UserFields::default()
    };
    let notes = made(&mut roster, &[set_user("alice", fields)]);
    assert_eq!(
        notes,
        ["user `alice`: ring seconds: 20; forward when busy: 2002; forward when unreachable: +447700900123; dial class: national"]
    );
    let (joined, _) = directory().with_roster(&roster);
    let settings = joined.calls_of("alice").unwrap();
    assert_eq!(
        (settings.ring_seconds, settings.forward_busy.as_deref(), settings.forward_always.as_deref()),
        (Some(20), Some("2002"), None)
    );
    assert_eq!((joined.calls_of("bob"), joined.calls_of("a"), joined.calls_of("desk-1")), (None, None, None));
    assert_eq!(["alice", "a", "bob", "desk-1"].map(|id| joined.dial_class(id)), [Some("national"), Some("national"), None, None]);
    // The file speaks of its own.
    let mut file = directory();
    file.dial_classes.insert("desk-1".to_owned(), "local".to_owned());
    assert_eq!(file.with_roster(&roster).0.dial_class("desk-1"), Some("local"));

    let away = UserFields {
        ring_seconds: Some(0),
        forward_busy: text(""),
        forward_unreachable: text(""),
        dial_class: text(""),
        ..UserFields::default()
    };
    made(&mut roster, &[set_user("alice", away)]);
    assert!(roster.user("alice").unwrap().calls.is_plain());
    assert_eq!(directory().with_roster(&roster).0.calls_of("alice"), None);
}

#[test]
fn a_call_goes_on_to_a_number_that_can_be_dialled_and_that_is_no_call_for_help() {
    let mut roster = Roster::default();
    made(&mut roster, &[user("alice", "2001")]);
    let to = |number: &str| set_user("alice", UserFields { forward_always: text(number), ..UserFields::default() });
    let why = |edit: Edit| refused(&roster, &[edit]).remove(0).1;
    assert_eq!(why(to("112")), "`112` is an emergency number: calls for help are made by whoever needs it");
    assert_eq!(why(to("9112")), "`9112` is an emergency number: calls for help are made by whoever needs it");
    assert_eq!(why(to("20 02")), "`20 02` is not a number that can be dialled");
    assert_eq!(why(to("2001")), "calls to `2001` would go on to `2001` itself");
    let seconds = set_user("alice", UserFields { ring_seconds: Some(601), ..UserFields::default() });
    assert_eq!(why(seconds), "phones cannot ring for 601 seconds");
    let problem = roster.apply(&[to("112")], &directory()).unwrap_err().remove(0);
    assert_eq!((problem.at.as_str(), problem.form), ("/forward_always", false));
    // The extension moves to where the calls go.
    let mut moved = roster.clone();
    made(&mut moved, &[to("2002")]);
    let extension = UserFields { extension: text("2002"), ..UserFields::default() };
    assert_eq!(refused(&moved, &[set_user("alice", extension)]), [(0, "calls to `2002` would go on to `2002` itself".to_owned())]);
}
