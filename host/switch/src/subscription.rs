//! Subscriptions (RFC 6665): somebody wants to be told when something changes, and is told in NOTIFYs, one after the other.
//!
//! Two packages: `dialog` (RFC 4235), the calls of a phone, and `message-summary` (RFC 3842), what waits in the subscriber's own mailbox. A value: what
//! happens goes in, [`Subscription::notify`] writes what is due. Never is there more than one NOTIFY on the way, and a watcher hears of several changes
//! at once when they come faster than that: a phone that is slow costs nobody anything, and one that cannot be reached is forgotten.

mod dialog_info;
pub(crate) use dialog_info::escaped;
mod places;
#[cfg(test)]
mod tests;

pub use places::{Full, Place, Places};

use crate::{
    Limits,
    bridge::write,
    directory::Endpoint,
    lines::{LineDialog, LineId, Lines},
};
use sip::{
    Instant, Message,
    build::{Request, Response, Writer},
    dialog::Dialog,
    header::Name,
    message::Method,
    transport::Flow,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// RFC 4235 3.10: "It is RECOMMENDED that the server not generate notifications for a single subscriber faster than once every second".
const SPACING: Duration = Duration::from_secs(1);
/// Dialogs that one document shows: a NOTIFY has to fit into few datagrams.
const DIALOGS: usize = 20;

/// What can be subscribed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Package {
    /// The calls of a phone.
    Dialog,
    /// What waits in one's own mailbox.
    MessageSummary,
}

impl Package {
    /// What there is, for Allow-Events.
    pub const NAMES: &'static [u8] = b"dialog, message-summary";

    /// By the value of an Event header.
    #[must_use]
    pub fn of(event: &[u8]) -> Option<Self> {
        let name = event.split(|octet| *octet == b';').next().unwrap_or_default().trim_ascii();
        let known = [Self::Dialog, Self::MessageSummary].into_iter().find(|package| name.eq_ignore_ascii_case(package.name().as_bytes()));
        if known.is_none() {
            // RFC 6665 4.2.1.1: a package that is not understood is refused with 489.
            cov_mark::hit!(rfc6665_4_2_1_1_bad_event);
        }
        known
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dialog => "dialog",
            Self::MessageSummary => "message-summary",
        }
    }

    /// What its NOTIFYs carry.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Dialog => "application/dialog-info+xml",
            Self::MessageSummary => "application/simple-message-summary",
        }
    }
}

/// What a SUBSCRIBE wants of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span {
    /// To be told once (Expires 0): a poll, or the end of a subscription.
    Once,
    /// To be told for so many seconds.
    Seconds(u32),
    /// Less than is granted: 423 with this Min-Expires.
    TooBrief(u32),
}

impl Span {
    /// Reads Expires. RFC 6665 4.2.1.1: 423 only for what is above zero, below the minimum and less than an hour.
    #[must_use]
    pub fn read(subscribe: &Message, limits: &Limits) -> Self {
        let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
        let (least, most) = (seconds(limits.subscription_min), seconds(limits.subscription_max));
        match subscribe.number(Name::Expires) {
            Some(0) => Self::Once,
            Some(asked) if asked < least && asked < 3600 => {
                cov_mark::hit!(rfc6665_4_2_1_1_too_brief);
                Self::TooBrief(least)
            }
            Some(asked) => Self::Seconds(asked.min(most)),
            None => Self::Seconds(most),
        }
    }

    const fn seconds(self) -> u32 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::Once | Self::TooBrief(_) => 0,
        }
    }
}

/// One subscription.
#[derive(Debug)]
pub struct Subscription {
    dialog: Dialog,
    package: Package,
    /// Value of Event in every NOTIFY.
    event: Vec<u8>,
    watcher: Arc<str>,
    line: Arc<str>,
    /// URI of what is watched.
    entity: String,
    ends: Instant,
    /// The watcher is told no more after the next NOTIFY.
    last: bool,
    /// Something is to be told.
    due: bool,
    /// All of it, not only what has changed.
    full: bool,
    /// A NOTIFY has no answer yet.
    open: bool,
    /// The next NOTIFY goes out no earlier.
    not_before: Instant,
    version: u32,
    told: BTreeMap<LineId, Arc<LineDialog>>,
    over: bool,
    _place: Place,
}

impl Subscription {
    /// What a SUBSCRIBE begins, which has been authenticated and granted `span`; `watched` is whose calls or mailbox. `None` without a readable Contact: there is
    /// nobody to notify.
    #[must_use]
    #[expect(clippy::too_many_arguments, reason = "everything that a subscription is made of")]
    pub fn new(
        subscribe: &Message,
        tag: &str,
        flow: Flow,
        package: Package,
        watcher: &Endpoint,
        watched: &Endpoint,
        domain: &str,
        span: Span,
        place: Place,
        now: Instant,
    ) -> Option<Self> {
        let dialog = Dialog::as_server(subscribe, tag, flow)?;
        let user = crate::plan::escape_user(&watched.extension);
        Some(Self {
            dialog,
            package,
            event: event_value(package, subscribe.header(Name::Event).unwrap_or_default()),
            watcher: Arc::from(watcher.id.as_str()),
            line: Arc::from(watched.id.as_str()),
            entity: format!("sip:{user}@{domain}"),
            ends: now + Duration::from_secs(u64::from(span.seconds())),
            last: span == Span::Once,
            due: true,
            full: true,
            open: false,
            not_before: now,
            version: 0,
            told: BTreeMap::new(),
            over: false,
            _place: place,
        })
    }

    /// Who subscribed.
    #[must_use]
    pub fn watcher(&self) -> &str {
        &self.watcher
    }

    /// Whose calls or mailbox is watched.
    #[must_use]
    pub const fn line(&self) -> &Arc<str> {
        &self.line
    }

    /// The package.
    #[must_use]
    pub const fn package(&self) -> Package {
        self.package
    }

    /// Our tag: requests inside the dialog carry it in To.
    #[must_use]
    pub fn tag(&self) -> &[u8] {
        &self.dialog.local_tag
    }

    /// Whether nothing is left to do: it can be forgotten.
    #[must_use]
    pub const fn over(&self) -> bool {
        self.over
    }

    /// Whether a request is of this dialog (RFC 3261 12.2.2); its CSeq is judged by [`Subscription::refresh`].
    #[must_use]
    pub fn owns(&self, request: &Message) -> bool {
        let tag = request.from().and_then(|from| from.tag()).unwrap_or_default();
        request.call_id() == self.dialog.call_id && tag == self.dialog.remote_tag
    }

    /// A SUBSCRIBE inside the dialog: the time begins anew, or (0) ends; in either case the watcher is told all (RFC 6665 4.2.1.2). `false`: its CSeq is lower
    /// than the last one, answer 500.
    #[must_use]
    pub fn refresh(&mut self, subscribe: &Message, flow: Flow, span: Span, now: Instant) -> bool {
        if !self.dialog.in_order(subscribe) {
            return false;
        }
        // A phone that reconnected is reached where it now is.
        self.dialog.flow = flow;
        self.dialog.refresh_target(subscribe);
        self.ends = now + Duration::from_secs(u64::from(span.seconds()));
        self.last = span == Span::Once;
        self.due = true;
        self.full = true;
        self.not_before = now;
        true
    }

    /// The 200 to a SUBSCRIBE that was granted `span`.
    #[must_use]
    pub fn accepted(&self, subscribe: &Message, span: Span) -> Response {
        let mut writer = Writer::response(subscribe, 200, "OK", std::str::from_utf8(&self.dialog.local_tag).ok());
        writer.number(Name::Expires, span.seconds());
        write::contact(&mut writer, self.dialog.flow);
        for header in subscribe.headers().filter(|header| header.name == Name::RecordRoute) {
            writer.copy(header);
        }
        writer.finish_response(b"")
    }

    /// What is watched has changed.
    pub const fn changed(&mut self) {
        self.due = true;
    }

    /// The last NOTIFY was answered, or (`None`) was not. A refusal that ends a usage of a dialog by RFC 5057 5.1 ends the subscription, so does silence.
    pub const fn answered(&mut self, status: Option<u16>) {
        self.open = false;
        match status {
            None | Some(404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 604) => self.over = true,
            Some(_) => self.over |= self.last && !self.due,
        }
    }

    /// When [`Subscription::notify`] is next due; `None` while an answer is awaited.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        if self.open || self.over {
            return None;
        }
        Some(if self.due { self.not_before.min(self.ends) } else { self.ends })
    }

    /// The NOTIFY that is due now.
    #[must_use]
    pub fn notify(&mut self, lines: &Lines, now: Instant) -> Option<(Request, Flow)> {
        if self.deadline().is_none_or(|at| at > now) {
            return None;
        }
        self.last |= self.ends <= now;
        let body = match self.package {
            Package::Dialog => {
                let dialogs = lines.dialogs(&self.line, DIALOGS);
                if !self.full && !self.last && dialogs == self.told {
                    // It came and went before it could be told.
                    self.due = false;
                    return None;
                }
                let body = dialog_info::write(&self.entity, self.version, self.full, &self.told, &dialogs);
                self.version = self.version.wrapping_add(1);
                self.told = dialogs;
                body
            }
            Package::MessageSummary => {
                lines.mail(&self.line).map_or_else(|| b"Messages-Waiting: no\r\n".to_vec(), |summary| summary.to_vec())
            }
        };
        (self.due, self.full, self.open) = (false, false, true);
        self.not_before = now + SPACING;
        let mut writer = self.dialog.request(Method::Notify, b"NOTIFY", 70);
        write::contact(&mut writer, self.dialog.flow);
        writer.header(Name::Event, &self.event);
        let state =
            if self.last { "terminated;reason=timeout".to_owned() } else { format!("active;expires={}", self.ends.since(now).as_secs()) };
        writer.header(Name::SubscriptionState, state.as_bytes()).header(Name::ContentType, self.package.content_type().as_bytes());
        Some((writer.finish_request(&body), self.dialog.flow))
    }
}

/// RFC 6665 8.2.1: a NOTIFY repeats the package and the `id` of its SUBSCRIBE; other parameters are the package's affair.
fn event_value(package: Package, asked: &[u8]) -> Vec<u8> {
    let mut value = package.name().as_bytes().to_vec();
    let id = asked.split(|octet| *octet == b';').skip(1).map(<[u8]>::trim_ascii).find(|param| {
        param.get(..2).is_some_and(|name| name.eq_ignore_ascii_case(b"id"))
            && param.get(2..).unwrap_or_default().trim_ascii_start().starts_with(b"=")
    });
    if let Some(id) = id {
        value.push(b';');
        value.extend_from_slice(id);
    }
    value
}
