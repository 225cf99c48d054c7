//! Asks a running gateway, by its socket.

use super::{SOCKET, server::CONNECTION};
use anyhow::{Context as _, bail};
use axum::http::{Method, Request, Response, StatusCode, header::HOST};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use std::{io::ErrorKind, path::Path};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixStream,
    time::timeout,
};

/// Octets of an answer.
const ANSWER_MAX: usize = 32 << 20;

/// What the gateway answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Body.
    pub body: Bytes,
}

/// Asks the gateway that runs on the data folder `data`. Waits for the answer, so not in a runtime.
///
/// # Errors
/// When none runs there, or it does not answer.
pub fn ask(data: &Path, method: Method, path: &str) -> anyhow::Result<Answer> {
    ask_with(data, method, path, Vec::new())
}

/// As [`ask`], with a body.
///
/// # Errors
/// As [`ask`].
pub fn ask_with(data: &Path, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the system gives no runtime")?;
    runtime.block_on(async {
        let stream = connect(data).await?;
        let request = Request::builder().method(method).uri(path).header(HOST, "holdfast").body(Full::from(body))?;
        let answer = timeout(CONNECTION, exchange(stream, request, ANSWER_MAX)).await;
        let answer = answer.with_context(|| format!("the gateway does not answer within {} s", CONNECTION.as_secs()))??;
        Ok(Answer { status: answer.status(), body: answer.into_body() })
    })
}

async fn connect(data: &Path) -> anyhow::Result<UnixStream> {
    let path = data.join(SOCKET);
    let error = match UnixStream::connect(&path).await {
        Ok(stream) => return Ok(stream),
        Err(error) => error,
    };
    let shown = data.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => bail!(
            "no gateway runs on the data folder {shown}; name the one of a running gateway with --data, or try a folder of policies without a gateway with `holdfast check`"
        ),
        ErrorKind::PermissionDenied => bail!("the gateway on {shown} lets in only its own user: run this as that user"),
        _ => bail!("the gateway on {shown} cannot be asked at {}: {error}", path.display()),
    }
}

/// One HTTP request over `stream`, and its answer of at most `most` octets. The caller bounds the time. In a runtime.
///
/// # Errors
/// When the peer does not speak HTTP/1.1, hangs up, or answers more than `most`.
pub async fn exchange<S>(stream: S, request: Request<Full<Bytes>>, most: usize) -> anyhow::Result<Response<Bytes>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // It ends when the sender does or the peer hangs up; the answer tells what went wrong.
    let driving = tokio::spawn(connection);
    let answer = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, most).collect().await.map_err(|error| anyhow::anyhow!("the answer: {error}"))?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    let answer = answer.await;
    driving.abort();
    answer
}
