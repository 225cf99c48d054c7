//! `/v1/survival` and `/v1/drills`: which phones would survive the loss of their cloud, and drills that show it.

use super::{
    Api, Asked, By, Named, Sent, apart,
    problem::{OfOne, Refusal, Unfit, Written},
};
use crate::manage::{
    DrillRow, DrillShown, Failing, StopDrill,
    drills::{self, Shape},
};
use axum::{
    Json,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A drill that is to begin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "spring"}))]
pub struct NewDrill {
    /// What it is called.
    #[serde(default)]
    #[schema(max_length = 64, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub name: String,
}

/// All drills.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct DrillList {
    /// Newest first.
    pub items: Vec<DrillShown>,
}

/// Which phones are wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SurvivalFilter {
    /// Only those behind this id: `next` of the part before.
    #[param(nullable = false)]
    after: Option<String>,
    /// As many at most; 100 by default. The gateway's limit `rest_page` shortens it.
    #[param(nullable = false, minimum = 1, maximum = 1000000)]
    limit: Option<u32>,
    /// Only those that would survive, or would not.
    #[param(nullable = false)]
    survives: Option<bool>,
}

/// How phones reach this gateway.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct NowFilter {
    /// Only those behind this id: `next` of the part before.
    #[param(nullable = false)]
    after: Option<String>,
    /// As many at most; 100 by default. The gateway's limit `rest_page` shortens it.
    #[param(nullable = false, minimum = 1, maximum = 1000000)]
    limit: Option<u32>,
    /// Only those that would survive, or would not.
    #[param(nullable = false)]
    survives: Option<bool>,
    /// How phones reach this gateway, as entries of `SIP_CONTROLLER_LIST` with commas between; the addresses that it listens on when left out.
    #[param(nullable = false, example = "192.0.2.10;transport=tls")]
    controllers: Option<String>,
}

/// A phone, and whether it would survive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Survivor {
    /// How it stands.
    pub phone: DrillRow,
    /// What keeps it from surviving; nothing: it would.
    pub failing: Vec<Failing>,
}

/// A part of the list of phones, by id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Survivors {
    /// The drill that runs, or that this is the report of.
    pub drill: Option<DrillShown>,
    /// What settings files were looked through for; empty: nothing is known.
    pub controllers: Vec<String>,
    /// Phones.
    pub items: Vec<Survivor>,
    /// `after` of the next part; null: this was the last.
    pub next: Option<String>,
}

fn part(shape: Shape, filter: &SurvivalFilter, most: usize) -> Survivors {
    let Shape { drill, controllers, mut rows } = shape;
    rows.sort_by(|one, other| one.id.cmp(&other.id));
    let after = filter.after.as_deref().unwrap_or_default();
    let wanted = rows.into_iter().filter(|row| row.id.as_str() > after).map(|phone| Survivor { failing: phone.failing(), phone });
    let mut wanted = wanted.filter(|survivor| filter.survives.is_none_or(|survives| survivor.failing.is_empty() == survives));
    let items: Vec<Survivor> = wanted.by_ref().take(most).collect();
    let next = items.last().map(|last| last.phone.id.clone()).filter(|_| wanted.next().is_some());
    Survivors { drill, controllers, items, next }
}

/// Shows which phones would survive the loss of their cloud today.
///
/// In a drill, who has come to it. By id, in parts: `next` of one is `after` of the next.
#[utoipa::path(get, path = "/v1/survival", operation_id = "list_survivors", tag = "drills", params(NowFilter),
    responses((status = 200, description = "A part of the list.", body = Survivors), Unfit))]
pub(super) async fn now(State(api): State<Api>, Asked(filter): Asked<NowFilter>) -> Result<Response, Refusal> {
    let most = api.part(filter.limit)?;
    apart(move || {
        let NowFilter { after, limit, survives, controllers } = filter;
        let shape = drills::now(&api.shown, &controllers.unwrap_or_default());
        // What stands in the way is no form that this document could describe.
        let shape = shape.map_err(|turned| Refusal::from(turned).malformed_to(StatusCode::UNPROCESSABLE_ENTITY))?;
        Ok(Json(part(shape, &SurvivalFilter { after, limit, survives }, most)).into_response())
    })
    .await
}

/// Lists drills.
#[utoipa::path(get, path = "/v1/drills", operation_id = "list_drills", tag = "drills",
    responses((status = 200, description = "The last hundred, newest first; the one without an end runs.", body = DrillList)))]
pub(super) async fn list(State(api): State<Api>) -> Result<Response, Refusal> {
    apart(move || Ok(Json(DrillList { items: drills::all(&api.shown)? }).into_response())).await
}

/// Begins a drill.
///
/// From now on it is written down which phones register here; then the cloud is blocked. One drill runs at a time.
#[utoipa::path(post, path = "/v1/drills", operation_id = "begin_drill", tag = "drills", request_body = NewDrill,
    responses(
        (status = 201, description = "It runs.", body = DrillShown, headers(("Location" = String, description = "Where it is."))),
        Written))]
pub(super) async fn begin(State(api): State<Api>, By(by): By, Sent(NewDrill { name }): Sent<NewDrill>) -> Result<Response, Refusal> {
    if name.chars().count() > drills::NAME || name.chars().any(char::is_control) {
        let remedy = format!("use {} characters at most, in one line", drills::NAME);
        return Err(Refusal::body("/name", "this is no name", remedy));
    }
    apart(move || {
        let drill = drills::start(&api.shown, &by, &name)?;
        let location = format!("/v1/drills/{}", drill.number);
        Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(drill)).into_response())
    })
    .await
}

/// Shows a drill.
#[utoipa::path(get, path = "/v1/drills/{number}", operation_id = "get_drill", tag = "drills",
    params(("number" = i64, Path, description = "Its number.", minimum = 1, maximum = 1000000000, example = 1)),
    responses((status = 200, description = "When it began and ended.", body = DrillShown), OfOne))]
pub(super) async fn show(State(api): State<Api>, Named(number): Named<i64>) -> Result<Response, Refusal> {
    apart(move || {
        let drill = drills::all(&api.shown)?.into_iter().find(|drill| drill.number == number).ok_or_else(|| nothing(number))?;
        Ok(Json(drill).into_response())
    })
    .await
}

/// Shows which phones came to a drill.
///
/// Of one that runs, as far as it has come. By id, in parts: `next` of one is `after` of the next.
#[utoipa::path(get, path = "/v1/drills/{number}/phones", operation_id = "list_drill_phones", tag = "drills",
    params(SurvivalFilter, ("number" = i64, Path, description = "Its number.", minimum = 1, maximum = 1000000000, example = 1)),
    responses((status = 200, description = "A part of its report.", body = Survivors), OfOne))]
pub(super) async fn phones(
    State(api): State<Api>,
    Named(number): Named<i64>,
    Asked(filter): Asked<SurvivalFilter>,
) -> Result<Response, Refusal> {
    let most = api.part(filter.limit)?;
    apart(move || {
        let shape = drills::now(&api.shown, "")?;
        let shape = match &shape.drill {
            Some(running) if running.number == number => shape,
            _ => drills::kept(&api.shown, number)?,
        };
        Ok(Json(part(shape, &filter, most)).into_response())
    })
    .await
}

/// Ends a drill.
///
/// What it has shown is kept as its report.
#[utoipa::path(post, path = "/v1/drills/{number}/stop", operation_id = "end_drill", tag = "drills",
    params(("number" = i64, Path, description = "Its number.", minimum = 1, maximum = 1000000000, example = 1)),
    responses((status = 200, description = "It has ended.", body = DrillShown), OfOne, Written))]
pub(super) async fn end(State(api): State<Api>, Named(number): Named<i64>) -> Result<Response, Refusal> {
    apart(move || {
        if drills::all(&api.shown)?.iter().all(|drill| drill.number != number) {
            return Err(nothing(number));
        }
        Ok(Json(drills::end(&api.shown, Some(number), StopDrill::default())?).into_response())
    })
    .await
}

fn nothing(number: i64) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no drill {number}"), "GET /v1/drills lists all of them")
}
