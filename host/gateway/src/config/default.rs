//! The configuration of a first start: loopback, a few demonstration extensions, passwords that nobody else has.

use crate::data::{self, DataFolder};
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

const TEMPLATE: &str = include_str!("default.toml");
/// Stands in the template wherever a password belongs.
const PASSWORD: &str = "{password}";

/// The configuration in the data folder, written there when it is not (its owner only may read it: it holds the passwords of the
/// demonstration extensions).
///
/// # Errors
/// When the data folder cannot be written.
pub fn file(data: &DataFolder) -> anyhow::Result<PathBuf> {
    let file = data.config();
    if !file.exists() {
        data::write_private(&file, text()?.as_bytes())?;
    }
    Ok(file)
}

/// The text of a first configuration, with fresh passwords.
///
/// # Errors
/// When the system has no random numbers.
pub fn text() -> anyhow::Result<String> {
    let mut text = String::with_capacity(TEMPLATE.len() + 256);
    let mut parts = TEMPLATE.split(PASSWORD).peekable();
    while let Some(part) = parts.next() {
        text.push_str(part);
        if parts.peek().is_some() {
            text.push_str(&password()?);
        }
    }
    Ok(text)
}

/// Sixteen letters and digits that are told apart on a telephone's display: 80 bits.
///
/// # Errors
/// When the system has no random numbers.
pub fn password() -> anyhow::Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes = data::random_bytes()?;
    Ok(bytes.iter().take(16).filter_map(|b| LETTERS.get(usize::from(b % 32))).map(|b| char::from(*b)).collect())
}

/// A phone's account with its password in clear, as only the configuration file has it.
pub struct Account {
    /// What others dial.
    pub extension: String,
    /// Digest user.
    pub username: String,
    /// Digest password.
    pub password: String,
    /// Display name.
    pub name: String,
}

/// The accounts of a valid configuration file that a demonstration can use: enabled endpoints whose password stands there in clear.
///
/// # Errors
/// When the file cannot be read.
pub fn accounts(file: &Path) -> anyhow::Result<Vec<Account>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let (root, _) = DeTable::parse_recoverable(&text);
    let Some(DeValue::Array(endpoints)) = root.get_ref().get("endpoint").map(toml::Spanned::get_ref) else { return Ok(Vec::new()) };
    let account = |endpoint: &DeValue<'_>| -> Option<Account> {
        let DeValue::Table(table) = endpoint else { return None };
        let text = |key: &str| match table.get(key).map(toml::Spanned::get_ref) {
            Some(DeValue::String(text)) => Some(text.clone().into_owned()),
            _ => None,
        };
        let disabled = matches!(table.get("enabled").map(toml::Spanned::get_ref), Some(DeValue::Boolean(false)));
        let extension = text("extension")?;
        let account = Account {
            name: text("name").unwrap_or_else(|| extension.clone()),
            username: text("username")?,
            password: text("password")?,
            extension,
        };
        (!disabled).then_some(account)
    };
    Ok(endpoints.iter().filter_map(|e| account(e.get_ref())).collect())
}
