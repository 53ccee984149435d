//! Making one person of two.
//!
//! Somebody has two accounts: they changed their number, or an earlier program made two. What is decided about them is decided here,
//! once for all backends, as plain functions over portable records ([`Holdings`]): [`unite`] says what the remaining person has then.
//! The rest (conversations, messages, turns, outgoing messages, receipts, tokens) only changes its owner, which is each backend's own
//! work.

mod graph;
mod holdings;
mod lists;
mod person;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

pub(in crate::store) use self::holdings::Holdings;
pub(in crate::store) use self::person::more_careful;
use super::record::Record;
use super::{StoreError, StoreResult};
use crate::domain::graph::GraphLimits;
use crate::domain::ids::{ConversationId, UserId};
use crate::domain::phone::PhoneNumber;

/// How much one person may have.
#[derive(Debug, Clone, Copy)]
pub struct MergeLimits {
    /// Of the graph; only how many of each are counted, not how long they are.
    pub graph: GraphLimits,
    /// Items of the todo list.
    pub todos: usize,
    /// Schedules that have not finished.
    pub schedules: usize,
}

/// What a merge did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Merged {
    /// The number of the account that is gone, where it is nobody's now: a text from it makes a new person.
    pub freed: Option<PhoneNumber>,
    /// The number that the remaining account took over, having had none.
    pub taken: Option<PhoneNumber>,
    /// The remaining account's number is opted out now, because that of the other was.
    pub opted_out: bool,
    /// Conversations that changed their owner.
    pub conversations: u64,
    /// What was added to the graph.
    pub entities: u64,
    /// Likewise.
    pub observations: u64,
    /// Likewise.
    pub relations: u64,
    /// Items that were added to the todo list.
    pub todos: u64,
    /// Schedules that were added.
    pub schedules: u64,
}

/// An account of another program's that has somebody's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Double {
    /// The account, which is used by nobody.
    pub account: UserId,
    /// Whose number it is.
    pub owner: UserId,
}

/// A conversation that an earlier program began by phone while another one of the same person went on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DoubleConversation {
    /// Whose both are.
    pub user_id: UserId,
    /// The one that becomes a part of the other.
    pub conversation: ConversationId,
    /// Of those that went on at the same time the one that was used last.
    pub into: ConversationId,
}

/// Making one person of two, and one conversation.
#[async_trait]
pub trait Merging {
    /// Accounts that another program made with a number that somebody has already, and that are left as they are. Only a backend
    /// that shares its data with another program has any.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_doubles(&self) -> StoreResult<Vec<Double>> {
        Ok(Vec::new())
    }

    /// Makes a person without a number of such an account, who can be merged then. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Unavailable`].
    async fn adopt_double(&self, _account: UserId) -> StoreResult<()> {
        Err(StoreError::NotFound { what: "the account" })
    }

    /// Open conversations by phone that were begun while another of the same person went on: at most `reuse_days` after the last
    /// message of that one (0: however long). Only a backend that shares its data with another program has any.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_double_conversations(&self, _reuse_days: u32) -> StoreResult<Vec<DoubleConversation>> {
        Ok(Vec::new())
    }

    /// Makes one conversation of two: `into` has the messages of both, in the order in which they were said, and `from` is gone. What
    /// named `from` names `into` then. It happens whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when one of the two is not that person's; [`StoreError::Conflict`] when both are the same, or a text in
    /// one of them waits for its answer; [`StoreError::Unavailable`].
    async fn merge_conversations(&self, _user_id: UserId, _from: ConversationId, _into: ConversationId) -> StoreResult<()> {
        Err(StoreError::NotFound { what: "the conversation" })
    }

    /// Gives everything of `from` to `into`, who then is one person with one number, and deletes the account `from`. Where both
    /// have the same thing (an entity of a name, an open item, a preference) there is one afterwards, and `into`'s wins. Credits
    /// are added; of two words on being texted, and of being blocked or not, the more careful one holds. Receipts go along, so
    /// nothing is answered twice. The number of `from` is nobody's afterwards, unless `into` had none.
    ///
    /// It happens whole or not at all. Where a backend cannot do that in one step, a call that was interrupted is finished by
    /// repeating it, and until then `from` is refused everything with [`StoreError::Unavailable`].
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when one of the two is not there; [`StoreError::Conflict`] when both are the same, when `from` has a
    /// turn that is not over or a message that no carrier has taken yet, or when together they would have more than `limits`
    /// allow: nothing was changed; [`StoreError::Unavailable`].
    async fn merge_people(&self, from: UserId, into: UserId, limits: MergeLimits) -> StoreResult<Merged>;
}

/// What the remaining person has of what rules decide about.
#[derive(Debug)]
pub(in crate::store) struct United {
    /// Records that are new or changed, all of the remaining person, in an order in which they can be put.
    pub(in crate::store) put: Vec<Record>,
    /// What was done so far.
    pub(in crate::store) merged: Merged,
    /// Schedules that are added, by the number that they had and the one that they get.
    pub(in crate::store) schedules: Vec<(i64, i64)>,
}

/// Makes one of both.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Conflict`] when it would be more than is allowed.
pub(in crate::store) fn unite(from: &Holdings, into: &Holdings, limits: &MergeLimits) -> StoreResult<United> {
    let missing = || StoreError::NotFound { what: "the person" };
    let (one, other) = (from.person.as_ref().ok_or_else(missing)?, into.person.as_ref().ok_or_else(missing)?);
    if one.user_id == other.user_id {
        return Err(StoreError::Conflict { reason: "both are the same account".to_owned() });
    }
    let mut united = United { put: Vec::new(), merged: Merged::default(), schedules: Vec::new() };
    let person = person::person(one, other);
    if other.phone.is_none() {
        united.merged.taken.clone_from(&one.phone);
    } else {
        united.merged.freed.clone_from(&one.phone);
    }
    let user = person.user_id;
    united.put.push(Record::Person(Box::new(person)));
    if let Some(activity) = person::activity(user, from.activity.as_ref(), into.activity.as_ref()) {
        united.put.push(Record::Activity(Box::new(activity)));
    }
    united.put.extend(person::notices(user, &from.notices, &into.notices));
    graph::unite(user, from, into, &limits.graph, &mut united)?;
    lists::todos(user, from, into, limits.todos, &mut united)?;
    lists::schedules(user, from, into, limits.schedules, &mut united)?;
    Ok(united)
}

/// That it would be too much.
fn too_much(what: &str, both: usize, allowed: usize) -> StoreError {
    let reason = format!(
        "together they would have {both} {what}, and {allowed} are allowed; nothing was changed: delete some of either, or raise the limit"
    );
    StoreError::Conflict { reason }
}

/// Refuses to merge somebody who is being worked for.
pub(in crate::store) fn refuse_open_work(turns: usize, messages: usize) -> StoreResult<()> {
    if turns == 0 && messages == 0 {
        return Ok(());
    }
    let reason = format!(
        "the account that is to go has {turns} turns that are not answered and {messages} messages that no carrier has taken yet; let a \
         server finish them, or end them (`scrubjay jobs list`, `scrubjay jobs discard ID`), and merge then"
    );
    Err(StoreError::Conflict { reason })
}
