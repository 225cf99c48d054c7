//! Contact values: read from a REGISTER, written into its answer.

use super::{Binding, Contact, Wish};
use crate::{Limits, decision::Refusal, gruu};
use sip::{
    Instant, Message,
    build::Writer,
    header::{Name, NameAddr},
    uri::{Scheme, Uri},
};
use std::{borrow::Cow, io::Write as _, sync::Arc};

/// RFC 3261 20.10: "Malformed values SHOULD be treated as equivalent to 3600."
const MALFORMED_EXPIRES: u32 = 3600;

/// Reads what a REGISTER asks for: RFC 3261 10.3 steps 6 and 7, without looking at any binding.
pub(super) fn read(request: &Message, limits: &Limits) -> Result<Wish, Refusal> {
    let mut values = request.values(Name::Contact);
    let Some(first) = values.next() else {
        // "Next, the registrar checks whether the request contains the Contact header field. If not, it skips to the last step."
        return Ok(Wish::Query);
    };
    if first == b"*" {
        // "If there are additional Contact fields or an expiration time other than zero, the request is invalid": 400.
        if values.next().is_some() {
            return Err(Refusal::new(400, "Contact * With Others", "REGISTER: `Contact: *` stands beside another contact"));
        }
        if request.number(Name::Expires) != Some(0) {
            return Err(Refusal::new(400, "Contact * Needs Expires 0", "REGISTER: `Contact: *` without `Expires: 0`"));
        }
        return Ok(Wish::RemoveAll);
    }
    let shared_bytes = request.values(Name::Path).map(<[u8]>::len).sum::<usize>() + request.call_id().len();
    let mut contacts = Vec::with_capacity(1);
    for value in std::iter::once(first).chain(values) {
        if shared_bytes + value.len() > limits.binding_bytes {
            let detail =
                format!("REGISTER: contact, Path and Call-ID take more than {} octets (limits.binding_bytes)", limits.binding_bytes);
            return Err(Refusal::new(400, "Contact Too Long", detail));
        }
        contacts.push(read_one(value, request, limits)?);
    }
    if contacts.iter().all(|contact| contact.seconds == 0) { Ok(Wish::Remove(contacts)) } else { Ok(Wish::Bind(contacts)) }
}

fn read_one(value: &[u8], request: &Message, limits: &Limits) -> Result<Contact, Refusal> {
    let unreadable = || Refusal::new(400, "Bad Contact", format!("REGISTER: unreadable Contact `{}`", String::from_utf8_lossy(value)));
    if value == b"*" {
        return Err(Refusal::new(400, "Contact * With Others", "REGISTER: `Contact: *` stands beside another contact"));
    }
    let address = NameAddr::parse(value).ok_or_else(unreadable)?;
    let uri = address.uri().ok_or_else(unreadable)?;
    // 10.3 leaves other schemes to the registrar. A call cannot be forked to `mailto:` or `tel:` here, so they are refused at once.
    if !matches!(uri.scheme, Scheme::Sip | Scheme::Sips) {
        return Err(Refusal::new(
            400,
            "Contact Not SIP",
            format!("REGISTER: Contact `{}` is not a sip: or sips: URI", String::from_utf8_lossy(address.uri)),
        ));
    }
    let params = Params::read(address.params);
    let instance = params.instance.filter(|instance| !instance.is_empty());
    Ok(Contact {
        uri: std::str::from_utf8(address.uri).map_err(|_| unreadable())?.into(),
        params: params.kept.map_or_else(Arc::default, |kept| shared_text(&kept)),
        q: params.q.map_or(1000, read_q),
        // RFC 5626 6: a reg-id without an instance-id is ignored.
        reg_id: instance.and_then(|_| decimal(params.reg_id?)),
        instance: instance.map(shared_text),
        seconds: granted(params.expires, request, limits)?,
    })
}

/// 10.3 step 7: "If the field value has an "expires" parameter, that value MUST be taken […] If there is no such parameter, but the request has an
/// Expires header field, that value […] If there is neither, a locally-configured default value".
fn granted(param: Option<&[u8]>, request: &Message, limits: &Limits) -> Result<u32, Refusal> {
    let wanted = match param {
        Some(text) => decimal(text).unwrap_or(MALFORMED_EXPIRES),
        None => match request.header(Name::Expires) {
            Some(_) => request.number(Name::Expires).unwrap_or(MALFORMED_EXPIRES),
            None => seconds(limits.expires_default),
        },
    };
    let shortest = seconds(limits.expires_min);
    // "If and only if the requested expiration interval is greater than zero AND smaller than one hour AND less than a registrar-configured
    // minimum, the registrar MAY reject the registration with a response of 423 (Interval Too Brief)."
    if wanted > 0 && wanted < shortest {
        cov_mark::hit!(rfc3261_10_3_interval_too_brief);
        return Err(Refusal::new(
            423,
            "Interval Too Brief",
            format!("REGISTER: {wanted} s asked for, {shortest} s is the shortest (limits.expires_min)"),
        ));
    }
    Ok(wanted.min(seconds(limits.expires_max)))
}

fn seconds(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

/// A decimal number; one beyond `u32` is `u32::MAX`.
fn decimal(text: &[u8]) -> Option<u32> {
    let text = text.trim_ascii();
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(text.iter().fold(0_u32, |number, digit| number.saturating_mul(10).saturating_add(u32::from(digit - b'0'))))
}

/// `qvalue = ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] )` in thousandths. Further digits are cut, an unreadable value counts as absent.
pub(crate) fn read_q(text: &[u8]) -> u16 {
    let (whole, fraction) = match text.iter().position(|octet| *octet == b'.') {
        Some(point) => (text.get(..point).unwrap_or_default(), text.get(point + 1..).unwrap_or_default()),
        None => (text, &b""[..]),
    };
    if !matches!(whole, b"0" | b"") || text.is_empty() || !fraction.iter().all(u8::is_ascii_digit) {
        return 1000;
    }
    fraction.iter().chain(b"000").take(3).fold(0, |thousandths, digit| thousandths * 10 + u16::from(digit - b'0'))
}

/// The parameters of one Contact value, read in one pass; of two with one name the first counts.
#[derive(Default)]
struct Params<'a> {
    expires: Option<&'a [u8]>,
    q: Option<&'a [u8]>,
    instance: Option<&'a [u8]>,
    reg_id: Option<&'a [u8]>,
    /// What a binding keeps and shows again: all but those that the registrar itself sets: `expires`, `q` and GRUUs (RFC 5627 5.1: those in a request
    /// are ignored).
    kept: Option<Vec<u8>>,
}

impl<'a> Params<'a> {
    fn read(text: &'a [u8]) -> Self {
        let mut params = Self::default();
        for param in split_semicolons(text).filter(|param| !param.is_empty()) {
            let equals = param.iter().position(|octet| *octet == b'=').unwrap_or(param.len());
            let name = param.get(..equals).unwrap_or_default().trim_ascii_end();
            let value = unquoted(param.get(equals + 1..).unwrap_or_default().trim_ascii_start());
            let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
            if is(b"expires") {
                params.expires = params.expires.or(Some(value));
                continue;
            }
            if is(b"q") {
                params.q = params.q.or(Some(value));
                continue;
            }
            if is(b"pub-gruu") || is(b"temp-gruu") {
                continue;
            }
            if is(b"+sip.instance") {
                params.instance = params.instance.or(Some(value));
            } else if is(b"reg-id") {
                params.reg_id = params.reg_id.or(Some(value));
            }
            let kept = params.kept.get_or_insert_with(|| Vec::with_capacity(text.len() + 1));
            kept.push(b';');
            // Folds become blanks: the text is written into a header line again.
            kept.extend(param.iter().map(|octet| if octet.is_ascii_control() { b' ' } else { *octet }));
        }
        params
    }
}

fn unquoted(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value)
}

/// Splits at semicolons outside of quoted strings, trimmed.
fn split_semicolons(params: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    let mut escaped = false;
    params
        .split(move |octet| {
            let is_end = *octet == b';' && !quoted;
            if escaped {
                escaped = false;
            } else if *octet == b'"' {
                quoted = !quoted;
            } else if *octet == b'\\' && quoted {
                escaped = true;
            }
            is_end
        })
        .map(<[u8]>::trim_ascii)
}

/// Whether two contacts are the same one: "comparison per the rules of 19.1.4" (10.3 step 7).
pub(crate) fn same_contact(one: &str, another: &str) -> bool {
    one == another
        || match (Uri::parse(one.as_bytes()), Uri::parse(another.as_bytes())) {
            (Some(one), Some(another)) => one.same_resource(&another),
            _ => false,
        }
}

/// The part of User-Agent that a binding remembers.
pub(super) fn user_agent(request: &Message) -> Arc<str> {
    const OCTETS_MAX: usize = 128;
    request.header(Name::UserAgent).map_or_else(Arc::default, |text| String::from_utf8_lossy(text.get(..OCTETS_MAX).unwrap_or(text)).into())
}

/// Path values of a request, topmost first (RFC 3327 5.3: the registrar stores them with the binding).
pub(super) fn path(request: &Message) -> Vec<String> {
    request.values(Name::Path).map(|value| String::from_utf8_lossy(value).into_owned()).collect()
}

/// Text of the wire as a shared string; no allocation is made twice.
pub(super) fn shared_text(octets: &[u8]) -> Arc<str> {
    match String::from_utf8_lossy(octets) {
        Cow::Borrowed(text) => text.into(),
        Cow::Owned(text) => text.into(),
    }
}

/// Writes what a 200 to REGISTER says of the bindings: one Contact line each, and the Path of the request.
///
/// 10.3 step 8: "The response MUST contain Contact header field values enumerating all current bindings. Each Contact value MUST feature an
/// "expires" parameter indicating its expiration interval chosen by the registrar." RFC 3327 5.3: Path is copied into the response, so that the
/// phone sees through whom it will be reached. Seconds are rounded up: what was granted just now is shown as granted.
///
/// `gruu`: user and domain of the address of record, when the phone wants GRUUs: each contact with an instance-id shows its own (RFC 5627 5.3).
pub fn write_answer(writer: &mut Writer, request: &Message, bindings: &[Arc<Binding>], gruu: Option<(&str, &str)>, now: Instant) {
    for binding in bindings {
        let left = binding.expires.since(now);
        let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        writer.header_with(Name::Contact, |line| {
            line.push(b'<');
            line.extend_from_slice(binding.contact.as_bytes());
            line.push(b'>');
            line.extend_from_slice(binding.params.as_bytes());
            if let (Some((user, domain)), Some(instance)) = (gruu, &binding.instance) {
                gruu::write(line, user, domain, instance);
            }
            // Writing into a Vec cannot fail.
            let _written =
                if binding.q < 1000 { write!(line, ";q=0.{:03};expires={seconds}", binding.q) } else { write!(line, ";expires={seconds}") };
        });
    }
    for path in request.values(Name::Path) {
        writer.header(Name::Path, path);
    }
}
