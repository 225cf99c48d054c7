//! Entity tags and the conditions that are made with them (RFC 9110 8.8.3, 13).

use super::problem::Refusal;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// A strong entity tag, in its quotes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Tag(String);

/// Makes entity tags. They stay the same over a restart.
#[derive(Clone)]
pub(super) struct Tags([u8; 32]);

impl Tags {
    /// With this key, nobody can find out what a tag was made of: a password is part of it.
    pub(super) const fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// Of a representation, and of what is not shown but makes a difference.
    pub(super) fn tag(&self, shown: &impl Serialize, hidden: &str) -> Tag {
        let mut hash = Sha256::new();
        hash.update(self.0);
        // What is shown is made of text, lists and booleans: it can always be written.
        hash.update(serde_json::to_vec(shown).unwrap_or_default());
        hash.update([0]);
        hash.update(hidden);
        let digits: String = hash.finalize().iter().take(16).map(|octet| format!("{octet:02x}")).collect();
        Tag(format!("\"{digits}\""))
    }
}

impl Tag {
    /// As it is written.
    pub(super) fn text(&self) -> &str {
        &self.0
    }

    /// The header that names it.
    pub(super) fn header(&self) -> (HeaderName, HeaderValue) {
        // Quotes and hexadecimal digits always fit.
        (header::ETAG, HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("\"\"")))
    }
}

/// Which states somebody means.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Meant {
    Any,
    These(Vec<String>),
}

/// What must be true for a request to be carried out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Conditions {
    if_match: Option<Meant>,
    if_none_match: Option<Meant>,
}

impl Conditions {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let meant = |name: HeaderName| -> Option<Meant> {
            let mut values = headers.get_all(name).iter().peekable();
            values.peek()?;
            // What is no text names nothing.
            let tags = values.flat_map(|value| value.to_str().unwrap_or_default().split(','));
            let tags: Vec<String> = tags.map(|tag| tag.trim().to_owned()).collect();
            Some(if tags == ["*"] { Meant::Any } else { Meant::These(tags) })
        };
        Self { if_match: meant(header::IF_MATCH), if_none_match: meant(header::IF_NONE_MATCH) }
    }

    /// Whether whoever asks has it already: 304.
    pub(super) fn has(&self, tag: &Tag) -> bool {
        match &self.if_none_match {
            Some(Meant::Any) => true,
            // RFC 9110 13.1.2: "the weak comparison function".
            Some(Meant::These(tags)) => tags.iter().any(|other| other.strip_prefix("W/").unwrap_or(other) == tag.0),
            None => false,
        }
    }

    /// Whether it is what whoever asks means (RFC 9110 13.1.1: "the strong comparison function").
    pub(super) fn means(&self, tag: Option<&Tag>) -> bool {
        match (&self.if_match, tag) {
            (None, _) | (Some(Meant::Any), Some(_)) => true,
            (Some(_), None) => false,
            (Some(Meant::These(tags)), Some(tag)) => tags.contains(&tag.0),
        }
    }

    /// Whether a write may be made of what is `there`; `changes`: it makes a difference. One that makes none has been made before, and is answered as then
    /// (RFC 9110 13.1.1), so that a request whose answer was lost can be sent again.
    ///
    /// # Errors
    /// 412 where it is not as the sender says, 428 where he says nothing and would overwrite what he may not have seen; `blind` writes may.
    pub(super) fn allow(&self, there: Option<&Tag>, changes: bool, blind: bool) -> Result<(), Refusal> {
        let tagged = |refusal: Refusal| match there {
            Some(tag) => refusal.with(tag.header().0, tag.header().1),
            None => refusal,
        };
        if there.is_some_and(|tag| self.has(tag)) {
            let refusal = Refusal::new(
                StatusCode::PRECONDITION_FAILED,
                "it is there already, and If-None-Match says that it must not be",
                "GET it, and send the change with If-Match and its ETag",
            );
            return Err(tagged(refusal));
        }
        if !self.means(there) && (there.is_none() || changes) {
            let refusal = Refusal::new(
                StatusCode::PRECONDITION_FAILED,
                if there.is_some() {
                    "somebody has changed it since: it has another ETag than If-Match names"
                } else {
                    "it is not there, and If-Match says that it must be"
                },
                "GET it, look at what is different, and send the change with the new ETag",
            );
            return Err(tagged(refusal));
        }
        if there.is_some() && changes && !blind && self.if_match.is_none() {
            let refusal = Refusal::new(
                StatusCode::PRECONDITION_REQUIRED,
                "it is there and different, and the request does not say which state it means to replace",
                "GET it and send If-Match with its ETag, or `If-Match: *` to replace whatever is there; PATCH changes single members",
            );
            return Err(tagged(refusal));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conditions(name: &'static str, value: &str) -> Conditions {
        Conditions::of(&HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())]))
    }

    fn status(result: Result<(), Refusal>) -> u16 {
        result.map_or_else(|refusal| refusal.problem().status, |()| 200)
    }

    #[test]
    fn a_write_needs_to_know_what_it_replaces() {
        let tags = Tags::new([1; 32]);
        let (now, old) = (tags.tag(&"now", ""), tags.tag(&"old", ""));
        assert_ne!(now, tags.tag(&"now", "other password"));
        assert_ne!(now, Tags::new([2; 32]).tag(&"now", ""));
        let none = Conditions::default();
        let allow = |conditions: &Conditions, there, changes| status(conditions.allow(there, changes, false));
        assert_eq!((allow(&none, None, true), allow(&none, Some(&now), false), allow(&none, Some(&now), true)), (200, 200, 428));
        assert_eq!(status(none.allow(Some(&now), true, true)), 200, "a change of single members replaces nothing unseen");
        for (value, there, changes, expected) in [
            (now.text(), Some(&now), true, 200),
            ("*", Some(&now), true, 200),
            ("*", None, true, 412),
            (now.text(), None, true, 412),
            (old.text(), Some(&now), true, 412),
            // Sent again because the answer was lost.
            (old.text(), Some(&now), false, 200),
            (&format!("W/{}", now.text()), Some(&now), true, 412),
            (&format!("{}, {}", old.text(), now.text()), Some(&now), true, 200),
            ("", Some(&now), true, 412),
        ] {
            assert_eq!(allow(&conditions("if-match", value), there, changes), expected, "{value} {there:?}");
        }
        assert_eq!(allow(&conditions("if-none-match", "*"), None, true), 200);
        assert_eq!(allow(&conditions("if-none-match", "*"), Some(&now), true), 412);
        assert!(conditions("if-none-match", &format!("W/{}", now.text())).has(&now) && !none.has(&now));
    }
}
