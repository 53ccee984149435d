//! `archive` and `store`: out of one folder and into another, whatever happens on the way.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::{offline, offline_settings, texted_by};
use crate::support::home::Home;

const ONE: &str = "+15550100001";
const TWO: &str = "+15550100002";

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes an archive of a home, beside its data.
async fn archive_of(home: &Home, name: &str) -> PathBuf {
    let path = home.path().join(name);
    let (code, _, stderr) = home.run(&["archive", "write", text(&path)]).await;
    assert_eq!(code, 0, "{stderr}");
    path
}

/// The database of a home, as it is.
fn database(home: &Home) -> PathBuf {
    home.data().join("scrubjay.db")
}

async fn jobs_of(home: &Home) -> Vec<serde_json::Value> {
    let mut jobs = home.list(&["jobs", "list", "--all"]).await;
    jobs.sort_by_key(|job| job["id"].as_str().map(str::to_owned));
    jobs
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_from_one_store_into_another_and_is_byte_equal() {
    let home = texted_by(&[ONE, TWO]).await;
    let token = home.json(&["token", "create", "--user", ONE]).await;
    let (code, _, stderr) = home.run(&["chat", "--from", TWO, "--once", "STOP"]).await;
    assert_eq!(code, 0, "{stderr}");

    // While a server runs, too.
    let server = home.serve().await;
    let path = home.path().join("all.jsonl");
    let told = home.json(&["archive", "write", text(&path)]).await;
    server.stop().await;
    assert_eq!((told["ok"].as_bool(), told["kinds"]["person"].as_u64()), (Some(true), Some(2)), "{told}");
    let (code, _, stderr) = home.run(&["archive", "write", text(&path)]).await;
    assert_eq!(code, 1, "a file is not written over unasked");
    assert!(stderr.contains("--force"), "{stderr}");
    let (code, _, stderr) = home.run(&["archive", "write", text(&path), "--force"]).await;
    assert_eq!(code, 0, "{stderr}");
    let verified = home.json(&["archive", "verify", text(&path)]).await;
    assert_eq!((verified["ok"].as_bool(), verified["people"].as_u64()), (Some(true), Some(2)), "{verified}");

    let other = offline();
    let restored = other.json(&["archive", "read", text(&path)]).await;
    assert_eq!(restored["records"], verified["records"]);
    let again = archive_of(&other, "again.jsonl").await;
    assert!(std::fs::read(&path).unwrap() == std::fs::read(again).unwrap(), "written again it is another archive");
    assert_eq!(other.list(&["users", "list"]).await, home.list(&["users", "list"]).await);
    assert_eq!(other.list(&["conversations", "list"]).await, home.list(&["conversations", "list"]).await);
    // In which order two people's jobs are listed that were made in the same moment is each store's own affair.
    assert_eq!(jobs_of(&other).await, jobs_of(&home).await);
    assert!(other.list(&["token", "list"]).await.iter().any(|listed| listed["id"] == token["id"]));
    // The opt-out came along: a text is stored and not answered.
    let (_, stdout, _) = other.run(&["chat", "--wait", "3", "--from", TWO, "--once", "hello?"]).await;
    assert!(!stdout.contains("Hello"), "{stdout}");
    let (code, stdout, stderr) = other.run(&["chat", "--from", ONE, "--once", "hello again"]).await;
    assert!(code == 0 && stdout.contains("Hello"), "{stdout}{stderr}");

    let (code, _, stderr) = other.run(&["archive", "read", text(&path)]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("empty"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_goes_through_pipes() {
    let home = texted_by(&[ONE]).await;
    let (other, archive) = (offline(), archive_of(&home, "archive.jsonl").await);
    let mut write = home.executable().args(["archive", "write", "-"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let read = other.executable().args(["archive", "read", "-"]).stdin(write.stdout.take().unwrap()).output().unwrap();
    assert!(write.wait().unwrap().success());
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let again = archive_of(&other, "again.jsonl").await;
    assert!(std::fs::read(archive).unwrap() == std::fs::read(again).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_archive_is_told_with_its_line_and_restores_nothing() {
    let home = texted_by(&[ONE]).await;
    let path = archive_of(&home, "archive.jsonl").await;
    let mut bytes = std::fs::read(&path).unwrap();
    let third = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0 + 20;
    bytes[third] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (code, stdout, _) = home.run(&["archive", "verify", text(&path), "--json"]).await;
    let told: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, told["ok"].as_bool()), (1, Some(false)));
    assert!(told["error"].as_str().unwrap().contains("line 3"), "{told}");

    let other = offline();
    let (code, _, stderr) = other.run(&["archive", "read", text(&path)]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("line 3"), "{stderr}");
    assert!(!database(&other).exists(), "a store was begun");
    let (code, _, stderr) = other.run(&["archive", "verify", text(&other.path().join("config.toml"))]).await;
    assert!(code == 1 && !stderr.contains("panicked"), "{stderr}");
}

/// A home with so many people that restoring takes many steps.
async fn crowded(people: u32) -> Home {
    let home = offline();
    let (code, _, stderr) = home.run(&["store", "init"]).await;
    assert_eq!(code, 0, "{stderr}");
    let mut db = Connection::open(database(&home)).unwrap();
    let unit = db.transaction().unwrap();
    for person in 0..people {
        let id = [&[0; 8], person.to_be_bytes().as_slice()].concat();
        unit.execute(
            "INSERT INTO people (user_id, phone, email, name, username, provider, role, email_verified, caller_metadata, first_contact,
                 created_at, updated_at) VALUES (?1, ?2, ?2, 'n', ?2, 'sms', 'USER', 1, '{}', 0, 0, 0)",
            rusqlite::params![id, format!("+1555{person:07}")],
        )
        .unwrap();
        unit.execute("INSERT INTO activity (user_id, last_sms, message_count) VALUES (?1, 0, 0)", [id]).unwrap();
    }
    unit.commit().unwrap();
    home
}

/// Where a store of a backend is restored into, and how far that has come is looked up.
enum Goal {
    Sqlite,
    Json,
    #[cfg(feature = "mongodb")]
    MongoDb(crate::support::mongo::Database),
}

impl Goal {
    fn home(&self) -> Home {
        let settings = offline_settings();
        Home::new(&match self {
            Self::Sqlite => settings,
            Self::Json => settings.set("storage.backend", "json"),
            #[cfg(feature = "mongodb")]
            Self::MongoDb(database) => in_mongodb(database),
        })
    }

    async fn restored_so_far(&self, home: &Home) -> Option<u64> {
        let file = match self {
            Self::Sqlite => database(home),
            Self::Json => home.data().join("json/index/scrubjay.db"),
            #[cfg(feature = "mongodb")]
            Self::MongoDb(database) => {
                use mongodb::bson::{Document, doc};
                let meta = database.open().await.collection::<Document>("scrubjay_meta");
                let found = meta.find_one(doc! { "_id": "restoring" }).await.unwrap()?;
                return u64::try_from(found.get_i64("restored").unwrap()).ok();
            }
        };
        let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?;
        let restored: String = db.query_row("SELECT value FROM meta WHERE key = 'restored'", [], |row| row.get(0)).ok()?;
        restored.parse().ok()
    }
}

/// Settings of a home in a MongoDB database.
#[cfg(feature = "mongodb")]
fn in_mongodb(database: &crate::support::mongo::Database) -> crate::support::home::Settings {
    offline_settings()
        .set("storage.backend", "mongodb")
        .set("storage.mongodb.uri", database.uri.clone())
        .set("storage.mongodb.database", database.name.clone())
        .set("storage.mongodb.timeout_seconds", 30)
}

async fn killed_and_gone_on_with(goal: Goal, people: u32) {
    let home = crowded(people).await;
    let path = archive_of(&home, "archive.jsonl").await;
    let other = goal.home();
    let all = u64::from(people) * 2;
    let mut child = other.executable().args(["archive", "read", text(&path)]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while goal.restored_so_far(&other).await.is_none_or(|records| records == 0) {
        assert!(child.try_wait().unwrap().is_none(), "it was done before it could be killed");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let before = goal.restored_so_far(&other).await.unwrap();
    assert!((1..all).contains(&before), "{before} of {all} records");

    let (code, _, stderr) = other.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("archive read"), "{stderr}");
    let elsewhere = texted_by(&[ONE]).await;
    let another = archive_of(&elsewhere, "archive.jsonl").await;
    let (code, _, stderr) = other.run(&["archive", "read", text(&another)]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("another archive"), "{stderr}");

    let restored = other.json(&["archive", "read", text(&path)]).await;
    assert_eq!(restored["records"].as_u64(), Some(all));
    // The batch that the kill fell into may have been whole.
    assert!(restored["restoredBefore"].as_u64().is_some_and(|there| there >= before && there < all), "{restored}");
    let again = archive_of(&other, "again.jsonl").await;
    assert!(std::fs::read(path).unwrap() == std::fs::read(again).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_was_killed_goes_on() {
    killed_and_gone_on_with(Goal::Sqlite, 6_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_into_json_files_that_was_killed_goes_on() {
    killed_and_gone_on_with(Goal::Json, 1_500).await;
}

#[cfg(feature = "mongodb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_into_mongodb_that_was_killed_goes_on() {
    killed_and_gone_on_with(Goal::MongoDb(crate::support::mongo::Database::new()), 600).await;
}

#[cfg(feature = "mongodb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_mongodb_database_is_counted_checked_archived_exported_and_left() {
    let database = crate::support::mongo::Database::new();
    let home = Home::new(&in_mongodb(&database));
    for number in [ONE, TWO] {
        let (code, _, stderr) = home.run(&["chat", "--from", number, "--once", "I am fond of marzipan"]).await;
        assert_eq!(code, 0, "{stderr}");
    }
    let stats = home.json(&["store", "stats"]).await;
    assert_eq!((stats["backend"].as_str(), stats["people"].as_u64()), (Some("mongodb"), Some(2)), "{stats}");
    assert_eq!(stats["kinds"]["message"]["records"].as_u64(), Some(4), "{stats}");
    let checked = home.json(&["store", "check"]).await;
    assert_eq!((checked["ok"].as_bool(), &checked["records"]), (Some(true), &stats["all"]["records"]), "{checked}");
    let path = archive_of(&home, "archive.jsonl").await;

    let other = offline();
    let restored = other.json(&["archive", "read", text(&path)]).await;
    assert_eq!(restored["records"], stats["all"]["records"]);
    let again = archive_of(&other, "again.jsonl").await;
    assert!(std::fs::read(&path).unwrap() == std::fs::read(again).unwrap(), "written again it is another archive");
    assert_eq!(other.list(&["users", "list"]).await, home.list(&["users", "list"]).await);
    assert_eq!(other.list(&["conversations", "list"]).await, home.list(&["conversations", "list"]).await);
    let (code, _, stderr) = home.run(&["archive", "read", text(&path)]).await;
    assert!(code == 1 && stderr.contains("empty"), "{stderr}");

    let document = home.run(&["users", "export", ONE]).await.1;
    assert!(document.contains("marzipan") && !document.contains(TWO), "{document}");
    home.json(&["users", "erase", ONE, "--yes"]).await;
    assert_eq!(home.run(&["users", "show", ONE]).await.0, 1);
    let checked = home.json(&["store", "check"]).await;
    assert_eq!(checked["ok"].as_bool(), Some(true), "{checked}");
    let left = archive_of(&home, "left.jsonl").await;
    assert!(!std::fs::read_to_string(left).unwrap().contains(ONE), "the number is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_is_made_counted_and_checked() {
    let home = offline();
    let (code, _, stderr) = home.run(&["store", "check"]).await;
    assert!(code == 1 && stderr.contains("no store"), "{stderr}");
    assert_eq!(home.json(&["store", "init"]).await["backend"], "sqlite");
    assert_eq!(home.json(&["store", "init"]).await["backend"], "sqlite", "it is as empty as before");
    let (code, _, stderr) = home.run(&["chat", "--from", ONE, "--once", "hello"]).await;
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = home.run(&["store", "init"]).await;
    assert!(code == 1 && stderr.contains("holds something"), "{stderr}");

    let stats = home.json(&["store", "stats"]).await;
    assert_eq!((stats["people"].as_u64(), stats["kinds"]["message"]["records"].as_u64()), (Some(1), Some(2)), "{stats}");
    let archive = archive_of(&home, "archive.jsonl").await;
    let records = home.json(&["archive", "verify", text(&archive)]).await["records"].clone();
    assert_eq!(stats["all"]["records"], records);
    let bytes = |amount: &serde_json::Value| amount["bytes"].as_u64().unwrap();
    let largest = &stats["largest"][0];
    assert_eq!(bytes(&stats["all"]), bytes(&stats["shared"]) + bytes(largest), "{stats}");
    for (kinds, all) in [(&stats["kinds"], &stats["all"]), (&largest["kinds"], largest)] {
        assert_eq!(kinds.as_object().unwrap().values().map(bytes).sum::<u64>(), bytes(all), "{stats}");
    }
    assert_eq!(largest["kinds"]["message"], stats["kinds"]["message"], "one person has all messages");

    let checked = home.json(&["store", "check"]).await;
    assert_eq!((checked["ok"].as_bool(), &checked["records"]), (Some(true), &records), "{checked}");
    let db = Connection::open(database(&home)).unwrap();
    let shown = home.json(&["users", "show", ONE]).await["_id"].as_str().unwrap().to_owned();
    let blob = format!("x'{shown}'");
    db.execute_batch(&format!(
        "PRAGMA foreign_keys = OFF;
         INSERT INTO graphs (number, user_id, last_item, entities) VALUES (1, {blob}, 1, 2);
         INSERT INTO entities (id, graph, folded, name, type, created_at, updated_at) VALUES (1 << 32 | 1, 1, 'tea', 'Tea', 'thing', 0, 0);
         DELETE FROM conversations;"
    ))
    .unwrap();
    drop(db);
    let (code, stdout, _) = home.run(&["store", "check"]).await;
    assert_eq!(code, 1);
    for told in ["message of", "graph of", "search index", "rows of messages refer to rows of conversations", "archive write"] {
        assert!(stdout.contains(told), "{told:?} is not in {stdout}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_exported_and_erased_beside_a_running_server() {
    let home = texted_by(&[ONE, TWO]).await;
    let (code, _, stderr) = home.run(&["chat", "--from", ONE, "--once", "I am fond of marzipan"]).await;
    assert_eq!(code, 0, "{stderr}");
    let (code, document, stderr) = home.run(&["users", "export", ONE]).await;
    assert_eq!(code, 0, "{stderr}");
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    assert_eq!(document["records"]["person"][0]["phone"], ONE);
    assert!(document["records"]["message"].as_array().unwrap().iter().any(|message| message["text"] == "I am fond of marzipan"));
    assert!(!document.to_string().contains(TWO), "another person is in it");

    let (code, _, stderr) = home.run(&["users", "erase", ONE]).await;
    assert!(code == 2 && stderr.contains("--yes"), "{stderr}");
    let server = home.serve().await;
    let erased = home.json(&["users", "erase", ONE, "--yes"]).await;
    assert_eq!(erased["erased"], document["userId"]);
    let (code, _, _) = home.run(&["users", "show", ONE]).await;
    assert_eq!(code, 1);
    server.stop().await;
    assert_eq!(home.list(&["users", "list"]).await.len(), 1);
    for file in std::fs::read_dir(home.data()).unwrap().map(|file| file.unwrap().path()).filter(|file| file.is_file()) {
        let bytes = std::fs::read(&file).unwrap();
        for left in ["marzipan", ONE.trim_start_matches('+')] {
            assert!(!bytes.windows(left.len()).any(|window| window == left.as_bytes()), "{left:?} is left in {}", file.display());
        }
    }
    let (code, _, stderr) = home.run(&["chat", "--from", ONE, "--once", "hello"]).await;
    assert_eq!(code, 0, "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_become_one_after_an_archive_was_written() {
    let home = texted_by(&[ONE, TWO]).await;
    let (one, two) = (home.json(&["users", "show", ONE]).await, home.json(&["users", "show", TWO]).await);
    let (code, _, stderr) = home.run(&["users", "merge", ONE, TWO]).await;
    assert!(code == 2 && stderr.contains("--yes"), "{stderr}");
    let (code, _, stderr) = home.run(&["users", "merge", ONE, ONE, "--yes"]).await;
    assert_eq!(code, 2, "{stderr}");

    // Where no archive can be written nothing is merged, unless that is meant.
    let backups = home.data().join("backups");
    std::fs::write(&backups, "in the way").unwrap();
    let (code, _, stderr) = home.run(&["users", "merge", ONE, TWO, "--yes"]).await;
    assert!(code == 1 && stderr.contains("nothing was merged") && stderr.contains("--no-archive"), "{stderr}");
    assert_eq!(home.list(&["users", "list"]).await.len(), 2);
    std::fs::remove_file(&backups).unwrap();

    let server = home.serve().await;
    let merged = home.json(&["users", "merge", ONE, TWO, "--yes"]).await;
    server.stop().await;
    assert_eq!((&merged["merged"], &merged["user"], merged["freedNumber"].as_str()), (&one["_id"], &two["_id"], Some(ONE)));
    assert_eq!(merged["conversations"], 1);
    let (code, _, stderr) = home.run(&["archive", "verify", merged["archive"].as_str().unwrap()]).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(std::fs::read_to_string(merged["archive"].as_str().unwrap()).unwrap().contains(ONE), "it is of before");
    assert_eq!(home.list(&["users", "list"]).await.len(), 1);
    let talks = home.list(&["conversations", "list", "--user", TWO]).await;
    assert_eq!(talks.len(), 2);
    let (code, _, stderr) = home.run(&["store", "check"]).await;
    assert_eq!(code, 0, "{stderr}");
    let (code, _, stderr) = home.run(&["users", "merge", ONE, TWO, "--yes", "--no-archive"]).await;
    assert!(code == 1 && stderr.contains("nobody is called"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_earlier_servers_are_taken_in_once_and_stay_as_they_are() {
    let graph = r#"{"entities":[{"name":"Tiger","entityType":"cat","observations":["is orange"]}],"relations":[]}"#;
    let wrapped = format!(r#"{{"userId":"{ONE}","data":{graph},"createdAt":"2025-01-01T00:00:00Z"}}"#);
    let todos = r#"{"todos":[{"id":1,"text":"buy milk","completed":false}]}"#;
    let files =
        [("default", graph), (ONE, wrapped.as_str()), ("0123456789abcdef01234567", todos), ("torn", graph), (TWO, r#"{"entities":[{"#)];
    let write = |folder: &Path| {
        for (name, text) in files {
            std::fs::create_dir_all(folder.join("users").join(name)).unwrap();
            std::fs::write(folder.join("users").join(name).join("data.json"), text).unwrap();
        }
    };
    let outcomes = |report: &str| -> Vec<String> {
        let report: Vec<serde_json::Value> = serde_json::from_str(report).unwrap();
        report.iter().map(|file| file["outcome"].as_str().unwrap().to_owned()).collect()
    };
    let home = offline();
    let old = home.path().join("old");
    write(&old);
    let (code, report, stderr) = home.run(&["store", "import", text(&old), "--json"]).await;
    assert_eq!(code, 1, "two files cannot be taken in: {stderr}");
    assert_eq!(outcomes(&report), ["graph", "refused", "todos", "graph", "refused"], "{report}");
    assert!(report.contains("users/torn/data.json") && report.contains("it is damaged"), "{report}");
    let known = home.json(&["memory", "show", "--user", ONE]).await;
    assert!(known.to_string().contains("Tiger"), "{known}");
    assert_eq!(home.list(&["todos", "list", "--user", "0123456789abcdef01234567"]).await.len(), 1);

    // What was deleted since does not come back.
    let (_, again, _) = home.run(&["store", "import", text(&old), "--json"]).await;
    assert_eq!(outcomes(&again), ["known", "refused", "known", "known", "refused"]);
    for (name, text) in files {
        assert_eq!(std::fs::read_to_string(old.join("users").join(name).join("data.json")).unwrap(), text);
    }

    // The JSON backend finds them beside its own files.
    let home = Home::new(&offline_settings().set("storage.backend", "json"));
    write(&home.data().join("json"));
    for _start in 0..2 {
        home.serve().await.stop().await;
        assert!(home.json(&["memory", "show", "--user", ONE]).await.to_string().contains("is orange"));
    }
    let (code, _, stderr) = home.run(&["store", "check"]).await;
    assert_eq!(code, 0, "{stderr}");
}
