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
