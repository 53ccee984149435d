//! Archives of a store of any backend, and what can be told of the store as a whole.

use std::sync::Arc;

use scrubjay::service::archives::{self, KeepError, Target};
use scrubjay::store::archive::{Existing, Summary};
use scrubjay::store::{SharedStore, StoreError};
use tokio_util::sync::CancellationToken;

use super::contents::fill;
use super::fixture::Fixture;
use crate::support::chance::Chance;

/// Writes an archive of a store; the file and what is in it.
pub(super) async fn written(store: &SharedStore) -> (tempfile::TempDir, Vec<u8>, Summary) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive.jsonl");
    let target = Target::File { path: path.clone(), existing: Existing::Kept };
    let summary = archives::write(Arc::clone(store), target, CancellationToken::new(), |_at| {}).await.unwrap();
    let bytes = std::fs::read(&path).unwrap();
    (folder, bytes, summary)
}

pub(super) async fn an_archive_fits_together_and_is_byte_equal_when_written_from_where_it_was_restored(f: Fixture) {
    for _round in 0..f.times(3) {
        let chance = Chance::new();
        let full = f.fresh();
        fill(&full, &chance, full.times(150)).await;
        let (folder, bytes, summary) = written(&full.store).await;
        assert_eq!(summary.bytes, bytes.len() as u64);
        let archive = std::fs::File::open(folder.path().join("archive.jsonl")).unwrap();
        let verified = archives::verify(archive.try_clone().unwrap(), |_at| {}).await.unwrap();
        assert_eq!(verified.faults.count, 0, "{:?}", verified.faults);
        assert_eq!(verified.summary, summary);

        let other = full.fresh();
        assert_eq!(archives::restore(Arc::clone(&other.store), archive.try_clone().unwrap(), summary.clone(), |_at| {}).await.unwrap(), 0);
        let (_folder, again, _summary) = written(&other.store).await;
        assert!(bytes == again, "written again it is another archive");

        let refused = archives::restore(Arc::clone(&other.store), archive, summary, |_at| {}).await.unwrap_err();
        assert!(matches!(refused, KeepError::Store(StoreError::Conflict { .. })), "{refused}");
    }
}

pub(super) async fn a_store_in_use_is_whole(f: Fixture) {
    fill(&f, &Chance::new(), f.times(200)).await;
    f.texted("+15550005555", "at least this").await;
    let mut records = 0;
    let faults = archives::look(&f.store, |_record| records += 1).await.unwrap();
    assert_eq!(faults.count, 0, "{faults:?}");
    assert!(records > 5);
    assert_eq!(f.store.find_damage().await.unwrap(), []);
}
