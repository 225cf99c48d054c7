//! A scripted phone of the virtual world on a real socket: the same user agent, hundreds of calls at a time, over UDP or TCP.

use crate::phone::Phone;
use bytes::{Bytes, BytesMut};
use gateway::calls::Transmit;
use sip::{
    Instant, Limits,
    frame::{self, Frame},
    transport::{Flow, Transport},
};
use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    time::{Duration, SystemTime},
};

enum Wire {
    Udp(UdpSocket),
    Tcp { stream: TcpStream, buffer: BytesMut, scanned: usize },
}

/// A phone and its socket.
pub struct Agent {
    /// The phone.
    pub phone: Phone,
    wire: Wire,
    gateway: SocketAddr,
    out: Vec<Transmit>,
}

/// The wall clock as the machines count it.
fn now() -> Instant {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Instant::from_unix_micros(u64::try_from(since.as_micros()).unwrap())
}

impl Agent {
    /// A phone with this account of [`crate::node::ACCOUNTS`], on a port of its own.
    #[must_use]
    pub fn new(name: &'static str, extension: &str, gateway: SocketAddr, transport: Transport) -> Self {
        let (wire, address) = connect(gateway, transport);
        Self { phone: Phone::new(name, extension, address, gateway, transport), wire, gateway, out: Vec::new() }
    }

    /// Connects anew: from another port, as a phone does whose connection is gone.
    pub fn reconnect(&mut self) {
        let (wire, address) = connect(self.gateway, self.phone.transport());
        self.wire = wire;
        self.phone.moved(address);
    }

    /// Has the phone do something.
    pub fn act<T>(&mut self, deed: impl FnOnce(&mut Phone, Instant, &mut Vec<Transmit>) -> T) -> T {
        let result = deed(&mut self.phone, now(), &mut self.out);
        self.send();
        result
    }

    /// Takes in what has arrived, waiting for a few milliseconds if there is nothing, and fires timers.
    pub fn turn(&mut self) {
        let mut messages = Vec::new();
        receive(&mut self.wire, &mut messages);
        let flow = Flow {
            transport: self.phone.transport(),
            local: self.phone.address(),
            remote: self.gateway,
            connection: u64::from(self.phone.transport().reliable()),
        };
        for bytes in messages {
            self.phone.receive(bytes, flow, now(), &mut self.out);
        }
        if self.phone.deadline().is_some_and(|at| at <= now()) {
            self.phone.expire(now(), &mut self.out);
        }
        self.send();
    }

    fn send(&mut self) {
        for Transmit { bytes, .. } in self.out.drain(..) {
            match &mut self.wire {
                // What does not arrive is sent again by the transactions.
                Wire::Udp(socket) => drop(socket.send_to(&bytes, self.gateway)),
                Wire::Tcp { stream, .. } => drop(stream.write_all(&bytes)),
            }
        }
    }
}

fn connect(gateway: SocketAddr, transport: Transport) -> (Wire, SocketAddr) {
    let wait = Some(Duration::from_millis(2));
    if transport == Transport::Udp {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(wait).unwrap();
        let address = socket.local_addr().unwrap();
        return (Wire::Udp(socket), address);
    }
    let stream = TcpStream::connect(gateway).unwrap();
    stream.set_read_timeout(wait).unwrap();
    stream.set_nodelay(true).unwrap();
    let address = stream.local_addr().unwrap();
    (Wire::Tcp { stream, buffer: BytesMut::new(), scanned: 0 }, address)
}

/// Takes what has arrived, until there is nothing more or the connection is gone.
fn receive(wire: &mut Wire, messages: &mut Vec<Bytes>) {
    let mut datagram = [0; 65_535];
    loop {
        let read = match wire {
            Wire::Udp(socket) => socket.recv(&mut datagram),
            Wire::Tcp { stream, .. } => stream.read(&mut datagram),
        };
        match (read, &mut *wire) {
            (Ok(length), Wire::Udp(_)) => messages.push(Bytes::copy_from_slice(&datagram[..length])),
            (Ok(0), Wire::Tcp { .. }) => return,
            (Ok(length), Wire::Tcp { buffer, scanned, .. }) => {
                buffer.extend_from_slice(&datagram[..length]);
                while let Some(frame) = frame::next(buffer, scanned, &Limits::default()).unwrap() {
                    if let Frame::Message(bytes) = frame {
                        messages.push(bytes);
                    }
                }
            }
            (Err(error), _) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return,
            // Nobody listens at the moment: the datagram is sent again.
            (Err(error), Wire::Udp(_)) if error.kind() == ErrorKind::ConnectionRefused => {}
            (Err(_), _) => return,
        }
        if messages.len() >= 64 {
            return;
        }
    }
}
