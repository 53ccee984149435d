//! Twilio's JSON, as far as we read it. Everything but an id may be missing: other carriers speak this dialect too.

use serde::Deserialize;
use serde_json::Value;

use crate::domain::time::Timestamp;

/// A message resource.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct MessageResource {
    pub(super) sid: String,
    #[serde(default)]
    pub(super) status: Option<String>,
    #[serde(default)]
    pub(super) body: Option<String>,
    #[serde(default)]
    pub(super) from: Option<String>,
    #[serde(default)]
    pub(super) to: Option<String>,
    #[serde(default)]
    pub(super) direction: Option<String>,
    #[serde(default)]
    pub(super) date_created: Option<String>,
    #[serde(default)]
    pub(super) date_sent: Option<String>,
    /// Text at Twilio, a number elsewhere.
    #[serde(default)]
    pub(super) num_media: Value,
    #[serde(default)]
    pub(super) messaging_service_sid: Option<String>,
}

impl MessageResource {
    /// When the carrier made it, to the second.
    pub(super) fn created_at(&self) -> Option<Timestamp> {
        self.date_created.as_deref().and_then(read_date)
    }

    /// When it was sent or received; a queued message has no sent date yet.
    pub(super) fn moment(&self) -> Option<Timestamp> {
        self.date_sent.as_deref().and_then(read_date).or_else(|| self.created_at())
    }

    pub(super) fn is_inbound(&self) -> bool {
        self.direction.as_deref() == Some("inbound")
    }

    pub(super) fn files(&self) -> usize {
        let count = match &self.num_media {
            Value::String(text) => text.parse().unwrap_or(0),
            Value::Number(number) => number.as_u64().unwrap_or(0),
            _ => 0,
        };
        // Twilio's own bound.
        usize::try_from(count).unwrap_or(0).min(10)
    }
}

fn read_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|moment| moment.timestamp().into())
}

/// A page of a list, newest first.
#[derive(Debug, Deserialize)]
pub(super) struct Page {
    pub(super) messages: Vec<MessageResource>,
    /// A path with a query, on the same host.
    #[serde(default)]
    pub(super) next_page_uri: Option<String>,
}

/// What a refused request is answered with.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) code: Option<u64>,
    #[serde(default)]
    pub(super) message: Option<String>,
}

/// The numbers of the account, for `doctor`.
#[derive(Debug, Deserialize)]
pub(super) struct Numbers {
    pub(super) incoming_phone_numbers: Vec<Number>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub(super) struct Number {
    #[serde(default)]
    pub(super) sms_url: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_a_queued_message_has_its_creation_date() {
        let read = |json: &str| serde_json::from_str::<MessageResource>(json).unwrap();
        let queued = read(r#"{"sid":"SM1","date_created":"Fri, 24 May 2019 17:18:27 +0000","date_sent":null,"num_media":"2"}"#);
        assert_eq!(queued.moment(), Some(Timestamp::from_millis(1_558_718_307_000)));
        assert_eq!(queued.files(), 2);
        let sent = read(r#"{"sid":"SM1","date_created":"nonsense","date_sent":"Fri, 24 May 2019 17:18:28 +0000","num_media":1}"#);
        assert_eq!((sent.created_at(), sent.moment()), (None, Some(Timestamp::from_millis(1_558_718_308_000))));
        assert_eq!(read(r#"{"sid":"SM1"}"#).files(), 0);
    }
}
