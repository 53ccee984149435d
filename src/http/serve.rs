//! The listening socket: connections with limits, and their end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower::Service;

use super::problem::ProblemKind;
use super::progress::Progress;
use super::threads::Threads;
use crate::lifecycle::Stop;

/// How long things may take at one connection.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// A request's head, and the rest between two requests.
    head: Duration,
    /// A write of which the caller takes nothing.
    stall: Duration,
}

const LIMITS: Limits = Limits { head: Duration::from_secs(30), stall: Duration::from_secs(30) };

/// Largest head of a request, in bytes; also what is buffered of a body at a time.
const BUFFER_BYTES: usize = 64 * 1024;

/// Connections at a time; more wait in the system's queue.
const CONNECTIONS: usize = 8192;

/// How long accepting rests when the system has no file descriptor left.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Serves until `stop.drain`: then nothing new is accepted and idle connections close, and it returns when the last running
/// request is answered, at the latest `grace` later or at `stop.now`. Requests are answered on threads of its own.
pub async fn serve(listener: TcpListener, router: Router, stop: Stop, grace: Duration) {
    // Ends every connection at once.
    let end = stop.now.child_token();
    let (tracker, slots) = (TaskTracker::new(), Arc::new(Semaphore::new(CONNECTIONS)));
    let threads = Threads::start();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.drain.cancelled() => break,
            accepted = accept(&listener, &slots) => accepted,
        };
        let Some((stream, peer, slot)) = accepted else { break };
        let (router, stop) = (router.clone(), Stop { drain: stop.drain.clone(), now: end.clone() });
        threads.spawn(tracker.track_future(async move {
            // Whoever accepted it no longer waits for what comes in.
            match stream.into_std().and_then(TcpStream::from_std) {
                Ok(stream) => connection(stream, peer, router, stop, LIMITS).await,
                Err(error) => tracing::error!(%error, "a connection could not be taken over by the thread that answers"),
            }
            drop(slot);
        }));
    }
    drop(listener);
    tracker.close();
    tokio::select! {
        () = tracker.wait() => {}
        () = end.cancelled() => {}
        () = tokio::time::sleep(grace) => end.cancel(),
    }
    // Each connection sees the same signal and ends by itself.
    tracker.wait().await;
    threads.end().await;
}

/// The next connection; `None` only when there can never be another.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return Some((stream, peer, slot)),
            // One caller's trouble: it hung up before it was its turn.
            Err(error) if matches!(error.kind(), std::io::ErrorKind::ConnectionAborted | std::io::ErrorKind::ConnectionReset) => {}
            Err(error) => {
                tracing::error!(%error, "no connection could be accepted; trying again");
                tokio::time::sleep(ACCEPT_REST).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, peer: SocketAddr, router: Router, stop: Stop, limits: Limits) {
    // Without it the pieces of a streamed answer wait for one another.
    let _not_vital = stream.set_nodelay(true);
    let service = service_fn(move |request| answer(router.clone(), peer, request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(Progress::new(stream, limits.stall)), service);
    tokio::pin!(connection);
    tokio::select! {
        // What ends a connection (a caller who hangs up, a head that is none) is no concern of ours.
        _ended = connection.as_mut() => return,
        () = stop.now.cancelled() => return,
        () = stop.drain.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        _ended = connection.as_mut() => {}
        () = stop.now.cancelled() => {}
    }
}

/// Answers one request. A panic of a handler is that request's alone.
async fn answer(mut router: Router, peer: SocketAddr, request: hyper::Request<Incoming>) -> Result<Response, Infallible> {
    let mut request: Request = request.map(Body::new);
    request.extensions_mut().insert(ConnectInfo(peer));
    let answered = AssertUnwindSafe(router.call(request)).catch_unwind().await;
    answered.unwrap_or_else(|_panic| {
        tracing::error!("the handler of a request panicked");
        Ok(ProblemKind::Internal.into_response())
    })
}

impl IntoResponse for ProblemKind {
    fn into_response(self) -> Response {
        super::problem::Problem::new(self).into_response()
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::Notify;
    use tokio::task::JoinHandle;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    async fn running(router: Router) -> (SocketAddr, Stop, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Stop::default());
        let serving = tokio::spawn(serve(listener, router, stop.clone(), LIMIT));
        (address, stop, serving)
    }

    async fn send(address: SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
        stream
    }

    async fn read_some(stream: &mut TcpStream) -> String {
        let mut buffer = vec![0; 4096];
        let read = timeout(LIMIT, stream.read(&mut buffer)).await.unwrap().unwrap_or(0);
        String::from_utf8_lossy(&buffer[..read]).into_owned()
    }

    async fn broken() -> &'static str {
        panic!("a fault of ours")
    }

    /// Two doors: one answers when told, one panics.
    fn slow_router(begun: &Arc<Notify>, go: &Arc<Notify>) -> Router {
        let (begun, go) = (Arc::clone(begun), Arc::clone(go));
        let slow = move || {
            let (begun, go) = (Arc::clone(&begun), Arc::clone(&go));
            async move {
                begun.notify_one();
                go.notified().await;
                "done"
            }
        };
        Router::new().route("/slow", get(slow)).route("/broken", get(broken))
    }

    #[tokio::test]
    async fn a_stop_lets_a_running_request_finish_and_takes_no_other() {
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (address, stop, serving) = running(slow_router(&begun, &go)).await;
        let mut idle = TcpStream::connect(address).await.unwrap();
        let mut stream = send(address, "/slow").await;
        timeout(LIMIT, begun.notified()).await.unwrap();
        stop.drain.cancel();
        assert_eq!(read_some(&mut idle).await, "", "an idle connection closes");
        assert!(!serving.is_finished());
        go.notify_one();
        assert!(read_some(&mut stream).await.ends_with("done"));
        timeout(LIMIT, serving).await.unwrap().unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }

    #[tokio::test]
    async fn the_second_signal_ends_what_still_runs() {
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (address, stop, serving) = running(slow_router(&begun, &go)).await;
        let mut stream = send(address, "/slow").await;
        timeout(LIMIT, begun.notified()).await.unwrap();
        stop.drain.cancel();
        stop.now.cancel();
        assert_eq!(read_some(&mut stream).await, "");
        timeout(LIMIT, serving).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_panic_is_an_answer_and_the_server_goes_on() {
        let (begun, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (address, _stop, _serving) = running(slow_router(&begun, &go)).await;
        let answer = read_some(&mut send(address, "/broken").await).await;
        assert!(answer.starts_with("HTTP/1.1 500") && answer.contains("/problems/internal-error"), "{answer}");
        assert!(read_some(&mut send(address, "/nowhere").await).await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_closes_the_connection() {
        // Nothing at all, a head that is cut short, and rest after a whole request.
        for sent in ["", "GET / HTTP/1.1\r\nhost:", "GET / HTTP/1.1\r\nhost: x\r\n\r\n"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (stream, peer) = listener.accept().await.unwrap();
            let serving = tokio::spawn(connection(
                stream,
                peer,
                Router::new(),
                Stop::default(),
                Limits { head: Duration::from_millis(50), ..LIMITS },
            ));
            client.write_all(sent.as_bytes()).await.unwrap();
            assert!(timeout(LIMIT, serving).await.is_ok_and(|ended| ended.is_ok()), "after {sent:?} the connection stays");
        }
    }

    /// A caller of a very long answer who never reads, once the answer has begun.
    async fn staller(address: SocketAddr) -> TcpStream {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        stream.write_all(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        timeout(LIMIT, stream.readable()).await.unwrap().unwrap();
        stream
    }

    fn endless_router() -> Router {
        let piece = || Ok::<_, Infallible>(bytes::Bytes::from_static(&[b'x'; 8 * 1024]));
        let endless = move || async move { Body::from_stream(futures::stream::repeat_with(piece)) };
        Router::new().route("/endless", get(endless))
    }

    #[tokio::test]
    async fn a_caller_who_does_not_read_loses_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepting = tokio::spawn(async move {
            let (stream, peer) = listener.accept().await.unwrap();
            let limits = Limits { stall: Duration::from_millis(100), ..LIMITS };
            connection(stream, peer, endless_router(), Stop::default(), limits).await;
        });
        let _unread = staller(address).await;
        assert!(timeout(LIMIT, accepting).await.is_ok_and(|ended| ended.is_ok()), "the connection stays");
    }

    #[tokio::test]
    async fn a_caller_who_does_not_read_holds_up_no_stop() {
        // After the time that is granted; at the second signal; at the second without the first.
        for (grace, drain, now) in
            [(Duration::from_millis(100), true, false), (Duration::from_mins(5), true, true), (Duration::from_mins(5), false, true)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let (address, stop) = (listener.local_addr().unwrap(), Stop::default());
            let serving = tokio::spawn(serve(listener, endless_router(), stop.clone(), grace));
            let mut unread = staller(address).await;
            if drain {
                stop.drain.cancel();
            }
            if now {
                stop.now.cancel();
            }
            if drain {
                timeout(LIMIT, serving).await.unwrap().unwrap();
            }
            // What was buffered can still be read; then it is over.
            let mut buffer = vec![0; 65_536];
            let reading = async { while unread.read(&mut buffer).await.is_ok_and(|read| read > 0) {} };
            assert!(timeout(LIMIT, reading).await.is_ok(), "the connection stays: {grace:?} {drain} {now}");
        }
    }
}
