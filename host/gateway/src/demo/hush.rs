//! Lines of the log wait while the ladder is drawn: on a terminal each would stand in the middle of it.

use std::{
    io::{self, Write as _},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// What waits; `None`: nothing has to.
static WAITING: Mutex<Option<Vec<u8>>> = Mutex::new(None);

/// Octets that wait at most; further lines are written at once.
const MOST: usize = 64 << 10;

fn waiting() -> MutexGuard<'static, Option<Vec<u8>>> {
    WAITING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Standard error, for the log.
#[derive(Clone, Copy, Debug)]
pub struct Log;

impl io::Write for Log {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        match &mut *waiting() {
            Some(held) if held.len() + octets.len() <= MOST => held.extend_from_slice(octets),
            _ => io::stderr().write_all(octets)?,
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The log waits until this is dropped.
pub(super) struct Hush;

impl Hush {
    pub(super) fn begin() -> Self {
        waiting().get_or_insert_default();
        Self
    }
}

impl Drop for Hush {
    fn drop(&mut self) {
        if let Some(held) = waiting().take() {
            // Nowhere is left to report that this fails.
            io::stderr().write_all(&held).ok();
        }
    }
}
