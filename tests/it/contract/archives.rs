//! Archives of a store of any backend, and what can be told of the store as a whole.

use std::io::{Seek as _, Write as _};
use std::sync::Arc;

use scrubjay::service::archives::{self, KeepError, Target};
use scrubjay::store::archive::{ArchiveError, Existing, Summary, Writer};
use scrubjay::store::record::Record;
use scrubjay::store::{SharedStore, StoreError, Whose};
use tokio_util::sync::CancellationToken;

use super::contents::fill;
use super::fixture::{ANN, BOB, Fixture};
use super::keeping::records;
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

pub(super) async fn two_people_with_one_receipt_are_refused_with_the_line(f: Fixture) {
    f.texted(ANN, "hello").await;
    f.texted(BOB, "hello").await;
    let kept = records(&f.store, Whose::Everybodys).await;
    let json = |record: &Record| serde_json::from_str::<serde_json::Value>(&record.to_json().unwrap()).unwrap();
    let receipts = kept.iter().filter(|record| matches!(record, Record::Receipt(_)));
    let mut keys = receipts.map(|record| json(record)["key"].as_str().unwrap().to_owned());
    let (first, second) = (keys.next().unwrap(), keys.next().unwrap());
    let same = |record: &Record| Record::from_json(&record.to_json().unwrap().replace(&second, &first)).unwrap();
    let kept: Vec<Record> = kept.iter().map(same).collect();
    let is_second = |record: &&Record| matches!(record, Record::Receipt(_));
    let place = kept.iter().rposition(|record| is_second(&record)).unwrap();
    // The head is the first line.
    let line = place as u64 + 2;

    let mut writer = Writer::begin(Vec::new()).unwrap();
    for record in &kept {
        writer.add(record).unwrap();
    }
    let (bytes, summary) = writer.finish().unwrap();
    let mut archive = tempfile::tempfile().unwrap();
    archive.write_all(&bytes).unwrap();
    archive.rewind().unwrap();
    let verified = archives::verify(archive.try_clone().unwrap(), |_at| {}).await.unwrap();
    assert_eq!((verified.faults.count, verified.faults.told[0].line), (1, Some(line)), "{:?}", verified.faults);

    let other = f.fresh();
    let refused = archives::restore(Arc::clone(&other.store), archive, summary, |_at| {}).await.unwrap_err();
    let KeepError::Archive(ArchiveError::Unfit { line: named, fault }) = &refused else { panic!("{refused}") };
    assert_eq!((*named, fault.kind), (line, "receipt"), "{refused}");
    // The store itself takes neither the one nor the other in its place.
    let other = f.fresh();
    other.store.begin_restore("archive").await.unwrap();
    other.store.restore(kept[..place].to_vec(), place as u64).await.unwrap();
    let conflict = other.store.restore(kept[place..].to_vec(), kept.len() as u64).await;
    assert!(matches!(conflict, Err(StoreError::Conflict { .. })), "{conflict:?}");
    assert_eq!(records(&other.store, Whose::Everybodys).await.iter().filter(is_second).count(), 1);
}
