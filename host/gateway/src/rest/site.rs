//! `/v1/status` and `/v1/licences`: the site as a whole, to be read.

use super::{Api, apart, problem::Refusal};
use crate::manage::{PoolRow, pool_row};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// The gateway at this moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// Digest realm and own domain.
    pub domain: String,
    /// Endpoints of the configuration file.
    pub endpoints_of_file: usize,
    /// Endpoints of the store.
    pub endpoints_of_store: usize,
    /// Users.
    pub users: usize,
    /// Contacts of registered phones.
    pub bindings: usize,
    /// Calls that are up or being set up.
    pub calls: usize,
}

/// All pools.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Licences {
    /// In the order of the configuration.
    pub items: Vec<PoolRow>,
}

/// Shows how the gateway stands.
#[utoipa::path(get, path = "/v1/status", operation_id = "get_status", tag = "site",
    responses((status = 200, description = "How many of what there are.", body = Status)))]
pub(super) async fn status(State(api): State<Api>) -> Result<Response, Refusal> {
    apart(move || {
        let shown = &api.shown;
        let status = shown.keeper.view(|view| {
            let (endpoints_of_store, users) = view.roster.sizes();
            Status {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                domain: view.file.domain.clone(),
                endpoints_of_file: view.file.endpoints.len(),
                endpoints_of_store,
                users,
                bindings: view.site.registrar.len(),
                calls: shown.counters.read().calls_live,
            }
        });
        Ok(Json(status).into_response())
    })
    .await
}

/// Shows the licence pools.
#[utoipa::path(get, path = "/v1/licences", operation_id = "list_licences", tag = "site",
    responses((status = 200, description = "Every pool, and how full it is.", body = Licences)))]
pub(super) async fn licences(State(api): State<Api>) -> Result<Response, Refusal> {
    apart(move || {
        let (site, now) = (&api.shown.site, api.shown.keeper.now());
        let items = site.directory().pools.iter().filter_map(|pool| Some(pool_row(site.ledger.report(&pool.pool, now)?))).collect();
        Ok(Json(Licences { items }).into_response())
    })
    .await
}
