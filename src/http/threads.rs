//! The threads that answer, each with a runtime of its own.
//!
//! A request sets off tasks: rmcp alone makes four of a tool's call. On one runtime over many threads each of those woke an idle
//! thread, which looked for work that was done already: half of what a call alone cost. Here whatever a connection sets off stays on
//! the connection's thread, and each new connection goes to the thread that has the least to do. Threads that find no work cannot
//! take it from those that have too much; connections are many and short enough for that.

use std::future::Future;
use std::thread::JoinHandle;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Threads at most: what they do is soon done, and what takes long is done by others.
const MOST: usize = 16;

/// The threads; they end with this, and with them what still runs there.
pub(super) struct Threads {
    threads: Vec<Thread>,
    end: DropGuard,
}

struct Thread {
    runtime: Handle,
    ended: JoinHandle<()>,
}

impl Threads {
    /// Starts one for each processor. On a machine that gives no thread, whoever calls does the work.
    pub(super) fn start() -> Self {
        let end = CancellationToken::new();
        let count = std::thread::available_parallelism().map_or(1, usize::from).min(MOST);
        let mut threads = Vec::with_capacity(count);
        for _ in 0..count {
            match Thread::start(end.clone()) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    tracing::warn!(%error, started = threads.len(), "not every thread that answers could be started");
                    break;
                }
            }
        }
        Self { threads, end: end.drop_guard() }
    }

    /// Begins a task on the thread that has the fewest.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let idlest = self.threads.iter().min_by_key(|thread| thread.runtime.metrics().num_alive_tasks());
        // Whoever waits for the task counts it.
        drop(match idlest {
            Some(thread) => thread.runtime.spawn(task),
            None => tokio::spawn(task),
        });
    }

    /// Ends the threads and waits until they have.
    pub(super) async fn end(self) {
        drop(self.end);
        let all_ended = tokio::task::spawn_blocking(move || self.threads.into_iter().all(|thread| thread.ended.join().is_ok()));
        if !matches!(all_ended.await, Ok(true)) {
            tracing::error!("a thread that answers had panicked");
        }
    }
}

impl Thread {
    fn start(end: CancellationToken) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let ended = std::thread::Builder::new().name("http".to_owned()).spawn(move || {
            runtime.block_on(async {
                end.cancelled().await;
                // What was woken by the end has its turn before it: a last word for the log.
                tokio::task::yield_now().await;
            });
        })?;
        Ok(Self { runtime: handle, ended })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread::{ThreadId, current};
    use std::time::Duration;

    use tokio::sync::oneshot;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn what_a_task_sets_off_stays_on_its_thread() {
        let threads = Threads::start();
        for _ in 0..20 {
            let (send, receive) = oneshot::channel::<(ThreadId, ThreadId)>();
            threads.spawn(async move {
                let set_off = tokio::spawn(async { tokio::spawn(async { current().id() }).await.unwrap() });
                let _gone = send.send((current().id(), set_off.await.unwrap()));
            });
            let (task, set_off) = timeout(LIMIT, receive).await.unwrap().unwrap();
            assert_eq!(task, set_off);
            assert_ne!(task, current().id());
        }
        timeout(LIMIT, threads.end()).await.unwrap();
    }

    #[tokio::test]
    async fn tasks_that_last_are_spread_over_the_threads() {
        let threads = Threads::start();
        let mut seen = HashSet::new();
        for _ in &threads.threads {
            let (send, receive) = oneshot::channel();
            threads.spawn(async move {
                let _gone = send.send(current().id());
                std::future::pending::<()>().await;
            });
            seen.insert(timeout(LIMIT, receive).await.unwrap().unwrap());
        }
        assert_eq!(seen.len(), threads.threads.len());
        timeout(LIMIT, threads.end()).await.expect("tasks that never end hold up no end");
    }

    #[tokio::test]
    async fn what_the_end_wakes_has_its_turn() {
        let (threads, stop) = (Threads::start(), CancellationToken::new());
        let (begun, has_begun) = oneshot::channel();
        let (send, receive) = oneshot::channel();
        let woken = stop.clone();
        threads.spawn(async move {
            let _gone = begun.send(());
            woken.cancelled().await;
            let _gone = send.send("a last word");
        });
        has_begun.await.unwrap();
        stop.cancel();
        timeout(LIMIT, threads.end()).await.unwrap();
        assert_eq!(receive.await, Ok("a last word"));
    }
}
