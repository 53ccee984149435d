//! Making the calls of a step: each recorded before and after, bounded in time, number and size.
//!
//! Calls of different sets, and calls that only read, are made side by side. Writes of one set are made in the model's order, since
//! one may build on the one before: an entity, then the relation to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use futures::future::{join_all, try_join_all};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::toolbox::{Offer, OfferedTool};
use super::tools::{JsonObject, ToolContext, ToolDefinition, ToolOutcome, count_call};
use super::watch::{Show, ToolState};
use crate::domain::step::{CallPlace, CallResult, RecordedCall, Step};
use crate::domain::text::beginning;
use crate::domain::turn::TurnLease;
use crate::model::AgentTools;
use crate::store::{SharedStore, StoreError};

/// Told instead of the result of a call that the end of a process interrupted. It may have been done, and somebody may have undone it
/// since: made again, it could bring back what the person has forgotten.
const INTERRUPTED: &str = "the program was interrupted while this was being done, so it may or may not have happened. Look before you do it \
                           again, or tell the person that you are not sure.";

/// What calls are made with.
pub(super) struct Caller<'a> {
    pub(super) store: &'a SharedStore,
    pub(super) lease: &'a TurnLease,
    pub(super) context: &'a ToolContext,
    pub(super) offer: &'a Offer,
    pub(super) limits: &'a AgentTools,
    pub(super) show: &'a Show,
    /// One for each call that may be made at the same time.
    pub(super) slots: Semaphore,
}

/// A call that can be made.
struct Ready<'a> {
    place: CallPlace,
    tool: &'a OfferedTool,
    definition: &'a ToolDefinition,
    arguments: JsonObject,
}

/// What is done about a call that has no result yet.
enum Next<'a> {
    Make(Ready<'a>),
    /// It cannot be made, or not again; the model is told why.
    Tell(String),
}

impl Caller<'_> {
    /// Makes those calls of a step that have no result yet, and gives the results of all, in the step's order.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`]: somebody else has the turn, and no further call is begun. [`StoreError::Unavailable`].
    pub(super) async fn finish(&self, step: &Step) -> Result<Vec<CallResult>, StoreError> {
        let mut told = Vec::new();
        let mut of_sets: BTreeMap<&str, Vec<Ready<'_>>> = BTreeMap::new();
        let mut results: BTreeMap<CallPlace, CallResult> = BTreeMap::new();
        for (call, recorded) in (0_u32..).zip(&step.calls) {
            let place = CallPlace { step: step.number, call };
            match &recorded.result {
                Some(result) => {
                    results.insert(place, result.clone());
                }
                None => match self.next(place, recorded) {
                    Next::Make(ready) => of_sets.entry(ready.tool.set.name()).or_default().push(ready),
                    Next::Tell(reason) => told.push((place, recorded, reason)),
                },
            }
        }
        let told = told.into_iter().map(|(place, recorded, reason)| self.tell(place, recorded, reason));
        let made = of_sets.into_values().map(|calls| self.make_in_order(calls));
        let (told, made) = tokio::try_join!(try_join_all(told), try_join_all(made))?;
        results.extend(told);
        results.extend(made.into_iter().flatten());
        Ok(results.into_values().collect())
    }

    /// What to do about a call: it is made unless it was begun before. Then only what reads is made again. That a write changes nothing
    /// more when it is made twice (MCP's `idempotentHint`) says nothing of what others did in between.
    fn next(&self, place: CallPlace, recorded: &RecordedCall) -> Next<'_> {
        let name = recorded.call.name.as_str();
        let found = self.offer.find(name);
        let only_reads = found.is_some_and(|(_tool, definition)| definition.hints.read_only);
        // Before all else, also where its server is away now: nobody may read that it was not done.
        if recorded.begun_at.is_some() && !only_reads {
            return Next::Tell(INTERRUPTED.to_owned());
        }
        let Some((tool, definition)) = found else {
            let names = self.offer.names();
            let there_are = if names.is_empty() { "there are none now".to_owned() } else { format!("there are: {names}") };
            return Next::Tell(format!("there is no tool {:?}; {there_are}", beginning(name, 80)));
        };
        match arguments(&recorded.call.arguments) {
            Ok(arguments) => Next::Make(Ready { place, tool, definition, arguments }),
            Err(reason) => {
                let names: Vec<&str> = definition
                    .input_schema
                    .get("properties")
                    .and_then(Value::as_object)
                    .map(|properties| properties.keys().map(String::as_str).collect())
                    .unwrap_or_default();
                let takes = if names.is_empty() { "takes an empty object".to_owned() } else { format!("takes {}", names.join(", ")) };
                Next::Tell(format!("the arguments are {reason}; send one JSON object: {name} {takes}. Nothing was done."))
            }
        }
    }

    /// The calls of one set, in order: neighbours that only read together, each write alone.
    async fn make_in_order(&self, calls: Vec<Ready<'_>>) -> Result<Vec<(CallPlace, CallResult)>, StoreError> {
        let mut results = Vec::with_capacity(calls.len());
        let mut calls = calls.into_iter().peekable();
        while let Some(first) = calls.next() {
            let mut together = vec![first];
            while together.last().is_some_and(|last| last.definition.hints.read_only)
                && let Some(next) = calls.next_if(|next| next.definition.hints.read_only)
            {
                together.push(next);
            }
            for made in join_all(together.into_iter().map(|call| self.make(call))).await {
                results.push(made?);
            }
        }
        Ok(results)
    }

    async fn make(&self, ready: Ready<'_>) -> Result<(CallPlace, CallResult), StoreError> {
        // The semaphore is never closed.
        let _slot = self.slots.acquire().await;
        let Ready { place, tool, definition, arguments } = ready;
        self.store.begin_call(self.lease, place).await?;
        self.show.tool(&definition.name, ToolState::Started);
        let outcome = match timeout(self.limits.call, tool.set.call(self.context, &definition.name, arguments)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => ToolOutcome::error(format!(
                "the tool did not answer within {} s, so it may or may not have been done; look before you do it again",
                self.limits.call.as_secs()
            )),
        };
        let text = cut(outcome.text, self.limits.output_characters);
        let result = CallResult { text, failed: outcome.is_error };
        self.end(place, &definition.name, tool.set.name(), result).await
    }

    /// Answers a call that is not made.
    async fn tell(&self, place: CallPlace, recorded: &RecordedCall, reason: String) -> Result<(CallPlace, CallResult), StoreError> {
        let known = self.offer.find(&recorded.call.name);
        let (name, set) = known.map_or(("unknown", "none"), |(tool, definition)| (definition.name.as_str(), tool.set.name()));
        // Our own words are short, and whole they help most.
        self.end(place, name, set, CallResult { text: reason, failed: true }).await
    }

    async fn end(&self, place: CallPlace, name: &str, set: &str, result: CallResult) -> Result<(CallPlace, CallResult), StoreError> {
        self.store.end_call(self.lease, place, result.clone()).await?;
        let state = if result.failed { ToolState::Failed } else { ToolState::Done };
        self.show.tool(name, state);
        count_call(set, name, state);
        Ok((place, result))
    }
}

/// Reads the arguments as models write them: nothing at all for none, and sometimes the object as text within text.
fn arguments(text: &str) -> Result<JsonObject, String> {
    if text.trim().is_empty() {
        return Ok(JsonObject::new());
    }
    let read = |text: &str| serde_json::from_str(text).map_err(|error| format!("no JSON ({error})"));
    let value = match read(text)? {
        Value::String(inner) => read(&inner)?,
        value => value,
    };
    match value {
        Value::Object(arguments) => Ok(arguments),
        Value::Null => Ok(JsonObject::new()),
        _ => Err("JSON, but no object".to_owned()),
    }
}

/// A result within the limit; what is cut off is said.
fn cut(mut text: String, characters: usize) -> String {
    let end = beginning(&text, characters).len();
    if end == text.len() {
        return text;
    }
    let all = text.chars().count();
    text.truncate(end);
    let _infallible = write!(text, "\n[cut: these are the first {characters} of {all} characters; ask for less or for a part]");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_as_models_write_them() {
        for text in ["", " ", "{}", "null", "\"{}\"", "\"null\""] {
            assert_eq!(arguments(text), Ok(JsonObject::new()), "{text:?}");
        }
        let milk = serde_json::json!({ "text": "milk" });
        for text in [r#"{"text":"milk"}"#, r#""{\"text\":\"milk\"}""#] {
            assert_eq!(arguments(text).map(Value::Object), Ok(milk.clone()), "{text}");
        }
        for (text, reason) in
            [("{text: 1}", "no JSON"), ("[1]", "no object"), ("7", "no object"), ("\"milk\"", "no JSON"), ("{\"a\":1", "no JSON")]
        {
            assert!(arguments(text).unwrap_err().contains(reason), "{text}");
        }
    }

    #[test]
    fn a_long_result_is_cut_at_a_character_and_says_so() {
        assert_eq!(cut("éé".to_owned(), 2), "éé");
        assert_eq!(cut("éééé".to_owned(), 3), "ééé\n[cut: these are the first 3 of 4 characters; ask for less or for a part]");
    }
}
