//! Requests as handlers want them: read whole, within limits, and refused as problems.

use super::{Api, problem::Refusal};
use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{StatusCode, header::CONTENT_TYPE, request::Parts},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

/// Media type of a body.
const JSON: &str = "application/json";
/// Media type of a merge patch (RFC 7396).
const MERGE_PATCH: &str = "application/merge-patch+json";
/// Media type of a table (RFC 4180).
pub(super) const CSV: &str = "text/csv";

/// Who asks, for the histories.
#[derive(Clone)]
pub(super) struct By(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for By {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        // The guard has put it there: nobody comes here without it.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Refusal::new(StatusCode::UNAUTHORIZED, "nobody asks", "show a token"))
    }
}

/// What the path names.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Path(named) = Path::<T>::from_request_parts(parts, state)
            .await
            .map_err(|error| Refusal::parameter("id", format!("the path cannot be read: {}", error.body_text()), "write UTF-8 as %XX"))?;
        Ok(Self(named))
    }
}

/// What the query asks for.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let Query(asked) = Query::<T>::from_request_parts(parts, state).await.map_err(|error| {
            let remedy = "/v1/openapi.json says which parameters there are; each is named once";
            Refusal::new(StatusCode::BAD_REQUEST, error.body_text(), remedy)
        })?;
        Ok(Self(asked))
    }
}

/// The body, if it is of this media type and within the limit.
async fn body(request: Request, api: &Api, media: &str) -> Result<Bytes, Refusal> {
    let named = request.headers().get(CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default().to_owned());
    let essence = named.as_deref().unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case(media) {
        let detail = named.as_deref().map_or_else(|| "Content-Type is missing".to_owned(), |named| format!("Content-Type is `{named}`"));
        return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail, format!("send `Content-Type: {media}`")));
    }
    Bytes::from_request(request, api).await.map_err(|error| {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let most = api.limits.body;
            api.shown
                .counters
                .limit("rest-body", || format!("a request to the REST API had a body of more than {most} octets: limit `rest_body_bytes`"));
            let remedy = "send less, or raise `rest_body_bytes` under [limits]";
            return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body has more than {most} octets"), remedy);
        }
        Refusal::new(StatusCode::BAD_REQUEST, format!("the body cannot be read: {}", error.body_text()), "send it again")
    })
}

/// A JSON body.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Api> for Sent<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Refusal> {
        let body = body(request, api, JSON).await?;
        let mut json = serde_json::Deserializer::from_slice(&body);
        let sent = read(&mut json)?;
        json.end().map_err(|error| Refusal::body("", error.to_string(), "send one JSON object"))?;
        Ok(Self(sent))
    }
}

/// A merge patch.
pub(super) struct Patch(pub(super) Map<String, Value>);

impl FromRequest<Api> for Patch {
    type Rejection = Refusal;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Refusal> {
        let body = body(request, api, MERGE_PATCH).await?;
        match serde_json::from_slice(&body) {
            Ok(Value::Object(members)) => Ok(Self(members)),
            Ok(_) => Err(Refusal::body("", "the patch is no JSON object", r#"send the members that change, e.g. {"enabled": false}"#)),
            Err(error) => Err(Refusal::body("", error.to_string(), r#"send the members that change, e.g. {"enabled": false}"#)),
        }
    }
}

/// A CSV table.
pub(super) struct Table(pub(super) Bytes);

impl FromRequest<Api> for Table {
    type Rejection = Refusal;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Refusal> {
        body(request, api, CSV).await.map(Self)
    }
}

/// What a JSON text says, or where it says something else.
fn read<'de, T: DeserializeOwned, D: serde::Deserializer<'de, Error = serde_json::Error>>(json: D) -> Result<T, Refusal> {
    serde_path_to_error::deserialize(json).map_err(|error| {
        let pointer: String = error
            .path()
            .iter()
            .filter_map(|segment| match segment {
                Segment::Seq { index } => Some(format!("/{index}")),
                // RFC 6901 3.
                Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
                Segment::Enum { .. } | Segment::Unknown => None,
            })
            .collect();
        Refusal::body(pointer, error.into_inner().to_string(), "/v1/openapi.json describes the body")
    })
}

/// What is there, with the members of a merge patch in the place of its own (RFC 7396 2). Members of members are replaced as a whole: there are none.
///
/// # Errors
/// When that is not what it may be.
pub(super) fn merge<T: Serialize + DeserializeOwned>(there: Option<T>, patch: Map<String, Value>) -> Result<T, Refusal> {
    let mut whole = match serde_json::to_value(there) {
        Ok(Value::Object(whole)) => whole,
        _ => Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            // A name that is not known is refused below, null or not.
            if whole.remove(&name).is_none() {
                whole.insert(name, value);
            }
        } else {
            whole.insert(name, value);
        }
    }
    read(Value::Object(whole))
}
