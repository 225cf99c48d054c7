//! What a call for help says on a trunk beside what its caller says: that it is one, how urgent that is, and where help is to go (RFC 3261 20.26, RFC 7135,
//! RFC 6442). A test of the route says where, too, and nothing of the rest: nobody shall take it for real.

use super::{pidf, place};
use crate::{
    directory::{Directory, help::Geolocation},
    facts::{Call, CallKind},
    plan::{LegTarget, escape_user},
};
use sip::{
    Message,
    build::Writer,
    header::{Header, Name},
};

/// Lines and a body that stand instead of the caller's, or beside them.
#[derive(Debug, Default)]
pub(crate) struct Dress {
    lines: Vec<(&'static str, String)>,
    /// Content-Type and octets; `None`: the caller's.
    body: Option<(String, Vec<u8>)>,
    /// The caller's word about the place is left out.
    hides_place: bool,
}

impl Dress {
    /// Of a call for help that goes to `target`, or of one back to whoever has called for it; `None` for all other calls.
    pub(crate) fn of(call: &Call, target: &LegTarget, directory: &Directory) -> Option<Self> {
        match call.kind {
            CallKind::Normal => return None,
            // RFC 7090 5: so marked, it rings at a phone that lets nothing else through.
            CallKind::Callback => return Some(Self { lines: vec![("Priority", "psap-callback".to_owned())], ..Self::default() }),
            CallKind::Emergency | CallKind::EmergencyTest => {}
        }
        let trunk = directory.trunk(target.trunk.as_deref()?)?;
        let mut dress = Self::default();
        if call.kind == CallKind::Emergency {
            // RFC 3261 20.26: "emergency" is for when "life, limb, or property are in imminent danger".
            dress.lines.push(("Priority", "emergency".to_owned()));
            if let Some(priority) = directory.emergency.resource_priority.as_ref().filter(|_| !says(&call.message, b"Resource-Priority")) {
                // RFC 7135 2: the namespace `esnet` is for calls for help, on the network that leads to the answering point.
                dress.lines.push(("Resource-Priority", priority.clone()));
            }
        }
        match trunk.geolocation {
            Geolocation::Pass => {}
            Geolocation::Remove => dress.remove_place(call),
            Geolocation::Add if says(&call.message, b"Geolocation") => {}
            Geolocation::Add => dress.add_place(call, target, directory),
        }
        Some(dress)
    }

    fn add_place(&mut self, call: &Call, target: &LegTarget, directory: &Directory) {
        let number = target.caller_number.as_deref().unwrap_or(&call.caller_number);
        let entity = format!("sip:{}@{}", escape_user(number), directory.domain);
        let Some(document) = place(call, directory).and_then(|place| pidf::document(place, &entity, call.at)) else { return };
        let session = call.message.body();
        let plain = call.message.header(Name::ContentType).is_some_and(|kind| media_type(kind).eq_ignore_ascii_case(b"application/sdp"));
        if !(plain || session.is_empty()) || says(&call.message, b"Content-Encoding") {
            // What the caller sends beside a session description is more than is understood here: it goes on as it is.
            return;
        }
        let id = format!("place@{}", directory.domain);
        let boundary = pidf::boundary(&[session, document.as_bytes()]);
        let mut body = Vec::with_capacity(session.len() + document.len() + 256);
        if !session.is_empty() {
            body.extend_from_slice(format!("--{boundary}\r\nContent-Type: application/sdp\r\n\r\n").as_bytes());
            body.extend_from_slice(session);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}\r\nContent-Type: {}\r\nContent-ID: <{id}>\r\n\r\n", pidf::TYPE).as_bytes());
        body.extend_from_slice(document.as_bytes());
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        self.body = Some((format!("multipart/mixed;boundary={boundary}"), body));
        // RFC 6442 4.1: by reference into the body; 4.2: and it may be used to find the right answering point.
        self.lines.push(("Geolocation", format!("<cid:{id}>")));
        self.lines.push(("Geolocation-Routing", "yes".to_owned()));
    }

    fn remove_place(&mut self, call: &Call) {
        self.hides_place = true;
        let kind = call.message.header(Name::ContentType).unwrap_or_default();
        if media_type(kind).to_ascii_lowercase().starts_with(b"multipart/")
            && let Some(session) = part(kind, call.message.body(), b"application/sdp")
        {
            self.body = Some(("application/sdp".to_owned(), session.to_vec()));
        }
    }

    /// Whether a line of the caller goes on.
    pub(crate) fn keeps(&self, header: &Header<'_>) -> bool {
        let is = |name: &str| header.raw_name.eq_ignore_ascii_case(name.as_bytes());
        // How urgent it is says the host: also that a test is not.
        let urgent = is("Priority");
        let place = self.hides_place && (is("Geolocation") || is("Geolocation-Routing") || is("Geolocation-Error"));
        let body = self.body.is_some() && (header.name == Name::ContentType || is("Content-Disposition"));
        // Nobody out there has a dialog of ours that could be replaced, and would refuse the call because of it.
        let replaces = header.name == Name::Replaces || is("Join");
        !(urgent || place || body || replaces)
    }

    /// Writes its lines.
    pub(crate) fn write(&self, writer: &mut Writer) {
        for (name, value) in &self.lines {
            writer.header_named(name.as_bytes(), value.as_bytes());
        }
        if let Some((kind, _)) = &self.body {
            writer.header(Name::ContentType, kind.as_bytes());
        }
    }

    /// Its body, or the caller's.
    pub(crate) fn body<'a>(&'a self, call: &'a Call) -> &'a [u8] {
        self.body.as_ref().map_or_else(|| call.message.body(), |(_, body)| body)
    }
}

fn says(message: &Message, name: &[u8]) -> bool {
    message.header_named(name).is_some()
}

/// RFC 2045 5.1: type and subtype, without parameters.
fn media_type(value: &[u8]) -> &[u8] {
    value.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii()
}

/// The first part of a multipart body that has this media type (RFC 2046 5.1.1).
fn part<'a>(kind: &[u8], body: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let boundary = kind.split(|octet| *octet == b';').skip(1).find_map(|text| {
        let (key, value) = text.split_at_checked(text.iter().position(|octet| *octet == b'=')?)?;
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let value = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value);
        key.trim_ascii().eq_ignore_ascii_case(b"boundary").then(|| [b"--", value].concat())
    })?;
    let mut rest = body;
    let mut start: Option<&[u8]> = None;
    loop {
        let at = rest.windows(boundary.len()).position(|window| window == boundary.as_slice());
        if let (Some(content), Some(at)) = (start, at) {
            let content = content.get(..at).unwrap_or_default();
            if let Some(found) = content_of(content, wanted) {
                return Some(found);
            }
        }
        rest = rest.get(at? + boundary.len()..)?;
        start = Some(rest);
    }
}

/// What stands below the head of a part of this type.
fn content_of<'a>(part: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    let end = part.windows(4).position(|window| window == b"\r\n\r\n")?;
    let (head, body) = part.split_at_checked(end)?;
    let is = head.split(|octet| *octet == b'\n').any(|line| {
        let Some((name, value)) = line.iter().position(|octet| *octet == b':').and_then(|at| line.split_at_checked(at)) else {
            return false;
        };
        name.trim_ascii().eq_ignore_ascii_case(b"content-type")
            && media_type(value.get(1..).unwrap_or_default()).eq_ignore_ascii_case(wanted)
    });
    // The line end before the boundary is the boundary's (RFC 2046 5.1.1).
    is.then(|| body.get(4..).unwrap_or_default()).map(|body| body.strip_suffix(b"\r\n").unwrap_or(body))
}
