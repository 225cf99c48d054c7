//! What may stand in a record of the store, and what must stand in the configuration for it.

use super::{
    Directory,
    record::{Assigned, EndpointFields, EndpointRecord, Kind, Secret, UserFields, UserRecord},
};
use crate::{
    emergency::classify_number,
    facts::CallKind,
    limits::kept::{KEYS, NAME, NUMBERS, SETTINGS, USERS, WORD},
};

/// One thing that is wrong, where, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fault {
    pub(super) at: String,
    pub(super) form: bool,
    pub(super) reason: String,
    pub(super) remedy: String,
}

/// What this site cannot have; `at` is a JSON pointer into the fields.
pub(super) fn fault(at: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault { at: at.into(), form: false, reason: reason.into(), remedy: remedy.into() }
}

/// What no site can have.
pub(super) fn malformed(at: impl Into<String>, reason: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault { form: true, ..fault(at, reason, remedy) }
}

/// A hardware address in any usual way of writing, as twelve lower-case hexadecimal digits.
#[must_use]
pub fn read_mac(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect::<String>().to_ascii_lowercase();
    let separators = text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '-' | '.'));
    (digits.len() == 12 && separators).then_some(digits)
}

/// Whether a phone can dial it.
#[must_use]
pub(super) fn dialled(text: &str) -> bool {
    (1..=WORD).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.!~*'+#".contains(&b))
}

/// What is wrong with the id of something new.
pub(super) fn id(id: &str) -> Option<Fault> {
    // Whoever writes `..` into a path means another place.
    let fits = id.starts_with(|c: char| c.is_ascii_alphanumeric())
        && id.len() <= WORD
        && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    (!fits).then(|| {
        malformed(
            "/id",
            format!("`{}` is not an id", shown(id)),
            format!("begin with a letter or digit, and use at most {WORD} letters, digits and - _ . only"),
        )
    })
}

/// What was written, short enough for a message.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(40).flat_map(char::escape_debug).collect()
}

/// A name for people: anything that can be shown in one line.
fn name(at: &str, what: &str, text: &str, faults: &mut Vec<Fault>) -> String {
    if longer(text, NAME) || text.chars().any(char::is_control) {
        let reason = format!("the {what} `{}` cannot be shown", shown(text));
        faults.push(malformed(at, reason, format!("use at most {NAME} characters in one line")));
    }
    text.to_owned()
}

/// Whether a text has more characters.
fn longer(text: &str, most: usize) -> bool {
    text.len() > most && text.chars().count() > most
}

/// A word that may be missing.
pub(super) fn word(at: &str, what: &str, text: &str, faults: &mut Vec<Fault>) -> Option<String> {
    if longer(text, WORD) || text.chars().any(char::is_control) {
        let reason = format!("the {what} `{}` is too long or cannot be shown", shown(text));
        faults.push(malformed(at, reason, format!("use at most {WORD} characters")));
    }
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// A name that must stand in the configuration.
fn known<'a>(
    at: &str,
    what: &str,
    section: &str,
    text: &str,
    names: impl Iterator<Item = &'a str>,
    faults: &mut Vec<Fault>,
) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let names: Vec<&str> = names.collect();
    if !names.contains(&text) {
        // As many as a line holds.
        let some = names.iter().take(10).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let there = if some.is_empty() { "there is none".to_owned() } else { format!("there are {some}") };
        let reason = format!("there is no {what} `{}`", shown(text));
        faults.push(fault(at, reason, format!("{there}; {section} of the configuration adds one")));
    }
    Some(text.to_owned())
}

/// Gives an endpoint new values; `new` when it is not there yet. Says everything that is wrong with them.
pub(super) fn set_endpoint(record: &mut EndpointRecord, fields: &EndpointFields, new: bool, file: &Directory, faults: &mut Vec<Fault>) {
    let EndpointFields {
        kind,
        model,
        mac,
        serial,
        username,
        password,
        sealed,
        name: label,
        enabled,
        location,
        licence,
        keys,
        settings,
        users,
    } = fields;
    record.kind = kind.unwrap_or(if new { Kind::default() } else { record.kind });
    record.enabled = enabled.unwrap_or(new || record.enabled);
    if let Some(text) = model {
        record.model = word("/model", "model", text, faults);
    }
    if let Some(text) = serial {
        record.serial = word("/serial", "serial number", text, faults);
    }
    if let Some(text) = mac {
        record.mac = read_mac(text);
        if record.mac.is_none() && !text.is_empty() {
            faults.push(malformed(
                "/mac",
                format!("`{}` is not a hardware address", shown(text)),
                "write twelve hexadecimal digits, e.g. 00:1b:4f:00:00:01",
            ));
        }
    }
    if let Some(text) = label {
        record.name = name("/name", "name", text, faults);
    }
    if let Some(text) = location {
        record.location = known("/location", "location", "[[location]]", text, file.locations.iter().map(|l| l.name.as_str()), faults);
    }
    if let Some(text) = licence {
        record.licence = known("/licence", "licence pool", "[[licence]]", text, file.pools.iter().map(|p| p.pool.as_str()), faults);
    }
    if let Some(keys) = keys {
        if keys.len() > KEYS {
            faults.push(malformed("/keys", format!("{} keys", keys.len()), format!("use at most {KEYS}")));
        }
        for (place, key) in keys.iter().enumerate() {
            let at = format!("/keys/{place}");
            if !key.number.is_empty() && !dialled(&key.number) {
                faults.push(malformed(
                    at.clone(),
                    format!("the key `{}` has a number that a phone cannot dial", shown(&key.to_string())),
                    "use digits, letters and - _ . * # + only",
                ));
            }
            name(&at, "key's label", &key.label, faults);
        }
        record.keys.clone_from(keys);
    }
    if let Some(text) = settings {
        if longer(text, SETTINGS) || text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            let remedy = format!("use at most {SETTINGS} characters of plain lines");
            faults.push(malformed("/settings", "the settings text is too long or no text", remedy));
        }
        record.settings.clone_from(text);
    }
    if let Some(users) = users {
        set_users(record, users, faults);
    }
    let password = password.as_ref().map(|password| (password.0.as_str(), sealed.as_deref()));
    set_account(record, username.as_deref(), password, new, file, faults);
}

fn set_users(record: &mut EndpointRecord, users: &[Assigned], faults: &mut Vec<Fault>) {
    for (place, assigned) in users.iter().enumerate() {
        if users.iter().take(place).any(|other| other.user == assigned.user) {
            faults.push(fault(format!("/users/{place}"), format!("the user `{}` is named twice", shown(&assigned.user)), "name each once"));
        }
    }
    record.users = users.to_vec();
    too_many_users(record, faults);
}

/// Whether an endpoint has more users than it may have.
pub(super) fn too_many_users(record: &EndpointRecord, faults: &mut Vec<Fault>) {
    if record.users.len() > USERS {
        let reason = format!("endpoint `{}` would have {} users", record.id, record.users.len());
        faults.push(malformed("/users", reason, format!("assign at most {USERS}")));
    }
}

/// Username and password, which belong together: the hashes of the password are made with the username (RFC 7616 3.4.2). Beside the password stands what it was sealed to.
fn set_account(
    record: &mut EndpointRecord,
    username: Option<&str>,
    password: Option<(&str, Option<&str>)>,
    new: bool,
    file: &Directory,
    faults: &mut Vec<Fault>,
) {
    let own = record.id.clone();
    if let Some(username) = username.filter(|username| !(new && username.is_empty())).or_else(|| new.then_some(own.as_str())) {
        // RFC 7616 3.4: a colon would end it.
        let fits = (1..=WORD).contains(&username.len()) && username.bytes().all(|b| b.is_ascii_graphic() && !b"\":\\<>@".contains(&b));
        if !fits {
            faults.push(malformed(
                "/username",
                format!("`{}` is not a username", shown(username)),
                format!("use at most {WORD} letters, digits and marks, without blanks and \" : \\ < > @"),
            ));
        }
        if record.username != username && password.is_none() && !new {
            faults.push(fault(
                "/password",
                "a new username needs a password",
                "give one, or have one made: the one that is kept is hashed with the username",
            ));
        }
        username.clone_into(&mut record.username);
    }
    match password {
        Some((password, _)) if password.is_empty() || longer(password, NAME) || password.chars().any(char::is_control) => {
            let remedy = format!("use at most {NAME} characters, or have one made");
            faults.push(malformed("/password", "the password is empty, too long or cannot be typed", remedy));
        }
        Some((password, sealed)) => {
            let secret = Secret::new(&record.username, &file.domain, password, sealed);
            // The same password is as good sealed as before.
            if sealed.is_some() || !record.secret.proves_as(&secret) {
                record.secret = secret;
            }
        }
        None if new => faults.push(fault("/password", "a new endpoint needs a password", "give one, or have one made")),
        None => {}
    }
}

/// Gives a user new values; `new` when it is not there yet. Says everything that is wrong with them.
pub(super) fn set_user(record: &mut UserRecord, fields: &UserFields, new: bool, file: &Directory, faults: &mut Vec<Fault>) {
    let UserFields { name: label, extension, numbers, enabled, .. } = fields;
    record.enabled = enabled.unwrap_or(new || record.enabled);
    if let Some(text) = label {
        record.name = name("/name", "name", text, faults);
    }
    if let Some(text) = extension.as_deref().or_else(|| new.then_some("")) {
        faults.extend(extension_fault(text, file));
        text.clone_into(&mut record.extension);
    }
    if let Some(numbers) = numbers {
        if numbers.len() > NUMBERS {
            faults.push(malformed("/numbers", format!("{} numbers", numbers.len()), format!("use at most {NUMBERS}")));
        }
        for (place, number) in numbers.iter().enumerate() {
            let at = || format!("/numbers/{place}");
            let digits = number.strip_prefix('+').unwrap_or(number);
            if !(1..=WORD).contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit() || b"*#".contains(&b)) {
                faults.push(malformed(
                    at(),
                    format!("`{}` is not a number", shown(number)),
                    "write it as trunks present it, e.g. +442030001234",
                ));
            }
            if numbers.iter().take(place).any(|other| other == number) {
                faults.push(fault(at(), format!("the number `{}` is named twice", shown(number)), "name each once"));
            }
        }
        record.numbers.clone_from(numbers);
    }
    record.calls.set(fields, &record.extension, file, faults);
}

/// Why nobody could be reached at an extension.
fn extension_fault(extension: &str, file: &Directory) -> Option<Fault> {
    if !dialled(extension) {
        let reason = format!("`{}` is not an extension", shown(extension));
        return Some(malformed("/extension", reason, format!("use at most {WORD} digits, letters and - _ . * # + only")));
    }
    let other = "choose another extension";
    if classify_number(extension.as_bytes(), file).0 != CallKind::Normal {
        return Some(fault("/extension", format!("`{extension}` is an emergency number: calls to it never reach a phone"), other));
    }
    if file.park.numbers.contains(extension) {
        return Some(fault("/extension", format!("`{extension}` is a park slot of the configuration file"), other));
    }
    let pickup = &file.features.pickup;
    (!pickup.is_empty() && extension.starts_with(pickup.as_str()))
        .then(|| fault("/extension", format!("`{extension}` begins with the pickup code `{pickup}`: nobody could call it"), other))
}
