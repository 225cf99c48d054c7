//! `holdfast connect` and `holdfast hangup`: click to dial through a running gateway.

use super::{
    ERROR, GOOD, HELP,
    running::{Where, refuse, understand},
};
use crate::manage::{HungUp, Placed, Wanted, ask, ask_with};
use axum::http::Method;
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::io::Write as _;

pub(super) const CONNECT_EXAMPLES: &str = "\
Examples:
  holdfast connect 1001 1002
      Rings the phones of extension 1001; when one answers, 1002 is called, and the two talk. Prints the Call-ID.
  holdfast connect 1001 +442071234567 --wait --data /var/lib/holdfast --json
      Answers when the two talk, or it is clear that they will not; one JSON object, for a program.
The policies decide about the call as if the phone had dialled it. While the target rings, the user hears nothing.
Exit code 0: the phone is called; with --wait: the two talk.";

pub(super) const HANGUP_EXAMPLES: &str = "\
Examples:
  holdfast hangup 0b1f2c3d4e5f60718293a4b5c6d7e8f9
      Ends the call with this Call-ID, whoever made it. `holdfast connect` and `holdfast explain` name them.
Calls for help are ended by those who talk.
Exit code 0: it is ended.";

/// Whom to connect with whom.
#[derive(Args, Debug)]
pub(super) struct Connect {
    /// The extension whose phone rings first.
    from: String,
    /// Who is called then, as that phone would dial it.
    to: String,
    /// Ask the phone to answer by itself. Whether it does is its own setting.
    #[arg(long)]
    auto_answer: bool,
    /// Wait until the two talk, or the call has ended.
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    place: Where,
}

/// Which call to end.
#[derive(Args, Debug)]
pub(super) struct Hangup {
    /// Its Call-ID.
    call_id: String,
    #[command(flatten)]
    place: Where,
}

/// Has the gateway make a call.
pub(super) fn connect(connect: &Connect, json: bool) -> anyhow::Result<bool> {
    let Connect { from, to, auto_answer, wait, place } = connect;
    let data = place.data();
    let wanted = Wanted { from: from.clone(), to: to.clone(), auto_answer: *auto_answer };
    let body = serde_json::to_vec(&wanted)?;
    let mut placed = match understand::<Placed>(&ask_with(&data, Method::POST, "/calls", body)?)? {
        Ok(placed) => placed,
        Err(refused) => return refuse(&refused, json),
    };
    let path = format!("/calls/{}/outcome", utf8_percent_encode(&placed.call_id, NON_ALPHANUMERIC));
    // Each question is answered when something has come of it, or after a while: the call cannot ring for ever.
    while *wait && placed.state == "calling" {
        placed = match understand::<Placed>(&ask(&data, Method::GET, &path)?)? {
            Ok(placed) => placed,
            Err(refused) => return refuse(&refused, json),
        };
    }
    let failed = placed.state == "ended" && placed.status != Some(200);
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&placed)?)?;
        return Ok(!failed);
    }
    let Placed { call_id, state, answered_by, status, cause } = placed;
    match state.as_str() {
        "calling" => writeln!(out, "{GOOD}calling{GOOD:#}  {from}, then {to}\n         {HELP}Call-ID {call_id}{HELP:#}")?,
        "talking" => {
            let by = answered_by.unwrap_or_default();
            writeln!(out, "{GOOD}talking{GOOD:#}  {from} with {to} ({by})\n         {HELP}Call-ID {call_id}{HELP:#}")?;
        }
        _ => {
            let (status, cause) = (status.unwrap_or_default(), cause.unwrap_or_default());
            writeln!(
                out,
                "{ERROR}ended{ERROR:#}    {from} with {to}: {status} {cause}\n         {HELP}holdfast explain {call_id}{HELP:#}"
            )?;
        }
    }
    Ok(!failed)
}

/// Ends a call.
pub(super) fn hang_up(Hangup { call_id, place }: &Hangup, json: bool) -> anyhow::Result<bool> {
    let path = format!("/calls/{}", utf8_percent_encode(call_id, NON_ALPHANUMERIC));
    let done = match understand::<HungUp>(&ask(&place.data(), Method::DELETE, &path)?)? {
        Ok(done) => done,
        Err(refused) => return refuse(&refused, json),
    };
    let mut out = anstream::stdout();
    if json {
        writeln!(out, "{}", serde_json::to_string(&done)?)?;
    } else {
        writeln!(out, "{GOOD}ended{GOOD:#}  {}", done.call_id)?;
    }
    Ok(true)
}
