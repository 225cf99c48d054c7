//! What went wrong, as RFC 9457 says it: `application/problem+json` with what, where (a JSON pointer or a parameter) and what to do.

use crate::{keeper::No, manage::Turned};
use axum::{
    Json,
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use std::{borrow::Cow, collections::BTreeMap, time::Duration};
use switch::directory::roster;
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, response},
};

/// The media type of a [`Problem`].
pub const PROBLEM: &str = "application/problem+json";

/// Why a request came to nothing (RFC 9457). Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says what kind of problem it is.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The status in words.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong.
    pub detail: String,
    /// What to do about it.
    pub remedy: String,
    /// Everything that is wrong with what was sent, where it can be named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<Wrong>,
}

/// One thing that is wrong with what was sent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, ToSchema)]
pub struct Wrong {
    /// Where in the body, as a JSON pointer (RFC 6901); empty: the body as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub pointer: Option<String>,
    /// Which parameter of path, query or head.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub parameter: Option<String>,
    /// Line of a CSV file, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub line: Option<u64>,
    /// What is wrong.
    pub detail: String,
    /// What to do about it.
    pub remedy: String,
}

/// A request that came to nothing, on its way to whoever asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Refusal(Box<(Problem, Vec<(HeaderName, HeaderValue)>)>);

impl Refusal {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let problem = Problem {
            kind: Cow::Borrowed("about:blank"),
            title: Cow::Borrowed(status.canonical_reason().unwrap_or("Problem")),
            status: status.as_u16(),
            detail: detail.into(),
            remedy: remedy.into(),
            errors: Vec::new(),
        };
        Self(Box::new((problem, Vec::new())))
    }

    /// Of the first of these; none is left out.
    pub(super) fn wrong(status: StatusCode, errors: Vec<Wrong>) -> Self {
        let (detail, remedy) = errors.first().map(|first| (first.detail.clone(), first.remedy.clone())).unwrap_or_default();
        let mut refusal = Self::new(status, detail, remedy);
        refusal.0.0.errors = errors;
        refusal
    }

    /// A value of the body that is not as the document describes it.
    pub(super) fn body(pointer: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let wrong = Wrong { pointer: Some(pointer.into()), detail: detail.into(), remedy: remedy.into(), ..Wrong::default() };
        Self::wrong(StatusCode::BAD_REQUEST, vec![wrong])
    }

    /// A parameter that is not as the document describes it.
    pub(super) fn parameter(name: impl Into<String>, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        let wrong = Wrong { parameter: Some(name.into()), detail: detail.into(), remedy: remedy.into(), ..Wrong::default() };
        Self::wrong(StatusCode::BAD_REQUEST, vec![wrong])
    }

    /// With one more header.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.1.push((name, value));
        self
    }

    /// Worth another try after so long.
    pub(super) fn retry_after(self, after: Duration) -> Self {
        // Whole seconds, and never at once.
        self.with(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)))
    }

    /// 400 under another status: where what was sent is well-formed, and what it asks for is not.
    pub(super) fn malformed_to(mut self, status: StatusCode) -> Self {
        let problem = &mut self.0.0;
        if problem.status != StatusCode::BAD_REQUEST.as_u16() {
            return self;
        }
        problem.status = status.as_u16();
        problem.title = Cow::Borrowed(status.canonical_reason().unwrap_or("Problem"));
        self
    }

    #[cfg(test)]
    pub(super) fn problem(&self) -> &Problem {
        &self.0.0
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        let (problem, headers) = *self.0;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM)], Json(problem)).into_response();
        // `Json` names its own type.
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        response.headers_mut().extend(headers);
        response
    }
}

impl From<roster::Problem> for Wrong {
    /// The id stands in the path, everything else in the body.
    fn from(roster::Problem { edit: _, at, form: _, reason, remedy }: roster::Problem) -> Self {
        let (pointer, parameter) = match at.strip_prefix("/id") {
            Some("") => (None, Some("id".to_owned())),
            _ => (Some(at), None),
        };
        Self { pointer, parameter, line: None, detail: reason, remedy }
    }
}

/// How long whoever asks should wait until the store may work again.
const STORE: Duration = Duration::from_secs(5);

impl From<No> for Refusal {
    /// 400 for what no site could have, as the document says; 422 for what this one cannot, as things stand; 503 when it could not be kept.
    fn from(no: No) -> Self {
        match no {
            No::Trouble(why) => {
                let remedy = "nothing was changed; free space on the disk or repair it, and ask again";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, why, remedy).retry_after(STORE)
            }
            No::Problems(problems) => {
                let malformed = problems.iter().any(|problem| problem.form);
                let status = if malformed { StatusCode::BAD_REQUEST } else { StatusCode::UNPROCESSABLE_ENTITY };
                Self::wrong(status, problems.into_iter().map(Wrong::from).collect())
            }
        }
    }
}

impl From<Turned> for Refusal {
    fn from(Turned { status, reason, remedy }: Turned) -> Self {
        let refusal = Self::new(status, reason, remedy);
        if status == StatusCode::SERVICE_UNAVAILABLE { refusal.retry_after(STORE) } else { refusal }
    }
}

/// A response of the document: a [`Problem`] under this status.
pub(super) fn described(what: &str) -> RefOr<response::Response> {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(what).content(PROBLEM, content).build().into()
}

macro_rules! problems {
    ($(#[$about:meta])* $name:ident: $($status:literal $what:literal),+) => {
        $(#[$about])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<response::Response>> {
                BTreeMap::from([$(($status.to_owned(), described($what))),+])
            }
        }
    };
}

problems! {
    /// Answers of an operation on one thing, which may not be there.
    OfOne: "404" "There is nothing of that id."
}
problems! {
    /// Answers of an operation that reads a conditional.
    Conditional: "412" "It is not as If-Match or If-None-Match says."
}
problems! {
    /// Answers of an operation that changes something.
    Written:
        "409" "It stands in the configuration file and is changed there.",
        "413" "The body is larger than the limit `rest_body_bytes`.",
        "415" "The body is of another media type.",
        "422" "The site cannot have it as things stand; `errors` names everything that is in the way."
}
problems! {
    /// The answer where a parameter names what cannot be.
    Unfit: "422" "A parameter names what cannot be."
}
problems! {
    /// The answer of a change that would overwrite what its sender may not have seen.
    Unseen: "428" "It is there and different: send If-Match."
}
