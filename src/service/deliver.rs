//! Delivering a message: one request to the carrier, or one look-up of what was perhaps sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::backoff::Backoff;
use super::health::Health;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::delivery::OutboundMessage;
use crate::domain::time::Timestamp;
use crate::gateway::{Gateways, Lookup, SendError, Sent};
use crate::store::{DeliveryOutcome, DeliveryWork, LEASE, LeasedDelivery, Looked, RENEW, SharedStore, StoreError};

/// How long sending rests when the carrier refuses our account.
const STOPPED_WAIT: Duration = Duration::from_mins(1);

/// How far a look-up searches back before the attempt: clocks differ.
const CLOCK_SLACK: Duration = Duration::from_mins(2);

/// How long past its end a message that was perhaps sent is still looked up at a carrier that does not answer.
const GIVE_UP_LOOKING: Duration = Duration::from_hours(24);

/// For how long after its lease was asked for a message is handed to the carrier. A lease holds longer than this.
const FRESH: Duration = LEASE.saturating_sub(RENEW);

/// Delivers messages.
pub struct Deliverer {
    store: SharedStore,
    clock: Clock,
    config: Arc<Config>,
    gateways: Gateways,
    health: Arc<Health>,
    backoff: Backoff,
    /// Gateways that refused our account, and when the next message may try whether they still do.
    refusing: Mutex<BTreeMap<String, Timestamp>>,
}

/// What may be leased now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowance {
    /// The gateways that are open and not resting.
    pub gateways: Vec<String>,
    /// Messages at most.
    pub limit: usize,
}

impl Deliverer {
    /// A deliverer over these ports.
    #[must_use]
    pub fn new(store: SharedStore, clock: Clock, config: Arc<Config>, gateways: Gateways, health: Arc<Health>) -> Self {
        let backoff = Backoff::new(&config.worker);
        Self { store, clock, config, gateways, health, backoff, refusing: Mutex::default() }
    }

    fn refusing(&self) -> MutexGuard<'_, BTreeMap<String, Timestamp>> {
        // A map of plain values is whole between any two calls.
        self.refusing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What may be leased now. A gateway that refused our account rests; after that one message alone tries it, because a wrong
    /// credential that is used over and over looks like an attack.
    #[must_use]
    pub fn allowance(&self, limit: usize) -> Allowance {
        let now = self.clock.now();
        let refusing = self.refusing();
        let names = self.gateways.iter().map(|gateway| gateway.name());
        let gateways: Vec<String> = names.filter(|name| refusing.get(*name).is_none_or(|until| *until <= now)).map(str::to_owned).collect();
        let on_trial = gateways.iter().any(|name| refusing.contains_key(name));
        Allowance { limit: if on_trial { limit.min(1) } else { limit }, gateways }
    }

    /// Notes what was leased under an [`Allowance`]: the message that tries a resting gateway is the only one until it is known how
    /// it went.
    pub fn leased(&self, deliveries: &[LeasedDelivery]) {
        let mut refusing = self.refusing();
        if refusing.is_empty() {
            return;
        }
        let until = self.clock.now().after(STOPPED_WAIT);
        for delivery in deliveries {
            if let Some(rests) = refusing.get_mut(&delivery.message.route.gateway) {
                *rests = until;
            }
        }
    }

    /// Gives a delivery back that was leased but not begun.
    pub async fn give_back(&self, delivery: &LeasedDelivery) {
        match self.store.release_delivery(&delivery.lease).await {
            Ok(()) => {}
            Err(StoreError::LeaseLost) => {
                tracing::warn!(outbound = %delivery.message.id, "the lease was lost before the message was handed to the carrier; another process has it");
            }
            Err(error) => {
                tracing::warn!(outbound = %delivery.message.id, %error, "a delivery could not be given back; it is looked up when its lease runs out");
            }
        }
    }

    /// Makes the attempt and records how it went. `asked_at` is when the lease was asked for: where that is long ago, this process stood
    /// still (stopped, or its machine asleep), another may be sending the message by now, and it is given back instead.
    ///
    /// Not to be cut off from outside: a request that was begun is always recorded, and has its own time limit.
    pub async fn deliver(&self, delivery: LeasedDelivery, asked_at: Timestamp) {
        if self.clock.now().since(asked_at) >= FRESH {
            self.give_back(&delivery).await;
            return;
        }
        let message = &delivery.message;
        let outcome = match self.gateways.find(&message.route.gateway) {
            None => DeliveryOutcome::Dead { error: format!("gateway {:?} is not open; configure it, then replay", message.route.gateway) },
            Some(gateway) => match delivery.work {
                DeliveryWork::Send => self.after_send(message, gateway.lookup_waits(), gateway.send(message).await),
                DeliveryWork::LookUp => match self.look_up(message, gateway.as_ref()).await {
                    Ok(outcome) => outcome,
                    Err(error) => {
                        tracing::warn!(outbound = %message.id, %error, "the store could not tell which messages are known; looking again when the lease runs out");
                        return;
                    }
                },
            },
        };
        note(message, &outcome);
        match self.store.record_delivery(&delivery.lease, outcome).await {
            Ok(()) => {}
            Err(StoreError::LeaseLost) => {
                tracing::warn!(outbound = %message.id, "the lease was lost before the carrier's answer could be recorded");
            }
            Err(error) => {
                tracing::error!(outbound = %message.id, %error, "the carrier's answer could not be recorded; the message will be looked up");
            }
        }
    }

    fn after_send(&self, message: &OutboundMessage, lookup_waits: &[Duration], sent: Result<Sent, SendError>) -> DeliveryOutcome {
        let now = self.clock.now();
        match sent {
            Ok(sent) => {
                self.refusing().remove(&message.route.gateway);
                self.health.gateway_sends(&message.route.gateway);
                metrics::counter!("segments_total", "gateway" => message.route.gateway.clone()).increment(u64::from(message.segments));
                DeliveryOutcome::Accepted { gateway_message_id: sent.gateway_message_id, status: sent.status }
            }
            Err(SendError::OptedOut { reason }) => DeliveryOutcome::OptedOut { error: reason },
            Err(SendError::Refused { reason }) => DeliveryOutcome::Dead { error: reason },
            Err(SendError::Stopped { reason }) => self.stopped(message, reason),
            Err(SendError::Retry { reason, after }) => self.again(message, reason, after),
            Err(SendError::Ambiguous { reason }) => match lookup_waits.first() {
                Some(wait) => DeliveryOutcome::LookUp { due: now.after(*wait), error: reason, looked: Looked::No },
                // Without look-ups a message that was perhaps sent is not sent again: better missing than doubled.
                None => DeliveryOutcome::Dead { error: format!("perhaps sent, and look-ups are off: {reason}") },
            },
        }
    }

    async fn look_up(&self, message: &OutboundMessage, gateway: &dyn crate::gateway::Gateway) -> Result<DeliveryOutcome, StoreError> {
        let since = message.attempted_at.unwrap_or(message.created_at).before(CLOCK_SLACK);
        let known_ids = self.store.list_known_ids(message.user_id, since).await?;
        let now = self.clock.now();
        let waits = gateway.lookup_waits();
        let made = usize::try_from(message.checks).unwrap_or(usize::MAX);
        Ok(match gateway.find_sent(Lookup { message, known_ids: &known_ids }).await {
            Ok(Some(sent)) => DeliveryOutcome::Accepted { gateway_message_id: sent.gateway_message_id, status: sent.status },
            Ok(None) => match waits.get(made + 1) {
                // The waits count from the attempt, so the next look-up is the difference away.
                Some(next) => {
                    let wait = next.saturating_sub(waits.get(made).copied().unwrap_or_default());
                    DeliveryOutcome::LookUp { due: now.after(wait), error: "not found at the carrier yet".to_owned(), looked: Looked::Yes }
                }
                None if message.attempts >= self.config.worker.attempts => {
                    DeliveryOutcome::Dead { error: "every attempt was perhaps taken by the carrier and never found there".to_owned() }
                }
                None => DeliveryOutcome::SendAgain,
            },
            Err(SendError::Stopped { reason }) => {
                self.rest(message, &reason);
                DeliveryOutcome::LookUp { due: now.after(STOPPED_WAIT), error: reason, looked: Looked::No }
            }
            // The carrier has not answered for a day: whether it was sent will not be known.
            Err(error) if now > message.expires_at.after(GIVE_UP_LOOKING) => {
                DeliveryOutcome::Dead { error: format!("perhaps sent: {error}") }
            }
            Err(error) => {
                let asked = if let SendError::Retry { after, .. } = &error { *after } else { None };
                // The longer it has been unknown, the longer until the next look.
                let waited = now.since(message.attempted_at.unwrap_or(message.created_at));
                let due = now.after(self.backoff.wait_after(waited, asked));
                DeliveryOutcome::LookUp { due, error: error.to_string(), looked: Looked::No }
            }
        })
    }

    /// Nothing more is sent through that gateway for a while, whomever it is for.
    fn rest(&self, message: &OutboundMessage, reason: &str) {
        self.refusing().insert(message.route.gateway.clone(), self.clock.now().after(STOPPED_WAIT));
        self.health.gateway_stopped(&message.route.gateway, reason);
    }

    fn again(&self, message: &OutboundMessage, reason: String, after: Option<Duration>) -> DeliveryOutcome {
        if message.attempts >= self.config.worker.attempts {
            return DeliveryOutcome::Dead { error: reason };
        }
        DeliveryOutcome::Retry { due: self.clock.now().after(self.backoff.wait(message.attempts.max(1), after)), error: reason }
    }

    fn stopped(&self, message: &OutboundMessage, reason: String) -> DeliveryOutcome {
        self.rest(message, &reason);
        DeliveryOutcome::Stopped { due: self.clock.now().after(STOPPED_WAIT), error: reason }
    }
}

/// Tells the log and the figures how it went.
fn note(message: &OutboundMessage, outcome: &DeliveryOutcome) {
    let gateway = message.route.gateway.clone();
    let label = match outcome {
        DeliveryOutcome::Accepted { .. } => "accepted",
        DeliveryOutcome::Retry { error, .. } => {
            tracing::warn!(outbound = %message.id, attempt = message.attempts, reason = %error, "not sent; another attempt follows");
            "retry"
        }
        DeliveryOutcome::LookUp { error, .. } => {
            tracing::warn!(outbound = %message.id, attempt = message.attempts, reason = %error, "perhaps sent; it is looked up before another attempt");
            "look-up"
        }
        DeliveryOutcome::SendAgain => "send-again",
        DeliveryOutcome::Stopped { error, .. } => {
            tracing::error!(gateway = %message.route.gateway, reason = %error, "the carrier refuses this account; sending has stopped");
            "stopped"
        }
        DeliveryOutcome::Dead { error } => {
            tracing::error!(outbound = %message.id, reason = %error, "the message is a dead letter: `scrubjay jobs replay` tries it again");
            "dead"
        }
        DeliveryOutcome::OptedOut { .. } => "opted-out",
    };
    metrics::counter!("deliveries_total", "gateway" => gateway, "status" => label).increment(1);
}
