//! The port's methods of schedules, each as one unit of work.

use async_trait::async_trait;

use super::writer::Urgency;
use super::{SqliteStore, schedule_runs, schedules};
use crate::domain::ids::UserId;
use crate::domain::schedule::{Schedule, ScheduleId};
use crate::store::{AddedSchedule, DueSchedules, Fired, Firing, NewSchedule, ScheduleChange, ScheduleFilter, Schedules, StoreResult};

#[async_trait]
impl Schedules for SqliteStore {
    async fn add_schedule(&self, user_id: UserId, new: NewSchedule, limit: usize) -> StoreResult<AddedSchedule> {
        self.write(Urgency::Other, move |unit| schedules::add(unit, user_id, &new, limit)).await
    }

    async fn find_schedule(&self, user_id: UserId, id: ScheduleId) -> StoreResult<Option<Schedule>> {
        self.read(move |db| schedules::find(db, user_id, id)).await
    }

    async fn list_schedules(&self, user_id: UserId, filter: ScheduleFilter) -> StoreResult<Vec<Schedule>> {
        self.read(move |db| schedules::list(db, user_id, filter)).await
    }

    async fn change_schedule(
        &self,
        user_id: UserId,
        id: ScheduleId,
        revision: i64,
        changes: Vec<ScheduleChange>,
        limit: usize,
    ) -> StoreResult<Schedule> {
        let replaces_text = changes.iter().any(|change| matches!(change, ScheduleChange::Name(_) | ScheduleChange::Message(_)));
        let stored = self.write(Urgency::Other, move |unit| schedules::change(unit, user_id, id, revision, &changes, limit)).await?;
        if replaces_text {
            // The log still holds what it said before.
            self.progress.forget();
        }
        Ok(stored)
    }

    async fn delete_schedule(&self, user_id: UserId, id: ScheduleId) -> StoreResult<()> {
        self.write(Urgency::Other, move |unit| schedules::delete(unit, user_id, id)).await?;
        // The log still holds what was deleted.
        self.progress.forget();
        Ok(())
    }

    async fn list_due_schedules(&self, limit: usize) -> StoreResult<DueSchedules> {
        let now = self.clock.now();
        let held = self.held_schedules.current(now);
        let (found, damaged) = self.read(move |db| schedules::list_due(db, now, limit, &held)).await?;
        for key in damaged {
            let (user, id) = key;
            let file = self.file.display();
            tracing::error!(%user, schedule = %id, "a schedule's row in {file} holds what cannot be there; it is left alone for a minute");
            self.held_schedules.hold(key, now);
        }
        Ok(found)
    }

    async fn fire_schedule(&self, firing: Firing) -> StoreResult<Fired> {
        self.write(Urgency::Other, move |unit| schedule_runs::fire(unit, &firing)).await
    }
}
