//! One UDP socket of one shard.

use bytes::Bytes;
use nix::{
    errno::Errno,
    sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt},
};
use sip::transport::{Flow, Transport};
use std::{
    io::{self, ErrorKind, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    os::fd::AsRawFd as _,
    task::{Context, Poll, ready},
};
use tokio::io::{Interest, unix::AsyncFd};

/// The longest datagram there is.
pub const MAX_DATAGRAM: usize = 65_535;

/// Errors taken from the queue of one socket in one go.
const ERRORS_AT_ONCE: usize = 64;

/// A bound socket. Errors that the network reports (ICMP) are kept apart from datagrams, with the address that they are about.
#[derive(Debug)]
pub struct Socket {
    local: SocketAddr,
    socket: UdpSocket,
}

impl Socket {
    /// Wraps a bound, non-blocking socket.
    ///
    /// # Errors
    /// When the kernel does not report its address or refuses to report network errors.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        let local = socket.local_addr()?;
        if local.is_ipv4() {
            setsockopt(&socket, sockopt::Ipv4RecvErr, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv6RecvErr, &true)?;
        }
        Ok(Self { local, socket })
    }

    /// The address it is bound to.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Octets that the kernel keeps for us; it may grant less than was asked.
    #[must_use]
    pub fn receive_buffer(&self) -> usize {
        socket2::SockRef::from(&self.socket).recv_buffer_size().unwrap_or(0)
    }

    /// Hands the socket to the runtime of the thread that will use it.
    ///
    /// # Errors
    /// When the thread has no runtime or the kernel no room.
    pub fn attach(self) -> io::Result<Attached> {
        // Only reading is watched: watching for room to write would wake the thread for every datagram that has left.
        #[expect(
            deprecated,
            reason = "its replacement is unsafe to call; what that asks for, an owned descriptor that stays the same, a UdpSocket is"
        )]
        let fd = AsyncFd::with_interest(self.socket, Interest::READABLE)?;
        Ok(Attached { local: self.local, fd })
    }
}

/// A socket in use.
#[derive(Debug)]
pub struct Attached {
    local: SocketAddr,
    fd: AsyncFd<UdpSocket>,
}

/// What became of a datagram that was to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sent {
    /// It left.
    Yes,
    /// The kernel had no room, or refused it: the transaction layer sends it again.
    Dropped,
    /// There is no way to that address.
    Unreachable,
}

impl Attached {
    /// The address it is bound to.
    #[must_use]
    pub const fn local(&self) -> SocketAddr {
        self.local
    }

    /// Resolves when there may be something to receive.
    pub fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        // An error here means that the runtime ends; so does the thread, then.
        let _guard = ready!(self.fd.poll_read_ready(cx));
        Poll::Ready(())
    }

    /// Takes one datagram; `Ok(None)` when there is none left: only then does [`Attached::poll_readable`] wait again. Keep-alives and other datagrams of
    /// at most four octets are empty `Bytes`.
    ///
    /// # Errors
    /// What the network reported about an earlier datagram of ours: see [`Attached::network_errors`].
    pub fn receive(&self, scratch: &mut [u8], cx: &mut Context<'_>) -> io::Result<Option<(Bytes, Flow)>> {
        let Poll::Ready(guard) = self.fd.poll_read_ready(cx) else { return Ok(None) };
        let mut guard = guard?;
        let Ok(received) = guard.try_io(|fd| fd.get_ref().recv_from(scratch)) else { return Ok(None) };
        let (length, remote) = received?;
        let flow = Flow { transport: Transport::Udp, local: self.local, remote, connection: 0 };
        let datagram = scratch.get(..length).unwrap_or_default();
        // RFC 5626 3.5.1: CRLF keep-alives; phones also send zeros. The shortest message is longer.
        let bytes = if length <= 4 { Bytes::new() } else { Bytes::copy_from_slice(datagram) };
        Ok(Some((bytes, flow)))
    }

    /// Sends one datagram at once or not at all.
    pub fn send(&self, bytes: &[u8], remote: SocketAddr) -> Sent {
        // The kernel reports an error about an earlier datagram once, in place of sending; then it sends.
        for _ in 0..2 {
            match self.fd.get_ref().send_to(bytes, remote) {
                Ok(_) => return Sent::Yes,
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                Err(error) => {
                    return match error.kind() {
                        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::AddrNotAvailable => Sent::Unreachable,
                        _ => Sent::Dropped,
                    };
                }
            }
        }
        Sent::Dropped
    }

    /// Waits until the network has reported an error.
    ///
    /// # Errors
    /// When the runtime ends.
    pub async fn errored(&self) -> io::Result<()> {
        let mut guard = self.fd.ready(Interest::ERROR).await?;
        guard.clear_ready();
        Ok(())
    }

    /// Takes the addresses that the network says cannot be reached (ICMP).
    pub fn network_errors(&self, unreachable: &mut Vec<Flow>) {
        for _ in 0..ERRORS_AT_ONCE {
            let Some(remote) = self.next_error() else { return };
            if let Some(remote) = remote {
                unreachable.push(Flow { transport: Transport::Udp, local: self.local, remote, connection: 0 });
            }
        }
    }

    /// `None` when the queue is empty; `Some(None)` for an error that does not mean unreachable.
    fn next_error(&self) -> Option<Option<SocketAddr>> {
        let mut payload = [0; 64];
        let mut slices = [IoSliceMut::new(&mut payload)];
        let mut control = nix::cmsg_space!([u8; 128]);
        let fd = self.fd.get_ref().as_raw_fd();
        let message =
            recvmsg::<SockaddrStorage>(fd, &mut slices, Some(&mut control), MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT).ok()?;
        let final_error = |code: u32| {
            let code = i32::try_from(code).map_or(Errno::UnknownErrno, Errno::from_raw);
            matches!(code, Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::EHOSTDOWN | Errno::ENETDOWN)
        };
        let unreachable = message.cmsgs().ok()?.any(|control| match control {
            ControlMessageOwned::Ipv4RecvErr(error, _) => final_error(error.ee_errno),
            ControlMessageOwned::Ipv6RecvErr(error, _) => final_error(error.ee_errno),
            _ => false,
        });
        let address = message.address.filter(|_| unreachable)?;
        let v4 = address.as_sockaddr_in().map(|a| SocketAddr::V4((*a).into()));
        Some(v4.or_else(|| address.as_sockaddr_in6().map(|a| SocketAddr::V6((*a).into()))))
    }
}

/// The Call-ID of a message, found without reading the rest of it: which shard it belongs to must be known before it is parsed.
#[must_use]
pub fn call_id(message: &[u8]) -> Option<&[u8]> {
    let mut lines = message.split(|b| *b == b'\n').skip(1);
    loop {
        let line = lines.next()?.trim_ascii_end();
        if line.is_empty() {
            return None;
        }
        let mut halves = line.splitn(2, |b| *b == b':');
        let name = halves.next()?.trim_ascii();
        if name.eq_ignore_ascii_case(b"call-id") || name.eq_ignore_ascii_case(b"i") {
            let value = halves.next()?.trim_ascii();
            // A folded line (RFC 3261 7.3.1): the value stands on the next one.
            return if value.is_empty() { lines.next().map(<[u8]>::trim_ascii) } else { Some(value) };
        }
    }
}
