//! `[[trunk]]`.

use super::{
    help,
    reader::{Document, Table},
    site::{read_network, written},
};
use sip::uri::{Scheme, Uri};
use std::net::SocketAddr;
use switch::directory::{NumberPattern, Source, Trunk};

/// Reads one `[[trunk]]`. What is wrong in it has been reported and stays empty.
pub(super) fn read(document: &Document<'_>, table: Table<'_>) -> Trunk {
    table.known(&[
        "name",
        "uri",
        "sources",
        "username",
        "password",
        "numbers",
        "channels",
        "channels_in",
        "channels_out",
        "reserved",
        "geolocation",
    ]);
    let name = table.required("name", "provider");
    let uri = table.required("uri", "sip:192.0.2.10:5060;transport=udp");
    if let Some(uri) = &uri {
        let read = Uri::parse(uri.value.as_bytes());
        if !read.is_some_and(|u| matches!(u.scheme, Scheme::Sip | Scheme::Sips)) {
            document.error(
                uri.line,
                table.path("uri"),
                format!("`{}` is not a SIP URI", uri.value),
                "write it like `uri = \"sip:192.0.2.10:5060;transport=udp\"`",
            );
        } else if read.is_some_and(|u| u.param(b"transport").is_some() && u.transport().is_none()) {
            document.error(
                uri.line,
                table.path("uri"),
                "names a transport that is not spoken here",
                "choose `transport=udp`, `transport=tcp` or `transport=tls`",
            );
        }
    }
    let mut sources = Vec::new();
    let written_sources = table.texts("sources").unwrap_or_default();
    if written_sources.is_empty() {
        document.warning(
            table.line(),
            table.path("sources"),
            "names nobody: no call can come in over this trunk",
            "name the provider's addresses, e.g. `sources = [\"192.0.2.10\"]`",
        );
    }
    for source in written_sources {
        match read_source(&source.value) {
            Some(source) => sources.push(source),
            None => document.error(
                source.line,
                table.path("sources"),
                format!("`{}` is no address, network or address:port", source.value),
                "write it like \"192.0.2.10\", \"192.0.2.0/24\" or \"192.0.2.10:5060\"",
            ),
        }
    }
    let mut numbers = Vec::new();
    for number in table.texts("numbers").unwrap_or_default() {
        if number.value.is_empty() || !number.value.bytes().all(|b| b.is_ascii_digit() || b"+%*#".contains(&b)) {
            document.error(
                number.line,
                table.path("numbers"),
                format!("`{}` is not a number pattern", number.value),
                "use digits, `+`, and `%` for any run of digits, e.g. \"+44203000%\"",
            );
        } else {
            numbers.push(NumberPattern(number.value));
        }
    }
    let username = table.text("username").map(|u| u.value);
    let password = table.text("password");
    if let Some(password) = &password
        && username.is_none()
    {
        document.error(
            password.line,
            table.path("username"),
            "is missing though a password is given",
            "add `username = \"...\"`, or take the password away",
        );
    }
    Trunk {
        name: written(name),
        uri: written(uri),
        sources,
        username,
        password: password.map(|p| p.value),
        numbers,
        ..help::read_trunk(document, table)
    }
}

fn read_source(text: &str) -> Option<Source> {
    read_network(text).map(Source::Network).or_else(|| text.parse::<SocketAddr>().ok().map(Source::Address))
}
