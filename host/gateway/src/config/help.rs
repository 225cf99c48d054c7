//! What of `[emergency]`, `[[location]]` and `[[trunk]]` is about calls for help: who is called back, what is told of the caller's place, which channels are kept.

use super::reader::{Document, Table, join, list};
use std::time::Duration;
use switch::{
    directory::{
        Civic, Emergency, Location, Trunk,
        help::{CALLBACK, CallerId, Geolocation, May},
    },
    emergency::numbers::{self, COUNTRIES, Country},
    trunk::Capacity,
};

/// Keys of `[emergency]` that are read here.
pub(super) const EMERGENCY: [&str; 9] = [
    "country",
    "test_trunks",
    "location",
    "caller_id",
    "resource_priority",
    "phones_may",
    "security_desk",
    "callback_hours",
    "callback_seconds",
];
/// The longest time for which callers are remembered.
const HOURS_MAX: u64 = 168;

/// The countries of `[emergency]`: their numbers are calls for help.
pub(super) fn countries(document: &Document<'_>, table: Table<'_>) -> Vec<&'static Country> {
    let mut found = Vec::new();
    for code in table.texts_or_text("country").unwrap_or_default() {
        match numbers::country(&code.value) {
            Some(country) => found.push(country),
            None => {
                let codes: Vec<&str> = COUNTRIES.iter().map(|country| country.code).collect();
                document.error(
                    code.line,
                    table.path("country"),
                    format!("the numbers of `{}` are not known here", code.value),
                    format!("name them in `numbers`, or choose of {}", list(&codes)),
                );
            }
        }
    }
    found
}

/// The rest of `[emergency]`.
pub(super) fn read(document: &Document<'_>, table: Table<'_>) -> Emergency {
    let default = Emergency::default();
    let plain = |key: &str| table.texts(key).unwrap_or_default().into_iter().map(|text| text.value).collect();
    let resource_priority = table.text("resource_priority").and_then(|priority| {
        // RFC 4412 3.1: `r-value = namespace "." r-priority`.
        let token =
            |part: &str| !part.is_empty() && part.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-!%*_+`'~".contains(&octet));
        let fits = priority.value.split_once('.').is_some_and(|(namespace, value)| token(namespace) && token(value));
        if !fits {
            document.error(
                priority.line,
                table.path("resource_priority"),
                format!("`{}` is no resource priority", priority.value),
                "write it like `resource_priority = \"esnet.1\"`",
            );
        }
        fits.then_some(priority.value)
    });
    let may = table.texts("phones_may").map_or(default.may, |words| {
        let mut may = May { hold: false, transfer: false };
        for word in words {
            match word.value.as_str() {
                "hold" => may.hold = true,
                "transfer" => may.transfer = true,
                other => document.error(
                    word.line,
                    table.path("phones_may"),
                    format!("`{other}` is not one of the choices"),
                    "choose of `hold` and `transfer`",
                ),
            }
        }
        may
    });
    let caller_id = table.choice("caller_id", &[("elin", CallerId::Elin), ("own", CallerId::Own)]);
    let hours = table.number("callback_hours", CALLBACK.as_secs() / 3600..=HOURS_MAX);
    let ring = table.number("callback_seconds", 10..=600);
    Emergency {
        test_trunks: plain("test_trunks"),
        location: table.text("location").map(|name| name.value),
        caller_id: caller_id.unwrap_or_default(),
        resource_priority,
        may,
        security_desk: table.text("security_desk").map(|desk| desk.value),
        callback: hours.map_or(default.callback, |hours| Duration::from_secs(hours.value * 3600)),
        callback_ring: ring.map_or(default.callback_ring, |ring| Duration::from_secs(ring.value)),
        ..default
    }
}

/// What of a place is about calls for help.
pub(super) fn read_place(document: &Document<'_>, table: Table<'_>) -> Location {
    Location {
        trunks: table.texts("trunks").unwrap_or_default().into_iter().map(|name| name.value).collect(),
        civic: table
            .table("civic")
            .map(|(civic, line)| read_civic(document, Table::new(document, civic, &table.path("civic"), line)))
            .unwrap_or_default(),
        ..Location::default()
    }
}

fn read_civic(document: &Document<'_>, table: Table<'_>) -> Civic {
    table.known(&Civic::ELEMENTS.map(|(key, _)| key));
    let mut parts = Vec::new();
    for (key, element) in Civic::ELEMENTS {
        let Some(text) = table.text(key) else { continue };
        // RFC 5139 3.3: the country in the two letters of ISO 3166-1, in capitals.
        if element == "country" && !(text.value.len() == 2 && text.value.bytes().all(|octet| octet.is_ascii_uppercase())) {
            document.error(
                text.line,
                table.path(key),
                format!("`{}` is not the code of a country", text.value),
                "write it like `country = \"GB\"`",
            );
        }
        if text.value.trim().is_empty() || text.value.chars().any(char::is_control) {
            document.error(
                text.line,
                table.path(key),
                "is empty, or more than one line",
                "write this part of the address, or leave it out",
            );
        }
        parts.push((element, text.value));
    }
    Civic { parts }
}

/// How many calls a trunk carries, and what it is told of a caller's place.
pub(super) fn read_trunk(document: &Document<'_>, table: Table<'_>) -> Trunk {
    let count = |key: &str| table.number(key, 0..=1_000_000).map(|number| u32::try_from(number.value).unwrap_or(u32::MAX));
    let channels = Capacity {
        all: count("channels"),
        inbound: count("channels_in"),
        outbound: count("channels_out"),
        reserved: count("reserved").unwrap_or(0),
    };
    if channels.reserved > 0 {
        let (limit, key) = match (channels.all, channels.outbound) {
            (Some(all), _) => (Some(all), "channels"),
            (None, out) => (out, "channels_out"),
        };
        match limit {
            None => document.error(
                table.line(),
                table.path("reserved"),
                "channels are kept for calls for help of a trunk that has no limit",
                "say in `channels` how many calls the trunk carries",
            ),
            Some(limit) if channels.reserved >= limit => document.warning(
                table.line(),
                table.path("reserved"),
                format!("{} of {limit} channels are kept for calls for help: no other call can be made", channels.reserved),
                format!("keep fewer than `{key}`"),
            ),
            Some(_) => {}
        }
    }
    let choices = [("pass", Geolocation::Pass), ("add", Geolocation::Add), ("remove", Geolocation::Remove)];
    Trunk { channels, geolocation: table.choice("geolocation", &choices).unwrap_or_default(), ..Trunk::default() }
}

/// Names that `[emergency]` and `[[location]]` say of others; `path` and `line` are where.
pub(super) fn names(
    document: &Document<'_>,
    (path, line): (&str, usize),
    named: &[String],
    known: &[&str],
    (key, noun, section): (&str, &str, &str),
) {
    for name in named.iter().filter(|name| !known.contains(&name.as_str())) {
        let remedy = if known.is_empty() {
            format!("add a {section} with that name")
        } else {
            format!("there are {}; or add a {section}", list(known))
        };
        document.error(line, join(path, key), format!("there is no {noun} `{name}`"), remedy);
    }
}

/// What is not wrong, but not as it should be.
pub(super) fn advise(document: &Document<'_>, emergency: &Emergency, line: usize, extensions: &[&str]) {
    let Some(desk) = &emergency.security_desk else { return };
    if !extensions.contains(&desk.as_str()) {
        document.warning(
            line,
            "emergency.security_desk",
            format!("no endpoint of this file has the extension `{desk}`"),
            "where no user of the store has it either, nobody answers for a caller who cannot be called back",
        );
    }
}

#[cfg(test)]
mod tests;
