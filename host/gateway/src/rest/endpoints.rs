//! `/v1/endpoints`: phones' accounts, those of the store and, to be read, those of the configuration file.

use super::{
    Api, Asked, By, Named, Patch, Sent, apart,
    condition::{Conditions, Tag, Tags},
    endpoint::{Endpoint, EndpointFilter, EndpointItem, EndpointPatch, EndpointStatus, Endpoints, History, MadePassword, Registration},
    merge,
    problem::{Conditional, OfOne, Refusal, Unseen, Written},
};
use crate::{
    keeper::{Done, View},
    manage::{self, EndpointRow, TokenMade},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use switch::directory::{
    record::{Edit, EndpointFields, Existing, Password},
    roster::Subject,
};

/// An endpoint, with what its tag is made of.
fn found(id: &str, view: &View<'_>, tags: &Tags) -> Option<(EndpointRow, Endpoint, Tag)> {
    let (row, hidden) = match view.roster.endpoint(id) {
        Some(record) => (manage::of_store(record, view), record.secret.sha256.as_str()),
        None => (manage::of_file(view.file.endpoint(id)?, view), ""),
    };
    let endpoint = Endpoint::of(&row);
    let tag = tags.tag(&endpoint, hidden);
    Some((row, endpoint, tag))
}

pub(super) fn nobody(noun: &str, id: &str) -> Refusal {
    let id: String = id.chars().take(64).flat_map(char::escape_debug).collect();
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no {noun} `{id}`"), format!("GET /v1/{noun}s lists all of them"))
}

/// Lists endpoints.
///
/// Those of the store and of the configuration file, by id, in parts: `next` of one is `after` of the next.
#[utoipa::path(get, path = "/v1/endpoints", operation_id = "list_endpoints", tag = "endpoints", params(EndpointFilter),
    responses((status = 200, description = "A part of the list.", body = Endpoints)))]
pub(super) async fn list(State(api): State<Api>, Asked(filter): Asked<EndpointFilter>) -> Result<Response, Refusal> {
    let most = api.part(filter.limit)?;
    apart(move || {
        let listed = api.shown.keeper.view(|view| {
            let after = filter.after.as_deref().unwrap_or_default();
            let mut file: Vec<&str> = view.file.endpoints.iter().map(|endpoint| endpoint.id.as_str()).collect();
            file.sort_unstable();
            let store = view.roster.endpoints().map(|record| record.id.as_str());
            let mut items = Vec::new();
            for id in super::merged(file.into_iter(), store).filter(|id| *id > after) {
                let Some((row, endpoint, tag)) = found(id, &view, &api.tags).filter(|(row, ..)| filter.wants(row)) else { continue };
                if items.len() == most {
                    return Endpoints { next: items.last().map(|item: &EndpointItem| item.id.clone()), items };
                }
                let EndpointRow { id, stands, extension, name: display_name, registered, trouble, .. } = row;
                let etag = tag.text().to_owned();
                items.push(EndpointItem { id, etag, stands: stands.into(), endpoint, extension, display_name, registered, trouble });
            }
            Endpoints { items, next: None }
        });
        Ok(Json(listed).into_response())
    })
    .await
}

/// Shows an endpoint.
#[utoipa::path(get, path = "/v1/endpoints/{id}", operation_id = "get_endpoint", tag = "endpoints",
    params(
        ("id" = String, Path, description = "Its id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "desk-7"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "Only if it has this ETag."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "Only if it has another ETag."),
    ),
    responses(
        (status = 200, description = "How it is set up.", body = Endpoint, headers(("ETag" = String, description = "Its state."))),
        (status = 304, description = "It has the ETag of If-None-Match.", headers(("ETag" = String, description = "Its state."))),
        OfOne, Conditional))]
pub(super) async fn show(State(api): State<Api>, Named(id): Named<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let conditions = Conditions::of(&headers);
    apart(move || {
        let (_, endpoint, tag) = api.shown.keeper.view(|view| found(&id, &view, &api.tags)).ok_or_else(|| nobody("endpoint", &id))?;
        if !conditions.means(Some(&tag)) {
            conditions.allow(Some(&tag), true, true)?;
        }
        if conditions.has(&tag) {
            return Ok((StatusCode::NOT_MODIFIED, [tag.header()]).into_response());
        }
        Ok(([tag.header()], Json(endpoint)).into_response())
    })
    .await
}

/// Creates or replaces an endpoint.
///
/// It can register at once. What stands there already is replaced only under If-Match, unless that makes no difference: so the same request can be sent again.
/// Endpoints are disabled or unassigned, never removed.
#[utoipa::path(put, path = "/v1/endpoints/{id}", operation_id = "put_endpoint", tag = "endpoints", request_body = Endpoint,
    params(
        ("id" = String, Path, description = "Its id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "desk-7"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "The ETag of the state that is replaced, or `*`."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "`*`: only if it is not there."),
    ),
    responses(
        (status = 200, description = "It is so now.", body = Endpoint, headers(("ETag" = String, description = "Its state."))),
        (status = 201, description = "It is there now; with the password that was made where none was given.", body = Endpoint,
            headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is."))),
        OfOne, Conditional, Unseen, Written))]
pub(super) async fn put(
    State(api): State<Api>,
    By(by): By,
    Named(id): Named<String>,
    headers: HeaderMap,
    Sent(endpoint): Sent<Endpoint>,
) -> Result<Response, Refusal> {
    apart(move || write(&api, &by, &id, &Conditions::of(&headers), false, |_| Ok(endpoint))).await
}

/// Changes single members of an endpoint.
///
/// A merge patch (RFC 7396): `{"enabled": false}` disables it, ends its registrations at once and leaves its calls alone.
#[utoipa::path(patch, path = "/v1/endpoints/{id}", operation_id = "patch_endpoint", tag = "endpoints",
    request_body(content = EndpointPatch, content_type = "application/merge-patch+json", example = json!({"enabled": false})),
    params(
        ("id" = String, Path, description = "Its id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "desk-7"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "The ETag of the state that is changed."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag that it must not have."),
    ),
    responses(
        (status = 200, description = "It is so now.", body = Endpoint, headers(("ETag" = String, description = "Its state."))),
        OfOne, Conditional, Written))]
pub(super) async fn patch(
    State(api): State<Api>,
    By(by): By,
    Named(id): Named<String>,
    headers: HeaderMap,
    Patch(patch): Patch,
) -> Result<Response, Refusal> {
    let patched = move |there: Option<Endpoint>| merge(there, patch);
    apart(move || {
        let whole = |there: Option<Endpoint>| if there.is_none() { Err(nobody("endpoint", &id)) } else { patched(there) };
        write(&api, &by, &id, &Conditions::of(&headers), true, whole)
    })
    .await
}

/// Makes an endpoint what `wanted` makes of it as it is; without If-Match only where `blind`, it makes no difference or nothing is there.
fn write(
    api: &Api,
    by: &str,
    id: &str,
    conditions: &Conditions,
    blind: bool,
    wanted: impl FnOnce(Option<Endpoint>) -> Result<Endpoint, Refusal>,
) -> Result<Response, Refusal> {
    let mut new = false;
    let plan = |view: View<'_>| {
        of_file(id, &view)?;
        let there = found(id, &view, &api.tags);
        new = there.is_none();
        let (endpoint, tag) = there.map(|(_, endpoint, tag)| (endpoint, tag)).unzip();
        let edits = vec![wanted(endpoint)?.edit(id)?];
        let changes = view.roster.apply(&edits, view.file).map_or(true, |change| !change.is_empty());
        conditions.allow(tag.as_ref(), changes, blind)?;
        Ok::<_, Refusal>(edits)
    };
    let (done, seen) = api.shown.keeper.change_seen(by, false, plan, |view| found(id, &view, &api.tags))?;
    let (_, mut endpoint, tag) = seen.ok_or_else(|| nobody("endpoint", id))?;
    endpoint.password = made(done);
    if new {
        let location = format!("/v1/endpoints/{id}");
        return Ok((StatusCode::CREATED, [tag.header()], [(header::LOCATION, location)], Json(endpoint)).into_response());
    }
    Ok(([tag.header()], Json(endpoint)).into_response())
}

fn made(done: Done) -> Option<String> {
    done.made.into_iter().next().map(|made| made.password)
}

/// What stands in the configuration file is changed there.
pub(super) fn of_file(id: &str, view: &View<'_>) -> Result<(), Refusal> {
    if view.file.endpoints.iter().any(|endpoint| endpoint.id == id) {
        let remedy = "change it there; the gateway takes a saved file over at once";
        return Err(Refusal::new(StatusCode::CONFLICT, format!("endpoint `{id}` stands in the configuration file"), remedy));
    }
    Ok(())
}

/// Has a new password made.
///
/// The old one is good for nothing from now on; registrations that are made stay until they end.
#[utoipa::path(post, path = "/v1/endpoints/{id}/password", operation_id = "make_password", tag = "endpoints",
    params(("id" = String, Path, description = "Its id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "desk-7")),
    responses((status = 200, description = "The new password. It is not shown again.", body = MadePassword), OfOne, Written))]
pub(super) async fn password(State(api): State<Api>, By(by): By, Named(id): Named<String>) -> Result<Response, Refusal> {
    apart(move || {
        let plan = |view: View<'_>| {
            of_file(&id, &view)?;
            view.roster.endpoint(&id).ok_or_else(|| nobody("endpoint", &id))?;
            // An empty one is the gateway's to make.
            let fields = EndpointFields { password: Some(Password(String::new())), ..EndpointFields::default() };
            Ok::<_, Refusal>(vec![Edit::Endpoint { id: id.clone(), existing: Existing::Must, fields }])
        };
        let (done, ()) = api.shown.keeper.change_seen(&by, false, plan, |_| ())?;
        let password = made(done).ok_or_else(|| nobody("endpoint", &id))?;
        Ok(Json(MadePassword { password }).into_response())
    })
    .await
}

/// Makes a one-time token with which the endpoint's phone fetches its settings.
///
/// In the place of one that it has. It is good for one fetch, and not for long.
#[utoipa::path(post, path = "/v1/endpoints/{id}/token", operation_id = "make_token", tag = "endpoints",
    params(("id" = String, Path, description = "Its id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "desk-7")),
    responses((status = 201, description = "The token. It is not shown again.", body = TokenMade), OfOne, Written))]
pub(super) async fn token(State(api): State<Api>, By(by): By, Named(id): Named<String>) -> Result<Response, Refusal> {
    apart(move || Ok((StatusCode::CREATED, Json(manage::tokens::make(&api.shown, &by, id)?)).into_response())).await
}

/// Shows how an endpoint stands at this moment.
#[utoipa::path(get, path = "/v1/endpoints/{id}/status", operation_id = "get_endpoint_status", tag = "endpoints",
    params(("id" = String, Path, description = "Its id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "desk-7")),
    responses((status = 200, description = "Whether and where it is registered.", body = EndpointStatus), OfOne))]
pub(super) async fn status(State(api): State<Api>, Named(id): Named<String>) -> Result<Response, Refusal> {
    apart(move || {
        let status = api.shown.keeper.view(|view| {
            let (row, ..) = found(&id, &view, &api.tags)?;
            let bindings = view.site.registrar.bindings(&id, view.now);
            let registration = |binding: &std::sync::Arc<switch::registrar::Binding>| Registration {
                contact: binding.contact.to_string(),
                user_agent: binding.user_agent.to_string(),
            };
            let bindings = bindings.iter().map(registration).collect();
            let EndpointRow { id, stands, extension, name: display_name, enabled, registered, trouble, .. } = row;
            Some(EndpointStatus { id, stands: stands.into(), extension, display_name, enabled, registered, bindings, trouble })
        });
        Ok(Json(status.ok_or_else(|| nobody("endpoint", &id))?).into_response())
    })
    .await
}

/// Shows what became of an endpoint.
#[utoipa::path(get, path = "/v1/endpoints/{id}/history", operation_id = "get_endpoint_history", tag = "endpoints",
    params(("id" = String, Path, description = "Its id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "desk-7")),
    responses((status = 200, description = "Its latest changes, newest first.", body = History), OfOne))]
pub(super) async fn history(State(api): State<Api>, Named(id): Named<String>) -> Result<Response, Refusal> {
    apart(move || {
        let there = api.shown.keeper.view(|view| view.roster.endpoint(&id).is_some() || of_file(&id, &view).is_err());
        if !there {
            return Err(nobody("endpoint", &id));
        }
        super::history(&api, Subject::Endpoint(id))
    })
    .await
}
