//! Raw messages on a socket, for what no well-behaved agent would send.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// A UDP socket or a TCP connection to the subject.
#[derive(Debug)]
pub enum Wire {
    /// A socket that speaks to the subject only.
    Udp(UdpSocket),
    /// A connection.
    Tcp(TcpStream),
}

impl Wire {
    /// A datagram socket to `port` on loopback.
    #[must_use]
    pub fn udp(port: u16) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        socket.connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        Self::Udp(socket)
    }

    /// A connection to `port` on loopback.
    #[must_use]
    pub fn tcp(port: u16) -> Self {
        Self::Tcp(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap())
    }

    /// Our own address.
    #[must_use]
    pub fn local(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr().unwrap(),
            Self::Tcp(stream) => stream.local_addr().unwrap(),
        }
    }

    /// Sends octets as they are; an error is the subject's closed door, which the next read reports.
    pub fn send(&self, bytes: &[u8]) {
        match self {
            Self::Udp(socket) => drop(socket.send(bytes)),
            Self::Tcp(stream) => drop((&*stream).write_all(bytes)),
        }
    }

    /// Everything that comes in until `enough` says so or `limit` is over.
    #[must_use]
    pub fn read(&self, limit: Duration, enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let begin = Instant::now();
        let (mut all, mut buffer) = (Vec::new(), vec![0; 65_535]);
        while !enough(&all) {
            let left = limit.saturating_sub(begin.elapsed());
            if left.is_zero() {
                break;
            }
            let read = match self {
                Self::Udp(socket) => socket.set_read_timeout(Some(left)).and_then(|()| socket.recv(&mut buffer)),
                Self::Tcp(stream) => stream.set_read_timeout(Some(left)).and_then(|()| (&*stream).read(&mut buffer)),
            };
            match read {
                Ok(0) | Err(_) if matches!(self, Self::Tcp(_)) => break,
                Ok(length) => all.extend_from_slice(&buffer[..length]),
                // ICMP "port unreachable" of a subject that is still starting.
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
        all
    }

    /// Sends OPTIONS and says whether it is answered within half a second.
    #[must_use]
    pub fn ping(&self) -> bool {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (number, local) = (NEXT.fetch_add(1, Ordering::Relaxed), self.local());
        let way = if matches!(self, Self::Udp(_)) { "UDP" } else { "TCP" };
        let call_id = format!("ping-{number}-{}", local.port());
        let options = format!(
            "OPTIONS sip:{domain} SIP/2.0\r\nVia: SIP/2.0/{way} {local};branch=z9hG4bK{call_id};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:ping@{domain}>;tag={number}\r\nTo: <sip:{domain}>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n",
            domain = super::DOMAIN
        );
        self.send(options.as_bytes());
        let answered = |all: &[u8]| String::from_utf8_lossy(all).contains(&call_id);
        answered(&self.read(Duration::from_millis(500), answered))
    }
}
