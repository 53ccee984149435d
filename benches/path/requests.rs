//! Prepared requests: signed webhooks and messages through the external API, whole, as bytes.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use crate::load::Requests;

pub(crate) const ACCOUNT_SID: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const AUTH_TOKEN: &str = "8f14e45fceea167a5a36dedd4bea2543";
pub(crate) const OUR_NUMBER: &str = "+15550009999";
pub(crate) const PUBLIC_URL: &str = "https://sms.example.org";
pub(crate) const API_KEY: &str = "bench-external-key-5f1d8a2b9c3e4f60718293a4b5c6d7e8";

/// The number of a made-up person.
pub(crate) fn number(person: usize) -> String {
    format!("+1555{person:07}")
}

/// A signed text, as Twilio posts it.
fn text(run: usize, index: usize, person: usize) -> Vec<u8> {
    let (sid, from, body) = (format!("SM{run:08x}{index:024x}"), number(person), format!("bench text {index} of run {run}"));
    // In the order of their names, in which they are signed.
    let form = [
        ("AccountSid", ACCOUNT_SID),
        ("ApiVersion", "2010-04-01"),
        ("Body", &body),
        ("From", &from),
        ("FromCountry", "US"),
        ("MessageSid", &sid),
        ("NumMedia", "0"),
        ("NumSegments", "1"),
        ("SmsMessageSid", &sid),
        ("SmsSid", &sid),
        ("SmsStatus", "received"),
        ("To", OUR_NUMBER),
        ("ToCountry", "US"),
    ];
    let mut mac = Hmac::<Sha1>::new_from_slice(AUTH_TOKEN.as_bytes()).expect("any length is a key");
    mac.update(PUBLIC_URL.as_bytes());
    mac.update(b"/webhooks/twilio");
    for (key, value) in form {
        mac.update(key.as_bytes());
        mac.update(value.as_bytes());
    }
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    format!(
        "POST /webhooks/twilio HTTP/1.1\r\nHost: sms.example.org\r\nX-Twilio-Signature: {signature}\r\n\
         Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// `count` signed texts from `people` numbers in turn, the first of which is `first`. `run` keeps their ids apart from others.
pub(crate) fn texts(run: usize, count: usize, first: usize, people: usize) -> Requests {
    Arc::new((0..count).map(|index| text(run, index, first + index % people)).collect())
}

/// One message through the external API.
fn message(person: usize, content: &str, accept: &str) -> Vec<u8> {
    let body =
        format!("{{\"role\":\"external\",\"content\":\"{content}\",\"from\":\"{}\",\"metadata\":{{\"source\":\"sms\"}}}}", number(person));
    format!(
        "POST /api/messages/sms-conversation HTTP/1.1\r\nHost: sms.example.org\r\nx-api-key: {API_KEY}\r\nAccept: {accept}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// `count` messages that wait for their replies, from `people` numbers in turn, the first of which is `first`.
pub(crate) fn messages(count: usize, first: usize, people: usize) -> Requests {
    Arc::new((0..count).map(|index| message(first + index % people, &format!("bench message {index}"), "application/json")).collect())
}

/// One message whose reply is streamed.
pub(crate) fn streamed_message(person: usize, index: usize) -> Vec<u8> {
    message(person, &format!("bench message {index}"), "text/event-stream")
}

/// The same question asked of the model itself.
pub(crate) fn prompt() -> Vec<u8> {
    let body = "{\"model\":\"bench-model\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"bench message\"}]}";
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: model\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
