//! Twilio's side of the webhook: forms, signatures, and senders that try again until they are acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use sha1::Sha1;

/// The account that tests configure.
pub(crate) const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";
/// Its token.
pub(crate) const AUTH_TOKEN: &str = "8f14e45fceea167a5a36dedd4bea2543";
/// The number of ours that people text.
pub(crate) const OUR_NUMBER: &str = "+15550009999";
/// What `server.public_url` says.
pub(crate) const PUBLIC_URL: &str = "https://sms.example.org";

/// A signature as Twilio makes it: the URL, then of each distinct key in byte order each distinct value in order.
///
/// # Source
/// Twilio, "Webhooks security"; the repeated-key rule is that of twilio-python's `RequestValidator`.
pub(crate) fn sign(token: &str, url: &str, form: &[(String, String)]) -> String {
    let mut values: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (key, value) in form {
        values.entry(key).or_default().insert(value);
    }
    let mut mac = Hmac::<Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(url.as_bytes());
    for (key, values) in values {
        for value in values {
            mac.update(key.as_bytes());
            mac.update(value.as_bytes());
        }
    }
    STANDARD.encode(mac.finalize().into_bytes())
}

/// A form as it travels.
pub(crate) fn encode(form: &[(String, String)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

/// A text from a phone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text {
    /// Its id at the carrier.
    pub(crate) sid: String,
    /// Who wrote it.
    pub(crate) from: String,
    /// What it says.
    pub(crate) body: String,
}

impl Text {
    /// A text with an id of its own.
    pub(crate) fn new(from: &str, body: &str) -> Self {
        Self { sid: format!("SM{}", uuid::Uuid::now_v7().simple()), from: from.to_owned(), body: body.to_owned() }
    }

    /// The form that Twilio posts for it.
    pub(crate) fn form(&self) -> Vec<(String, String)> {
        [
            ("ToCountry", "US"),
            ("SmsMessageSid", &self.sid),
            ("NumMedia", "0"),
            ("SmsSid", &self.sid),
            ("SmsStatus", "received"),
            ("Body", &self.body),
            ("To", OUR_NUMBER),
            ("NumSegments", "1"),
            ("MessageSid", &self.sid),
            ("AccountSid", ACCOUNT_SID),
            ("From", &self.from),
            ("ApiVersion", "2010-04-01"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    }
}

/// Posts signed webhooks.
#[derive(Clone)]
pub(crate) struct Twilio {
    client: reqwest::Client,
}

impl Twilio {
    /// A sender with connections of its own.
    pub(crate) fn new() -> Self {
        Self { client: super::http_client() }
    }

    /// A sender that waits that long for an answer.
    pub(crate) fn with_patience(patience: Duration) -> Self {
        Self { client: super::http_client_with(patience) }
    }

    /// One attempt at a text.
    ///
    /// # Errors
    /// When no answer came: whether the text was taken is unknown.
    pub(crate) async fn post(&self, address: SocketAddr, text: &Text) -> Result<StatusCode, reqwest::Error> {
        self.post_form(address, "/webhooks/twilio", &text.form()).await
    }

    /// One attempt at any signed form.
    ///
    /// # Errors
    /// When no answer came.
    pub(crate) async fn post_form(&self, address: SocketAddr, path: &str, form: &[(String, String)]) -> Result<StatusCode, reqwest::Error> {
        let answer = self.answer_to(address, path, form).await?;
        let status = answer.status();
        answer.bytes().await?;
        Ok(status)
    }

    /// The same, with all that the answer says.
    ///
    /// # Errors
    /// When no answer came.
    pub(crate) async fn answer_to(
        &self,
        address: SocketAddr,
        path: &str,
        form: &[(String, String)],
    ) -> Result<reqwest::Response, reqwest::Error> {
        let signature = sign(AUTH_TOKEN, &format!("{PUBLIC_URL}{path}"), form);
        self.client
            .post(format!("http://{address}{path}"))
            .header("X-Twilio-Signature", signature)
            .header("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
            .body(encode(form))
            .send()
            .await
    }

    /// A text that must be acknowledged at the first attempt.
    pub(crate) async fn text(&self, address: SocketAddr, from: &str, body: &str) -> Text {
        let text = Text::new(from, body);
        assert_eq!(self.post(address, &text).await.unwrap(), StatusCode::OK, "the webhook did not take {body:?}");
        text
    }

    /// Tries until the text is acknowledged, asking for the address anew each time; says how many attempts it took.
    /// Anything but 200, 503 or a broken connection is a failure of the program.
    pub(crate) async fn text_until_acknowledged(&self, address: impl Fn() -> SocketAddr, text: &Text, limit: Duration) -> u32 {
        let begun = Instant::now();
        let mut attempts = 0;
        loop {
            attempts += 1;
            match self.post(address(), text).await {
                Ok(StatusCode::OK) => return attempts,
                Ok(StatusCode::SERVICE_UNAVAILABLE) | Err(_) => {}
                Ok(other) => panic!("the webhook answered {other} to a well-signed text"),
            }
            assert!(begun.elapsed() < limit, "not acknowledged within {limit:?}: {}", text.body);
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}
