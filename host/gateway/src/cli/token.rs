//! `holdfast endpoint token`: a phone may fetch its settings, once.

use super::{
    GOOD, HELP,
    directory::{by, path_of},
    running::{Where, refuse, understand},
};
use crate::manage::{TokenMade, TokenWanted, ask_with};
use axum::http::Method;
use std::io::Write as _;

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast endpoint token desk-7
      Its phone is known by the token: point it (HTTPS server, directory `token/TOKEN`) at the gateway, and it pulls its account.
  holdfast endpoint token desk-7 --json
      One JSON object, for a program: id, token, path, until.
A token is good for one endpoint, until it has been used, another is made, or its time is over (limit `provision_token_seconds`). It is kept as a hash.
The configuration must have [provision], and the endpoint a hardware address and a password that was set since.
Exit code 0: it is made. 1: it could not be used, or no gateway runs.";

pub(super) fn make(id: &str, place: &Where, json: bool) -> anyhow::Result<bool> {
    let body = serde_json::to_vec(&TokenWanted { by: by() })?;
    let answer = ask_with(&place.data(), Method::POST, &format!("{}/token", path_of("/endpoints", id)), body)?;
    let made = match understand::<TokenMade>(&answer)? {
        Ok(made) => made,
        Err(refused) => return refuse(&refused, json),
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&made)?)?;
        return Ok(true);
    }
    let TokenMade { id, token, path, until } = made;
    writeln!(out, "{GOOD}done{GOOD:#}  one-time token of {id}: {token}")?;
    writeln!(out, "      directory on the phone: token/{token}\n      its file: {path}\n      good until {until}, once")?;
    writeln!(out, "      {HELP}it is kept as a hash and not shown again{HELP:#}")?;
    Ok(true)
}
