//! An endpoint as the API reads and shows it.

use super::problem::Refusal;
use crate::manage::{self, EndpointRow, Happened};
use serde::{Deserialize, Serialize};
use switch::directory::record::{self, Edit, EndpointFields, Existing, LineKey, Password};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        RefOr, Schema,
        schema::{SchemaType, Type},
    },
};

/// What an endpoint is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = EndpointKind)]
pub enum Kind {
    /// A telephone on a desk.
    DeskPhone,
    /// A program.
    Softphone,
    /// A telephone of a room.
    ConferenceRoom,
}

impl From<record::Kind> for Kind {
    fn from(kind: record::Kind) -> Self {
        match kind {
            record::Kind::DeskPhone => Self::DeskPhone,
            record::Kind::Softphone => Self::Softphone,
            record::Kind::ConferenceRoom => Self::ConferenceRoom,
        }
    }
}

impl From<Kind> for record::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::DeskPhone => Self::DeskPhone,
            Kind::Softphone => Self::Softphone,
            Kind::ConferenceRoom => Self::ConferenceRoom,
        }
    }
}

/// Where something stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Stands {
    /// In the configuration file, where it is changed.
    File,
    /// In the store, where requests change it.
    Store,
}

impl From<manage::Stands> for Stands {
    fn from(stands: manage::Stands) -> Self {
        match stands {
            manage::Stands::File => Self::File,
            manage::Stands::Store => Self::Store,
        }
    }
}

/// A key of a phone: `line`, `speed-dial:1002` or `busy-lamp:1003=Workshop`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(
    pattern = r"^(line:?|(speed-dial|busy-lamp):[A-Za-z0-9_.!~*'+#-]{1,64})(=[^\u0000-\u001f\u007f-\u009f]{0,128})?$",
    example = "busy-lamp:1003=Workshop"
)]
pub struct Key(pub String);

/// That an endpoint is a user's.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AssignedUser {
    /// The user's id.
    #[schema(example = "alice")]
    pub user: String,
    /// Whether it rings when the user is called.
    #[serde(default = "yes")]
    pub rings: bool,
}

const fn yes() -> bool {
    true
}

/// An endpoint as it is set up. What is left out of a PUT has its default; what GET shows can be PUT.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"kind": "desk-phone", "mac": "00:1b:4f:00:00:07", "name": "Reception", "keys": ["line", "speed-dial:1002"]}))]
pub struct Endpoint {
    /// What it is; a desk phone by default.
    #[serde(default)]
    pub kind: Option<Kind>,
    /// The maker's name for it.
    #[serde(default)]
    #[schema(max_length = 64, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub model: Option<String>,
    /// Hardware address, in any usual way of writing; shown as twelve lower-case hexadecimal digits.
    #[serde(default)]
    #[schema(pattern = r"^([:.-]*([0-9A-Fa-f][:.-]*){12})?$")]
    pub mac: Option<String>,
    /// Serial number.
    #[serde(default)]
    #[schema(max_length = 64, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub serial: Option<String>,
    /// SIP username (digest); the id by default. A new one needs the password with it.
    #[serde(default)]
    #[schema(pattern = r"^[!#-9;=?A-\[\]-~]{0,64}$")]
    pub username: Option<String>,
    /// SIP password. It is never shown: what is kept are its hashes for the site's domain. Left out, the password stays; a new endpoint then gets one made, which only
    /// the answer to that request shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub password: Option<String>,
    /// Display name while it has no user.
    #[serde(default)]
    #[schema(max_length = 128, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub name: String,
    /// Whether it may register. A disabled one calls emergency numbers only, and disabling it ends its registrations.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// A location of the configuration.
    #[serde(default)]
    pub location: Option<String>,
    /// A licence pool of the configuration.
    #[serde(default)]
    pub licence: Option<String>,
    /// Its keys, from the top.
    #[serde(default)]
    #[schema(max_items = 128)]
    pub keys: Vec<Key>,
    /// Further lines of its settings file.
    #[serde(default)]
    #[schema(max_length = 16384, pattern = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$")]
    pub settings: String,
    /// Whose it is; it calls as the first. Each is named once.
    #[serde(default)]
    #[schema(max_items = 32)]
    pub users: Vec<AssignedUser>,
}

/// A change of single members of an endpoint (RFC 7396): `null` gives a member its default.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndpointPatch;

impl PartialSchema for EndpointPatch {
    fn schema() -> RefOr<Schema> {
        patch_of(Endpoint::schema(), "Changes of single members of an endpoint (RFC 7396); `null` gives a member its default.")
    }
}

impl ToSchema for EndpointPatch {}

/// The schema of merge patches of what `whole` describes: nothing must be there, anything may be null.
pub(super) fn patch_of(mut whole: RefOr<Schema>, what: &str) -> RefOr<Schema> {
    if let RefOr::T(Schema::Object(object)) = &mut whole {
        object.required.clear();
        object.description = Some(what.to_owned());
        object.example = None;
        for property in object.properties.values_mut() {
            let kind = match property {
                RefOr::T(Schema::Object(property)) => &mut property.schema_type,
                RefOr::T(Schema::Array(property)) => &mut property.schema_type,
                // A choice between null and something has it already.
                _ => continue,
            };
            if let SchemaType::Type(one) = kind {
                *kind = SchemaType::Array(vec![one.clone(), Type::Null]);
            }
        }
    }
    whole
}

impl Endpoint {
    pub(super) fn of(row: &EndpointRow) -> Self {
        Self {
            kind: row.kind.map(Kind::from),
            model: row.model.clone(),
            mac: row.mac.clone(),
            serial: row.serial.clone(),
            username: Some(row.username.clone()),
            password: None,
            name: row.own_name.clone(),
            enabled: row.enabled,
            location: row.location.clone(),
            licence: row.licence.clone(),
            keys: row.keys.iter().map(|key| Key(key.to_string())).collect(),
            settings: row.settings.clone(),
            users: row.users.iter().map(|a| AssignedUser { user: a.user.clone(), rings: a.rings }).collect(),
        }
    }

    /// As the edit that makes it so, whatever was before.
    pub(super) fn edit(self, id: &str) -> Result<Edit, Refusal> {
        if self.password.as_deref() == Some("") {
            let remedy = "leave it out: a new endpoint has one made, and POST .../password makes another";
            return Err(Refusal::body("/password", "the password is empty", remedy));
        }
        let key = |(place, key): (usize, &Key)| {
            let read = key.0.parse::<LineKey>();
            read.map_err(|why| Refusal::body(format!("/keys/{place}"), why, "write it like `busy-lamp:1003=Workshop`"))
        };
        let keys = self.keys.iter().enumerate().map(key).collect::<Result<_, _>>()?;
        let users = self.users.into_iter().map(|AssignedUser { user, rings }| record::Assigned { user, rings }).collect();
        let fields = EndpointFields {
            kind: Some(self.kind.map_or_else(record::Kind::default, Into::into)),
            model: Some(self.model.unwrap_or_default()),
            mac: Some(self.mac.unwrap_or_default()),
            serial: Some(self.serial.unwrap_or_default()),
            username: self.username.filter(|username| !username.is_empty()).or_else(|| Some(id.to_owned())),
            password: self.password.map(Password),
            sealed: None,
            name: Some(self.name),
            enabled: Some(self.enabled),
            location: Some(self.location.unwrap_or_default()),
            licence: Some(self.licence.unwrap_or_default()),
            keys: Some(keys),
            settings: Some(self.settings),
            users: Some(users),
        };
        Ok(Edit::Endpoint { id: id.to_owned(), existing: Existing::May, fields })
    }
}

/// Which endpoints are wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EndpointFilter {
    /// Only those behind this id: `next` of the part before.
    #[param(nullable = false)]
    pub(super) after: Option<String>,
    /// As many at most; 100 by default. The gateway's limit `rest_page` shortens it.
    #[param(nullable = false, minimum = 1, maximum = 1000000)]
    pub(super) limit: Option<u32>,
    /// Only those that have this in their id, name, username, extension, model, hardware address or location, in any case.
    #[param(nullable = false)]
    find: Option<String>,
    /// Only those that may register, or may not.
    #[param(nullable = false)]
    enabled: Option<bool>,
    /// Only those that are registered, or are not.
    #[param(nullable = false)]
    registered: Option<bool>,
    /// Only those of this user.
    #[param(nullable = false)]
    user: Option<String>,
    /// Only those of this licence pool.
    #[param(nullable = false)]
    licence: Option<String>,
    /// Only those that stand there.
    #[param(nullable = false, inline)]
    stands: Option<Stands>,
}

impl EndpointFilter {
    pub(super) fn wants(&self, row: &EndpointRow) -> bool {
        let find = self.find.as_deref().unwrap_or_default();
        self.enabled.is_none_or(|enabled| row.enabled == enabled)
            && self.registered.is_none_or(|registered| row.registered == registered)
            && self.stands.is_none_or(|stands| Stands::from(row.stands) == stands)
            && self.user.as_ref().is_none_or(|user| row.users.iter().any(|assigned| assigned.user == *user))
            && self.licence.as_ref().is_none_or(|pool| row.licence.as_ref() == Some(pool))
            && manage::endpoint_has(row, find)
    }
}

/// An endpoint in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct EndpointItem {
    /// Its id.
    pub id: String,
    /// Its entity tag.
    pub etag: String,
    /// Where it stands.
    pub stands: Stands,
    /// How it is set up.
    pub endpoint: Endpoint,
    /// What others dial: that of its first user, or its own of the configuration file.
    pub extension: Option<String>,
    /// What others see.
    pub display_name: String,
    /// Whether it is registered.
    pub registered: bool,
    /// Why it is not in force, or cannot register.
    pub trouble: Option<String>,
}

/// A part of the list of endpoints, by id.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Endpoints {
    /// Endpoints.
    pub items: Vec<EndpointItem>,
    /// `after` of the next part; null: this was the last.
    pub next: Option<String>,
}

/// How an endpoint stands at this moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct EndpointStatus {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub stands: Stands,
    /// What others dial.
    pub extension: Option<String>,
    /// What others see.
    pub display_name: String,
    /// Whether it may register.
    pub enabled: bool,
    /// Whether it is registered.
    pub registered: bool,
    /// Where it is registered.
    pub bindings: Vec<Registration>,
    /// Why it is not in force, or cannot register.
    pub trouble: Option<String>,
}

/// A contact of a registered phone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct Registration {
    /// Where it is called.
    pub contact: String,
    /// What it says that it is.
    pub user_agent: String,
}

/// What became of something, newest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct History {
    /// Its latest entries.
    pub items: Vec<Happened>,
}

/// A password that was made.
#[derive(Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MadePassword {
    /// It is told this once; only its phone may be told it again.
    pub password: String,
}
