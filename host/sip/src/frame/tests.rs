use super::*;
use proptest::prelude::*;

fn message(body: &[u8]) -> Vec<u8> {
    [format!("MESSAGE sip:a@b SIP/2.0\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

/// All frames of `stream` when it arrives in the given pieces.
fn frames(stream: &[u8], pieces: &[usize], limits: &Limits) -> Vec<Result<Frame, FrameError>> {
    let (mut buffer, mut scanned, mut found) = (BytesMut::new(), 0, Vec::new());
    let mut rest = stream;
    let mut sizes = pieces.iter().copied().chain(core::iter::repeat(usize::MAX));
    while !rest.is_empty() {
        let (piece, later) = rest.split_at(sizes.next().unwrap().clamp(1, rest.len()));
        buffer.extend_from_slice(piece);
        rest = later;
        loop {
            match next(&mut buffer, &mut scanned, limits) {
                Ok(None) => break,
                Ok(Some(frame)) => found.push(Ok(frame)),
                Err(error) => {
                    found.push(Err(error));
                    return found;
                }
            }
        }
    }
    found
}

fn whole(stream: &[u8]) -> Vec<Result<Frame, FrameError>> {
    frames(stream, &[], &Limits::default())
}

#[test]
fn messages_and_keep_alives_come_out_in_order() {
    let stream = [&b"\r\n\r\n"[..], &message(b"one"), &message(b""), b"\r\n", &message(b"two\r\n\r\n")].concat();
    let expected = [
        Frame::Pong,
        Frame::Ping,
        Frame::Message(message(b"one").into()),
        Frame::Message(message(b"").into()),
        Frame::Pong,
        Frame::Message(message(b"two\r\n\r\n").into()),
    ];
    assert_eq!(whole(&stream), expected.map(Ok));
}

#[test]
fn a_pong_is_seen_at_once_and_leaves_nothing_behind() {
    let mut buffer = BytesMut::from(&b"\r\n"[..]);
    let mut scanned = 0;
    assert_eq!(next(&mut buffer, &mut scanned, &Limits::default()), Ok(Some(Frame::Pong)));
    assert!(buffer.is_empty(), "an idle connection holds no octets of an unfinished message");
}

#[test]
fn content_length_is_found_in_any_spelling() {
    for line in ["l:5", "L :\t5", "CONTENT-LENGTH: 5", "content-length:\r\n 5", "Content-Length: 5\r\nl: 5", "Content-Length: 005"] {
        let text = format!("A sip:b SIP/2.0\r\nSubject: x\r\n Content-Length: 99\r\n{line}\r\nCall-ID: l: 7\r\n\r\nhello");
        assert_eq!(whole(text.as_bytes()), [Ok(Frame::Message(text.clone().into()))], "{line}");
    }
}

#[test]
fn bare_line_feeds_end_lines() {
    let text = b"A sip:b SIP/2.0\nl: 2\n\nhi";
    assert_eq!(whole(text), [Ok(Frame::Message(Bytes::from_static(text)))]);
}

#[test]
fn without_a_usable_content_length_the_stream_ends() {
    for line in ["Subject: x", "l: -1", "l:", "l: 5\r\nContent-Length: 6", "l: five", "l: 99999999999999999999", "l: 65536"] {
        let section = format!("A sip:b SIP/2.0\r\n{line}\r\n\r\n");
        let stream = format!("{section}body");
        assert_eq!(whole(stream.as_bytes()), [Err(FrameError::ContentLength(section.into()))], "{line}");
    }
}

#[test]
fn limits_hold_before_the_end_is_seen() {
    let limits = Limits { message_bytes: 100, ..Limits::default() };
    assert_eq!(frames(&[b'x'; 101], &[10; 11], &limits), [Err(FrameError::TooLong(100))]);
    let section = [&[b'x'; 100][..], b"\r\n\r\n"].concat();
    assert_eq!(frames(&section, &[], &limits), [Err(FrameError::TooLong(100))]);
    assert_eq!(frames(&message(&[b'x'; 40]), &[], &limits).len(), 1);
    assert!(matches!(frames(&message(&[b'x'; 60]), &[], &limits).as_slice(), [Err(FrameError::ContentLength(_))]));
}

/// A peer that sends one octet at a time costs time in proportion to what it sends: no octet is scanned twice.
#[test]
fn slow_peers_cost_no_more_than_fast_ones() {
    let limits = Limits { message_bytes: 64 << 20, ..Limits::default() };
    let header = [&b"A sip:b SIP/2.0\r\nl: 4000000\r\nX: "[..], &vec![b'x'; 4_000_000], b"\r\n\r\n"].concat();
    let mut buffer = BytesMut::with_capacity(9_000_000);
    let mut scanned = 0;
    for piece in header.chunks(16) {
        buffer.extend_from_slice(piece);
        assert_eq!(next(&mut buffer, &mut scanned, &limits), Ok(None));
    }
    for _ in 0..(4_000_000 / 16 - 1) {
        buffer.extend_from_slice(&[b'y'; 16]);
        assert_eq!(next(&mut buffer, &mut scanned, &limits), Ok(None));
    }
    buffer.extend_from_slice(&[b'y'; 16]);
    assert!(matches!(next(&mut buffer, &mut scanned, &limits), Ok(Some(Frame::Message(m))) if m.len() == header.len() + 4_000_000));
}

fn piece_of_stream() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(|body| message(&body)),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"A sip:b SIP/2.0\nl: 2\n\nhi".to_vec()),
        1 => Just(b"A sip:b SIP/2.0\r\n\r\n".to_vec()),
        1 => proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b' '), Just(b'l'), Just(b':'), Just(b'1')], 0..30),
    ]
}

proptest! {
    #[test]
    fn any_split_of_the_octets_gives_the_same_frames(
        parts in proptest::collection::vec(piece_of_stream(), 0..8),
        pieces in proptest::collection::vec(1_usize..20, 0..200),
    ) {
        let stream = parts.concat();
        let limits = Limits { message_bytes: 120, ..Limits::default() };
        let at_once = frames(&stream, &[], &limits);
        prop_assert_eq!(frames(&stream, &pieces, &limits), at_once.clone());
        prop_assert_eq!(frames(&stream, &vec![1; stream.len()], &limits), at_once);
    }
}
