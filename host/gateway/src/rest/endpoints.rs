//! `/v1/endpoints`: phones' accounts, those of the store and, to be read, those of the configuration file.

use super::{
    Api, Asked, By, Named, Patch, Sent, apart,
    condition::{Conditions, Tag, Tags},
    merge,
    problem::{Conditional, OfOne, Refusal, Unseen, Written},
};
use crate::{
    keeper::{Done, View},
    manage::{self, EndpointRow, Happened},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use switch::directory::{
    record::{self, Edit, EndpointFields, Existing, LineKey, Password},
    roster::Subject,
};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{SchemaType, Type},
    },
};

/// What an endpoint is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = EndpointKind)]
pub enum Kind {
    /// A telephone on a desk.
    DeskPhone,
    /// A program.
    Softphone,
    /// A telephone of a room.
    ConferenceRoom,
}

impl From<record::Kind> for Kind {
    fn from(kind: record::Kind) -> Self {
        match kind {
            record::Kind::DeskPhone => Self::DeskPhone,
            record::Kind::Softphone => Self::Softphone,
            record::Kind::ConferenceRoom => Self::ConferenceRoom,
        }
    }
}

impl From<Kind> for record::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::DeskPhone => Self::DeskPhone,
            Kind::Softphone => Self::Softphone,
            Kind::ConferenceRoom => Self::ConferenceRoom,
        }
    }
}

/// Where something stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stands {
    /// In the configuration file, where it is changed.
    File,
    /// In the store, where requests change it.
    Store,
}

impl From<manage::Stands> for Stands {
    fn from(stands: manage::Stands) -> Self {
        match stands {
            manage::Stands::File => Self::File,
            manage::Stands::Store => Self::Store,
        }
    }
}

/// A key of a phone: `line`, `speed-dial:1002` or `busy-lamp:1003=Workshop`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(
    pattern = r"^(line:?|(speed-dial|busy-lamp):[A-Za-z0-9_.!~*'+#-]{1,64})(=[^\u0000-\u001f\u007f-\u009f]{0,128})?$",
    example = "busy-lamp:1003=Workshop"
)]
pub struct Key(pub String);

/// That an endpoint is a user's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignedUser {
    /// The user's id.
    #[schema(example = "alice")]
    pub user: String,
    /// Whether it rings when the user is called.
    #[serde(default = "yes")]
    pub rings: bool,
}

const fn yes() -> bool {
    true
}

/// An endpoint as it is set up. What is left out of a PUT has its default; what GET shows can be PUT.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "desk-phone", "mac": "00:1b:4f:00:00:07", "name": "Reception", "keys": ["line", "speed-dial:1002"]}))]
pub struct Endpoint {
    /// What it is; a desk phone by default.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// The maker's name for it.
    #[serde(default)]
    #[schema(max_length = 64, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub model: Option<String>,
    /// Hardware address, in any usual way of writing; shown as twelve lower-case hexadecimal digits.
    #[serde(default)]
    #[schema(pattern = r"^([:.-]*([0-9A-Fa-f][:.-]*){12})?$")]
    pub mac: Option<String>,
    /// Serial number.
    #[serde(default)]
    #[schema(max_length = 64, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub serial: Option<String>,
    /// SIP username (digest); the id by default. A new one needs the password with it.
    #[serde(default)]
    #[schema(pattern = r"^[!#-9;=?A-\[\]-~]{0,64}$")]
    pub username: Option<String>,
    /// SIP password. It is never shown: what is kept are its hashes for the site's domain. Left out, the password stays; a new endpoint then gets one made, which only
    /// the answer to that request shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub password: Option<String>,
    /// Display name while it has no user.
    #[serde(default)]
    #[schema(max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub name: String,
    /// Whether it may register. A disabled one calls emergency numbers only, and disabling it ends its registrations.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// A location of the configuration.
    #[serde(default)]
    pub location: Option<String>,
    /// A licence pool of the configuration.
    #[serde(default)]
    pub licence: Option<String>,
    /// Its keys, from the top.
    #[serde(default)]
    #[schema(max_items = 128)]
    pub keys: Vec<Key>,
    /// Further lines of its settings file.
    #[serde(default)]
    #[schema(max_length = 16384, pattern = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$")]
    pub settings: String,
    /// Whose it is; it calls as the first. Each is named once.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub users: Vec<AssignedUser>,
}

/// A change of single members of an endpoint (RFC 7396): `null` gives a member its default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndpointPatch;

impl PartialSchema for EndpointPatch {
    fn schema() -> RefOr<Schema> {
        patch_of(Endpoint::schema(), "Changes of single members of an endpoint (RFC 7396); `null` gives a member its default.")
    }
}

impl ToSchema for EndpointPatch {}

/// The schema of merge patches of what `whole` describes: nothing must be there, anything may be null.
pub(super) fn patch_of(mut whole: RefOr<Schema>, what: &str) -> RefOr<Schema> {
    if let RefOr::T(Schema::Object(object)) = &mut whole {
        object.required.clear();
        object.description = Some(what.to_owned());
        object.example = None;
        for property in object.properties.values_mut() {
            let kind = match property {
                RefOr::T(Schema::Object(property)) => &mut property.schema_type,
                RefOr::T(Schema::Array(property)) => &mut property.schema_type,
                // A choice between null and something has it already.
                _ => continue,
            };
            if let SchemaType::Type(one) = kind {
                *kind = SchemaType::Array(vec![one.clone(), Type::Null]);
            }
        }
    }
    whole
}

impl Endpoint {
    fn of(row: &EndpointRow) -> Self {
        Self {
            kind: row.kind.map(Kind::from),
            model: row.model.clone(),
            mac: row.mac.clone(),
            serial: row.serial.clone(),
            username: Some(row.username.clone()),
            password: None,
            name: row.own_name.clone(),
            enabled: row.enabled,
            location: row.location.clone(),
            licence: row.licence.clone(),
            keys: row.keys.iter().map(|key| Key(key.to_string())).collect(),
            settings: row.settings.clone(),
            users: row.users.iter().map(|a| AssignedUser { user: a.user.clone(), rings: a.rings }).collect(),
        }
    }

    /// As the edit that makes it so, whatever was before.
    fn edit(self, id: &str) -> Result<Edit, Refusal> {
        if self.password.as_deref() == Some("") {
            let remedy = "leave it out: a new endpoint has one made, and POST .../password makes another";
            return Err(Refusal::body("/password", "the password is empty", remedy));
        }
        let key = |(place, key): (usize, &Key)| {
            let read = key.0.parse::<LineKey>();
            read.map_err(|why| Refusal::body(format!("/keys/{place}"), why, "write it like `busy-lamp:1003=Workshop`"))
        };
        let keys = self.keys.iter().enumerate().map(key).collect::<Result<_, _>>()?;
        let users = self.users.into_iter().map(|AssignedUser { user, rings }| record::Assigned { user, rings }).collect();
        let fields = EndpointFields {
            kind: Some(self.kind.map_or_else(record::Kind::default, Into::into)),
            model: Some(self.model.unwrap_or_default()),
            mac: Some(self.mac.unwrap_or_default()),
            serial: Some(self.serial.unwrap_or_default()),
            username: self.username.filter(|username| !username.is_empty()).or_else(|| Some(id.to_owned())),
            password: self.password.map(Password),
            sealed: None,
            name: Some(self.name),
            enabled: Some(self.enabled),
            location: Some(self.location.unwrap_or_default()),
            licence: Some(self.licence.unwrap_or_default()),
            keys: Some(keys),
            settings: Some(self.settings),
            users: Some(users),
        };
        Ok(Edit::Endpoint { id: id.to_owned(), existing: Existing::May, fields })
    }
}

/// Which endpoints are wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EndpointFilter {
    /// Only those behind this id: `next` of the part before.
    #[param(nullable = false)]
    after: Option<String>,
    /// As many at most; 100 by default. The gateway's limit `rest_page` shortens it.
    #[param(nullable = false, minimum = 1, maximum = 1000000)]
    limit: Option<u32>,
    /// Only those that have this in their id, name, username, extension, model, hardware address or location, in any case.
    #[param(nullable = false)]
    find: Option<String>,
    /// Only those that may register, or may not.
    #[param(nullable = false)]
    enabled: Option<bool>,
    /// Only those that are registered, or are not.
    #[param(nullable = false)]
    registered: Option<bool>,
    /// Only those of this user.
    #[param(nullable = false)]
    user: Option<String>,
    /// Only those of this licence pool.
    #[param(nullable = false)]
    licence: Option<String>,
    /// Only those that stand there.
    #[param(nullable = false, inline)]
    stands: Option<Stands>,
}

impl EndpointFilter {
    fn wants(&self, row: &EndpointRow) -> bool {
        let find = self.find.as_deref().unwrap_or_default();
        self.enabled.is_none_or(|enabled| row.enabled == enabled)
            && self.registered.is_none_or(|registered| row.registered == registered)
            && self.stands.is_none_or(|stands| Stands::from(row.stands) == stands)
            && self.user.as_ref().is_none_or(|user| row.users.iter().any(|assigned| assigned.user == *user))
            && self.licence.as_ref().is_none_or(|pool| row.licence.as_ref() == Some(pool))
            && manage::endpoint_has(row, find)
    }
}

/// An endpoint in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct EndpointItem {
    /// Its id.
    pub id: String,
    /// Its entity tag.
    pub etag: String,
    /// Where it stands.
    pub stands: Stands,
    /// How it is set up.
    pub endpoint: Endpoint,
    /// What others dial: that of its first user, or its own of the configuration file.
    pub extension: Option<String>,
    /// What others see.
    pub display_name: String,
    /// Whether it is registered.
    pub registered: bool,
    /// Why it is not in force, or cannot register.
    pub trouble: Option<String>,
}

/// A part of the list of endpoints, by id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Endpoints {
    /// Endpoints.
    pub items: Vec<EndpointItem>,
    /// `after` of the next part; null: this was the last.
    pub next: Option<String>,
}

/// How an endpoint stands at this moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct EndpointStatus {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub stands: Stands,
    /// What others dial.
    pub extension: Option<String>,
    /// What others see.
    pub display_name: String,
    /// Whether it may register.
    pub enabled: bool,
    /// Whether it is registered.
    pub registered: bool,
    /// Where it is registered.
    pub bindings: Vec<Registration>,
    /// Why it is not in force, or cannot register.
    pub trouble: Option<String>,
}

/// A contact of a registered phone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Registration {
    /// Where it is called.
    pub contact: String,
    /// What it says that it is.
    pub user_agent: String,
}

/// What became of something, newest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct History {
    /// Its latest entries.
    pub items: Vec<Happened>,
}

/// A password that was made.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MadePassword {
    /// It is told this once; only its phone may be told it again.
    pub password: String,
}

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
