//! Taking in a message: where it belongs, its turn, and what it sets off.

use mongodb::bson::Document;

use super::outgoing::Recipient;
use super::thread::Thread;
use super::words::{JsonText, OpenState, TurnKind};
use super::{Answer, Draft, Given, Text, Turn};
use crate::domain::conversation::Choice;
use crate::domain::delivery::OutboundState;
use crate::domain::ids::{ConversationId, TurnId};
use crate::domain::ledger::Credits;
use crate::domain::message::{CALLER_METADATA_BYTES, CallerMetadata};
use crate::domain::turn::Refusal;
use crate::store::mongodb::names::Place;
use crate::store::mongodb::shapes;
use crate::store::mongodb::state::consent::Said;
use crate::store::{Accepted, Action, ConversationTarget, Debounce, Door, Effect, FixedAnswer, NewInbound, Receipt};

/// The longest text that a head keeps; a longer one stands with the messages and is read when its turn begins.
pub(in crate::store::mongodb) const TEXT_IN_HEAD: usize = 128 * 1024;

/// What became of a message so far.
#[derive(Debug)]
pub(in crate::store::mongodb) enum Placed {
    /// That was all: nothing is stored, or no more than a word.
    Over(Accepted),
    /// It has its turn; [`Draft::take_effect`] comes next, with what its action is then.
    Stored(Receipt, Box<Action>),
}

/// The key of a receipt, of the door and what it knows a message by; a gateway's name cannot be taken for the API.
pub(in crate::store::mongodb) fn receipt_key(door: &Door) -> Option<String> {
    match door {
        Door::Gateway { name, message_id } => Some(format!("gateway/{name}\n{message_id}")),
        Door::Api { repeat: Some(repeat) } => Some(format!("api\n{}", repeat.key)),
        Door::Api { repeat: None } => None,
    }
}

impl Draft {
    /// Gives a message its conversation and its turn. The conversation that it names is among the state's, if it is theirs.
    pub(in crate::store::mongodb) fn place(&mut self, new: &NewInbound, is_new_user: bool) -> Placed {
        if self.state.person.blocked {
            if let Action::Consent { consent, said_at, .. } = &new.action {
                self.record_word(&new.phone, *consent, *said_at);
            }
            return Placed::Over(Accepted::Blocked { user_id: self.user_id });
        }
        let through_gateway = matches!(new.door, Door::Gateway { .. });
        let action = match &new.action {
            consent @ Action::Consent { .. } => consent.clone(),
            _ if self.state.opted_out() && through_gateway => Action::Record { reason: Refusal::OptedOut },
            action => action.clone(),
        };
        let Some(conversation_id) = self.continue_conversation(new) else {
            return Placed::Over(Accepted::UnknownConversation);
        };
        let turn_id = self.place_in_turn(new, conversation_id, &action);
        let receipt = Receipt { user_id: self.user_id, is_new_user, conversation_id, message_id: new.message_id, turn_id };
        self.add_receipt(&new.door, &receipt);
        self.state.last_sms = self.now;
        self.state.message_count += 1;
        // What comes later of itself goes where the person last texted from.
        if let Some(route) = new.route.as_ref().filter(|_route| through_gateway) {
            self.state.route = Some(route.clone());
        }
        self.keep_metadata(&new.caller_metadata);
        self.show_person();
        Placed::Stored(receipt, Box::new(action))
    }

    /// The conversation that a message belongs to, with one message more; `None` when one was named that is not the sender's.
    fn continue_conversation(&mut self, new: &NewInbound) -> Option<ConversationId> {
        let now = self.now;
        let continued = match &new.conversation {
            ConversationTarget::ByPhone { not_before } => self.state.newest_thread(&new.source, *not_before).map(|thread| thread.id),
            ConversationTarget::Exactly(id) => Some(self.state.thread(*id)?.id),
        };
        let Some(id) = continued else {
            let title = new.title.clone().unwrap_or_else(|| format!("SMS Chat {}", new.phone.as_str()));
            let mut thread = Thread::new(new.new_conversation_id, title, new.source.clone(), Some(new.phone.clone()), now);
            thread.message_count = 1;
            thread.choice = new.request.choice.clone();
            self.add_thread(thread);
            return Some(new.new_conversation_id);
        };
        if let Some(thread) = self.state.thread_mut(id) {
            thread.touch(now);
            // An explicit choice is kept for later turns.
            let Choice { endpoint, model, agent_id } = new.request.choice.clone();
            thread.choice.endpoint = endpoint.or(thread.choice.endpoint.take());
            thread.choice.model = model.or(thread.choice.model.take());
            thread.choice.agent_id = agent_id.or(thread.choice.agent_id.take());
        }
        self.show_thread(id);
        Some(id)
    }

    /// Puts a message into its turn; returns the turn's id.
    fn place_in_turn(&mut self, new: &NewInbound, conversation: ConversationId, action: &Action) -> TurnId {
        let debounce = match action {
            Action::Reply { debounce } => *debounce,
            _ => None,
        };
        let now = self.now;
        match debounce {
            Some(debounce) => {
                if let Some(turn_id) = self.join_turn(new, conversation, debounce) {
                    return turn_id;
                }
            }
            None => self.end_gathering(),
        }
        let later = |millis: i64| super::Timestamp::from_millis(now.as_millis().saturating_add(millis));
        let until = debounce.map(|debounce| later(debounce.max_millis));
        let due = debounce.map_or(now, |debounce| later(debounce.wait_millis));
        let (kind, refusal) = match action {
            Action::Reply { .. } => (TurnKind::Reply, None),
            Action::Record { reason } => (TurnKind::Record, Some(*reason)),
            Action::Consent { .. } => (TurnKind::Record, None),
            Action::Answer { .. } => (TurnKind::Answer, None),
        };
        let number = self.next_number();
        let turn = Turn {
            due: due.min(until.unwrap_or(due)),
            gather_until: until,
            request: new.request.clone(),
            route: new.route.clone(),
            refusal,
            ..Turn::new(number, new.turn_id, conversation, kind, now)
        };
        self.state.turns.push(turn);
        self.add_text(number, new, matches!(action, Action::Reply { .. }));
        self.refresh_turns();
        new.turn_id
    }

    /// Adds the text to the person's last turn, where that still gathers, is of the same conversation and goes back the same
    /// way. Only the last: a text that joined an earlier one would overtake what came between.
    fn join_turn(&mut self, new: &NewInbound, conversation: ConversationId, debounce: Debounce) -> Option<TurnId> {
        let now = self.now;
        let last = self.state.turns.iter_mut().max_by_key(|turn| turn.number)?;
        let until = last.gather_until?;
        let same = last.conversation_id == conversation && last.route == new.route && last.request == new.request;
        let gathers = last.kind == TurnKind::Reply && last.state == OpenState::Open;
        let wait = |from: super::Timestamp| super::Timestamp::from_millis(from.as_millis().saturating_add(debounce.wait_millis));
        let in_time = now <= until && now <= wait(last.last_text_at);
        if !(same && gathers && in_time) {
            return None;
        }
        last.last_text_at = now;
        last.due = wait(now).min(until);
        let (number, id) = (last.number, last.id);
        self.add_text(number, new, true);
        self.refresh_turns();
        Some(id)
    }

    /// What still gathers is due now, so that what comes next never waits for it.
    fn end_gathering(&mut self) {
        let now = self.now;
        for turn in self.state.turns.iter_mut().filter(|turn| turn.state == OpenState::Open && turn.gather_until.is_some()) {
            turn.due = turn.due.min(now);
            turn.gather_until = None;
        }
    }

    /// Adds a message to its turn, and to what the person's conversations show.
    fn add_text(&mut self, number: i64, new: &NewInbound, recalled: bool) {
        let (user_id, now) = (self.user_id, self.now);
        let Some(turn) = self.turn_mut(number) else { return };
        let entry = i64::try_from(turn.texts.len()).unwrap_or(i64::MAX);
        let mut text = Text {
            id: new.message_id,
            text: Some(new.text.clone()),
            attachments: new.attachments.clone(),
            token_count: new.token_count,
            entry,
            recalled,
            sequence: None,
            parent: None,
            received_at: new.received_at,
            created_at: now,
            updated_at: now,
        };
        let place = shapes::Place { slot: number, entry, recalled, received_at: new.received_at };
        let message = text.message(user_id, turn, None);
        if new.text.len() > TEXT_IN_HEAD {
            text.text = None;
        }
        turn.texts.push(text);
        self.put_message(&message, &place);
    }

    fn add_receipt(&mut self, door: &Door, receipt: &Receipt) {
        let Some(key) = receipt_key(door) else { return };
        let fingerprint = match door {
            Door::Api { repeat: Some(repeat) } => Some(repeat.fingerprint),
            _ => None,
        };
        let (id, insert) = shapes::receipt_document(&key, receipt, fingerprint, self.now);
        self.put_new(Place::Receipts, id, Document::new(), insert);
        self.state.receipts.push(Given { key, at: self.now });
    }

    /// The newest value of each key, within the bound.
    fn keep_metadata(&mut self, sent: &CallerMetadata) {
        if sent.is_empty() {
            return;
        }
        let stored = self.state.person.caller_metadata.get();
        let merged = merge_metadata(sent, stored);
        if merged != *stored {
            self.state.person.caller_metadata = JsonText::of(merged);
            self.state.person.updated_at = self.now;
        }
    }

    /// What the action asks for besides being recorded. `changed` says whether a change that it asks for was made.
    pub(in crate::store::mongodb) fn take_effect(&mut self, new: &NewInbound, action: &Action, receipt: &Receipt, changed: bool) {
        let (outgoing, confirmation) = match action {
            Action::Reply { .. } | Action::Record { .. } => return,
            Action::Consent { consent, said_at, confirmation } => match self.record_word(&new.phone, *consent, *said_at) {
                Said::Changed => (confirmation.as_slice(), true),
                Said::Unchanged => return,
            },
            Action::Answer { text, reply_id, outgoing, effect } => {
                if self.release_held(effect, receipt) {
                    return;
                }
                let (text, outgoing) = match effect {
                    Effect::Change { otherwise: FixedAnswer { text, outgoing }, .. } if !changed => (text, outgoing),
                    _ => (text, outgoing),
                };
                let answer = Answer { id: *reply_id, text: text.clone() };
                if let Some(turn) = self.state.turns.iter_mut().find(|turn| turn.id == receipt.turn_id) {
                    turn.answer = Some(answer);
                }
                if *effect == Effect::NewConversation {
                    if let Some(thread) = self.state.thread_mut(receipt.conversation_id) {
                        thread.closed = true;
                    }
                    self.show_thread(receipt.conversation_id);
                }
                (outgoing.as_slice(), false)
            }
        };
        let Some(route) = &new.route else { return };
        let to = Recipient { phone: &new.phone, conversation_id: receipt.conversation_id, turn_id: receipt.turn_id, route, confirmation };
        self.add_outgoing(&to, outgoing);
    }

    /// Lets kept-back parts go; false when the effect is another or there were none.
    fn release_held(&mut self, effect: &Effect, receipt: &Receipt) -> bool {
        let Effect::ReleaseHeld { parts, expires_at, segment_price } = effect else { return false };
        let now = self.now;
        let mut segments: i64 = 0;
        let mut released = 0;
        let held = self.state.outgoing.iter_mut().filter(|message| message.state == OutboundState::Held);
        for message in held.take(usize::try_from(*parts).unwrap_or(usize::MAX)) {
            message.state = OutboundState::Ready;
            message.due = now;
            message.expires_at = *expires_at;
            segments = segments.saturating_add(i64::from(message.segments));
            released += 1;
        }
        if released == 0 {
            return false;
        }
        let charge = Credits(segment_price.0.saturating_mul(segments));
        if self.charge(charge)
            && let Some(turn) = self.state.turns.iter_mut().find(|turn| turn.id == receipt.turn_id)
        {
            turn.charge = charge;
        }
        self.refresh_deliveries();
        true
    }
}

/// What was just sent first, then what was there, in the order of the keys, within the bound.
fn merge_metadata(sent: &CallerMetadata, stored: &CallerMetadata) -> CallerMetadata {
    let older = stored.iter().filter(|(key, _value)| !sent.contains_key(*key));
    let mut merged = CallerMetadata::new();
    // The two braces.
    let mut bytes = 2;
    for (key, value) in sent.iter().chain(older) {
        // Quotes and escapes of the key as JSON writes them, the colon and a comma.
        let size = serde_json::Value::String(key.clone()).to_string().len() + value.to_string().len() + 2;
        if bytes + size <= CALLER_METADATA_BYTES {
            bytes += size;
            merged.insert(key.clone(), value.clone());
        }
    }
    merged
}
