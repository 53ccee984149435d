//! The shapes of OpenAI's chat completions, as tolerantly as compatible servers need.
//!
//! Chunks borrow from the bytes they were read from. A field that is missing, null or unknown is never an error; only what
//! is text must be text.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::domain::ledger::Usage;
use crate::domain::step::ToolCall;
use crate::model::{CompletionRequest, PromptMessage, ToolSpec, ToolStep};

/// What is sent: the request, then the parameters that are the same for every request of an endpoint.
pub(super) struct Body<'a> {
    pub(super) request: &'a CompletionRequest,
    pub(super) parameters: &'a Parameters,
}

/// The parameters of an endpoint's requests, worked out once.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Parameters {
    /// `model` is sent as the request names it.
    pub(super) model: bool,
    /// `user` is sent as the request names it.
    pub(super) user: bool,
    /// All others.
    pub(super) fixed: Map<String, Value>,
    /// What the server does not take, whoever asks for it.
    pub(super) dropped: Vec<String>,
}

impl Parameters {
    /// Ours, less those dropped, then those added, which win over both.
    pub(super) fn new(max_tokens: u32, dropped: &[String], added: &Map<String, Value>) -> Self {
        let mut fixed = Map::new();
        fixed.insert("stream".to_owned(), Value::Bool(true));
        fixed.insert("stream_options".to_owned(), serde_json::json!({ "include_usage": true }));
        fixed.insert("max_tokens".to_owned(), max_tokens.into());
        fixed.retain(|name, _| !dropped.contains(name));
        fixed.extend(added.iter().map(|(name, value)| (name.clone(), value.clone())));
        // The prompt and the tools are what cannot be replaced.
        fixed.remove("messages");
        fixed.remove("tools");
        let ours = |name: &str| !added.contains_key(name) && !dropped.iter().any(|dropped| dropped == name);
        Self { model: ours("model"), user: ours("user"), fixed, dropped: dropped.to_vec() }
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.parameters.model {
            map.serialize_entry("model", &self.request.model)?;
        }
        map.serialize_entry("messages", &Messages { said: &self.request.messages, steps: &self.request.steps })?;
        if self.parameters.user {
            map.serialize_entry("user", &self.request.user)?;
        }
        if !self.request.tools.is_empty() {
            map.serialize_entry("tools", &Tools(&self.request.tools))?;
            if self.request.must_answer && !self.parameters.dropped.iter().any(|dropped| dropped == CHOICE) {
                map.serialize_entry(CHOICE, "none")?;
            }
            if self.request.one_call_a_step && !self.replaced(ONE_CALL) {
                map.serialize_entry(ONE_CALL, &false)?;
            }
        }
        let agents = || self.request.parameters.iter().filter(|(name, _)| !self.parameters.dropped.contains(name) && !is_ours(name));
        for (name, value) in &self.parameters.fixed {
            // What concerns tools alone is an error to servers where none are offered.
            let of_tools = [ONE_CALL, CHOICE].contains(&name.as_str()) && self.request.tools.is_empty();
            let chosen = name == CHOICE && self.request.must_answer;
            if !of_tools && !chosen && !agents().any(|(theirs, _)| theirs == name) {
                map.serialize_entry(name, &self.bounded(name, value))?;
            }
        }
        for (name, value) in agents() {
            map.serialize_entry(name, &self.bounded(name, value))?;
        }
        map.end()
    }
}

impl Body<'_> {
    /// A parameter as it is sent: what bounds an answer's length is no higher than the request says. Servers know it by one of two
    /// names; which, the endpoint's settings say.
    fn bounded<'a>(&self, name: &str, value: &'a Value) -> Cow<'a, Value> {
        match self.request.most_tokens {
            Some(most) if LENGTHS.contains(&name) && value.as_u64().is_none_or(|set| set > u64::from(most)) => {
                Cow::Owned(Value::from(most))
            }
            _ => Cow::Borrowed(value),
        }
    }

    /// Whether the endpoint's settings leave a parameter of ours out, or give it.
    fn replaced(&self, name: &str) -> bool {
        self.parameters.dropped.iter().any(|dropped| dropped == name) || self.parameters.fixed.contains_key(name)
    }
}

/// What bounds an answer's length.
const LENGTHS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// Asks for one call at a time, by `false`. Servers that do not know it get it dropped by `drop_params`.
const ONE_CALL: &str = "parallel_tool_calls";

/// Whether the model may call its tools; `none` where it must answer.
const CHOICE: &str = "tool_choice";

/// What no parameter of an agent can replace.
fn is_ours(name: &str) -> bool {
    ["messages", "model", "user", "stream", "stream_options", "tools", CHOICE, ONE_CALL].contains(&name)
}

/// The prompt: what was said, then the steps, each as the model's calls and a message for the result of each.
struct Messages<'a> {
    said: &'a [PromptMessage],
    steps: &'a [ToolStep],
}

impl Serialize for Messages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for message in self.said {
            list.serialize_element(message)?;
        }
        for step in self.steps {
            list.serialize_element(&Asked {
                role: "assistant",
                content: Some(step.text.as_str()).filter(|text| !text.is_empty()),
                tool_calls: step.calls.iter().map(|(call, _)| Call::from(call)).collect(),
            })?;
            for (call, result) in &step.calls {
                list.serialize_element(&Told { role: "tool", tool_call_id: &call.id, content: result })?;
            }
        }
        list.end()
    }
}

#[derive(Serialize)]
struct Asked<'a> {
    role: &'static str,
    /// Null where nothing was said beside the calls, as OpenAI's own clients write it.
    content: Option<&'a str>,
    tool_calls: Vec<Call<'a>>,
}

#[derive(Serialize)]
struct Told<'a> {
    role: &'static str,
    tool_call_id: &'a str,
    content: &'a str,
}

#[derive(Serialize)]
struct Call<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: CalledFunction<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_content: Option<&'a Value>,
}

#[derive(Serialize)]
struct CalledFunction<'a> {
    name: &'a str,
    arguments: &'a str,
}

impl<'a> From<&'a ToolCall> for Call<'a> {
    fn from(call: &'a ToolCall) -> Self {
        // Some servers read the arguments of earlier calls and refuse the whole prompt when they are no object; the model learns
        // from the call's result that they were not.
        let is_object = serde_json::from_str::<Map<String, Value>>(&call.arguments).is_ok();
        let arguments = if is_object { &call.arguments } else { "{}" };
        Self {
            id: &call.id,
            kind: "function",
            function: CalledFunction { name: &call.name, arguments },
            extra_content: call.extra.as_ref(),
        }
    }
}

struct Tools<'a>(&'a [ToolSpec]);

impl Serialize for Tools<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Tool<'a> {
            #[serde(rename = "type")]
            kind: &'static str,
            function: Function<'a>,
        }
        #[derive(Serialize)]
        struct Function<'a> {
            name: &'a str,
            description: &'a str,
            parameters: &'a Map<String, Value>,
        }
        serializer.collect_seq(self.0.iter().map(|tool| {
            let ToolSpec { name, description, parameters } = tool;
            Tool { kind: "function", function: Function { name, description, parameters } }
        }))
    }
}

/// A chunk of a stream, or a whole answer: the two differ only in `delta` and `message`.
#[derive(Debug, Deserialize)]
pub(super) struct Chunk<'a> {
    #[serde(borrow, default)]
    pub(super) model: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) choices: Option<Vec<Choice<'a>>>,
    #[serde(default)]
    pub(super) usage: Option<WireUsage>,
    #[serde(borrow, default)]
    pub(super) error: Option<&'a RawValue>,
}

/// One of the answers; we ask for one.
#[derive(Debug, Deserialize)]
pub(super) struct Choice<'a> {
    #[serde(default)]
    pub(super) index: Option<u32>,
    #[serde(borrow, default)]
    pub(super) delta: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub(super) message: Option<Delta<'a>>,
    #[serde(borrow, default)]
    pub(super) finish_reason: Option<Text<'a>>,
}

/// A piece of an answer. Its reasoning channels are noticed (the model is at work) and never read.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow, default)]
    pub(super) content: Option<Text<'a>>,
    /// What OpenAI's models say instead of an answer when they decline one.
    #[serde(borrow, default)]
    pub(super) refusal: Option<Text<'a>>,
    #[serde(default)]
    pub(super) reasoning: Option<IgnoredAny>,
    #[serde(default)]
    pub(super) reasoning_content: Option<IgnoredAny>,
    #[serde(borrow, default)]
    pub(super) tool_calls: Option<Vec<Option<CallPiece<'a>>>>,
}

/// A piece of a tool call, or the whole of one; `calls` puts them together.
#[derive(Debug, Default, Deserialize)]
pub(super) struct CallPiece<'a> {
    #[serde(borrow, default)]
    index: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) id: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) function: Option<FunctionPiece<'a>>,
    /// Google's: wants to come back with the call.
    #[serde(borrow, default)]
    pub(super) extra_content: Option<&'a RawValue>,
}

impl CallPiece<'_> {
    /// The call's number, where there is one.
    pub(super) fn index(&self) -> Option<u64> {
        self.index?.get().trim_matches('"').parse().ok()
    }
}

/// What is called, and with what.
#[derive(Debug, Default, Deserialize)]
pub(super) struct FunctionPiece<'a> {
    #[serde(borrow, default)]
    pub(super) name: Option<Text<'a>>,
    #[serde(borrow, default)]
    arguments: Option<&'a RawValue>,
}

impl FunctionPiece<'_> {
    /// A piece of the arguments' JSON: OpenAI writes it as text, others as the object itself.
    pub(super) fn arguments(&self) -> Option<String> {
        let raw = self.arguments?.get();
        match serde_json::from_str(raw) {
            Ok(Value::Null) | Err(_) => None,
            Ok(Value::String(text)) => Some(text),
            Ok(_) => Some(raw.to_owned()),
        }
    }
}

impl Delta<'_> {
    /// Whether anything of the model's came, be it only thought.
    pub(super) fn carries(&self) -> bool {
        let texts = [&self.content, &self.refusal].into_iter().flatten().any(|text| !text.0.is_empty());
        let calls = self.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty());
        texts || calls || self.reasoning.is_some() || self.reasoning_content.is_some()
    }
}

/// Tokens as the server counted. Some send an empty object, some floats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
pub(super) struct WireUsage {
    #[serde(default)]
    prompt_tokens: Option<f64>,
    #[serde(default)]
    completion_tokens: Option<f64>,
}

impl WireUsage {
    /// The figures, where the server gave any; what it left out is filled in from the estimate.
    #[expect(clippy::cast_possible_truncation, reason = "token counts are small, and `as` saturates")]
    pub(super) fn or_estimate(self, estimate: Usage) -> Usage {
        let given = |count: Option<f64>| count.filter(|count| *count > 0.0).map(|count| count as i64);
        let prompt_tokens = given(self.prompt_tokens).unwrap_or(estimate.prompt_tokens);
        let completion_tokens = given(self.completion_tokens).unwrap_or(estimate.completion_tokens);
        Usage { prompt_tokens, completion_tokens, total_tokens: prompt_tokens.saturating_add(completion_tokens) }
    }
}

/// Text, borrowed where it has no escapes. Also reads an answer in parts (`[{"type":"text","text":"…"}]`) and leaves out the
/// parts that are not text, such as Mistral's `thinking`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Text<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, or a list of parts")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Self::Value, A::Error> {
                #[derive(Deserialize)]
                struct Part<'p> {
                    #[serde(borrow, default)]
                    text: Option<Cow<'p, str>>,
                }
                let mut joined = String::new();
                while let Some(part) = parts.next_element::<Part<'_>>()? {
                    joined.push_str(&part.text.unwrap_or_default());
                }
                Ok(Text(Cow::Owned(joined)))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// What a server says went wrong, in any of the shapes that are about.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ServerError {
    /// Its words; empty when it has none.
    pub(super) message: String,
    /// Its `type` and `code`, joined, lower case.
    pub(super) kind: String,
    /// An HTTP status given as `code`, as servers do that fail in the middle of a stream.
    pub(super) status: Option<u16>,
}

impl ServerError {
    /// Reads the body of an error answer, or the value of `error` in a chunk. Only the fields that hold a server's own words
    /// are taken: some servers echo the whole request beside them.
    pub(super) fn read(body: &Value) -> Self {
        let inner = match body.get("error") {
            Some(error) if !error.is_null() => error,
            _ => body,
        };
        let words = |value: &Value| match value {
            Value::String(text) => Some(text.clone()),
            // FastAPI's list of what is wrong: `msg` is the server's, `input` would be ours.
            Value::Array(list) => {
                let each: Vec<&str> = list.iter().filter_map(|entry| entry.get("msg")?.as_str()).collect();
                (!each.is_empty()).then(|| each.join("; "))
            }
            _ => None,
        };
        let fields = ["message", "detail", "error"];
        let message = words(inner).or_else(|| fields.iter().find_map(|field| words(inner.get(field)?))).unwrap_or_default();
        let mut kind = String::new();
        for field in ["type", "code"] {
            if let Some(text) = inner.get(field).and_then(Value::as_str) {
                kind.push_str(&text.to_ascii_lowercase());
                kind.push(' ');
            }
        }
        let status = ["code", "status"].iter().find_map(|field| match inner.get(field)? {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        });
        Self { message, kind, status: status.and_then(|status| u16::try_from(status).ok()).filter(|status| (400..600).contains(status)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Speaker;
    use serde_json::json;

    fn body(dropped: &[&str], added: &Value) -> Value {
        bounded_body(None, dropped, added)
    }

    fn bounded_body(most_tokens: Option<u32>, dropped: &[&str], added: &Value) -> Value {
        let messages = vec![PromptMessage { role: Speaker::User, content: "hi \"you\"".to_owned() }];
        let request = CompletionRequest { most_tokens, ..CompletionRequest::new("m", messages, "u1") };
        let dropped: Vec<String> = dropped.iter().map(|&name| name.to_owned()).collect();
        let parameters = Parameters::new(100, &dropped, added.as_object().unwrap());
        let text = serde_json::to_string(&Body { request: &request, parameters: &parameters }).unwrap();
        assert_eq!(text.matches("\"max_tokens\"").count(), usize::from(!dropped.contains(&"max_tokens".to_owned())), "no name comes twice");
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn parameters_are_added_and_dropped_and_the_prompt_stays() {
        let messages = json!([{ "role": "user", "content": "hi \"you\"" }]);
        assert_eq!(
            body(&[], &json!({})),
            json!({ "model": "m", "messages": messages, "user": "u1", "stream": true, "stream_options": { "include_usage": true }, "max_tokens": 100 })
        );
        assert_eq!(
            body(&["max_tokens", "stream_options", "user", "stream", "model"], &json!({ "max_completion_tokens": 7 })),
            json!({ "messages": messages, "max_completion_tokens": 7 })
        );
        assert_eq!(
            body(&[], &json!({ "max_tokens": 5, "user": "fixed", "messages": [] })),
            json!({ "model": "m", "messages": messages, "user": "fixed", "stream": true, "stream_options": { "include_usage": true }, "max_tokens": 5 })
        );
    }

    #[test]
    fn a_request_that_wants_a_short_answer_lowers_what_the_endpoint_allows_under_its_own_name() {
        let lengths = |most, dropped: &[&str], added: &Value| {
            let body = bounded_body(most, dropped, added);
            (body.get("max_tokens").cloned(), body.get("max_completion_tokens").cloned())
        };
        assert_eq!(lengths(Some(40), &[], &json!({})), (Some(json!(40)), None));
        assert_eq!(lengths(Some(400), &[], &json!({})), (Some(json!(100)), None), "and raises nothing");
        let renamed = json!({ "max_completion_tokens": 90 });
        assert_eq!(lengths(Some(40), &["max_tokens"], &renamed), (None, Some(json!(40))));
        assert_eq!(lengths(None, &["max_tokens"], &renamed), (None, Some(json!(90))));
        assert_eq!(lengths(Some(40), &["max_tokens"], &json!({})), (None, None), "a server that takes neither gets neither");
    }

    #[test]
    fn text_is_borrowed_where_it_can_be_and_read_in_parts() {
        assert!(matches!(serde_json::from_str::<Text<'_>>("\"plain é\"").unwrap().0, Cow::Borrowed("plain é")));
        assert_eq!(serde_json::from_str::<Text<'_>>(r#""a\nb""#).unwrap().0, "a\nb");
        let parts = r#"[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]},{"type":"text","text":"Hi"},{"text":null}]"#;
        assert_eq!(serde_json::from_str::<Text<'_>>(parts).unwrap().0, "Hi");
        assert!(serde_json::from_str::<Text<'_>>("7").is_err());
    }

    #[test]
    fn errors_are_read_in_every_shape_and_never_the_echo_of_a_request() {
        let read = |body: Value| {
            let error = ServerError::read(&body);
            (error.message, error.kind, error.status)
        };
        let said = |message: &str, kind: &str, status| (message.to_owned(), kind.to_owned(), status);
        assert_eq!(
            read(json!({ "error": { "message": "no", "type": "Invalid_Request_Error", "code": null } })),
            said("no", "invalid_request_error ", None)
        );
        assert_eq!(read(json!({ "error": "no" })), said("no", "", None));
        assert_eq!(read(json!({ "object": "error", "message": "no", "code": 400 })), said("no", "", Some(400)));
        assert_eq!(read(json!({ "message": "no", "code": "502" })), said("no", "502 ", Some(502)));
        assert_eq!(
            read(json!({ "detail": [{ "msg": "field required", "input": "SECRET" }, { "msg": "too long" }] })),
            said("field required; too long", "", None)
        );
        assert_eq!(read(json!({ "message": "no", "request": { "text": "SECRET" } })).0, "no");
        assert_eq!(read(json!([])).0, "");
    }

    #[test]
    fn missing_figures_are_filled_in() {
        let estimate = Usage { prompt_tokens: 5, completion_tokens: 3, total_tokens: 8 };
        let usage = |json: &str| serde_json::from_str::<WireUsage>(json).unwrap().or_estimate(estimate);
        assert_eq!(usage("{}"), estimate);
        assert_eq!(usage(r#"{"prompt_tokens":0,"completion_tokens":null}"#), estimate);
        assert_eq!(
            usage(r#"{"prompt_tokens":10.0,"completion_tokens":2}"#),
            Usage { prompt_tokens: 10, completion_tokens: 2, total_tokens: 12 }
        );
    }
}
