//! Where a message came from and where one goes, as plain values. Sockets live in the shell.

use core::{fmt, net::SocketAddr};
use serde::{Deserialize, Serialize};

/// A transport protocol that Holdfast speaks (RFC 3261 section 18).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Transport {
    /// Datagrams; the transaction layer retransmits.
    Udp,
    /// A byte stream.
    Tcp,
    /// A byte stream inside TLS.
    Tls,
}

impl Transport {
    /// Whether the transport itself retransmits, so that timers A, E and G are not started.
    #[must_use]
    pub const fn reliable(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// The token of a Via header and of nothing else: `UDP`, `TCP`, `TLS`.
    #[must_use]
    pub const fn via_token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
        }
    }

    /// The value of a URI's `transport` parameter: `udp`, `tcp`, `tls`.
    #[must_use]
    pub const fn uri_token(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }

    /// Reads a Via or URI token in any case.
    #[must_use]
    pub fn from_token(token: &[u8]) -> Option<Self> {
        [Self::Udp, Self::Tcp, Self::Tls].into_iter().find(|t| token.eq_ignore_ascii_case(t.via_token().as_bytes()))
    }

    /// The port that is meant where none is written (RFC 3261 19.1.2).
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
        }
    }
}

/// The way between this gateway and one peer (RFC 5626 calls it a flow).
///
/// A reply, and every request to a phone that registered over it, goes back down the same flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Flow {
    /// The protocol.
    pub transport: Transport,
    /// Our listening address: what Via, Contact and Record-Route show to this peer.
    pub local: SocketAddr,
    /// The peer's address and port as seen on the wire.
    pub remote: SocketAddr,
    /// Which connection of a stream transport; 0 for datagrams, and for "whichever connection leads to `remote`; open one if
    /// there is none".
    pub connection: u64,
}

/// The number of no connection.
const LOST: u64 = u64::MAX;

impl Flow {
    /// The same way after a restart: a connection has ended with the process that held it, and its number may be another's.
    #[must_use]
    pub const fn restarted(self) -> Self {
        let connection = if self.connection == 0 { 0 } else { LOST };
        Self { connection, ..self }
    }

    /// Whether it is a connection that ended with an earlier process.
    #[must_use]
    pub const fn lost(self) -> bool {
        self.connection == LOST
    }
}

impl fmt::Debug for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.uri_token(), self.remote)?;
        if self.connection != 0 { write!(f, "#{}", self.connection) } else { Ok(()) }
    }
}
