//! What becomes of a user's calls, drills and one-time tokens: set and asked by command, table and REST, and kept over a kill.

use crate::{
    gateway::{Gateway, Site},
    http::Client,
    phone::Phone,
};
use serde_json::{Value, json};
use std::{fs, process::Command};

fn site(more: &str) -> Site {
    let site = Site::with_endpoints(1);
    // Indented, so that it is not taken for the listening line of SIP.
    site.edit(|text| text.replace("[limits]\n", &format!("[rest]\n  listen = \"127.0.0.1:0\"\n{more}[limits]\n")));
    site
}

fn client(site: &Site, gateway: &Gateway) -> Client {
    let text = fs::read_to_string(site.data().join("rest.token")).unwrap();
    Client { address: gateway.rest.unwrap(), token: text.lines().last().unwrap().split(' ').next_back().unwrap().to_owned() }
}

fn run(site: &Site, arguments: &[&str]) -> (bool, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let output = command.args(arguments).arg("--json").arg("--data").arg(site.data()).output().unwrap();
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}")))
}

fn done(site: &Site, arguments: &[&str]) -> Value {
    let (well, said) = run(site, arguments);
    assert!(well, "{arguments:?}: {said}");
    said
}

#[test]
fn what_becomes_of_a_users_calls_is_set_by_command_table_and_rest_and_kept() {
    let site = site("");
    let mut gateway = site.start();
    site.listen_on(&gateway);
    let api = client(&site, &gateway);
    done(
        &site,
        &["user", "add", "alice", "--extension", "2000", "--ring-seconds", "20", "--forward-no-answer", "2001", "--dial-class", "national"],
    );
    let shown = api.get("/v1/users/alice");
    let member = |name: &str| shown.json()[name].clone();
    assert_eq!(
        ["ring_seconds", "forward_always", "forward_busy", "forward_no_answer", "forward_unreachable", "dial_class"].map(member),
        [json!(20), Value::Null, Value::Null, json!("2001"), Value::Null, json!("national")]
    );
    // What is shown can be sent back, and single members go.
    assert_eq!(api.put("/v1/users/alice", &[], &shown.json()).etag(), shown.etag());
    let patched = api.patch("/v1/users/alice", &json!({"forward_unreachable": "+447700900123", "ring_seconds": null}));
    assert_eq!(
        (patched.status, &patched.json()["ring_seconds"], &patched.json()["forward_no_answer"]),
        (200, &Value::Null, &json!("2001"))
    );
    for (wrong, at, status) in [
        (json!({"forward_busy": "112"}), "/forward_busy", 422),
        (json!({"forward_busy": "2000"}), "/forward_busy", 422),
        (json!({"forward_busy": "a b"}), "/forward_busy", 400),
        (json!({"forward_busy": ""}), "/forward_busy", 400),
        (json!({"ring_seconds": 0}), "/ring_seconds", 400),
        (json!({"ring_seconds": 601}), "/ring_seconds", 400),
    ] {
        let refused = api.patch("/v1/users/alice", &wrong);
        assert_eq!((refused.status, &refused.problem()["errors"][0]["pointer"]), (status, &json!(at)), "{wrong}: {refused:?}");
    }
    // As a table: out, changed, in again; what no column names stays.
    let table = site.data().join("users.csv");
    done(&site, &["user", "export", table.to_str().unwrap()]);
    let text = fs::read_to_string(&table).unwrap();
    assert_eq!(
        text,
        "id,name,extension,numbers,enabled,ring_seconds,forward_always,forward_busy,forward_no_answer,forward_unreachable,dial_class\n\
         alice,,2000,,yes,,,,2001,+447700900123,national\n"
    );
    fs::write(&table, "id,ring_seconds,forward_busy\nalice,15,2002\n").unwrap();
    done(&site, &["user", "import", table.to_str().unwrap()]);
    fs::write(&table, "id,ring_seconds\nalice,soon\n").unwrap();
    let (well, said) = run(&site, &["user", "import", table.to_str().unwrap()]);
    assert!(!well && said.to_string().contains("`soon` is no number"), "{said}");
    let history = done(&site, &["user", "show", "alice"])["history"].clone();
    assert_eq!(history[0]["what"], "ring seconds: 15; forward when busy: 2002", "{history}");
    gateway.kill();
    drop(gateway);
    let gateway = site.start();
    let again = client(&site, &gateway).get("/v1/users/alice").json();
    assert_eq!(
        ["ring_seconds", "forward_busy", "dial_class"].map(|name| again[name].clone()),
        [json!(15), json!("2002"), json!("national")]
    );
}

#[test]
fn drills_are_held_over_rest() {
    let site = site("");
    let gateway = site.start();
    site.listen_on(&gateway);
    let api = client(&site, &gateway);
    let now = api.get("/v1/survival").json();
    assert_eq!(
        (&now["drill"], &now["items"][0]["phone"]["id"], &now["items"][0]["failing"]),
        (&Value::Null, &json!("desk-0"), &json!(["never-seen"]))
    );
    assert_eq!(api.get("/v1/survival?survives=true").json()["items"], json!([]));
    assert_eq!(api.get("/v1/survival?controllers=%20,").status, 422);

    let post = |path: &str, body: &str| api.ask("POST", path, &[("content-type", "application/json")], body);
    let begun = post("/v1/drills", r#"{"name": "spring"}"#);
    assert_eq!((begun.status, begun.header("location"), &begun.json()["by"]), (201, Some("/v1/drills/1"), &json!("rest")), "{begun:?}");
    assert_eq!(post("/v1/drills", "{}").status, 409);
    let phone = Phone::new(&gateway);
    assert_eq!(phone.register(&Site::user(0), &Site::password(0), Some(600)), 200);
    let came = api.get("/v1/drills/1/phones").json();
    assert_eq!((&came["items"][0]["phone"]["came"], &came["items"][0]["failing"]), (&json!(true), &json!([])), "{came}");
    assert_eq!(
        (post("/v1/drills/2/stop", "").status, post("/v1/drills/1/stop", "").status, post("/v1/drills/1/stop", "").status),
        (404, 200, 409)
    );
    let report = api.get("/v1/drills/1/phones").json();
    assert_eq!((&report["items"], report["drill"]["ended"].is_string()), (&came["items"], true), "{report}");
    assert_eq!(api.get("/v1/drills").json()["items"][0], api.get("/v1/drills/1").json());
    assert_eq!((api.get("/v1/drills/2").status, api.get("/v1/drills/2/phones").status, api.get("/v1/drills/x").status), (404, 404, 400));
    // The command sees the same.
    assert_eq!(done(&site, &["drill", "list"])["drills"][0]["name"], "spring");
}

#[test]
fn a_token_made_over_rest_lets_a_phone_fetch_its_settings_with_its_keys() {
    let site = site(
        "[provision]\n  https = \"127.0.0.1:0\"\n  http = \"127.0.0.1:0\"\n  controller = \"127.0.0.1\"\n  secrets_over_http = true\n",
    );
    let gateway = site.start();
    site.listen_on(&gateway);
    let api = client(&site, &gateway);
    assert_eq!(api.ask("POST", "/v1/endpoints/desk-7/token", &[], "").status, 404);
    let keys = json!(["line", "speed-dial:1002=Bob", "busy-lamp:1003"]);
    assert_eq!(api.put("/v1/endpoints/desk-7", &[], &json!({"licence": "site", "keys": keys})).status, 201);
    assert_eq!(api.ask("POST", "/v1/endpoints/desk-7/token", &[], "").status, 409, "no hardware address, by which its phone asks");
    assert_eq!(api.patch("/v1/endpoints/desk-7", &json!({"mac": "001B4F000007"})).status, 200);
    let made = api.ask("POST", "/v1/endpoints/desk-7/token", &[], "");
    assert_eq!(made.status, 201, "{made:?}");
    let place = gateway.provision.iter().find_map(|place| place.strip_prefix("http://")).unwrap();
    let fetch =
        || crate::http::exchange(std::net::TcpStream::connect(place).unwrap(), "GET", made.json()["path"].as_str().unwrap(), &[], "");
    let served = fetch();
    assert_eq!(served.status, 200, "{served:?}");
    for line in [
        "SET FORCE_SIP_USERNAME \"desk-7\"\n",
        "SET PHONEKEY \"Key=1;Type=line;Name=primary\"\n",
        "SET PHONEKEY \"Key=2;Type=autodial;Name=autodial;Attr1=1002;Label=Bob\"\n",
        "SET PHONEKEY \"Key=3;Type=autodial;Name=autodial;Attr1=1003\"\n",
    ] {
        assert!(served.text.contains(line), "{line} is missing: {}", served.text);
    }
    assert_eq!(fetch().status, 404, "it is good for one fetch");
    let history = api.get("/v1/endpoints/desk-7/history").json();
    assert!(
        history["items"][1]["what"].as_str().unwrap().contains("one-time token made") && history["items"][1]["by"] == "rest",
        "{history}"
    );
}
