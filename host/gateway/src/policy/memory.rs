//! The interface `memory`: a few values that outlive a decision, one set for each policy name.

use super::v1::imports::memory::MemoryError;
use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

const KEYS_MAX: usize = 1024;
const KEY_MAX: usize = 128;
const VALUE_MAX: usize = 4096;

/// What one policy keeps, for all shards and all versions of it.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<BTreeMap<String, String>>);

impl Memory {
    /// The same values, for somebody who changes nothing here.
    pub(crate) fn copy(&self) -> Self {
        Self(Mutex::new(self.lock().clone()))
    }

    pub(crate) fn get(&self, key: &str) -> Option<String> {
        self.lock().get(key).cloned()
    }

    pub(crate) fn set(&self, key: String, value: String) -> Result<(), MemoryError> {
        put(&mut self.lock(), key, value)
    }

    pub(crate) fn remove(&self, key: &str) {
        self.lock().remove(key);
    }

    pub(crate) fn add(&self, key: String, amount: i64) -> Result<i64, MemoryError> {
        let mut values = self.lock();
        let sum = values.get(&key).and_then(|value| value.parse::<i64>().ok()).unwrap_or(0).saturating_add(amount);
        put(&mut values, key, sum.to_string())?;
        Ok(sum)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(values: &mut BTreeMap<String, String>, key: String, value: String) -> Result<(), MemoryError> {
    if key.len() > KEY_MAX || value.len() > VALUE_MAX {
        return Err(MemoryError::TooLong);
    }
    if values.len() >= KEYS_MAX && !values.contains_key(&key) {
        return Err(MemoryError::Full);
    }
    values.insert(key, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold() {
        let memory = Memory::default();
        assert_eq!(memory.set("k".repeat(KEY_MAX + 1), String::new()), Err(MemoryError::TooLong));
        assert_eq!(memory.set("k".to_owned(), "v".repeat(VALUE_MAX + 1)), Err(MemoryError::TooLong));
        for key in 0..KEYS_MAX {
            memory.set(key.to_string(), "v".to_owned()).unwrap();
        }
        assert_eq!(memory.set("one more".to_owned(), String::new()), Err(MemoryError::Full));
        assert_eq!(memory.set("7".to_owned(), "w".to_owned()), Ok(()), "a key that is there can be written");
        memory.remove("8");
        assert_eq!(memory.add("calls".to_owned(), 2), Ok(2));
        assert_eq!(memory.add("calls".to_owned(), -5), Ok(-3));
        assert_eq!(memory.add("7".to_owned(), 1), Ok(1), "what is no number counts as 0");
    }
}
