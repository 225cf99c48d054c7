//! Policies through the real host: the shipped four, a zoo of bad ones, and files that come, change and go.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

mod aside;
mod breaker;
mod case;
mod cases;
mod contract;
mod record;
mod refused;
mod rollback;
mod shadow;
mod shipped;
mod stock;
mod swap;
mod zoo;
