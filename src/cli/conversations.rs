//! `conversations`: what was said, by whom, and an end to it.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;

use super::context::{Context, Missing};
use super::output::{ListArgs, Output, fields};
use super::{DONE, Misuse, person};
use crate::app::App;
use crate::domain::conversation::Conversation;
use crate::domain::ids::{ConversationId, UserId};
use crate::http::shapes::{ConversationShape, MessageShape};
use crate::store::{MessageFilter, Page, PageRequest, StoreError};

/// People or messages that are fetched at a time.
const AT_ONCE: usize = 500;

/// Arguments of `conversations`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List conversations: a person's, newest first, or everybody's, person by person
    List {
        #[command(flatten)]
        owner: OwnerArgs,
        #[command(flatten)]
        list: ListArgs,
    },
    /// Show a conversation with its messages
    Show(OneArgs),
    /// Close a conversation: the next text begins a new one
    Close(OneArgs),
}

#[derive(Debug, clap::Args)]
struct OwnerArgs {
    /// Whose, by id or number [default: everybody's]
    #[arg(long, value_name = "USER")]
    user: Option<String>,
}

#[derive(Debug, clap::Args)]
struct OneArgs {
    /// The conversation's id
    #[arg(value_name = "CONVERSATION")]
    id: String,
    #[command(flatten)]
    owner: OwnerArgs,
    #[command(flatten)]
    output: Output,
}

/// A conversation and what was said in it.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    conversation: ConversationShape,
    messages: Vec<MessageShape>,
}

/// Does what was asked.
pub(crate) fn run(args: Args, context: &Context) -> anyhow::Result<ExitCode> {
    context.with_app(Missing::Refuse, async |app| match args.command {
        Command::List { owner, list } => {
            let page = match &owner.user {
                Some(user) => app.conversations.list(person::get(user, app).await?.id, list.page()).await?,
                None => list_all(&list.page(), app).await?,
            };
            let conversations: Vec<ConversationShape> = page.items.iter().map(ConversationShape::from).collect();
            let headings = ["ID", "USER", "TITLE", "MESSAGES", "LAST MESSAGE", ""];
            list.output.print_list(&conversations, page.next.as_deref(), &headings, |conversation| {
                vec![
                    conversation.conversation_id.clone(),
                    conversation.user.clone(),
                    conversation.title.clone(),
                    conversation.metadata.message_count.to_string(),
                    conversation.metadata.last_message.clone(),
                    if conversation.closed { "closed".to_owned() } else { String::new() },
                ]
            })
        }
        Command::Show(one) => {
            let conversation = find(&one, app).await?;
            let messages = messages(&conversation, app).await?;
            one.output.print(&Shown { conversation: ConversationShape::from(&conversation), messages }, describe)
        }
        Command::Close(one) => {
            let found = find(&one, app).await?;
            let closed = app.conversations.close(found.user_id, found.id).await?;
            one.output.print(&ConversationShape::from(&closed), |conversation| {
                format!("{} is closed; the person's next text begins a new conversation\n", conversation.conversation_id)
            })
        }
    })?;
    Ok(ExitCode::from(DONE))
}

/// Everybody's, person by person: nothing in a store is read without naming whose it is. A cursor says whose conversations a
/// page ended in and where among them: `PERSON` begins with that person, `PERSON/CURSOR` goes on within.
async fn list_all(page: &PageRequest, app: &App) -> anyhow::Result<Page<Conversation>> {
    let (first, mut within) = match page.cursor.as_deref() {
        None => (None, None),
        Some(cursor) => {
            let (person, within) = cursor.split_once('/').map_or((cursor, None), |(person, within)| (person, Some(within)));
            (Some(person.parse::<UserId>().map_err(|_not_ours| StoreError::InvalidCursor)?), within.map(str::to_owned))
        }
    };
    let (mut items, mut reached) = (Vec::new(), first.is_none());
    let mut people = PageRequest::first(AT_ONCE);
    loop {
        let users = app.people.list(people).await?;
        for user in users.items {
            reached = reached || first == Some(user.id);
            if !reached {
                continue;
            }
            if items.len() >= page.limit {
                return Ok(Page { items, next: Some(user.id.to_string()) });
            }
            let rest = PageRequest { cursor: within.take(), limit: page.limit - items.len() };
            let theirs = app.conversations.list(user.id, rest).await?;
            items.extend(theirs.items);
            if let Some(next) = theirs.next {
                return Ok(Page { items, next: Some(format!("{}/{next}", user.id)) });
            }
        }
        match users.next {
            Some(next) => people = PageRequest { cursor: Some(next), limit: AT_ONCE },
            None if reached => return Ok(Page { items, next: None }),
            None => return Err(StoreError::InvalidCursor.into()),
        }
    }
}

/// The conversation of that id. Without `--user` everybody is asked for it in turn.
async fn find(one: &OneArgs, app: &App) -> anyhow::Result<Conversation> {
    let id: ConversationId = one.id.parse().map_err(|error| Misuse(format!("{error}; `scrubjay conversations list` shows them")))?;
    if let Some(user) = &one.owner.user {
        return Ok(app.conversations.get(person::get(user, app).await?.id, id).await?);
    }
    let mut people = PageRequest::first(AT_ONCE);
    loop {
        let users = app.people.list(people).await?;
        for user in users.items {
            match app.conversations.get(user.id, id).await {
                Ok(conversation) => return Ok(conversation),
                Err(StoreError::NotFound { .. }) => {}
                Err(other) => return Err(other.into()),
            }
        }
        let Some(next) = users.next else {
            anyhow::bail!("there is no conversation {id}; `scrubjay conversations list` shows those there are");
        };
        people = PageRequest { cursor: Some(next), limit: AT_ONCE };
    }
}

/// All its messages, in order.
async fn messages(conversation: &Conversation, app: &App) -> anyhow::Result<Vec<MessageShape>> {
    let filter = MessageFilter { conversation_id: Some(conversation.id), search: None };
    let (mut messages, mut page) = (Vec::new(), PageRequest::first(AT_ONCE));
    loop {
        let found = app.conversations.messages(conversation.user_id, filter.clone(), page).await?;
        messages.extend(found.items.iter().map(MessageShape::from));
        let Some(next) = found.next else { return Ok(messages) };
        page = PageRequest { cursor: Some(next), limit: AT_ONCE };
    }
}

fn describe(shown: &Shown) -> String {
    let conversation = &shown.conversation;
    let mut text = fields(&[
        ("id", conversation.conversation_id.clone()),
        ("title", conversation.title.clone()),
        ("user", conversation.user.clone()),
        ("number", conversation.metadata.phone_number.clone().unwrap_or_else(|| "none".to_owned())),
        ("endpoint", conversation.endpoint.clone().unwrap_or_default()),
        ("model", conversation.model.clone().unwrap_or_default()),
        ("closed", if conversation.closed { "yes" } else { "no" }.to_owned()),
    ]);
    for message in &shown.messages {
        let _infallible = writeln!(text, "\n{}  {}", message.created_at, message.sender);
        for line in message.text.lines() {
            let _infallible = writeln!(text, "  {line}");
        }
        for attachment in &message.attachments {
            let _infallible = writeln!(text, "  [{} {}]", attachment.name, attachment.content_type);
        }
    }
    text
}
