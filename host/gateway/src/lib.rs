//! The world: sockets, TLS, WebAssembly, the store, the terminal. The binary `holdfast` is a thin door to this library.

pub mod calls;
pub mod demo;
pub mod policy;
