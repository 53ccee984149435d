//! From settings to a client: where the database is, how long anything may take, how safely it is written.
//!
//! Nothing here, and no error or log of it, tells the user name or the password of the connection string.

use std::time::Duration;

use mongodb::bson::doc;
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{Acknowledgment, ClientOptions, WriteConcern};
use mongodb::{Client, Database};
use secrecy::ExposeSecret as _;

use crate::config::sections::MongoDb;
use crate::store::{StoreError, StoreResult};

/// The database where neither the setting nor the connection string names one: LibreChat's own default.
const DATABASE: &str = "LibreChat";

/// The way out where the settings are what is wrong.
const CORRECT: &str = "correct storage.mongodb.uri (MONGO_URI), which looks like mongodb://user:password@host:27017/LibreChat";

/// A server that answered.
pub(super) struct Connection {
    pub(super) client: Client,
    pub(super) database: Database,
    /// The server takes writes of several collections in one command (8.0 and later).
    pub(super) writes_across: bool,
}

/// Connects and asks the server whether it is there, in no more than the configured seconds.
///
/// # Errors
/// [`StoreError::Unavailable`] when it does not answer or does not let us in; [`StoreError::Unsupported`] when the settings cannot be meant.
pub(super) async fn connect(settings: &MongoDb) -> StoreResult<Connection> {
    // One TLS provider for the whole process, whoever is first.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    let limit = Duration::from_secs(settings.timeout_seconds);
    let options = within(limit, "its name was looked up", options(settings)).await??;
    let hosts = hosts(&options);
    let name = database_name(settings, &options);
    let client = Client::with_options(options).map_err(|error| wrong_settings(settings, &error))?;
    let database = client.database(&name);
    // Whoever may not use the database is told here, and not at the first text.
    let hello = database.run_command(doc! { "hello": 1 });
    let hello = match tokio::time::timeout(limit + GRACE, hello).await {
        Ok(answer) => answer.map_err(|error| explain(&error, &hosts, limit))?,
        Err(_elapsed) => return Err(silent(&hosts, limit, None)),
    };
    let allowed = tokio::time::timeout(limit + GRACE, database.list_collection_names());
    match allowed.await {
        Ok(answer) => drop(answer.map_err(|error| explain(&error, &hosts, limit))?),
        Err(_elapsed) => return Err(silent(&hosts, limit, None)),
    }
    let writes_across = hello.get_i32("maxWireVersion").is_ok_and(|version| version >= WIRE_OF_8_0);
    tracing::info!(hosts, database = name, replica_set = hello.contains_key("setName"), "connected to MongoDB");
    Ok(Connection { client, database, writes_across })
}

/// The protocol's version of MongoDB 8.0.
const WIRE_OF_8_0: i32 = 25;

/// How often the driver asks whether the server is there. It has no limit for an answer: what was asked of a server that says nothing
/// any more ends when that question has had no answer for the time of connecting. So a sender is told within some 12 s.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// The driver's own limits come first: their errors say more than that time is up.
const GRACE: Duration = Duration::from_millis(250);

async fn within<T>(limit: Duration, what: &str, work: impl Future<Output = T>) -> StoreResult<T> {
    tokio::time::timeout(limit, work).await.map_err(|elapsed| {
        let reason = format!("MongoDB was given up after {} s while {what}; {CORRECT}", limit.as_secs());
        StoreError::unavailable(reason, elapsed)
    })
}

/// What the driver is told. What the connection string says stands, but for how writes are acknowledged: less than on the disks of
/// most would lose what a sender was told is stored.
async fn options(settings: &MongoDb) -> StoreResult<ClientOptions> {
    let mut options = ClientOptions::parse(settings.uri.expose_secret()).await.map_err(|error| wrong_settings(settings, &error))?;
    let limit = Duration::from_secs(settings.timeout_seconds);
    options.app_name.get_or_insert_with(|| "scrubjay".to_owned());
    options.server_selection_timeout.get_or_insert(limit);
    options.connect_timeout.get_or_insert(limit);
    options.heartbeat_freq.get_or_insert(HEARTBEAT);
    options.max_pool_size.get_or_insert(settings.connections);
    options.retry_writes = Some(true);
    options.retry_reads = Some(true);
    options.write_concern = Some(WriteConcern::builder().w(Acknowledgment::Majority).journal(true).w_timeout(limit).build());
    Ok(options)
}

/// The database that is meant.
fn database_name(settings: &MongoDb, options: &ClientOptions) -> String {
    match settings.database.as_str() {
        "" => options.default_database.clone().unwrap_or_else(|| DATABASE.to_owned()),
        name => name.to_owned(),
    }
}

/// The servers' names, for people.
fn hosts(options: &ClientOptions) -> String {
    options.hosts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What is said of a connection string that cannot be used. The driver's own words are left out where they may quote it.
fn wrong_settings(settings: &MongoDb, error: &Error) -> StoreError {
    let said = error.to_string();
    let secret = settings.uri.expose_secret();
    let login = secret.split_once("://").and_then(|(_scheme, rest)| rest.rsplit_once('@')).map_or("", |(login, _rest)| login);
    let quotes = |part: &str| part.len() > 2 && said.contains(part);
    let unsafe_words = login.split([':', '@', '/']).any(quotes) || quotes(secret);
    let reason = match error.kind.as_ref() {
        ErrorKind::DnsResolve { .. } if !unsafe_words => format!("MongoDB's servers were not found by name ({said}); {CORRECT}"),
        _ if unsafe_words => format!("storage.mongodb.uri is no connection string that can be used; {CORRECT}"),
        _ => format!("storage.mongodb.uri cannot be used ({said}); {CORRECT}"),
    };
    StoreError::Unsupported { reason }
}

/// A server that does not answer, with the most frequent reason.
fn silent(hosts: &str, limit: Duration, said: Option<&str>) -> StoreError {
    let mut reason = format!("MongoDB at {hosts:?} did not answer within {} s", limit.as_secs());
    if hosts.split(", ").any(|host| host.split(':').next() == Some("mongodb")) {
        reason.push_str("; \"mongodb\" is a name inside Docker's network: outside it the host is usually \"localhost\"");
    } else if hosts.split(", ").any(|host| matches!(host.split(':').next(), Some("localhost" | "127.0.0.1"))) {
        reason.push_str("; is it running? Inside Docker \"localhost\" is the container itself, and the host is usually \"mongodb\"");
    } else {
        reason.push_str("; is it running, and may this machine reach it?");
    }
    if let Some(said) = said {
        reason.push_str(" (");
        reason.push_str(said);
        reason.push(')');
    }
    StoreError::Unavailable { reason, source: None }
}

/// What keeps us from a server that may well be there.
fn explain(error: &Error, hosts: &str, limit: Duration) -> StoreError {
    let said = error.to_string();
    match error.kind.as_ref() {
        ErrorKind::Authentication { .. } => refused_login(hosts, "the user name or the password is wrong"),
        ErrorKind::Command(failure) if matches!(failure.code, 13 | 18) => refused_login(hosts, &failure.message),
        ErrorKind::ServerSelection { .. } if said.contains("uthentication") || said.contains("SCRAM") => {
            refused_login(hosts, "the user name or the password is wrong")
        }
        ErrorKind::ServerSelection { .. } => silent(hosts, limit, last_cause(&said)),
        ErrorKind::InvalidTlsConfig { message, .. } => {
            StoreError::Unsupported { reason: format!("TLS to MongoDB at {hosts:?} cannot be set up: {message}; {CORRECT}") }
        }
        _ => StoreError::Unavailable { reason: format!("MongoDB at {hosts:?} answered with an error: {said}"), source: None },
    }
}

fn refused_login(hosts: &str, why: &str) -> StoreError {
    let reason = format!(
        "MongoDB at {hosts:?} does not let us in: {why}; write the user into storage.mongodb.uri (mongodb://user:password@host/…, with \
         authSource where it is not the database itself; characters such as @ / : in a password as %40 %2F %3A) and give it the role readWrite"
    );
    StoreError::Unavailable { reason, source: None }
}

/// Of what the driver says of servers that it could not choose, what the first of them last failed with.
fn last_cause(said: &str) -> Option<&str> {
    let (_before, cause) = said.split_once("Error: ")?;
    let end = cause.find([',', '}', ']']).unwrap_or(cause.len());
    cause.get(..end).map(str::trim).filter(|cause| !cause.is_empty())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn settings(uri: &str, database: &str) -> MongoDb {
        MongoDb {
            uri: uri.to_owned().into(),
            database: database.to_owned(),
            memory_collection: "mcp_memory".to_owned(),
            todo_collection: "mcp_todoodles".to_owned(),
            collection_prefix: "scrubjay_".to_owned(),
            timeout_seconds: 1,
            connections: 7,
        }
    }

    #[tokio::test]
    async fn what_the_string_says_stands_but_for_how_writes_are_acknowledged() {
        let plain = settings("mongodb://localhost/", "");
        let found = options(&plain).await.unwrap();
        assert_eq!((found.max_pool_size, found.server_selection_timeout), (Some(7), Some(Duration::from_secs(1))));
        assert_eq!(found.heartbeat_freq, Some(HEARTBEAT));
        let written = "mongodb://localhost/chat?w=0&journal=false&retryWrites=false&maxPoolSize=3&serverSelectionTimeoutMS=9&heartbeatFrequencyMS=700";
        let written = settings(written, "");
        let found = options(&written).await.unwrap();
        let concern = found.write_concern.clone().unwrap();
        assert_eq!((concern.w, concern.journal, found.retry_writes), (Some(Acknowledgment::Majority), Some(true), Some(true)));
        assert_eq!((found.max_pool_size, found.server_selection_timeout), (Some(3), Some(Duration::from_millis(9))));
        assert_eq!(found.heartbeat_freq, Some(Duration::from_millis(700)));
    }

    #[tokio::test]
    async fn the_setting_names_the_database_before_the_string_does() {
        for (uri, setting, name) in [
            ("mongodb://localhost", "", "LibreChat"),
            ("mongodb://localhost/chat", "", "chat"),
            ("mongodb://localhost/chat?authSource=admin", "ours", "ours"),
        ] {
            let settings = settings(uri, setting);
            assert_eq!(database_name(&settings, &options(&settings).await.unwrap()), name, "{uri} {setting:?}");
        }
    }

    #[tokio::test]
    async fn no_error_tells_a_password() {
        for uri in [
            "mongodb://keeper:s3cret-one@",
            "mongodb://keeper:s3cret-one@host/?tls=maybe",
            "mongodb://keeper:s3cret-one/two@host",
            "mongodb://keeper:s3cret-one@host:port",
            "keeper:s3cret-one@host",
            "mongodb://keeper:s3cret-one@127.0.0.1:1/?serverSelectionTimeoutMS=50",
            "",
        ] {
            let error = connect(&settings(uri, "")).await.err().unwrap();
            let mut said = format!("{error} {error:?}");
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                let _infallible = write!(said, "{next} {next:?}");
                cause = next.source();
            }
            assert!(!said.contains("s3cret") && !said.contains("keeper"), "{uri}: {said}");
            assert!(said.contains("storage.mongodb.uri") || said.contains("127.0.0.1:1"), "{said}");
        }
    }

    #[test]
    fn the_hint_fits_the_host() {
        let said = |hosts: &str| silent(hosts, Duration::from_secs(5), Some("refused")).to_string();
        assert!(said("mongodb:27017").contains("inside Docker's network: outside it the host is usually \"localhost\""));
        assert!(said("localhost:27017").contains("the host is usually \"mongodb\""));
        assert!(said("db.example.org:27017").contains("did not answer within 5 s; is it running"));
        assert!(said("localhost:1").ends_with("(refused)"));
    }
}
