//! The parts beyond this machine: models, carriers, and the public door.

use secrecy::ExposeSecret as _;
use tokio::task::JoinSet;

use super::LIMIT;
use super::report::Finding;
use crate::clock::Clock;
use crate::config::Config;
use crate::config::sections::{Admission, EndpointKind};
use crate::gateway;
use crate::model::Models;

/// Each endpoint that somebody could be answered at.
pub(super) async fn models(config: &Config) -> Vec<Finding> {
    let models = match Models::open(&config.endpoints, &config.agents, config.balance.segment_credits) {
        Ok(models) => models,
        Err(error) => return vec![Finding::failed("endpoints", error.to_string(), "mend the [endpoints] of the configuration")],
    };
    let mut asked = JoinSet::new();
    for (endpoint, model) in models.iter() {
        let is_default = *endpoint == config.endpoints.default;
        let Some(settings) = config.endpoints.named.get(endpoint.as_str()) else { continue };
        let is_key_missing = settings.kind == EndpointKind::OpenAi && settings.api_key.expose_secret().is_empty();
        let is_official = settings.base_url.contains("//api.openai.com");
        let (part, name, model) = (format!("endpoint {endpoint}"), endpoint.to_string(), std::sync::Arc::clone(model));
        if is_key_missing && is_official && !is_default {
            // Everybody has this section; who never set a key does not use it.
            continue;
        }
        asked.spawn(async move {
            let looked = tokio::time::timeout(LIMIT, model.check()).await;
            let found = match looked {
                Ok(Ok(found)) => return Finding::ok(part, found),
                Ok(Err(error)) => {
                    let said = error.to_string();
                    said.strip_prefix(&format!("{part}: ")).map_or_else(|| said.clone(), str::to_owned)
                }
                Err(_elapsed) => format!("did not answer within {} s", LIMIT.as_secs()),
            };
            let mend = format!("check endpoints.{name}.base_url and .api_key; can this machine reach it?");
            // People are answered without it unless they chose it.
            if is_default { Finding::failed(part, found, mend) } else { Finding::warning(part, found, mend) }
        });
    }
    let mut findings = asked.join_all().await;
    findings.sort_by(|one, other| one.part.cmp(&other.part));
    findings
}

/// Each carrier that is configured.
pub(super) async fn gateways(config: &Config, clock: &Clock) -> Vec<Finding> {
    let gateways = match gateway::open(config, clock) {
        Ok(opened) => opened.gateways,
        Err(error) => return vec![Finding::failed("gateways", error.to_string(), "mend the [gateways] of the configuration")],
    };
    let mut asked = JoinSet::new();
    for gateway in gateways.iter() {
        let (part, gateway) = (format!("gateway {}", gateway.name()), std::sync::Arc::clone(gateway));
        asked.spawn(async move {
            let mend = format!("check gateways.{}; can this machine reach the carrier?", gateway.name());
            match tokio::time::timeout(LIMIT, gateway.check()).await {
                Ok(Ok(found)) => Finding::ok(part, found),
                Ok(Err(error)) => Finding::failed(part, error.to_string(), mend),
                Err(_elapsed) => Finding::failed(part, format!("did not answer within {} s", LIMIT.as_secs()), mend),
            }
        });
    }
    let mut findings = asked.join_all().await;
    findings.sort_by(|one, other| one.part.cmp(&other.part));
    if findings.is_empty() {
        let mend = "set TWILIO_ACCOUNT_SID and TWILIO_AUTH_TOKEN for real phones; `scrubjay demo` plays a carrier";
        findings.push(Finding::warning("gateways", "none is open, so no phone can text", mend));
    }
    findings
}

/// How texts find their way in, and who is let in.
pub(super) fn doors(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_twilio_open = !config.gateways.twilio.account_sid.is_empty() && !config.gateways.twilio.auth_token.expose_secret().is_empty();
    if is_twilio_open {
        findings.push(public_url(&config.server.public_url));
    }
    let people = &config.people;
    findings.push(match (people.admission, people.allow.len()) {
        (Admission::Open, _) => Finding::warning(
            "admission",
            "whoever texts is answered",
            "at your cost: limits.turns_per_day and limits.turns_per_day_all bound it, people.admission = \"allowlist\" ends it",
        ),
        (Admission::Allowlist, 0) => Finding::warning(
            "admission",
            "nobody is answered: the list is empty",
            "put numbers into people.allow, or set people.admission = \"open\"",
        ),
        (Admission::Allowlist, count) => Finding::ok("admission", format!("{count} numbers are answered")),
    });
    findings
}

/// Twilio signs the URL it called, so this program has to know that URL to the letter.
fn public_url(configured: &str) -> Finding {
    const PART: &str = "public URL";
    let webhook = |base: &str| format!("{}/webhooks/twilio#rc=5&rp=all", base.trim_end_matches('/'));
    match url::Url::parse(configured) {
        Err(_empty_or_none) => {
            let mend = "set server.public_url = \"https://YOUR-NAME\", as Twilio calls it: its signatures cover the URL";
            Finding::failed(PART, if configured.is_empty() { "not set" } else { "not a URL" }, mend)
        }
        Ok(url) if url.scheme() != "https" => {
            let mend =
                format!("put a proxy with a certificate before it (deploy/), then use https; the webhook is {}", webhook(configured));
            Finding::warning(PART, format!("{configured}: texts and signatures travel in the clear"), mend)
        }
        Ok(_) => {
            let found = format!("{configured}; Twilio's webhook for incoming messages is {} (POST)", webhook(configured));
            Finding::ok(PART, found)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::*;

    #[test]
    fn the_webhook_is_named_with_its_retries_and_only_https_is_well() {
        let well = public_url("https://sms.example.org/");
        assert_eq!(well.state, State::Ok);
        assert!(well.found.contains("https://sms.example.org/webhooks/twilio#rc=5&rp=all"), "{}", well.found);
        assert_eq!(public_url("http://sms.example.org").state, State::Warning);
        assert_eq!(public_url("").state, State::Failed);
        assert_eq!(public_url("sms.example.org").state, State::Failed);
    }
}
