//! Keeps what a model thinks aloud out of what it says.
//!
//! Many open models write their reasoning into the answer itself, as `<think>…</think>` before the first word. A phone must
//! never get it. Only blocks at the start count: later in the text the same letters are something the model talks about.

/// Marks that open and close a block, as the common models write them.
const MARKS: [(&str, &str); 4] =
    [("<think>", "</think>"), ("<thinking>", "</thinking>"), ("<thought>", "</thought>"), ("<reasoning>", "</reasoning>")];

/// Where in the answer we are.
#[derive(Debug)]
enum Place {
    /// Before the first word; what is held could still become an opening mark.
    Start(String),
    /// In a block; what is held could still become its closing mark.
    Inside(&'static str, String),
    /// In the text proper.
    Text,
}

/// Passes the text of an answer through and drops blocks of reasoning, and blanks, at its start.
#[derive(Debug)]
pub(super) struct ReasoningFilter(Place);

impl ReasoningFilter {
    pub(super) const fn new() -> Self {
        Self(Place::Start(String::new()))
    }

    /// Takes the next piece; what of it is text goes to `text`, in order, in no more than one piece.
    pub(super) fn push<E>(&mut self, piece: &str, text: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        if matches!(self.0, Place::Text) {
            return text(piece);
        }
        let mut rest = std::borrow::Cow::Borrowed(piece);
        loop {
            match &mut self.0 {
                Place::Text => return text(&rest),
                Place::Start(held) => {
                    held.push_str(if held.is_empty() { rest.trim_start() } else { &rest });
                    if held.is_empty() {
                        return Ok(());
                    }
                    if let Some((close, after)) = MARKS.iter().find_map(|(open, close)| Some((*close, held.strip_prefix(open)?))) {
                        rest = after.to_owned().into();
                        self.0 = Place::Inside(close, String::new());
                    } else if MARKS.iter().any(|(open, _)| open.starts_with(held.as_str())) {
                        return Ok(());
                    } else {
                        rest = std::mem::take(held).into();
                        self.0 = Place::Text;
                    }
                }
                Place::Inside(close, held) => {
                    held.push_str(&rest);
                    if let Some((_, after)) = held.split_once(*close) {
                        rest = after.to_owned().into();
                        self.0 = Place::Start(String::new());
                    } else {
                        // The end may be the beginning of the mark; nothing before it is needed any more.
                        let keep = held.floor_char_boundary((held.len() + 1).saturating_sub(close.len()));
                        held.drain(..keep);
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Hands over what was held in case it became a mark, now that nothing follows.
    pub(super) fn end<E>(&mut self, text: &mut impl FnMut(&str) -> Result<(), E>) -> Result<(), E> {
        match std::mem::replace(&mut self.0, Place::Text) {
            Place::Start(held) if !held.is_empty() => text(&held),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(pieces: &[&str]) -> String {
        let mut out = String::new();
        let mut filter = ReasoningFilter::new();
        let mut take = |text: &str| -> Result<(), ()> {
            out.push_str(text);
            Ok(())
        };
        for piece in pieces {
            filter.push(piece, &mut take).unwrap();
        }
        filter.end(&mut take).unwrap();
        out
    }

    #[test]
    fn reasoning_at_the_start_is_dropped_wherever_the_stream_is_cut() {
        for (answer, text) in [
            ("Hello", "Hello"),
            ("\n\n Hello ", "Hello "),
            ("<think>I é🙂 < </thin </think>\n\nHello", "Hello"),
            (" \n<thinking>a</think></thinking><think></think>Hi", "Hi"),
            ("<think>never closed", ""),
            ("<think>", ""),
            ("<thi", "<thi"),
            ("<b>bold</b>", "<b>bold</b>"),
            ("Say <think>x</think> now", "Say <think>x</think> now"),
            ("<", "<"),
            ("", ""),
        ] {
            assert_eq!(filtered(&[answer]), text, "{answer:?}");
            for (cut, _) in answer.char_indices() {
                let (a, b) = answer.split_at(cut);
                assert_eq!(filtered(&[a, b]), text, "{answer:?} cut at {cut}");
            }
            let letters: Vec<String> = answer.chars().map(String::from).collect();
            assert_eq!(filtered(&letters.iter().map(String::as_str).collect::<Vec<_>>()), text, "{answer:?} letter by letter");
        }
    }
}
