//! `listen = ["udp:127.0.0.1:5060", ...]`.

use serde::Serialize;
use sip::transport::Transport;
use std::{fmt, net::SocketAddr, str::FromStr};

/// One address to listen on. An unspecified address (`0.0.0.0`, `[::]`) stands for every address of this machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Listen {
    /// Protocol.
    pub transport: Transport,
    /// Address and port; port 0 lets the system choose one.
    pub address: SocketAddr,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (transport, address) = text.split_once(':').ok_or_else(|| format!("`{text}` has no transport before the address"))?;
        let transport = Transport::from_token(transport.as_bytes())
            .ok_or_else(|| format!("`{transport}` is not a transport spoken here (udp, tcp, tls)"))?;
        let address = address.parse().map_err(|_| format!("`{address}` is not an address and port"))?;
        Ok(Self { transport, address })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.uri_token(), self.address)
    }
}

impl Serialize for Listen {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
