//! Rows as portable records, and records as rows.
//!
//! [`tables`] says which table holds a kind and what its columns are in a record; everything else follows from that: there is no
//! SQL a kind. A column that no table here names fails a test.

mod port;
mod put;
mod read;
mod shape;
mod snapshot;
mod statements;
mod tables;
#[cfg(test)]
mod tests;
mod watch;

pub(super) use self::port::being_restored;
pub(in crate::store) use self::port::refresh;
pub(in crate::store) use self::put::{Numbers, delete, put};
pub(in crate::store) use self::snapshot::of_kinds;
pub(in crate::store) use self::watch::{Noticed, noticed, watch};
