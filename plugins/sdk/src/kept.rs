//! Values that are made once in the life of an instance.

use std::ops::Deref;

/// A value that is made at its first use and kept for the life of the instance: settings, read and ready to use.
///
/// ```
/// # use holdfast_policy::*;
/// static LIMIT: Kept<i64> = Kept::new(|| Settings::all().number("limit").ok().flatten().unwrap_or(10));
/// ```
///
/// Not a place for what one decision tells the next: instances come and go, and each processor core has its own. That is what [`crate::memory`] is for.
#[derive(Debug)]
pub struct Kept<T: 'static> {
    #[cfg(target_arch = "wasm32")]
    value: std::sync::OnceLock<T>,
    /// In tests every site has an instance of its own. What they keep is never freed: a reference to it lives as long as the `static` around it.
    #[cfg(not(target_arch = "wasm32"))]
    values: std::sync::Mutex<std::collections::BTreeMap<u64, &'static T>>,
    make: fn() -> T,
}

impl<T> Kept<T> {
    /// Made by `make` when it is first needed.
    pub const fn new(make: fn() -> T) -> Self {
        Self {
            #[cfg(target_arch = "wasm32")]
            value: std::sync::OnceLock::new(),
            #[cfg(not(target_arch = "wasm32"))]
            values: std::sync::Mutex::new(std::collections::BTreeMap::new()),
            make,
        }
    }
}

impl<T> Deref for Kept<T> {
    type Target = T;

    #[cfg(target_arch = "wasm32")]
    fn deref(&self) -> &T {
        self.value.get_or_init(|| crate::arena::keep(self.make))
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn deref(&self) -> &T {
        let instance = crate::testing::instance();
        let known = || self.values.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(value) = known().get(&instance).copied() {
            return value;
        }
        // Made without the lock: `make` may ask for another value, or panic.
        let made = Box::leak(Box::new((self.make)()));
        known().entry(instance).or_insert(made)
    }
}
