//! MongoDB: one database that many processes share, LibreChat among them.
//!
//! A person has one document, the **head** ([`head`]), with everything that a text, a turn or a delivery is decided by: figures and
//! credits, the two lanes with their owners and fences, the turns and outgoing messages that are not over, the conversations used
//! last. A **unit** of work ([`mod@unit`]) loads the head, lets a rule change its state, and replaces it where its version is still
//! the same. That replacement is the commit, so nothing needs a transaction, and a standalone server will do.
//!
//! What a unit writes elsewhere (LibreChat's `users`, `conversations`, `messages`, `balances`; finished turns, sent messages,
//! receipts; graph and list) is **staged** in the same replacement ([`staged`]) and **applied** behind it ([`apply`]), as often as
//! need be with the same result. A process that dies between the two loses nothing: whoever comes next applies what it finds.
//! So whoever reads another collection calls [`MongoStore::settle`] first.
//!
//! The rules are pure functions over the typed state, in [`state`]; nothing in there awaits anything.
//!
//! # A unit of one's own
//!
//! ```text
//! let mut attempts = self.unit(user_id);
//! loop {
//!     let mut unit = attempts.begin().await?;              // the head, with nothing staged left over
//!     let list = todos::read(&unit, …).await?;             // reads: unit.store.collection(Place::Todos).find(…)
//!     unit.draft.put(Place::Todos, key, fields);           // writes: put, put_new, change, delete, delete_all
//!     unit.draft.state.last_sms = unit.draft.now;          // and the state itself
//!     if unit.commit().await? {
//!         return Ok(answer);
//!     }                                                     // somebody else was first: once more
//! }
//! ```
//!
//! A rule that needs nothing but the state is shorter, and usually saves the read: [`MongoStore::change`].

mod apply;
mod changes;
mod clocks;
mod connect;
mod conversations;
mod credits;
mod erase;
mod erased_consents;
mod fault;
mod fields;
mod graph;
mod head;
mod inbox;
mod indexes;
mod jobs;
mod keeping;
mod lanes;
mod left_over;
mod lists;
mod merge;
mod names;
mod news;
mod open;
mod outbox;
mod own_lanes;
mod people;
mod presence;
mod queues;
mod reports;
mod rows;
mod schedules;
mod shapes;
mod soon;
mod staged;
mod state;
mod steps;
mod strangers;
mod summaries;
mod takeover;
mod threads;
mod todos;
mod tokens;
mod trail;
mod turns;
mod unit;
mod upkeep;
mod words;

use std::sync::{Arc, Mutex};

use mongodb::bson::{Bson, Document};
use mongodb::{Client, Collection, Database};
use tokio_util::sync::DropGuard;

use self::clocks::Ahead;
use self::graph::Shelf;
use self::head::Heads;
use self::names::{Names, Place};
use self::open::{Home, Host};
use self::presence::Presence;
use self::queues::Queues;
use self::soon::Soon;
use self::upkeep::Checks;
use crate::clock::Clock;
use crate::store::holds::Holds;

/// A store in a MongoDB database.
#[derive(Debug)]
pub(super) struct MongoStore {
    clock: Clock,
    client: Client,
    db: Database,
    names: Names,
    /// The server takes writes of several collections in one command (8.0 and later).
    writes_across: bool,
    /// How far the server's clock is ahead of this machine's.
    ahead: Arc<Ahead>,
    heads: Heads,
    soon: Soon,
    queues: Queues,
    phone_queues: Queues,
    checks: Checks,
    graphs: Shelf,
    /// Schedules whose documents are damaged.
    held_schedules: Holds<Bson>,
    presence: Arc<Presence>,
    /// While this lives this process says that it has the database open.
    beats: Mutex<Option<DropGuard>>,
    /// What keeps the driver's tasks running; set when everything else stands, as is the next.
    host: Option<Host>,
    home: Option<Home>,
}

impl MongoStore {
    /// A store in a database that is ready for it.
    fn over(client: Client, db: Database, names: Names, clock: Clock, writes_across: bool, presence: Arc<Presence>) -> Self {
        Self {
            clock,
            client,
            db,
            names,
            writes_across,
            ahead: Arc::default(),
            heads: Heads::default(),
            soon: Soon::default(),
            queues: Queues::new(),
            phone_queues: Queues::new(),
            checks: Checks::default(),
            graphs: Shelf::default(),
            held_schedules: Holds::default(),
            presence,
            beats: Mutex::default(),
            host: None,
            home: None,
        }
    }

    /// A collection's documents.
    fn collection(&self, place: Place) -> Collection<Document> {
        self.db.collection(&self.names.of(place))
    }
}
