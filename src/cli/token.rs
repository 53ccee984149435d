//! `token`: bearer tokens for people, services and the host. A token is shown when it is made and never again.

use std::process::ExitCode;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo, civil};
use secrecy::ExposeSecret as _;
use serde::Serialize;
use uuid::Uuid;

use super::context::{Context, Missing};
use super::output::{ListArgs, Output, fields};
use super::{DONE, Misuse, person};
use crate::app::App;
use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::domain::token::{Scope, Token, TokenKind};

/// Arguments of `token`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a token; it is shown this once
    Create(CreateArgs),
    /// List tokens, oldest first, without their secrets
    List(ListArgs),
    /// Refuse a token from now on
    Revoke {
        /// The token's id, as `token list` shows it
        #[arg(value_name = "TOKEN-ID")]
        id: String,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Debug, clap::Args)]
#[group(id = "whom", required = true, multiple = false, args = ["user", "service", "admin"])]
struct CreateArgs {
    /// It speaks for this person, named by id or number
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// It speaks for a service that names the person itself
    #[arg(long)]
    service: bool,
    /// It speaks for the host
    #[arg(long)]
    admin: bool,
    /// What it may do: read or write; may be given several times [default: everything that its kind may]
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<Scope>,
    /// When it ends: a span such as 12h, 30d or 1y, a date, or a moment (RFC 3339) [default: never]
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// A token just made.
#[derive(Serialize)]
struct Created<'a> {
    id: Uuid,
    token: &'a str,
    #[serde(flatten)]
    about: About<'a>,
}

/// A token as listed.
#[derive(Serialize)]
struct Listed<'a> {
    id: Uuid,
    #[serde(flatten)]
    about: About<'a>,
    created: Timestamp,
}

/// Whom it speaks for, and for how long.
#[derive(Serialize)]
struct About<'a> {
    kind: TokenKind,
    user: Option<UserId>,
    scopes: &'a [String],
    expires: Option<Timestamp>,
}

impl<'a> About<'a> {
    fn of(token: &'a Token) -> Self {
        Self { kind: token.kind, user: token.user_id, scopes: &token.scopes, expires: token.expires_at }
    }

    fn whom(&self) -> String {
        match (self.kind, self.user) {
            (TokenKind::User, Some(user)) => format!("person {user}"),
            (TokenKind::User, None) => "nobody".to_owned(),
            (TokenKind::Service, _) => "a service".to_owned(),
            (TokenKind::Admin, _) => "the host".to_owned(),
        }
    }

    fn end(&self) -> String {
        self.expires.map_or_else(|| "never".to_owned(), |moment| moment.to_string())
    }

    fn scope(&self) -> String {
        if self.scopes.is_empty() { "everything".to_owned() } else { self.scopes.join(", ") }
    }
}

/// Does what was asked.
pub(crate) fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    // A first token may be made before the first start; a token of a person's needs the person.
    let missing = match &args.command {
        Command::Create(create) if create.user.is_none() => Missing::Make,
        _ => Missing::Refuse,
    };
    context.with_app(missing, async |app| match args.command {
        Command::Create(create) => self::create(create, app).await,
        Command::List(list) => {
            let page = app.tokens.list(list.page()).await?;
            let tokens: Vec<Listed<'_>> =
                page.items.iter().map(|token| Listed { id: token.id, about: About::of(token), created: token.created_at }).collect();
            list.output.print_list(&tokens, page.next.as_deref(), &["ID", "SPEAKS FOR", "MAY", "EXPIRES", "CREATED"], |token| {
                let about = &token.about;
                vec![token.id.to_string(), about.whom(), about.scope(), about.end(), token.created.to_string()]
            })
        }
        Command::Revoke { id, output } => {
            let id: Uuid = id.parse().map_err(|_not_an_id| {
                Misuse(format!("{id:?} is not a token's id; `scrubjay token list` shows them (the secret itself is not kept)"))
            })?;
            app.tokens.revoke(id).await?;
            output.print(&serde_json::json!({"id": id, "revoked": true}), |_| format!("token {id} is refused from now on\n"))
        }
    })?;
    Ok(ExitCode::from(DONE))
}

async fn create(args: CreateArgs, app: &App) -> anyhow::Result<()> {
    let (kind, user_id) = match &args.user {
        Some(user) => (TokenKind::User, Some(person::get(user, app).await?.id)),
        None if args.service => (TokenKind::Service, None),
        None => (TokenKind::Admin, None),
    };
    let now = app.clock.now();
    let valid_for = args.expires.as_deref().map(|text| read_expiry(text, now)).transpose()?;
    let made = app.tokens.create(kind, user_id, &args.scopes, valid_for).await?;
    let created = Created { id: made.token.id, token: made.secret.expose_secret(), about: About::of(&made.token) };
    args.output.print(&created, |created| {
        let shown = fields(&[
            ("token", created.token.to_owned()),
            ("id", created.id.to_string()),
            ("speaks for", created.about.whom()),
            ("may", created.about.scope()),
            ("expires", created.about.end()),
        ]);
        format!("{shown}\nKeep the token now: only a hash of it is stored.\n")
    })
}

/// How long from `now`: a span, a date (its beginning in UTC) or a moment.
fn read_expiry(text: &str, now: Timestamp) -> Result<Duration, Misuse> {
    let wrong = || Misuse(format!("--expires {text:?} is not a time; write a span (12h, 30d, 1y), a date (2027-01-31) or RFC 3339"));
    let zoned = now.to_jiff().to_zoned(jiff::tz::TimeZone::UTC);
    let from_now = if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        moment.duration_since(now.to_jiff())
    } else if let Ok(span) = text.parse::<Span>() {
        span.to_duration(SpanRelativeTo::from(&zoned)).map_err(|_out_of_range| wrong())?
    } else {
        let day: civil::Date = text.parse().map_err(|_not_a_date| wrong())?;
        let begin = day.to_zoned(jiff::tz::TimeZone::UTC).map_err(|_out_of_range| wrong())?;
        begin.timestamp().duration_since(now.to_jiff())
    };
    if from_now <= SignedDuration::ZERO {
        return Err(Misuse(format!("--expires {text:?} has already passed")));
    }
    Duration::try_from(from_now).map_err(|_negative| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_a_span_a_date_or_a_moment_in_the_future() {
        let now = Timestamp::from_millis(1_700_000_000_000); // 2023-11-14T22:13:20Z
        let seconds = |text: &str| read_expiry(text, now).map(|span| span.as_secs()).map_err(|error| error.to_string());
        assert_eq!(seconds("12h"), Ok(43_200));
        assert_eq!(seconds("30d"), Ok(30 * 86_400));
        assert_eq!(seconds("1y"), Ok(366 * 86_400));
        assert_eq!(seconds("2023-11-15"), Ok(6_400));
        assert_eq!(seconds("2023-11-14T22:13:30Z"), Ok(10));
        for wrong in ["", "soon", "-1h", "2023-11-14", "2023-11-14T22:13:20Z", "0s", "99999y"] {
            assert!(seconds(wrong).is_err(), "{wrong:?} was taken");
        }
    }
}
