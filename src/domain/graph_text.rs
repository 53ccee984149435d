//! How texts are compared where a graph is searched, recalled from, or asked for a name that it does not have. Every backend goes by
//! this; how a backend finds its candidates is its own.

use std::collections::HashSet;

use super::graph::fold;

/// Words of a query that count.
const QUERY_WORDS: usize = 16;
/// Words of a text that count when it is recalled what it is about: the longest.
const TOPIC_WORDS: usize = 24;
/// Characters of a name that are compared.
const COMPARED: usize = 64;
/// How alike two names must be, from 0 to 1, for one to be told in place of the other.
pub const ALIKE: f64 = 0.75;

/// Words that say nothing of what a text is about.
const EMPTY: &str = " about after all also and any are because been but can could did does for from get got had has have her him his how \
    into its just know let like may mine more much must not now our out please remember should some such tell than that the their them \
    then there these they this those too use was were what when where which who why will with would yes you your ";

/// The words of a folded query, each once.
#[must_use]
pub fn query_words(folded: &str) -> Vec<&str> {
    let mut seen = HashSet::new();
    folded.split(' ').filter(|word| !word.is_empty() && seen.insert(*word)).take(QUERY_WORDS).collect()
}

/// Whether a script has no spaces between words.
const fn is_unspaced(character: char) -> bool {
    matches!(character, '\u{e00}'..='\u{eff}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{20000}'..='\u{3ffff}')
}

/// The words of a text that can find something, the longest first. Where words are written without spaces, every three
/// characters in a row are one.
#[must_use]
pub fn topic_words(text: &str) -> Vec<String> {
    let folded = fold(text);
    let mut words: Vec<String> = Vec::new();
    for word in folded.split(|character: char| !character.is_alphanumeric()) {
        let characters: Vec<char> = word.chars().collect();
        if characters.iter().any(|character| is_unspaced(*character)) {
            if characters.len() < 3 {
                words.push(word.to_owned());
            }
            words.extend(characters.windows(3).map(String::from_iter));
        } else if characters.len() >= 3 && !EMPTY.contains(&format!(" {word} ")) {
            // "sisters" finds "sister".
            words.push(if word.len() > 4 && word.is_ascii() { word.strip_suffix('s').unwrap_or(word) } else { word }.to_owned());
        }
    }
    let mut seen = HashSet::new();
    words.retain(|word| seen.insert(word.clone()));
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    words.truncate(TOPIC_WORDS);
    words
}

/// Whether a word stands in a folded name as a word of its own.
#[must_use]
pub fn is_word_of(word: &str, name: &str) -> bool {
    name.split(|character: char| !character.is_alphanumeric()).any(|part| part == word)
}

/// Three characters in a row of a text, those first that few texts have, by the look of their letters; they overlap as little as they
/// can. None where the text is shorter.
#[must_use]
pub fn rarest_tokens(text: &str, most: usize) -> Vec<String> {
    let characters = beginning(text);
    let mut places: Vec<(usize, usize)> = rarities(&characters).zip(0..).collect();
    places.sort_unstable_by(|a, b| b.cmp(a));
    let mut taken: Vec<usize> = Vec::new();
    for apart in [3, 2, 1] {
        for (_rarity, place) in &places {
            if taken.len() < most && taken.iter().all(|other| other.abs_diff(*place) >= apart) {
                taken.push(*place);
            }
        }
    }
    taken.iter().filter_map(|place| characters.get(*place..place + 3)).map(|token| token.iter().collect()).collect()
}

/// A long text is found by its beginning, and compared as a whole.
fn beginning(text: &str) -> Vec<char> {
    text.chars().take(64).collect()
}

/// How rare each three characters in a row are.
fn rarities(characters: &[char]) -> impl Iterator<Item = usize> {
    /// Letters by how often they come in texts of many languages; what is not here is rare.
    const FREQUENT: &str = " eantiorsldhucmpgfbvykwzjxq";
    let rarity = |character: &char| FREQUENT.find(*character).unwrap_or(FREQUENT.len() + 8);
    characters.windows(3).map(move |token| token.iter().map(rarity).sum())
}

/// How rare a word is, by the look of its rarest three characters; 0 for a shorter one.
#[must_use]
pub fn rarity(word: &str) -> usize {
    rarities(&beginning(word)).max().unwrap_or(0)
}

/// How alike two folded names are, from 0 to 1: by their letters, or because one is a whole word of the other.
#[must_use]
pub fn likeness(a: &str, b: &str) -> f64 {
    let word_of = |short: &str, long: &str| short.chars().count() >= 3 && is_word_of(short, long);
    if word_of(a, b) || word_of(b, a) {
        return 0.9;
    }
    let begin = |text: &str| -> String { text.chars().take(COMPARED).collect() };
    let (a, b) = (begin(a), begin(b));
    let (has, other) = (a.chars().count(), b.chars().count());
    let (short, long) = (has.min(other), has.max(other));
    // What differs so much in length is not alike, whatever its letters.
    if short * 4 < long {
        return 0.0;
    }
    let by_order = if has > 3 { strsim::jaro_winkler(&a, &b) - 0.1 } else { 0.0 };
    // Each character that one has more is a step from one to the other.
    if short * 4 < long * 3 {
        return by_order;
    }
    #[expect(clippy::cast_precision_loss, reason = "both are at most COMPARED")]
    let by_steps = if long == 0 { 1.0 } else { 1.0 - strsim::osa_distance(&a, &b) as f64 / long as f64 };
    by_steps.max(by_order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_say_nothing_are_left_out() {
        assert_eq!(topic_words("What do you know about my sisters?"), ["sister"]);
        assert_eq!(topic_words("Is Zoë's flat (the FLAT) in Oslo?"), ["flat", "oslo", "zoe"]);
    }

    #[test]
    fn words_without_spaces_are_cut() {
        assert_eq!(topic_words("東京"), ["東京"]);
        assert_eq!(topic_words("姉は東京"), ["姉は東", "は東京"]);
    }

    #[test]
    fn the_rarest_tokens_are_asked_for() {
        assert_eq!(rarest_tokens("mark001234z", 3).len(), 3);
        assert!(rarest_tokens("mark001234z", 1)[0].bytes().all(|byte| byte.is_ascii_digit()));
        assert_eq!(rarest_tokens("abc", 3), ["abc"]);
        assert_eq!(rarest_tokens("abcd", 3).len(), 2, "they overlap where they must");
        assert!(rarest_tokens("ab", 3).is_empty());
        assert_eq!(rarest_tokens("日本国", 3), ["日本国"]);
    }

    #[test]
    fn words_that_few_texts_have_are_told_by_their_letters() {
        let mut words = ["an", "tea", "jay", "000037", "quartz"];
        words.sort_by_key(|word| std::cmp::Reverse(rarity(word)));
        assert_eq!(words, ["000037", "jay", "quartz", "tea", "an"]);
    }

    #[test]
    fn slips_and_parts_are_alike_and_others_are_not() {
        for (a, b) in [("ada lovelace", "ada lovelce"), ("ada", "ada lovelace"), ("project x", "projekt x"), ("lodnon", "london")] {
            assert!(likeness(a, b) >= ALIKE, "{a} {b}: {}", likeness(a, b));
        }
        for (a, b) in [("ada", "bob"), ("london", "paris"), ("entity-000001", "sister"), ("a", "b")] {
            assert!(likeness(a, b) < ALIKE, "{a} {b}: {}", likeness(a, b));
        }
        let long = "an entity with a very long name ".repeat(8);
        assert!(likeness("an entity", &long) < f64::EPSILON, "they differ too much in length to be compared");
        assert!(likeness(&long, &long.replace("very", "vrey")) >= ALIKE);
    }
}
