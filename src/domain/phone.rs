//! Phone numbers in E.164 form: `+`, then 7 to 15 digits.

use std::fmt;
use std::sync::Arc;

/// A phone number. Logs show it masked ([`fmt::Debug`], [`PhoneNumber::masked`]); only data shows it whole.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumber(Arc<str>);

impl PhoneNumber {
    /// The number, `+` and digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its digits without the `+`.
    #[must_use]
    pub fn digits(&self) -> &str {
        self.0.trim_start_matches('+')
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("+•••")
    }
}
