//! A schedule as it lies in its collection, and the rules of changing one: plain functions.

use mongodb::bson::{Bson, Document, doc};

use crate::domain::delivery::OutboundState;
use crate::domain::ids::{ConversationId, OutboundId, TurnId, UserId};
use crate::domain::schedule::{Mode, RunResult, Schedule, ScheduleId, When, Zone};
use crate::domain::time::Timestamp;
use crate::domain::turn::{Refusal, TurnState};
use crate::store::mongodb::fields::{Fields, date, maybe_date, plain};
use crate::store::{NewSchedule, ScheduleChange, StoreError, StoreResult};

/// What a run began, or why it did not. Where what it began ended is read from there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunOutcome {
    /// A text for the carrier.
    Texted,
    /// An entry alone.
    Stored,
    /// A turn.
    Asked,
    Missed,
    OptedOut,
    Blocked,
    /// A limit, or the balance.
    Refused(Refusal),
}

impl RunOutcome {
    const PLAIN: [Self; 6] = [Self::Texted, Self::Stored, Self::Asked, Self::Missed, Self::OptedOut, Self::Blocked];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Texted => "texted",
            Self::Stored => "stored",
            Self::Asked => "asked",
            Self::Missed => "missed",
            Self::OptedOut => "opted-out",
            Self::Blocked => "blocked",
            Self::Refused(refusal) => refusal.as_str(),
        }
    }

    fn parse(word: &str) -> Option<Self> {
        let plain = Self::PLAIN.into_iter().find(|outcome| outcome.as_str() == word);
        plain.or_else(|| Refusal::parse(word).map(Self::Refused))
    }

    /// Whether it is known at once that it came to nothing.
    pub(super) const fn is_failure(self) -> bool {
        matches!(self, Self::Missed | Self::OptedOut | Self::Blocked | Self::Refused(_))
    }
}

/// How far what a run made has come.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    /// The turn: its state, why it was refused, what went wrong.
    pub(super) turn: Option<(TurnState, Option<Refusal>, Option<String>)>,
    /// The outgoing message: its state, what went wrong.
    pub(super) outbound: Option<(OutboundState, Option<String>)>,
}

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
    pub(super) user: UserId,
    pub(super) id: i64,
    name: String,
    message: String,
    mode: Mode,
    when: When,
    zone: Zone,
    anchor: Timestamp,
    pub(super) enabled: bool,
    pub(super) finished: bool,
    pub(super) next_run: Option<Timestamp>,
    pub(super) last_run: Option<Timestamp>,
    pub(super) last: Option<LastRun>,
    pub(super) runs: u32,
    pub(super) failures: u32,
    pub(super) conversation_id: Option<ConversationId>,
    pub(super) revision: i64,
    created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

/// What a schedule is found by.
pub(super) fn key(user: UserId, id: i64) -> Document {
    doc! { "_id": format!("{user}/{id}") }
}

impl Row {
    /// A new schedule.
    pub(super) fn new(user: UserId, id: i64, new: &NewSchedule, now: Timestamp) -> Self {
        Self {
            user,
            id,
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
            last: None,
            runs: 0,
            failures: 0,
            conversation_id: new.conversation_id,
            revision: 1,
            created_at: now,
            updated_at: now,
        }
    }

    /// Its fields as stored.
    pub(super) fn document(&self) -> Document {
        let last = self.last.as_ref();
        let id = |id: Option<String>| id.map_or(Bson::Null, Bson::String);
        doc! {
            "user": self.user.to_string(),
            "number": self.id,
            "name": &self.name,
            "message": &self.message,
            "mode": self.mode.as_str(),
            "rule": plain(&self.when),
            "zone": self.zone.name(),
            "anchor": date(self.anchor),
            "enabled": self.enabled,
            "finished": self.finished,
            "nextRun": maybe_date(self.next_run),
            "lastRun": maybe_date(self.last_run),
            "lastOutcome": last.map(|last| last.outcome.as_str()),
            "lastTurn": id(last.and_then(|last| last.turn).map(|turn| turn.to_string())),
            "lastOutbound": id(last.and_then(|last| last.outbound).map(|outbound| outbound.to_string())),
            "lastRouted": last.is_some_and(|last| last.routed),
            "runs": i64::from(self.runs),
            "failures": i64::from(self.failures),
            "conversationId": id(self.conversation_id.map(|conversation| conversation.to_string())),
            "revision": self.revision,
            "createdAt": date(self.created_at),
            "updatedAt": date(self.updated_at),
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
        Ok(Self {
            user: fields.user("user")?,
            id: fields.number("number")?,
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
            last,
            runs: count("runs")?,
            failures: count("failures")?,
            conversation_id: fields.find_id("conversationId", ConversationId::from_uuid)?,
            revision: fields.number("revision")?,
            created_at: fields.moment("createdAt")?,
            updated_at: fields.moment("updatedAt")?,
        })
    }

    /// The schedule as the port has it.
    pub(super) fn schedule(&self, progress: &Progress) -> Schedule {
        let last_result = self.last.as_ref().map(|last| result(last, progress));
        // What was known at once is counted already; what is read from elsewhere is counted when the next run begins.
        let ended_badly =
            self.last.as_ref().is_some_and(|last| !last.outcome.is_failure()) && last_result.as_ref().is_some_and(RunResult::is_failure);
        Schedule {
            id: ScheduleId(self.id),
            user_id: self.user,
            name: self.name.clone(),
            message: self.message.clone(),
            mode: self.mode,
            when: self.when.clone(),
            zone: self.zone.clone(),
            anchor: self.anchor,
            enabled: self.enabled,
            finished: self.finished,
            next_run: self.next_run,
            last_run: self.last_run,
            last_result,
            runs: self.runs,
            failures: self.failures + u32::from(ended_badly),
            conversation_id: self.conversation_id,
            revision: self.revision,
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    /// Whether a new schedule would be this one over again.
    pub(super) fn is_equal(&self, new: &NewSchedule) -> bool {
        let same_rule = match (&self.when, &new.when) {
            (When::Once(one), When::Once(other)) => one.since(*other).max(other.since(*one)) <= new.same_within,
            (one, other) => one == other,
        };
        same_rule && self.message == new.message && self.mode == new.mode && self.zone.name() == new.zone.name()
    }

    /// Makes a change.
    pub(super) fn apply(&mut self, change: &ScheduleChange) {
        match change {
            ScheduleChange::Name(name) => self.name.clone_from(name),
            ScheduleChange::Message(message) => self.message.clone_from(message),
            ScheduleChange::Mode(mode) => self.mode = *mode,
            ScheduleChange::Rule { when, zone, anchor, next_run } => {
                self.when.clone_from(when);
                self.zone.clone_from(zone);
                self.anchor = *anchor;
                // What had finished begins again.
                self.enabled |= self.finished;
                self.finished = false;
                self.next_run = self.enabled.then_some(*next_run);
            }
            ScheduleChange::Enable { next_run } => {
                self.enabled = true;
                self.finished = false;
                self.next_run = Some(*next_run);
            }
            ScheduleChange::Disable => {
                self.enabled = false;
                self.next_run = None;
            }
        }
    }
}

/// How a run ended, as far as its turn or its outgoing message knows.
fn result(last: &LastRun, progress: &Progress) -> RunResult {
    match last.outcome {
        RunOutcome::Stored => RunResult::Stored,
        RunOutcome::Missed => RunResult::Missed,
        RunOutcome::OptedOut => RunResult::OptedOut,
        RunOutcome::Blocked => RunResult::Blocked,
        RunOutcome::Refused(refusal) => RunResult::Refused(refusal),
        RunOutcome::Texted => match &progress.outbound {
            None => RunResult::Deleted,
            Some((OutboundState::Accepted, _)) => RunResult::Sent,
            Some((OutboundState::Dead | OutboundState::Canceled, error)) => RunResult::Failed(error.clone().unwrap_or_default()),
            Some(_on_its_way) => RunResult::Sending,
        },
        RunOutcome::Asked => match &progress.turn {
            None => RunResult::Deleted,
            Some((TurnState::Open | TurnState::Begun, ..)) => RunResult::Answering,
            Some((TurnState::Dead, _, error)) => RunResult::Failed(error.clone().unwrap_or_default()),
            Some((TurnState::Done, Some(refusal), _)) => RunResult::Refused(*refusal),
            Some((TurnState::Done, None, _)) if last.routed => RunResult::Answered,
            Some((TurnState::Done, None, _)) => RunResult::AnsweredStored,
        },
    }
}

/// Whether there is room for one more that has not finished.
pub(super) fn check_room<'a>(held: impl IntoIterator<Item = &'a Row>, limit: usize) -> StoreResult<()> {
    if held.into_iter().filter(|row| !row.finished).count() >= limit {
        let reason = format!("there are {limit} schedules already, which is the most; delete one that is no longer needed");
        return Err(StoreError::Conflict { reason });
    }
    Ok(())
}
