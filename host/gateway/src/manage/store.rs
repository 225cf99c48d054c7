//! How the store stands.

use super::{Shown, rfc3339};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};

/// The answer to `GET /store`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StoreStands {
    /// `well`, or the kind of trouble: `full`, `read-only`, `damaged`, `newer`, `locked`, `failing`, `hanging`.
    pub state: String,
    /// Since when there is trouble, as in RFC 3339.
    pub since: Option<String>,
    /// What is wrong.
    pub reason: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    /// Bindings that are different on the disk and in memory.
    pub owed: usize,
    /// A damaged file that was set aside since the start.
    pub set_aside: Option<String>,
}

pub(super) async fn stands(State(shown): State<Shown>) -> Response {
    let standing = shown.keeper.store();
    let (trouble, since) = standing.trouble.unzip();
    Json(StoreStands {
        state: trouble.as_ref().map_or("well", |trouble| trouble.kind.name()).to_owned(),
        since: since.map(rfc3339),
        reason: trouble.as_ref().map(crate::store::Trouble::reason),
        remedy: trouble.as_ref().map(crate::store::Trouble::remedy),
        owed: standing.owed,
        set_aside: standing.aside.map(|aside| aside.display().to_string()),
    })
    .into_response()
}
