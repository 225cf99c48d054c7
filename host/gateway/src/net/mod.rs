//! Bytes in, bytes out: UDP sockets owned by the shards, TCP and TLS connections owned by the shared runtime.
//!
//! A datagram is taken from its socket by the shard's own thread: one system call in, one out, no hand-over. Streams live on other threads, so that
//! a storm of TLS handshakes cannot hold up calls; their messages reach the shards over bounded queues.

pub mod connections;
pub mod queue;
pub mod resolve;
mod stream;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod udp;
pub mod urgent;

use crate::config::Listen;
use anyhow::Context as _;
use bytes::Bytes;
use sip::transport::{Flow, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    sync::Arc,
};
use tokio::sync::Notify;

/// What reaches a shard other than by its own sockets.
#[derive(Clone, Debug)]
pub enum Input {
    /// A message from a stream, or a datagram that another shard's socket got.
    Message {
        /// One whole message.
        bytes: Bytes,
        /// Way in.
        flow: Flow,
    },
    /// A connection is gone, or could not be made.
    Unreachable(Flow),
    /// The gateway ends: registrations at providers are taken back, and whoever waits here hears when none is left.
    Leave(Arc<Notify>),
}

/// Connections that may wait to be accepted: a whole site may come at once after a power cut.
const BACKLOG: i32 = 4096;

/// Everything that the gateway listens on, bound.
#[derive(Debug, Default)]
pub struct Listeners {
    /// UDP sockets, one list per shard.
    pub udp: Vec<Vec<udp::Socket>>,
    /// TCP and TLS listeners.
    pub streams: Vec<(Transport, SocketAddr, TcpListener)>,
}

impl Listeners {
    /// Binds every address, for each shard. Unspecified addresses become one socket per address of this machine, so that each message knows the
    /// address that it came to and the peer can be shown one that it can reach. Addresses that appear later need a restart.
    ///
    /// # Errors
    /// The first address that cannot be bound, and what to do.
    pub fn bind(listen: &[Listen], shards: usize, receive_buffer: usize) -> anyhow::Result<Self> {
        let mut listeners = Self { udp: (0..shards).map(|_| Vec::new()).collect(), streams: Vec::new() };
        for wanted in listen {
            for address in expand(wanted.address)? {
                let at = Listen { transport: wanted.transport, address };
                listeners.bind_one(at, receive_buffer).with_context(|| {
                    format!("cannot listen on {at}; another program may use the port (see `ss -lntup`), or change `listen` under [sip]")
                })?;
            }
        }
        Ok(listeners)
    }

    fn bind_one(&mut self, at: Listen, receive_buffer: usize) -> anyhow::Result<()> {
        if at.transport != Transport::Udp {
            let socket = Socket::new(Domain::for_address(at.address), Type::STREAM, Some(Protocol::TCP))?;
            prepare(&socket, at.address)?;
            // A restarted gateway must not wait for old connections to be forgotten.
            socket.set_reuse_address(true)?;
            socket.bind(&at.address.into())?;
            socket.listen(BACKLOG)?;
            let listener = TcpListener::from(socket);
            self.streams.push((at.transport, listener.local_addr()?, listener));
            return Ok(());
        }
        let several = self.udp.len() > 1;
        let mut address = at.address;
        for shard in &mut self.udp {
            let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
            prepare(&socket, address)?;
            // The kernel spreads datagrams over the shards' sockets. With one shard the port stays exclusive, so that a second
            // gateway on it is an error and not a silent thief.
            socket.set_reuse_port(several)?;
            socket.set_recv_buffer_size(receive_buffer)?;
            socket.bind(&address.into())?;
            let socket = udp::Socket::new(socket.into())?;
            // Port 0 is chosen by the first.
            address = socket.local();
            shard.push(socket);
        }
        Ok(())
    }

    /// Every address listened on.
    pub fn addresses(&self) -> impl Iterator<Item = Listen> {
        let udp = self.udp.first().into_iter().flatten().map(|s| Listen { transport: Transport::Udp, address: s.local() });
        udp.chain(self.streams.iter().map(|(transport, address, _)| Listen { transport: *transport, address: *address }))
    }
}

fn prepare(socket: &Socket, address: SocketAddr) -> anyhow::Result<()> {
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(())
}

fn expand(address: SocketAddr) -> anyhow::Result<Vec<SocketAddr>> {
    if !address.ip().is_unspecified() {
        return Ok(vec![address]);
    }
    let interfaces = if_addrs::get_if_addrs().context("the addresses of this machine cannot be read")?;
    let mut addresses: Vec<SocketAddr> = interfaces
        .iter()
        .map(if_addrs::Interface::ip)
        .filter(|ip| ip.is_ipv4() == address.is_ipv4() && !link_local(*ip))
        .map(|ip| SocketAddr::new(ip, address.port()))
        .collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// An address that means nothing without the name of its interface, which SIP has no place for.
fn link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}
