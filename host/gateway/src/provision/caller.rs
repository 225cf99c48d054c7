//! Who asks, and whether that phone is known.
//!
//! A hardware address is no secret: it stands on the phone's back and in every frame that it sends, and makers give them out in a row. So besides it a phone that is told its
//! password is known by where it is, by a certificate that bears its address or serial number, or by a one-time token ([`crate::config::KnownBy`]).

use crate::{config::Provision, manage::server::Certificate};
use axum::extract::Request;
use std::net::{IpAddr, Ipv4Addr};
use switch::directory::{network_contains, read_mac, record::EndpointRecord};
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, prelude::FromDer as _};

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// Whether it speaks HTTPS.
    pub(super) secure: bool,
}

/// Whoever asks.
pub(super) struct Caller {
    pub(super) peer: Peer,
    /// What the certificate calls it that it has shown and that was found good.
    certified: Vec<String>,
}

impl Caller {
    pub(super) fn of(request: &Request) -> Self {
        // Every connection has one; without it nobody is known.
        let nobody = Peer { address: Ipv4Addr::UNSPECIFIED.into(), secure: false };
        let peer = request.extensions().get::<Peer>().copied().unwrap_or(nobody);
        let certified = request.extensions().get::<Certificate>().map(|Certificate(shown)| common_names(shown)).unwrap_or_default();
        Self { peer, certified }
    }

    /// Whether it is known as the phone of this endpoint, without a token.
    pub(super) fn known(&self, settings: &Provision, record: &EndpointRecord) -> bool {
        let known_by = settings.known_by;
        let here = settings.networks.iter().any(|network| network_contains(network, self.peer.address));
        let certified = self.certified.iter().any(|name| {
            let serial = record.serial.as_ref().is_some_and(|serial| serial.eq_ignore_ascii_case(name));
            serial || record.mac.is_some() && read_mac(name) == record.mac
        });
        known_by.network && here || known_by.certificate && certified
    }
}

/// What a certificate says whose it is.
fn common_names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok().map(str::to_owned)).collect()
}
