//! How many subscriptions there may be, for one endpoint and on the whole site.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts the subscriptions of a site.
#[derive(Clone, Debug, Default)]
pub struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_endpoint: BTreeMap<Arc<str>, usize>,
}

/// The place of one subscription; given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Places,
    endpoint: Arc<str>,
}

/// Which limit leaves no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// That of one endpoint.
    Endpoint,
    /// That of the site.
    Site,
}

impl Places {
    /// Takes a place.
    ///
    /// # Errors
    /// When `most` subscriptions are there, or `most_of_one` of this endpoint.
    pub fn take(&self, endpoint: &str, most_of_one: usize, most: usize) -> Result<Place, Full> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.all >= most {
            return Err(Full::Site);
        }
        let (endpoint, count) = match taken.by_endpoint.get_key_value(endpoint) {
            Some((endpoint, count)) => (Arc::clone(endpoint), *count),
            None => (Arc::from(endpoint), 0),
        };
        if count >= most_of_one {
            return Err(Full::Endpoint);
        }
        taken.all += 1;
        taken.by_endpoint.insert(Arc::clone(&endpoint), count + 1);
        Ok(Place { places: self.clone(), endpoint })
    }

    /// How many there are.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all -= 1;
        if let Some(count) = taken.by_endpoint.get_mut(&self.endpoint) {
            *count -= 1;
            if *count == 0 {
                taken.by_endpoint.remove(&self.endpoint);
            }
        }
    }
}
