//! Requests to Twilio's REST API. Each makes one attempt with a limit; who calls decides about another.

use std::time::Duration;

use reqwest::{Client, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;

use super::refusal::{self, Changes};
use super::wire::{ApiError, MessageResource, Page};
use crate::gateway::SendError;
use crate::http_client::http_client;

/// The largest answer that is read: a page of a thousand long messages stays below.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;
/// The longest wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an unused connection is kept: shorter than the carrier keeps it, because a message written into one that is just
/// being closed has to be looked up.
const IDLE: Duration = Duration::from_secs(20);

/// The account's API.
pub(super) struct Rest {
    client: Client,
    /// Scheme, host and port, without a slash at the end.
    base: String,
    account: String,
    user: String,
    secret: SecretString,
}

impl Rest {
    /// `timeout` bounds each request as a whole.
    pub(super) fn new(base: &str, account: &str, user: &str, secret: SecretString, timeout: Duration) -> Result<Self, reqwest::Error> {
        // Connecting fails first, so that a request that never left is known as such.
        let client = http_client(CONNECT.min(timeout / 2)).timeout(timeout).pool_idle_timeout(IDLE).build()?;
        Ok(Self { client, base: base.trim_end_matches('/').to_owned(), account: account.to_owned(), user: user.to_owned(), secret })
    }

    fn account_path(&self, resource: &str) -> String {
        format!("/2010-04-01/Accounts/{}/{resource}.json", self.account)
    }

    fn with_credentials(&self, request: RequestBuilder) -> RequestBuilder {
        request.basic_auth(&self.user, Some(self.secret.expose_secret()))
    }

    /// Sends a message.
    pub(super) async fn create(&self, parameters: &[(&str, &str)]) -> Result<MessageResource, SendError> {
        let request = self.client.post(format!("{}{}", self.base, self.account_path("Messages"))).form(parameters);
        let response = self.with_credentials(request).send().await.map_err(|error| refusal::of_transport(error, Changes::Something))?;
        let response = accepted(response).await?;
        let body = read(response).await.map_err(|reason| SendError::Ambiguous { reason })?;
        // The carrier took it; without its id the look-up has to find it.
        let unreadable = |_error| SendError::Ambiguous { reason: "the carrier's answer names no message".to_owned() };
        let message: MessageResource = serde_json::from_slice(&body).map_err(unreadable)?;
        if message.sid.is_empty() {
            Err(SendError::Ambiguous { reason: "the carrier's answer names no message".to_owned() })
        } else {
            Ok(message)
        }
    }

    /// The first page of the messages that match.
    pub(super) async fn list(&self, filters: &[(&str, &str)]) -> Result<Page, SendError> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(filters).finish();
        self.get(&format!("{}?{query}", self.account_path("Messages"))).await
    }

    /// The page that a page names as its next.
    pub(super) async fn next(&self, page: &Page) -> Result<Option<Page>, SendError> {
        match page.next_page_uri.as_deref() {
            None | Some("") => Ok(None),
            // An absolute address could lead our credentials to another host.
            Some(path) if path.starts_with('/') => self.get(path).await.map(Some),
            Some(_) => Err(SendError::Retry { reason: "the carrier's next page lies on another host".to_owned(), after: None }),
        }
    }

    /// Another list of the account.
    pub(super) async fn get_resource<T: DeserializeOwned>(&self, resource: &str, filters: &[(&str, &str)]) -> Result<T, SendError> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(filters).finish();
        self.get(&format!("{}?{query}", self.account_path(resource))).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, SendError> {
        let request = self.client.get(format!("{}{path}", self.base));
        let response = self.with_credentials(request).send().await.map_err(|error| refusal::of_transport(error, Changes::Nothing))?;
        let retry = |reason| SendError::Retry { reason, after: None };
        let body = read(accepted(response).await?).await.map_err(retry)?;
        serde_json::from_slice(&body).map_err(|error| retry(format!("the carrier's answer cannot be read: {error}")))
    }
}

/// The response when it is 2xx; otherwise what to do.
async fn accepted(response: Response) -> Result<Response, SendError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let retry_after = response.headers().get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    // The status decides; the body only says more.
    let error: ApiError = match read(response).await {
        Ok(body) => serde_json::from_slice(&body).unwrap_or_default(),
        Err(_) => ApiError::default(),
    };
    Err(refusal::of_answer(StatusCode::as_u16(&status), &error, retry_after.as_deref()))
}

/// The body, up to a limit.
async fn read(mut response: Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= LARGEST_ANSWER => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(format!("the carrier's answer is larger than {LARGEST_ANSWER} bytes")),
            Ok(None) => return Ok(body),
            Err(error) => return Err(format!("the carrier's answer broke off: {}", error.without_url())),
        }
    }
}
