//! Writes scheduled archives, in the background.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::service::archives::KeepError;
use crate::service::backups::{Backups, Looked};

/// How often it is looked whether one is due.
const LOOK: Duration = Duration::from_mins(1);

/// Looks until `stop`; an archive that is being written then is given up, and due again after the next start.
pub async fn run(backups: Backups, stop: CancellationToken) {
    loop {
        match backups.look(stop.clone()).await {
            Ok(Looked::NotDue | Looked::Others) => {}
            Ok(Looked::Written { summary, deleted }) => {
                metrics::counter!("backups_total", "outcome" => "written").increment(1);
                tracing::info!(records = summary.records, size_bytes = summary.bytes, deleted, "a scheduled archive was written");
            }
            Err(KeepError::Stopped) => return,
            Err(error) => {
                metrics::counter!("backups_total", "outcome" => "failed").increment(1);
                tracing::error!(%error, "the scheduled archive could not be written; trying again in a minute");
            }
        }
        if tokio::time::timeout(LOOK, stop.cancelled()).await.is_ok() {
            return;
        }
    }
}
