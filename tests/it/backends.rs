//! Tests that run on every backend: the macro that makes them of one scene, and where each of them keeps its data.

use std::path::Path;

use scrubjay::clock::Clock;
use scrubjay::config::Config;
use scrubjay::store::SharedStore;

#[cfg(feature = "mongodb")]
use crate::support::mongo::Database;

/// Makes each scene, a function of a [`Ground`], a test on each backend: `…::sqlite::SCENE`, `…::json::SCENE`, `…::mongodb::SCENE`.
macro_rules! on_every_backend {
    ($($scene:ident),+ $(,)?) => {
        on_every_backend!(@backend sqlite $($scene)+);
        on_every_backend!(@backend json $($scene)+);
        #[cfg(feature = "mongodb")]
        on_every_backend!(@backend mongodb $($scene)+);
    };
    (@backend $backend:ident $($scene:ident)+) => {
        mod $backend {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $scene() {
                super::$scene(crate::backends::Ground::new(stringify!($backend))).await;
            })+
        }
    };
}

/// Where a test's data lie: a backend and, in MongoDB, a database of the test's own, which goes away with this.
pub(crate) struct Ground {
    backend: &'static str,
    #[cfg(feature = "mongodb")]
    database: Option<Database>,
}

impl Ground {
    /// On that backend.
    pub(crate) fn new(backend: &'static str) -> Self {
        assert!(scrubjay::store::BACKENDS.contains(&backend), "no backend is called {backend:?}");
        Self {
            backend,
            #[cfg(feature = "mongodb")]
            database: (backend == "mongodb").then(Database::new),
        }
    }

    /// In a MongoDB server of the test's own.
    #[cfg(feature = "mongodb")]
    pub(crate) fn at(uri: String) -> Self {
        Self { backend: "mongodb", database: Some(Database::at(uri)) }
    }

    /// MongoDB's database, as anybody sees it.
    #[cfg(feature = "mongodb")]
    pub(crate) async fn raw(&self) -> mongodb::Database {
        self.database.as_ref().expect("it is another backend").open().await
    }

    /// The one of two numbers that fits: the test server that stands for MongoDB is many times slower than files.
    pub(crate) fn size(&self, of_files: usize, of_mongodb: usize) -> usize {
        if self.backend == "mongodb" { of_mongodb } else { of_files }
    }

    /// The settings that name it.
    pub(crate) fn keys(&self) -> Vec<(&'static str, String)> {
        #[cfg_attr(not(feature = "mongodb"), expect(unused_mut, reason = "only MongoDB is named by more"))]
        let mut keys = vec![("storage.backend", self.backend.to_owned())];
        #[cfg(feature = "mongodb")]
        if let Some(database) = &self.database {
            keys.push(("storage.mongodb.uri", database.uri.clone()));
            keys.push(("storage.mongodb.database", database.name.clone()));
        }
        keys
    }

    /// The same as lines of a configuration file.
    pub(crate) fn lines(&self) -> String {
        self.keys().into_iter().fold(String::new(), |text, (key, value)| format!("{text}{key} = {}\n", toml::Value::from(value)))
    }

    /// Opens it in this process, beside the programs that use it; `data` is their data directory.
    pub(crate) fn open(&self, data: &Path) -> SharedStore {
        let path = toml::Value::from(data.to_str().unwrap());
        let config = Config::from_toml(&format!("storage.path = {path}\n{}", self.lines())).unwrap();
        scrubjay::store::open(&config.storage, Clock::system()).unwrap()
    }
}

mod list {
    use super::Ground;

    on_every_backend!(has_settings_that_the_program_reads);

    async fn has_settings_that_the_program_reads(ground: Ground) {
        let folder = tempfile::tempdir().unwrap();
        let store = ground.open(folder.path());
        store.check().await.unwrap();
        store.close().await;
    }

    /// A backend that is added belongs into the macro above.
    #[test]
    fn is_of_all_backends() {
        assert_eq!(scrubjay::store::BACKENDS.len(), if cfg!(feature = "mongodb") { 3 } else { 2 });
    }
}
