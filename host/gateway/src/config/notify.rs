//! `[[notify]]`: who is told of a call for help, and in which ways.

use super::reader::{At, Document, Table};
use axum::http::Uri;
use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};
use switch::directory::Directory;

/// Ways of a site at most.
const WAYS: usize = 32;
/// Extensions or addresses of one way at most.
const RECIPIENTS: usize = 32;

/// One way in which somebody is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Way {
    /// Its name, for the log, `holdfast alarm` and metrics.
    pub name: String,
    /// Whether tests of calls for help are told as well, as tests.
    pub tests: bool,
    /// How.
    pub by: By,
}

/// How somebody is told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum By {
    /// A SIP MESSAGE to each of these extensions.
    Message {
        /// Extensions.
        to: Vec<String>,
    },
    /// The phones of an extension ring and show who has called for help.
    Call {
        /// The extension.
        to: String,
        /// Whether whoever answers is connected with the caller's own line; else it is held, and nobody is at the other end.
        connect: bool,
    },
    /// An HTTP POST with JSON.
    Webhook {
        /// Where: `http` or `https`.
        url: Uri,
        /// `Authorization: Bearer`.
        token: Option<Secret>,
        /// Whom to trust besides the public authorities.
        authorities: Option<PathBuf>,
    },
    /// An e-mail.
    Mail(Mail),
}

/// How e-mail leaves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mail {
    /// Name or address of the server.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How the way there is secured.
    pub security: Security,
    /// Name and password, where it wants them.
    pub login: Option<(String, Secret)>,
    /// Sender.
    pub from: String,
    /// Recipients.
    pub to: Vec<String>,
    /// Whom to trust besides the public authorities.
    pub authorities: Option<PathBuf>,
}

/// How the way to a mail server is secured.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Security {
    /// It begins in clear and is secured before anything is said (RFC 3207); a server that cannot is not told anything.
    #[default]
    StartTls,
    /// TLS from the beginning (RFC 8314).
    Tls,
    /// In clear: for a server on this machine or in this room.
    None,
}

/// What stands in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Message,
    Call,
    Webhook,
    Mail,
}

/// Reads all of them; `directory` is the rest of the site.
pub(super) fn read(document: &Document<'_>, root: Table<'_>, directory: &Directory) -> Vec<Way> {
    let mut ways: Vec<Way> = Vec::new();
    let mut names = BTreeSet::new();
    for (index, (table, line)) in root.tables("notify").into_iter().enumerate() {
        let path = format!("notify[{}]", index + 1);
        let table = Table::new(document, table, &path, line);
        if index >= WAYS {
            document.error(line, path.clone(), format!("is one more than the {WAYS} ways that a site may have"), "name fewer");
            break;
        }
        let Some(way) = way(document, table) else { continue };
        advise(document, table, &way, directory);
        if !names.insert(way.name.clone()) {
            document.error(line, table.path("name"), format!("another way has the name `{}`", way.name), "give each its own name");
        }
        ways.push(way);
    }
    ways
}

/// What is not wrong, but not as it should be.
fn advise(document: &Document<'_>, table: Table<'_>, way: &Way, directory: &Directory) {
    let extensions = match &way.by {
        By::Message { to } => to.as_slice(),
        By::Call { to, .. } => std::slice::from_ref(to),
        By::Webhook { .. } | By::Mail(_) => &[],
    };
    for unknown in extensions.iter().filter(|extension| !directory.endpoints.iter().any(|endpoint| endpoint.extension == **extension)) {
        document.warning(
            table.line(),
            table.path("to"),
            format!("no endpoint of this file has the extension `{unknown}`"),
            "where no user of the store has it either, nobody is told in this way",
        );
    }
}

fn way(document: &Document<'_>, table: Table<'_>) -> Option<Way> {
    const BY: &[(&str, Kind)] = &[("message", Kind::Message), ("call", Kind::Call), ("webhook", Kind::Webhook), ("mail", Kind::Mail)];
    if !table.has("by") {
        document.error(table.line(), table.path("by"), "is missing", "add `by = \"message\"`, `\"call\"`, `\"webhook\"` or `\"mail\"`");
        return None;
    }
    let kind = table.choice("by", BY)?;
    let name = table.required("name", "security desk")?.value;
    let tests = table.boolean("tests").unwrap_or(true);
    let by = match kind {
        Kind::Message => {
            table.known(&["name", "by", "tests", "to"]);
            By::Message { to: recipients(document, table, "[\"1001\"]")? }
        }
        Kind::Call => {
            table.known(&["name", "by", "tests", "to", "answered"]);
            let to = table.required("to", "1001")?.value;
            let connect = table.choice("answered", &[("hold", false), ("connect", true)]).unwrap_or(false);
            By::Call { to, connect }
        }
        Kind::Webhook => {
            table.known(&["name", "by", "tests", "url", "token", "authorities"]);
            let url = url(document, table)?;
            By::Webhook { url, token: secret(table, "token"), authorities: file(document, table, "authorities") }
        }
        Kind::Mail => {
            table.known(&["name", "by", "tests", "server", "security", "username", "password", "from", "to", "authorities"]);
            By::Mail(mail(document, table)?)
        }
    };
    Some(Way { name, tests, by })
}

fn recipients(document: &Document<'_>, table: Table<'_>, example: &str) -> Option<Vec<String>> {
    let texts: Vec<At<String>> = table.texts_or_text("to").unwrap_or_default();
    if texts.is_empty() || texts.len() > RECIPIENTS || texts.iter().any(|text| text.value.trim().is_empty()) {
        let reason = format!("must name 1 to {RECIPIENTS} recipients");
        document.error(
            texts.first().map_or_else(|| table.line(), |text| text.line),
            table.path("to"),
            reason,
            format!("write it like `to = {example}`"),
        );
        return None;
    }
    Some(texts.into_iter().map(|text| text.value).collect())
}

fn secret(table: Table<'_>, key: &str) -> Option<Secret> {
    table.text(key).filter(|text| !text.value.is_empty()).map(|text| Secret(text.value))
}

fn file(document: &Document<'_>, table: Table<'_>, key: &str) -> Option<PathBuf> {
    let text = table.text(key)?;
    let path = Path::new(document.file()).parent().unwrap_or_else(|| Path::new("")).join(&text.value);
    if let Err(error) = crate::net::tls::roots(&path) {
        document.error(
            text.line,
            table.path(key),
            format!("{error:#}"),
            "name a PEM file with certificates, absolute or from the folder of this file",
        );
    }
    Some(path)
}

fn url(document: &Document<'_>, table: Table<'_>) -> Option<Uri> {
    let text = table.required("url", "https://alarms.example/holdfast")?;
    let uri = text.value.parse::<Uri>().ok();
    let good = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty()));
    if good.is_none() {
        let reason = format!("`{}` is no http or https address", text.value);
        document.error(text.line, table.path("url"), reason, "write it like `url = \"https://alarms.example/holdfast\"`");
    }
    good
}

fn mail(document: &Document<'_>, table: Table<'_>) -> Option<Mail> {
    let security = table.choice("security", &[("starttls", Security::StartTls), ("tls", Security::Tls), ("none", Security::None)]);
    let security = security.unwrap_or_default();
    let server = table.required("server", "mail.example:587")?;
    let default = match security {
        Security::StartTls => 587,
        Security::Tls => 465,
        Security::None => 25,
    };
    let (host, port) = match server.value.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']')) {
        Some((host, port)) => (host, port.parse::<u16>().ok()),
        None => (server.value.as_str(), Some(default)),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let Some(port) = port.filter(|port| *port > 0 && !host.is_empty()) else {
        let reason = format!("`{}` is no name or address with a port", server.value);
        document.error(server.line, table.path("server"), reason, "write it like `server = \"mail.example:587\"`");
        return None;
    };
    let login = match (table.text("username"), secret(table, "password")) {
        (Some(name), Some(password)) => {
            if security == Security::None {
                let remedy = "choose `security = \"starttls\"`, or take name and password out";
                document.error(name.line, table.path("security"), "would send the password in clear", remedy);
            }
            Some((name.value, password))
        }
        (None, None) => None,
        (Some(at), None) => {
            document.error(at.line, table.path("password"), "is missing though a username is given", "add `password = \"...\"`");
            None
        }
        (None, Some(_)) => {
            document.error(table.line(), table.path("username"), "is missing though a password is given", "add `username = \"...\"`");
            None
        }
    };
    let from = table.required("from", "holdfast@example.org")?;
    let to = recipients(document, table, "[\"security@example.org\"]")?;
    for (key, address) in std::iter::once(("from", &from.value)).chain(to.iter().map(|to| ("to", to))) {
        if let Err(error) = address.parse::<lettre::message::Mailbox>() {
            let reason = format!("`{address}` is no mail address: {error}");
            document.error(from.line, table.path(key), reason, "write it like \"security@example.org\"");
        }
    }
    let authorities = file(document, table, "authorities");
    Some(Mail { server: host.to_owned(), port, security, login, from: from.value, to, authorities })
}
