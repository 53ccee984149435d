//! How many tokens a text is, when nobody has counted.

/// Estimates the tokens of a text: a quarter of its bytes, rounded up.
///
/// English is close to four bytes a token; scripts of two or three bytes a letter take more tokens a letter, and so they do
/// here. A character has at most four bytes, so the estimate is never more than a token a character. A real tokenizer would
/// be exact for one family of models and wrong for the others, and is megabytes of tables.
#[must_use]
pub fn estimate_tokens(text: &str) -> i64 {
    i64::try_from(text.len().div_ceil(4)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_is_a_quarter_of_the_bytes_and_at_most_one_a_character() {
        for (text, tokens) in
            [("", 0), ("a", 1), ("four", 1), ("fives", 2), ("Hello, how are you today?", 7), ("Привет", 3), ("你好吗", 3), ("🙂🙂", 2)]
        {
            assert_eq!(estimate_tokens(text), tokens, "{text:?}");
            assert!(tokens <= i64::try_from(text.chars().count()).unwrap());
        }
    }
}
