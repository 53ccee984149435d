//! Ending turns: replies, refusals, fixed answers, and giving a turn back.

use mongodb::bson::Document;

use super::outgoing::Recipient;
use super::words::{JsonText, OpenState, TurnKind};
use super::{Draft, Given, Turn};
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::MessageId;
use crate::domain::ledger::{Credits, Usage};
use crate::domain::message::{Message, Role};
use crate::domain::step::ToolCall;
use crate::domain::turn::{NewReply, Refusal, TurnEnd, TurnLease, TurnState};
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;
use crate::store::{CompletedTurn, NewOutbound, Notice, StoreError, StoreResult, TurnOutcome, TurnRelease};

/// What somebody was told that is remembered; keys hold the day, so older ones are never asked for.
const NOTICES: usize = 100;

/// An entry of ours in a conversation.
struct Entry<'a> {
    id: MessageId,
    text: &'a str,
    endpoint: Option<&'a Endpoint>,
    model: Option<&'a str>,
    tokens: i64,
    unfinished: bool,
    /// Later prompts repeat it: a model's words, or a text that a person planned for themselves.
    recalled: bool,
}

impl<'a> Entry<'a> {
    /// A fixed text, which no model wrote.
    const fn of_ours(id: MessageId, text: &'a str) -> Self {
        Self { id, text, endpoint: None, model: None, tokens: 0, unfinished: false, recalled: false }
    }
}

/// How a turn looks when it is over.
#[derive(Debug, Clone, Default)]
pub(in crate::store::mongodb) struct Ending {
    pub(in crate::store::mongodb) refusal: Option<Refusal>,
    /// Its reply.
    pub(in crate::store::mongodb) reply: Option<MessageId>,
    pub(in crate::store::mongodb) usage: Usage,
    /// A model was asked, and answered.
    pub(in crate::store::mongodb) tried: bool,
}

impl Draft {
    /// The turn of a lease that still holds.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    pub(in crate::store::mongodb) fn held_turn(&self, lease: &TurnLease) -> StoreResult<&Turn> {
        let number = self.state.turn_lane.held(lease.fence)?;
        let turn = self.state.turns.iter().find(|turn| turn.number == number && turn.id == lease.turn_id);
        turn.filter(|turn| turn.state == OpenState::Begun).ok_or(StoreError::LeaseLost)
    }

    /// The same, taken out of the state.
    fn take_held(&mut self, lease: &TurnLease) -> StoreResult<Turn> {
        let number = self.held_turn(lease)?.number;
        self.take_turn(number).ok_or(StoreError::LeaseLost)
    }

    /// Takes a turn out of the state, to be ended or put back.
    pub(in crate::store::mongodb) fn take_turn(&mut self, number: i64) -> Option<Turn> {
        let place = self.state.turns.iter().position(|turn| turn.number == number)?;
        Some(self.state.turns.remove(place))
    }

    /// Puts a turn back where it was.
    pub(in crate::store::mongodb) fn put_back(&mut self, turn: Turn) {
        let place = self.state.turns.iter().position(|other| other.number > turn.number).unwrap_or(self.state.turns.len());
        self.state.turns.insert(place, turn);
    }

    /// Ends a turn whose lease holds.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    pub(in crate::store::mongodb) fn complete(&mut self, lease: &TurnLease, outcome: &TurnOutcome) -> StoreResult<CompletedTurn> {
        let mut turn = self.take_held(lease)?;
        let (end, outgoing) = match outcome {
            TurnOutcome::Answered { reply, outgoing, charge } => {
                let end = self.answer(&mut turn, reply, *charge)?;
                let sent = self.send(&turn, outgoing);
                let ending = Ending { refusal: None, reply: Some(reply.message_id), usage: reply.usage, tried: true };
                self.finish(turn, &ending);
                (end, sent)
            }
            TurnOutcome::Refused { reason, notice } => {
                self.settle_unanswered(&mut turn);
                let (reply, told) = match notice {
                    Some(notice) => self.tell_once(&turn, notice)?,
                    None => (None, 0),
                };
                self.finish(turn, &Ending { refusal: Some(*reason), reply, ..Ending::default() });
                (TurnEnd::Refused(*reason), told)
            }
        };
        self.free_turns();
        Ok(CompletedTurn { end, outgoing })
    }

    fn answer(&mut self, turn: &mut Turn, reply: &NewReply, charge: Credits) -> StoreResult<TurnEnd> {
        let entry = Entry {
            id: reply.message_id,
            text: &reply.text,
            endpoint: Some(&reply.endpoint),
            model: Some(&reply.model),
            tokens: reply.usage.completion_tokens,
            unfinished: reply.unfinished,
            recalled: true,
        };
        self.add_entry(turn, &entry)?;
        for text in &turn.texts {
            let (key, set) = shapes::message_endpoint(self.user_id, text.id, &reply.endpoint);
            self.change(Place::Messages, key, set);
        }
        self.settle(turn, charge);
        Ok(TurnEnd::Answered(Some(reply.stored())))
    }

    /// Adds an entry of ours behind the last one of the turn's conversation.
    fn add_entry(&mut self, turn: &Turn, entry: &Entry<'_>) -> StoreResult<()> {
        let (user_id, now) = (self.user_id, self.now);
        let thread = self.state.thread_mut(turn.conversation_id).ok_or(StoreError::NotFound { what: "the conversation" })?;
        thread.last_sequence += 1;
        thread.last_entry += 1;
        let message = Message {
            id: entry.id,
            conversation_id: turn.conversation_id,
            user_id,
            turn_id: turn.id,
            sequence: Some(thread.last_sequence),
            parent_id: Some(thread.last_id.unwrap_or(MessageId::ROOT)),
            role: Role::Assistant,
            text: entry.text.to_owned(),
            attachments: Vec::new(),
            endpoint: entry.endpoint.cloned(),
            model: entry.model.map(str::to_owned),
            token_count: entry.tokens,
            unfinished: entry.unfinished,
            error: false,
            created_at: now,
            updated_at: now,
        };
        let place = shapes::Place { slot: thread.last_slot, entry: thread.last_entry, recalled: entry.recalled, received_at: now };
        thread.last_id = Some(entry.id);
        thread.endpoint = entry.endpoint.cloned().or(thread.endpoint.take());
        thread.model = entry.model.map(str::to_owned).or(thread.model.take());
        thread.touch(now);
        self.put_message(&message, &place);
        self.show_thread(turn.conversation_id);
        Ok(())
    }

    /// Ends a turn and gives it the person's next event number.
    pub(in crate::store::mongodb) fn finish(&mut self, mut turn: Turn, ending: &Ending) {
        self.state.latest_event += 1;
        turn.due = self.now;
        turn.error = None;
        turn.refusal = ending.refusal;
        turn.reserved = Credits::ZERO;
        turn.answer = None;
        turn.attempts += u32::from(ending.tried);
        // What its tools read and wrote rests where they put it, and is forgotten there: no copy of it stays here.
        for step in &mut turn.steps {
            // What was shown of it stands in the reply.
            step.said.clear();
            for call in &mut step.calls {
                let ToolCall { id, name, .. } = call.call.get().clone();
                call.call = JsonText::of(ToolCall { id, name, arguments: String::new(), extra: None });
                call.result = Some(String::new());
            }
        }
        let (key, insert) = shapes::turn_document(self.user_id, &turn, TurnState::Done, Some(self.state.latest_event), ending);
        self.put_new(Place::Turns, key, Document::new(), insert);
    }

    /// Ends a turn whose end was known when it was made.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the conversation is not among the state's.
    pub(in crate::store::mongodb) fn end_without_model(&mut self, mut turn: Turn) -> StoreResult<()> {
        if turn.state == OpenState::Open {
            self.begin(&mut turn)?;
        }
        let mut ending = Ending { refusal: turn.refusal, ..Ending::default() };
        if let Some(answer) = turn.answer.take() {
            let entry = Entry { recalled: turn.kind == TurnKind::Remind, ..Entry::of_ours(answer.id, &answer.text) };
            self.add_entry(&turn, &entry)?;
            ending.reply = Some(answer.id);
        }
        self.finish(turn, &ending);
        Ok(())
    }

    /// Ends a turn that an operator, or a block, ends: nothing is answered.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] when the conversation is not among the state's.
    pub(in crate::store::mongodb) fn discard_turn(&mut self, mut turn: Turn) -> StoreResult<()> {
        self.settle_unanswered(&mut turn);
        turn.answer = None;
        turn.refusal = Some(Refusal::Discarded);
        self.end_without_model(turn)
    }

    /// Adds what is to be sent, unless there is no way back or the person opted out meanwhile. Returns how many.
    fn send(&mut self, turn: &Turn, outgoing: &[NewOutbound]) -> usize {
        let Some(route) = turn.route.as_ref().filter(|_route| !outgoing.is_empty() && !self.state.opted_out()) else {
            return 0;
        };
        let Some(phone) = self.state.person.phone.clone() else { return 0 };
        let to = Recipient { phone: &phone, conversation_id: turn.conversation_id, turn_id: turn.id, route, confirmation: false };
        self.add_outgoing(&to, outgoing);
        outgoing.len()
    }

    /// Tells a person something unless they were told; returns where it stands and how many messages leave for it.
    fn tell_once(&mut self, turn: &Turn, notice: &Notice) -> StoreResult<(Option<MessageId>, usize)> {
        if self.state.notices.iter().any(|given| given.key == notice.key) {
            return Ok((None, 0));
        }
        self.state.notices.push(Given { key: notice.key.clone(), at: self.now });
        if self.state.notices.len() > NOTICES {
            self.state.notices.remove(0);
        }
        self.add_entry(turn, &Entry::of_ours(notice.message_id, &notice.text))?;
        Ok((Some(notice.message_id), self.send(turn, &notice.outgoing)))
    }

    /// Gives a turn back without an end.
    ///
    /// # Errors
    /// [`StoreError::LeaseLost`].
    pub(in crate::store::mongodb) fn release_turn(&mut self, lease: &TurnLease, release: &TurnRelease) -> StoreResult<()> {
        let mut turn = self.take_held(lease)?;
        self.settle_unanswered(&mut turn);
        // Given back, so this lease is none of those that ended without a word.
        turn.starts = turn.starts.saturating_sub(1);
        match release {
            TurnRelease::Retry { due, error } => {
                turn.due = *due;
                turn.error = Some(error.clone());
                turn.attempts += 1;
                self.put_back(turn);
            }
            TurnRelease::Dead { error } => {
                turn.due = self.now;
                turn.error = Some(error.clone());
                turn.attempts += 1;
                let (key, insert) = shapes::turn_document(self.user_id, &turn, TurnState::Dead, None, &Ending::default());
                self.put_new(Place::Turns, key, Document::new(), insert);
            }
            TurnRelease::Unchanged => {
                turn.due = turn.due.min(self.now);
                self.put_back(turn);
            }
        }
        self.free_turns();
        Ok(())
    }
}
