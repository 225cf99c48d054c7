//! Spans of decisions, as a collector receives them.

use super::{gateway::Site, phone::Phone};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, status::StatusCode},
};
use prost::Message as _;
use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::mpsc::{Receiver, sync_channel},
    thread,
    time::Duration,
};

/// A collector: what each of its requests was.
fn collector() -> (SocketAddr, Receiver<(String, ExportTraceServiceRequest)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = sync_channel(16);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert_ne!(stream.read_line(&mut head).unwrap(), 0, "{head}");
            }
            let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok()).unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n").unwrap();
            let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
            if sender.send((head, request)).is_err() {
                return;
            }
        }
    });
    (address, received)
}

fn traced(lines: &str) -> Site {
    let site = Site::new();
    site.edit(|text| text.replace("[limits]", &format!("[telemetry]\n{lines}\n[limits]")));
    site
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    let found = attributes.iter().find(|attribute| attribute.key == key).unwrap_or_else(|| panic!("no {key} in {attributes:?}"));
    match found.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text,
        other => panic!("{key} is {other:?}"),
    }
}

fn spans(request: &ExportTraceServiceRequest) -> Vec<&Span> {
    request.resource_spans.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans).collect()
}

#[test]
fn a_collector_receives_each_decision_below_what_it_was_about() {
    let (address, received) = collector();
    let site = traced(&format!("otlp = \"http://{address}\""));
    let gateway = site.start();
    assert_eq!(Phone::new(&gateway).register(&Site::user(0), &Site::password(0), Some(600)), 200);
    // What waits is sent before it ends.
    assert!(gateway.terminate().0.success());
    let (head, request) = received.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
    assert!(head.to_lowercase().contains("content-type: application/x-protobuf"), "{head}");
    let resource = request.resource_spans[0].resource.as_ref().unwrap();
    assert_eq!(text(&resource.attributes, "service.name"), "holdfast");

    let spans = spans(&request);
    let whole = spans.iter().find(|span| span.name == "registration").unwrap();
    assert!(whole.parent_span_id.is_empty());
    assert!(text(&whole.attributes, "holdfast.call_id").ends_with("@phone"));
    assert_eq!(text(&whole.attributes, "holdfast.outcome"), "admit site");
    let policy = spans.iter().find(|span| span.name == "policy licence").unwrap();
    assert_eq!((&policy.trace_id, &policy.parent_span_id), (&whole.trace_id, &whole.span_id));
    assert!(policy.end_time_unix_nano > policy.start_time_unix_nano && whole.end_time_unix_nano >= policy.end_time_unix_nano);
    assert_eq!(text(&policy.attributes, "holdfast.policy.hook"), "registration");
    assert_eq!(text(&policy.attributes, "holdfast.outcome"), "admit site");
    assert_eq!(text(&policy.attributes, "holdfast.policy.hash").len(), 64);
    assert!(policy.status.as_ref().is_none_or(|status| status.code() == StatusCode::Unset), "{policy:?}");
    assert_eq!(spans.len(), 2, "{spans:?}");
}

#[test]
fn a_collector_that_is_not_there_is_told_in_the_log_and_costs_no_call() {
    // A port that was free a moment ago.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let site = traced(&format!("otlp = \"http://{gone}\""));
    let gateway = site.start();
    let phone = Phone::new(&gateway);
    assert_eq!(phone.register(&Site::user(0), &Site::password(0), Some(600)), 200);
    gateway.wait_for_log("spans are lost");
    assert_eq!(phone.register(&Site::user(0), &Site::password(0), Some(600)), 200);
    assert!(gateway.terminate().0.success());
}
