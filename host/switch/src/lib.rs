//! The rules: who may register and call, where a call goes, what it holds while it lasts.
//!
//! This crate is pure, as `sip` is: time and randomness are arguments, and it knows neither sockets nor WebAssembly. Policies are seen only
//! as values: facts go out ([`facts`]), decisions come back ([`decision`]).

mod boundary;
pub mod bridge;
pub mod decision;
pub mod directory;
pub mod emergency;
pub mod extension;
pub mod facts;
pub mod flood;
pub mod gruu;
pub mod idle;
pub mod intake;
pub mod licence;
pub mod limits;
pub mod lines;
pub mod message;
pub mod park;
pub mod plan;
pub mod privacy;
pub mod record;
pub mod registrar;
pub mod settings;
pub mod site;
pub mod subscription;
pub mod toll;
pub mod trunk;
pub mod zone;

#[cfg(test)]
mod fixture;

pub use limits::Limits;
