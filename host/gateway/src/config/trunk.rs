//! `[[trunk]]`.

use super::{
    help, manners,
    reader::{At, Document, Table},
    site::{read_network, written},
};
use sip::uri::{Scheme, Uri};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use switch::{
    directory::{NumberPattern, Source, Trunk},
    trunk::{Address, Reach, Register},
};

/// Seconds that a registration asks for where nothing is written.
const REGISTER_SECONDS: u32 = 600;
/// Seconds between two questions whether a trunk is there, where nothing is written.
const OPTIONS_SECONDS: u64 = 30;
/// Addresses that one trunk may have.
const ADDRESSES: usize = 16;

/// Reads one `[[trunk]]`. What is wrong in it has been reported and stays empty.
pub(super) fn read(document: &Document<'_>, table: Table<'_>) -> Trunk {
    let own = [
        "name",
        "uri",
        "sources",
        "username",
        "password",
        "numbers",
        "register",
        "register_seconds",
        "contact_user",
        "outbound_proxy",
        "address",
        "options_seconds",
        "certificate",
        "channels",
        "channels_in",
        "channels_out",
        "reserved",
        "geolocation",
    ];
    table.known(&[&own[..], &manners::KEYS].concat());
    let name = table.required("name", "provider");
    let uri = table.required("uri", "sip:192.0.2.10:5060;transport=udp");
    if let Some(uri) = &uri {
        sip_uri(document, table, "uri", uri);
    }
    let mut sources = Vec::new();
    let written_sources = table.texts("sources").unwrap_or_default();
    if written_sources.is_empty() && !table.has("certificate") && !table.boolean("register").unwrap_or(false) {
        document.warning(
            table.line(),
            table.path("sources"),
            "names nobody: no call can come in over this trunk",
            "name the provider's addresses, e.g. `sources = [\"192.0.2.10\"]`, or have it registered at (`register = true`)",
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
    let reach = read_reach(document, table, username.as_deref());
    let manners = manners::read(document, table);
    Trunk {
        name: written(name),
        uri: written(uri),
        sources,
        username,
        password: password.map(|p| p.value),
        numbers,
        manners,
        reach,
        ..help::read_trunk(document, table)
    }
}

/// Reports a URI that names no place to send to.
fn sip_uri(document: &Document<'_>, table: Table<'_>, key: &str, uri: &At<String>) {
    let read = Uri::parse(uri.value.as_bytes());
    if !read.is_some_and(|u| matches!(u.scheme, Scheme::Sip | Scheme::Sips)) {
        document.error(
            uri.line,
            table.path(key),
            format!("`{}` is not a SIP URI", uri.value),
            format!("write it like `{key} = \"sip:192.0.2.10:5060;transport=udp\"`"),
        );
    } else if read.is_some_and(|u| u.param(b"transport").is_some() && u.transport().is_none()) {
        document.error(
            uri.line,
            table.path(key),
            "names a transport that is not spoken here",
            "choose `transport=udp`, `transport=tcp` or `transport=tls`",
        );
    }
}

/// How it is reached, registered at and asked about.
fn read_reach(document: &Document<'_>, table: Table<'_>, username: Option<&str>) -> Reach {
    let contact_user = table.text("contact_user");
    let seconds = table.number("register_seconds", 60..=86_400);
    let user = contact_user.as_ref().map(|user| user.value.as_str()).or(username);
    let register = match (table.boolean("register").unwrap_or(false), user) {
        (true, Some(user)) => {
            let seconds = seconds.and_then(|seconds| u32::try_from(seconds.value).ok()).unwrap_or(REGISTER_SECONDS);
            Some(Register { user: user.to_owned(), seconds })
        }
        (true, None) => {
            document.error(
                table.line(),
                table.path("contact_user"),
                "is missing, and so is `username`: nobody could be registered",
                "add `username = \"...\"`, and `contact_user = \"...\"` where the provider knows the account by another name or number",
            );
            None
        }
        (false, _) => {
            for (key, line) in
                [("contact_user", contact_user.map(|user| user.line)), ("register_seconds", seconds.map(|seconds| seconds.line))]
            {
                if let Some(line) = line {
                    document.warning(
                        line,
                        table.path(key),
                        "says how to register, and nobody registers",
                        "add `register = true`, or take it away",
                    );
                }
            }
            None
        }
    };
    let outbound_proxy = table.text("outbound_proxy");
    if let Some(proxy) = &outbound_proxy {
        sip_uri(document, table, "outbound_proxy", proxy);
    }
    let options = table.number("options_seconds", 0..=86_400).map_or(OPTIONS_SECONDS, |seconds| seconds.value);
    let certificate = table.text("certificate").filter(|name| {
        let usable = name.value.contains('.') && name.value.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_:@".contains(&b));
        if !usable {
            document.error(
                name.line,
                table.path("certificate"),
                format!("`{}` is no name that a certificate shows", name.value),
                "write the name of the provider's certificate, e.g. `certificate = \"sbc.provider.example\"`",
            );
        }
        usable
    });
    Reach {
        register,
        outbound_proxy: outbound_proxy.map(|proxy| proxy.value),
        addresses: read_addresses(document, table),
        options: (options > 0).then(|| Duration::from_secs(options)),
        certificate: certificate.map(|name| name.value),
    }
}

/// `[[trunk.address]]`.
fn read_addresses(document: &Document<'_>, table: Table<'_>) -> Vec<Address> {
    let mut addresses = Vec::new();
    for (index, (address, line)) in table.tables("address").into_iter().enumerate() {
        let path = table.path(&format!("address[{}]", index + 1));
        let address = Table::new(document, address, &path, line);
        address.known(&["uri", "priority", "weight"]);
        let uri = address.required("uri", "sip:192.0.2.10:5060;transport=udp");
        if let Some(uri) = &uri {
            sip_uri(document, address, "uri", uri);
        }
        let number = |key: &str| address.number(key, 0..=65_535).and_then(|number| u16::try_from(number.value).ok());
        addresses.push(Address { uri: written(uri), priority: number("priority").unwrap_or(10), weight: number("weight").unwrap_or(10) });
    }
    if addresses.len() > ADDRESSES {
        document.error(
            table.line(),
            table.path("address"),
            format!("{} addresses, {ADDRESSES} are used", addresses.len()),
            "name those that matter, or write a name that resolves to them",
        );
    }
    addresses
}

fn read_source(text: &str) -> Option<Source> {
    read_network(text).map(Source::Network).or_else(|| text.parse::<SocketAddr>().ok().map(Source::Address))
}

/// `name_servers` of [sip]: who is asked where trunks are.
pub(super) fn name_servers(document: &Document<'_>, table: Table<'_>) -> Vec<SocketAddr> {
    let mut servers = Vec::new();
    for text in table.texts("name_servers").unwrap_or_default() {
        let address = text.value.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, 53)).or_else(|_| text.value.parse());
        match address {
            Ok(address) => servers.push(address),
            Err(_) => document.error(
                text.line,
                table.path("name_servers"),
                format!("`{}` is no address", text.value),
                "write it like \"192.0.2.53\" or \"192.0.2.53:5353\"",
            ),
        }
    }
    servers
}

#[cfg(test)]
mod tests;
