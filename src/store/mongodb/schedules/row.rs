//! A schedule as it lies in its collection.

use mongodb::bson::{Bson, Document, doc};

use crate::domain::ids::{ConversationId, OutboundId, TurnId, UserId};
use crate::domain::schedule::{Mode, RunOutcome, RunProgress, Schedule, ScheduleId, Zone};
use crate::domain::time::Timestamp;
use crate::store::mongodb::fields::{Fields, date, maybe_date, plain};
use crate::store::mongodb::lists::key;
use crate::store::{NewSchedule, StoreResult};

/// A run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LastRun {
    pub(super) outcome: RunOutcome,
    pub(super) turn: Option<TurnId>,
    pub(super) outbound: Option<OutboundId>,
    /// There was a way to the person's phone.
    pub(super) routed: bool,
}

/// A schedule as stored.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// What is stored of it: how its last run ended is not, nor whether that counts as a failure.
    pub(super) schedule: Schedule,
    /// Its last run.
    pub(super) last: Option<LastRun>,
}

impl Row {
    /// A new schedule.
    pub(super) fn new(user_id: UserId, id: i64, new: &NewSchedule, now: Timestamp) -> Self {
        let schedule = Schedule {
            id: ScheduleId(id),
            user_id,
            name: new.name.clone(),
            message: new.message.clone(),
            mode: new.mode,
            when: new.when.clone(),
            zone: new.zone.clone(),
            anchor: new.anchor,
            enabled: true,
            finished: false,
            next_run: Some(new.next_run),
            last_run: None,
            last_result: None,
            runs: 0,
            failures: 0,
            conversation_id: new.conversation_id,
            revision: 1,
            created_at: now,
            updated_at: now,
        };
        Self { schedule, last: None }
    }

    /// What it is found by.
    pub(super) fn key(&self) -> Document {
        key(self.schedule.user_id, self.schedule.id)
    }

    /// Its fields as stored.
    pub(super) fn document(&self) -> Document {
        let (schedule, last) = (&self.schedule, self.last.as_ref());
        let id = |id: Option<String>| id.map_or(Bson::Null, Bson::String);
        doc! {
            "user": schedule.user_id.to_string(),
            "number": schedule.id.0,
            "name": &schedule.name,
            "message": &schedule.message,
            "mode": schedule.mode.as_str(),
            "rule": plain(&schedule.when),
            "zone": schedule.zone.name(),
            "anchor": date(schedule.anchor),
            "enabled": schedule.enabled,
            "finished": schedule.finished,
            "nextRun": maybe_date(schedule.next_run),
            "lastRun": maybe_date(schedule.last_run),
            "lastOutcome": last.map(|last| last.outcome.as_str()),
            "lastTurn": id(last.and_then(|last| last.turn).map(|turn| turn.to_string())),
            "lastOutbound": id(last.and_then(|last| last.outbound).map(|outbound| outbound.to_string())),
            "lastRouted": last.is_some_and(|last| last.routed),
            "runs": i64::from(schedule.runs),
            "failures": i64::from(schedule.failures),
            "conversationId": id(schedule.conversation_id.map(|conversation| conversation.to_string())),
            "revision": schedule.revision,
            "createdAt": date(schedule.created_at),
            "updatedAt": date(schedule.updated_at),
        }
    }

    /// Reads one.
    pub(super) fn from_document(collection: &str, document: &Document) -> StoreResult<Self> {
        let fields = Fields::new(collection, document);
        let count = |path: &str| Ok(u32::try_from(fields.number(path)?).unwrap_or(u32::MAX));
        let missing = |path: &str| fields.damaged(path, "it is missing");
        let last = match fields.find_word("lastOutcome", RunOutcome::parse)? {
            Some(outcome) => Some(LastRun {
                outcome,
                turn: fields.find_id("lastTurn", TurnId::from_uuid)?,
                outbound: fields.find_id("lastOutbound", OutboundId::from_uuid)?,
                routed: fields.flag("lastRouted")?,
            }),
            None => None,
        };
        let schedule = Schedule {
            user_id: fields.user("user")?,
            id: ScheduleId(fields.number("number")?),
            name: fields.text("name")?.to_owned(),
            message: fields.text("message")?.to_owned(),
            mode: fields.find_word("mode", Mode::parse)?.ok_or_else(|| missing("mode"))?,
            when: fields.find_value("rule")?.ok_or_else(|| missing("rule"))?,
            zone: fields.parsed("zone", Zone::parse)?,
            anchor: fields.moment("anchor")?,
            enabled: fields.flag("enabled")?,
            finished: fields.flag("finished")?,
            next_run: fields.find_moment("nextRun")?,
            last_run: fields.find_moment("lastRun")?,
            last_result: None,
            runs: count("runs")?,
            failures: count("failures")?,
            conversation_id: fields.find_id("conversationId", ConversationId::from_uuid)?,
            revision: fields.number("revision")?,
            created_at: fields.moment("createdAt")?,
            updated_at: fields.moment("updatedAt")?,
        };
        Ok(Self { schedule, last })
    }

    /// The schedule as the port has it.
    pub(super) fn shown(&self, progress: &RunProgress) -> Schedule {
        let mut schedule = self.schedule.clone();
        if let Some(LastRun { outcome, .. }) = self.last {
            let result = outcome.result(progress);
            schedule.failures += u32::from(outcome.failed_later(&result));
            schedule.last_result = Some(result);
        }
        schedule
    }
}
