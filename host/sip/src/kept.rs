//! What is kept of the protocol's values over a restart: how they are written down and read again.
//!
//! The format itself is the shell's business; here stands only what serde must be told. A message is kept as its octets and parsed again, so that nothing
//! that has not passed the parser can come back.

use crate::{Limits, Message};
use bytes::Bytes;
use core::fmt;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, Visitor},
};

/// What was taken in under the limits of its time is taken in again.
const ANY: Limits = Limits { message_bytes: usize::MAX, headers: usize::MAX, server_transactions: 0, client_transactions: 0 };

impl Serialize for Message {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.bytes())
    }
}

impl<'de> Deserialize<'de> for Message {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = octets::deserialize(deserializer)?;
        Self::parse(Bytes::from(bytes), &ANY).map_err(D::Error::custom)
    }
}

/// `#[serde(with = "…")]` for octets: as one run instead of one by one.
pub mod octets {
    use super::*;

    /// Writes them.
    ///
    /// # Errors
    /// Those of the format.
    pub fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(octets)
    }

    /// Reads them.
    ///
    /// # Errors
    /// When something else stands there.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Octets)
    }

    struct Octets;

    impl Visitor<'_> for Octets {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("octets")
        }

        fn visit_bytes<E: Error>(self, octets: &[u8]) -> Result<Vec<u8>, E> {
            Ok(octets.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, octets: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(octets)
        }
    }
}
