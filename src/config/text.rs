//! Text of files: its encoding, and which line a byte stands on.

/// Where the lines of a text begin.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1).collect())
    }

    /// The line, from 1, on which this byte stands.
    pub(super) fn at(&self, offset: usize) -> usize {
        self.0.partition_point(|start| *start <= offset) + 1
    }
}

/// The text of a file, without the byte order mark that some editors write.
///
/// # Errors
/// The line of the first byte that is not UTF-8.
pub(super) fn decoded(bytes: &[u8]) -> Result<&str, usize> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(error) => Err(bytes.split_at(error.valid_up_to()).0.split(|byte| *byte == b'\n').count()),
    }
}

/// The first `${…}` or `{{…}}` of a text: a placeholder that some other program was meant to fill in.
pub(super) fn placeholder(text: &str) -> Option<&str> {
    [("${", "}"), ("{{", "}}")]
        .into_iter()
        .filter_map(|(open, close)| {
            let start = text.find(open)?;
            let length = text.get(start + open.len()..)?.find(close)?;
            text.get(start..start + open.len() + length + close.len())
        })
        .min_by_key(|found| found.as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_the_line_it_stands_on() {
        let lines = Lines::of("a\nbc\n\nd");
        let found: Vec<usize> = [0, 1, 2, 3, 4, 5, 6, 7].into_iter().map(|offset| lines.at(offset)).collect();
        assert_eq!(found, [1, 1, 2, 2, 2, 3, 4, 4]);
    }

    #[test]
    fn a_mark_is_dropped_and_a_wrong_byte_has_its_line() {
        assert_eq!(decoded(b"\xEF\xBB\xBFa=1"), Ok("a=1"));
        assert_eq!(decoded(b"a\nb\n\xFF"), Err(3));
    }

    #[test]
    fn placeholders_are_found_and_other_braces_are_not() {
        assert_eq!(placeholder("x ${A} {{B}}"), Some("${A}"));
        assert_eq!(placeholder("x {{ B }} ${A}"), Some("{{ B }}"));
        for plain in ["", "$A", "pa$$word", "{a}", "${", "{{}", "}}{{", "a}$ {"] {
            assert_eq!(placeholder(plain), None, "{plain}");
        }
    }
}
