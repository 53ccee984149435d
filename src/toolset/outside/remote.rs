//! A server over streamable HTTP.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use rmcp::RoleClient;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use rmcp::transport::streamable_http_client::{StreamableHttpClientTransport, StreamableHttpClientTransportConfig};
use secrecy::{ExposeSecret as _, SecretString};

use super::framing::{LONGEST_LINE, is_wanted};
use crate::http_client::http_client;

/// How long it may take to be connected, within the server's own limit.
const CONNECT: Duration = Duration::from_secs(10);
/// Redirects that are followed.
const HOPS: usize = 3;
/// Notifications, one after the other, that nobody reads.
const MOST_UNASKED: usize = 100_000;

/// The client of one server: its headers are each connection's own.
pub(super) fn client(init_timeout: Duration) -> reqwest::Result<reqwest::Client> {
    // A connection that idles in a pool is picked up with its last answer half read, which costs a delayed acknowledgement (40 ms).
    http_client(CONNECT.min(init_timeout)).redirect(within_origin()).pool_max_idle_per_host(0).build()
}

/// Servers often answer `/mcp` with a redirect to `/mcp/`. That is followed with the request as it is, and nothing that leaves the
/// configured scheme, host and port: the headers are secrets.
fn within_origin() -> Policy {
    Policy::custom(|attempt| {
        let keeps_request = matches!(attempt.status().as_u16(), 307 | 308);
        let stays = attempt.previous().first().is_some_and(|first| first.origin() == attempt.url().origin());
        if keeps_request && stays && attempt.previous().len() <= HOPS { attempt.follow() } else { attempt.stop() }
    })
}

/// A connection with these headers.
pub(super) fn transport(
    client: reqwest::Client,
    url: &SecretString,
    headers: &[(String, SecretString)],
) -> Result<RemoteTransport, Unsendable> {
    let mut sent = HashMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_invalid| Unsendable)?;
        let mut value = HeaderValue::from_str(value.expose_secret()).map_err(|_invalid| Unsendable)?;
        value.set_sensitive(true);
        sent.insert(name, value);
    }
    let config = StreamableHttpClientTransportConfig::with_uri(url.expose_secret()).custom_headers(sent).max_sse_event_size(LONGEST_LINE);
    Ok(RemoteTransport { inner: StreamableHttpClientTransport::with_client(client, config), unasked: 0 })
}

/// A header that cannot be sent. Which one and what it holds is nobody's business.
#[derive(Debug, thiserror::Error)]
#[error("a header cannot be sent as it was filled in")]
pub(super) struct Unsendable;

/// rmcp's transport, without what nobody here reads.
pub(super) struct RemoteTransport {
    inner: StreamableHttpClientTransport<reqwest::Client>,
    unasked: usize,
}

impl Transport<RoleClient> for RemoteTransport {
    type Error = <StreamableHttpClientTransport<reqwest::Client> as Transport<RoleClient>>::Error;

    fn send(&mut self, message: TxJsonRpcMessage<RoleClient>) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        self.unasked = 0;
        self.inner.send(message)
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        while self.unasked < MOST_UNASKED {
            let message = self.inner.receive().await?;
            if is_wanted(&message) {
                return Some(message);
            }
            self.unasked += 1;
        }
        None
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.inner.close().await
    }
}
