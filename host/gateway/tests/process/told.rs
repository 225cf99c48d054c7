//! A call for help is told, kept and recorded by the real program: a trunk, a desk that rings, a phone that reads, a web server, a mail server; `kill -9`
//! in the middle.

use crate::{
    gateway::{Gateway, Site},
    phone::{Phone, listen},
};
use serde_json::Value;
use sip::{Message, message::Method};
use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    process::Output,
    sync::mpsc::{Receiver, sync_channel},
    time::Duration,
};

const PATIENCE: Duration = Duration::from_secs(30);

fn run(site: &Site, arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_holdfast"));
    command.args(arguments).arg("--data").arg(site.data()).output().unwrap()
}

fn said(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

/// Answers POSTs with 200 on a thread of its own; the bodies.
fn hook(listener: TcpListener) -> Receiver<Value> {
    let (came, inbox) = sync_channel(64);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut length, mut line) = (0, String::new());
            while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
            if came.send(serde_json::from_slice(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    inbox
}

/// Takes mail (RFC 5321) on a thread of its own; the messages.
fn mailbox(listener: TcpListener) -> Receiver<String> {
    let (came, inbox) = sync_channel(64);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            stream.write_all(b"220 mail.example\r\n").unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            while let Some(line) = lines.next() {
                if line == "DATA" {
                    stream.write_all(b"354 go on\r\n").unwrap();
                    let message: Vec<String> = lines.by_ref().take_while(|line| line != ".").collect();
                    if came.send(message.join("\n")).is_err() {
                        return;
                    }
                }
                stream.write_all(if line == "QUIT" { b"221 bye\r\n" } else { b"250 ok\r\n" }).unwrap();
            }
        }
    });
    inbox
}

fn free() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A site with a trunk that answers and two locations; what the trunk hears.
fn site(endpoints: usize, more: &str) -> (Site, Receiver<Message>) {
    let trunk = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = trunk.local_addr().unwrap().port();
    let site = Site::with_endpoints(endpoints);
    site.edit(|text| {
        format!(
            "{text}\n[[trunk]]\nname = \"provider\"\nuri = \"sip:127.0.0.1:{port};transport=udp\"\nsources = [\"127.0.0.1:{port}\"]\n\
             [[location]]\nname = \"hq\"\nnetworks = [\"127.0.0.0/8\"]\nelin = \"+442030001111\"\naddress = \"1 High Street\"\n\
             [[location]]\nname = \"barn\"\nelin = \"+442030002222\"\n\
             [emergency]\nnumbers = [\"112\"]\ntest_numbers = [\"933\"]\ntrunks = [\"provider\"]\nnetworks = [\"127.0.0.0/8\"]\n{more}"
        )
    });
    (site, listen(trunk))
}

fn registered(gateway: &Gateway, n: usize) -> Phone {
    let phone = Phone::new(gateway);
    assert_eq!(phone.register(&Site::user(n), &Site::password(n), Some(3_600)), 200);
    phone
}

fn text(message: &Message, name: &str) -> String {
    let header = message.headers().find(|header| header.raw_name.eq_ignore_ascii_case(name.as_bytes()));
    header.map_or_else(String::new, |header| String::from_utf8_lossy(header.value).into_owned())
}

#[test]
fn a_call_for_help_is_told_in_every_way_and_outlives_kill_9_until_it_is_acknowledged() {
    let (hook_listener, hook_port) = free();
    let (mail_listener, mail_port) = free();
    // Nobody listens there until the end.
    let (dead, dead_port) = free();
    drop(dead);
    let more = format!(
        "[[notify]]\nname = \"reader\"\nby = \"message\"\nto = [\"1000\"]\n\
         [[notify]]\nname = \"desk\"\nby = \"call\"\nto = \"1001\"\n\
         [[notify]]\nname = \"hook\"\nby = \"webhook\"\nurl = \"http://127.0.0.1:{hook_port}/\"\n\
         [[notify]]\nname = \"mail\"\nby = \"mail\"\nserver = \"127.0.0.1:{mail_port}\"\nsecurity = \"none\"\nfrom = \"a@example.org\"\nto = [\"b@example.org\"]\n\
         [[notify]]\nname = \"dead\"\nby = \"webhook\"\nurl = \"http://127.0.0.1:{dead_port}/\"\n"
    );
    let (site, trunk) = site(2, &more);
    let (hooked, mailed) = (hook(hook_listener), mailbox(mail_listener));
    let mut gateway = site.start();
    site.listen_on(&gateway);
    let reader = registered(&gateway, 0).listens();
    let desk = registered(&gateway, 1).listens();

    // A phone that nobody knows.
    assert_eq!(Phone::new(&gateway).calls("sip:112@sip.example"), 200);
    assert!(String::from_utf8_lossy(trunk.recv_timeout(PATIENCE).unwrap().request_uri()).starts_with("sip:112@"));

    let message = reader.recv_timeout(PATIENCE).unwrap();
    assert_eq!(message.method(), Method::Message);
    let written = String::from_utf8_lossy(message.body()).into_owned();
    for wanted in ["EMERGENCY CALL: 1002 Workshop dialled 112", "Location: hq, 1 High Street", "Callback number: +442030001111"] {
        assert!(written.contains(wanted), "{wanted}: {written}");
    }
    let invite = desk.recv_timeout(PATIENCE).unwrap();
    assert_eq!(invite.method(), Method::Invite);
    assert!(text(&invite, "From").starts_with("\"EMERGENCY 1002 Workshop\" <sip:1002@"), "{}", text(&invite, "From"));
    assert_eq!(text(&invite, "Priority"), "emergency");
    // It is held: an answer without media, and no BYE.
    let ack = desk.recv_timeout(PATIENCE).unwrap();
    assert_eq!(ack.method(), Method::Ack);
    assert!(String::from_utf8_lossy(ack.body()).contains("a=inactive"));
    let posted = hooked.recv_timeout(PATIENCE).unwrap();
    assert_eq!((&posted["event"], &posted["callback"]), (&"emergency-call".into(), &"+442030001111".into()));
    assert!(mailed.recv_timeout(PATIENCE).unwrap().contains("Subject: EMERGENCY CALL: 1002 Workshop dialled 112"));

    let four_told =
        || fs::read_to_string(site.data().join("alarms.jsonl")).unwrap().lines().last().unwrap().matches("\"at\":1").count() >= 5;
    gateway.wait(PATIENCE, four_told);
    gateway.kill();
    let gateway = site.start();
    let output = run(&site, &["alarm", "list", "--json"]);
    // Exit code 1: one is open.
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let alarms = said(&output)["alarms"].clone();
    assert_eq!(alarms.as_array().unwrap().len(), 1, "the call that goes on raised another alarm: {alarms}");
    assert_eq!((&alarms[0]["open"], &alarms[0]["caller"]["number"]), (&true.into(), &"1002".into()));
    // The dead server comes back: it is told now, and nobody else again.
    let came_back = hook(TcpListener::bind(("127.0.0.1", dead_port)).unwrap());
    assert_eq!(came_back.recv_timeout(PATIENCE).unwrap()["alarm"], 1);
    assert!(hooked.try_recv().is_err() && mailed.try_recv().is_err() && reader.try_recv().is_err(), "told twice");

    assert!(run(&site, &["alarm", "ack", "1"]).status.success());
    assert!(run(&site, &["alarm", "list"]).status.success());
    assert_eq!(run(&site, &["alarm", "ack", "2"]).status.code(), Some(1));
    let metrics = run(&site, &["alarm", "show", "1", "--json"]);
    assert!(said(&metrics)["acknowledged_by"].is_string());
    assert!(!gateway.log().contains("panicked"));
}

#[test]
fn the_ways_are_tried_by_command_and_follow_a_saved_file() {
    let (listener, port) = free();
    let (site, _trunk) = site(1, &format!("[[notify]]\nname = \"hook\"\nby = \"webhook\"\nurl = \"http://127.0.0.1:{port}/\"\n"));
    let hooked = hook(listener);
    let gateway = site.start();
    let output = run(&site, &["notify", "test", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let posted = hooked.recv_timeout(PATIENCE).unwrap();
    assert_eq!((&posted["event"], &posted["test"]), (&"notification-test".into(), &true.into()));
    // A test need not be acknowledged.
    assert!(run(&site, &["alarm", "list"]).status.success());

    site.edit(|text| format!("{text}[[notify]]\nname = \"reader\"\nby = \"message\"\nto = [\"1000\"]\n"));
    gateway.wait_for_log("configuration in force");
    let output = run(&site, &["notify", "test"]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("no phone of extension 1000 is registered"), "{text}");
    let _reader = registered(&gateway, 0).listens();
    assert!(run(&site, &["notify", "test"]).status.success());
}

#[test]
fn a_desk_that_answers_is_connected_with_the_callers_line() {
    let more = "[[notify]]\nname = \"desk\"\nby = \"call\"\nto = \"1001\"\nanswered = \"connect\"\n";
    let (site, _trunk) = site(3, more);
    let gateway = site.start();
    let desk = registered(&gateway, 1).listens();
    let line = registered(&gateway, 2).listens();
    // It calls from another of its lines: what rings is its own.
    assert_eq!(Phone::new(&gateway).calls("sip:112@sip.example"), 200);
    let invite = desk.recv_timeout(PATIENCE).unwrap();
    assert!(text(&invite, "From").starts_with("\"EMERGENCY 1002 Workshop\""), "{}", text(&invite, "From"));
    let invite = line.recv_timeout(PATIENCE).unwrap();
    assert_eq!(invite.method(), Method::Invite);
    assert!(text(&invite, "From").contains("sip:1001@"), "{}", text(&invite, "From"));
}

#[test]
fn a_drill_shows_what_an_answering_point_would_see_and_calls_nobody_for_help() {
    let (site, trunk) = site(1, "");
    let gateway = site.start();
    let output = run(&site, &["drill", "emergency", "--json"]);
    assert!(output.status.success(), "{output:?}");
    let rows: Vec<Value> = String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |row: &Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
    let shown: Vec<_> =
        rows.iter().map(|row| (of(row, "location"), of(row, "shown"), row["first_status"].as_u64(), row["status"].as_u64())).collect();
    let (hq, barn) = ("hq".to_owned(), "barn".to_owned());
    let (first, second) = ("+442030001111".to_owned(), "+442030002222".to_owned());
    assert_eq!(shown, [(hq, first, Some(180), Some(200)), (barn, second, Some(180), Some(200))]);
    assert!(rows.iter().all(|row| row["connected"] == true && row["first_ms"].is_number() && row["trunk"] == "provider"), "{rows:?}");
    let mut heard: Vec<Message> = Vec::new();
    let count = |heard: &[Message], wanted: Method| heard.iter().filter(|message| message.method() == wanted).count();
    while count(&heard, Method::Bye) < 2 {
        heard.push(trunk.recv_timeout(PATIENCE).unwrap());
    }
    let methods = |wanted| count(&heard, wanted);
    assert_eq!((methods(Method::Invite), methods(Method::Ack), methods(Method::Bye)), (2, 2, 2));
    for invite in heard.iter().filter(|message| message.method() == Method::Invite) {
        assert!(String::from_utf8_lossy(invite.request_uri()).starts_with("sip:933@"));
        assert!(String::from_utf8_lossy(invite.body()).contains("a=inactive"));
    }

    let refused = run(&site, &["drill", "emergency", "--number", "112"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stdout).contains("this would be no test call"), "{refused:?}");
    assert!(trunk.try_recv().is_err(), "a drill has dialled 112");
    // Drills raise no alarm; they have records.
    assert!(run(&site, &["alarm", "list", "--all", "--json"]).status.success());
    let kinds = || {
        let output = run(&site, &["calls", "export"]);
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| of(&serde_json::from_str(line).unwrap(), "kind")).collect::<Vec<_>>()
    };
    gateway.wait(PATIENCE, || kinds() == ["emergency-test", "emergency-test"]);
}
