//! Messages of standard input: one a line, of bounded length. What is none is answered like over HTTP, so that nobody waits in vain;
//! rmcp's own reader passes over it, and over everything that is too long.

use rmcp::RoleServer;
use rmcp::model::{ClientRequest, JsonRpcError, JsonRpcMessage};
use rmcp::service::RxJsonRpcMessage;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

use super::messages::{LONGEST, misread, too_long, unreadable};

/// What some programs put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads lines.
pub(super) struct Lines<R> {
    input: BufReader<R>,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// The line is too long, and its rest is thrown away.
    too_long: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input: BufReader::new(input), line: Vec::new(), too_long: false }
    }

    /// The next message, or what is answered to a line that is none; `None` at the end of the input. Whoever stops waiting loses nothing.
    pub(super) async fn next(&mut self) -> Option<Result<RxJsonRpcMessage<RoleServer>, JsonRpcError>> {
        loop {
            let available = match self.input.fill_buf().await {
                Ok(available) => available,
                Err(error) => {
                    tracing::error!(%error, "standard input cannot be read");
                    return None;
                }
            };
            let ended = available.is_empty();
            let (rest, newline) = match available.iter().position(|byte| *byte == b'\n') {
                Some(at) => (available.get(..at).unwrap_or_default(), 1),
                None => (available, 0),
            };
            // One more for the end of the line as Windows writes it.
            if self.too_long || self.line.len() + rest.len() > LONGEST + 1 {
                self.too_long = true;
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(rest);
            }
            let taken = rest.len() + newline;
            self.input.consume(taken);
            if newline == 0 && !ended {
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if std::mem::take(&mut self.too_long) || trimmed(&line).len() > LONGEST {
                return Some(Err(JsonRpcError::new(None, too_long())));
            }
            if let Some(read) = read(trimmed(&line)) {
                return Some(read);
            }
            if ended {
                return None;
            }
        }
    }
}

fn trimmed(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line).trim_ascii()
}

/// Reads a line; `None` for one that nobody waits for an answer to.
fn read(line: &[u8]) -> Option<Result<RxJsonRpcMessage<RoleServer>, JsonRpcError>> {
    if line.is_empty() {
        return None;
    }
    let Ok(message) = serde_json::from_slice(line) else {
        let (id, error) = unreadable(line);
        return (!is_notification(line)).then(|| Err(JsonRpcError::new(id, error)));
    };
    if let JsonRpcMessage::Request(request) = &message
        && let ClientRequest::CustomRequest(custom) = &request.request
        && let Some(error) = misread(custom)
    {
        return Some(Err(JsonRpcError::new(Some(request.id.clone()), error)));
    }
    Some(Ok(message))
}

/// A notification is never answered, whatever it is.
fn is_notification(line: &[u8]) -> bool {
    serde_json::from_slice::<Value>(line).is_ok_and(|value| value.get("method").is_some_and(Value::is_string) && value.get("id").is_none())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    /// The codes of what is answered, and the ids of what is read.
    async fn told(input: &[u8]) -> Vec<(i32, String)> {
        let mut lines = Lines::new(input);
        let mut told = Vec::new();
        while let Some(read) = lines.next().await {
            told.push(match read {
                Ok(JsonRpcMessage::Request(request)) => (0, request.id.to_string()),
                Ok(_other) => (0, String::new()),
                Err(wrong) => (wrong.error.code.0, wrong.id.map(|id| id.to_string()).unwrap_or_default()),
            });
        }
        told
    }

    #[tokio::test]
    async fn each_line_is_a_message_or_is_answered() {
        let ping = |id: &str| format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#);
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for (line, code, id) in [
            (ping("1"), 0, "1"),
            (format!("\u{feff} {}\r", ping("\"a\"")), 0, "a"),
            ("{bad".to_owned(), -32700, ""),
            ("hello".to_owned(), -32700, ""),
            (deep, -32700, ""),
            (format!("{}{}", ping("1"), ping("2")), -32700, ""),
            (format!("[{}]", ping("1")), -32600, ""),
            ("7".to_owned(), -32600, ""),
            (r#"{"jsonrpc":"1.0","id":9,"method":"ping"}"#.to_owned(), -32600, "9"),
            (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#.to_owned(), -32600, ""),
            (r#"{"jsonrpc":"2.0","id":9}"#.to_owned(), -32600, "9"),
            (r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":5}}"#.to_owned(), -32602, "3"),
            (r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"x","arguments":[1]}}"#.to_owned(), -32602, "3"),
            (r#"{"jsonrpc":"2.0","id":3,"method":"initialize","params":{}}"#.to_owned(), -32602, "3"),
            (r#"{"jsonrpc":"2.0","id":3,"method":"tools/everything","params":{"a":1}}"#.to_owned(), 0, "3"),
            (r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":[1]}"#.to_owned(), -32600, "3"),
        ] {
            let input = format!("\n  \n{line}\n{}", ping("77"));
            assert_eq!(told(input.as_bytes()).await, [(code, id.to_owned()), (0, "77".to_owned())], "{}", line.get(..80).unwrap_or(&line));
        }
        assert_eq!(told(b"{\"a\":\"\xff\"}\n").await, [(-32700, String::new())]);
        assert_eq!(told(b"{\"jsonrpc\":\"1.0\",\"method\":\"notifications/initialized\"}\n").await, []);
        assert_eq!(told(b"").await, []);
    }

    #[tokio::test]
    async fn a_line_is_as_long_as_it_may_be_and_no_longer() {
        let of_length = |length: usize| {
            let (head, tail) = (r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":""#, r#""}}"#);
            format!("{head}{}{tail}", "x".repeat(length - head.len() - tail.len()))
        };
        for (length, code, id) in [(LONGEST, 0, "1"), (LONGEST + 1, -32600, ""), (LONGEST + 2, -32600, ""), (LONGEST * 3 / 2, -32600, "")] {
            for end in ["\n", "\r\n"] {
                let input = format!("{}{end}{}", of_length(length), of_length(90));
                assert_eq!(told(input.as_bytes()).await, [(code, id.to_owned()), (0, "1".to_owned())], "{length} {end:?}");
            }
        }
    }

    #[tokio::test]
    async fn who_stops_waiting_loses_nothing_of_a_line() {
        let (mut client, input) = tokio::io::duplex(64);
        let mut lines = Lines::new(input);
        client.write_all(br#"{"jsonrpc":"2.0","#).await.unwrap();
        for _ in 0..3 {
            assert!(tokio::time::timeout(std::time::Duration::from_millis(5), lines.next()).await.is_err());
        }
        client.write_all(b"\"id\":1,\"method\":\"ping\"}\n").await.unwrap();
        assert!(matches!(lines.next().await, Some(Ok(JsonRpcMessage::Request(_)))));
    }
}
