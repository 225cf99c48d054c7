//! All stream connections: who may come, how many, where bytes for one go.

use super::{
    Input,
    queue::Door,
    stream,
    tls::{Authorities, names_of},
    urgent::{Rank, calls_for_help},
};
use crate::{
    calls::{Keep, shard_of},
    clock::Clock,
    config::Limits,
    observe::Counters,
};
use bytes::Bytes;
use sip::transport::{Flow, Transport};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use switch::site::Site;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Semaphore, mpsc},
    time::timeout,
};
use tokio_rustls::{
    LazyConfigAcceptor, TlsConnector,
    rustls::{ClientConfig, ServerConfig, pki_types::ServerName, server::Acceptor},
    server::TlsStream,
};

/// All stream connections of the gateway. Shared by shards (which send) and the runtime (which reads and writes).
pub struct Connections {
    pub(super) limits: Limits,
    pub(super) counters: Arc<Counters>,
    shards: Vec<Door>,
    site: Arc<Site>,
    keep: Option<Arc<dyn Keep>>,
    runtime: tokio::runtime::Handle,
    server: Arc<ServerConfig>,
    connector: TlsConnector,
    authorities: Option<Authorities>,
    handshakes: Semaphore,
    next_id: AtomicU64,
    table: Mutex<Table>,
}

/// What connections are made of besides limits.
pub struct Parts {
    /// Where messages go.
    pub shards: Vec<Door>,
    /// Whose registrar hears of lost connections.
    pub site: Arc<Site>,
    /// Whose store hears of the bindings that are lost with them.
    pub keep: Option<Arc<dyn Keep>>,
    /// What is counted.
    pub counters: Arc<Counters>,
    /// Where connections live.
    pub runtime: tokio::runtime::Handle,
    /// TLS towards phones.
    pub server: Arc<ServerConfig>,
    /// TLS towards trunks.
    pub client: Arc<ClientConfig>,
    /// Whose certificates prove who a peer is, where a trunk is known by one.
    pub authorities: Option<Authorities>,
}

#[derive(Default)]
struct Table {
    by_id: HashMap<u64, Entry>,
    /// Connections that we made, by where they lead.
    outgoing: HashMap<(Transport, SocketAddr), u64>,
    per_source: HashMap<IpAddr, usize>,
    handshaking: HashMap<IpAddr, Arc<Semaphore>>,
    /// What a TLS peer at this address must call itself.
    names: HashMap<SocketAddr, ServerName<'static>>,
}

struct Entry {
    queue: mpsc::Sender<Bytes>,
    flow: Flow,
    made_by_us: bool,
}

/// How a peer is let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Entrance {
    Open,
    /// Beyond a limit, by its reserve: what it says first must be a call for help.
    ForHelp(Full),
}

/// Why a peer is not let in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Full {
    Total,
    Source,
}

impl Connections {
    /// No connections yet. Connection numbers go on from the time of start, so that none of an earlier process, remembered in a binding, comes back.
    #[must_use]
    pub fn new(limits: Limits, parts: Parts, clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            limits,
            counters: parts.counters,
            shards: parts.shards,
            site: parts.site,
            keep: parts.keep,
            runtime: parts.runtime,
            server: parts.server,
            connector: TlsConnector::from(parts.client),
            authorities: parts.authorities,
            handshakes: Semaphore::new(limits.handshakes),
            next_id: AtomicU64::new(clock.now().unix_micros()),
            table: Mutex::default(),
        })
    }

    /// Accepts connections for ever.
    ///
    /// # Errors
    /// When the listener cannot be used by the runtime.
    pub async fn accept(self: Arc<Self>, transport: Transport, listener: TcpListener) -> std::io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            match listener.accept().await {
                Ok((stream, remote)) => self.welcome(transport, stream, remote),
                Err(error) => {
                    // Mostly "too many open files": waiting a little lets some close, and keeps the loop from spinning.
                    self.counters.limit("accept-failed", || format!("a connection could not be accepted: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    fn welcome(self: &Arc<Self>, transport: Transport, stream: TcpStream, remote: SocketAddr) {
        let Ok(local) = stream.local_addr() else { return };
        let (queue, outgoing) = mpsc::channel(self.limits.write_queue);
        let flow = Flow { transport, local, remote, connection: self.next_id.fetch_add(1, Ordering::Relaxed) };
        let entrance = match self.enter(flow, queue, false) {
            Ok(entrance) => entrance,
            Err(full) => return self.full(full, remote),
        };
        let connections = Arc::clone(self);
        self.runtime.spawn(async move {
            connections.serve(flow, stream, outgoing, entrance).await;
            connections.leave(flow).await;
        });
    }

    fn full(&self, full: Full, remote: SocketAddr) {
        let (name, key) = match full {
            Full::Total => ("connections", "connections"),
            Full::Source => ("connections-per-source", "connections_per_source"),
        };
        self.counters.limit(name, || format!("a connection from {} was closed: limit `{key}`", remote.ip()));
    }

    async fn serve(&self, flow: Flow, stream: TcpStream, outgoing: mpsc::Receiver<Bytes>, entrance: Entrance) {
        stream::prepare(&stream);
        if flow.transport == Transport::Tcp {
            self.run(flow, stream, outgoing, entrance).await;
            return;
        }
        match timeout(self.limits.handshake, self.shake_hands(flow, stream)).await {
            Ok(Ok(stream)) => {
                if let (Some(authorities), Some(shown)) = (&self.authorities, stream.get_ref().1.peer_certificates()) {
                    self.site.trunks.prove(flow.connection, authorities.proved(shown));
                }
                self.run(flow, stream, outgoing, entrance).await;
            }
            Ok(Err(error)) => self.counters.limit("handshake-failed", || format!("the TLS handshake of {} failed: {error}", flow.remote)),
            Err(_) => {
                self.counters.limit("handshake-late", || format!("the TLS handshake of {} took longer than handshake_seconds", flow.remote))
            }
        }
    }

    async fn run<S: AsyncRead + AsyncWrite>(&self, flow: Flow, stream: S, outgoing: mpsc::Receiver<Bytes>, entrance: Entrance) {
        let for_help = entrance != Entrance::Open;
        if stream::run(self, flow, stream, outgoing, for_help).await == stream::End::NotForHelp
            && let Entrance::ForHelp(full) = entrance
        {
            self.full(full, flow.remote);
        }
    }

    /// What a peer has to say first is waited for without a place among the handshakes, which are work; and one address has at most half of those. So neither
    /// whoever connects and is silent, nor one address alone, keeps a phone out that calls for help.
    async fn shake_hands(&self, flow: Flow, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let hello = LazyConfigAcceptor::new(Acceptor::default(), stream).await?;
        let share = self.table().share(flow.remote.ip(), self.limits.handshakes);
        let (_own, _permit) = (share.acquire().await, self.handshakes.acquire().await);
        hello.into_stream(Arc::clone(&self.server)).await
    }

    /// Sends bytes down a connection. With connection number 0: down the one that we have to that peer, else down a new one. A connection that is gone is
    /// reported to the shards as unreachable, at once; one that does not take its bytes is closed.
    pub fn send(self: &Arc<Self>, flow: Flow, bytes: Bytes) {
        let mut table = self.table();
        let id = if flow.connection == 0 { table.outgoing.get(&(flow.transport, flow.remote)).copied() } else { Some(flow.connection) };
        if let Some(entry) = id.and_then(|id| table.by_id.get(&id)) {
            match entry.queue.try_send(bytes) {
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
                Err(mpsc::error::TrySendError::Full(_)) => {
                    let flow = entry.flow;
                    // Dropping the queue's only sender ends the connection's task.
                    table.forget(flow);
                    drop(table);
                    self.counters
                        .limit("write-queue", || format!("{flow:?} does not read what it is sent and was closed: limit `write_queue`"));
                }
            }
            return;
        }
        if flow.connection != 0 {
            drop(table);
            self.counters.count("connection-gone");
            self.unreachable(flow);
            return;
        }
        drop(table);
        self.connect(flow, bytes);
    }

    fn connect(self: &Arc<Self>, wanted: Flow, first: Bytes) {
        let (queue, outgoing) = mpsc::channel(self.limits.write_queue);
        // The queue has just been made: it has room.
        queue.try_send(first).ok();
        let flow = Flow { connection: self.next_id.fetch_add(1, Ordering::Relaxed), ..wanted };
        if self.enter(flow, queue, true).is_err() {
            self.counters.limit("connections", || format!("no connection to {} could be made: limit `connections`", flow.remote));
            self.unreachable(wanted);
            return;
        }
        let connections = Arc::clone(self);
        self.runtime.spawn(async move {
            if let Err(why) = connections.reach(flow, outgoing).await {
                connections.counters.limit("connect-failed", || format!("no connection to {:?}: {why}", wanted));
            }
            connections.leave(flow).await;
        });
    }

    async fn reach(&self, flow: Flow, outgoing: mpsc::Receiver<Bytes>) -> Result<(), String> {
        let connecting = async {
            let socket = if flow.local.is_ipv4() { tokio::net::TcpSocket::new_v4() } else { tokio::net::TcpSocket::new_v6() }?;
            // Any port of the address that the peer is shown.
            socket.bind(SocketAddr::new(flow.local.ip(), 0))?;
            let stream = socket.connect(flow.remote).await?;
            stream::prepare(&stream);
            Ok::<_, std::io::Error>(stream)
        };
        let late = |_| format!("not within {} s", self.limits.connect.as_secs());
        let stream = timeout(self.limits.connect, connecting).await.map_err(late)?.map_err(|e| e.to_string())?;
        if flow.transport == Transport::Tcp {
            self.run(flow, stream, outgoing, Entrance::Open).await;
            return Ok(());
        }
        let name = self.table().names.get(&flow.remote).cloned().unwrap_or_else(|| ServerName::IpAddress(flow.remote.ip().into()));
        let handshake = timeout(self.limits.handshake, self.connector.connect(name, stream));
        let stream = handshake.await.map_err(late)?.map_err(|e| format!("TLS: {e}"))?;
        // It has been checked: it is the trunk that we wanted.
        if let (Some(_), Some([own, ..])) = (&self.authorities, stream.get_ref().1.peer_certificates()) {
            self.site.trunks.prove(flow.connection, names_of(own));
        }
        self.run(flow, stream, outgoing, Entrance::Open).await;
        Ok(())
    }

    /// What the TLS peer at an address must call itself: the host of the trunk's URI that resolved to it.
    pub fn expect_name(&self, remote: SocketAddr, host: &str) {
        if let Ok(name) = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()) {
            self.table().names.insert(remote, name);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table().by_id.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Gives a message to the shard of its Call-ID; waits while that one's queue is full, so that the peer's sending slows down.
    pub(super) async fn deliver(&self, bytes: Bytes, flow: Flow) {
        let index = super::udp::call_id(&bytes).map_or(0, |call_id| shard_of(call_id, self.shards.len()));
        if let Some(shard) = self.shards.get(index) {
            let rank = Rank::of(&bytes, &self.site.directory());
            shard.send(Input::Message { bytes, flow }, rank).await;
        }
    }

    /// Takes a place, also from the reserve of a limit: for connections that we make, which are few and on which calls for help may depend, and for peers that
    /// have to show that they call for help.
    fn enter(&self, flow: Flow, queue: mpsc::Sender<Bytes>, made_by_us: bool) -> Result<Entrance, Full> {
        let mut table = self.table();
        let limits = &self.limits;
        let all = table.by_id.len();
        let mut entrance = Entrance::Open;
        if all >= sip::Limits::with_reserve(limits.connections) {
            return Err(Full::Total);
        } else if all >= limits.connections {
            entrance = Entrance::ForHelp(Full::Total);
        }
        if made_by_us {
            table.outgoing.insert((flow.transport, flow.remote), flow.connection);
        } else {
            let count = table.per_source.entry(flow.remote.ip()).or_default();
            if *count >= sip::Limits::with_reserve(limits.connections_per_source) {
                return Err(Full::Source);
            } else if *count >= limits.connections_per_source {
                entrance = Entrance::ForHelp(Full::Source);
            }
            *count += 1;
        }
        table.by_id.insert(flow.connection, Entry { queue, flow, made_by_us });
        Ok(entrance)
    }

    /// Whether a message is one for which the reserves of limits are kept.
    pub(super) fn calls_for_help(&self, message: &[u8]) -> bool {
        calls_for_help(message, &self.site.directory())
    }

    /// A connection has ended: nothing is sent to it any more, its transactions fail, and the bindings that were reached by it are gone.
    async fn leave(&self, flow: Flow) {
        let made_by_us = self.table().leave(flow);
        self.unreachable(flow);
        if made_by_us {
            self.unreachable(Flow { connection: 0, ..flow });
        }
        self.site.trunks.forget_connection(flow.connection);
        let changes = self.site.registrar.connection_lost(flow.connection);
        if let Some(keep) = self.keep.as_ref().filter(|_| !changes.is_empty())
            && let Err(why) = keep.keep(changes).await
        {
            self.counters.limit("store", || format!("the end of bindings could not be stored: {why}"));
        }
    }

    fn unreachable(&self, flow: Flow) {
        for shard in &self.shards {
            // The transactions of those who do not hear of it end by their timers instead.
            if !shard.try_send(Input::Unreachable(flow), Rank::First) {
                self.counters.limit("shard-queue", || "a shard's queue is full: limit `shard_queue`".to_owned());
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The handshakes that one address may have at a time.
    fn share(&mut self, source: IpAddr, handshakes: usize) -> Arc<Semaphore> {
        Arc::clone(self.handshaking.entry(source).or_insert_with(|| Arc::new(Semaphore::new(handshakes.div_ceil(2)))))
    }

    /// Takes the way to a connection away; its place is still counted until its task has ended.
    fn forget(&mut self, flow: Flow) {
        if let Some(entry) = self.by_id.get_mut(&flow.connection) {
            entry.queue = mpsc::channel(1).0;
        }
        self.outgoing.retain(|_, id| *id != flow.connection);
    }

    /// Takes a connection out. Returns whether it was one that we made.
    fn leave(&mut self, flow: Flow) -> bool {
        let made_by_us = self.by_id.remove(&flow.connection).is_some_and(|entry| entry.made_by_us);
        if made_by_us {
            self.outgoing.retain(|_, id| *id != flow.connection);
        } else if let Some(count) = self.per_source.get_mut(&flow.remote.ip()) {
            *count -= 1;
            if *count == 0 {
                self.per_source.remove(&flow.remote.ip());
                self.handshaking.remove(&flow.remote.ip());
            }
        }
        made_by_us
    }
}
