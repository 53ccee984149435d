//! Firing a schedule: the plan goes on and the run makes what it makes, in one unit.

use super::SCHEDULE;
use super::row::{LastRun, Row};
use crate::domain::delivery::ReplyRoute;
use crate::domain::ids::ConversationId;
use crate::domain::ledger::Credits;
use crate::domain::message::Role;
use crate::domain::schedule::RunOutcome;
use crate::domain::turn::{Refusal, TurnRequest};
use crate::store::mongodb::shapes;
use crate::store::mongodb::state::credits::Everybody;
use crate::store::mongodb::state::outgoing::Recipient;
use crate::store::mongodb::state::{Answer, Text, Thread, Turn, TurnKind};
use crate::store::mongodb::unit::Unit;
use crate::store::{Act, ConversationTarget, DailyLimits, Fired, Firing, Plan, Run, RunKind, StoreError, StoreResult};

/// The source of conversations that a run goes into.
const SOURCE: &str = "sms";

/// What a run made.
struct Made {
    last: LastRun,
    outgoing: usize,
}

impl Made {
    const fn nothing(outcome: RunOutcome) -> Self {
        Self { last: LastRun { outcome, turn: None, outbound: None, routed: false }, outgoing: 0 }
    }
}

/// A firing for somebody who is gone.
pub(super) const fn of_nobody(firing: &Firing) -> StoreResult<Fired> {
    match firing.plan {
        Plan::Due { .. } => Ok(Fired::Lost),
        Plan::Extra => Err(StoreError::NotFound { what: SCHEDULE }),
    }
}

impl Unit<'_> {
    /// Fires a schedule, if it is still as it was read.
    /// `counted` remembers over several tries whether the run is counted among everybody's turns of the day.
    pub(super) async fn fire(&mut self, firing: &Firing, counted: &mut Option<Everybody>) -> StoreResult<Fired> {
        let found = self.store.load_schedule(self.draft.user_id, firing.schedule_id).await?;
        let mut row = match (firing.plan, found) {
            (Plan::Due { due, revision, .. }, Some(row)) if row.schedule.next_run == Some(due) && row.schedule.revision == revision => row,
            (Plan::Extra, Some(row)) => row,
            _ => return of_nobody(firing),
        };
        // As read, the failures hold the bad end of the run before, wherever that was known from.
        let failures = self.store.shown_one(&self.draft.state, &row).await?.failures;
        let made = match &firing.act {
            Act::Run(run) => Some(self.make(&row, run, counted).await?),
            Act::Miss => Some(Made::nothing(RunOutcome::Missed)),
            Act::Hold => None,
        };
        let outgoing = made.as_ref().map_or(0, |made| made.outgoing);
        let (now, schedule) = (self.draft.now, &mut row.schedule);
        if let Some(Made { last, .. }) = made {
            if last.outcome != RunOutcome::Missed {
                schedule.last_run = Some(now);
                schedule.runs += 1;
            }
            schedule.failures = failures + u32::from(last.outcome.is_failure());
            schedule.updated_at = now;
            row.last = Some(last);
        }
        if let Plan::Due { then, .. } = firing.plan {
            schedule.next_run = then;
            schedule.finished = then.is_none();
            schedule.enabled = then.is_some();
            schedule.revision += 1;
        }
        self.write_schedule(&row);
        let last = self.draft.state.lists.schedules.last;
        self.schedules_changed(last);
        let schedule = self.store.shown_one(&self.draft.state, &row).await?;
        Ok(Fired::Done { schedule: Box::new(schedule), outgoing })
    }

    /// Makes what a run makes: a turn with its text, and the outgoing messages of a reminder.
    async fn make(&mut self, row: &Row, run: &Run, counted: &mut Option<Everybody>) -> StoreResult<Made> {
        if self.draft.state.person.blocked {
            return Ok(Made::nothing(RunOutcome::Blocked));
        }
        if self.draft.state.opted_out() {
            return Ok(Made::nothing(RunOutcome::OptedOut));
        }
        let phone = self.draft.state.person.phone.clone();
        let known = self.draft.state.route.clone().or_else(|| run.default_route.clone());
        // Without a number there is no way, whatever the default.
        let way = phone.zip(known);
        let made = match &run.kind {
            RunKind::Remind { outgoing, segment_price, balance, limits } => {
                let segments = outgoing.iter().filter(|part| !part.held).map(|part| i64::from(part.segments)).sum();
                let price = Credits(segment_price.0.saturating_mul(segments));
                // Without a way to a phone nothing leaves, and nothing is paid.
                let payment = way.as_ref().and(*balance).filter(|_rules| price > Credits::ZERO);
                if let Some(rules) = payment {
                    self.see_credits().await?;
                    if self.draft.grant_due(rules) < price {
                        return Ok(Made::nothing(RunOutcome::Refused(Refusal::OutOfCredit)));
                    }
                }
                if let Some(refusal) = self.count_run(limits, counted).await? {
                    return Ok(Made::nothing(RunOutcome::Refused(refusal)));
                }
                let conversation_id = self.find_conversation(row, run).await?;
                let route = way.as_ref().map(|(_phone, route)| route);
                self.add_turn(run, conversation_id, TurnKind::Remind, &TurnRequest::default(), route);
                let (turn, turn_id) = (Some(run.turn_id), run.turn_id);
                match (&way, outgoing.first()) {
                    (Some((phone, route)), Some(first)) => {
                        let to = Recipient { phone, conversation_id, turn_id, route, confirmation: false };
                        self.draft.add_outgoing(&to, outgoing);
                        if payment.is_some() {
                            self.draft.charge(price);
                            if let Some(turn) = self.draft.state.turns.iter_mut().find(|turn| turn.id == turn_id) {
                                turn.charge = price;
                            }
                        }
                        let last = LastRun { outcome: RunOutcome::Texted, turn, outbound: Some(first.id), routed: true };
                        Made { last, outgoing: outgoing.len() }
                    }
                    _ => Made { last: LastRun { outcome: RunOutcome::Stored, turn, outbound: None, routed: false }, outgoing: 0 },
                }
            }
            RunKind::Ask { token_count, instructions } => {
                let request = TurnRequest { additional_instructions: Some(instructions.clone()), ..TurnRequest::default() };
                let conversation_id = self.find_conversation(row, run).await?;
                let route = way.as_ref().map(|(_phone, route)| route);
                let number = self.add_turn(run, conversation_id, TurnKind::Reply, &request, route);
                self.add_text(run, number, conversation_id, *token_count);
                let last = LastRun { outcome: RunOutcome::Asked, turn: Some(run.turn_id), outbound: None, routed: route.is_some() };
                Made { last, outgoing: 0 }
            }
        };
        self.draft.refresh_turns();
        Ok(made)
    }

    /// Counts the run among the turns of the day, unless it is over a limit.
    async fn count_run(&mut self, limits: &DailyLimits, counted: &mut Option<Everybody>) -> StoreResult<Option<Refusal>> {
        if limits.all > 0 && counted.is_none() && !self.draft.is_over_own_limit(limits) {
            *counted = Some(self.store.count_for_everybody(limits).await?);
        }
        Ok(self.draft.count_turn(limits, counted.unwrap_or(Everybody::Counted)))
    }

    /// The conversation in which the schedule was made, else the one that the person would continue by texting, else a new one.
    async fn find_conversation(&mut self, row: &Row, run: &Run) -> StoreResult<ConversationId> {
        if let Some(own) = row.schedule.conversation_id {
            self.need_target(&ConversationTarget::Exactly(own), SOURCE).await?;
            if self.draft.state.thread(own).is_some_and(|thread| !thread.closed) {
                return Ok(own);
            }
        }
        self.need_target(&ConversationTarget::ByPhone { not_before: run.not_before }, SOURCE).await?;
        if let Some(newest) = self.draft.state.newest_thread(SOURCE, run.not_before) {
            return Ok(newest.id);
        }
        let phone = self.draft.state.person.phone.clone();
        let title = phone.as_ref().map_or_else(|| "Schedules".to_owned(), |phone| format!("SMS Chat {}", phone.as_str()));
        let id = run.new_conversation_id;
        self.draft.add_thread(Thread::new(id, title, SOURCE.to_owned(), phone, self.draft.now));
        Ok(id)
    }

    /// Puts a turn at the end of the person's lane, due now. A reminder's text is the answer to nothing: it gets its place in the
    /// conversation when the turns before it have theirs.
    fn add_turn(
        &mut self,
        run: &Run,
        conversation_id: ConversationId,
        kind: TurnKind,
        request: &TurnRequest,
        route: Option<&ReplyRoute>,
    ) -> i64 {
        let (now, number) = (self.draft.now, self.draft.next_number());
        let answer = (kind == TurnKind::Remind).then(|| Answer { id: run.message_id, text: run.text.clone() });
        self.draft.state.turns.push(Turn {
            request: request.clone(),
            route: route.cloned(),
            answer,
            ..Turn::new(number, run.turn_id, conversation_id, kind, now)
        });
        number
    }

    /// The text that is to be answered. It counts in the conversation, and not among what the person sent.
    fn add_text(&mut self, run: &Run, number: i64, conversation_id: ConversationId, token_count: i64) {
        let (user_id, now) = (self.draft.user_id, self.draft.now);
        let Some(turn) = self.draft.turn_mut(number) else { return };
        let text = Text {
            id: run.message_id,
            text: Some(run.text.clone()),
            attachments: Vec::new(),
            token_count,
            entry: 0,
            recalled: true,
            sequence: None,
            parent: None,
            received_at: now,
            created_at: now,
            updated_at: now,
        };
        let message = text.message(user_id, turn, None);
        debug_assert_eq!(message.role, Role::External, "it is to be answered like what a person sent");
        turn.texts.push(text);
        let place = shapes::Place { slot: number, entry: 0, recalled: true, received_at: now };
        self.draft.put_message(&message, &place);
        if let Some(thread) = self.draft.state.thread_mut(conversation_id) {
            thread.touch(now);
        }
        self.draft.show_thread(conversation_id);
    }
}
