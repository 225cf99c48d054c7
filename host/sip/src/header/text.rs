//! The small pieces of RFC 3261's grammar that every reader of a value needs.

/// White space of LWS (RFC 3261 25.1). CR and LF count, because a value is handed out with its folds.
pub(crate) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// A slice that is empty where the bounds are wrong.
pub(crate) fn slice(text: &[u8], from: usize, to: usize) -> &[u8] {
    text.get(from..to).unwrap_or_default()
}

/// Without white space and folds at both ends.
pub(crate) const fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text {
        if !is_space(*first) {
            break;
        }
        text = rest;
    }
    while let [rest @ .., last] = text {
        if !is_space(*last) {
            break;
        }
        text = rest;
    }
    text
}

/// One decimal number, all digits; beyond `u32` it reads as `u32::MAX`.
pub(crate) fn decimal(text: &[u8]) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.iter()
        .try_fold(0_u32, |number, byte| byte.is_ascii_digit().then(|| number.saturating_mul(10).saturating_add(u32::from(byte - b'0'))))
}

/// Whether `text` begins with `prefix` in any case.
pub(crate) fn starts_with_ignore_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// RFC 3261 25.1, `token`.
pub(crate) fn is_token(text: &[u8]) -> bool {
    let of_token = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~');
    !text.is_empty() && text.iter().all(of_token)
}
