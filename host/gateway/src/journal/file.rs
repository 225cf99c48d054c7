//! The format of a journal file: a header, then records, each with its length and a checksum.

use postcard::ser_flavors::Flavor;
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader},
    path::Path,
};

/// What the names of journals end in.
pub(super) const EXTENSION: &str = "calls";
/// Raised with every change of what is written, also of what a call is made of.
const VERSION: u8 = 4;
/// What every file begins with.
pub(super) const HEADER: [u8; 8] = [b'H', b'F', b'C', b'A', b'L', b'L', b'S', VERSION];
/// Longer records are neither written nor read.
const RECORD_MAX: usize = 4 << 20;
/// Length and checksum before each record.
const FRAME: usize = 8;
/// Kind and key at the start of each record.
const PREFIX: usize = 9;

#[cfg(test)]
pub(super) const FRAME_AND_PREFIX: usize = FRAME + PREFIX;

/// What a record says about a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Facts,
    Course,
    Gone,
}

impl Kind {
    const fn byte(self) -> u8 {
        match self {
            Self::Facts => b'f',
            Self::Course => b'c',
            Self::Gone => b'g',
        }
    }

    const fn read(byte: u8) -> Option<Self> {
        match byte {
            b'f' => Some(Self::Facts),
            b'c' => Some(Self::Course),
            b'g' => Some(Self::Gone),
            _ => None,
        }
    }
}

/// Lets `postcard` append to a buffer.
pub(super) struct Onto<'a>(pub(super) &'a mut Vec<u8>);

impl Flavor for Onto<'_> {
    type Output = ();

    fn try_push(&mut self, octet: u8) -> postcard::Result<()> {
        self.0.push(octet);
        Ok(())
    }

    fn try_extend(&mut self, octets: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(octets);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// The newest of both parts of a call, undecoded.
#[derive(Default, Debug)]
pub(super) struct Raw {
    pub(super) facts: Vec<u8>,
    pub(super) course: Vec<u8>,
}

/// How reading a file has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Read {
    /// At its end.
    Whole,
    /// At something that is no whole record. What is behind it was written by nobody.
    Torn { good: u64 },
    /// At the header: it is another version's, or no journal.
    Foreign,
}

/// Appends a record whose body `write` appends. `false`: it would be longer than allowed, and nothing was appended.
pub(super) fn push(buffer: &mut Vec<u8>, kind: Kind, key: u64, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; FRAME]);
    buffer.push(kind.byte());
    buffer.extend_from_slice(&key.to_le_bytes());
    write(buffer);
    let body = buffer.get(start + FRAME..).unwrap_or_default();
    let length = u32::try_from(body.len()).ok().filter(|_| body.len() <= RECORD_MAX);
    let checksum = crc32fast::hash(body);
    let (Some(length), Some(frame)) = (length, buffer.get_mut(start..start + FRAME)) else {
        buffer.truncate(start);
        return false;
    };
    for (slot, byte) in frame.iter_mut().zip(length.to_le_bytes().into_iter().chain(checksum.to_le_bytes())) {
        *slot = byte;
    }
    true
}

/// Reads a file over what older files have said.
pub(super) fn read(path: &Path, calls: &mut BTreeMap<u64, Raw>) -> io::Result<Read> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut header = [0; HEADER.len()];
    match fill(&mut file, &mut header)? {
        Filled::Whole if header == HEADER => {}
        // Made, and killed before the first octet, or in the middle of the header.
        Filled::Nothing => return Ok(Read::Whole),
        Filled::Part if HEADER.starts_with(header.split(|byte| *byte == 0).next().unwrap_or_default()) => {
            return Ok(Read::Torn { good: 0 });
        }
        Filled::Whole | Filled::Part => return Ok(Read::Foreign),
    }
    let mut good = HEADER.len() as u64;
    loop {
        let mut frame = [0; FRAME];
        match fill(&mut file, &mut frame)? {
            Filled::Whole => {}
            Filled::Nothing => return Ok(Read::Whole),
            Filled::Part => return Ok(Read::Torn { good }),
        }
        let [a, b, c, d, e, f, g, h] = frame;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        if !(PREFIX..=RECORD_MAX).contains(&length) {
            return Ok(Read::Torn { good });
        }
        let mut body = vec![0; length];
        if fill(&mut file, &mut body)? != Filled::Whole || crc32fast::hash(&body) != u32::from_le_bytes([e, f, g, h]) {
            return Ok(Read::Torn { good });
        }
        if !take(&body, calls) {
            return Ok(Read::Torn { good });
        }
        good += (FRAME + length) as u64;
    }
}

fn take(body: &[u8], calls: &mut BTreeMap<u64, Raw>) -> bool {
    let Some((prefix, rest)) = body.split_at_checked(PREFIX) else { return false };
    let Some((kind, key)) =
        prefix.split_first().and_then(|(kind, key)| Some((Kind::read(*kind)?, u64::from_le_bytes(key.try_into().ok()?))))
    else {
        return false;
    };
    match kind {
        Kind::Facts => calls.entry(key).or_default().facts = rest.to_vec(),
        Kind::Course => calls.entry(key).or_default().course = rest.to_vec(),
        Kind::Gone => drop(calls.remove(&key)),
    }
    true
}

#[derive(PartialEq, Eq)]
enum Filled {
    Whole,
    Part,
    Nothing,
}

/// Reads until `buffer` is full or the file ends.
fn fill(file: &mut impl io::Read, buffer: &mut [u8]) -> io::Result<Filled> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest) {
            Ok(0) if filled == 0 => return Ok(Filled::Nothing),
            Ok(0) => return Ok(Filled::Part),
            Ok(more) => filled += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Filled::Whole)
}
