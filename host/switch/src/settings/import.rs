//! What the directory takes out of a phone's settings file.

use super::{Assignment, Finding, Found, Settings, Severity, Severity::Error, Statement, Value};
use crate::limits::SETTINGS_VALUE;
use std::fmt;

/// Digest user name: the endpoint.
pub const USERNAME: &str = "FORCE_SIP_USERNAME";
/// Digest password: the secret.
pub const PASSWORD: &str = "FORCE_SIP_PASSWORD";
/// What stands before the @ in the phone's address of record: the user.
pub const EXTENSION: &str = "FORCE_SIP_EXTENSION";

/// The three, which log a phone in without its user, and what each is.
pub(super) const CREDENTIALS: [&str; 3] = [USERNAME, PASSWORD, EXTENSION];

/// J100 phones (the template of 2022 lists them).
const MODELS: [&str; 6] = ["J129", "J139", "J159", "J169", "J179", "J189"];

/// What a settings file says about its phone. All three names may differ from each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Imported {
    /// Digest user name (`FORCE_SIP_USERNAME`): the endpoint's.
    pub username: String,
    /// Digest password (`FORCE_SIP_PASSWORD`).
    pub password: Password,
    /// The user's extension (`FORCE_SIP_EXTENSION`), which the phone registers.
    pub extension: String,
    /// What the file's own lines say about the phone; [`Phone::of_name`] tells what its name says.
    pub phone: Phone,
}

/// A password out of a file. Neither `Debug` nor a finding shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(String);

impl Password {
    /// The password in clear, to make a digest of.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// Which phone a file belongs to, as far as it tells.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Phone {
    /// Hardware address, twelve lower-case hexadecimal digits.
    pub mac: Option<String>,
    /// `J179`.
    pub model: Option<String>,
}

impl Phone {
    /// What a file's or folder's name tells: `001b4f0a1b2c.txt`, `00-1B-4F-0A-1B-2C J179/ACO_J1xx_Persistsettings.txt`. Two different addresses or models tell nothing. Twelve
    /// decimal digits in a row are no address: they may as well be a number.
    #[must_use]
    pub fn of_name(name: &str) -> Self {
        let mut told = Told::default();
        told.mac(name.as_bytes());
        told.model(name.as_bytes());
        told.phone()
    }

    /// What the two tell together; where they contradict each other, nothing.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let agreed = |one: Option<String>, two: Option<String>| match (one, two) {
            (Some(one), Some(two)) => (one == two).then_some(one),
            (one, two) => one.or(two),
        };
        Self { mac: agreed(self.mac, other.mac), model: agreed(self.model, other.model) }
    }

    /// What lines tell that speak of a MAC or model: `SET MACADDR ...`, `## Model: J179`. `IF $MODEL4 SEQ J129 ...` says nothing about the phone at hand.
    pub(super) fn of_lines(settings: Settings<'_>) -> Self {
        let mut told = Told::default();
        for line in settings.lines() {
            let about = match line.statement {
                Statement::Set(assignment) => assignment.name,
                Statement::Comment | Statement::Label => line.text,
                _ => continue,
            };
            if mentions(about, b"MAC") {
                told.mac(line.text);
            }
            if mentions(about, b"MODEL") {
                told.model(line.text);
            }
        }
        told.phone()
    }
}

/// Addresses and models that were found: one, or so many that they tell nothing.
#[derive(Default)]
struct Told {
    mac: Once,
    model: Once,
}

#[derive(Default)]
enum Once {
    #[default]
    None,
    One(String),
    Several,
}

impl Once {
    fn tell(&mut self, what: String) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(what),
            Self::One(before) if before == what => Self::One(before),
            _ => Self::Several,
        };
    }

    fn only(self) -> Option<String> {
        if let Self::One(only) = self { Some(only) } else { None }
    }
}

impl Told {
    fn mac(&mut self, text: &[u8]) {
        for word in starts(text) {
            let grouped = (word.get(2)).filter(|octet| matches!(octet, b':' | b'-')).and_then(|separator| groups(word, *separator));
            if let Some((mac, length)) = grouped.or_else(|| run(word))
                && word.get(length).is_none_or(|octet| !octet.is_ascii_alphanumeric())
            {
                self.mac.tell(mac);
            }
        }
    }

    fn model(&mut self, text: &[u8]) {
        for word in starts(text) {
            let (Some(name), behind) = (word.get(..4), word.get(4)) else { continue };
            if let Some(model) = MODELS.iter().find(|model| name.eq_ignore_ascii_case(model.as_bytes()))
                && behind.is_none_or(|octet| !octet.is_ascii_alphanumeric())
            {
                self.model.tell((*model).to_owned());
            }
        }
    }

    fn phone(self) -> Phone {
        Phone { mac: self.mac.only(), model: self.model.only() }
    }
}

/// The rest of the text from each place where a word begins.
fn starts(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut inside = false;
    text.iter().enumerate().filter_map(move |(at, octet)| {
        let begins = octet.is_ascii_alphanumeric() && !inside;
        inside = octet.is_ascii_alphanumeric();
        begins.then(|| text.split_at(at).1)
    })
}

/// `00:1b:4f:0a:1b:2c` and its length.
fn groups(word: &[u8], separator: u8) -> Option<(String, usize)> {
    let written = word.get(..17)?;
    let pairs: Vec<&[u8]> = written.split(|octet| *octet == separator).collect();
    (pairs.len() == 6 && pairs.iter().all(|pair| pair.len() == 2)).then(|| hexadecimal(&pairs.concat()))?.map(|mac| (mac, 17))
}

/// `001b4f0a1b2c` and its length.
fn run(word: &[u8]) -> Option<(String, usize)> {
    let written = word.get(..12)?;
    let number = written.iter().all(u8::is_ascii_digit);
    hexadecimal(written).filter(|_| !number).map(|mac| (mac, 12))
}

fn hexadecimal(digits: &[u8]) -> Option<String> {
    digits.iter().all(u8::is_ascii_hexdigit).then(|| digits.iter().map(|digit| char::from(digit.to_ascii_lowercase())).collect())
}

fn mentions(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|part| part.eq_ignore_ascii_case(what))
}

/// Reads what the directory needs: `FORCE_SIP_USERNAME` is the endpoint, `FORCE_SIP_PASSWORD` its secret, `FORCE_SIP_EXTENSION` the user (Avaya, "Using IP Office as an ACO
/// Persistent Gateway", issue 1, page 9).
///
/// # Errors
/// Everything that keeps the file from being imported, each with its line and what to do: a parameter that is missing, empty, set twice to different values, appended
/// to, in quotes that do not pair, with blanks and no quotes, longer than 255 characters, no UTF-8, or with control characters; a file that is no text, or too large.
pub fn read(octets: &[u8]) -> Result<Imported, Vec<Finding>> {
    let settings = Settings::new(octets).map_err(|finding| vec![finding])?;
    let mut found = Found::default();
    if let Some(finding) = settings.unreadable() {
        return Err(vec![finding]);
    }
    let [username, password, extension] = CREDENTIALS.map(|name| parameter(settings, name, &mut found));
    match (username, password, extension) {
        (Some(username), Some(password), Some(extension)) if found.0.is_empty() => {
            Ok(Imported { username, password: Password(password), extension, phone: Phone::of_lines(settings) })
        }
        _ => Err(found.sorted()),
    }
}

/// What is wrong with the credentials; missing ones are a note when none of the three is there, since such a file is not meant to be imported.
pub(super) fn check(settings: Settings<'_>, found: &mut Found) {
    let mut own = Found::default();
    let read = CREDENTIALS.map(|name| parameter(settings, name, &mut own).is_some());
    let none = !read.contains(&true) && own.0.iter().all(|finding| finding.rule == "missing" && finding.line.is_none());
    if none {
        found.add(
            Severity::Note,
            None,
            "no-credentials",
            "the file logs nobody in (no FORCE_SIP_USERNAME, FORCE_SIP_PASSWORD, FORCE_SIP_EXTENSION): no endpoint can be made of it",
            "nothing, unless it shall be imported: then export it from a phone that is logged in",
        );
        return;
    }
    own.0.into_iter().for_each(|finding| found.push(finding));
}

/// The one value of a parameter.
fn parameter(settings: Settings<'_>, name: &'static str, found: &mut Found) -> Option<String> {
    let mut first: Option<(usize, &[u8])> = None;
    let mut disguised = None;
    let mistakes = found.0.len();
    for line in settings.lines() {
        match line.statement {
            Statement::Set(assignment) if assignment.is(name) => match (value(assignment), first) {
                (Err((rule, reason, remedy)), _) => found.add(Error, line.number, rule, format!("{name}: {reason}"), remedy),
                (Ok(value), None) => first = Some((line.number, value)),
                (Ok(value), Some((before, other))) if value != other => found.add(
                    Error,
                    line.number,
                    "set-twice",
                    format!("{name} has another value here than in line {before}"),
                    "keep the line that is true, and take the other out",
                ),
                (Ok(_), Some(_)) => {}
            },
            Statement::Add(assignment) if assignment.is(name) => {
                found.add(
                    Error,
                    line.number,
                    "appended",
                    format!("ADD appends to {name}: its value cannot be told"),
                    "write it as one SET line",
                );
            }
            _ if disguised.is_none() && line.disguised(&[name]).is_some() => disguised = Some(line.number),
            _ => {}
        }
    }
    let none = first.is_none() && found.0.len() == mistakes;
    match disguised {
        Some(line) if none => found.add(
            Error,
            line,
            "missing",
            format!("{name} is missing: this line is a comment, since it does not begin with `SET `"),
            "begin the line with SET in capitals and one blank, with nothing before it",
        ),
        None if none => found.add(
            Error,
            None,
            "missing",
            format!("the file has no line `SET {name}`"),
            "export the file from a phone that is logged in, or write the line",
        ),
        _ => {}
    }
    let (line, value) = first?;
    let Ok(text) = std::str::from_utf8(value) else {
        found.add(
            Error,
            line,
            "encoding",
            format!("{name} is not written in UTF-8"),
            "save the file in UTF-8, or take letters without accents",
        );
        return None;
    };
    Some(text.to_owned())
}

/// The value of a credential as it stands, or rule, reason and remedy.
fn value(assignment: Assignment<'_>) -> Result<&[u8], (&'static str, String, &'static str)> {
    let value = assignment.value().map_err(|how| ("quotes", how.reason().to_owned(), how.remedy()))?;
    let content = value.content();
    if content.is_empty() {
        return Err(("empty", "the value is empty".to_owned(), "export the file from a phone that is logged in, or write the value"));
    }
    if content.len() > SETTINGS_VALUE {
        let reason = format!("{} characters are more than a phone takes ({SETTINGS_VALUE})", content.len());
        return Err(("too-long", reason, "write a shorter value"));
    }
    if content.iter().any(u8::is_ascii_control) {
        return Err((
            "control-character",
            "the value holds a control character".to_owned(),
            "write the value anew, in an editor for plain text",
        ));
    }
    if matches!(value, Value::Plain(_)) && content.contains(&b' ') {
        let remedy = "put the whole value between two straight double quotes (\"), or take what follows it away";
        return Err(("blank", "a blank stands in a value without quotes".to_owned(), remedy));
    }
    Ok(content)
}
