//! Opening: connect, see whose database it is, make the indexes, take over what LibreChat and earlier plans left there.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use mongodb::bson::doc;
use mongodb::{Client, Database};
use tokio::runtime::{Builder, Handle, Runtime, RuntimeFlavor};

use super::MongoStore;
use super::connect::{self, Connection};
use super::fault;
use super::fields::{Fields, date};
use super::indexes;
use super::keeping;
use super::names::{Names, Place};
use super::presence::Presence;
use crate::clock::Clock;
use crate::config::sections::Storage;
use crate::store::{Purpose, StoreError, StoreResult, json, sqlite};

/// The version of the documents that this release writes.
const SCHEMA: i64 = 1;

/// The one document that says what this database is.
const IDENTITY: &str = "store";

/// Where the driver's tasks run: in the caller's runtime, or, where there is none that has threads, in one of our own.
#[derive(Debug)]
pub(super) struct Host {
    ours: Option<Runtime>,
    /// Ended before the runtime is.
    client: Option<Client>,
}

/// Where a store's own tasks run, and what they work with.
#[derive(Debug)]
pub(super) struct Home {
    runtime: Handle,
    store: Weak<MongoStore>,
}

/// How long the driver is given to end what it runs.
const GOODBYE: Duration = Duration::from_secs(2);

impl Host {
    /// Runs `work` to its end from outside or inside of a runtime, and keeps what it needs to go on.
    fn run<T: Send + 'static>(work: impl Future<Output = StoreResult<T>> + Send + 'static) -> StoreResult<(Self, T)> {
        if let Ok(handle) = Handle::try_current()
            && handle.runtime_flavor() == RuntimeFlavor::MultiThread
        {
            return tokio::task::block_in_place(|| handle.block_on(work)).map(|done| (Self { ours: None, client: None }, done));
        }
        let no_threads = |error| StoreError::unavailable("no threads can be started for MongoDB", error);
        let runtime = Builder::new_multi_thread().worker_threads(2).thread_name("mongodb").enable_all().build().map_err(no_threads)?;
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        runtime.spawn(async move {
            let _nobody_waits = tell.send(work.await);
        });
        let ended = |error| StoreError::unavailable("opening MongoDB came to no end", error);
        let done = told.recv().map_err(ended).and_then(|outcome| outcome);
        let host = Self { ours: Some(runtime), client: None };
        done.map(|done| (host, done))
    }
}

impl Drop for Host {
    /// The driver ends before its runtime. It may take a moment, which whoever drops this from inside of a runtime must not wait for.
    fn drop(&mut self) {
        let (Some(runtime), client) = (self.ours.take(), self.client.take()) else { return };
        std::thread::spawn(move || {
            if let Some(client) = client {
                let _late = runtime.block_on(async { tokio::time::timeout(GOODBYE, client.shutdown().immediate(true)).await });
            }
            runtime.shutdown_background();
        });
    }
}

impl MongoStore {
    /// Opens the database that the settings name.
    ///
    /// # Errors
    /// [`StoreError::Unsupported`] when the settings cannot be meant, the data are of another backend or newer, or an index is in the
    /// way; [`StoreError::Unavailable`] when the server does not answer within the configured seconds.
    pub(in crate::store) fn open(storage: &Storage, clock: Clock, purpose: Purpose) -> StoreResult<Arc<Self>> {
        let storage = storage.clone();
        let (mut host, (mut store, runtime)) = Host::run(async move {
            let Connection { client, database, writes_across } = connect::connect(&storage.mongodb).await?;
            let names = Names::new(&storage.mongodb);
            identify(&database, &names, &clock, &storage).await?;
            let presence = Presence::new(&database, &names, &clock);
            presence.beat().await?;
            if let Err(refused) = keeping::check_purpose(&database, &names.of(Place::Meta), purpose).await {
                presence.leave().await;
                return Err(refused);
            }
            presence.forget_the_dead().await;
            indexes::ensure(&database, &names).await?;
            let beats = presence.go_on();
            let store = Self::over(client, database, names, clock, writes_across, presence);
            *store.beats.lock().unwrap_or_else(PoisonError::into_inner) = Some(beats);
            store.compare_clocks().await?;
            store.take_over().await?;
            Ok((store, Handle::current()))
        })?;
        host.client = Some(store.client.clone());
        store.host = Some(host);
        Ok(Arc::new_cyclic(|itself| {
            store.home = Some(Home { runtime, store: Weak::clone(itself) });
            store
        }))
    }

    /// Where this store's own tasks run, which outlive whoever begins them, and what they work with. None: the store is about to end.
    pub(super) fn home(&self) -> Option<(&Handle, Arc<Self>)> {
        let home = self.home.as_ref()?;
        Some((&home.runtime, home.store.upgrade()?))
    }
}

/// Sees to it that the database says whose it is, and is ours.
async fn identify(database: &Database, names: &Names, clock: &Clock, storage: &Storage) -> StoreResult<()> {
    let name = names.of(Place::Meta);
    let collection = database.collection::<mongodb::bson::Document>(&name);
    let of_store = doc! { "_id": IDENTITY };
    let found = collection.find_one(of_store.clone()).await.map_err(fault::unavailable)?;
    let Some(found) = found else {
        let new = doc! { "_id": IDENTITY, "backend": "mongodb", "schema": SCHEMA, "store": clock.uuid().to_string(), "createdAt": date(clock.now()) };
        // Another process may do the same at this moment.
        if let Err(error) = collection.insert_one(new).await
            && !fault::is_duplicate(&error)
        {
            return Err(fault::unavailable(error));
        }
        warn_of_other_data(storage);
        return Ok(());
    };
    let fields = Fields::new(&name, &found);
    let backend = fields.text("backend")?;
    let schema = fields.number("schema")?;
    let reason = if backend != "mongodb" {
        format!("the collection {name:?} says that its data belong to the backend {backend:?}; name another database or prefix")
    } else if schema > SCHEMA {
        format!(
            "the database {:?} was written by a newer release (schema {schema}, this one knows {SCHEMA}); run that release, or restore a copy \
             of before",
            database.name()
        )
    } else {
        return Ok(());
    };
    Err(StoreError::Unsupported { reason })
}

/// Whoever switches the setting over data of another backend begins empty: that is said once.
fn warn_of_other_data(storage: &Storage) {
    for (backend, is_there) in [("sqlite", sqlite::exists(storage)), ("json", json::exists(storage))] {
        if is_there {
            tracing::warn!(
                folder = %storage.path.display(),
                "this MongoDB database was empty, while there is data of the backend {backend:?} beside it, which stays there; `scrubjay archive \
                 write` under storage.backend = {backend:?} and `scrubjay archive read` under \"mongodb\" bring it over"
            );
        }
    }
}
