//! The external message API: one request holds a person's message, one answer the reply to it.

mod answer;
mod fields;
mod parse;
mod post;
mod wait;

pub(super) use answer::{Answered, Ids, event, sse};
pub(super) use fields::{Characters, Fields};
pub(super) use post::{post, post_unaddressed};
