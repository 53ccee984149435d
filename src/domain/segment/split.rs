//! Cutting a long text into messages.

use unicode_segmentation::UnicodeSegmentation;

use super::{Counter, count};

/// What stands below the last message of a batch while more is held back. It lies in the GSM-7 alphabet.
pub const MORE_HINT: &str = "\n\nReply MORE for the rest.";

/// How long messages may be, and how many go at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SplitLimits {
    /// Segments that one message may take; 0 counts as 1.
    pub segments_per_part: usize,
    /// Messages that go at once; the last of them says how to ask for more. 0 counts as 1.
    pub parts_at_once: usize,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// What it says.
    pub body: String,
    /// Segments that it takes.
    pub segments: usize,
}

/// Cuts a text into messages, each within its limit. White space at the cuts goes; nothing else is lost.
///
/// Cuts lie at the end of a line or sentence where one ends in the later half, else between words; only a word too long for
/// a whole message is cut inside, and then between what a reader sees as characters. Every message that ends a batch of
/// `parts_at_once` carries [`MORE_HINT`] unless it is the last, so a held batch can be sent as it is when it is asked for.
#[must_use]
pub fn split(text: &str, limits: SplitLimits) -> Vec<Part> {
    let segments = limits.segments_per_part.max(1);
    let at_once = limits.parts_at_once.max(1);
    let mut parts: Vec<Part> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let mut end = first_part(rest, segments, "");
        let more = rest.get(end..).unwrap_or_default();
        let mut hint = "";
        if !more.is_empty() && (parts.len() + 1).is_multiple_of(at_once) {
            hint = MORE_HINT;
            end = first_part(rest, segments, hint);
        }
        let (body, after) = rest.split_at(end);
        let body = format!("{}{hint}", body.trim_end());
        parts.push(Part { segments: count(&body).segments, body });
        rest = after.trim_start();
    }
    parts
}

/// Where the first message ends, in bytes: beyond 0, at a boundary of characters. With `suffix` added it takes at most
/// `segments`.
fn first_part(text: &str, segments: usize, suffix: &str) -> usize {
    let mut longest = longest_prefix(text, segments, suffix);
    loop {
        let end = best_cut(text, longest, segments);
        let body = text.get(..end).unwrap_or_default().trim_end();
        let fits = suffix.is_empty() || count(&format!("{body}{suffix}")).segments <= segments;
        // The prefix was measured with the suffix in front; behind it, a cut-off pair may take a unit more.
        let shorter = text.get(..longest).unwrap_or_default().char_indices().next_back().map_or(0, |(index, _)| index);
        if fits || shorter == 0 {
            return end;
        }
        longest = shorter;
    }
}

/// The most bytes from the start that take at most `segments` together with `suffix`: whole graphemes, at least a character.
fn longest_prefix(text: &str, segments: usize, suffix: &str) -> usize {
    let mut counter = Counter::default();
    suffix.chars().for_each(|character| counter.push(character));
    let mut end = 0;
    for grapheme in text.graphemes(true) {
        let before = counter.clone();
        grapheme.chars().for_each(|character| counter.push(character));
        if counter.count().segments > segments {
            // A letter under a tower of marks can be longer than a message; then the tower is cut.
            return if end > 0 { end } else { longest_chars(text, segments, before) };
        }
        end += grapheme.len();
    }
    end
}

fn longest_chars(text: &str, segments: usize, mut counter: Counter) -> usize {
    let mut end = 0;
    for character in text.chars() {
        counter.push(character);
        if end > 0 && counter.count().segments > segments {
            break;
        }
        end += character.len_utf8();
    }
    end
}

/// The best place for a cut at or before `longest`.
fn best_cut(text: &str, longest: usize, segments: usize) -> usize {
    if longest >= text.len() {
        return text.len();
    }
    let mut sentence = 0;
    let mut word = 0;
    let mut ends = Ends::No;
    for (index, character) in text.char_indices().take_while(|(index, _)| *index <= longest) {
        if character.is_whitespace() {
            word = index;
        }
        if character == '\n' || ends == Ends::Surely || (ends == Ends::BeforeSpace && character.is_whitespace()) {
            sentence = index;
        }
        ends = ends.and_then(character);
    }
    if sentence > longest / 2 {
        return sentence;
    }
    let next_word = text.get(word..).unwrap_or_default().trim_start();
    if word > 0 && starts_with_whole_word(next_word, segments) { word } else { longest }
}

/// Whether the first word fits a message of its own; if not, sparing it the cut gains nothing.
fn starts_with_whole_word(text: &str, segments: usize) -> bool {
    let reach = longest_prefix(text, segments, "");
    reach == text.len() || text.char_indices().take_while(|(index, _)| *index <= reach).any(|(_, character)| character.is_whitespace())
}

/// Whether a sentence has ended before the next character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ends {
    No,
    /// If white space follows: "3.5" is one number.
    BeforeSpace,
    /// Scripts without spaces have full stops of their own.
    Surely,
}

impl Ends {
    fn and_then(self, character: char) -> Self {
        match character {
            '.' | '!' | '?' | '…' | ':' | ';' => Self::BeforeSpace,
            '。' | '！' | '？' => Self::Surely,
            '"' | '\'' | ')' | ']' | '”' | '’' | '»' if self == Self::BeforeSpace => self,
            _ => Self::No,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bodies(text: &str, segments_per_part: usize, parts_at_once: usize) -> Vec<String> {
        split(text, SplitLimits { segments_per_part, parts_at_once }).into_iter().map(|part| part.body).collect()
    }

    #[test]
    fn a_short_text_is_one_message() {
        assert_eq!(bodies("  Hello there.\n", 4, 3), ["Hello there."]);
        assert!(bodies(" \n ", 4, 3).is_empty());
        assert_eq!(bodies(&"a".repeat(160), 1, 3).len(), 1);
    }

    #[test]
    fn cuts_lie_at_sentence_ends_then_between_words() {
        let first = format!("{}.", "word ".repeat(20).trim_end());
        let text = format!("{first} {}", "other ".repeat(20));
        assert_eq!(bodies(&text, 1, 9)[0], first);
        let words = "seven77 ".repeat(40);
        for body in bodies(&words, 1, 9) {
            assert!(body.split(' ').all(|word| word == "seven77"), "{body}");
        }
        assert_eq!(bodies(&format!("{}\n{}", "a ".repeat(50), "b ".repeat(50)), 1, 9)[0], "a ".repeat(50).trim_end());
    }

    #[test]
    fn a_number_or_an_address_is_no_sentence_end() {
        let text = format!("{} 3.5 and https://example.org/a?b=c {}", "a ".repeat(55), "b ".repeat(40));
        assert!(bodies(&text, 1, 9)[0].ends_with("3.5 and https://example.org/a?b=c b b b b b b b b"));
    }

    #[test]
    fn a_word_longer_than_a_message_is_cut_without_waste() {
        assert_eq!(bodies(&"x".repeat(330), 1, 9).iter().map(String::len).collect::<Vec<_>>(), [160, 160, 10]);
        let mixed = bodies(&format!("see {}", "x".repeat(330)), 1, 9);
        assert_eq!(mixed[0].len(), 160);
    }

    #[test]
    fn what_a_reader_sees_as_one_character_stays_whole() {
        let family = "👩‍👩‍👧‍👦";
        let parts = bodies(&family.repeat(20), 1, 9);
        assert!(parts.len() > 1);
        for body in parts {
            assert_eq!(body, family.repeat(body.len() / family.len()));
        }
        let tower = format!("a{}", "\u{301}".repeat(500));
        assert!(bodies(&tower, 1, 99).iter().all(|body| count(body).segments == 1));
    }

    #[test]
    fn each_batch_but_the_last_ends_with_the_hint() {
        let parts = bodies(&"Some words in a row. ".repeat(60), 1, 3);
        let hinted: Vec<bool> = parts.iter().map(|body| body.ends_with(MORE_HINT)).collect();
        assert!(parts.len() > 6, "{}", parts.len());
        for (index, has_hint) in hinted.iter().enumerate() {
            assert_eq!(*has_hint, (index + 1) % 3 == 0 && index + 1 < parts.len(), "{index}");
        }
    }

    #[test]
    fn a_text_that_just_fits_has_no_hint() {
        assert_eq!(bodies(&"x".repeat(160 * 3), 1, 3).len(), 3);
        assert!(!bodies(&"x".repeat(160 * 3), 1, 3)[2].contains("MORE"));
    }

    #[test]
    fn a_megabyte_is_split_in_linear_time() {
        let text = "Ein Satz mit Wörtern und 😀. ".repeat(35_000);
        assert!(split(&text, SplitLimits { segments_per_part: 4, parts_at_once: 3 }).len() > 3000);
    }

    proptest! {
        #[test]
        fn no_part_is_too_long_and_nothing_but_space_is_lost(
            text in "([a-z]{1,12}[ .\n€]|\\PC|[a-z]{90,200}|😀|e\u{301}){0,200}",
            segments_per_part in 1_usize..5,
            parts_at_once in 1_usize..4,
        ) {
            let parts = split(&text, SplitLimits { segments_per_part, parts_at_once });
            let mut joined = String::new();
            for (index, part) in parts.iter().enumerate() {
                prop_assert!(part.segments >= 1 && part.segments <= segments_per_part, "{part:?}");
                prop_assert_eq!(part.segments, count(&part.body).segments);
                let last_of_batch = (index + 1) % parts_at_once == 0 && index + 1 < parts.len();
                let body = if last_of_batch { part.body.strip_suffix(MORE_HINT) } else { Some(part.body.as_str()) };
                prop_assert!(body.is_some_and(|body| !body.trim().is_empty()), "{part:?}");
                joined.push_str(body.unwrap());
            }
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(letters(&joined), letters(&text));
        }
    }
}
