//! Where trunks were when the name servers last answered, in a file of the data folder.

use super::{Found, wanted::Places};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::Path};

/// What the file says.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    trunks: BTreeMap<String, KeptTrunk>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptTrunk {
    /// What was looked for: a trunk that names something else now is not there.
    wanted: String,
    found: Vec<Found>,
}

impl Kept {
    /// What `file` says; nothing when it is not there or cannot be read: the name servers will say it.
    pub(super) fn read(file: &Path) -> Self {
        let Ok(bytes) = std::fs::read(file) else { return Self::default() };
        serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!("{} is not used: {error}", file.display());
            Self::default()
        })
    }

    /// Where a trunk was.
    pub(super) fn of(&self, trunk: &str, wanted: &Places) -> Vec<Found> {
        let kept = self.trunks.get(trunk).filter(|kept| kept.wanted == wanted.text());
        kept.map(|kept| kept.found.clone()).unwrap_or_default()
    }

    pub(super) fn write<'a>(file: &Path, trunks: impl Iterator<Item = (&'a String, &'a Places, &'a Vec<Found>)>) -> anyhow::Result<()> {
        let trunks =
            trunks.map(|(name, wanted, found)| (name.clone(), KeptTrunk { wanted: wanted.text(), found: found.clone() })).collect();
        crate::data::write_private(file, serde_json::to_string_pretty(&Self { trunks })?.as_bytes())
    }
}
