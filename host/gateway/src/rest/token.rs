//! Who may use the REST API: whoever shows a token of the token file.
//!
//! The file is read again when it has changed, so that a token is given out, replaced or taken back without a restart. What is kept of a token in memory is its hash,
//! and hashes are compared in constant time.

use crate::{
    data::{self, random_bytes},
    observe::Counters,
};
use anyhow::{Context as _, bail, ensure};
use sha2::{Digest as _, Sha256};
use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};
use subtle::ConstantTimeEq as _;

/// Characters of a token at least: what is guessed takes for ever.
const SHORTEST: usize = 32;
/// Characters of a token at most.
const LONGEST: usize = 256;
/// Characters of a token's name.
const NAME: usize = 32;
/// Tokens of a file.
const TOKENS: usize = 64;
/// Octets of a file.
const FILE: u64 = 64 << 10;

/// One of the file.
#[derive(Clone, PartialEq, Eq)]
struct Token {
    /// Who has it, for the histories; empty when the file does not say.
    name: String,
    hash: [u8; 32],
}

/// What tells one state of the file from another.
type Stamp = (u64, u64, i64, i64);

/// The tokens that are good.
pub(super) struct Tokens {
    file: PathBuf,
    known: Mutex<(Stamp, Vec<Token>)>,
}

impl Tokens {
    /// Those of `file`. With `make`, one is made when the file is not there, for its owner to read.
    ///
    /// # Errors
    /// When the file is not there, holds no token, is readable for others or cannot be read.
    pub(super) fn open(file: &Path, make: bool) -> anyhow::Result<Self> {
        if make && !file.try_exists().unwrap_or(true) {
            let token: String = random_bytes()?.iter().map(|octet| format!("{octet:02x}")).collect();
            let text = format!(
                "# Tokens of the REST API, one a line; `NAME TOKEN` names its owner for the histories. Changes are in force when the file is saved.\n{token}\n"
            );
            data::write_private(file, text.as_bytes())?;
            tracing::info!("a token for the REST API was made in {}", file.display());
        }
        Ok(Self { file: file.to_owned(), known: Mutex::new(read(file)?) })
    }

    /// Whose token this is; `None`: nobody's. Reads a changed file, so on a thread that may wait.
    pub(super) fn owner(&self, shown: &str, counters: &Counters) -> Option<String> {
        let hash: [u8; 32] = Sha256::digest(shown.as_bytes()).into();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if look(&self.file).ok().map(|(stamp, _)| stamp) != Some(known.0) {
            match read(&self.file) {
                Ok(new) => {
                    tracing::info!(tokens = new.1.len(), "the tokens of the REST API were read again");
                    *known = new;
                }
                Err(error) => {
                    // A token that was taken back must not stay good because the rest of the file is wrong.
                    *known = (Stamp::default(), Vec::new());
                    counters.limit("rest-tokens", || format!("nobody can use the REST API: {error:#}"));
                }
            }
        }
        // All of them, wherever the right one stands.
        let mut owner = None;
        for token in &known.1 {
            if bool::from(token.hash.ct_eq(&hash)) {
                owner = Some(token.name.clone());
            }
        }
        owner
    }
}

fn look(file: &Path) -> anyhow::Result<(Stamp, fs::Metadata)> {
    let about = fs::metadata(file).with_context(|| format!("the token file {} cannot be read", file.display()))?;
    Ok(((about.ino(), about.len(), about.mtime(), about.mtime_nsec()), about))
}

fn read(file: &Path) -> anyhow::Result<(Stamp, Vec<Token>)> {
    let shown = file.display();
    let (stamp, about) = look(file)?;
    ensure!(about.is_file() && about.len() <= FILE, "{shown} is no token file");
    ensure!(about.mode() & 0o077 == 0, "others than its owner may use the token file {shown}; `chmod 600 {shown}`");
    let text = fs::read_to_string(file).with_context(|| format!("the token file {shown} cannot be read"))?;
    let mut tokens = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (name, token) = text.split_once([' ', '\t']).map_or(("", text), |(name, token)| (name, token.trim_start()));
        let plain = |text: &str| text.bytes().all(|octet| octet.is_ascii_graphic());
        ensure!(
            plain(name) && name.len() <= NAME,
            "{shown}:{line}: the name before the token has more than {NAME} letters or others than letters"
        );
        ensure!(
            (SHORTEST..=LONGEST).contains(&token.len()) && plain(token),
            "{shown}:{line}: a token has {SHORTEST} to {LONGEST} letters, digits and marks; `openssl rand -hex 32` makes one"
        );
        tokens.push(Token { name: name.to_owned(), hash: Sha256::digest(token.as_bytes()).into() });
        ensure!(tokens.len() <= TOKENS, "{shown}:{line}: more than {TOKENS} tokens");
    }
    if tokens.is_empty() {
        bail!(
            "the token file {shown} holds no token; `openssl rand -hex 32 > {shown}` makes one, removing the file has one made on a loopback address"
        );
    }
    Ok((stamp, tokens))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn private(file: &Path, text: &str) {
        data::write_private(file, text.as_bytes()).unwrap();
    }

    #[test]
    fn a_token_is_made_once_for_its_owner_only_and_followed_while_it_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rest.token");
        let counters = Counters::default();
        let tokens = Tokens::open(&file, true).unwrap();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&file).unwrap();
        let token = text.lines().last().unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(tokens.owner(token, &counters).as_deref(), Some(""));
        let mut other = token.to_owned();
        other.replace_range(63.., if token.ends_with('0') { "1" } else { "0" });
        for wrong in ["", &token[1..], &other] {
            assert_eq!(tokens.owner(wrong, &counters), None, "{wrong}");
        }
        // A second start takes what is there.
        drop(Tokens::open(&file, true).unwrap());
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
        // Another one is given out with a name, the old one is taken back.
        let new = "n".repeat(SHORTEST);
        private(&file, &format!("# of the portal\nportal {new}\n"));
        assert_eq!(tokens.owner(&new, &counters).as_deref(), Some("portal"));
        assert_eq!(tokens.owner(token, &counters), None);
        // A file that is wrong lets nobody in, and says so.
        private(&file, &format!("portal {new}\nshort\n"));
        assert_eq!(tokens.owner(&new, &counters), None);
        assert_eq!(counters.read().dropped["rest-tokens"], 1);
    }

    #[test]
    fn a_file_that_cannot_be_trusted_is_named_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tokens");
        let says = |expected: &str| {
            let Err(error) = Tokens::open(&file, false) else { panic!("taken, though {expected}") };
            assert!(format!("{error:#}").contains(expected), "{error:#}");
        };
        says("cannot be read");
        for (text, expected) in [
            ("# nothing\n", "holds no token"),
            ("short\n", ":1: a token has 32 to 256"),
            ("\n\u{e9}tat 0123456789012345678901234567890123456789\n", ":2: the name"),
        ] {
            private(&file, text);
            says(expected);
        }
        private(&file, &"x".repeat(40));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        says("chmod 600");
    }
}
