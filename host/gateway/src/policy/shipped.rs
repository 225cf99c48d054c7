//! The four policies that come with Holdfast, built with it and carried inside it.

use anyhow::Context as _;
use std::{fs, io::Write as _, path::Path};

/// File name and content, in the order of the chain.
pub(super) const COMPONENTS: [(&str, &[u8]); 4] = [
    ("10-emergency.wasm", include_bytes!(concat!(env!("OUT_DIR"), "/emergency.wasm"))),
    ("20-licence.wasm", include_bytes!(concat!(env!("OUT_DIR"), "/licence.wasm"))),
    ("30-internal.wasm", include_bytes!(concat!(env!("OUT_DIR"), "/internal.wasm"))),
    ("40-external.wasm", include_bytes!(concat!(env!("OUT_DIR"), "/external.wasm"))),
];

/// Whether a component is one of them, unchanged.
pub(super) fn is_one(bytes: &[u8]) -> bool {
    COMPONENTS.iter().any(|(_, shipped)| *shipped == bytes)
}

/// Fills a folder that has no component yet. A folder that has one is the operator's: what was taken out stays out.
pub(super) fn install(folder: &Path) -> anyhow::Result<Vec<&'static str>> {
    fs::create_dir_all(folder).with_context(|| format!("the policy folder {} could not be made", folder.display()))?;
    let files = super::folder::list(folder).with_context(|| format!("the policy folder {} could not be listed", folder.display()))?;
    if files.keys().any(|name| name.ends_with(".wasm")) {
        return Ok(Vec::new());
    }
    for (name, bytes) in COMPONENTS {
        write(folder, name, bytes).with_context(|| format!("{} could not be written", folder.join(name).display()))?;
    }
    Ok(COMPONENTS.map(|(name, _)| name).to_vec())
}

/// Whole or not at all, and never over a file that is there.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> std::io::Result<()> {
    let unfinished = folder.join(format!(".{name}.new"));
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    if folder.join(name).symlink_metadata().is_ok() {
        return fs::remove_file(unfinished);
    }
    fs::rename(unfinished, folder.join(name))
}
