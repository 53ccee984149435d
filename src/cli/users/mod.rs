//! `users`: who texts, what they prefer, and who is refused.

mod leaving;
mod merging;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;

use self::leaving::Asked;
use crate::app::App;
use crate::cli::context::{Context, Missing};
use crate::cli::output::{ListArgs, Output, complain, fields};
use crate::cli::{DONE, Misuse, person};
use crate::domain::conversation::Choice;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::AgentId;
use crate::domain::quiet_hours::QuietHours;
use crate::domain::user::{PreferenceChange, User};
use crate::http::shapes::UserShape;

/// Arguments of `users`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List people, oldest first
    List(ListArgs),
    /// Show a person: account, preferences, balance, and where they are answered under the settings of this command
    Show(OneArgs),
    /// Set where and with what a person is answered
    Prefer(PreferArgs),
    /// Refuse a person: what is open ends, what waits is withdrawn, new texts are not stored
    Block(OneArgs),
    /// Let a blocked person in again
    Unblock(OneArgs),
    /// Write all that is stored of a person as one JSON document
    Export {
        /// The person, by id or number
        user: String,
        /// Where to; standard output when it is left out or `-`
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Erase a person and all that is stored of them, for good; that they opted out stays, as a hash of their number
    Erase {
        /// The person, by id or number
        user: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        output: Output,
    },
    /// Make one person of two: everything of FROM becomes INTO's, and the account FROM is deleted
    Merge(merging::Args),
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    /// The person, by id or number
    user: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, clap::Args)]
struct PreferArgs {
    /// The person, by id or number
    user: String,
    /// Where their messages are answered: openAI, agents, or a configured endpoint
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// The model there
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The agent of the endpoint `agents`
    #[arg(long, value_name = "AGENT")]
    agent: Option<String>,
    /// Their time zone, an IANA name such as Europe/Berlin
    #[arg(long, value_name = "ZONE")]
    time_zone: Option<String>,
    /// Hours in which they get no reminders, on their own clocks, such as 22:00-07:00
    #[arg(long, value_name = "HH:MM-HH:MM")]
    quiet_hours: Option<String>,
    /// Go back to what is configured; may be given several times
    #[arg(long, value_name = "WHAT")]
    clear: Vec<Preference>,
    #[command(flatten)]
    output: Output,
}

/// What can be preferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Preference {
    Endpoint,
    Model,
    Agent,
    TimeZone,
    QuietHours,
}

/// Does what was asked.
pub(crate) fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    context.with_app(Missing::Refuse, async |app| match args.command {
        Command::List(list) => self::list(&list, app).await,
        Command::Show(one) => print(&person::get(&one.user, app).await?, app, one.output),
        Command::Prefer(prefer) => self::prefer(prefer, app).await,
        Command::Block(one) => set_blocked(&one, true, app).await,
        Command::Unblock(one) => set_blocked(&one, false, app).await,
        Command::Export { user, file } => leaving::export(&user, file.as_deref(), app).await,
        Command::Erase { user, yes, output } => leaving::erase(&user, if yes { Asked::Already } else { Asked::NotYet }, output, app).await,
        Command::Merge(merge) => merging::merge(&merge, app).await,
    })?;
    Ok(ExitCode::from(DONE))
}

async fn list(list: &ListArgs, app: &App) -> anyhow::Result<()> {
    let page = app.people.list(list.page()).await?;
    let users: Vec<UserShape> = page.items.iter().map(UserShape::from).collect();
    let headings = ["ID", "NUMBER", "MESSAGES", "LAST TEXT", "BALANCE", ""];
    list.output.print_list(&users, page.next.as_deref(), &headings, |user| {
        vec![
            user.id.clone(),
            user.phone_number.clone().unwrap_or_default(),
            user.metadata.message_count.to_string(),
            user.metadata.last_sms.clone(),
            user.balance.map(|credits| credits.to_string()).unwrap_or_default(),
            if user.blocked { "blocked".to_owned() } else { String::new() },
        ]
    })
}

async fn prefer(args: PreferArgs, app: &App) -> anyhow::Result<()> {
    let changes = changes(&args, app)?;
    if changes.is_empty() {
        return Err(Misuse("nothing to set; give --endpoint, --model, --agent, --time-zone, --quiet-hours or --clear".to_owned()).into());
    }
    let user = person::get(&args.user, app).await?;
    let user = app.people.prefer(user.id, changes).await?;
    print(&user, app, args.output)
}

/// What was asked for, checked against what is configured.
fn changes(args: &PreferArgs, app: &App) -> Result<Vec<PreferenceChange>, Misuse> {
    let mut changes = Vec::new();
    for cleared in &args.clear {
        changes.push(match cleared {
            Preference::Endpoint => PreferenceChange::Endpoint(None),
            Preference::Model => PreferenceChange::DefaultModel(None),
            Preference::Agent => PreferenceChange::AgentId(None),
            Preference::TimeZone => PreferenceChange::TimeZone(None),
            Preference::QuietHours => PreferenceChange::QuietHours(None),
        });
    }
    if let Some(name) = &args.endpoint {
        let endpoint = Endpoint::parse(name).map_err(|error| Misuse(error.to_string()))?;
        if !app.models.offers(&endpoint) {
            return Err(Misuse(format!("no endpoint {name:?} is configured; `scrubjay config show` lists those that are")));
        }
        changes.push(PreferenceChange::Endpoint(Some(endpoint)));
    }
    if let Some(model) = &args.model {
        if model.trim().is_empty() {
            return Err(Misuse("--model wants a name; --clear model goes back to the configured one".to_owned()));
        }
        changes.push(PreferenceChange::DefaultModel(Some(model.clone())));
    }
    if let Some(agent) = &args.agent {
        let id: AgentId = agent.parse().map_err(|error| Misuse(format!("{error}")))?;
        if !app.models.has_agent(&id) {
            return Err(Misuse(format!("no agent {agent:?} is configured, as [agents.{agent}] in config.toml")));
        }
        changes.push(PreferenceChange::AgentId(Some(id)));
    }
    if let Some(zone) = &args.time_zone {
        jiff::tz::TimeZone::get(zone)
            .map_err(|_unknown| Misuse(format!("{zone:?} is not a time zone; write its IANA name, such as Europe/Berlin")))?;
        changes.push(PreferenceChange::TimeZone(Some(zone.clone())));
    }
    if let Some(hours) = &args.quiet_hours {
        let hours: QuietHours = hours.parse().map_err(|error| Misuse(format!("{error}")))?;
        changes.push(PreferenceChange::QuietHours(Some(hours)));
    }
    Ok(changes)
}

async fn set_blocked(one: &OneArgs, blocked: bool, app: &App) -> anyhow::Result<()> {
    let user = person::get(&one.user, app).await?;
    print(&app.people.set_blocked(user.id, blocked).await?, app, one.output)
}

/// Prints a person with where they are answered now, and warns of preferences that the configuration no longer offers.
fn print(user: &User, app: &App, output: Output) -> anyhow::Result<()> {
    let mut shape = UserShape::from(user);
    match app.models.resolve(&Choice::default(), &user.preferences, &Choice::default()) {
        Ok(resolved) => {
            for passed_over in &resolved.passed_over {
                complain(&format!("note: a preference has no effect: {passed_over}"));
            }
            shape = shape.with_effective(resolved.endpoint.as_str(), resolved.model);
        }
        Err(error) => complain(&format!("note: this person cannot be answered: {error}")),
    }
    output.print(&shape, describe)
}

fn describe(user: &UserShape) -> String {
    let chosen = &user.metadata.preferences;
    let or_configured = |value: &Option<String>| value.clone().unwrap_or_else(|| "as configured".to_owned());
    let answered_by = user.effective.as_ref().map(|now| format!("{} with {}", now.endpoint, now.model)).unwrap_or_default();
    fields(&[
        ("id", user.id.clone()),
        ("number", user.phone_number.clone().unwrap_or_else(|| "none".to_owned())),
        ("name", user.name.clone()),
        ("username", user.username.clone()),
        ("messages", user.metadata.message_count.to_string()),
        ("first text", user.metadata.first_contact.clone()),
        ("last text", user.metadata.last_sms.clone()),
        ("balance", user.balance.map_or_else(|| "not kept".to_owned(), |credits| format!("{credits} credits"))),
        ("answered by", answered_by),
        ("endpoint", or_configured(&chosen.endpoint)),
        ("model", or_configured(&chosen.default_model)),
        ("agent", or_configured(&chosen.agent_id)),
        ("time zone", or_configured(&chosen.time_zone)),
        ("quiet hours", chosen.quiet_hours.clone().unwrap_or_else(|| "none".to_owned())),
        ("blocked", if user.blocked { "yes" } else { "no" }.to_owned()),
    ])
}
