//! Looks records of calls up in their files, with or without a gateway that runs.

use super::{
    STEM,
    line::{CallLine, micros},
};
use crate::record::files::{list_of, read_lines};
use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
};

/// Octets of one line that is read.
const LINE_MAX: u64 = 4 << 20;

/// Which records are wanted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wanted {
    /// Begun then or later, microseconds since 1970.
    pub since: Option<u64>,
    /// Begun before.
    pub until: Option<u64>,
    /// Of a caller, called number, endpoint or trunk of that name.
    pub who: Option<String>,
    /// Calls for help and tests of them only.
    pub emergency: bool,
}

impl Wanted {
    fn wants(&self, line: &CallLine) -> bool {
        let at = micros(&line.began);
        let is = |text: &str| self.who.as_deref().is_none_or(|who| text == who);
        let legs = || line.legs.iter().any(|leg| is(&leg.who) || is(&leg.number));
        let trunks = || line.trunk_in.as_deref().is_some_and(is) || line.trunk_out.as_deref().is_some_and(is);
        self.since.is_none_or(|since| at.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| at.is_some_and(|at| at < until))
            && (!self.emergency || line.kind != "normal")
            && (self.who.is_none()
                || is(&line.caller)
                || is(&line.caller_number)
                || is(&line.called)
                || line.answered_by.as_deref().is_some_and(is)
                || trunks()
                || legs())
    }
}

/// Hands every wanted record of `folder` to `each`, in the order in which they were written, and returns how many lines could not be read (a crash may
/// leave one).
///
/// # Errors
/// When a file cannot be read, or `each` fails.
pub fn find(folder: &Path, wanted: &Wanted, mut each: impl FnMut(CallLine) -> anyhow::Result<()>) -> anyhow::Result<usize> {
    let mut unreadable = 0;
    for file in list_of(folder, STEM) {
        let mut failed = None;
        let read = read_lines(&file, wanted.who.as_deref(), |_, octets| {
            match serde_json::from_slice::<CallLine>(octets) {
                Ok(line) if wanted.wants(&line) => failed = each(line).err(),
                Ok(_) => {}
                Err(_) => unreadable += 1,
            }
            failed.is_none()
        });
        match read {
            // The gateway has begun a new file meanwhile, or removed the oldest.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(anyhow::anyhow!("{} cannot be read: {error}", file.display())),
            Ok(()) => {}
        }
        if let Some(error) = failed {
            return Err(error);
        }
    }
    Ok(unreadable)
}

/// Hands the records in the last `most` octets of a file to `each`.
pub(super) fn tail(file: &Path, most: u64, mut each: impl FnMut(CallLine)) -> io::Result<()> {
    let mut file = File::open(file)?;
    let length = file.metadata()?.len();
    let from = length.saturating_sub(most);
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    if from > 0 {
        // The line in whose middle this is.
        reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
    }
    loop {
        line.clear();
        if reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if let Ok(line) = serde_json::from_slice(&line) {
            each(line);
        }
    }
}
