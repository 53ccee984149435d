//! A simulated phone: texts through the simulator's signed webhook, and reads its mailbox.

use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Client, RequestBuilder, StatusCode};

use crate::clock::Clock;
use crate::gateway::simulator::{MailboxMessage, OUR_NUMBER, PhoneText, SIGNATURE_HEADER, SimulatorSecret, TIMESTAMP_HEADER};
use crate::http::simulator::Mailbox;
use crate::http_client::http_client;

/// How long a server on this machine may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a request may take beyond what it was asked to wait.
const ANSWER: Duration = Duration::from_secs(10);

/// A phone with a number, beside a server of this machine.
pub(super) struct Phone {
    client: Client,
    clock: Clock,
    base: String,
    secret: SimulatorSecret,
    number: String,
    cursor: u64,
}

/// A client for servers of this machine.
pub(in crate::cli) fn local_client() -> anyhow::Result<Client> {
    // A proxy of the environment is for the world outside.
    http_client(CONNECT).no_proxy().build().context("the HTTP client could not be set up")
}

/// Whether a server answers there.
pub(in crate::cli) async fn answers(client: &Client, base: &str) -> bool {
    let asked = client.get(format!("{base}/health")).timeout(CONNECT).send().await;
    asked.is_ok_and(|answer| answer.status().is_success())
}

impl Phone {
    /// A phone that sees what is delivered from now on.
    pub(super) async fn open(client: Client, base: &str, secret: &str, number: &str) -> anyhow::Result<Self> {
        let secret = SimulatorSecret::from_text(secret);
        let mut phone = Self { client, clock: Clock::system(), base: base.to_owned(), secret, number: number.to_owned(), cursor: 0 };
        phone.cursor = phone.look(&[]).await?.newest;
        Ok(phone)
    }

    /// Texts. When this returns, the text is stored.
    pub(super) async fn text(&self, text: &str) -> anyhow::Result<()> {
        let id = self.clock.uuid().to_string();
        let text = PhoneText { id, from: self.number.clone(), to: OUR_NUMBER.to_owned(), text: text.to_owned() };
        let body = serde_json::to_vec(&text)?;
        let request = self.client.post(format!("{}/webhooks/simulator", self.base)).header("content-type", "application/json");
        let answer = self.signed(request, &body).body(body).timeout(ANSWER).send().await.context("the text did not arrive")?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => bail!("the server refused the text with {status}; its log says why"),
        }
    }

    /// What was delivered since it was last asked, waiting for something at most that long.
    pub(super) async fn receive(&mut self, wait: Duration) -> anyhow::Result<Vec<MailboxMessage>> {
        let (after, wait) = (self.cursor.to_string(), wait.as_millis().to_string());
        let mailbox = self.look(&[("after", &after), ("wait_ms", &wait)]).await?;
        self.cursor = mailbox.newest;
        Ok(mailbox.messages)
    }

    async fn look(&self, query: &[(&str, &str)]) -> anyhow::Result<Mailbox> {
        let mut written = form_urlencoded::Serializer::new(String::new());
        written.append_pair("phone", &self.number).extend_pairs(query);
        let target = format!("/simulator/messages?{}", written.finish());
        let request = self.client.get(format!("{}{target}", self.base)).timeout(Duration::from_secs(30) + ANSWER);
        let answer = self.signed(request, target.as_bytes()).send().await.context("the server does not answer any more")?;
        match answer.status() {
            StatusCode::OK => answer.json().await.context("the server's answer could not be read"),
            StatusCode::NOT_FOUND => bail!("the server's simulator is closed; set gateways.simulator.enabled = true and start it anew"),
            StatusCode::FORBIDDEN => bail!("another server listens on {} than the one that wrote server.json", self.base),
            status => bail!("the mailbox could not be read: {status}"),
        }
    }

    fn signed(&self, request: RequestBuilder, content: &[u8]) -> RequestBuilder {
        let signed = self.secret.sign(self.clock.now(), content);
        request.header(TIMESTAMP_HEADER, signed.timestamp).header(SIGNATURE_HEADER, signed.signature)
    }
}
