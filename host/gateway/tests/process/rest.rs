//! The REST API as a program meets it: real HTTP to the real binary, and real registrations with what was made over it.

use crate::{
    gateway::{Gateway, Site},
    http::{Client, exchange},
    phone::Phone,
};
use serde_json::{Value, json};
use std::{fs, net::TcpStream, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration};
use tokio_rustls::rustls::{
    self, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};

/// A site with the REST API on a port of its own; `more` are further lines of `[rest]`.
fn site(more: &str, limits: &str) -> Site {
    let site = Site::with_endpoints(1);
    // Indented, so that it is not taken for the listening line of SIP.
    site.edit(|text| text.replace("[limits]\n", &format!("[rest]\n  listen = \"127.0.0.1:0\"\n{more}[limits]\n{limits}")));
    site
}

fn client(site: &Site, gateway: &Gateway) -> Client {
    let text = fs::read_to_string(site.data().join("rest.token")).unwrap();
    let token = text.lines().last().unwrap().split(' ').next_back().unwrap().to_owned();
    Client { address: gateway.rest.expect("the REST API is served"), token }
}

#[test]
fn an_endpoint_made_over_rest_registers_at_once_is_refused_when_disabled_and_outlives_a_kill() {
    let site = site("", "");
    let mut gateway = site.start();
    site.listen_on(&gateway);
    let api = client(&site, &gateway);
    assert_eq!(fs::metadata(site.data().join("rest.token")).unwrap().permissions().mode() & 0o777, 0o600);

    let alice = api.put("/v1/users/alice", &[], &json!({"name": "Alice", "extension": "2000", "numbers": ["+442030002000"]}));
    assert_eq!((alice.status, alice.header("location")), (201, Some("/v1/users/alice")), "{alice:?}");
    let desk = json!({"licence": "site", "mac": "00:1B:4F:00:00:07", "keys": ["line", "speed-dial:1002"], "users": [{"user": "alice", "rings": true}]});
    let made = api.put("/v1/endpoints/desk-7", &[("if-none-match", "*")], &desk);
    assert_eq!(made.status, 201, "{made:?}");
    let password = made.json()["password"].as_str().unwrap().to_owned();
    assert_eq!((&made.json()["mac"], &made.json()["username"]), (&json!("001b4f000007"), &json!("desk-7")));

    // In force at once.
    let phone = Phone::new(&gateway);
    assert_eq!(phone.register("desk-7", &password, Some(600)), 200);
    let status = api.get("/v1/endpoints/desk-7/status").json();
    assert_eq!((&status["registered"], &status["extension"], &status["stands"]), (&json!(true), &json!("2000"), &json!("store")));
    assert_eq!(status["bindings"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(api.get("/v1/users/alice/status").json()["endpoints"], json!([{"endpoint": "desk-7", "rings": true, "registered": true}]));
    let pools = api.get("/v1/licences").json();
    let of = |name: &str| pools["items"][0][name].clone();
    assert_eq!(
        ["pool", "seats", "taken", "most", "validity"].map(of),
        [json!("site"), json!(50), json!(1), json!(1), json!("valid")],
        "{pools}"
    );

    // The password is never shown again, and what is shown can be sent back.
    let shown = api.get("/v1/endpoints/desk-7");
    assert_eq!((shown.json().get("password"), shown.etag()), (None, made.etag()));
    assert_eq!(api.put("/v1/endpoints/desk-7", &[], &shown.json()).etag(), shown.etag());
    assert_eq!(phone.register("desk-7", &password, None), 200, "a PUT without a password leaves it alone");
    assert_eq!(api.ask("GET", "/v1/endpoints/desk-7", &[("if-none-match", shown.etag())], "").status, 304);

    // Disabled, its registration ends at once and it is refused; enabled, it may register again.
    let disabled = api.patch("/v1/endpoints/desk-7", &json!({"enabled": false}));
    assert_eq!((disabled.status, &disabled.json()["enabled"]), (200, &json!(false)));
    assert_eq!(api.get("/v1/endpoints/desk-7/status").json()["bindings"], json!([]));
    assert_eq!(phone.register("desk-7", &password, Some(600)), 403);
    assert_eq!(api.patch("/v1/endpoints/desk-7", &json!({"enabled": null})).json()["enabled"], true, "null gives a member its default");
    assert_eq!(phone.register("desk-7", &password, Some(600)), 200);
    let new = api.ask("POST", "/v1/endpoints/desk-7/password", &[], "").json()["password"].as_str().unwrap().to_owned();
    assert_eq!((phone.register("desk-7", &password, Some(600)), phone.register("desk-7", &new, Some(600))), (401, 200));

    // Killed as soon as it has answered: everything is there, under the same entity tag.
    let last = api.put("/v1/endpoints/desk-8", &[], &json!({"password": "secret-8", "name": "Lobby", "licence": "site"}));
    gateway.kill();
    assert_eq!((last.status, last.json().get("password")), (201, None), "a password that was sent is not sent back");
    let again = site.start();
    let api = client(&site, &again);
    assert_eq!(api.get("/v1/endpoints/desk-8").etag(), last.etag());
    assert_eq!(Phone::new(&again).register("desk-8", "secret-8", Some(600)), 200);
    assert_eq!(Phone::new(&again).register("desk-7", &new, Some(600)), 200);
    assert_eq!(api.get("/v1/users/alice").json()["extension"], "2000");
    let history = api.get("/v1/endpoints/desk-7/history").json();
    let items: Vec<_> =
        history["items"].as_array().unwrap().iter().map(|entry| (entry["by"].as_str().unwrap(), entry["what"].as_str().unwrap())).collect();
    assert_eq!(
        items,
        [("rest", "password changed"), ("rest", "status: disabled -> enabled"), ("rest", "status: enabled -> disabled"), ("rest", "added")]
    );
    let status = api.get("/v1/status").json();
    assert_eq!((&status["endpoints_of_file"], &status["endpoints_of_store"], &status["users"]), (&json!(1), &json!(2), &json!(1)));
}

#[test]
fn nobody_overwrites_what_he_has_not_seen() {
    let site = site("", "");
    let gateway = site.start();
    let api = client(&site, &gateway);
    let (path, user) = ("/v1/users/bob", |name: &str| json!({"name": name, "extension": "2001"}));
    let first = api.put(path, &[], &user("Bob"));
    assert_eq!(first.status, 201);
    // The same again makes no difference, a different one needs to know what it replaces.
    assert_eq!(
        (api.put(path, &[], &user("Bob")).status, api.put(path, &[], &user("Robert")).problem()["status"].clone()),
        (200, json!(428))
    );
    assert_eq!(api.put(path, &[("if-none-match", "*")], &user("Bob")).status, 412);
    assert_eq!(api.put("/v1/users/carol", &[("if-match", "*")], &user("Carol")).status, 412);
    let second = api.put(path, &[("if-match", first.etag())], &user("Robert"));
    assert_eq!(second.status, 200);
    assert_ne!(second.etag(), first.etag());
    // Two had the first state: the second of them is told, and may look at what is different.
    let conflict = api.put(path, &[("if-match", first.etag())], &user("Rob"));
    assert_eq!((conflict.problem()["status"].as_u64(), conflict.etag()), (Some(412), second.etag()));
    // Whoever lost the answer sends it again.
    assert_eq!(api.put(path, &[("if-match", first.etag())], &user("Robert")).status, 200);
    assert_eq!(api.get(path).json()["name"], "Robert");
    assert_eq!(api.put(path, &[("if-match", "*")], &user("Bert")).status, 200);
    // A new password is a new state, though it is not shown.
    let desk = |password: &str| json!({"password": password});
    let made = api.put("/v1/endpoints/desk-9", &[], &desk("one"));
    let changed = api.put("/v1/endpoints/desk-9", &[("if-match", made.etag())], &desk("two"));
    assert!(changed.status == 200 && changed.etag() != made.etag(), "{changed:?}");
    assert_eq!(api.put("/v1/endpoints/desk-9", &[("if-match", made.etag())], &desk("three")).status, 412);
}

#[test]
fn what_is_refused_changes_nothing_and_says_what_where_and_what_to_do() {
    let site = site("", "rest_body_bytes = 2048\n");
    let gateway = site.start();
    let api = client(&site, &gateway);
    assert_eq!(api.put("/v1/users/alice", &[], &json!({"extension": "2000"})).status, 201);
    let pointers = |problem: &Value| -> Vec<String> {
        let errors = problem["errors"].as_array().unwrap().iter();
        errors.map(|error| error["pointer"].as_str().or_else(|| error["parameter"].as_str()).unwrap().to_owned()).collect()
    };
    for (path, body, status, places) in [
        // What no site could have is not as the document says.
        (
            "/v1/endpoints/a",
            json!({"mac": "red", "keys": ["line", "busy-lamp:10 03"], "name": "x".repeat(129)}),
            400,
            vec!["/mac", "/name", "/keys/1"],
        ),
        ("/v1/endpoints/a", json!({"keys": ["door"]}), 400, vec!["/keys/0"]),
        ("/v1/endpoints/a", json!({"password": ""}), 400, vec!["/password"]),
        ("/v1/endpoints/a", json!({"users": [{"user": "alice", "rings": "loud"}]}), 400, vec!["/users/0/rings"]),
        ("/v1/endpoints/a%20b", json!({}), 400, vec!["id"]),
        ("/v1/users/b", json!({"extension": "20 01"}), 400, vec!["/extension"]),
        // What this one cannot have, as things stand.
        (
            "/v1/endpoints/a",
            json!({"licence": "gold", "users": [{"user": "alice"}, {"user": "nobody"}]}),
            422,
            vec!["/licence", "/users/1"],
        ),
        ("/v1/endpoints/a", json!({"username": "user-0"}), 422, vec!["/username"]),
        ("/v1/endpoints/alice", json!({}), 422, vec!["id"]),
        ("/v1/users/b", json!({"extension": "2000"}), 422, vec!["/extension"]),
        ("/v1/users/b", json!({"extension": "112"}), 422, vec!["/extension"]),
    ] {
        let problem = api.put(path, &[], &body).problem();
        let mut found = pointers(&problem);
        found.sort_unstable();
        let mut places: Vec<String> = places.into_iter().map(str::to_owned).collect();
        places.sort_unstable();
        assert_eq!((problem["status"].as_u64(), found), (Some(status), places), "{body}: {problem}");
    }
    // What stands in the file is changed there.
    assert_eq!(api.get("/v1/endpoints/desk-0").json()["username"], "user-0");
    let conflict = api.patch("/v1/endpoints/desk-0", &json!({"enabled": false})).problem();
    assert!(conflict["status"] == 409 && conflict["detail"].as_str().unwrap().contains("configuration file"), "{conflict}");

    // Nothing is ever removed.
    for path in ["/v1/endpoints/desk-0", "/v1/users/alice"] {
        let answer = api.ask("DELETE", path, &[], "");
        assert!(answer.problem()["remedy"].as_str().unwrap().contains("never removed"), "{answer:?}");
        let mut allowed: Vec<&str> = answer.header("allow").unwrap().split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!((answer.status, allowed), (405, vec!["GET", "HEAD", "PATCH", "PUT"]));
    }
    for (method, path, headers, body, status) in [
        ("GET", "/v1/nothing", vec![], "", 404),
        ("GET", "/v1/endpoints/none", vec![], "", 404),
        ("GET", "/v1/endpoints?limit=0", vec![], "", 400),
        ("GET", "/v1/endpoints?colour=red", vec![], "", 400),
        ("GET", "/v1/endpoints/%ff", vec![], "", 400),
        ("PUT", "/v1/users/c", vec![("content-type", "text/plain")], "{}", 415),
        ("PUT", "/v1/users/c", vec![], "{}", 415),
        ("PUT", "/v1/users/c", vec![("content-type", "application/json; charset=utf-8")], "{", 400),
        ("PUT", "/v1/users/c", vec![("content-type", "application/json")], &format!("{{\"name\": \"{}\"}}", "x".repeat(4096)), 413),
        ("PATCH", "/v1/users/c", vec![("content-type", "application/merge-patch+json")], "[]", 400),
        ("PATCH", "/v1/users/c", vec![("content-type", "application/merge-patch+json")], "{}", 404),
    ] {
        let problem = api.ask(method, path, &headers, body).problem();
        assert_eq!(problem["status"], status, "{method} {path}: {problem}");
    }
    assert!(gateway.log().contains("limit `rest_body_bytes`"));
    assert_eq!(api.get("/v1/users").json()["items"].as_array().unwrap().len(), 1, "nothing of all that was made");
    assert_eq!(api.get("/v1/endpoints").json()["items"].as_array().unwrap().len(), 1);
}

#[test]
fn lists_come_in_parts_and_phones_change_hands() {
    let site = site("", "rest_page = 2\n");
    let gateway = site.start();
    let api = client(&site, &gateway);
    for n in 1..=3 {
        assert_eq!(api.put(&format!("/v1/users/user-{n}"), &[], &json!({"extension": format!("30{n}")})).status, 201);
        assert_eq!(api.put(&format!("/v1/endpoints/tel-{n}"), &[], &json!({"enabled": n != 2, "licence": "site"})).status, 201);
    }
    let ids = |query: &str| -> (Vec<String>, Value) {
        let list = api.get(&format!("/v1/endpoints?{query}")).json();
        (list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect(), list["next"].clone())
    };
    assert_eq!(ids("limit=500"), (vec!["desk-0".to_owned(), "tel-1".to_owned()], json!("tel-1")));
    assert_eq!(ids("after=tel-1"), (vec!["tel-2".to_owned(), "tel-3".to_owned()], Value::Null));
    assert!(gateway.log().contains("limit `rest_page`"));
    assert_eq!(ids("enabled=false").0, ["tel-2"]);
    assert_eq!(ids("stands=file").0, ["desk-0"]);
    assert_eq!(ids("find=TEL-3&licence=site").0, ["tel-3"]);
    let item = api.get("/v1/endpoints?find=tel-3").json()["items"][0].clone();
    assert_eq!(item["etag"], api.get("/v1/endpoints/tel-3").etag());

    let path = "/v1/endpoints/tel-1/users/user-1";
    assert_eq!(
        (api.get(path).status, api.put(path, &[], &json!({"rings": false})).status, api.put(path, &[], &json!({})).status),
        (404, 201, 200)
    );
    assert_eq!(api.get(path).json(), json!({"rings": true}));
    assert_eq!(ids("user=user-1").0, ["tel-1"]);
    assert_eq!(api.get("/v1/endpoints/tel-1/status").json()["extension"], "301");
    for _ in 0..2 {
        assert_eq!(api.ask("DELETE", path, &[], "").status, 204);
    }
    assert_eq!((api.get(path).status, api.put("/v1/endpoints/tel-1/users/nobody", &[], &json!({})).status), (404, 404));

    // Thousands go as tables: all of it, or nothing.
    let post = |query: &str, table: &str| api.ask("POST", &format!("/v1/endpoints.csv{query}"), &[("content-type", "text/csv")], table);
    let wrong = post("", "id,mac\ntel-8,red\ntel-9,\n").problem();
    assert_eq!((&wrong["status"], &wrong["errors"][0]["line"]), (&json!(422), &json!(2)), "{wrong}");
    let table = "id,name\ntel-3,Lobby\ntel-4,Bar\n";
    let dry = post("?dry_run=true", table).json();
    assert_eq!((&dry["added"], &dry["changed"], &dry["dry_run"]), (&json!(1), &json!(1), &json!(true)));
    assert_eq!(ids("find=tel-4").0, Vec::<String>::new());
    let done = post("", table).json();
    let password = done["passwords"]["tel-4"].as_str().unwrap();
    api.patch("/v1/endpoints/tel-4", &json!({"licence": "site"}));
    assert_eq!(Phone::new(&gateway).register("tel-4", password, Some(60)), 200);
    let all = api.get("/v1/endpoints.csv");
    assert_eq!((all.header("content-type"), all.text.lines().count()), (Some("text/csv"), 5));
    assert_eq!(post("", &all.text).json()["unchanged"], 4);
    let users = api.get("/v1/users.csv").text;
    let users = api.ask("POST", "/v1/users.csv", &[("content-type", "text/csv")], &users.replace(",301,", ",311,")).json();
    assert_eq!(users["changes"], json!({"user-1": "extension: 301 -> 311"}));
}

#[test]
fn only_a_token_of_the_file_lets_anybody_in() {
    let site = site("", "rest_failures = 3\n");
    let gateway = site.start();
    let mut api = client(&site, &gateway);
    let good = api.token.clone();
    let bare = |headers: &[(&str, &str)]| exchange(TcpStream::connect(api.address).unwrap(), "GET", "/v1/status", headers, "");
    for headers in [&[][..], &[("authorization", "Basic YTpi")]] {
        let answer = bare(headers);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer realm=\"holdfast\"")));
        answer.problem();
    }
    // The document is for everybody.
    assert_eq!(exchange(TcpStream::connect(api.address).unwrap(), "GET", "/v1/openapi.json", &[], "").json()["openapi"], "3.1.0");
    assert_eq!(api.get("/v1/status").status, 200);

    // Tokens change while it runs, and have names for the histories.
    let file = site.data().join("rest.token");
    let portal = "0123456789abcdef0123456789abcdef";
    fs::write(&file, format!("portal {portal}\n")).unwrap();
    api.token = portal.to_owned();
    assert_eq!(api.put("/v1/users/dora", &[], &json!({"extension": "2005"})).status, 201);
    assert_eq!(api.get("/v1/users/dora/history").json()["items"][0]["by"], "rest:portal");
    api.token = good;
    for _ in 0..3 {
        let answer = api.get("/v1/status");
        assert_eq!(answer.status, 401, "the old token was taken back: {answer:?}");
        answer.problem();
    }
    // Who guesses is not listened to for a while, whatever he says.
    api.token = portal.to_owned();
    let answer = api.get("/v1/status");
    assert!(answer.status == 429 && answer.header("retry-after").unwrap().parse::<u64>().unwrap() <= 60, "{answer:?}");
    answer.problem();
    assert!(gateway.log().contains("limit `rest_failures`"));
    let metrics = gateway::manage::ask(&site.data(), axum::http::Method::GET, "/metrics").unwrap();
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.contains("reason=\"rest-failures\"") && metrics.contains("reason=\"rest-unauthorised\""), "{metrics}");
}

/// Where others reach it, it is HTTPS with the gateway's certificate, and the operator has named the token file.
#[test]
fn others_than_this_machine_need_a_named_token_and_speak_tls() {
    let site = site("", "");
    site.edit(|text| text.replace("  listen = \"127.0.0.1:0\"", "  listen = \"0.0.0.0:0\""));
    let check = site.command("check").output().unwrap();
    let text = String::from_utf8(check.stdout).unwrap();
    assert!(!check.status.success() && text.contains("rest.token_file: is missing though others"), "{text}");

    // Named, but not there: none is made, phones are served, and check says so.
    let file = site.data().join("../portal.token");
    site.edit(|text| text.replace("\"0.0.0.0:0\"", &format!("\"0.0.0.0:0\"\n  token_file = {:?}", file.display().to_string())));
    let gateway = site.start();
    assert_eq!((gateway.rest, file.exists()), (None, false));
    assert!(gateway.log().contains("the REST API is not served: the token file") && Phone::new(&gateway).options());
    let text = String::from_utf8(site.command("check").output().unwrap().stdout).unwrap();
    assert!(text.contains("portal.token cannot be read"), "{text}");
    drop(gateway);

    let token = "fedcba9876543210fedcba9876543210";
    gateway::data::write_private(&file, token.as_bytes()).unwrap();
    let gateway = site.start();
    let port = gateway.rest.unwrap().port();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(site.data().join("tls/root.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let tls = StreamOwned::new(ClientConnection::new(config, ServerName::try_from("127.0.0.1").unwrap()).unwrap(), stream);
    let answer = exchange(tls, "GET", "/v1/status", &[("authorization", &format!("Bearer {token}"))], "");
    assert_eq!((answer.status, &answer.json()["domain"]), (200, &json!("sip.example")));
}
