//! Any server that speaks OpenAI's chat completions.
//!
//! A client of our own: typed clients refuse what half of the "compatible" servers send. It always asks for a stream and
//! takes what comes, a stream or a whole answer. Every wait has a limit. A try that failed before the first piece of text is
//! made again within the limits; after it never, since the text is with the reader already.
//!
//! Start at [`OpenAi::complete`]; `wire` has the shapes, `answer` puts the text together, `trouble` words what went wrong.

mod answer;
mod calls;
mod reasoning;
mod sse;
mod trouble;
mod wire;

use std::time::Duration;

use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Response, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, timeout_at};

use crate::config::sections::EndpointSettings;
use crate::domain::endpoint::Endpoint;
use crate::http_client::http_client;

use self::answer::Answer;
use self::sse::Decoder;
use self::trouble::Trouble;
use self::wire::{Body, Parameters, ServerError};
use super::{Completion, CompletionRequest, DeltaSink, Model, ModelError};

/// Longest whole answer that is read, in bytes; one that is escaped throughout is six times its text.
const MAX_PLAIN: usize = 2 * 1024 * 1024;
/// How much of an error's body is read, in bytes.
const MAX_ERROR: usize = 16 * 1024;
/// What an answer that is whole may still take to end its stream, so that the connection can be used again.
const DRAIN: Duration = Duration::from_millis(50);

/// How long and how often.
#[derive(Debug, Clone, Copy)]
struct Limits {
    connect: Duration,
    first_token: Duration,
    idle: Duration,
    total: Duration,
    retries: u32,
    /// The wait before the second try, without jitter; it doubles.
    backoff: Duration,
    /// Longest wait that is waited here. Longer ones are left to the caller, who has the turn's durable waits.
    longest_wait: Duration,
}

impl Limits {
    /// As configured. Nothing may wait for ever, so 0 seconds is 1.
    fn new(settings: &EndpointSettings) -> Self {
        let seconds = |seconds: u64| Duration::from_secs(seconds.max(1));
        Self {
            connect: seconds(settings.connect_seconds),
            first_token: seconds(settings.first_token_seconds),
            idle: seconds(settings.idle_seconds),
            total: seconds(settings.total_seconds),
            retries: settings.retries,
            backoff: Duration::from_millis(500),
            longest_wait: Duration::from_secs(20),
        }
    }
}

/// An endpoint that speaks OpenAI's protocol.
pub(super) struct OpenAi {
    name: Endpoint,
    client: reqwest::Client,
    completions: Url,
    list: Url,
    key: SecretString,
    headers: HeaderMap,
    parameters: Parameters,
    limits: Limits,
}

impl OpenAi {
    /// A client for the endpoint.
    ///
    /// # Errors
    /// What of its settings is wrong, by name.
    pub(super) fn open(name: &Endpoint, settings: &EndpointSettings) -> Result<Self, String> {
        Self::with_limits(name, settings, Limits::new(settings))
    }

    fn with_limits(name: &Endpoint, settings: &EndpointSettings, limits: Limits) -> Result<Self, String> {
        let wrong_url = |why: &str| format!("endpoints.{name}.base_url is wrong ({why}); write it like http://localhost:8000/v1");
        // Reverse proxies are often written down with the whole path.
        let base = settings.base_url.trim().trim_end_matches('/').trim_end_matches("/chat/completions").trim_end_matches('/');
        let parse = |text: &str| Url::parse(text).map_err(|error| wrong_url(&error.to_string()));
        // Alone first: with a path behind it, a missing host would be read out of the path.
        if !matches!(parse(base)?.scheme(), "http" | "https") {
            return Err(wrong_url("not http or https"));
        }
        let (completions, list) = (parse(&format!("{base}/chat/completions"))?, parse(&format!("{base}/models"))?);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream, application/json"));
        let key = settings.api_key.expose_secret();
        if !key.is_empty() {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
                .map_err(|_ignored| format!("endpoints.{name}.api_key holds characters that no header can carry"))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // Enough idle connections that as many turns as run at once find theirs again.
        let client = http_client(limits.connect)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(256)
            .build()
            .map_err(|error| format!("endpoints.{name}: no HTTP client could be made: {}", root_cause(&error)))?;
        let parameters = Parameters::new(settings.max_tokens, &settings.drop_params, &settings.add_params);
        Ok(Self { name: name.clone(), client, completions, list, key: settings.api_key.clone(), headers, parameters, limits })
    }

    fn error(&self, trouble: Trouble, request: Option<&CompletionRequest>) -> ModelError {
        trouble.into_error(self.name.as_str(), self.key.expose_secret(), request)
    }

    /// One try, from connecting to the last chunk.
    async fn attempt(&self, body: Bytes, request: &CompletionRequest, sink: DeltaSink<'_>, end: Instant) -> Result<Completion, Trouble> {
        let mut wait = Wait { until: (Instant::now() + self.limits.first_token).min(end), end, first: true };
        let sent = self.client.post(self.completions.clone()).headers(self.headers.clone()).body(body).send();
        let mut response = match timeout_at(wait.until, sent).await {
            Err(_elapsed) => return Err(wait.over(&self.limits)),
            Ok(Err(error)) => return Err(Trouble::passing(cannot_reach(&error)).again_unless(false)),
            Ok(Ok(response)) => response,
        };
        if !response.status().is_success() {
            return Err(self.refusal(response, wait.until).await);
        }
        let mut answer = Answer::new(sink);
        let mut reader = Reader::Unknown;
        while !answer.done {
            let piece = match timeout_at(wait.until, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => break,
                // What comes after the end of the text is only the count of its tokens; it is not worth the text.
                Err(_) | Ok(Err(_)) if answer.finished() => break,
                Err(_elapsed) => return Err(wait.over(&self.limits)),
                Ok(Err(error)) => {
                    return Err(Trouble::passing(format!("its answer broke off ({})", root_cause(&error))).again_unless(answer.begun()));
                }
            };
            let before = answer.pieces;
            reader.take(&piece, &response, &mut answer).map_err(|trouble| trouble.once_begun(answer.begun()))?;
            if answer.pieces > before {
                wait = Wait { until: (Instant::now() + self.limits.idle).min(end), end, first: false };
            }
        }
        reader.end(&mut answer).map_err(|trouble| trouble.once_begun(answer.begun()))?;
        let completion = answer.complete(request)?;
        // A body that is read to its end gives the connection back to the pool; a server that does not end it loses it.
        drop(timeout_at(Instant::now() + DRAIN, async { while let Ok(Some(_)) = response.chunk().await {} }).await);
        Ok(completion)
    }

    /// What an answer without success says.
    async fn refusal(&self, mut response: Response, until: Instant) -> Trouble {
        let mut body = Vec::new();
        // The words are a courtesy: a body that stalls or breaks off is as good as none.
        while let Ok(Ok(Some(piece))) = timeout_at(until, response.chunk()).await {
            body.extend_from_slice(&piece);
            if body.len() > MAX_ERROR {
                body.truncate(MAX_ERROR);
                break;
            }
        }
        let error = match serde_json::from_slice(&body) {
            Ok(value) => ServerError::read(&value),
            // A page of HTML says nothing, and a short line of plain text is usually a proxy's.
            Err(_) if body.trim_ascii_start().first() == Some(&b'<') => ServerError::default(),
            Err(_) => ServerError { message: String::from_utf8_lossy(&body).into_owned(), ..ServerError::default() },
        };
        Trouble::from_status(response.status().as_u16(), &error, retry_after(response.headers()))
    }
}

#[async_trait]
impl Model for OpenAi {
    async fn complete(&self, request: &CompletionRequest, sink: DeltaSink<'_>) -> Result<Completion, ModelError> {
        let end = Instant::now() + self.limits.total;
        // Written once; each try shares the bytes.
        let body = serde_json::to_vec(&Body { request, parameters: &self.parameters })
            .map_err(|error| ModelError::Refused { reason: format!("endpoint {}: the request cannot be written: {error}", self.name) })?;
        let body = Bytes::from(body);
        let mut waits = ExponentialBuilder::new()
            .with_jitter()
            .with_min_delay(self.limits.backoff)
            .with_max_delay(self.limits.longest_wait / 2)
            .with_max_times(usize::try_from(self.limits.retries).unwrap_or(usize::MAX))
            .build();
        loop {
            let trouble = match self.attempt(body.clone(), request, sink, end).await {
                Ok(completion) => return Ok(completion),
                Err(trouble) => trouble,
            };
            let asked = trouble.after.unwrap_or_default();
            let wait = if trouble.again && asked <= self.limits.longest_wait { waits.next() } else { None };
            match wait.map(|wait| Instant::now() + wait.max(asked)).filter(|until| *until < end) {
                Some(until) => {
                    tracing::debug!(endpoint = %self.name, "a model request failed and is made again");
                    tokio::time::sleep_until(until).await;
                }
                None => return Err(self.error(trouble, Some(request))),
            }
        }
    }

    async fn check(&self) -> Result<String, ModelError> {
        let until = Instant::now() + self.limits.total.min(Duration::from_secs(5));
        let sent = self.client.get(self.list.clone()).headers(self.headers.clone()).send();
        let response = match timeout_at(until, sent).await {
            Err(_elapsed) => return Err(self.error(Trouble::passing("it did not answer in time"), None)),
            Ok(Err(error)) => return Err(self.error(Trouble::passing(cannot_reach(&error)), None)),
            Ok(Ok(response)) => response,
        };
        match response.status().as_u16() {
            200..=299 => Ok(format!("endpoint {} answers and takes the key", self.name)),
            // Not every compatible server lists its models.
            404 | 405 => Ok(format!("endpoint {} answers, and has no list of models to try the key with", self.name)),
            _ => Err(self.error(self.refusal(response, until).await, None)),
        }
    }
}

/// Until when the next sign of life is awaited.
struct Wait {
    until: Instant,
    end: Instant,
    first: bool,
}

impl Wait {
    /// The time is up; which of the limits it was.
    fn over(&self, limits: &Limits) -> Trouble {
        let (what, limit) = match self.first {
            _ if self.until >= self.end => ("no complete answer", limits.total),
            true => ("no token", limits.first_token),
            false => ("no further token", limits.idle),
        };
        Trouble::passing(format!("{what} within {} s", limit.as_secs_f32()))
    }
}

/// How the body is read. Its first byte tells, since many servers send a content type of another kind.
enum Reader {
    Unknown,
    Stream(Decoder),
    Plain(Vec<u8>),
}

impl Reader {
    fn take(&mut self, piece: &[u8], response: &Response, answer: &mut Answer<'_>) -> Result<(), Trouble> {
        if matches!(self, Self::Unknown) {
            *self = match piece.trim_ascii_start().first() {
                None => return Ok(()),
                Some(b'{' | b'[') => Self::Plain(Vec::new()),
                Some(b'<') => return Err(no_completion(response)),
                Some(_) => Self::Stream(Decoder::default()),
            };
        }
        match self {
            Self::Unknown => Ok(()),
            Self::Stream(decoder) => decoder.feed(piece, &mut |data| answer.event(data)),
            Self::Plain(body) if body.len() + piece.len() > MAX_PLAIN => Err(Trouble::lasting("its answer is longer than 2 MiB")),
            Self::Plain(body) => {
                body.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    fn end(self, answer: &mut Answer<'_>) -> Result<(), Trouble> {
        match self {
            Self::Unknown => Err(Trouble::passing("its answer is empty")),
            Self::Stream(mut decoder) => decoder.end(&mut |data| answer.event(data)),
            Self::Plain(body) => answer.plain(&body),
        }
    }
}

fn no_completion(response: &Response) -> Trouble {
    let kind: String =
        response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or("no content type").chars().take(40).collect();
    Trouble::lasting(format!("it answered with {kind}, not with a chat completion; is base_url right?"))
}

/// Why there was no answer at all. An address in the error's text could hold a password, so it is left out.
fn cannot_reach(error: &reqwest::Error) -> String {
    let cause = root_cause(error);
    match (error.is_connect(), error.is_timeout()) {
        (true, true) => "cannot be connected to in time; is it running, and is base_url right?".to_owned(),
        (true, false) => format!("cannot be connected to ({cause}); is it running, and is base_url right?"),
        _ => format!("the connection broke before an answer came ({cause})"),
    }
}

fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    // Only reqwest's own text shows addresses; a cause below it does not.
    if cause.is::<reqwest::Error>() { "HTTP error".to_owned() } else { cause.to_string() }
}

/// How long the server asks to wait: `retry-after-ms` of OpenAI, seconds, or a date, which is read against the server's own
/// `date`, so that no clock of ours matters.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let seconds = |text: &str, unit: f64| text.parse::<f64>().ok().and_then(|count| Duration::try_from_secs_f64(count * unit).ok());
    let date = |name: &str| jiff::fmt::rfc2822::parse(text(name)?).ok().map(|zoned| zoned.timestamp());
    let wait = text("retry-after-ms").and_then(|millis| seconds(millis, 0.001));
    let wait = wait.or_else(|| seconds(text(RETRY_AFTER.as_str())?, 1.0));
    let wait = wait.or_else(|| Duration::try_from(date(RETRY_AFTER.as_str())?.duration_since(date(DATE.as_str())?)).ok());
    wait.map(|wait| wait.min(Duration::from_hours(1)))
}

#[cfg(test)]
mod tests;
