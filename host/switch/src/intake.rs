//! Reads a request that asks for something new: who asks, from where, for whom. First steps of the set-up script.

use crate::{
    boundary,
    decision::Refusal,
    directory::{Directory, Endpoint},
    emergency,
    facts::{Call, CallKind, Caller, Registration},
    registrar::Wish,
    site::Site,
    trunk::NumberFrom,
};
use sip::{
    Instant, Message,
    digest::{Authenticator, Verdict},
    header::{Name, NameAddr},
    message::Method,
    random::Random,
    transport::Flow,
    uri::{Scheme, Uri},
};
use std::sync::Arc;

/// Who a request was proved to come from, or what to send back instead.
#[derive(Clone, Debug)]
pub enum Identity {
    /// A trunk, by certificate, address or registration.
    Trunk(String),
    /// A phone, by digest.
    Endpoint(Arc<Endpoint>),
    /// Send 401 (REGISTER) or 407 with these challenges.
    Challenge {
        /// The nonce was good once: `stale=true`.
        stale: bool,
    },
    /// Send this.
    Refused(Refusal),
}

/// Proves who sent `request`. Trunks by where it comes from first (never for REGISTER), phones by digest. Wrong password and unknown user look the same.
///
/// A phone may stand in a trunk's network: whoever sends credentials for our realm is asked to prove them and is not taken for the trunk. Disabled
/// endpoints are proved like others; [`permit`] and [`read_registration`] refuse them, so that their calls for help still show who calls.
#[must_use]
pub fn authenticate(request: &Message, flow: Flow, site: &Site, authenticator: &Authenticator, now: Instant) -> Identity {
    let directory = site.directory();
    let claimed = authenticator.claimed_username(request);
    if claimed.is_none()
        && request.method() != Method::Register
        && let Some(trunk) = site.trunk_from(flow)
    {
        return Identity::Trunk(trunk.name.clone());
    }
    let endpoint = claimed.as_deref().and_then(|username| directory.by_username(username));
    match (authenticator.verify(request, endpoint.map(|e| &e.ha1), now), endpoint) {
        (Verdict::Accepted, Some(endpoint)) => Identity::Endpoint(Arc::clone(endpoint)),
        // RFC 7616 3.3: stale is true where only the nonce was at fault.
        (Verdict::Stale, _) => Identity::Challenge { stale: true },
        // RFC 3261 22.1: who was refused may try again with other credentials. Unknown users get the very same answer as wrong passwords.
        (Verdict::Accepted | Verdict::Missing | Verdict::Wrong, _) => Identity::Challenge { stale: false },
        (Verdict::Malformed(why), _) => Identity::Refused(Refusal::new(400, "Bad Credentials", format!("credentials: {why}"))),
    }
}

/// Octets of a called number or service: as many as a policy may answer with.
const CALLED_MAX: usize = 128;

/// Who or what a URI calls: the kind of call, and the number or user as [`Call::called`] holds it. The domain does not matter: phones keep writing the
/// cloud's.
///
/// # Errors
/// 414 for a user of more than 128 octets, 416 for a scheme that cannot be called, 484 for an empty user.
pub fn read_target(uri: &Uri<'_>, directory: &Directory) -> Result<(CallKind, String), Refusal> {
    let shown = || String::from_utf8_lossy(uri.raw);
    let (kind, called) = match uri.scheme {
        Scheme::Sip | Scheme::Sips | Scheme::Tel => {
            let user = uri.user_decoded();
            match emergency::classify_number(&user, directory) {
                (CallKind::Normal, _) => (CallKind::Normal, emergency::normalise(&String::from_utf8_lossy(&user))),
                (kind, number) => (kind, number.to_owned()),
            }
        }
        // RFC 3261 8.2.2.1: "If the Request-URI uses a scheme not supported by the UAS, it SHOULD reject the request with a 416".
        Scheme::Urn | Scheme::Other => match emergency::classify(uri, directory) {
            CallKind::Normal => {
                cov_mark::hit!(rfc3261_8_2_2_1_scheme);
                return Err(Refusal::new(416, "Unsupported URI Scheme", format!("`{}` cannot be called", shown())));
            }
            // What stands behind a service that nobody has is no reason to lose the call for help: it goes out as the service itself (RFC 5031 4.1).
            kind if uri.raw.len() > CALLED_MAX => (kind, "urn:service:sos".to_owned()),
            kind => (kind, shown().into_owned()),
        },
    };
    // 21.4.15: "the Request-URI is longer than the server is willing to interpret". An emergency number is as long as the operator has written it.
    if called.len() > CALLED_MAX && kind == CallKind::Normal {
        return Err(Refusal::new(414, "Request-URI Too Long", format!("a called number of {} octets, {CALLED_MAX} allowed", called.len())));
    }
    // 21.4.22: "The server received a request with a Request-URI that was incomplete."
    if called.is_empty() {
        return Err(Refusal::new(484, "Address Incomplete", format!("`{}` names no number", shown())));
    }
    Ok((kind, called))
}

/// Reads an INVITE into a [`Call`] with [`Caller::Unknown`]; the kind is classified here. The location is that of the source network, number and name
/// are those that From claims, until [`identify`] knows better.
///
/// # Errors
/// 400 for an unreadable Request-URI, and those of [`read_target`]. 420 is the caller's (Require).
pub fn read_call(request: &Message, flow: Flow, directory: &Directory, now: Instant) -> Result<Call, Refusal> {
    let shown = || String::from_utf8_lossy(request.request_uri());
    let uri = request.uri().ok_or_else(|| Refusal::new(400, "Bad Request-URI", format!("unreadable Request-URI `{}`", shown())))?;
    let (kind, called) = read_target(&uri, directory)?;
    let from = request.from();
    Ok(Call {
        message: request.clone(),
        at: now,
        flow,
        caller: Caller::Unknown,
        kind,
        called,
        caller_number: from.as_ref().map(number_of).unwrap_or_default(),
        caller_name: from.as_ref().map(name_of).unwrap_or_default(),
        location: directory.location_of(flow.remote.ip()).map(|location| location.name.clone()),
        attributes: Vec::new(),
    })
}

/// Fills in who calls once that is proved (numbers, name, the endpoint's own location).
///
/// For a call for help a missing or wrong proof is no reason to forget what is known: a phone that has registered over the very flow on which the call
/// came is that phone. Where several have (behind a proxy), From decides among them.
pub fn identify(call: &mut Call, identity: &Identity, site: &Site) {
    let mut trusted = false;
    match identity {
        Identity::Endpoint(endpoint) => take_endpoint(call, endpoint),
        Identity::Trunk(trunk) => {
            call.caller = Caller::Trunk(trunk.clone());
            let directory = site.directory();
            let manners = directory.trunk(trunk).map(|trunk| &trunk.manners);
            trusted = manners.is_some_and(|manners| manners.trusted);
            // RFC 3325 9.1: what a trusted peer asserts goes before what From says.
            if trusted && let Some(asserted) = call.message.values(Name::PAssertedIdentity).next().and_then(NameAddr::parse) {
                let (number, name) = (number_of(&asserted), name_of(&asserted));
                call.caller_number = number;
                if !name.is_empty() {
                    call.caller_name = name;
                }
            }
            if manners.is_some_and(|manners| manners.number_from == NumberFrom::To) {
                take_number_from_to(call, &directory);
            }
        }
        Identity::Challenge { .. } | Identity::Refused(_) => {
            if call.kind != CallKind::Normal
                && let Some(endpoint) = registered_over(call, site)
            {
                take_endpoint(call, &endpoint);
            }
        }
    }
    if !trusted {
        // RFC 3325 5: what comes from outside the trust boundary is removed.
        call.message = boundary::without_identity(&call.message);
    }
}

/// The called number as To names it, where it names one; what the host has found the call to be by its Request-URI stays.
fn take_number_from_to(call: &mut Call, directory: &Directory) {
    let named = call.message.to().and_then(|to| read_target(&to.uri()?, directory).ok());
    if let Some((CallKind::Normal, called)) = named.filter(|_| call.kind == CallKind::Normal) {
        call.called = called;
    }
}

fn take_endpoint(call: &mut Call, endpoint: &Arc<Endpoint>) {
    call.caller_number.clone_from(&endpoint.extension);
    call.caller_name.clone_from(&endpoint.name);
    if endpoint.location.is_some() {
        call.location.clone_from(&endpoint.location);
    }
    call.caller = Caller::Endpoint(Arc::clone(endpoint));
}

fn registered_over(call: &Call, site: &Site) -> Option<Arc<Endpoint>> {
    let directory = site.directory();
    let registered = site.registrar.endpoints_at(call.flow, call.at);
    if let [only] = registered.as_slice() {
        return directory.endpoint(only).cloned();
    }
    let claimed = directory.by_user(&call.caller_number)?;
    registered.iter().any(|id| **id == *claimed.id).then(|| Arc::clone(claimed))
}

/// Whether this caller may make this call as far as the host itself decides: disabled endpoints and those registered without a seat call for help only.
///
/// # Errors
/// 403 for them.
pub fn permit(call: &Call, site: &Site) -> Result<(), Refusal> {
    let Caller::Endpoint(endpoint) = &call.caller else { return Ok(()) };
    if call.kind != CallKind::Normal {
        return Ok(());
    }
    if !endpoint.enabled {
        return Err(disabled(endpoint));
    }
    if site.registrar.emergency_only(&endpoint.id, call.at) {
        return Err(Refusal::new(403, "Emergency Calls Only", format!("endpoint `{}` is registered without a licence seat", endpoint.id)));
    }
    Ok(())
}

fn disabled(endpoint: &Endpoint) -> Refusal {
    Refusal::new(403, "Disabled", format!("endpoint `{}` is disabled", endpoint.id))
}

/// Reads a REGISTER of a proved endpoint: 10.3 steps 4 to 7 in their order. To's user must be the endpoint's extension, username, id or one of its
/// numbers; the domain may be the cloud's. The [`Registration`] is for policies and matters when the wish is [`Wish::Bind`] only.
///
/// # Errors
/// 403 for a disabled endpoint and for somebody else's address of record, 404 for an address of record that nobody has, 400 for a To that is not SIP;
/// then those of [`crate::registrar::Registrar::read`].
pub fn read_registration(
    request: &Message,
    flow: Flow,
    endpoint: &Arc<Endpoint>,
    site: &Site,
    now: Instant,
    random: &mut Random,
) -> Result<(Registration, Wish), Refusal> {
    if !endpoint.enabled {
        return Err(disabled(endpoint));
    }
    // 10.2: "the To header field contains the address of record […] MUST be a SIP URI or SIPS URI".
    let uri = request.to().and_then(|to| to.uri()).filter(|uri| matches!(uri.scheme, Scheme::Sip | Scheme::Sips));
    let uri = uri.ok_or_else(|| Refusal::new(400, "Bad To", "REGISTER: To is not a sip: or sips: URI"))?;
    let user = uri.user_decoded();
    let user = String::from_utf8_lossy(&user);
    if !names(endpoint, &user) {
        // Step 4: "the registrar SHOULD determine if the authenticated user is authorized to modify registrations for this address-of-record", else 403.
        // Step 5: "If the address-of-record is not valid for the domain in the Request-URI, the registrar MUST send a 404".
        let directory = site.directory();
        cov_mark::hit!(rfc3261_10_3_address_of_record);
        return Err(if directory.by_user(&user).is_some() || directory.by_user(&emergency::normalise(&user)).is_some() {
            Refusal::new(403, "Not Your Address", format!("endpoint `{}` tried to register as `{user}`", endpoint.id))
        } else {
            Refusal::new(404, "Not Found", format!("endpoint `{}` tried to register as `{user}`, which nobody is", endpoint.id))
        });
    }
    let wish = site.registrar.read(request)?;
    let wish = match site.directory().survivable {
        Some(survivable) => survivable.shorten(wish, site.limits.expires_min, random),
        None => wish,
    };
    let wanted = match &wish {
        Wish::Bind(contacts) => contacts.iter().find(|contact| contact.seconds > 0),
        Wish::Query | Wish::Remove(_) | Wish::RemoveAll => None,
    };
    let registration = Registration {
        message: request.clone(),
        at: now,
        flow,
        endpoint: Arc::clone(endpoint),
        contact: wanted.map(|contact| contact.uri.as_ref().to_owned()).unwrap_or_default(),
        expires: wanted.map_or(0, |contact| contact.seconds),
        registered: site.registrar.registered(&endpoint.id, now),
        attributes: Vec::new(),
    };
    Ok((registration, wish))
}

/// Whether the user part of an address of record is this endpoint's.
fn names(endpoint: &Endpoint, user: &str) -> bool {
    let is = |user: &str| {
        user == endpoint.extension
            || user == endpoint.username
            || user == endpoint.id
            || endpoint.numbers.iter().any(|number| number == user)
    };
    is(user) || is(&emergency::normalise(user))
}

/// The number or user that an address shows, without visual separators.
fn number_of(address: &NameAddr<'_>) -> String {
    address.uri().map(|uri| emergency::normalise(&String::from_utf8_lossy(&uri.user_decoded()))).unwrap_or_default()
}

/// The display name that an address shows, with its escapes undone.
fn name_of(address: &NameAddr<'_>) -> String {
    let mut name = String::with_capacity(address.display.len());
    let text = String::from_utf8_lossy(address.display);
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        // RFC 3261 25.1: `quoted-pair = "\" (%x00-09 / %x0B-0C / %x0E-7F)`.
        let c = if c == '\\' { rest.next().unwrap_or(c) } else { c };
        if !c.is_control() {
            name.push(c);
        }
    }
    name
}

#[cfg(test)]
mod tests;
