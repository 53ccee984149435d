//! PORT: where data rests.
//!
//! The port is a handful of small traits, one a subject, and [`Store`], which is all of them. Every method is one atomic unit:
//! it happens whole or not at all, and when it returns `Ok` it has happened for good. No transaction crosses the port, because
//! two of the three backends have none to offer. A method that touches what belongs to a person takes the person's id (or a
//! lease that holds it), so a caller cannot forget whose data it is; the few that list across people are for the host.
//!
//! Work is handed out by *lanes*. A person has one lane for turns and one for deliveries; leasing the lane's head takes the
//! lane, and nobody else gets anything from it until the lease is given back or runs out. That is what keeps one person's
//! messages in order while different people's run in parallel, over any number of processes. Each lease carries a fence that
//! grows; whoever lost the lane meanwhile writes nothing ([`StoreError::LeaseLost`]).
//!
//! Start with [`Inbox::accept`] and [`Turns::lease_turns`]. Adapters are private: [`open`] is the only way to one.

pub mod archive;
mod conversations;
mod cursor;
mod elsewhere;
mod graph;
pub(crate) mod graph_document;
mod holds;
mod inbox;
mod jobs;
mod json;
mod keeping;
mod merging;
#[cfg(feature = "mongodb")]
mod mongodb;
mod outbox;
mod people;
pub mod record;
mod schedules;
mod sqlite;
mod steps;
mod summaries;
pub(crate) mod todo_document;
mod todos;
mod tokens;
mod turns;

use std::fmt;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use conversations::{Conversations, MessageFilter};
pub use elsewhere::{Elsewhere, News, NewsStream};
pub use graph::{
    DanglingRelation, Deleted, Graph, GraphFound, GraphPart, GraphRead, GraphSearch, GraphStats, Imported, MissingName, NamedObservation,
    Neighbourhood, Opened, Recollection, RelationsWritten, Subgraph, Written,
};
pub use inbox::{
    Accepted, Action, ApiRepeat, Change, Consent, ConversationTarget, Debounce, Door, Effect, FixedAnswer, Inbox, NewInbound, NewPerson,
    Receipt,
};
pub use jobs::{JobFilter, Jobs};
pub use json::Mended;
pub use keeping::{Damage, Keeping, Snapshot, Whose};
pub use merging::{Double, DoubleConversation, MergeLimits, Merged, Merging};
pub use outbox::{DeliveryLease, DeliveryOutcome, DeliveryWork, LeasedDelivery, Looked, NewOutbound, Outbox, StatusRecorded};
pub use people::{NewAccount, People};
pub use schedules::{
    Act, AddedSchedule, DueSchedule, DueSchedules, Fired, Firing, NewSchedule, Plan, Run, RunKind, ScheduleChange, ScheduleFilter,
    Schedules,
};
pub use steps::Steps;
pub use summaries::{NewSummary, Recent, Summaries, Summary, SummaryClaim};
pub use todos::{AddedTodo, ChangedTodo, ImportedTodo, ImportedTodos, NewTodo, TodoFilter, Todos};
pub use tokens::{KnownToken, Standing, Tokens};
pub use turns::{BalanceRules, CompletedTurn, DailyLimits, Notice, Reservation, TurnOutcome, TurnRelease, Turns};

use crate::clock::Clock;
use crate::config::sections::{Backend, Storage};
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;

/// How long a lease holds without being renewed.
pub const LEASE: Duration = Duration::from_secs(15);

/// How often a holder renews its leases.
pub const RENEW: Duration = Duration::from_secs(5);

/// Why a store did not do it, by what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is not there, or not that person's: the caller answers as if it did not exist.
    #[error("{what} does not exist")]
    NotFound {
        /// What was looked for, without its content.
        what: &'static str,
    },
    /// It cannot be done to the thing as it is now.
    #[error("{reason}")]
    Conflict {
        /// Why, and what to do instead.
        reason: String,
    },
    /// The lease ran out and somebody else holds the lane, or the work is over: drop the result.
    #[error("the lease was lost: another process took the work over, or it is already done")]
    LeaseLost,
    /// A page's cursor that this store did not give out.
    #[error("the cursor is not one that a listing returned; begin again without it")]
    InvalidCursor,
    /// It may work later: busy, full, gone. Nothing was written, unless [`StoreError::outcome_is_unknown`].
    #[error("storage is unavailable: {reason}")]
    Unavailable {
        /// What happened and what to do.
        reason: String,
        /// The cause.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The data is not what it should be. Never answered with default data.
    #[error("the data in {place} is damaged: {reason}")]
    Corrupt {
        /// The file.
        place: PathBuf,
        /// How much of the store that concerns.
        extent: Extent,
        /// What is wrong and the way out.
        reason: String,
    },
    /// The data is of another backend or of a newer version, or this build lacks the backend.
    #[error("{reason}")]
    Unsupported {
        /// What was found and what to do.
        reason: String,
    },
}

/// How far damage reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The store as a whole: it is not ready until somebody has mended it.
    Store,
    /// What belongs to one person, or one thing of theirs; everybody else's is well.
    Part,
}

/// The cause of a [`StoreError::Unavailable`] that another process's lock is: it passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("locked by another process")]
pub(crate) struct Locked;

/// The cause of a [`StoreError::Unavailable`] behind which a write may have been done: its answer did not come.
#[derive(Debug, thiserror::Error)]
#[error("whether it was written is not known{}", .0.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default())]
struct OutcomeUnknown(#[source] Option<Box<dyn std::error::Error + Send + Sync>>);

impl StoreError {
    /// Whether nobody can say if a write was done. Whoever repeats it looks first, unless a repeat is known to do nothing more.
    #[must_use]
    pub fn outcome_is_unknown(&self) -> bool {
        matches!(self, Self::Unavailable { source: Some(source), .. } if source.is::<OutcomeUnknown>())
    }

    /// A failure behind which a write may have been done.
    pub(crate) fn unknown_outcome(reason: impl Into<String>, cause: Option<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::unavailable(reason, OutcomeUnknown(cause))
    }

    /// Whether another process stood in the way, so that the same is worth another try.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        matches!(self, Self::Unavailable { source: Some(source), .. } if source.is::<Locked>())
    }

    /// A transient failure with its cause.
    pub fn unavailable(reason: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable { reason: reason.into(), source: Some(source.into()) }
    }
}

/// What a store answers.
pub type StoreResult<T> = Result<T, StoreError>;

/// A process that holds leases: `host/pid/start/nonce`. Two processes never share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Owner(pub String);

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A person's lane of one kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LaneKind {
    /// Turns to be answered.
    Turns,
    /// Messages to be delivered.
    Deliveries,
}

/// A lease that its holder still works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeldLease {
    /// Whose lane.
    pub user_id: UserId,
    /// Which of the two.
    pub lane: LaneKind,
    /// The lease's fence.
    pub fence: i64,
}

/// Work handed out, and when to ask again.
#[derive(Debug)]
pub struct Leased<T> {
    /// The work, at most one a lane.
    pub work: Vec<T>,
    /// When the next lane is due, where one is waiting; work of other processes may come sooner.
    pub next_due: Option<Timestamp>,
}

/// Part of a listing that is asked for.
#[derive(Debug, Clone)]
pub struct PageRequest {
    /// Where the page before ended; `None` for the first.
    pub cursor: Option<String>,
    /// Entries at most, from 1.
    pub limit: usize,
}

impl PageRequest {
    /// The first page.
    #[must_use]
    pub const fn first(limit: usize) -> Self {
        Self { cursor: None, limit }
    }
}

/// Part of a listing.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
}

/// What the store holds, in figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreFigures {
    /// Turns that are not over.
    pub open_turns: i64,
    /// Turns given up.
    pub dead_turns: i64,
    /// Outgoing messages not yet taken by a carrier, held ones not counted.
    pub open_deliveries: i64,
    /// Outgoing messages given up.
    pub dead_deliveries: i64,
    /// When the longest-waiting due work became due.
    pub oldest_due: Option<Timestamp>,
}

/// What concerns the store as a whole.
#[async_trait]
pub trait Upkeep {
    /// Whether the store answers and can be written to. It really writes, at most once a second: whoever asks sooner, or while
    /// a check runs, shares its result.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] with the reason; for good when what writes has broken down, which only a restart mends.
    async fn check(&self) -> StoreResult<()>;

    /// Counts of work, cheap enough to be asked every few seconds.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn figures(&self) -> StoreResult<StoreFigures>;

    /// A moment kept under a name (how far a gateway's catch-up has come).
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn find_mark(&self, name: &str) -> StoreResult<Option<Timestamp>>;

    /// Keeps a moment under a name. It never goes back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn set_mark(&self, name: &str, moment: Timestamp) -> StoreResult<()>;

    /// Everybody who holds a lease now.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn list_owners(&self) -> StoreResult<Vec<Owner>>;

    /// Gives back everything a process holds: at its own end, or when it is known to be dead. Returns how many lanes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    async fn release_owner(&self, owner: &Owner) -> StoreResult<usize>;

    /// Extends those of `held` by [`LEASE`] from now that `owner` still holds under that fence. Returns how many lanes. What else
    /// is leased in that name runs out by itself: a lane that nobody works on any more comes back.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; work whose lease runs out meanwhile may be taken over.
    async fn renew_leases(&self, owner: &Owner, held: &[HeldLease]) -> StoreResult<usize>;

    /// Erases up to that many rows of what was deleted whole (a graph, or all that a person had) and is already unreadable, in one short
    /// step, so that nobody waits long for it. Whether some are left; it is called again until there are none.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; what is left stays unreadable, and is erased later.
    async fn erase_left_over(&self, rows: usize) -> StoreResult<bool>;

    /// Waits for what is being written and closes. Later calls are [`StoreError::Unavailable`].
    async fn close(&self);
}

/// Makes [`Store`] of the ports, each named once.
macro_rules! store_of {
    ($($port:ident),* $(,)?) => {
        /// Everything a backend must do.
        pub trait Store: $($port +)* Send + Sync + 'static {}

        impl<T: $($port +)* Send + Sync + 'static> Store for T {}
    };
}

store_of!(
    Inbox,
    Turns,
    Outbox,
    People,
    Conversations,
    Jobs,
    Schedules,
    Todos,
    Tokens,
    Graph,
    Summaries,
    Steps,
    Upkeep,
    Keeping,
    Merging,
    Elsewhere
);

/// A store that is open.
pub type SharedStore = Arc<dyn Store>;

/// The backends of this build. Each stands in the contract tests under the same name.
pub const BACKENDS: &[&str] = &[
    "sqlite",
    "json",
    #[cfg(feature = "mongodb")]
    "mongodb",
];

/// Whether there is a store at all where the settings say, so that a command which only reads need not make one. For a backend
/// that this build lacks, and for data of another backend, the answer is yes: [`open`] says what is wrong.
#[must_use]
pub fn exists(settings: &Storage) -> bool {
    match settings.backend {
        Backend::Sqlite | Backend::Json => sqlite::exists(settings) || json::exists(settings) || is_elsewhere(settings),
        Backend::MongoDb => true,
    }
}

/// What a store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// Everything but restoring.
    Use,
    /// To restore an archive into it, from the beginning or from where that was interrupted.
    Restore,
}

/// Opens the store that the settings name. It blocks while files are checked and migrated; threads of its own do the rest.
///
/// # Errors
/// [`StoreError::Unsupported`] when this build lacks the backend, the data is another's or newer, or an archive is being restored
/// into it; [`StoreError::Corrupt`] when
/// it is damaged; [`StoreError::Unavailable`] when it cannot be reached.
pub fn open(storage: &Storage, clock: Clock) -> StoreResult<SharedStore> {
    open_for(storage, clock, Purpose::Use)
}

/// Opens the store that the settings name to restore an archive into it, also where that was begun before.
///
/// # Errors
/// As [`open`] says.
pub fn open_to_restore(storage: &Storage, clock: Clock) -> StoreResult<SharedStore> {
    open_for(storage, clock, Purpose::Restore)
}

fn open_for(storage: &Storage, clock: Clock, purpose: Purpose) -> StoreResult<SharedStore> {
    if purpose == Purpose::Use {
        refuse_another_backend(storage)?;
    }
    match storage.backend {
        Backend::Sqlite => Ok(Arc::new(sqlite::SqliteStore::open(storage, clock, purpose)?)),
        Backend::Json => Ok(Arc::new(json::open(storage, clock, purpose)?)),
        #[cfg(feature = "mongodb")]
        Backend::MongoDb => Ok(mongodb::MongoStore::open(storage, clock, purpose)?),
        #[cfg(not(feature = "mongodb"))]
        Backend::MongoDb => {
            let reason = format!("storage.backend = \"mongodb\" is not in this build, which has: {}", BACKENDS.join(", "));
            Err(StoreError::Unsupported { reason })
        }
    }
}

/// Data of one backend where the settings name another: an empty store beside it would look as if everything were lost.
fn refuse_another_backend(storage: &Storage) -> StoreResult<()> {
    let holds = |backend: &str, place: PathBuf| format!("{} holds the data of \"{backend}\"", place.display());
    let found = match storage.backend {
        Backend::Sqlite if sqlite::exists(storage) => None,
        Backend::Json if json::exists(storage) => None,
        Backend::Sqlite | Backend::Json if is_elsewhere(storage) => {
            let note = note_of(storage);
            Some(format!("{} says that the data is in \"mongodb\" (delete that file to begin with nothing)", note.display()))
        }
        Backend::Json if sqlite::exists(storage) => Some(holds("sqlite", storage.path.clone())),
        Backend::Sqlite if json::exists(storage) => Some(holds("json", json::folder(storage))),
        Backend::Sqlite | Backend::Json | Backend::MongoDb => None,
    };
    let Some(found) = found else { return Ok(()) };
    let reason = format!(
        "storage.backend is \"{}\", and {found}; set it back, or move the data: `scrubjay archive write FILE` with the old setting, then \
         `scrubjay archive read FILE` with the new one",
        storage.backend.name()
    );
    Err(StoreError::Unsupported { reason })
}

/// What a server leaves in the data folder whose store is in MongoDB: else nothing there would tell of it.
fn note_of(storage: &Storage) -> PathBuf {
    storage.path.join("mongodb.json")
}

/// Whether the last server of this data folder had its store elsewhere.
pub(crate) fn is_elsewhere(storage: &Storage) -> bool {
    note_of(storage).exists()
}

/// Notes in the data folder, which is there, that the store of its server is in MongoDB, or is so no longer: whoever changes the setting is told.
///
/// # Errors
/// The folder cannot be written to.
pub(crate) fn note_backend(storage: &Storage) -> std::io::Result<()> {
    let note = note_of(storage);
    if storage.backend == Backend::MongoDb {
        // That it is there is what counts.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(note);
        return match made.and_then(|mut file| file.write_all(b"{ \"backend\": \"mongodb\" }\n")) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            written => written,
        };
    }
    match std::fs::remove_file(note) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            tracing::warn!(
                "the store of this folder's server was a MongoDB database until now; what came in there and is not here yet comes over by \
                 `scrubjay archive write` under storage.backend = \"mongodb\" and `scrubjay archive read` into an empty store"
            );
            Ok(())
        }
    }
}

/// The folder of the JSON backend, where the files of the earlier memory and todo servers may lie beside its own.
#[must_use]
pub fn json_folder(storage: &Storage) -> PathBuf {
    json::folder(storage)
}

/// Checks every file of a JSON store and puts the last good state in place of what is damaged. The store must be open nowhere.
///
/// # Errors
/// [`StoreError::Unsupported`] for another backend; [`StoreError::Unavailable`] while a process has the store open;
/// [`StoreError::Corrupt`] for what has no good copy.
pub fn use_previous(storage: &Storage, clock: &Clock) -> StoreResult<Vec<Mended>> {
    if storage.backend != Backend::Json || !json::exists(storage) {
        let reason = "only the files of a JSON store have copies to go back to; restore an archive".to_owned();
        return Err(StoreError::Unsupported { reason });
    }
    json::mend(storage, clock)
}
