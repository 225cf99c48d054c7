//! Values that are made once in the life of an instance.

use std::{ops::Deref, sync::OnceLock};

/// A value that is made at its first use and kept for the life of the instance: settings, read and ready to use.
///
/// ```
/// # use holdfast_policy::*;
/// static LIMIT: Kept<i64> = Kept::new(|| Settings::all().number("limit").ok().flatten().unwrap_or(10));
/// ```
///
/// Not a place for what one decision tells the next: instances come and go, and each processor core has its own. That is what [`crate::memory`] is for.
#[derive(Debug)]
pub struct Kept<T> {
    value: OnceLock<T>,
    make: fn() -> T,
}

impl<T> Kept<T> {
    /// Made by `make` when it is first needed.
    pub const fn new(make: fn() -> T) -> Self {
        Self { value: OnceLock::new(), make }
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        #[cfg(target_arch = "wasm32")]
        return self.value.get_or_init(|| crate::arena::keep(self.make));
        #[cfg(not(target_arch = "wasm32"))]
        return self.value.get_or_init(self.make);
    }
}
