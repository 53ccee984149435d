//! The schedule tools: a person's planned messages, as agents and MCP clients use them.

mod shapes;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use self::shapes::{
    CreateArguments, Created, Deleted, IdArguments, ListArguments, Listed, ModeWord, One, Ran, StatusWord, UpdateArguments,
};
pub use self::shapes::{ScheduleShape, WhenShape};
use super::answers::{result, unreachable};
use super::arguments::{ToolList, tool};
use crate::domain::ids::UserId;
use crate::domain::schedule::{Mode, Schedule, ScheduleId};
use crate::service::remind::{ChangeAsked, Remind, RemindError, RunBy, ScheduleAsked, Workers};
use crate::service::tools::{JsonObject, ResourceDefinition, ToolContext, ToolDefinition, ToolHints, ToolOutcome, ToolSet};
use crate::store::{ScheduleFilter, StoreError, StoreResult};

/// The resource of what will run.
const UPCOMING: &str = "schedule://upcoming";

/// It texts the person, each time it is called.
const RUN: ToolHints = ToolHints { read_only: false, destructive: false, idempotent: false, open_world: false };

/// Its moment may be counted from now ("in 20 minutes"): a repeat would be another one.
const FROM_NOW: ToolHints = ToolHints { read_only: false, destructive: false, idempotent: false, open_world: false };

/// Told where this process does not send what a run makes.
const STORED: &str = "The run is stored. A server (`scrubjay serve`) texts or answers it: now if one is running on this store, else once one is \
                      started.";

/// The schedule tools.
pub struct ScheduleTools {
    remind: Arc<Remind>,
    tools: ToolList,
}

impl ScheduleTools {
    /// Over this service.
    #[must_use]
    pub fn new(remind: Arc<Remind>) -> Self {
        let tools = vec![
            tool::<CreateArguments, Created>(
                "schedule_create",
                "Plan a message",
                "Plans a text to the person, once or again and again: a reminder, or a question that is answered then. An equal schedule \
                 that is on is returned instead of doubled.",
                FROM_NOW,
            ),
            tool::<ListArguments, Listed>("schedule_list", "List schedules", "Lists the person's schedules.", ToolHints::READ),
            tool::<IdArguments, One>("schedule_get", "Show a schedule", "Shows one schedule.", ToolHints::READ),
            tool::<UpdateArguments, One>(
                "schedule_update",
                "Change a schedule",
                "Changes the given fields of a schedule.",
                ToolHints { destructive: true, ..FROM_NOW },
            ),
            tool::<IdArguments, One>("schedule_enable", "Turn a schedule on", "Turns a schedule on again.", ToolHints::ADD),
            tool::<IdArguments, One>("schedule_disable", "Turn a schedule off", "Keeps a schedule but runs it no more.", ToolHints::ADD),
            tool::<IdArguments, Deleted>("schedule_delete", "Delete a schedule", "Deletes a schedule for good.", ToolHints::CHANGE),
            tool::<IdArguments, Ran>("schedule_run_now", "Run a schedule now", "Runs a schedule once more, now; its plan stays.", RUN),
        ];
        Self { remind, tools: ToolList::new(tools) }
    }

    /// The outcome, where what went wrong is an outcome too.
    async fn outcome(&self, context: &ToolContext, name: &str, arguments: JsonObject) -> Result<ToolOutcome, ToolOutcome> {
        let user = context.user_id;
        match name {
            "schedule_create" => self.create(context, self.tools.read(name, arguments)?).await,
            "schedule_list" => self.list(user, self.tools.read(name, arguments)?).await,
            "schedule_update" => self.update(user, self.tools.read(name, arguments)?).await,
            "schedule_get" | "schedule_enable" | "schedule_disable" | "schedule_delete" | "schedule_run_now" => {
                let IdArguments { id } = self.tools.read(name, arguments)?;
                let id = ScheduleId(id);
                let schedule = match name {
                    "schedule_get" => self.remind.get(user, id).await,
                    "schedule_enable" => self.remind.enable(user, id).await,
                    "schedule_disable" => self.remind.disable(user, id).await,
                    "schedule_run_now" => {
                        let by = if context.conversation_id.is_some() { RunBy::Agent } else { RunBy::Person };
                        let schedule = self.remind.run_now(user, id, by).await.map_err(|error| failure(&error, Some(id)))?;
                        let note = (self.remind.workers() == Workers::Elsewhere).then_some(STORED);
                        return result(&Ran { schedule: ScheduleShape::from(&schedule), note });
                    }
                    _ => {
                        self.remind.delete(user, id).await.map_err(|error| failure(&error, Some(id)))?;
                        return result(&Deleted { deleted: id.0 });
                    }
                };
                one(&schedule.map_err(|error| failure(&error, Some(id)))?)
            }
            other => Err(self.tools.unknown(other)),
        }
    }

    async fn create(&self, context: &ToolContext, arguments: CreateArguments) -> Result<ToolOutcome, ToolOutcome> {
        let CreateArguments { message, when, mode, name, timezone } = arguments;
        let asked = ScheduleAsked {
            name,
            message,
            mode: mode.map_or(Mode::Remind, ModeWord::into),
            when: when.asked().map_err(ToolOutcome::error)?,
            zone: timezone,
        };
        let added = self.remind.create(context.user_id, context.conversation_id, asked).await.map_err(|error| failure(&error, None))?;
        result(&Created { schedule: ScheduleShape::from(&added.schedule), created: added.is_new })
    }

    async fn update(&self, user: UserId, arguments: UpdateArguments) -> Result<ToolOutcome, ToolOutcome> {
        let UpdateArguments { id, message, when, mode, name, timezone } = arguments;
        let when = when.map(shapes::WhenArgument::asked).transpose().map_err(ToolOutcome::error)?;
        let asked = ChangeAsked { name, message, mode: mode.map(ModeWord::into), when, zone: timezone };
        let id = ScheduleId(id);
        one(&self.remind.change(user, id, asked).await.map_err(|error| failure(&error, Some(id)))?)
    }

    async fn list(&self, user: UserId, arguments: ListArguments) -> Result<ToolOutcome, ToolOutcome> {
        let mut schedules = self.remind.list(user, ScheduleFilter::All).await.map_err(|error| failure(&error.into(), None))?;
        if arguments.status != Some(StatusWord::All) {
            schedules.retain(|schedule| !schedule.finished);
        }
        result(&listed(&schedules))
    }
}

#[async_trait]
impl ToolSet for ScheduleTools {
    fn name(&self) -> &'static str {
        "schedule"
    }

    async fn definitions(&self, _context: &ToolContext) -> Arc<Vec<ToolDefinition>> {
        self.tools.definitions()
    }

    async fn call(&self, context: &ToolContext, name: &str, arguments: JsonObject) -> ToolOutcome {
        self.outcome(context, name, arguments).await.unwrap_or_else(|failed| failed)
    }

    fn resources(&self) -> &'static [ResourceDefinition] {
        &[ResourceDefinition { uri: UPCOMING, name: "Upcoming schedules", description: "What will be texted or asked, the next first" }]
    }

    async fn read_resource(&self, context: &ToolContext, uri: &str) -> StoreResult<Option<Value>> {
        if uri != UPCOMING {
            return Ok(None);
        }
        let schedules = self.remind.list(context.user_id, ScheduleFilter::Upcoming).await?;
        Ok(serde_json::to_value(listed(&schedules)).ok())
    }
}

fn listed(schedules: &[Schedule]) -> Listed {
    Listed { schedules: schedules.iter().map(ScheduleShape::from).collect() }
}

fn one(schedule: &Schedule) -> Result<ToolOutcome, ToolOutcome> {
    result(&One { schedule: ScheduleShape::from(schedule) })
}

/// What went wrong, in words that say what to do.
fn failure(error: &RemindError, id: Option<ScheduleId>) -> ToolOutcome {
    match (error, id) {
        (RemindError::Store(StoreError::NotFound { .. }), Some(id)) => {
            ToolOutcome::error(format!("There is no schedule {id}; schedule_list shows those that there are."))
        }
        (RemindError::Store(cause), _) => {
            unreachable("the schedules", cause).unwrap_or_else(|| ToolOutcome::error(format!("Nothing was done: {cause}.")))
        }
        _ => ToolOutcome::error(format!("Nothing was done: {error}.")),
    }
}
