//! The journal's files: reading them on from a place, and what a damaged line means.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::layout::{Layout, failed};
use super::line::{Line, Voucher, batch_of, sum_of};
use super::sheet::damaged;
use crate::store::{StoreError, StoreResult};

/// How far the journal was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    /// In which segment.
    pub(super) segment: u64,
    /// Bytes of it.
    pub(super) offset: u64,
    /// The number that the next line has.
    pub(super) next: u64,
    /// The checksum of the line before.
    pub(super) sum: String,
}

impl Position {
    /// As it is kept in the index.
    pub(super) fn write(&self) -> String {
        format!("{}:{}:{}:{}", self.segment, self.offset, self.next, self.sum)
    }

    /// As it was kept.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (segment, offset, next, sum) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(Self { segment: segment.parse().ok()?, offset: offset.parse().ok()?, next: next.parse().ok()?, sum: sum.to_owned() })
    }
}

/// What was found behind a place in a segment.
#[derive(Debug)]
pub(super) struct Read {
    /// Where the last good line ends.
    pub(super) end: Position,
    /// Bytes behind it that were never made durable: whoever wrote them died in between.
    pub(super) torn: u64,
}

/// The segments that there are, in order.
pub(super) fn list(layout: &Layout) -> StoreResult<Vec<u64>> {
    let folder = layout.journal();
    let entries = std::fs::read_dir(&folder).map_err(|error| failed("read", &folder, error))?;
    let mut numbers = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| failed("read", &folder, error))?;
        let name = entry.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_suffix(".jsonl")).and_then(|digits| digits.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Whether a segment holds more than its head.
pub(super) fn has_lines(path: &Path) -> StoreResult<bool> {
    let read = || -> std::io::Result<bool> {
        let mut begin = Vec::new();
        File::open(path)?.take(4096).read_to_end(&mut begin)?;
        Ok(begin.iter().position(|byte| *byte == b'\n').is_some_and(|end| end + 1 < begin.len()))
    };
    read().map_err(|error| failed("read", path, error))
}

/// The text of a segment from a place on.
fn text_from(path: &Path, offset: u64) -> StoreResult<Vec<u8>> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map_err(|error| failed("read", path, error))
}

/// Calls `take` with each good line of a segment from a position on. `durable` is how much of the segment is known to have been made
/// durable: what is damaged there is damage, and no line that somebody was writing.
pub(super) fn read_on(
    layout: &Layout,
    store: &str,
    from: &Position,
    durable: u64,
    mut take: impl FnMut(&Line<'_>) -> StoreResult<()>,
) -> StoreResult<Read> {
    let path: PathBuf = layout.segment(from.segment);
    let bytes = text_from(&path, from.offset)?;
    let voucher = Voucher { store: store.to_owned(), segment: from.segment };
    let mut end = from.clone();
    let mut rest: &[u8] = &bytes;
    let mut whole = String::new();
    while !rest.is_empty() {
        let Some(newline) = rest.iter().position(|byte| *byte == b'\n') else { break };
        let (line, behind) = rest.split_at(newline);
        let Ok(text) = std::str::from_utf8(line) else { break };
        if end.offset == 0 {
            let Some(head) = voucher.read_head(text) else { break };
            if head.first != end.next && end.next != 0 {
                return Err(damaged(&path, &format!("it begins with line {} where {} is next", head.first, end.next)));
            }
            end.next = head.first;
        } else {
            let Some(read) = voucher.read(text, &mut whole) else { break };
            if read.n != end.next || read.batch > read.n {
                return Err(damaged(&path, &format!("line {} stands where {} is next", read.n, end.next)));
            }
            take(&read)?;
            end.next += 1;
        }
        sum_of(text).clone_into(&mut end.sum);
        end.offset += newline as u64 + 1;
        rest = behind.get(1..).unwrap_or_default();
    }
    // A segment is put in its place with its head whole, so a head that cannot be read is damage, whatever stands behind it.
    if !rest.is_empty() && (end.offset == 0 || end.offset < durable || a_later_batch(rest, end.next)) {
        return Err(damaged(&path, &format!("the line at byte {} (number {}) is not as it was written", end.offset, end.next)));
    }
    Ok(Read { end, torn: rest.len() as u64 })
}

/// Whether something stands behind a damaged line that was begun after the line had been made durable. The line's end may be what is
/// damaged, so a line's beginning is looked for anywhere: within a text its quotes would be escaped.
fn a_later_batch(rest: &[u8], damaged: u64) -> bool {
    const BEGIN: &[u8] = b"{\"n\":";
    let begins = rest.windows(BEGIN.len()).enumerate().skip(1).filter(|(_place, window)| *window == BEGIN);
    begins
        .filter_map(|(place, _window)| rest.get(place..rest.len().min(place + 80)))
        .filter_map(|line| batch_of(&String::from_utf8_lossy(line)))
        .any(|batch| batch > damaged)
}

/// Whether the line that ends at a position is the one that the position says: else the index is of another time of this store.
pub(super) fn fits(layout: &Layout, position: &Position) -> StoreResult<bool> {
    let path = layout.segment(position.segment);
    let Ok(length) = path.metadata().map(|metadata| metadata.len()) else { return Ok(false) };
    if length < position.offset || position.offset == 0 {
        return Ok(false);
    }
    let bytes = text_from(&path, 0)?;
    let end = usize::try_from(position.offset).unwrap_or(usize::MAX);
    let Some(before) = bytes.get(..end).and_then(|before| before.strip_suffix(b"\n")) else { return Ok(false) };
    let begin = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.get(begin..).and_then(|line| std::str::from_utf8(line).ok()).unwrap_or_default();
    Ok(sum_of(line) == position.sum)
}

/// A torn end, told to whoever looks.
pub(super) fn tell_torn(path: &Path, bytes: u64) {
    tracing::warn!(file = %path.display(), bytes, "the journal's last line was not written whole, and nobody was told that it was; it is cut off");
    metrics::counter!("store_torn_lines_total").increment(1);
}

/// The journal ends where lines of it are missing.
pub(super) fn missing(layout: &Layout, segment: u64) -> StoreError {
    damaged(&layout.segment(segment), "this part of the journal is missing")
}
