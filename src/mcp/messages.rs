//! What a message must be, and what is answered to what is none. rmcp reads them; where it cannot, it says too little for whoever
//! wrote the client, or nothing at all.

use rmcp::ErrorData;
use rmcp::model::{CustomRequest, RequestId};
use serde_json::Value;

/// Longest message, in bytes: what the SDKs' own servers take.
pub(super) const LONGEST: usize = 4 * 1024 * 1024;

/// The methods that are answered here, and the parameters of each.
const METHODS: [(&str, &str); 10] = [
    ("initialize", "`protocolVersion` is text, `capabilities` an object, `clientInfo` an object with the texts `name` and `version`"),
    ("server/discover", NOTHING),
    ("ping", NOTHING),
    ("tools/list", PAGE),
    ("tools/call", "`name` is text; `arguments`, if there, an object"),
    ("resources/list", PAGE),
    ("resources/templates/list", PAGE),
    ("resources/read", "`uri` is text"),
    ("prompts/list", PAGE),
    ("prompts/get", "`name` is text; `arguments`, if there, an object"),
];
const NOTHING: &str = "none are needed";
const PAGE: &str = "`cursor`, if there, is text";

/// The answer to a request that rmcp could not read as what its method says: it takes such a one for a method that it does not know,
/// also where it knows it. `None` for a method that is unknown indeed.
pub(super) fn misread(request: &CustomRequest) -> Option<ErrorData> {
    let (method, valid) = METHODS.into_iter().find(|(method, _)| *method == request.method)?;
    let message = format!("the params of {method} cannot be read; they are an object: {valid}; `_meta`, if there, is an object");
    Some(ErrorData::invalid_params(message, None))
}

/// The answer to what is no message, and the id to which it belongs, where that can be read. Nothing of what came is repeated.
pub(super) fn unreadable(message: &[u8]) -> (Option<RequestId>, ErrorData) {
    match serde_json::from_slice::<Value>(message) {
        // The parser's words name a line and a column, never the content.
        Err(error) => (None, ErrorData::parse_error(format!("the message is not JSON: {error}"), None)),
        Ok(Value::Array(_)) => (None, ErrorData::invalid_request("batches are not taken: send one message at a time", None)),
        Ok(value) => {
            let id = value.get("id").and_then(|id| serde_json::from_value(id.clone()).ok());
            (id, ErrorData::invalid_request("this is not a JSON-RPC 2.0 message of this protocol", None))
        }
    }
}

/// The answer to a message that is longer than [`LONGEST`].
pub(super) fn too_long() -> ErrorData {
    ErrorData::invalid_request(format!("the message is longer than {LONGEST} bytes"), None)
}
