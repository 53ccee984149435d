//! A MongoDB server for tests, and databases in it that go away.
//!
//! No `mongod` can be had from the package registries. `SecantusDB` (of Python's registry) speaks MongoDB's protocol on a real socket, so the tests make
//! an environment with it below `target/` and share a server or a few among their processes. `SCRUBJAY_TEST_MONGODB_URI` names a server to
//! use instead. Without either the tests fail: nothing here is skipped in silence.

mod environment;
mod self_test;
mod server;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use mongodb::Client;

pub(crate) use environment::python;
pub(crate) use server::{Kind, Server};

/// The variable that names a server to use instead of our own.
const SERVER: &str = "SCRUBJAY_TEST_MONGODB_URI";

/// Where the server is that tests share.
#[expect(clippy::disallowed_methods, reason = "it is the tests' own variable")]
pub(crate) fn uri() -> String {
    match std::env::var(SERVER) {
        Ok(uri) if !uri.is_empty() => uri,
        _ => server::shared(),
    }
}

/// A database of its own in a server, dropped with this value.
pub(crate) struct Database {
    /// The server.
    pub(crate) uri: String,
    /// The database's name.
    pub(crate) name: String,
}

impl Database {
    /// In the server that tests share.
    pub(crate) fn new() -> Self {
        Self::at(uri())
    }

    /// In that server.
    #[expect(clippy::disallowed_methods, reason = "the name must be new on a server that is there for long")]
    pub(crate) fn at(uri: String) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let moment = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_micros();
        let name = format!("scrubjay_test_{moment}_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        Self { uri, name }
    }

    /// The database, through a client of the test's own.
    pub(crate) async fn open(&self) -> mongodb::Database {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::with_uri_str(&self.uri).await.unwrap().database(&self.name)
    }
}

impl Drop for Database {
    /// A client belongs to the runtime that made it, and a test's may be gone: this has its own.
    fn drop(&mut self) {
        let (uri, name) = (self.uri.clone(), self.name.clone());
        let dropping = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let _ = rustls::crypto::ring::default_provider().install_default();
                let client = Client::with_uri_str(&uri).await?;
                tokio::time::timeout(Duration::from_secs(5), client.database(&name).drop()).await.unwrap_or(Ok(()))
            })
        });
        // A server that the test stopped has nothing left to drop.
        if let Ok(Err(error)) = dropping.join() {
            eprintln!("the database {} was not dropped: {error}", self.name);
        }
    }
}
