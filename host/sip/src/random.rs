//! Randomness as a value: one seeded generator, given by the shell, makes every tag, branch, Call-ID and key.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng as _, SeedableRng as _},
};

/// A seeded, cryptographically strong generator. The same seed gives the same sequence on every machine.
///
/// It is deliberately not `Clone`: two copies would hand out the same tags.
#[derive(Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    /// A generator that replays the sequence of `seed`. In production the seed comes from the operating system.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(ChaCha8Rng::from_seed(seed))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A token of 16 characters from `[0-9a-z]` with 64 random bits: RFC 3261 19.3 asks for at least 32 in a tag.
    pub fn token(&mut self) -> Token {
        Token::from_bits(self.next_u64())
    }
}

/// Sixteen lower-case hexadecimal characters, usable as tag, branch part or Call-ID part without an allocation.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token([u8; 16]);

impl Token {
    pub(crate) fn from_bits(bits: u64) -> Self {
        let mut text = [b'0'; 16];
        for (place, slot) in text.iter_mut().enumerate() {
            let nibble = (bits >> (60 - 4 * place)) & 0xf;
            *slot = b"0123456789abcdef".get(usize::try_from(nibble).unwrap_or(0)).copied().unwrap_or(b'0');
        }
        Self(text)
    }

    /// The token as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The token as octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl core::fmt::Display for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
