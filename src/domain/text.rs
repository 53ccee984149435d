//! Beginnings of texts, for whoever repeats what somebody wrote, or has little room for it.

use std::borrow::Cow;

/// The first characters of a text, of a shorter one all.
#[must_use]
pub fn beginning(text: &str, characters: usize) -> &str {
    let end = text.char_indices().nth(characters).map_or(text.len(), |(end, _character)| end);
    text.get(..end).unwrap_or(text)
}

/// The first characters of a text, with `…` behind them where that is not all.
#[must_use]
pub fn shortened(text: &str, characters: usize) -> Cow<'_, str> {
    let beginning = beginning(text, characters);
    if beginning.len() == text.len() { Cow::Borrowed(text) } else { Cow::Owned(format!("{beginning}…")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_and_not_bytes() {
        assert_eq!([beginning("éé", 2), beginning("éé", 1), beginning("éé", 0), beginning("", 3)], ["éé", "é", "", ""]);
        assert_eq!((shortened("éé", 2), shortened("ééé", 2)), (Cow::from("éé"), Cow::from("éé…")));
    }
}
