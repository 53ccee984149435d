//! Texts as messages of the outbox.

use super::compose::compose;
use crate::clock::Clock;
use crate::config::sections::Sms;
use crate::domain::segment::Part;
use crate::domain::time::Timestamp;
use crate::store::NewOutbound;

/// A reply as messages: those to be sent now, then those kept back for `MORE`.
pub(super) fn outgoing(text: &str, sms: &Sms, clock: &Clock, expires_at: Timestamp) -> Vec<NewOutbound> {
    let composed = compose(text, sms);
    let new = |part: Part, held: bool| NewOutbound {
        id: clock.outbound_id(),
        segments: u32::try_from(part.segments).unwrap_or(u32::MAX),
        body: part.body,
        held,
        expires_at,
    };
    let held = composed.held.into_iter().map(|part| new(part, true));
    composed.send.into_iter().map(|part| new(part, false)).chain(held).collect()
}
