//! What the host knows, in the words of the contract.

use super::{exports, imports};
use crate::policy::options::Value;
use std::borrow::Cow;
use switch::{
    facts::{Call, CallKind, Caller, Registration},
    record::CallRecord,
};

pub(in crate::policy) fn call(call: &Call) -> imports::calls::CallFacts<'_> {
    imports::calls::CallFacts {
        kind: kind(call.kind),
        caller: match &call.caller {
            Caller::Endpoint(endpoint) => imports::calls::Caller::Endpoint(&endpoint.id),
            Caller::Trunk(name) => imports::calls::Caller::Trunk(name),
            Caller::Unknown => imports::calls::Caller::Unknown,
        },
        called: &call.called,
        caller_number: &call.caller_number,
        location: call.location.as_deref(),
    }
}

pub(in crate::policy) fn registration(registration: &Registration) -> imports::registrations::RegistrationFacts<'_> {
    imports::registrations::RegistrationFacts {
        endpoint: &registration.endpoint.id,
        extension: &registration.endpoint.extension,
        pool: registration.endpoint.licence.as_deref(),
        registered: registration.registered,
        expires_seconds: registration.expires,
    }
}

pub(in crate::policy) fn record(record: &CallRecord) -> exports::observation::CallRecord<'_> {
    let millis = |at: sip::Instant| at.unix_micros() / 1000;
    exports::observation::CallRecord {
        call_id: &record.call_id,
        kind: kind(record.kind),
        caller: &record.caller,
        called: &record.called,
        answered_by: record.answered_by.as_deref(),
        began_ms: millis(record.began),
        answered_ms: record.answered.map(millis),
        ended_ms: millis(record.ended),
        status: record.status,
        cause: record.cause,
    }
}

const fn kind(kind: CallKind) -> imports::types::CallKind {
    match kind {
        // A policy is told of a call back only when it is over.
        CallKind::Normal | CallKind::Callback => imports::types::CallKind::Normal,
        CallKind::Emergency => imports::types::CallKind::Emergency,
        CallKind::EmergencyTest => imports::types::CallKind::EmergencyTest,
    }
}

/// Octets from the wire as text, folds taken out (RFC 3261 7.3.1: a fold means a single space).
pub(in crate::policy) fn text(octets: &[u8]) -> String {
    let mut out = String::with_capacity(octets.len());
    push_text(&mut out, octets);
    out
}

/// Appends octets from the wire as [`text`] writes them.
pub(in crate::policy) fn push_text(out: &mut String, octets: &[u8]) {
    // Nearly all is valid UTF-8, which is known at several octets a step; the lossy reading looks at each one.
    let text = std::str::from_utf8(octets).map_or_else(|_| String::from_utf8_lossy(octets), Cow::Borrowed);
    if memchr::memchr2(b'\r', b'\n', text.as_bytes()).is_none() {
        return out.push_str(&text);
    }
    for (n, line) in text.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        if n > 0 {
            out.push(' ');
        }
        out.push_str(line);
    }
}

/// All settings, as an answer to the question for them.
pub(in crate::policy) fn settings(settings: &[(String, Value)]) -> Vec<imports::settings::SettingResult> {
    settings.iter().map(|(key, value)| imports::settings::SettingResult { key: key.clone(), value: setting(value) }).collect()
}

/// One setting, as an answer to the question for it.
pub(in crate::policy) fn setting(value: &Value) -> imports::settings::ValueResult {
    use imports::settings::ValueResult as Wit;
    match value {
        Value::Text(text) => Wit::Text(text.clone()),
        Value::Number(number) => Wit::Number(*number),
        Value::Flag(flag) => Wit::Flag(*flag),
        Value::Texts(texts) => Wit::Texts(texts.clone()),
    }
}

/// Hands all settings to the configuration hook.
pub(in crate::policy) fn with_settings<T>(
    settings: &[(String, Value)],
    hand: impl FnOnce(&[imports::settings::SettingParam<'_>]) -> T,
) -> T {
    use imports::settings::{SettingParam, ValueParam as Wit};
    let lists: Vec<Vec<&str>> = settings
        .iter()
        .map(|(_, value)| match value {
            Value::Texts(texts) => texts.iter().map(String::as_str).collect(),
            Value::Text(_) | Value::Number(_) | Value::Flag(_) => Vec::new(),
        })
        .collect();
    let mut handed = Vec::with_capacity(settings.len());
    for ((key, value), list) in settings.iter().zip(&lists) {
        let value = match value {
            Value::Text(text) => Wit::Text(text),
            Value::Number(number) => Wit::Number(*number),
            Value::Flag(flag) => Wit::Flag(*flag),
            Value::Texts(_) => Wit::Texts(list),
        };
        handed.push(SettingParam { key, value });
    }
    hand(&handed)
}
