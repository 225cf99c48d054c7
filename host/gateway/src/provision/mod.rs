//! Phones fetch their settings here: `J100Supgrade.txt`, `46xxsettings.txt`, the site's root, and each its own `<MAC>.txt` with its account, made of the directory.
//!
//! | request | answer |
//! |---|---|
//! | `GET /J100Supgrade.txt` | no firmware; go on with `46xxsettings.txt` |
//! | `GET /46xxsettings.txt` | what all phones of the site are told, no secrets; go on with `$MACADDR.txt` |
//! | `GET /WebRootCA.pem`, `.crt`, `.cer`, `.der` | the root of the gateway's certificate, as PEM or DER |
//! | `GET /001B4F000007.txt` | what one phone is told, with its password: only over HTTPS, and only to a phone that is known (`caller`) |
//! | `GET /token/TOKEN/...` | the same files; with the one-time token of its endpoint a phone is known |
//!
//! The hardware address may be written in any usual way and case. Who asks for a phone's own file and is not told gets the same 404 whatever the reason, so that nobody can find
//! out which addresses, tokens and endpoints there are; the log says why. Nothing that comes with a request (`Forwarded`, `X-Forwarded-For`) changes where it comes from.
//!
//! Off unless `[provision]` names an address. Everything that waits for the disk or for a lock waits on a thread of its own.

mod asked;
mod caller;
mod vault;

pub use vault::Vault;

use crate::{
    config::{self, Config, Limits},
    data::DataFolder,
    keeper::View,
    manage::{
        Shown,
        server::{self, Terms},
    },
    net::tls,
    sources::Sources,
};
use anyhow::Context as _;
use asked::{Asked, What};
use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use caller::{Caller, Peer};
use std::{
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use switch::{
    directory::roster::Subject,
    settings::serve::{Own, Site, UPGRADE_TEXT, own_text, site_text},
};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What the directory needs so that phones can be told their passwords.
#[derive(Debug)]
pub struct Keeping {
    /// Where passwords are sealed.
    pub vault: Vault,
    /// How long a one-time token is good.
    pub token: Duration,
}

impl Keeping {
    /// What a configuration asks for; nothing where phones fetch nothing, or where there is no good key file, which is told in the log.
    #[must_use]
    pub fn of(config: &Config, data: &DataFolder) -> Option<Self> {
        let settings = config.provision.as_ref()?;
        match Vault::open(&settings.key(data.root())) {
            Ok(vault) => Some(Self { vault, token: config.limits.provision_token }),
            Err(error) => {
                tracing::error!("passwords that are set now cannot be told to phones: {error:#}");
                None
            }
        }
    }
}

/// Where the doors are to be opened, and with what.
pub struct Place<'a> {
    /// `[provision]`.
    pub settings: &'a config::Provision,
    /// Limits.
    pub limits: &'a Limits,
    /// Where the root is that phones need.
    pub root: Option<PathBuf>,
    /// The certificate that phones see.
    pub certificate: Arc<tls::Shown>,
}

/// What every request meets.
struct Known {
    shown: Shown,
    settings: config::Provision,
    root: Option<PathBuf>,
    fetches: Sources,
    refusals: Sources,
}

/// What becomes of a request.
enum Said {
    /// It is answered, with this content.
    Served { kind: &'static str, content: Vec<u8>, endpoint: Option<String> },
    /// It is answered 404, for a reason that only the log tells.
    Refused { endpoint: Option<String>, why: String },
    /// It is answered 429.
    Limited(Duration),
}

const TEXT: &str = "text/plain; charset=us-ascii";

/// Opens the doors that `[provision]` asks for; where each is.
///
/// # Errors
/// When there is no key, the system refuses an address, or the file of those who sign phones' certificates cannot be used. Then no phone is served.
pub(crate) fn open(place: &Place<'_>, shown: &Shown) -> anyhow::Result<Vec<(JoinHandle<()>, String)>> {
    let Place { settings, limits, root, certificate } = place;
    anyhow::ensure!(shown.keeper.vault().is_some(), "the key file {} cannot be used", settings.key_file.display());
    let known = Arc::new(Known {
        shown: shown.clone(),
        settings: (*settings).clone(),
        root: root.clone(),
        fetches: Sources::new(limits.provision_fetches),
        refusals: Sources::new(limits.provision_refusals),
    });
    let tls = match settings.authorities.as_ref().filter(|_| settings.known_by.certificate) {
        Some(authorities) => tls::server_config_asking(Arc::clone(certificate), authorities)?,
        None => tls::server_config(Arc::clone(certificate))?,
    };
    let secure = settings.https.iter().map(|address| (address, Some(TlsAcceptor::from(Arc::clone(&tls)))));
    let listening = secure.chain(settings.http.iter().map(|address| (address, None)));
    // All of them or none, so that nobody has to find out which is missing.
    let bound = listening.map(|(address, tls)| {
        let (listener, address) = server::tcp(*address).with_context(|| format!("{address} cannot be listened on"))?;
        Ok((listener, address, tls))
    });
    let bound = bound.collect::<anyhow::Result<Vec<_>>>()?;
    let router = Router::new().fallback(fetch).with_state(known);
    let serve = |(listener, address, tls): (_, SocketAddr, Option<TlsAcceptor>)| {
        let (counters, most, secure) = (Arc::clone(&shown.counters), limits.provision_requests, tls.is_some());
        let full = move || {
            counters.limit("provision-requests", || {
                format!("phones wait for others to have their settings: limit `provision_requests` ({most})")
            });
        };
        let router = router.clone();
        let terms = Terms { connections: most, tls, full: Arc::new(full) };
        let of_peer = move |peer: &SocketAddr| router.clone().layer(Extension(Peer { address: peer.ip().to_canonical(), secure }));
        let place = format!("{}://{address}", if secure { "https" } else { "http" });
        tracing::info!("phones fetch their settings at {place}");
        (tokio::spawn(server::run(listener, terms, of_peer)), place)
    };
    Ok(bound.into_iter().map(serve).collect())
}

/// Tries what `[provision]` names, without making anything: for `check`.
///
/// # Errors
/// What [`open`] would stumble over, but for addresses.
pub(crate) fn try_files(settings: &config::Provision, data: &std::path::Path) -> anyhow::Result<()> {
    if let Some(authorities) = settings.authorities.as_ref().filter(|_| settings.known_by.certificate) {
        tls::roots(authorities)?;
    }
    if let Some(root) = &settings.root {
        tls::read_certificates(root)?;
    }
    Vault::try_file(&settings.key(data))
}

/// One fetch: answered, counted, logged.
async fn fetch(State(known): State<Arc<Known>>, request: Request) -> Response {
    let (asked, caller) = (Asked::read(request.uri().path()), Caller::of(&request));
    let get = *request.method() == Method::GET;
    let answered = tokio::task::spawn_blocking(move || {
        let said = known.answer(&asked, &caller, get, Instant::now());
        known.report(&asked, &caller, &said);
        said
    });
    let said =
        answered.await.unwrap_or_else(|error| Said::Refused { endpoint: None, why: format!("the gateway could not do it: {error}") });
    // A password must not stay in anybody's memory on the way.
    let stored = (header::CACHE_CONTROL, "no-store");
    match said {
        Said::Served { kind, content, .. } => ([(header::CONTENT_TYPE, kind), stored], content).into_response(),
        Said::Refused { .. } if !get => (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET"), stored]).into_response(),
        Said::Refused { .. } => (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, TEXT), stored], "not found\n").into_response(),
        Said::Limited(left) => {
            let after = left.as_secs().saturating_add(1).to_string();
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, after)], [stored], "ask again later\n").into_response()
        }
    }
}

impl Known {
    fn answer(&self, asked: &Asked, caller: &Caller, get: bool, now: Instant) -> Said {
        if let Some(left) = self.fetches.shut_out(caller.peer.address, now) {
            return Said::Limited(left);
        }
        self.fetches.count(caller.peer.address, now);
        let refused = |why: &str| Said::Refused { endpoint: None, why: why.to_owned() };
        if !get {
            return refused("another method than GET");
        }
        let text = |content: &str| Said::Served { kind: TEXT, content: content.as_bytes().to_vec(), endpoint: None };
        match &asked.what {
            What::Upgrade => text(UPGRADE_TEXT),
            What::Site => self.site().map_or_else(|why| refused(&why), |content| text(&content)),
            What::Root { der } => match self.root(*der) {
                Ok((kind, content)) => Said::Served { kind, content, endpoint: None },
                Err(error) => refused(&format!("{error:#}")),
            },
            What::Own(mac) => {
                if let Some(left) = self.refusals.shut_out(caller.peer.address, now) {
                    return Said::Limited(left);
                }
                let said = self.own(mac, asked.token.as_deref(), caller);
                if matches!(said, Said::Refused { .. }) {
                    self.refusals.count(caller.peer.address, now);
                }
                said
            }
            What::Other(_) => refused("there is no such file"),
        }
    }

    fn site(&self) -> Result<String, String> {
        let directory = self.shown.site.directory();
        let site = Site {
            domain: &directory.domain,
            controllers: &self.settings.controllers(),
            returns: !self.settings.before.is_empty(),
            root: self.root.is_some(),
            emergency: &directory.emergency.numbers,
            more: &self.settings.settings,
        };
        site_text(&site).map_err(|unfit| unfit.to_string())
    }

    /// The root as it is now: it is made anew near its end.
    fn root(&self, der: bool) -> anyhow::Result<(&'static str, Vec<u8>)> {
        let file = self.root.as_ref().context("nobody has said who signed the gateway's certificate (`root` under [provision])")?;
        if der {
            let first = tls::read_certificates(file)?.into_iter().next().context("the file of the root is empty")?;
            return Ok(("application/x-x509-ca-cert", first.to_vec()));
        }
        let text = fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
        // Without what may stand before it for people: not every phone passes it over.
        let begin = text.find("-----BEGIN CERTIFICATE-----").context("the file of the root holds no certificate")?;
        Ok((TEXT, text.split_at(begin).1.as_bytes().to_vec()))
    }

    /// A phone's own file, for a phone that is known.
    fn own(&self, mac: &str, token: Option<&str>, caller: &Caller) -> Said {
        let (endpoint, found) = self.shown.keeper.view(|view| self.find(mac, caller, &view));
        let refused = |why: String| Said::Refused { endpoint: endpoint.clone(), why };
        let (content, known) = match found {
            Ok(found) => found,
            Err(why) => return refused(why),
        };
        if !caller.peer.secure && !self.settings.secrets_over_http {
            return refused("passwords are not told over HTTP".to_owned());
        }
        let served = |content: String| Said::Served { kind: TEXT, content: content.into_bytes(), endpoint: endpoint.clone() };
        if known {
            return served(content);
        }
        let Some((id, token)) = endpoint.as_deref().zip(token).filter(|_| self.settings.known_by.token) else {
            return refused("the phone is not known: no network, certificate or token that says who it is".to_owned());
        };
        // Last of all, since it is used up.
        match self.shown.keeper.take_token(id, token, caller.peer.address) {
            Ok(true) => served(content),
            Ok(false) => refused("the one-time token is wrong, used up or too old".to_owned()),
            Err(why) => refused(why),
        }
    }

    /// The endpoint with this hardware address, what its phone would be told or why it cannot be, and whether whoever asks is known without a token.
    fn find(&self, mac: &str, caller: &Caller, view: &View<'_>) -> (Option<String>, Result<(String, bool), String>) {
        let Some(record) = view.roster.by_mac(mac) else {
            return (None, Err("no endpoint of the store has this hardware address".to_owned()));
        };
        let content = || -> Result<String, String> {
            let who = Subject::Endpoint(record.id.clone()).to_string();
            if let Some(left_out) = view.left_out.iter().find(|left_out| left_out.who == who) {
                return Err(format!("it is not in force: {}", left_out.reason));
            }
            if !record.enabled {
                return Err("it is disabled".to_owned());
            }
            let (secret, realm) = (&record.secret, view.file.domain.as_str());
            let anew = format!("`holdfast endpoint set {} --new-password` makes another", record.id);
            if secret.realm != realm {
                return Err(format!("its password is for another domain; {anew}"));
            }
            if secret.sealed.is_empty() {
                return Err(format!("its password is kept as hashes only, it was set before phones fetched their settings here; {anew}"));
            }
            let password = self.shown.keeper.vault().and_then(|vault| vault.open_sealed(&record.id, realm, &secret.sealed));
            let password = password.ok_or_else(|| format!("its password was sealed with another key; {anew}"))?;
            let directory = view.site.directory();
            let account = directory.endpoint(&record.id).ok_or("it is not in force")?;
            let own = Own {
                username: &record.username,
                password: &password,
                extension: &account.extension,
                name: &account.name,
                keys: &record.keys,
                more: &record.settings,
            };
            let (content, left_out) = own_text(&own).map_err(|unfit| format!("{unfit}; {anew}"))?;
            for line in left_out {
                tracing::warn!(endpoint = record.id, line = line.line, "a line of its settings is left out: {}", line.reason);
            }
            Ok(content)
        };
        (Some(record.id.clone()), content().map(|content| (content, caller.known(&self.settings, record))))
    }

    /// Counts and logs what was said; the flood of one address in one line a second.
    fn report(&self, asked: &Asked, caller: &Caller, said: &Said) {
        let (file, counters) = (asked.what.name(), &self.shown.counters);
        let Peer { address, secure } = caller.peer;
        let (over, token) = (if secure { "https" } else { "http" }, asked.token.is_some());
        match said {
            Said::Served { endpoint, .. } => {
                counters.fetched(file, "served");
                tracing::info!(from = %address, over, token, file, asked = asked.what.shown(), endpoint, "phone settings served");
            }
            Said::Refused { endpoint, why } => {
                counters.fetched(file, "refused");
                tracing::info!(from = %address, over, token, file, asked = asked.what.shown(), endpoint, why, "phone settings refused");
            }
            Said::Limited(_) => {
                counters.fetched(file, "limited");
                counters.limit("provision-source", || {
                    format!("{address} fetches too much, or too much that it is not told, and is not listened to: limits `provision_fetches` and `provision_refusals`")
                });
            }
        }
    }
}
