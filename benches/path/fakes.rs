//! An instant model and an instant carrier, written to the socket: they share two cores with what is measured, so they
//! must cost next to nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::connection::{find, header};

/// Tokens of each answer.
const TOKENS: usize = 20;
/// What the answer's first token says; a client that sees it has the first token.
pub(crate) const FIRST_TOKEN: &str = "alpha";

/// Controls of the fake model.
#[derive(Default)]
pub(crate) struct Controls {
    /// Pause after the first token, in milliseconds; 0 sends the whole answer at once.
    pub(crate) pause_ms: AtomicU64,
    /// Requests answered.
    pub(crate) answered: AtomicUsize,
    /// Requests begun.
    pub(crate) begun: AtomicUsize,
    stalled: AtomicBool,
    released: watch::Sender<()>,
}

impl Controls {
    /// Lets further requests wait until [`Controls::release`].
    pub(crate) fn stall(&self) {
        self.stalled.store(true, Ordering::SeqCst);
    }

    /// Answers everything again.
    pub(crate) fn release(&self) {
        self.stalled.store(false, Ordering::SeqCst);
        self.released.send_replace(());
    }
}

struct Canned {
    whole: Vec<u8>,
    head: Vec<u8>,
    first: Vec<u8>,
    rest: Vec<u8>,
    carrier: (String, String),
}

fn event(delta: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench-model\",\
         \"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":{finish}}}]}}\n\n"
    )
}

fn canned() -> Canned {
    let words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet"];
    let mut events = vec![event("{\"role\":\"assistant\",\"content\":\"\"}", "null")];
    for index in 0..TOKENS {
        let blank = if index == 0 { "" } else { " " };
        let word = words[index % words.len()];
        events.push(event(&format!("{{\"content\":\"{blank}{word}\"}}"), "null"));
    }
    events.push(event("{}", "\"stop\""));
    events.push(format!(
        "data: {{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench-model\",\
         \"choices\":[],\"usage\":{{\"prompt_tokens\":10,\"completion_tokens\":{TOKENS},\"total_tokens\":{}}}}}\n\ndata: [DONE]\n\n",
        TOKENS + 10
    ));
    let body = events.concat();
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let mut rest = chunk(&events[2..].concat());
    rest.push_str("0\r\n\r\n");
    Canned {
        whole: format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes(),
        head: b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        first: chunk(&events[..2].concat()).into_bytes(),
        rest: rest.into_bytes(),
        carrier: (
            "{\"account_sid\":\"AC\",\"body\":\"\",\"date_created\":\"Sun, 22 Nov 2026 12:00:00 +0000\",\"date_sent\":null,\
             \"direction\":\"outbound-api\",\"error_code\":null,\"error_message\":null,\"num_segments\":\"1\",\"status\":\"queued\",\"sid\":\"SM"
                .to_owned(),
            "\"}".to_owned(),
        ),
    }
}

/// Starts both on one free port, in a runtime thread of their own, until the process ends.
pub(crate) fn start() -> (SocketAddr, Arc<Controls>) {
    let controls = Arc::new(Controls::default());
    let shared = Arc::clone(&controls);
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            tell.send(listener.local_addr().expect("an address")).expect("somebody waits");
            let canned = Arc::new(canned());
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                stream.set_nodelay(true).ok();
                let (canned, controls) = (Arc::clone(&canned), Arc::clone(&shared));
                tokio::spawn(async move { serve(stream, &canned, &controls).await });
            }
        });
    });
    (told.recv().expect("the fakes started"), controls)
}

/// Serves one connection until its client leaves.
async fn serve(mut stream: TcpStream, canned: &Canned, controls: &Controls) -> Option<()> {
    let mut buffer = Vec::with_capacity(16384);
    let mut sid = 0_u64;
    loop {
        let end = loop {
            if let Some(end) = find(&buffer, b"\r\n\r\n") {
                break end + 4;
            }
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        };
        let length: usize = header(&buffer[..end], "content-length").map_or(0, |value| value.parse().unwrap_or(0));
        while buffer.len() < end + length {
            if stream.read_buf(&mut buffer).await.ok()? == 0 {
                return None;
            }
        }
        let to_model = find(&buffer[..end.min(buffer.len())], b"/chat/completions").is_some();
        buffer.drain(..end + length);
        if to_model {
            answer(&mut stream, canned, controls).await?;
        } else {
            sid += 1;
            let (before, after) = &canned.carrier;
            let body = format!("{before}{:016x}{sid:016x}{after}", stream.peer_addr().ok()?.port());
            let head = format!("HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.ok()?;
        }
    }
}

async fn answer(stream: &mut TcpStream, canned: &Canned, controls: &Controls) -> Option<()> {
    controls.begun.fetch_add(1, Ordering::SeqCst);
    let mut released = controls.released.subscribe();
    while controls.stalled.load(Ordering::SeqCst) {
        released.changed().await.ok()?;
    }
    let pause = controls.pause_ms.load(Ordering::SeqCst);
    if pause == 0 {
        stream.write_all(&canned.whole).await.ok()?;
    } else {
        stream.write_all(&canned.head).await.ok()?;
        stream.write_all(&canned.first).await.ok()?;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        stream.write_all(&canned.rest).await.ok()?;
    }
    controls.answered.fetch_add(1, Ordering::SeqCst);
    Some(())
}
