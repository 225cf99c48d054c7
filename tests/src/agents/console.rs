//! A program that is driven by typing and read by what it prints.

use super::Process;
use std::{
    io::Write as _,
    path::Path,
    process::{ChildStdin, Command},
    thread,
    time::{Duration, Instant},
};

/// Its keyboard and its screen.
#[derive(Debug)]
pub(super) struct Console {
    process: Process,
    keyboard: ChildStdin,
    name: String,
    /// What stands before it was read.
    read: usize,
}

impl Console {
    /// Starts it; what it prints goes to `NAME.log` in `folder`.
    pub(super) fn start(name: &str, command: Command, folder: &Path) -> Self {
        let (process, keyboard) = Process::interactive(name, command, folder);
        Self { process, keyboard, name: name.to_owned(), read: 0 }
    }

    /// Types lines.
    pub(super) fn types(&mut self, lines: &[&str]) -> Result<(), String> {
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        self.keyboard.write_all(text.as_bytes()).map_err(|e| format!("{} is gone: {e}", self.name))
    }

    /// Forgets what was printed so far.
    pub(super) fn fresh(&mut self) {
        self.read = self.process.output().len();
    }

    /// What it printed, all of it.
    pub(super) fn output(&self) -> String {
        self.process.output()
    }

    /// Waits for the next line in which one of `texts` stands, behind the last one that was waited for.
    pub(super) fn prints(&mut self, texts: &[&str], limit: Duration) -> Result<String, String> {
        let begin = Instant::now();
        loop {
            let output = self.process.output();
            let unread = output.get(self.read..).unwrap_or_default();
            let found = texts.iter().filter_map(|text| unread.find(text)).min();
            // A line that is not whole yet may still grow.
            if let Some(place) = found
                && let Some(end) = unread.get(place..).and_then(|rest| rest.find('\n'))
            {
                let start = unread.get(..place).and_then(|before| before.rfind('\n')).map_or(0, |newline| newline + 1);
                let line = unread.get(start..place + end).unwrap_or_default().trim().to_owned();
                self.read += place + end;
                return Ok(line);
            }
            if !self.process.alive() {
                return Err(format!("{} ended while {texts:?} was waited for", self.name));
            }
            if begin.elapsed() > limit {
                return Err(format!("{} printed none of {texts:?} in {limit:?}", self.name));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}
