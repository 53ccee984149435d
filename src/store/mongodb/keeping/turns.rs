//! Turns with their steps and calls, and outgoing messages, as records and back.

use mongodb::bson::Document;
use serde::{Deserialize, Serialize};

use super::{count, unfit, unwritten};
use crate::domain::delivery::{DeliveryStatus, ReplyRoute};
use crate::domain::ids::{ConversationId, MessageId, TurnId, UserId};
use crate::domain::ledger::{Credits, Usage};
use crate::domain::turn::{Refusal, TurnRequest, TurnState};
use crate::store::mongodb::fields::{Fields, to_bson};
use crate::store::mongodb::shapes;
use crate::store::mongodb::state::ending::Ending;
use crate::store::mongodb::state::words::JsonText;
use crate::store::mongodb::state::{Answer, CallState, OpenState, Outgoing, StepState, Text, Turn, TurnKind};
use crate::store::record::words::{Raw, Word};
use crate::store::record::{self, Record};
use crate::store::{StoreError, StoreResult};

/// A turn that is over, or dead, with everything that is known of it.
#[derive(Debug, Clone)]
pub(super) struct Past {
    pub(super) turn: Turn,
    pub(super) state: TurnState,
    pub(super) event: Option<i64>,
    pub(super) reply: Option<MessageId>,
    pub(super) usage: Usage,
    /// How many texts it has, or had.
    pub(super) texts: i64,
    /// Which of them there are, in their order.
    pub(super) text_ids: Vec<String>,
}

impl Past {
    /// Reads one, and whose it is.
    pub(super) fn from_document(collection: &str, document: &Document) -> StoreResult<(UserId, Self)> {
        let fields = Fields::new(collection, document);
        let number = |path: &str| Ok::<_, StoreError>(fields.find_number(path)?.unwrap_or(0));
        let state = fields.find_word("state", TurnState::parse)?.ok_or_else(|| fields.damaged("state", "it is missing"))?;
        let opened_at = fields.moment("openedAt")?;
        let text_ids: Vec<String> = fields.texts("textIds")?.into_iter().map(str::to_owned).collect();
        let kept: Option<Turn> = fields.find_value("turn")?;
        let turn = Turn {
            number: fields.number("number")?,
            id: fields.id("_id", TurnId::from_uuid)?,
            conversation_id: fields.id("conversationId", ConversationId::from_uuid)?,
            kind: fields.find_value("kind")?.unwrap_or(TurnKind::Reply),
            state: OpenState::Begun,
            due: fields.moment("due")?,
            gather_until: fields.find_moment("gatherUntil")?,
            last_text_at: fields.find_moment("lastTextAt")?.unwrap_or(opened_at),
            // A dead one keeps them for a replay.
            texts: kept.map(|turn| turn.texts).unwrap_or_default(),
            attempts: count(fields.number("attempts")?),
            starts: count(number("starts")?),
            answer_until: fields.find_moment("answerUntil")?,
            error: fields.find_text("error")?.map(str::to_owned),
            request: fields.find_value("request")?.unwrap_or_default(),
            route: fields.find_value("route")?,
            refusal: fields.find_word("refusal", Refusal::parse)?,
            over_limit: fields.find_word("overLimit", Refusal::parse)?,
            answer: None,
            reserved: Credits::ZERO,
            charge: Credits(fields.number("charge")?),
            began_conversation: fields.flag("beganConversation")?,
            steps: fields.find_value("steps")?.unwrap_or_default(),
            opened_at,
        };
        let past = Self {
            turn,
            state,
            event: fields.find_number("event")?,
            reply: fields.find_id("replyId", MessageId::from_uuid)?,
            usage: fields.find_value("usage")?.unwrap_or_default(),
            texts: fields.find_number("texts")?.unwrap_or_else(|| i64::try_from(text_ids.len()).unwrap_or(i64::MAX)),
            text_ids,
        };
        Ok((fields.user("user")?, past))
    }

    /// As stored.
    pub(super) fn document(&self, user: UserId) -> StoreResult<(Document, Document)> {
        let ending = Ending { refusal: self.turn.refusal, reply: self.reply, usage: self.usage, tried: false };
        let (key, mut set) = shapes::turn_document(user, &self.turn, self.state, self.event, &ending);
        set.insert("texts", self.texts);
        set.insert("textIds", to_bson(&self.text_ids)?);
        Ok((key, set))
    }
}

/// Where a turn stands that a head holds.
pub(super) const fn state_of(turn: &Turn) -> TurnState {
    match turn.state {
        OpenState::Open => TurnState::Open,
        OpenState::Begun => TurnState::Begun,
    }
}

const fn kind_word(kind: TurnKind) -> &'static str {
    match kind {
        TurnKind::Reply => "reply",
        TurnKind::Record => "record",
        TurnKind::Answer => "answer",
        TurnKind::Remind => "remind",
    }
}

/// A turn that a head holds, as one that is over would be.
pub(super) fn open(turn: Turn) -> Past {
    let text_ids: Vec<String> = turn.texts.iter().map(|text| text.id.to_string()).collect();
    Past {
        state: state_of(&turn),
        event: None,
        reply: None,
        usage: Usage::default(),
        texts: i64::try_from(text_ids.len()).unwrap_or(i64::MAX),
        text_ids,
        turn,
    }
}

/// A turn, its steps and their calls as records.
pub(super) fn records(user_id: UserId, number: i64, past: &Past, out: &mut Vec<Record>) -> StoreResult<()> {
    let turn = &past.turn;
    let (route_gateway, route_from) = turn.route.clone().map(|route| (route.gateway, route.from)).unzip();
    let (answer_id, answer) = turn.answer.clone().map(|answer| (answer.id, answer.text)).unzip();
    let request = (turn.request != TurnRequest::default()).then(|| Raw::of(&turn.request)).transpose().map_err(unwritten)?;
    out.push(Record::Turn(Box::new(record::Turn {
        user_id,
        number,
        id: turn.id,
        conversation_id: turn.conversation_id,
        kind: kind_word(turn.kind).to_owned(),
        state: Word(past.state),
        due: turn.due,
        last_text_at: turn.last_text_at,
        texts: past.texts,
        attempts: turn.attempts.into(),
        starts: turn.starts.into(),
        reserved: turn.reserved.0,
        charge: turn.charge.0,
        began_conversation: turn.began_conversation,
        prompt_tokens: past.usage.prompt_tokens,
        completion_tokens: past.usage.completion_tokens,
        total_tokens: past.usage.total_tokens,
        opened_at: turn.opened_at,
        gather_until: turn.gather_until,
        answer_until: turn.answer_until,
        error: turn.error.clone(),
        request,
        route_gateway,
        route_from,
        refusal: turn.refusal.map(Word),
        over_limit: turn.over_limit.map(Word),
        answer_id,
        answer,
        event: past.event,
    })));
    for step in &turn.steps {
        out.push(Record::Step(Box::new(record::Step {
            user_id,
            turn: turn.id,
            number: step.number.into(),
            said: step.said.clone(),
            shown: step.shown,
            model: step.model.clone(),
            prompt_tokens: step.usage.prompt_tokens,
            completion_tokens: step.usage.completion_tokens,
            total_tokens: step.usage.total_tokens,
            charge: step.charge.0,
            recorded_at: step.recorded_at,
        })));
        for (number, call) in (0_i64..).zip(&step.calls) {
            let CallText { id, name, arguments, extra } = serde_json::from_str(call.call.text()).map_err(unwritten)?;
            out.push(Record::Call(Box::new(record::Call {
                user_id,
                turn: turn.id,
                step: step.number.into(),
                number,
                id,
                name,
                arguments,
                extra,
                begun_at: call.begun_at,
                ended_at: call.ended_at,
                failed: call.failed,
                result: call.result.clone(),
            })));
        }
    }
    Ok(())
}

/// A call as its model asked for it, with what is not ours as it was written.
#[derive(Serialize, Deserialize)]
struct CallText {
    id: String,
    name: String,
    arguments: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    extra: Option<Raw>,
}

fn route(gateway: Option<&String>, from: Option<&String>) -> Option<ReplyRoute> {
    gateway.zip(from).map(|(gateway, from)| ReplyRoute { gateway: gateway.clone(), from: from.clone() })
}

/// A turn as its record says, without texts and steps: those come as records of their own.
pub(super) fn turn(record: &record::Turn) -> StoreResult<Past> {
    let kind =
        [TurnKind::Reply, TurnKind::Record, TurnKind::Answer, TurnKind::Remind].into_iter().find(|kind| kind_word(*kind) == record.kind);
    let request =
        record.request.as_ref().map(|request| serde_json::from_str(request.get())).transpose().map_err(|error| unfit("turn", error))?;
    let Word(state) = record.state;
    let turn = Turn {
        number: record.number,
        id: record.id,
        conversation_id: record.conversation_id,
        kind: kind.ok_or_else(|| unfit("turn", "its kind is none that there is"))?,
        state: if state == TurnState::Open { OpenState::Open } else { OpenState::Begun },
        due: record.due,
        gather_until: record.gather_until,
        last_text_at: record.last_text_at,
        texts: Vec::new(),
        attempts: count(record.attempts),
        starts: count(record.starts),
        answer_until: record.answer_until,
        error: record.error.clone(),
        request: request.unwrap_or_default(),
        route: route(record.route_gateway.as_ref(), record.route_from.as_ref()),
        refusal: record.refusal.map(|Word(refusal)| refusal),
        over_limit: record.over_limit.map(|Word(refusal)| refusal),
        answer: record.answer_id.zip(record.answer.clone()).map(|(id, text)| Answer { id, text }),
        reserved: Credits(record.reserved),
        charge: Credits(record.charge),
        began_conversation: record.began_conversation,
        steps: Vec::new(),
        opened_at: record.opened_at,
    };
    let usage =
        Usage { prompt_tokens: record.prompt_tokens, completion_tokens: record.completion_tokens, total_tokens: record.total_tokens };
    Ok(Past { turn, state, event: record.event, reply: None, usage, texts: record.texts, text_ids: Vec::new() })
}

/// Puts a step into its turn, in place of what has its number; its calls stay.
pub(super) fn put_step(turn: &mut Turn, record: &record::Step) {
    let number = count(record.number);
    let usage =
        Usage { prompt_tokens: record.prompt_tokens, completion_tokens: record.completion_tokens, total_tokens: record.total_tokens };
    let place = turn.steps.partition_point(|step| step.number < number);
    let calls = match turn.steps.get(place) {
        Some(step) if step.number == number => turn.steps.remove(place).calls,
        _ => Vec::new(),
    };
    let step = StepState {
        number,
        said: record.said.clone(),
        shown: record.shown,
        model: record.model.clone(),
        usage,
        charge: Credits(record.charge),
        calls,
        recorded_at: record.recorded_at,
    };
    turn.steps.insert(place, step);
}

/// Puts a call into its step.
pub(super) fn put_call(turn: &mut Turn, record: &record::Call) -> StoreResult<()> {
    let missing = || unfit("call", "it comes before what it belongs to");
    let step = turn.steps.iter_mut().find(|step| step.number == count(record.step)).ok_or_else(missing)?;
    let (id, name, arguments) = (record.id.clone(), record.name.clone(), record.arguments.clone());
    let text = serde_json::to_string(&CallText { id, name, arguments, extra: record.extra.clone() }).map_err(unwritten)?;
    let call = CallState {
        call: JsonText::parse(text).map_err(|error| unfit("call", error))?,
        begun_at: record.begun_at,
        ended_at: record.ended_at,
        failed: record.failed,
        result: record.result.clone(),
    };
    let place = usize::try_from(record.number).unwrap_or(usize::MAX);
    if let Some(there) = step.calls.get_mut(place) {
        *there = call;
    } else if place == step.calls.len() {
        step.calls.push(call);
    } else {
        return Err(missing());
    }
    Ok(())
}

/// Gives a turn its texts.
pub(super) fn put_texts(past: &mut Past, mut texts: Vec<Text>) {
    texts.sort_by_key(|text| text.entry);
    past.text_ids = texts.iter().map(|text| text.id.to_string()).collect();
    if past.state != TurnState::Done {
        past.turn.texts = texts;
    }
}

/// An outgoing message as a record.
pub(super) fn outbound_record(user_id: UserId, number: i64, message: &Outgoing) -> Record {
    Record::Outbound(Box::new(record::Outbound {
        user_id,
        number,
        id: message.id,
        conversation_id: message.conversation_id,
        turn_id: message.turn_id,
        part: message.part.into(),
        phone: message.to.clone(),
        route_gateway: message.route.gateway.clone(),
        route_from: message.route.from.clone(),
        body: message.body.clone(),
        segments: message.segments.into(),
        state: Word(message.state),
        confirmation: message.confirmation,
        due: message.due,
        attempts: message.attempts.into(),
        checks: message.checks.into(),
        expires_at: message.expires_at,
        created_at: message.created_at,
        status: message.status.map(Word),
        gateway_message_id: message.gateway_message_id.clone(),
        attempted_at: message.attempted_at,
        error: message.error.clone(),
    }))
}

/// An outgoing message as its record says.
pub(super) fn outgoing(record: &record::Outbound) -> Outgoing {
    let Word(state) = record.state;
    Outgoing {
        number: record.number,
        id: record.id,
        turn_id: record.turn_id,
        conversation_id: record.conversation_id,
        part: count(record.part),
        to: record.phone.clone(),
        route: ReplyRoute { gateway: record.route_gateway.clone(), from: record.route_from.clone() },
        body: record.body.clone(),
        segments: count(record.segments),
        state,
        confirmation: record.confirmation,
        due: record.due,
        status: record.status.map(|Word(status): Word<DeliveryStatus>| status),
        gateway_message_id: record.gateway_message_id.clone(),
        attempts: count(record.attempts),
        checks: count(record.checks),
        attempted_at: record.attempted_at,
        expires_at: record.expires_at,
        error: record.error.clone(),
        created_at: record.created_at,
    }
}
