//! Query strings of listings.

use axum::http::Uri;

use super::problem::ApiError;
use crate::store::PageRequest;

/// Entries of a page when nobody says, and at most.
const PAGE: usize = 25;
const PAGE_MAX: usize = 100;

/// Longest value of a parameter, in bytes.
const LONGEST: usize = 1_024;

/// The parameters of a query, none of them twice and none unknown: a misspelt filter must not list everything.
pub(super) struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    pub(super) fn read(uri: &Uri, known: &[&str]) -> Result<Self, ApiError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            let shown: String = name.chars().filter(|character| !character.is_control()).take(40).collect();
            if !known.contains(&&*name) {
                return Err(ApiError::parameter(shown, format!("is not known; known are {}", known.join(", "))));
            }
            if pairs.iter().any(|(seen, _)| *seen == name) {
                return Err(ApiError::parameter(shown, "is given twice"));
            }
            // Broken UTF-8 comes out of the decoder as U+FFFD.
            if value.len() > LONGEST || value.chars().any(|character| character.is_control() || character == char::REPLACEMENT_CHARACTER) {
                return Err(ApiError::parameter(shown, format!("must be at most {LONGEST} bytes of UTF-8 without control characters")));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self { pairs })
    }

    /// A parameter; `None` when absent or empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// The page that `cursor` and `pageSize` ask for.
    pub(super) fn page(&self) -> Result<PageRequest, ApiError> {
        let limit = match self.get("pageSize") {
            None => PAGE,
            Some(text) => match text.parse::<usize>() {
                Ok(size) if size > 0 => size.min(PAGE_MAX),
                _ => return Err(ApiError::parameter("pageSize", format!("must be a number from 1 to {PAGE_MAX}"))),
            },
        };
        Ok(PageRequest { cursor: self.get("cursor").map(str::to_owned), limit })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Query, ApiError> {
        Query::read(&format!("/x?{query}").parse().unwrap(), &["cursor", "pageSize", "search"])
    }

    #[test]
    fn known_parameters_are_read_once_each() {
        let query = read("pageSize=1000&search=a%20b&cursor=").unwrap();
        assert_eq!(query.get("search"), Some("a b"));
        let page = query.page().unwrap();
        assert_eq!((page.limit, page.cursor), (100, None));
        assert_eq!(read("").unwrap().page().unwrap().limit, 25);
        for wrong in ["search[$ne]=1", "serach=x", "search=a&search=b", "search=%00", "search=%ff", &format!("search={}", "x".repeat(2000))]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for wrong in ["0", "-1", "x", "1e3", "99999999999999999999"] {
            assert!(read(&format!("pageSize={wrong}")).unwrap().page().is_err(), "{wrong}");
        }
    }
}
