//! Dialogs (RFC 3261 section 12): who talks to whom, in which order, by which route.

#[cfg(test)]
mod tests;

use crate::{
    Message,
    build::Writer,
    header::{CSeq, Name, NameAddr},
    message::Method,
    transport::Flow,
    uri::Uri,
};
use serde::{Deserialize, Serialize};

/// One side's view of a dialog, early or confirmed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Dialog {
    /// Call-ID.
    #[serde(with = "crate::kept::octets")]
    pub call_id: Vec<u8>,
    /// Our tag.
    #[serde(with = "crate::kept::octets")]
    pub local_tag: Vec<u8>,
    /// The peer's tag; empty until the first response with one, and for a peer of RFC 2543 that has none.
    #[serde(with = "crate::kept::octets")]
    pub remote_tag: Vec<u8>,
    /// The whole From/To value that names us, tag included.
    #[serde(with = "crate::kept::octets")]
    pub local: Vec<u8>,
    /// The whole From/To value that names the peer, tag included.
    #[serde(with = "crate::kept::octets")]
    pub remote: Vec<u8>,
    /// Where requests go: the URI of the peer's Contact (RFC 3261 12.1), refreshed by target refresh requests (12.2).
    #[serde(with = "crate::kept::octets")]
    pub remote_target: Vec<u8>,
    /// Route values in the order in which they are written.
    pub route_set: Vec<Vec<u8>>,
    /// CSeq of our last request; 0 before the first.
    pub local_cseq: u32,
    /// CSeq of the peer's last request, when there was one.
    pub remote_cseq: Option<u32>,
    /// The way to the peer's next hop.
    pub flow: Flow,
}

impl Dialog {
    /// The dialog that our answer to `request` creates (12.1.1). `None` when the request lacks a readable From, To, CSeq or Contact: without
    /// a Contact there is nowhere to send a request to.
    ///
    /// "The route set MUST be set to the list of URIs in the Record-Route header field from the request, taken in order"; the remote target is "the URI
    /// from the Contact header field of the request", or the address that it came from when that is no URI; the local tag is put at the end of the To value unless it has one already.
    #[must_use]
    pub fn as_server(request: &Message, local_tag: &str, flow: Flow) -> Option<Self> {
        let (from, to) = (request.from()?, request.to()?);
        let contact = request.contact()?;
        let (local, local_tag) = match to.tag() {
            Some(tag) => (to.raw.to_vec(), tag),
            None => (tagged(to.raw, local_tag.as_bytes()), local_tag.as_bytes()),
        };
        Some(Self {
            call_id: request.call_id().to_vec(),
            local_tag: local_tag.to_vec(),
            // "A UAS MUST be prepared to receive a request without a tag in the From field, in which case the tag is considered to have a value
            // of null."
            remote_tag: from.tag().unwrap_or_default().to_vec(),
            local,
            remote: from.raw.to_vec(),
            remote_target: readable(contact.uri).map_or_else(|| format!("sip:{}", flow.remote).into_bytes(), <[u8]>::to_vec),
            route_set: request.values(Name::RecordRoute).map(<[u8]>::to_vec).collect(),
            local_cseq: 0,
            remote_cseq: Some(request.cseq()?.number),
            flow,
        })
    }

    /// The dialog of a request that we are about to send, before any response: local tag, Call-ID and URIs known, remote tag not.
    /// `local` and `remote` are From and To values without tags.
    #[must_use]
    pub fn as_client(call_id: &str, local: &[u8], local_tag: &str, remote: &[u8], target: &[u8], flow: Flow) -> Self {
        Self {
            call_id: call_id.as_bytes().to_vec(),
            local_tag: local_tag.as_bytes().to_vec(),
            remote_tag: Vec::new(),
            local: tagged(local, local_tag.as_bytes()),
            remote: remote.to_vec(),
            remote_target: target.to_vec(),
            route_set: Vec::new(),
            local_cseq: 0,
            remote_cseq: None,
            flow,
        }
    }

    /// Takes over tag, target and route set of a response above 100 to our INVITE (12.1.2). Each fork of a downstream proxy is a clone of its own.
    ///
    /// "The route set MUST be set to the list of URIs in the Record-Route header field from the response, taken in reverse order". A 2xx computes it anew
    /// even when an early dialog had one (13.2.2.4); a further provisional response without Record-Route leaves it. A response without To tag (a peer of
    /// RFC 2543) teaches all but the tag; 100 and refusals, which create no dialog, teach nothing.
    pub fn learn(&mut self, response: &Message) {
        if !(101..300).contains(&response.status()) {
            return;
        }
        let mut routes: Vec<_> = response.values(Name::RecordRoute).map(<[u8]>::to_vec).collect();
        if response.status() >= 200 || !routes.is_empty() {
            routes.reverse();
            self.route_set = routes;
        }
        if let Some(to) = response.to()
            && let Some(tag) = to.tag()
        {
            self.remote_tag = tag.to_vec();
            self.remote = to.raw.to_vec();
        }
        self.refresh_target(response);
    }

    /// Replaces the remote target by the Contact of a target refresh request or of its 2xx (12.2). Without a Contact, or with one that is no URI,
    /// nothing changes: what is written into a Request-URI must be one.
    pub fn refresh_target(&mut self, message: &Message) {
        if let Some(target) = message.contact().and_then(|contact| readable(contact.uri)) {
            self.remote_target = target.to_vec();
        }
    }

    /// Begins the next request inside the dialog: request line, Route (loose and strict, 12.2.1.1), From, To, Call-ID, CSeq (next number), Max-Forwards.
    /// ACK must use [`Dialog::ack`], CANCEL is the stack's.
    #[must_use]
    pub fn request(&mut self, method: Method, token: &[u8], max_forwards: u32) -> Writer {
        self.local_cseq = self.local_cseq.saturating_add(1);
        self.begin(method, token, self.local_cseq, max_forwards)
    }

    /// Begins the ACK for the 2xx of the INVITE with CSeq `number` (13.2.2.4). Credentials of the INVITE, if it had any, must be repeated by the caller.
    #[must_use]
    pub fn ack(&self, number: u32) -> Writer {
        self.begin(Method::Ack, b"", number, 70)
    }

    /// Judges the CSeq of a request of the peer and remembers it: `false` = lower than the last one, answer 500 (12.2.2).
    /// ACK and CANCEL repeat the number of their INVITE and are always in order.
    #[must_use]
    pub fn in_order(&mut self, request: &Message) -> bool {
        if matches!(request.method(), Method::Ack | Method::Cancel) {
            return true;
        }
        let Some(CSeq { number, .. }) = request.cseq() else { return false };
        // "If the remote sequence number was not empty, but the sequence number of the request is lower than the remote sequence number,
        // the request is out of order and MUST be rejected with a 500".
        if self.remote_cseq.is_some_and(|last| number < last) {
            cov_mark::hit!(rfc3261_12_2_2_out_of_order);
            return false;
        }
        self.remote_cseq = Some(number);
        true
    }

    fn begin(&self, method: Method, token: &[u8], number: u32, max_forwards: u32) -> Writer {
        let first = self.route_set.first().and_then(|route| NameAddr::parse(route));
        let strict = first.filter(|route| route.uri().is_none_or(|uri| uri.param(b"lr").is_none()));
        let mut writer = match &strict {
            // "If the route set is not empty, and its first URI does not contain the lr parameter, the UAC MUST place the first URI from the route
            // set into the Request-URI, stripping any parameters that are not allowed in a Request-URI. The UAC MUST add a Route header field
            // containing the remainder of the route set values in order, … then place the remote target URI into the Route header field as the last
            // value."
            Some(route) => {
                cov_mark::hit!(rfc3261_12_2_1_1_strict);
                let mut writer = Writer::request(method, token, &request_uri(route.uri));
                for route in self.route_set.iter().skip(1) {
                    writer.header(Name::Route, route);
                }
                writer.header_with(Name::Route, |value| {
                    value.push(b'<');
                    value.extend_from_slice(&self.remote_target);
                    value.push(b'>');
                });
                writer
            }
            // "If the route set is not empty, and the first URI in the route set contains the lr parameter, the UAC MUST place the remote target
            // URI into the Request-URI and MUST include a Route header field containing the route set values in order, including all parameters."
            None => {
                let mut writer = Writer::request(method, token, &self.remote_target);
                for route in &self.route_set {
                    writer.header(Name::Route, route);
                }
                writer
            }
        };
        writer.number(Name::MaxForwards, max_forwards);
        writer.header(Name::From, &self.local);
        writer.header(Name::To, &self.remote);
        writer.header(Name::CallId, &self.call_id);
        writer.header_with(Name::CSeq, |value| {
            value.extend_from_slice(number.to_string().as_bytes());
            value.push(b' ');
            value.extend_from_slice(if method == Method::Other { token } else { method.token().as_bytes() });
        });
        writer
    }
}

/// A URI that can be written into a Request-URI.
fn readable(uri: &[u8]) -> Option<&[u8]> {
    Uri::parse(uri).map(|_| uri)
}

fn tagged(value: &[u8], tag: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(value.len() + 5 + tag.len());
    text.extend_from_slice(value);
    text.extend_from_slice(b";tag=");
    text.extend_from_slice(tag);
    text
}

/// A URI of a route as a Request-URI: the `method` parameter and the headers are not allowed there (19.1.1, table 1).
fn request_uri(route: &[u8]) -> Vec<u8> {
    let Some(uri) = Uri::parse(route) else { return route.to_vec() };
    let end = route.len() - if uri.headers.is_empty() { 0 } else { uri.headers.len() + 1 };
    let start = end - uri.params.len().min(end);
    let mut text = route.get(..start).unwrap_or_default().to_vec();
    let params = route.get(start..end).unwrap_or_default();
    for param in params.split(|byte| *byte == b';').filter(|param| !param.is_empty()) {
        let name = param.split(|byte| *byte == b'=').next().unwrap_or_default();
        if !name.eq_ignore_ascii_case(b"method") {
            text.push(b';');
            text.extend_from_slice(param);
        }
    }
    text
}
