//! Units of work: load the head, run the rule, stage, commit, apply.
//!
//! The commit is one replacement of one document, guarded by its version; so a unit is whole or not at all on any server, with or
//! without transactions. What it writes elsewhere is staged in the same replacement and applied afterwards, by whoever comes
//! first: this process at once, or, if it dies, the next unit or the next reader of that person. [`super::apply`] says why that
//! may happen twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mongodb::bson::{Document, RawDocumentBuf, doc};
use tokio::sync::OwnedMutexGuard;

use super::MongoStore;
use super::fault::{self, Wrote};
use super::fields::{Fields, document_of, object_id, to_bson};
use super::head::{Head, Pending};
use super::names::Place;
use super::news;
use super::soon::goes_with_others;
use super::staged::{IN_HEAD, Writes, binary};
use super::state::{Draft, State};
use super::trail::{Became, Trail};
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::store::{StoreError, StoreResult};

/// How often a unit is tried that others' units of the same person come before.
const ATTEMPTS: u32 = 40;

/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// How often a head is written whose way to the server breaks, while the way back does not: then whoever waits is told.
const WRITES: u32 = 3;

/// How long a receipt stays in a head after it was stored where it stays.
const RECEIPTS: Duration = Duration::from_mins(2);

/// When what a unit staged is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Apply {
    /// Right after the commit.
    Now,
    /// In a moment, with what others' units stage, and nobody waits for it; or at once where it needs a look of its own.
    Soon,
    /// With what the person's next unit stages: it comes soon, and readers apply what they find staged.
    Later,
}

/// What became of a commit.
#[derive(Debug)]
pub(super) enum Commit {
    /// It happened.
    Done,
    /// Somebody else's unit was first: begin again from what is there now.
    Stale,
}

/// A unit of one person that is being made: what is read in it is as committed, what it changes happens with [`Unit::commit`].
pub(super) struct Unit<'a> {
    /// Where it reads.
    pub(super) store: &'a MongoStore,
    /// The state as it will be, and what is written elsewhere.
    pub(super) draft: Draft,
    base: Option<Arc<Head>>,
}

/// Units of one person, one after the other until one is committed.
pub(super) struct Attempts<'a> {
    store: &'a MongoStore,
    user_id: UserId,
    made: u32,
    /// Units of one person take turns within a process: they would only get in each other's way.
    queue: Option<OwnedMutexGuard<()>>,
}

/// The part of a head by which what is staged can be applied.
pub(super) fn staged_part() -> Document {
    doc! { "version": 1, "unit": 1, "pending": 1, "parts": 1 }
}

impl Attempts<'_> {
    /// Loads the person's head, with everything applied that was staged for it, for a unit that reads other collections too.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when there is no such person; [`StoreError::Unavailable`] when too many others come before.
    pub(super) async fn begin(&mut self) -> StoreResult<Unit<'_>> {
        if self.queue.is_none() {
            self.queue = Some(self.store.queue_of(self.user_id).await?);
        }
        self.store.wait_before(self.made).await?;
        self.made += 1;
        let mut head = self.store.load(self.user_id).await?.ok_or(StoreError::NotFound { what: "the person" })?;
        if !head.pending.is_empty() {
            self.store.apply(head.user_id, head.version, &head.pending).await?;
            head.pending = Pending { unit: head.unit, ..Pending::default() };
        }
        let head = Arc::new(head);
        self.store.heads.remember(&head);
        Ok(self.store.unit_on(head))
    }
}

impl Unit<'_> {
    /// Applies what is staged for the person, before another collection is read.
    pub(super) async fn apply_staged(&self) -> StoreResult<()> {
        match &self.base {
            Some(base) if !base.pending.is_empty() => self.store.settle(base.user_id).await,
            _ => Ok(()),
        }
    }

    /// What is staged for the person and perhaps not yet applied.
    pub(super) fn staged(&self) -> Option<&Pending> {
        self.base.as_deref().map(|base| &base.pending)
    }

    /// Makes the unit happen, and applies what it staged. False when somebody else's unit was first: begin again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: it did not happen, or nobody can say ([`StoreError::outcome_is_unknown`]).
    pub(super) async fn commit(self) -> StoreResult<bool> {
        self.commit_and(Apply::Now).await
    }

    /// The same, with the say when what it staged is applied.
    pub(super) async fn commit_and(self, when: Apply) -> StoreResult<bool> {
        let Self { store, draft, base } = self;
        if let Some(base) = &base
            && draft.is_unchanged(base)
        {
            return Ok(true);
        }
        Ok(matches!(store.commit(base.as_deref(), draft, when).await?, Commit::Done))
    }
}

impl Draft {
    /// A head's state, to be changed.
    pub(super) fn of(head: &Head, now: Timestamp) -> Self {
        Self { user_id: head.user_id, now, state: State::clone(&head.state), writes: Writes::default(), least_version: 0 }
    }

    /// Nothing is to be written.
    pub(super) fn is_unchanged(&self, base: &Head) -> bool {
        self.writes.is_empty() && self.state == *base.state
    }
}

impl MongoStore {
    /// A unit of a person that reads other collections as well. Use it as
    ///
    /// ```ignore
    /// let mut attempts = self.unit(user_id);
    /// loop {
    ///     let mut unit = attempts.begin().await?;
    ///     let answer = rule(&mut unit).await?;
    ///     if unit.commit().await? {
    ///         return Ok(answer);
    ///     }
    /// }
    /// ```
    pub(super) const fn unit(&self, user_id: UserId) -> Attempts<'_> {
        Attempts { store: self, user_id, made: 0, queue: None }
    }

    /// A unit on a head that is at hand.
    pub(super) fn unit_on(&self, head: Arc<Head>) -> Unit<'_> {
        Unit { store: self, draft: Draft::of(&head, self.now()), base: Some(head) }
    }

    /// A unit that makes a person.
    pub(super) fn unit_of_new(&self, user_id: UserId, state: State) -> Unit<'_> {
        Unit { store: self, draft: Draft { user_id, now: self.now(), state, writes: Writes::default(), least_version: 0 }, base: None }
    }

    /// A unit whose rule decides by the state alone. What this process remembers of the person is tried first: where it is no
    /// longer so the commit says that, and whatever would not be committed is asked again of what the server has.
    ///
    /// # Errors
    /// Those of the rule; [`StoreError::NotFound`] when there is no such person; [`StoreError::Unavailable`].
    pub(super) async fn change<T: Send>(
        &self,
        user_id: UserId,
        when: Apply,
        mut rule: impl FnMut(&mut Draft) -> StoreResult<T> + Send,
    ) -> StoreResult<T> {
        let _queue = self.queue_of(user_id).await?;
        let mut remembered = self.heads.find(user_id);
        let mut made = 0;
        loop {
            let (head, is_fresh) = if let Some(head) = remembered.take() {
                (head, false)
            } else {
                self.wait_before(made).await?;
                made += 1;
                (Arc::new(self.load(user_id).await?.ok_or(StoreError::NotFound { what: "the person" })?), true)
            };
            let mut draft = Draft::of(&head, self.now());
            let answer = rule(&mut draft);
            if answer.is_err() || draft.is_unchanged(&head) {
                if is_fresh {
                    self.heads.remember(&head);
                    return answer;
                }
                continue;
            }
            if matches!(self.commit(Some(&head), draft, when).await?, Commit::Done) {
                return answer;
            }
        }
    }

    /// Waits a little before another try, the longer the more there were; the first is at once.
    pub(super) async fn wait_before(&self, made: u32) -> StoreResult<()> {
        if made == 0 {
            return Ok(());
        }
        if made >= ATTEMPTS {
            let reason = format!("{ATTEMPTS} tries met others' changes of the same person; try again");
            return Err(StoreError::Unavailable { reason, source: None });
        }
        let most = Duration::from_millis(2).saturating_mul(1 << made.min(8)).min(LONGEST_WAIT);
        // Chance keeps two processes from meeting again.
        let share = u32::from(self.clock.uuid().as_bytes().last().copied().unwrap_or(0)) + 1;
        tokio::time::sleep(most * share / 256).await;
        Ok(())
    }

    /// Units of one person wait for each other here, as far as they are of this process.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when its turn does not come in time.
    pub(super) async fn queue_of(&self, user_id: UserId) -> StoreResult<OwnedMutexGuard<()>> {
        self.queues.of(user_id.as_bytes()).await
    }

    /// The same for a number, whose person is not known yet.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when its turn does not come in time.
    pub(super) async fn queue_of_phone(&self, phone: &PhoneNumber) -> StoreResult<OwnedMutexGuard<()>> {
        self.phone_queues.of(phone.as_str().as_bytes()).await
    }

    /// Reads a person's head.
    pub(super) async fn load(&self, user_id: UserId) -> StoreResult<Option<Head>> {
        self.load_where(doc! { "_id": object_id(user_id) }).await
    }

    /// Reads the head of whoever has that number.
    pub(super) async fn load_by_phone(&self, phone: &PhoneNumber) -> StoreResult<Option<Head>> {
        self.load_where(doc! { "phone": phone.as_str() }).await
    }

    /// Reads the one head that has these values, if it is somebody's.
    pub(super) async fn load_where(&self, filter: Document) -> StoreResult<Option<Head>> {
        let collection = self.db.collection::<RawDocumentBuf>(&self.names.of(Place::Heads));
        let found = collection.find_one(filter).await.map_err(fault::unavailable)?;
        let read = |bytes: RawDocumentBuf| Head::from_document(collection.name(), &document_of(&bytes)?);
        let head = found.map(read).transpose()?;
        Ok(head.filter(|head| head.state.erased_at.is_none()))
    }

    /// Applies what is staged for a person, so that what is read next is as committed.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub(super) async fn settle(&self, user_id: UserId) -> StoreResult<()> {
        let found = self.collection(Place::Heads).find_one(doc! { "_id": object_id(user_id) }).projection(staged_part()).await;
        match found.map_err(fault::unavailable)? {
            Some(document) => self.settle_found(user_id, &document).await,
            None => Ok(()),
        }
    }

    /// Applies what a head has staged, of which [`staged_part`] was read.
    pub(super) async fn settle_found(&self, user_id: UserId, document: &Document) -> StoreResult<()> {
        let collection = self.names.of(Place::Heads);
        let pending = Head::pending_from(&collection, document)?;
        if pending.is_empty() {
            return Ok(());
        }
        let version = Fields::new(&collection, document).number("version")?;
        self.apply(user_id, version, &pending).await
    }

    /// Stores a draft in place of the head that it was made from, or as a new person's, and with it what it staged.
    pub(super) async fn commit(&self, base: Option<&Head>, draft: Draft, when: Apply) -> StoreResult<Commit> {
        let user_id = draft.user_id;
        self.presence.may_commit().await?;
        let begun = Instant::now();
        if base.is_some_and(|base| base.state.merging_into.is_some()) && draft.state.merging_into.is_some() {
            let reason = "the account is becoming part of another; `scrubjay users merge` finishes that".to_owned();
            return Err(StoreError::Unavailable { reason, source: None });
        }
        let (version, unit) = (base.map_or(1, |base| base.version + 1).max(draft.least_version), self.clock.uuid());
        let told = news::of_unit(base.map(|base| base.state.as_ref()), &draft.state, draft.now);
        let (head, staged) = self.staged(base, draft, version, unit).await?;
        let is_large = !head.pending.is_empty() && staged.is_none();
        let document = head.document(staged, told)?;
        match self.write_head(base, user_id, &document, unit).await? {
            Became::Newest => {}
            Became::Earlier => {
                // Whoever came behind it has carried on, or applied, what it staged.
                self.heads.forget(user_id);
                return Ok(Commit::Done);
            }
            Became::Nothing | Became::NotYet | Became::Unknown => {
                self.heads.forget(user_id);
                self.forget_parts(&head.pending.parts).await;
                return Ok(Commit::Stale);
            }
        }
        let head = Arc::new(head);
        self.heads.remember(&head);
        if head.pending.is_empty() {
            self.soon.forget(user_id);
        } else if when == Apply::Soon && goes_with_others(&head) {
            self.apply_soon(&head, begun);
        } else if when == Apply::Later && !is_large {
            self.soon.renew(&head, begun);
        } else {
            self.soon.forget(user_id);
            // It has happened, whatever becomes of this: what stays staged is applied by whoever comes next.
            if begun.elapsed() > fault::LATE {
                self.heads.forget(user_id);
            } else if let Err(error) = self.apply(user_id, version, &head.pending).await {
                tracing::debug!(error = %error, "what a unit staged is left to the next");
            }
        }
        Ok(Commit::Done)
    }

    /// Writes a head in place of that from which it was made, and tells what became of it: [`Became::Newest`], [`Became::Earlier`], or
    /// something else where another unit's is there.
    ///
    /// # Errors
    /// [`StoreError::outcome_is_unknown`] when nobody can say.
    async fn write_head(&self, base: Option<&Head>, user_id: UserId, document: &RawDocumentBuf, unit: uuid::Uuid) -> StoreResult<Became> {
        let collection = self.db.collection::<RawDocumentBuf>(&self.names.of(Place::Heads));
        let mut made = 0;
        loop {
            made += 1;
            let wrote = match base {
                None => fault::wrote(collection.insert_one(document).await.map(|_inserted| true)),
                Some(base) => {
                    let was = doc! { "_id": object_id(user_id), "version": base.version, "unit": base.unit.to_string() };
                    fault::wrote(collection.replace_one(was, document).await.map(|replaced| replaced.matched_count > 0))
                }
            };
            let error = match wrote {
                Wrote::Done => return Ok(Became::Newest),
                // What refuses may be a try before, of ours or of the driver's, whose answer was lost.
                Wrote::Refused => None,
                Wrote::Unknown(error) => Some(error),
            };
            // The head says whose units it has seen.
            match (self.became_of(user_id, unit, base).await, error) {
                (Ok(Became::NotYet), Some(error)) => {
                    if made == WRITES {
                        return Err(fault::unknown(error));
                    }
                }
                (Ok(Became::Unknown) | Err(_), Some(error)) => return Err(fault::unknown(error)),
                (told, _) => return told,
            }
        }
    }

    /// Asks the head what became of a unit.
    ///
    /// # Errors
    /// [`StoreError::outcome_is_unknown`] when it cannot be read.
    async fn became_of(&self, user_id: UserId, unit: uuid::Uuid, base: Option<&Head>) -> StoreResult<Became> {
        let collection = self.collection(Place::Heads);
        let asked = collection.find_one(doc! { "_id": object_id(user_id) }).projection(doc! { "unit": 1, "trail": 1 });
        let Some(found) = asked.await.map_err(fault::unknown)? else {
            return Ok(if base.is_none() { Became::NotYet } else { Became::Nothing });
        };
        let fields = Fields::new(collection.name(), &found);
        let newest = fields.id("unit", |unit| unit)?;
        Ok(Head::trail_from(&fields)?.tells_of(newest, unit, base.map(|base| base.unit)))
    }

    /// The head as it will be, with the bytes of what it has staged; what is too large for it is written as parts first.
    async fn staged(&self, base: Option<&Head>, mut draft: Draft, version: i64, unit: uuid::Uuid) -> StoreResult<(Head, Option<Vec<u8>>)> {
        draft.put_away_outgoing();
        draft.state.forget_old_threads();
        let mut earlier = base.map(|base| base.pending.clone()).unwrap_or_default();
        if earlier.is_empty() {
            let until = draft.now.before(RECEIPTS);
            draft.state.receipts.retain(|receipt| receipt.at > until);
        }
        let own = std::mem::take(&mut draft.writes);
        let mut writes = earlier.writes.followed_by(own.clone());
        let mut bytes = writes.to_bytes()?;
        if let Some(base) = base.filter(|_base| !earlier.parts.is_empty() || (bytes.len() > IN_HEAD && !earlier.is_empty())) {
            self.apply(base.user_id, base.version, &earlier).await?;
            earlier = Pending::default();
            writes = own;
            bytes = writes.to_bytes()?;
        }
        let mut pending = Pending { unit, writes, parts: earlier.parts };
        let mut staged = (!pending.writes.is_empty()).then_some(bytes);
        if staged.as_ref().is_some_and(|bytes| bytes.len() > IN_HEAD) {
            staged = None;
            let parts = self.write_parts(draft.user_id, unit, &pending.writes).await?;
            pending = Pending { unit, parts, writes: Writes::default() };
        }
        let trail = base.map_or_else(Trail::default, |base| base.trail.followed_by(base.unit));
        Ok((Head { user_id: draft.user_id, version, unit, trail, state: Arc::new(draft.state), pending }, staged))
    }

    /// Writes what is too large for a head; returns the parts' names.
    async fn write_parts(&self, user_id: UserId, unit: uuid::Uuid, writes: &Writes) -> StoreResult<Vec<String>> {
        let collection = self.collection(Place::Units);
        let mut names = Vec::new();
        for (number, bytes) in writes.in_parts()?.into_iter().enumerate() {
            let name = format!("{unit}/{number}");
            let part = doc! {
                "_id": &name,
                "user": user_id.to_string(),
                "part": binary(bytes),
                "storedAt": super::fields::date(self.now()),
            };
            // The driver repeats what got no answer; a name is of this try alone, so what is there is what this wrote.
            match fault::wrote(collection.insert_one(part).await.map(|_inserted| true)) {
                Wrote::Done | Wrote::Refused => names.push(name),
                Wrote::Unknown(error) => return Err(fault::unavailable(error)),
            }
        }
        Ok(names)
    }

    /// Removes parts that no head names. That they are left behind harms nobody.
    pub(super) async fn forget_parts(&self, parts: &[String]) {
        if parts.is_empty() {
            return;
        }
        let names = to_bson(&parts).unwrap_or_default();
        if let Err(error) = self.collection(Place::Units).delete_many(doc! { "_id": { "$in": names } }).await {
            tracing::debug!(error = %error, "parts of a unit were left behind");
        }
    }
}
