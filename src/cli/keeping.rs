//! What commands share that change what cannot be changed back: the archive of before, and how much one person may have.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::service::archives::{self, Target};
use crate::store::archive::Existing;
use crate::store::{MergeLimits, SharedStore};

/// Writes everything that the store holds into the folder of backups, under a name that no rotation deletes. Returns where.
pub(super) async fn archive_before(what: &str, store: SharedStore, config: &Config, clock: &Clock) -> anyhow::Result<PathBuf> {
    let folder = config.backup.folder(&config.storage);
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("the folder {} could not be made", folder.display()))?;
    let name = format!("before-{what}-{}.jsonl", clock.now().to_jiff().strftime("%Y-%m-%dT%H-%M-%S%.3fZ"));
    let path = folder.join(name);
    let target = Target::File { path: path.clone(), existing: Existing::Kept };
    archives::write(store, target, CancellationToken::new(), |_at| {}).await?;
    Ok(path)
}

/// How much one person may have, as the settings say.
pub(super) fn merge_limits(config: &Config) -> MergeLimits {
    MergeLimits {
        graph: config.memory.limits(),
        todos: config.todos.items,
        schedules: usize::try_from(config.schedules.per_person).unwrap_or(usize::MAX),
    }
}
