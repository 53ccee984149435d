//! The units that a head remembers beside the one that wrote it.
//!
//! Whoever had no answer to a commit looks at the head. Another process may have gone on from there meanwhile, and then the head is
//! another unit's; that the first is one of those before it is what keeps it from being done a second time.

use uuid::Uuid;

/// Units that are remembered: what other processes can do to one person while the answer to a commit is waited for, several times
/// over. Each takes 16 bytes of the head.
const MOST: usize = 32;

/// Units that came before, the newest last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Trail(Vec<Uuid>);

impl Trail {
    /// With one more behind them; the oldest go.
    pub(super) fn followed_by(&self, unit: Uuid) -> Self {
        let too_many = (self.0.len() + 1).saturating_sub(MOST);
        Self(self.0.iter().skip(too_many).copied().chain([unit]).collect())
    }

    /// As stored.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|unit| *unit.as_bytes()).collect()
    }

    /// Reads them; `None` when that is not what is stored.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let units = bytes.chunks_exact(16);
        if !units.remainder().is_empty() {
            return None;
        }
        units.map(|unit| Uuid::from_slice(unit).ok()).collect::<Option<_>>().map(Self)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What became of a unit, as far as a head tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Became {
    /// It wrote the head.
    Newest,
    /// It happened, and others after it.
    Earlier,
    /// It has not happened, and still may: nothing came behind the head that it was made from.
    NotYet,
    /// It did not happen, and never will: others came first.
    Nothing,
    /// So much happened since that the head no longer knows.
    Unknown,
}

impl Trail {
    /// What became of a unit that was to follow `base`, the unit of the head that it was made from (`None` for one that was to make
    /// the person), where `newest` wrote the head that this is of.
    pub(super) fn tells_of(&self, newest: Uuid, unit: Uuid, base: Option<Uuid>) -> Became {
        let knows = |unit| newest == unit || self.0.contains(&unit);
        if newest == unit {
            Became::Newest
        } else if knows(unit) {
            Became::Earlier
        } else if base == Some(newest) {
            Became::NotYet
        } else if base.map_or(self.0.len() < MOST, knows) {
            // It remembers everything since the unit was made.
            Became::Nothing
        } else {
            Became::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// What the head remembers that the last of so many units wrote, of which the first made the person.
    fn trail(units: u128) -> Trail {
        (1..units).fold(Trail::default(), |trail, number| trail.followed_by(unit(number)))
    }

    #[test]
    fn a_head_tells_of_the_units_that_it_remembers_and_of_no_other() {
        let most = MOST as u128;
        for units in [1, 2, most, most + 1, 3 * most] {
            let (trail, newest) = (trail(units), unit(units));
            assert_eq!(trail.tells_of(newest, newest, Some(unit(units - 1))), Became::Newest);
            let oldest = units.saturating_sub(most).max(1);
            for number in oldest..units {
                assert_eq!(trail.tells_of(newest, unit(number), Some(unit(number - 1))), Became::Earlier, "{number} of {units}");
                // Somebody else's, made from the same head as the one that came behind it.
                assert_eq!(trail.tells_of(newest, unit(9_000), Some(unit(number))), Became::Nothing, "{number} of {units}");
            }
            let lost = if units > most { Became::Unknown } else { Became::Nothing };
            assert_eq!(trail.tells_of(newest, unit(9_000), Some(newest)), Became::NotYet);
            assert_eq!(trail.tells_of(newest, unit(9_000), Some(unit(8_000))), Became::Unknown);
            assert_eq!(trail.tells_of(newest, unit(9_000), None), lost, "{units}");
        }
    }

    #[test]
    fn what_is_stored_is_read() {
        for units in [1, 2, 40] {
            let trail = trail(units);
            assert_eq!(trail.is_empty(), units == 1);
            assert_eq!(Trail::from_bytes(&trail.to_bytes()), Some(trail));
        }
        assert_eq!(Trail::from_bytes(&[0; 17]), None);
    }
}
