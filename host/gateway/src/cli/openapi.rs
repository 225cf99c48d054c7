//! `holdfast openapi`: the REST API's own description.

use crate::rest;
use std::io::Write as _;

pub(super) const EXAMPLES: &str = "\
Examples:
  holdfast openapi > holdfast.json
      For a generator of clients, or a viewer.
A running gateway serves the same document at /v1/openapi.json, once `listen` stands under [rest] in its configuration:
  curl -H \"Authorization: Bearer $(tail -n 1 DIR/rest.token)\" http://127.0.0.1:9096/v1/endpoints";

/// Prints the document; for a program on one line.
pub(super) fn print(json: bool) -> anyhow::Result<()> {
    let document = rest::openapi();
    let text = if json { serde_json::to_string(&document)? } else { serde_json::to_string_pretty(&document)? };
    Ok(writeln!(anstream::stdout(), "{text}")?)
}
