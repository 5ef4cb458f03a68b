//! The names in a path.

use axum::{
    extract::{self, FromRequestParts},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// As axum's extractor of the same name, for names that can exist at all: what is not UTF-8 or
/// contains U+0000 is the name of nothing, in no database.
#[derive(Debug)]
pub(super) struct Path<T>(pub(super) T);

impl<T, S> FromRequestParts<S> for Path<T>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let nothing = || Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path");
        if parts.uri.path().contains("%00") {
            return Err(nothing());
        }
        let read = extract::Path::<T>::from_request_parts(parts, state).await;
        read.map(|extract::Path(names)| Self(names)).map_err(|_| nothing())
    }
}
