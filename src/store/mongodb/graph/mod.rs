//! Knowledge graphs. A graph is read whole and kept in memory with its revision, which a person's head holds: while the head says the
//! same revision, what is kept is what is stored, whichever process wrote it. Reading it part by part, searching and changing it are
//! then plain functions over [`held`].
//!
//! [`mod@write`] adds, [`delete`] takes away, [`read`] opens and lists, [`search`] finds, [`recall`] finds what a text is about,
//! [`near`] finds names that look like another; [`documents`] is how a graph lies in its collection.

mod delete;
pub(super) mod documents;
mod held;
mod near;
mod port;
mod read;
mod recall;
mod related;
mod search;
mod shelf;
mod write;

pub(super) use shelf::Shelf;

/// A number of things in memory.
fn count(things: usize) -> i64 {
    i64::try_from(things).unwrap_or(i64::MAX)
}
