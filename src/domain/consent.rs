//! The words that are obeyed before anything else: consent, help, `MORE`, and the commands.
//!
//! # Source
//! Twilio, "Twilio support for opt-out keywords (SMS STOP filtering)": STOP STOPALL UNSUBSCRIBE CANCEL END QUIT REVOKE
//! OPTOUT; START YES UNSTOP; HELP INFO.

/// What a text asks of the system itself, instead of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// Never text me again.
    Stop,
    /// Text me again.
    Start,
    /// Who is this?
    Help,
    /// The rest of a long reply.
    More,
    /// A command.
    Command(Command),
}

/// A command, written `/name` alone in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// What can I say?
    Help,
    /// Begin a new conversation.
    New,
    /// What may I still spend?
    Balance,
    /// Where am I, and does it work?
    Status,
    /// About what is kept of the person.
    Kept(KeptCommand),
    /// A command that does not exist; answered with the list, never sent to a model.
    Unknown,
}

/// A command about what is kept of a person, which may have [words of its own](argument) behind its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptCommand {
    /// What is remembered of me?
    Memory,
    /// Forget that.
    Forget,
    /// My list: show it, add to it, tick off.
    Todo,
    /// My reminders: show them, make one, remove one.
    Remind,
}

/// Reads a text. `opted_out` says whether the sender has opted out: only then is `YES` an opt-in.
#[must_use]
pub fn read_word(text: &str, opted_out: bool) -> Option<Word> {
    if let Some(command) = with_argument(text) {
        return Some(Word::Command(Command::Kept(command)));
    }
    let text = text.trim().trim_end_matches(['.', '!']).trim_end();
    // Longer than any word of ours, and nothing longer is worth folding.
    if text.is_empty() || text.len() > 32 {
        return None;
    }
    let folded = text.to_ascii_uppercase();
    match folded.as_str() {
        "STOP" | "STOPALL" | "UNSUBSCRIBE" | "CANCEL" | "END" | "QUIT" | "REVOKE" | "OPTOUT" => return Some(Word::Stop),
        "START" | "UNSTOP" => return Some(Word::Start),
        "YES" if opted_out => return Some(Word::Start),
        "HELP" | "INFO" => return Some(Word::Help),
        "MORE" => return Some(Word::More),
        _ => {}
    }
    let name = folded.strip_prefix('/')?;
    if let Some(command) = named(name) {
        return Some(Word::Command(Command::Kept(command)));
    }
    let command = match name {
        "HELP" => Command::Help,
        "NEW" => Command::New,
        "BALANCE" => Command::Balance,
        "STATUS" => Command::Status,
        // "/" followed by one word is a mistyped command; anything else (a path, a date) is for the model.
        _ if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic()) => Command::Unknown,
        _ => return None,
    };
    Some(Word::Command(command))
}

/// A command that may be followed by words of its own, and is.
fn with_argument(text: &str) -> Option<KeptCommand> {
    let mut words = text.split_whitespace();
    let name = words.next()?.strip_prefix('/')?;
    words.next()?;
    named(&name.to_ascii_uppercase())
}

/// A command that may have words of its own, by its name.
fn named(name: &str) -> Option<KeptCommand> {
    Some(match name {
        "MEMORY" => KeptCommand::Memory,
        "FORGET" => KeptCommand::Forget,
        "TODO" => KeptCommand::Todo,
        "REMIND" => KeptCommand::Remind,
        _ => return None,
    })
}

/// What stands behind the name of a command, without the blanks around it.
#[must_use]
pub fn argument(text: &str) -> &str {
    let text = text.trim();
    text.find(char::is_whitespace).and_then(|end| text.get(end..)).unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consent_words_are_read_in_any_case_and_only_alone() {
        for stop in ["STOP", "stop", " Stop. ", "STOPALL", "unsubscribe", "Cancel", "END", "quit!", "revoke", "OptOut"] {
            assert_eq!(read_word(stop, false), Some(Word::Stop), "{stop:?}");
        }
        for none in ["please stop", "stop it", "", "STOPP", "yes", "1/2", "/etc/hosts", "/", "help me"] {
            assert_eq!(read_word(none, false), None, "{none:?}");
        }
        assert_eq!(read_word("yes", true), Some(Word::Start));
        assert_eq!(read_word("start", false), Some(Word::Start));
        assert_eq!(read_word("info", false), Some(Word::Help));
        assert_eq!(read_word("more", false), Some(Word::More));
    }

    #[test]
    fn commands_are_read_and_mistyped_ones_stay_here() {
        assert_eq!(read_word("/new", false), Some(Word::Command(Command::New)));
        assert_eq!(read_word("/Balance", false), Some(Word::Command(Command::Balance)));
        assert_eq!(read_word("/halp", false), Some(Word::Command(Command::Unknown)));
    }

    #[test]
    fn some_commands_have_words_of_their_own() {
        let long = format!("/todo {}", "buy milk and ".repeat(50));
        for (text, command, rest) in [
            ("/memory", KeptCommand::Memory, ""),
            ("/memory my sister", KeptCommand::Memory, "my sister"),
            ("/FORGET 12", KeptCommand::Forget, "12"),
            ("/todo", KeptCommand::Todo, ""),
            (" /Todo. ", KeptCommand::Todo, ""),
            ("/todo\nbuy milk!", KeptCommand::Todo, "buy milk!"),
            ("/remind  in 2 minutes to stretch ", KeptCommand::Remind, "in 2 minutes to stretch"),
            (&long, KeptCommand::Todo, long.trim().strip_prefix("/todo ").unwrap()),
        ] {
            assert_eq!(read_word(text, false), Some(Word::Command(Command::Kept(command))), "{text:?}");
            assert_eq!(argument(text), rest, "{text:?}");
        }
        for none in ["/new york", "/memorys of me", "memory", "todo buy milk", "see /todo", "/balance please"] {
            assert_eq!(read_word(none, false), None, "{none:?}");
        }
    }
}
