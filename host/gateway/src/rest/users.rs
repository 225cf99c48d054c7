//! `/v1/users`: who has which extension and numbers, and which endpoints are whose.

use super::{
    Api, Asked, By, Named, Patch, Sent, apart,
    condition::{Conditions, Tag, Tags},
    endpoint::patch_of,
    endpoints::{nobody, of_file},
    merge,
    problem::{Conditional, OfOne, Refusal, Unseen, Written},
};
use crate::{
    keeper::View,
    manage::{self, PhoneOf, UserRow},
};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use switch::directory::{
    CallSettings,
    record::{Edit, Existing, UserFields},
    roster::Subject,
};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

/// A number as trunks present it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(pattern = r"^\+?[0-9*#]{1,64}$", example = "+442030001101")]
pub struct Number(pub String);

/// A user as it is set up. What is left out of a PUT has its default; what GET shows can be PUT.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "Alice Moss", "extension": "1101", "numbers": ["+442030001101"]}))]
pub struct User {
    /// What others see; the extension when it is empty.
    #[serde(default)]
    #[schema(max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub name: String,
    /// What others dial.
    #[schema(pattern = r"^[A-Za-z0-9_.!~*'+#-]{1,64}$")]
    pub extension: String,
    /// Direct numbers; the first is shown.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub numbers: Vec<Number>,
    /// Nobody reaches a disabled user.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// How long the user's endpoints ring, in seconds; as long as the site lets them when null.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 600)]
    pub ring_seconds: Option<u32>,
    /// Where every call goes on to, without ringing here: an extension or an outside number, as the user would dial it. The user's rights count.
    #[serde(default)]
    #[schema(pattern = r"^[A-Za-z0-9_.!~*'+#-]{1,64}$", example = "1005")]
    pub forward_always: Option<String>,
    /// Where calls go on to while the user is busy.
    #[serde(default)]
    #[schema(pattern = r"^[A-Za-z0-9_.!~*'+#-]{1,64}$", example = "1005")]
    pub forward_busy: Option<String>,
    /// Where calls go on to that nobody answers.
    #[serde(default)]
    #[schema(pattern = r"^[A-Za-z0-9_.!~*'+#-]{1,64}$", example = "1005")]
    pub forward_no_answer: Option<String>,
    /// Where calls go on to while none of the user's endpoints can be reached; as those that nobody answers when null.
    #[serde(default)]
    #[schema(pattern = r"^[A-Za-z0-9_.!~*'+#-]{1,64}$", example = "+447700900123")]
    pub forward_unreachable: Option<String>,
    /// What the user may dial: a class that the policies know.
    #[serde(default)]
    #[schema(pattern = r"^[^\u0000-\u001f\u007f-\u009f]{1,64}$", example = "national")]
    pub dial_class: Option<String>,
}

const fn yes() -> bool {
    true
}

/// A change of single members of a user (RFC 7396).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UserPatch;

impl PartialSchema for UserPatch {
    fn schema() -> RefOr<Schema> {
        let mut schema = patch_of(User::schema(), "Changes of single members of a user (RFC 7396); `null` gives a member its default.");
        // It has no default.
        if let (RefOr::T(Schema::Object(patch)), RefOr::T(Schema::Object(whole))) = (&mut schema, User::schema()) {
            patch.properties.extend(whole.properties.into_iter().filter(|(name, _)| name == "extension"));
        }
        schema
    }
}

impl ToSchema for UserPatch {}

impl User {
    fn of(row: &UserRow) -> Self {
        let CallSettings { ring_seconds, forward_always, forward_busy, forward_no_answer, forward_unreachable, dial_class } =
            row.calls.clone();
        Self {
            name: row.name.clone(),
            extension: row.extension.clone(),
            numbers: row.numbers.iter().cloned().map(Number).collect(),
            enabled: row.enabled,
            ring_seconds,
            forward_always,
            forward_busy,
            forward_no_answer,
            forward_unreachable,
            dial_class,
        }
    }

    /// As the edit that makes it so, whatever was before.
    ///
    /// # Errors
    /// Where a member says what only the lack of it should say.
    fn edit(self, id: &str) -> Result<Edit, Refusal> {
        if self.ring_seconds == Some(0) {
            return Err(Refusal::body("/ring_seconds", "phones cannot ring for 0 seconds", "send 1 to 600, or null"));
        }
        let given = |at: &str, text: Option<String>| match text {
            Some(text) if text.is_empty() => Err(Refusal::body(at, "an empty text is no value", "send null, or leave it out")),
            text => Ok(Some(text.unwrap_or_default())),
        };
        let fields = UserFields {
            name: Some(self.name),
            extension: Some(self.extension),
            numbers: Some(self.numbers.into_iter().map(|number| number.0).collect()),
            enabled: Some(self.enabled),
            ring_seconds: Some(self.ring_seconds.unwrap_or(0)),
            forward_always: given("/forward_always", self.forward_always)?,
            forward_busy: given("/forward_busy", self.forward_busy)?,
            forward_no_answer: given("/forward_no_answer", self.forward_no_answer)?,
            forward_unreachable: given("/forward_unreachable", self.forward_unreachable)?,
            dial_class: given("/dial_class", self.dial_class)?,
        };
        Ok(Edit::User { id: id.to_owned(), existing: Existing::May, fields })
    }
}

/// Which users are wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UserFilter {
    /// Only those behind this id: `next` of the part before.
    #[param(nullable = false)]
    after: Option<String>,
    /// As many at most; 100 by default. The gateway's limit `rest_page` shortens it.
    #[param(nullable = false, minimum = 1, maximum = 1000000)]
    limit: Option<u32>,
    /// Only those that have this in their id, name, extension or a number, in any case.
    #[param(nullable = false)]
    find: Option<String>,
    /// Only those whom others reach, or do not.
    #[param(nullable = false)]
    enabled: Option<bool>,
}

/// A user in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct UserItem {
    /// Its id.
    pub id: String,
    /// Its entity tag.
    pub etag: String,
    /// How it is set up.
    pub user: User,
    /// Its endpoints.
    pub endpoints: Vec<PhoneOf>,
    /// Why it is not in force.
    pub trouble: Option<String>,
}

/// A part of the list of users, by id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Users {
    /// Users.
    pub items: Vec<UserItem>,
    /// `after` of the next part; null: this was the last.
    pub next: Option<String>,
}

/// How a user stands at this moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct UserStatus {
    /// Its id.
    pub id: String,
    /// Its endpoints.
    pub endpoints: Vec<PhoneOf>,
    /// Why it is not in force.
    pub trouble: Option<String>,
}

/// That an endpoint is a user's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Assignment {
    /// Whether it rings when the user is called.
    #[serde(default = "yes")]
    pub rings: bool,
}

fn found(id: &str, view: &View<'_>, tags: &Tags) -> Option<(UserRow, User, Tag)> {
    let row = manage::user(view.roster.user(id)?, view);
    let user = User::of(&row);
    let tag = tags.tag(&user, "");
    Some((row, user, tag))
}

/// Lists users.
///
/// By id, in parts: `next` of one is `after` of the next.
#[utoipa::path(get, path = "/v1/users", operation_id = "list_users", tag = "users", params(UserFilter),
    responses((status = 200, description = "A part of the list.", body = Users)))]
pub(super) async fn list(State(api): State<Api>, Asked(filter): Asked<UserFilter>) -> Result<Response, Refusal> {
    let most = api.part(filter.limit)?;
    apart(move || {
        let listed = api.shown.keeper.view(|view| {
            let (after, find) = (filter.after.as_deref().unwrap_or_default(), filter.find.as_deref().unwrap_or_default());
            let (mut rows, mut next) = (Vec::new(), None);
            for record in view.roster.users().filter(|record| record.id.as_str() > after) {
                let row = manage::user(record, &view);
                if filter.enabled.is_some_and(|enabled| row.enabled != enabled) || !manage::user_has(&row, find) {
                    continue;
                }
                if rows.len() == most {
                    next = rows.last().map(|row: &UserRow| row.id.clone());
                    break;
                }
                rows.push(row);
            }
            manage::with_phones(&mut rows, &view);
            let item = |row: UserRow| {
                let user = User::of(&row);
                let etag = api.tags.tag(&user, "").text().to_owned();
                UserItem { id: row.id, etag, user, endpoints: row.endpoints, trouble: row.trouble }
            };
            Users { items: rows.into_iter().map(item).collect(), next }
        });
        Ok(Json(listed).into_response())
    })
    .await
}

/// Shows a user.
#[utoipa::path(get, path = "/v1/users/{id}", operation_id = "get_user", tag = "users",
    params(
        ("id" = String, Path, description = "Its id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "alice"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "Only if it has this ETag."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "Only if it has another ETag."),
    ),
    responses(
        (status = 200, description = "How it is set up.", body = User, headers(("ETag" = String, description = "Its state."))),
        (status = 304, description = "It has the ETag of If-None-Match.", headers(("ETag" = String, description = "Its state."))),
        OfOne, Conditional))]
pub(super) async fn show(State(api): State<Api>, Named(id): Named<String>, headers: HeaderMap) -> Result<Response, Refusal> {
    let conditions = Conditions::of(&headers);
    apart(move || {
        let (_, user, tag) = api.shown.keeper.view(|view| found(&id, &view, &api.tags)).ok_or_else(|| nobody("user", &id))?;
        if !conditions.means(Some(&tag)) {
            conditions.allow(Some(&tag), true, true)?;
        }
        if conditions.has(&tag) {
            return Ok((StatusCode::NOT_MODIFIED, [tag.header()]).into_response());
        }
        Ok(([tag.header()], Json(user)).into_response())
    })
    .await
}

/// Creates or replaces a user.
///
/// Others reach it at once. What stands there already is replaced only under If-Match, unless that makes no difference: so the same request can be sent again.
/// Users are disabled, never removed.
#[utoipa::path(put, path = "/v1/users/{id}", operation_id = "put_user", tag = "users", request_body = User,
    params(
        ("id" = String, Path, description = "Its id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "alice"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "The ETag of the state that is replaced, or `*`."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "`*`: only if it is not there."),
    ),
    responses(
        (status = 200, description = "It is so now.", body = User, headers(("ETag" = String, description = "Its state."))),
        (status = 201, description = "It is there now.", body = User,
            headers(("ETag" = String, description = "Its state."), ("Location" = String, description = "Where it is."))),
        OfOne, Conditional, Unseen, Written))]
pub(super) async fn put(
    State(api): State<Api>,
    By(by): By,
    Named(id): Named<String>,
    headers: HeaderMap,
    Sent(user): Sent<User>,
) -> Result<Response, Refusal> {
    apart(move || write(&api, &by, &id, &Conditions::of(&headers), false, |_| Ok(user))).await
}

/// Changes single members of a user.
///
/// A merge patch (RFC 7396).
#[utoipa::path(patch, path = "/v1/users/{id}", operation_id = "patch_user", tag = "users",
    request_body(content = UserPatch, content_type = "application/merge-patch+json", example = json!({"name": "Alice Moss"})),
    params(
        ("id" = String, Path, description = "Its id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "alice"),
        ("If-Match" = Option<String>, Header, nullable = false, description = "The ETag of the state that is changed."),
        ("If-None-Match" = Option<String>, Header, nullable = false, description = "An ETag that it must not have."),
    ),
    responses(
        (status = 200, description = "It is so now.", body = User, headers(("ETag" = String, description = "Its state."))),
        OfOne, Conditional, Written))]
pub(super) async fn patch(
    State(api): State<Api>,
    By(by): By,
    Named(id): Named<String>,
    headers: HeaderMap,
    Patch(patch): Patch,
) -> Result<Response, Refusal> {
    apart(move || {
        let whole = |there: Option<User>| if there.is_none() { Err(nobody("user", &id)) } else { merge(there, patch) };
        write(&api, &by, &id, &Conditions::of(&headers), true, whole)
    })
    .await
}

/// Makes a user what `wanted` makes of it as it is; without If-Match only where `blind`, it makes no difference or nothing is there.
fn write(
    api: &Api,
    by: &str,
    id: &str,
    conditions: &Conditions,
    blind: bool,
    wanted: impl FnOnce(Option<User>) -> Result<User, Refusal>,
) -> Result<Response, Refusal> {
    let mut new = false;
    let plan = |view: View<'_>| {
        let there = found(id, &view, &api.tags);
        new = there.is_none();
        let (user, tag) = there.map(|(_, user, tag)| (user, tag)).unzip();
        let edits = vec![wanted(user)?.edit(id)?];
        let changes = view.roster.apply(&edits, view.file).map_or(true, |change| !change.is_empty());
        conditions.allow(tag.as_ref(), changes, blind)?;
        Ok::<_, Refusal>(edits)
    };
    let (_, seen) = api.shown.keeper.change_seen(by, false, plan, |view| found(id, &view, &api.tags))?;
    let (_, user, tag) = seen.ok_or_else(|| nobody("user", id))?;
    if new {
        let location = format!("/v1/users/{id}");
        return Ok((StatusCode::CREATED, [tag.header()], [(header::LOCATION, location)], Json(user)).into_response());
    }
    Ok(([tag.header()], Json(user)).into_response())
}

/// Shows which endpoints a user has at this moment.
#[utoipa::path(get, path = "/v1/users/{id}/status", operation_id = "get_user_status", tag = "users",
    params(("id" = String, Path, description = "Its id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "alice")),
    responses((status = 200, description = "Its endpoints, and whether they are registered.", body = UserStatus), OfOne))]
pub(super) async fn status(State(api): State<Api>, Named(id): Named<String>) -> Result<Response, Refusal> {
    apart(move || {
        let status = api.shown.keeper.view(|view| {
            let mut row = manage::user(view.roster.user(&id)?, &view);
            manage::with_phones(std::slice::from_mut(&mut row), &view);
            Some(UserStatus { id: row.id, endpoints: row.endpoints, trouble: row.trouble })
        });
        Ok(Json(status.ok_or_else(|| nobody("user", &id))?).into_response())
    })
    .await
}

/// Shows what became of a user.
#[utoipa::path(get, path = "/v1/users/{id}/history", operation_id = "get_user_history", tag = "users",
    params(("id" = String, Path, description = "Its id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "alice")),
    responses((status = 200, description = "Its latest changes, newest first.", body = super::endpoint::History), OfOne))]
pub(super) async fn history(State(api): State<Api>, Named(id): Named<String>) -> Result<Response, Refusal> {
    apart(move || {
        if !api.shown.keeper.view(|view| view.roster.user(&id).is_some()) {
            return Err(nobody("user", &id));
        }
        super::history(&api, Subject::User(id))
    })
    .await
}

/// Shows whether an endpoint is a user's.
#[utoipa::path(get, path = "/v1/endpoints/{id}/users/{user}", operation_id = "get_assignment", tag = "endpoints",
    params(
        ("id" = String, Path, description = "The endpoint's id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "desk-7"),
        ("user" = String, Path, description = "The user's id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "alice"),
    ),
    responses((status = 200, description = "It is.", body = Assignment), OfOne))]
pub(super) async fn assignment(State(api): State<Api>, Named((id, user)): Named<(String, String)>) -> Result<Response, Refusal> {
    apart(move || {
        let rings = api.shown.keeper.view(|view| assigned(&id, &user, &view))?;
        let rings = rings.ok_or_else(|| {
            Refusal::new(StatusCode::NOT_FOUND, format!("endpoint `{id}` is not that of user `{user}`"), "PUT assigns it to the user")
        })?;
        Ok(Json(Assignment { rings }).into_response())
    })
    .await
}

/// Whether an endpoint rings for a user; `None`: it is not the user's.
fn assigned(id: &str, user: &str, view: &View<'_>) -> Result<Option<bool>, Refusal> {
    let record = view.roster.endpoint(id).ok_or_else(|| nobody("endpoint", id))?;
    Ok(record.users.iter().find(|assigned| assigned.user == user).map(|assigned| assigned.rings))
}

/// Makes an endpoint a user's too.
///
/// Calls to the user's extension ring it from now on, where `rings` says so. It calls as its first user.
#[utoipa::path(put, path = "/v1/endpoints/{id}/users/{user}", operation_id = "put_assignment", tag = "endpoints", request_body = Assignment,
    params(
        ("id" = String, Path, description = "The endpoint's id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "desk-7"),
        ("user" = String, Path, description = "The user's id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "alice"),
    ),
    responses((status = 200, description = "It is.", body = Assignment), (status = 201, description = "It is now.", body = Assignment), OfOne, Written))]
pub(super) async fn assign(
    State(api): State<Api>,
    By(by): By,
    Named((id, user)): Named<(String, String)>,
    Sent(Assignment { rings }): Sent<Assignment>,
) -> Result<Response, Refusal> {
    apart(move || {
        let mut new = false;
        let plan = |view: View<'_>| {
            of_file(&id, &view)?;
            new = assigned(&id, &user, &view)?.is_none();
            view.roster.user(&user).ok_or_else(|| nobody("user", &user))?;
            Ok::<_, Refusal>(vec![Edit::Assign { endpoint: id.clone(), user: user.clone(), rings }])
        };
        let changed = api.shown.keeper.change_seen(&by, false, plan, |_| ());
        // What is in the way of it is how things stand, never what was sent.
        changed.map_err(|refusal| refusal.malformed_to(StatusCode::UNPROCESSABLE_ENTITY))?;
        let status = if new { StatusCode::CREATED } else { StatusCode::OK };
        Ok((status, Json(Assignment { rings })).into_response())
    })
    .await
}

/// Takes an endpoint from a user.
///
/// Where it is not the user's, nothing changes.
#[utoipa::path(delete, path = "/v1/endpoints/{id}/users/{user}", operation_id = "delete_assignment", tag = "endpoints",
    params(
        ("id" = String, Path, description = "The endpoint's id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "desk-7"),
        ("user" = String, Path, description = "The user's id.", pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", example = "alice"),
    ),
    responses((status = 204, description = "It is not the user's."), OfOne, Written))]
pub(super) async fn unassign(State(api): State<Api>, By(by): By, Named((id, user)): Named<(String, String)>) -> Result<Response, Refusal> {
    apart(move || {
        let plan = |view: View<'_>| {
            of_file(&id, &view)?;
            assigned(&id, &user, &view)?;
            view.roster.user(&user).ok_or_else(|| nobody("user", &user))?;
            Ok::<_, Refusal>(vec![Edit::Unassign { endpoint: id.clone(), user: user.clone() }])
        };
        api.shown.keeper.change_seen(&by, false, plan, |_| ())?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}
