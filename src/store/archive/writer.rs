//! Writing an archive.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::format::{Chain, FORMAT, Foot, Head, SCHEMA, VERSION};
use super::{ArchiveError, Summary};
use crate::store::record::{Place, Record};

/// Writes records, line by line. Without [`Writer::finish`] what was written is no archive.
pub struct Writer<W> {
    out: W,
    chain: Chain,
    records: u64,
    kinds: BTreeMap<&'static str, u64>,
    last: Option<Place>,
}

impl<W: Write> Writer<W> {
    /// Begins with the head.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn begin(out: W) -> Result<Self, ArchiveError> {
        let mut writer = Self { out, chain: Chain::default(), records: 0, kinds: BTreeMap::new(), last: None };
        let head = Head { format: FORMAT.to_owned(), version: VERSION, schema: SCHEMA };
        writer.line(&serde_json::to_string(&head).map_err(io::Error::other)?)?;
        Ok(writer)
    }

    /// Adds a record. Records come in their order.
    ///
    /// # Errors
    /// [`ArchiveError::Io`]; also when the record belongs before the one that came last.
    pub fn add(&mut self, record: &Record) -> Result<(), ArchiveError> {
        let place = record.place();
        if self.last.as_ref().is_some_and(|last| *last >= place) {
            return Err(io::Error::other(format!("the store gave records of the kind {:?} out of order", record.kind().as_str())).into());
        }
        self.last = Some(place);
        self.line(&record.to_json().map_err(io::Error::other)?)?;
        self.records += 1;
        *self.kinds.entry(record.kind().as_str()).or_default() += 1;
        Ok(())
    }

    /// Records so far.
    #[must_use]
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Bytes so far.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.chain.bytes()
    }

    /// Ends with the foot, and gives back what was written to.
    ///
    /// # Errors
    /// [`ArchiveError::Io`].
    pub fn finish(mut self) -> Result<(W, Summary), ArchiveError> {
        let sha256 = self.chain.sha256();
        let kinds = self.kinds.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect();
        let foot = Foot { records: self.records, kinds, sha256: sha256.clone() };
        self.line(&serde_json::to_string(&foot).map_err(io::Error::other)?)?;
        self.out.flush()?;
        let summary = Summary { records: self.records, kinds: self.kinds, bytes: self.chain.bytes(), sha256 };
        Ok((self.out, summary))
    }

    fn line(&mut self, object: &str) -> io::Result<()> {
        let line = self.chain.seal(object);
        self.out.write_all(line.as_bytes())
    }
}
