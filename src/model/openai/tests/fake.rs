//! A model server on loopback that says exactly the bytes it is told to.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What happens on the connection after a request was read.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Bytes are sent.
    Send(Vec<u8>),
    /// Nothing more comes until the client goes away.
    Stall,
    /// The connection is closed.
    Close,
    /// A chunk is sent again and again until the client goes away.
    Flood(Vec<u8>),
}

/// What is sent in answer to one request.
pub(super) type Reply = Vec<Step>;

/// What the server saw.
#[derive(Debug, Default, Clone)]
pub(super) struct Seen {
    pub(super) connections: usize,
    pub(super) heads: Vec<String>,
    pub(super) bodies: Vec<String>,
}

/// A server; it stops when it is dropped.
pub(super) struct Fake {
    pub(super) base_url: String,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Fake {
    /// Answers requests with `replies` in their order, and with the last of them ever after.
    pub(super) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen::default()));
        let replies = Arc::new(Mutex::new(VecDeque::from(replies)));
        let server_seen = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            // Held here, so that all connections end with the server.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                server_seen.lock().unwrap().connections += 1;
                connections.spawn(serve(stream, Arc::clone(&server_seen), Arc::clone(&replies)));
            }
        });
        Self { base_url, seen, task }
    }

    /// A copy, so that no test holds the lock while the server needs it.
    pub(super) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>, replies: Arc<Mutex<VecDeque<Reply>>>) {
    let mut buffer = Vec::new();
    while let Some((head, body)) = read_request(&mut stream, &mut buffer).await {
        {
            let mut seen = seen.lock().unwrap();
            seen.heads.push(head);
            seen.bodies.push(body);
        }
        let reply = {
            let mut replies = replies.lock().unwrap();
            if replies.len() > 1 { replies.pop_front().unwrap() } else { replies.front().cloned().unwrap() }
        };
        for step in reply {
            let gone = match step {
                Step::Send(bytes) => stream.write_all(&bytes).await.is_err(),
                Step::Close => return,
                Step::Stall => {
                    let mut nothing = [0; 64];
                    while stream.read(&mut nothing).await.is_ok_and(|read| read > 0) {}
                    return;
                }
                Step::Flood(bytes) => {
                    while stream.write_all(&bytes).await.is_ok() {}
                    return;
                }
            };
            if gone {
                return;
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<(String, String)> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(buffer[..end].to_vec()).unwrap().to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
            if buffer.len() >= end + 4 + length {
                let body = String::from_utf8(buffer[end + 4..end + 4 + length].to_vec()).unwrap();
                buffer.drain(..end + 4 + length);
                return Some((head, body));
            }
        }
        if stream.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// One piece of a body in chunked encoding.
pub(super) fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// The beginning of a stream: the head, then these pieces.
pub(super) fn begun(pieces: &[&[u8]]) -> Reply {
    let mut reply = vec![Step::Send(STREAM_HEAD.into())];
    reply.extend(pieces.iter().map(|piece| Step::Send(chunk(piece))));
    reply
}

/// A whole stream in one piece; the connection stays open.
pub(super) fn stream(body: &str) -> Reply {
    let mut reply = begun(&[body.as_bytes()]);
    reply.push(Step::Send(b"0\r\n\r\n".into()));
    reply
}

/// An answer with a length, and more header lines (each with its line end).
pub(super) fn plain(status: u16, headers: &str, body: &str) -> Reply {
    let head = format!("HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
    vec![Step::Send([head.as_bytes(), body.as_bytes()].concat())]
}

/// Chunks with these pieces of text, as events.
pub(super) fn pieces(texts: &[&str]) -> String {
    texts.iter().map(|text| event(&serde_json::json!({ "content": text }), None)).collect()
}

/// One chunk as an event.
pub(super) fn event(delta: &serde_json::Value, finish: Option<&str>) -> String {
    let chunk = serde_json::json!({ "id": "c1", "object": "chat.completion.chunk", "model": "served-model", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
    format!("data: {chunk}\n\n")
}

/// The usual end: the reason, the count, the last event.
pub(super) fn end(finish: &str) -> String {
    let usage = serde_json::json!({ "choices": [], "usage": { "prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12 } });
    format!("{}data: {usage}\n\ndata: [DONE]\n\n", event(&serde_json::json!({}), Some(finish)))
}
