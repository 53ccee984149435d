//! Reading an archive.

use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};

use super::format::{Chain, FOOT_BEGINS, FORMAT, Foot, Head, LONGEST_LINE, SCHEMA, VERSION};
use super::{ArchiveError, Summary};
use crate::store::record::{Place, Record};

/// Reads records, line by line, and checks all that can be checked on the way. Only when it has said [`None`] is the archive whole.
pub struct Reader<R> {
    input: R,
    chain: Chain,
    line: u64,
    text: String,
    records: u64,
    kinds: BTreeMap<&'static str, u64>,
    last: Option<Place>,
    summary: Option<Summary>,
}

impl<R: BufRead> Reader<R> {
    /// Begins with the head.
    ///
    /// # Errors
    /// [`ArchiveError::Unsupported`] when it is no archive or a newer one; [`ArchiveError::Damaged`]; [`ArchiveError::Io`].
    pub fn begin(input: R) -> Result<Self, ArchiveError> {
        let mut reader = Self {
            input,
            chain: Chain::default(),
            line: 0,
            text: String::new(),
            records: 0,
            kinds: BTreeMap::new(),
            last: None,
            summary: None,
        };
        if !reader.fill()? {
            return Err(ArchiveError::Unsupported("this is not an archive: it is empty".to_owned()));
        }
        // What is something else altogether is told so, rather than called damaged.
        let unsealed = reader.unseal();
        if unsealed.is_err() && !reader.text.contains(FORMAT) {
            return Err(ArchiveError::Unsupported(format!("this is not an archive: its first line does not say {FORMAT:?}")));
        }
        unsealed?;
        let head: Head = serde_json::from_str(&reader.text).map_err(|error| reader.damaged(format!("the head is wrong: {error}")))?;
        if head.format != FORMAT {
            return Err(ArchiveError::Unsupported(format!("this is not an archive: its first line does not say {FORMAT:?}")));
        }
        if head.version > VERSION || head.schema > SCHEMA {
            return Err(ArchiveError::Unsupported(format!(
                "the archive is of version {} with schema {}, written by a newer release; this one reads up to {VERSION} and {SCHEMA}",
                head.version, head.schema
            )));
        }
        Ok(reader)
    }

    /// The next record; `None` after the last, when the foot has confirmed them all.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] names the line; [`ArchiveError::Io`].
    pub fn next_record(&mut self) -> Result<Option<Record>, ArchiveError> {
        if self.summary.is_some() {
            return Ok(None);
        }
        if !self.fill()? {
            self.line += 1;
            return Err(self.damaged("the foot is missing; the archive was cut off"));
        }
        if self.text.starts_with(FOOT_BEGINS) {
            let before_foot = self.chain.sha256();
            self.unseal()?;
            self.end(before_foot)?;
            return Ok(None);
        }
        self.unseal()?;
        let record = Record::from_json(&self.text).map_err(|error| self.damaged(error.to_string()))?;
        let place = record.place();
        if self.last.as_ref().is_some_and(|last| *last >= place) {
            return Err(self.damaged("the record belongs before the one in the line above, or is the same"));
        }
        self.last = Some(place);
        self.records += 1;
        *self.kinds.entry(record.kind().as_str()).or_default() += 1;
        Ok(Some(record))
    }

    /// The line that was read last, from 1.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// Bytes read so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.chain.bytes()
    }

    /// What the archive holds; known when all of it was read.
    #[must_use]
    pub const fn summary(&self) -> Option<&Summary> {
        self.summary.as_ref()
    }

    fn end(&mut self, sha256: String) -> Result<(), ArchiveError> {
        let foot: Foot = serde_json::from_str(&self.text).map_err(|error| self.damaged(format!("the foot is wrong: {error}")))?;
        let counted =
            foot.kinds.iter().map(|(kind, count)| (kind.as_str(), *count)).eq(self.kinds.iter().map(|(kind, count)| (*kind, *count)));
        if foot.records != self.records || !counted || foot.sha256 != sha256 {
            return Err(self.damaged("the foot tells of other records than there are"));
        }
        if !self.input.fill_buf()?.is_empty() {
            self.line += 1;
            return Err(self.damaged("there is something behind the foot"));
        }
        self.summary = Some(Summary { records: self.records, kinds: self.kinds.clone(), bytes: self.chain.bytes(), sha256 });
        Ok(())
    }

    /// Reads the next line; false at the end.
    fn fill(&mut self) -> Result<bool, ArchiveError> {
        let mut bytes = std::mem::take(&mut self.text).into_bytes();
        bytes.clear();
        let read = (&mut self.input).take(LONGEST_LINE).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(false);
        }
        self.line += 1;
        self.text = String::from_utf8(bytes).map_err(|_not_text| self.damaged("it is no UTF-8 text"))?;
        Ok(true)
    }

    fn unseal(&mut self) -> Result<(), ArchiveError> {
        self.chain.unseal(&mut self.text).map_err(|reason| self.damaged(reason))
    }

    fn damaged(&self, reason: impl Into<String>) -> ArchiveError {
        ArchiveError::Damaged { line: self.line, reason: reason.into() }
    }
}
