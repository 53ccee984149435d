//! Twilio's webhooks: an incoming text, a word on an outgoing one.

use super::NAME;
use super::form::Form;
use crate::domain::delivery::{DeliveryStatus, StatusReport};
use crate::domain::message::{Attachment, CarrierConsent, InboundMessage};
use crate::domain::phone::{PhoneNumber, PhoneRules, Sender};
use crate::domain::text::beginning;
use crate::gateway::{ParseError, WebhookEvent};

/// Twilio sends at most ten files with a message.
const MOST_FILES: usize = 10;

/// Reads an incoming text.
pub(super) fn inbound(form: &Form<'_>, rules: PhoneRules) -> Result<WebhookEvent, ParseError> {
    let id = message_id(form)?;
    let from = form.only_value("From")?.ok_or_else(|| missing("From"))?;
    let to = form.value("To")?.unwrap_or_default().trim();
    if Sender::classify(to, &rules) == Sender::OtherChannel {
        return Ok(WebhookEvent::Ignored { reason: OTHER_CHANNEL });
    }
    let from = match person_or_reason(from, rules) {
        Ok(number) => number,
        Err(reason) => return Ok(WebhookEvent::Ignored { reason }),
    };
    Ok(WebhookEvent::Inbound(Box::new(InboundMessage {
        gateway: NAME.to_owned(),
        gateway_message_id: id,
        from,
        to: to.to_owned(),
        text: form.value("Body")?.unwrap_or_default().to_owned(),
        attachments: attachments(form)?,
        opt_out: form.value("OptOutType")?.and_then(|word| match word {
            "STOP" => Some(CarrierConsent::Stop),
            "START" => Some(CarrierConsent::Start),
            "HELP" => Some(CarrierConsent::Help),
            _ => None,
        }),
        sent_at: None,
    })))
}

/// The label of another channel, for the counter.
const OTHER_CHANNEL: &str = "other-channel";

/// The person who sent it, or the label of what cannot be answered.
pub(super) fn person_or_reason(from: &str, rules: PhoneRules) -> Result<PhoneNumber, &'static str> {
    match Sender::classify(from, &rules) {
        Sender::Person(number) => Ok(number),
        Sender::ShortCode => Err("short-code"),
        Sender::Alphanumeric => Err("alphanumeric"),
        Sender::OtherChannel => Err(OTHER_CHANNEL),
        Sender::Unreadable(_) => Err("unreadable-sender"),
    }
}

/// Reads a status callback.
pub(super) fn status(form: &Form<'_>) -> Result<WebhookEvent, ParseError> {
    let gateway_message_id = message_id(form)?;
    let word = match form.value("MessageStatus")? {
        Some(word) => word,
        None => form.value("SmsStatus")?.ok_or_else(|| missing("MessageStatus"))?,
    };
    let Some(status) = DeliveryStatus::parse(word) else {
        return Ok(WebhookEvent::Ignored { reason: "unknown-status" });
    };
    let error_code = form.value("ErrorCode")?.filter(|code| !code.is_empty()).map(|code| beginning(code, 16).to_owned());
    Ok(WebhookEvent::Status(StatusReport { gateway: NAME.to_owned(), gateway_message_id, status, error_code }))
}

fn message_id(form: &Form<'_>) -> Result<String, ParseError> {
    let id = match form.only_value("MessageSid")? {
        Some(id) => id,
        None => form.only_value("SmsMessageSid")?.ok_or_else(|| missing("MessageSid"))?,
    };
    let valid = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if valid { Ok(id.to_owned()) } else { Err(ParseError { reason: "MessageSid is not an id of 1 to 64 letters and digits".to_owned() }) }
}

fn missing(name: &str) -> ParseError {
    ParseError { reason: format!("the parameter {name} is missing") }
}

fn attachments(form: &Form<'_>) -> Result<Vec<Attachment>, ParseError> {
    const URLS: [&str; MOST_FILES] =
        ["MediaUrl0", "MediaUrl1", "MediaUrl2", "MediaUrl3", "MediaUrl4", "MediaUrl5", "MediaUrl6", "MediaUrl7", "MediaUrl8", "MediaUrl9"];
    const TYPES: [&str; MOST_FILES] = [
        "MediaContentType0",
        "MediaContentType1",
        "MediaContentType2",
        "MediaContentType3",
        "MediaContentType4",
        "MediaContentType5",
        "MediaContentType6",
        "MediaContentType7",
        "MediaContentType8",
        "MediaContentType9",
    ];
    let count = match form.value("NumMedia")? {
        None | Some("") => 0,
        Some(text) => text.parse::<usize>().map_err(|_invalid| ParseError { reason: "NumMedia is not a number".to_owned() })?,
    };
    let mut attachments = Vec::new();
    for (place, (url, content_type)) in URLS.into_iter().zip(TYPES).enumerate().take(count) {
        let url = form.value(url)?.filter(|url| !url.is_empty()).map(str::to_owned);
        attachments.push(attachment(place + 1, form.value(content_type)?.unwrap_or_default(), url));
    }
    Ok(attachments)
}

/// A file as the model will hear of it: Twilio sends no file names.
pub(super) fn attachment(number: usize, content_type: &str, url: Option<String>) -> Attachment {
    let kind = match content_type.split('/').next().unwrap_or_default() {
        "image" => "picture",
        "video" => "video",
        "audio" => "recording",
        "text" if content_type.ends_with("vcard") => "contact",
        _ => "file",
    };
    Attachment { name: format!("{kind} {number}"), content_type: content_type.to_owned(), url }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::phone::NumberCheck;

    fn rules() -> PhoneRules {
        PhoneRules::new("US", NumberCheck::E164).unwrap()
    }

    fn read(body: &str) -> Result<WebhookEvent, ParseError> {
        inbound(&Form::decode(body.as_bytes()).unwrap(), rules())
    }

    fn read_message(body: &str) -> InboundMessage {
        match read(body) {
            Ok(WebhookEvent::Inbound(message)) => *message,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_text_is_read_with_its_pictures_and_the_carriers_consent() {
        let message = read_message(
            "MessageSid=SM1&From=%2B15551234567&To=%2B15550009999&Body=Gr%C3%BC%C3%9Fe+%F0%9F%98%80&NumMedia=2&MediaUrl0=https%3A%2F%2Fa.example%2F1\
             &MediaContentType0=image%2Fjpeg&MediaContentType1=text%2Fx-vcard&OptOutType=STOP",
        );
        assert_eq!(message.gateway_message_id, "SM1");
        assert_eq!(message.from.as_str(), "+15551234567");
        assert_eq!(message.to, "+15550009999");
        assert_eq!(message.text, "Grüße 😀");
        assert_eq!(message.opt_out, Some(CarrierConsent::Stop));
        assert_eq!(
            message.attachments[0],
            Attachment { name: "picture 1".into(), content_type: "image/jpeg".into(), url: Some("https://a.example/1".into()) }
        );
        assert_eq!(message.attachments[1], Attachment { name: "contact 2".into(), content_type: "text/x-vcard".into(), url: None });
    }

    #[test]
    fn blanks_and_repeated_keys_are_taken_as_they_come() {
        let message = read_message("MessageSid=SM1&MessageSid=SM1&From=%2B15551234567&Body=&NumMedia=&OptOutType=&Body=second");
        assert_eq!((message.text.as_str(), message.to.as_str(), message.opt_out), ("", "", None));
        assert_eq!(read_message("MessageSid=SM1&From=%2B15551234567&NumMedia=99").attachments.len(), 10);
    }

    #[test]
    fn senders_that_cannot_be_answered_are_counted() {
        for (from, reason) in [
            ("72345", "short-code"),
            ("MYBANK", "alphanumeric"),
            ("whatsapp%3A%2B15551234567", "other-channel"),
            ("rcs%3Abrand", "other-channel"),
            ("", "unreadable-sender"),
        ] {
            assert_eq!(read(&format!("MessageSid=SM1&From={from}&Body=hi")), Ok(WebhookEvent::Ignored { reason }), "{from}");
        }
        assert_eq!(
            read("MessageSid=SM1&From=%2B15551234567&To=whatsapp%3A%2B15550009999"),
            Ok(WebhookEvent::Ignored { reason: "other-channel" })
        );
    }

    #[test]
    fn forms_that_cannot_be_read_say_why_without_quoting_them() {
        for body in [
            "",
            "From=%2B15551234567&Body=x",
            "MessageSid=SM1&Body=x",
            "MessageSid=&From=%2B15551234567",
            "MessageSid=SM%201&From=%2B15551234567",
            "MessageSid=SM1&MessageSid=SM2&From=%2B15551234567",
            "MessageSid=SM1&From=%2B15551234567&From=%2B15551234568",
            "MessageSid=SM1&From=%2B15551234567&Body=%FF%FE",
            "MessageSid=SM1&From=%2B15551234567&Body=100%",
            "MessageSid=SM1&From=%2B15551234567&NumMedia=-1",
            "MessageSid=SM1&From=%C3%28",
            "{\"MessageSid\":\"SM1\"}",
        ] {
            let error = read(body).expect_err(body);
            assert!(!error.reason.contains("5551234") && !error.reason.is_empty(), "{error}");
        }
    }

    #[test]
    fn a_status_is_read_and_an_unknown_one_counted() {
        let read = |body: &str| status(&Form::decode(body.as_bytes()).unwrap());
        let report = |status, error_code: Option<&str>| {
            let error_code = error_code.map(str::to_owned);
            Ok(WebhookEvent::Status(StatusReport { gateway: "twilio".into(), gateway_message_id: "SM1".into(), status, error_code }))
        };
        assert_eq!(read("MessageSid=SM1&MessageStatus=delivered"), report(DeliveryStatus::Delivered, None));
        assert_eq!(read("SmsMessageSid=SM1&SmsStatus=failed&ErrorCode=30003"), report(DeliveryStatus::Failed, Some("30003")));
        assert_eq!(read("MessageSid=SM1&MessageStatus=partially_delivered"), Ok(WebhookEvent::Ignored { reason: "unknown-status" }));
        assert!(read("MessageSid=SM1").is_err());
        assert!(read("MessageStatus=sent").is_err());
    }

    proptest! {
        #[test]
        fn any_text_arrives_as_it_was_written(text in "\\PC{0,60}|[\\x00-\\x7f]{0,60}") {
            let form = [("MessageSid", "SM1"), ("From", "+15551234567"), ("Body", text.as_str())];
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
            prop_assert_eq!(read_message(&body).text, text);
        }
    }
}
