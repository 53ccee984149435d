//! A webhook's form, decoded to bytes: what the signature covers, before anybody decides whether it is text.

use std::borrow::Cow;

use crate::gateway::ParseError;

/// More parameters than any webhook has. Past this a body is not worth sorting for a sender that nobody has verified.
const MOST_PAIRS: usize = 1000;

/// A key and its value; borrowed where nothing had to be decoded.
type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The parameters of `application/x-www-form-urlencoded`, in their order.
#[derive(Debug)]
pub(super) struct Form<'a> {
    pairs: Vec<Pair<'a>>,
    broken_escape: bool,
}

impl<'a> Form<'a> {
    /// Decodes a body. A broken escape is kept as it stands, as the carrier's own libraries do, and refused when a value is
    /// read. `None` when there are more parameters than a webhook has.
    pub(super) fn decode(body: &'a [u8]) -> Option<Self> {
        let mut form = Self { pairs: Vec::new(), broken_escape: false };
        for pair in body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if form.pairs.len() == MOST_PAIRS {
                return None;
            }
            let mut sides = pair.splitn(2, |byte| *byte == b'=');
            let key = form.decode_part(sides.next().unwrap_or_default());
            let value = form.decode_part(sides.next().unwrap_or_default());
            form.pairs.push((key, value));
        }
        Some(form)
    }

    fn decode_part(&mut self, encoded: &'a [u8]) -> Cow<'a, [u8]> {
        if !encoded.iter().any(|byte| matches!(byte, b'%' | b'+')) {
            return Cow::Borrowed(encoded);
        }
        let mut decoded = Vec::with_capacity(encoded.len());
        let mut rest = encoded;
        while let Some((&first, after)) = rest.split_first() {
            let escaped = match after {
                [high, low, ..] if first == b'%' => hex(*high).zip(hex(*low)).map(|(high, low)| high * 16 + low),
                _ => None,
            };
            if let (Some(byte), [_, _, after @ ..]) = (escaped, after) {
                decoded.push(byte);
                rest = after;
            } else {
                self.broken_escape |= first == b'%';
                decoded.push(if first == b'+' { b' ' } else { first });
                rest = after;
            }
        }
        Cow::Owned(decoded)
    }

    /// Each distinct key in byte order with each of its distinct values sorted, key and value joined: what is signed.
    pub(super) fn signed_bytes(&self) -> Vec<u8> {
        let mut pairs: Vec<(&[u8], &[u8])> = self.pairs.iter().map(|(key, value)| (key.as_ref(), value.as_ref())).collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs.into_iter().flat_map(|(key, value)| [key, value]).flatten().copied().collect()
    }

    /// The first value of that name.
    pub(super) fn value(&self, name: &'static str) -> Result<Option<&str>, ParseError> {
        self.values(name).next().transpose()
    }

    /// The value of that name, which may be given twice only if it is the same.
    pub(super) fn only_value(&self, name: &'static str) -> Result<Option<&str>, ParseError> {
        let mut values = self.values(name);
        let first = values.next().transpose()?;
        for other in values {
            if Some(other?) != first {
                return Err(ParseError { reason: format!("the parameter {name} has two values") });
            }
        }
        Ok(first)
    }

    fn values(&self, name: &'static str) -> impl Iterator<Item = Result<&str, ParseError>> {
        self.pairs.iter().filter(move |(key, _)| key.as_ref() == name.as_bytes()).map(move |(_, value)| {
            if self.broken_escape {
                return Err(ParseError { reason: "the form has a % that begins no escape".to_owned() });
            }
            std::str::from_utf8(value).map_err(|_invalid| ParseError { reason: format!("the parameter {name} is not UTF-8") })
        })
    }
}

const fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn blanks_plus_signs_and_escapes_are_decoded() {
        let form = Form::decode(b"Body=Gr%C3%BC%C3%9Fe+%26%2B%3d&Empty=&Bare&&=x&Body=second").unwrap();
        assert_eq!(form.value("Body").unwrap(), Some("Grüße &+="));
        assert_eq!(form.value("Empty").unwrap(), Some(""));
        assert_eq!(form.value("Bare").unwrap(), Some(""));
        assert_eq!(form.value("Missing").unwrap(), None);
        assert!(form.only_value("Body").is_err());
        assert_eq!(form.only_value("Empty").unwrap(), Some(""));
    }

    #[test]
    fn broken_forms_are_signed_as_they_stand_and_not_read() {
        for body in [b"Body=100%".as_slice(), b"Body=%G1", b"Body=a&Other=%4"] {
            let form = Form::decode(body).unwrap();
            assert!(form.value("Body").is_err());
        }
        assert_eq!(Form::decode(b"B=%G1+").unwrap().signed_bytes(), b"B%G1 ");
        assert!(Form::decode(b"Body=%ff%fe").unwrap().value("Body").is_err());
        assert!(Form::decode("&a".repeat(1001).as_bytes()).is_none());
    }

    #[test]
    fn distinct_keys_in_byte_order_each_with_its_distinct_values() {
        let form = Form::decode(b"b=2&a=9&B=1&b=10&b=2&ab=0").unwrap();
        assert_eq!(form.signed_bytes(), b"B1a9ab0b10b2");
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(pairs in proptest::collection::vec(("[a-zA-Z0-9é]{1,8}", "\\PC{0,20}"), 0..8)) {
            let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            let form = Form::decode(encoded.as_bytes()).unwrap();
            let decoded: Vec<(String, String)> = form
                .pairs
                .iter()
                .map(|(key, value)| (String::from_utf8(key.to_vec()).unwrap(), String::from_utf8(value.to_vec()).unwrap()))
                .collect();
            prop_assert_eq!(decoded, pairs);
        }

        #[test]
        fn no_bytes_break_it(body in proptest::collection::vec(prop_oneof![Just(b'%'), Just(b'&'), Just(b'='), any::<u8>()], 0..200)) {
            if let Some(form) = Form::decode(&body) {
                let signed = form.signed_bytes();
                prop_assert!(signed.len() <= body.len());
                let _read = form.value("a");
            }
        }
    }
}
