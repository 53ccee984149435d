//! Reading the body of a request that came in: bounded in size and in time, for every door.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::BytesMut;
use futures::StreamExt as _;

/// How long a whole body may take.
const TIME: Duration = Duration::from_secs(30);

/// How long, and how much, is read of a body that is refused, so that the sender gets to read the answer: a connection closed
/// with unread bytes in it is reset, and the answer is lost with it.
const DISCARD_TIME: Duration = Duration::from_secs(5);
const DISCARD_BYTES: usize = 16 * 1024 * 1024;

/// Why there is no body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// Longer than allowed.
    TooLarge,
    /// Not complete in time.
    TooSlow,
    /// The sender broke off, or sent what is no body.
    Broken,
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// See [`BodyError`].
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|value| value.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        discard(body).await;
        return Err(BodyError::TooLarge);
    }
    match tokio::time::timeout(TIME, collect(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Stopped::Broken)) => Err(BodyError::Broken),
        Ok(Err(Stopped::TooLarge(rest))) => {
            discard(rest).await;
            Err(BodyError::TooLarge)
        }
        Err(_elapsed) => Err(BodyError::TooSlow),
    }
}

enum Stopped {
    Broken,
    TooLarge(Body),
}

async fn collect(body: Body, limit: usize) -> Result<Bytes, Stopped> {
    let mut chunks = body.into_data_stream();
    let Some(first) = chunks.next().await.transpose().map_err(|_broken_off| Stopped::Broken)? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(Stopped::TooLarge(Body::from_stream(chunks)));
    }
    // Nearly every body comes in one piece, which then needs no copy.
    let Some(second) = chunks.next().await else { return Ok(first) };
    let mut whole = BytesMut::from(first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        let chunk = chunk.map_err(|_broken_off| Stopped::Broken)?;
        if whole.len() + chunk.len() > limit {
            return Err(Stopped::TooLarge(Body::from_stream(chunks)));
        }
        whole.extend_from_slice(&chunk);
        next = chunks.next().await;
    }
    Ok(whole.freeze())
}

/// Reads what is left of a refused request's body, within limits.
pub(crate) async fn discard(body: Body) {
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

    fn chunked(chunks: &[&'static str]) -> Body {
        let chunks: Vec<Result<Bytes, std::io::Error>> = chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))).collect();
        Body::from_stream(futures::stream::iter(chunks))
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit_in_any_pieces() {
        let none = HeaderMap::new();
        assert_eq!(read(&none, Body::empty(), 4).await.unwrap(), "");
        assert_eq!(read(&none, chunked(&["abcd"]), 4).await.unwrap(), "abcd");
        assert_eq!(read(&none, chunked(&["ab", "", "cd"]), 4).await.unwrap(), "abcd");
        assert_eq!(read(&none, chunked(&["abcde"]), 4).await, Err(BodyError::TooLarge));
        assert_eq!(read(&none, chunked(&["abc", "de"]), 4).await, Err(BodyError::TooLarge));
        let announced = HeaderMap::from_iter([(CONTENT_LENGTH, "5".parse().unwrap())]);
        assert_eq!(read(&announced, Body::empty(), 4).await, Err(BodyError::TooLarge));
        let broken = Body::from_stream(futures::stream::iter([Ok(Bytes::from_static(b"{")), Err(std::io::Error::other("gone"))]));
        assert_eq!(read(&none, broken, 4).await, Err(BodyError::Broken));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_never_ends_is_given_up() {
        let endless = || Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(&HeaderMap::new(), endless(), 4).await, Err(BodyError::TooSlow));
        let begun = tokio::time::Instant::now();
        discard(endless()).await;
        assert_eq!(begun.elapsed(), DISCARD_TIME, "nor is the rest of it waited for");
    }
}
