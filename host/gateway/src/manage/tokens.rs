//! One-time tokens with which phones fetch their settings.

use super::{Shown, Turned, apart, directory::BY, refuse};
use crate::clock::rfc3339;
use axum::{
    Json,
    body::Bytes,
    extract::{Path as Named, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of `POST /endpoints/{id}/token`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenWanted {
    /// Who asks, for the history.
    pub by: String,
}

/// A token, told this once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// The endpoint.
    pub id: String,
    /// The token.
    pub token: String,
    /// Where the phone's own file is with it, from the root of the server.
    pub path: String,
    /// Until when it is good, as in RFC 3339.
    pub until: String,
}

/// Makes a token for the phone of an endpoint. Waits for the store.
pub(crate) fn make(shown: &Shown, by: &str, id: String) -> Result<TokenMade, Turned> {
    let conflict = |reason: String, remedy: String| Err(Turned::new(StatusCode::CONFLICT, reason, remedy));
    let nobody =
        || Turned::new(StatusCode::NOT_FOUND, format!("there is no endpoint `{id}`"), "`holdfast endpoint list` shows all of them");
    let record = shown.keeper.view(|view| {
        let record = view.roster.endpoint(&id).map(|record| (record.mac.clone(), record.secret.sealed.is_empty()));
        record.ok_or_else(|| view.file.endpoint(&id).is_some())
    });
    if matches!(record, Err(false)) {
        return Err(nobody());
    }
    if shown.keeper.vault().is_none() {
        let remedy = "[provision] of the configuration opens the door; if it does, the log says why it is shut";
        return conflict("phones cannot fetch their settings from this gateway".to_owned(), remedy.to_owned());
    }
    let mac = match record {
        Ok((None, _)) => {
            let remedy = format!("`holdfast endpoint set {id} --mac 00:1b:4f:00:00:01`");
            return conflict(format!("endpoint `{id}` has no hardware address, by which its phone asks"), remedy);
        }
        Ok((_, true)) => {
            let remedy = format!("`holdfast endpoint set {id} --new-password` makes one that can be told");
            return conflict(format!("the password of endpoint `{id}` is kept as hashes only"), remedy);
        }
        Ok((Some(mac), false)) => mac,
        Err(_) => {
            let reason = format!("endpoint `{id}` stands in the configuration file");
            return conflict(reason, "only phones of the store fetch their settings: add it with `holdfast endpoint add`".to_owned());
        }
    };
    let (token, until) = shown.keeper.give_token(by, &id).map_err(Turned::trouble)?.ok_or_else(nobody)?;
    let path = format!("/token/{token}/{}.txt", mac.to_ascii_uppercase());
    Ok(TokenMade { id, token, path, until: rfc3339(until) })
}

pub(super) async fn give(State(shown): State<Shown>, Named(id): Named<String>, body: Bytes) -> Response {
    let given = move || {
        let by = match serde_json::from_slice(&body) {
            Ok(TokenWanted { by }) => by,
            Err(error) => return refuse(StatusCode::BAD_REQUEST, format!("the body names nobody: {error}"), r#"send `{"by": "NAME"}`"#),
        };
        if by.is_empty() || by.len() > BY || by.chars().any(char::is_control) {
            return refuse(StatusCode::BAD_REQUEST, "`by` is no name", format!("name who asks, with {BY} octets at most"));
        }
        match make(&shown, &by, id) {
            Ok(made) => (StatusCode::CREATED, Json(made)).into_response(),
            Err(turned) => turned.into_response(),
        }
    };
    apart(given).await.unwrap_or_else(|broken| broken)
}
