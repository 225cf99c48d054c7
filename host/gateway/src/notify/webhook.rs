//! Alarms by HTTP: one POST with JSON to whatever the site has (a messenger's incoming hook, an alarm server).
//!
//! Spoken with hyper, which the gateway has for its own doors anyway: no redirects are followed and no proxy is asked, so that what goes wrong is what the
//! configuration says. (`reqwest` would bring both, and a second resolver.)

use super::alarm::Alarm;
use crate::{config::notify::Secret, manage::exchange, net::tls};
use anyhow::{Context as _, bail};
use axum::http::{
    Request, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, USER_AGENT},
};
use bytes::Bytes;
use http_body_util::Full;
use std::path::Path;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

/// Octets of an answer.
const ANSWER_MAX: usize = 64 << 10;

/// Posts an alarm; any 2xx says that it has arrived. The caller bounds the time.
///
/// # Errors
/// What went wrong, in words.
pub(super) async fn post(url: &Uri, token: Option<&Secret>, authorities: Option<&Path>, alarm: &Alarm) -> anyhow::Result<()> {
    let host = url.host().context("no host")?;
    let secure = url.scheme_str() == Some("https");
    let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let shown = if url.port_u16().is_some() { format!("{host}:{port}") } else { host.to_owned() };
    let mut request = Request::post(path)
        .header(HOST, shown)
        .header(USER_AGENT, concat!("holdfast/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_TYPE, "application/json");
    if let Some(Secret(token)) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Full::from(Bytes::from(serde_json::to_vec(&alarm.json())?)))?;
    let stream = TcpStream::connect((name, port)).await.with_context(|| format!("{name}:{port}"))?;
    let answer = if secure {
        let server = ServerName::try_from(name.to_owned()).context("the host's name")?;
        let stream = TlsConnector::from(tls::client_trusting(authorities)?).connect(server, stream).await.context("TLS")?;
        exchange(stream, request, ANSWER_MAX).await?
    } else {
        exchange(stream, request, ANSWER_MAX).await?
    };
    if !answer.status().is_success() {
        bail!("answered {}", answer.status());
    }
    Ok(())
}
