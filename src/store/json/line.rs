//! The journal's lines: what a unit of work changed, and what vouches for it.

use serde::Deserialize;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::domain::time::Timestamp;

/// How much of a line's end is its checksum: `,"sum":"` 16 digits `"}`.
const SUM: usize = 8 + 16 + 2;

/// A line as it is read.
#[derive(Debug, Deserialize)]
pub(super) struct Line<'a> {
    /// Its number: each is one higher than the one before, over all segments.
    pub(super) n: u64,
    /// The number of the first line that was made durable together with it.
    pub(super) batch: u64,
    /// Keys of what was deleted, first.
    #[serde(default, borrow)]
    pub(super) delete: Vec<&'a RawValue>,
    /// What was written, in its order.
    #[serde(default, borrow)]
    pub(super) put: Vec<&'a RawValue>,
}

/// The first line of a segment.
#[derive(Debug, Deserialize)]
pub(super) struct SegmentHead {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) store: String,
    pub(super) segment: u64,
    /// The number of its first line.
    pub(super) first: u64,
}

/// What the head of a segment says first.
pub(super) const FORMAT: &str = "scrubjay-journal";
/// Which version of it this release writes and reads.
pub(super) const VERSION: u32 = 1;

/// What a unit changed, before it has a number.
#[derive(Debug)]
pub(super) struct Noted {
    /// When.
    pub(super) at: Timestamp,
    /// Keys, as JSON.
    pub(super) delete: Vec<String>,
    /// Records, as JSON.
    pub(super) put: Vec<String>,
}

/// Who vouches: a line of one store, or another segment, is not one of this.
#[derive(Debug, Clone)]
pub(super) struct Voucher {
    pub(super) store: String,
    pub(super) segment: u64,
}

impl Voucher {
    fn sum(&self, body: &str) -> String {
        let of = format!("{}/{}/", self.store, self.segment);
        let digits = hex::encode(Sha256::new().chain_update(of).chain_update(body).finalize());
        digits.chars().take(16).collect()
    }

    /// Ends a line whose JSON lacks its last brace.
    fn sign(&self, mut body: String) -> String {
        let sum = self.sum(&body);
        body.push_str(",\"sum\":\"");
        body.push_str(&sum);
        body.push_str("\"}\n");
        body
    }

    /// The JSON of a line that is as it was written, without its end; `None` when it is not.
    fn check<'a>(&self, line: &'a str) -> Option<(&'a str, &'a str)> {
        let body = line.get(..line.len().checked_sub(SUM)?)?;
        let end = line.get(body.len()..)?;
        let sum = end.strip_prefix(",\"sum\":\"")?.strip_suffix("\"}")?;
        (self.sum(body) == sum).then_some((body, sum))
    }

    /// The first line of the segment.
    pub(super) fn head(&self, first: u64) -> String {
        self.sign(format!(
            "{{\"format\":\"{FORMAT}\",\"version\":{VERSION},\"store\":\"{}\",\"segment\":{},\"first\":{first}",
            self.store, self.segment
        ))
    }

    /// A unit's line.
    pub(super) fn write(&self, noted: &Noted, n: u64, batch: u64) -> String {
        let mut body = format!("{{\"n\":{n},\"batch\":{batch},\"at\":\"{}\"", noted.at);
        for (name, items) in [("delete", &noted.delete), ("put", &noted.put)] {
            if !items.is_empty() {
                body.push_str(",\"");
                body.push_str(name);
                body.push_str("\":[");
                body.push_str(&items.join(","));
                body.push(']');
            }
        }
        self.sign(body)
    }

    /// A unit's line, where it is as it was written.
    pub(super) fn read<'a>(&self, line: &'a str, whole: &'a mut String) -> Option<Line<'a>> {
        let (body, _sum) = self.check(line)?;
        whole.clear();
        whole.push_str(body);
        whole.push('}');
        serde_json::from_str(whole).ok()
    }

    /// The head, where it is as it was written and this segment's.
    pub(super) fn read_head(&self, line: &str) -> Option<SegmentHead> {
        let (body, _sum) = self.check(line)?;
        let head: SegmentHead = serde_json::from_str(&format!("{body}}}")).ok()?;
        (head.format == FORMAT && head.store == self.store && head.segment == self.segment && head.version <= VERSION).then_some(head)
    }
}

/// A line's checksum as it stands there.
pub(super) fn sum_of(line: &str) -> &str {
    line.len().checked_sub(18).and_then(|from| line.get(from..line.len() - 2)).unwrap_or_default()
}

/// The number of the batch that a line says it is of, whether or not the line is whole.
pub(super) fn batch_of(line: &str) -> Option<u64> {
    let rest = line.strip_prefix("{\"n\":")?;
    let (_n, rest) = rest.split_once(",\"batch\":")?;
    rest.split_once(',')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voucher() -> Voucher {
        Voucher { store: "s".to_owned(), segment: 3 }
    }

    #[test]
    fn a_line_is_read_as_it_was_written_and_not_otherwise() {
        let noted = Noted { at: Timestamp::from_millis(0), delete: vec!["{\"a\":1}".to_owned()], put: vec!["{\"b\":\"é\"}".to_owned()] };
        let written = voucher().write(&noted, 7, 5);
        let line = written.strip_suffix('\n').unwrap();
        let mut whole = String::new();
        let read = voucher().read(line, &mut whole).unwrap();
        assert_eq!((read.n, read.batch, read.delete.len(), read.put[0].get()), (7, 5, 1, "{\"b\":\"é\"}"));
        assert_eq!(batch_of(line), Some(5));
        assert_eq!(sum_of(line).len(), 16);
        let other = Voucher { segment: 4, ..voucher() };
        assert!(other.read(line, &mut String::new()).is_none(), "another segment's line");
        for bit in 0..line.len() * 8 {
            let mut bytes = line.as_bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let Ok(text) = String::from_utf8(bytes) else { continue };
            assert!(voucher().read(&text, &mut String::new()).is_none(), "bit {bit}: {text}");
        }
    }

    #[test]
    fn a_head_is_of_its_segment() {
        let head = voucher().head(9);
        assert_eq!(voucher().read_head(head.trim_end()).unwrap().first, 9);
        assert!(Voucher { store: "t".to_owned(), segment: 3 }.read_head(head.trim_end()).is_none());
    }
}
