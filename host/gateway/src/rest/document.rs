//! The OpenAPI document: made of the handlers' own attributes and of the types that they read and write.
//!
//! utoipa rather than aide: what a client must know here is mostly not in the types of a handler (ETag and Location, conditions, the media type of a patch, which
//! problems there are), and utoipa lets each handler say that beside itself, while axum's own router stays in place; aide reads types and brings a router of its own.
//! What utoipa cannot see, whether each route is described at all, a test compares ([`super::routes`]).

use super::{drills, endpoints, problem, sheets, site, users};
use axum::http::header::WWW_AUTHENTICATE;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        self, HeaderBuilder, RefOr,
        path::Operation,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

/// Name of the security scheme, which the document's attribute repeats.
const TOKEN: &str = "token";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Holdfast",
        description = "Endpoints and users of a SIP survivability gateway. A change is on disk and in force before its answer: no restart, no call and no registration of others is dropped. \
            What is refused changes nothing and is answered as a problem (RFC 9457).",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        document,
        site::status,
        site::licences,
        endpoints::list,
        endpoints::show,
        endpoints::put,
        endpoints::patch,
        endpoints::status,
        endpoints::history,
        endpoints::password,
        endpoints::token,
        users::assignment,
        users::assign,
        users::unassign,
        users::list,
        users::show,
        users::put,
        users::patch,
        users::status,
        users::history,
        drills::now,
        drills::list,
        drills::begin,
        drills::show,
        drills::phones,
        drills::end,
        sheets::endpoints_out,
        sheets::endpoints_in,
        sheets::users_out,
        sheets::users_in,
    ),
    components(schemas(problem::Problem)),
    tags(
        (name = "endpoints", description = "Phones' accounts."),
        (name = "users", description = "Who has which extension, numbers and endpoints."),
        (name = "drills", description = "Which phones would survive the loss of their cloud, and drills that show it."),
        (name = "site", description = "The site as a whole."),
    ),
    security(("token" = [])),
    modifiers(&Common),
)]
struct Api;

/// What every operation has.
struct Common;

impl Modify for Common {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let scheme = Http::builder().scheme(HttpAuthScheme::Bearer).description(Some("A token of the token file.")).build();
        document.components.get_or_insert_default().add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
        for item in document.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
            for operation in operations.into_iter().flatten().filter(|operation| operation.security.is_none()) {
                answers(operation);
            }
        }
    }
}

fn answers(operation: &mut Operation) {
    let mut add = |status: &str, what: &str, header: Option<&str>| {
        let mut response = problem::described(what);
        if let (RefOr::T(response), Some(header)) = (&mut response, header) {
            let text = HeaderBuilder::new().schema(Some(openapi::Object::with_type(openapi::schema::Type::String))).build();
            response.headers.insert(header.to_owned(), RefOr::T(text));
        }
        operation.responses.responses.entry(status.to_owned()).or_insert(response);
    };
    add("400", "It is not what this document describes.", None);
    add("401", "Without a good token.", Some(WWW_AUTHENTICATE.as_str()));
    add("429", "Too many wrong tokens from this address.", Some("retry-after"));
    add("500", "The gateway could not do it; its log says more.", None);
    add("503", "The store cannot keep it; nothing was changed.", Some("retry-after"));
}

/// Shows this document.
#[utoipa::path(get, path = "/v1/openapi.json", operation_id = "get_openapi", tag = "site", security(()),
    responses((status = 200, description = "This document. It can be had without a token.", body = serde_json::Value, content_type = "application/json")))]
pub(super) async fn document() -> axum::Json<openapi::OpenApi> {
    axum::Json(openapi())
}

/// The OpenAPI 3.1 document of the REST API.
#[must_use]
pub fn openapi() -> openapi::OpenApi {
    Api::openapi()
}
