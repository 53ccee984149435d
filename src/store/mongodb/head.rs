//! A person's head: the one document whose replacement is a unit's commit.
//!
//! It holds the person's [`State`], the version that guards every replacement, and what the last units staged and nobody has
//! marked as applied. Beside the state stand the few fields that people are found by, made from it each time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mongodb::bson::oid::ObjectId;
use mongodb::bson::serde_helpers::HumanReadable;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, RawDocumentBuf};
use serde::Serialize;
use uuid::Uuid;

use super::fields::{Fields, date, object_id};
use super::left_over::staged_since;
use super::own_lanes::OwnLanes;
use super::shapes::carrier_key;
use super::staged::Writes;
use super::state::{Outgoing, State};
use super::trail::Trail;
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::store::{LaneKind, StoreError, StoreResult};

/// The largest head that is written. The server's own limit is 16 MB.
const LARGEST: usize = 15 * 1024 * 1024;

/// Heads that a process remembers. One that was forgotten is read again.
const REMEMBERED: usize = 4_096;

/// How long a turn takes to come to what it recalls.
const A_MOMENT: Duration = Duration::from_millis(250);

/// What the last units staged.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pending {
    /// The unit that wrote the head which holds it.
    pub(super) unit: Uuid,
    /// Writes that the head holds itself.
    pub(super) writes: Writes,
    /// Parts of those that are too large for it, in order.
    pub(super) parts: Vec<String>,
}

impl Pending {
    pub(super) const fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.parts.is_empty()
    }
}

/// A person's head.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    /// Whose it is.
    pub(super) user_id: UserId,
    /// Grows with each unit.
    pub(super) version: i64,
    /// The unit that wrote it: whoever does not know whether a write of theirs arrived finds out by this. And a server that comes
    /// back from a failure may be without the last of what was read from it before; then the version is given once more, to
    /// another unit.
    pub(super) unit: Uuid,
    /// The units before it.
    pub(super) trail: Trail,
    /// Everything that units decide by.
    pub(super) state: Arc<State>,
    /// What is still to be written elsewhere, as far as the head says.
    pub(super) pending: Pending,
}

impl Head {
    /// As stored, with the bytes of what it has staged and the news that it brings.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when it is larger than the server takes.
    pub(super) fn document(&self, staged: Option<Vec<u8>>, news: Vec<&'static str>) -> StoreResult<RawDocumentBuf> {
        let Self { user_id, version, unit, trail, state, pending } = self;
        let moment = |moment: Option<Timestamp>| moment.map(date);
        let open = state.outgoing.iter().filter(|message| message.is_open());
        let oldest = state.turns.iter().map(|turn| turn.due).chain(open.clone().map(|message| message.due)).min();
        let stored = Stored {
            id: object_id(*user_id),
            version: *version,
            unit: unit.to_string(),
            trail: (!trail.is_empty()).then(|| Binary { subtype: BinarySubtype::Generic, bytes: trail.to_bytes() }),
            phone: state.person.phone.as_ref().map(PhoneNumber::as_str),
            receipts: state.receipts.iter().map(|receipt| receipt.key.as_str()).collect(),
            carrier_keys: state.outgoing.iter().filter_map(known_to_carrier).collect(),
            turn_next: moment(state.turn_lane.next),
            turn_owner: state.turn_lane.owner.as_deref(),
            delivery_next: moment(state.delivery_lane.next),
            delivery_gateway: state.delivery_lane.gateway.as_deref(),
            delivery_owner: state.delivery_lane.owner.as_deref(),
            oldest_due: moment(oldest),
            open_turns: count(state.turns.len()),
            open_deliveries: count(open.count()),
            jobs: count(state.turns.len() + state.outgoing.len()),
            erased_at: moment(state.erased_at),
            staged_since: if pending.is_empty() { None } else { staged_since(*unit) },
            pending: staged.map(|bytes| Binary { subtype: BinarySubtype::Generic, bytes }),
            parts: &pending.parts,
            state: HumanReadable(state.as_ref()),
            news,
        };
        let document = mongodb::bson::serialize_to_raw_document_buf(&stored).map_err(super::staged::unwritable)?;
        let size = document.as_bytes().len();
        if size > LARGEST {
            let reason = format!("too much of this person is unfinished at once ({size} bytes); wait until it is answered");
            return Err(StoreError::Conflict { reason });
        }
        Ok(document)
    }

    /// Reads one.
    pub(super) fn from_document(collection: &str, document: &Document) -> StoreResult<Self> {
        let fields = Fields::new(collection, document);
        Ok(Self {
            user_id: fields.user("_id")?,
            version: fields.number("version")?,
            unit: fields.id("unit", |unit| unit)?,
            trail: Self::trail_from(&fields)?,
            state: fields.find_value("state")?.map(Arc::new).ok_or_else(|| fields.damaged("state", "it is missing"))?,
            pending: Self::pending_from(collection, document)?,
        })
    }

    /// The units before a head's own; a release that did not note them left none.
    pub(super) fn trail_from(fields: &Fields<'_>) -> StoreResult<Trail> {
        let Some(bytes) = fields.find_bytes("trail")? else { return Ok(Trail::default()) };
        Trail::from_bytes(bytes).ok_or_else(|| fields.damaged("trail", "it is no row of ids"))
    }

    /// What a head, or the part of one that was asked for, has staged.
    pub(super) fn pending_from(collection: &str, document: &Document) -> StoreResult<Pending> {
        let fields = Fields::new(collection, document);
        let writes = fields.find_bytes("pending")?.map(Writes::from_bytes).transpose().map_err(|error| fields.damaged("pending", error))?;
        let parts = fields.texts("parts")?.into_iter().map(str::to_owned).collect();
        Ok(Pending { unit: fields.id("unit", |unit| unit)?, writes: writes.unwrap_or_default(), parts })
    }
}

/// A head's document. What is missing or empty is not written: indexes hold only who has some.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stored<'a> {
    #[serde(rename = "_id")]
    id: ObjectId,
    version: i64,
    unit: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    trail: Option<Binary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phone: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    receipts: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    carrier_keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_next: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    turn_owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_next: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_gateway: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery_owner: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_due: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_turns: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    open_deliveries: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jobs: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    erased_at: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    staged_since: Option<Bson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending: Option<Binary>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    parts: &'a [String],
    /// Ids in it are texts, as they are asked for.
    state: HumanReadable<&'a State>,
    /// [`super::news::of_unit`].
    #[serde(skip_serializing_if = "Vec::is_empty")]
    news: Vec<&'static str>,
}

fn count(number: usize) -> Option<i64> {
    (number > 0).then(|| i64::try_from(number).unwrap_or(i64::MAX))
}

fn known_to_carrier(message: &Outgoing) -> Option<String> {
    message.gateway_message_id.as_ref().map(|id| carrier_key(&message.route.gateway, id))
}

/// Heads that this process has seen, so that a unit need not read what it wrote a moment ago. The version tells when another
/// process has written meanwhile: nothing is decided by a remembered head alone.
#[derive(Debug, Default)]
pub(super) struct Heads {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    heads: HashMap<UserId, Arc<Head>>,
    /// When each was last as the server had it.
    seen: HashMap<UserId, Instant>,
    phones: HashMap<PhoneNumber, UserId>,
    lanes: OwnLanes,
}

impl Heads {
    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn find(&self, user_id: UserId) -> Option<Arc<Head>> {
        self.known().heads.get(&user_id).cloned()
    }

    pub(super) fn find_by_phone(&self, phone: &PhoneNumber) -> Option<Arc<Head>> {
        let known = self.known();
        known.phones.get(phone).and_then(|user_id| known.heads.get(user_id)).cloned()
    }

    /// Remembers a head, unless a newer one of the person is known. Whoever was erased is remembered by nobody.
    pub(super) fn remember(&self, head: &Arc<Head>) {
        if head.state.erased_at.is_some() {
            return self.forget(head.user_id);
        }
        let mut known = self.known();
        if known.heads.get(&head.user_id).is_some_and(|other| other.version > head.version) {
            return;
        }
        if known.heads.len() >= REMEMBERED && !known.heads.contains_key(&head.user_id) {
            known.make_room();
        }
        known.lanes.note(head);
        if let Some(phone) = &head.state.person.phone {
            known.phones.insert(phone.clone(), head.user_id);
        }
        known.seen.insert(head.user_id, Instant::now());
        known.heads.insert(head.user_id, Arc::clone(head));
    }

    /// The head of a person whose turn is being answered, as it was when that was leased, if it was a moment ago. What is changed elsewhere
    /// since then is changed beside the turn, and not before it.
    pub(super) fn of_begun_turn(&self, user_id: UserId) -> Option<Arc<Head>> {
        let known = self.known();
        let is_fresh = known.seen.get(&user_id).is_some_and(|seen| seen.elapsed() < A_MOMENT);
        known.heads.get(&user_id).filter(|head| is_fresh && head.state.turn_lane.owner.is_some()).cloned()
    }

    /// What that unit had staged is written.
    pub(super) fn applied(&self, user_id: UserId, unit: Uuid) {
        let mut known = self.known();
        if let Some(head) = known.heads.get_mut(&user_id).filter(|head| head.unit == unit) {
            let mut written = Head::clone(head);
            written.pending = Pending { unit, ..Pending::default() };
            *head = Arc::new(written);
        }
    }

    /// Forgets a head that is not what the server has.
    pub(super) fn forget(&self, user_id: UserId) {
        let mut known = self.known();
        known.heads.remove(&user_id);
        known.seen.remove(&user_id);
        known.lanes.forget(user_id);
    }

    /// The remembered heads whose lane is due, up to `limit`, the longest due first, of those that `admits` lets through; and when
    /// the next of them is.
    pub(super) fn due(
        &self,
        lane: LaneKind,
        now: Timestamp,
        limit: usize,
        admits: impl Fn(&State) -> bool,
    ) -> (Vec<Arc<Head>>, Option<Timestamp>) {
        let known = self.known();
        let mut due = Vec::new();
        for (next, user_id) in known.lanes.in_order(lane) {
            let Some(head) = known.heads.get(&user_id).filter(|head| admits(&head.state)) else { continue };
            if next > now || due.len() == limit {
                return (due, Some(next));
            }
            due.push(Arc::clone(head));
        }
        (due, None)
    }
}

impl Known {
    /// Forgets those with nothing to be done; if that is not enough, all.
    fn make_room(&mut self) {
        self.heads.retain(|_user_id, head| head.state.turn_lane.next.or(head.state.delivery_lane.next).is_some());
        if self.heads.len() >= REMEMBERED / 2 {
            *self = Self::default();
        }
        let Self { heads, phones, seen, .. } = self;
        seen.retain(|user_id, _seen| heads.contains_key(user_id));
        phones.retain(|_phone, user_id| heads.contains_key(user_id));
    }
}
