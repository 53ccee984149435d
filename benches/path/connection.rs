//! A keep-alive HTTP/1.1 client that costs next to nothing: it writes prepared bytes and reads one answer.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One connection, one request at a time.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status code.
    pub(crate) status: u16,
    /// Its body; chunks are joined with their framing.
    pub(crate) body: Vec<u8>,
    /// When the marker that was looked for had arrived.
    pub(crate) marked: Option<Instant>,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// Where `needle` begins in `haystack`.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// The value of a header, whose name is given in lower case.
pub(crate) fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let head = std::str::from_utf8(head).ok()?;
    head.split("\r\n").skip(1).find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(8192) })
    }

    /// Sends a request and reads the answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.exchange_noting(request, None).await
    }

    /// As [`Connection::exchange`], noting when `marker` had arrived.
    pub(crate) async fn exchange_noting(&mut self, request: &[u8], marker: Option<&[u8]>) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let mut seen = None;
        let mut framing = None;
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if seen.is_none() && marker.is_some_and(|marker| find(&self.buffer, marker).is_some()) {
                seen = Some(Instant::now());
            }
            if framing.is_none()
                && let Some(end) = find(&self.buffer, b"\r\n\r\n")
            {
                let head = &self.buffer[..end];
                let chunked = header(head, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
                let length = match header(head, "content-length") {
                    Some(length) => Some(length.parse::<usize>().map_err(|_error| broken("content-length"))?),
                    None if chunked => None,
                    None => Some(0),
                };
                framing = Some((end + 4, length));
            }
            let Some((start, length)) = framing else { continue };
            let complete = match length {
                Some(length) => self.buffer.len() >= start + length,
                None => self.buffer[start..].ends_with(b"0\r\n\r\n"),
            };
            if complete {
                let status = self.buffer.get(9..12).and_then(|code| std::str::from_utf8(code).ok()?.parse().ok());
                let status = status.ok_or_else(|| broken("status line"))?;
                return Ok(Answer { status, body: self.buffer[start..].to_vec(), marked: seen });
            }
        }
    }
}
