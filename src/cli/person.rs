//! How commands name people: by id or by number.

use super::Misuse;
use crate::app::{App, new_person};
use crate::config::Config;
use crate::domain::phone::PhoneNumber;
use crate::domain::user::User;
use crate::service::people::{AccountName, UserName};
use crate::store::StoreError;

/// Reads an id of 24 hexadecimal digits, or a number as people write it.
pub(crate) fn read(text: &str, config: &Config) -> anyhow::Result<UserName> {
    if let Ok(id) = text.parse() {
        return Ok(UserName::Id(id));
    }
    match PhoneNumber::parse(text, &config.phone.rules()?) {
        Ok(phone) => Ok(UserName::Phone(phone)),
        Err(error) => Err(Misuse(format!("{text:?} is neither a person's id (24 hexadecimal digits) nor a number: {error}")).into()),
    }
}

/// Whose account a command works on.
#[derive(Debug, clap::Args)]
pub(crate) struct Whose {
    /// The person, by id or number, instead of `mcp.user_id`
    #[arg(long, value_name = "USER")]
    pub(crate) user: Option<String>,
}

/// Whose account a process of one person works on: `--user`, else what `mcp.user_id` and `mcp.user_based` say.
pub(crate) fn account(user: Option<&str>, config: &Config) -> anyhow::Result<AccountName> {
    // An empty --user is somebody's variable that was not filled in: it names nobody, least of all the shared account.
    let configured = Some(config.mcp.user_id.as_str()).filter(|name| config.mcp.user_based && !name.is_empty());
    match user.or(configured) {
        Some(name) => Ok(AccountName::Person(read(name, config)?)),
        None if !config.mcp.user_based => Ok(AccountName::Shared),
        None => Err(Misuse(
            "whose? --user takes an id or a number, as does mcp.user_id (MCP_USER_ID); MCP_USER_BASED=false means the account that hosts \
             of one person share"
                .to_owned(),
        )
        .into()),
    }
}

/// The person of that name.
pub(crate) async fn get(text: &str, app: &App) -> anyhow::Result<User> {
    let name = read(text, &app.config)?;
    app.people.get(&name).await.map_err(|error| match error {
        StoreError::NotFound { .. } => nobody(text),
        other => other.into(),
    })
}

/// The account that [`account`] names, for a command that shows: a number that nobody has is somebody who has nothing yet.
pub(crate) async fn find_account(user: Option<&str>, app: &App) -> anyhow::Result<Option<User>> {
    let name = account(user, &app.config)?;
    match app.people.find_account(&name).await? {
        None if matches!(name, AccountName::Person(UserName::Id(_))) => Err(nobody(user.unwrap_or(&app.config.mcp.user_id))),
        found => Ok(found),
    }
}

/// The account that [`account`] names, for a command that writes: a new number makes the person.
pub(crate) async fn open_account(user: Option<&str>, app: &App) -> anyhow::Result<User> {
    let name = account(user, &app.config)?;
    app.people.get_or_open(&name, new_person(&app.config, &app.clock)).await.map_err(|error| match error {
        StoreError::NotFound { .. } => nobody(user.unwrap_or(&app.config.mcp.user_id)),
        other => other.into(),
    })
}

fn nobody(name: &str) -> anyhow::Error {
    anyhow::anyhow!("nobody is called {name:?} here; `scrubjay users list` shows who there is")
}
