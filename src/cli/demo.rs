//! `demo`: the whole path on this machine alone, with no account and no key.

use std::net::SocketAddr;
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;

use super::DONE;
use super::context::{self, Context, LogReader, quoted};
use super::output::write_text;
use super::running::{Announce, Running};
use crate::clock::Clock;
use crate::config::{Config, Override};
use crate::lifecycle::Stop;
use crate::store;

/// The number that `chat` and the example below text from.
pub(crate) const PHONE: &str = "+15550100001";

/// Where it listens unless told otherwise.
const LISTEN: &str = "127.0.0.1:8080";

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen, on loopback; port 0 takes any free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
}

/// Runs the demo until a signal.
pub(crate) fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    let key = URL_SAFE_NO_PAD.encode(Clock::system().secret_bytes::<24>()?);
    let mut sources = context.sources();
    sources.listen = Some(args.listen.unwrap_or_else(|| LISTEN.to_owned()));
    sources.overrides = overrides(&key);
    let mut config = context::load(&sources, LogReader::Bystander)?.config;
    only_on_this_machine(&mut config)?;
    context::runtime()?.block_on(async {
        let stop = Stop::on_signals()?;
        let running = Running::start(config, Announce::Yes, stop).await?;
        write_text(&welcome(&running, context))?;
        running.until_stopped().await;
        Ok(ExitCode::from(DONE))
    })
}

/// What a demo sets for itself, above everything but flags.
fn overrides(key: &str) -> Vec<Override> {
    let settings = [
        ("storage.backend", "sqlite"),
        ("endpoints.default", "agents"),
        ("agents.default", "agent_scrubjay"),
        ("agents.agent_scrubjay.endpoint", "demo"),
        ("agents.agent_scrubjay.model", ""),
        ("gateways.simulator.enabled", "true"),
        ("people.admission", "open"),
        ("server.public_url", ""),
        ("server.trusted_proxies", ""),
        ("external_api.key", key),
        ("external_api.deliver", "none"),
    ];
    settings.map(|(key, value)| Override { key: key.to_owned(), value: value.to_owned(), command: "demo" }).into()
}

/// A demo lets everybody in and is paid for by nobody, so nobody else may reach it, no carrier is spoken with, and a real system's
/// data is left alone: where a carrier is configured, or the server's store is elsewhere, the demo lives in a folder of its own inside the data folder.
fn only_on_this_machine(config: &mut Config) -> anyhow::Result<()> {
    let listen: SocketAddr = config.server.listen;
    if !listen.ip().is_loopback() {
        let problem = format!("the demo answers everybody, so it listens on loopback only, not on {listen}");
        return Err(super::Misuse(format!("{problem}; `scrubjay serve` serves others")).into());
    }
    if !config.gateways.twilio.account_sid.is_empty() || store::is_elsewhere(&config.storage) {
        config.storage.path.push("demo");
        config.gateways.close_carriers();
    }
    Ok(())
}

fn welcome(running: &Running, context: &Context) -> String {
    let base = &running.file.address;
    let config = running.config();
    let key = config.external_api.key.expose_secret();
    let flags = context.flags(&config.storage.path);
    let program = quoted(&std::env::args().next().unwrap_or_else(|| "scrubjay".to_owned()));
    let body = format!(r#"{{"role":"external","from":"{PHONE}","content":"hello"}}"#);
    format!(
        "ready {base}\n\n\
         The demo runs: an offline model, a carrier that is played, data in {data}.\n\n\
         Text it from another terminal:\n\n  {program} chat{flags}\n  {program} chat{flags} --once \"hello\"\n\n\
         Or through the message API:\n\n  \
         curl {base}/api/messages/new -H 'x-api-key: {key}' -H 'content-type: application/json' -d '{body}'\n\n\
         Ctrl-C ends it.\n",
        data = config.storage.path.display(),
    )
}
