//! The port's methods, each as one unit of work.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::writer::{Unit, Urgency};
use super::{SqliteStore, accept, conversations, erase, graph, jobs, lanes, outbox, people, tokens, turn_end, turn_views, turns, upkeep};
use crate::domain::conversation::Conversation;
use crate::domain::delivery::{OutboundMessage, StatusReport};
use crate::domain::ids::{ConversationId, OutboundId, TurnId, UserId};
use crate::domain::job::{Job, JobId};
use crate::domain::ledger::Credits;
use crate::domain::message::Message;
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::domain::token::Token;
use crate::domain::turn::{FinishedTurn, LeasedTurn, TurnLease, TurnRecord};
use crate::domain::user::{PreferenceChange, User};
use crate::store::{
    Accepted, Action, BalanceRules, CompletedTurn, Consent, Conversations, DailyLimits, DeliveryLease, DeliveryOutcome, Door, Effect,
    Elsewhere, HeldLease, Inbox, JobFilter, Jobs, KnownToken, Leased, LeasedDelivery, MessageFilter, NewAccount, NewInbound, Outbox, Owner,
    Page, PageRequest, People, Receipt, Recent, Reservation, StatusRecorded, StoreError, StoreFigures, StoreResult, Tokens, TurnOutcome,
    TurnRelease, Turns, Upkeep,
};

#[async_trait]
impl Inbox for SqliteStore {
    async fn accept(&self, new: NewInbound) -> StoreResult<Accepted> {
        let forgets = matches!(&new.action, Action::Answer { effect: Effect::Change { change, .. }, .. } if change.forgets());
        let accepted = self.write(Urgency::Accept, move |unit| accept::accept(unit, &new)).await?;
        if forgets {
            // The log still holds what was deleted.
            self.progress.forget();
        }
        Ok(accepted)
    }

    async fn find_receipt(&self, door: &Door) -> StoreResult<Option<Receipt>> {
        let door = door.clone();
        self.read(move |db| accept::find_receipt(db, &door)).await
    }
}

#[async_trait]
impl Turns for SqliteStore {
    async fn lease_turns(&self, owner: &Owner, limit: usize, limits: &DailyLimits) -> StoreResult<Leased<LeasedTurn>> {
        let (owner, limits) = (owner.clone(), limits.clone());
        self.write(Urgency::Other, move |unit| turns::lease(unit, &owner, limit, &limits)).await
    }

    async fn reserve(&self, lease: &TurnLease, rules: BalanceRules, credits: Credits) -> StoreResult<Reservation> {
        let lease = lease.clone();
        self.write(Urgency::Other, move |unit| turn_end::reserve(unit, &lease, rules, credits)).await
    }

    async fn complete_turn(&self, lease: &TurnLease, outcome: TurnOutcome) -> StoreResult<CompletedTurn> {
        let lease = lease.clone();
        self.write(Urgency::Other, move |unit| turn_end::complete(unit, &lease, &outcome)).await
    }

    async fn release_turn(&self, lease: &TurnLease, release: TurnRelease) -> StoreResult<()> {
        let lease = lease.clone();
        self.write(Urgency::Other, move |unit| turn_end::release(unit, &lease, &release)).await
    }

    async fn find_turn(&self, user_id: UserId, turn_id: TurnId) -> StoreResult<Option<TurnRecord>> {
        self.read(move |db| turn_views::find(db, user_id, turn_id)).await
    }

    async fn list_finished_turns(&self, user_id: UserId, after_event: i64, limit: usize) -> StoreResult<Vec<FinishedTurn>> {
        self.read(move |db| turn_views::list_finished(db, user_id, after_event, limit)).await
    }

    async fn latest_event(&self, user_id: UserId) -> StoreResult<i64> {
        self.read(move |db| turn_views::latest_event(db, user_id)).await
    }
}

#[async_trait]
impl Outbox for SqliteStore {
    async fn lease_deliveries(&self, owner: &Owner, gateways: &[String], limit: usize) -> StoreResult<Leased<LeasedDelivery>> {
        let (owner, gateways) = (owner.clone(), gateways.to_vec());
        self.write(Urgency::Other, move |unit| outbox::lease(unit, &owner, &gateways, limit)).await
    }

    async fn record_delivery(&self, lease: &DeliveryLease, outcome: DeliveryOutcome) -> StoreResult<()> {
        let lease = lease.clone();
        self.write(Urgency::Other, move |unit| outbox::record(unit, &lease, &outcome)).await
    }

    async fn release_delivery(&self, lease: &DeliveryLease) -> StoreResult<()> {
        let lease = lease.clone();
        self.write(Urgency::Other, move |unit| outbox::release(unit, &lease)).await
    }

    async fn record_status(&self, report: &StatusReport) -> StoreResult<StatusRecorded> {
        let report = report.clone();
        self.write(Urgency::Other, move |unit| outbox::record_status(unit, &report)).await
    }

    async fn list_known_ids(&self, user_id: UserId, since: Timestamp) -> StoreResult<Vec<String>> {
        self.read(move |db| outbox::known_ids(db, user_id, since)).await
    }

    async fn find_outbound(&self, user_id: UserId, id: OutboundId) -> StoreResult<Option<OutboundMessage>> {
        self.read(move |db| outbox::find(db, user_id, id)).await
    }

    async fn list_outbound(&self, user_id: UserId, limit: usize) -> StoreResult<Vec<OutboundMessage>> {
        self.read(move |db| outbox::list(db, user_id, limit)).await
    }
}

#[async_trait]
impl People for SqliteStore {
    async fn find_user(&self, user_id: UserId) -> StoreResult<Option<User>> {
        self.look_up(move |db| people::find(db, user_id)).await
    }

    async fn find_user_by_phone(&self, phone: &PhoneNumber) -> StoreResult<Option<User>> {
        let phone = phone.clone();
        self.look_up(move |db| people::find_by_phone(db, &phone)).await
    }

    async fn open_account(&self, account: NewAccount) -> StoreResult<User> {
        self.write(Urgency::Other, move |unit| people::open(unit, &account)).await
    }

    async fn list_users(&self, page: PageRequest) -> StoreResult<Page<User>> {
        self.read(move |db| people::list(db, &page)).await
    }

    async fn change_preferences(&self, user_id: UserId, changes: Vec<PreferenceChange>) -> StoreResult<User> {
        self.write(Urgency::Other, move |unit| people::prefer(unit, user_id, &changes)).await
    }

    async fn erase_person(&self, user_id: UserId) -> StoreResult<()> {
        let first_key = self.clock.secret_bytes().map_err(|error| StoreError::unavailable("the system gave no random bytes", error))?;
        self.write(Urgency::Other, move |unit| erase::begin(unit, user_id, first_key)).await
    }

    async fn set_blocked(&self, user_id: UserId, blocked: bool) -> StoreResult<User> {
        self.write(Urgency::Other, move |unit| people::set_blocked(unit, user_id, blocked)).await
    }

    async fn is_opted_out(&self, phone: &PhoneNumber) -> StoreResult<bool> {
        let phone = phone.clone();
        self.read(move |db| lanes::opted_out(db, &phone)).await
    }

    async fn record_consent(&self, phone: &PhoneNumber, consent: Consent, said_at: Timestamp) -> StoreResult<()> {
        let phone = phone.clone();
        self.write(Urgency::Accept, move |unit| lanes::record_word(unit, &phone, consent, said_at).map(|_word| ())).await
    }
}

#[async_trait]
impl Conversations for SqliteStore {
    async fn find_conversation(&self, user_id: UserId, id: ConversationId) -> StoreResult<Option<Conversation>> {
        self.read(move |db| conversations::find(db, user_id, id)).await
    }

    async fn list_conversations(&self, user_id: UserId, page: PageRequest) -> StoreResult<Page<Conversation>> {
        self.read(move |db| conversations::list(db, user_id, &page)).await
    }

    async fn close_conversation(&self, user_id: UserId, id: ConversationId) -> StoreResult<Conversation> {
        self.write(Urgency::Other, move |unit| conversations::close(unit, user_id, id)).await
    }

    async fn delete_conversation(&self, user_id: UserId, id: ConversationId) -> StoreResult<()> {
        self.write(Urgency::Other, move |unit| conversations::delete(unit, user_id, id)).await?;
        // The log still holds what was deleted.
        self.progress.forget();
        Ok(())
    }

    async fn list_messages(&self, user_id: UserId, filter: MessageFilter, page: PageRequest) -> StoreResult<Page<Message>> {
        self.read(move |db| conversations::list_messages(db, user_id, &filter, &page)).await
    }

    async fn recent_messages(&self, user_id: UserId, id: ConversationId, before_sequence: i64, limit: usize) -> StoreResult<Recent> {
        self.read(move |db| conversations::recent(db, user_id, id, before_sequence, limit)).await
    }
}

#[async_trait]
impl Jobs for SqliteStore {
    async fn list_jobs(&self, filter: JobFilter, page: PageRequest) -> StoreResult<Page<Job>> {
        let now = self.clock.now();
        self.read(move |db| jobs::list(db, now, filter, &page)).await
    }

    async fn find_job(&self, id: JobId) -> StoreResult<Option<Job>> {
        let now = self.clock.now();
        self.read(move |db| jobs::find(db, now, id)).await
    }

    async fn replay_job(&self, user_id: UserId, id: JobId, expires_at: Timestamp) -> StoreResult<Job> {
        self.write(Urgency::Other, move |unit| jobs::replay(unit, user_id, id, expires_at)).await
    }

    async fn discard_job(&self, user_id: UserId, id: JobId) -> StoreResult<Job> {
        self.write(Urgency::Other, move |unit| jobs::discard(unit, user_id, id)).await
    }
}

#[async_trait]
impl Tokens for SqliteStore {
    async fn add_token(&self, token: Token) -> StoreResult<()> {
        self.write(Urgency::Other, move |unit| tokens::add(unit, &token)).await
    }

    async fn find_token(&self, hash: [u8; 32], named: Option<UserId>) -> StoreResult<Option<KnownToken>> {
        self.look_up(move |db| tokens::find(db, hash, named)).await
    }

    async fn list_tokens(&self, page: PageRequest) -> StoreResult<Page<Token>> {
        self.read(move |db| tokens::list(db, &page)).await
    }

    async fn revoke_token(&self, id: Uuid) -> StoreResult<()> {
        self.write(Urgency::Other, move |unit| tokens::revoke(unit, id)).await
    }
}

/// Files tell nobody that they were written to: what other processes do is asked for.
impl Elsewhere for SqliteStore {}

#[async_trait]
impl Upkeep for SqliteStore {
    async fn check(&self) -> StoreResult<()> {
        let companion = self.companion.clone();
        let check = move |unit: &Unit<'_>| {
            companion.as_ref().map_or(Ok(()), |companion| companion.probe())?;
            upkeep::check(unit)
        };
        self.noted(self.checks.check(&self.clock, || self.writer.submit(Urgency::Other, check)).await)?;
        self.noted(self.writer.check_trouble())?;
        self.damage.check()
    }

    async fn figures(&self) -> StoreResult<StoreFigures> {
        let now = self.clock.now();
        self.read(move |db| upkeep::figures(db, now)).await
    }

    async fn find_mark(&self, name: &str) -> StoreResult<Option<Timestamp>> {
        let name = name.to_owned();
        self.read(move |db| upkeep::find_mark(db, &name)).await
    }

    async fn set_mark(&self, name: &str, moment: Timestamp) -> StoreResult<()> {
        let name = name.to_owned();
        self.write(Urgency::Other, move |unit| upkeep::set_mark(unit, &name, moment)).await
    }

    async fn list_owners(&self) -> StoreResult<Vec<Owner>> {
        self.read(upkeep::owners).await
    }

    async fn release_owner(&self, owner: &Owner) -> StoreResult<usize> {
        let owner = owner.clone();
        self.write(Urgency::Other, move |unit| upkeep::release(unit, &owner)).await
    }

    async fn renew_leases(&self, owner: &Owner, held: &[HeldLease]) -> StoreResult<usize> {
        let (owner, held) = (owner.clone(), held.to_vec());
        self.write(Urgency::Accept, move |unit| upkeep::renew(unit, &owner, &held)).await
    }

    async fn erase_left_over(&self, rows: usize) -> StoreResult<bool> {
        // Most of the time there is nothing, and a look does not wait for writers.
        if !self.read(|db| Ok(graph::any_left_over(db)? || erase::any_left_over(db)?)).await? {
            return Ok(false);
        }
        let erase = move |unit: &Unit<'_>| {
            let left = erase::erase_left_over(unit, rows)?;
            Ok(left == 0 || graph::erase_left_over(unit, left)?)
        };
        let more = self.write(Urgency::Other, erase).await?;
        if !more {
            // The log still holds what was erased.
            self.progress.forget();
        }
        Ok(more)
    }

    async fn close(&self) {
        self.short.close();
        let (readers, writer, checkpointer) = (Arc::clone(&self.readers), Arc::clone(&self.writer), Arc::clone(&self.checkpointer));
        let (companion, presence) = (self.companion.clone(), Arc::clone(&self.presence));
        let shut_down = move || Self::shut_down(&readers, &writer, &checkpointer, companion.as_deref(), &presence);
        let closed = tokio::task::spawn_blocking(shut_down).await;
        if let Err(error) = closed {
            tracing::error!(error = %error, "the store did not close in order");
        }
    }
}
