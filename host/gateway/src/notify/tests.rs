//! Telling, against real servers on loopback.

use super::{
    alarm::{Alarm, Kind, Raised, Who},
    book::Book,
    mail, webhook, *,
};
use crate::{
    config::notify::{Mail, Secret, Security},
    observe::Counters,
};
use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use std::{fs, net::SocketAddr, path::PathBuf};
use switch::directory::{Directory, Emergency};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

const PATIENCE: Duration = Duration::from_secs(20);

fn raised(call_id: &str, kind: Kind) -> Raised {
    Raised {
        kind,
        call_id: call_id.to_owned(),
        at: Clock::start().now(),
        dialled: "112".to_owned(),
        caller: Who {
            number: "1002".to_owned(),
            name: "Workshop".to_owned(),
            endpoint: Some("desk-2".to_owned()),
            address: "192.0.2.7:5060".to_owned(),
        },
        location: Some("hq".to_owned()),
        callback: Some("+442030001111".to_owned()),
        trunk: Some("provider".to_owned()),
    }
}

fn alarm() -> Alarm {
    let Raised { kind, call_id, at, dialled, caller, location, callback, trunk } = raised("a@phone", Kind::EmergencyCall);
    let (address, callback) = (Some("1 High Street, floor 2".to_owned()), callback.unwrap());
    let (told, acknowledged, at) = (BTreeMap::new(), None, at.unix_micros());
    Alarm { number: 7, kind, call_id, at, dialled, caller, location, address, callback, trunk, told, acknowledged }
}

/// A certificate for loopback that signs itself: the file that names it as an authority, and how a server shows it.
fn certificate(folder: &Path) -> (PathBuf, Arc<ServerConfig>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let file = folder.join("root.pem");
    fs::write(&file, certificate.pem()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().unwrap();
    let private = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    (file, Arc::new(builder.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], private).unwrap()))
}

/// Answers every POST with `status`, and hands on what came.
fn hook(listener: TcpListener, status: StatusCode) -> Receiver<(HeaderMap, Value)> {
    let (came, inbox) = channel(16);
    let take = move |headers: HeaderMap, body: axum::body::Bytes| {
        let came = came.clone();
        async move {
            came.send((headers, serde_json::from_slice(&body).unwrap())).await.unwrap();
            status
        }
    };
    let router = Router::new().route("/alarms", post(take));
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    inbox
}

fn url(scheme: &str, address: SocketAddr) -> axum::http::Uri {
    format!("{scheme}://localhost:{}/alarms", address.port()).parse().unwrap()
}

async fn loopback() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

#[tokio::test]
async fn a_webhook_gets_everything_as_json_and_says_whether_it_has_it() {
    let (listener, address) = loopback().await;
    let mut came = hook(listener, StatusCode::ACCEPTED);
    let token = Secret("s3cret".to_owned());
    webhook::post(&url("http", address), Some(&token), None, &alarm()).await.unwrap();
    let (headers, said) = came.recv().await.unwrap();
    assert_eq!(headers["authorization"], "Bearer s3cret");
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(said["event"], "emergency-call");
    assert_eq!(said["test"], false);
    assert_eq!((&said["alarm"], &said["dialled"]), (&7.into(), &"112".into()));
    assert_eq!(said["caller"]["number"], "1002");
    assert_eq!(said["location"]["address"], "1 High Street, floor 2");
    assert_eq!(said["callback"], "+442030001111");
    assert!(said["time"].as_str().unwrap().ends_with('Z'));

    let (listener, address) = loopback().await;
    let _came = hook(listener, StatusCode::SERVICE_UNAVAILABLE);
    let refused = webhook::post(&url("http", address), None, None, &alarm()).await.unwrap_err();
    assert!(refused.to_string().contains("503"), "{refused}");
}

#[tokio::test]
async fn a_webhook_over_tls_must_show_a_certificate_that_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let (root, server) = certificate(folder.path());
    let (listener, address) = loopback().await;
    let acceptor = TlsAcceptor::from(server);
    let (came, mut inbox) = channel(4);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut lines = BufReader::new(&mut stream).lines();
            let mut head = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.is_empty() {
                    break;
                }
                head.push(line);
            }
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            came.send(head).await.unwrap();
        }
    });
    let untrusted = webhook::post(&url("https", address), None, None, &alarm()).await.unwrap_err();
    assert!(format!("{untrusted:#}").contains("TLS"), "{untrusted:#}");
    webhook::post(&url("https", address), None, Some(&root), &alarm()).await.unwrap();
    let head = inbox.recv().await.unwrap();
    assert_eq!(head[0], "POST /alarms HTTP/1.1");
}

/// A connection, secured or not.
trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// Speaks SMTP (RFC 5321) on one connection, after `STARTTLS` within TLS (RFC 3207). Everything that was said.
async fn smtp(stream: impl Wire + 'static, mut tls: Option<TlsAcceptor>) -> Vec<String> {
    let mut stream = BufReader::new(Box::new(stream) as Box<dyn Wire>);
    let mut said = Vec::new();
    let mut data = false;
    stream.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
            return said;
        }
        let line = line.trim_end().to_owned();
        said.push(line.clone());
        if data {
            data = line != ".";
            if !data {
                stream.write_all(b"250 taken\r\n").await.unwrap();
            }
            continue;
        }
        let word = line.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        let answer: &[u8] = match word.as_str() {
            "EHLO" if tls.is_some() => b"250-mail.example\r\n250-AUTH PLAIN\r\n250 STARTTLS\r\n",
            "EHLO" => b"250-mail.example\r\n250 AUTH PLAIN\r\n",
            "AUTH" => b"235 welcome\r\n",
            "DATA" => {
                data = true;
                b"354 go on\r\n"
            }
            "RCPT" if line.contains("nobody@") => b"550 no such user\r\n",
            "STARTTLS" => b"220 go on\r\n",
            "QUIT" => b"221 bye\r\n",
            _ => b"250 ok\r\n",
        };
        stream.write_all(answer).await.unwrap();
        if let ("STARTTLS", Some(acceptor)) = (word.as_str(), tls.take_if(|_| word == "STARTTLS")) {
            stream = BufReader::new(Box::new(acceptor.accept(stream.into_inner()).await.unwrap()));
            said.push("(secured)".to_owned());
        }
    }
}

fn way(address: SocketAddr, security: Security) -> Mail {
    let (from, to) = ("holdfast@example.org".to_owned(), vec!["desk@example.org".to_owned(), "guard@example.org".to_owned()]);
    Mail { server: "localhost".to_owned(), port: address.port(), security, login: None, from, to, authorities: None }
}

#[tokio::test]
async fn mail_goes_to_all_in_clear_where_that_is_wanted() {
    let (listener, address) = loopback().await;
    let server = tokio::spawn(async move { smtp(listener.accept().await.unwrap().0, None).await });
    mail::send(&way(address, Security::None), &alarm(), PATIENCE).await.unwrap();
    let said = server.await.unwrap();
    for wanted in [
        "RCPT TO:<desk@example.org>",
        "RCPT TO:<guard@example.org>",
        "Subject: EMERGENCY CALL: 1002 Workshop dialled 112",
        "Location: hq, 1 High Street, floor 2",
        "Callback number: +442030001111",
    ] {
        assert!(said.iter().any(|line| line == wanted), "{wanted}: {said:#?}");
    }
}

#[tokio::test]
async fn mail_is_secured_before_name_and_password_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (root, server) = certificate(folder.path());
    let login = Some(("holdfast".to_owned(), Secret("pw".to_owned())));

    let (listener, address) = loopback().await;
    let acceptor = TlsAcceptor::from(Arc::clone(&server));
    let conversation = tokio::spawn(async move { smtp(listener.accept().await.unwrap().0, Some(acceptor)).await });
    let mail = Mail { login: login.clone(), authorities: Some(root.clone()), ..way(address, Security::StartTls) };
    mail::send(&mail, &alarm(), PATIENCE).await.unwrap();
    let said = conversation.await.unwrap();
    let place = |wanted: &str| said.iter().position(|line| line.starts_with(wanted)).unwrap_or_else(|| panic!("{wanted}: {said:#?}"));
    assert!(place("STARTTLS") < place("(secured)") && place("(secured)") < place("AUTH PLAIN") && place("AUTH PLAIN") < place("MAIL FROM"));

    let (listener, address) = loopback().await;
    let acceptor = TlsAcceptor::from(server);
    let conversation = tokio::spawn(async move {
        let secured = acceptor.accept(listener.accept().await.unwrap().0).await.unwrap();
        smtp(secured, None).await
    });
    let mail = Mail { login, authorities: Some(root), ..way(address, Security::Tls) };
    mail::send(&mail, &alarm(), PATIENCE).await.unwrap();
    assert!(conversation.await.unwrap().iter().any(|line| line.starts_with("AUTH PLAIN")));
}

#[tokio::test]
async fn a_server_without_starttls_is_told_nothing() {
    let (listener, address) = loopback().await;
    let server = tokio::spawn(async move { smtp(listener.accept().await.unwrap().0, None).await });
    mail::send(&way(address, Security::StartTls), &alarm(), PATIENCE).await.unwrap_err();
    assert!(!server.await.unwrap().iter().any(|line| line.starts_with("MAIL")));
}

#[tokio::test]
async fn mail_that_one_recipient_does_not_get_counts_as_not_sent() {
    let (listener, address) = loopback().await;
    let _server = tokio::spawn(async move { smtp(listener.accept().await.unwrap().0, None).await });
    let mail = Mail { to: vec!["desk@example.org".to_owned(), "nobody@example.org".to_owned()], ..way(address, Security::None) };
    let refused = mail::send(&mail, &alarm(), PATIENCE).await.unwrap_err();
    assert!(format!("{refused:#}").contains("no such user"), "{refused:#}");
}

#[test]
fn a_test_never_reads_like_the_real_thing() {
    let real = alarm();
    assert!(real.headline().starts_with("EMERGENCY") && real.subject().starts_with("EMERGENCY CALL"));
    for kind in [Kind::EmergencyTest, Kind::NotificationTest] {
        let test = Alarm { kind, ..alarm() };
        for text in [test.headline(), test.subject(), test.text()] {
            assert!(text.starts_with("TEST") && !text.contains("EMERGENCY"), "{text}");
        }
        assert_eq!(test.json()["test"], true);
        assert!(!test.is_open());
    }
}

/// Waits for what another thread or task brings about.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{what}"));
}

fn site() -> Arc<Site> {
    let emergency = Emergency::default();
    let directory = Directory::new("sip.example".to_owned(), vec![], vec![], vec![], emergency, vec![]);
    Arc::new(Site::new(directory, switch::Limits::default()))
}

fn start(folder: &Path, ways: &[Way], limits: Limits) -> Arc<Notifier> {
    let (notifier, inbox) = Notifier::open(folder, ways, limits, Clock::start(), Arc::default()).unwrap();
    tokio::spawn(Arc::clone(&notifier).run(inbox, Exchange::new(1, 10), site()));
    notifier
}

fn hook_way(name: &str, address: SocketAddr) -> Way {
    Way { name: name.to_owned(), tests: true, by: By::Webhook { url: url("http", address), token: None, authorities: None } }
}

#[tokio::test]
async fn a_dead_webhook_delays_no_other_and_is_told_when_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, well) = loopback().await;
    let mut well_came = hook(listener, StatusCode::OK);
    let (listener, dead) = loopback().await;
    drop(listener);
    let notifier = start(folder.path(), &[hook_way("dead", dead), hook_way("well", well)], Limits::default());
    notifier.inbox.try_send(raised("a@phone", Kind::EmergencyCall)).unwrap();
    // The same call again, as after a restart: it raises no second alarm.
    notifier.inbox.try_send(raised("a@phone", Kind::EmergencyCall)).unwrap();
    assert_eq!(well_came.recv().await.unwrap().1["alarm"], 1);
    until("the dead one was not tried", || notifier.alarm(1).is_some_and(|alarm| alarm.told["dead"].error.is_some())).await;
    assert!(notifier.alarm(1).unwrap().told["dead"].at.is_none());

    let mut dead_came = hook(TcpListener::bind(dead).await.unwrap(), StatusCode::OK);
    assert_eq!(timeout(PATIENCE, dead_came.recv()).await.unwrap().unwrap().1["call_id"], "a@phone");
    until("both were told", || notifier.alarm(1).is_some_and(|alarm| alarm.told.values().all(|told| told.at.is_some()))).await;
    assert_eq!(notifier.alarms().len(), 1);
    let counted = notifier.counted();
    assert!(counted.iter().any(|(way, told, failed)| way == "dead" && *told == 1 && *failed > 0), "{counted:?}");
    assert!(counted.contains(&("well".to_owned(), 1, 0)), "{counted:?}");
}

#[tokio::test]
async fn what_was_not_told_before_the_end_is_told_after_it_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, well) = loopback().await;
    let mut well_came = hook(listener, StatusCode::OK);
    let (listener, dead) = loopback().await;
    drop(listener);
    let ways = [hook_way("dead", dead), hook_way("well", well)];
    let notifier = start(folder.path(), &ways, Limits::default());
    notifier.inbox.try_send(raised("a@phone", Kind::EmergencyCall)).unwrap();
    assert_eq!(well_came.recv().await.unwrap().1["alarm"], 1);
    let file = folder.path().join("alarms.jsonl");
    let kept = |text: &str| fs::read_to_string(&file).is_ok_and(|kept| kept.contains(text));
    until("the alarm stands on disk as told", || kept("\"well\":{\"at\":1")).await;
    // As after `kill -9`: nothing more is written, and another process reads what is there.
    let later = tempfile::tempdir().unwrap();
    fs::copy(&file, later.path().join("alarms.jsonl")).unwrap();
    let notifier = start(later.path(), &ways, Limits::default());
    until("the alarm is taken up", || notifier.alarm(1).is_some()).await;
    let mut dead_came = hook(TcpListener::bind(dead).await.unwrap(), StatusCode::OK);
    assert_eq!(timeout(PATIENCE, dead_came.recv()).await.unwrap().unwrap().1["alarm"], 1);
    assert!(well_came.try_recv().is_err(), "told twice");
    // The call goes on and is reported again; the next one has the next number.
    notifier.inbox.try_send(raised("a@phone", Kind::EmergencyCall)).unwrap();
    notifier.inbox.try_send(raised("b@phone", Kind::EmergencyCall)).unwrap();
    assert_eq!(well_came.recv().await.unwrap().1["alarm"], 2);

    let (alarm, on_disk) = notifier.acknowledge(2, "guard").await.unwrap();
    assert!(on_disk && alarm.acknowledged.unwrap().by == "guard");
    assert!(notifier.acknowledge(99, "guard").await.is_none());
    let last = tempfile::tempdir().unwrap();
    fs::copy(later.path().join("alarms.jsonl"), last.path().join("alarms.jsonl")).unwrap();
    let notifier = start(last.path(), &[], Limits::default());
    assert_eq!(notifier.alarms().iter().map(Alarm::is_open).collect::<Vec<_>>(), [true, false]);
}

#[tokio::test]
async fn an_acknowledged_alarm_is_told_to_nobody_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, dead) = loopback().await;
    drop(listener);
    let notifier = start(folder.path(), &[hook_way("dead", dead)], Limits::default());
    notifier.inbox.try_send(raised("a@phone", Kind::EmergencyCall)).unwrap();
    until("an attempt", || notifier.alarm(1).is_some_and(|alarm| alarm.told["dead"].attempts > 0)).await;
    notifier.acknowledge(1, "guard").await.unwrap();
    // One share is ours, one has the task that receives: whoever told it has gone.
    until("nobody tells it", || Arc::strong_count(&notifier) == 2).await;
}

#[tokio::test]
async fn tests_are_left_out_where_that_is_wanted_and_every_way_can_be_tried() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = loopback().await;
    let mut came = hook(listener, StatusCode::OK);
    let (listener, dead) = loopback().await;
    drop(listener);
    let ways = [Way { tests: false, ..hook_way("hook", address) }, hook_way("dead", dead)];
    let notifier = start(folder.path(), &ways, Limits::default());
    until("it runs", || notifier.way_out.get().is_some()).await;
    notifier.inbox.try_send(raised("t@phone", Kind::EmergencyTest)).unwrap();
    until("the test is known", || notifier.alarm(1).is_some()).await;
    assert!(!notifier.alarm(1).unwrap().told.contains_key("hook"));

    let number = notifier.try_ways("anna").unwrap();
    let alarm = notifier.outcome(number, PATIENCE).await.unwrap();
    assert!(alarm.told["hook"].at.is_some() && alarm.told["dead"].error.is_some(), "{alarm:?}");
    let (_, said) = came.recv().await.unwrap();
    assert_eq!((&said["event"], &said["test"]), (&"notification-test".into(), &true.into()));
}

#[tokio::test]
async fn a_disk_that_fails_costs_no_alarm_and_has_all_of_them_when_it_is_well_again() {
    let folder = tempfile::tempdir().unwrap();
    // A folder where the file should be made: nothing can be written.
    fs::create_dir(folder.path().join("alarms.new")).unwrap();
    let counters = Arc::new(Counters::default());
    let (book, alarms) = Book::open(folder.path(), 10, Arc::clone(&counters)).unwrap();
    let number = alarms.lock().add(alarm()).0;
    let (done, kept) = oneshot::channel();
    book.write(number, Some(done));
    assert!(!kept.await.unwrap());
    assert!(counters.read().dropped["alarm-not-kept"] > 0);
    fs::remove_dir(folder.path().join("alarms.new")).unwrap();
    let file = folder.path().join("alarms.jsonl");
    until("it is written", || fs::read_to_string(&file).is_ok_and(|text| text.contains("\"call_id\":\"a@phone\""))).await;
}

#[test]
fn of_too_many_alarms_the_closed_ones_go_first() {
    let folder = tempfile::tempdir().unwrap();
    let (_book, shared) = Book::open(folder.path(), 3, Arc::default()).unwrap();
    let mut alarms = shared.lock();
    let mut add = |call_id: &str, kind| alarms.add(Alarm { call_id: call_id.to_owned(), kind, ..alarm() }).1;
    assert!(
        add("1", Kind::EmergencyCall).is_empty() && add("2", Kind::EmergencyTest).is_empty() && add("3", Kind::EmergencyCall).is_empty()
    );
    assert_eq!(add("4", Kind::EmergencyCall).iter().map(|gone| gone.number).collect::<Vec<_>>(), [2]);
    assert_eq!(add("5", Kind::EmergencyCall).iter().map(|gone| gone.number).collect::<Vec<_>>(), [1]);
    assert!(!alarms.knows("1") && alarms.knows("5"));
}
