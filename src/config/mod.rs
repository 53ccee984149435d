//! Settings: typed, with a source for each value.
//!
//! [`sections`] says what there is; the layers and their provenance are read beside it. Nothing outside this module reads
//! the environment or a file of settings.

pub mod sections;

pub use sections::Config;
