use super::*;
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
