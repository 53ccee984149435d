//! The same server over standard input and output, for one person.
//!
//! Messages are answered from the first moment on: whoever asks for something stored waits until the store is open, and is told
//! why when it cannot be opened. At the end of the input, or at a signal, what was asked for is still answered.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::RoleServer;
use rmcp::model::{ClientNotification, JsonRpcMessage, RequestId};
use rmcp::service::{QuitReason, RxJsonRpcMessage, ServerInitializeError, TxJsonRpcMessage, serve_server};
use rmcp::transport::Transport;
use rmcp::transport::async_rw::AsyncRwTransport;
use rmcp::transport::io::stdio_pipes;
use tokio::io::{AsyncRead, AsyncWrite, Empty};
use tokio::sync::{Notify, watch};

use super::catalogue::Catalogue;
use super::lines::Lines;
use super::server::Server;
use crate::domain::ids::UserId;
use crate::lifecycle::Stop;

/// What is served, once it is open.
#[derive(Clone)]
pub struct Opened {
    /// The tool sets.
    pub catalogue: Arc<Catalogue>,
    /// Whom they are served to.
    pub user_id: UserId,
}

/// What is being opened.
#[derive(Clone)]
pub struct Opening(watch::Receiver<Option<Result<Opened, String>>>);

/// Tells those who wait what came of opening.
pub struct Opener(watch::Sender<Option<Result<Opened, String>>>);

/// Something to be opened, and who waits for it.
#[must_use]
pub fn opening() -> (Opener, Opening) {
    let (sender, receiver) = watch::channel(None);
    (Opener(sender), Opening(receiver))
}

impl Opener {
    /// It is open, or cannot be opened, for a reason that a client is told.
    pub fn done(self, outcome: Result<Opened, String>) {
        self.0.send_replace(Some(outcome));
    }
}

impl Opening {
    /// What is open; waits until it is.
    pub(super) async fn wait(&self) -> Result<Opened, String> {
        let mut receiver = self.0.clone();
        let outcome = receiver.wait_for(Option::is_some).await.map(|outcome| outcome.clone());
        outcome.ok().flatten().unwrap_or_else(|| Err("the server ended before its store was open".to_owned()))
    }
}

/// Why a client could not be served.
#[derive(Debug, thiserror::Error)]
pub enum StdioError {
    /// It spoke before it said hello.
    #[error("the client's first message is neither `initialize` nor a request of the revision 2026-07-28")]
    NoHello,
    /// The handshake failed.
    #[error("the handshake failed: {0}")]
    Handshake(String),
    /// The task that served it broke.
    #[error("serving ended by a fault")]
    Broken,
}

/// Serves until the input ends or `stop.drain`, then answers what was asked for; `stop.now` ends it without.
///
/// # Errors
/// See [`StdioError`].
pub async fn serve(opening: Opening, stop: Stop) -> Result<(), StdioError> {
    let (input, output) = stdio_pipes();
    serve_over(input, output, opening, stop).await
}

async fn serve_over<R, W>(input: R, output: W, opening: Opening, stop: Stop) -> Result<(), StdioError>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    let transport = Draining {
        input: Lines::new(input),
        output: AsyncRwTransport::new_server(tokio::io::empty(), output),
        refusing: None,
        unanswered: Arc::default(),
        stop,
        ended: false,
    };
    match serve_server(Server::of_process(opening), transport).await {
        Ok(running) => match running.waiting().await {
            Ok(QuitReason::JoinError(_)) | Err(_) => Err(StdioError::Broken),
            Ok(_) => Ok(()),
        },
        // Somebody looked in and left again.
        Err(ServerInitializeError::ConnectionClosed(_) | ServerInitializeError::Cancelled) => Ok(()),
        // What it sent is not repeated: it may hold anything.
        Err(ServerInitializeError::ExpectedInitializeRequest(_)) => Err(StdioError::NoHello),
        Err(error) => Err(StdioError::Handshake(error.to_string())),
    }
}

/// A transport whose input ends when it has ended and everything asked for is answered. rmcp itself would wait five seconds for
/// answers at the end of the input and two after a signal, which is too short for a call that waits for a large store.
struct Draining<R, W: AsyncWrite> {
    input: Lines<R>,
    output: Output<W>,
    /// The answer to a line that is no message, on its way out.
    refusing: Option<Sending>,
    unanswered: Arc<Unanswered>,
    stop: Stop,
    /// Nothing more is read.
    ended: bool,
}

/// Where answers are written; nothing is read there.
type Output<W> = AsyncRwTransport<RoleServer, Empty, W>;

type Sending = Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

/// Reads the next message. A line that is none is answered before the next is read. Whoever stops waiting loses nothing.
async fn read<R, W>(input: &mut Lines<R>, output: &mut Output<W>, refusing: &mut Option<Sending>) -> Option<RxJsonRpcMessage<RoleServer>>
where
    R: AsyncRead + Send + Unpin,
    W: AsyncWrite + Send + Unpin + 'static,
{
    loop {
        if let Some(sending) = refusing {
            let sent = sending.as_mut().await;
            *refusing = None;
            sent.ok()?;
        }
        match input.next().await? {
            Ok(message) => return Some(message),
            Err(refusal) => *refusing = Some(Box::pin(output.send(JsonRpcMessage::Error(refusal)))),
        }
    }
}

/// Requests that have no answer yet.
#[derive(Default)]
struct Unanswered {
    ids: Mutex<HashSet<RequestId>>,
    changed: Notify,
}

impl Unanswered {
    fn add(&self, id: RequestId) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
    }

    fn remove(&self, id: &RequestId) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).remove(id);
        self.changed.notify_waiters();
    }

    async fn none(&self) {
        loop {
            let changed = self.changed.notified();
            if self.ids.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
                return;
            }
            changed.await;
        }
    }
}

impl<R, W> Transport<RoleServer> for Draining<R, W>
where
    R: AsyncRead + Send + Unpin + 'static,
    W: AsyncWrite + Send + Unpin + 'static,
{
    type Error = std::io::Error;

    fn send(&mut self, item: TxJsonRpcMessage<RoleServer>) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let answered = match &item {
            JsonRpcMessage::Response(response) => Some(response.id.clone()),
            JsonRpcMessage::Error(error) => error.id.clone(),
            JsonRpcMessage::Request(_) | JsonRpcMessage::Notification(_) => None,
        };
        let (sending, unanswered) = (self.output.send(item), Arc::clone(&self.unanswered));
        async move {
            let sent = sending.await;
            if let Some(id) = answered {
                unanswered.remove(&id);
            }
            sent
        }
    }

    /// Safe to be dropped and asked again, as the loop that calls it does.
    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleServer>> {
        if !self.ended {
            let received = tokio::select! {
                biased;
                () = self.stop.drain.cancelled() => None,
                received = read(&mut self.input, &mut self.output, &mut self.refusing) => received,
            };
            match &received {
                Some(JsonRpcMessage::Request(request)) => self.unanswered.add(request.id.clone()),
                // rmcp gives no answer to a request that was cancelled.
                Some(JsonRpcMessage::Notification(notification)) => {
                    if let ClientNotification::CancelledNotification(cancelled) = &notification.notification
                        && let Some(id) = &cancelled.params.request_id
                    {
                        self.unanswered.remove(id);
                    }
                }
                _ => {}
            }
            if received.is_some() {
                return received;
            }
            self.ended = true;
        }
        tokio::select! {
            () = self.stop.now.cancelled() => {}
            () = self.unanswered.none() => {}
        }
        None
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        self.output.close().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use async_trait::async_trait;
    use serde_json::{Value, json};
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines};
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;
    use crate::service::tools::{JsonObject, ToolContext, ToolDefinition, ToolHints, ToolOutcome, ToolSet};

    const LIMIT: Duration = Duration::from_secs(20);

    /// A tool that takes seven seconds, longer than rmcp waits at the end of its input.
    #[derive(Default)]
    struct Slow {
        written: AtomicUsize,
    }

    #[async_trait]
    impl ToolSet for Slow {
        fn name(&self) -> &'static str {
            "slow"
        }

        async fn definitions(&self, _context: &ToolContext) -> Arc<Vec<ToolDefinition>> {
            let schema = Arc::new(JsonObject::from_iter([("type".to_owned(), json!("object"))]));
            let (name, text) = ("write".to_owned(), String::new());
            let hints = ToolHints::ADD;
            Arc::new(vec![ToolDefinition {
                name,
                title: text.clone(),
                description: text,
                input_schema: schema,
                output_schema: None,
                hints,
            }])
        }

        async fn call(&self, _context: &ToolContext, _name: &str, _arguments: JsonObject) -> ToolOutcome {
            tokio::time::sleep(Duration::from_secs(7)).await;
            ToolOutcome::of(json!({"written": self.written.fetch_add(1, Ordering::SeqCst) + 1}))
        }
    }

    struct Client {
        input: Option<DuplexStream>,
        output: Lines<BufReader<DuplexStream>>,
        stop: Stop,
        serving: JoinHandle<Result<(), StdioError>>,
    }

    impl Client {
        async fn hello(opening: Opening) -> Self {
            let ((input, theirs_in), (theirs_out, output)) = (tokio::io::duplex(4096), tokio::io::duplex(4096));
            let stop = Stop::default();
            let serving = tokio::spawn(serve_over(theirs_in, theirs_out, opening, stop.clone()));
            let mut client = Self { input: Some(input), output: BufReader::new(output).lines(), stop, serving };
            let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}});
            client.send(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello})).await;
            assert_eq!(client.next().await.unwrap()["id"], 0);
            client
        }

        async fn send(&mut self, message: &Value) {
            self.input.as_mut().unwrap().write_all(format!("{message}\n").as_bytes()).await.unwrap();
        }

        async fn call(&mut self, id: u64) {
            self.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "write", "arguments": {}}})).await;
        }

        async fn next(&mut self) -> Option<Value> {
            let line = timeout(LIMIT, self.output.next_line()).await.unwrap().unwrap()?;
            Some(serde_json::from_str(&line).unwrap())
        }
    }

    fn opened() -> (Arc<Slow>, Opening) {
        let (slow, (opener, opening)) = (Arc::new(Slow::default()), opening());
        let catalogue = Arc::new(Catalogue::new(vec![Arc::clone(&slow) as _]));
        opener.done(Ok(Opened { catalogue, user_id: UserId::from_bytes([7; 12]) }));
        (slow, opening)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_asked_for_is_answered_after_the_end_of_input_and_after_a_signal() {
        for by_signal in [false, true] {
            let (slow, opening) = opened();
            let mut client = Client::hello(opening).await;
            client.call(1).await;
            client.call(2).await;
            // Both were read: what is answered next came after them.
            client.send(&json!({"jsonrpc": "2.0", "id": 3, "method": "ping"})).await;
            assert_eq!(client.next().await.unwrap()["id"], 3);
            if by_signal {
                client.stop.drain.cancel();
            } else {
                client.input = None;
            }
            let answers = [client.next().await.unwrap(), client.next().await.unwrap()];
            assert!(answers.iter().all(|answer| answer["result"]["isError"] == false), "{answers:?}");
            assert_eq!((client.next().await, slow.written.load(Ordering::SeqCst)), (None, 2));
            timeout(LIMIT, client.serving).await.unwrap().unwrap().unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_taken_back_holds_up_no_end() {
        let (_slow, opening) = opened();
        let mut client = Client::hello(opening).await;
        client.call(1).await;
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})).await;
        client.input = None;
        timeout(LIMIT, client.serving).await.unwrap().unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_second_signal_waits_for_nothing() {
        let (opener, opening) = opening();
        let mut client = Client::hello(opening).await;
        client.call(1).await;
        client.stop.drain.cancel();
        client.stop.now.cancel();
        timeout(LIMIT, client.serving).await.unwrap().unwrap().unwrap();
        drop(opener);
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_what_never_opens_is_told() {
        let (opener, opening) = opening();
        let mut client = Client::hello(opening).await;
        client.call(1).await;
        drop(opener);
        let answer = client.next().await.unwrap();
        assert!(
            answer["result"]["isError"] == true && answer["result"]["content"][0]["text"].as_str().unwrap().contains("ended"),
            "{answer}"
        );
    }
}
