//! What a settings file says besides who its phone is: kept with the endpoint, and shown to whoever runs the gateway, so no secret may stand in it.

use super::{Line, Settings, Statement};

/// What stands in the names of parameters that are secrets (the template of 2022 has about thirty: `ADMIN_PASSWORD`, `PROCPSWD`, `NVIKEPSK`, `SNMPSTRING`, ...).
const SECRETS: [&[u8]; 9] = [b"FORCE_SIP_", b"PASSWORD", b"PASSWD", b"PASSPHRASE", b"PSWD", b"PWD", b"PSK", b"SECRET", b"SNMPSTRING"];

/// The lines of a file that can be kept in clear.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rest {
    /// In their order, each with a line feed.
    pub text: String,
    /// Numbers of the others, from 1: those about secrets, and those that are no UTF-8 text or hold control characters.
    pub left_out: Vec<usize>,
}

/// Everything but the secrets. Who the phone is (`FORCE_SIP_*`), parameters that are named like a password, comments that mention one, and addresses with a password in them
/// are left out.
#[must_use]
pub fn rest(settings: Settings<'_>) -> Rest {
    let mut rest = Rest::default();
    for line in settings.lines() {
        // Editors begin a file with a byte order mark, which is no part of its first line.
        let text = std::str::from_utf8(line.text).ok().map(|text| text.trim_start_matches('\u{feff}'));
        let shown = text.filter(|text| !text.chars().any(|c| c.is_control() && c != '\t'));
        match shown.filter(|_| !is_secret(&line)) {
            Some(text) => {
                rest.text.push_str(text);
                rest.text.push('\n');
            }
            None => rest.left_out.push(line.number),
        }
    }
    rest
}

fn is_secret(line: &Line<'_>) -> bool {
    let about = match line.statement {
        Statement::Set(assignment) | Statement::Add(assignment) => assignment.name,
        _ => line.text,
    };
    SECRETS.iter().any(|word| mentions(about, word)) || logs_in(line.text)
}

/// `https://user:password@host/`
fn logs_in(text: &[u8]) -> bool {
    text.windows(3).position(|part| part == b"://").is_some_and(|at| text.iter().skip(at).any(|octet| *octet == b'@'))
}

fn mentions(text: &[u8], what: &[u8]) -> bool {
    text.windows(what.len()).any(|part| part.eq_ignore_ascii_case(what))
}
