//! A summary without a language model: what the person wrote, shortened, and a word on what was left out.

use std::fmt::Write as _;

use super::shortened;

/// How the task begins that asks for one, and how the section is called that a prompt shows one in. They are the program's own
/// words; a change there shows in this model's tests.
const TASK: &str = "You summarise a conversation";
const SHOWN: &str = "--- summary of what was said earlier in this conversation ---";
/// What a summary begins with.
const HONESTLY: &str = "Scrubjay's offline demo model, which cannot summarise, shortened what the person wrote:";
/// Texts that are kept, and characters of each.
const KEPT: usize = 12;
const CHARACTERS: usize = 60;

/// Whether a system text asks for a summary.
pub(super) fn is_asked_for(system: &str) -> bool {
    system.starts_with(TASK)
}

/// The summary that a system text shows.
pub(super) fn shown(system: &str) -> Option<&str> {
    system.split_once(SHOWN)?.1.split("\n---").next()
}

/// The summary of what is asked: the texts of the one before, then the person's, the newest of them.
pub(super) fn of(asked: &str) -> String {
    let texts: Vec<String> = asked
        .lines()
        .filter_map(|line| line.strip_prefix("- ").or_else(|| line.strip_prefix("Person: ")))
        .map(|text| shortened(text, CHARACTERS))
        .collect();
    let before: usize = asked.lines().find_map(|line| line.strip_prefix("(and ")?.split(' ').next()?.parse().ok()).unwrap_or(0);
    let left_out = before + texts.len().saturating_sub(KEPT);
    let mut summary = HONESTLY.to_owned();
    if left_out > 0 {
        let _infallible = write!(summary, "\n(and {left_out} texts before these)");
    }
    for text in texts.iter().skip(texts.len().saturating_sub(KEPT)) {
        let _infallible = write!(summary, "\n- {text}");
    }
    summary
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_the_newest_texts_and_counts_the_rest() {
        let lines: Vec<String> = (0..15).map(|index| format!("Person: text {index}\n  - no list of its own\nAssistant: ok\n")).collect();
        let lines = lines.concat();
        let first = of(&lines);
        assert!(first.starts_with(HONESTLY) && first.contains("(and 3 texts before these)\n- text 3\n"), "{first}");
        assert!(first.ends_with("- text 14") && !first.contains("ok"), "{first}");
        let second = of(&format!("{first}\nPerson: one more\n"));
        assert!(second.contains("(and 4 texts before these)\n- text 4\n") && second.ends_with("- one more"), "{second}");
        assert_eq!(of(&lines), first, "the same is summarised the same");
    }
}
