//! What of the write-ahead log is known to be on the disk.
//!
//! After a power cut the end of the log may be anything: nobody was told of it, and RocksDB recovers up to there in
//! silence. A bit that rots in a part that *was* synced looks the same to RocksDB, and all that was acknowledged after
//! it would be dropped in the same silence. So a small file notes how long the log was when it was last synced. It
//! is written after the sync and never synced itself: after a power cut it may be old, and an old note is true as well.
//! Before the database is opened, the log is read up to there, and every record's checksum must be right.
//!
//! RocksDB's `track_and_verify_wals_in_manifest` notes the lengths of logs that are no longer written to, and costs a
//! sync of the manifest each; the newest log, which is the one that matters after a command, it does not know.

use crate::StoreError;
use parking_lot::Mutex;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Name of the file.
const NAME: &str = "synced";
/// Bytes in it: two numbers of logs, a length, and a checksum.
const NOTE: usize = 8 + 8 + 8 + 4;
/// The log is written in blocks of this many bytes; no piece of a record crosses their borders.
const BLOCK: usize = 32 << 10;
/// Bytes before a piece of a record: checksum (4), length (2), type (1).
const HEAD: usize = 7;
/// What RocksDB adds to a checksum that it stores.
const MASK: u32 = 0xa282_ead8;

/// What is known to be on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Note {
    /// The first log of the process that wrote this: older ones were in the tables when it was made.
    first: u64,
    /// The log that was written to last. Those between are whole, if they are still there.
    number: u64,
    /// Bytes of it that were synced.
    length: u64,
}

impl Note {
    fn encode(self) -> [u8; NOTE] {
        let mut out = [0; NOTE];
        for (at, number) in [self.first, self.number, self.length].into_iter().enumerate() {
            out[8 * at..8 * at + 8].copy_from_slice(&number.to_le_bytes());
        }
        let sum = crc32c(&out[..NOTE - 4]);
        out[NOTE - 4..].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// What a file says; `None` when it says nothing, or was torn.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, sum) = bytes.get(..NOTE)?.split_last_chunk::<4>()?;
        let number = |at: usize| Some(u64::from_le_bytes(numbers.get(8 * at..8 * at + 8)?.try_into().ok()?));
        let note = Self { first: number(0)?, number: number(1)?, length: number(2)? };
        (crc32c(numbers) == u32::from_le_bytes(*sum)).then_some(note)
    }
}

/// Reads the log as far as it is known to have been synced.
///
/// # Errors
/// [`StoreError::DamagedLog`] when it is not what was written, or the disk's own error.
pub(super) fn check(dir: &Path) -> Result<(), StoreError> {
    let Some(note) = fs::read(dir.join(NAME)).ok().and_then(|bytes| Note::decode(&bytes)) else { return Ok(()) };
    // A log that is not there was flushed into the tables, and removed.
    for number in logs(dir)?.into_iter().filter(|n| (note.first..=note.number).contains(n)) {
        let path = dir.join(file_name(number));
        let refuse = |e| StoreError::io(format!("cannot read {}", path.display()), e);
        let file = File::open(&path).map_err(refuse)?;
        let found = file.metadata().map_err(refuse)?.len();
        let length = if number == note.number { note.length } else { found };
        let good = whole_until(BufReader::with_capacity(8 * BLOCK, file), length).map_err(refuse)?;
        if good < length {
            return Err(StoreError::DamagedLog { file: path.display().to_string(), from: good, to: length });
        }
    }
    Ok(())
}

/// The number of bytes up to which a log is whole, at most a little more than `length`.
fn whole_until(mut log: impl Read, length: u64) -> io::Result<u64> {
    let mut block = Vec::with_capacity(BLOCK);
    let mut start = 0;
    while start < length {
        block.clear();
        let filled = (&mut log).take(BLOCK as u64).read_to_end(&mut block)?;
        let bytes = &block[..];
        let mut at = 0;
        // What is left at the end of a block and too short for a head is filled up with zeros.
        while start + (at as u64) < length && BLOCK - at >= HEAD {
            let Some(next) = piece(bytes, at) else { return Ok(start + at as u64) };
            at = next;
        }
        if filled < BLOCK {
            return Ok(start + at as u64);
        }
        start += BLOCK as u64;
    }
    Ok(start)
}

/// The end of the piece of a record that begins there; `None` when it is not whole.
fn piece(block: &[u8], at: usize) -> Option<usize> {
    let head = block.get(at..at + HEAD)?;
    let sum = u32::from_le_bytes(head[..4].try_into().ok()?);
    let length = usize::from(u16::from_le_bytes(head[4..6].try_into().ok()?));
    let end = at + HEAD + length;
    let summed = block.get(at + HEAD - 1..end)?;
    // Type 0 is space that was reserved and never written.
    (head[6] != 0 && crc32c(summed) == sum.wrapping_sub(MASK).rotate_left(15)).then_some(end)
}

/// Numbers of the logs in a directory, ascending.
fn logs(dir: &Path) -> Result<Vec<u64>, StoreError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StoreError::io(format!("cannot list {}", dir.display()), error)),
    };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok();
    let mut found: Vec<u64> = entries.flatten().filter_map(number).collect();
    found.sort_unstable();
    Ok(found)
}

fn file_name(number: u64) -> String {
    format!("{number:06}.log")
}

/// Notes how much of the log was synced.
pub(super) struct SyncedLog {
    dir: PathBuf,
    state: Mutex<State>,
    /// Writes to the log that have begun.
    begun: AtomicU64,
    /// Those of them that have not ended.
    running: AtomicU64,
}

struct State {
    /// Where the note goes; `None` when it can't be written: then there is none.
    file: Option<File>,
    /// The log that is written to.
    log: Option<File>,
    note: Note,
    /// Whether a write was synced that the note does not cover.
    behind: bool,
    /// Whether a write to the log failed and may have left a part of itself there: no more is said of that log.
    torn: bool,
}

/// A write to the log that has begun.
pub(super) struct Writing {
    generation: u64,
    alone: bool,
    number: u64,
    length: u64,
}

impl State {
    fn length(&self) -> u64 {
        self.log.as_ref().and_then(|log| log.metadata().ok()).map_or(0, |m| m.len())
    }

    fn write(&mut self, length: u64) {
        self.note.length = length.max(self.note.length);
        if let Some(file) = &self.file {
            // An older note is true as well, so an error harms nobody.
            let _ = file.write_all_at(&self.note.encode(), 0);
        }
    }

    /// Turns to the newest log.
    fn turn(&mut self, dir: &Path) {
        let newest = logs(dir).ok().and_then(|logs| logs.last().copied()).unwrap_or_default();
        if newest != self.note.number {
            self.log = File::open(dir.join(file_name(newest))).ok();
            let first = if self.torn { newest } else { self.note.first };
            self.note = Note { first, number: newest, length: 0 };
            self.torn = false;
        }
    }
}

impl SyncedLog {
    /// Begins to take notes. The database was just opened: what older logs held is in the tables.
    pub(super) fn start(dir: &Path) -> Self {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(dir.join(NAME)).ok();
        let mut state = State { file, log: None, note: Note::default(), behind: false, torn: false };
        state.turn(dir);
        state.note.first = state.note.number;
        state.write(0);
        Self { dir: dir.to_owned(), state: Mutex::new(state), begun: AtomicU64::new(0), running: AtomicU64::new(0) }
    }

    /// To be called before every write to the log.
    pub(super) fn begin(&self) -> Writing {
        let generation = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let alone = self.running.fetch_add(1, Ordering::SeqCst) == 0;
        let state = self.state.lock();
        Writing { generation, alone, number: state.note.number, length: state.length() }
    }

    /// To be called after it: whether it succeeded, and whether it was synced.
    pub(super) fn end(&self, writing: &Writing, written: bool, synced: bool) {
        let mut state = self.state.lock();
        let alone = writing.alone && self.begun.load(Ordering::SeqCst) == writing.generation;
        self.running.fetch_sub(1, Ordering::SeqCst);
        state.torn |= !written;
        if !written || !synced {
            return;
        }
        state.behind = !alone;
        if !alone {
            // IMPORTANT: others wrote meanwhile, and that need not be synced. What was there when this began is.
            if state.note.number == writing.number && !state.torn {
                state.write(writing.length);
            }
            return;
        }
        if state.torn || (state.note.number == writing.number && state.length() == writing.length) {
            // It went into a new log, and the old one was synced with it.
            state.turn(&self.dir);
        }
        if !state.torn {
            let length = state.length();
            state.write(length);
        }
    }

    /// Whether the last synced write is not covered, since another one ran beside it.
    pub(super) fn behind(&self) -> bool {
        self.state.lock().behind
    }

    /// The whole log was synced, and nobody writes.
    pub(super) fn all_synced(&self) {
        let mut state = self.state.lock();
        state.turn(&self.dir);
        if !state.torn {
            let length = state.length();
            state.write(length);
        }
    }
}

/// CRC-32C, eight bytes at a time.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut sum = !0u32;
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let low = sum ^ u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        sum = TABLES[7][(low & 0xff) as usize]
            ^ TABLES[6][(low >> 8 & 0xff) as usize]
            ^ TABLES[5][(low >> 16 & 0xff) as usize]
            ^ TABLES[4][(low >> 24) as usize]
            ^ TABLES[3][usize::from(word[4])]
            ^ TABLES[2][usize::from(word[5])]
            ^ TABLES[1][usize::from(word[6])]
            ^ TABLES[0][usize::from(word[7])];
    }
    for byte in words.remainder() {
        sum = TABLES[0][((sum ^ u32::from(*byte)) & 0xff) as usize] ^ (sum >> 8);
    }
    !sum
}

/// `TABLES[n][b]`: the checksum of byte `b` and `n` zeros after it.
static TABLES: [[u32; 256]; 8] = tables();

const fn tables() -> [[u32; 256]; 8] {
    /// The polynomial, bits reversed.
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut sum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            sum = if sum & 1 == 1 { sum >> 1 ^ POLYNOMIAL } else { sum >> 1 };
            bit += 1;
        }
        tables[0][byte] = sum;
        byte += 1;
    }
    let mut zeros = 1;
    while zeros < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[zeros - 1][byte];
            tables[zeros][byte] = tables[0][(before & 0xff) as usize] ^ before >> 8;
            byte += 1;
        }
        zeros += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        // RFC 3720, B.4, and the check value of the catalogue of CRCs.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&(0..32).collect::<Vec<u8>>()), 0x46dd_794e);
    }

    #[test]
    fn a_torn_note_says_nothing() {
        let note = Note { first: 4, number: 7, length: 1234 };
        let bytes = note.encode();
        assert_eq!(Note::decode(&bytes), Some(note));
        assert_eq!(Note::decode(&bytes[..NOTE - 1]), None);
        for at in 0..NOTE {
            let mut torn = bytes;
            torn[at] ^= 1;
            assert_eq!(Note::decode(&torn), None, "{at}");
        }
    }
}
