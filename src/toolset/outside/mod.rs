//! Tools of other people's MCP servers: `mcpServers:` of the YAML file, each server a set.
//!
//! Nothing is started before somebody uses it. A server that is down costs its tools and nothing else: whoever asks for them gets
//! none, soon, and goes on. A server is told who is asked for where its settings have a placeholder for it, and each person then
//! has a connection of their own; nothing here ever serves two people from one of those. What a server says is data: it is cut to
//! bounds, never logged above debug, and never trusted to be in the protocol's shape.
//!
//! Start at [`open`]; `pool` decides who gets which connection, `connection` speaks, `child` and `remote` carry it there.

mod child;
mod connection;
mod describe;
mod framing;
mod names;
mod outcome;
mod pool;
mod remote;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use connection::Server;
use pool::{Key, Lease, Pool, Unavailable};

use crate::config::mcp_servers::{McpServers, Person, Reach, Template};
use crate::service::people::{People, UserName};
use crate::service::tools::{JsonObject, ToolContext, ToolDefinition, ToolOutcome, ToolSet};

pub use names::OWN_WORDS;

/// Bounds that follow from other settings, or that no host needs to set.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections to one server at the same time.
    pub places: usize,
    /// After how long without use a connection is closed.
    pub idle: Duration,
    /// How often that is looked for.
    pub sweep: Duration,
    /// The wait after a first failure; it doubles with each more.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// A connection that held this long and ends is made again without a wait.
    pub steady: Duration,
}

impl Limits {
    /// Where as many turns are answered at once. Each may be another person's, so each has a place.
    #[must_use]
    pub fn of(turns: usize) -> Self {
        Self {
            places: turns.max(1),
            idle: Duration::from_mins(5),
            sweep: Duration::from_secs(30),
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_mins(1),
            steady: Duration::from_mins(1),
        }
    }
}

/// All configured servers. Call [`Outside::close`] at the end: it gives their processes time to leave.
pub struct Outside {
    sets: Vec<Arc<OutsideSet>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Makes a set of each server. Nothing is started.
///
/// # Errors
/// [`reqwest::Error`] when the system gives no HTTP client.
pub fn open(servers: &McpServers, people: &People, limits: Limits) -> reqwest::Result<Outside> {
    let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
    let mut prefixes = names::prefixes(servers.named.keys());
    let mut sets = Vec::new();
    for (name, settings) in &servers.named {
        let http = match &settings.reach {
            Reach::Http { .. } => Some(remote::client(settings.init_timeout)?),
            Reach::Stdio { .. } => None,
        };
        let server = Server {
            name: name.clone(),
            prefix: prefixes.remove(name).unwrap_or_default(),
            settings: settings.clone(),
            inherited: servers.inherited.clone(),
            http,
            has_no_handshake: AtomicBool::new(false),
        };
        let pool = Arc::new(Pool::new(server, limits, stop.clone()));
        sets.push(Arc::new(OutsideSet { name: name.clone(), people: people.clone(), pool }));
    }
    if !sets.is_empty() {
        let (swept, stopped) = (sets.clone(), stop.clone());
        tasks.spawn(async move {
            while tokio::time::timeout(limits.sweep, stopped.cancelled()).await.is_err() {
                for set in &swept {
                    set.pool.sweep();
                }
            }
        });
    }
    Ok(Outside { sets, stop, tasks })
}

impl Outside {
    /// The sets, one a server, named as it is.
    #[must_use]
    pub fn sets(&self) -> Vec<Arc<dyn ToolSet>> {
        self.sets.iter().map(|set| Arc::clone(set) as Arc<dyn ToolSet>).collect()
    }

    /// Ends every connection and process and waits until they have ended, which is bounded.
    pub async fn close(&self) {
        self.stop.cancel();
        self.tasks.close();
        futures::future::join_all(self.sets.iter().map(|set| set.pool.close())).await;
        self.tasks.wait().await;
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One server as a set of tools.
struct OutsideSet {
    name: String,
    people: People,
    pool: Arc<Pool>,
}

impl OutsideSet {
    /// The connection that serves this person.
    async fn lease(&self, context: &ToolContext) -> Result<Lease, String> {
        let name = &self.name;
        let settings = &self.pool.server.settings;
        let needs_id = settings.templates().any(Template::needs_id);
        let phone = if settings.templates().any(Template::needs_phone) { Some(self.phone(context).await?) } else { None };
        let id = context.user_id.to_string();
        let person = Person { id: &id, phone: phone.as_deref() };
        let (Reach::Stdio { env: pairs, .. } | Reach::Http { headers: pairs, .. }) = &settings.reach;
        let filled: Option<Vec<(String, SecretString)>> =
            pairs.iter().map(|(name, template)| Some((name.clone(), template.fill(person)?))).collect();
        let filled = filled.ok_or_else(|| format!("the server {name:?} cannot be asked for this person"))?;
        let key = Key { user_id: needs_id.then_some(context.user_id), phone };
        self.pool.lease(key, filled).await.map_err(|why| match why {
            Unavailable::Down => {
                format!("the server {name:?} cannot be reached at the moment; go on without it, and say so where it matters")
            }
            Unavailable::Busy => format!("the server {name:?} serves too many people at the moment; try again in a minute"),
        })
    }

    async fn phone(&self, context: &ToolContext) -> Result<String, String> {
        let name = &self.name;
        match self.people.get(&UserName::Id(context.user_id)).await {
            Ok(user) => match user.phone {
                Some(phone) => Ok(phone.as_str().to_owned()),
                None => Err(format!("the server {name:?} asks for a phone number, and this person has none")),
            },
            Err(error) => {
                tracing::warn!(server = name, %error, "a person's number could not be read for an outside server");
                Err(format!("the server {name:?} cannot be asked for this person at the moment"))
            }
        }
    }
}

#[async_trait]
impl ToolSet for OutsideSet {
    fn name(&self) -> &str {
        &self.name
    }

    async fn definitions(&self, context: &ToolContext) -> Arc<Vec<ToolDefinition>> {
        match self.lease(context).await {
            Ok(lease) => Arc::clone(&lease.connection.tools().await.definitions),
            Err(_logged) => Arc::default(),
        }
    }

    async fn call(&self, context: &ToolContext, name: &str, arguments: JsonObject) -> ToolOutcome {
        let lease = match self.lease(context).await {
            Ok(lease) => lease,
            Err(why) => return ToolOutcome::error(why),
        };
        let table = lease.connection.tools().await;
        let Some(tool) = table.original(name) else {
            return ToolOutcome::error(format!("the server {:?} has no tool {name:?} any more", self.name));
        };
        lease.connection.call(tool, arguments).await
    }

    async fn instructions(&self, context: &ToolContext) -> Option<String> {
        self.lease(context).await.ok()?.connection.instructions.clone()
    }
}
