//! Archives that are written by themselves.

use std::path::Path;
use std::time::Duration;

use scrubjay::service::archives;
use scrubjay::service::backups::{Backups, Looked};
use scrubjay::service::people::UserName;
use scrubjay::store::SharedStore;
use tokio_util::sync::CancellationToken;

use super::bench::{ADA, Bench, bench, number};

const DAY: Duration = Duration::from_hours(24);

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn backups(bench: &Bench, folder: &Path, keep: usize) -> Backups {
    Backups::new(SharedStore::clone(&bench.store), bench.clock.clone(), folder.to_owned(), DAY, keep)
}

async fn look(backups: &Backups) -> Looked {
    backups.look(CancellationToken::new()).await.unwrap()
}

#[tokio::test]
async fn an_archive_is_written_when_the_newest_is_old_enough_and_old_ones_go() {
    let bench = bench(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("below/backups");
    let one = backups(&bench, &folder, 2);
    assert!(matches!(look(&one).await, Looked::Written { deleted: 0, .. }));
    std::fs::write(folder.join("scrubjay-notes.jsonl"), "somebody's own").unwrap();
    assert!(matches!(look(&one).await, Looked::NotDue));
    bench.clock.advance(DAY.saturating_sub(Duration::from_mins(30)));
    assert!(matches!(look(&one).await, Looked::NotDue));
    bench.clock.advance(Duration::from_mins(45));
    // Another process of the same folder sees what this one wrote.
    let other = backups(&bench, &folder, 2);
    assert!(matches!(look(&one).await, Looked::Written { deleted: 0, .. }));
    assert!(matches!(look(&other).await, Looked::NotDue));
    bench.clock.advance(DAY + Duration::from_mins(15));
    assert!(matches!(look(&other).await, Looked::Written { deleted: 1, .. }));
    let left = names(&folder);
    assert_eq!(left.len(), 3, "{left:?}");
    assert!(left.contains(&"scrubjay-notes.jsonl".to_owned()));
    for name in left.iter().filter(|name| *name != "scrubjay-notes.jsonl") {
        let archive = std::fs::File::open(folder.join(name)).unwrap();
        assert_eq!(archives::verify(archive, |_at| {}).await.unwrap().faults.count, 0);
    }
}

#[tokio::test]
async fn of_two_processes_at_once_one_writes() {
    let bench = bench(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (backups(&bench, folder.path(), 5), backups(&bench, folder.path(), 5));
    let looked = tokio::join!(look(&one), look(&other));
    let written = [&looked.0, &looked.1].into_iter().filter(|looked| matches!(looked, Looked::Written { .. })).count();
    assert_eq!((written, names(folder.path()).len()), (1, 1), "{looked:?}");
}

#[tokio::test]
async fn who_was_erased_is_in_no_archive_after_the_next_rotations() {
    let bench = bench(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    let backups = backups(&bench, folder.path(), 1);
    bench.text(ADA, "I am fond of marzipan").await;
    assert!(matches!(look(&backups).await, Looked::Written { .. }));
    let holds = || names(folder.path()).iter().any(|name| std::fs::read_to_string(folder.path().join(name)).unwrap().contains("marzipan"));
    assert!(holds());
    let user = bench.app.people.get(&UserName::Phone(number(ADA))).await.unwrap();
    bench.app.people.erase(user.id).await.unwrap();
    bench.clock.advance(DAY + Duration::from_mins(15));
    assert!(matches!(look(&backups).await, Looked::Written { deleted: 1, .. }));
    assert!(!holds());
}

#[tokio::test]
async fn what_cannot_be_written_leaves_nothing_and_deletes_nothing() {
    let bench = bench(|_| {}).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "no folder").unwrap();
    let nowhere = backups(&bench, &folder.path().join("file"), 1);
    assert!(nowhere.look(CancellationToken::new()).await.is_err());
    let stopped = CancellationToken::new();
    stopped.cancel();
    let somewhere = backups(&bench, &folder.path().join("backups"), 1);
    assert!(somewhere.look(stopped).await.is_err());
    assert_eq!(names(&folder.path().join("backups")), Vec::<String>::new());
}
