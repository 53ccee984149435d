//! What a model is told: the system text, what was said before, and the turn's own texts.
//!
//! Pure functions over what the store gave. Start at [`build`].
//!
//! Neighbouring messages of one side are joined into one, with a line break: several texts of one turn, or a question whose
//! answer failed and the next. Many chat templates of local models refuse a prompt whose sides do not alternate, and to a model the
//! joined lines read as they did on the phone.

pub mod data;

use std::borrow::Cow;

use jiff::tz::TimeZone;
use minijinja::{Environment, UndefinedBehavior};

use crate::domain::message::{Attachment, Message, Role};
use crate::domain::phone::PhoneNumber;
use crate::domain::time::Timestamp;
use crate::model::{PromptMessage, Speaker};

pub use crate::model::estimate_tokens;

use self::data::Data;

/// Tokens that a chat template puts around a message, counted with its text.
const AROUND_A_MESSAGE: i64 = 4;
/// The name of the one template in its environment.
const SYSTEM: &str = "prompt.system";
/// What a model is told stands in the section of facts …
pub const REMEMBERED: &str = "what is remembered about the person";
/// … and in that of the summary.
pub const SUMMARY: &str = "summary of what was said earlier in this conversation";

/// The system template, compiled once.
#[derive(Debug)]
pub struct PromptTemplate(Environment<'static>);

/// A system template that cannot be used, with the line and what is wrong there.
#[derive(Debug, thiserror::Error)]
#[error(
    "prompt.system cannot be used: {reason}; its values are name, phone_masked, local_time, time_zone, channel, max_characters, endpoint and model"
)]
pub struct TemplateError {
    reason: String,
    #[source]
    source: minijinja::Error,
}

impl From<minijinja::Error> for TemplateError {
    fn from(source: minijinja::Error) -> Self {
        // The first line; what follows it on others is minijinja's picture of the place.
        let reason = source.to_string().lines().next().unwrap_or_default().to_owned();
        Self { reason, source }
    }
}

/// How the reply reaches the person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// As text messages.
    Sms,
    /// In the answer to an API call.
    Api,
}

/// What the template is filled with.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What the person is called.
    pub name: &'a str,
    /// Their number, of which the template sees the masked form only.
    pub phone: Option<&'a PhoneNumber>,
    /// The present moment.
    pub now: Timestamp,
    /// Their time zone, an IANA name; one that is unknown counts as UTC.
    pub time_zone: &'a str,
    /// How the reply reaches them.
    pub channel: Channel,
    /// What fits into one reply.
    pub max_characters: usize,
    /// Where the turn is answered.
    pub endpoint: &'a str,
    /// With which model.
    pub model: &'a str,
}

impl PromptTemplate {
    /// Compiles the template and fills it once for each channel, so that a misspelt value is found at start.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn compile(source: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.add_template_owned(SYSTEM, source.to_owned())?;
        let template = Self(environment);
        for channel in [Channel::Sms, Channel::Api] {
            let now = Timestamp::from_millis(0);
            let facts = Facts { name: "", phone: None, now, time_zone: "UTC", channel, max_characters: 1, endpoint: "", model: "" };
            template.fill(&facts)?;
        }
        Ok(template)
    }

    /// The system text for a person at a moment.
    ///
    /// # Errors
    /// When the template takes a way with these values that it did not take at start, and fails there.
    pub fn fill(&self, facts: &Facts<'_>) -> Result<String, TemplateError> {
        let (zone, time_zone) = match TimeZone::get(facts.time_zone) {
            Ok(zone) => (zone, facts.time_zone),
            Err(_) => (TimeZone::UTC, "UTC"),
        };
        let channel = match facts.channel {
            Channel::Sms => "sms",
            Channel::Api => "api",
        };
        let values = minijinja::context! {
            name => facts.name,
            phone_masked => facts.phone.map(PhoneNumber::masked).unwrap_or_default(),
            local_time => facts.now.to_jiff().to_zoned(zone).strftime("%A, %-d %B %Y, %H:%M").to_string(),
            time_zone => time_zone,
            channel => channel,
            max_characters => facts.max_characters,
            endpoint => facts.endpoint,
            model => facts.model,
        };
        let text = self.0.get_template(SYSTEM)?.render(values)?;
        Ok(text.trim().to_owned())
    }
}

/// How much of the history a prompt holds: `conversations.history_tokens` and `.history_messages`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Estimated tokens.
    pub tokens: usize,
    /// Stored messages.
    pub messages: usize,
}

/// What a prompt is built from.
#[derive(Debug, Clone, Copy)]
pub struct PromptInput<'a> {
    /// For the system template.
    pub facts: Facts<'a>,
    /// The agent's instructions, if an agent answers.
    pub agent_instructions: Option<&'a str>,
    /// What the request added for this turn alone.
    pub additional_instructions: Option<&'a str>,
    /// Facts from the person's memory, one a line, as [`data::tame_line`] leaves them.
    pub remembered: Option<&'a str>,
    /// The summary of the conversation's older part.
    pub summary: Option<&'a str>,
    /// The messages of earlier turns, oldest first.
    pub history: &'a [Message],
    /// The turn's own texts, oldest first.
    pub texts: &'a [Message],
    /// How much of the history may be used.
    pub budget: Budget,
}

/// Builds the prompt: the system text, behind it the instructions of the agent and of the request, and what is stored (facts and
/// the summary) as data; then the newest part of the history that fits the budget, and the turn's own texts, which always stand
/// last and whole. All that is ours stands in the one system message: many chat templates allow no second.
///
/// # Errors
/// As [`PromptTemplate::fill`].
pub fn build(template: &PromptTemplate, input: &PromptInput<'_>) -> Result<Vec<PromptMessage>, TemplateError> {
    let mut prompt = Vec::with_capacity(input.history.len().min(input.budget.messages) + 2);
    let mut system = template.fill(&input.facts)?;
    add_section(&mut system, "instructions of the agent", input.agent_instructions);
    add_section(&mut system, "additional instructions for this message", input.additional_instructions);
    for (title, text) in [(REMEMBERED, input.remembered), (SUMMARY, input.summary)] {
        if let Some(section) = text.and_then(|text| Data { title, text }.section()) {
            begin_section(&mut system);
            system.push_str(&section);
        }
    }
    if !system.is_empty() {
        prompt.push(PromptMessage { role: Speaker::System, content: system });
    }
    for message in window(input.history, input.budget) {
        say(&mut prompt, message);
    }
    for message in input.texts {
        say(&mut prompt, message);
    }
    Ok(prompt)
}

/// Adds a part of the system text between marks, so that a model sees where it begins and ends.
fn add_section(system: &mut String, title: &str, text: Option<&str>) {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return };
    begin_section(system);
    for part in ["--- ", title, " ---\n", text, "\n--- end of ", title, " ---"] {
        system.push_str(part);
    }
}

fn begin_section(system: &mut String) {
    if !system.is_empty() {
        system.push_str("\n\n");
    }
}

/// The newest messages that fit, whole, oldest first. What stands for a failure is left out, and so is an answer at the
/// beginning whose question did not fit; only a conversation that itself began with an answer keeps it.
pub fn window(history: &[Message], budget: Budget) -> impl Iterator<Item = &Message> {
    let mut left = i64::try_from(budget.tokens).unwrap_or(i64::MAX);
    let usable = |message: &&Message| !message.error && (!message.text.trim().is_empty() || !message.attachments.is_empty());
    let mut chosen: Vec<&Message> = history
        .iter()
        .rev()
        .filter(usable)
        .take(budget.messages)
        .take_while(|message| {
            left -= estimate_tokens(&content(message)) + AROUND_A_MESSAGE;
            left >= 0
        })
        .collect();
    chosen.reverse();
    let orphan = |message: &&Message| message.role == Role::Assistant && message.parent_id != Some(crate::domain::ids::MessageId::ROOT);
    chosen.into_iter().skip_while(orphan)
}

/// Puts a message at the end, or joins it to the last when the same side spoke.
fn say(prompt: &mut Vec<PromptMessage>, message: &Message) {
    let role = match message.role {
        Role::External => Speaker::User,
        Role::Assistant => Speaker::Assistant,
    };
    let content = content(message);
    match prompt.last_mut().filter(|last| last.role == role) {
        Some(last) => {
            last.content.push('\n');
            last.content.push_str(&content);
        }
        None => prompt.push(PromptMessage { role, content: content.into_owned() }),
    }
}

/// A message as the model sees it: its text, then a line for each attachment.
pub(super) fn content(message: &Message) -> Cow<'_, str> {
    if message.attachments.is_empty() {
        return Cow::Borrowed(&message.text);
    }
    let text = Some(message.text.clone()).filter(|text| !text.trim().is_empty());
    Cow::Owned(text.into_iter().chain(message.attachments.iter().map(named)).collect::<Vec<_>>().join("\n"))
}

/// Names what the model cannot see, and says so. The name is the sender's: no line break or bracket of it may end the note.
fn named(attachment: &Attachment) -> String {
    let clean = |text: &str| -> String {
        text.trim().chars().filter(|c| !c.is_control() && !matches!(c, '[' | ']' | '\u{2028}' | '\u{2029}')).take(80).collect()
    };
    let (name, kind) = (clean(&attachment.name), clean(&attachment.content_type));
    let name = if name.is_empty() { "unnamed".to_owned() } else { name };
    let kind = if kind.is_empty() { kind } else { format!(" ({kind})") };
    format!("[attachment: {name}{kind}, which you cannot see]")
}

#[cfg(test)]
mod tests;
