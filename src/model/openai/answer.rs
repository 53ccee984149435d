//! Puts an answer together from what a server sends, whole or in chunks.

use crate::domain::ledger::Usage;
use crate::model::{Completion, CompletionRequest, DeltaSink};

use super::calls::{Calls, MOST_CALLS};
use super::reasoning::ReasoningFilter;
use super::sse::TooLong;
use super::trouble::Trouble;
use super::wire::{Chunk, Delta, ServerError, WireUsage};

/// Longest answer that is taken, in bytes: far more than any phone wants, far less than would hurt us.
pub(super) const MAX_ANSWER: usize = 256 * 1024;

/// Why the model stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    Stop,
    Length,
    ContentFilter,
    ToolCalls,
}

/// An answer on its way.
pub(super) struct Answer<'a> {
    sink: DeltaSink<'a>,
    text: String,
    calls: Calls,
    filter: ReasoningFilter,
    model: String,
    usage: WireUsage,
    finish: Option<Finish>,
    /// A choice has come, be it empty.
    chosen: bool,
    /// `[DONE]` has come.
    pub(super) done: bool,
    /// Chunks that carried something of the model's, be it only thought: the sign of life that time limits go by.
    pub(super) pieces: u64,
}

impl<'a> Answer<'a> {
    pub(super) fn new(sink: DeltaSink<'a>) -> Self {
        Self {
            sink,
            text: String::new(),
            calls: Calls::default(),
            filter: ReasoningFilter::new(),
            model: String::new(),
            usage: WireUsage::default(),
            finish: None,
            chosen: false,
            done: false,
            pieces: 0,
        }
    }

    /// Whether something was handed on already, so that another try would say it twice.
    pub(super) fn begun(&self) -> bool {
        !self.text.is_empty()
    }

    /// Whether the model has said that it is finished; what may still come is the count of its tokens.
    pub(super) fn finished(&self) -> bool {
        self.done || self.finish.is_some()
    }

    /// Takes the data of one event.
    pub(super) fn event(&mut self, data: &[u8]) -> Result<(), Trouble> {
        if self.done {
            return Ok(());
        }
        if data.trim_ascii() == b"[DONE]" {
            self.done = true;
            return Ok(());
        }
        self.chunk(data)
    }

    /// Takes a whole answer, which some servers give although a stream was asked for.
    pub(super) fn plain(&mut self, body: &[u8]) -> Result<(), Trouble> {
        self.chunk(body)?;
        self.done = true;
        if self.chosen { Ok(()) } else { Err(Trouble::lasting("it answered with JSON that is no chat completion; is base_url right?")) }
    }

    fn chunk(&mut self, data: &[u8]) -> Result<(), Trouble> {
        let data = std::str::from_utf8(data).map_err(|_ignored| Trouble::passing("its answer is not UTF-8"))?;
        let chunk: Chunk<'_> = serde_json::from_str(data)
            .map_err(|error| Trouble::passing(format!("its answer is not a chat completion ({:?} error in JSON)", error.classify())))?;
        if let Some(error) = chunk.error {
            let value = serde_json::from_str(error.get()).unwrap_or_default();
            return Err(Trouble::from_stream(&ServerError::read(&value)));
        }
        if let Some(model) = chunk.model
            && self.model.is_empty()
        {
            self.model = model.0.into_owned();
        }
        if let Some(usage) = chunk.usage {
            self.usage = usage;
        }
        let Some(choices) = chunk.choices else {
            // Neither a choice nor an error: servers without OpenAI's `error` object put their words at the top.
            let said = ServerError::read(&serde_json::from_str(data).unwrap_or_default());
            return if said.message.is_empty() { Ok(()) } else { Err(Trouble::from_stream(&said)) };
        };
        for choice in choices.into_iter().filter(|choice| choice.index.unwrap_or(0) == 0) {
            self.chosen = true;
            if let Some(delta) = choice.delta.or(choice.message) {
                self.delta(&delta)?;
            }
            if let Some(reason) = choice.finish_reason {
                self.finish = match &*reason.0 {
                    // An empty reason is how some servers write null.
                    "" => continue,
                    "length" | "max_tokens" => Some(Finish::Length),
                    "content_filter" => Some(Finish::ContentFilter),
                    "tool_calls" | "function_call" => Some(Finish::ToolCalls),
                    "error" => return Err(Trouble::passing("the model failed in the middle of its answer")),
                    _ => Some(Finish::Stop),
                };
            }
        }
        Ok(())
    }

    fn delta(&mut self, delta: &Delta<'_>) -> Result<(), Trouble> {
        if delta.carries() {
            self.pieces += 1;
        }
        for text in [&delta.content, &delta.refusal].into_iter().flatten().filter(|text| !text.0.is_empty()) {
            let (sink, whole) = (self.sink, &mut self.text);
            self.filter.push(&text.0, &mut |piece| hand_on(sink, whole, piece))?;
        }
        for piece in delta.tool_calls.iter().flatten().flatten() {
            self.calls.push(piece);
            if self.calls.len() > MOST_CALLS || self.calls.size() > MAX_ANSWER {
                return Err(Trouble::lasting(format!("it asks for more than {MOST_CALLS} calls or 256 KiB of arguments at once")));
            }
        }
        Ok(())
    }

    /// The completion, once the stream is over.
    pub(super) fn complete(mut self, request: &CompletionRequest) -> Result<Completion, Trouble> {
        if !self.finished() {
            return Err(Trouble::passing("its answer broke off").again_unless(self.begun()));
        }
        if self.finish == Some(Finish::ContentFilter) {
            return Err(Trouble::lasting("its content filter withheld the answer"));
        }
        let (sink, whole) = (self.sink, &mut self.text);
        self.filter.end(&mut |piece| hand_on(sink, whole, piece))?;
        let uncalled_for = request.tools.is_empty() && (self.finish == Some(Finish::ToolCalls) || !self.calls.is_empty());
        let size = self.text.len() + self.calls.size();
        // What the reasons say is not the same everywhere: calls are there or they are not.
        let calls = if request.tools.is_empty() { Vec::new() } else { self.calls.finish() };
        if self.text.trim().is_empty() && calls.is_empty() {
            return Err(match self.finish {
                Some(Finish::Length) => Trouble::lasting("all tokens that an answer may take went into reasoning; raise max_tokens"),
                _ if uncalled_for => Trouble::lasting("the model called a tool although it was offered none"),
                Some(Finish::ToolCalls) => Trouble::passing("it stopped for a call and named none"),
                _ => Trouble::passing("its answer is empty"),
            });
        }
        let completion_tokens = i64::try_from(size.div_ceil(4)).unwrap_or(i64::MAX);
        let estimate = Usage { prompt_tokens: request.estimated_tokens(), completion_tokens, total_tokens: 0 };
        Ok(Completion {
            usage: self.usage.or_estimate(estimate),
            cut_short: self.finish == Some(Finish::Length),
            model: if self.model.is_empty() { request.model.clone() } else { self.model },
            text: self.text,
            calls,
        })
    }
}

fn hand_on(sink: DeltaSink<'_>, whole: &mut String, piece: &str) -> Result<(), Trouble> {
    if piece.is_empty() {
        return Ok(());
    }
    if whole.len() + piece.len() > MAX_ANSWER {
        return Err(Trouble::lasting("its answer is longer than 256 KiB; is max_tokens obeyed?"));
    }
    whole.push_str(piece);
    sink(piece);
    Ok(())
}

impl From<TooLong> for Trouble {
    fn from(TooLong: TooLong) -> Self {
        Self::lasting("it sent an event of more than 1 MiB")
    }
}
