//! Archives: everything that a store holds, as one file that any backend can be restored from.
//!
//! An archive is JSON Lines in UTF-8: a head, the records in their order ([`Record::place`](super::record::Record::place)), a foot.
//!
//! ```text
//! {"format":"scrubjay-archive","version":1,"schema":1,"sum":"…"}
//! {"kind":"person","userId":"…",…,"sum":"…"}
//! {"records":1,"kinds":{"person":1},"sha256":"…","sum":"…"}
//! ```
//!
//! `sum` is made of the line and of all lines before it, so a line that was changed, lost, added or moved is told by its number; `sha256`
//! in the foot is of every byte before the foot, and is the archive's name. No line holds a time of its own making: equal stores
//! give equal bytes.
//!
//! Nothing here knows a backend: [`Writer`] takes records, [`Reader`] gives them, [`References`] says whether they fit together.

mod file;
mod format;
mod reader;
mod references;
#[cfg(test)]
mod tests;
mod writer;

pub use file::{ArchiveFile, Existing};
pub use reader::Reader;
pub use references::{Fault, References};
pub use writer::Writer;

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

/// What an archive holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Records.
    pub records: u64,
    /// Of which kinds, by the kinds' words; those of which there are none are left out.
    pub kinds: BTreeMap<&'static str, u64>,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of all before the foot: its name.
    pub sha256: String,
}

/// Why an archive cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file or the stream failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not what was written: something changed, cut or added.
    #[error("the archive is damaged in line {line}: {reason}")]
    Damaged {
        /// The first line that is wrong, from 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// It is what was written, but a record does not fit to those before it.
    #[error("the archive does not fit together, beginning in line {line}: {fault}")]
    Unfit {
        /// The first line that does not fit, from 1.
        line: u64,
        /// How not.
        fault: Fault,
    },
    /// It is no archive, or one of a newer release.
    #[error("{0}")]
    Unsupported(String),
}
