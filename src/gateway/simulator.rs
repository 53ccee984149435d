//! A carrier played by this program, so that the whole path runs with no account: for `demo`, `chat` and tests.
//!
//! A phone posts [`PhoneText`] as JSON to `/webhooks/simulator`, signed with this run's [`SimulatorSecret`], and reads what
//! was sent to it from the carrier's [`SimulatorCarrier::messages_since`]. Nothing leaves the machine; the mailbox lives in
//! memory, is bounded, and ends with the process. It must never answer beyond loopback: the HTTP server sees to that.
//!
//! # The signature
//! `X-Scrubjay-Timestamp`: milliseconds since 1970. `X-Scrubjay-Signature`: hexadecimal HMAC-SHA256, under the secret, of the
//! timestamp, a dot, and the body (of a request without a body: its path and query). Valid for five minutes around the
//! server's clock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use super::{
    Acknowledgement, Gateway, Lookup, OpenError, ParseError, SendError, Sent, VerifyError, WebhookEvent, WebhookKind, WebhookRequest,
};
use crate::clock::Clock;
use crate::domain::delivery::{DeliveryStatus, OutboundMessage};
use crate::domain::message::InboundMessage;
use crate::domain::phone::{PhoneNumber, PhoneRules};
use crate::domain::time::Timestamp;

/// Its name in configuration, paths and stored rows.
pub const NAME: &str = "simulator";
/// Header of the moment of signing, lower case.
pub const TIMESTAMP_HEADER: &str = "x-scrubjay-timestamp";
/// Header of the signature, lower case.
pub const SIGNATURE_HEADER: &str = "x-scrubjay-signature";
/// The number that simulated phones text.
pub const OUR_NUMBER: &str = "+15550100000";

/// How far a signature's moment may lie from ours.
const TOLERANCE: Duration = Duration::from_mins(5);
/// Messages that are kept for one phone, and in all; the oldest go first.
const KEPT_FOR_ONE: usize = 200;
const KEPT_IN_ALL: usize = 10_000;
/// Phones that have a mailbox; the longest silent loses its own.
const PHONES: usize = 2_000;

/// What signs this run's webhooks. `serve` and `demo` leave it in `server.json` for `chat`.
#[derive(Debug, Clone)]
pub struct SimulatorSecret(SecretString);

/// What is signed: the headers to send along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// For [`TIMESTAMP_HEADER`].
    pub timestamp: String,
    /// For [`SIGNATURE_HEADER`].
    pub signature: String,
}

impl SimulatorSecret {
    /// A new one, that nobody can guess.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn generate(clock: &Clock) -> std::io::Result<Self> {
        Ok(Self(hex::encode(clock.secret_bytes::<32>()?).into()))
    }

    /// The one that another process left in `server.json`.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// For `server.json` alone.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Signs a body, or the path and query of a request that has none.
    #[must_use]
    pub fn sign(&self, now: Timestamp, content: &[u8]) -> Signed {
        let timestamp = now.as_millis().to_string();
        Signed { signature: hex::encode(self.code(&timestamp, content)), timestamp }
    }

    /// Whether this was signed with the secret, not long ago.
    ///
    /// # Errors
    /// Why not.
    pub fn verify(&self, now: Timestamp, signed: &Signed, content: &[u8]) -> Result<(), VerifyError> {
        let refuse = |reason: &str| Err(VerifyError { reason: format!("{reason}; the secret of this run is in server.json") });
        let Ok(moment) = signed.timestamp.parse().map(Timestamp::from_millis) else {
            return refuse("the timestamp is missing or not a number of milliseconds");
        };
        if now.since(moment) > TOLERANCE || moment.since(now) > TOLERANCE {
            return refuse("the timestamp is more than five minutes off");
        }
        let expected = hex::encode(self.code(&signed.timestamp, content));
        if bool::from(expected.as_bytes().ct_eq(signed.signature.as_bytes())) { Ok(()) } else { refuse("the signature does not fit") }
    }

    fn code(&self, timestamp: &str, content: &[u8]) -> Vec<u8> {
        // HMAC takes keys of any length, so this never fails; an empty code would match nothing.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.expose().as_bytes()) else { return Vec::new() };
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(content);
        mac.finalize().into_bytes().to_vec()
    }
}

/// A text as a simulated phone posts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhoneText {
    /// The phone's own id of it, 1 to 64 letters, digits, `_` or `-`; a repeat is the same text.
    pub id: String,
    /// The phone's number.
    pub from: String,
    /// The number that it texted; [`OUR_NUMBER`] when left out.
    #[serde(default = "our_number")]
    pub to: String,
    /// What it says.
    pub text: String,
}

fn our_number() -> String {
    OUR_NUMBER.to_owned()
}

/// A message in a phone's mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxMessage {
    /// Its place among all that this carrier delivered, from 1; ask for what came after it.
    pub cursor: u64,
    /// The carrier's id of it.
    pub id: String,
    /// The number it came from.
    pub from: String,
    /// What it says.
    pub body: String,
    /// Segments that a real carrier would have billed.
    pub segments: u32,
    /// When it was delivered.
    pub at: Timestamp,
}

/// The carrier.
pub struct SimulatorCarrier {
    secret: SimulatorSecret,
    clock: Clock,
    rules: PhoneRules,
    mailboxes: Mutex<Mailboxes>,
    /// The cursor of the newest message; waiting phones look again when it grows.
    newest: watch::Sender<u64>,
}

#[derive(Default)]
struct Mailboxes {
    newest: u64,
    kept: usize,
    phones: HashMap<PhoneNumber, VecDeque<MailboxMessage>>,
    /// What phones texted, oldest first: what a real carrier could list.
    received: VecDeque<InboundMessage>,
}

impl SimulatorCarrier {
    /// A carrier with a secret of its own and no messages.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn open(clock: Clock, rules: PhoneRules) -> Result<Self, OpenError> {
        let secret = SimulatorSecret::generate(&clock).map_err(|error| OpenError { gateway: NAME, reason: error.to_string() })?;
        Ok(Self { secret, clock, rules, mailboxes: Mutex::default(), newest: watch::Sender::new(0) })
    }

    /// This run's secret.
    #[must_use]
    pub fn secret(&self) -> &SimulatorSecret {
        &self.secret
    }

    /// Takes a text from a phone, as a real carrier does before it calls the webhook: the request to hand on. Should it get
    /// lost, [`Gateway::list_missed`] still finds the text.
    ///
    /// # Errors
    /// When the text cannot be read.
    pub fn take(&self, text: &PhoneText) -> Result<WebhookRequest, ParseError> {
        let unreadable = |error: serde_json::Error| ParseError { reason: error.to_string() };
        let body = Bytes::from(serde_json::to_vec(text).map_err(unreadable)?);
        let mut message = self.read(&body)?;
        let now = self.clock.now();
        message.sent_at = Some(now);
        self.lock().note_received(message);
        let signed = self.secret.sign(now, &body);
        let headers = vec![(TIMESTAMP_HEADER.to_owned(), signed.timestamp), (SIGNATURE_HEADER.to_owned(), signed.signature)];
        Ok(WebhookRequest { urls: Vec::new(), content_type: "application/json".to_owned(), headers, body })
    }

    /// What was delivered to that phone after `cursor`, oldest first; 0 asks for all that is kept.
    #[must_use]
    pub fn messages_since(&self, phone: &PhoneNumber, cursor: u64) -> Vec<MailboxMessage> {
        let mailboxes = self.lock();
        let messages = mailboxes.phones.get(phone).into_iter().flatten();
        messages.filter(|message| message.cursor > cursor).cloned().collect()
    }

    /// Waits until something was delivered to that phone after `cursor`, at most `limit`; then as [`Self::messages_since`].
    pub async fn wait_since(&self, phone: &PhoneNumber, cursor: u64, limit: Duration) -> Vec<MailboxMessage> {
        let mut newest = self.newest.subscribe();
        let arrived = async {
            loop {
                newest.mark_unchanged();
                let messages = self.messages_since(phone, cursor);
                // The sender lives as long as `self`; if it ever closed, nothing more would come.
                if !messages.is_empty() || newest.changed().await.is_err() {
                    return messages;
                }
            }
        };
        tokio::time::timeout(limit, arrived).await.unwrap_or_default()
    }

    /// The cursor of the newest message delivered to anybody: where a phone begins that wants only what is still to come.
    #[must_use]
    pub fn newest_cursor(&self) -> u64 {
        self.lock().newest
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Mailboxes> {
        // No code that holds it can leave it half changed.
        self.mailboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, body: &[u8]) -> Result<InboundMessage, ParseError> {
        let refuse = |reason: String| ParseError { reason };
        // The error's own text may quote what a person wrote.
        let text: PhoneText = serde_json::from_slice(body).map_err(|error| {
            refuse(format!(
                "line {}, column {}: the body is not {{\"id\", \"from\", \"to\", \"text\"}} in JSON",
                error.line(),
                error.column()
            ))
        })?;
        let valid =
            (1..=64).contains(&text.id.len()) && text.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if !valid {
            return Err(refuse("the id is not 1 to 64 letters, digits, _ or -".to_owned()));
        }
        let from = PhoneNumber::parse(&text.from, &self.rules).map_err(|error| refuse(error.to_string()))?;
        Ok(InboundMessage {
            gateway: NAME.to_owned(),
            gateway_message_id: text.id,
            from,
            to: text.to,
            text: text.text,
            attachments: Vec::new(),
            opt_out: None,
            sent_at: None,
        })
    }
}

impl Mailboxes {
    fn deliver(&mut self, to: &PhoneNumber, mut message: MailboxMessage) -> u64 {
        self.newest += 1;
        message.cursor = self.newest;
        if !self.phones.contains_key(to) && self.phones.len() >= PHONES {
            self.drop_mailbox_by(|messages| messages.back().map_or(0, |last| last.cursor));
        }
        let mailbox = self.phones.entry(to.clone()).or_default();
        mailbox.push_back(message);
        self.kept += 1;
        if mailbox.len() > KEPT_FOR_ONE {
            mailbox.pop_front();
            self.kept -= 1;
        }
        if self.kept > KEPT_IN_ALL {
            self.drop_mailbox_by(|messages| messages.back().map_or(0, |last| last.cursor));
        }
        self.newest
    }

    fn drop_mailbox_by(&mut self, key: impl Fn(&VecDeque<MailboxMessage>) -> u64) {
        let Some(phone) = self.phones.iter().min_by_key(|(_, messages)| key(messages)).map(|(phone, _)| phone.clone()) else { return };
        self.kept -= self.phones.remove(&phone).map_or(0, |messages| messages.len());
    }

    fn note_received(&mut self, message: InboundMessage) {
        if self.received.len() >= KEPT_IN_ALL {
            self.received.pop_front();
        }
        self.received.push_back(message);
    }
}

#[async_trait]
impl Gateway for SimulatorCarrier {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify(&self, request: &WebhookRequest) -> Result<(), VerifyError> {
        let header = |name| request.header(name).unwrap_or_default().to_owned();
        let signed = Signed { timestamp: header(TIMESTAMP_HEADER), signature: header(SIGNATURE_HEADER) };
        self.secret.verify(self.clock.now(), &signed, &request.body)
    }

    fn parse(&self, request: &WebhookRequest, kind: WebhookKind) -> Result<WebhookEvent, ParseError> {
        match kind {
            WebhookKind::Message => self.read(&request.body).map(|message| WebhookEvent::Inbound(Box::new(message))),
            WebhookKind::Status => Err(ParseError { reason: "the simulator delivers at once and reports no status".to_owned() }),
        }
    }

    fn acknowledgement(&self) -> Acknowledgement {
        Acknowledgement { content_type: "application/json", body: "{}" }
    }

    fn confirms_consent(&self) -> bool {
        false
    }

    fn lookup_waits(&self) -> &[Duration] {
        // Its mailbox lies in this process: one look tells for certain.
        &[Duration::ZERO]
    }

    async fn send(&self, message: &OutboundMessage) -> Result<Sent, SendError> {
        let id = format!("sim-{}", self.clock.uuid());
        let from = if message.route.from.is_empty() { OUR_NUMBER } else { &message.route.from };
        let delivered = MailboxMessage {
            cursor: 0,
            id: id.clone(),
            from: from.to_owned(),
            body: message.body.clone(),
            segments: message.segments,
            at: self.clock.now(),
        };
        let newest = self.lock().deliver(&message.to, delivered);
        self.newest.send_if_modified(|cursor| {
            let grown = newest > *cursor;
            *cursor = newest.max(*cursor);
            grown
        });
        Ok(Sent { gateway_message_id: id, status: DeliveryStatus::Delivered })
    }

    async fn find_sent(&self, lookup: Lookup<'_>) -> Result<Option<Sent>, SendError> {
        let message = lookup.message;
        let not_before = message.attempted_at.unwrap_or(message.created_at);
        let from = if message.route.from.is_empty() { OUR_NUMBER } else { &message.route.from };
        let found = self
            .messages_since(&message.to, 0)
            .into_iter()
            .find(|sent| sent.body == message.body && sent.from == from && sent.at >= not_before && !lookup.known_ids.contains(&sent.id));
        Ok(found.map(|sent| Sent { gateway_message_id: sent.id, status: DeliveryStatus::Delivered }))
    }

    async fn list_missed(&self, since: Timestamp) -> Result<Vec<InboundMessage>, SendError> {
        let mailboxes = self.lock();
        Ok(mailboxes.received.iter().filter(|message| message.sent_at.is_some_and(|moment| moment >= since)).cloned().collect())
    }

    async fn check(&self) -> Result<String, SendError> {
        Ok("the simulator runs in this process".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::domain::delivery::{OutboundState, ReplyRoute};
    use crate::domain::ids::{OutboundId, TurnId, UserId};
    use crate::domain::phone::NumberCheck;

    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    fn carrier() -> (SimulatorCarrier, Clock) {
        let clock = Clock::set_to(START);
        let rules = PhoneRules::new("US", NumberCheck::E164).unwrap();
        (SimulatorCarrier::open(clock.clone(), rules).unwrap(), clock)
    }

    fn phone(last: usize) -> PhoneNumber {
        PhoneNumber::from_stored(&format!("+1555{last:07}")).unwrap()
    }

    fn outbound(to: &PhoneNumber, body: &str) -> OutboundMessage {
        OutboundMessage {
            id: OutboundId::from_uuid(Uuid::nil()),
            user_id: UserId::from_bytes([1; 12]),
            turn_id: TurnId::from_uuid(Uuid::nil()),
            part: 0,
            to: to.clone(),
            route: ReplyRoute { gateway: NAME.into(), from: String::new() },
            body: body.into(),
            segments: 1,
            state: OutboundState::Sending,
            status: None,
            gateway_message_id: None,
            attempts: 1,
            checks: 0,
            attempted_at: Some(START),
            expires_at: START,
            error: None,
            created_at: START,
        }
    }

    fn text(id: &str) -> PhoneText {
        PhoneText { id: id.into(), from: "555-123-4567".into(), to: our_number(), text: "hello".into() }
    }

    #[tokio::test]
    async fn a_phones_text_is_signed_believed_read_and_listed() {
        let (carrier, clock) = carrier();
        let request = carrier.take(&text("t1")).unwrap();
        assert_eq!(carrier.verify(&request), Ok(()));
        let WebhookEvent::Inbound(message) = carrier.parse(&request, WebhookKind::Message).unwrap() else { panic!() };
        assert_eq!((message.from.as_str(), message.text.as_str(), message.to.as_str()), ("+15551234567", "hello", OUR_NUMBER));
        clock.advance(Duration::from_secs(1));
        carrier.take(&text("t2")).unwrap();
        let listed = async |since| {
            let texts = carrier.list_missed(since).await.unwrap();
            texts.into_iter().map(|text| text.gateway_message_id).collect::<Vec<_>>()
        };
        assert_eq!(listed(START).await, ["t1", "t2"]);
        assert_eq!(listed(clock.now()).await, ["t2"]);
    }

    #[test]
    fn what_was_changed_is_old_or_of_another_run_is_not_believed() {
        let (carrier, clock) = carrier();
        let request = carrier.take(&text("t1")).unwrap();
        for index in 0..request.body.len() {
            let mut body = request.body.to_vec();
            body[index] ^= 1;
            assert!(carrier.verify(&WebhookRequest { body: body.into(), ..request.clone() }).is_err(), "{index}");
        }
        assert!(carrier.verify(&WebhookRequest { headers: Vec::new(), ..request.clone() }).is_err());
        let mut moved = request.clone();
        moved.headers[0].1 = (START.as_millis() + 1).to_string();
        assert!(carrier.verify(&moved).is_err());
        assert!(self::carrier().0.verify(&request).is_err());
        clock.advance(TOLERANCE);
        assert!(carrier.verify(&request).is_ok());
        clock.advance(Duration::from_millis(1));
        assert!(carrier.verify(&request).is_err());
        let known = SimulatorSecret::from_text(carrier.secret().expose());
        assert_eq!(known.verify(START, &known.sign(START, b"/x?y=1"), b"/x?y=1"), Ok(()));
        assert!(!format!("{known:?}").contains(known.expose()));
    }

    #[test]
    fn a_text_that_cannot_be_read_is_refused_without_being_quoted() {
        let (carrier, _clock) = carrier();
        for body in [
            "",
            "[]",
            "{}",
            r#"{"id":"a","from":15551234567,"text":"hi"}"#,
            r#"{"id":"","from":"+15551234567","text":"hi"}"#,
            r#"{"id":"a b","from":"+15551234567","text":"hi"}"#,
            r#"{"id":"a","from":"hi","text":"hi"}"#,
            r#"{"id":"a","from":"+15551234567","text":"hi","x":1}"#,
        ] {
            let error = carrier.read(body.as_bytes()).expect_err(body);
            assert!(!error.reason.contains("5551234"), "{error}");
        }
        assert!(carrier.read(br#"{"id":"a","from":"+15551234567","text":""}"#).is_ok());
    }

    #[tokio::test]
    async fn a_phone_gets_what_was_sent_to_it_and_nothing_else() {
        let (carrier, _clock) = carrier();
        let (one, other) = (phone(1), phone(2));
        carrier.send(&outbound(&one, "first")).await.unwrap();
        carrier.send(&outbound(&other, "not yours")).await.unwrap();
        carrier.send(&outbound(&one, "second")).await.unwrap();
        let bodies = |messages: Vec<MailboxMessage>| messages.into_iter().map(|message| message.body).collect::<Vec<_>>();
        assert_eq!(bodies(carrier.messages_since(&one, 0)), ["first", "second"]);
        assert_eq!(bodies(carrier.messages_since(&one, 1)), ["second"]);
        assert_eq!(carrier.newest_cursor(), 3);
        assert_eq!(bodies(carrier.wait_since(&one, 3, Duration::from_millis(1)).await), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_waiting_phone_is_told_when_its_message_arrives() {
        let carrier = Arc::new(carrier().0);
        let waiting = tokio::spawn({
            let carrier = Arc::clone(&carrier);
            async move { carrier.wait_since(&phone(1), 0, Duration::from_secs(10)).await }
        });
        carrier.send(&outbound(&phone(2), "other")).await.unwrap();
        carrier.send(&outbound(&phone(1), "mine")).await.unwrap();
        assert_eq!(waiting.await.unwrap()[0].body, "mine");
    }

    #[tokio::test]
    async fn a_look_up_finds_the_message_that_was_sent() {
        let (carrier, _clock) = carrier();
        let message = outbound(&phone(1), "hello");
        assert_eq!(carrier.find_sent(Lookup { message: &message, known_ids: &[] }).await, Ok(None));
        let sent = carrier.send(&message).await.unwrap();
        assert_eq!(carrier.find_sent(Lookup { message: &message, known_ids: &[] }).await, Ok(Some(sent.clone())));
        assert_eq!(carrier.find_sent(Lookup { message: &message, known_ids: &[sent.gateway_message_id] }).await, Ok(None));
        let later = OutboundMessage { attempted_at: Some(START.after(Duration::from_secs(1))), ..message.clone() };
        assert_eq!(carrier.find_sent(Lookup { message: &later, known_ids: &[] }).await, Ok(None));
    }

    #[tokio::test]
    async fn the_mailboxes_are_bounded() {
        let (carrier, _clock) = carrier();
        for _ in 0..KEPT_FOR_ONE + 5 {
            carrier.send(&outbound(&phone(0), "x")).await.unwrap();
        }
        assert_eq!(carrier.messages_since(&phone(0), 0).len(), KEPT_FOR_ONE);
        for number in 1..=PHONES {
            carrier.send(&outbound(&phone(number), "x")).await.unwrap();
        }
        assert!(carrier.messages_since(&phone(0), 0).is_empty());
        assert_eq!(carrier.lock().phones.len(), PHONES);
        for round in 0..8 {
            for number in 1..=PHONES {
                carrier.send(&outbound(&phone(number), "x")).await.unwrap();
            }
            assert!(carrier.lock().kept <= KEPT_IN_ALL, "{round}");
        }
        assert!(!carrier.messages_since(&phone(PHONES), 0).is_empty());
    }
}
