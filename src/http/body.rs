//! A request's body as the API reads it: JSON, and what is answered where there is none.

use serde_json::{Map, Value};

use super::problem::{ApiError, Problem, ProblemKind};
use crate::http_body::BodyError;

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => ProblemKind::BodyTooLarge.into(),
            BodyError::TooSlow => ProblemKind::RequestTimeout.into(),
            BodyError::Broken => Problem::new(ProblemKind::InvalidJson).detail("the body broke off").into(),
        }
    }
}

/// Reads JSON that must be an object.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let invalid = |detail: String| Problem::new(ProblemKind::InvalidJson).detail(detail);
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(invalid("the body must be a JSON object".to_owned()).into()),
        // The parser's words name a line and a column, never the content.
        Err(error) => Err(invalid(error.to_string()).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_of_bounded_depth_is_read() {
        assert!(object(br#"{"a":1}"#).is_ok());
        let bomb = format!("{}{}", r#"{"a":"#.repeat(100_000), "}".repeat(100_000));
        for wrong in [b"".as_slice(), b"[]", b"1", b"{", b"{\"a\":\"\xff\"}", b"\xff\xfe", bomb.as_bytes()] {
            assert_eq!(object(wrong).unwrap_err().status(), 400);
        }
    }
}
