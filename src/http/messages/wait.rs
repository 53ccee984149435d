//! Waiting for a turn's end, and giving up in time.

use std::time::Duration;

use tokio::time::Instant;

use crate::domain::turn::TurnEnd;
use crate::http::state::HttpState;
use crate::service::watch::{Follower, ToolState, TurnEvent};
use crate::store::Receipt;

/// Of the seconds that a stop grants, those that are kept for writing the answers.
const STOP_MARGIN: Duration = Duration::from_secs(2);

/// Looks on at a stored message's turn.
pub(super) struct Waiting {
    state: HttpState,
    receipt: Receipt,
    follower: Follower,
    deadline: Instant,
}

/// What a waiter sees next.
pub(super) enum Seen {
    /// More of the reply.
    Delta(String),
    /// A tool is being called, or was.
    Tool {
        /// Its name.
        name: String,
        /// How far it has come.
        state: ToolState,
    },
    /// The turn, or an attempt at it, is over.
    End(TurnEnd),
    /// Nothing within the time that is waited. The message stays stored and its turn goes on.
    Nothing,
}

impl Waiting {
    /// `follower` follows the receipt's turn.
    pub(super) fn new(state: HttpState, receipt: Receipt, follower: Follower, limit: Duration) -> Self {
        Self { state, receipt, follower, deadline: Instant::now() + limit }
    }

    /// Asks the store first: for a turn that may have ended long ago.
    pub(super) async fn look_back(&mut self) -> Option<TurnEvent> {
        let Receipt { user_id, turn_id, .. } = self.receipt;
        // A store that cannot be asked now is asked again while waiting.
        self.follower.ask(&self.state.store, user_id, turn_id).await.ok().flatten()
    }

    /// What comes next.
    pub(super) async fn next(&mut self) -> Seen {
        let Receipt { user_id, turn_id, .. } = self.receipt;
        let (stop, grace) =
            (&self.state.stop.drain, Duration::from_secs(self.state.config.server.stop_seconds).saturating_sub(STOP_MARGIN));
        let stopping = async {
            stop.cancelled().await;
            tokio::time::sleep(grace).await;
        };
        let seen = tokio::select! {
            biased;
            event = self.follower.next(&self.state.store, user_id, turn_id) => event,
            () = tokio::time::sleep_until(self.deadline) => return Seen::Nothing,
            () = stopping => return Seen::Nothing,
        };
        match seen {
            Ok(TurnEvent::Delta(text)) => Seen::Delta(text),
            Ok(TurnEvent::Tool { name, state }) => Seen::Tool { name, state },
            // The turn was given back because the server stops, and is answered after the next start.
            Ok(TurnEvent::End(TurnEnd::Failed { will_retry: true, .. })) if stop.is_cancelled() => Seen::Nothing,
            Ok(TurnEvent::End(end)) => Seen::End(end),
            Err(error) => {
                tracing::warn!(%error, turn = %turn_id, "storage could not be asked for a reply; the caller is told to come back");
                Seen::Nothing
            }
        }
    }

    /// The end, with everything before it passed over.
    pub(super) async fn end(&mut self) -> Option<TurnEnd> {
        loop {
            match self.next().await {
                Seen::Delta(_) | Seen::Tool { .. } => {}
                Seen::End(end) => return Some(end),
                Seen::Nothing => return None,
            }
        }
    }
}
