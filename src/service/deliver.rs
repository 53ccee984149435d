//! Delivering a message: one request to the carrier, or one look-up of what was perhaps sent.

use std::sync::Arc;
use std::time::Duration;

use super::backoff::Backoff;
use super::health::Health;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::delivery::OutboundMessage;
use crate::gateway::{Gateways, Lookup, SendError, Sent};
use crate::store::{DeliveryOutcome, DeliveryWork, LeasedDelivery, Looked, SharedStore, StoreError};

/// How long sending rests when the carrier refuses our account.
const STOPPED_WAIT: Duration = Duration::from_mins(1);

/// How far a look-up searches back before the attempt: clocks differ.
const CLOCK_SLACK: Duration = Duration::from_mins(2);

/// Delivers messages.
pub struct Deliverer {
    store: SharedStore,
    clock: Clock,
    config: Arc<Config>,
    gateways: Gateways,
    health: Arc<Health>,
    backoff: Backoff,
}

impl Deliverer {
    /// A deliverer over these ports.
    #[must_use]
    pub fn new(store: SharedStore, clock: Clock, config: Arc<Config>, gateways: Gateways, health: Arc<Health>) -> Self {
        let backoff = Backoff::new(&config.worker);
        Self { store, clock, config, gateways, health, backoff }
    }

    /// Gives a delivery back that was leased but not begun, because of a stop.
    pub async fn give_back(&self, delivery: &LeasedDelivery) {
        if let Err(error) = self.store.release_delivery(&delivery.lease).await {
            tracing::warn!(message = %delivery.message.id, %error, "a delivery could not be given back; it is looked up when its lease runs out");
        }
    }

    /// Makes the attempt and records how it went.
    ///
    /// Not to be cut off from outside: a request that was begun is always recorded, and has its own time limit.
    pub async fn deliver(&self, delivery: LeasedDelivery) {
        let message = &delivery.message;
        let outcome = match self.gateways.find(&message.route.gateway) {
            None => DeliveryOutcome::Dead { error: format!("gateway {:?} is not open; configure it, then replay", message.route.gateway) },
            Some(gateway) => match delivery.work {
                DeliveryWork::Send => self.after_send(message, gateway.send(message).await),
                DeliveryWork::LookUp => match self.look_up(message, gateway.as_ref()).await {
                    Ok(outcome) => outcome,
                    Err(error) => {
                        tracing::warn!(message = %message.id, %error, "the store could not tell which messages are known; looking again when the lease runs out");
                        return;
                    }
                },
            },
        };
        note(message, &outcome);
        match self.store.record_delivery(&delivery.lease, outcome).await {
            Ok(()) => {}
            Err(StoreError::LeaseLost) => {
                tracing::warn!(message = %message.id, "the lease was lost before the carrier's answer could be recorded");
            }
            Err(error) => {
                tracing::error!(message = %message.id, %error, "the carrier's answer could not be recorded; the message will be looked up");
            }
        }
    }

    fn after_send(&self, message: &OutboundMessage, sent: Result<Sent, SendError>) -> DeliveryOutcome {
        let now = self.clock.now();
        match sent {
            Ok(sent) => {
                self.health.gateway_sends(&message.route.gateway);
                DeliveryOutcome::Accepted { gateway_message_id: sent.gateway_message_id, status: sent.status }
            }
            Err(SendError::OptedOut { reason }) => DeliveryOutcome::OptedOut { error: reason },
            Err(SendError::Refused { reason }) => DeliveryOutcome::Dead { error: reason },
            Err(SendError::Stopped { reason }) => self.stopped(message, reason),
            Err(SendError::Retry { reason, after }) => self.again(message, reason, after),
            Err(SendError::Ambiguous { reason }) => match self.config.gateways.twilio.lookup_ms.first() {
                Some(wait) => DeliveryOutcome::LookUp { due: now.after(Duration::from_millis(*wait)), error: reason, looked: Looked::No },
                // Without look-ups a message that was perhaps sent is not sent again: better missing than doubled.
                None => DeliveryOutcome::Dead { error: format!("perhaps sent, and look-ups are off: {reason}") },
            },
        }
    }

    async fn look_up(&self, message: &OutboundMessage, gateway: &dyn crate::gateway::Gateway) -> Result<DeliveryOutcome, StoreError> {
        let since = message.attempted_at.unwrap_or(message.created_at).before(CLOCK_SLACK);
        let known_ids = self.store.list_known_ids(message.user_id, since).await?;
        let now = self.clock.now();
        let waits = &self.config.gateways.twilio.lookup_ms;
        let made = usize::try_from(message.checks).unwrap_or(usize::MAX);
        Ok(match gateway.find_sent(Lookup { message, known_ids: &known_ids }).await {
            Ok(Some(sent)) => DeliveryOutcome::Accepted { gateway_message_id: sent.gateway_message_id, status: sent.status },
            Ok(None) => match waits.get(made + 1) {
                // The waits count from the attempt, so the next look-up is the difference away.
                Some(next) => {
                    let wait = next.saturating_sub(waits.get(made).copied().unwrap_or(0));
                    DeliveryOutcome::LookUp {
                        due: now.after(Duration::from_millis(wait)),
                        error: "not found at the carrier yet".to_owned(),
                        looked: Looked::Yes,
                    }
                }
                None if message.attempts >= self.config.worker.attempts => {
                    DeliveryOutcome::Dead { error: "every attempt was perhaps taken by the carrier and never found there".to_owned() }
                }
                None => DeliveryOutcome::SendAgain,
            },
            Err(SendError::Stopped { reason }) => {
                self.health.gateway_stopped(&message.route.gateway, &reason);
                DeliveryOutcome::LookUp { due: now.after(STOPPED_WAIT), error: reason, looked: Looked::No }
            }
            Err(error) => {
                let due = now.after(self.backoff.wait(message.attempts.max(1), None));
                DeliveryOutcome::LookUp { due, error: error.to_string(), looked: Looked::No }
            }
        })
    }

    fn again(&self, message: &OutboundMessage, reason: String, after: Option<Duration>) -> DeliveryOutcome {
        if message.attempts >= self.config.worker.attempts {
            return DeliveryOutcome::Dead { error: reason };
        }
        DeliveryOutcome::Retry { due: self.clock.now().after(self.backoff.wait(message.attempts.max(1), after)), error: reason }
    }

    fn stopped(&self, message: &OutboundMessage, reason: String) -> DeliveryOutcome {
        self.health.gateway_stopped(&message.route.gateway, &reason);
        DeliveryOutcome::Stopped { due: self.clock.now().after(STOPPED_WAIT), error: reason }
    }
}

/// Tells the log and the figures how it went.
fn note(message: &OutboundMessage, outcome: &DeliveryOutcome) {
    let gateway = message.route.gateway.clone();
    let label = match outcome {
        DeliveryOutcome::Accepted { .. } => "accepted",
        DeliveryOutcome::Retry { error, .. } => {
            tracing::warn!(message = %message.id, attempt = message.attempts, reason = %error, "not sent; another attempt follows");
            "retry"
        }
        DeliveryOutcome::LookUp { error, .. } => {
            tracing::warn!(message = %message.id, attempt = message.attempts, reason = %error, "perhaps sent; it is looked up before another attempt");
            "look-up"
        }
        DeliveryOutcome::SendAgain => "send-again",
        DeliveryOutcome::Stopped { error, .. } => {
            tracing::error!(gateway = %message.route.gateway, reason = %error, "the carrier refuses this account; sending has stopped");
            "stopped"
        }
        DeliveryOutcome::Dead { error } => {
            tracing::error!(message = %message.id, reason = %error, "the message is a dead letter: `scrubjay jobs replay` tries it again");
            "dead"
        }
        DeliveryOutcome::OptedOut { .. } => "opted-out",
    };
    metrics::counter!("deliveries_total", "gateway" => gateway, "status" => label).increment(1);
}
