//! TLS: the site's own root and server certificate, or the operator's; and how the gateway checks trunks.
//!
//! On first start the gateway makes a root of its own (`tls/root.pem`, to be installed on phones) and a server certificate signed by it
//! (`tls/server.pem`). The root lasts twenty years; the server certificate is made anew sixty days before its end, and when the names that it must
//! show have changed. Trunks over TLS are checked against the public authorities (Mozilla's list), or against the operator's
//! `tls.trunk_authorities` instead when that is set. A trunk named by address must show that address in its certificate.

mod peers;

pub use peers::{Authorities, names_of};

use crate::{
    config,
    data::{self, DataFolder},
};
use anyhow::{Context as _, bail};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use std::{collections::BTreeSet, fs, net::IpAddr, os::unix::fs::DirBuilderExt as _, path::Path, sync::Arc};
use time::{Duration, OffsetDateTime};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
};

const ROOT_DAYS: i64 = 20 * 365;
/// Phones and libraries refuse server certificates that last longer than 398 days.
const SERVER_DAYS: i64 = 397;
const RENEW_DAYS: i64 = 60;
/// Clocks of phones may be behind.
const BACKDATE: Duration = Duration::days(1);

/// The certificate that is shown now. Shared by all TLS connections; a renewal is one pointer swap.
#[derive(Debug)]
pub struct Shown(arc_swap::ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Shown {
    /// Shows the certificate of `tls`, or the site's own.
    ///
    /// # Errors
    /// When a file cannot be read, written or used.
    pub fn load(tls: &config::Tls, data: &DataFolder, names: &Names) -> anyhow::Result<Arc<Self>> {
        Ok(Arc::new(Self(arc_swap::ArcSwap::from_pointee(certified(tls, data, names)?))))
    }

    /// Reads or renews the certificate; connections that come from now on see it.
    ///
    /// # Errors
    /// As [`Shown::load`]; then the old one stays.
    pub fn reload(&self, tls: &config::Tls, data: &DataFolder, names: &Names) -> anyhow::Result<()> {
        self.0.store(Arc::new(certified(tls, data, names)?));
        Ok(())
    }
}

/// Reads the operator's files and tries them, without keeping them: for `check`.
///
/// # Errors
/// When a file cannot be read or used.
pub fn try_files(tls: &config::Tls) -> anyhow::Result<()> {
    if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
        read_pair(certificate, key)?;
    }
    client_config(tls).map(|_| ())
}

/// What a server certificate must show.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Names(BTreeSet<String>);

impl Names {
    /// The domain, this machine's name, every address listened on, and what a phone on the machine itself uses.
    #[must_use]
    pub fn new(domain: &str, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let mut names: BTreeSet<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        names.insert(domain.trim_matches(['[', ']']).to_owned());
        names.extend(addresses.into_iter().map(|a| a.to_string()));
        names.extend(host_name());
        Self(names)
    }

    /// And this one: a name or an address.
    #[must_use]
    pub fn and(mut self, name: &str) -> Self {
        self.0.insert(name.to_owned());
        self
    }

    fn list(&self) -> String {
        self.0.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

fn host_name() -> Option<String> {
    let name = nix::sys::utsname::uname().ok()?.nodename().to_str()?.to_owned();
    let usable = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    usable.then_some(name)
}

/// How connections from phones are secured: TLS 1.2 and 1.3, no client certificate.
///
/// # Errors
/// When the cryptography cannot be set up.
pub fn server_config(shown: Arc<Shown>) -> anyhow::Result<Arc<ServerConfig>> {
    secured(shown, WebPkiClientVerifier::no_client_auth())
}

/// How SIP connections are secured where a trunk is known by its certificate: the same, and whoever has one may show it.
///
/// # Errors
/// As [`server_config`].
pub fn server_config_for_peers(shown: Arc<Shown>, authorities: &Authorities) -> anyhow::Result<Arc<ServerConfig>> {
    secured(shown, authorities.asking())
}

/// The same for phones that fetch their settings: whoever has a certificate of the `authorities` (PEM) may show it; one of anybody else ends the connection.
///
/// # Errors
/// When the file cannot be read, or the cryptography cannot be set up.
pub fn server_config_asking(shown: Arc<Shown>, authorities: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let provider = Arc::new(ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(authorities)?), provider).allow_unauthenticated().build();
    secured(shown, verifier.with_context(|| format!("{} cannot be used to know phones by", authorities.display()))?)
}

fn secured(shown: Arc<Shown>, verifier: Arc<dyn ClientCertVerifier>) -> anyhow::Result<Arc<ServerConfig>> {
    let builder =
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().context("TLS")?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(shown);
    config.ticketer = ring::Ticketer::new().context("TLS session tickets")?;
    Ok(Arc::new(config))
}

/// Those of a PEM file.
///
/// # Errors
/// When it cannot be read or holds one that cannot be used.
pub fn roots(file: &Path) -> anyhow::Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    for certificate in read_certificates(file)? {
        roots.add(certificate).with_context(|| format!("{} holds a certificate that cannot be used", file.display()))?;
    }
    Ok(roots)
}

/// How connections to trunks are secured.
///
/// # Errors
/// When the operator's file of authorities cannot be read.
pub fn client_config(tls: &config::Tls) -> anyhow::Result<Arc<ClientConfig>> {
    let roots = match &tls.trunk_authorities {
        Some(file) => roots(file)?,
        None => webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
    };
    let builder =
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().context("TLS")?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

/// How other servers are known that the gateway itself turns to: by the public authorities, and by those of the operator's file.
///
/// # Errors
/// When the file cannot be read.
pub fn client_trusting(authorities: Option<&Path>) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = authorities.map_or_else(|| Ok(RootCertStore::empty()), roots)?;
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    let builder =
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions().context("TLS")?;
    Ok(Arc::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

fn certified(tls: &config::Tls, data: &DataFolder, names: &Names) -> anyhow::Result<CertifiedKey> {
    let folder = data.tls();
    match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => read_pair(certificate, key),
        _ => {
            site_certificate(&folder, names, OffsetDateTime::now_utc())?;
            read_pair(&folder.join("server.pem"), &folder.join("server.key"))
        }
    }
}

pub(crate) fn read_certificates(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || -> anyhow::Result<Vec<_>> { Ok(CertificateDer::pem_file_iter(file)?.collect::<Result<Vec<_>, _>>()?) };
    let certificates = read().with_context(|| format!("{} cannot be read as PEM certificates", file.display()))?;
    if certificates.is_empty() {
        bail!("{} holds no certificate; it needs a PEM block `BEGIN CERTIFICATE`", file.display());
    }
    Ok(certificates)
}

fn read_pair(certificate: &Path, key: &Path) -> anyhow::Result<CertifiedKey> {
    let chain = read_certificates(certificate)?;
    let private = PrivateKeyDer::from_pem_file(key).ok().with_context(|| format!("{} holds no private key in PEM form", key.display()))?;
    let key_pair = ring::sign::any_supported_type(&private).with_context(|| format!("{} holds a key of an unknown kind", key.display()))?;
    let certified = CertifiedKey::new(chain, key_pair);
    certified.keys_match().with_context(|| format!("{} is not the key of {}", key.display(), certificate.display()))?;
    Ok(certified)
}

/// Sees to it that `folder` holds a root and a server certificate for `names` with time left on both. Returns whether a new server
/// certificate was made.
fn site_certificate(folder: &Path, names: &Names, now: OffsetDateTime) -> anyhow::Result<bool> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let server = folder.join("server.pem");
    if fs::read_to_string(&server).is_ok_and(|text| Label::read(&text).is_some_and(|label| label.good(names, now)))
        && folder.join("server.key").is_file()
    {
        return Ok(false);
    }
    let root_key = root(folder, now)?;
    let issuer = Issuer::new(root_params(now)?, root_key);

    let ends = now + Duration::days(SERVER_DAYS);
    let mut params = CertificateParams::new(names.0.iter().cloned().collect::<Vec<_>>()).context("a name cannot stand in a certificate")?;
    params.distinguished_name = named("Holdfast gateway");
    params.not_before = now - BACKDATE;
    params.not_after = ends;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate().context("no key could be made")?;
    let certificate = params.signed_by(&key, &issuer).context("the server certificate cannot be made")?;
    let label = Label { ends: ends.unix_timestamp(), names: names.list() };
    data::write_private(&folder.join("server.key"), key.serialize_pem().as_bytes())?;
    data::write_public(&server, format!("{}{}", label.text(), certificate.pem()).as_bytes())?;
    Ok(true)
}

/// The root's key; root and key are made when they are not there or near their end.
fn root(folder: &Path, now: OffsetDateTime) -> anyhow::Result<KeyPair> {
    let (certificate, key) = (folder.join("root.pem"), folder.join("root.key"));
    if let (Ok(text), Ok(pem)) = (fs::read_to_string(&certificate), fs::read_to_string(&key))
        && Label::read(&text).is_some_and(|label| label.ends > (now + Duration::days(SERVER_DAYS)).unix_timestamp())
    {
        return KeyPair::from_pem(&pem).with_context(|| {
            format!("{} cannot be read; remove it and {}, and phones must be given the new root", key.display(), certificate.display())
        });
    }
    let pair = KeyPair::generate().context("no key could be made")?;
    let params = root_params(now)?;
    let label = Label { ends: params.not_after.unix_timestamp(), names: "the root of this site: install it on phones".to_owned() };
    let root = params.self_signed(&pair).context("the root certificate cannot be made")?;
    data::write_private(&key, pair.serialize_pem().as_bytes())?;
    data::write_public(&certificate, format!("{}{}", label.text(), root.pem()).as_bytes())?;
    Ok(pair)
}

/// The same every time but for the dates, so that a root read back from its key alone signs as the one on the phones.
fn root_params(now: OffsetDateTime) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new()).context("root certificate")?;
    params.distinguished_name = named("Holdfast site root");
    params.not_before = now - BACKDATE;
    params.not_after = now + Duration::days(ROOT_DAYS);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn named(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// A line of text before the PEM block, which readers of PEM skip: until when the certificate lasts and for which names. It saves
/// reading our own certificates back.
struct Label {
    ends: i64,
    names: String,
}

impl Label {
    fn text(&self) -> String {
        format!("Made by holdfast, good until {} (seconds since 1970), for: {}\n", self.ends, self.names)
    }

    fn read(file: &str) -> Option<Self> {
        let rest = file.lines().next()?.strip_prefix("Made by holdfast, good until ")?;
        let (ends, names) = rest.split_once(" (seconds since 1970), for: ")?;
        Some(Self { ends: ends.parse().ok()?, names: names.to_owned() })
    }

    fn good(&self, names: &Names, now: OffsetDateTime) -> bool {
        self.names == names.list() && self.ends > (now + Duration::days(RENEW_DAYS)).unix_timestamp()
    }
}

#[cfg(test)]
mod tests;
