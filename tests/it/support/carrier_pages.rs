//! How Twilio shows messages: the resource, and pages of a filtered list, newest first.

use serde_json::{Value, json};

use super::carrier::{Record, Taken};
use super::twilio::ACCOUNT_SID;

/// A message of ours has no sent date until it is this old, so a list filtered by `DateSent` does not show it.
const QUEUED_MS: i64 = 500;

fn moment(millis: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_millisecond(millis).unwrap()
}

/// RFC 2822 in whole seconds, as Twilio writes dates.
fn rfc2822(millis: i64) -> String {
    moment(millis).to_zoned(jiff::tz::TimeZone::UTC).strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn sent_ms(record: &Record) -> Option<i64> {
    if record.taken == Taken::Received {
        return Some(record.created_ms);
    }
    let now = scrubjay::clock::Clock::system().now().as_millis();
    (now - record.created_ms >= QUEUED_MS).then_some(record.created_ms + QUEUED_MS)
}

/// The message resource.
pub(crate) fn message(record: &Record) -> Value {
    let received = record.taken == Taken::Received;
    let sent = sent_ms(record);
    json!({
        "account_sid": ACCOUNT_SID,
        "api_version": "2010-04-01",
        "body": record.body,
        "date_created": rfc2822(record.created_ms),
        "date_sent": sent.map(rfc2822),
        "date_updated": rfc2822(sent.unwrap_or(record.created_ms)),
        "direction": if received { "inbound" } else { "outbound-api" },
        "error_code": null,
        "error_message": null,
        "from": record.from,
        "messaging_service_sid": null,
        "num_media": "0",
        "num_segments": "1",
        "price": null,
        "price_unit": "USD",
        "sid": record.sid,
        "status": if received { "received" } else if sent.is_some() { "sent" } else { "queued" },
        "subresource_uris": {"media": format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{}/Media.json", record.sid)},
        "to": record.to,
        "uri": format!("/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{}.json", record.sid),
    })
}

/// A day (`2026-11-22`) or a moment (RFC 3339) of a filter, in milliseconds.
fn filter_moment(text: &str) -> Result<i64, String> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment.as_millisecond());
    }
    let day: jiff::civil::Date = text.parse().map_err(|_error| format!("{text:?} is no date"))?;
    let midnight = day.to_zoned(jiff::tz::TimeZone::UTC).map_err(|error| error.to_string())?;
    Ok(midnight.timestamp().as_millisecond())
}

/// One page of the list that `query` asks for. The filters are Twilio's: `To`, `From`, `DateSent`, `DateSent>`, `DateSent<`
/// (a query's `DateSent>=2026-11-22` is the key `DateSent>`).
///
/// # Errors
/// On an unknown parameter or a malformed value, so that a misspelt filter is not quietly ignored.
pub(crate) fn page(records: &[Record], account: &str, query: &[(String, String)]) -> Result<Value, String> {
    let mut found: Vec<&Record> = records.iter().rev().collect();
    let (mut size, mut number) = (50_usize, 0_usize);
    for (key, value) in query {
        match key.as_str() {
            "To" => found.retain(|record| record.to == *value),
            "From" => found.retain(|record| record.from == *value),
            "DateSent>" => {
                let from = filter_moment(value)?;
                found.retain(|record| sent_ms(record).is_some_and(|sent| sent >= from));
            }
            "DateSent<" => {
                let until = filter_moment(value)?;
                found.retain(|record| sent_ms(record).is_some_and(|sent| sent <= until));
            }
            "DateSent" => {
                let from = filter_moment(value)?;
                found.retain(|record| sent_ms(record).is_some_and(|sent| (from..from + 86_400_000).contains(&sent)));
            }
            "PageSize" => size = value.parse::<usize>().map_err(|error| error.to_string())?.clamp(1, 1000),
            "Page" => number = value.parse().map_err(|_error| format!("{value:?} is no page"))?,
            "PageToken" => {}
            other => return Err(format!("unknown parameter {other:?}")),
        }
    }
    let path = format!("/2010-04-01/Accounts/{account}/Messages.json");
    let link = |number: usize| {
        let kept = query.iter().filter(|(key, _)| !matches!(key.as_str(), "Page" | "PageToken"));
        let mut link = form_urlencoded::Serializer::new(String::new());
        link.extend_pairs(kept).append_pair("Page", &number.to_string()).append_pair("PageToken", &format!("PASM{number}"));
        format!("{path}?{}", link.finish())
    };
    let start = number * size;
    let shown: Vec<Value> = found.iter().skip(start).take(size).map(|record| message(record)).collect();
    Ok(json!({
        "end": start + shown.len().saturating_sub(1),
        "first_page_uri": link(0),
        "next_page_uri": (found.len() > start + size).then(|| link(number + 1)),
        "page": number,
        "page_size": size,
        "previous_page_uri": (number > 0).then(|| link(number - 1)),
        "messages": shown,
        "start": start,
        "uri": format!("{path}?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish()),
    }))
}
