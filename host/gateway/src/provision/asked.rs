//! What a path asks for.

use percent_encoding::percent_decode_str;
use switch::{
    directory::read_mac,
    settings::serve::{ROOT, SITE, UPGRADE},
};

/// Before the one-time token in a path.
const TOKEN: &str = "token";
/// Characters of a name that is shown in the log.
const SHOWN: usize = 64;

/// A request, as far as its path goes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) what: What,
    /// The one-time token that stands there. Never logged.
    pub(super) token: Option<String>,
}

/// Which file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum What {
    /// `J100Supgrade.txt`.
    Upgrade,
    /// `46xxsettings.txt`.
    Site,
    /// The root.
    Root {
        /// As DER, not PEM.
        der: bool,
    },
    /// The file of the phone with this hardware address, twelve lower-case hexadecimal digits.
    Own(String),
    /// None that there is; its name as it can be shown.
    Other(String),
}

impl Asked {
    /// Reads a path: names in any case, hardware addresses in any usual way of writing, `/token/TOKEN` before them.
    pub(super) fn read(path: &str) -> Self {
        let path = percent_decode_str(path).decode_utf8_lossy();
        let path = path.trim_start_matches('/');
        let mut parts = path.splitn(3, '/');
        let (token, name) = match (parts.next(), parts.next(), parts.next()) {
            (Some(word), Some(token), Some(name)) if word.eq_ignore_ascii_case(TOKEN) => (Some(token.to_owned()), name),
            // What may be a token is not shown.
            (Some(word), _, None) if word.eq_ignore_ascii_case(TOKEN) => (None, ""),
            _ => (None, path),
        };
        Self { what: What::read(name), token }
    }
}

impl What {
    fn read(name: &str) -> Self {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
        let ending = ending.to_ascii_lowercase();
        if is(UPGRADE) {
            return Self::Upgrade;
        }
        if is(SITE) {
            return Self::Site;
        }
        if ROOT.rsplit_once('.').is_some_and(|(root, _)| stem.eq_ignore_ascii_case(root)) {
            match ending.as_str() {
                "pem" => return Self::Root { der: false },
                "crt" | "cer" | "der" => return Self::Root { der: true },
                _ => {}
            }
        }
        match read_mac(stem).filter(|_| ending == "txt") {
            Some(mac) => Self::Own(mac),
            // The last part only: what stands before may be a token that somebody mistyped.
            None => Self::Other(name.rsplit('/').next().unwrap_or_default().chars().take(SHOWN).flat_map(char::escape_debug).collect()),
        }
    }

    /// As it is counted.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Upgrade => "upgrade",
            Self::Site => "site",
            Self::Root { .. } => "root",
            Self::Own(_) => "phone",
            Self::Other(_) => "other",
        }
    }

    /// What more the log shows.
    pub(super) fn shown(&self) -> Option<&str> {
        match self {
            Self::Own(text) | Self::Other(text) => Some(text),
            Self::Upgrade | Self::Site | Self::Root { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_may_write_its_address_as_it_likes() {
        let own = What::Own("001b4f0a1b2c".to_owned());
        for path in [
            "/001B4F0A1B2C.txt",
            "/001b4f0a1b2c.TXT",
            "//00:1B:4F:0A:1B:2C.txt",
            "/00-1b-4f-0a-1b-2c.txt",
            "/00%3A1b%3A4f:0a:1b:2c.txt",
            "/001b.4f0a.1b2c.txt",
        ] {
            let asked = Asked::read(path);
            assert_eq!((asked.what, asked.token), (own.clone(), None), "{path}");
        }
        for path in ["/001B4F0A1B2.txt", "/001B4F0A1B2C", "/x/001B4F0A1B2C.txt", "/001B4F0A1B2C.xml", "/001B4F0A1B2G.txt", "/"] {
            assert!(matches!(Asked::read(path).what, What::Other(_)), "{path}");
        }
    }

    #[test]
    fn every_file_has_its_names() {
        for (path, what) in [
            ("/J100Supgrade.txt", What::Upgrade),
            ("/j100supgrade.TXT", What::Upgrade),
            ("/46xxsettings.txt", What::Site),
            ("/WebRootCA.pem", What::Root { der: false }),
            ("/WebRootCA.crt", What::Root { der: true }),
            ("/webrootca.der", What::Root { der: true }),
            ("/token/x/46xxsettings.txt", What::Site),
        ] {
            assert_eq!(Asked::read(path).what, what, "{path}");
        }
    }

    #[test]
    fn a_token_stands_before_the_name_and_is_never_shown() {
        let asked = Asked::read("/Token/5ecret/001B4F0A1B2C.txt");
        assert_eq!((asked.token.as_deref(), asked.what.name()), (Some("5ecret"), "phone"));
        for path in ["/token/5ecret", "/token/5ecret/", "/tokens/5ecret/001B4F0A1B2C.txt", "/token/5ecret/J100/46xxsettings.txt"] {
            let asked = Asked::read(path);
            assert!(!asked.what.shown().unwrap_or_default().contains("5ecret"), "{path}: {:?}", asked.what);
        }
        let What::Other(shown) = Asked::read(&format!("/a%0Ab{}", "x".repeat(100))).what else { panic!("no such file") };
        assert_eq!(shown.len(), SHOWN + 1, "a line end is escaped: {shown}");
    }
}
