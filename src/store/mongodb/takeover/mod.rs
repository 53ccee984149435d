//! Taking over a database that LibreChat, or an earlier program on it, filled: once, when it is first opened.
//!
//! People with a phone number get their head ([`people`]); conversations by phone get the places that our listings and prompts go by
//! ([`threads`]); `external`, which is nobody's endpoint, gives way to the default; documents of the plan's own memory and todo servers
//! become graphs and lists ([`plan`]), and stay where they are. All of it can be repeated: a process that dies in the middle leaves
//! nothing that the next one does not make the same way.

mod people;
mod plan;
pub(super) mod threads;

use mongodb::bson::{Bson, DateTime, Document, doc};

use super::MongoStore;
use super::fault;
use super::fields::date;
use super::names::Place;
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::store::StoreResult;

/// The document that says that it was done, and what was found.
const DONE: &str = "takeover";

/// What stands where `external` stood: LibreChat's own default.
const ENDPOINT: &str = "openAI";

/// What was found.
#[derive(Debug, Default)]
struct Report {
    people: u64,
    /// Conversations and messages that named `external` as their endpoint.
    healed: u64,
    /// People whose number an older account has already.
    duplicates: Vec<UserId>,
    /// People whose number cannot be read.
    unreadable: u64,
    /// People with several conversations by phone that none of them closed.
    several_threads: u64,
    /// Documents of the plan's servers that became graphs and lists.
    documents: u64,
}

impl MongoStore {
    /// Takes the database over, if that was not done.
    ///
    /// # Errors
    /// [`crate::store::StoreError::Unavailable`]; what was done stays, and the next start goes on.
    pub(super) async fn take_over(&self) -> StoreResult<()> {
        let meta = self.collection(Place::Meta);
        let wanted = doc! { "_id": DONE };
        if meta.find_one(wanted.clone()).await.map_err(fault::unavailable)?.is_some() {
            return Ok(());
        }
        let mut report = Report { healed: self.heal_endpoints().await?, ..Report::default() };
        self.take_over_people(&mut report).await?;
        self.take_over_documents(&mut report).await?;
        report.log();
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let found = doc! {
            "at": date(self.now()),
            "people": number(report.people),
            "healed": number(report.healed),
            "duplicates": report.duplicates.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "unreadable": number(report.unreadable),
            "severalThreads": number(report.several_threads),
            "documents": number(report.documents),
        };
        meta.update_one(wanted, doc! { "$set": found }).upsert(true).await.map_err(fault::unavailable)?;
        Ok(())
    }

    /// Takes `external` out of what names it as an endpoint.
    async fn heal_endpoints(&self) -> StoreResult<u64> {
        let mut healed = 0;
        for place in [Place::Conversations, Place::Messages] {
            let wrong = doc! { "endpoint": { "$regex": "^external$", "$options": "i" } };
            let right = doc! { "$set": { "endpoint": ENDPOINT } };
            healed += self.collection(place).update_many(wrong, right).await.map_err(fault::unavailable)?.modified_count;
        }
        Ok(healed)
    }
}

impl Report {
    /// Says what whoever hosts this should know; ids, and never a number.
    fn log(&self) {
        if self.people + self.documents + self.healed > 0 {
            tracing::info!(people = self.people, documents = self.documents, "took over what was in the MongoDB database");
        }
        if self.healed > 0 {
            tracing::warn!(rows = self.healed, "stored rows named \"external\" as an endpoint; the default endpoint answers in its place");
            metrics::counter!("endpoint_redirected_total").increment(self.healed);
        }
        if !self.duplicates.is_empty() {
            let users = self.duplicates.iter().take(20).map(ToString::to_string).collect::<Vec<_>>().join(" ");
            tracing::warn!(
                count = self.duplicates.len(),
                users,
                "several accounts have the same phone number: the oldest of each is used, and these are left as they are; `scrubjay users merge` joins them"
            );
        }
        if self.unreadable > 0 {
            tracing::warn!(
                count = self.unreadable,
                "accounts with a phone number that is not in the form +15551234567 are left as they are"
            );
        }
        if self.several_threads > 0 {
            tracing::info!(
                people = self.several_threads,
                "people have several open conversations by phone: the newest of each is continued"
            );
        }
    }
}

/// A moment as some program wrote it: the server's type, RFC 3339, or milliseconds.
fn lenient_moment(value: Option<&Bson>) -> Option<Timestamp> {
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of any year that is meant are whole numbers there")]
    let moment = match value? {
        Bson::DateTime(moment) => Timestamp::from_millis(DateTime::timestamp_millis(*moment)),
        Bson::String(text) => text.parse::<jiff::Timestamp>().ok()?.into(),
        Bson::Int64(millis) => Timestamp::from_millis(*millis),
        Bson::Double(millis) => Timestamp::from_millis(*millis as i64),
        _ => return None,
    };
    // What is kept can be written again.
    (0..253_402_300_800_000).contains(&moment.as_millis()).then_some(moment)
}

/// The value under a path of names, whatever else the document holds.
fn lenient<'a>(document: &'a Document, path: &str) -> Option<&'a Bson> {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    match (document.get(first)?, rest) {
        (value, None) => Some(value),
        (Bson::Document(inner), Some(rest)) => lenient(inner, rest),
        _ => None,
    }
}

/// A text, where there is one.
fn lenient_text<'a>(document: &'a Document, path: &str) -> Option<&'a str> {
    lenient(document, path).and_then(Bson::as_str).filter(|text| !text.is_empty())
}

/// A person's id in every form in which a collection may name them.
fn either_id(user: UserId) -> Bson {
    Bson::Array(vec![user.to_string().into(), super::fields::object_id(user).into()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_from_every_form_that_they_come_in() {
        let expected = Some(Timestamp::from_millis(1_767_323_045_678));
        for value in [
            Bson::DateTime(DateTime::from_millis(1_767_323_045_678)),
            Bson::String("2026-01-02T03:04:05.678Z".to_owned()),
            Bson::Int64(1_767_323_045_678),
            Bson::Double(1_767_323_045_678.0),
        ] {
            assert_eq!(lenient_moment(Some(&value)), expected, "{value:?}");
        }
        for wrong in [Bson::Null, Bson::String("yesterday".to_owned()), Bson::Int64(i64::MAX), Bson::Int32(7)] {
            assert_eq!(lenient_moment(Some(&wrong)), None, "{wrong:?}");
        }
        assert_eq!(lenient_moment(None), None);
    }

    #[test]
    fn a_path_ends_where_something_else_stands() {
        let document = doc! { "metadata": { "source": "sms" }, "title": "x" };
        assert_eq!(lenient_text(&document, "metadata.source"), Some("sms"));
        assert_eq!(lenient_text(&document, "title.source"), None);
        assert_eq!(lenient_text(&document, "metadata.missing"), None);
    }
}
