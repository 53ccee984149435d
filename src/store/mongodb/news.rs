//! Change streams: one a process tells whose turns ended, and whose work was given back, wherever that was done.
//!
//! A unit that other processes should hear of says so in the head that it writes ([`of_unit`]), and the next unit's head no longer
//! does. So the server itself leaves out what nobody needs to hear, which is most of what is written, and what it sends are a few bytes.

use std::time::Duration;

use async_trait::async_trait;
use futures::stream;
use mongodb::Collection;
use mongodb::bson::{Bson, Document, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::{ChangeStreamEvent, ResumeToken};
use mongodb::error::{Error, ErrorKind, Result};

use super::MongoStore;
use super::fault;
use super::fields::Fields;
use super::names::Place;
use super::state::{Lane, State};
use crate::domain::time::Timestamp;
use crate::store::{Elsewhere, LaneKind, News, NewsStream, StoreResult};

/// The field of a head with what its unit tells.
pub(super) const FIELD: &str = "news";

const ENDED: &str = "ended";
const TURNS: &str = "turns";
const DELIVERIES: &str = "deliveries";

/// How long the server may wait for something to tell before it answers that there is nothing.
const AWAIT: Duration = Duration::from_secs(10);

/// The pause before a stream that ended is asked for again.
const REST: Duration = Duration::from_secs(1);

/// The server is no replica set.
const NO_REPLICA_SET: i32 = 40_573;
/// The user may not do that.
const NOT_ALLOWED: i32 = 13;

/// What a unit tells, by the state before it and after it.
pub(super) fn of_unit(before: Option<&State>, after: &State, now: Timestamp) -> Vec<&'static str> {
    let mut told = Vec::new();
    let earlier = before.map_or(0, |before| before.latest_event);
    let is_over = |before: &State| before.turns.iter().any(|turn| !after.turns.iter().any(|other| other.id == turn.id));
    if after.latest_event != earlier || before.is_some_and(is_over) {
        told.push(ENDED);
    }
    let Some(before) = before else { return told };
    let held = given_back(&before.turn_lane, &after.turn_lane, now);
    if held.is_some_and(|number| after.turns.iter().any(|turn| turn.number == number)) {
        told.push(TURNS);
    }
    let held = given_back(&before.delivery_lane, &after.delivery_lane, now);
    if held.is_some_and(|number| after.outgoing.iter().any(|message| message.number == number && message.is_open())) {
        told.push(DELIVERIES);
    }
    told
}

/// What was held in a lane that is free and due now.
fn given_back(before: &Lane, after: &Lane, now: Timestamp) -> Option<i64> {
    let is_free = before.owner.is_some() && after.owner.is_none() && after.next.is_some_and(|next| next <= now);
    before.leased.filter(|_number| is_free)
}

#[async_trait]
impl Elsewhere for MongoStore {
    async fn news(&self) -> StoreResult<Option<NewsStream>> {
        let heads = self.collection(Place::Heads);
        let changes = match open(&heads, None).await {
            Ok(changes) => changes,
            Err(error) => match error.kind.as_ref() {
                ErrorKind::Command(refused) if matches!(refused.code, NO_REPLICA_SET | NOT_ALLOWED) => {
                    tracing::info!(
                        reason = %refused.message,
                        "MongoDB tells no changes here; what other processes do is looked for once a second while somebody waits for it"
                    );
                    return Ok(None);
                }
                _ => return Err(fault::unavailable(error)),
            },
        };
        let seen = changes.resume_token();
        let feed = Feed { heads, line: Line::Open { changes: Box::new(changes), said: Some(News::Begun) }, seen, ready: Vec::new() };
        Ok(Some(NewsStream::new(stream::unfold(feed, |mut feed| async move { Some((feed.next().await, feed)) }))))
    }
}

type Changes = ChangeStream<ChangeStreamEvent<Document>>;

/// Asks for the changes after that place, or from now on.
async fn open(heads: &Collection<Document>, after: Option<ResumeToken>) -> Result<Changes> {
    let tells = doc! { "operationType": { "$in": ["insert", "replace"] }, format!("fullDocument.{FIELD}"): { "$exists": true } };
    // The driver needs the first three to go on by itself from where a line broke.
    let short = doc! { "_id": 1, "operationType": 1, "ns": 1, "documentKey": 1, format!("fullDocument.{FIELD}"): 1 };
    heads.watch().pipeline([doc! { "$match": tells }, doc! { "$project": short }]).resume_after(after).max_await_time(AWAIT).await
}

/// The way to the server.
enum Line {
    Open {
        changes: Box<Changes>,
        /// What is said before anything that comes through it.
        said: Option<News>,
    },
    /// It broke, and is tried again after a pause.
    Broken,
}

/// A change stream that is resumed as often as need be.
struct Feed {
    heads: Collection<Document>,
    line: Line,
    /// Up to where everything was told.
    seen: Option<ResumeToken>,
    /// News of a change that are still to be told, the last first.
    ready: Vec<News>,
}

impl Feed {
    /// The next thing to tell. It is only ever given up together with the feed: the driver's stream does not bear to be left in the
    /// middle of an answer.
    async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.ready.pop() {
                return news;
            }
            match &mut self.line {
                Line::Open { changes, said } => {
                    if let Some(news) = said.take() {
                        return news;
                    }
                    let change = changes.next_if_any().await;
                    let is_over = !changes.is_alive();
                    match change {
                        Ok(change) => {
                            self.seen = changes.resume_token().or(self.seen.take());
                            self.ready = change.map(|change| told(self.heads.name(), &change)).unwrap_or_default();
                            self.ready.reverse();
                            if !is_over {
                                continue;
                            }
                            // The collection was dropped or renamed: that place is of no use any more.
                            self.seen = None;
                            tracing::info!("MongoDB ended the stream of changes; it is asked for again");
                        }
                        Err(error) => {
                            tracing::info!(error = %error, "the stream of MongoDB's changes broke; it is resumed as soon as may be");
                            self.forget_place(&error);
                        }
                    }
                    self.line = Line::Broken;
                    self.ready.insert(0, News::Silent);
                }
                Line::Broken => {
                    tokio::time::sleep(REST).await;
                    match open(&self.heads, self.seen.clone()).await {
                        Ok(changes) => {
                            let said = if self.seen.is_some() { News::Resumed } else { News::Begun };
                            self.seen = changes.resume_token().or(self.seen.take());
                            tracing::info!("MongoDB tells its changes again");
                            self.line = Line::Open { changes: Box::new(changes), said: Some(said) };
                        }
                        Err(error) => {
                            tracing::debug!(error = %error, "MongoDB does not tell its changes yet");
                            self.forget_place(&error);
                        }
                    }
                }
            }
        }
    }

    /// A server that refuses, rather than being away, may refuse because it no longer knows that place: then it is begun anew.
    fn forget_place(&mut self, error: &Error) {
        let may_be_resumed = ["ResumableChangeStreamError", "RetryableWriteError"].into_iter().any(|label| error.contains_label(label));
        if matches!(error.kind.as_ref(), ErrorKind::Command(_)) && !may_be_resumed {
            self.seen = None;
        }
    }
}

/// What a change tells. One that cannot be read tells nothing: whoever waits looks now and then anyway.
fn told(collection: &str, change: &ChangeStreamEvent<Document>) -> Vec<News> {
    let user_id = change.document_key.as_ref().and_then(|key| Fields::new(collection, key).user("_id").ok());
    let words = change.full_document.as_ref().and_then(|head| head.get_array(FIELD).ok());
    let tell = |word: &Bson| match word.as_str()? {
        ENDED => user_id.map(News::Ended),
        TURNS => Some(News::Offered(LaneKind::Turns)),
        DELIVERIES => Some(News::Offered(LaneKind::Deliveries)),
        // Of a newer release.
        _ => None,
    };
    words.into_iter().flatten().filter_map(tell).collect()
}
