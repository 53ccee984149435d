//! Tools that do nothing but remember how often they were called.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use scrubjay::service::tools::{JsonObject, ToolContext, ToolDefinition, ToolHints, ToolOutcome, ToolSet};
use serde_json::{Value, json};
use tokio::sync::watch;

/// A call as it arrived.
pub(super) type Called = (ToolContext, String, JsonObject);

/// `look` only reads; `count` writes; `put` writes too, and says that a repeat changes nothing; `fail` fails; `long` gives much; `hang` never ends.
pub(super) struct FakeSet {
    definitions: Arc<Vec<ToolDefinition>>,
    calls: Mutex<Vec<Called>>,
    counted: Mutex<Vec<i64>>,
    running: AtomicUsize,
    /// How many ran at once, at most.
    most: watch::Sender<usize>,
    /// `look` does not come back before so many calls have run at once.
    together: AtomicUsize,
    dead: AtomicBool,
    /// Effects after which a call does not come back, and those there were.
    stall_after: AtomicUsize,
    effects: watch::Sender<usize>,
}

fn tool(name: &str, hints: ToolHints) -> ToolDefinition {
    let schema = json!({"type": "object", "properties": {"at": {"type": "integer"}, "by": {"type": ["integer", "null"]}}});
    ToolDefinition {
        name: name.to_owned(),
        title: name.to_owned(),
        description: format!("Does {name}."),
        input_schema: Arc::new(schema.as_object().unwrap().clone()),
        output_schema: None,
        hints,
    }
}

impl Default for FakeSet {
    fn default() -> Self {
        let once = ToolHints { idempotent: false, ..ToolHints::ADD };
        let tools = [
            ("look", ToolHints::READ),
            ("count", once),
            ("put", ToolHints::ADD),
            ("fail", once),
            ("long", ToolHints::READ),
            ("hang", once),
        ];
        Self {
            definitions: Arc::new(tools.map(|(name, hints)| tool(name, hints)).into()),
            calls: Mutex::default(),
            counted: Mutex::default(),
            running: AtomicUsize::new(0),
            most: watch::Sender::new(0),
            together: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
            stall_after: AtomicUsize::new(usize::MAX),
            effects: watch::Sender::new(0),
        }
    }
}

impl FakeSet {
    pub(super) fn calls(&self) -> Vec<Called> {
        self.calls.lock().unwrap().clone()
    }

    /// The calls of that tool.
    pub(super) fn made(&self, name: &str) -> usize {
        self.calls().iter().filter(|(_, called, _)| called == name).count()
    }

    /// What `count` has added, in order.
    pub(super) fn counted(&self) -> Vec<i64> {
        self.counted.lock().unwrap().clone()
    }

    pub(super) fn most_at_once(&self) -> usize {
        *self.most.borrow()
    }

    /// From now on `look` waits for others beside it, until once so many calls ran at once. Where they never do, it never comes back.
    pub(super) fn wait_for_company(&self, calls: usize) {
        self.together.store(calls, Ordering::SeqCst);
    }

    pub(super) fn die(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// The call with that number, from 1, has its effect and then does not come back.
    pub(super) fn stall_after(&self, effects: usize) {
        self.stall_after.store(effects, Ordering::SeqCst);
    }

    /// Waits until that call stalls.
    pub(super) async fn stalled(&self) {
        let wanted = self.stall_after.load(Ordering::SeqCst);
        let _ = self.effects.subscribe().wait_for(|effects| *effects >= wanted).await;
        self.stall_after.store(usize::MAX, Ordering::SeqCst);
    }
}

#[async_trait]
impl ToolSet for FakeSet {
    fn name(&self) -> &'static str {
        "fake"
    }

    async fn definitions(&self, _context: &ToolContext) -> Arc<Vec<ToolDefinition>> {
        if self.dead.load(Ordering::SeqCst) { Arc::default() } else { Arc::clone(&self.definitions) }
    }

    async fn call(&self, context: &ToolContext, name: &str, arguments: JsonObject) -> ToolOutcome {
        if self.dead.load(Ordering::SeqCst) {
            return ToolOutcome::error("the server of this tool is gone");
        }
        self.calls.lock().unwrap().push((context.clone(), name.to_owned(), arguments.clone()));
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.send_if_modified(|most| std::mem::replace(most, running.max(*most)) < running);
        if name == "look" {
            let together = self.together.load(Ordering::SeqCst);
            let _ = self.most.subscribe().wait_for(|most| *most >= together).await;
        }
        // Time for one that must not run beside it to be seen.
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        let outcome = match name {
            "look" => ToolOutcome::of(json!({"saw": arguments.get("at")})),
            "count" => {
                let by = arguments.get("by").and_then(Value::as_i64).unwrap_or_default();
                self.counted.lock().unwrap().push(by);
                ToolOutcome::of(json!({"added": by}))
            }
            "put" => ToolOutcome::of(json!({"put": arguments.get("key")})),
            "long" => ToolOutcome::of(json!("é".repeat(2_000))),
            "hang" => std::future::pending().await,
            _ => ToolOutcome::error("it does not work today"),
        };
        let effects = self.calls.lock().unwrap().len();
        self.effects.send_replace(effects);
        if effects == self.stall_after.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        outcome
    }
}
