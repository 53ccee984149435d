//! What only the writer's own side can show: callers who give up, and a thread that breaks down.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;

use super::ticket::Ticket;
use super::*;
use crate::config::Config;
use crate::config::sections::Storage;
use crate::domain::message::CallerMetadata;
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::domain::turn::TurnRequest;
use crate::store::{
    Accepted, Action, Change, ConversationTarget, Door, Effect, FixedAnswer, Inbox as _, NewInbound, NewPerson, NewTodo, PageRequest,
    TodoFilter, Todos as _, Upkeep,
};

const NOON: Timestamp = Timestamp::from_millis(1_795_348_800_000);
/// As long as a test's caller waits in the queue.
const BRIEF: Duration = Duration::from_millis(20);

fn opened(folder: &tempfile::TempDir) -> SqliteStore {
    let storage = Storage { path: folder.path().to_owned(), ..Config::from_toml("").unwrap().storage };
    SqliteStore::open(&storage, Clock::set_to(NOON), Purpose::Use).unwrap()
}

/// A write that has begun and goes on until told to end.
fn long_write(store: &SqliteStore) -> (Ticket<&'static str>, mpsc::Sender<()>) {
    let (begun, has_begun) = mpsc::channel();
    let (end, may_end) = mpsc::channel();
    let ticket = store
        .writer
        .submit(Urgency::Other, move |unit| {
            begun.send(()).unwrap();
            may_end.recv().unwrap();
            upkeep::set_mark(unit, "long", NOON).map(|()| "stored")
        })
        .unwrap();
    has_begun.recv().unwrap();
    (ticket, end)
}

#[tokio::test]
async fn a_write_that_has_begun_is_waited_for_and_one_in_the_queue_can_be_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder);
    let (begun, end) = long_write(&store);
    let done = Arc::new(AtomicBool::new(false));
    let queued = || {
        let done = Arc::clone(&done);
        let work = move |_unit: &Unit<'_>| {
            done.store(true, Ordering::Relaxed);
            Ok(())
        };
        store.writer.submit(Urgency::Other, work).unwrap()
    };
    let error = queued().answered(BRIEF).await.unwrap_err();
    assert!(matches!(&error, StoreError::Unavailable { reason, .. } if reason.contains("nothing was stored")), "{error:?}");
    drop(queued());

    let begun = tokio::spawn(begun.answered(BRIEF));
    tokio::time::sleep(5 * BRIEF).await;
    assert!(!begun.is_finished(), "what becomes of it is not known yet");
    end.send(()).unwrap();
    assert_eq!(begun.await.unwrap().unwrap(), "stored");
    assert_eq!(store.find_mark("long").await.unwrap(), Some(NOON));
    store.close().await;
    assert!(!done.load(Ordering::Relaxed), "what was given up is not done later");
}

#[tokio::test]
async fn a_writer_that_breaks_down_is_told_by_the_check_and_by_every_write() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder);
    store.check().await.unwrap();
    let (begun, end) = long_write(&store);
    let waiting = store.writer.submit(Urgency::Other, |unit| upkeep::set_mark(unit, "waiting", NOON)).unwrap();
    drop(end);
    for (error, unknown) in [(begun.answered(BRIEF).await.unwrap_err(), true), (waiting.answered(BRIEF).await.unwrap_err(), false)] {
        assert!(error.to_string().contains("broken down"), "{error}");
        assert_eq!(error.outcome_is_unknown(), unknown, "only what had begun may have been written");
        assert_eq!(fault::same(&error).outcome_is_unknown(), unknown);
    }
    store.clock.advance(Duration::from_secs(1));
    for _ in 0..2 {
        let error = store.check().await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable { reason, .. } if reason.contains("restart")), "{error:?}");
    }
    assert!(store.set_mark("later", NOON).await.unwrap_err().to_string().contains("broken down"));
    assert_eq!(store.find_mark("long").await.unwrap(), None, "reading goes on, and nothing of it was stored");
    store.close().await;
    assert!(store.check().await.is_err(), "for good");
}

#[tokio::test]
async fn a_check_that_is_held_up_is_shared_and_goes_on_without_whoever_asked() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder);
    let (begun, end) = long_write(&store);
    let checks = std::sync::atomic::AtomicU32::new(0);
    let check = || {
        store.checks.check(&store.clock, || {
            checks.fetch_add(1, Ordering::Relaxed);
            store.writer.submit(Urgency::Other, upkeep::check)
        })
    };
    for _ in 0..3 {
        assert!(tokio::time::timeout(BRIEF, check()).await.is_err(), "it waits behind the write");
    }
    end.send(()).unwrap();
    begun.answered(BRIEF).await.unwrap();
    check().await.unwrap();
    check().await.unwrap();
    assert_eq!(checks.load(Ordering::Relaxed), 1);
    store.clock.advance(Duration::from_secs(1));
    check().await.unwrap();
    assert_eq!(checks.load(Ordering::Relaxed), 2);
}

/// As if the process died after a word's change and before its message was stored: the two are one transaction.
#[tokio::test]
async fn a_change_that_comes_with_a_message_goes_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = opened(&folder);
    let clock = store.clock.clone();
    let user = clock.user_id();
    let word = NewInbound {
        door: Door::Gateway { name: "twilio".to_owned(), message_id: "SM1".to_owned() },
        phone: PhoneNumber::from_stored("+15550000001").unwrap(),
        text: "/todo milk".to_owned(),
        token_count: 0,
        attachments: Vec::new(),
        caller_metadata: CallerMetadata::new(),
        received_at: NOON,
        person: NewPerson { id: user, email_domain: "sms.example.org".to_owned(), start_credits: None },
        conversation: ConversationTarget::ByPhone { not_before: None },
        new_conversation_id: clock.conversation_id(),
        title: None,
        source: "sms".to_owned(),
        message_id: clock.message_id(),
        turn_id: clock.turn_id(),
        request: TurnRequest::default(),
        route: None,
        action: Action::Answer {
            text: "Added".to_owned(),
            reply_id: clock.message_id(),
            outgoing: Vec::new(),
            effect: Effect::Change {
                change: Change::AddTodo {
                    new: NewTodo { text: "milk".to_owned(), category: None, priority: None, due: None, parent: None },
                    limit: 9,
                },
                otherwise: FixedAnswer { text: "not".to_owned(), outgoing: Vec::new() },
            },
        },
    };
    let lost = word.clone();
    let cut_off = store.write(Urgency::Accept, move |unit| {
        accept::accept(unit, &lost)?;
        Err::<(), _>(StoreError::Unavailable { reason: "the process died here".to_owned(), source: None }.into())
    });
    assert!(cut_off.await.is_err());
    let stored = || store.list_todos(user, TodoFilter::default(), PageRequest::first(9));
    assert_eq!(stored().await.unwrap().items.len(), 0);
    // The carrier sends it again, twice.
    assert!(matches!(store.accept(word.clone()).await.unwrap(), Accepted::Stored(_)));
    assert!(matches!(store.accept(word).await.unwrap(), Accepted::Repeat(_)));
    assert_eq!(stored().await.unwrap().items.len(), 1);
}
