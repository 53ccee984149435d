//! Taking in messages: who sent it, whether it came before, and then one unit.

use std::sync::Arc;

use async_trait::async_trait;
use mongodb::bson::doc;

use super::MongoStore;
use super::fault;
use super::head::Head;
use super::names::Place;
use super::shapes;
use super::state::accept::{Placed, receipt_key};
use super::unit::{Apply, Unit};
use crate::store::{Accepted, Action, Change, Door, Effect, Inbox, NewInbound, Receipt, StoreResult};

#[async_trait]
impl Inbox for MongoStore {
    async fn accept(&self, new: NewInbound) -> StoreResult<Accepted> {
        // Texts of one number wait for each other here, so that the first makes the person and the second finds them.
        let _queue = self.queue_of_phone(&new.phone).await?;
        let mut remembered = self.heads.find_by_phone(&new.phone);
        let mut made = 0;
        loop {
            let known = remembered.take();
            let is_fresh = known.is_none();
            let (repeat, head, queue) = if let Some(head) = known {
                // Nothing of this process comes between the question whether the message came before and the unit that takes it in.
                let queue = self.queue_of(head.user_id).await?;
                let head = self.newest(head);
                (self.find_repeat(&new.door).await?, Some(head), Some(queue))
            } else {
                self.wait_before(made).await?;
                made += 1;
                let (repeat, head) = futures::future::join(self.find_repeat(&new.door), self.load_by_phone(&new.phone)).await;
                (repeat?, head?.map(Arc::new), None)
            };
            if let Some(repeat) = repeat {
                return Ok(repeat);
            }
            if let Some(key) = receipt_key(&new.door)
                && let Some(head) = head.as_ref().filter(|head| head.state.receipts.iter().any(|receipt| receipt.key == key))
            {
                // It came before, and its receipt is still staged: then it is found where it stays.
                drop(queue);
                self.settle(head.user_id).await?;
                if let Some(repeat) = self.find_repeat(&new.door).await? {
                    return Ok(repeat);
                }
                self.heads.forget(head.user_id);
                continue;
            }
            let _persons_queue = match (queue, &head) {
                (None, Some(head)) => {
                    let queue = self.queue_of(head.user_id).await?;
                    let newest = self.newest(Arc::clone(head));
                    if newest.version > head.version {
                        // While it waited, another unit of this process went by, on a head that may know the message.
                        remembered = Some(newest);
                        continue;
                    }
                    Some(queue)
                }
                (queue, _) => queue,
            };
            match self.accept_on(&new, head, is_fresh).await? {
                Some(accepted) => return Ok(accepted),
                None => self.note_receipt_elsewhere(&new.door).await?,
            }
        }
    }

    async fn find_receipt(&self, door: &Door) -> StoreResult<Option<Receipt>> {
        let Some(key) = receipt_key(door) else { return Ok(None) };
        if let Some((receipt, _body)) = self.stored_receipt(&key).await? {
            return Ok(Some(receipt));
        }
        self.settle_receipt(&key).await?;
        Ok(self.stored_receipt(&key).await?.map(|(receipt, _body)| receipt))
    }
}

impl MongoStore {
    /// What is to be answered to a message that came before.
    async fn find_repeat(&self, door: &Door) -> StoreResult<Option<Accepted>> {
        let Some(key) = receipt_key(door) else { return Ok(None) };
        let said = match door {
            Door::Api { repeat: Some(repeat) } => Some(repeat.fingerprint.as_slice()),
            _ => None,
        };
        let found = self.stored_receipt(&key).await?;
        Ok(found.map(|(receipt, body)| if body.as_deref() == said { Accepted::Repeat(receipt) } else { Accepted::OtherBody }))
    }

    async fn stored_receipt(&self, key: &str) -> StoreResult<Option<(Receipt, Option<Vec<u8>>)>> {
        let collection = self.collection(Place::Receipts);
        let found = collection.find_one(doc! { "_id": key }).await.map_err(fault::unavailable)?;
        found.map(|document| shapes::receipt_from(collection.name(), &document)).transpose()
    }

    /// A commit did not go through: perhaps because another person's message has the same key. That is seen when it stands where
    /// it stays.
    async fn note_receipt_elsewhere(&self, door: &Door) -> StoreResult<()> {
        match receipt_key(door) {
            Some(key) => self.settle_receipt(&key).await,
            None => Ok(()),
        }
    }

    /// Applies what is staged for whoever has that receipt in their head.
    async fn settle_receipt(&self, key: &str) -> StoreResult<()> {
        let found = self.load_where(doc! { "receipts": key }).await?;
        match found {
            Some(head) => self.settle(head.user_id).await,
            None => Ok(()),
        }
    }

    /// Takes a message in on a head, or as a new person's. `None` when it must be begun again.
    async fn accept_on(&self, new: &NewInbound, head: Option<Arc<Head>>, is_fresh: bool) -> StoreResult<Option<Accepted>> {
        let is_new = head.is_none();
        let mut unit = match head {
            Some(head) => self.unit_on(head),
            None => self.unit_of_stranger(Some(&new.phone), &new.person).await?,
        };
        let is_new = is_new && unit.draft.user_id == new.person.id;
        unit.need_target(&new.conversation, &new.source).await?;
        let (receipt, action) = match unit.draft.place(new, is_new) {
            Placed::Over(Accepted::UnknownConversation) if is_fresh => return Ok(Some(Accepted::UnknownConversation)),
            Placed::Over(accepted) => {
                let blocked = matches!(accepted, Accepted::Blocked { .. });
                if !is_fresh || !blocked {
                    // What is remembered may no longer be so.
                    self.heads.forget(unit.draft.user_id);
                    return Ok(None);
                }
                return Ok(unit.commit().await?.then_some(accepted));
            }
            Placed::Stored(receipt, action) => (receipt, action),
        };
        let (changed, when) = match action.as_ref() {
            Action::Answer { effect: Effect::Change { change, .. }, .. } => (unit.change_by_word(&receipt, change).await?, Apply::Now),
            _ => (false, Apply::Later),
        };
        unit.draft.take_effect(new, &action, &receipt, changed);
        if !unit.commit_and(when).await? {
            return Ok(None);
        }
        if is_new {
            self.hear_strangers_word(&new.phone, receipt.user_id).await?;
        }
        Ok(Some(Accepted::Stored(receipt)))
    }
}

impl Unit<'_> {
    /// Makes a change that a person asks for by a word; false when there was nothing to change, or a limit forbids it.
    async fn change_by_word(&mut self, of: &Receipt, change: &Change) -> StoreResult<bool> {
        self.apply_staged().await?;
        self.make_change(of, change).await
    }
}
