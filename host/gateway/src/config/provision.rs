//! `[provision]`: phones fetch their settings here.

use super::{
    reader::{At, Document, Table},
    site::read_networks,
};
use crate::data::DataFolder;
use ipnet::IpNet;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};
use switch::settings::{
    Controller, Transport,
    serve::{self, further},
};

/// Where the key of the passwords is when the file does not say, in the data folder.
const KEY: &str = "provision.key";

/// Besides its hardware address, by what a phone is known that is told a password. Any one that is wanted suffices.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KnownBy {
    /// It shows a one-time token.
    pub token: bool,
    /// It shows a certificate that bears its hardware address or serial number.
    pub certificate: bool,
    /// It is in a network of the site.
    pub network: bool,
}

/// Where phones fetch their settings, and who is told what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Provision {
    /// Where it speaks HTTPS.
    pub https: Vec<SocketAddr>,
    /// Where it speaks HTTP.
    pub http: Vec<SocketAddr>,
    /// This gateway, as phones are to find it.
    pub controller: Controller,
    /// Controllers that phones prefer, as `SIP_CONTROLLER_LIST` has them.
    pub before: Vec<String>,
    /// How a phone is known.
    pub known_by: KnownBy,
    /// Networks of the site, for [`KnownBy::network`].
    pub networks: Vec<IpNet>,
    /// Who signs the certificates of phones (PEM), for [`KnownBy::certificate`].
    pub authorities: Option<PathBuf>,
    /// Whether passwords are told over HTTP too.
    pub secrets_over_http: bool,
    /// The root that phones need for this gateway's certificate (PEM); the gateway's own when `None`.
    pub root: Option<PathBuf>,
    /// The key of the passwords, absolute or below the data folder; made when it is not there.
    pub key_file: PathBuf,
    /// Further lines for all phones.
    pub settings: String,
}

impl Provision {
    /// The key of the passwords.
    #[must_use]
    pub fn key(&self, data: &Path) -> PathBuf {
        data.join(&self.key_file)
    }

    /// The root that phones need: the operator's, or the gateway's own; `None` when the certificate is the operator's and nobody says who signed it.
    #[must_use]
    pub fn root(&self, tls: &super::Tls, data: &DataFolder) -> Option<PathBuf> {
        self.root.clone().or_else(|| tls.certificate.is_none().then(|| data.tls().join("root.pem")))
    }

    /// `SIP_CONTROLLER_LIST`.
    #[must_use]
    pub fn controllers(&self) -> String {
        let own = self.controller.to_string();
        self.before.iter().chain([&own]).map(String::as_str).collect::<Vec<_>>().join(",")
    }
}

/// Reads it; off without an address.
pub(super) fn read(document: &Document<'_>, table: Table<'_>, own_certificate: bool) -> Option<Provision> {
    table.known(&[
        "https",
        "http",
        "controller",
        "transport",
        "controllers_before",
        "known_by",
        "networks",
        "client_authorities",
        "secrets_over_http",
        "root",
        "key_file",
        "settings",
    ]);
    let (https, http) = (addresses(document, table, "https"), addresses(document, table, "http"));
    if https.is_empty() && http.is_empty() {
        return None;
    }
    let known_by = known_by(document, table);
    let networks = table.texts("networks").map(|texts| read_networks(document, table, &texts)).unwrap_or_default();
    let authorities = file(document, table, "client_authorities");
    let line = table.line();
    if known_by.network && networks.is_empty() {
        document.error(
            line,
            "provision.networks",
            "is missing though phones are known by their network",
            "write it like `networks = [\"10.1.0.0/16\"]`",
        );
    }
    if known_by.certificate && authorities.is_none() {
        let remedy = "name the PEM file of who signs the phones' certificates, or take `certificate` out of known_by";
        document.error(line, "provision.client_authorities", "is missing though phones are known by their certificate", remedy);
    }
    if known_by.certificate && https.is_empty() {
        document.error(
            line,
            "provision.https",
            "is missing though phones are known by their certificate, which HTTP cannot show",
            "add an address",
        );
    }
    let secrets_over_http = table.boolean("secrets_over_http").unwrap_or(false);
    if secrets_over_http {
        let remedy = "leave it false, and let phones fetch their own file over HTTPS (TLSSRVR)";
        document.warning(line, "provision.secrets_over_http", "passwords cross the network in clear", remedy);
    } else if https.is_empty() {
        let remedy = "add an address to `https`, or say `secrets_over_http = true`";
        document.error(line, "provision.https", "is empty, and over HTTP no phone is told its password", remedy);
    }
    let root = file(document, table, "root");
    if !own_certificate && root.is_none() {
        let remedy = "name the root of your certificate, if phones do not know it";
        document.warning(line, "provision.root", "is missing though the certificate is yours: phones fetch no root here", remedy);
    }
    let key_file = table.text("key_file").map_or_else(|| PathBuf::from(KEY), |text| PathBuf::from(text.value));
    let settings = table.text("settings");
    for left_out in settings.iter().flat_map(|settings| further(&settings.value)) {
        let at = settings.as_ref().map_or(line, |settings| settings.line);
        let reason = format!("line {} of it cannot be passed on: {}", left_out.line, left_out.reason);
        document.error(at, "provision.settings", reason, "write lines like `SET GMTOFFSET 0:00`");
    }
    let provision = Provision {
        https,
        http,
        controller: controller(document, table)?,
        before: before(document, table),
        known_by,
        networks,
        authorities,
        secrets_over_http,
        root,
        key_file,
        settings: settings.map(|settings| settings.value).unwrap_or_default(),
    };
    let site = serve::Site { domain: "", controllers: &provision.controllers(), returns: false, root: false, emergency: &[], more: "" };
    if let Err(unfit) = serve::site_text(&site) {
        document.error(line, "provision.controllers_before", unfit.to_string(), "name fewer, or shorter ones");
    }
    Some(provision)
}

fn addresses(document: &Document<'_>, table: Table<'_>, key: &str) -> Vec<SocketAddr> {
    let read = |text: At<String>| {
        let address = text.value.parse();
        if address.is_err() {
            let reason = format!("`{}` is not an address with a port", text.value);
            document.error(text.line, table.path(key), reason, format!("write it like `{key} = [\"192.0.2.10:443\"]`"));
        }
        address.ok()
    };
    table.texts_or_text(key).unwrap_or_default().into_iter().filter_map(read).collect()
}

fn known_by(document: &Document<'_>, table: Table<'_>) -> KnownBy {
    let mut known_by = KnownBy::default();
    let Some(texts) = table.texts_or_text("known_by") else { return KnownBy { token: true, ..known_by } };
    for text in texts {
        match text.value.as_str() {
            "token" => known_by.token = true,
            "certificate" => known_by.certificate = true,
            "network" => known_by.network = true,
            other => {
                let reason = format!("`{other}` is not a way to know a phone");
                document.error(text.line, "provision.known_by", reason, "choose among `token`, `certificate` and `network`");
            }
        }
    }
    known_by
}

fn controller(document: &Document<'_>, table: Table<'_>) -> Option<Controller> {
    let transport = table.choice("transport", &[("tls", Transport::Tls), ("tcp", Transport::Tcp)]).unwrap_or(Transport::Tls);
    let place = table.required("controller", "192.0.2.10")?;
    let read = Controller::new(&place.value, transport);
    read.inspect_err(|why| {
        let reason = format!("`{}` cannot be what phones are told: {why}", place.value);
        document.error(place.line, "provision.controller", reason, "write it like `controller = \"192.0.2.10\"`");
    })
    .ok()
}

fn before(document: &Document<'_>, table: Table<'_>) -> Vec<String> {
    let texts = table.texts("controllers_before").unwrap_or_default();
    for text in &texts {
        let plain = text.value.bytes().all(|b| b.is_ascii_graphic() && !b"\",".contains(&b));
        if text.value.is_empty() || !plain {
            let reason = format!("`{}` is not an entry of SIP_CONTROLLER_LIST", text.value.escape_debug());
            let remedy = "write it as the phones have it, like \"sip1.example.net:5096;transport=tls\"";
            document.error(text.line, "provision.controllers_before", reason, remedy);
        }
    }
    texts.into_iter().map(|text| text.value).collect()
}

fn file(document: &Document<'_>, table: Table<'_>, key: &str) -> Option<PathBuf> {
    let text = table.text(key)?;
    let path = Path::new(document.file()).parent().unwrap_or_else(|| Path::new("")).join(&text.value);
    if !path.is_file() {
        let remedy = "name a PEM file that the gateway may read, absolute or from the folder of this file";
        document.error(text.line, table.path(key), format!("there is no file `{}`", path.display()), remedy);
    }
    Some(path)
}
