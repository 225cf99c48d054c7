//! The world: sockets, TLS, WebAssembly, the store, the terminal. The binary `holdfast` is a thin door to this library.
//!
//! `cli` reads the command line; `gateway` starts everything in order; `driver` is the loop of one shard; `reload` takes changes over.

mod callbacks;
pub mod calls;
pub mod cdr;
pub mod check;
pub mod cli;
pub mod clock;
pub mod config;
pub mod data;
pub mod demo;
pub mod driver;
pub mod gateway;
pub mod journal;
pub mod keeper;
pub mod licences;
pub mod manage;
pub mod net;
pub mod notify;
pub mod observe;
pub mod policy;
mod priority;
pub mod provision;
pub mod record;
pub mod reload;
pub mod rest;
pub mod serve;
mod sheet;
mod sources;
pub mod store;
pub mod tolls;
