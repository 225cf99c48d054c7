//! The protocol: bytes to messages and back, framing, transactions, dialogs and digest authentication.
//!
//! This crate is pure. It has no socket, clock, random source, thread or log; all of them are arguments, so that every
//! failing test is a seed that anybody can replay. It knows no rule of Holdfast's own: who may register or call is decided above.
//!
//! How a message travels: [`message::Message::parse`] → [`stack::Stack::receive`] → effects in an [`stack::Outbox`].

pub mod build;
pub mod dialog;
pub mod digest;
pub mod frame;
pub mod header;
pub mod kept;
pub mod limits;
pub mod message;
pub mod random;
pub mod stack;
pub mod time;
pub mod transport;
pub mod uri;

pub use limits::Limits;
pub use message::Message;
pub use time::Instant;
