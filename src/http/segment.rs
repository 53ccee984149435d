//! The one variable part that some paths have.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::problem::{ApiError, ProblemKind};

/// The decoded part. What cannot be decoded names nothing.
pub(super) struct Segment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(segment)) => Ok(Self(segment)),
            Err(_not_text) => Err(ProblemKind::NotFound.into()),
        }
    }
}
