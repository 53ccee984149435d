//! The todo tools: a person's list, as agents and MCP clients use it.

mod shapes;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

pub use self::shapes::TodoShape;
use self::shapes::{
    AddArguments, Added, Changed, Deleted, Figures, Items, LIMIT, ListArguments, NameArguments, NoArguments, SearchArguments, StatusWord,
    UpdateArguments,
};
use super::answers::{result, sentence, unreachable};
use super::arguments::{ToolList, tool};
use crate::domain::ids::UserId;
use crate::domain::text::beginning;
use crate::domain::todo::{Due, Priority, Todo, TodoChange, TodoId, TodoState};
use crate::service::todos::{ItemName, TodoError, Todos, Wanted};
use crate::service::tools::{JsonObject, ResourceDefinition, ToolContext, ToolDefinition, ToolHints, ToolOutcome, ToolSet};
use crate::store::{ChangedTodo, NewTodo, Page, PageRequest, StoreResult};

/// Bytes of items in one answer; longer pages are cut, and say where they go on.
const ANSWER_BYTES: usize = 64 * 1024;

/// Open items that the resource shows.
const SHOWN: usize = 200;

/// What names an item may name another the next time.
const BY_NAME: ToolHints = ToolHints { read_only: false, destructive: false, idempotent: false, open_world: false };

/// The resource of open items.
const OPEN: &str = "todo://open";

/// What is asked for.
enum Question {
    /// Items of that kind.
    Those(Wanted),
    /// Items with these words.
    Holding(String),
}

/// The todo tools.
pub struct TodoTools {
    todos: Todos,
    tools: ToolList,
}

impl TodoTools {
    /// Over this service.
    #[must_use]
    pub fn new(todos: Todos) -> Self {
        let removing = ToolHints { destructive: true, ..BY_NAME };
        let tools = vec![
            tool::<AddArguments, Added>(
                "todo_add",
                "Add a todo",
                "Adds an item to the person's todo list. An equal open item is returned instead of doubled.",
                ToolHints::ADD,
            ),
            tool::<NameArguments, Changed>("todo_complete", "Complete a todo", "Marks an open item as done.", BY_NAME),
            tool::<NameArguments, Changed>("todo_reopen", "Reopen a todo", "Marks a completed item as open again.", BY_NAME),
            tool::<NameArguments, Deleted>(
                "todo_delete",
                "Delete a todo",
                "Deletes an item and its parts for good. For what is done use todo_complete.",
                removing,
            ),
            tool::<UpdateArguments, Changed>("todo_update", "Change a todo", "Changes the given fields of an item.", ToolHints::CHANGE),
            tool::<ListArguments, Items>("todo_list", "List todos", "Lists the person's todo items, oldest first.", ToolHints::READ),
            tool::<SearchArguments, Items>("todo_search", "Search todos", "Finds items by words, open and completed.", ToolHints::READ),
            tool::<NoArguments, Figures>("todo_stats", "Todo figures", "Counts the person's todo items.", ToolHints::READ),
        ];
        Self { todos, tools: ToolList::new(tools) }
    }

    /// The outcome, where what went wrong is an outcome too.
    async fn outcome(&self, user: UserId, name: &str, arguments: JsonObject) -> Result<ToolOutcome, ToolOutcome> {
        match name {
            "todo_add" => self.add(user, self.tools.read(name, arguments)?).await,
            "todo_complete" => changed(&self.todos.complete(user, &item(self.tools.read(name, arguments)?)?).await.map_err(failed)?),
            "todo_reopen" => changed(&self.todos.reopen(user, &item(self.tools.read(name, arguments)?)?).await.map_err(failed)?),
            "todo_delete" => self.delete(user, self.tools.read(name, arguments)?).await,
            "todo_update" => self.update(user, self.tools.read(name, arguments)?).await,
            "todo_list" => self.list(user, self.tools.read(name, arguments)?).await,
            "todo_search" => self.search(user, self.tools.read(name, arguments)?).await,
            "todo_stats" => {
                let NoArguments {} = self.tools.read(name, arguments)?;
                result(&Figures::from(self.todos.figures(user).await.map_err(failed)?))
            }
            _other => Err(self.tools.unknown(name)),
        }
    }

    async fn add(&self, user: UserId, arguments: AddArguments) -> Result<ToolOutcome, ToolOutcome> {
        let priority = arguments.priority.map(Priority::from);
        let new = NewTodo {
            text: arguments.text,
            category: arguments.category,
            priority,
            due: arguments.due_date.filter(|text| !text.trim().is_empty()).as_deref().map(due).transpose()?,
            parent: arguments.parent_id.map(|number| id("parentId", number)).transpose()?,
        };
        let added = self.todos.add(user, new).await.map_err(failed)?;
        let other = priority.filter(|priority| !added.is_new && *priority != added.todo.priority);
        let note = other.map(|_other| {
            let kept = added.todo.priority.as_str();
            format!("It keeps its priority, {kept}; todo_update changes that.")
        });
        result(&Added { todo: TodoShape::from(&added.todo), created: added.is_new, note })
    }

    async fn delete(&self, user: UserId, arguments: NameArguments) -> Result<ToolOutcome, ToolOutcome> {
        let (todo, deleted) = self.todos.delete(user, &item(arguments)?).await.map_err(failed)?;
        result(&Deleted { deleted: deleted.into_iter().map(TodoId::number).collect(), todo: TodoShape::from(&todo) })
    }

    async fn update(&self, user: UserId, arguments: UpdateArguments) -> Result<ToolOutcome, ToolOutcome> {
        let id = id("id", arguments.id)?;
        let mut changes = Vec::new();
        changes.extend(arguments.text.map(TodoChange::Text));
        changes.extend(arguments.category.map(TodoChange::Category));
        changes.extend(arguments.priority.map(|priority| TodoChange::Priority(priority.into())));
        if let Some(text) = arguments.due_date {
            // Servers that hold a model to one type leave it no null.
            let text = text.filter(|text| !text.trim().is_empty());
            changes.push(TodoChange::Due(text.as_deref().map(due).transpose()?));
        }
        if changes.is_empty() {
            return Err(ToolOutcome::error("Nothing to change: give text, category, priority or dueDate."));
        }
        changed(&self.todos.change(user, id, changes).await.map_err(failed)?)
    }

    async fn list(&self, user: UserId, arguments: ListArguments) -> Result<ToolOutcome, ToolOutcome> {
        let wanted = Wanted {
            state: match arguments.status.unwrap_or_default() {
                StatusWord::Open => Some(TodoState::Open),
                StatusWord::Completed => Some(TodoState::Completed),
                StatusWord::All => None,
            },
            category: arguments.category.filter(|name| !name.trim().is_empty()),
            priority: arguments.priority.map(Into::into),
            due: arguments.due.map(Into::into),
        };
        result(&self.items(user, &Question::Those(wanted), request(arguments.cursor, arguments.limit)).await.map_err(failed)?)
    }

    async fn search(&self, user: UserId, arguments: SearchArguments) -> Result<ToolOutcome, ToolOutcome> {
        result(&self.items(user, &Question::Holding(arguments.query), request(arguments.cursor, arguments.limit)).await.map_err(failed)?)
    }

    /// A page of items, with fewer of them where they would make the answer too long.
    async fn items(&self, user: UserId, question: &Question, mut request: PageRequest) -> Result<Items, TodoError> {
        let mut page = self.page(user, question, request.clone()).await?;
        let mut bytes = 0;
        let fits = page.items.iter().take_while(|todo| {
            bytes += serde_json::to_string(&TodoShape::from(*todo)).map_or(0, |text| text.len());
            bytes <= ANSWER_BYTES
        });
        let fits = fits.count().max(1);
        if fits < page.items.len() {
            request.limit = fits;
            page = self.page(user, question, request).await?;
        }
        Ok(Items { todos: page.items.iter().map(TodoShape::from).collect(), next_cursor: page.next })
    }

    async fn page(&self, user: UserId, question: &Question, request: PageRequest) -> Result<Page<Todo>, TodoError> {
        match question {
            Question::Those(wanted) => Ok(self.todos.list(user, wanted.clone(), request).await?),
            Question::Holding(query) => self.todos.search(user, query, request).await,
        }
    }
}

#[async_trait]
impl ToolSet for TodoTools {
    fn name(&self) -> &'static str {
        "todo"
    }

    async fn definitions(&self, _context: &ToolContext) -> Arc<Vec<ToolDefinition>> {
        self.tools.definitions()
    }

    async fn call(&self, context: &ToolContext, name: &str, arguments: JsonObject) -> ToolOutcome {
        self.outcome(context.user_id, name, arguments).await.unwrap_or_else(|failure| failure)
    }

    fn resources(&self) -> &'static [ResourceDefinition] {
        &[ResourceDefinition { uri: OPEN, name: "open-todos", description: "The person's open todo items, oldest first." }]
    }

    async fn read_resource(&self, context: &ToolContext, uri: &str) -> StoreResult<Option<Value>> {
        if uri != OPEN {
            return Ok(None);
        }
        let wanted = Wanted { state: Some(TodoState::Open), ..Wanted::default() };
        match self.items(context.user_id, &Question::Those(wanted), PageRequest::first(SHOWN)).await {
            Ok(items) => Ok(serde_json::to_value(items).ok()),
            Err(TodoError::Store(error)) => Err(error),
            Err(_other) => Ok(None),
        }
    }
}

fn request(cursor: Option<String>, limit: Option<usize>) -> PageRequest {
    PageRequest { cursor: cursor.filter(|cursor| !cursor.is_empty()), limit: limit.unwrap_or(LIMIT) }
}

/// Which item the arguments name.
fn item(arguments: NameArguments) -> Result<ItemName, ToolOutcome> {
    match (arguments.id, arguments.text) {
        (Some(number), _) => Ok(ItemName::Id(id("id", number)?)),
        (None, Some(text)) if !text.trim().is_empty() => Ok(ItemName::Text(text)),
        _neither => Err(ToolOutcome::error("Which item? Give its id, or text that only one item has.")),
    }
}

fn id(name: &str, number: i64) -> Result<TodoId, ToolOutcome> {
    TodoId::new(number)
        .ok_or_else(|| ToolOutcome::error(format!("{name} is {number}; ids are whole numbers from 1, as todo_list shows them.")))
}

fn due(text: &str) -> Result<Due, ToolOutcome> {
    text.parse().map_err(|error| {
        let text = beginning(text, 40);
        ToolOutcome::error(format!("dueDate is {text:?}; {error}."))
    })
}

fn changed(changed: &ChangedTodo) -> Result<ToolOutcome, ToolOutcome> {
    result(&Changed { todo: TodoShape::from(&changed.todo), changed: changed.changed })
}

/// What went wrong, for a model: a sentence.
fn failed(error: impl Into<TodoError>) -> ToolOutcome {
    let error = error.into();
    let unreachable = match &error {
        TodoError::Store(cause) => unreachable("the todo list", cause),
        _ => None,
    };
    unreachable.unwrap_or_else(|| ToolOutcome::error(sentence(&error.to_string())))
}
