//! Servers over HTTP: our own, and one that misbehaves.
