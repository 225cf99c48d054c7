//! One decision as it happened, on its way from the call path to the record.

use super::{
    Hook,
    engine::hex,
    instance::Subject,
    load::Policy,
    options::Value as Setting,
    trace::{Tape, Told},
    v1::facts::{self, push_text},
};
use crate::record::{PolicyLine, kind};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sip::{Message, header::Name};
use std::{borrow::Cow, collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};
use switch::{
    decision::PolicyFault,
    facts::{Call, Caller, Registration},
};

/// One decision of one policy.
pub(crate) struct Decided {
    pub(super) policy: Arc<Policy>,
    pub(super) hook: Hook,
    pub(super) subject: Subject,
    pub(super) tape: Arc<Tape>,
    pub(super) said: String,
    /// What a refusal says to the operator.
    pub(super) why: String,
    pub(super) fault: Option<PolicyFault>,
    pub(super) took: Duration,
}

impl Decided {
    /// Octets that it keeps alive: the message and what was told.
    pub(crate) fn octets(&self) -> usize {
        let message = match &self.subject {
            Subject::None => 0,
            Subject::Call(call) => call.message.bytes().len(),
            Subject::Registration(registration) => registration.message.bytes().len(),
        };
        message + self.tape.octets()
    }

    /// Appends its line of the record, as [`crate::record::DecisionLine`] reads it, without its end. Made of what is here, so that nothing is copied for it;
    /// not for the call path all the same.
    ///
    /// # Errors
    /// None that a decision can cause.
    pub(crate) fn write(&self, line: &mut Vec<u8>) -> serde_json::Result<()> {
        let (at, call_id) = match &self.subject {
            Subject::None => (sip::Instant::default(), Cow::Borrowed("")),
            Subject::Call(call) => (call.at, text(call.message.call_id())),
            Subject::Registration(registration) => (registration.at, text(registration.message.call_id())),
        };
        let (hash, settings_id) = self.by();
        serde_json::to_writer(
            line,
            &Written {
                kind: "decision",
                at_us: at.unix_micros(),
                call_id,
                hook: self.hook.name(),
                policy: &self.policy.name,
                version: self.policy.version.as_deref(),
                hash,
                settings_id,
                said: &self.said,
                why: &self.why,
                fault: self.fault.as_ref().map(PolicyFault::kind),
                took_us: (self.took.as_secs_f64() * 1e9).round() / 1e3,
                call: if let Subject::Call(call) = &self.subject { Some(call_facts(call)) } else { None },
                registration: if let Subject::Registration(registration) = &self.subject {
                    Some(registration_facts(registration))
                } else {
                    None
                },
                asked: self.tape.asked.iter().map(|asked| (asked.question, asked.arguments.as_slice(), &asked.told)).collect(),
                log: &self.tape.said,
                cut: self.tape.cut,
            },
        )
    }

    /// Hash of the component that decided, and the name of its settings.
    pub(crate) fn by(&self) -> (&str, &str) {
        (&self.policy.which.hash, settings_id(&self.policy))
    }

    /// The policy that decided.
    pub(crate) fn policy_line(&self) -> PolicyLine {
        let Policy { file, name, version, which, options, .. } = &*self.policy;
        PolicyLine {
            policy: name.to_string(),
            file: file.clone(),
            version: version.clone(),
            hash: which.hash.clone(),
            settings_id: settings_id(&self.policy).to_owned(),
            settings: settings(&options.settings),
            grants: options.grants.clone(),
        }
    }
}

fn settings(settings: &[(String, Setting)]) -> BTreeMap<String, Value> {
    let value = |value: &Setting| match value {
        Setting::Text(text) => json!(text),
        Setting::Number(number) => json!(number),
        Setting::Flag(flag) => json!(flag),
        Setting::Texts(texts) => json!(texts),
    };
    settings.iter().map(|(key, setting)| (key.clone(), value(setting))).collect()
}

/// Names a set of settings: equal settings have equal names.
fn settings_id(policy: &Policy) -> &str {
    policy.settings_id.get_or_init(|| {
        let text = serde_json::to_vec(&settings(&policy.options.settings)).unwrap_or_default();
        hex(Sha256::digest(text).get(..8).unwrap_or_default())
    })
}

/// See [`crate::record::DecisionLine`].
#[derive(Serialize)]
struct Written<'a> {
    kind: &'static str,
    at_us: u64,
    call_id: Cow<'a, str>,
    hook: &'a str,
    policy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    hash: &'a str,
    settings_id: &'a str,
    said: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    why: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<&'static str>,
    took_us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<CallWritten<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    registration: Option<RegistrationWritten<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    asked: Vec<(&'static str, &'a [String], &'a Told)>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    log: &'a [(&'static str, String)],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cut: bool,
}

/// See [`crate::record::CallFacts`].
#[derive(Serialize)]
struct CallWritten<'a> {
    kind: &'static str,
    caller: CallerWritten<'a>,
    called: &'a str,
    caller_number: &'a str,
    caller_name: &'a str,
    location: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attributes: &'a [(String, String)],
    source: SocketAddr,
    transport: &'static str,
    head: String,
}

/// See [`crate::record::Caller`].
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
enum CallerWritten<'a> {
    Endpoint(&'a str),
    Trunk(&'a str),
    Unknown,
}

fn call_facts(call: &Call) -> CallWritten<'_> {
    CallWritten {
        kind: kind(call.kind),
        caller: match &call.caller {
            Caller::Endpoint(endpoint) => CallerWritten::Endpoint(&endpoint.id),
            Caller::Trunk(name) => CallerWritten::Trunk(name),
            Caller::Unknown => CallerWritten::Unknown,
        },
        called: &call.called,
        caller_number: &call.caller_number,
        caller_name: &call.caller_name,
        location: call.location.as_deref(),
        attributes: &call.attributes,
        source: call.flow.remote,
        transport: call.flow.transport.uri_token(),
        head: head(&call.message),
    }
}

/// See [`crate::record::RegistrationFacts`].
#[derive(Serialize)]
struct RegistrationWritten<'a> {
    endpoint: &'a str,
    extension: &'a str,
    pool: Option<&'a str>,
    registered: bool,
    expires: u32,
    contact: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    attributes: &'a [(String, String)],
    source: SocketAddr,
    transport: &'static str,
    head: String,
}

fn registration_facts(registration: &Registration) -> RegistrationWritten<'_> {
    RegistrationWritten {
        endpoint: &registration.endpoint.id,
        extension: &registration.endpoint.extension,
        pool: registration.endpoint.licence.as_deref(),
        registered: registration.registered,
        expires: registration.expires,
        contact: &registration.contact,
        attributes: &registration.attributes,
        source: registration.flow.remote,
        transport: registration.flow.transport.uri_token(),
        head: head(&registration.message),
    }
}

/// Octets from the wire as text; see [`push_text`].
fn text(octets: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(octets) {
        Ok(text) if memchr::memchr2(b'\r', b'\n', octets).is_none() => Cow::Borrowed(text),
        _ => Cow::Owned(facts::text(octets)),
    }
}

/// Request line and header fields without those that prove who somebody is, and without the body.
fn head(message: &Message) -> String {
    let mut head = String::with_capacity(message.bytes().len().saturating_sub(message.body().len()) + 16);
    push_text(&mut head, message.method_token());
    head.push(' ');
    push_text(&mut head, message.request_uri());
    head.push_str(" SIP/2.0\r\n");
    for header in message.headers() {
        if matches!(header.name, Name::Authorization | Name::ProxyAuthorization) {
            continue;
        }
        push_text(&mut head, header.raw_name);
        head.push_str(": ");
        push_text(&mut head, header.value);
        head.push_str("\r\n");
    }
    head
}
