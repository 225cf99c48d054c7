//! The keys of a `[[trunk]]` that say how calls go over it.

use super::reader::{Document, Table};
use switch::trunk::{CallerIn, NumberFrom, TrunkManners};

/// Its keys.
pub(super) const KEYS: [&str; 9] =
    ["trusted", "number_from", "caller_in", "caller_domain", "diversion", "early_media", "session_timers", "headers", "next_on"];

/// Reads them.
pub(super) fn read(document: &Document<'_>, table: Table<'_>) -> TrunkManners {
    let default = TrunkManners::default();
    let number_from = table.choice("number_from", &[("request-uri", NumberFrom::RequestUri), ("to", NumberFrom::To)]);
    let caller_in = table.choice("caller_in", &[("from", CallerIn::From), ("asserted", CallerIn::Asserted), ("both", CallerIn::Both)]);
    let caller_domain = table.text("caller_domain").and_then(|domain| {
        if !domain.value.is_empty() && domain.value.bytes().all(|octet| octet.is_ascii_alphanumeric() || b"-.[]:".contains(&octet)) {
            return Some(domain.value);
        }
        let reason = format!("`{}` is not a domain", domain.value);
        document.error(domain.line, table.path("caller_domain"), reason, "write it like `caller_domain = \"sip.provider.example\"`");
        None
    });
    let mut headers = Vec::new();
    for header in table.texts("headers").unwrap_or_default() {
        let token = |octet: u8| octet.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&octet);
        if !header.value.is_empty() && header.value.bytes().all(token) {
            headers.push(header.value);
        } else {
            let reason = format!("`{}` is not the name of a header field", header.value);
            document.error(header.line, table.path("headers"), reason, "write it like `headers = [\"X-Account\"]`");
        }
    }
    let mut next_on = Vec::new();
    for status in table.texts("next_on").unwrap_or_default() {
        match status.value.parse() {
            // 401, 407: answered with the trunk's password. 486: a person is busy. 487: we have given up ourselves.
            Ok(code) if (400..500).contains(&code) && ![401, 407, 486, 487].contains(&code) => next_on.push(code),
            _ => {
                let reason = format!("`{}` is no refusal that can lead to the next trunk", status.value);
                let remedy = "name refusals between 400 and 499, but not 401, 407, 486 and 487, e.g. `next_on = [\"404\", \"484\"]`; \
                              5xx and silence always lead there, a person's refusal (486, 6xx) never";
                document.error(status.line, table.path("next_on"), reason, remedy);
            }
        }
    }
    TrunkManners {
        trusted: table.boolean("trusted").unwrap_or(default.trusted),
        number_from: number_from.unwrap_or_default(),
        caller_in: caller_in.unwrap_or_default(),
        caller_domain,
        diversion: table.boolean("diversion").unwrap_or(default.diversion),
        early_media: table.boolean("early_media").unwrap_or(default.early_media),
        session_timers: table.boolean("session_timers").unwrap_or(default.session_timers),
        headers,
        next_on,
    }
}
