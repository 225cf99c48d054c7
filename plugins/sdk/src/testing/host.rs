//! The host's interfaces on any other target than WebAssembly: what the generated bindings ask there. As the gateway answers
//! (`host/gateway/src/policy/v1/host.rs`).

use super::{Moment, asked, subject::Seen, subject::Subject};
use std::rc::Rc;

/// See `wit/calls.wit`.
pub mod calls {
    use super::{Moment, Rc, Seen, Subject, asked};
    use crate::{Attribute, Call};

    #[track_caller]
    #[allow(clippy::panic, reason = "cannot be reached: there is no call to ask outside of a decision")]
    fn of<T>(_: &Call, answer: impl FnOnce(&Seen) -> T) -> T {
        let moment: Rc<Moment> = asked();
        let Subject::Call(call) = &moment.subject else { panic!("a call was asked outside of its decision") };
        answer(call)
    }

    pub(crate) fn call_id(call: &Call) -> String {
        of(call, |call| call.header("Call-ID")).unwrap_or_default()
    }

    pub(crate) fn caller_name(call: &Call) -> String {
        of(call, |call| call.caller_name.clone())
    }

    pub(crate) fn request_uri(call: &Call) -> String {
        of(call, |call| call.request_uri.clone())
    }

    pub(crate) fn header(call: &Call, name: &str) -> Option<String> {
        of(call, |call| call.header(name))
    }

    pub(crate) fn attribute(call: &Call, name: &str) -> Option<String> {
        of(call, |call| call.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value.clone()))
    }

    pub(crate) fn attributes(call: &Call) -> Vec<Attribute> {
        of(call, |call| call.attributes.clone())
    }

    pub(crate) fn source(call: &Call) -> String {
        of(call, |call| call.source.clone())
    }

    pub(crate) fn transport(call: &Call) -> String {
        of(call, |call| call.transport.to_owned())
    }
}

/// See `wit/registrations.wit`.
pub mod registrations {
    use super::{Moment, Rc, Seen, Subject, asked};
    use crate::{Attribute, Registration};

    #[track_caller]
    #[allow(clippy::panic, reason = "cannot be reached: there is no registration to ask outside of a decision")]
    fn of<T>(_: &Registration, answer: impl FnOnce(&Seen) -> T) -> T {
        let moment: Rc<Moment> = asked();
        let Subject::Registration(registration) = &moment.subject else { panic!("a registration was asked outside of its decision") };
        answer(registration)
    }

    pub(crate) fn call_id(registration: &Registration) -> String {
        of(registration, |registration| registration.header("Call-ID")).unwrap_or_default()
    }

    pub(crate) fn contact(registration: &Registration) -> String {
        of(registration, |registration| registration.contact.clone())
    }

    pub(crate) fn header(registration: &Registration, name: &str) -> Option<String> {
        of(registration, |registration| registration.header(name))
    }

    pub(crate) fn attributes(registration: &Registration) -> Vec<Attribute> {
        of(registration, |registration| registration.attributes.clone())
    }

    pub(crate) fn source(registration: &Registration) -> String {
        of(registration, |registration| registration.source.clone())
    }

    pub(crate) fn transport(registration: &Registration) -> String {
        of(registration, |registration| registration.transport.to_owned())
    }
}

/// See `wit/directory.wit`.
pub mod directory {
    use super::asked;
    use crate::{
        directory::{Binding, CallSettings, Endpoint, Standing},
        testing,
    };

    #[track_caller]
    fn find(matches: impl Fn(&testing::Endpoint) -> bool) -> Option<Endpoint> {
        asked().site.endpoints.iter().find(|endpoint| matches(endpoint)).map(|found| Endpoint {
            id: found.id.clone(),
            extension: found.extension.clone(),
            name: found.name.clone(),
            enabled: found.enabled,
        })
    }

    #[track_caller]
    pub(crate) fn endpoint_by_id(id: &str) -> Option<Endpoint> {
        find(|endpoint| endpoint.id == id)
    }

    #[track_caller]
    pub(crate) fn endpoint_by_extension(extension: &str) -> Option<Endpoint> {
        find(|endpoint| endpoint.extension == extension)
    }

    #[track_caller]
    pub(crate) fn endpoint_by_number(number: &str) -> Option<Endpoint> {
        find(|endpoint| endpoint.numbers.iter().any(|owned| owned == number))
    }

    #[track_caller]
    pub(crate) fn numbers_of(id: &str) -> Vec<String> {
        asked().site.endpoint(id).map(|endpoint| endpoint.numbers.clone()).unwrap_or_default()
    }

    #[track_caller]
    pub(crate) fn pool_of(id: &str) -> Option<String> {
        asked().site.endpoint(id)?.pool.clone()
    }

    #[track_caller]
    pub(crate) fn standing_of(id: &str) -> Standing {
        let moment = asked();
        let mut bindings = moment.site.bindings(id).peekable();
        if bindings.peek().is_none() {
            return Standing::Unregistered;
        }
        if bindings.all(|binding| binding.emergency_only) { Standing::EmergencyOnly } else { Standing::Registered }
    }

    #[track_caller]
    pub(crate) fn bindings_of(id: &str) -> Vec<Binding> {
        asked().site.bindings(id).cloned().collect()
    }

    #[track_caller]
    pub(crate) fn call_settings_of(id: &str) -> Option<CallSettings> {
        asked().site.endpoints.iter().find(|endpoint| endpoint.id == id)?.calls.clone()
    }

    #[track_caller]
    pub(crate) fn dial_class_of(id: &str) -> Option<String> {
        asked().site.endpoints.iter().find(|endpoint| endpoint.id == id)?.dial_class.clone()
    }

    #[track_caller]
    pub(crate) fn longest_extension() -> u32 {
        let longest = asked().site.endpoints.iter().map(|endpoint| endpoint.extension.chars().count()).max();
        longest.map_or(0, |longest| u32::try_from(longest).unwrap_or(u32::MAX))
    }

    #[track_caller]
    pub(crate) fn idle_seconds(id: &str) -> Option<u32> {
        asked().site.idle.get(id).copied()
    }

    #[track_caller]
    pub(crate) fn outage_seconds() -> Option<u32> {
        asked().site.outage
    }
}

/// See `wit/licences.wit`.
pub mod licences {
    use super::asked;
    use crate::licences::{Place, Standing, Usage, Validity};

    #[track_caller]
    pub(crate) fn names() -> Vec<String> {
        asked().site.pools.iter().map(|(name, ..)| name.clone()).collect()
    }

    #[track_caller]
    pub(crate) fn standing_of(pool: &str) -> Option<Standing> {
        let moment = asked();
        let &(_, _, most) = moment.site.pools.iter().find(|(name, ..)| name == pool)?;
        let told = moment.site.standings.iter().find(|(name, _)| name == pool).map(|(_, standing)| *standing);
        Some(told.unwrap_or(Standing { kept: 0, waiting: 0, most, refused: 0, validity: Validity::Valid }))
    }

    /// Whoever is registered with a seat has it of the pool that the directory names.
    #[track_caller]
    pub(crate) fn place_of(pool: &str, endpoint: &str) -> Option<Place> {
        let moment = asked();
        moment.site.pools.iter().find(|(name, ..)| name == pool)?;
        let draws = moment.site.endpoints.iter().any(|known| known.id == endpoint && known.pool.as_deref() == Some(pool));
        let seated = draws && moment.site.bindings(endpoint).any(|binding| !binding.emergency_only);
        Some(if seated { Place::Seated } else { Place::None })
    }

    #[track_caller]
    pub(crate) fn usage_of(pool: &str) -> Option<Usage> {
        asked().site.pools.iter().find(|(name, ..)| name == pool).map(|&(_, seats, taken)| Usage { seats, taken })
    }
}

/// See `wit/trunks.wit`.
pub mod trunks {
    use super::asked;
    use crate::trunks::{OutsideUsage, Standing, Trunk};

    #[track_caller]
    pub(crate) fn names() -> Vec<String> {
        asked().site.trunks.iter().map(|trunk| trunk.name.clone()).collect()
    }

    #[track_caller]
    pub(crate) fn emergency_names() -> Vec<String> {
        asked().site.emergency_trunks.clone()
    }

    #[track_caller]
    pub(crate) fn trunk_by_name(name: &str) -> Option<Trunk> {
        let moment = asked();
        let found = moment.site.trunks.iter().find(|trunk| trunk.name == name)?;
        Some(Trunk { name: found.name.clone(), healthy: found.standing != Standing::Down, calls: found.calls })
    }

    #[track_caller]
    pub(crate) fn standing_of(name: &str) -> Option<Standing> {
        asked().site.trunks.iter().find(|trunk| trunk.name == name).map(|trunk| trunk.standing)
    }

    #[track_caller]
    pub(crate) fn own_part(trunk: &str, number: &str) -> Option<String> {
        let moment = asked();
        let found = moment.site.trunks.iter().find(|known| known.name == trunk)?;
        let pattern = found.numbers.iter().find(|pattern| matches(pattern.as_bytes(), number.as_bytes()))?;
        let part = pattern.split_once('%').and_then(|(before, after)| number.strip_prefix(before)?.strip_suffix(after));
        Some(part.unwrap_or(number).to_owned())
    }

    #[track_caller]
    pub(crate) fn usage_of(endpoint: &str) -> OutsideUsage {
        let used = asked().site.used.get(endpoint).copied().unwrap_or_default();
        OutsideUsage {
            calls: used.calls,
            calls_in_hour: used.calls_in_hour,
            seconds_in_day: used.seconds_in_day,
            seconds_in_outage: used.seconds_in_outage,
        }
    }

    /// Whether the whole number fits: `%` stands for any digits, also none.
    fn matches(pattern: &[u8], number: &[u8]) -> bool {
        match (pattern, number) {
            ([], []) => true,
            ([b'%', behind @ ..], _) if matches(behind, number) => true,
            ([b'%', ..], [digit, left @ ..]) => digit.is_ascii_digit() && matches(pattern, left),
            ([wanted, behind @ ..], [found, left @ ..]) => wanted == found && matches(behind, left),
            _ => false,
        }
    }
}

/// See `wit/locations.wit`.
pub mod locations {
    use super::asked;
    use crate::locations::Location;

    #[track_caller]
    pub(crate) fn location_by_name(name: &str) -> Option<Location> {
        let moment = asked();
        let found = moment.site.locations.iter().find(|location| location.name == name)?;
        Some(Location { name: found.name.clone(), elin: found.elin.clone(), address: found.address.clone() })
    }
}

/// See `wit/settings.wit`.
pub mod settings {
    use super::asked;
    use crate::{Setting, Value};

    #[track_caller]
    pub(crate) fn get(key: &str) -> Option<Value> {
        asked().site.settings.iter().find(|setting| setting.key == key).map(|setting| setting.value.clone())
    }

    #[track_caller]
    pub(crate) fn all() -> Vec<Setting> {
        asked().site.settings.clone()
    }
}

/// See `wit/log.wit`.
pub mod log {
    use super::asked;
    use crate::log::Level;

    const LINE_MAX: usize = 1024;

    #[track_caller]
    pub(crate) fn write(level: Level, message: &str) {
        let moment = asked();
        let Some(left) = moment.lines.get().checked_sub(1) else { return };
        moment.lines.set(left);
        let kept = (0..=LINE_MAX).rev().find_map(|end| message.get(..end)).unwrap_or_default();
        moment.site.log.borrow_mut().push((level, kept.to_owned()));
    }
}

/// See `wit/clock.wit`.
pub mod clock {
    use super::asked;

    #[track_caller]
    pub(crate) fn now_ms() -> u64 {
        asked().site.now_ms
    }

    #[track_caller]
    pub(crate) fn utc_offset_minutes() -> i32 {
        asked().site.utc_offset_minutes
    }
}

/// See `wit/memory.wit`.
pub mod memory {
    use super::asked;
    use crate::memory::MemoryError;
    use std::collections::BTreeMap;

    const KEYS_MAX: usize = 1024;
    const KEY_MAX: usize = 128;
    const VALUE_MAX: usize = 4096;

    #[track_caller]
    pub(crate) fn get(key: &str) -> Option<String> {
        asked().site.memory.borrow().get(key).cloned()
    }

    #[track_caller]
    pub(crate) fn set(key: &str, value: &str) -> Result<(), MemoryError> {
        put(&mut asked().site.memory.borrow_mut(), key, value)
    }

    #[track_caller]
    pub(crate) fn remove(key: &str) {
        asked().site.memory.borrow_mut().remove(key);
    }

    #[track_caller]
    pub(crate) fn add(key: &str, amount: i64) -> Result<i64, MemoryError> {
        let moment = asked();
        let mut values = moment.site.memory.borrow_mut();
        let sum = values.get(key).and_then(|value| value.parse::<i64>().ok()).unwrap_or(0).saturating_add(amount);
        put(&mut values, key, &sum.to_string())?;
        Ok(sum)
    }

    fn put(values: &mut BTreeMap<String, String>, key: &str, value: &str) -> Result<(), MemoryError> {
        if key.len() > KEY_MAX || value.len() > VALUE_MAX {
            return Err(MemoryError::TooLong);
        }
        if values.len() >= KEYS_MAX && !values.contains_key(key) {
            return Err(MemoryError::Full);
        }
        values.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
}
