//! `[metrics]` and `[telemetry]`: what tells monitoring and tracing systems how the gateway is.

use super::reader::{Document, Table};
use axum::http::Uri;
use std::net::SocketAddr;

/// Where spans of decisions go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Telemetry {
    /// The collector's address for spans: `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// One of so many call set-ups and registrations is traced.
    pub one_in: u32,
}

/// Where what is counted is served over TCP.
pub(super) fn metrics(document: &Document<'_>, table: Table<'_>) -> Option<SocketAddr> {
    table.known(&["listen"]);
    let listen = table.text("listen")?;
    let Ok(address) = listen.value.parse::<SocketAddr>() else {
        let reason = format!("`{}` is not an address with a port", listen.value);
        document.error(listen.line, "metrics.listen", reason, "write it like `listen = \"127.0.0.1:9095\"`");
        return None;
    };
    if !address.ip().is_loopback() {
        document.warning(
            listen.line,
            "metrics.listen",
            "is not a loopback address: everybody who reaches it reads the names of policies and how many calls there are",
            "choose 127.0.0.1 and let the monitoring system's agent run on this machine, or keep others out with a firewall",
        );
    }
    Some(address)
}

/// Where spans go; nowhere without a collector.
pub(super) fn telemetry(document: &Document<'_>, table: Table<'_>) -> Option<Telemetry> {
    table.known(&["otlp", "one_in"]);
    let one_in = table.number("one_in", 1..=1_000_000).map_or(1, |n| u32::try_from(n.value).unwrap_or(u32::MAX));
    let Some(otlp) = table.text("otlp") else {
        if table.has("one_in") && !table.has("otlp") {
            document.error(table.line(), "telemetry.otlp", "is missing: spans would go nowhere", "add `otlp = \"http://127.0.0.1:4318\"`");
        }
        return None;
    };
    match endpoint(&otlp.value) {
        Ok(endpoint) => Some(Telemetry { endpoint, one_in }),
        Err((reason, remedy)) => {
            document.error(otlp.line, "telemetry.otlp", reason, remedy);
            None
        }
    }
}

/// The collector's path for spans is added, unless it is there.
fn endpoint(otlp: &str) -> Result<String, (String, &'static str)> {
    const PATH: &str = "/v1/traces";
    const REMEDY: &str = "write it like `otlp = \"http://127.0.0.1:4318\"`";
    let uri: Uri = otlp.parse().map_err(|error| (format!("`{otlp}` is not an address: {error}"), REMEDY))?;
    if uri.scheme_str() == Some("https") {
        return Err(("spans are sent without TLS".to_owned(), "name an http:// collector on this machine, and let it carry them on"));
    }
    if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) || uri.query().is_some() {
        return Err((format!("`{otlp}` is not the address of a collector"), REMEDY));
    }
    let base = otlp.trim_end_matches('/');
    Ok(if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") })
}
