//! Serves a router within bounds. `axum::serve` is not used because it bounds neither how many connections there are nor how long they last; hyper, on which it stands,
//! does.

use anyhow::{Context as _, bail, ensure};
use axum::{Extension, Router, serve::Listener};
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use socket2::{Domain, SockAddr, Socket, Type};
use std::{
    fs,
    net::SocketAddr,
    os::unix::{ffi::OsStrExt as _, fs::FileTypeExt as _, fs::PermissionsExt as _},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, rustls::pki_types::CertificateDer};

/// Connections at a time of the socket and of what is counted; more wait to be accepted.
pub(super) const CONNECTIONS: usize = 16;
/// Those that wait.
const BACKLOG: i32 = 64;
/// How long a request may take to arrive, as far as its headers go.
const HEADERS: Duration = Duration::from_secs(5);
/// How long one connection, which carries one request, may last: as long as the largest component takes to load, while a roll-back waits for it.
pub(super) const CONNECTION: Duration = Duration::from_secs(40);
/// Octets of a request's headers, and of what is read ahead.
const BUFFER: usize = 64 << 10;
/// Octets of a socket's path, its end included (`sun_path`, unix(7)).
const PATH_MAX: usize = 108;

/// A socket at `path` that only its owner may connect to. A socket that a gateway before has left there is replaced.
///
/// # Errors
/// When the path is too long, something else lies there, or the system refuses.
pub(super) fn socket(path: &Path) -> anyhow::Result<UnixListener> {
    let length = path.as_os_str().as_bytes().len();
    ensure!(
        length < PATH_MAX,
        "the path of the socket {} has {length} octets, the system allows {}; use a data folder with a shorter path",
        path.display(),
        PATH_MAX - 1
    );
    match fs::symlink_metadata(path) {
        Ok(there) if there.file_type().is_socket() => {
            fs::remove_file(path).with_context(|| format!("{} cannot be replaced", path.display()))?
        }
        Ok(_) => bail!("{} is there and is no socket; remove it", path.display()),
        Err(_) => {}
    }
    let bound = || -> std::io::Result<UnixListener> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path)?)?;
        // Before it listens, so that nobody else was ever let in.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        UnixListener::from_std(socket.into())
    };
    bound().with_context(|| format!("the socket {} cannot be made", path.display()))
}

/// A listener on `address`, and the address that it got.
///
/// # Errors
/// When the system refuses.
pub(crate) fn tcp(address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

/// On what terms a router is served.
pub(crate) struct Terms {
    /// Connections at a time, each with one request; more wait to be accepted.
    pub(crate) connections: usize,
    /// How they are secured.
    pub(crate) tls: Option<TlsAcceptor>,
    /// Hears that one has to wait.
    pub(crate) full: Arc<dyn Fn() + Send + Sync>,
}

/// The certificate that a peer has shown over TLS and that was found good.
#[derive(Clone, Debug)]
pub(crate) struct Certificate(pub(crate) CertificateDer<'static>);

/// Serves until it is dropped, and its connections with it; `router` is what a peer sees.
pub(crate) async fn run<L: Listener<Addr: Send>>(mut listener: L, terms: Terms, router: impl Fn(&L::Addr) -> Router + Send) {
    let mut open = JoinSet::new();
    loop {
        // Those that have ended make room.
        while open.try_join_next().is_some() {}
        let (stream, peer) = listener.accept().await;
        if open.len() >= terms.connections {
            (terms.full)();
            open.join_next().await;
        }
        let (router, tls) = (router(&peer), terms.tls.clone());
        open.spawn(async move {
            // Who hangs up or dawdles has no answer to miss.
            let _ended = timeout(CONNECTION, async move {
                match tls {
                    None => answer(stream, router).await,
                    Some(tls) => {
                        if let Ok(Ok(stream)) = timeout(HEADERS, tls.accept(stream)).await {
                            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).cloned();
                            let router = match certificate {
                                Some(certificate) => router.layer(Extension(Certificate(certificate))),
                                None => router,
                            };
                            answer(stream, router).await;
                        }
                    }
                }
            })
            .await;
        });
    }
}

/// One request and its answer.
async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS).max_buf_size(BUFFER).keep_alive(false);
    let _ended = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}
