//! How lines are sealed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The word that the head begins with.
pub(super) const FORMAT: &str = "scrubjay-archive";

/// The version of heads, feet and sums.
pub(super) const VERSION: u32 = 1;

/// The version of the records. It grows when an older release could not read them.
pub(super) const SCHEMA: u32 = 1;

/// The longest line that is read, in bytes: many times what one message can be.
pub(super) const LONGEST_LINE: u64 = 64 << 20;

const BEFORE_SUM: &str = ",\"sum\":\"";
const AFTER_SUM: &str = "\"}";
const SUM_DIGITS: usize = 16;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) schema: u32,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Foot {
    pub(super) records: u64,
    pub(super) kinds: BTreeMap<String, u64>,
    pub(super) sha256: String,
}

/// How a foot begins; a record begins with its kind.
pub(super) const FOOT_BEGINS: &str = "{\"records\":";

/// The sums of the lines so far.
#[derive(Default)]
pub(super) struct Chain {
    last: [u8; 32],
    whole: Sha256,
    bytes: u64,
}

impl Chain {
    /// The line of a JSON object, with its sum and its end.
    pub(super) fn seal(&mut self, object: &str) -> String {
        let inner = object.strip_suffix('}').unwrap_or(object);
        let sum = self.advance(inner);
        let line = format!("{inner}{BEFORE_SUM}{sum}{AFTER_SUM}\n");
        self.count(line.as_bytes());
        line
    }

    /// Takes the sum off a line, in place. The error says what is wrong.
    pub(super) fn unseal(&mut self, line: &mut String) -> Result<(), &'static str> {
        self.count(line.as_bytes());
        let sealed = line.strip_suffix('\n').ok_or("it has no end; the archive was cut off")?;
        let rest = sealed.strip_suffix(AFTER_SUM).ok_or("it does not end with its sum")?;
        let (rest, sum) = rest.split_at_checked(rest.len().wrapping_sub(SUM_DIGITS)).ok_or("it does not end with its sum")?;
        let inner = rest.strip_suffix(BEFORE_SUM).ok_or("it does not end with its sum")?;
        if self.advance(inner) != sum {
            return Err("its sum is wrong: it was changed, or a line before it is missing");
        }
        let length = inner.len();
        line.truncate(length);
        line.push('}');
        Ok(())
    }

    /// SHA-256 of all lines so far.
    pub(super) fn sha256(&self) -> String {
        hex::encode(self.whole.clone().finalize())
    }

    /// Bytes of all lines so far.
    pub(super) const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn count(&mut self, line: &[u8]) {
        self.whole.update(line);
        self.bytes += u64::try_from(line.len()).unwrap_or(u64::MAX);
    }

    fn advance(&mut self, inner: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(self.last);
        digest.update(inner.as_bytes());
        self.last = digest.finalize().into();
        hex::encode(self.last.split_at(SUM_DIGITS / 2).0)
    }
}
