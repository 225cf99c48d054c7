//! `holdfast.toml`: read once, checked as a whole, every problem named with its line and remedy.
//!
//! Secrets are read and hashed here; no report, log line or `Debug` of this module ever contains one.

mod decisions;
pub mod default;
pub mod edit;
mod features;
mod help;
mod licence;
pub mod limits;
mod listen;
mod manners;
pub mod notify;
mod park;
mod problem;
mod provision;
mod reader;
mod records;
mod rest;
mod site;
mod survivable;
#[cfg(test)]
mod tests;
mod tolls;
mod trunk;
mod watching;
mod zone;

pub use limits::Limits;
pub use listen::Listen;
pub use notify::Way;
pub use problem::{Problem, Report, Severity};
pub use provision::{KnownBy, Provision};
pub use rest::Rest;
pub use watching::Telemetry;

use crate::{cdr, data::DataFolder, record};
use reader::{Document, Table, alternatives};
use sip::digest::Algorithm;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};
use switch::directory::Directory;
use toml::de::DeTable;

/// Name of the configuration that is written into the data folder when none is given.
pub const FILE: &str = "holdfast.toml";

/// A configuration file longer than this is refused: it is not one.
const MAX_BYTES: u64 = 64 << 20;

/// Certificates, when they are the operator's own.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tls {
    /// Certificate chain (PEM), the server's own first; made by the gateway when `None`.
    pub certificate: Option<PathBuf>,
    /// Its private key (PEM).
    pub key: Option<PathBuf>,
    /// Who may sign the certificates of TLS trunks (PEM); the public authorities when `None`.
    pub trunk_authorities: Option<PathBuf>,
}

/// How log lines look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What is logged and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives like `info,gateway::net=debug`.
    pub level: String,
    /// Form of a line.
    pub format: LogFormat,
}

/// How phones are served while the store cannot be written. Calls and calls for help go on either way.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Degraded {
    /// They register in memory, and an alarm says that this would not survive a restart.
    #[default]
    Memory,
    /// A REGISTER that cannot be kept is answered 503, so that the phone tries again, or elsewhere.
    Refuse,
}

/// A whole, valid configuration.
#[derive(Clone)]
pub struct Config {
    /// The file it came from.
    pub file: PathBuf,
    /// Where to listen.
    pub listen: Vec<Listen>,
    /// Digest realm and own domain.
    pub domain: String,
    /// Digest algorithms in the order in which they are offered (RFC 8760 2.4).
    pub digest: Vec<Algorithm>,
    /// Certificates.
    pub tls: Tls,
    /// Who is asked for the addresses of trunks; empty: whom this machine asks.
    pub name_servers: Vec<SocketAddr>,
    /// Limits.
    pub limits: Limits,
    /// The folder of the policies, absolute or below the data folder.
    pub policy_folder: PathBuf,
    /// Log.
    pub log: Log,
    /// How phones are served while the store cannot be written.
    pub degraded: Degraded,
    /// Where what is counted is served over TCP.
    pub metrics: Option<SocketAddr>,
    /// The REST API.
    pub rest: Option<Rest>,
    /// Where phones fetch their settings.
    pub provision: Option<Provision>,
    /// Where spans of decisions go.
    pub telemetry: Option<Telemetry>,
    /// The decision record.
    pub decisions: record::Settings,
    /// Records of calls.
    pub records: cdr::Settings,
    /// Who is told of calls for help.
    pub notify: Vec<Way>,
    /// The site.
    pub directory: Directory,
}

impl fmt::Debug for Config {
    /// Leaves the directory out: it holds trunk passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("file", &self.file)
            .field("listen", &self.listen)
            .field("domain", &self.domain)
            .finish_non_exhaustive()
    }
}

/// A configuration and what the operator should know about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Warnings only.
    pub report: Report,
}

impl Config {
    /// Reads and checks `file`.
    ///
    /// # Errors
    /// Every problem of the file, at least one of them an error.
    pub fn load(file: &Path) -> Result<Loaded, Report> {
        Self::load_with(file, None)
    }

    /// Reads and checks `file` for a running gateway, whose realm cannot change: `realm` is used instead of the file's `domain`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_with(file: &Path, realm: Option<&str>) -> Result<Loaded, Report> {
        let shown = file.display().to_string();
        let text = read_text(file).map_err(|reason| Report::of_file(&shown, reason, "name a readable file with `--config`"))?;
        Self::parse(&shown, &text, realm).map(|mut loaded| {
            file.clone_into(&mut loaded.config.file);
            loaded
        })
    }

    /// Reads and checks the text of a file that is called `shown` in reports.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(shown: &str, text: &str, realm: Option<&str>) -> Result<Loaded, Report> {
        let document = Document::new(shown, text);
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in &errors {
            let line = document.line(error.span().map_or(0, |s| s.start));
            document.error(line, "", format!("this is not TOML: {}", error.message()), "see https://toml.io for the form of a file");
        }
        if !errors.is_empty() {
            // What follows a syntax mistake is guesswork; more reports would hide the one that counts.
            return Err(document.finish());
        }
        let config = read(&document, Table::new(&document, root.get_ref(), "", 1), realm);
        let report = document.finish();
        if report.passes() { Ok(Loaded { config, report }) } else { Err(report) }
    }
}

fn read_text(file: &Path) -> Result<String, String> {
    let meta = std::fs::metadata(file).map_err(|e| format!("cannot be read: {e}"))?;
    if meta.len() > MAX_BYTES {
        return Err(format!("is {} octets long; a configuration is never longer than {MAX_BYTES}", meta.len()));
    }
    let bytes = std::fs::read(file).map_err(|e| format!("cannot be read: {e}"))?;
    String::from_utf8(bytes).map_err(|e| format!("is not UTF-8 text (octet {})", e.utf8_error().valid_up_to()))
}

fn read(document: &Document<'_>, root: Table<'_>, realm: Option<&str>) -> Config {
    root.known(&[
        "sip",
        "limits",
        "policy",
        "endpoint",
        "licence",
        "trunk",
        "emergency",
        "notify",
        "location",
        "park",
        "tls",
        "log",
        "store",
        "metrics",
        "rest",
        "provision",
        "telemetry",
        "decisions",
        "records",
        "features",
        "survivable",
        "tolls",
    ]);
    let section = |name: &'static str| root.table(name).map(|(table, line)| Table::new(document, table, name, line));

    let (listen, domain) = section("sip").map_or_else(|| (listen_default(), DOMAIN.to_owned()), |table| read_sip(document, table));
    let digest = section("sip").and_then(|table| read_digest(document, table)).unwrap_or_else(|| vec![Algorithm::Md5]);
    let name_servers = section("sip").map(|table| trunk::name_servers(document, table)).unwrap_or_default();
    let limits = section("limits").map_or_else(Limits::default, Limits::read);
    order_of_limits(document, section("limits"), &limits);
    let policy_folder = section("policy").and_then(|table| {
        table.known(&["folder", "time_zone"]);
        table.text("folder").map(|t| PathBuf::from(t.value))
    });
    let tls = section("tls").map_or_else(Tls::default, |table| read_tls(document, table));
    let log = section("log").map_or_else(|| Log { level: LEVEL.to_owned(), format: LogFormat::Text }, |table| read_log(document, table));
    let degraded = section("store").and_then(|table| {
        table.known(&["degraded"]);
        table.choice("degraded", &[("memory", Degraded::Memory), ("refuse", Degraded::Refuse)])
    });
    let metrics = section("metrics").and_then(|table| watching::metrics(document, table));
    let rest = section("rest").and_then(|table| rest::read(document, table));
    let provision = section("provision").and_then(|table| provision::read(document, table, tls.certificate.is_none()));
    let telemetry = section("telemetry").and_then(|table| watching::telemetry(document, table));
    let recorded = section("decisions").map_or_else(record::Settings::default, |table| decisions::read(document, table));
    let records = section("records").map_or_else(cdr::Settings::default, records::read);
    let mut directory = site::read(document, root, realm.unwrap_or(&domain), &digest);
    directory.survivable = survivable::read(document, section("survivable"), &limits);
    let notify = notify::read(document, root, &directory);
    directory.zone = section("policy").map(|table| zone::read(document, table)).unwrap_or_default();
    if let Some(table) = section("tolls") {
        directory.tolls = tolls::read(document, table, &directory);
    }
    if let Some(table) = section("features") {
        directory.features = features::read(document, table, &directory);
    }
    Config {
        file: PathBuf::new(),
        listen,
        domain,
        digest,
        tls,
        name_servers,
        limits,
        policy_folder: policy_folder.unwrap_or_else(|| PathBuf::from("policies")),
        log,
        degraded: degraded.unwrap_or_default(),
        metrics,
        rest,
        provision,
        telemetry,
        decisions: recorded,
        records: cdr::Settings { queue: limits.records_queue, ..records },
        notify,
        directory,
    }
}

/// The domain where the file names none.
const DOMAIN: &str = "sip.example";
/// The log level where the file names none.
const LEVEL: &str = "info";

fn listen_default() -> Vec<Listen> {
    use sip::transport::Transport::{Tcp, Tls, Udp};
    [Udp, Tcp, Tls]
        .map(|transport| Listen { transport, address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), transport.default_port()) })
        .to_vec()
}

fn read_sip(document: &Document<'_>, table: Table<'_>) -> (Vec<Listen>, String) {
    table.known(&["listen", "domain", "digest", "name_servers"]);
    let listen = table.texts("listen").map_or_else(listen_default, |texts| {
        let mut listen: Vec<Listen> = Vec::new();
        for text in &texts {
            match text.value.parse::<Listen>() {
                Ok(new) if listen.contains(&new) && new.address.port() != 0 => {
                    document.error(text.line, "sip.listen", format!("`{new}` is named twice"), "name it once");
                }
                Ok(new) => listen.push(new),
                Err(reason) => {
                    document.error(text.line, "sip.listen", reason, "write it like \"udp:127.0.0.1:5060\" or \"tls:[::1]:5061\"")
                }
            }
        }
        if texts.is_empty() {
            document.error(
                table.line(),
                "sip.listen",
                "is empty: no phone could reach the gateway",
                "write it like `listen = [\"udp:127.0.0.1:5060\"]`",
            );
        }
        listen
    });
    let domain = table.text("domain").map_or_else(
        || DOMAIN.to_owned(),
        |domain| {
            let valid = !domain.value.is_empty() && domain.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.[]:_".contains(&b));
            if !valid {
                document.error(
                    domain.line,
                    "sip.domain",
                    format!("`{}` is not a domain", domain.value),
                    "write it like `domain = \"sip.example\"`",
                );
            }
            domain.value
        },
    );
    (listen, domain)
}

/// Without the key: MD5 alone. Phones that know no SHA-256 must pass it over (RFC 8760 2.4), and real ones give up instead: every order that names it
/// would keep some phone from registering.
fn read_digest(document: &Document<'_>, table: Table<'_>) -> Option<Vec<Algorithm>> {
    const REMEDY: &str = "write it like `digest = [\"md5\"]`, or `digest = [\"sha-256\", \"md5\"]` where every phone accepts a challenge that it does not know";
    let texts = table.texts("digest")?;
    let mut algorithms = Vec::new();
    for text in &texts {
        match text.value.to_ascii_lowercase().as_str() {
            "sha-256" => algorithms.push(Algorithm::Sha256),
            "md5" => algorithms.push(Algorithm::Md5),
            other => document.error(text.line, "sip.digest", format!("`{other}` is not a digest algorithm"), REMEDY),
        }
    }
    if texts.is_empty() {
        document.error(table.line(), "sip.digest", "is empty: no phone could prove its password", REMEDY);
    }
    Some(algorithms)
}

fn read_tls(document: &Document<'_>, table: Table<'_>) -> Tls {
    table.known(&["certificate", "key", "trunk_authorities"]);
    let folder = Path::new(document.file()).parent().unwrap_or_else(|| Path::new(""));
    let file = |key: &str| {
        table.text(key).map(|text| {
            let path = folder.join(&text.value);
            if !path.is_file() {
                document.error(
                    text.line,
                    table.path(key),
                    format!("there is no file `{}`", path.display()),
                    "name a PEM file that the gateway may read, absolute or from the folder of this file",
                );
            }
            path
        })
    };
    let tls = Tls { certificate: file("certificate"), key: file("key"), trunk_authorities: file("trunk_authorities") };
    match (&tls.certificate, &tls.key) {
        (Some(_), None) => document.error(
            table.line(),
            "tls.key",
            "is missing though a certificate is named",
            "name the certificate's private key with `key = \"server.key\"`",
        ),
        (None, Some(_)) => document.error(
            table.line(),
            "tls.certificate",
            "is missing though a key is named",
            "name the key's certificate with `certificate = \"server.pem\"`",
        ),
        (Some(_), Some(_)) | (None, None) => {}
    }
    tls
}

fn read_log(document: &Document<'_>, table: Table<'_>) -> Log {
    table.known(&["level", "format"]);
    let level = table.text("level").map_or_else(
        || LEVEL.to_owned(),
        |level| {
            if let Err(error) = tracing_subscriber::EnvFilter::try_new(&level.value) {
                document.error(
                    level.line,
                    "log.level",
                    format!("`{}` is not a level: {error}", level.value),
                    format!("choose {}", alternatives(&["error", "warn", "info", "debug", "trace"])),
                );
            }
            level.value
        },
    );
    let format = table.choice("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]).unwrap_or_default();
    Log { level, format }
}

fn order_of_limits(document: &Document<'_>, table: Option<Table<'_>>, limits: &Limits) {
    let site = &limits.site;
    let line = table.map_or(1, |t| t.line());
    if site.expires_min > site.expires_max || site.expires_default < site.expires_min || site.expires_default > site.expires_max {
        document.error(
            line,
            "limits.expires_default_seconds",
            format!(
                "shortest {} s, default {} s and longest {} s registration are not in this order",
                site.expires_min.as_secs(),
                site.expires_default.as_secs(),
                site.expires_max.as_secs()
            ),
            "make expires_min_seconds <= expires_default_seconds <= expires_max_seconds",
        );
    }
    if limits.idle <= site.expires_max {
        document.warning(
            line,
            "limits.idle_seconds",
            "is not longer than expires_max_seconds: a phone on TCP or TLS that keeps silent between registrations loses its connection",
            format!("choose more than {}", site.expires_max.as_secs()),
        );
    }
    if limits.connections_per_source > limits.connections {
        document.warning(
            line,
            "limits.connections_per_source",
            "is larger than `connections`, so that one source can use all",
            "choose a smaller number",
        );
    }
}

impl Config {
    /// The folder of the policies.
    #[must_use]
    pub fn policies(&self, data: &DataFolder) -> PathBuf {
        data.root().join(&self.policy_folder)
    }

    /// The keys that differ from `running` and that only a restart puts in force; `verifies`: the gateway asks peers for their certificates.
    #[must_use]
    pub fn needs_restart(&self, running: &Self, verifies: bool) -> Vec<&'static str> {
        let mut keys = Vec::new();
        let mut differs = |differs: bool, key| {
            if differs {
                keys.push(key);
            }
        };
        differs(self.listen != running.listen, "sip.listen");
        differs(self.domain != running.domain, "sip.domain");
        differs(self.digest != running.digest, "sip.digest");
        differs(self.name_servers != running.name_servers, "sip.name_servers");
        differs(self.limits != running.limits, "limits");
        differs(self.policy_folder != running.policy_folder, "policy.folder");
        differs(self.tls.trunk_authorities != running.tls.trunk_authorities, "tls.trunk_authorities");
        differs(self.knows_certificates() && !verifies, "trunk.certificate");
        differs(self.log != running.log, "log");
        differs(self.degraded != running.degraded, "store.degraded");
        differs(self.metrics != running.metrics, "metrics.listen");
        differs(self.rest != running.rest, "rest");
        differs(self.provision != running.provision, "provision");
        differs(self.telemetry != running.telemetry, "telemetry");
        differs(self.decisions != running.decisions, "decisions");
        differs(self.records != running.records, "records");
        keys
    }

    /// Whether a trunk is known by its certificate.
    #[must_use]
    pub fn knows_certificates(&self) -> bool {
        self.directory.trunks.iter().any(|trunk| trunk.reach.certificate.is_some())
    }
}
