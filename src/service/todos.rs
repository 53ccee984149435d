//! Todo lists: checking what is written down, and finding the one item that somebody means.

use std::fmt::Write as _;

use jiff::tz::TimeZone;
use unicode_normalization::UnicodeNormalization as _;

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::ids::UserId;
use crate::domain::text::{beginning, shortened};
use crate::domain::todo::{DueWithin, Priority, Todo, TodoChange, TodoFigures, TodoId, TodoState, words};
use crate::store::{
    AddedTodo, ChangedTodo, ImportedTodo, ImportedTodos, NewTodo, Page, PageRequest, SharedStore, StoreError, StoreResult, TodoFilter,
};

/// Characters of a category, and of a question.
const SHORT: usize = 200;
/// Words of a question that are searched for.
const SEARCHED: usize = 16;
/// Items that an error lists at most.
const LISTED: usize = 8;
/// Open items among which a close name is looked for.
const LOOKED_AT: usize = 500;
/// How alike two names are that are called close, of 1.
const CLOSE: f64 = 0.75;

/// What a list may hold.
#[derive(Debug, Clone, Copy)]
pub struct TodoLimits {
    /// Items of one person.
    pub items: usize,
    /// Characters of an item.
    pub text_characters: usize,
}

/// How an item is named: by number, or by what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemName {
    /// By number.
    Id(TodoId),
    /// By its words, or by words in it, when they name exactly one.
    Text(String),
}

/// Which days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DueFilter {
    /// Today, where the person is.
    Today,
    /// Today and the six days that follow.
    Week,
    /// Open, and their time has passed.
    Overdue,
}

/// Which items somebody wants to see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// In this state.
    pub state: Option<TodoState>,
    /// Of this category, in any case.
    pub category: Option<String>,
    /// Of this priority.
    pub priority: Option<Priority>,
    /// Due then.
    pub due: Option<DueFilter>,
}

/// Why it was not done, for whoever asked for it.
#[derive(Debug, thiserror::Error)]
pub enum TodoError {
    /// A text that cannot be taken.
    #[error("{0}")]
    Invalid(String),
    /// A number that nothing has.
    #[error("there is no item {0} on the list")]
    NoItem(TodoId),
    /// A number that no parent has.
    #[error("there is no item {0} to be a part of; give an id from todo_list, or leave parentId out")]
    NoParent(TodoId),
    /// A name that nothing has.
    #[error("no {state} item is called {name:?}{}", suggest(close))]
    NoMatch {
        /// Open or completed.
        state: &'static str,
        /// The name.
        name: String,
        /// What may be meant.
        close: Vec<Todo>,
    },
    /// A name that several have.
    #[error("{name:?} fits several {state} items; give the id of one: {}{}", listed(items), if *more { "; and more" } else { "" })]
    Ambiguous {
        /// Open or completed.
        state: &'static str,
        /// The name.
        name: String,
        /// Some of them.
        items: Vec<Todo>,
        /// Whether there are others.
        more: bool,
    },
    /// Items from elsewhere that cannot be taken, by their place.
    #[error("{} items cannot be taken", .0.len())]
    InvalidItems(Vec<(usize, String)>),
    /// The store said so: the list is full, the person is gone, or it does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn listed(items: &[Todo]) -> String {
    let mut text = String::new();
    for item in items {
        let between = if text.is_empty() { "" } else { "; " };
        let short = shortened(&item.text, 60);
        let due = item.due.map(|due| format!(", due {due}")).unwrap_or_default();
        let _infallible = write!(text, "{between}{} ({short}{due})", item.id);
    }
    text
}

fn suggest(close: &[Todo]) -> String {
    if close.is_empty() { "; todo_list shows what there is".to_owned() } else { format!("; there are: {}", listed(close)) }
}

/// Todo lists.
#[derive(Clone)]
pub struct Todos {
    store: SharedStore,
    clock: Clock,
    limits: TodoLimits,
    /// Of people who have not set one.
    time_zone: String,
}

impl Todos {
    /// Over this store.
    #[must_use]
    pub fn new(store: SharedStore, clock: Clock, limits: TodoLimits, time_zone: String) -> Self {
        Self { store, clock, limits, time_zone }
    }

    /// Over this store, with the limits and the time zone of the settings.
    #[must_use]
    pub fn configured(store: SharedStore, clock: Clock, config: &Config) -> Self {
        let limits = TodoLimits { items: config.todos.items, text_characters: config.todos.text_characters };
        Self::new(store, clock, limits, config.people.time_zone.clone())
    }

    /// An item as it is kept, if it can be taken.
    pub(super) fn checked(&self, new: NewTodo) -> Result<NewTodo, TodoError> {
        Ok(NewTodo { text: self.text(&new.text)?, category: category(new.category)?, ..new })
    }

    /// Items that one person's list may hold.
    pub(super) const fn most(&self) -> usize {
        self.limits.items
    }

    /// Writes an item down, unless an equal one is open: that one is returned as it is.
    ///
    /// # Errors
    /// [`TodoError::Invalid`], [`TodoError::NoParent`] or [`TodoError::Store`].
    pub async fn add(&self, user_id: UserId, new: NewTodo) -> Result<AddedTodo, TodoError> {
        let new = self.checked(new)?;
        if let Some(parent) = new.parent
            && self.store.find_todo(user_id, parent).await?.is_none()
        {
            return Err(TodoError::NoParent(parent));
        }
        Ok(self.store.add_todo(user_id, new, self.limits.items).await?)
    }

    /// Changes the item of that number.
    ///
    /// # Errors
    /// [`TodoError::Invalid`], [`TodoError::NoItem`] or [`TodoError::Store`].
    pub async fn change(&self, user_id: UserId, id: TodoId, changes: Vec<TodoChange>) -> Result<ChangedTodo, TodoError> {
        let checked = changes.into_iter().map(|change| {
            Ok(match change {
                TodoChange::Text(text) => TodoChange::Text(self.text(&text)?),
                TodoChange::Category(name) => TodoChange::Category(category(name)?),
                other => other,
            })
        });
        let changes = checked.collect::<Result<Vec<_>, TodoError>>()?;
        self.store.change_todo(user_id, id, changes).await.map_err(|error| no_item(error, id))
    }

    /// Marks an open item as done.
    ///
    /// # Errors
    /// [`TodoError::NoItem`], [`TodoError::NoMatch`], [`TodoError::Ambiguous`] or [`TodoError::Store`].
    pub async fn complete(&self, user_id: UserId, name: &ItemName) -> Result<ChangedTodo, TodoError> {
        let id = self.meant(user_id, name, TodoState::Open).await?;
        self.change(user_id, id, vec![TodoChange::State(TodoState::Completed)]).await
    }

    /// Marks an item that was done as open again.
    ///
    /// # Errors
    /// As for [`Todos::complete`].
    pub async fn reopen(&self, user_id: UserId, name: &ItemName) -> Result<ChangedTodo, TodoError> {
        let id = self.meant(user_id, name, TodoState::Completed).await?;
        self.change(user_id, id, vec![TodoChange::State(TodoState::Open)]).await
    }

    /// Deletes an item, an open one when it is named by text, with all that are a part of it. Returns it, and the numbers of all.
    ///
    /// # Errors
    /// As for [`Todos::complete`].
    pub async fn delete(&self, user_id: UserId, name: &ItemName) -> Result<(Todo, Vec<TodoId>), TodoError> {
        let id = self.meant(user_id, name, TodoState::Open).await?;
        let todo = self.store.find_todo(user_id, id).await?.ok_or(TodoError::NoItem(id))?;
        let deleted = self.store.delete_todo(user_id, id).await.map_err(|error| no_item(error, id))?;
        Ok((todo, deleted))
    }

    /// Items, oldest number first.
    ///
    /// # Errors
    /// [`StoreError::InvalidCursor`]; [`StoreError::Unavailable`].
    pub async fn list(&self, user_id: UserId, wanted: Wanted, page: PageRequest) -> StoreResult<Page<Todo>> {
        let mut filter = TodoFilter {
            state: wanted.state,
            category: wanted.category.as_deref().map(words),
            priority: wanted.priority,
            ..TodoFilter::default()
        };
        if let Some(due) = wanted.due {
            let (now, zone) = (self.clock.now(), self.zone(user_id).await?);
            filter.due = Some(match due {
                DueFilter::Today => DueWithin::from_today(1, now, &zone),
                DueFilter::Week => DueWithin::from_today(7, now, &zone),
                DueFilter::Overdue => {
                    // What is done is not late.
                    if wanted.state == Some(TodoState::Completed) {
                        return Ok(Page { items: Vec::new(), next: None });
                    }
                    filter.state = Some(TodoState::Open);
                    DueWithin::overdue(now, &zone)
                }
            });
        }
        self.store.list_todos(user_id, filter, page).await
    }

    /// Items, open and done, whose text or category holds every word of the question, in any case.
    ///
    /// # Errors
    /// [`TodoError::Invalid`] or [`TodoError::Store`].
    pub async fn search(&self, user_id: UserId, question: &str, page: PageRequest) -> Result<Page<Todo>, TodoError> {
        if question.chars().count() > SHORT {
            return Err(TodoError::Invalid(format!("the query is longer than {SHORT} characters; give the words that matter")));
        }
        let holding: Vec<String> = words(question).split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        if holding.is_empty() || holding.len() > SEARCHED {
            return Err(TodoError::Invalid(format!("a query has from 1 to {SEARCHED} words; todo_list shows everything")));
        }
        Ok(self.store.list_todos(user_id, TodoFilter { holding, ..TodoFilter::default() }, page).await?)
    }

    /// The list in figures.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn figures(&self, user_id: UserId) -> StoreResult<TodoFigures> {
        let overdue = DueWithin::overdue(self.clock.now(), &self.zone(user_id).await?);
        self.store.todo_figures(user_id, overdue).await
    }

    /// Adds items from elsewhere, all or none; a repeat adds nothing.
    ///
    /// # Errors
    /// [`TodoError::InvalidItems`] with every item that cannot be taken, or [`TodoError::Store`].
    pub async fn import(&self, user_id: UserId, items: Vec<ImportedTodo>) -> Result<ImportedTodos, TodoError> {
        let mut wrong = Vec::new();
        let mut checked = Vec::with_capacity(items.len());
        for (place, item) in items.into_iter().enumerate() {
            match (self.text(&item.text), category(item.category)) {
                (Ok(text), Ok(category)) => checked.push(ImportedTodo { text, category, ..item }),
                (Err(error), _) | (_, Err(error)) => wrong.push((place, error.to_string())),
            }
        }
        if !wrong.is_empty() {
            return Err(TodoError::InvalidItems(wrong));
        }
        Ok(self.store.import_todos(user_id, checked, self.limits.items).await?)
    }

    /// The one item of that name. Its words are looked for whole first, then as a part.
    pub(super) async fn meant(&self, user_id: UserId, name: &ItemName, state: TodoState) -> Result<TodoId, TodoError> {
        let text = match name {
            ItemName::Id(id) => return Ok(*id),
            ItemName::Text(text) => text,
        };
        let wanted = words(text);
        let in_state = || TodoFilter { state: Some(state), ..TodoFilter::default() };
        let of_state = if state == TodoState::Open { "open" } else { "completed" };
        if !wanted.is_empty() {
            let whole = TodoFilter { named: Some(wanted.clone()), ..in_state() };
            let holding = TodoFilter { holding: wanted.split(' ').take(SEARCHED).map(str::to_owned).collect(), ..in_state() };
            for filter in [whole, holding] {
                let found = self.store.list_todos(user_id, filter, PageRequest::first(LISTED)).await?;
                match found.items.as_slice() {
                    [] => {}
                    [only] => return Ok(only.id),
                    _several => {
                        let more = found.next.is_some();
                        return Err(TodoError::Ambiguous {
                            state: of_state,
                            name: beginning(text, 80).to_owned(),
                            items: found.items,
                            more,
                        });
                    }
                }
            }
        }
        let items = self.store.list_todos(user_id, in_state(), PageRequest::first(LOOKED_AT)).await?.items;
        let wanted = beginning(&wanted, 80);
        let alike = |todo: Todo| (strsim::jaro_winkler(beginning(&words(&todo.text), 80), wanted), todo);
        let mut close: Vec<(f64, Todo)> = items.into_iter().map(alike).filter(|(alike, _)| *alike >= CLOSE).collect();
        close.sort_by(|one, other| other.0.total_cmp(&one.0));
        let close = close.into_iter().take(3).map(|(_, todo)| todo).collect();
        Err(TodoError::NoMatch { state: of_state, name: beginning(text, 80).to_owned(), close })
    }

    /// The person's time zone, else the configured one. A zone that this build does not know counts as UTC.
    async fn zone(&self, user_id: UserId) -> StoreResult<TimeZone> {
        let user = self.store.find_user(user_id).await?;
        let own = user.and_then(|user| user.preferences.time_zone);
        Ok(TimeZone::get(own.as_deref().unwrap_or(&self.time_zone)).unwrap_or(TimeZone::UTC))
    }

    /// A text as it is kept: composed, without blanks around it.
    fn text(&self, text: &str) -> Result<String, TodoError> {
        let limit = self.limits.text_characters;
        let kept: String = text.trim().nfc().collect();
        let long = kept.chars().count();
        if words(&kept).is_empty() {
            Err(TodoError::Invalid("the text is empty; say what is to be done".to_owned()))
        } else if long > limit {
            Err(TodoError::Invalid(format!("the text has {long} characters; at most {limit} are kept")))
        } else {
            Ok(kept)
        }
    }
}

/// A category as it is kept; an empty one is none.
fn category(name: Option<String>) -> Result<Option<String>, TodoError> {
    let kept: Option<String> = name.map(|name| name.trim().nfc().collect()).filter(|name: &String| !words(name).is_empty());
    match &kept {
        Some(name) if name.chars().count() > SHORT => {
            Err(TodoError::Invalid(format!("the category has more than {SHORT} characters; give a short name")))
        }
        _short => Ok(kept),
    }
}

/// A store's "does not exist" as this item's.
fn no_item(error: StoreError, id: TodoId) -> TodoError {
    match error {
        StoreError::NotFound { .. } => TodoError::NoItem(id),
        other => TodoError::Store(other),
    }
}
