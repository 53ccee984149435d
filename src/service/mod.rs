//! Use cases, one file each: what the program does with its ports. No adapter, no wire shape, no command is named here.

pub mod compose;
