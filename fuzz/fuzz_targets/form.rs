//! Webhook bodies, from the door to the event: whatever arrives is refused in words that quote nothing, or read into valid values.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use scrubjay::clock::Clock;
use scrubjay::config::Config;
use scrubjay::domain::phone::PhoneNumber;
use scrubjay::gateway::{Gateways, WebhookEvent, WebhookKind, WebhookRequest, explain_signature, open};

static CONFIG: LazyLock<Config> = LazyLock::new(|| {
    Config::from_toml(
        "[gateways.twilio]\naccount_sid = \"AC0123456789abcdef0123456789abcdef\"\nauth_token = \"8f14e45fceea167a5a36dedd4bea2543\"\n\
         phone_number = \"+15550009999\"\n[gateways.simulator]\nenabled = true\n",
    )
    .expect("settings")
});
static GATEWAYS: LazyLock<Gateways> = LazyLock::new(|| open(&CONFIG, &Clock::system()).expect("gateways").gateways);

fuzz_target!(|input: (&str, &str, &[u8])| {
    let (url, signature, body) = input;
    let request = WebhookRequest {
        urls: vec![url.to_owned()],
        content_type: "application/x-www-form-urlencoded".to_owned(),
        headers: vec![("x-twilio-signature".to_owned(), signature.to_owned())],
        body: body.to_vec().into(),
    };
    assert!(explain_signature("twilio", &CONFIG.gateways, url, signature, body).is_err(), "a guessed signature");
    for gateway in GATEWAYS.iter() {
        assert!(gateway.verify(&request).is_err(), "a guessed signature");
        for kind in [WebhookKind::Message, WebhookKind::Status] {
            match gateway.parse(&request, kind) {
                Ok(WebhookEvent::Inbound(message)) => {
                    assert!((1..=64).contains(&message.gateway_message_id.len()));
                    assert!(PhoneNumber::from_stored(message.from.as_str()).is_ok());
                    assert!(message.attachments.len() <= 10);
                }
                Ok(WebhookEvent::Status(report)) => assert!((1..=64).contains(&report.gateway_message_id.len())),
                Ok(WebhookEvent::Ignored { .. }) => {}
                Err(error) => assert!(error.reason.len() < 300),
            }
        }
    }
});
