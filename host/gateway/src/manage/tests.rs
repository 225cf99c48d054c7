use super::*;
use crate::{
    clock::Clock,
    config::Degraded,
    policy::EngineSettings,
    provision::{Keeping, Vault},
    store::{Options, Store},
};
use axum::http::{Method, Request};
use std::os::unix::fs::PermissionsExt as _;
use switch::{
    Limits,
    directory::{Directory, Emergency},
};
use tokio::net::UnixStream;

async fn shown(folder: &std::path::Path) -> Shown {
    shown_with(folder, None).await
}

async fn shown_with(folder: &std::path::Path, keeping: Option<Keeping>) -> Shown {
    let emergency = Emergency::default();
    let directory = Directory::new("sip.example".to_owned(), vec![], vec![], vec![], emergency, vec![]);
    let site = Arc::new(Site::new(directory, Limits::default()));
    let (limits, clock) = (config::Limits::default(), Clock::start());
    let options = Options::new(&limits, Degraded::Refuse);
    let mut started = Store::start(&folder.join("store.sqlite"), &site, clock.now(), options, Arc::default()).await.unwrap();
    let settings = EngineSettings { watch: false, ..EngineSettings::default() };
    Shown {
        engine: Engine::start(folder, Arc::clone(&site), settings).unwrap(),
        counters: Arc::default(),
        keeper: Keeper::new(Arc::clone(&site), &mut started, clock, keeping),
        site,
        notifier: None,
        exchange: Exchange::new(1, 10),
        listening: Arc::default(),
    }
}

fn data(folder: &tempfile::TempDir) -> DataFolder {
    DataFolder::open(folder.path()).unwrap()
}

async fn get(stream: UnixStream, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).header("host", "holdfast").body(http_body_util::Full::default()).unwrap();
    let answer = exchange(stream, request, 1 << 20).await.unwrap();
    (answer.status(), String::from_utf8(answer.into_body().to_vec()).unwrap())
}

#[tokio::test]
async fn only_the_owner_may_open_the_door_and_a_door_left_behind_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder);
    let path = data.root().join(SOCKET);
    // As a gateway that was killed leaves it.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let doors = Doors::open(&data, None, &shown(folder.path()).await);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let (status, body) = get(UnixStream::connect(&path).await.unwrap(), "/policies").await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, r#"{"policies":[]}"#));
    let (status, body) = get(UnixStream::connect(&path).await.unwrap(), "/nothing").await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(serde_json::from_str::<Refused>(&body).unwrap().remedy.contains("/policies"), "{body}");
    drop(doors);
    assert!(!path.exists());
}

#[tokio::test]
async fn what_lies_in_the_way_of_the_door_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(SOCKET);
    std::fs::write(&path, "mine").unwrap();
    let error = server::socket(&path).unwrap_err();
    assert!(error.to_string().contains("is there and is no socket; remove it"), "{error:#}");
    let doors = Doors::open(&data(&folder), None, &shown(folder.path()).await);
    drop(doors);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
}

#[tokio::test]
async fn a_path_that_the_system_has_no_room_for_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(100));
    std::fs::create_dir(&long).unwrap();
    let error = server::socket(&long.join(SOCKET)).unwrap_err();
    assert!(error.to_string().contains("the system allows 107; use a data folder with a shorter path"), "{error:#}");
}

#[tokio::test]
async fn more_connections_than_there_are_places_wait_for_their_turn() {
    let folder = tempfile::tempdir().unwrap();
    let data = data(&folder);
    let _doors = Doors::open(&data, None, &shown(folder.path()).await);
    let path = data.root().join(SOCKET);
    let mut silent = Vec::new();
    for _ in 0..server::CONNECTIONS {
        silent.push(UnixStream::connect(&path).await.unwrap());
    }
    // Its turn comes when one of the silent ones goes.
    let answer = tokio::spawn(get(UnixStream::connect(&path).await.unwrap(), "/policies"));
    drop(silent);
    assert_eq!(answer.await.unwrap().0, StatusCode::OK);
}

#[tokio::test]
async fn metrics_over_tcp_are_metrics_only() {
    let folder = tempfile::tempdir().unwrap();
    let doors = Doors::open(&data(&folder), Some("127.0.0.1:0".parse().unwrap()), &shown(folder.path()).await);
    let ask = async |path: &str| {
        let stream = tokio::net::TcpStream::connect(doors.metrics.unwrap()).await.unwrap();
        let request = Request::get(path).header("host", "holdfast").body(http_body_util::Full::default()).unwrap();
        exchange(stream, request, 1 << 20).await.unwrap()
    };
    let metrics = ask("/metrics").await;
    assert_eq!(metrics.headers()["content-type"], metrics::CONTENT_TYPE);
    let text = String::from_utf8(metrics.into_body().to_vec()).unwrap();
    assert!(text.contains("\nholdfast_calls_live 0\n") && text.ends_with("# EOF\n"), "{text}");
    assert_eq!(ask("/policies").await.status(), StatusCode::NOT_FOUND);
}

fn body(answer: &Answer) -> serde_json::Value {
    serde_json::from_slice(&answer.body).unwrap()
}

#[tokio::test]
async fn endpoints_and_users_are_shown_changed_and_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let doors = Doors::open(&data(&folder), None, &shown(folder.path()).await);
    let root = folder.path().to_owned();
    let talk = move || {
        let post = |body: &str| ask_with(&root, Method::POST, "/directory", body.as_bytes().to_vec()).unwrap();
        let alice = r#"{"by": "ann", "edits": [{"edit": "user", "id": "alice", "existing": "not", "fields": {"extension": "2001"}},
            {"edit": "endpoint", "id": "desk", "existing": "not", "fields": {"users": [{"user": "alice", "rings": true}]}}]}"#;
        let answer = post(alice);
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        assert_eq!(body(&answer)["passwords"]["desk"].as_str().map(str::len), Some(16), "one is made and told once");
        let answer = post(alice);
        assert_eq!((answer.status, &body(&answer)["problems"][0]["edit"]), (StatusCode::UNPROCESSABLE_ENTITY, &serde_json::json!(0)));
        for wrong in ["", "{}", r#"{"by": "", "edits": []}"#, r#"{"by": "a", "edits": [{"edit": "remove", "id": "desk"}]}"#] {
            assert_eq!(post(wrong).status, StatusCode::BAD_REQUEST, "{wrong}");
        }
        let dry = r#"{"by": "ann", "dry_run": true, "edits": [{"edit": "endpoint", "id": "desk", "existing": "must", "fields": {"enabled": false}}]}"#;
        assert_eq!(body(&post(dry))["changes"][0]["what"], "status: enabled -> disabled");

        let get = |path: &str| ask(&root, Method::GET, path).unwrap();
        let page = body(&get("/endpoints/desk"));
        assert_eq!((&page["extension"], &page["enabled"]), (&serde_json::json!("2001"), &serde_json::json!(true)));
        assert_eq!((&page["history"][0]["by"], &page["history"][0]["what"]), (&serde_json::json!("ann"), &serde_json::json!("added")));
        assert!(!page.to_string().contains("md5"), "{page}");
        assert_eq!(body(&get("/users?find=ALI"))["rows"][0]["endpoints"][0]["endpoint"], "desk");
        assert_eq!(body(&get("/endpoints?find=nobody"))["rows"], serde_json::json!([]));
        assert_eq!(get("/endpoints/none").status, StatusCode::NOT_FOUND);
        assert_eq!(get("/users/desk").status, StatusCode::NOT_FOUND);
    };
    tokio::task::spawn_blocking(talk).await.unwrap();
    drop(doors);
}

#[test]
fn without_a_gateway_the_asker_is_told_so() {
    let folder = tempfile::tempdir().unwrap();
    let error = ask(folder.path(), Method::GET, "/policies").unwrap_err().to_string();
    assert!(
        error.starts_with("no gateway runs on the data folder") && error.contains("--data") && error.contains("holdfast check"),
        "{error}"
    );
}

/// Of all who show the same one-time token at the same time one is told; of those who come too late, none.
#[tokio::test]
async fn a_one_time_token_is_good_once_and_for_its_time_only() {
    for (good, wins) in [(Duration::from_secs(60), 1), (Duration::ZERO, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let keeping = Keeping { vault: Vault::open(&folder.path().join("provision.key")).unwrap(), token: good };
        let shown = shown_with(folder.path(), Some(keeping)).await;
        let _doors = Doors::open(&data(&folder), None, &shown);
        let root = folder.path().to_owned();
        let talk = move || {
            let add =
                r#"{"by": "ann", "edits": [{"edit": "endpoint", "id": "desk", "existing": "not", "fields": {"mac": "001b4f000007"}}]}"#;
            assert_eq!(ask_with(&root, Method::POST, "/directory", add.into()).unwrap().status, StatusCode::OK);
            for (id, by, status) in
                [("desk", "ann", StatusCode::CREATED), ("desk", "", StatusCode::BAD_REQUEST), ("none", "ann", StatusCode::NOT_FOUND)]
            {
                let asked =
                    ask_with(&root, Method::POST, &format!("/endpoints/{id}/token"), format!(r#"{{"by": "{by}"}}"#).into()).unwrap();
                assert_eq!(asked.status, status, "{asked:?}");
            }
            let made = ask_with(&root, Method::POST, "/endpoints/desk/token", r#"{"by": "ann"}"#.into()).unwrap();
            let token = body(&made)["token"].as_str().unwrap().to_owned();
            let from = "192.0.2.7".parse().unwrap();
            assert_eq!(shown.keeper.take_token("none", &token, from), Ok(false));
            assert_eq!(shown.keeper.take_token("desk", "", from), Ok(false));
            std::thread::scope(|scope| {
                let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| shown.keeper.take_token("desk", &token, from).unwrap())).collect();
                tries.into_iter().map(|one| usize::from(one.join().unwrap())).sum::<usize>()
            })
        };
        assert_eq!(tokio::task::spawn_blocking(talk).await.unwrap(), wins, "{good:?}");
    }
}
