//! `/todo`.

use std::fmt::Write as _;

use super::{Kept, Plan, brief, number, sentence};
use crate::domain::todo::{Todo, TodoId, TodoState, words};
use crate::domain::user::User;
use crate::service::todos::{ItemName, TodoError};
use crate::store::{Change, NewTodo, PageRequest, StoreError, StoreResult, TodoFilter};

/// Items of one listing; the phone gets as much of it as fits, and the rest by `MORE`.
const ITEMS: usize = 100;

impl Kept {
    pub(super) async fn todo(&self, user: Option<&User>, rest: &str) -> StoreResult<Plan> {
        let (first, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        match first.to_ascii_lowercase().as_str() {
            "" => self.list(user).await,
            "list" if behind.is_empty() => self.list(user).await,
            "done" => self.done(user, behind.trim()).await,
            _ => self.add(user, rest).await,
        }
    }

    async fn list(&self, user: Option<&User>) -> StoreResult<Plan> {
        const EMPTY: &str = "Your list is empty. /todo and some words add an item.";
        let Some(user) = user else { return Ok(Plan::say(EMPTY)) };
        let open = TodoFilter { state: Some(TodoState::Open), ..TodoFilter::default() };
        let listed = self.store.list_todos(user.id, open, PageRequest::first(ITEMS)).await?;
        if listed.items.is_empty() {
            return Ok(Plan::say(EMPTY));
        }
        let mut text = "Your list:".to_owned();
        for item in &listed.items {
            let due = item.due.map(|due| format!(" (due {due})")).unwrap_or_default();
            let _infallible = write!(text, "\n{}. {}{due}", item.id, brief(&item.text));
        }
        if listed.next.is_some() {
            text.push_str("\n... and more.");
        }
        text.push_str("\n/todo done and a number ticks one off.");
        Ok(Plan::say(text))
    }

    async fn add(&self, user: Option<&User>, text: &str) -> StoreResult<Plan> {
        let new = NewTodo { text: text.to_owned(), category: None, priority: None, due: None, parent: None };
        let limit = self.todos.most();
        let new = match self.todos.checked(new) {
            Ok(checked) => checked,
            Err(error) => return refused(error),
        };
        if let Some(user) = user {
            let filter = TodoFilter { state: Some(TodoState::Open), named: Some(words(&new.text)), ..TodoFilter::default() };
            let equal = self.store.list_todos(user.id, filter, PageRequest::first(ITEMS)).await?;
            if let Some(equal) = equal.items.iter().find(|item| item.parent.is_none()) {
                return Ok(Plan::say(format!("That is on your list already: {}. {}", equal.id, brief(&equal.text))));
            }
        }
        let done = format!("Added to your list: {}", brief(&new.text));
        Ok(Plan::change(Change::AddTodo { new, limit }, done, "Nothing was added: your list is full, or that is on it already."))
    }

    async fn done(&self, user: Option<&User>, name: &str) -> StoreResult<Plan> {
        if name.is_empty() {
            return Ok(Plan::say("Which one? /todo shows your list; /todo done and a number, or the item's words, ticks it off."));
        }
        let Some(user) = user else { return Ok(Plan::say("Your list is empty.")) };
        let id = number(name).and_then(TodoId::new);
        let id = match id {
            Some(id) => id,
            None => match self.todos.meant(user.id, &ItemName::Text(name.to_owned()), TodoState::Open).await {
                Ok(id) => id,
                Err(error) => return refused(error),
            },
        };
        Ok(match self.store.find_todo(user.id, id).await? {
            None => Plan::say(format!("There is no item {id} on your list. /todo shows it.")),
            Some(Todo { completed_at: Some(_), text, .. }) => Plan::say(format!("That was done already: {}", brief(&text))),
            Some(Todo { text, .. }) => {
                Plan::change(Change::CompleteTodo(id), format!("Done: {}", brief(&text)), "That was done or deleted already.")
            }
        })
    }
}

/// Why an item could not be taken or found, for a phone; trouble with the store is the caller's.
fn refused(error: TodoError) -> StoreResult<Plan> {
    let listed = |items: &[Todo]| {
        items.iter().fold(String::new(), |mut list, item| {
            let _infallible = write!(list, "\n{}. {}", item.id, brief(&item.text));
            list
        })
    };
    Ok(Plan::say(match error {
        TodoError::Store(error @ (StoreError::Unavailable { .. } | StoreError::Corrupt { .. })) => return Err(error),
        TodoError::NoMatch { close, .. } if close.is_empty() => "No open item of your list is called that. /todo shows it.".to_owned(),
        TodoError::NoMatch { close, .. } => {
            format!("No open item of your list is called that. Did you mean one of these?{}", listed(&close))
        }
        TodoError::Ambiguous { items, .. } => format!("Several items are called that; give the number of one:{}", listed(&items)),
        other => sentence(&other.to_string()),
    }))
}
