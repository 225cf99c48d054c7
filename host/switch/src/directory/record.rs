//! What the store keeps of an endpoint and of a user, and the edits that change it.

use super::{calling::CallSettings, roster::Claim};
use serde::{Deserialize, Serialize};
use sip::digest::Ha1;
use std::{borrow::Cow, fmt, str::FromStr};

/// What an endpoint is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A telephone on a desk.
    #[default]
    DeskPhone,
    /// A program.
    Softphone,
    /// A telephone of a room.
    ConferenceRoom,
}

impl Kind {
    /// As it is written.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::DeskPhone => "desk-phone",
            Self::Softphone => "softphone",
            Self::ConferenceRoom => "conference-room",
        }
    }
}

impl FromStr for Kind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::DeskPhone, Self::Softphone, Self::ConferenceRoom];
        all.into_iter()
            .find(|kind| kind.token() == text)
            .ok_or_else(|| format!("`{text}` is not `desk-phone`, `softphone` or `conference-room`"))
    }
}

/// What a key of a phone does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyKind {
    /// A line of the phone's own.
    Line,
    /// Dials a number.
    SpeedDial,
    /// Shows whether an extension is busy, and dials it.
    BusyLamp,
}

impl KeyKind {
    const ALL: [Self; 3] = [Self::Line, Self::SpeedDial, Self::BusyLamp];

    /// As it is written.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::Line => "line",
            Self::SpeedDial => "speed-dial",
            Self::BusyLamp => "busy-lamp",
        }
    }
}

/// One key of a phone. Written `line`, `speed-dial:1002` or `busy-lamp:1003=Workshop`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LineKey {
    /// What it does.
    pub kind: KeyKind,
    /// Whom it dials or shows; empty for a line.
    pub number: String,
    /// What stands beside it; empty: the phone's own choice.
    pub label: String,
}

impl fmt::Display for LineKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.token())?;
        if !self.number.is_empty() {
            write!(f, ":{}", self.number)?;
        }
        if !self.label.is_empty() {
            write!(f, "={}", self.label)?;
        }
        Ok(())
    }
}

impl FromStr for LineKey {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (what, label) = text.split_once('=').unwrap_or((text, ""));
        let (kind, number) = what.split_once(':').unwrap_or((what, ""));
        let Some(kind) = KeyKind::ALL.into_iter().find(|known| known.token() == kind) else {
            return Err(format!("`{kind}` is not `line`, `speed-dial` or `busy-lamp`"));
        };
        if (kind == KeyKind::Line) != number.is_empty() {
            return Err(match kind {
                KeyKind::Line => "a line has no number".to_owned(),
                KeyKind::SpeedDial | KeyKind::BusyLamp => format!("a {} needs a number, e.g. `{}:1002`", kind.token(), kind.token()),
            });
        }
        Ok(Self { kind, number: number.to_owned(), label: label.to_owned() })
    }
}

impl TryFrom<String> for LineKey {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LineKey> for String {
    fn from(key: LineKey) -> Self {
        key.to_string()
    }
}

/// A password, kept so that digests can be checked: the hashes of RFC 7616 3.4.2 `A1`, good for one realm only. Where phones fetch their settings, also sealed.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Secret {
    /// The realm that it was made for.
    pub realm: String,
    /// MD5, lower-case hexadecimal.
    pub md5: String,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// The password itself, sealed with a key that is not in the store, so that the phone can be told it; empty: it is kept as hashes only.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sealed: String,
}

impl Secret {
    /// Of a password in clear, and of what whoever has the key has made of it.
    #[must_use]
    pub fn new(username: &str, realm: &str, password: &str, sealed: Option<&str>) -> Self {
        let Ha1 { md5, sha256 } = Ha1::from_password(username, realm, password);
        Self {
            realm: realm.to_owned(),
            md5: md5.unwrap_or_default(),
            sha256: sha256.unwrap_or_default(),
            sealed: sealed.unwrap_or_default().to_owned(),
        }
    }

    /// Whether both prove the same.
    #[must_use]
    pub fn proves_as(&self, other: &Self) -> bool {
        (&self.realm, &self.md5, &self.sha256) == (&other.realm, &other.md5, &other.sha256)
    }
}

/// Without the hashes: whoever has them can register.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.realm)
    }
}

/// A password in clear, on its way to become a [`Secret`].
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// That an endpoint is a user's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assigned {
    /// The user's id.
    pub user: String,
    /// Whether it rings when the user is called.
    pub rings: bool,
}

/// An endpoint of the store. What is empty or `None` is not known.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// Unique among endpoints and users, never reused.
    pub id: String,
    /// What it is.
    pub kind: Kind,
    /// The maker's name for it.
    pub model: Option<String>,
    /// Hardware address, twelve lower-case hexadecimal digits.
    pub mac: Option<String>,
    /// Serial number.
    pub serial: Option<String>,
    /// Digest user.
    pub username: String,
    /// Its password, hashed.
    pub secret: Secret,
    /// Display name, while it has no user.
    pub name: String,
    /// A disabled endpoint may not register and calls emergency numbers only.
    pub enabled: bool,
    /// Location by name.
    pub location: Option<String>,
    /// Licence pool by name.
    pub licence: Option<String>,
    /// Its keys, from the top.
    pub keys: Vec<LineKey>,
    /// Further lines for its settings file.
    pub settings: String,
    /// With what its phone may fetch its settings, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Token>,
    /// Whose it is; it calls as the first. Kept beside the record.
    #[serde(skip)]
    pub users: Vec<Assigned>,
}

/// A one-time token, as it is kept.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Token {
    /// SHA-256 of it, lower-case hexadecimal.
    pub hash: String,
    /// Until when it is good, in seconds since 1970.
    pub until: u64,
}

/// A user: somebody with an extension.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct UserRecord {
    /// Unique among endpoints and users.
    pub id: String,
    /// Display name.
    pub name: String,
    /// What others dial.
    pub extension: String,
    /// Direct numbers, in the form in which trunks present them; the first is shown.
    pub numbers: Vec<String>,
    /// Nobody reaches a disabled user.
    pub enabled: bool,
    /// What becomes of the user's calls.
    #[serde(default, skip_serializing_if = "CallSettings::is_plain")]
    pub calls: CallSettings,
}

impl EndpointRecord {
    /// What nobody else may have.
    pub fn claims(&self) -> impl Iterator<Item = Claim<'_>> {
        let username = Claim::Username(Cow::Borrowed(&self.username));
        let mac = self.mac.as_deref().map(|mac| Claim::Mac(Cow::Borrowed(mac)));
        let serial = self.serial.as_deref().map(|serial| Claim::Serial(Cow::Borrowed(serial)));
        [Some(username), mac, serial].into_iter().flatten()
    }
}

impl UserRecord {
    /// What nobody else may have.
    pub fn claims(&self) -> impl Iterator<Item = Claim<'_>> {
        let numbers = self.numbers.iter().map(|number| Claim::Number(Cow::Borrowed(number)));
        std::iter::once(Claim::Extension(Cow::Borrowed(&self.extension))).chain(numbers)
    }

    /// The name that others see.
    #[must_use]
    pub fn shown(&self) -> &str {
        if self.name.is_empty() { &self.extension } else { &self.name }
    }
}

/// New values for some fields of an endpoint. An empty text takes away what may be missing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointFields {
    /// See [`EndpointRecord::kind`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// See [`EndpointRecord::model`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// See [`EndpointRecord::mac`]; in any usual way of writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// See [`EndpointRecord::serial`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// See [`EndpointRecord::username`]; a new one needs the password with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// A new password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Password>,
    /// The new password as [`Secret::sealed`] keeps it: the gateway's to make, nobody sends it.
    #[serde(skip)]
    pub sealed: Option<String>,
    /// See [`EndpointRecord::name`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`EndpointRecord::enabled`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// See [`EndpointRecord::location`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// See [`EndpointRecord::licence`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub licence: Option<String>,
    /// See [`EndpointRecord::keys`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<LineKey>>,
    /// See [`EndpointRecord::settings`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<String>,
    /// See [`EndpointRecord::users`]: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub users: Option<Vec<Assigned>>,
}

/// New values for some fields of a user. An empty text takes away what may be missing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UserFields {
    /// See [`UserRecord::name`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// See [`UserRecord::extension`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extension: Option<String>,
    /// See [`UserRecord::numbers`]: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub numbers: Option<Vec<String>>,
    /// See [`UserRecord::enabled`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// See [`CallSettings::ring_seconds`]; 0: as long as the site lets them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ring_seconds: Option<u32>,
    /// See [`CallSettings::forward_always`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_always: Option<String>,
    /// See [`CallSettings::forward_busy`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_busy: Option<String>,
    /// See [`CallSettings::forward_no_answer`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_no_answer: Option<String>,
    /// See [`CallSettings::forward_unreachable`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forward_unreachable: Option<String>,
    /// See [`CallSettings::dial_class`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dial_class: Option<String>,
}

/// Whether the one that an edit names is there already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Existing {
    /// It must not be: it is made.
    Not,
    /// It must be: it is changed.
    Must,
    /// It is made when it is not.
    May,
}

/// One change that somebody asks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "edit", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Edit {
    /// Makes or changes an endpoint.
    Endpoint {
        /// Its id.
        id: String,
        /// Whether it is there.
        existing: Existing,
        /// What it gets.
        fields: EndpointFields,
    },
    /// Makes or changes a user.
    User {
        /// Its id.
        id: String,
        /// Whether it is there.
        existing: Existing,
        /// What it gets.
        fields: UserFields,
    },
    /// Makes an endpoint a user's too.
    Assign {
        /// The endpoint's id.
        endpoint: String,
        /// The user's id.
        user: String,
        /// Whether it rings when the user is called.
        rings: bool,
    },
    /// Takes an endpoint from a user.
    Unassign {
        /// The endpoint's id.
        endpoint: String,
        /// The user's id.
        user: String,
    },
}
