//! What is nobody's as records and back, and tokens, which may be.

use mongodb::bson::{Bson, Document, doc};
use uuid::Uuid;

use super::{Put, bytes, unfit, unwritten};
use crate::domain::delivery::DeliveryStatus;
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::store::StoreResult;
use crate::store::mongodb::fields::{Fields, date, maybe_date, to_bson};
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;
use crate::store::mongodb::staged::binary;
use crate::store::mongodb::state::Word as SaidWord;
use crate::store::record::words::{Raw, Word};
use crate::store::record::{self, Record};

/// The collections of what is nobody's.
pub(super) const SHARED: [Place; 7] =
    [Place::Marks, Place::Days, Place::Consents, Place::Reports, Place::HashKeys, Place::ErasedConsents, Place::Tokens];

/// A document of one of [`SHARED`] as a record.
pub(super) fn record(place: Place, collection: &str, document: &Document) -> StoreResult<Record> {
    let fields = Fields::new(collection, document);
    let id = || fields.text("_id").map(str::to_owned);
    Ok(match place {
        Place::Marks => Record::Mark(Box::new(record::Mark { name: id()?, moment: fields.moment("moment")? })),
        Place::Days => Record::DailyTurns(Box::new(record::DailyTurns { day: id()?, turns: fields.number("turns")? })),
        Place::Consents => {
            let word = shapes::word_from(collection, document)?;
            let phone = fields.parsed("_id", PhoneNumber::from_stored)?;
            Record::Consent(Box::new(record::StoredConsent { phone, opted_out: word.opted_out, said_at: word.said_at }))
        }
        Place::Reports => Record::StatusReport(Box::new(record::StatusReport {
            gateway: fields.text("gateway")?.to_owned(),
            gateway_message_id: fields.text("gatewayMessageId")?.to_owned(),
            status: Word(fields.find_word("status", DeliveryStatus::parse)?.ok_or_else(|| fields.damaged("status", "it is missing"))?),
            received_at: fields.moment("receivedAt")?,
            error_code: fields.find_text("errorCode")?.map(str::to_owned),
        })),
        Place::HashKeys => {
            let key = fields.find_bytes("bytes")?.ok_or_else(|| fields.damaged("bytes", "they are missing"))?;
            Record::HashKey(Box::new(record::HashKey { name: id()?, bytes: hex::encode(key) }))
        }
        Place::ErasedConsents => {
            let word = shapes::word_from(collection, document)?;
            Record::ErasedConsent(Box::new(record::StoredErasedConsent { hash: id()?, opted_out: word.opted_out, said_at: word.said_at }))
        }
        _ => token_record(collection, document)?,
    })
}

/// A token as a record.
pub(super) fn token_record(collection: &str, document: &Document) -> StoreResult<Record> {
    let fields = Fields::new(collection, document);
    let user_id: Option<UserId> = match document.get("user") {
        None | Some(Bson::Null) => None,
        Some(_user) => Some(fields.user("user")?),
    };
    let scopes: Vec<String> = fields.find_value("scopes")?.ok_or_else(|| fields.damaged("scopes", "they are missing"))?;
    let hash = fields.find_bytes("hash")?.ok_or_else(|| fields.damaged("hash", "it is missing"))?;
    Ok(Record::Token(Box::new(record::StoredToken {
        id: fields.id("_id", |id: Uuid| id)?,
        hash: hex::encode(hash),
        kind: fields.text("kind")?.to_owned(),
        scopes: Raw::of(&scopes).map_err(unwritten)?,
        created_at: fields.moment("createdAt")?,
        user_id,
        expires_at: fields.find_moment("expiresAt")?,
    })))
}

/// What is nobody's, or a token, as it lies in its collection; none for what is a person's.
pub(super) fn put(record: &Record) -> StoreResult<Option<Put>> {
    Ok(Some(match record {
        Record::Mark(mark) => Put::set(Place::Marks, doc! { "_id": &mark.name }, doc! { "moment": date(mark.moment) }),
        Record::DailyTurns(day) => Put::set(Place::Days, doc! { "_id": &day.day }, doc! { "turns": day.turns }),
        Record::Consent(consent) => {
            let word = SaidWord { opted_out: consent.opted_out, said_at: consent.said_at };
            let (key, set) = shapes::consent_document(&consent.phone, word);
            Put::set(Place::Consents, key, set)
        }
        Record::StatusReport(report) => {
            let Word(status) = report.status;
            let set = doc! {
                "gateway": &report.gateway,
                "gatewayMessageId": &report.gateway_message_id,
                "status": status.as_str(),
                "errorCode": report.error_code.clone(),
                "receivedAt": date(report.received_at),
            };
            Put::set(Place::Reports, shapes::report_key(&report.gateway, &report.gateway_message_id), set)
        }
        Record::HashKey(key) => {
            Put::set(Place::HashKeys, doc! { "_id": &key.name }, doc! { "bytes": binary(bytes("hashKey", &key.bytes)?) })
        }
        Record::ErasedConsent(consent) => {
            let set = doc! { "optedOut": consent.opted_out, "saidAt": date(consent.said_at) };
            Put::set(Place::ErasedConsents, doc! { "_id": &consent.hash }, set)
        }
        Record::Token(token) => {
            let scopes: Vec<String> = serde_json::from_str(token.scopes.get()).map_err(|error| unfit("token", error))?;
            let set = doc! {
                "hash": binary(bytes("token", &token.hash)?),
                "kind": &token.kind,
                "user": token.user_id.map_or(Bson::Null, |user| user.to_string().into()),
                "scopes": to_bson(&scopes)?,
                "expiresAt": maybe_date(token.expires_at),
                "createdAt": date(token.created_at),
            };
            Put::set(Place::Tokens, doc! { "_id": token.id.to_string() }, set)
        }
        _ => return Ok(None),
    }))
}
