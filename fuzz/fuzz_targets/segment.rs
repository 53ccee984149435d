//! Replies as a model may write them: each message within its limit, nothing but white space lost, a second pass changes nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scrubjay::domain::segment::{MORE_HINT, SplitLimits, count, split, transliterate};
use scrubjay::service::compose::flatten;

fn letters(text: &str) -> String {
    text.chars().filter(|character| !character.is_whitespace()).collect()
}

fuzz_target!(|input: (u8, u8, &str)| {
    let (segments, at_once, reply) = input;
    let limits = SplitLimits { segments_per_part: usize::from(segments % 5), parts_at_once: usize::from(at_once % 4) };
    let flat = flatten(reply);
    assert_eq!(flat.is_empty(), reply.trim().is_empty());
    let plain = transliterate(&flat);
    assert_eq!(transliterate(&plain), plain);
    let parts = split(&plain, limits);
    let mut joined = String::new();
    for (index, part) in parts.iter().enumerate() {
        assert_eq!(part.segments, count(&part.body).segments);
        assert!((1..=limits.segments_per_part.max(1)).contains(&part.segments));
        let ends_batch = (index + 1) % limits.parts_at_once.max(1) == 0 && index + 1 < parts.len();
        let body = if ends_batch { part.body.strip_suffix(MORE_HINT).expect("the hint") } else { &part.body };
        joined.push_str(body);
    }
    assert_eq!(letters(&joined), letters(&plain));
});
