//! Whether phones' settings files lead here, and whose they are.

use super::super::settings::Source;
use crate::manage::DrillRow;
use std::collections::{BTreeMap, HashMap};
use switch::settings::{Controller, Phone, Settings, carries, read};

/// What files say about phones.
#[derive(Default)]
pub(super) struct Files {
    /// Whether every file of an endpoint leads here.
    pub(super) carries: BTreeMap<String, bool>,
    /// Phones that nobody here knows.
    pub(super) unknown: Vec<DrillRow>,
    /// Files of which it cannot be told whose they are, or that cannot be read.
    pub(super) strange: Vec<String>,
}

impl Files {
    /// Looks through them for these controllers. A file belongs to the endpoint whose username or, without one, whose hardware address it names.
    pub(super) fn look(sources: &[Source], ours: &[Controller], rows: &[DrillRow]) -> Self {
        let by_username: HashMap<&str, &str> = rows.iter().map(|row| (row.username.as_str(), row.id.as_str())).collect();
        let by_mac: HashMap<&str, &str> = rows.iter().filter_map(|row| Some((row.mac.as_deref()?, row.id.as_str()))).collect();
        let mut files = Self::default();
        for source in sources {
            let Ok(octets) = source.read() else {
                files.strange.push(source.path.display().to_string());
                continue;
            };
            let imported = read(&octets).ok();
            let named = Phone::of_name(&source.name.to_string_lossy());
            let phone = imported.as_ref().map(|imported| imported.phone.clone()).unwrap_or_default().with(named);
            let whose = match &imported {
                Some(imported) => by_username.get(imported.username.as_str()),
                None => phone.mac.as_deref().and_then(|mac| by_mac.get(mac)),
            };
            let leads = Settings::new(&octets).is_ok_and(|file| ours.iter().any(|controller| carries(file, controller)));
            match (whose, imported) {
                (Some(_), _) if ours.is_empty() => {}
                (Some(id), _) => *files.carries.entry((*id).to_owned()).or_insert(true) &= leads,
                (None, Some(imported)) => files.unknown.push(DrillRow {
                    id: source.path.display().to_string(),
                    extension: Some(imported.extension),
                    username: imported.username,
                    mac: phone.mac,
                    carries: Some(leads).filter(|_| !ours.is_empty()),
                    ..DrillRow::default()
                }),
                (None, None) => files.strange.push(source.path.display().to_string()),
            }
        }
        files
    }
}
