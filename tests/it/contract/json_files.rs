//! The files of the JSON backend: what a torn, flipped, missing or older file does, and that nothing that was acknowledged goes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use scrubjay::store::{Accepted, SharedStore, StoreError};

use super::contents::fill;
use super::fixture::{ANN, BOB, Fixture};
use super::keeping::lines;
use crate::support::chance::Chance;

fn in_runtime<F: Future<Output = ()>>(case: impl FnOnce(Fixture) -> F) {
    super::run("json", case);
}

fn root(f: &Fixture) -> PathBuf {
    f.settings.path.join("json")
}

fn open(f: &Fixture) -> Result<SharedStore, StoreError> {
    scrubjay::store::open(&f.settings, f.clock.clone())
}

fn refusal(f: &Fixture) -> StoreError {
    match open(f) {
        Ok(_store) => panic!("it was opened"),
        Err(error) => error,
    }
}

/// Every file below a folder whose path `wanted` likes.
fn files(folder: &Path, wanted: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, wanted));
        } else if wanted(&path) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The store's own files, the derived index and empty locks left out.
fn data(f: &Fixture) -> Vec<PathBuf> {
    let root = root(f);
    let own = |path: &Path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        !path.starts_with(root.join("index")) && !name.ends_with("lock") && !name.ends_with(".previous")
    };
    files(&root, &own)
}

fn newest_segment(f: &Fixture) -> PathBuf {
    let segment = |path: &Path| path.extension().is_some_and(|extension| extension == "jsonl");
    files(&root(f).join("journal"), &segment).pop().unwrap()
}

/// Copies a store's folder as it is at this moment.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            let _bytes = std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Copies the folder of a store that is open, while nobody writes its files: a copy is made of one moment, or of none.
fn copy_open(f: &Fixture, to: &Path) {
    let mut lock = std::fs::File::options();
    let writing = lock.create(true).append(true).open(root(f).join("checkpoint.lock")).unwrap();
    writing.lock().unwrap();
    copy(&root(f), to);
}

#[test]
fn what_was_stored_is_there_after_reopening_without_its_index_and_from_a_copy() {
    in_runtime(|f| async move {
        let chance = Chance::new();
        for round in 0..4 {
            fill(&f, &chance, 60).await;
            let store = open(&f).unwrap();
            let before = lines(&store).await;
            store.close().await;
            // As it lies there while it is open, as after a crash of the machine.
            let other = f.fresh();
            other.store.close().await;
            std::fs::remove_dir_all(root(&other)).unwrap();
            copy_open(&f, &root(&other));
            let crashed = open(&other).unwrap();
            assert_eq!(lines(&crashed).await, before, "from a copy, round {round}");
            crashed.close().await;
            std::fs::remove_dir_all(root(&other).join("index")).unwrap();
            let rebuilt = open(&other).unwrap();
            assert_eq!(lines(&rebuilt).await, before, "without its index, round {round}");
            rebuilt.close().await;
        }
    });
}

#[test]
fn an_index_of_an_older_moment_is_not_believed() {
    in_runtime(|f| async move {
        f.texted(ANN, "one").await;
        f.store.close().await;
        let kept = tempfile::tempdir().unwrap();
        copy(&root(&f).join("index"), kept.path());
        let store = open(&f).unwrap();
        store.accept(f.text(BOB, "two")).await.unwrap();
        let now = lines(&store).await;
        store.close().await;
        // Over the files themselves, so that they are the same files.
        for file in files(kept.path(), &|_path| true) {
            std::fs::copy(&file, root(&f).join("index").join(file.file_name().unwrap())).unwrap();
        }
        let store = open(&f).unwrap();
        assert_eq!(lines(&store).await, now);
        store.close().await;
    });
}

#[test]
fn whoever_begins_a_store_at_the_same_moment_opens_the_same_one() {
    in_runtime(|f| async move {
        for _ in 0..20 {
            let fresh = f.fresh();
            fresh.store.close().await;
            std::fs::remove_dir_all(root(&fresh)).unwrap();
            let start = std::sync::Barrier::new(6);
            let opened: Vec<_> = std::thread::scope(|scope| {
                let begin = || {
                    start.wait();
                    open(&fresh)
                };
                let threads: Vec<_> = (0..6).map(|_| scope.spawn(begin)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
            });
            let receipt = match opened[0].accept(fresh.text(ANN, "hello")).await.unwrap() {
                Accepted::Stored(receipt) => receipt,
                other => panic!("{other:?}"),
            };
            for store in opened {
                assert!(store.find_user(receipt.user_id).await.unwrap().is_some());
                store.close().await;
            }
        }
    });
}

#[test]
fn a_torn_last_line_is_cut_off_wherever_it_ends() {
    in_runtime(|f| async move {
        f.texted(ANN, "one").await;
        let before = lines(&f.store).await;
        let segment = newest_segment(&f);
        let whole_before = std::fs::read(&segment).unwrap().len();
        f.texted(BOB, "the last").await;
        let whole = std::fs::read(&segment).unwrap();
        // The state on disk of a process that died: its files as they are, without the index, which was never flushed.
        let kept = tempfile::tempdir().unwrap();
        copy_open(&f, kept.path());
        let all = lines(&f.store).await;
        f.store.close().await;
        std::fs::remove_dir_all(kept.path().join("index")).unwrap();
        let step = if cfg!(debug_assertions) { 29 } else { 1 };
        for end in (whole_before..=whole.len()).rev().step_by(step).chain([whole_before, whole_before + 1, whole.len() - 1]) {
            std::fs::remove_dir_all(root(&f)).unwrap();
            copy(kept.path(), &root(&f));
            std::fs::write(&segment, &whole[..end]).unwrap();
            let store = open(&f).unwrap();
            let found = lines(&store).await;
            assert_eq!(&found, if end == whole.len() { &all } else { &before }, "cut at byte {end} of {}", whole.len());
            assert_eq!(std::fs::read(&segment).unwrap().len(), if end == whole.len() { end } else { whole_before });
            store.accept(f.text("+15550000003", "goes on")).await.unwrap();
            store.close().await;
        }
    });
}

#[test]
fn a_flipped_bit_anywhere_is_found_and_its_file_named() {
    in_runtime(|f| async move {
        let chance = Chance::new();
        fill(&f, &chance, 80).await;
        f.store.close().await;
        let store = open(&f).unwrap();
        store.accept(f.text(ANN, "behind the files")).await.unwrap();
        store.accept(f.text(BOB, "and one more")).await.unwrap();
        let kept = tempfile::tempdir().unwrap();
        copy_open(&f, kept.path());
        store.close().await;
        std::fs::remove_dir_all(root(&f)).unwrap();
        copy(kept.path(), &root(&f));
        std::fs::remove_dir_all(root(&f).join("index")).unwrap();
        let mut found: BTreeMap<PathBuf, u32> = BTreeMap::new();
        for path in data(&f) {
            let good = std::fs::read(&path).unwrap();
            // The newest line may be one that nobody was told of, unless it is the segment's head.
            let newest_line = good[..good.len() - 1].iter().rposition(|byte| *byte == b'\n').filter(|_| path == newest_segment(&f));
            let length = newest_line.unwrap_or(good.len());
            for _ in 0..3 {
                let place = usize::try_from(chance.between(0, length as u64)).unwrap();
                let mut bad = good.clone();
                bad[place] ^= 1 << chance.between(0, 8);
                eprintln!("{}: {:?} becomes {:?} at {place} of {length}", path.display(), char::from(good[place]), char::from(bad[place]));
                std::fs::write(&path, &bad).unwrap();
                match refusal(&f) {
                    StoreError::Corrupt { place, reason, .. } => {
                        assert_eq!(place, path, "{reason}");
                        assert!(reason.contains("--use-previous"), "{reason}");
                    }
                    other => panic!("{}: {other:?}", path.display()),
                }
                *found.entry(path.clone()).or_default() += 1;
                assert_eq!(std::fs::read(&path).unwrap(), bad, "it stays as it is");
            }
            std::fs::write(&path, &good).unwrap();
        }
        assert!(found.len() > 8, "{found:?}");
        let store = open(&f).unwrap();
        store.close().await;
    });
}

#[test]
fn a_missing_file_is_named() {
    in_runtime(|f| async move {
        fill(&f, &Chance::new(), 60).await;
        f.store.close().await;
        for path in data(&f) {
            let good = std::fs::read(&path).unwrap();
            // The copies' part of the journal may go: they are needed only when something else is damaged.
            if path.starts_with(root(&f).join("journal")) && path != newest_segment(&f) {
                continue;
            }
            std::fs::remove_file(&path).unwrap();
            let error = refusal(&f);
            assert!(matches!(&error, StoreError::Corrupt { place, .. } if *place == path), "{}: {error}", path.display());
            std::fs::write(&path, &good).unwrap();
        }
        open(&f).unwrap().close().await;
    });
}

#[test]
fn what_is_damaged_goes_back_to_its_copy_and_nothing_is_lost() {
    in_runtime(|f| async move {
        let chance = Chance::new();
        fill(&f, &chance, 60).await;
        f.store.close().await;
        let store = open(&f).unwrap();
        let later = f.text(ANN, "later");
        store.accept(later).await.unwrap();
        let now = lines(&store).await;
        assert!(matches!(scrubjay::store::use_previous(&f.settings, &f.clock), Err(StoreError::Unavailable { .. })), "it is open");
        store.close().await;
        for without_index in [false, true] {
            let kept = tempfile::tempdir().unwrap();
            copy(&root(&f), kept.path());
            for path in data(&f).into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "jsonl")) {
                if path.starts_with(root(&f).join("journal")) {
                    continue;
                }
                let mut bytes = std::fs::read(&path).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(&path, &bytes).unwrap();
                if without_index {
                    std::fs::remove_dir_all(root(&f).join("index")).unwrap();
                }
                refusal(&f);
                let mended = scrubjay::store::use_previous(&f.settings, &f.clock).unwrap();
                assert_eq!(mended.iter().map(|mended| &mended.file).collect::<Vec<_>>(), [&path]);
                let store = open(&f).unwrap();
                assert_eq!(lines(&store).await, now, "{} without its index: {without_index}", path.display());
                store.close().await;
                let mut damaged = path.clone().into_os_string();
                damaged.push(".damaged");
                assert_eq!(std::fs::read(&damaged).unwrap(), bytes, "what was damaged stays beside it");
                std::fs::remove_file(damaged).unwrap();
            }
            std::fs::remove_dir_all(root(&f)).unwrap();
            copy(kept.path(), &root(&f));
        }
    });
}

#[test]
fn whoever_came_after_the_last_copies_is_not_lost_with_their_files() {
    in_runtime(|f| async move {
        f.texted(ANN, "hello").await;
        f.store.close().await;
        let store = open(&f).unwrap();
        store.accept(f.text(BOB, "I am new")).await.unwrap();
        let now = lines(&store).await;
        store.close().await;
        let new = data(&f).into_iter().filter(|path| path.starts_with(root(&f).join("people")));
        let new: Vec<PathBuf> = new.filter(|path| !path.with_extension("jsonl.previous").exists()).collect();
        let names: Vec<&str> = new.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["conversations.jsonl", "messages.jsonl", "person.jsonl", "turns.jsonl"]);
        for path in &new {
            std::fs::write(path, "not a head\n").unwrap();
        }
        std::fs::remove_dir_all(root(&f).join("index")).unwrap();
        refusal(&f);
        // What is wrong with the others shows when the person's own file names them again.
        let mut mended: Vec<PathBuf> =
            scrubjay::store::use_previous(&f.settings, &f.clock).unwrap().into_iter().map(|mended| mended.file).collect();
        mended.sort();
        assert_eq!(mended, new);
        let store = open(&f).unwrap();
        assert_eq!(lines(&store).await, now);
        store.close().await;
    });
}

#[test]
fn two_that_have_it_open_see_and_keep_each_others_writes() {
    in_runtime(|f| async move {
        let other = f.open_again();
        let mut tasks = Vec::new();
        for number in 0..60 {
            let store = if number % 2 == 0 { f.store.clone() } else { other.clone() };
            let text = f.text(&format!("+1555000{number:04}"), "at once");
            tasks.push(tokio::spawn(async move { store.accept(text).await.unwrap() }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let now = lines(&f.store).await;
        assert_eq!(lines(&other).await, now);
        other.close().await;
        f.store.close().await;
        std::fs::remove_dir_all(root(&f).join("index")).unwrap();
        let again = open(&f).unwrap();
        assert_eq!(lines(&again).await, now);
        assert_eq!(again.figures().await.unwrap().open_turns, 60);
        again.close().await;
    });
}

#[test]
fn leases_are_not_written_down() {
    in_runtime(|f| async move {
        f.texted(ANN, "hello").await;
        let turn = f.lease_one().await;
        let before = std::fs::read(newest_segment(&f)).unwrap();
        for _ in 0..5 {
            f.advance(1_000);
            assert_eq!(f.store.renew_leases(&super::fixture::owner(), &[super::fixture::held(&turn)]).await.unwrap(), 1);
        }
        assert_eq!(std::fs::read(newest_segment(&f)).unwrap(), before);
    });
}

#[test]
fn what_was_forgotten_is_in_no_file_soon() {
    in_runtime(|f| async move {
        let receipt = f.texted(ANN, "the word is qzxjvkwq").await;
        f.drain().await;
        let readable = || {
            let all = files(&root(&f), &|_path| true);
            all.into_iter().find(|path| std::fs::read(path).is_ok_and(|bytes| bytes.windows(8).any(|window| window == b"qzxjvkwq")))
        };
        assert!(readable().is_some(), "the test can see it");
        f.store.delete_conversation(receipt.user_id, receipt.conversation_id).await.unwrap();
        let begun = Instant::now();
        while let Some(path) = readable() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it is in {}", path.display());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn another_backends_data_is_not_opened_as_an_empty_store() {
    for (there, wanted) in [("sqlite", "json"), ("json", "sqlite")] {
        super::run(there, |f| async move {
            f.texted(ANN, "hello").await;
            f.store.close().await;
            let folder = f.settings.path.parent().unwrap();
            let settings = super::fixture::settings(wanted, folder);
            let error = scrubjay::store::open(&settings, f.clock.clone()).map(|_store| ()).unwrap_err();
            assert!(
                matches!(&error, StoreError::Unsupported { reason } if reason.contains("archive") && reason.contains(there)),
                "{error}"
            );
            assert!(scrubjay::store::exists(&settings), "a command that reads is told the same");
            let own = if wanted == "json" { "json/store.json" } else { "scrubjay.db" };
            assert!(!settings.path.join(own).exists(), "and nothing was made");
            scrubjay::store::open_to_restore(&settings, f.clock.clone()).unwrap().close().await;
        });
    }
}

#[test]
fn a_folder_that_cannot_be_written_to_is_said() {
    use std::os::unix::fs::PermissionsExt as _;
    in_runtime(|f| async move {
        f.store.close().await;
        let journal = root(&f).join("journal");
        std::fs::set_permissions(&journal, std::fs::Permissions::from_mode(0o500)).unwrap();
        // Whoever may do anything is not kept out by that; a file in the way of the folder keeps out everybody.
        let other = f.fresh();
        other.store.close().await;
        std::fs::remove_dir_all(root(&other)).unwrap();
        std::fs::write(root(&other), "in the way").unwrap();
        assert!(matches!(refusal(&other), StoreError::Unavailable { .. }));
        std::fs::set_permissions(&journal, std::fs::Permissions::from_mode(0o700)).unwrap();
    });
}
