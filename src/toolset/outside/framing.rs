//! JSON-RPC in lines, as a child process speaks it on its standard output.
//!
//! rmcp's own transport over pipes waits for an answer whose line it could not read until the call's time is over, and logs what
//! a server sends it unasked. Here a line that is too long or a flood ends the connection with its reason, an answer of the wrong
//! shape fails its call at once, and what nobody asked for is dropped before anybody looks at it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::BytesMut;
use rmcp::RoleClient;
use rmcp::service::RxJsonRpcMessage;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Bytes of one message: what streamable HTTP allows as well.
pub(super) const LONGEST_LINE: usize = 16 * 1024 * 1024;
/// Bytes that a server may send while nothing is asked of it.
pub(super) const MOST_UNASKED: usize = 64 * 1024 * 1024;
/// Bytes read at once.
const CHUNK: usize = 16 * 1024;

/// Why nothing more is read.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("it closed its output")]
    Closed,
    #[error("a message is longer than {LONGEST_LINE} bytes")]
    TooLong,
    #[error("it wrote more than {MOST_UNASKED} bytes that nobody asked for")]
    Flood,
    #[error("its output cannot be read")]
    Io(#[from] io::Error),
}

/// The messages of one output. Reading can be given up at any time and loses nothing.
pub(super) struct Frames<R> {
    read: R,
    buffer: BytesMut,
    searched: usize,
    since_request: Arc<AtomicUsize>,
}

impl<R: AsyncRead + Unpin + Send> Frames<R> {
    /// `since_request` counts bytes; whoever sends a request sets it to nothing.
    pub(super) fn new(read: R, since_request: Arc<AtomicUsize>) -> Self {
        Self { read, buffer: BytesMut::new(), searched: 0, since_request }
    }

    /// The next message that somebody waits for.
    pub(super) async fn next(&mut self) -> Result<RxJsonRpcMessage<RoleClient>, End> {
        loop {
            let line = self.line().await?;
            if let Some(message) = message(&line) {
                return Ok(message);
            }
        }
    }

    async fn line(&mut self) -> Result<BytesMut, End> {
        loop {
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(self.searched + at + 1);
                self.searched = 0;
                return Ok(line);
            }
            self.searched = self.buffer.len();
            if self.buffer.len() > LONGEST_LINE {
                return Err(End::TooLong);
            }
            self.buffer.reserve(CHUNK);
            let count = self.read.read_buf(&mut self.buffer).await?;
            if count == 0 {
                return Err(End::Closed);
            }
            if self.since_request.fetch_add(count, Ordering::Relaxed) > MOST_UNASKED {
                return Err(End::Flood);
            }
        }
    }
}

/// Reads a line. Nothing comes of what is no JSON (servers print to standard output by mistake) and of notifications, except that the
/// list of tools has changed.
fn message(line: &[u8]) -> Option<RxJsonRpcMessage<RoleClient>> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let fields = value.as_object()?;
    let id = fields.get("id").filter(|id| !id.is_null()).cloned();
    let method = fields.get("method").and_then(Value::as_str);
    match (&id, method) {
        (None, Some("notifications/tools/list_changed")) => {}
        (None, _) if fields.get("error").is_none() => return None,
        _ => {}
    }
    let is_answer = method.is_none();
    match serde_json::from_value(value) {
        Ok(message) => Some(message),
        Err(_other_shape) if is_answer => {
            let error = json!({"code": -32603, "message": "the server's answer is not of the protocol's shape"});
            serde_json::from_value(json!({"jsonrpc": "2.0", "id": id?, "error": error})).ok()
        }
        Err(_other_shape) => None,
    }
}

/// Whether anybody here reads a message that came over another transport.
pub(super) fn is_wanted(message: &RxJsonRpcMessage<RoleClient>) -> bool {
    use rmcp::model::{JsonRpcMessage, ServerNotification};
    match message {
        JsonRpcMessage::Notification(one) => matches!(one.notification, ServerNotification::ToolListChangedNotification(_)),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use rmcp::model::JsonRpcMessage;

    use super::*;

    async fn all(text: &[u8]) -> (Vec<String>, End) {
        let mut frames = Frames::new(text, Arc::default());
        let mut found = Vec::new();
        loop {
            match frames.next().await {
                Ok(JsonRpcMessage::Response(one)) => found.push(format!("response {}", one.id)),
                Ok(JsonRpcMessage::Error(one)) => found.push(format!("error {} {}", one.id.unwrap(), one.error.message)),
                Ok(JsonRpcMessage::Notification(_)) => found.push("notification".to_owned()),
                Ok(JsonRpcMessage::Request(one)) => found.push(format!("request {}", one.id)),
                Err(end) => return (found, end),
            }
        }
    }

    #[tokio::test]
    async fn garbage_and_what_nobody_asked_for_are_passed_over() {
        let text = concat!(
            "Server is starting\n\n[1]\n{\"jsonrpc\":\"2.0\"}\n",
            "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\",\"params\":{\"level\":\"info\",\"data\":\"x\"}}\n",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{}}\r\n",
            "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/tools/list_changed\"}\n",
            "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n",
            "{\"jsonrpc\":\"2.0\",\"id\":2,\"error\":{\"code\":\"no number\"}}\n",
            "half a line",
        );
        let (found, end) = all(text.as_bytes()).await;
        assert_eq!(found, ["response 1", "notification", "request 7", "error 2 the server's answer is not of the protocol's shape"]);
        assert!(matches!(end, End::Closed));
    }

    #[tokio::test]
    async fn a_line_without_end_and_a_flood_end_it() {
        let (_, end) = all(&vec![b'x'; LONGEST_LINE + CHUNK * 2]).await;
        assert!(matches!(end, End::TooLong), "{end:?}");
        let line = [b"x".repeat(64 * 1024), b"\n".to_vec()].concat();
        let (_, end) = all(&line.repeat(MOST_UNASKED / line.len() + 2)).await;
        assert!(matches!(end, End::Flood), "{end:?}");
    }
}
