//! What must not stand in the record in clear: each value of a masked field is replaced wherever it stands in its decision, by a token that is the same for
//! the same value until the gateway stops.

use super::line::{CallFacts, DecisionLine, RegistrationFacts};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Shorter values are replaced only where they stand alone: a `1` inside an address is no number that was called.
const INSIDE_MIN: usize = 3;

/// A field of the record that can be masked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Field {
    /// The called number.
    Called,
    /// The caller's number.
    CallerNumber,
    /// The caller's name.
    CallerName,
    /// Addresses that requests came from, and contacts.
    Address,
    /// Request line and header fields.
    Head,
    /// What policies wrote to the log.
    Log,
}

/// Every field with its name in the configuration.
pub const FIELDS: [(&str, Field); 6] = [
    ("called", Field::Called),
    ("caller_number", Field::CallerNumber),
    ("caller_name", Field::CallerName),
    ("address", Field::Address),
    ("head", Field::Head),
    ("log", Field::Log),
];

/// Masks what the operator named.
pub(super) struct Mask {
    fields: Vec<Field>,
    key: [u8; 32],
}

impl Mask {
    pub(super) const fn new(fields: Vec<Field>, key: [u8; 32]) -> Self {
        Self { fields, key }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    fn has(&self, field: Field) -> bool {
        self.fields.contains(&field)
    }

    /// Masks one decision.
    pub(super) fn decision(&self, line: &mut DecisionLine) {
        if self.is_empty() {
            return;
        }
        line.masked = true;
        let mut secrets = Vec::new();
        if let Some(call) = &line.call {
            let CallFacts { called, caller_number, caller_name, source, .. } = call;
            secrets.extend(self.named([
                (Field::Called, called),
                (Field::CallerNumber, caller_number),
                (Field::CallerName, caller_name),
                (Field::Address, source),
            ]));
        }
        if let Some(registration) = &line.registration {
            let RegistrationFacts { contact, source, .. } = registration;
            secrets.extend(self.named([(Field::Address, source), (Field::Address, contact)]));
        }
        // The longest first: a number that begins like another must not be replaced in part.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.0.len()));
        let hide = |text: &mut String| self.hide(text, &secrets);
        let DecisionLine { said, why, call, registration, asked, log, .. } = line;
        hide(said);
        hide(why);
        for (_, arguments, told) in asked {
            arguments.iter_mut().for_each(hide);
            each_text(told, &hide);
        }
        if self.has(Field::Log) {
            log.clear();
        }
        log.iter_mut().for_each(|(_, message)| hide(message));
        if let Some(CallFacts { called, caller_number, caller_name, attributes, source, head, .. }) = call {
            [called, caller_number, caller_name, source].into_iter().for_each(hide);
            attributes.iter_mut().for_each(|(_, value)| hide(value));
            self.head(head, &hide);
        }
        if let Some(RegistrationFacts { contact, attributes, source, head, .. }) = registration {
            [contact, source].into_iter().for_each(hide);
            attributes.iter_mut().for_each(|(_, value)| hide(value));
            self.head(head, &hide);
        }
    }

    /// Masks one value of a field.
    pub(super) fn value(&self, field: Field, text: &mut String) {
        if self.has(field) && !text.is_empty() {
            *text = self.token(text);
        }
    }

    fn named<'a, const N: usize>(&'a self, values: [(Field, &'a String); N]) -> impl Iterator<Item = (String, String)> + 'a {
        let hidden = values.into_iter().filter(|(field, value)| self.has(*field) && !value.is_empty());
        hidden.map(|(_, value)| (value.clone(), self.token(value)))
    }

    fn head(&self, head: &mut String, hide: &impl Fn(&mut String)) {
        if self.has(Field::Head) {
            head.clear();
        }
        hide(head);
    }

    fn hide(&self, text: &mut String, secrets: &[(String, String)]) {
        for (secret, token) in secrets {
            if text == secret {
                token.clone_into(text);
            } else if secret.len() >= INSIDE_MIN && text.contains(secret.as_str()) {
                *text = text.replace(secret.as_str(), token);
            }
        }
    }

    fn token(&self, value: &str) -> String {
        let digest = Sha256::new().chain_update(self.key).chain_update(value).finalize();
        digest.iter().take(4).fold("masked-".to_owned(), |token, byte| format!("{token}{byte:02x}"))
    }
}

fn each_text(value: &mut Value, hide: &impl Fn(&mut String)) {
    match value {
        Value::String(text) => hide(text),
        Value::Array(values) => values.iter_mut().for_each(|value| each_text(value, hide)),
        Value::Object(values) => values.values_mut().for_each(|value| each_text(value, hide)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_masked_stands_nowhere_in_the_line() {
        let mask = Mask::new(vec![Field::Called, Field::CallerName, Field::Address], [7; 32]);
        let call = CallFacts {
            called: "+442079460000".to_owned(),
            caller_number: "1001".to_owned(),
            caller_name: "Ada".to_owned(),
            source: "10.1.0.7:5060".to_owned(),
            head: "INVITE sip:+442079460000@site SIP/2.0\r\nFrom: Ada <sip:1001@site>\r\n".to_owned(),
            ..CallFacts::default()
        };
        let mut line = DecisionLine {
            said: "route provider/+442079460000".to_owned(),
            why: "Ada may".to_owned(),
            call: Some(call),
            asked: vec![("trunks.own-part".to_owned(), vec!["provider".to_owned(), "+442079460000".to_owned()], json!({"a": ["Ada"]}))],
            log: vec![("info".to_owned(), "10.1.0.7:5060 calls".to_owned())],
            ..DecisionLine::default()
        };
        mask.decision(&mut line);
        let text = serde_json::to_string(&line).unwrap();
        for secret in ["7946", "Ada", "10.1.0.7"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(line.masked && text.contains("1001"), "{text}");
        let call = line.call.unwrap();
        assert_eq!(line.said, format!("route provider/{}", call.called), "one value has one token");
    }

    #[test]
    fn a_short_value_is_masked_only_where_it_stands_alone() {
        let mask = Mask::new(vec![Field::Called], [7; 32]);
        let call = CallFacts { called: "1".to_owned(), caller_number: "1001".to_owned(), ..CallFacts::default() };
        let mut line = DecisionLine { said: "route desk-1".to_owned(), call: Some(call), ..DecisionLine::default() };
        mask.decision(&mut line);
        let call = line.call.unwrap();
        assert_eq!((line.said.as_str(), call.caller_number.as_str()), ("route desk-1", "1001"));
        assert!(call.called.starts_with("masked-"));
    }
}
