//! Passwords that phones are to be told: sealed with a key that lies in a file of its own, so that whoever gets hold of the store alone has hashes only.
//!
//! AES-256-GCM (`ring`). The nonce is made of the key and of all that is sealed (HMAC-SHA-256, as in a synthetic initialization vector): the same password of the same
//! endpoint seals to the same text, so that setting it twice changes nothing, and no two different ones ever share a nonce. A text is good for its endpoint and realm only.

use crate::data::{self, random_bytes};
use anyhow::{Context as _, ensure};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac,
};
use std::{fs, io::ErrorKind, os::unix::fs::MetadataExt as _, path::Path};

/// The key, and what is done with it.
pub struct Vault {
    seal: LessSafeKey,
    nonce: hmac::Key,
}

/// Without the key.
impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault")
    }
}

impl Vault {
    /// The vault whose key lies in `file`, which is made when it is not there, for its owner only.
    ///
    /// # Errors
    /// When the file cannot be read or made, is readable for others, or holds no key.
    pub fn open(file: &Path) -> anyhow::Result<Self> {
        let shown = file.display();
        let key = match fs::read(file) {
            Ok(octets) => read(file, &octets)?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let key = random_bytes()?;
                data::write_private(file, &key)?;
                tracing::info!(
                    "the key of the passwords that phones are told was made in {shown}; without it each of them must be set anew"
                );
                key
            }
            Err(error) => return Err(error).with_context(|| format!("the key file {shown} cannot be read")),
        };
        Self::new(&key)
    }

    /// Tries the key file, without making one: for `check`.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn try_file(file: &Path) -> anyhow::Result<()> {
        match fs::read(file) {
            Ok(octets) => read(file, &octets).map(|_| ()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error).with_context(|| format!("the key file {} cannot be read", file.display())),
        }
    }

    fn new(key: &[u8; 32]) -> anyhow::Result<Self> {
        // Two keys of one, each for its purpose.
        let whole = hmac::Key::new(hmac::HMAC_SHA256, key);
        let part = |purpose: &[u8]| hmac::sign(&whole, purpose);
        let seal = UnboundKey::new(&AES_256_GCM, part(b"holdfast provisioning: seal").as_ref());
        Ok(Self {
            seal: LessSafeKey::new(seal.ok().context("the key cannot be used")?),
            nonce: hmac::Key::new(hmac::HMAC_SHA256, part(b"holdfast provisioning: nonce").as_ref()),
        })
    }

    /// Seals the password of an endpoint, as lower-case hexadecimal.
    ///
    /// # Errors
    /// When the password is longer than the cipher can take, which no password is.
    pub fn seal(&self, endpoint: &str, realm: &str, password: &str) -> anyhow::Result<String> {
        let of = belonging(endpoint, realm);
        let mut context = hmac::Context::with_key(&self.nonce);
        context.update(&of);
        context.update(password.as_bytes());
        let mut nonce = [0; NONCE_LEN];
        nonce.iter_mut().zip(context.sign().as_ref()).for_each(|(place, octet)| *place = *octet);
        let mut text = password.as_bytes().to_vec();
        let sealed = self.seal.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&of), &mut text);
        sealed.ok().context("the password cannot be sealed")?;
        Ok(nonce.iter().chain(&text).map(|octet| format!("{octet:02x}")).collect())
    }

    /// What was sealed for this endpoint and realm; `None`: it was sealed with another key, for somebody else, or was damaged.
    #[must_use]
    pub fn open_sealed(&self, endpoint: &str, realm: &str, sealed: &str) -> Option<String> {
        let digit = |octet: &u8| char::from(*octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pair = |pair: &[u8]| match pair {
            [high, low] => Some(digit(high)? << 4 | digit(low)?),
            _ => None,
        };
        let octets: Vec<u8> = sealed.as_bytes().chunks(2).map(pair).collect::<Option<_>>()?;
        let (nonce, text) = octets.split_at_checked(NONCE_LEN)?;
        let mut text = text.to_vec();
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let opened = self.seal.open_in_place(nonce, Aad::from(belonging(endpoint, realm)), &mut text).ok()?;
        String::from_utf8(opened.to_vec()).ok()
    }
}

/// For whom something is sealed. The length keeps two fields from being read as two others.
fn belonging(endpoint: &str, realm: &str) -> Vec<u8> {
    format!("{}:{endpoint}{realm}\0", endpoint.len()).into_bytes()
}

fn read(file: &Path, octets: &[u8]) -> anyhow::Result<[u8; 32]> {
    let shown = file.display();
    let mode = fs::metadata(file).with_context(|| format!("the key file {shown} cannot be read"))?.mode();
    ensure!(mode & 0o077 == 0, "others than its owner may use the key file {shown}; `chmod 600 {shown}`");
    <[u8; 32]>::try_from(octets).ok().with_context(|| {
        format!("the key file {shown} is not 32 octets long; put the right one back, or remove it and set each password anew")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn what_is_sealed_is_opened_for_its_endpoint_and_realm_with_its_key_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("provision.key");
        let vault = Vault::open(&file).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let sealed = vault.seal("desk-7", "sip.example", "s3cret").unwrap();
        assert!(!sealed.contains("s3cret") && sealed.len() == 2 * (NONCE_LEN + 6 + 16), "{sealed}");
        // A second start has the same key, and the same password seals to the same text; another one to another.
        let again = Vault::open(&file).unwrap();
        assert_eq!(again.seal("desk-7", "sip.example", "s3cret").unwrap(), sealed);
        assert_ne!(again.seal("desk-7", "sip.example", "s3cres").unwrap(), sealed);
        assert_eq!(again.open_sealed("desk-7", "sip.example", &sealed).as_deref(), Some("s3cret"));
        for (endpoint, realm) in [("desk-8", "sip.example"), ("desk-7", "other.example"), ("desk-", "7sip.example")] {
            assert_eq!(vault.open_sealed(endpoint, realm, &sealed), None, "{endpoint} {realm}");
        }
        let mut damaged = sealed.clone();
        damaged.replace_range(30..31, if sealed.get(30..31) == Some("0") { "1" } else { "0" });
        for wrong in [damaged.as_str(), "", "0", "zz", &sealed[..20], &sealed[2..]] {
            assert_eq!(vault.open_sealed("desk-7", "sip.example", wrong), None, "{wrong}");
        }
        let other = Vault::open(&folder.path().join("other.key")).unwrap();
        assert_eq!(other.open_sealed("desk-7", "sip.example", &sealed), None);
    }

    #[test]
    fn a_key_file_that_cannot_be_trusted_is_named_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("provision.key");
        Vault::try_file(&file).unwrap();
        assert!(!file.exists(), "a check makes nothing");
        data::write_private(&file, b"short").unwrap();
        assert!(format!("{:#}", Vault::open(&file).unwrap_err()).contains("is not 32 octets long"));
        data::write_private(&file, &[7; 32]).unwrap();
        Vault::try_file(&file).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(format!("{:#}", Vault::open(&file).unwrap_err()).contains("chmod 600"));
        assert!(Vault::try_file(&file).is_err());
    }
}
