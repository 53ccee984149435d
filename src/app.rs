//! The composition root: settings become open ports, services and workers. The only file that joins them.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::Config;
use crate::config::sections::ApiDelivery;
use crate::domain::conversation::Choice;
use crate::domain::ledger::Credits;
use crate::domain::phone::PhoneNumber;
use crate::domain::user::{Preferences, User};
use crate::gateway::simulator::SimulatorCarrier;
use crate::gateway::{self, Gateways, Opened};
use crate::http::{self, HttpParts, HttpState};
use crate::lifecycle::{self, Stop};
use crate::mcp::{self, http::McpParts};
use crate::model::Models;
use crate::service::access::Access;
use crate::service::backups::Backups;
use crate::service::catch_up::CatchUp;
use crate::service::conversations::Conversations;
use crate::service::deliver::Deliverer;
use crate::service::erase::Eraser;
use crate::service::health::Health;
use crate::service::jobs::Jobs;
use crate::service::kept::Kept;
use crate::service::onlookers::Onlookers;
use crate::service::people::People;
use crate::service::prompt::PromptTemplate;
use crate::service::receive::Receiver;
use crate::service::remember::Memory;
use crate::service::remind::{Remind, Wakes};
use crate::service::reply::Replier;
use crate::service::summarise::Summariser;
use crate::service::todos::Todos;
use crate::service::tokens::Tokens;
use crate::service::toolbox;
use crate::service::tools::ToolSet;
use crate::service::watch::{Wake, Watch};
use crate::service::words::Words;
use crate::store::{self, NewPerson, Owner, SharedStore};
use crate::toolset;
use crate::toolset::outside::{self, Outside};
use crate::worker::deliveries::DeliveryWork;
use crate::worker::schedules::SchedulePoller;
use crate::worker::turns::TurnWork;
use crate::worker::{AtDrain, InFlight, Runner, backups, catch_up, elsewhere, erasing, renew, summaries};

/// Everything, open.
pub struct App {
    /// The settings.
    pub config: Arc<Config>,
    /// Time and ids.
    pub clock: Clock,
    /// Takes in messages.
    pub receiver: Arc<Receiver>,
    /// Looks on at turns.
    pub watch: Arc<Watch>,
    /// People.
    pub people: People,
    /// Conversations.
    pub conversations: Conversations,
    /// Planned messages.
    pub remind: Arc<Remind>,
    /// Durable work.
    pub jobs: Jobs,
    /// Memory.
    pub memory: Memory,
    /// Todo lists.
    pub todos: Todos,
    /// Bearer tokens.
    pub tokens: Tokens,
    /// Who is asking.
    pub access: Access,
    /// Whether it works.
    pub health: Arc<Health>,
    /// The open gateways.
    pub gateways: Gateways,
    /// The simulated carrier among them, whose mailbox the phones of `chat` read.
    pub simulator: Option<Arc<SimulatorCarrier>>,
    /// The configured endpoints and agents.
    pub models: Arc<Models>,
    /// Our own tool sets.
    pub tools: Vec<Arc<dyn ToolSet>>,
    /// Other people's servers, for agents.
    pub outside: Outside,
    store: SharedStore,
    owner: Owner,
    in_flight: Arc<InFlight>,
    turns: Runner<TurnWork>,
    deliveries: Runner<DeliveryWork>,
    schedules: SchedulePoller,
    onlookers: Arc<Onlookers>,
    wakes: Wakes,
    catch_up: Arc<CatchUp>,
    summariser: Arc<Summariser>,
}

impl App {
    /// Opens everything that the settings name. Leases that a dead process of this machine left behind are freed.
    ///
    /// # Errors
    /// The first part that cannot be opened, and what to do about it.
    pub async fn open(config: Config, clock: Clock) -> anyhow::Result<Self> {
        let opened = gateway::open(&config, &clock)?;
        Self::open_with(config, clock, opened).await
    }

    /// As [`App::open`], with gateways that are open already.
    ///
    /// # Errors
    /// As there.
    pub async fn open_with(config: Config, clock: Clock, opened: Opened) -> anyhow::Result<Self> {
        Self::open_with_tools(config, clock, opened, Vec::new()).await
    }

    /// As [`App::open_with`], with tool sets that agents may use beside our own.
    ///
    /// # Errors
    /// As there.
    pub async fn open_with_tools(config: Config, clock: Clock, opened: Opened, more: Vec<Arc<dyn ToolSet>>) -> anyhow::Result<Self> {
        let config = Arc::new(config);
        let Opened { gateways, simulator } = opened;
        let store = store::open(&config.storage, clock.clone())?;
        let models = Arc::new(Models::open(&config.endpoints, &config.agents, config.balance.segment_credits)?);
        let template = PromptTemplate::compile(&config.prompt.system)?;
        let allowed = allowed(&config)?;
        free_work_of_the_dead(&store).await?;

        let default_gateway = gateways.iter().next().map(|gateway| gateway.name().to_owned());
        if config.external_api.deliver == ApiDelivery::Sms && default_gateway.is_none() {
            anyhow::bail!("external_api.deliver is \"sms\", but no gateway is open to text by; configure one, or set it to \"none\"");
        }
        let owner = lifecycle::this_process(&clock);
        let in_flight = Arc::new(InFlight::default());
        let onlookers = Arc::new(Onlookers::default());
        let watch = Arc::new(Watch::new(Arc::clone(&onlookers)));
        let (wake, wake_deliveries) = (Arc::new(Wake::default()), Arc::new(Wake::default()));
        let health = Arc::new(Health::new(Arc::clone(&store), clock.clone()));
        let of_effective = Arc::clone(&models);
        let effective = Arc::new(move |user: &User| effective(&of_effective, &user.preferences));
        let wakes = Wakes { schedules: Arc::new(Wake::default()), turns: Arc::clone(&wake), deliveries: Arc::clone(&wake_deliveries) };
        let remind = Remind::new(Arc::clone(&store), clock.clone(), Arc::clone(&config), wakes.clone());
        let remind = Arc::new(remind.with_default_gateway(default_gateway.clone()));
        let kept = Kept::new(Arc::clone(&store), Todos::configured(Arc::clone(&store), clock.clone(), &config), Arc::clone(&remind));
        let words = Words::new(Arc::clone(&store), clock.clone(), Arc::clone(&config), effective, kept);
        let receiver = Arc::new(
            Receiver::new(
                Arc::clone(&store),
                clock.clone(),
                Arc::clone(&config),
                allowed,
                words,
                Arc::clone(&wake),
                Arc::clone(&wake_deliveries),
            )
            .with_schedules(Arc::clone(&wakes.schedules))
            .with_default_gateway(default_gateway),
        );
        let outside = outside::open(&config.mcp_servers, &People::new(Arc::clone(&store)), outside::Limits::of(config.worker.turns))?;
        let summariser = Arc::new(Summariser::new(Arc::clone(&store), clock.clone(), Arc::clone(&config), Arc::clone(&models)));
        let tools = toolset::all(&toolset::Parts { store: &store, clock: &clock, config: &config, remind: &remind });
        let replier = Arc::new(Replier::new(
            Arc::clone(&store),
            clock.clone(),
            Arc::clone(&config),
            Arc::clone(&models),
            template,
            Arc::clone(&watch),
            Arc::clone(&wake_deliveries),
            Arc::clone(&summariser),
            Arc::new(toolbox::Toolbox::new(tools.iter().cloned().chain(outside.sets()).chain(more).collect())),
        ));
        let deliverer =
            Arc::new(Deliverer::new(Arc::clone(&store), clock.clone(), Arc::clone(&config), gateways.clone(), Arc::clone(&health)));
        let tokens = Tokens::new(Arc::clone(&store), clock.clone());
        let jwt_secret = Some(config.auth.jwt_secret.clone()).filter(|secret| !secret.expose_secret().is_empty());
        let poll = Duration::from_millis(config.worker.poll_ms);
        let reply_max_age = Duration::from_secs(u64::from(config.worker.reply_max_age_hours) * 3600);
        let turn_work = TurnWork { store: Arc::clone(&store), owner: owner.clone(), replier };
        let delivery_work = DeliveryWork { store: Arc::clone(&store), owner: owner.clone(), deliverer, clock: clock.clone() };
        Ok(Self {
            people: People::new(Arc::clone(&store)),
            conversations: Conversations::new(Arc::clone(&store)),
            jobs: Jobs::new(Arc::clone(&store), clock.clone(), reply_max_age, Arc::clone(&wake), Arc::clone(&wake_deliveries)),
            memory: Memory::new(Arc::clone(&store), &config.memory),
            todos: Todos::configured(Arc::clone(&store), clock.clone(), &config),
            access: Access::new(tokens.clone(), clock.clone(), jwt_secret),
            tokens,
            turns: Runner::new(turn_work, clock.clone(), wake, Arc::clone(&in_flight), config.worker.turns, poll, AtDrain::FinishRunning),
            deliveries: Runner::new(
                delivery_work,
                clock.clone(),
                wake_deliveries,
                Arc::clone(&in_flight),
                config.worker.deliveries,
                poll,
                AtDrain::FinishDue,
            ),
            schedules: SchedulePoller { remind: Arc::clone(&remind), wake: Arc::clone(&wakes.schedules), clock: clock.clone(), poll },
            onlookers,
            wakes,
            remind,
            catch_up: Arc::new(CatchUp::new(Arc::clone(&store), clock.clone(), Arc::clone(&receiver))),
            summariser,
            receiver,
            watch,
            health,
            tools,
            outside,
            gateways,
            simulator,
            models,
            owner,
            in_flight,
            store,
            clock,
            config,
        })
    }

    /// Runs the workers until `stop.drain`; then turns that run are finished, what they made is sent, and all leases are given
    /// back. `stop.now`, or `server.stop_seconds`, cuts that short.
    pub async fn run_workers(&self, stop: &Stop) {
        stop.cut_short_after(Duration::from_secs(self.config.server.stop_seconds));
        let renewing = CancellationToken::new();
        let renewal = renew::run(Arc::clone(&self.store), self.owner.clone(), Arc::clone(&self.in_flight), renewing.clone());
        let renewal = tokio::spawn(renewal);
        let minutes = self.config.catch_up.minutes;
        let catch_up = (minutes > 0).then(|| {
            let every = Duration::from_secs(u64::from(minutes) * 60);
            tokio::spawn(catch_up::run(Arc::clone(&self.catch_up), self.gateways.clone(), every, stop.drain.clone()))
        });
        let summaries = tokio::spawn(summaries::run(Arc::clone(&self.summariser), stop.drain.clone()));
        let backups = self.backups().map(|backups| tokio::spawn(backups::run(backups, stop.drain.clone())));
        let erasing = tokio::spawn(erasing::run(Eraser::new(Arc::clone(&self.store)), stop.drain.clone()));
        let hearing = tokio::spawn(elsewhere::run(self.hearers(), stop.drain.clone()));
        // Deliveries drain when the turns have: a reply that was still made is still sent.
        let turns_ended = CancellationToken::new();
        let turns = async {
            tokio::join!(self.turns.run(stop.drain.clone(), stop.now.clone()), self.schedules.run(stop.drain.clone()));
            turns_ended.cancel();
        };
        tokio::join!(turns, self.deliveries.run(turns_ended.clone(), stop.now.clone()));
        if let Some(catch_up) = catch_up {
            let _ended = catch_up.await;
        }
        let _ended = tokio::join!(summaries, erasing, hearing);
        if let Some(backups) = backups {
            let _ended = backups.await;
        }
        // Turns that ended meanwhile made more of them due.
        if let Some(Err(error)) = stop.now.run_until_cancelled(self.summariser.leave_waiting()).await {
            tracing::warn!(%error, "summaries that are due could not be left to others; they are made when their conversations go on");
        }
        renewing.cancel();
        let _ended = renewal.await;
        if let Err(error) = self.store.release_owner(&self.owner).await {
            tracing::warn!(%error, "leases could not be given back; they run out by themselves");
        }
    }

    /// Works until nothing is due, one piece after the other: for tests and for commands that run without a server.
    ///
    /// # Errors
    /// [`store::StoreError::Unavailable`].
    pub async fn drain(&self) -> Result<(), store::StoreError> {
        use crate::worker::Step;
        while self.schedules.step().await? > 0 || self.turns.step().await? != Step::Idle || self.deliveries.step().await? != Step::Idle {}
        summaries::drain(&self.summariser).await?;
        Eraser::new(Arc::clone(&self.store)).erase_all().await
    }

    /// Every door: those of `http`, and `/mcp`.
    ///
    /// # Errors
    /// As [`App::http_state`].
    pub fn router(&self, metrics: Option<PrometheusHandle>, stop: Stop) -> anyhow::Result<axum::Router> {
        let mcp = McpParts {
            config: Arc::clone(&self.config),
            access: self.access.clone(),
            people: self.people.clone(),
            sets: self.tools.clone(),
            stop: stop.clone(),
        };
        Ok(http::router(self.http_state(metrics, stop)?).merge(mcp::http::router(&mcp)?))
    }

    /// The services as the doors use them.
    ///
    /// # Errors
    /// An entry of `server.trusted_proxies` that is no address, or a `phone.default_region` that is none.
    pub fn http_state(&self, metrics: Option<PrometheusHandle>, stop: Stop) -> anyhow::Result<HttpState> {
        let parts = HttpParts {
            config: Arc::clone(&self.config),
            clock: self.clock.clone(),
            receiver: Arc::clone(&self.receiver),
            watch: Arc::clone(&self.watch),
            people: self.people.clone(),
            conversations: self.conversations.clone(),
            access: self.access.clone(),
            health: Arc::clone(&self.health),
            gateways: self.gateways.clone(),
            simulator: self.simulator.clone(),
            models: Arc::clone(&self.models),
            phone_rules: self.config.phone.rules()?,
            store: Arc::clone(&self.store),
            metrics,
            stop,
        };
        Ok(HttpState::new(parts)?)
    }

    /// Those here who hear of what other processes do.
    fn hearers(&self) -> elsewhere::Hearers {
        elsewhere::Hearers {
            store: Arc::clone(&self.store),
            clock: self.clock.clone(),
            onlookers: Arc::clone(&self.onlookers),
            turns: Arc::clone(&self.wakes.turns),
            deliveries: Arc::clone(&self.wakes.deliveries),
        }
    }

    /// The archives that are written by themselves, where the settings ask for them.
    fn backups(&self) -> Option<Backups> {
        let settings = &self.config.backup;
        let every = Duration::from_secs(u64::from(settings.every) * 3600);
        let folder = settings.folder(&self.config.storage);
        (settings.every > 0).then(|| Backups::new(Arc::clone(&self.store), self.clock.clone(), folder, every, settings.keep))
    }

    /// The store, for what concerns all that it holds: archives, figures, checks.
    #[must_use]
    pub fn archive_store(&self) -> SharedStore {
        Arc::clone(&self.store)
    }

    /// Ends outside servers, waits for what is being written and closes the store.
    pub async fn close(&self) {
        self.outside.close().await;
        self.store.close().await;
    }
}

/// The store with people and tools over it, and nothing else: no carrier, no model, no worker.
pub struct Toolbox {
    /// People.
    pub people: People,
    /// Our own tool sets.
    pub tools: Vec<Arc<dyn ToolSet>>,
    store: SharedStore,
}

impl Toolbox {
    /// Opens the store. It blocks while files are checked and migrated.
    ///
    /// # Errors
    /// As [`store::open`].
    pub fn open(config: &Arc<Config>, clock: &Clock) -> Result<Self, store::StoreError> {
        let store = store::open(&config.storage, clock.clone())?;
        // Whoever serves looks for schedules that are made here, and sends what is run here, by the gateway that it opens first.
        let remind = Remind::new(Arc::clone(&store), clock.clone(), Arc::clone(config), Wakes::default()).without_workers();
        let remind = Arc::new(remind.with_default_gateway(gateway::first_name(&config.gateways).map(str::to_owned)));
        let tools = toolset::all(&toolset::Parts { store: &store, clock, config, remind: &remind });
        Ok(Self { people: People::new(Arc::clone(&store)), tools, store })
    }

    /// Waits for what is being written and closes the store.
    pub async fn close(&self) {
        self.store.close().await;
    }
}

/// What the account of a new person begins with.
#[must_use]
pub fn new_person(config: &Config, clock: &Clock) -> NewPerson {
    NewPerson {
        id: clock.user_id(),
        email_domain: config.people.email_domain.clone(),
        start_credits: config.balance.enabled.then_some(Credits(config.balance.start_credits)),
    }
}

/// The endpoint and the model that apply to a person now.
#[must_use]
pub fn effective(models: &Models, preferences: &Preferences) -> (String, String) {
    match models.resolve(&Choice::default(), preferences, &Choice::default()) {
        Ok(resolved) => (resolved.endpoint.to_string(), resolved.model),
        Err(error) => ("none".to_owned(), error.to_string()),
    }
}

/// Frees what processes of this machine held that are certain to be gone.
async fn free_work_of_the_dead(store: &SharedStore) -> Result<(), store::StoreError> {
    for owner in store.list_owners().await?.iter().filter(|owner| lifecycle::is_gone(owner)) {
        let lanes = store.release_owner(owner).await?;
        tracing::info!(lanes, "work of a process that died was freed");
    }
    Ok(())
}

/// The numbers of `people.allow`.
fn allowed(config: &Config) -> anyhow::Result<HashSet<PhoneNumber>> {
    let rules = config.phone.rules()?;
    let parse = |text: &String| PhoneNumber::parse(text, &rules).map_err(|error| anyhow::anyhow!("people.allow: {error}"));
    config.people.allow.iter().map(parse).collect()
}
