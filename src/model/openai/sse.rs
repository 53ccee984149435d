//! Server-sent events from bytes.
//!
//! Ours rather than a library's, for three reasons: memory is bounded whatever a server sends, a line is looked at once however
//! many pieces it comes in, and an event costs no allocation. Only `data` matters here; names, ids and comments are passed over.
//!
//! # Source
//! WHATWG HTML, section 9.2.6, "Interpreting an event stream".

/// Longest event that is taken, in bytes. A chunk of a completion has a few hundred.
pub(super) const MAX_EVENT: usize = 1024 * 1024;

/// An event or a line was longer than [`MAX_EVENT`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Gathers events from pieces of a stream, split anywhere.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    /// A line whose end has not come yet.
    line: Vec<u8>,
    /// The data of the event whose end has not come yet.
    data: Vec<u8>,
    /// The last line ended in a carriage return: a line feed that follows belongs to it.
    after_return: bool,
    /// Something has been read, so a byte order mark is no longer one.
    begun: bool,
}

impl Decoder {
    /// Takes the next bytes and hands the data of each event that they complete to `event`.
    ///
    /// # Errors
    /// [`TooLong`], or what `event` says; the stream is then of no more use.
    pub(super) fn feed<E: From<TooLong>>(&mut self, mut bytes: &[u8], event: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.after_return) && first == b'\n' {
                bytes = bytes.get(1..).unwrap_or_default();
                continue;
            }
            let Some(end) = bytes.iter().position(|&byte| byte == b'\n' || byte == b'\r') else {
                if self.line.len() + bytes.len() > MAX_EVENT {
                    return Err(TooLong.into());
                }
                self.line.extend_from_slice(bytes);
                return Ok(());
            };
            let (line, rest) = bytes.split_at(end);
            self.after_return = rest.first() == Some(&b'\r');
            bytes = rest.get(1..).unwrap_or_default();
            if self.line.is_empty() {
                self.read(line, event)?;
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.read(&whole, event)?;
                whole.clear();
                self.line = whole;
            }
        }
        Ok(())
    }

    /// Hands over what the end of the stream left without its blank line. The specification would drop it; servers that
    /// forget the last line's end are more common than half events, and half an event is found out when it is parsed.
    ///
    /// # Errors
    /// As [`Decoder::feed`].
    pub(super) fn end<E: From<TooLong>>(&mut self, event: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.read(&line, event)?;
        }
        self.read(b"", event)
    }

    fn read<E: From<TooLong>>(&mut self, mut line: &[u8], event: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if !std::mem::replace(&mut self.begun, true) {
            line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        }
        if line.is_empty() {
            if self.data.is_empty() {
                return Ok(());
            }
            let outcome = event(&self.data);
            self.data.clear();
            return outcome;
        }
        // Some servers report an error in the middle of a stream as a bare line of JSON.
        let value = match line.strip_prefix(b"data:") {
            Some(value) => value.strip_prefix(b" ").unwrap_or(value),
            None if line.first() == Some(&b'{') => line,
            None => return Ok(()),
        };
        if self.data.len() + value.len() > MAX_EVENT {
            return Err(TooLong.into());
        }
        if !self.data.is_empty() {
            self.data.push(b'\n');
        }
        self.data.extend_from_slice(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(pieces: &[&[u8]]) -> Result<Vec<String>, TooLong> {
        let mut events = Vec::new();
        let mut decoder = Decoder::default();
        let mut take = |data: &[u8]| -> Result<(), TooLong> {
            events.push(String::from_utf8(data.to_vec()).unwrap());
            Ok(())
        };
        for piece in pieces {
            decoder.feed(piece, &mut take)?;
        }
        decoder.end(&mut take)?;
        Ok(events)
    }

    #[test]
    fn events_are_the_same_however_the_stream_is_cut() {
        let stream = "\u{feff}data: one\n\n: a comment\r\nevent: x\r\nid: 7\r\ndata:two\r\ndata: é🙂\r\n\r\ndata: three\r\rdata\n\nretry: 1\n{\"error\":1}\n\ndata: [DONE]";
        let whole = events(&[stream.as_bytes()]).unwrap();
        assert_eq!(whole, ["one", "two\né🙂", "three", "{\"error\":1}", "[DONE]"]);
        for cut in 1..stream.len() {
            let (a, b) = stream.as_bytes().split_at(cut);
            assert_eq!(events(&[a, b]).unwrap(), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.as_bytes().chunks(1).collect();
        assert_eq!(events(&bytes).unwrap(), whole);
    }

    #[test]
    fn memory_is_bounded_for_an_endless_line_and_an_endless_event() {
        let piece = vec![b'x'; 64 * 1024];
        let mut pieces: Vec<&[u8]> = vec![b"data: "];
        pieces.extend(std::iter::repeat_n(piece.as_slice(), 17));
        assert_eq!(events(&pieces), Err(TooLong));
        let line = [b"data: ".as_slice(), &piece, b"\n"].concat();
        assert_eq!(events(&std::iter::repeat_n(line.as_slice(), 17).collect::<Vec<_>>()), Err(TooLong));
    }
}
