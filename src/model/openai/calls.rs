//! Puts tool calls together from what servers send of them.
//!
//! OpenAI numbers the calls of an answer, names each in its first piece and sends its arguments in many. Others leave the number
//! out or write 0 at each, send whole calls in one piece, repeat the name with every piece, give no id or an empty one, or write the
//! arguments as an object instead of text. A piece belongs to the call that its number and id name; without either, to the last.

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::domain::step::ToolCall;

use super::wire::CallPiece;

/// Calls in one answer. More are no sign of a plan.
pub(super) const MOST_CALLS: usize = 64;

/// A call on its way.
#[derive(Debug, Default)]
struct Building {
    index: Option<u64>,
    id: String,
    name: String,
    arguments: String,
    extra: Option<Value>,
}

impl Building {
    /// Whether its arguments are all there, so that what is named next is another call.
    fn whole(&self) -> bool {
        self.arguments.starts_with('{') && serde_json::from_str::<IgnoredAny>(&self.arguments).is_ok()
    }

    /// Whether a piece without an id begins the next call: it names a tool again although this call is whole.
    fn is_over(&self, name: &str, arguments: &str) -> bool {
        !name.is_empty() && self.whole() && (name != self.name || !arguments.is_empty())
    }
}

/// The calls of an answer on their way.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Building>);

impl Calls {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Bytes of what has come.
    pub(super) fn size(&self) -> usize {
        self.0.iter().map(|call| call.name.len() + call.arguments.len()).sum()
    }

    /// Takes a piece.
    pub(super) fn push(&mut self, piece: &CallPiece<'_>) {
        let text = |text: &Option<super::wire::Text<'_>>| text.as_ref().map(|text| text.0.trim().to_owned()).unwrap_or_default();
        let (id, index) = (text(&piece.id), piece.index());
        let name = piece.function.as_ref().map(|function| text(&function.name)).unwrap_or_default();
        let arguments = piece.function.as_ref().and_then(super::wire::FunctionPiece::arguments).unwrap_or_default();
        let call = self.place(index, &id, &name, &arguments);
        if call.id.is_empty() {
            call.id = id;
        }
        // A name comes whole in the first piece, is repeated with each, or (seldom) comes in pieces itself.
        if call.name.is_empty() {
            call.name = name;
        } else if call.name != name && call.arguments.is_empty() {
            call.name.push_str(&name);
        }
        // An empty object in the first piece only keeps the place of what follows.
        if call.arguments == "{}" && !arguments.is_empty() {
            call.arguments.clear();
        }
        call.arguments.push_str(&arguments);
        if call.extra.is_none() {
            call.extra =
                piece.extra_content.and_then(|extra| serde_json::from_str(extra.get()).ok()).filter(|extra: &Value| !extra.is_null());
        }
    }

    /// The call that a piece belongs to; a new one where it begins one.
    fn place(&mut self, index: Option<u64>, id: &str, name: &str, arguments: &str) -> &mut Building {
        let same = |call: &Building| match (index, call.index) {
            (Some(index), Some(known)) => index == known,
            _ => true,
        };
        let found = if id.is_empty() {
            self.0.iter().rposition(same).filter(|&at| self.0.get(at).is_some_and(|call| !call.is_over(name, arguments)))
        } else {
            let known = self.0.iter().rposition(|call| call.id == id && same(call));
            // An id that comes after its call's first piece.
            known.or_else(|| {
                self.0.iter().rposition(same).filter(|&at| self.0.get(at).is_some_and(|call| call.id.is_empty() && !call.whole()))
            })
        };
        let at = found.unwrap_or_else(|| {
            self.0.push(Building { index, ..Building::default() });
            self.0.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "it was found there, or was put there")]
        &mut self.0[at]
    }

    /// The calls; an id that came twice or not at all is empty. Those without a name are left out.
    pub(super) fn finish(self) -> Vec<ToolCall> {
        let mut calls: Vec<ToolCall> = Vec::with_capacity(self.0.len());
        for Building { id, name, arguments, extra, .. } in self.0.into_iter().filter(|call| !call.name.is_empty()) {
            let id = if calls.iter().any(|call| call.id == id) { String::new() } else { id };
            calls.push(ToolCall { id, name, arguments, extra });
        }
        calls
    }
}
