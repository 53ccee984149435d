//! How commands name people: by id or by number.

use super::Misuse;
use crate::app::App;
use crate::domain::phone::PhoneNumber;
use crate::domain::user::User;
use crate::service::people::UserName;
use crate::store::StoreError;

/// Reads an id of 24 hexadecimal digits, or a number as people write it.
pub(crate) fn read(text: &str, app: &App) -> anyhow::Result<UserName> {
    if let Ok(id) = text.parse() {
        return Ok(UserName::Id(id));
    }
    match PhoneNumber::parse(text, &app.config.phone.rules()?) {
        Ok(phone) => Ok(UserName::Phone(phone)),
        Err(error) => Err(Misuse(format!("{text:?} is neither a person's id (24 hexadecimal digits) nor a number: {error}")).into()),
    }
}

/// The person of that name.
pub(crate) async fn get(text: &str, app: &App) -> anyhow::Result<User> {
    let name = read(text, app)?;
    app.people.get(&name).await.map_err(|error| match error {
        StoreError::NotFound { .. } => anyhow::anyhow!("nobody is called {text:?} here; `scrubjay users list` shows who there is"),
        other => other.into(),
    })
}
