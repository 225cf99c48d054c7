//! The files of a record: `decisions.jsonl` is written, `decisions.1.jsonl` is the one before, and so on. Records of calls lie in such files, too
//! ([`crate::cdr`]).
//!
//! Written here and not by a rotating appender of a library, because each file must begin with the policies that its decisions name: a file stands alone.

use super::line::Line;
use memchr::memmem;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Octets of one line that is read: more was not written by a gateway.
pub(super) const LINE_MAX: u64 = 4 << 20;

/// What the names of the decision record's files begin with.
pub(super) const STEM: &str = "decisions";

/// Where lines are appended.
pub(crate) struct Files {
    folder: PathBuf,
    /// What the files' names begin with.
    stem: &'static str,
    /// Octets after which the next file is begun.
    most: u64,
    /// Files kept, the one being written among them.
    keep: u32,
    file: BufWriter<File>,
    written: u64,
}

impl Files {
    pub(crate) fn open(folder: &Path, stem: &'static str, most: u64, keep: u32) -> io::Result<Self> {
        // Only the owner reads who called whom.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let (file, written) = append(folder, stem)?;
        Ok(Self { folder: folder.to_owned(), stem, most, keep, file, written })
    }

    /// Appends one line. `true`: a new file was begun before, and knows no policies yet.
    pub(crate) fn make_room(&mut self, octets: usize) -> io::Result<bool> {
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        if self.written == 0 || self.written.saturating_add(octets) <= self.most {
            return Ok(false);
        }
        self.turn()?;
        Ok(true)
    }

    /// Begins a new file.
    pub(crate) fn turn(&mut self) -> io::Result<()> {
        self.file.flush()?;
        for number in (0..self.keep).rev() {
            let old = path(&self.folder, self.stem, number);
            if number + 1 >= self.keep {
                match fs::remove_file(&old) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            } else if old.exists() {
                fs::rename(&old, path(&self.folder, self.stem, number + 1))?;
            }
        }
        (self.file, self.written) = append(&self.folder, self.stem)?;
        Ok(())
    }

    pub(crate) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.file.write_all(line)?;
        self.written = self.written.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Opens the file being written. A line that a crash left unfinished is ended, so that only that one is lost.
fn append(folder: &Path, stem: &str) -> io::Result<(BufWriter<File>, u64)> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path(folder, stem, 0))?;
    let written = file.metadata()?.len();
    if written > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != [b'\n'] {
            file.write_all(b"\n")?;
        }
    }
    Ok((BufWriter::with_capacity(64 << 10, file), written))
}

fn path(folder: &Path, stem: &str, number: u32) -> PathBuf {
    folder.join(if number == 0 { format!("{stem}.jsonl") } else { format!("{stem}.{number}.jsonl") })
}

/// The files of the decision record that are in a folder, oldest first.
#[must_use]
pub fn list(folder: &Path) -> Vec<PathBuf> {
    list_of(folder, STEM)
}

/// The same of another record.
pub(crate) fn list_of(folder: &Path, stem: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = (0..).map(|number| path(folder, stem, number)).take_while(|file| file.exists()).collect();
    files.reverse();
    files
}

/// Hands every line of a file, or only those that contain `text`, to `each`, with its number from 1, until that says that it is enough. A line that cannot be read (a crash may leave one) is handed over as an error.
///
/// # Errors
/// When the file cannot be read.
pub fn read(file: &Path, text: Option<&str>, mut each: impl FnMut(usize, Result<Line, String>) -> bool) -> io::Result<()> {
    read_lines(file, text, |number, octets| {
        let line = Line::read(octets).map_err(|error| error.to_string());
        line.transpose().is_none_or(|line| each(number, line))
    })
}

/// The same for lines of any kind, without their ends.
pub(crate) fn read_lines(file: &Path, text: Option<&str>, mut each: impl FnMut(usize, &[u8]) -> bool) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(256 << 10, File::open(file)?);
    let mut octets = Vec::new();
    for number in 1.. {
        octets.clear();
        if reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut octets)? == 0 {
            break;
        }
        // Most of a large record is about something else, and reading a line as JSON costs far more than looking for a text in it.
        if octets.trim_ascii().is_empty() || text.is_some_and(|text| memmem::find(&octets, text.as_bytes()).is_none()) {
            continue;
        }
        if !each(number, octets.trim_ascii_end()) {
            break;
        }
    }
    Ok(())
}
