//! What a text costs as an SMS: its encoding and its segments.
//!
//! [`count`] measures, [`transliterate`] makes a text cheaper without changing what it says, [`split()`] cuts a long one into
//! messages. Reading order: this file, `alphabet`, `split`.
//!
//! # Source
//! 3GPP TS 23.038 section 6.2.1 (the GSM 7-bit default alphabet and its extension table), TS 23.040 section 9.2.3.24.1
//! (concatenated messages: a header of 6 octets leaves 153 septets or 67 UTF-16 units a segment).

mod alphabet;
mod split;

use serde::Serialize;

pub use alphabet::transliterate;
pub use split::{MORE_HINT, Part, SplitLimits, split};

/// How a message is written for the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Encoding {
    /// Seven bits a character: the GSM default alphabet with its extension table.
    #[serde(rename = "GSM-7")]
    Gsm7,
    /// Sixteen bits a unit, for everything else. One character outside GSM-7 turns the whole message.
    #[serde(rename = "UCS-2")]
    Ucs2,
}

impl Encoding {
    /// Its name, as carriers write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "GSM-7",
            Self::Ucs2 => "UCS-2",
        }
    }

    /// Units that fit a message of one segment.
    #[must_use]
    pub const fn units_alone(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    /// Units that fit each segment of a longer message.
    #[must_use]
    pub const fn units_joined(self) -> usize {
        match self {
            Self::Gsm7 => 153,
            Self::Ucs2 => 67,
        }
    }
}

/// The size of a text, sent as one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    /// How it is written.
    pub encoding: Encoding,
    /// Septets of GSM-7, or UTF-16 units.
    pub units: usize,
    /// Segments, which is what carriers bill; 0 for empty text.
    pub segments: usize,
}

/// Measures a text as it is, without transliteration.
#[must_use]
pub fn count(text: &str) -> Count {
    let mut counter = Counter::default();
    text.chars().for_each(|character| counter.push(character));
    counter.count()
}

/// Measures a text that grows by a character at a time.
#[derive(Debug, Clone, Default)]
struct Counter {
    outside_gsm7: bool,
    gsm7: Packing,
    ucs2: Packing,
}

impl Counter {
    fn push(&mut self, character: char) {
        match alphabet::septets(character) {
            Some(septets) => self.gsm7.push(septets, Encoding::Gsm7.units_joined()),
            None => self.outside_gsm7 = true,
        }
        self.ucs2.push(character.len_utf16(), Encoding::Ucs2.units_joined());
    }

    fn count(&self) -> Count {
        let (encoding, packing) = if self.outside_gsm7 { (Encoding::Ucs2, &self.ucs2) } else { (Encoding::Gsm7, &self.gsm7) };
        let segments = if packing.units <= encoding.units_alone() { packing.segments.min(1) } else { packing.segments };
        Count { encoding, units: packing.units, segments }
    }
}

/// Characters laid into segments one after the other. One of two units (an escape, a surrogate pair) that does not fit at
/// a segment's end begins the next one.
#[derive(Debug, Clone, Default)]
struct Packing {
    units: usize,
    segments: usize,
    used: usize,
}

impl Packing {
    fn push(&mut self, width: usize, capacity: usize) {
        self.units += width;
        if self.segments == 0 || self.used + width > capacity {
            self.segments += 1;
            self.used = width;
        } else {
            self.used += width;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_table_of_segments_holds() {
        let table: Value = serde_json::from_str(include_str!("../../../tests/vectors/segments.json")).unwrap();
        let cases = table["cases"].as_array().unwrap();
        assert!(cases.len() >= 10);
        for case in cases {
            let (letters, times) = case["text"].as_str().unwrap().split_once('*').unwrap();
            let text = letters.repeat(times.parse().unwrap());
            assert_eq!(Some(count(&text).segments as u64), case["segments"].as_u64(), "{case}");
        }
    }

    #[test]
    fn an_escape_or_a_surrogate_pair_is_never_cut() {
        // The pair would lie across the end of the first segment, so each segment but the last wastes a unit.
        assert_eq!(count(&format!("{}{}", "a".repeat(152), "€".repeat(77))), Count { encoding: Encoding::Gsm7, units: 306, segments: 3 });
        assert_eq!(count(&format!("{}{}", "Á".repeat(66), "😀".repeat(34))), Count { encoding: Encoding::Ucs2, units: 134, segments: 3 });
        assert_eq!(count(&"€".repeat(153)), Count { encoding: Encoding::Gsm7, units: 306, segments: 3 });
    }

    #[test]
    fn empty_text_has_no_segment() {
        assert_eq!(count(""), Count { encoding: Encoding::Gsm7, units: 0, segments: 0 });
    }

    /// The same sums done the long way: the table as text, and segments filled one by one.
    fn reference(text: &str) -> (usize, usize) {
        const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
        const ESCAPED: &str = "\u{c}^{}\\[~]|€";
        let gsm = text.chars().all(|c| BASIC.contains(c) || ESCAPED.contains(c));
        let width = |c: char| if gsm { 1 + usize::from(ESCAPED.contains(c)) } else { c.len_utf16() };
        let (alone, joined) = if gsm { (160, 153) } else { (70, 67) };
        let units = text.chars().map(width).sum();
        if units <= alone {
            return (units, usize::from(units > 0));
        }
        let mut segments = vec![0];
        for c in text.chars() {
            if segments.last().unwrap() + width(c) > joined {
                segments.push(0);
            }
            *segments.last_mut().unwrap() += width(c);
        }
        (units, segments.len())
    }

    proptest! {
        #[test]
        fn counts_equal_those_done_the_long_way(text in "([a-z €{\\[é\n]|[a-z😀]|\\PC){0,400}|[a-z€|]{140,340}") {
            let counted = count(&text);
            prop_assert_eq!((counted.units, counted.segments), reference(&text));
        }
    }
}
