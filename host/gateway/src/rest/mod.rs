//! The REST API: endpoints and users over HTTP, for programs that provision a site.
//!
//! It does what the commands `holdfast endpoint` and `holdfast user` do, by the same rules and through the same [`Keeper`](crate::keeper::Keeper): a change is on disk
//! and in force before its answer. `GET` shows, `PUT` makes it so (sent twice it changes nothing more), `PATCH` changes members; entity tags keep two senders from
//! overwriting each other. Nothing is ever removed. [`openapi`] describes all of it.
//!
//! Off unless `[rest] listen` names an address. On a loopback address it speaks plain HTTP, elsewhere HTTPS with the gateway's own certificate, and everywhere whoever
//! asks must show a token of the token file. Everything that waits for the disk or for a lock waits on a thread of its own.

mod condition;
mod document;
#[expect(unused_qualifications, reason = "what utoipa makes of an attribute names types by their whole path")]
mod drills;
#[expect(unused_qualifications, reason = "what utoipa makes of an attribute names types by their whole path")]
mod endpoint;
mod endpoints;
mod problem;
mod request;
#[expect(unused_qualifications, reason = "what utoipa makes of an attribute names types by their whole path")]
mod sheets;
mod site;
#[cfg(test)]
mod tests;
mod token;
#[expect(unused_qualifications, reason = "what utoipa makes of an attribute names types by their whole path")]
mod users;

pub use document::openapi;
pub use drills::{DrillList, NewDrill, NowFilter, SurvivalFilter, Survivor, Survivors};
pub use endpoint::{
    AssignedUser, Endpoint, EndpointFilter, EndpointItem, EndpointPatch, EndpointStatus, Endpoints, History, Key, Kind, MadePassword,
    Registration, Stands,
};
pub use problem::{Conditional, OfOne, PROBLEM, Problem, Unfit, Unseen, Written, Wrong};
pub use sheets::{Imported, SheetQuery};
pub use site::{Licences, Status};
pub use users::{Assignment, Number, User, UserFilter, UserItem, UserPatch, UserStatus, Users};

use crate::{
    config::{self, Limits},
    data::DataFolder,
    manage::{
        Shown, happened,
        server::{self, Terms},
    },
    sources::Sources,
};
use anyhow::Context as _;
use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, delete, get, patch, post, put},
};
use condition::Tags;
use problem::Refusal;
use request::{Asked, By, Named, Patch, Sent, merge};
use std::{
    cmp::Ordering,
    future::ready,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Instant,
};
use switch::directory::roster::Subject;
use token::Tokens;
use tokio::task::JoinHandle;
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

/// Items of a part of a list when nobody says how many.
const PART: usize = 100;
/// As many as somebody may ask for.
const PART_MAX: u32 = 1_000_000;

/// What bounds it.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    body: usize,
    page: usize,
}

/// What every handler knows.
struct Known {
    shown: Shown,
    tokens: Tokens,
    failures: Sources,
    tags: Tags,
    limits: Bounds,
}

/// What every handler is given.
type Api = Arc<Known>;

impl Known {
    /// How many items a part of a list has.
    fn part(&self, wanted: Option<u32>) -> Result<usize, Refusal> {
        if wanted.is_some_and(|wanted| !(1..=PART_MAX).contains(&wanted)) {
            let remedy = format!("ask for 1 to {PART_MAX}; the gateway's limit `rest_page` shortens it");
            return Err(Refusal::parameter("limit", "no part of a list has so many items", remedy));
        }
        let wanted = wanted.and_then(|wanted| usize::try_from(wanted).ok()).unwrap_or(PART);
        if wanted > self.limits.page {
            self.shown.counters.limit("rest-page", || format!("{wanted} items were asked of the REST API at once: limit `rest_page`"));
        }
        Ok(wanted.min(self.limits.page))
    }
}

/// One operation: what the router serves and the document describes.
struct Route {
    /// As in the document.
    #[cfg_attr(not(test), expect(dead_code, reason = "a test compares it with the document"))]
    method: &'static str,
    path: &'static str,
    serves: MethodRouter<Api>,
}

macro_rules! routes {
    ($($method:ident $path:literal $handler:path),+ $(,)?) => {
        vec![$(Route { method: stringify!($method), path: $path, serves: $method($handler) }),+]
    };
}

/// All that needs a token.
fn routes() -> Vec<Route> {
    routes![
        get "/v1/status" site::status,
        get "/v1/licences" site::licences,
        get "/v1/endpoints" endpoints::list,
        get "/v1/endpoints/{id}" endpoints::show,
        put "/v1/endpoints/{id}" endpoints::put,
        patch "/v1/endpoints/{id}" endpoints::patch,
        post "/v1/endpoints/{id}/password" endpoints::password,
        post "/v1/endpoints/{id}/token" endpoints::token,
        get "/v1/endpoints/{id}/status" endpoints::status,
        get "/v1/endpoints/{id}/history" endpoints::history,
        get "/v1/endpoints/{id}/users/{user}" users::assignment,
        put "/v1/endpoints/{id}/users/{user}" users::assign,
        delete "/v1/endpoints/{id}/users/{user}" users::unassign,
        get "/v1/users" users::list,
        get "/v1/users/{id}" users::show,
        put "/v1/users/{id}" users::put,
        patch "/v1/users/{id}" users::patch,
        get "/v1/users/{id}/status" users::status,
        get "/v1/users/{id}/history" users::history,
        get "/v1/survival" drills::now,
        get "/v1/drills" drills::list,
        post "/v1/drills" drills::begin,
        get "/v1/drills/{number}" drills::show,
        get "/v1/drills/{number}/phones" drills::phones,
        post "/v1/drills/{number}/stop" drills::end,
        get "/v1/endpoints.csv" sheets::endpoints_out,
        post "/v1/endpoints.csv" sheets::endpoints_in,
        get "/v1/users.csv" sheets::users_out,
        post "/v1/users.csv" sheets::users_in,
    ]
}

/// All that everybody may see.
fn open_routes() -> Vec<Route> {
    routes![get "/v1/openapi.json" document::document]
}

fn router(api: &Api) -> Router {
    let all = |routes: Vec<Route>| routes.into_iter().fold(Router::new(), |router, route| router.route(route.path, route.serves));
    let guarded = all(routes())
        .fallback(|| ready(nothing_there()))
        .method_not_allowed_fallback(not_so)
        .layer(DefaultBodyLimit::max(api.limits.body))
        .layer(middleware::from_fn_with_state(Arc::clone(api), guard));
    let open = all(open_routes()).method_not_allowed_fallback(not_so);
    guarded.merge(open).with_state(Arc::clone(api))
}

fn nothing_there() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is nothing at this path", "/v1/openapi.json describes what there is")
}

/// Another method than the path has; axum adds which it has (Allow).
async fn not_so(request: Request) -> Refusal {
    let remedy = match (request.method().as_str(), request.uri().path()) {
        ("DELETE", path) if path.starts_with("/v1/endpoints") => {
            r#"endpoints are never removed: PATCH {"enabled": false} disables one, DELETE .../users/{user} takes it from a user"#
        }
        ("DELETE", path) if path.starts_with("/v1/users") => r#"users are never removed: PATCH {"enabled": false} disables one"#,
        _ => "the header Allow names the methods that there are",
    };
    Refusal::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} cannot be done here", request.method()), remedy)
}

/// Where a request comes from.
#[derive(Clone, Copy)]
struct Peer(IpAddr);

/// Lets in whoever shows a good token.
async fn guard(State(api): State<Api>, Extension(Peer(peer)): Extension<Peer>, mut request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default().to_owned());
    let token = shown.as_deref().and_then(|shown| shown.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some((_, token)) = token else {
        api.shown.counters.count("rest-unauthorised");
        return unauthorised("the request shows no token").into_response();
    };
    let token = token.trim().to_owned();
    let known = Arc::clone(&api);
    let owner = apart(move || {
        if let Some(left) = known.failures.shut_out(peer, Instant::now()) {
            known
                .shown
                .counters
                .limit("rest-failures", || format!("{peer} has shown too many wrong tokens and is not listened to: limit `rest_failures`"));
            let remedy = "ask again later, with a token of the token file";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens from this address", remedy).retry_after(left));
        }
        known.tokens.owner(&token, &known.shown.counters).ok_or_else(|| {
            known.failures.count(peer, Instant::now());
            known
                .shown
                .counters
                .limit("rest-unauthorised", || format!("{peer} has shown the REST API a token that is not in the token file"));
            unauthorised("the token is not good")
        })
    });
    match owner.await {
        Ok(name) => {
            let by = if name.is_empty() { "rest".to_owned() } else { format!("rest:{name}") };
            request.extensions_mut().insert(By(by));
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    }
}

fn unauthorised(detail: &str) -> Refusal {
    let remedy = "send `Authorization: Bearer TOKEN` with a token of the token file (`token_file` under [rest])";
    // RFC 9110 15.5.2: "MUST send a WWW-Authenticate header field".
    Refusal::new(StatusCode::UNAUTHORIZED, detail, remedy)
        .with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"holdfast\""))
}

/// Runs what may wait on a thread of its own.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, Refusal> + Send + 'static) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| {
        let detail = format!("the gateway could not do it: {error}");
        Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, detail, "its log says more"))
    })
}

/// The latest entries about somebody.
fn history(api: &Api, subject: Subject) -> Result<Response, Refusal> {
    let entries = api.shown.keeper.history(subject).map_err(|why| Refusal::from(crate::keeper::No::Trouble(why)))?;
    Ok(axum::Json(History { items: happened(entries) }).into_response())
}

/// Two rows of ids in their order as one.
fn merged<'a>(first: impl Iterator<Item = &'a str>, second: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let (mut first, mut second) = (first.peekable(), second.peekable());
    std::iter::from_fn(move || match (first.peek(), second.peek()) {
        (Some(one), Some(other)) if one.cmp(other) == Ordering::Greater => second.next(),
        (Some(_), _) => first.next(),
        (None, _) => second.next(),
    })
}

/// Opens the door that `[rest]` asks for; the address that it got.
///
/// # Errors
/// When there is no good token file, or the system refuses the address. Then nobody gets in.
pub(crate) fn open(
    settings: &config::Rest,
    limits: &Limits,
    data: &DataFolder,
    tls: Arc<ServerConfig>,
    shown: &Shown,
) -> anyhow::Result<(JoinHandle<()>, SocketAddr)> {
    let file = settings.tokens(data);
    let tokens = Tokens::open(&file, settings.loopback())?;
    let api = Arc::new(Known {
        shown: shown.clone(),
        tokens,
        failures: Sources::new(limits.rest_failures),
        tags: Tags::new(data.nonce_key()?),
        limits: Bounds { body: limits.rest_body, page: limits.rest_page },
    });
    let (listener, address) = server::tcp(settings.listen).with_context(|| format!("{} cannot be listened on", settings.listen))?;
    let secured = (!settings.loopback()).then(|| TlsAcceptor::from(tls));
    let scheme = if secured.is_some() { "https" } else { "http" };
    tracing::info!("the REST API is at {scheme}://{address}/v1, tokens are in {}", file.display());
    let (counters, most) = (Arc::clone(&shown.counters), limits.rest_requests);
    let full = move || {
        counters.limit("rest-requests", || format!("requests to the REST API wait for others to end: limit `rest_requests` ({most})"))
    };
    let router = router(&api);
    let terms = Terms { connections: most, tls: secured, full: Arc::new(full) };
    let serving = server::run(listener, terms, move |peer: &SocketAddr| router.clone().layer(Extension(Peer(peer.ip().to_canonical()))));
    Ok((tokio::spawn(serving), address))
}

/// Tries the token file, without making one: for `check`.
///
/// # Errors
/// As [`open`].
pub(crate) fn try_tokens(settings: &config::Rest, data: &std::path::Path) -> anyhow::Result<()> {
    let file = data.join(&settings.token_file);
    // One is made at the start.
    if settings.loopback() && !file.exists() {
        return Ok(());
    }
    Tokens::open(&file, false).map(|_| ())
}
