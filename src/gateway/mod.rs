//! PORT: SMS carriers.
//!
//! A [`Gateway`] checks who sent a webhook, reads it, and sends messages. It stores nothing and decides nothing about people:
//! that is `service`. Adding one: a file that implements the trait, and a line in [`open`].

pub mod simulator;
mod twilio;

pub use simulator::SimulatorCarrier;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Clock;
use crate::config::Config;
use crate::config::sections;
use crate::domain::delivery::{DeliveryStatus, OutboundMessage, StatusReport};
use crate::domain::message::InboundMessage;
use crate::domain::text::beginning;
use crate::domain::time::Timestamp;

/// A webhook request as it arrived: nothing decoded, nothing changed.
#[derive(Debug, Clone)]
pub struct WebhookRequest {
    /// Candidates for the public URL that the sender called, most likely first, query included, byte for byte.
    pub urls: Vec<String>,
    /// Content type header, lower case, parameters included; empty when absent.
    pub content_type: String,
    /// Looks up a header of the signature; names are lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl WebhookRequest {
    /// The first header of that name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Why a webhook was not believed. The text is for the log: it never holds a secret or an expected value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct VerifyError {
    /// What failed, and which URLs were tried.
    pub reason: String,
}

/// A believed webhook that cannot be read. The text says what is wrong; the answer is 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ParseError {
    /// What is wrong, without a number or a text of a person.
    pub reason: String,
}

/// What a webhook said.
#[derive(Debug, Clone, PartialEq)]
pub enum WebhookEvent {
    /// A text arrived.
    Inbound(Box<InboundMessage>),
    /// A carrier's word on an outgoing message.
    Status(StatusReport),
    /// Nothing for us: a short code, an alphanumeric sender, another channel. Acknowledged and counted.
    Ignored {
        /// A short label for the counter, such as `short-code`.
        reason: &'static str,
    },
}

/// The body of the 200 that a gateway expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acknowledgement {
    /// Content type.
    pub content_type: &'static str,
    /// Body.
    pub body: &'static str,
}

/// A message that the carrier took, or was found to have taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The carrier's id of it.
    pub gateway_message_id: String,
    /// Its first word on it.
    pub status: DeliveryStatus,
}

/// Why a message was not sent, by what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The carrier says the person opted out: record it, send nothing more.
    #[error("the person has opted out at the carrier ({reason})")]
    OptedOut {
        /// The carrier's code and text.
        reason: String,
    },
    /// It will never be sent: a dead letter.
    #[error("the carrier refused it for good: {reason}")]
    Refused {
        /// The carrier's code and text.
        reason: String,
    },
    /// Our account cannot send at all (wrong credentials, suspended): stop, and turn readiness red.
    #[error("the carrier refuses this account: {reason}")]
    Stopped {
        /// The carrier's code and text.
        reason: String,
    },
    /// It was certainly not sent: try again.
    #[error("not sent, to be tried again: {reason}")]
    Retry {
        /// What happened.
        reason: String,
        /// How long the carrier asked to wait.
        after: Option<Duration>,
    },
    /// It may have been sent: look it up before trying again.
    #[error("perhaps sent: {reason}")]
    Ambiguous {
        /// What happened.
        reason: String,
    },
}

/// A look-up of a message that was perhaps sent.
#[derive(Debug)]
pub struct Lookup<'a> {
    /// The message; its `attempted_at` bounds the search.
    pub message: &'a OutboundMessage,
    /// Ids at the carrier that are known to be other messages.
    pub known_ids: &'a [String],
}

/// A carrier.
#[async_trait]
pub trait Gateway: Send + Sync + 'static {
    /// Its name: in configuration, in the webhook's path, in stored rows.
    fn name(&self) -> &'static str;

    /// Checks that the carrier sent this.
    ///
    /// # Errors
    /// When it did not, or not provably so. The caller answers 403 without detail and logs the reason.
    fn verify(&self, request: &WebhookRequest) -> Result<(), VerifyError>;

    /// Reads a webhook that was believed. `status` says that it came in on the status callback's path.
    ///
    /// # Errors
    /// When it cannot be read.
    fn parse(&self, request: &WebhookRequest, kind: WebhookKind) -> Result<WebhookEvent, ParseError>;

    /// What it wants to hear when a webhook was stored.
    fn acknowledgement(&self) -> Acknowledgement;

    /// Whether the carrier itself confirms STOP and START, so that we must not.
    fn confirms_consent(&self) -> bool;

    /// Sends a message. Makes one request; the caller retries.
    ///
    /// # Errors
    /// By what to do next: see [`SendError`].
    async fn send(&self, message: &OutboundMessage) -> Result<Sent, SendError>;

    /// How long after an ambiguous attempt each look-up is made, from the attempt on. Empty: a message that was perhaps sent is
    /// given up, because missing is better than doubled.
    fn lookup_waits(&self) -> &[Duration];

    /// Looks for a message that was perhaps sent. `None`: the carrier does not have it.
    ///
    /// # Errors
    /// When the carrier could not be asked; the caller asks again later.
    async fn find_sent(&self, lookup: Lookup<'_>) -> Result<Option<Sent>, SendError>;

    /// All texts that the carrier received since that moment, oldest first; a second of overlap is allowed.
    ///
    /// # Errors
    /// When the carrier could not be asked, or has more than can be held.
    async fn list_missed(&self, since: Timestamp) -> Result<Vec<InboundMessage>, SendError>;

    /// Whether the carrier answers to our credentials, for `doctor`; sends nothing.
    ///
    /// # Errors
    /// What is wrong.
    async fn check(&self) -> Result<String, SendError>;
}

/// Which of a gateway's two paths a webhook came in on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookKind {
    /// `/webhooks/NAME`.
    Message,
    /// `/webhooks/NAME/status`.
    Status,
}

/// The open gateways.
#[derive(Clone, Default)]
pub struct Gateways {
    list: Vec<Arc<dyn Gateway>>,
}

impl Gateways {
    /// These.
    #[must_use]
    pub fn new(list: Vec<Arc<dyn Gateway>>) -> Self {
        Self { list }
    }

    /// The one of that name, when it is open.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<dyn Gateway>> {
        self.list.iter().find(|gateway| gateway.name() == name)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Gateway>> {
        self.list.iter()
    }
}

/// What [`open`] opened.
pub struct Opened {
    /// The gateways that the configuration opens.
    pub gateways: Gateways,
    /// The simulated carrier among them, whose mailbox the phones of `chat` read.
    pub simulator: Option<Arc<SimulatorCarrier>>,
}

/// Why a gateway could not be opened: its settings are wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gateway {gateway} cannot be opened: {reason}")]
pub struct OpenError {
    /// Its name.
    pub gateway: &'static str,
    /// What is wrong.
    pub reason: String,
}

/// The name of the first that [`open`] would open, and opens nothing: for processes that plan what another will send.
#[must_use]
pub fn first_name(settings: &sections::Gateways) -> Option<&'static str> {
    if settings.twilio.opens() {
        return Some(twilio::NAME);
    }
    settings.simulator.enabled.then_some(simulator::NAME)
}

/// Opens each gateway that the configuration says enough about; the others stay closed.
///
/// # Errors
/// When the settings of one are wrong.
pub fn open(config: &Config, clock: &Clock) -> Result<Opened, OpenError> {
    let rules = config.phone.rules().map_err(|error| OpenError { gateway: "phone", reason: error.to_string() })?;
    let mut list: Vec<Arc<dyn Gateway>> = Vec::new();
    if let Some(twilio) = twilio::Twilio::open(&config.gateways.twilio, &config.server.public_url, rules)? {
        list.push(Arc::new(twilio));
    }
    let mut simulator = None;
    if config.gateways.simulator.enabled {
        let carrier = Arc::new(SimulatorCarrier::open(clock.clone(), rules)?);
        list.push(carrier.clone());
        simulator = Some(carrier);
    }
    Ok(Opened { gateways: Gateways::new(list), simulator })
}

/// Why a signature could not be explained, for `doctor signature`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No such gateway, or one whose secret lives for one run only.
    #[error("gateway {name:?} has no signature to check; there is: twilio")]
    UnknownGateway {
        /// The name that was given.
        name: String,
    },
    /// Its secret is not set.
    #[error("{key} is not set; without it no signature can be checked")]
    NoSecret {
        /// The setting.
        key: &'static str,
    },
    /// It does not fit, with the reason; never an expected value.
    #[error("{reason}")]
    Wrong {
        /// Why.
        reason: String,
    },
}

/// Checks a signature by hand: which form of the URL was signed. Needs nothing of the configuration but the gateway's secret.
///
/// # Errors
/// Why it is not right.
pub fn explain_signature(
    name: &str,
    settings: &sections::Gateways,
    url: &str,
    signature: &str,
    body: &[u8],
) -> Result<String, SignatureError> {
    if name != twilio::NAME {
        return Err(SignatureError::UnknownGateway { name: beginning(name, 40).to_owned() });
    }
    twilio::explain_signature(&settings.twilio, url, signature, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_is_that_of_the_gateway_that_opens_first() {
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let twilio = "gateways.twilio.account_sid = \"AC00000000000000000000000000000000\"\n\
                      gateways.twilio.auth_token = \"0123456789abcdef0123456789abcdef\"\n";
        let simulator = "gateways.simulator.enabled = true\n";
        for (text, expected) in [
            (String::new(), None),
            (simulator.to_owned(), Some(simulator::NAME)),
            (twilio.to_owned(), Some(twilio::NAME)),
            (format!("{twilio}{simulator}"), Some(twilio::NAME)),
            ("gateways.twilio.account_sid = \"AC00000000000000000000000000000000\"".to_owned(), None),
        ] {
            let config = Config::from_toml(&text).unwrap();
            let opened = open(&config, &Clock::system()).unwrap();
            let first = opened.gateways.iter().next().map(|gateway| gateway.name());
            assert_eq!((first_name(&config.gateways), first), (expected, expected), "{text}");
        }
    }
}
