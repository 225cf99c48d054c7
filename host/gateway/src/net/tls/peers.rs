//! Providers that are known by their certificate (RFC 5922).
//!
//! Who connects may show a certificate, and nobody has to: phones show none, or one of their maker's, and are served all the same, calls for help first of all.
//! So the handshake takes any certificate whose key its owner has; whether it is one of the authorities' is asked afterwards, and matters to trunks only.

use anyhow::Context as _;
use std::{path::Path, sync::Arc};
use tokio_rustls::rustls::{
    DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

/// Whose certificates prove who they are.
#[derive(Debug)]
pub struct Authorities {
    verifier: Arc<dyn ClientCertVerifier>,
}

impl Authorities {
    /// Those of a PEM file, or the public ones (Mozilla's list).
    ///
    /// # Errors
    /// When the file cannot be read or used.
    pub fn new(file: Option<&Path>) -> anyhow::Result<Self> {
        let roots: RootCertStore = match file {
            Some(file) => super::roots(file)?,
            None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        };
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(ring::default_provider()));
        Ok(Self { verifier: builder.build().context("trunks cannot be known by certificate")? })
    }

    /// The names that a peer has proved by the certificates it has shown; none when they are not of these authorities, or too old.
    #[must_use]
    pub fn proved(&self, shown: &[CertificateDer<'_>]) -> Vec<String> {
        let Some((own, above)) = shown.split_first() else { return Vec::new() };
        match self.verifier.verify_client_cert(own, above, UnixTime::now()) {
            Ok(_) => names_of(own),
            Err(_) => Vec::new(),
        }
    }

    /// Asks for a certificate, naming the authorities that are known here, and takes any.
    #[must_use]
    pub fn asking(&self) -> Arc<dyn ClientCertVerifier> {
        Arc::new(Asking { hints: self.verifier.root_hint_subjects().to_vec(), provider: ring::default_provider() })
    }
}

/// RFC 5922 7.1: the domains of `sip:` URIs in the subjectAltName; without one its DNS names; and only without any of them the common name.
#[must_use]
pub fn names_of(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok((_, certificate)) = parse_x509_certificate(certificate) else { return Vec::new() };
    let (mut domains, mut hosts) = (Vec::new(), Vec::new());
    if let Ok(Some(names)) = certificate.subject_alternative_name() {
        for name in &names.value.general_names {
            match name {
                // "sip:user@domain" names a user, no domain.
                GeneralName::URI(uri) => domains.extend(uri.strip_prefix("sip:").filter(|rest| !rest.contains('@')).map(str::to_owned)),
                GeneralName::DNSName(name) => hosts.push((*name).to_owned()),
                _ => {}
            }
        }
    }
    if !domains.is_empty() || !hosts.is_empty() {
        return if domains.is_empty() { hosts } else { domains };
    }
    certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok()).map(str::to_owned).collect()
}

#[derive(Debug)]
struct Asking {
    hints: Vec<DistinguishedName>,
    provider: CryptoProvider,
}

impl ClientCertVerifier for Asking {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(&self, _: &CertificateDer<'_>, _: &[CertificateDer<'_>], _: UnixTime) -> Result<ClientCertVerified, Error> {
        // Of anybody: `Authorities::proved` says whose names count.
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};

    struct Root {
        pem: String,
        issuer: Issuer<'static, KeyPair>,
    }

    fn root() -> Root {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Root { pem, issuer: Issuer::new(params, key) }
    }

    fn certificate(root: &Root, alternatives: Vec<SanType>, common_name: &str) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.subject_alt_names = alternatives;
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.signed_by(&KeyPair::generate().unwrap(), &root.issuer).unwrap().der().clone()
    }

    #[test]
    fn names_count_when_an_authority_has_signed_them() {
        let (ours, others) = (root(), root());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("authorities.pem");
        std::fs::write(&file, &ours.pem).unwrap();
        let authorities = Authorities::new(Some(&file)).unwrap();
        let dns = |name: &str| SanType::DnsName(name.try_into().unwrap());
        let uri = |uri: &str| SanType::URI(uri.try_into().unwrap());
        for (alternatives, expected) in [
            (vec![dns("sbc.provider.example"), dns("sbc2.provider.example")], &["sbc.provider.example", "sbc2.provider.example"][..]),
            (vec![dns("host.example"), uri("sip:provider.example"), uri("sip:user@x.example")], &["provider.example"]),
            (vec![], &["common.example"]),
        ] {
            assert_eq!(authorities.proved(&[certificate(&ours, alternatives.clone(), "common.example")]), expected);
            assert!(authorities.proved(&[certificate(&others, alternatives, "common.example")]).is_empty(), "another authority");
        }
        assert!(authorities.proved(&[]).is_empty());
        assert!(!authorities.asking().client_auth_mandatory() && !authorities.asking().root_hint_subjects().is_empty());
    }
}
