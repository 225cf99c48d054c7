//! What a phone is told that fetches its settings: `J100Supgrade.txt`, which sends it on to `46xxsettings.txt` (the site), which sends it on to `<MAC>.txt` (its own).
//!
//! Every text that comes from outside ends up between the quotes of a value, or not in the file: nothing that stands in a name, a password or somebody's lines can begin a
//! line of its own. All of it is printable ASCII.
//!
//! Which parameters, and why: Avaya, template of `46xxsettings.txt` of 22 July 2022, and what IP Office 11.0.4 sends to J100 phones. Keys: Avaya, "Installing and
//! Administering Avaya J100 Series IP Phones", release 4.1, "Pre-configuration of keys".

use super::{Assignment, CONTROLLER_LIST, Settings, Statement, Value, import::CREDENTIALS};
use crate::{
    directory::record::{KeyKind, LineKey},
    limits::SETTINGS_VALUE,
};
use std::fmt::Write as _;

/// What a phone asks for first.
pub const UPGRADE: &str = "J100Supgrade.txt";
/// What it is sent on to.
pub const SITE: &str = "46xxsettings.txt";
/// The site's root, under the name that `TRUSTCERTS` and Avaya's manuals give it.
pub const ROOT: &str = "WebRootCA.pem";

/// The upgrade file. It names no firmware (`APPNAME`): a phone that is told of one that it cannot fetch tries again and again.
pub const UPGRADE_TEXT: &str = "## No firmware is kept here: each phone stays with its own.\nGET 46xxsettings.txt\n";

/// Characters of a parameter's name.
const NAME: usize = 64;
/// Keys that a phone can be told: "The allowed values are positive integers from 1 to 96".
const KEYS: usize = 96;
/// Characters beside a key.
const LABEL: usize = 31;

/// What all phones of a site are told.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// `SIPDOMAIN`.
    pub domain: &'a str,
    /// `SIP_CONTROLLER_LIST`, first choice first.
    pub controllers: &'a str,
    /// Whether somebody stands before this gateway in it, to whom phones are to return.
    pub returns: bool,
    /// Whether the root can be fetched here.
    pub root: bool,
    /// Numbers that a locked or unregistered phone may dial.
    pub emergency: &'a [String],
    /// Further lines, see [`further`].
    pub more: &'a str,
}

/// What one phone is told.
#[derive(Clone, Copy)]
pub struct Own<'a> {
    /// Digest user.
    pub username: &'a str,
    /// Digest password.
    pub password: &'a str,
    /// What stands before the @ in its address of record.
    pub extension: &'a str,
    /// What stands on its screen; what is not ASCII is shown as `?`.
    pub name: &'a str,
    /// Its keys, from the top.
    pub keys: &'a [LineKey],
    /// Further lines, see [`further`].
    pub more: &'a str,
}

/// Why a value has no place in a settings file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the {what} has more than 255 characters, a double quote, or other characters than printable ASCII: it cannot stand in a settings file"
)]
pub struct Unfit {
    /// Which: `username`, `password`, `extension`, `domain`, `list of controllers`.
    pub what: &'static str,
}

/// A line that is left out, and why.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LeftOut {
    /// From 1.
    pub line: usize,
    /// Why.
    pub reason: &'static str,
}

/// The site's file.
///
/// # Errors
/// When the domain or the list of controllers cannot stand in it.
pub fn site_text(site: &Site<'_>) -> Result<String, Unfit> {
    let mut sheet = Sheet::new("## What all telephones of this site are told, by Holdfast.\n");
    sheet.set("SIPDOMAIN", site.domain, "domain")?;
    sheet.set(CONTROLLER_LIST, site.controllers, "list of controllers")?;
    for (name, value) in [
        // One controller at a time, and no Avaya Aura to look for.
        ("SIMULTANEOUS_REGISTRATIONS", "1"),
        ("SIPREGPROXYPOLICY", "alternate"),
        ("ENABLE_AVAYA_ENVIRONMENT", "0"),
        ("DISCOVER_AVAYA_ENVIRONMENT", "0"),
        ("ENABLE_3PCC_ENVIRONMENT", "1"),
        ("ENABLE_PRESENCE", "0"),
        // Digits as RFC 4733 events, under the number that other phones use.
        ("SEND_DTMF_TYPE", "2"),
        ("DTMF_PAYLOAD_TYPE", "101"),
        ("SYMMETRIC_RTP", "1"),
        // A lost gateway is noticed soon.
        ("TCP_KEEP_ALIVE_STATUS", "1"),
        ("TCP_KEEP_ALIVE_TIME", "30"),
        ("CONTROLLER_SEARCH_INTERVAL", "4"),
        ("FAST_RESPONSE_TIMEOUT", "4"),
        // The name in the server's certificate must be the one that was called.
        ("TLSSRVRID", "1"),
    ] {
        sheet.set(name, value, name)?;
    }
    if site.returns {
        sheet.set("FAILBACK_POLICY", "auto", "FAILBACK_POLICY")?;
    }
    if site.root {
        sheet.set("TRUSTCERTS", ROOT, "TRUSTCERTS")?;
    }
    if let Some(first) = site.emergency.first() {
        sheet.set("PHNEMERGNUM", first, "emergency number")?;
        sheet.set("PHNMOREEMERGNUMS", &site.emergency.join(","), "emergency numbers")?;
    }
    sheet.further(site.more);
    Ok(sheet.0 + "GET $MACADDR.txt\n")
}

/// A phone's own file, and what of its further lines is left out. They come first: what the gateway says of the account overrides them.
///
/// # Errors
/// When username, password or extension cannot stand in it.
pub fn own_text(own: &Own<'_>) -> Result<(String, Vec<LeftOut>), Unfit> {
    let mut sheet = Sheet::new("## What this telephone is told, by Holdfast.\n");
    let left_out = sheet.further(own.more);
    let [username, password, extension] = CREDENTIALS;
    sheet.set(username, own.username, "username")?;
    sheet.set(password, own.password, "password")?;
    sheet.set(extension, own.extension, "extension")?;
    if !own.name.is_empty() {
        let shown = |c: char| match c {
            '"' => '\'',
            ' '..='~' => c,
            _ => '?',
        };
        let name: String = own.name.chars().take(SETTINGS_VALUE).map(shown).collect();
        sheet.set("DISPLAY_NAME", &name, "name")?;
    }
    sheet.keys(own.keys);
    Ok((sheet.0, left_out))
}

/// What of somebody's lines would be left out of a file: everything but `SET NAME value`, `ADD NAME value`, comments and empty lines. No line may send a phone elsewhere
/// (`GET`), make others count or not (`IF`, `GOTO`, labels), or say as whom it registers.
#[must_use]
pub fn further(text: &str) -> Vec<LeftOut> {
    Sheet(String::new()).further(text)
}

/// Lines that are being written.
struct Sheet(String);

impl Sheet {
    fn new(title: &str) -> Self {
        Self(title.to_owned())
    }

    fn set(&mut self, name: &str, value: &str, what: &'static str) -> Result<(), Unfit> {
        if !fits(value.as_bytes()) {
            return Err(Unfit { what });
        }
        self.line("SET", name, value);
        Ok(())
    }

    /// Of a key that lights up, the document names no way to say so; it dials, and the lamp is set up at the telephone.
    fn keys(&mut self, keys: &[LineKey]) {
        for (place, LineKey { kind, number, label }) in (1..=KEYS).zip(keys) {
            // "[label] … up to 31 symbols"; a semicolon would end it.
            let shown = |c: char| match c {
                '"' => '\'',
                ';' => ',',
                ' '..='~' => c,
                _ => '?',
            };
            let label: String = label.chars().take(LABEL).map(shown).collect();
            let label = if label.is_empty() { label } else { format!(";Label={label}") };
            let key = match kind {
                KeyKind::Line => format!("Key={place};Type=line;Name=primary{label}"),
                KeyKind::SpeedDial | KeyKind::BusyLamp => format!("Key={place};Type=autodial;Name=autodial;Attr1={number}{label}"),
            };
            if *kind == KeyKind::BusyLamp {
                self.0.push_str("## The lamp of the next key is set up at the telephone.\n");
            }
            if fits(key.as_bytes()) {
                self.line("SET", "PHONEKEY", &key);
            }
        }
        if keys.len() > KEYS {
            // Writing to a String does not fail.
            let _written = writeln!(self.0, "## It has {} keys here and takes {KEYS}.", keys.len());
        }
    }

    /// What is given has been looked at: it has no quotes and no line ends.
    fn line(&mut self, word: &str, name: &str, value: &str) {
        // Writing to a String does not fail.
        let _written = writeln!(self.0, "{word} {name} \"{value}\"");
    }

    fn further(&mut self, text: &str) -> Vec<LeftOut> {
        let Ok(settings) = Settings::new(text.as_bytes()) else {
            return vec![LeftOut { line: 1, reason: "the text is longer than any settings file" }];
        };
        let mut left_out = Vec::new();
        for line in settings.lines() {
            let (word, assignment) = match line.statement {
                Statement::Set(assignment) => ("SET", assignment),
                Statement::Add(assignment) => ("ADD", assignment),
                Statement::Comment => continue,
                Statement::If | Statement::Goto | Statement::Label => {
                    left_out.push(LeftOut { line: line.number, reason: "lines cannot be made to count for some phones only" });
                    continue;
                }
                Statement::Get => {
                    left_out.push(LeftOut { line: line.number, reason: "a phone cannot be sent on to another file" });
                    continue;
                }
            };
            match assigned(&assignment) {
                Ok((name, value)) => self.line(word, name, value),
                Err(reason) => left_out.push(LeftOut { line: line.number, reason }),
            }
        }
        left_out
    }
}

/// Name and value of a line that may be passed on.
fn assigned<'a>(assignment: &Assignment<'a>) -> Result<(&'a str, &'a str), &'static str> {
    let name = std::str::from_utf8(assignment.name).unwrap_or_default();
    let named = (1..=NAME).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !named {
        return Err("this is not the name of a parameter");
    }
    if CREDENTIALS.iter().any(|own| own.eq_ignore_ascii_case(name)) {
        return Err("as whom a phone registers is what its endpoint says");
    }
    if CONTROLLER_LIST.eq_ignore_ascii_case(name) {
        // A file that was imported may know the cloud only: the phone would not come here when that is lost.
        return Err("where a phone registers is what [provision] says");
    }
    let value = assignment.value().map(Value::content).map_err(super::Misquoted::reason)?;
    match std::str::from_utf8(value) {
        Ok(value) if fits(value.as_bytes()) => Ok((name, value)),
        _ => Err("the value has more than 255 characters, a double quote, or other characters than printable ASCII"),
    }
}

/// Whether a value can stand between two quotes.
fn fits(value: &[u8]) -> bool {
    value.len() <= SETTINGS_VALUE && value.iter().all(|octet| matches!(octet, b' '..=b'~') && *octet != b'"')
}
