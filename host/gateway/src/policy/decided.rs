//! One decision as it happened, on its way from the call path to the record.

use super::{
    Hook,
    engine::hex,
    instance::Subject,
    load::Policy,
    options::Value as Setting,
    trace::Tape,
    v1::facts::{push_text, text},
};
use crate::record::{CallFacts, Caller as CallerFact, DecisionLine, PolicyLine, RegistrationFacts, kind};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use sip::{Message, header::Name};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
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

    /// As it stands in the record. Not for the call path.
    pub(crate) fn line(&self) -> DecisionLine {
        let (at, call_id) = match &self.subject {
            Subject::None => (sip::Instant::default(), String::new()),
            Subject::Call(call) => (call.at, text(call.message.call_id())),
            Subject::Registration(registration) => (registration.at, text(registration.message.call_id())),
        };
        DecisionLine {
            at_us: at.unix_micros(),
            call_id,
            hook: self.hook.name().to_owned(),
            policy: self.policy.name.to_string(),
            version: self.policy.version.clone(),
            hash: self.policy.which.hash.clone(),
            settings_id: settings_id(&self.policy).to_owned(),
            said: self.said.clone(),
            why: self.why.clone(),
            fault: self.fault.as_ref().map(|fault| fault.kind().to_owned()),
            took_us: (self.took.as_secs_f64() * 1e9).round() / 1e3,
            call: if let Subject::Call(call) = &self.subject { Some(call_facts(call)) } else { None },
            registration: if let Subject::Registration(registration) = &self.subject {
                Some(registration_facts(registration))
            } else {
                None
            },
            asked: self.tape.asked.iter().map(|asked| (asked.question.to_owned(), asked.arguments.clone(), asked.told.json())).collect(),
            log: self.tape.said.iter().map(|(level, line)| ((*level).to_owned(), line.clone())).collect(),
            cut: self.tape.cut,
            masked: false,
        }
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

fn call_facts(call: &Call) -> CallFacts {
    CallFacts {
        kind: kind(call.kind).to_owned(),
        caller: match &call.caller {
            Caller::Endpoint(endpoint) => CallerFact::Endpoint(endpoint.id.clone()),
            Caller::Trunk(name) => CallerFact::Trunk(name.clone()),
            Caller::Unknown => CallerFact::Unknown,
        },
        called: call.called.clone(),
        caller_number: call.caller_number.clone(),
        caller_name: call.caller_name.clone(),
        location: call.location.clone(),
        attributes: call.attributes.clone(),
        source: call.flow.remote.to_string(),
        transport: call.flow.transport.uri_token().to_owned(),
        head: head(&call.message),
    }
}

fn registration_facts(registration: &Registration) -> RegistrationFacts {
    RegistrationFacts {
        endpoint: registration.endpoint.id.clone(),
        extension: registration.endpoint.extension.clone(),
        pool: registration.endpoint.licence.clone(),
        registered: registration.registered,
        expires: registration.expires,
        contact: registration.contact.clone(),
        attributes: registration.attributes.clone(),
        source: registration.flow.remote.to_string(),
        transport: registration.flow.transport.uri_token().to_owned(),
        head: head(&registration.message),
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
