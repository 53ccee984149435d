//! The program without its doors: the real store, the offline model, a gateway that only remembers, and a clock that tests move.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use scrubjay::app::App;
use scrubjay::clock::Clock;
use scrubjay::config::Config;
use scrubjay::config::sections::Admission;
use scrubjay::domain::delivery::{DeliveryStatus, OutboundMessage};
use scrubjay::domain::endpoint::Endpoint;
use scrubjay::domain::ledger::Credits;
use scrubjay::domain::message::{CallerMetadata, InboundMessage};
use scrubjay::domain::phone::{NumberCheck, PhoneNumber, PhoneRules};
use scrubjay::domain::time::Timestamp;
use scrubjay::domain::turn::TurnRequest;
use scrubjay::gateway::{
    Acknowledgement, Gateway, Gateways, Lookup, Opened, ParseError, SendError, Sent, VerifyError, WebhookEvent, WebhookKind, WebhookRequest,
};
use scrubjay::service::people::UserName;
use scrubjay::service::receive::{ApiMessage, CarrierConfirms, Received};
use scrubjay::service::tools::ToolSet;
use scrubjay::store::{JobFilter, PageRequest, SharedStore};

pub(super) const ADA: &str = "+15550100001";
pub(super) const BEA: &str = "+15550100002";

pub(super) type Meanwhile = Box<dyn FnOnce(String) -> BoxFuture<'static, ()> + Send>;

/// A carrier that remembers what it was given and fails as told.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) sent: Mutex<Vec<(String, String)>>,
    pub(super) failures: Mutex<Vec<SendError>>,
    pub(super) found: Mutex<Vec<Option<Sent>>>,
    pub(super) missed: Mutex<Vec<InboundMessage>>,
    pub(super) refuses: AtomicBool,
    pub(super) tries: AtomicUsize,
    /// What happens elsewhere while it is given its next message, which is to that number.
    pub(super) meanwhile: Mutex<Option<Meanwhile>>,
}

#[async_trait]
impl Gateway for Recorder {
    fn name(&self) -> &'static str {
        "twilio"
    }
    fn verify(&self, _request: &WebhookRequest) -> Result<(), VerifyError> {
        Ok(())
    }
    fn parse(&self, _request: &WebhookRequest, _kind: WebhookKind) -> Result<WebhookEvent, ParseError> {
        Ok(WebhookEvent::Ignored { reason: "not-used" })
    }
    fn acknowledgement(&self) -> Acknowledgement {
        Acknowledgement { content_type: "text/plain", body: "" }
    }
    fn confirms_consent(&self) -> bool {
        false
    }
    fn lookup_waits(&self) -> &[Duration] {
        const WAITS: &[Duration] = &[Duration::from_secs(5), Duration::from_secs(30)];
        WAITS
    }
    async fn send(&self, message: &OutboundMessage) -> Result<Sent, SendError> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        let meanwhile = self.meanwhile.lock().unwrap().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile(message.to.as_str().to_owned()).await;
        }
        if self.refuses.load(Ordering::SeqCst) {
            return Err(SendError::Stopped { reason: "20003 authentication failed".to_owned() });
        }
        if let Some(error) = self.failures.lock().unwrap().pop() {
            return Err(error);
        }
        let mut sent = self.sent.lock().unwrap();
        sent.push((message.to.as_str().to_owned(), message.body.clone()));
        Ok(Sent { gateway_message_id: format!("SM{}", sent.len()), status: DeliveryStatus::Queued })
    }
    async fn find_sent(&self, _lookup: Lookup<'_>) -> Result<Option<Sent>, SendError> {
        Ok(self.found.lock().unwrap().pop().flatten())
    }
    async fn list_missed(&self, since: Timestamp) -> Result<Vec<InboundMessage>, SendError> {
        Ok(self.missed.lock().unwrap().iter().filter(|text| text.sent_at.is_none_or(|sent| sent >= since)).cloned().collect())
    }
    async fn check(&self) -> Result<String, SendError> {
        Ok("well".to_owned())
    }
}

/// The program without its doors.
pub(super) struct Bench {
    pub(super) app: App,
    /// The same file, opened a second time: what tests look at behind the services.
    pub(super) store: SharedStore,
    pub(super) clock: Clock,
    pub(super) carrier: Arc<Recorder>,
    pub(super) next: AtomicUsize,
    config: Config,
    sets: Vec<Arc<dyn ToolSet>>,
    _folder: tempfile::TempDir,
}

pub(super) fn number(text: &str) -> PhoneNumber {
    PhoneNumber::parse(text, &PhoneRules::new("US", NumberCheck::E164).unwrap()).unwrap()
}

pub(super) async fn bench(change: impl FnOnce(&mut Config)) -> Bench {
    bench_with(Vec::new(), change).await
}

/// With tool sets that agents may use beside our own.
pub(super) async fn bench_with(sets: Vec<Arc<dyn ToolSet>>, change: impl FnOnce(&mut Config)) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let mut config: Config = Config::from_toml("").unwrap();
    config.storage.path = folder.path().join("data");
    config.endpoints.default = Endpoint::parse("demo").unwrap();
    config.people.admission = Admission::Open;
    config.conversations.debounce_ms = 0;
    change(&mut config);
    let clock = Clock::set_to(Timestamp::from_millis(1_790_000_000_000));
    let carrier = Arc::new(Recorder::default());
    let app = app(&config, &clock, &carrier, &sets).await;
    let store = scrubjay::store::open(&config.storage, clock.clone()).unwrap();
    Bench { app, store, clock, carrier, next: 0.into(), config, sets, _folder: folder }
}

async fn app(config: &Config, clock: &Clock, carrier: &Arc<Recorder>, sets: &[Arc<dyn ToolSet>]) -> App {
    let gateways = Gateways::new(vec![Arc::clone(carrier) as Arc<dyn Gateway>]);
    App::open_with_tools(config.clone(), clock.clone(), Opened { gateways, simulator: None }, sets.to_vec()).await.unwrap()
}

impl Bench {
    /// Lets the workers run until `reached`, drops them where they stand, as a crash does, and opens everything anew when their
    /// leases have run out. False when all was done before `reached`.
    pub(super) async fn crash_when(&mut self, reached: impl AsyncFn()) -> bool {
        let ended = tokio::select! {
            biased;
            () = reached() => false,
            drained = self.app.drain() => { drained.unwrap(); true }
        };
        self.app = app(&self.config, &self.clock, &self.carrier, &self.sets).await;
        self.clock.advance(scrubjay::store::LEASE);
        !ended
    }

    pub(super) fn sms(&self, from: &str, text: &str) -> InboundMessage {
        let next = self.next.fetch_add(1, Ordering::SeqCst);
        InboundMessage {
            gateway: "twilio".to_owned(),
            gateway_message_id: format!("SMin{next}"),
            from: number(from),
            to: "+15550009999".to_owned(),
            text: text.to_owned(),
            attachments: Vec::new(),
            opt_out: None,
            sent_at: None,
        }
    }

    pub(super) async fn text(&self, from: &str, text: &str) -> Received {
        self.app.receiver.receive_sms(self.sms(from, text), CarrierConfirms::No).await.unwrap()
    }

    /// Texts, lets the workers run until nothing is due, and returns what was sent meanwhile.
    pub(super) async fn exchange(&self, from: &str, text: &str) -> Vec<String> {
        let before = self.sent().len();
        self.text(from, text).await;
        self.app.drain().await.unwrap();
        self.sent().split_off(before).into_iter().map(|(_, body)| body).collect()
    }

    pub(super) async fn api(&self, from: &str, text: &str) -> Received {
        let message = ApiMessage {
            turn_id: self.clock.turn_id(),
            phone: number(from),
            text: text.to_owned(),
            attachments: Vec::new(),
            conversation_id: None,
            source: None,
            title: None,
            request: TurnRequest::default(),
            metadata: CallerMetadata::new(),
            repeat: None,
        };
        self.app.receiver.receive_api(message).await.unwrap()
    }

    pub(super) fn sent(&self) -> Vec<(String, String)> {
        self.carrier.sent.lock().unwrap().clone()
    }

    /// After how many attempts a job is given up.
    pub(super) fn attempts(&self) -> u32 {
        self.config.worker.attempts
    }

    pub(super) async fn balance(&self, from: &str) -> Option<Credits> {
        self.app.people.get(&UserName::Phone(number(from))).await.unwrap().balance
    }

    pub(super) async fn assert_no_job_left(&self) {
        let jobs = self.app.jobs.list(JobFilter::Unfinished, PageRequest::first(100)).await.unwrap().items;
        assert!(jobs.is_empty(), "{jobs:?}");
    }
}
