//! `chat`: be a phone, in a terminal.
//!
//! Texts go through the simulator's signed webhook and replies come back through the outbox, so what is tried here is the path
//! that real phones take. With a server running on the same data it is that server's; else one runs in this process for as long, which
//! speaks with no real carrier: it catches nothing up and delivers nothing that waits for one.

pub(in crate::cli) mod phone;

use std::io::{BufRead as _, IsTerminal as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::phone::Phone;
use super::context::{self, Context};
use super::output::{complain, write_text};
use super::running::{Announce, Running};
use super::server_file::ServerFile;
use super::{DONE, Misuse, demo};
use crate::config::Config;
use crate::config::sections::{Admission, EndpointKind};
use crate::domain::phone::PhoneNumber;
use crate::gateway::simulator::MailboxMessage;
use crate::lifecycle::Stop;

/// After a part of a reply, silence of this length means that no further part comes.
const QUIET: Duration = Duration::from_millis(500);
/// How long one look into the mailbox waits.
const LOOK: Duration = Duration::from_secs(25);

/// Arguments of `chat`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The number that texts
    #[arg(long, value_name = "NUMBER", default_value = demo::PHONE)]
    from: String,
    /// Text this, print the answer, and end
    #[arg(long, value_name = "TEXT")]
    once: Option<String>,
    /// Seconds that an answer is waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    wait: u64,
}

/// Chats until the input ends.
pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<ExitCode> {
    let loaded = context.settings()?;
    let number = read_number(&args.from, &loaded.config)?;
    context::runtime()?.block_on(async {
        let client = phone::local_client()?;
        if let Some(file) = ServerFile::read(&loaded.config.storage.path)?
            && phone::answers(&client, &file.address).await
        {
            let Some(secret) = &file.simulator_secret else {
                bail!(
                    "the server on {} keeps its simulator closed; set gateways.simulator.enabled = true and start it anew, or stop it \
                     and chat without it",
                    file.address
                );
            };
            let mut phone = Phone::open(client, &file.address, secret, &number).await?;
            return converse(&mut phone, args, &CancellationToken::new()).await;
        }
        let config = own_settings(loaded.config, &number);
        explain(&config);
        let stop = Stop::on_signals()?;
        let running = Running::start(config, Announce::No, stop.clone()).await?;
        let outcome = async {
            let secret = running.file.simulator_secret.clone().unwrap_or_default();
            let mut phone = Phone::open(client, &running.file.address, &secret, &number).await?;
            converse(&mut phone, args, &stop.drain).await
        }
        .await;
        running.stop().await;
        outcome
    })?;
    Ok(ExitCode::from(DONE))
}

fn read_number(text: &str, config: &Config) -> anyhow::Result<String> {
    match PhoneNumber::parse(text, &config.phone.rules()?) {
        Ok(number) => Ok(number.as_str().to_owned()),
        Err(error) => Err(Misuse(format!("--from {text:?}: {error}")).into()),
    }
}

/// What a server of this process's own may do: serve its one phone, and nothing of a real server's work. It is reached by nobody
/// else, speaks with no carrier but the simulator, and lets in nobody beyond those whom the settings let in and its own phone.
/// What waits for a carrier stays where it is, for the server.
fn own_settings(mut config: Config, number: &str) -> Config {
    config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.server.public_url.clear();
    config.catch_up.minutes = 0;
    config.gateways.simulator.enabled = true;
    config.gateways.close_carriers();
    if config.people.admission == Admission::Allowlist {
        config.people.allow.push(number.to_owned());
    }
    config
}

/// Says who will answer, and why perhaps nobody.
fn explain(config: &Config) {
    use secrecy::ExposeSecret as _;
    let default = &config.endpoints.default;
    complain(&format!("no server runs on {}; endpoint {default} answers from this process", config.storage.path.display()));
    let settings = config.endpoints.named.get(default.as_str());
    if settings.is_some_and(|settings| settings.kind == EndpointKind::OpenAi && settings.api_key.expose_secret().is_empty()) {
        complain(&format!("endpoints.{default}.api_key is empty; to try it without a model of your own, run `scrubjay demo`"));
    }
}

async fn converse(phone: &mut Phone, args: &Args, stop: &CancellationToken) -> anyhow::Result<()> {
    let wait = Duration::from_secs(args.wait);
    if let Some(text) = &args.once {
        if text.trim().is_empty() {
            return Err(Misuse("--once wants a text".to_owned()).into());
        }
        return ask(phone, text, wait, stop).await;
    }
    let mut lines = lines_of_input();
    if std::io::stdin().is_terminal() {
        return talk(phone, &mut lines, stop).await;
    }
    // A script's lines are texts of their own: each waits for the answer to the one before.
    while let Some(line) = stop.run_until_cancelled(lines.recv()).await.flatten() {
        let line = line?;
        if !line.trim().is_empty() {
            ask(phone, &line, wait, stop).await?;
        }
    }
    Ok(())
}

/// Texts once, and prints the parts of the answer as they arrive.
async fn ask(phone: &mut Phone, text: &str, wait: Duration, stop: &CancellationToken) -> anyhow::Result<()> {
    phone.text(text).await?;
    let begun = tokio::time::Instant::now();
    let mut answered = false;
    loop {
        let left = wait.saturating_sub(begun.elapsed());
        let limit = if answered { QUIET } else { LOOK.min(left) };
        let Some(parts) = stop.run_until_cancelled(phone.receive(limit)).await else { return Ok(()) };
        let parts = parts?;
        if parts.is_empty() && answered {
            return Ok(());
        }
        answered |= !parts.is_empty();
        for part in parts {
            write_text(&format!("{}\n", part.body))?;
        }
        if !answered && left.is_zero() {
            bail!(
                "no answer within {} s; is the number admitted (people.admission), has it texted STOP, or is something in `scrubjay jobs \
                 list`? `scrubjay doctor` looks at the parts",
                wait.as_secs()
            );
        }
    }
}

/// A conversation by hand: what is typed is texted, what arrives is shown.
async fn talk(phone: &mut Phone, lines: &mut mpsc::Receiver<std::io::Result<String>>, stop: &CancellationToken) -> anyhow::Result<()> {
    write_text("Type a text and press Enter; Ctrl-D ends.\n> ")?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            line = lines.recv() => {
                let Some(line) = line else {
                    write_text("\n")?;
                    return Ok(());
                };
                let line = line?;
                if !line.trim().is_empty() {
                    phone.text(&line).await?;
                }
                write_text("> ")?;
            }
            // Given up when a line is typed; the cursor moves only with what is shown, so nothing is lost.
            parts = phone.receive(LOOK) => show(&parts?)?,
        }
    }
}

fn show(parts: &[MailboxMessage]) -> anyhow::Result<()> {
    if parts.is_empty() {
        return Ok(());
    }
    let mut text = String::from("\r");
    for part in parts {
        text.push_str("< ");
        text.push_str(&part.body.replace('\n', "\n  "));
        text.push('\n');
    }
    text.push_str("> ");
    write_text(&text)
}

/// Lines of standard input. The thread that reads them waits for the next one even when nobody wants it any more, so it is left
/// to end with the process.
fn lines_of_input() -> mpsc::Receiver<std::io::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
