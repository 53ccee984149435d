//! A caller of the external message API.

use std::net::SocketAddr;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::home::API_KEY;

/// Posts messages to one running program.
#[derive(Clone)]
pub(crate) struct Api {
    client: reqwest::Client,
    address: SocketAddr,
}

impl Api {
    /// A caller with connections of its own.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { client: super::http_client(), address }
    }

    /// Sends a text of a number; waits for the answer.
    pub(crate) async fn send(&self, from: &str, text: &str) -> (StatusCode, Value) {
        self.post("sms-conversation", &json!({"role": "external", "content": text, "from": from}), &[]).await
    }

    /// Sends a text of a number; the answer comes as a stream of events.
    pub(crate) async fn stream(&self, from: &str, text: &str) -> Stream {
        self.stream_with(from, text, &[]).await
    }

    /// The same with further headers.
    pub(crate) async fn stream_with(&self, from: &str, text: &str, headers: &[(&str, &str)]) -> Stream {
        let url = format!("http://{}/api/messages/sms-conversation", self.address);
        let mut request = self.client.post(url).header("x-api-key", API_KEY).header("accept", "text/event-stream");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Stream::of(request.json(&json!({"role": "external", "content": text, "from": from})).send().await.unwrap())
    }

    /// Looks on at what is said with whoever has that token, from now on or from behind an event.
    pub(crate) async fn live(&self, token: &str, after: Option<&str>) -> Stream {
        let mut request = self.client.get(format!("http://{}/api/messages/stream", self.address)).bearer_auth(token);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        Stream::of(request.send().await.unwrap())
    }

    /// Sends any body to any conversation, with further headers.
    pub(crate) async fn post(&self, conversation: &str, body: &Value, headers: &[(&str, &str)]) -> (StatusCode, Value) {
        let url = format!("http://{}/api/messages/{conversation}", self.address);
        let mut request = self.client.post(url).header("x-api-key", API_KEY).json(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let bytes = answer.bytes().await.unwrap();
        (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes))))
    }
}

/// An answer that is still coming.
pub(crate) struct Stream {
    answer: reqwest::Response,
    /// What has come.
    text: String,
}

impl Stream {
    fn of(answer: reqwest::Response) -> Self {
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { answer, text: String::new() }
    }

    /// The ids of the events that have come, of those that have one.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.text.lines().filter_map(|line| line.strip_prefix("id:")).map(|id| id.trim().to_owned()).collect()
    }

    /// Reads on until what has come is enough; every event from the first: name and data.
    pub(crate) async fn until(&mut self, enough: impl Fn(&[(String, Value)]) -> bool) -> Vec<(String, Value)> {
        loop {
            // The last block may be the beginning of one.
            let whole = self.text.rfind("\n\n").map_or("", |end| &self.text[..end]);
            let events = crate::http_home::read_events(whole);
            if enough(&events) {
                return events;
            }
            let piece = self.answer.chunk().await.unwrap();
            let piece = piece.unwrap_or_else(|| panic!("the stream ended with {events:?}"));
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }
}
