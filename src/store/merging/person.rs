//! Account, figures, credits, and what somebody was told.

use std::collections::BTreeMap;

use crate::domain::ids::UserId;
use crate::domain::time::Timestamp;
use crate::store::record::{Activity, Notice, Person, Record};

/// The account that remains: its own, with what it lacks from the other.
pub(super) fn person(from: &Person, into: &Person) -> Person {
    let mut person = into.clone();
    person.phone = person.phone.or_else(|| from.phone.clone());
    // Where and with what somebody is answered is one choice: a model of the one would not suit the endpoint of the other.
    if person.preferred_endpoint.is_none() && person.preferred_model.is_none() && person.preferred_agent.is_none() {
        person.preferred_endpoint.clone_from(&from.preferred_endpoint);
        person.preferred_model.clone_from(&from.preferred_model);
        person.preferred_agent.clone_from(&from.preferred_agent);
    }
    person.time_zone = person.time_zone.or_else(|| from.time_zone.clone());
    person.quiet_hours = person.quiet_hours.or_else(|| from.quiet_hours.clone());
    if person.caller_metadata.get() == "{}" {
        person.caller_metadata = from.caller_metadata.clone();
    }
    person.blocked |= from.blocked;
    person.first_contact = person.first_contact.min(from.first_contact);
    person.updated_at = person.updated_at.max(from.updated_at);
    person
}

/// The figures of both. Turns that the other finished get numbers behind those of the remaining account, see [`Activity::latest_event`].
pub(super) fn activity(user: UserId, from: Option<&Activity>, into: Option<&Activity>) -> Option<Activity> {
    let (from, into) = match (from, into) {
        (Some(from), Some(into)) => (from, into),
        (Some(one), None) | (None, Some(one)) => return Some(Activity { user_id: user, ..one.clone() }),
        (None, None) => return None,
    };
    let mut activity = into.clone();
    activity.last_sms = into.last_sms.max(from.last_sms);
    activity.message_count = into.message_count.saturating_add(from.message_count);
    activity.latest_event = into.latest_event.saturating_add(from.latest_event);
    activity.balance = match (from.balance, into.balance) {
        (Some(one), Some(other)) => Some(one.saturating_add(other)),
        (one, other) => one.or(other),
    };
    // The next refill is of both, so it comes when the later of the two would have come.
    activity.refilled_at = into.refilled_at.max(from.refilled_at);
    match from.turns_day.cmp(&into.turns_day) {
        std::cmp::Ordering::Less => {}
        std::cmp::Ordering::Equal => activity.turns_today = into.turns_today.saturating_add(from.turns_today),
        std::cmp::Ordering::Greater => {
            activity.turns_day.clone_from(&from.turns_day);
            activity.turns_today = from.turns_today;
        }
    }
    if activity.route_gateway.is_none() {
        activity.route_gateway.clone_from(&from.route_gateway);
        activity.route_from.clone_from(&from.route_from);
    }
    Some(activity)
}

/// What either was told, when they were told it last; those that are new or newer.
pub(super) fn notices(user: UserId, from: &[Notice], into: &[Notice]) -> Vec<Record> {
    let known: BTreeMap<&str, Timestamp> = into.iter().map(|notice| (notice.key.as_str(), notice.given_at)).collect();
    let is_newer = |notice: &&Notice| known.get(notice.key.as_str()).is_none_or(|given_at| *given_at < notice.given_at);
    from.iter().filter(is_newer).map(|notice| Record::Notice(Box::new(Notice { user_id: user, ..notice.clone() }))).collect()
}

/// What the remaining person's number says then on being texted, where that is something else than it says now: an opt-out of either
/// holds, and no earlier word that is found late undoes it.
pub(in crate::store) fn more_careful(from: Option<(bool, Timestamp)>, into: Option<(bool, Timestamp)>) -> Option<(bool, Timestamp)> {
    match (from, into) {
        (Some((true, _)), Some((true, _))) => None,
        (Some((true, said_at)), into) => Some((true, into.map_or(said_at, |(_, other)| said_at.max(other)))),
        _ => None,
    }
}
