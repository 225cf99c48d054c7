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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use expect_test::expect;

    fn trunk(lines: &str) -> String {
        format!("[[trunk]]\nname = \"provider\"\nuri = \"sip:192.0.2.10:5060;transport=udp\"\n{lines}")
    }

    fn manners(lines: &str) -> TrunkManners {
        Config::parse("holdfast.toml", &trunk(lines), None).unwrap().config.directory.trunks[0].manners.clone()
    }

    #[test]
    fn every_key_is_read_and_the_default_is_that_of_an_open_network() {
        assert_eq!(manners(""), TrunkManners::default());
        let all = manners(
            "trusted = true\nnumber_from = \"to\"\ncaller_in = \"asserted\"\ncaller_domain = \"far.example\"\ndiversion = true\n\
             early_media = false\nsession_timers = false\nheaders = [\"X-Account\", \"*\"]\nnext_on = [\"404\", \"484\"]\n",
        );
        let expected = TrunkManners {
            trusted: true,
            number_from: NumberFrom::To,
            caller_in: CallerIn::Asserted,
            caller_domain: Some("far.example".to_owned()),
            diversion: true,
            early_media: false,
            session_timers: false,
            headers: vec!["X-Account".to_owned(), "*".to_owned()],
            next_on: vec![404, 484],
        };
        assert_eq!(all, expected);
    }

    #[test]
    fn what_is_wrong_is_said_where_it_stands() {
        let lines = "number_from = \"here\"\ncaller_domain = \"far example\"\nheaders = [\"X Account\", \"\"]\n\
                     next_on = [\"401\", \"486\", \"503\", \"soon\"]\n";
        let report = Config::parse("holdfast.toml", &trunk(lines), None).unwrap_err();
        expect![[r#"
            holdfast.toml:1: trunk[1].sources: names nobody: no call can come in over this trunk; name the provider's addresses, e.g. `sources = ["192.0.2.10"]`, or have it registered at (`register = true`)
            holdfast.toml:1: emergency.trunks: no trunk is named: calls for help try every [[trunk]] in the order of this file; add a [[trunk]] and name it in `trunks` of [emergency]
            holdfast.toml:4: trunk[1].number_from: `here` is not one of the choices; choose `request-uri` or `to`
            holdfast.toml:5: trunk[1].caller_domain: `far example` is not a domain; write it like `caller_domain = "sip.provider.example"`
            holdfast.toml:6: trunk[1].headers: `X Account` is not the name of a header field; write it like `headers = ["X-Account"]`
            holdfast.toml:6: trunk[1].headers: `` is not the name of a header field; write it like `headers = ["X-Account"]`
            holdfast.toml:7: trunk[1].next_on: `401` is no refusal that can lead to the next trunk; name refusals between 400 and 499, but not 401, 407, 486 and 487, e.g. `next_on = ["404", "484"]`; 5xx and silence always lead there, a person's refusal (486, 6xx) never
            holdfast.toml:7: trunk[1].next_on: `486` is no refusal that can lead to the next trunk; name refusals between 400 and 499, but not 401, 407, 486 and 487, e.g. `next_on = ["404", "484"]`; 5xx and silence always lead there, a person's refusal (486, 6xx) never
            holdfast.toml:7: trunk[1].next_on: `503` is no refusal that can lead to the next trunk; name refusals between 400 and 499, but not 401, 407, 486 and 487, e.g. `next_on = ["404", "484"]`; 5xx and silence always lead there, a person's refusal (486, 6xx) never
            holdfast.toml:7: trunk[1].next_on: `soon` is no refusal that can lead to the next trunk; name refusals between 400 and 499, but not 401, 407, 486 and 487, e.g. `next_on = ["404", "484"]`; 5xx and silence always lead there, a person's refusal (486, 6xx) never"#]].assert_eq(&report.to_string());
    }
}
