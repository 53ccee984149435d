//! Time zones by name.

use std::fmt;

use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::domain::text::beginning;
use crate::domain::time::Timestamp;

/// A zone that exists, by its IANA name.
#[derive(Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// A name that no zone has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is not a time zone; use an IANA name {}", hint(.near))]
pub struct UnknownZone {
    name: String,
    near: Vec<String>,
}

fn hint(near: &[String]) -> String {
    if near.is_empty() { "such as Europe/Berlin".to_owned() } else { format!("(did you mean {}?)", near.join(" or ")) }
}

impl Zone {
    /// The zone of that name, in any case.
    ///
    /// # Errors
    /// [`UnknownZone`], which names zones that are called nearly so.
    pub fn parse(name: &str) -> Result<Self, UnknownZone> {
        let name = name.trim();
        match TimeZone::get(name) {
            Ok(rules) => Ok(Self { name: rules.iana_name().unwrap_or(name).to_owned(), rules }),
            Err(_unknown) => Err(UnknownZone { name: beginning(name, 80).to_owned(), near: near(name) }),
        }
    }

    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }

    /// Its IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A moment as it stands on that zone's clocks and calendar.
    #[must_use]
    pub fn local(&self, moment: Timestamp) -> jiff::civil::DateTime {
        self.rules.to_datetime(moment.to_jiff())
    }

    /// A moment as a zoned one, for calendar arithmetic.
    #[must_use]
    pub fn zoned(&self, moment: Timestamp) -> jiff::Zoned {
        moment.to_jiff().to_zoned(self.rules.clone())
    }

    /// A moment in RFC 3339 with this zone's offset, to the second: `2026-11-23T09:00:00+01:00`.
    #[must_use]
    pub fn rfc3339(&self, moment: Timestamp) -> String {
        self.zoned(moment).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
    }

    /// When the clocks there show `local`. A time that is left out when clocks go forward is the first moment after the gap; of
    /// one that comes twice it is the first. `None` beyond the years that can be reckoned with.
    #[must_use]
    pub fn moment(&self, local: jiff::civil::DateTime) -> Option<Timestamp> {
        let ambiguous = self.rules.to_ambiguous_timestamp(local);
        let AmbiguousOffset::Gap { after, .. } = ambiguous.offset() else {
            return ambiguous.earlier().ok().map(Timestamp::from);
        };
        let before_gap = ambiguous.earlier().ok()?;
        let past_gap = ambiguous.later().ok()?;
        let end = self.rules.following(before_gap).map(|change| (change.timestamp(), change.offset()));
        let end = end.take_while(|(moment, _)| *moment <= past_gap).find(|(_, offset)| *offset == after);
        Some(end.map_or(past_gap, |(moment, _)| moment).into())
    }

    /// As [`Zone::moment`], but of a time that comes twice the second.
    pub(in crate::domain) fn second_moment(&self, local: jiff::civil::DateTime) -> Option<Timestamp> {
        self.rules.to_ambiguous_timestamp(local).later().ok().map(Timestamp::from)
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.name)
    }
}

/// Up to two names that resemble what was written: the same town, or a slip of the hand.
fn near(written: &str) -> Vec<String> {
    let folded = |name: &str| name.to_lowercase().replace(' ', "_");
    let written = folded(written);
    let town = |name: &str| name.rsplit('/').next().map(str::to_owned).unwrap_or_default();
    let mut scored: Vec<(f64, String)> = jiff::tz::db()
        .available()
        .map(|name| {
            let known = folded(name.as_str());
            let alike = strsim::jaro_winkler(&written, &known).max(strsim::jaro_winkler(&town(&written), &town(&known)));
            (alike, name.as_str().to_owned())
        })
        .filter(|(alike, _)| *alike >= 0.92)
        .collect();
    scored.sort_by(|(one, name), (other, other_name)| other.total_cmp(one).then_with(|| name.cmp(other_name)));
    scored.into_iter().take(2).map(|(_, name)| name).collect()
}
