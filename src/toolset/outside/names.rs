//! Names of outside tools: `server_tool`, within what every model's API takes (64 of `[a-zA-Z0-9_-]`), never the same twice.
//!
//! A server's prefix holds no `_` and no two servers have the same one, so what stands before the first `_` names the server. The
//! way back is a table, not a parser. A name depends on nothing but the server's and the tool's, so a turn that resumes after a
//! restart finds its tools again.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

/// Characters of a tool's name.
const LONGEST: usize = 64;
/// Characters of a prefix, so that something is left for the tool.
const LONGEST_PREFIX: usize = 24;

/// What our own tools' names begin with, up to the first `_`. A test in `tests/it` compares it with them.
pub const OWN_WORDS: [&str; 10] = ["add", "create", "delete", "find", "memory", "open", "read", "schedule", "search", "todo"];

/// Each server's prefix.
pub(super) fn prefixes<'a>(servers: impl Iterator<Item = &'a String>) -> BTreeMap<String, String> {
    let mut taken: BTreeSet<String> = OWN_WORDS.iter().map(|word| (*word).to_owned()).collect();
    let mut prefixes = BTreeMap::new();
    for server in servers {
        let mut prefix = sanitised(server, '-');
        prefix.truncate(LONGEST_PREFIX);
        if OWN_WORDS.contains(&prefix.as_str()) {
            prefix.push_str("-mcp");
        }
        if prefix.is_empty() || !taken.insert(prefix.clone()) {
            prefix = format!("{prefix}-{}", digest(server));
            taken.insert(prefix.clone());
        }
        prefixes.insert(server.clone(), prefix);
    }
    prefixes
}

/// The name under which a model sees a tool.
pub(super) fn exposed(prefix: &str, tool: &str) -> String {
    let clean = sanitised(tool, '_').replace('\u{0}', "_");
    let name = format!("{prefix}_{clean}");
    if clean == tool && name.len() <= LONGEST {
        return name;
    }
    let mut cut = name;
    cut.truncate(LONGEST - 9);
    format!("{cut}_{}", digest(tool))
}

/// ASCII letters, digits, `-`, and `_` where that is what others become.
fn sanitised(name: &str, other: char) -> String {
    let kept = |character: char| character.is_ascii_alphanumeric() || character == '-' || (character == '_' && other == '_');
    name.chars().map(|character| if kept(character) { character } else { other }).collect()
}

/// Eight characters that differ where names do.
fn digest(name: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(name.as_bytes()));
    digits.truncate(8);
    digits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix_of(names: &[&str]) -> Vec<String> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let prefixes = prefixes(names.iter());
        names.iter().map(|name| prefixes[name].clone()).collect()
    }

    #[test]
    fn a_plain_name_stays_as_it_is() {
        assert_eq!(prefix_of(&["files"]), ["files"]);
        assert_eq!(exposed("files", "read_file"), "files_read_file");
    }

    #[test]
    fn servers_that_look_alike_are_told_apart() {
        let prefixes = prefix_of(&["a b", "a-b", "a_b", "\u{e9}", "", "todo", "memory"]);
        assert_eq!(prefixes[0], "a-b");
        assert_eq!(prefixes.iter().collect::<BTreeSet<_>>().len(), prefixes.len(), "{prefixes:?}");
        assert_eq!((prefixes[5].as_str(), prefixes[6].as_str()), ("todo-mcp", "memory-mcp"));
    }

    #[test]
    fn a_name_that_had_to_change_says_so_and_stays_one() {
        assert_ne!(exposed("x", "a.b"), exposed("x", "a/b"));
        let long = "t".repeat(80);
        assert_eq!(exposed("x", &long).len(), LONGEST);
        assert_ne!(exposed("x", &long), exposed("x", &format!("{long}u")));
    }

    proptest! {
        #[test]
        fn names_are_valid_and_no_two_are_the_same(
            servers in prop::collection::btree_set("[a-z_.\u{e9} -]{1,30}", 1..5),
            tools in prop::collection::btree_set("[a-zA-Z_./\u{e9}-]{1,70}", 1..8),
        ) {
            let prefixes = prefixes(servers.iter());
            let mut seen = BTreeSet::new();
            for (server, prefix) in &prefixes {
                for tool in &tools {
                    let name = exposed(prefix, tool);
                    prop_assert!(name.len() <= LONGEST, "{name}");
                    prop_assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)), "{name}");
                    prop_assert_eq!(name.split('_').next(), Some(prefix.as_str()));
                    prop_assert!(!OWN_WORDS.contains(&prefix.as_str()));
                    prop_assert!(seen.insert(name), "{} {}", server, tool);
                }
            }
        }
    }
}
