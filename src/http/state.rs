//! What every handler works with.

use std::ops::Deref;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;

use super::address::{InvalidProxy, TrustedProxies};
use super::refused::RefusedWebhooks;
use crate::clock::Clock;
use crate::config::Config;
use crate::domain::phone::PhoneRules;
use crate::gateway::{Gateways, SimulatorCarrier};
use crate::lifecycle::Stop;
use crate::model::Models;
use crate::service::access::Access;
use crate::service::conversations::Conversations;
use crate::service::health::Health;
use crate::service::people::People;
use crate::service::receive::Receiver;
use crate::service::watch::Watch;
use crate::store::SharedStore;

/// The services behind the doors, as `app` opens them.
pub struct HttpParts {
    /// Settings.
    pub config: Arc<Config>,
    /// Time and ids.
    pub clock: Clock,
    /// Takes in messages.
    pub receiver: Arc<Receiver>,
    /// Shows turns as they are answered.
    pub watch: Arc<Watch>,
    /// People.
    pub people: People,
    /// Conversations and messages.
    pub conversations: Conversations,
    /// Reads bearer tokens and logins.
    pub access: Access,
    /// Readiness.
    pub health: Arc<Health>,
    /// The open gateways.
    pub gateways: Gateways,
    /// The carrier that this program plays, where it does: for its phones' mailboxes.
    pub simulator: Option<Arc<SimulatorCarrier>>,
    /// Which endpoints and agents there are.
    pub models: Arc<Models>,
    /// How numbers are read.
    pub phone_rules: PhoneRules,
    /// Handed on to [`Watch`]'s followers, which ask it when another process did the work; not used here otherwise.
    pub store: SharedStore,
    /// The figures of `/metrics`; `None` answers 404 there.
    pub metrics: Option<PrometheusHandle>,
    /// The two signals that stop the server.
    pub stop: Stop,
}

/// The services, shared by all handlers.
#[derive(Clone)]
pub struct HttpState(Arc<Shared>);

struct Shared {
    parts: HttpParts,
    proxies: TrustedProxies,
    refused: RefusedWebhooks,
}

impl HttpState {
    /// State over these services.
    ///
    /// # Errors
    /// An entry of `server.trusted_proxies` that is no address.
    pub fn new(parts: HttpParts) -> Result<Self, InvalidProxy> {
        let proxies = TrustedProxies::parse(&parts.config.server.trusted_proxies)?;
        Ok(Self(Arc::new(Shared { parts, proxies, refused: RefusedWebhooks::default() })))
    }

    /// The reverse proxies that are believed.
    pub(super) fn proxies(&self) -> &TrustedProxies {
        &self.0.proxies
    }

    /// What the log says of refused webhooks.
    pub(super) fn refused(&self) -> &RefusedWebhooks {
        &self.0.refused
    }
}

impl Deref for HttpState {
    type Target = HttpParts;

    fn deref(&self) -> &HttpParts {
        &self.0.parts
    }
}
