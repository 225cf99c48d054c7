//! `[metrics]`: what tells a monitoring system how the gateway is.

use super::reader::{Document, Table};
use std::net::SocketAddr;

/// Where what is counted is served over TCP.
pub(super) fn metrics(document: &Document<'_>, table: Table<'_>) -> Option<SocketAddr> {
    table.known(&["listen"]);
    let listen = table.text("listen")?;
    let Ok(address) = listen.value.parse::<SocketAddr>() else {
        let reason = format!("`{}` is not an address with a port", listen.value);
        document.error(listen.line, "metrics.listen", reason, "write it like `listen = \"127.0.0.1:9095\"`");
        return None;
    };
    if !address.ip().is_loopback() {
        document.warning(
            listen.line,
            "metrics.listen",
            "is not a loopback address: everybody who reaches it reads the names of policies and how many calls there are",
            "choose 127.0.0.1 and let the monitoring system's agent run on this machine, or keep others out with a firewall",
        );
    }
    Some(address)
}
