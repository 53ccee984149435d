//! Reading a message's body: bounded in size and in time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::BytesMut;
use futures::StreamExt as _;

/// Longest message, in bytes: what the SDKs' own servers take.
pub(super) const LONGEST: usize = 4 * 1024 * 1024;

/// How long a whole body may take.
const TIME: Duration = Duration::from_secs(30);

/// How long, and how much, is read of a body that is refused, so that the sender gets to read the answer: a connection closed
/// with unread bytes in it is reset, and the answer is lost with it.
const DISCARD_TIME: Duration = Duration::from_secs(5);
const DISCARD_BYTES: usize = 16 * 1024 * 1024;

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// Longer than [`LONGEST`].
    TooLarge,
    /// Not complete in time.
    TooSlow,
    /// The sender broke off.
    Broken,
}

/// Reads a body to its end.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, Unread> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<usize>().ok());
    let mut chunks = body.into_data_stream();
    let reading = async {
        if announced.is_some_and(|length| length > LONGEST) {
            return Err(Unread::TooLarge);
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_broken_off| Unread::Broken)?;
            if whole.len() + chunk.len() > LONGEST {
                return Err(Unread::TooLarge);
            }
            whole.extend_from_slice(&chunk);
        }
        Ok(whole.freeze())
    };
    let read = tokio::time::timeout(TIME, reading).await.unwrap_or(Err(Unread::TooSlow));
    if read == Err(Unread::TooLarge) {
        discard(Body::from_stream(chunks)).await;
    }
    read
}

/// Reads what is left of a refused request's body, within limits.
pub(super) async fn discard(body: Body) {
    let reading = async {
        let (mut chunks, mut seen) = (body.into_data_stream(), 0);
        while let Some(Ok(chunk)) = chunks.next().await {
            seen += chunk.len();
            if seen > DISCARD_BYTES {
                break;
            }
        }
    };
    let _done_or_given_up = tokio::time::timeout(DISCARD_TIME, reading).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        let none = HeaderMap::new();
        assert_eq!(read(&none, Body::empty()).await.unwrap(), "");
        assert_eq!(read(&none, Body::from(vec![b'x'; LONGEST])).await.unwrap().len(), LONGEST);
        assert_eq!(read(&none, Body::from(vec![b'x'; LONGEST + 1])).await, Err(Unread::TooLarge));
        let announced = HeaderMap::from_iter([(CONTENT_LENGTH, (LONGEST + 1).to_string().parse().unwrap())]);
        assert_eq!(read(&announced, Body::empty()).await, Err(Unread::TooLarge));
        let broken = Body::from_stream(futures::stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))]));
        assert_eq!(read(&none, broken).await, Err(Unread::Broken));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let endless = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(&HeaderMap::new(), endless).await, Err(Unread::TooSlow));
    }
}
