//! The traps of `SIP_CONTROLLER_LIST`.

use super::{
    super::{Severity::Error, Transport, Value, export::misquoted},
    Assignment, CONTROLLER_LIST, Entry, Found, Known, Line, Note, SETTINGS_VALUE, Settings, Statement, Warning, breaks_off, broken_off,
    counting, shown,
};

/// Looks at each list that may count.
pub(super) fn check(settings: Settings<'_>, known: &Known<'_>, found: &mut Found) {
    let mut last = None;
    for (line, list, next) in counting(settings) {
        last = Some(line.number);
        one(line, list, next, known, found);
    }
    if last.is_none() {
        found.add(
            Error,
            None,
            "no-list",
            "the file has no line `SET SIP_CONTROLLER_LIST`: it leads a phone nowhere",
            "export it from a phone that is registered at the cloud",
        );
    }
    let jumps = settings.jumps();
    for line in settings.lines() {
        match line.statement {
            // Template: a later SET overrides.
            Statement::Set(list) if list.is(CONTROLLER_LIST) && !jumps && Some(line.number) != last => found.add(
                Warning,
                line.number,
                "overridden",
                format!("line {} sets SIP_CONTROLLER_LIST again: this one has no effect", last.unwrap_or_default()),
                "take the line out that is not meant",
            ),
            Statement::Add(list) if list.is(CONTROLLER_LIST) => found.add(
                Error,
                line.number,
                "added-list",
                "ADD is documented for keys, not for SIP_CONTROLLER_LIST: where the phone puts this is not known",
                "write the whole list into one SET line",
            ),
            _ => {}
        }
    }
}

fn one(line: Line<'_>, list: Assignment<'_>, next: Option<Line<'_>>, known: &Known<'_>, found: &mut Found) {
    let value = match list.value() {
        Ok(value) if breaks_off(value, next) => return found.push(broken_off(line.number)),
        Ok(value) => value,
        Err(how) => return found.push(misquoted(line.number, how)),
    };
    let content = value.content().trim_ascii();
    // Template: the value can contain 0 to 255 characters.
    if content.len() > SETTINGS_VALUE {
        let reason = format!("the list has {} characters; a phone takes {SETTINGS_VALUE}", content.len());
        return found.add(Error, line.number, "too-long", reason, "take entries out that are needed no more");
    }
    if Entry::list(content).all(|entry| entry.is_empty()) {
        return found.add(
            Error,
            line.number,
            "empty-list",
            "the list is empty: it leads a phone nowhere",
            "export the file from a phone that is registered at the cloud",
        );
    }
    blanks(line, value, found);
    for entry in Entry::list(content) {
        if entry.is_empty() {
            found.add(Warning, line.number, "empty-entry", "nothing stands between two commas of the list", "take one comma out");
        } else {
            transport(line, entry, found);
        }
    }
    together(line, content, known, found);
}

/// "Comma-separated, without any intervening spaces" (*template*); yet the example of *persistent gateway* has blanks behind its comma.
fn blanks(line: Line<'_>, value: Value<'_>, found: &mut Found) {
    if Entry::list(value.content().trim_ascii()).any(|entry| entry.written.trim_ascii().contains(&b' ')) {
        found.add(
            Error,
            line.number,
            "blank",
            "a blank stands inside an entry of the list",
            "take it out, or put the comma there that is missing",
        );
    } else if value.content().trim_ascii().contains(&b' ') {
        let lost = if matches!(value, Value::Plain(_)) { ", and without quotes what follows the first may be lost" } else { "" };
        found.add(
            Warning,
            line.number,
            "blank-in-list",
            format!("blanks stand between the entries of the list; the phone's rule is none{lost}"),
            "take the blanks out",
        );
    }
}

/// An entry without a transport means TLS (*template*); *persistent gateway* names tcp and tls only; auto asks the name's NAPTR record, in an OpenSIP environment (*template*).
fn transport(line: Line<'_>, entry: Entry<'_>, found: &mut Found) {
    let text = shown(entry.written.trim_ascii());
    if entry.port().is_err() {
        found.add(Error, line.number, "port", format!("{text}: the port is no number from 1 to 65535"), "write HOST:PORT;transport=tls");
    }
    let tcp = matches!(entry.port(), Ok(Some(5060)));
    let (severity, rule, reason, remedy) = match (entry.way(), entry.transport) {
        (Some(_), None) if tcp => (
            Warning,
            "default-tls",
            "no transport means TLS, and 5060 is the port of TCP",
            "write ;transport=tcp behind it, or the port for TLS",
        ),
        (Some(_), None) => {
            (Note, "default-tls", "no transport means TLS", "nothing if TLS is meant; otherwise write ;transport=tcp behind it")
        }
        (Some(Transport::Tcp), _) => (
            Note,
            "plain-tcp",
            "calls and registrations cross the network unencrypted",
            "let phones use tls where they trust this gateway's root certificate",
        ),
        (Some(Transport::Udp), _) => (
            Warning,
            "transport",
            "a persistent gateway is reached over tcp or tls; J100 phones do not use udp unless told to",
            "write ;transport=tls",
        ),
        (Some(Transport::Auto), _) => (
            Note,
            "transport",
            "the transport is looked up in the DNS, which must be reachable when the cloud is not",
            "write ;transport=tls or ;transport=tcp",
        ),
        (None, _) => (Error, "transport", "no phone knows this transport", "write ;transport=tls or ;transport=tcp"),
        (Some(Transport::Tls), _) => return,
    };
    found.add(severity, line.number, rule, format!("{text}: {reason}"), remedy);
}

/// What the entries are to each other.
fn together(line: Line<'_>, content: &[u8], known: &Known<'_>, found: &mut Found) {
    let entries: Vec<Entry<'_>> = Entry::list(content).filter(|entry| !entry.is_empty()).collect();
    for (at, entry) in entries.iter().enumerate() {
        let same =
            |other: &Entry<'_>| other.host.eq_ignore_ascii_case(entry.host) && other.way() == entry.way() && other.port() == entry.port();
        if entries.iter().take(at).any(same) {
            let reason = format!("{} stands in the list twice", shown(entry.written.trim_ascii()));
            found.add(Warning, line.number, "twice", reason, "take one of the two out");
        }
    }
    let names = entries.iter().filter(|entry| !entry.is_address()).count();
    // Template: of a mix only the names are used (said of Avaya Aura; J100 guide, guid-5f7f501c, shows it for all). Yet persistent gateway has an address behind a name.
    if names > 0 && names < entries.len() {
        found.add(
            Warning,
            line.number,
            "mixed",
            "names and addresses are mixed: phones are documented to use the names and to ignore the addresses",
            "give the gateway by a name that the site's own DNS server knows; or try with one phone that its firmware takes the address",
        );
    }
    // J100 guide, guid-5f7f501c: a phone that restarts while the way out is lost needs a DNS server at the site.
    if let Some(last) = entries.last()
        && entries.len() > 1
        && !last.is_address()
    {
        found.add(
            Note,
            line.number,
            "needs-dns",
            format!("{}: a phone that restarts while the site is cut off finds it only with a DNS server at the site", shown(last.host)),
            "let the site's own DNS server answer for this name",
        );
    }
    modes(line, &entries, known, found);
}

/// How many controllers the phone's mode takes: one in an OpenSIP environment, one name with BroadSoft (*template*). Mode 5 is Avaya Cloud Office, for which *persistent
/// gateway* shows two; J129 does not know it, and mode 4 is gone since R4.0.8 (*template*).
fn modes(line: Line<'_>, entries: &[Entry<'_>], known: &Known<'_>, found: &mut Found) {
    let open = known.get("ENABLE_3PCC_ENVIRONMENT").is_none_or(|(_, value)| value == b"1");
    let mode = known.get("3PCC_SERVER_MODE");
    let several = entries.len() > 1 && open;
    match mode.map(|(_, mode)| mode) {
        Some(b"5") | None if several => found.add(
            Note,
            line.number,
            "several-controllers",
            "Avaya's template of 2022 says that one controller is supported outside of Avaya Aura; its guide to persistent gateways shows two",
            "try with one phone that its firmware takes the second",
        ),
        Some(mode) if several => found.add(
            Warning,
            line.number,
            "several-controllers",
            format!("the phone's mode (3PCC_SERVER_MODE {}) takes one controller: it will not look for the second", shown(mode)),
            "set 3PCC_SERVER_MODE 5 if the phone belongs to Avaya Cloud Office",
        ),
        _ => {}
    }
    if let (true, Some((mode_line, b"1"))) = (open, mode)
        && entries.iter().any(Entry::is_address)
    {
        found.add(Warning, mode_line, "mode", "3PCC_SERVER_MODE 1 (BroadSoft) takes a name as its controller, no address", "write a name");
    }
    match (mode, known.model.as_deref()) {
        (Some((mode_line, b"5")), Some("J129")) => found.add(
            Warning,
            mode_line,
            "mode",
            "a J129 does not know 3PCC_SERVER_MODE 5 (Avaya Cloud Office)",
            "leave this phone out, or replace it",
        ),
        (Some((mode_line, b"4")), _) => {
            found.add(Warning, mode_line, "mode", "3PCC_SERVER_MODE 4 (RingCentral) is not known to phones since R4.0.8", "set it to 5")
        }
        _ => {}
    }
    // Persistent gateway, page 10, step 4: with tls the gateway's WebRootCA.pem goes to the phone.
    let tls = entries.len() > 1 && entries.iter().skip(1).any(|entry| entry.way() == Some(Transport::Tls));
    let trusted = known.get("TRUSTCERTS").is_some_and(|(_, certificates)| certificates.windows(13).any(|part| part == b"WebRootCA.pem"));
    if tls && !trusted {
        found.add(
            Note,
            line.number,
            "trust",
            "a controller behind the first speaks TLS, and TRUSTCERTS names no WebRootCA.pem",
            "if that is this gateway, import its root certificate on the phone's web page, under Trusted Certificates",
        );
    }
}
