use super::*;
use crate::policy::{Hook, Which};
use std::time::Duration;

#[test]
fn a_limit_is_logged_once_a_second_with_how_often_it_bit() {
    let counters = Counters::default();
    let start = std::time::Instant::now();
    assert_eq!(counters.due("calls", start), Some(1));
    for _ in 0..9 {
        assert_eq!(counters.due("calls", start + Duration::from_millis(900)), None);
    }
    // Another limit has a line of its own.
    assert_eq!(counters.due("headers", start + Duration::from_millis(900)), Some(1));
    assert_eq!(counters.due("calls", start + Duration::from_millis(1_100)), Some(10));
    assert_eq!(counters.read().dropped["calls"], 11);
}

#[test]
fn what_peers_send_cannot_forge_log_lines_or_show_credentials() {
    let message = b"REGISTER sip:x SIP/2.0\r\nAuthorization: Digest response=\"abc\"\r\nFrom: \x1b[31m\"a\xff\"\r\n";
    let shown = Shown(message).to_string();
    assert_eq!(shown, "REGISTER sip:x SIP/2.0\\nAuthorization: (secret)\\nFrom: \\u{1b}[31m\"a\u{fffd}\"\\n");
}

/// What `report` makes the logbook write.
fn logged(report: impl FnOnce(&Logbook)) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let theirs = lines.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || theirs.clone()).without_time().with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, || report(&Logbook::new(Arc::default())));
    let bytes = lines.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().trim().to_owned()
}

#[test]
fn a_refusal_is_one_line_with_call_policy_decision_time_and_reason() {
    let refusal = Refusal::new(403, "No licence available", "every seat of pool site is taken");
    let step = Step {
        policy: "licence".into(),
        component: Arc::new(Which { version: None, hash: String::new() }),
        hook: Hook::Registration,
        outcome: "refuse 403 No licence available".to_owned(),
        passed: false,
        fault: None,
        took: Duration::from_micros(51),
    };
    let line = logged(|logbook| logbook.refused(Instant::default(), b"abc@phone", &refusal, Some(&step)));
    expect_test::expect![[r#"INFO gateway::observe: refused call_id=abc@phone policy="licence" decision="refuse 403 No licence available" took_us=51 status=403 phrase=No licence available detail=every seat of pool site is taken"#]].assert_eq(&line);
    let line = logged(|logbook| logbook.refused(Instant::default(), b"abc@phone", &refusal, None));
    expect_test::expect![[r#"INFO gateway::observe: refused call_id=abc@phone policy="host" decision="refuse" status=403 phrase=No licence available detail=every seat of pool site is taken"#]].assert_eq(&line);
}
