//! The gateway against a carrier of our own on loopback.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use uuid::Uuid;

use super::*;
use crate::domain::delivery::{OutboundState, ReplyRoute};
use crate::domain::ids::{OutboundId, TurnId, UserId};
use crate::domain::phone::{NumberCheck, PhoneNumber};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const TOKEN: &str = "a-token-of-the-account";
const OUR_NUMBER: &str = "+15550009999";
const PERSON: &str = "+15551234567";
/// `Wed, 22 Jul 2026 10:00:00 +0000`.
const NOW: Timestamp = Timestamp::from_millis(1_784_714_400_000);

/// A request as the carrier got it.
#[derive(Debug, Clone)]
struct Seen {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    authorization: String,
    form: Vec<(String, String)>,
}

/// A planned answer: its status, its Retry-After (empty: none), its body.
type Planned = (u16, &'static str, Value);

/// A carrier that gives the planned answers in turn.
#[derive(Clone)]
struct Fake {
    answers: Arc<Mutex<VecDeque<Planned>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

async fn answer(State(fake): State<Fake>, request: Request) -> Response {
    let pairs = |text: &[u8]| form_urlencoded::parse(text).into_owned().collect::<Vec<_>>();
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 100_000).await.unwrap();
    fake.seen.lock().unwrap().push(Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: pairs(parts.uri.query().unwrap_or_default().as_bytes()),
        authorization: parts.headers.get("authorization").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default(),
        form: pairs(&body),
    });
    let next = fake.answers.lock().unwrap().pop_front();
    let (status, retry_after, body) = next.unwrap_or((500, "", json!({"message": "no answer was planned"})));
    let mut response = (StatusCode::from_u16(status).unwrap(), body.to_string()).into_response();
    if !retry_after.is_empty() {
        response.headers_mut().insert("retry-after", retry_after.parse().unwrap());
    }
    response
}

impl Fake {
    /// A carrier that gives these answers, and its address.
    async fn start(answers: Vec<Planned>) -> (Self, String) {
        let fake = Self { answers: Arc::new(Mutex::new(answers.into())), seen: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(fake.clone());
        // It ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, router).await });
        (fake, address)
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn settings(api_base: &str) -> sections::Twilio {
    sections::Twilio {
        account_sid: ACCOUNT.into(),
        auth_token: TOKEN.into(),
        auth_token_secondary: "".into(),
        api_key: String::new(),
        api_secret: "".into(),
        phone_number: OUR_NUMBER.into(),
        messaging_service_sid: String::new(),
        api_base: api_base.into(),
        timeout_seconds: 5,
        lookup_ms: vec![1, 1],
        confirms_consent: true,
    }
}

fn open(settings: &sections::Twilio) -> Twilio {
    let rules = PhoneRules::new("US", NumberCheck::E164).unwrap();
    Twilio::open(settings, "https://sms.example.org/", rules).unwrap().unwrap()
}

fn outbound(from: &str) -> OutboundMessage {
    OutboundMessage {
        id: OutboundId::from_uuid(Uuid::nil()),
        user_id: UserId::from_bytes([1; 12]),
        turn_id: TurnId::from_uuid(Uuid::nil()),
        part: 0,
        to: PhoneNumber::from_stored(PERSON).unwrap(),
        route: ReplyRoute { gateway: NAME.into(), from: from.into() },
        body: "Grüße & more".into(),
        segments: 1,
        state: OutboundState::Sending,
        status: None,
        gateway_message_id: None,
        attempts: 1,
        checks: 0,
        attempted_at: Some(NOW),
        expires_at: NOW,
        error: None,
        created_at: NOW,
    }
}

fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

/// A message resource of ours, `age` seconds before [`NOW`].
fn resource(sid: &str, age: i64) -> Value {
    let moment = jiff::Timestamp::from_millisecond(NOW.as_millis() - age * 1000).unwrap();
    let date = moment.to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
    json!({"sid": sid, "status": "queued", "body": "Grüße & more", "from": OUR_NUMBER, "to": PERSON, "direction": "outbound-api",
        "date_created": date, "date_sent": null, "num_media": "0", "messaging_service_sid": null})
}

fn with(mut resource: Value, field: &str, value: impl Into<Value>) -> Value {
    resource[field] = value.into();
    resource
}

fn received(sid: &str, age: i64) -> Value {
    let inbound = with(with(with(resource(sid, age), "direction", "inbound"), "from", PERSON), "to", OUR_NUMBER);
    let date = inbound["date_created"].clone();
    with(inbound, "date_sent", date)
}

#[tokio::test]
async fn a_message_leaves_by_the_number_that_was_texted() {
    let taken = || (201, "", json!({"sid": "SM1", "status": "queued"}));
    let (fake, address) = Fake::start(vec![taken(), taken(), taken(), taken()]).await;
    let sent = Ok(Sent { gateway_message_id: "SM1".into(), status: DeliveryStatus::Queued });
    let mut settings = settings(&address);
    assert_eq!(open(&settings).send(&outbound("+15550001111")).await, sent);
    assert_eq!(open(&settings).send(&outbound("")).await, sent);
    settings.messaging_service_sid = "MG1".into();
    assert_eq!(open(&settings).send(&outbound("")).await, sent);
    (settings.api_key, settings.api_secret) = ("SK1".into(), "key-secret".into());
    assert_eq!(open(&settings).send(&outbound("+15550001111")).await, sent);

    let seen = fake.seen();
    assert_eq!(seen[0].method, "POST");
    assert_eq!(seen[0].path, format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json"));
    let form = |index: usize| {
        ["To", "Body", "From", "MessagingServiceSid", "StatusCallback"].map(|name| value(&seen[index].form, name).unwrap_or("-"))
    };
    let callback = "https://sms.example.org/webhooks/twilio/status";
    assert_eq!(form(0), [PERSON, "Grüße & more", "+15550001111", "-", callback]);
    assert_eq!(form(1), [PERSON, "Grüße & more", OUR_NUMBER, "-", callback]);
    assert_eq!(form(2), [PERSON, "Grüße & more", "-", "MG1", callback]);
    assert_eq!(form(3), [PERSON, "Grüße & more", "+15550001111", "-", callback]);
    assert_eq!(seen[0].authorization, format!("Basic {}", STANDARD.encode(format!("{ACCOUNT}:{TOKEN}"))));
    assert_eq!(seen[3].authorization, format!("Basic {}", STANDARD.encode("SK1:key-secret")));
}

#[tokio::test]
async fn each_refusal_says_what_to_do_next() {
    let error = |code: u64| json!({"code": code, "message": format!("The number {PERSON} is unfit"), "status": 400});
    let (_fake, address) = Fake::start(vec![
        (400, "", error(21610)),
        (400, "", error(21211)),
        (400, "", error(21614)),
        (400, "", error(21408)),
        (401, "", error(20003)),
        (429, "7", error(20429)),
        (503, "", json!("<html>")),
        (302, "", json!(null)),
    ])
    .await;
    let twilio = open(&settings(&address));
    let mut errors = Vec::new();
    for _ in 0..8 {
        let error = twilio.send(&outbound("")).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("5551234567"), "{error}");
        errors.push(error);
    }
    assert!(matches!(errors[0], SendError::OptedOut { .. }), "{:?}", errors[0]);
    for error in &errors[1..4] {
        assert!(matches!(error, SendError::Refused { .. }), "{error:?}");
    }
    assert!(matches!(errors[4], SendError::Stopped { .. }), "{:?}", errors[4]);
    assert!(matches!(errors[5], SendError::Retry { after: Some(after), .. } if after == Duration::from_secs(7)), "{:?}", errors[5]);
    assert!(matches!(errors[6], SendError::Retry { after: None, .. }), "{:?}", errors[6]);
    assert!(matches!(errors[7], SendError::Stopped { .. }), "{:?}", errors[7]);
}

#[tokio::test]
async fn without_a_sender_nothing_is_sent() {
    let (fake, address) = Fake::start(vec![]).await;
    let mut settings = settings(&address);
    settings.phone_number = String::new();
    assert!(matches!(open(&settings).send(&outbound("")).await, Err(SendError::Stopped { .. })));
    assert!(fake.seen().is_empty());
}

#[tokio::test]
async fn a_carrier_that_is_not_there_was_not_sent_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = open(&settings(&address)).send(&outbound("")).await.unwrap_err();
    assert!(matches!(error, SendError::Retry { .. }), "{error:?}");
}

/// What a carrier without manners does with a request that it has read whole.
#[derive(Clone, Copy)]
enum Manners {
    HangUp,
    SayNothing,
    BreakOff,
}

async fn rude_carrier(manners: Manners) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _peer)) = listener.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0_u8; 4096];
                let read = stream.read(&mut buffer).await.unwrap_or(0);
                assert!(read > 0);
                match manners {
                    Manners::HangUp => {}
                    Manners::SayNothing => tokio::time::sleep(Duration::from_secs(30)).await,
                    Manners::BreakOff => {
                        let _written = stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 999\r\n\r\n{\"sid\":").await;
                    }
                }
            });
        }
    });
    address
}

#[tokio::test]
async fn a_broken_connection_or_a_silent_carrier_leaves_it_open_whether_it_was_sent() {
    for manners in [Manners::HangUp, Manners::SayNothing, Manners::BreakOff] {
        let mut settings = settings(&rude_carrier(manners).await);
        settings.timeout_seconds = 1;
        let twilio = open(&settings);
        let error = twilio.send(&outbound("")).await.unwrap_err();
        assert!(matches!(error, SendError::Ambiguous { .. }), "{error:?}");
        // A question that breaks off is asked again.
        let error = twilio.check().await.unwrap_err();
        assert!(matches!(error, SendError::Retry { .. }), "{error:?}");
        assert!(!error.to_string().contains(TOKEN));
    }
}

#[tokio::test]
async fn an_answer_without_an_id_leaves_it_open() {
    let (_fake, address) = Fake::start(vec![(201, "", json!({})), (200, "", json!({"sid": ""}))]).await;
    let twilio = open(&settings(&address));
    for _ in 0..2 {
        assert!(matches!(twilio.send(&outbound("")).await, Err(SendError::Ambiguous { .. })));
    }
}

#[tokio::test]
async fn a_look_up_finds_the_message_and_no_other() {
    let page = |messages: Vec<Value>, next: Value| (200, "", json!({"messages": messages, "next_page_uri": next}));
    let next = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page=1&PageToken=PA1");
    let others = vec![
        with(resource("SM-body", 0), "body", "something else"),
        with(resource("SM-from", 0), "from", "+15550001111"),
        with(resource("SM-to", 0), "to", "+15557654321"),
        with(resource("SM-inbound", 0), "direction", "inbound"),
        resource("SM-known", 0),
        with(resource("SM-undated", 0), "date_created", Value::Null),
    ];
    let (fake, address) = Fake::start(vec![
        page(others.clone(), json!(next)),
        page(vec![resource("SM-second", -2), resource("SM-first", 1), resource("SM-early", 90)], json!(next)),
        page(others, Value::Null),
        page(vec![with(resource("SM-trial", 0), "body", "Sent from your Twilio trial account - Grüße & more")], Value::Null),
        (503, "", json!({})),
    ])
    .await;
    let twilio = open(&settings(&address));
    let message = outbound("");
    let known_ids = ["SM-known".to_owned()];
    let find = || twilio.find_sent(Lookup { message: &message, known_ids: &known_ids });
    let found = |id: &str| Ok(Some(Sent { gateway_message_id: id.into(), status: DeliveryStatus::Queued }));
    assert_eq!(find().await, found("SM-first"));
    assert_eq!(find().await, Ok(None));
    assert_eq!(find().await, found("SM-trial"));
    assert!(matches!(find().await, Err(SendError::Retry { .. })));

    let seen = fake.seen();
    assert_eq!(seen.len(), 5, "a page that begins before the attempt is the last one asked for");
    assert_eq!((value(&seen[0].query, "To"), value(&seen[0].query, "DateSent>")), (Some(PERSON), None));
    assert_eq!(value(&seen[1].query, "PageToken"), Some("PA1"));
}

#[tokio::test]
async fn a_look_up_knows_what_a_service_sent() {
    let by_service = with(with(resource("SM1", 0), "from", Value::Null), "messaging_service_sid", "MG1");
    let (_fake, address) = Fake::start(vec![(200, "", json!({"messages": [by_service]}))]).await;
    let mut settings = settings(&address);
    settings.messaging_service_sid = "MG1".into();
    let message = outbound("");
    let found = open(&settings).find_sent(Lookup { message: &message, known_ids: &[] }).await.unwrap();
    assert_eq!(found.unwrap().gateway_message_id, "SM1");
}

#[tokio::test]
async fn missed_texts_are_listed_oldest_first() {
    let next = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages.json?Page=1");
    let (fake, address) = Fake::start(vec![
        (200, "", json!({"messages": [received("SM3", 10), resource("SM-ours", 11), with(received("SM-code", 12), "from", "72345")], "next_page_uri": next})),
        (200, "", json!({"messages": [with(received("SM2", 20), "num_media", "1"), received("SM1", 30), received("SM-before", 3600)], "next_page_uri": next})),
    ])
    .await;
    let missed = open(&settings(&address)).list_missed(NOW.before(Duration::from_mins(1))).await.unwrap();
    let ids: Vec<&str> = missed.iter().map(|text| text.gateway_message_id.as_str()).collect();
    assert_eq!(ids, ["SM1", "SM2", "SM3"]);
    assert_eq!(missed[0].sent_at, Some(NOW.before(Duration::from_secs(30))));
    assert_eq!((missed[0].from.as_str(), missed[0].to.as_str(), missed[0].text.as_str()), (PERSON, OUR_NUMBER, "Grüße & more"));
    assert_eq!(missed[1].attachments.len(), 1);
    let seen = fake.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!((value(&seen[0].query, "To"), value(&seen[0].query, "DateSent>")), (Some(OUR_NUMBER), Some("2026-07-22")));
}

#[tokio::test]
async fn without_a_number_only_the_services_texts_are_ours() {
    let ours = with(received("SM1", 1), "messaging_service_sid", "MG1");
    let (fake, address) = Fake::start(vec![(200, "", json!({"messages": [ours, received("SM-other", 2)]}))]).await;
    let mut settings = settings(&address);
    (settings.phone_number, settings.messaging_service_sid) = (String::new(), "MG1".into());
    let missed = open(&settings).list_missed(NOW.before(Duration::from_mins(1))).await.unwrap();
    assert_eq!(missed.len(), 1);
    assert_eq!(value(&fake.seen()[0].query, "To"), None);
}

#[tokio::test]
async fn the_next_page_never_leads_to_another_host() {
    let (fake, address) = Fake::start(vec![(200, "", json!({"messages": [], "next_page_uri": "https://example.org/steal"}))]).await;
    let error = open(&settings(&address)).list_missed(NOW).await.unwrap_err();
    assert!(matches!(error, SendError::Retry { .. }), "{error:?}");
    assert_eq!(fake.seen().len(), 1);
}

#[tokio::test]
async fn a_check_tells_whether_the_webhook_is_set() {
    let number = |url: &str| (200, "", json!({"incoming_phone_numbers": [{"sms_url": url}]}));
    let list = || (200, "", json!({"messages": []}));
    let (_fake, address) = Fake::start(vec![
        list(),
        number("https://sms.example.org/webhooks/twilio#rc=5&rp=all"),
        list(),
        number("https://demo.example"),
        list(),
        (404, "", json!({})),
        (401, "", json!({"code": 20003})),
    ])
    .await;
    let twilio = open(&settings(&address));
    assert!(twilio.check().await.unwrap().contains("is set"));
    assert!(twilio.check().await.unwrap().contains("set it to \"https://sms.example.org/webhooks/twilio#rc=5&rp=all\""));
    assert_eq!(twilio.check().await.unwrap(), "Twilio answers to account AC0123…");
    assert!(matches!(twilio.check().await, Err(SendError::Stopped { .. })));
}

fn webhook(url: &str, form: &[(&str, &str)], token: &str) -> WebhookRequest {
    use hmac::{Hmac, KeyInit, Mac};
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let mut sorted = form.to_vec();
    sorted.sort_unstable();
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(url.as_bytes());
    for (key, value) in sorted {
        mac.update(format!("{key}{value}").as_bytes());
    }
    WebhookRequest {
        urls: vec!["https://wrong.example.org/".into(), url.into()],
        content_type: "application/x-www-form-urlencoded".into(),
        headers: vec![("x-twilio-signature".into(), STANDARD.encode(mac.finalize().into_bytes()))],
        body: Bytes::from(body),
    }
}

#[test]
fn a_webhook_is_believed_for_its_signature_then_for_its_account() {
    let twilio = open(&settings("http://127.0.0.1:9"));
    let url = "https://sms.example.org/webhooks/twilio";
    let form = [("AccountSid", ACCOUNT), ("MessageSid", "SM1"), ("From", PERSON), ("Body", "hi there"), ("Empty", "")];
    let request = webhook(url, &form, TOKEN);
    assert_eq!(twilio.verify(&request), Ok(()));
    assert!(matches!(twilio.parse(&request, WebhookKind::Message), Ok(WebhookEvent::Inbound(_))));

    let unsigned = twilio.verify(&WebhookRequest { headers: Vec::new(), ..request.clone() }).unwrap_err();
    assert!(unsigned.reason.contains("empty") && unsigned.reason.contains(url), "{unsigned}");
    let forged = twilio.verify(&webhook(url, &form, "another-token")).unwrap_err();
    assert!(forged.reason.contains(url) && !forged.reason.contains(TOKEN), "{forged}");
    let other_account = [("AccountSid", "AC9"), ("MessageSid", "SM1"), ("From", PERSON)];
    let other = twilio.verify(&webhook(url, &other_account, TOKEN)).unwrap_err();
    assert!(other.reason.contains("AccountSid"), "{other}");
    assert!(twilio.verify(&webhook(url, &form[1..], TOKEN)).is_err());
}

#[test]
fn the_gateway_is_closed_without_an_account_and_a_token() {
    let rules = PhoneRules::new("US", NumberCheck::E164).unwrap();
    for change in [
        |settings: &mut sections::Twilio| settings.account_sid = String::new(),
        |settings: &mut sections::Twilio| settings.auth_token = "".into(),
    ] {
        let mut settings = settings("https://api.twilio.com");
        change(&mut settings);
        assert!(Twilio::open(&settings, "", rules).unwrap().is_none());
    }
}

proptest! {
    #[test]
    fn whatever_arrives_is_refused_or_read_into_valid_values(
        url in "https?://[a-z.:@/?'#=&%\\[\\]]{0,30}|\\PC{0,20}",
        signature in "[A-Za-z0-9+/]{27}=|\\PC{0,20}",
        body in "((MessageSid|From|To|Body|NumMedia|MediaUrl0|MessageStatus|OptOutType)(=(SM1|%2B15551234567|STOP|sent|2|%F0%9F|[^&]{0,8}))?&){0,8}|\\PC{0,60}",
    ) {
        static TWILIO: std::sync::LazyLock<Twilio> = std::sync::LazyLock::new(|| open(&settings("http://127.0.0.1:9")));
        let request = WebhookRequest {
            urls: vec![url],
            content_type: "application/x-www-form-urlencoded".into(),
            headers: vec![("x-twilio-signature".into(), signature)],
            body: Bytes::from(body),
        };
        prop_assert!(TWILIO.verify(&request).is_err());
        for kind in [WebhookKind::Message, WebhookKind::Status] {
            match TWILIO.parse(&request, kind) {
                Ok(WebhookEvent::Inbound(message)) => {
                    prop_assert!((1..=64).contains(&message.gateway_message_id.len()));
                    prop_assert!(message.attachments.len() <= 10);
                }
                Ok(WebhookEvent::Status(report)) => prop_assert!((1..=64).contains(&report.gateway_message_id.len())),
                Ok(WebhookEvent::Ignored { .. }) => {}
                Err(error) => prop_assert!(error.reason.len() < 300 && !error.reason.contains("5551234")),
            }
        }
    }
}

#[test]
fn of_a_tried_url_neither_password_nor_query_is_told() {
    let told = tried(&[
        "https://user:secret@text.example.org:8443/a/b?From=%2B15550100001&Body=hello&token=x#rc=5".to_owned(),
        "http://h?%2B15550100001=1&15550100001&&hello+there=&a=?b=c".to_owned(),
        "http://evil\n\u{1b}[2J/x".to_owned(),
    ]);
    assert_eq!(
        told,
        concat!(
            r#""https://text.example.org:8443/a/b" with the query parameters From, Body, token, "#,
            r#""http://h" with the query parameters …, …, …, …, a, "#,
            r#""http://evil\n\u{1b}[2J/x""#
        )
    );
    assert!(tried(&[format!("https://h/{}?{}", "p".repeat(10_000), "a&".repeat(10_000))]).len() < 400);
}
