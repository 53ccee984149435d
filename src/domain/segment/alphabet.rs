//! The GSM 7-bit alphabet, and what can be written in it instead.

use std::borrow::Cow;

/// Septets that a character takes in GSM-7: 1, 2 for the extension table, `None` outside the alphabet.
#[expect(clippy::match_same_arms, reason = "a line a kind of character reads better")]
pub(super) const fn septets(character: char) -> Option<usize> {
    match character {
        '\u{c}' | '^' | '{' | '}' | '\\' | '[' | '~' | ']' | '|' | '€' => Some(2),
        'a'..='z' | 'A'..='Z' | '0'..='9' | '\n' | '\r' | '@' | '_' | ' '..='#' | '$' | '%'..='?' => Some(1),
        '£' | '¥' | 'è' | 'é' | 'ù' | 'ì' | 'ò' | 'Ç' | 'Ø' | 'ø' | 'Å' | 'å' | 'Æ' | 'æ' | 'ß' | 'É' | '¤' | '¡' => {
            Some(1)
        }
        'Ä' | 'Ö' | 'Ñ' | 'Ü' | '§' | '¿' | 'ä' | 'ö' | 'ñ' | 'ü' | 'à' => Some(1),
        'Δ' | 'Φ' | 'Γ' | 'Λ' | 'Ω' | 'Π' | 'Ψ' | 'Σ' | 'Θ' | 'Ξ' => Some(1),
        _ => None,
    }
}

/// Writes typographic marks in their GSM-7 form: quotes, dashes, ellipses, bullets, back-ticks, spaces and line ends of other
/// kinds; invisible marks that say nothing are left out. Letters of any script, symbols and emoji stay as they are.
///
/// A model writes a curly quote in every other sentence, and a single one makes a message cost more than double.
#[must_use]
pub fn transliterate(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|character| plain_form(character).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match plain_form(character) {
            Some(form) => plain.push_str(form),
            None => plain.push(character),
        }
    }
    Cow::Owned(plain)
}

/// The GSM-7 form of a typographic mark; `None` for all else.
#[expect(clippy::match_same_arms, reason = "a line a kind of mark reads better")]
const fn plain_form(character: char) -> Option<&'static str> {
    Some(match character {
        // Single quotes, primes, back-tick and acute accent standing alone.
        '\u{2018}'..='\u{201b}' | '\u{2032}' | '\u{2035}' | '\u{2039}' | '\u{203a}' | '\u{2bc}' | '`' | '\u{b4}' => "'",
        '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{2036}' | '\u{ab}' | '\u{bb}' => "\"",
        // Hyphens, dashes, the minus sign.
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{2e3a}' | '\u{2e3b}' | '\u{fe58}' | '\u{fe63}' => "-",
        // Bullets, written as list items are.
        '\u{2022}' | '\u{2023}' | '\u{2043}' | '\u{25aa}' | '\u{25cf}' | '\u{25e6}' | '\u{2219}' => "-",
        '\u{2026}' => "...",
        '\u{2025}' => "..",
        '\t' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => " ",
        '\u{b}' | '\u{85}' | '\u{2028}' | '\u{2029}' => "\n",
        // Soft hyphen, zero-width space, word joiner, byte order mark. The joiners of emoji and of Persian stay.
        '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}' => "",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn typographic_marks_are_written_plainly() {
        assert_eq!(
            transliterate("“It’s ‘fine’” – really — 5′… • one\u{a0}two `code`\u{2028}end\u{feff}"),
            "\"It's 'fine'\" - really - 5'... - one two 'code'\nend"
        );
    }

    #[test]
    fn other_text_is_not_touched() {
        for text in ["Grüße, ça va? Привет, 你好 👩‍👩‍👧 می‌خواهم", "a·b ½ × ° ™ ©", "2 * 3 ~ {x} | €5 \\ ^", "", "line\r\nline"]
        {
            assert!(matches!(transliterate(text), Cow::Borrowed(_)), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_second_pass_changes_nothing(text in "[\\t -\u{ff}\u{2000}-\u{2069}\\PC]{0,60}") {
            let once = transliterate(&text).into_owned();
            prop_assert_eq!(transliterate(&once), once.as_str());
        }
    }

    #[test]
    fn each_form_lies_in_the_alphabet_and_stands_for_no_letter() {
        for character in '\0'..=char::MAX {
            let Some(form) = plain_form(character) else { continue };
            assert!(form.chars().all(|c| septets(c) == Some(1)), "{character:?}");
            assert!(!character.is_alphanumeric() || character == '\u{2bc}', "{character:?}");
        }
    }
}
