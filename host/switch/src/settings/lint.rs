//! The documented traps of a settings file. Each rule names where it is documented:
//!
//! - *template*: Avaya's `46xxsettings.txt` template of 22 July 2022 (J100 up to R4.0.13);
//! - *J100 guide*: Avaya, "Installing and Administering Avaya J100 Series IP Phones" R4.1.x, <https://dev-docs.avaya.com/us/en/bundle/installandadminj100seriesipphoner4-1-x0>;
//! - *redundancy*: its table "Parameters for redundancy provisioning";
//! - *persistent gateway*: Avaya, "Using IP Office as an Avaya Cloud Office Persistent Gateway" R12.2, issue 1.

mod list;

use super::{
    Assignment, CONTROLLER_LIST, Entry, Finding, Found, Line, Phone, Settings,
    Severity::{Note, Warning},
    Statement,
    export::{breaks_off, broken_off, counting},
    import::{self, CREDENTIALS},
    shown,
};
use crate::limits::SETTINGS_VALUE;
use std::{collections::BTreeMap, ops::RangeInclusive};

/// The parameters that rules look at, beside the list itself. What else a file sets is none of our business.
const LOOKED_AT: [&str; 22] = [
    "3PCC_SERVER_MODE",
    "AUTH",
    "CONTROLLER_SEARCH_INTERVAL",
    "ENABLE_3PCC_ENVIRONMENT",
    "ENABLE_SHOW_EMERG_SK",
    "ENABLE_SHOW_EMERG_SK_UNREG",
    "FAILBACK_POLICY",
    "FAST_RESPONSE_TIMEOUT",
    "FORCE_SIP_PASSWORD",
    "FORCE_WEB_ADMIN_PASSWORD",
    "PHNEMERGNUM",
    "PHNMOREEMERGNUMS",
    "RECOVERYREGISTERWAIT",
    "REGISTERWAIT",
    "SIMULTANEOUS_REGISTRATIONS",
    "SIPDOMAIN",
    "SIPREGPROXYPOLICY",
    "SIP_CONTROLLER_LIST_2",
    "SOFTKEY_CONFIGURATION",
    "TCP_KEEP_ALIVE_STATUS",
    "TRUSTCERTS",
    "WAIT_FOR_REGISTRATION_TIMER",
];

/// What the file sets, of [`LOOKED_AT`]: the last line that does, and the value where it can be told.
struct Known<'a> {
    set: BTreeMap<&'static str, (usize, &'a [u8])>,
    /// Which model the file speaks of, as far as it tells.
    model: Option<String>,
}

impl<'a> Known<'a> {
    fn new(settings: Settings<'a>) -> Self {
        let mut set = BTreeMap::new();
        for line in settings.lines() {
            if let Statement::Set(assignment) = line.statement
                && let Some(name) = LOOKED_AT.iter().find(|name| assignment.is(name))
                && let Ok(value) = assignment.value()
            {
                set.insert(*name, (line.number, value.content()));
            }
        }
        Self { set, model: Phone::of_lines(settings).model }
    }

    /// Line and value, unless it is not set or empty.
    fn get(&self, name: &str) -> Option<(usize, &'a [u8])> {
        self.set.get(name).copied().filter(|(_, value)| !value.is_empty())
    }

    fn line_of(&self, name: &str, value: &[u8]) -> Option<usize> {
        self.get(name).filter(|(_, set)| set.eq_ignore_ascii_case(value)).map(|(line, _)| line)
    }
}

/// Looks through a file for what phones are known to stumble over, in the order of its lines. At most a hundred findings.
///
/// A file without an error can be given to a phone; warnings and notes name what it does then and may not be meant.
#[must_use]
pub fn lint(settings: Settings<'_>) -> Vec<Finding> {
    let mut found = Found::default();
    if let Some(finding) = settings.unreadable() {
        return vec![finding];
    }
    let known = Known::new(settings);
    lines(settings, &mut found);
    jumps(settings, &mut found);
    list::check(settings, &known, &mut found);
    import::check(settings, &mut found);
    emergency(&known, &mut found);
    failover(&known, &mut found);
    values(&known, &mut found);
    found.sorted()
}

/// Lines that are not what they seem: comments that mean to be statements, quotes that do not pair, blanks without quotes, lists that go on in the next line (*template*,
/// its first page: a line that does not begin with `SET ` is a comment; a value with blanks needs straight double quotes).
fn lines(settings: Settings<'_>, found: &mut Found) {
    let names: Vec<&'static str> = LOOKED_AT.into_iter().chain([CONTROLLER_LIST]).collect();
    let behind = settings.lines().skip(1).map(Some).chain([None]);
    for (line, next) in settings.lines().zip(behind) {
        if let Some(name) = line.disguised(&names) {
            found.add(
                Warning,
                line.number,
                "no-statement",
                format!("{name}: the phone takes this line for a comment, since it does not begin with `SET `"),
                "begin the line with SET in capitals and one blank, with nothing before it",
            );
        }
        if let Statement::Set(assignment) | Statement::Add(assignment) = line.statement {
            written(line, assignment, next, found);
        }
    }
}

/// How a value is written. The controller list and the credentials have stricter rules of their own.
fn written(line: Line<'_>, assignment: Assignment<'_>, next: Option<Line<'_>>, found: &mut Found) {
    if assignment.is(CONTROLLER_LIST) || CREDENTIALS.iter().any(|name| assignment.is(name)) {
        return;
    }
    let name = shown(assignment.name);
    match assignment.value() {
        Err(how) => found.add(Warning, line.number, "quotes", format!("{name}: {}", how.reason()), how.remedy()),
        Ok(value) if breaks_off(value, next) => {
            let Finding { reason, remedy, rule, .. } = broken_off(line.number);
            found.add(Warning, line.number, rule, format!("{name}: {reason}"), remedy);
        }
        Ok(super::Value::Plain(content)) if content.contains(&b' ') => found.add(
            Warning,
            line.number,
            "blank",
            format!("{name}: a blank stands in a value without quotes; what follows it may be lost"),
            "put the whole value between two straight double quotes (\")",
        ),
        Ok(_) => {}
    }
}

/// Which lines count is the phone's choice (*template*: IF, GOTO): what is said here holds for some phones and not for others.
fn jumps(settings: Settings<'_>, found: &mut Found) {
    if let Some(line) = settings.lines().find(|line| matches!(line.statement, Statement::If | Statement::Goto)) {
        found.add(
            Note,
            line.number,
            "jumps",
            "IF and GOTO decide which lines count: what a phone takes depends on its model and address",
            "nothing; every list of controllers in the file is looked at, of other parameters the last line",
        );
    }
}

/// Numbers that a phone dials without its user being logged in (*J100 guide*, guid-cecce7c4, "Administering emergency numbers"; *template* for SOFTKEY_CONFIGURATION of the
/// J129, in which 2 is the key; up to 100 more numbers: <https://www.easymanua.ls/avaya/jem24/manual/1058005?p=133>).
fn emergency(known: &Known<'_>, found: &mut Found) {
    const MORE: usize = 100;
    let number = |value: &[u8]| value.iter().all(|octet| octet.is_ascii_digit() || b"*#+".contains(octet));
    match known.get("PHNEMERGNUM") {
        None => found.add(
            Warning,
            None,
            "no-emergency-number",
            "PHNEMERGNUM is not set: the phone has no number for its Emerg key and dials none when nobody is logged in",
            "add `SET PHNEMERGNUM 112` (or 911, 999: the number of the place), and more of them in PHNMOREEMERGNUMS",
        ),
        Some((line, value)) if !number(value) => found.add(
            Warning,
            line,
            "emergency-number",
            format!("PHNEMERGNUM: {} is not one number", shown(value)),
            "write one number here, and more of them in PHNMOREEMERGNUMS, joined by commas",
        ),
        Some(_) => {}
    }
    if let Some((line, value)) = known.get("PHNMOREEMERGNUMS") {
        let numbers = value.split(|octet| *octet == b',');
        if numbers.clone().any(|each| each.is_empty() || !number(each)) || numbers.count() > MORE {
            found.add(
                Warning,
                line,
                "emergency-number",
                format!("PHNMOREEMERGNUMS: {} is not a list of at most {MORE} numbers", shown(value)),
                "write numbers joined by commas, without blanks",
            );
        }
    }
    for (name, when) in [("ENABLE_SHOW_EMERG_SK", "while it is registered"), ("ENABLE_SHOW_EMERG_SK_UNREG", "while it is not registered")] {
        if let Some(line) = known.line_of(name, b"0") {
            found.add(
                Note,
                line,
                "no-emergency-key",
                format!("{name} 0: the phone shows no Emerg key {when}"),
                "set it to 1 or 2 where users look for the key",
            );
        }
    }
    if let (Some("J129"), Some((line, keys))) = (known.model.as_deref(), known.get("SOFTKEY_CONFIGURATION"))
        && !keys.split(|octet| *octet == b',').any(|key| key.trim_ascii() == b"2")
    {
        found.add(
            Note,
            line,
            "no-emergency-key",
            "SOFTKEY_CONFIGURATION without 2: a J129 shows no Emerg key, even with PHNEMERGNUM",
            "put 2 among the three keys where users look for it",
        );
    }
}

/// How a phone finds its way to the gateway and back.
fn failover(known: &Known<'_>, found: &mut Found) {
    // Redundancy (FAILBACK_POLICY): admin waits for an administrator, auto looks for the first controller by itself.
    if let Some(line) = known.line_of("FAILBACK_POLICY", b"admin") {
        found.add(
            Warning,
            line,
            "failback",
            "FAILBACK_POLICY admin: the phone stays at the gateway when the cloud is back, until an administrator moves it",
            "set it to auto",
        );
    }
    // https://www.easymanua.ls/avaya/jem24/manual/1058005?p=179: proxies other than Avaya Aura's do not support simultaneous registration.
    if let Some(line) = known.line_of("SIPREGPROXYPOLICY", b"simultaneous") {
        found.add(
            Warning,
            line,
            "simultaneous",
            "SIPREGPROXYPOLICY simultaneous: the phone registers at the gateway all the time, and only Avaya Aura's proxies support that",
            "set it to alternate",
        );
    }
    // J100 guide, guid-3b43077e: the keep-alive is how a phone notices a connection that is gone without a word.
    if let Some(line) = known.line_of("TCP_KEEP_ALIVE_STATUS", b"0") {
        found.add(
            Warning,
            line,
            "keep-alive",
            "TCP_KEEP_ALIVE_STATUS 0: the phone notices a lost cloud only when a request of its own stays without an answer",
            "set it to 1, with TCP_KEEP_ALIVE_TIME 30",
        );
    }
    // Template and https://www.easymanua.ls/avaya/jem24/manual?p=168: a dual-stack phone takes this list instead, and names in it are ignored (J100 guide, guid-5f7f501c).
    if let Some((line, _)) = known.get("SIP_CONTROLLER_LIST_2") {
        found.add(
            Warning,
            line,
            "second-list",
            "SIP_CONTROLLER_LIST_2 is set: a phone with IPv4 and IPv6 takes it instead of SIP_CONTROLLER_LIST",
            "add the gateway's address to it by hand, or take the line out if the phones have IPv4 only",
        );
    }
    // Template: AUTH 1 restricts downloads to HTTPS and is undone by CLEAR only.
    if let Some(line) = known.line_of("AUTH", b"1") {
        found.add(
            Note,
            line,
            "https-only",
            "AUTH 1: from now on the phone takes files over HTTPS only, until it is cleared by hand",
            "nothing, if every file server has a certificate that the phone trusts",
        );
    }
}

/// Values outside of what a phone takes: *redundancy* for the timers; *template* for the passwords (31 characters, the web administrator's at least 8, 27238 as delivered)
/// and for SIPDOMAIN (255 characters).
fn values(known: &Known<'_>, found: &mut Found) {
    const SECONDS: [(&str, RangeInclusive<u32>); 5] = [
        ("CONTROLLER_SEARCH_INTERVAL", 4..=3600),
        ("FAST_RESPONSE_TIMEOUT", 0..=32),
        ("RECOVERYREGISTERWAIT", 10..=36000),
        ("REGISTERWAIT", 30..=86400),
        ("WAIT_FOR_REGISTRATION_TIMER", 4..=3600),
    ];
    for (name, range) in SECONDS {
        if let Some((line, value)) = known.get(name)
            && !std::str::from_utf8(value).is_ok_and(|value| value.parse().is_ok_and(|seconds: u32| range.contains(&seconds)))
        {
            let reason = format!("{name}: {} is not a number of seconds from {} to {}", shown(value), range.start(), range.end());
            found.add(Warning, line, "range", reason, "write a number in this range");
        }
    }
    if let Some((line, value)) = known.get("SIPDOMAIN")
        && value.len() > SETTINGS_VALUE
    {
        let reason = format!("SIPDOMAIN has {} characters; a phone takes {SETTINGS_VALUE}", value.len());
        found.add(Warning, line, "too-long", reason, "write a shorter domain");
    }
    if let Some((line, value)) = known.get("FORCE_SIP_PASSWORD")
        && value.len() > 31
        && value.len() <= SETTINGS_VALUE
    {
        let reason = format!("FORCE_SIP_PASSWORD has {} characters; J100 phones take 31", value.len());
        found.add(Warning, line, "too-long", reason, "give the endpoint a shorter password, here and in the directory");
    }
    if let Some((line, value)) = known.get("FORCE_WEB_ADMIN_PASSWORD")
        && (value == b"27238" || !(8..=31).contains(&value.len()))
    {
        found.add(
            Warning,
            line,
            "web-password",
            "FORCE_WEB_ADMIN_PASSWORD is the one phones are delivered with, or not of 8 to 31 characters",
            "choose another: whoever opens the phone's web page reads its SIP password in the exported file",
        );
    }
}
