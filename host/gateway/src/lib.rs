//! The world: sockets, TLS, WebAssembly, the store, the terminal. The binary `holdfast` is a thin door to this library.

pub mod calls;
pub mod clock;
pub mod config;
pub mod data;
pub mod demo;
pub mod net;
pub mod observe;
pub mod policy;
pub mod store;
