//! Twilio, and carriers that speak its dialect (`gateways.twilio.api_base`).
//!
//! Webhooks: `signature` says whether to believe one, `form` and `webhook` read it. Requests: `rest` makes them, `refusal`
//! says what a failed one means, `wire` holds the JSON.
//!
//! # Source
//! Twilio, "Messages resource", "`TwiML` for Programmable Messaging", "Webhooks security".

mod form;
mod refusal;
mod rest;
mod signature;
#[cfg(test)]
mod tests;
mod webhook;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use self::form::Form;
use self::rest::Rest;
use self::signature::Mismatch;
use self::wire::{MessageResource, Numbers};
use super::{
    Acknowledgement, Gateway, Lookup, OpenError, ParseError, SendError, Sent, SignatureError, VerifyError, WebhookEvent, WebhookKind,
    WebhookRequest,
};
use crate::config::sections;
use crate::domain::delivery::{DeliveryStatus, OutboundMessage};
use crate::domain::message::InboundMessage;
use crate::domain::phone::PhoneRules;
use crate::domain::segment;
use crate::domain::text::beginning;
use crate::domain::time::Timestamp;

/// Its name in configuration, paths and stored rows.
pub(super) const NAME: &str = "twilio";

/// What Twilio puts in front of each text of an unpaid account.
const TRIAL_PREFIX: &str = "Sent from your Twilio trial account - ";
/// How far the carrier's clock may lag behind ours when a message is looked up.
const CLOCK_SLACK: Duration = Duration::from_mins(1);
/// Pages of a look-up: with a person's own number as filter, more than they get in a day.
const LOOKUP_PAGES: usize = 5;
/// Messages a page, and pages at most, when missed texts are listed.
const MISSED_PAGE: &str = "500";
const MISSED_PAGES: usize = 100;

/// Names of a tried URL's query that are told.
const QUERY_NAMES: usize = 8;

/// The gateway.
pub(super) struct Twilio {
    account: String,
    tokens: Vec<SecretString>,
    phone_number: String,
    lookup_waits: Vec<Duration>,
    service: String,
    status_url: Option<String>,
    webhook_url: Option<String>,
    confirms_consent: bool,
    rules: PhoneRules,
    rest: Rest,
}

impl Twilio {
    /// Opens it when an account and a token are set.
    pub(super) fn open(settings: &sections::Twilio, public_url: &str, rules: PhoneRules) -> Result<Option<Self>, OpenError> {
        if !settings.opens() {
            return Ok(None);
        }
        let by_key = !settings.api_key.is_empty() && !settings.api_secret.expose_secret().is_empty();
        let (user, secret) = if by_key { (&settings.api_key, &settings.api_secret) } else { (&settings.account_sid, &settings.auth_token) };
        let timeout = Duration::from_secs(settings.timeout_seconds.max(1));
        let rest = Rest::new(&settings.api_base, &settings.account_sid, user, secret.clone(), timeout)
            .map_err(|error| OpenError { gateway: NAME, reason: refusal::describe_cause(&error) })?;
        let public_url = public_url.trim_end_matches('/');
        let url = |path: &str| (!public_url.is_empty()).then(|| format!("{public_url}/webhooks/{NAME}{path}"));
        Ok(Some(Self {
            account: settings.account_sid.clone(),
            tokens: tokens(settings),
            phone_number: settings.phone_number.clone(),
            lookup_waits: settings.lookup_ms.iter().copied().map(Duration::from_millis).collect(),
            service: settings.messaging_service_sid.clone(),
            status_url: url("/status"),
            webhook_url: url(""),
            confirms_consent: settings.confirms_consent,
            rules,
            rest,
        }))
    }

    /// `From`, or the service that chooses: the number that was texted, else what is configured.
    fn sender<'a>(&'a self, message: &'a OutboundMessage) -> Option<(&'static str, &'a str)> {
        [("From", message.route.from.as_str()), ("MessagingServiceSid", &self.service), ("From", &self.phone_number)]
            .into_iter()
            .find(|(_, value)| !value.is_empty())
    }

    fn is_the_message(&self, found: &MessageResource, lookup: &Lookup<'_>, not_before: Timestamp) -> bool {
        let message = lookup.message;
        let by_us = match self.sender(message) {
            Some(("From", number)) => found.from.as_deref() == Some(number),
            // The service's choice shows once it is made.
            _ => {
                found.messaging_service_sid.as_deref() == Some(self.service.as_str())
                    || found.from.as_deref() == Some(self.phone_number.as_str())
            }
        };
        let body = found.body.as_deref().unwrap_or_default();
        let body = body.strip_prefix(TRIAL_PREFIX).unwrap_or(body);
        // A service may write typographic marks plainly ("smart encoding"), as we do.
        let same = segment::transliterate(body).trim() == segment::transliterate(&message.body).trim();
        by_us
            && same
            && !found.is_inbound()
            && found.to.as_deref() == Some(message.to.as_str())
            && found.created_at().is_some_and(|created| created >= not_before)
            && !lookup.known_ids.contains(&found.sid)
    }

    /// A text as the list shows it; `None` for what is not ours to answer.
    fn missed(&self, found: &MessageResource) -> Option<InboundMessage> {
        let ours = if self.phone_number.is_empty() {
            // Without a number the list holds the whole account; only the service's texts are ours.
            !self.service.is_empty() && found.messaging_service_sid.as_deref() == Some(self.service.as_str())
        } else {
            found.to.as_deref() == Some(self.phone_number.as_str())
        };
        if !ours || !found.is_inbound() || found.sid.is_empty() {
            return None;
        }
        Some(InboundMessage {
            gateway: NAME.to_owned(),
            gateway_message_id: found.sid.clone(),
            from: webhook::person_or_reason(found.from.as_deref()?, self.rules).ok()?,
            to: found.to.clone().unwrap_or_default(),
            text: found.body.clone().unwrap_or_default(),
            attachments: (1..=found.files()).map(|number| webhook::attachment(number, "", None)).collect(),
            opt_out: None,
            sent_at: found.moment(),
        })
    }

    /// Compares the number's webhook with the one that it should have; `None` when that cannot be told.
    async fn webhook_advice(&self) -> Option<String> {
        let expected = format!("{}#rc=5&rp=all", self.webhook_url.as_deref()?);
        if self.phone_number.is_empty() {
            return None;
        }
        let numbers: Numbers = self.rest.get_resource("IncomingPhoneNumbers", &[("PhoneNumber", &self.phone_number)]).await.ok()?;
        let url = numbers.incoming_phone_numbers.first()?.sms_url.clone().unwrap_or_default();
        Some(if url == expected {
            "its webhook is set".to_owned()
        } else {
            format!("its webhook is {url:?}; unless a messaging service overrides it, set it to {expected:?}")
        })
    }
}

/// The tokens that sign webhooks, the primary one first.
fn tokens(settings: &sections::Twilio) -> Vec<SecretString> {
    vec![settings.auth_token.clone(), settings.auth_token_secondary.clone()]
}

/// Says how a webhook's signature was made, for `doctor signature`; needs the auth token alone.
///
/// # Errors
/// Why it is not believed, without an expected value.
pub(super) fn explain_signature(settings: &sections::Twilio, url: &str, signature: &str, body: &[u8]) -> Result<String, SignatureError> {
    match signature::verify(&tokens(settings), &[url], signature, body) {
        Ok(form) => Ok(form.to_string()),
        Err(Mismatch::NoToken) => Err(SignatureError::NoSecret { key: "gateways.twilio.auth_token" }),
        Err(mismatch) => Err(SignatureError::Wrong { reason: mismatch.to_string() }),
    }
}

/// Candidates for the log: without user and password, bounded, control characters escaped. Of a query only the names are told:
/// whoever forges a webhook may put anything there, a person's number or text too.
fn tried(urls: &[String]) -> String {
    urls.iter().take(4).map(|url| described(url)).collect::<Vec<_>>().join(", ")
}

fn described(url: &str) -> String {
    let url = url.split_once('#').map_or(url, |(before, _)| before);
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let public = match address.split_once("://") {
        Some((scheme, rest)) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
        }
        None => address.to_owned(),
    };
    let public = format!("{:?}", beginning(&public, 200));
    match query {
        None => public,
        Some(query) => {
            let names: Vec<&str> = query.split('&').take(QUERY_NAMES).map(|pair| shown_name(pair).unwrap_or("…")).collect();
            format!("{public} with the query parameters {}", names.join(", "))
        }
    }
}

/// A parameter's name when it looks like one: a name is the sender's choice as well.
fn shown_name(pair: &str) -> Option<&str> {
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    let plain = (1..=32).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'-'));
    (plain || name == "bodySHA256").then_some(name)
}

#[async_trait]
impl Gateway for Twilio {
    fn name(&self) -> &'static str {
        NAME
    }

    fn verify(&self, request: &WebhookRequest) -> Result<(), VerifyError> {
        let signature = request.header("x-twilio-signature").unwrap_or_default();
        let tried = || tried(&request.urls);
        signature::verify(&self.tokens, &request.urls, signature, &request.body).map_err(|mismatch| VerifyError {
            reason: format!(
                "{mismatch}; tried {} with and without the port; check server.public_url and gateways.twilio.auth_token",
                tried()
            ),
        })?;
        // Sub-accounts and former accounts sign with tokens of their own, but a token may be shared.
        let form = Form::decode(&request.body).ok_or_else(|| VerifyError { reason: "the body has too many parameters".to_owned() })?;
        let account = form.only_value("AccountSid").ok().flatten().unwrap_or_default();
        if bool::from(account.as_bytes().ct_eq(self.account.as_bytes())) {
            Ok(())
        } else {
            Err(VerifyError { reason: "the signature is right, but AccountSid is not gateways.twilio.account_sid".to_owned() })
        }
    }

    fn parse(&self, request: &WebhookRequest, kind: WebhookKind) -> Result<WebhookEvent, ParseError> {
        let form = Form::decode(&request.body).ok_or_else(|| ParseError { reason: "the body has too many parameters".to_owned() })?;
        match kind {
            WebhookKind::Message => webhook::inbound(&form, self.rules),
            WebhookKind::Status => webhook::status(&form),
        }
    }

    fn acknowledgement(&self) -> Acknowledgement {
        Acknowledgement { content_type: "text/xml", body: "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response></Response>" }
    }

    fn confirms_consent(&self) -> bool {
        self.confirms_consent
    }

    fn lookup_waits(&self) -> &[Duration] {
        &self.lookup_waits
    }

    async fn send(&self, message: &OutboundMessage) -> Result<Sent, SendError> {
        let (key, sender) = self.sender(message).ok_or_else(|| SendError::Stopped {
            reason: "there is no number to send from; set gateways.twilio.phone_number or messaging_service_sid".to_owned(),
        })?;
        let mut parameters = vec![("To", message.to.as_str()), (key, sender), ("Body", message.body.as_str())];
        parameters.extend(self.status_url.as_deref().map(|url| ("StatusCallback", url)));
        self.rest.create(&parameters).await.map(sent)
    }

    async fn find_sent(&self, lookup: Lookup<'_>) -> Result<Option<Sent>, SendError> {
        let not_before = lookup.message.attempted_at.unwrap_or(lookup.message.created_at).before(CLOCK_SLACK);
        // Not filtered by date: a queued message has no sent date yet.
        let mut page = self.rest.list(&[("To", lookup.message.to.as_str()), ("PageSize", "100")]).await?;
        let mut found = None;
        for _ in 0..LOOKUP_PAGES {
            // The newest come first; of several the oldest is the first attempt.
            let matching = page.messages.iter().rfind(|message| self.is_the_message(message, &lookup, not_before));
            found = matching.cloned().or(found);
            let older = page.messages.last().and_then(MessageResource::created_at).is_some_and(|created| created < not_before);
            match if older { None } else { self.rest.next(&page).await? } {
                Some(next) => page = next,
                None => break,
            }
        }
        Ok(found.map(sent))
    }

    async fn list_missed(&self, since: Timestamp) -> Result<Vec<InboundMessage>, SendError> {
        // The filter knows whole days only; the rest is left out here.
        let day = since.utc_day();
        let mut filters = vec![("DateSent>", day.as_str()), ("PageSize", MISSED_PAGE)];
        if !self.phone_number.is_empty() {
            filters.push(("To", &self.phone_number));
        }
        let since = since.before(Duration::from_secs(1));
        let mut page = self.rest.list(&filters).await?;
        let mut missed = Vec::new();
        for _ in 0..MISSED_PAGES {
            let recent = page.messages.iter().filter(|message| message.moment().is_some_and(|moment| moment >= since));
            missed.extend(recent.filter_map(|message| self.missed(message)));
            let older = page.messages.last().and_then(MessageResource::moment).is_some_and(|moment| moment < since);
            let Some(next) = (if older { None } else { self.rest.next(&page).await? }) else {
                // The newest came first.
                missed.reverse();
                missed.sort_by_key(|message| message.sent_at);
                return Ok(missed);
            };
            page = next;
        }
        Err(SendError::Retry { reason: format!("the list of texts since {day} is longer than {MISSED_PAGES} pages"), after: None })
    }

    async fn check(&self) -> Result<String, SendError> {
        // The list is what API keys may read as well.
        self.rest.list(&[("PageSize", "1")]).await?;
        let account: String = beginning(&self.account, 6).to_owned();
        let advice = self.webhook_advice().await.map(|advice| format!("; {advice}")).unwrap_or_default();
        Ok(format!("Twilio answers to account {account}…{advice}"))
    }
}

fn sent(message: MessageResource) -> Sent {
    let status = message.status.as_deref().and_then(DeliveryStatus::parse).unwrap_or(DeliveryStatus::Queued);
    Sent { gateway_message_id: message.sid, status }
}
