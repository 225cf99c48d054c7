//! The bindings of a site, split into locked parts by endpoint id.

use super::{
    Binding, Change, Contact, Wish,
    contact::{self, same_contact},
};
use crate::{Limits, decision::Refusal, licence::Seat};
use sip::{Instant, Message, transport::Flow, uri::Uri};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{BuildHasherDefault, Hasher},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

/// So many locks: on the largest machines two shards seldom meet at one.
const PARTS: usize = 64;

/// Lost connections that are remembered; numbers rise, and the lowest are forgotten first. A call asks for its phone's within its transactions' time.
const LOST_MAX: usize = 4_096;

/// No expiry is known.
const NEVER: u64 = u64::MAX;

/// The least address in the order of [`SocketAddr`].
const LEAST_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// All bindings of a site, split into locked parts by endpoint id.
///
/// Every operation takes one lock for a few look-ups, or each lock once in turn; none is held while another of this table is taken.
#[derive(Debug)]
pub struct Registrar {
    limits: Limits,
    parts: [Mutex<Part>; PARTS],
    count: AtomicUsize,
    /// No binding ends before this moment (microseconds); [`NEVER`] without bindings.
    next_expiry: AtomicU64,
    /// Connections that were lost.
    lost: Mutex<BTreeSet<u64>>,
}

#[derive(Debug, Default)]
struct Part {
    /// Ids come from the operator's directory: no peer chooses these keys, so that a fast hash without a secret is safe.
    endpoints: HashMap<Arc<str>, Vec<Entry>, BuildHasherDefault<Fnv>>,
    /// By end, then serial: whose binding it is.
    by_expiry: BTreeMap<(Instant, u64), Arc<str>>,
    /// By connection, remote address and way serial: whose binding it is.
    by_way: BTreeMap<(u64, SocketAddr, u64), Arc<str>>,
    next_serial: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    /// Unique in its part, new with every registration.
    serial: u64,
    /// The serial of the first registration over this flow: a refresh leaves the index of ways alone.
    way_serial: u64,
    binding: Arc<Binding>,
    seat: Seat,
}

impl Registrar {
    /// No bindings.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let parts = std::array::from_fn(|_| Mutex::default());
        Self { limits, parts, count: AtomicUsize::new(0), next_expiry: AtomicU64::new(NEVER), lost: Mutex::default() }
    }

    /// Reads what a REGISTER asks for: rules 10.3 steps 6 and 7.
    ///
    /// # Errors
    /// 400 for `*` with other contacts or without `Expires: 0`, unreadable, too long or non-SIP contacts; 423 when shorter than [`Limits::expires_min`]
    /// (the caller adds Min-Expires).
    pub fn read(&self, request: &Message) -> Result<Wish, Refusal> {
        contact::read(request, &self.limits)
    }

    /// Carries a wish out, all or nothing (10.3 step 7): CSeq of the same Call-ID must rise, the limit of contacts holds. Returns the changes.
    ///
    /// `seat` is used when the wish is [`Wish::Bind`]; then all bindings of the endpoint hold it, and whatever they held before goes back.
    ///
    /// # Errors
    /// 500 for a CSeq that is not higher (out of order), 403 at the endpoint's limit, 503 at the site's. Then nothing has changed.
    #[expect(
        clippy::too_many_arguments,
        reason = "one REGISTER as it stands: who, what, by which message, from where, with which right, when"
    )]
    pub fn apply(
        &self,
        endpoint: &str,
        wish: &Wish,
        request: &Message,
        flow: Flow,
        seat: Seat,
        emergency_only: bool,
        now: Instant,
    ) -> Result<Vec<Change>, Refusal> {
        let contacts: &[Contact] = match wish {
            Wish::Query => return Ok(Vec::new()),
            Wish::RemoveAll => &[],
            Wish::Remove(contacts) | Wish::Bind(contacts) => contacts,
        };
        let order = Order { call_id: request.call_id(), cseq: request.cseq().map_or(0, |cseq| cseq.number) };
        let mut guard = self.part(endpoint);
        let part = &mut *guard;
        let (owner, before) = match part.endpoints.get_key_value(endpoint) {
            Some((owner, entries)) => (Arc::clone(owner), entries.as_slice()),
            None => (Arc::from(endpoint), &[][..]),
        };
        let mut entries = Vec::with_capacity(before.len() + contacts.len());
        entries.extend(before.iter().filter(|entry| entry.live(now)).cloned());
        let before = before.len();
        let first_serial = part.next_serial;
        if *wish == Wish::RemoveAll {
            entries.iter().try_for_each(|entry| order.check(entry))?;
            entries.clear();
        }
        for contact in contacts {
            let replaced = remove_replaced(&mut entries, contact, first_serial, &order)?;
            if contact.seconds > 0 {
                let binding = Binding {
                    endpoint: Arc::clone(&owner),
                    contact: Arc::clone(&contact.uri),
                    params: Arc::clone(&contact.params),
                    q: contact.q,
                    instance: contact.instance.clone(),
                    reg_id: contact.reg_id,
                    path: contact::path(request),
                    flow,
                    call_id: contact::shared_text(order.call_id),
                    cseq: order.cseq,
                    seen: now,
                    expires: now + Duration::from_secs(u64::from(contact.seconds)),
                    pool: seat.pool().cloned(),
                    emergency_only,
                    user_agent: contact::user_agent(request),
                };
                let serial = part.take_serial();
                let way_serial = replaced.filter(|old| old.binding.flow == flow).map_or(serial, |old| old.way_serial);
                entries.push(Entry { serial, way_serial, binding: Arc::new(binding), seat: seat.clone() });
            }
        }
        if matches!(wish, Wish::Bind(_)) {
            reseat(&mut entries, &seat, emergency_only);
            self.check_limits(before, entries.len())?;
        }
        Ok(self.commit(part, &owner, entries))
    }

    /// Puts a binding back that the store had kept, with its seat. Limits do not count: it had been acknowledged.
    pub fn restore(&self, binding: Binding, seat: Seat) {
        let mut guard = self.part(&binding.endpoint);
        let part = &mut *guard;
        let owner = Arc::clone(&binding.endpoint);
        let mut entries = part.endpoints.get(&owner).cloned().unwrap_or_default();
        entries.retain(|entry| entry.binding.contact != binding.contact);
        let serial = part.take_serial();
        entries.push(Entry { serial, way_serial: serial, binding: Arc::new(binding), seat });
        self.commit(part, &owner, entries);
    }

    /// Takes back what [`Registrar::apply`] has bound in one REGISTER (`changes`) and that could not be kept: contacts that were bound `before` it are so again, for as
    /// long as they were; others go, with their seat. What a later REGISTER has bound anew stays, and so does the removal of a contact. Returns the changes.
    pub fn take_back(&self, before: &[Arc<Binding>], changes: &[Change]) -> Vec<Change> {
        let bound = |change: &Change| if let Change::Bound(binding) = change { Some(Arc::clone(binding)) } else { None };
        let bound: Vec<Arc<Binding>> = changes.iter().filter_map(bound).collect();
        let Some(owner) = bound.first().map(|binding| Arc::clone(&binding.endpoint)) else { return Vec::new() };
        let mut guard = self.part(&owner);
        let part = &mut *guard;
        let mut entries = part.entries(&owner).to_vec();
        for binding in bound {
            let Some(place) = entries.iter().position(|entry| Arc::ptr_eq(&entry.binding, &binding)) else { continue };
            let Entry { seat, .. } = entries.remove(place);
            // The same contact, or the one that it had taken the place of.
            let was = |old: &&Arc<Binding>| {
                same_contact(&old.contact, &binding.contact)
                    || (old.instance.is_some() && old.instance == binding.instance && old.reg_id == binding.reg_id)
            };
            for old in before.iter().filter(was) {
                if entries.iter().any(|entry| entry.binding.contact == old.contact) {
                    continue;
                }
                let serial = part.take_serial();
                let old = Binding { pool: seat.pool().cloned(), emergency_only: binding.emergency_only, ..Binding::clone(old) };
                entries.push(Entry { serial, way_serial: serial, binding: Arc::new(old), seat: seat.clone() });
            }
        }
        self.commit(part, &owner, entries)
    }

    /// Live bindings of an endpoint, highest q first, then newest first.
    #[must_use]
    pub fn bindings(&self, endpoint: &str, now: Instant) -> Vec<Arc<Binding>> {
        // Entries stand in the order in which they were registered; a stable sort keeps the newest first among equals.
        let mut live: Vec<Arc<Binding>> = self
            .part(endpoint)
            .entries(endpoint)
            .iter()
            .rev()
            .filter(|entry| entry.live(now))
            .map(|entry| Arc::clone(&entry.binding))
            .collect();
        live.sort_by_key(|binding| std::cmp::Reverse(binding.q));
        live
    }

    /// Where a call rings: like [`Registrar::bindings`], but of several flows of one instance only the newest. RFC 5626 7: "MUST NOT populate the
    /// target set with more than one contact with the same AOR and instance-id at a time."
    #[must_use]
    pub fn targets(&self, endpoint: &str, now: Instant) -> Vec<Arc<Binding>> {
        let part = self.part(endpoint);
        let mut targets: Vec<Arc<Binding>> = Vec::new();
        for entry in part.entries(endpoint).iter().rev().filter(|entry| entry.live(now)) {
            let instance = &entry.binding.instance;
            if instance.is_none() || !targets.iter().any(|newer| newer.instance == *instance) {
                targets.push(Arc::clone(&entry.binding));
            }
        }
        drop(part);
        targets.sort_by_key(|binding| std::cmp::Reverse(binding.q));
        targets
    }

    /// The endpoint whose phone has this very Contact. Visits every binding: for URIs that mean nobody by their user part.
    #[must_use]
    pub fn holder(&self, contact: &Uri<'_>, now: Instant) -> Option<Arc<str>> {
        let is = |entry: &Entry| {
            entry.live(now) && Uri::parse(entry.binding.contact.as_bytes()).is_some_and(|known| known.same_resource(contact))
        };
        self.parts.iter().find_map(|part| {
            let part = lock(part);
            part.by_way.values().find(|endpoint| part.entries(endpoint).iter().any(is)).map(Arc::clone)
        })
    }

    /// Whether an endpoint has a live binding.
    #[must_use]
    pub fn registered(&self, endpoint: &str, now: Instant) -> bool {
        self.part(endpoint).entries(endpoint).iter().any(|entry| entry.live(now))
    }

    /// Whether an endpoint is registered, but without a seat: it may call emergency numbers only.
    #[must_use]
    pub fn emergency_only(&self, endpoint: &str, now: Instant) -> bool {
        self.part(endpoint).entries(endpoint).iter().any(|entry| entry.live(now) && entry.binding.emergency_only)
    }

    /// The endpoints with a live binding whose requests arrive by `flow`, sorted, each once. Several share a flow when a proxy stands before them.
    /// Visits every part: for calls for help without usable credentials, not for every call.
    #[must_use]
    pub fn endpoints_at(&self, flow: Flow, now: Instant) -> Vec<Arc<str>> {
        let mut found = BTreeSet::new();
        for part in &self.parts {
            let part = lock(part);
            let from = (flow.connection, flow.remote, 0);
            for ((_, _, way_serial), endpoint) in part.by_way.range(from..=(flow.connection, flow.remote, u64::MAX)) {
                let of_flow =
                    |entry: &&Entry| entry.way_serial == *way_serial && entry.binding.flow.transport == flow.transport && entry.live(now);
                if part.entries(endpoint).iter().find(of_flow).is_some() {
                    found.insert(Arc::clone(endpoint));
                }
            }
        }
        found.into_iter().collect()
    }

    /// Removes what has expired and returns it. Extra calls do nothing.
    pub fn expire(&self, now: Instant) -> Vec<Change> {
        if self.next_expiry.load(Ordering::Acquire) > now.unix_micros() {
            return Vec::new();
        }
        // Reset first: a binding made while the parts are visited lowers it again, whichever comes first.
        self.next_expiry.store(NEVER, Ordering::Release);
        let mut changes = Vec::new();
        for part in &self.parts {
            let mut guard = lock(part);
            let part = &mut *guard;
            while let Some((&(end, serial), endpoint)) = part.by_expiry.first_key_value() {
                if end > now {
                    self.next_expiry.fetch_min(end.unix_micros(), Ordering::AcqRel);
                    break;
                }
                let endpoint = Arc::clone(endpoint);
                let mut entries = part.entries(&endpoint).to_vec();
                entries.retain(|entry| entry.serial != serial);
                changes.extend(self.commit(part, &endpoint, entries));
            }
        }
        changes
    }

    /// When [`Registrar::expire`] is next due: never later than the first expiry, sometimes earlier (after a refresh).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        let micros = self.next_expiry.load(Ordering::Acquire);
        (micros != NEVER).then(|| Instant::from_unix_micros(micros))
    }

    /// Removes bindings whose stream connection is gone: a phone cannot be reached over it any more and has to register again (RFC 5626 5.3).
    pub fn connection_lost(&self, connection: u64) -> Vec<Change> {
        // 0 stands for datagrams, which have no connection to lose.
        if connection == 0 {
            return Vec::new();
        }
        {
            let mut lost = lock(&self.lost);
            lost.insert(connection);
            if lost.len() > LOST_MAX {
                lost.pop_first();
            }
        }
        let mut changes = Vec::new();
        for part in &self.parts {
            let mut guard = lock(part);
            let part = &mut *guard;
            let of_connection = part.by_way.range((connection, LEAST_ADDRESS, 0)..).take_while(|((other, ..), _)| *other == connection);
            let owners: BTreeSet<Arc<str>> = of_connection.map(|(_, endpoint)| Arc::clone(endpoint)).collect();
            for endpoint in owners {
                let mut entries = part.entries(&endpoint).to_vec();
                entries.retain(|entry| entry.binding.flow.connection != connection);
                changes.extend(self.commit(part, &endpoint, entries));
            }
        }
        changes
    }

    /// Whether this connection was lost, as far as is remembered.
    #[must_use]
    pub fn is_lost(&self, connection: u64) -> bool {
        lock(&self.lost).contains(&connection)
    }

    /// Removes all bindings of endpoints that `keep` refuses; returns the changes. `keep` must not use this registrar.
    pub fn retain(&self, keep: impl Fn(&str) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for part in &self.parts {
            let mut guard = lock(part);
            let part = &mut *guard;
            let refused: BTreeSet<Arc<str>> = part.by_expiry.values().filter(|endpoint| !keep(endpoint)).cloned().collect();
            for endpoint in refused {
                changes.extend(self.commit(part, &endpoint, Vec::new()));
            }
        }
        changes
    }

    /// Removes all bindings of one endpoint.
    pub fn remove(&self, endpoint: &str) -> Vec<Change> {
        let mut part = self.part(endpoint);
        let owner = part.endpoints.get_key_value(endpoint).map(|(owner, _)| Arc::clone(owner));
        owner.map(|owner| self.commit(&mut part, &owner, Vec::new())).unwrap_or_default()
    }

    /// All bindings, expired ones included until [`Registrar::expire`] has removed them. Takes each lock once: for a store that must be told everything.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Binding>> {
        let mut all = Vec::with_capacity(self.len());
        for part in &self.parts {
            let part = lock(part);
            let binding = |((_, serial), endpoint): (&(Instant, u64), &Arc<str>)| {
                part.entries(endpoint).iter().find(|entry| entry.serial == *serial).map(|entry| Arc::clone(&entry.binding))
            };
            all.extend(part.by_expiry.iter().filter_map(binding));
        }
        all
    }

    /// How many bindings there are, expired ones included until [`Registrar::expire`] has removed them.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// RFC 3261 10.3 names no status for a full registrar. 403 tells this phone not to try again as it is, 503 to try later.
    fn check_limits(&self, before: usize, after: usize) -> Result<(), Refusal> {
        if after > self.limits.bindings_per_endpoint {
            let detail = format!("{after} contacts, {} allowed (limits.bindings_per_endpoint)", self.limits.bindings_per_endpoint);
            return Err(Refusal::new(403, "Too Many Contacts", detail));
        }
        if after > before && self.len() + (after - before) > self.limits.bindings {
            let detail = format!("the site has {} bindings, {} allowed (limits.bindings)", self.len(), self.limits.bindings);
            return Err(Refusal::new(503, "Registrar Full", detail));
        }
        Ok(())
    }

    /// Puts `entries` in the place of what the endpoint had and keeps both indices, the count and the deadline in step.
    fn commit(&self, part: &mut Part, endpoint: &Arc<str>, entries: Vec<Entry>) -> Vec<Change> {
        let Part { endpoints, by_expiry, by_way, .. } = part;
        let before = endpoints.get(endpoint).map_or(&[][..], Vec::as_slice);
        let mut changes = Vec::with_capacity(entries.len());
        for old in before {
            if !entries.iter().any(|new| new.way_serial == old.way_serial) {
                by_way.remove(&old.way());
            }
            if !entries.iter().any(|new| new.serial == old.serial) {
                by_expiry.remove(&(old.binding.expires, old.serial));
                if !entries.iter().any(|new| new.binding.contact == old.binding.contact) {
                    changes.push(Change::Unbound { endpoint: Arc::clone(endpoint), contact: Arc::clone(&old.binding.contact) });
                }
            }
        }
        for new in &entries {
            if !before.iter().any(|old| old.way_serial == new.way_serial) {
                by_way.insert(new.way(), Arc::clone(endpoint));
            }
            let old = before.iter().find(|old| old.serial == new.serial);
            if old.is_none() {
                by_expiry.insert((new.binding.expires, new.serial), Arc::clone(endpoint));
                self.next_expiry.fetch_min(new.binding.expires.unix_micros(), Ordering::AcqRel);
            }
            if old.is_none_or(|old| !Arc::ptr_eq(&old.binding, &new.binding)) {
                changes.push(Change::Bound(Arc::clone(&new.binding)));
            }
        }
        self.count.fetch_add(entries.len(), Ordering::Relaxed);
        self.count.fetch_sub(before.len(), Ordering::Relaxed);
        if entries.is_empty() {
            endpoints.remove(endpoint);
        } else if let Some(slot) = endpoints.get_mut(endpoint) {
            *slot = entries;
        } else {
            endpoints.insert(Arc::clone(endpoint), entries);
        }
        changes
    }

    fn part(&self, endpoint: &str) -> MutexGuard<'_, Part> {
        let mut fnv = Fnv::default();
        fnv.write(endpoint.as_bytes());
        // The upper half: the tables inside the parts use the lower bits.
        let hash = fnv.finish() >> 32;
        let place = (hash % PARTS as u64) as usize;
        #[expect(clippy::indexing_slicing, reason = "less than PARTS")]
        lock(&self.parts[place])
    }
}

impl Part {
    fn entries(&self, endpoint: &str) -> &[Entry] {
        self.endpoints.get(endpoint).map_or(&[], Vec::as_slice)
    }

    fn take_serial(&mut self) -> u64 {
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        serial
    }
}

impl Entry {
    fn live(&self, now: Instant) -> bool {
        self.binding.expires > now
    }

    fn way(&self) -> (u64, SocketAddr, u64) {
        (self.binding.flow.connection, self.binding.flow.remote, self.way_serial)
    }
}

/// What decides whether a REGISTER is newer than the bindings it meets.
struct Order<'a> {
    call_id: &'a [u8],
    cseq: u32,
}

impl Order<'_> {
    /// 10.3 step 7: "If it [the Call-ID] does match, the registrar compares the CSeq value. If the value is higher than that of the existing
    /// binding, it MUST update or remove the binding as above. If not, the update MUST be aborted and the request fails." Step 6 says the same of `*`.
    fn check(&self, entry: &Entry) -> Result<(), Refusal> {
        if entry.binding.call_id.as_bytes() == self.call_id && self.cseq <= entry.binding.cseq {
            // 10.3 step 7: "if it is not higher, the update MUST be aborted and the request fails".
            cov_mark::hit!(rfc3261_10_3_cseq);
            let detail = format!("REGISTER out of order: CSeq {} after {} of the same Call-ID", self.cseq, entry.binding.cseq);
            return Err(Refusal::new(500, "CSeq Out Of Order", detail));
        }
        Ok(())
    }
}

/// Takes the bindings out that `contact` replaces or removes: those with the same URI, and older ones of the same instance. Returns the newest.
fn remove_replaced(entries: &mut Vec<Entry>, contact: &Contact, first_serial: u64, order: &Order<'_>) -> Result<Option<Entry>, Refusal> {
    let mut newest = None;
    let mut place = 0;
    while let Some(entry) = entries.get(place) {
        let of_this_request = entry.serial >= first_serial;
        if same_contact(&entry.binding.contact, &contact.uri) || (!of_this_request && same_instance(&entry.binding, contact)) {
            if !of_this_request {
                order.check(entry)?;
                // RFC 5626 6: "the registrar … MUST replace any existing binding with the same instance-id and reg-id".
                if entry.binding.contact != contact.uri && same_instance(&entry.binding, contact) {
                    cov_mark::hit!(rfc5626_6_instance);
                }
            }
            newest = Some(entries.remove(place));
        } else {
            place += 1;
        }
    }
    Ok(newest)
}

/// RFC 5626 6: a binding with the same instance-id and reg-id is replaced, whatever its contact: the phone has been started again and has another port
/// now. A registration that names no reg-id speaks for the whole instance.
fn same_instance(binding: &Binding, contact: &Contact) -> bool {
    contact.instance.is_some()
        && contact.instance == binding.instance
        && (contact.reg_id.is_none() || binding.reg_id.is_none() || contact.reg_id == binding.reg_id)
}

/// All bindings of an endpoint hold the seat of its newest registration.
fn reseat(entries: &mut [Entry], seat: &Seat, emergency_only: bool) {
    for entry in entries.iter_mut().filter(|entry| !entry.seat.same(seat) || entry.binding.emergency_only != emergency_only) {
        entry.seat = seat.clone();
        entry.binding = Arc::new(Binding { pool: seat.pool().cloned(), emergency_only, ..(*entry.binding).clone() });
    }
}

/// FNV-1a, 64 bits.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Fnv {
    fn write(&mut self, octets: &[u8]) {
        self.0 = octets.iter().fold(self.0, |hash, octet| (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3));
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}
