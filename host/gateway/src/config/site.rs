//! `[[endpoint]]`, `[[licence]]`, `[[trunk]]`, `[[location]]` and `[emergency]`: read, checked against each other, made a `Directory`.

use super::{
    help, licence, park,
    reader::{At, Document, Table, join, list},
    trunk,
};
use ipnet::IpNet;
use sip::digest::{Algorithm, Ha1};
use std::{collections::BTreeMap, net::IpAddr};
use switch::{
    directory::{Directory, Emergency, Endpoint, Location, Pool, Source, Trunk, read_mac},
    emergency::numbers::Country,
};
use toml::de::DeTable;

/// Emergency numbers where the file names none.
const NUMBERS: &[&str] = &["112", "911", "999"];
const TEST_NUMBERS: &[&str] = &["933"];
/// Private networks: from there an unregistered phone may call for help.
const NETWORKS: &[&str] = &["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "::1"];

/// A thing with a name, and where its parts stand in the file: for checks that look at several of them.
struct Listed<T> {
    thing: T,
    path: String,
    line: usize,
}

/// Reads everything about the site. `realm` is what password hashes are made for, `digest` the algorithms that challenges offer.
pub(super) fn read(document: &Document<'_>, root: Table<'_>, realm: &str, digest: &[Algorithm]) -> Directory {
    let locations: Vec<_> = each(document, root, "location", read_location);
    let pools: Vec<_> = each(document, root, "licence", licence::read);
    let trunks: Vec<_> = each(document, root, "trunk", trunk::read);
    let endpoints: Vec<_> = each(document, root, "endpoint", |d, t| read_endpoint(d, t, realm));
    let (emergency, emergency_line) = match root.table("emergency") {
        Some((table, line)) => (read_emergency(document, Table::new(document, table, "emergency", line)), line),
        None => (emergency_default(), 1),
    };

    unique(document, &locations, "name", "location", |l| vec![l.name.clone()]);
    unique(document, &pools, "pool", "pool", |p| vec![p.pool.clone()]);
    unique(document, &trunks, "name", "trunk", |t| vec![t.name.clone()]);
    unique(document, &endpoints, "id", "id", |e| vec![e.id.clone()]);
    unique(document, &endpoints, "extension", "extension", |e| vec![e.extension.clone()]);
    unique(document, &endpoints, "username", "username", |e| vec![e.username.clone()]);
    unique(document, &endpoints, "numbers", "number", |e| e.numbers.clone());
    references(document, &endpoints, &pools, &locations);
    hashes_for_every_challenge(document, &endpoints, digest);
    emergency_rules(document, &emergency, emergency_line, &trunks, &endpoints);
    names_for_help(document, (&emergency, emergency_line), &trunks, &endpoints, &locations);
    trunks_apart_from_phones(document, &trunks, &locations);

    let mut directory = Directory::new(realm.to_owned(), things(endpoints), things(pools), things(trunks), emergency, things(locations));
    directory.dial_classes = things(each(document, root, "endpoint", dial_class)).into_iter().flatten().collect();
    if let Some((table, line)) = root.table("park") {
        directory.park = park::read(document, Table::new(document, table, "park", line), &directory);
    }
    directory
}

fn things<T>(listed: Vec<Listed<T>>) -> Vec<T> {
    listed.into_iter().map(|l| l.thing).collect()
}

/// Reads every table of a list. What is missing in one has been reported and stays empty, so that the rest of it is checked as well.
fn each<T>(document: &Document<'_>, root: Table<'_>, key: &str, read: impl Fn(&Document<'_>, Table<'_>) -> T) -> Vec<Listed<T>> {
    let tables: Vec<(&DeTable<'_>, usize)> = root.tables(key);
    let mut found = Vec::with_capacity(tables.len());
    for (index, (table, line)) in tables.into_iter().enumerate() {
        let path = format!("{key}[{}]", index + 1);
        let thing = read(document, Table::new(document, table, &path, line));
        found.push(Listed { thing, path, line });
    }
    found
}

fn read_endpoint(document: &Document<'_>, table: Table<'_>, realm: &str) -> Endpoint {
    table.known(&[
        "id",
        "extension",
        "username",
        "password",
        "ha1",
        "name",
        "enabled",
        "licence",
        "location",
        "mac",
        "numbers",
        "dial_class",
    ]);
    let id = table.required("id", "desk-1");
    let extension = table.required("extension", "1001");
    let username = table.required("username", "1001");
    let ha1 = read_ha1(document, table, username.as_ref().map_or("", |u| &u.value), realm);
    let mac = table.text("mac").and_then(|mac| {
        if let Some(digits) = read_mac(&mac.value) {
            return Some(digits);
        }
        document.error(
            mac.line,
            table.path("mac"),
            format!("`{}` is not a hardware address", mac.value),
            "write twelve hexadecimal digits, e.g. `mac = \"00:1b:4f:00:00:01\"`",
        );
        None
    });
    if let Some(extension) = &extension
        && !extension.value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.!~*'+#".contains(&b))
    {
        document.error(
            extension.line,
            table.path("extension"),
            "has characters that a phone cannot dial",
            "use digits, letters and - _ . * # + only",
        );
    }
    let extension = written(extension);
    Endpoint {
        id: written(id),
        username: written(username),
        ha1,
        name: table.text("name").map_or_else(|| extension.clone(), |n| n.value),
        extension,
        enabled: table.boolean("enabled").unwrap_or(true),
        licence: table.text("licence").map(|l| l.value),
        location: table.text("location").map(|l| l.value),
        mac,
        numbers: plain(table.texts("numbers").unwrap_or_default()),
    }
}

/// Whose the class is of what an endpoint may dial, where one is given.
fn dial_class(_: &Document<'_>, table: Table<'_>) -> Option<(String, String)> {
    let class = table.text("dial_class")?.value;
    Some((table.text("id")?.value, class))
}

/// The text, or nothing where its absence has been reported.
pub(super) fn written(text: Option<At<String>>) -> String {
    text.map_or_else(String::new, |t| t.value)
}

/// The password, or its hashes. Never repeats what was written: reports go to logs.
fn read_ha1(document: &Document<'_>, table: Table<'_>, username: &str, realm: &str) -> Ha1 {
    let password = table.text("password");
    let hashes = table.texts_or_text("ha1");
    match (password, hashes) {
        (Some(password), Some(_)) => {
            document.error(password.line, table.path("password"), "both `password` and `ha1` are given", "keep one of them");
            Ha1::default()
        }
        (Some(password), None) if password.value.is_empty() => {
            document.error(
                password.line,
                table.path("password"),
                "is empty: anybody could register",
                "write a password, e.g. the output of `openssl rand -hex 12`",
            );
            Ha1::default()
        }
        (Some(password), None) => Ha1::from_password(username, realm, &password.value),
        (None, Some(hashes)) => {
            let mut ha1 = Ha1::default();
            for hash in hashes {
                let hexadecimal = hash.value.bytes().all(|b| b.is_ascii_hexdigit());
                match hash.value.len() {
                    32 if hexadecimal => ha1.md5 = Some(hash.value.to_ascii_lowercase()),
                    64 if hexadecimal => ha1.sha256 = Some(hash.value.to_ascii_lowercase()),
                    _ => document.error(
                        hash.line,
                        table.path("ha1"),
                        "is not a hash",
                        format!(
                            "write the MD5 (32 hexadecimal digits), the SHA-256 (64), or a list of both, of `username:{realm}:password`"
                        ),
                    ),
                }
            }
            ha1
        }
        (None, None) => {
            document.error(table.line(), table.path("password"), "is missing", "add `password = \"...\"` or `ha1 = \"...\"`");
            Ha1::default()
        }
    }
}

/// A phone answers the first algorithm that it knows (RFC 8760 2.4): with a hash for another one only, it could never register.
fn hashes_for_every_challenge(document: &Document<'_>, endpoints: &[Listed<Endpoint>], digest: &[Algorithm]) {
    for Listed { thing: Endpoint { ha1, .. }, path, line } in endpoints {
        if ha1.md5.is_none() && ha1.sha256.is_none() {
            // Reported already.
            continue;
        }
        for algorithm in digest {
            let (there, name) = match algorithm {
                Algorithm::Md5 => (ha1.md5.is_some(), "MD5"),
                Algorithm::Sha256 => (ha1.sha256.is_some(), "SHA-256"),
            };
            if !there {
                document.error(
                    *line,
                    join(path, "ha1"),
                    format!("has no {name} hash, and challenges offer {name}: this phone could not register"),
                    format!(
                        "add the {name} hash of `username:realm:password`, or name in `digest` of [sip] only algorithms that every `ha1` has"
                    ),
                );
            }
        }
    }
}

fn read_location(document: &Document<'_>, table: Table<'_>) -> Location {
    table.known(&["name", "networks", "elin", "address", "trunks", "civic"]);
    let name = table.required("name", "hq");
    let networks = read_networks(document, table, &table.texts("networks").unwrap_or_default());
    let elin = table.text("elin").and_then(|elin| {
        if elin.value.strip_prefix('+').unwrap_or(&elin.value).bytes().all(|b| b.is_ascii_digit()) && elin.value.len() > 2 {
            return Some(elin.value);
        }
        document.error(
            elin.line,
            table.path("elin"),
            format!("`{}` is not a telephone number", elin.value),
            "write it like `elin = \"+442030001111\"`",
        );
        None
    });
    Location { name: written(name), networks, elin, address: table.text("address").map(|a| a.value), ..help::read_place(document, table) }
}

fn emergency_default() -> Emergency {
    let owned = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect();
    Emergency {
        numbers: owned(NUMBERS),
        test_numbers: owned(TEST_NUMBERS),
        trunks: Vec::new(),
        networks: NETWORKS.iter().filter_map(|n| read_network(n)).collect(),
        outside_prefixes: Vec::new(),
        ..Emergency::default()
    }
}

fn read_emergency(document: &Document<'_>, table: Table<'_>) -> Emergency {
    table.known(&[&["numbers", "test_numbers", "trunks", "networks", "outside_prefixes"], &help::EMERGENCY[..]].concat());
    let default = emergency_default();
    let countries = help::countries(document, table);
    // With a country its numbers, and what the file names besides.
    let of_country = |numbers: fn(&Country) -> &'static [&'static str], default: Vec<String>, named: Option<Vec<String>>| {
        let listed = countries.iter().flat_map(|country| numbers(country)).map(|number| (*number).to_owned());
        let mut all: Vec<String> = Vec::new();
        for number in listed.chain(named.unwrap_or_else(|| if countries.is_empty() { default } else { Vec::new() })) {
            if !all.contains(&number) {
                all.push(number);
            }
        }
        all
    };
    let digits = |key: &str, texts: Vec<At<String>>| -> Vec<String> {
        for text in &texts {
            if text.value.is_empty() || !text.value.bytes().all(|b| b.is_ascii_digit() || b"*#+".contains(&b)) {
                document.error(text.line, table.path(key), format!("`{}` cannot be dialled", text.value), "use digits only, e.g. \"112\"");
            }
        }
        plain(texts)
    };
    Emergency {
        numbers: of_country(|country| country.numbers, default.numbers, table.texts("numbers").map(|t| digits("numbers", t))),
        test_numbers: of_country(
            |country| country.test_numbers,
            default.test_numbers,
            table.texts("test_numbers").map(|t| digits("test_numbers", t)),
        ),
        trunks: plain(table.texts("trunks").unwrap_or_default()),
        networks: table.texts("networks").map_or(default.networks, |t| read_networks(document, table, &t)),
        outside_prefixes: table.texts("outside_prefixes").map_or_else(Vec::new, |t| digits("outside_prefixes", t)),
        ..help::read(document, table)
    }
}

fn plain(texts: Vec<At<String>>) -> Vec<String> {
    texts.into_iter().map(|t| t.value).collect()
}

pub(super) fn read_networks(document: &Document<'_>, table: Table<'_>, texts: &[At<String>]) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for text in texts {
        match read_network(&text.value) {
            Some(network) => networks.push(network),
            None => document.error(
                text.line,
                table.path("networks"),
                format!("`{}` is not a network", text.value),
                "write it like \"10.1.0.0/16\" or \"2001:db8::/32\"",
            ),
        }
    }
    networks
}

/// `10.1.0.0/16`, or an address, which is a network of one.
pub(super) fn read_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>().ok().map(|n| n.trunc()).or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
}

/// Names every value that a second thing claims, and who had it first.
fn unique<T>(document: &Document<'_>, listed: &[Listed<T>], key: &str, noun: &str, values: impl Fn(&T) -> Vec<String>) {
    let mut first: BTreeMap<String, &Listed<T>> = BTreeMap::new();
    for item in listed {
        for value in values(&item.thing).into_iter().filter(|v| !v.is_empty()) {
            match first.get(&value) {
                Some(other) => document.error(
                    item.line,
                    join(&item.path, key),
                    format!("the {noun} `{value}` is already that of {} (line {})", other.path, other.line),
                    format!("give each its own {noun}"),
                ),
                None => {
                    first.insert(value, item);
                }
            }
        }
    }
}

fn references(document: &Document<'_>, endpoints: &[Listed<Endpoint>], pools: &[Listed<Pool>], locations: &[Listed<Location>]) {
    let pools: Vec<&str> = pools.iter().map(|p| p.thing.pool.as_str()).collect();
    let locations: Vec<&str> = locations.iter().map(|l| l.thing.name.as_str()).collect();
    for endpoint in endpoints {
        if let Some(pool) = &endpoint.thing.licence {
            refers(document, endpoint.line, &join(&endpoint.path, "licence"), "pool", pool, &pools, "[[licence]]");
        }
        if let Some(location) = &endpoint.thing.location {
            refers(document, endpoint.line, &join(&endpoint.path, "location"), "location", location, &locations, "[[location]]");
        }
    }
}

fn refers(document: &Document<'_>, line: usize, key: &str, noun: &str, name: &str, known: &[&str], section: &str) {
    if known.contains(&name) {
        return;
    }
    let remedy =
        if known.is_empty() { format!("add a {section} with that name") } else { format!("there are {}; or add a {section}", list(known)) };
    document.error(line, key, format!("there is no {noun} `{name}`"), remedy);
}

fn emergency_rules(document: &Document<'_>, emergency: &Emergency, line: usize, trunks: &[Listed<Trunk>], endpoints: &[Listed<Endpoint>]) {
    let names: Vec<&str> = trunks.iter().map(|t| t.thing.name.as_str()).collect();
    for trunk in &emergency.trunks {
        refers(document, line, "emergency.trunks", "trunk", trunk, &names, "[[trunk]]");
    }
    if emergency.trunks.is_empty() {
        document.warning(
            line,
            "emergency.trunks",
            if trunks.is_empty() {
                "there is no trunk: calls for help cannot leave this site"
            } else {
                "no trunk is named: calls for help try every [[trunk]] in the order of this file"
            },
            "add a [[trunk]] and name it in `trunks` of [emergency]",
        );
    }
    if emergency.numbers.is_empty() {
        document.warning(
            line,
            "emergency.numbers",
            "no number is named: only urn:service:sos is a call for help",
            "name the emergency numbers of your country, e.g. `numbers = [\"112\"]`",
        );
    }
    for endpoint in endpoints {
        let mut numbers = emergency.numbers.iter().chain(&emergency.test_numbers);
        let shadowed = numbers.any(|number| {
            let extension = endpoint.thing.extension.as_str();
            extension == number || emergency.outside_prefixes.iter().any(|p| extension.strip_prefix(p.as_str()) == Some(number))
        });
        if shadowed {
            document.warning(
                endpoint.line,
                join(&endpoint.path, "extension"),
                format!("`{}` is an emergency number: calls to it will never reach this phone", endpoint.thing.extension),
                "choose another extension",
            );
        }
    }
}

/// What the rules for calls for help name must be there.
fn names_for_help(
    document: &Document<'_>,
    (emergency, line): (&Emergency, usize),
    trunks: &[Listed<Trunk>],
    endpoints: &[Listed<Endpoint>],
    locations: &[Listed<Location>],
) {
    let trunks: Vec<&str> = trunks.iter().map(|t| t.thing.name.as_str()).collect();
    let trunk = |key| (key, "trunk", "[[trunk]]");
    help::names(document, ("emergency", line), &emergency.test_trunks, &trunks, trunk("test_trunks"));
    for location in locations {
        help::names(document, (&location.path, location.line), &location.thing.trunks, &trunks, trunk("trunks"));
    }
    let places: Vec<&str> = locations.iter().map(|l| l.thing.name.as_str()).collect();
    let place = emergency.location.as_slice();
    help::names(document, ("emergency", line), place, &places, ("location", "location", "[[location]]"));
    let extensions: Vec<&str> = endpoints.iter().map(|e| e.thing.extension.as_str()).collect();
    help::advise(document, emergency, line, &extensions);
}

fn trunks_apart_from_phones(document: &Document<'_>, trunks: &[Listed<Trunk>], locations: &[Listed<Location>]) {
    for trunk in trunks {
        for source in &trunk.thing.sources {
            let source = match source {
                Source::Network(network) => *network,
                Source::Address(address) => IpNet::from(address.ip()),
            };
            let clash = locations.iter().find(|l| l.thing.networks.iter().any(|n| n.contains(&source) || source.contains(n)));
            if let Some(location) = clash {
                document.warning(
                    trunk.line,
                    join(&trunk.path, "sources"),
                    format!("{source} overlaps the phones' networks of location `{}`: calls from there are taken for calls from the trunk, and no password is asked", location.thing.name),
                    "name the provider's addresses only",
                );
            }
        }
    }
}
