//! One connection to one server: its greeting, its list of tools, its calls. Every wait has a limit.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, ClientCapabilities, ClientConfig, Implementation, PaginatedRequestParams, ProtocolVersion,
    Tool,
};
use rmcp::service::{
    ClientInitializeError, ClientLifecycleMode, ClientServiceExt as _, NotificationContext, Peer, RunningService, ServiceError,
};
use rmcp::{ClientHandler, RoleClient};
use secrecy::SecretString;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::child::{self, Program};
use super::describe::Table;
use super::outcome::{cut, outcome};
use super::remote;
use crate::config::mcp_servers::{Instructions, McpServer, Reach};
use crate::service::tools::{JsonObject, ToolOutcome};

/// A list of tools older than this is asked for again: servers without a stream cannot say that theirs has changed.
const MAX_AGE: Duration = Duration::from_mins(5);
/// Pages of a list of tools.
const MOST_PAGES: usize = 32;
/// After that many calls in a row without an answer a connection is given up.
const MOST_SILENT: u32 = 2;
/// How long a connection may take to end.
const TO_CLOSE: Duration = Duration::from_secs(8);
/// Bytes of a server's own instructions, and of an error's text, that a model is shown.
const LONGEST_INSTRUCTIONS: usize = 4_000;
const LONGEST_ERROR: usize = 2_000;

/// A configured server.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) prefix: String,
    pub(super) settings: McpServer,
    pub(super) inherited: Vec<(OsString, OsString)>,
    /// Only for servers over HTTP.
    pub(super) http: Option<reqwest::Client>,
    /// Whether it turned out to know no revision of the protocol with a handshake.
    pub(super) has_no_handshake: AtomicBool,
}

/// Why there is no connection. Its text may be logged: it holds nothing that a server said.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("it cannot be started: {0}")]
    Start(#[from] std::io::Error),
    #[error(transparent)]
    Header(#[from] remote::Unsendable),
    #[error("it did not start, greet and list its tools within {} ms", .0.as_millis())]
    Slow(Duration),
    #[error("it asks for a login")]
    Login,
    #[error("it ended, or did not answer, while it was greeted")]
    Greeting,
    #[error("it refused the greeting")]
    Refused,
    #[error("it did not list its tools")]
    Tools,
    #[error("this program is stopping")]
    Stopping,
}

/// An open connection.
pub(super) struct Connection {
    server: Arc<Server>,
    peer: Peer<RoleClient>,
    running: Mutex<Option<RunningService<RoleClient, Client>>>,
    listed: RwLock<Listed>,
    is_stale: Arc<AtomicBool>,
    /// When it was found to be of no use.
    broke: OnceLock<Instant>,
    silent: AtomicU32,
    opened: Instant,
    pub(super) instructions: Option<String>,
}

struct Listed {
    table: Arc<Table>,
    at: Instant,
}

/// Our side of the protocol: it offers a server nothing, and notes when the list of tools has changed.
pub(super) struct Client {
    is_stale: Arc<AtomicBool>,
}

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        let us = Implementation::new("scrubjay", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), us).with_protocol_version(ProtocolVersion::LATEST_WITH_INITIALIZE)
    }

    async fn on_tool_list_changed(&self, _context: NotificationContext<RoleClient>) {
        self.is_stale.store(true, Ordering::Release);
    }
}

impl Connection {
    /// Starts the server, greets it, and asks for its tools. Given up, it leaves no process behind.
    pub(super) async fn open(server: &Arc<Server>, filled: &[(String, SecretString)]) -> Result<Self, Failure> {
        let limit = server.settings.init_timeout;
        match timeout(limit, Self::open_unlimited(server, filled)).await {
            Ok(opened) => opened,
            Err(_elapsed) => Err(Failure::Slow(limit)),
        }
    }

    async fn open_unlimited(server: &Arc<Server>, filled: &[(String, SecretString)]) -> Result<Self, Failure> {
        let is_stale = Arc::new(AtomicBool::new(false));
        let running = greet(server, filled, &is_stale).await?;
        let peer = running.peer().clone();
        let said = peer.peer_info();
        let instructions = match &server.settings.instructions {
            Instructions::None => None,
            Instructions::Own => said.as_ref().and_then(|said| said.instructions.as_deref()).map(|text| cut(text, LONGEST_INSTRUCTIONS)),
            Instructions::Text(text) => Some(text.clone()),
        };
        // What was started must be told to end, also when its list never comes.
        let offers_tools = said.is_none_or(|said| said.capabilities.tools.is_some());
        let tools = if offers_tools { list(&peer).await } else { Ok(Vec::new()) };
        let table = match tools {
            Ok(tools) => table(server, tools),
            Err(error) => {
                tracing::debug!(server = server.name, %error, "an outside server did not list its tools");
                return Err(Failure::Tools);
            }
        };
        Ok(Self {
            server: Arc::clone(server),
            peer,
            running: Mutex::new(Some(running)),
            listed: RwLock::new(Listed { table: Arc::new(table), at: Instant::now() }),
            is_stale,
            broke: OnceLock::new(),
            silent: AtomicU32::new(0),
            opened: Instant::now(),
            instructions: instructions.filter(|text| !text.trim().is_empty()),
        })
    }

    /// Since when nothing more will come of it, as far as that is known.
    pub(super) fn broke(&self) -> Option<Instant> {
        self.broke.get().copied().or_else(|| self.peer.is_transport_closed().then(Instant::now))
    }

    fn give_up(&self) {
        self.broke.get_or_init(Instant::now);
    }

    /// How long it has been open.
    pub(super) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Its tools, asked for again where the list has changed or is old. While it cannot be had, the last one counts.
    pub(super) async fn tools(&self) -> Arc<Table> {
        let (table, at) = {
            let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner);
            (Arc::clone(&listed.table), listed.at)
        };
        let is_stale = self.is_stale.swap(false, Ordering::AcqRel);
        if !is_stale && at.elapsed() < MAX_AGE {
            return table;
        }
        // Others who come meanwhile take the list as it is.
        self.listed.write().unwrap_or_else(PoisonError::into_inner).at = Instant::now();
        let fresh = match timeout(self.server.settings.init_timeout, list(&self.peer)).await {
            Ok(Ok(tools)) => Arc::new(self::table(&self.server, tools)),
            Ok(Err(error)) => {
                self.note(&error);
                return table;
            }
            Err(_elapsed) => return table,
        };
        let mut listed = self.listed.write().unwrap_or_else(PoisonError::into_inner);
        *listed = Listed { table: Arc::clone(&fresh), at: Instant::now() };
        fresh
    }

    /// Calls a tool by the server's own name for it.
    pub(super) async fn call(&self, tool: &str, arguments: JsonObject) -> ToolOutcome {
        let (name, limit) = (&self.server.name, self.server.settings.timeout);
        let request = CallToolRequestParams::new(Cow::Owned(tool.to_owned())).with_arguments(arguments);
        // Given up, here or by our caller, the request is cancelled at the server.
        let Ok(answer) = timeout(limit, self.peer.call_tool_once(request)).await else {
            if self.silent.fetch_add(1, Ordering::AcqRel) + 1 >= MOST_SILENT {
                self.give_up();
            }
            return ToolOutcome::error(format!(
                "the server {name:?} did not answer within {} s, and the call was given up; whether it took effect is not known",
                limit.as_secs_f64()
            ));
        };
        self.silent.store(0, Ordering::Release);
        match answer {
            Ok(CallToolResponse::Complete(result)) => outcome(result),
            Ok(_) => ToolOutcome::error(format!(
                "the server {name:?} wants to ask something in the middle of the call, and nobody is there to answer"
            )),
            Err(ServiceError::McpError(error)) => {
                ToolOutcome::error(format!("the server {name:?} refused the call: {}", cut(&error.message, LONGEST_ERROR)))
            }
            Err(ServiceError::UnexpectedResponse) => {
                ToolOutcome::error(format!("the server {name:?} answered something that is no result"))
            }
            Err(error) => {
                self.note(&error);
                ToolOutcome::error(format!("the connection to the server {name:?} was lost; whether the call took effect is not known"))
            }
        }
    }

    fn note(&self, error: &ServiceError) {
        if matches!(error, ServiceError::TransportClosed | ServiceError::TransportSend(_)) {
            self.give_up();
        }
        tracing::debug!(server = self.server.name, %error, "an outside server failed");
    }

    /// Ends it: a process is given time to leave, a session is given back.
    pub(super) async fn close(&self) {
        self.give_up();
        let running = self.running.lock().await.take();
        if let Some(mut running) = running {
            // What does not end in time is dropped, and with it a process is killed.
            let _ended = running.close_with_timeout(TO_CLOSE).await;
        }
    }
}

/// Connects and shakes hands. The handshake is what nearly every server knows, and what the others refuse at once; asking the other
/// way round, servers that never answer what they do not know would cost ten seconds.
async fn greet(
    server: &Arc<Server>,
    filled: &[(String, SecretString)],
    is_stale: &Arc<AtomicBool>,
) -> Result<RunningService<RoleClient, Client>, Failure> {
    let without = ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::LATEST] };
    if server.has_no_handshake.load(Ordering::Relaxed) {
        return shake(server, filled, is_stale, without).await.map_err(Failure::from);
    }
    match shake(server, filled, is_stale, ClientLifecycleMode::Initialize).await {
        Err(Unwelcome::Greeting(error)) if matches!(*error, ClientInitializeError::JsonRpcError(_)) => {
            let running = shake(server, filled, is_stale, without).await?;
            server.has_no_handshake.store(true, Ordering::Relaxed);
            Ok(running)
        }
        greeted => Ok(greeted?),
    }
}

/// Why a server was not greeted.
enum Unwelcome {
    Failure(Failure),
    Greeting(Box<ClientInitializeError>),
}

impl From<Unwelcome> for Failure {
    fn from(unwelcome: Unwelcome) -> Self {
        match unwelcome {
            Unwelcome::Failure(failure) => failure,
            Unwelcome::Greeting(error) if error.is_authorization_required() => Self::Login,
            Unwelcome::Greeting(error) => match *error {
                ClientInitializeError::JsonRpcError(_) | ClientInitializeError::NoCompatibleProtocolVersion { .. } => Self::Refused,
                _ => Self::Greeting,
            },
        }
    }
}

async fn shake(
    server: &Arc<Server>,
    filled: &[(String, SecretString)],
    is_stale: &Arc<AtomicBool>,
    mode: ClientLifecycleMode,
) -> Result<RunningService<RoleClient, Client>, Unwelcome> {
    let client = Client { is_stale: Arc::clone(is_stale) };
    let greeted = match &server.settings.reach {
        Reach::Stdio { command, args, .. } => {
            let program = Program { server: &server.name, command, args, inherited: &server.inherited, env: filled };
            let transport = child::start(&program).map_err(|error| Unwelcome::Failure(error.into()))?;
            client.serve_with_lifecycle(transport, mode).await
        }
        Reach::Http { url, .. } => {
            let http = server.http.clone().ok_or(Unwelcome::Failure(Failure::Stopping))?;
            let transport = remote::transport(http, url, filled).map_err(|error| Unwelcome::Failure(error.into()))?;
            client.serve_with_lifecycle(transport, mode).await
        }
    };
    greeted.map_err(|error| {
        tracing::debug!(server = server.name, %error, "an outside server was not greeted");
        Unwelcome::Greeting(Box::new(error))
    })
}

async fn list(peer: &Peer<RoleClient>) -> Result<Vec<Tool>, ServiceError> {
    let mut tools = Vec::new();
    let mut cursor = None;
    let mut seen = BTreeSet::new();
    for _page in 0..MOST_PAGES {
        let asked = cursor.take().map(|cursor| PaginatedRequestParams::default().with_cursor(Some(cursor)));
        let page = peer.list_tools(asked).await?;
        tools.extend(page.tools);
        match page.next_cursor {
            // A server that gives the same cursor again would be asked for ever.
            Some(next) if seen.insert(next.clone()) => cursor = Some(next),
            _ => break,
        }
    }
    Ok(tools)
}

fn table(server: &Server, tools: Vec<Tool>) -> Table {
    let (table, left_out) = Table::of(&server.prefix, tools);
    if left_out > 0 {
        tracing::warn!(server = server.name, left_out, "some tools of an outside server are left out: doubled, too many, or too large");
    }
    table
}
