//! Pickup by a code that a phone dials (`[features] pickup`): the code and an extension take the call that rings there, the code alone takes one that rings at
//! a phone of the caller's location. What is taken is then a dialog as an INVITE with Replaces names it.

use super::shard::Shard;
use switch::{
    bridge::DialogId,
    decision::Refusal,
    facts::{Call, Caller},
};

/// The dialog that a call is to pick up; `None` when it is no pickup.
pub(super) fn dialled(shard: &Shard, call: &Call) -> Option<Result<DialogId, Refusal>> {
    let site = &shard.parts.site;
    let directory = site.directory();
    let code = &directory.features.pickup;
    let Caller::Endpoint(_) = &call.caller else { return None };
    let extension = call.called.strip_prefix(code.as_str()).filter(|_| !code.is_empty())?;
    if extension.is_empty() {
        // A line may be a user's: it rings where any of the phones is.
        let near = |line: &str| directory.phones(line).any(|phone| phone.location == call.location);
        return Some(
            site.lines
                .rings_anywhere(near)
                .ok_or_else(|| Refusal::new(480, "Nothing Rings", "a pickup, but nothing rings at its location")),
        );
    }
    let Some(endpoint) = directory.by_user(extension) else {
        return Some(Err(Refusal::new(404, "Not Found", format!("a pickup at `{extension}`, which nobody has"))));
    };
    let rings = site.lines.ringing(directory.line_of(&endpoint.id));
    Some(rings.ok_or_else(|| Refusal::new(480, "Nothing Rings", format!("a pickup at `{extension}`, where nothing rings"))))
}
