//! What stands between a store and its MongoDB server: counts the commands that pass, and breaks the line where a test says so.
//!
//! Each message of the protocol begins with its length; a command is the first field of its first document. Nothing else is
//! looked at, so this works with any server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mongodb::bson::Document;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

/// Where the line breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Break {
    /// The command never arrives.
    Before(&'static str),
    /// The command is done, and its answer is lost.
    After(&'static str),
}

#[derive(Default)]
struct Seen {
    commands: BTreeMap<String, u32>,
    breaks: Option<Break>,
    holds: Option<(&'static str, Held)>,
}

/// A command that was done, and whose answer is on its way for as long as a test wants.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    is_done: Arc<Notify>,
    loses: Arc<Notify>,
}

impl Held {
    /// Waits until the command is done.
    pub(crate) async fn is_done(&self) {
        self.is_done.notified().await;
    }

    /// The answer is lost now, and the line with it.
    pub(crate) fn lose(&self) {
        self.loses.notify_one();
    }
}

/// A line to a server.
pub(crate) struct Wire {
    /// What a store connects to.
    pub(crate) uri: String,
    seen: Arc<Mutex<Seen>>,
    cut: Arc<watch::Sender<bool>>,
}

/// What a driver says by itself.
const CHATTER: [&str; 5] = ["hello", "isMaster", "ismaster", "ping", "endSessions"];

impl Wire {
    /// A line to the server of that connection string, which names one host.
    pub(crate) async fn to(uri: &str) -> Self {
        Self::with(uri, false).await
    }

    /// The same, by which the server looks like a 7.0, which takes the writes of one collection at a time.
    pub(crate) async fn to_older(uri: &str) -> Self {
        Self::with(uri, true).await
    }

    async fn with(uri: &str, older: bool) -> Self {
        let host = uri.strip_prefix("mongodb://").unwrap().split(['/', '?']).next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let cut = Arc::new(watch::Sender::new(false));
        let cuts = Arc::clone(&cut);
        tokio::spawn(async move {
            while let Ok((near, _address)) = listener.accept().await {
                let (host, seen, mut cuts) = (host.clone(), Arc::clone(&shared), cuts.subscribe());
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(&host).await else { return };
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let (from_near, to_near) = near.into_split();
                    let (from_far, to_far) = far.into_split();
                    let (breaking, holding) = (Notify::new(), Mutex::new(None));
                    tokio::select! {
                        () = forward(from_near, to_far, &seen, &breaking, &holding) => {}
                        () = back(from_far, to_near, &breaking, &holding, older) => {}
                        _ = cuts.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Self { uri: format!("mongodb://{address}/?directConnection=true"), seen, cut }
    }

    /// From now on the line breaks there.
    pub(crate) fn break_at(&self, at: Break) {
        self.seen.lock().unwrap().breaks = Some(at);
    }

    /// Keeps back the answer to the next such command.
    pub(crate) fn hold(&self, command: &'static str) -> Held {
        let held = Held::default();
        self.seen.lock().unwrap().holds = Some((command, held.clone()));
        held
    }

    /// It no longer breaks.
    pub(crate) fn mend(&self) {
        self.seen.lock().unwrap().breaks = None;
    }

    /// Cuts every line, also those on which an answer is awaited, and each that is laid anew, until it is called with false.
    pub(crate) fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }

    /// What passed since the last time this was asked.
    pub(crate) fn take_commands(&self) -> BTreeMap<String, u32> {
        std::mem::take(&mut self.seen.lock().unwrap().commands)
    }
}

async fn message(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length).await.ok()?;
    let size = usize::try_from(u32::from_le_bytes(length)).ok()?;
    let mut whole = length.to_vec();
    whole.resize(size, 0);
    from.read_exact(whole.get_mut(4..)?).await.ok()?;
    Some(whole)
}

/// Where processes say, now and then, that they live: no unit does that, so nobody counts on it.
const PULSE: [&str; 2] = ["_processes", "_meta"];

/// The command of a message: behind the header, the flags and the kind of the first section.
fn command(message: &[u8]) -> Option<String> {
    const OP_MSG: i32 = 2013;
    let opcode = i32::from_le_bytes(message.get(12..16)?.try_into().ok()?);
    if opcode != OP_MSG {
        return None;
    }
    let document = Document::from_reader(message.get(21..)?).ok()?;
    let (name, of) = document.iter().next()?;
    let is_pulse = of.as_str().is_some_and(|collection| PULSE.iter().any(|ending| collection.ends_with(ending)));
    (!is_pulse).then(|| name.clone())
}

async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, seen: &Mutex<Seen>, breaking: &Notify, holding: &Mutex<Option<Held>>) {
    while let Some(message) = message(&mut from).await {
        if let Some(name) = command(&message) {
            let mut seen = seen.lock().unwrap();
            if !CHATTER.contains(&name.as_str()) {
                *seen.commands.entry(name.clone()).or_default() += 1;
            }
            if let Some((_name, held)) = seen.holds.take_if(|(held, _rest)| *held == name) {
                *holding.lock().unwrap() = Some(held);
            }
            match &seen.breaks {
                Some(Break::Before(at)) if *at == name => return,
                Some(Break::After(at)) if *at == name => breaking.notify_one(),
                _ => {}
            }
        }
        if to.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// Writes into a server's greeting that it is a 7.0.
fn make_older(message: &mut [u8]) {
    const NAME: &[u8] = b"\x10maxWireVersion\0";
    const WIRE_OF_7_0: [u8; 4] = 21_i32.to_le_bytes();
    if let Some(at) = message.windows(NAME.len()).position(|bytes| bytes == NAME) {
        message[at + NAME.len()..][..4].copy_from_slice(&WIRE_OF_7_0);
    }
}

async fn back(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, breaking: &Notify, holding: &Mutex<Option<Held>>, older: bool) {
    while let Some(mut message) = message(&mut from).await {
        if older {
            make_older(&mut message);
        }
        let held = holding.lock().unwrap().take();
        if let Some(held) = held {
            held.is_done.notify_one();
            held.loses.notified().await;
            return;
        }
        // The command that this answers was the last one on this line, so what was noted is about it.
        let lost = tokio::time::timeout(std::time::Duration::ZERO, breaking.notified()).await.is_ok();
        if lost || to.write_all(&message).await.is_err() {
            return;
        }
    }
}
