//! Nonces: issued without a table, and the counts of those in use.

use super::hash::{Hex, equal_in_constant_time};
use crate::{Instant, random::Random};
use core::time::Duration;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Moment of issue and random number of a nonce of ours. Ordered by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Id {
    issued: Instant,
    random: u64,
}

/// Whether a nonce may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Age {
    /// Ours and young enough.
    Fresh(Id),
    /// Not ours, or too old.
    Stale,
}

/// Issues nonces, recognises them and remembers the counts with which they were used.
pub(super) struct Nonces {
    /// Keyed, and with the realm taken in.
    mac: Hmac<Sha256>,
    life: Duration,
    entries: usize,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    counts: BTreeMap<Id, Counts>,
    /// The youngest nonce that was forgotten for want of room: what is not younger and not in `counts` may have been used before.
    forgotten: Option<Id>,
}

/// The counts seen with one nonce: the highest, and which of the 64 up to it, as requests overtake each other.
#[derive(Clone, Copy)]
struct Counts {
    highest: u32,
    seen: u64,
}

impl core::fmt::Debug for Nonces {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Nonces").field("life", &self.life).field("entries", &self.entries).finish_non_exhaustive()
    }
}

/// Octets of the authentication code that are kept: 128 bits.
const MAC_OCTETS: usize = 16;
/// Characters of a nonce: time, random number and authentication code in hexadecimal.
const TEXT_LENGTH: usize = 16 + 16 + 2 * MAC_OCTETS;

impl Nonces {
    pub(super) fn new(realm: &str, key: &[u8; 32], life_seconds: u32, entries: usize) -> Self {
        // RFC 2104: a key shorter than the block is padded with zeros.
        let mut block = [0; 64];
        block.iter_mut().zip(key).for_each(|(octet, key)| *octet = *key);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        mac.update(b"nonce of realm ");
        mac.update(realm.as_bytes());
        mac.update(&[0]);
        Self { mac, life: Duration::from_secs(life_seconds.into()), entries, used: Mutex::default() }
    }

    pub(super) fn make(&self, now: Instant, random: &mut Random) -> String {
        let id = Id { issued: now, random: random.next_u64() };
        let mut text = String::with_capacity(TEXT_LENGTH);
        text.push_str(Hex::from_octets(&id.octets()).as_str());
        text.push_str(self.code(id).as_str());
        text
    }

    /// RFC 7616 5.4: a nonce is recognised by what it carries; nothing is looked up.
    pub(super) fn age(&self, text: &[u8], now: Instant) -> Age {
        let Some(id) = Id::read(text) else { return Age::Stale };
        let code = text.get(32..).unwrap_or_default();
        if !equal_in_constant_time(self.code(id).as_bytes(), code) {
            return Age::Stale;
        }
        // A clock that was set back over a restart makes nonces of the future; they live as long before their moment as behind it.
        if now.since(id.issued) > self.life || id.issued.since(now) > self.life { Age::Stale } else { Age::Fresh(id) }
    }

    /// Uses up `count` with a fresh nonce; `false` when it was used before, or might have been.
    pub(super) fn use_count(&self, id: Id, count: u32, now: Instant) -> bool {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(counts) = used.counts.get_mut(&id) {
            return counts.take(count);
        }
        if used.forgotten.is_some_and(|forgotten| id <= forgotten) {
            cov_mark::hit!(forgotten_nonce_is_stale);
            return false;
        }
        while let Some(oldest) = used.counts.first_entry() {
            let expired = now.since(oldest.key().issued) > self.life;
            if !expired && used.counts.len() < self.entries {
                break;
            }
            if let Some((forgotten, _)) = used.counts.pop_first()
                && !expired
            {
                used.forgotten = Some(forgotten);
            }
        }
        used.counts.insert(id, Counts { highest: count, seen: 1 });
        true
    }

    fn code(&self, id: Id) -> Hex {
        let mut mac = self.mac.clone();
        mac.update(&id.octets());
        Hex::from_octets(mac.finalize().into_bytes().get(..MAC_OCTETS).unwrap_or_default())
    }
}

impl Id {
    fn octets(self) -> [u8; 16] {
        (u128::from(self.issued.unix_micros()) << 64 | u128::from(self.random)).to_be_bytes()
    }

    fn read(text: &[u8]) -> Option<Self> {
        if text.len() != TEXT_LENGTH {
            return None;
        }
        let number = |from: usize| -> Option<u64> {
            let digits = text.get(from..from + 16)?;
            // Only the spelling that was handed out: another one would be another key for the same nonce.
            if !digits.iter().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
                return None;
            }
            u64::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()
        };
        Some(Self { issued: Instant::from_unix_micros(number(0)?), random: number(16)? })
    }
}

impl Counts {
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let step = count - self.highest;
            self.seen = self.seen.checked_shl(step).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let Some(bit) = 1_u64.checked_shl(self.highest - count) else { return false };
        let unseen = self.seen & bit == 0;
        self.seen |= bit;
        unseen
    }
}
