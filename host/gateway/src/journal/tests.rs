//! Journals that were cut off, spoilt, or written by somebody else.

use super::{file::FRAME_AND_PREFIX, *};
use std::os::unix::fs::FileExt as _;

/// A file with these records.
fn journal(folder: &Path, generation: u64, records: &[(Kind, u64, &[u8])]) -> PathBuf {
    let mut buffer = file::HEADER.to_vec();
    for (kind, key, body) in records {
        assert!(file::push(&mut buffer, *kind, *key, |buffer| buffer.extend_from_slice(body)));
    }
    let path = folder.join(format!("{generation:012}-0.calls"));
    fs::write(&path, buffer).unwrap();
    path
}

/// A call by its key: both parts.
type Call = (u64, Vec<u8>, Vec<u8>);

fn read(path: &Path) -> (Read, Vec<Call>) {
    let mut calls = BTreeMap::new();
    let how = file::read(path, &mut calls).unwrap();
    (how, calls.into_iter().map(|(key, raw)| (key, raw.facts, raw.course)).collect())
}

#[test]
fn later_records_replace_earlier_ones_and_calls_that_are_over_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let records: [(Kind, u64, &[u8]); 6] = [
        (Kind::Facts, 1, b"one"),
        (Kind::Course, 1, b"rings"),
        (Kind::Facts, 2, b"two"),
        (Kind::Course, 2, b"rings"),
        (Kind::Course, 1, b"talks"),
        (Kind::Gone, 2, b""),
    ];
    let path = journal(folder.path(), 1, &records);
    assert_eq!(read(&path), (Read::Whole, vec![(1, b"one".to_vec(), b"talks".to_vec())]));
}

#[test]
fn a_file_that_is_cut_off_anywhere_gives_what_stands_before_the_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = journal(folder.path(), 1, &[(Kind::Facts, 1, b"one"), (Kind::Course, 1, b"rings")]);
    let whole = fs::read(&path).unwrap();
    let first = file::HEADER.len() + FRAME_AND_PREFIX + 3;
    for length in 0..whole.len() {
        fs::write(&path, &whole[..length]).unwrap();
        let (how, calls) = read(&path);
        let at_a_border = length == 0 || length == file::HEADER.len() || length == first;
        assert_eq!(how == Read::Whole, at_a_border, "{length}: {how:?}");
        assert_ne!(how, Read::Foreign, "{length}");
        assert_eq!(calls.len(), usize::from(length >= first), "{length}");
    }
}

#[test]
fn an_octet_that_is_wrong_ends_the_file_there_and_never_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = journal(folder.path(), 1, &[(Kind::Facts, 1, b"one"), (Kind::Course, 1, b"rings"), (Kind::Gone, 1, b"")]);
    let whole = fs::read(&path).unwrap();
    for place in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut spoilt = whole.clone();
            spoilt[place] ^= flip;
            fs::write(&path, spoilt).unwrap();
            let (how, _) = read(&path);
            assert_ne!(how, Read::Whole, "{place}");
        }
    }
    // A length that would need all memory.
    fs::write(&path, [&file::HEADER[..], &[0xff; 64]].concat()).unwrap();
    assert_eq!(read(&path).0, Read::Torn { good: 8 });
}

#[test]
fn a_file_of_another_version_is_set_aside_and_calls_that_cannot_be_read_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let other = journal(folder.path(), 7, &[(Kind::Facts, 1, b"one")]);
    let file = OpenOptions::new().write(true).open(&other).unwrap();
    file.write_all_at(&[99], 7).unwrap();
    journal(folder.path(), 8, &[(Kind::Facts, 2, b"not what serde expects"), (Kind::Course, 2, b"neither")]);
    let counters = Arc::new(Counters::default());
    let (journals, found) = open(folder.path(), 2, &counters).unwrap();
    assert_eq!(found, Found { calls: 0, lost: 1, torn: 0, foreign: 1 });
    assert_eq!(journals.len(), 2);
    let mut names: Vec<String> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["000000000007-0.set-aside", "000000000009-0.calls", "000000000009-1.calls"]);
}

/// The journal of one shard in an empty folder.
fn empty(folder: &Path, counters: &Arc<Counters>) -> Journal {
    let (mut journals, found) = open(folder, 1, counters).unwrap();
    assert_eq!(found, Found::default());
    journals.remove(0).0
}

#[test]
fn a_full_disk_is_an_alarm_and_when_it_has_room_again_everything_is_written_anew() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(Counters::default());
    let mut journal = empty(folder.path(), &counters);
    journal.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
    journal.gone(1);
    assert!(!journal.write() && !journal.writes());
    assert_eq!(counters.read().dropped["journal-failed"], 1);
    // While it rests nothing is written, and nothing fails.
    assert!(!journal.rolls());
    journal.rests_until = Some(Instant::now());
    assert!(journal.rolls() && journal.writes());
    journal.gone(2);
    assert!(journal.write());
    journal.carried_over();
    assert_eq!(read(&folder.path().join("000000000002-0.calls")).0, Read::Whole);
    assert!(!folder.path().join("000000000001-0.calls").exists(), "the file that failed is not needed any more");
}

#[test]
fn a_long_file_is_left_for_a_new_one_and_removed_once_all_is_carried_over() {
    let folder = tempfile::tempdir().unwrap();
    let counters = Arc::new(Counters::default());
    let mut journal = empty(folder.path(), &counters);
    // So many writes that one of them meets a busy machine.
    journal.wait_for_the_disk();
    let mut rolled = 0;
    for _ in 0..3 {
        for _ in 0..LENGTH / 1000 + 1 {
            file::push(&mut journal.buffer, Kind::Facts, 1, |buffer| buffer.extend_from_slice(&[b'x'; 1000]));
            assert!(journal.write());
        }
        assert!(journal.rolls());
        rolled += 1;
        // Until then both are there.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(!journal.rolls(), "once at a time");
        journal.carried_over();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
    assert_eq!(journal.generation, 1 + rolled);
}
