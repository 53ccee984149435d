//! What every command begins with: the configuration, the log, a runtime.

use super::GlobalArgs;

/// What a command can ask for.
#[derive(Debug)]
pub(crate) struct Context {
    global: GlobalArgs,
}

impl Context {
    /// With these flags above every layer.
    pub(crate) fn new(global: GlobalArgs) -> Self {
        Self { global }
    }
}
