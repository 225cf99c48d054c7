//! The host's interfaces: what a component may ask while it decides. Every answer comes from memory; none waits.

use super::{CurrentCall, CurrentRegistration, facts, imports};
use crate::policy::instance::{State, Subject};
use sip::header::Name;
use std::time::Duration;
use switch::{directory::Endpoint, emergency, facts::CallKind, idle::Rest};
use wasmtime::{
    Result,
    component::{HasSelf, Linker, Resource},
};

/// Adds one interface of the contract to a linker.
pub(in crate::policy) fn add(linker: &mut Linker<State>, interface: &str) -> Result<()> {
    match interface {
        "types" => imports::types::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
        "calls" => imports::calls::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
        "registrations" => imports::registrations::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
        "directory" => imports::directory::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
        "licences" => imports::licences::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
        "trunks" => imports::trunks::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
        "locations" => imports::locations::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
        "settings" => imports::settings::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
        "log" => imports::log::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
        "clock" => imports::clock::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
        "memory" => imports::memory::add_to_linker::<_, HasSelf<State>>(linker, |state| state),
        other => Err(wasmtime::Error::msg(format!("no interface `{other}`"))),
    }
}

impl imports::types::Host for State {}
impl imports::calls::Host for State {}
impl imports::registrations::Host for State {}

impl imports::calls::HostCall for State {
    fn call_id(&mut self, _: Resource<CurrentCall>) -> Result<String> {
        Ok(facts::text(self.call()?.message.call_id()))
    }

    fn caller_name(&mut self, _: Resource<CurrentCall>) -> Result<String> {
        Ok(self.call()?.caller_name.clone())
    }

    fn request_uri(&mut self, _: Resource<CurrentCall>) -> Result<String> {
        Ok(facts::text(self.call()?.message.request_uri()))
    }

    fn header(&mut self, _: Resource<CurrentCall>, name: String) -> Result<Option<String>> {
        Ok(header(&self.call()?.message, &name))
    }

    fn attribute(&mut self, _: Resource<CurrentCall>, name: String) -> Result<Option<String>> {
        Ok(self.call()?.attributes.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone()))
    }

    fn attributes(&mut self, _: Resource<CurrentCall>) -> Result<Vec<imports::types::Attribute>> {
        Ok(attributes(&self.call()?.attributes))
    }

    fn source(&mut self, _: Resource<CurrentCall>) -> Result<String> {
        Ok(self.call()?.flow.remote.to_string())
    }

    fn transport(&mut self, _: Resource<CurrentCall>) -> Result<String> {
        Ok(self.call()?.flow.transport.uri_token().to_owned())
    }

    fn drop(&mut self, _: Resource<CurrentCall>) -> Result<()> {
        Ok(())
    }
}

impl imports::registrations::HostRegistration for State {
    fn call_id(&mut self, _: Resource<CurrentRegistration>) -> Result<String> {
        Ok(facts::text(self.registration()?.message.call_id()))
    }

    fn contact(&mut self, _: Resource<CurrentRegistration>) -> Result<String> {
        Ok(self.registration()?.contact.clone())
    }

    fn header(&mut self, _: Resource<CurrentRegistration>, name: String) -> Result<Option<String>> {
        Ok(header(&self.registration()?.message, &name))
    }

    fn attributes(&mut self, _: Resource<CurrentRegistration>) -> Result<Vec<imports::types::Attribute>> {
        Ok(attributes(&self.registration()?.attributes))
    }

    fn source(&mut self, _: Resource<CurrentRegistration>) -> Result<String> {
        Ok(self.registration()?.flow.remote.to_string())
    }

    fn transport(&mut self, _: Resource<CurrentRegistration>) -> Result<String> {
        Ok(self.registration()?.flow.transport.uri_token().to_owned())
    }

    fn drop(&mut self, _: Resource<CurrentRegistration>) -> Result<()> {
        Ok(())
    }
}

impl imports::directory::Host for State {
    fn endpoint_by_id(&mut self, id: String) -> Result<Option<imports::directory::Endpoint>> {
        self.answer("directory.endpoint-by-id", &[&id], |state| state.directory.endpoint(&id).map(|found| endpoint(found)))
    }

    fn endpoint_by_extension(&mut self, extension: String) -> Result<Option<imports::directory::Endpoint>> {
        self.answer("directory.endpoint-by-extension", &[&extension], |state| {
            state.directory.by_extension(&extension).map(|found| endpoint(found))
        })
    }

    fn endpoint_by_number(&mut self, number: String) -> Result<Option<imports::directory::Endpoint>> {
        self.answer("directory.endpoint-by-number", &[&number], |state| state.directory.by_number(&number).map(|found| endpoint(found)))
    }

    fn numbers_of(&mut self, id: String) -> Result<Vec<String>> {
        self.answer("directory.numbers-of", &[&id], |state| {
            state.directory.endpoint(&id).map(|found| found.numbers.clone()).unwrap_or_default()
        })
    }

    fn pool_of(&mut self, id: String) -> Result<Option<String>> {
        self.answer("directory.pool-of", &[&id], |state| state.directory.endpoint(&id).and_then(|found| found.licence.clone()))
    }

    fn standing_of(&mut self, id: String) -> Result<imports::directory::Standing> {
        use imports::directory::Standing;
        self.answer("directory.standing-of", &[&id], |state| {
            let bindings = state.site.bindings(&id, state.now);
            match bindings.iter().all(|binding| binding.emergency_only) {
                _ if bindings.is_empty() => Standing::Unregistered,
                true => Standing::EmergencyOnly,
                false => Standing::Registered,
            }
        })
    }

    fn bindings_of(&mut self, id: String) -> Result<Vec<imports::directory::Binding>> {
        self.answer("directory.bindings-of", &[&id], |state| {
            let now = state.now;
            let bindings = state.site.bindings(&id, now);
            let told = bindings.iter().map(|binding| imports::directory::Binding {
                contact: binding.contact.to_string(),
                user_agent: binding.user_agent.to_string(),
                expires_seconds: u32::try_from(binding.expires.since(now).as_secs()).unwrap_or(u32::MAX),
                emergency_only: binding.emergency_only,
            });
            told.collect::<Vec<_>>()
        })
    }

    fn call_settings_of(&mut self, id: String) -> Result<Option<imports::directory::CallSettings>> {
        self.answer("directory.call-settings-of", &[&id], |state| {
            // What the user may dial is asked for itself.
            let settings = state.directory.calls_of(&id).filter(|settings| settings.ring_seconds.is_some() || settings.forwards())?;
            Some(imports::directory::CallSettings {
                ring_seconds: settings.ring_seconds,
                forward_always: settings.forward_always.clone(),
                forward_busy: settings.forward_busy.clone(),
                forward_no_answer: settings.forward_no_answer.clone(),
                forward_unreachable: settings.forward_unreachable.clone(),
            })
        })
    }

    fn dial_class_of(&mut self, endpoint: String) -> Result<Option<String>> {
        self.answer("directory.dial-class-of", &[&endpoint], |state| state.directory.dial_class(&endpoint).map(str::to_owned))
    }

    fn longest_extension(&mut self) -> Result<u32> {
        self.answer("directory.longest-extension", &[], Self::longest_extension)
    }

    fn idle_seconds(&mut self, id: String) -> Result<Option<u32>> {
        self.answer("directory.idle-seconds", &[&id], |state| {
            let rest = state.directory.phones(&id).map(|phone| state.site.idle.rest(&phone.id)).min_by_key(|rest| match rest {
                Rest::Talks => (0, None),
                Rest::Since(since) => (1, Some(std::cmp::Reverse(*since))),
                Rest::Never => (2, None),
            });
            match rest {
                Some(Rest::Talks) => Some(0),
                // Who has just hung up does not talk any more.
                Some(Rest::Since(since)) => Some(whole_seconds(state.now.since(since)).max(1)),
                Some(Rest::Never) | None => None,
            }
        })
    }

    fn outage_seconds(&mut self) -> Result<Option<u32>> {
        self.answer("directory.outage-seconds", &[], |state| state.site.outage().map(|since| whole_seconds(state.now.since(since))))
    }
}

impl imports::licences::Host for State {
    fn names(&mut self) -> Result<Vec<String>> {
        self.answer("licences.names", &[], |state| state.directory.pools.iter().map(|pool| pool.pool.clone()).collect::<Vec<_>>())
    }

    fn standing_of(&mut self, pool: String) -> Result<Option<imports::licences::Standing>> {
        self.answer("licences.standing-of", &[&pool], |state| {
            let report = state.site.ledger.report(&pool, state.now)?;
            Some(imports::licences::Standing {
                kept: report.away,
                waiting: report.waiting,
                most: report.peak.taken,
                refused: report.refused,
                validity: validity(report.validity),
            })
        })
    }

    fn place_of(&mut self, pool: String, endpoint: String) -> Result<Option<imports::licences::Place>> {
        use imports::licences::Place;
        use switch::licence::Standing;
        self.answer("licences.place-of", &[&pool, &endpoint], |state| {
            let holder = state.directory.seat_holder(&pool, &endpoint);
            let place = state.site.ledger.place(&pool, holder, state.now)?;
            Some(place.map_or(Place::None, |place| match place {
                Standing::Seated { .. } => Place::Seated,
                Standing::Waiting { .. } => Place::Waiting,
                Standing::Away => Place::Kept,
            }))
        })
    }

    fn usage_of(&mut self, pool: String) -> Result<Option<imports::licences::Usage>> {
        self.answer("licences.usage-of", &[&pool], |state| {
            state.site.ledger.usage(&pool).map(|usage| imports::licences::Usage { seats: usage.seats, taken: usage.taken })
        })
    }
}

impl imports::trunks::Host for State {
    fn names(&mut self) -> Result<Vec<String>> {
        self.answer("trunks.names", &[], |state| state.directory.trunks.iter().map(|trunk| trunk.name.clone()).collect::<Vec<_>>())
    }

    fn emergency_names(&mut self) -> Result<Vec<String>> {
        self.answer("trunks.emergency-names", &[], |state| {
            // Of a call for help: those that the host itself would try, and in that order.
            let help = match &state.subject {
                Subject::Call(call) if call.kind != CallKind::Normal => emergency::named_trunks(call, &state.directory),
                _ => Vec::new(),
            };
            if help.is_empty() { state.directory.emergency.trunks.clone() } else { help.iter().map(|trunk| trunk.name.clone()).collect() }
        })
    }

    fn trunk_by_name(&mut self, name: String) -> Result<Option<imports::trunks::Trunk>> {
        self.answer("trunks.trunk-by-name", &[&name], |state| {
            let (healthy, calls) = (state.site.trunks.healthy(&name), state.site.trunks.in_use(&name));
            state.directory.trunk(&name).map(|_| imports::trunks::Trunk { name: name.clone(), healthy, calls })
        })
    }

    fn standing_of(&mut self, name: String) -> Result<Option<imports::trunks::Standing>> {
        use imports::trunks::Standing as Told;
        use switch::trunk::Standing;
        self.answer("trunks.standing-of", &[&name], |state| {
            state.directory.trunk(&name).map(|_| match state.site.trunks.standing(&name) {
                Standing::Up => Told::Up,
                Standing::Degraded => Told::Degraded,
                Standing::Down => Told::Down,
            })
        })
    }

    fn own_part(&mut self, trunk: String, number: String) -> Result<Option<String>> {
        self.answer("trunks.own-part", &[&trunk, &number], |state| {
            let trunk = state.directory.trunk(&trunk)?;
            let pattern = trunk.numbers.iter().find(|pattern| pattern.matches(&number))?;
            let part = pattern.0.split_once('%').and_then(|(before, after)| number.strip_prefix(before)?.strip_suffix(after));
            Some(part.unwrap_or(&number).to_owned())
        })
    }

    fn usage_of(&mut self, endpoint: String) -> Result<imports::trunks::OutsideUsage> {
        self.answer("trunks.usage-of", &[&endpoint], |state| {
            let usage = state.site.tolls.usage(state.directory.line_of(&endpoint), state.now);
            imports::trunks::OutsideUsage {
                calls: usage.calls,
                calls_in_hour: usage.calls_in_hour,
                seconds_in_day: whole_seconds(usage.talk_in_day),
                seconds_in_outage: whole_seconds(usage.talk_in_outage),
            }
        })
    }
}

impl imports::locations::Host for State {
    fn location_by_name(&mut self, name: String) -> Result<Option<imports::locations::Location>> {
        self.answer("locations.location-by-name", &[&name], |state| {
            state.directory.location(&name).map(|found| imports::locations::Location {
                name: found.name.clone(),
                elin: found.elin.clone(),
                address: found.address.clone(),
            })
        })
    }
}

impl imports::settings::Host for State {
    fn get(&mut self, key: String) -> Result<Option<imports::settings::ValueResult>> {
        self.asked()?;
        Ok(self.policy.options.settings.iter().find(|(name, _)| *name == key).map(|(_, value)| facts::setting(value)))
    }

    fn all(&mut self) -> Result<Vec<imports::settings::SettingResult>> {
        self.asked()?;
        Ok(facts::settings(&self.policy.options.settings))
    }
}

impl imports::log::Host for State {
    fn write(&mut self, level: imports::log::Level, message: String) -> Result<()> {
        self.asked()?;
        let level_name = match level {
            imports::log::Level::Debug => "debug",
            imports::log::Level::Info => "info",
            imports::log::Level::Warn => "warn",
        };
        let Some(line) = self.log_line(level_name, &message) else { return Ok(()) };
        let call_id = match &self.subject {
            Subject::None => String::new(),
            Subject::Call(call) => facts::text(call.message.call_id()),
            Subject::Registration(registration) => facts::text(registration.message.call_id()),
        };
        let policy = &*self.policy.name;
        match level {
            imports::log::Level::Debug => tracing::debug!(policy, call_id, "{line}"),
            imports::log::Level::Info => tracing::info!(policy, call_id, "{line}"),
            imports::log::Level::Warn => tracing::warn!(policy, call_id, "{line}"),
        }
        Ok(())
    }
}

impl imports::clock::Host for State {
    fn now_ms(&mut self) -> Result<u64> {
        self.asked()?;
        Ok(self.now.unix_micros() / 1000)
    }

    fn utc_offset_minutes(&mut self) -> Result<i32> {
        self.answer("clock.utc-offset-minutes", &[], |state| state.directory.zone.utc_offset_minutes(state.now))
    }
}

impl imports::memory::Host for State {
    fn get(&mut self, key: String) -> Result<Option<String>> {
        self.answer("memory.get", &[&key], |state| state.policy.memory.get(&key))
    }

    fn set(&mut self, key: String, value: String) -> Result<std::result::Result<(), imports::memory::MemoryError>> {
        self.answer("memory.set", &[&key, &value], |state| state.policy.memory.set(key.clone(), value.clone()))
    }

    fn remove(&mut self, key: String) -> Result<()> {
        self.answer("memory.remove", &[&key], |state| state.policy.memory.remove(&key))
    }

    fn add(&mut self, key: String, amount: i64) -> Result<std::result::Result<i64, imports::memory::MemoryError>> {
        self.answer("memory.add", &[&key, &amount.to_string()], |state| state.policy.memory.add(key.clone(), amount))
    }
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}

fn endpoint(found: &Endpoint) -> imports::directory::Endpoint {
    imports::directory::Endpoint {
        id: found.id.clone(),
        extension: found.extension.clone(),
        name: found.name.clone(),
        enabled: found.enabled,
    }
}

const fn validity(validity: switch::licence::Validity) -> imports::licences::Validity {
    use imports::licences::Validity as Told;
    use switch::licence::Validity;
    match validity {
        Validity::NotYet => Told::NotYet,
        Validity::Valid => Told::Valid,
        Validity::Grace => Told::Grace,
        Validity::Ended => Told::Ended,
    }
}

fn attributes(noted: &[(String, String)]) -> Vec<imports::types::Attribute> {
    noted.iter().map(|(name, value)| imports::types::Attribute { name: name.clone(), value: value.clone() }).collect()
}

fn header(message: &sip::Message, name: &str) -> Option<String> {
    let value = match Name::from_bytes(name.as_bytes()) {
        Name::Other => message.header_named(name.as_bytes()),
        known => message.header(known),
    };
    value.map(facts::text)
}
