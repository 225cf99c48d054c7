//! GRUUs (RFC 5627): a URI for one phone of an endpoint, which has several or whose Contact nobody else can reach.
//!
//! A phone that registers with an instance-id and `Supported: gruu` is told its public GRUU: the address of record with the instance-id in a `gr`
//! parameter. Nothing is kept for it: the binding knows its instance. Temporary GRUUs, which hide who a phone is, are not given out: each REGISTER would make one
//! more that must stay good for as long as the phone is registered, and on this side of the bridge nobody is shown a Contact but ours.
//!
//! Whoever calls a GRUU reaches that phone and no other of the endpoint. Phones write it into their Contact, too: then requests inside the dialog go to the phone's
//! newest binding, down its present flow, wherever it was when the dialog was made. The domain does not matter: phones keep the GRUU of their cloud's.

use crate::{registrar::Binding, site::Site};
use sip::{
    Instant, Message,
    build::Request,
    header::Name,
    transport::Flow,
    uri::{Uri, decoded},
};
use std::sync::Arc;

/// Whether a REGISTER asks for GRUUs (RFC 5627 4.2).
#[must_use]
pub fn wanted(register: &Message) -> bool {
    register.values(Name::Supported).any(|option| option.eq_ignore_ascii_case(b"gruu"))
}

/// Appends the public GRUU of an instance as a Contact parameter: `;pub-gruu="sip:user@domain;gr=…"` (RFC 5627 5.3, 3.1).
pub(crate) fn write(line: &mut Vec<u8>, user: &str, domain: &str, instance: &str) {
    line.extend_from_slice(b";pub-gruu=\"sip:");
    line.extend_from_slice(crate::plan::escape_user(user).as_bytes());
    line.push(b'@');
    line.extend_from_slice(domain.as_bytes());
    line.extend_from_slice(b";gr=");
    for octet in bare(instance).bytes() {
        // RFC 3261 25.1: `paramchar = param-unreserved / unreserved / escaped`.
        if octet.is_ascii_alphanumeric() || b"-_.!~*'()[]/:&+$".contains(&octet) {
            line.push(octet);
        } else {
            line.extend_from_slice(format!("%{octet:02X}").as_bytes());
        }
    }
    line.push(b'"');
}

/// An instance-id without the brackets around its URN.
fn bare(instance: &str) -> &str {
    instance.strip_prefix('<').and_then(|instance| instance.strip_suffix('>')).unwrap_or(instance)
}

/// Whether a GRUU's `gr` names this instance. Of UUIDs the case does not matter (RFC 8141 3.1, RFC 9562 4).
fn names(gr: &[u8], instance: Option<&str>) -> bool {
    instance.is_some_and(|instance| decoded(gr).eq_ignore_ascii_case(bare(instance).as_bytes()))
}

/// The `gr` of a URI that is a public GRUU.
fn gr<'a>(uri: &Uri<'a>) -> Option<&'a [u8]> {
    uri.param(b"gr").filter(|gr| !gr.is_empty())
}

/// The `gr` of a Request-URI; looked for before anything is parsed, because nearly no request has one.
fn gr_of(target: &[u8]) -> Option<(Uri<'_>, &[u8])> {
    if !target.windows(4).any(|part| part.eq_ignore_ascii_case(b";gr=")) {
        return None;
    }
    let uri = Uri::parse(target)?;
    let gr = gr(&uri)?;
    Some((uri, gr))
}

/// Whether a Request-URI means one phone of several.
pub(crate) fn is_one(target: &[u8]) -> bool {
    gr_of(target).is_some()
}

/// The bindings at which a request for `target` rings the endpoint or user `id`: those of [`Site::targets`], and of these only the instance that a
/// GRUU of this endpoint names. RFC 5627 5.4: none when that instance is not registered, whoever else is.
#[must_use]
pub fn targets(site: &Site, id: &str, target: &[u8], now: Instant) -> Vec<Arc<Binding>> {
    let mut bindings = site.targets(id, now);
    if let Some((uri, gr)) = gr_of(target)
        && site.directory().by_user(&String::from_utf8_lossy(&uri.user_decoded())).is_some_and(|endpoint| endpoint.id == id)
    {
        bindings.retain(|binding| names(gr, binding.instance.as_deref()));
    }
    bindings
}

/// Sends a request inside a dialog whose remote target is a GRUU to where that phone now is: its newest Contact, its Path, its flow. Without a GRUU, or a binding of it,
/// or when the dialog has a route of its own, it goes as it stands.
#[must_use]
pub fn follow(request: &mut Request, flow: Flow, site: &Site) -> Flow {
    let Some((uri, gr)) = gr_of(request.uri()).filter(|_| !request.routed()) else { return flow };
    let user = uri.user_decoded();
    let Some(endpoint) = site.directory().by_user(&String::from_utf8_lossy(&user)).cloned() else { return flow };
    // A binding that has just lapsed and is not yet removed is a better way than none.
    let bindings = site.targets(&endpoint.id, Instant::from_unix_micros(0));
    let Some(binding) = bindings.iter().find(|binding| names(gr, binding.instance.as_deref())) else { return flow };
    request.redirect(binding.contact.as_bytes(), &binding.path);
    binding.flow
}

#[cfg(test)]
mod tests;
