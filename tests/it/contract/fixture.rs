//! A fresh store, a clock that stands still, and short ways to say what cases need.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use scrubjay::clock::Clock;
use scrubjay::config::Config;
use scrubjay::config::sections::{Backend, MongoDb, Sqlite, Storage};
use scrubjay::domain::delivery::ReplyRoute;
use scrubjay::domain::endpoint::Endpoint;
use scrubjay::domain::ids::{ConversationId, MessageId, UserId};
use scrubjay::domain::ledger::{Credits, Usage};
use scrubjay::domain::message::{CallerMetadata, Message};
use scrubjay::domain::phone::PhoneNumber;
use scrubjay::domain::time::Timestamp;
use scrubjay::domain::turn::{LeasedTurn, NewReply, TurnRequest};
use scrubjay::store::{
    Accepted, Action, ApiRepeat, CompletedTurn, ConversationTarget, DailyLimits, Debounce, DeliveryOutcome, Door, HeldLease, LaneKind,
    LeasedDelivery, MessageFilter, NewInbound, NewOutbound, NewPerson, Owner, PageRequest, Receipt, SharedStore, TurnOutcome,
};

#[cfg(feature = "mongodb")]
use crate::support::mongo::Database;

/// Two people of most cases.
pub(crate) const ANN: &str = "+15550000001";
pub(crate) const BOB: &str = "+15550000002";

/// When every case begins: 2026-11-22, noon UTC.
pub(crate) const NOON: Timestamp = Timestamp::from_millis(1_795_348_800_000);

/// No daily limits.
pub(crate) fn no_limits() -> DailyLimits {
    limits(0, 0)
}

/// Daily limits of the day of [`NOON`].
pub(super) fn limits(per_person: u32, all: u32) -> DailyLimits {
    DailyLimits { day: "2026-11-22".to_owned(), per_person, all }
}

/// The gateways that both have open.
pub(crate) fn twilio() -> Vec<String> {
    vec!["twilio".to_owned()]
}

/// A turn's lease, as its holder renews it.
pub(super) fn held(turn: &LeasedTurn) -> HeldLease {
    HeldLease { user_id: turn.lease.user_id, lane: LaneKind::Turns, fence: turn.lease.fence }
}

/// Two processes.
pub(crate) fn owner() -> Owner {
    Owner("host/1/1/a".to_owned())
}

pub(crate) fn other_owner() -> Owner {
    Owner("host/2/1/b".to_owned())
}

/// A number.
pub(crate) fn phone(number: &str) -> PhoneNumber {
    PhoneNumber::from_stored(number).unwrap()
}

/// A store in a folder of its own.
pub(crate) struct Fixture {
    pub(crate) store: SharedStore,
    pub(crate) clock: Clock,
    pub(crate) settings: Storage,
    /// Removed with it.
    _folder: tempfile::TempDir,
    /// Likewise, and after the store.
    #[cfg(feature = "mongodb")]
    database: Option<Database>,
    backend: String,
    next: AtomicU64,
}

impl Fixture {
    pub(crate) fn open(backend: &str) -> Self {
        Self::open_at(backend, NOON)
    }

    /// At another moment.
    pub(crate) fn open_at(backend: &str, moment: Timestamp) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(backend, folder.path());
        #[cfg(feature = "mongodb")]
        if backend == "mongodb" {
            return Self::on_at(Database::new(), folder, settings, moment);
        }
        let clock = Clock::set_to(moment);
        let store = scrubjay::store::open(&settings, clock.clone()).unwrap();
        Self {
            store,
            clock,
            settings,
            _folder: folder,
            #[cfg(feature = "mongodb")]
            database: None,
            backend: backend.to_owned(),
            next: AtomicU64::new(1),
        }
    }

    /// In that MongoDB database.
    #[cfg(feature = "mongodb")]
    pub(crate) fn on(database: Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings("mongodb", folder.path());
        Self::on_at(database, folder, settings, NOON)
    }

    #[cfg(feature = "mongodb")]
    fn on_at(database: Database, folder: tempfile::TempDir, mut settings: Storage, moment: Timestamp) -> Self {
        settings.mongodb.uri = database.uri.clone().into();
        settings.mongodb.database.clone_from(&database.name);
        let clock = Clock::set_to(moment);
        let store = scrubjay::store::open(&settings, clock.clone()).unwrap();
        let (backend, next) = ("mongodb".to_owned(), AtomicU64::new(1));
        Self { store, clock, settings, _folder: folder, database: Some(database), backend, next }
    }

    /// The MongoDB database that it is in.
    #[cfg(feature = "mongodb")]
    pub(crate) fn database(&self) -> &Database {
        self.database.as_ref().expect("it is in MongoDB")
    }

    /// Another empty store of the same backend.
    pub(super) fn fresh(&self) -> Self {
        #[cfg(feature = "mongodb")]
        if let Some(database) = &self.database {
            return Self::on(Database::at(database.uri.clone()));
        }
        Self::open(&self.backend)
    }

    /// The same data through another opened store, as another process has it.
    pub(crate) fn open_again(&self) -> SharedStore {
        scrubjay::store::open(&self.settings, self.clock.clone()).unwrap()
    }

    /// Whether it lies in MongoDB.
    pub(super) fn is_mongodb(&self) -> bool {
        self.backend == "mongodb"
    }

    /// How often something random is done: on a server that takes its time less often.
    pub(super) fn times(&self, often: u32) -> u32 {
        if self.is_mongodb() { often.div_ceil(4) } else { often }
    }

    pub(crate) fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    /// A text through a gateway, each its own turn, with a way back.
    pub(crate) fn text(&self, from: &str, text: &str) -> NewInbound {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        NewInbound {
            door: Door::Gateway { name: "twilio".to_owned(), message_id: format!("SM{number:032}") },
            phone: phone(from),
            text: text.to_owned(),
            token_count: 0,
            attachments: Vec::new(),
            caller_metadata: CallerMetadata::new(),
            received_at: self.clock.now(),
            person: NewPerson { id: self.clock.user_id(), email_domain: "sms.librechat.ai".to_owned(), start_credits: None },
            conversation: ConversationTarget::ByPhone { not_before: None },
            new_conversation_id: self.clock.conversation_id(),
            title: None,
            source: "sms".to_owned(),
            message_id: self.clock.message_id(),
            turn_id: self.clock.turn_id(),
            request: TurnRequest::default(),
            route: Some(ReplyRoute { gateway: "twilio".to_owned(), from: "+15559990000".to_owned() }),
            action: Action::Reply { debounce: None },
        }
    }

    /// A text through a gateway that may be gathered with others: 1.5 s after the last, 10 s after the first.
    pub(super) fn gathered(&self, from: &str, text: &str) -> NewInbound {
        let debounce = Some(Debounce { wait_millis: 1_500, max_millis: 10_000 });
        NewInbound { action: Action::Reply { debounce }, ..self.text(from, text) }
    }

    /// A message through the API.
    pub(super) fn call(&self, from: &str, text: &str, key: Option<&str>) -> NewInbound {
        let repeat = key.map(|key| ApiRepeat { key: key.to_owned(), fingerprint: [text.bytes().fold(0, u8::wrapping_add); 32] });
        NewInbound { door: Door::Api { repeat }, route: None, ..self.text(from, text) }
    }

    /// Stores a message that must be new.
    pub(crate) async fn stored(&self, new: NewInbound) -> Receipt {
        match self.store.accept(new).await.unwrap() {
            Accepted::Stored(receipt) => receipt,
            other => panic!("it was not stored: {other:?}"),
        }
    }

    /// Stores a text of somebody.
    pub(crate) async fn texted(&self, from: &str, text: &str) -> Receipt {
        self.stored(self.text(from, text)).await
    }

    /// Leases every due turn.
    pub(crate) async fn lease(&self) -> Vec<LeasedTurn> {
        self.store.lease_turns(&owner(), 100, &no_limits()).await.unwrap().work
    }

    /// Leases the one turn that is due.
    pub(crate) async fn lease_one(&self) -> LeasedTurn {
        let mut work = self.lease().await;
        assert_eq!(work.len(), 1, "one turn is due");
        work.remove(0)
    }

    pub(super) fn reply(&self, text: &str) -> NewReply {
        NewReply {
            message_id: self.clock.message_id(),
            text: text.to_owned(),
            endpoint: Endpoint::parse("openAI").unwrap(),
            model: "small".to_owned(),
            usage: Usage { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
            unfinished: false,
        }
    }

    /// Parts of a reply as sent.
    pub(super) fn outgoing(&self, bodies: &[&str]) -> Vec<NewOutbound> {
        let part = |body: &&str| NewOutbound {
            id: self.clock.outbound_id(),
            body: (*body).to_owned(),
            segments: 1,
            held: false,
            expires_at: self.clock.now().after(Duration::from_hours(4)),
        };
        bodies.iter().map(part).collect()
    }

    /// An answer that also leaves for the phone.
    pub(crate) fn answered(&self, text: &str, outgoing: &[&str]) -> TurnOutcome {
        TurnOutcome::Answered { reply: self.reply(text), outgoing: self.outgoing(outgoing), charge: Credits::ZERO }
    }

    /// Answers a leased turn.
    pub(crate) async fn answer(&self, turn: &LeasedTurn, text: &str) -> CompletedTurn {
        self.store.complete_turn(&turn.lease, self.answered(text, &[])).await.unwrap()
    }

    /// Answers everything until nothing is due, each with `re: ` and its texts.
    pub(crate) async fn drain(&self) {
        loop {
            let work = self.lease().await;
            if work.is_empty() && self.store.lease_turns(&owner(), 1, &no_limits()).await.unwrap().work.is_empty() {
                return;
            }
            for turn in work {
                let texts: Vec<&str> = turn.texts.iter().map(|text| text.text.as_str()).collect();
                self.answer(&turn, &format!("re: {}", texts.join("+"))).await;
            }
        }
    }

    /// Leases every due delivery.
    pub(crate) async fn deliveries(&self) -> Vec<LeasedDelivery> {
        self.store.lease_deliveries(&owner(), &twilio(), 100).await.unwrap().work
    }

    /// Leases the one delivery that is due.
    pub(crate) async fn delivery(&self) -> LeasedDelivery {
        let mut work = self.deliveries().await;
        assert_eq!(work.len(), 1, "one delivery is due");
        work.remove(0)
    }

    /// The carrier takes everything; returns what it was given, in order.
    pub(crate) async fn send_all(&self) -> Vec<String> {
        let mut sent = Vec::new();
        loop {
            let work = self.deliveries().await;
            if work.is_empty() {
                return sent;
            }
            for delivery in work {
                let outcome = DeliveryOutcome::Accepted {
                    gateway_message_id: format!("OUT{}", self.next.fetch_add(1, Ordering::Relaxed)),
                    status: scrubjay::domain::delivery::DeliveryStatus::Queued,
                };
                self.store.record_delivery(&delivery.lease, outcome).await.unwrap();
                sent.push(delivery.message.body);
            }
        }
    }

    /// A conversation's messages, in its order, read page by page.
    pub(crate) async fn messages(&self, user: UserId, conversation: ConversationId) -> Vec<Message> {
        let filter = MessageFilter { conversation_id: Some(conversation), search: None };
        let mut found = Vec::new();
        let mut cursor = None;
        loop {
            let page = self.store.list_messages(user, filter.clone(), PageRequest { cursor, limit: 7 }).await.unwrap();
            found.extend(page.items);
            cursor = page.next;
            if cursor.is_none() {
                return found;
            }
        }
    }

    /// What a conversation says, in its order.
    pub(crate) async fn said(&self, receipt: Receipt) -> Vec<String> {
        self.messages(receipt.user_id, receipt.conversation_id).await.into_iter().map(|message| message.text).collect()
    }

    /// Checks that a conversation is one chain from the root, numbered from 1 without a gap.
    pub(crate) async fn assert_chain(&self, user: UserId, conversation: ConversationId) {
        let mut parent = MessageId::ROOT;
        for (place, message) in (1_i64..).zip(self.messages(user, conversation).await) {
            assert_eq!(message.sequence, Some(place), "its place");
            assert_eq!(message.parent_id, Some(parent), "its parent");
            parent = message.id;
        }
    }
}

/// Settings of a backend in a folder.
pub(crate) fn settings(backend: &str, folder: &std::path::Path) -> Storage {
    let backend = match backend {
        "sqlite" => Backend::Sqlite,
        "json" => Backend::Json,
        "mongodb" => Backend::MongoDb,
        other => panic!("no settings for {other}"),
    };
    let Storage { sqlite, json, mongodb, .. } = Config::from_toml("").unwrap().storage;
    Storage {
        backend,
        path: folder.join("data"),
        sqlite: Sqlite { cache_mib: 1, ..sqlite },
        json,
        mongodb: MongoDb { timeout_seconds: 30, connections: 8, ..mongodb },
    }
}
