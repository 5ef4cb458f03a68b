//! The parameters of a query.

use std::collections::HashMap;

use axum::{
    extract::{FromRequestParts, Query},
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// The parameters as they stand, in their order.
#[derive(Debug)]
pub(super) struct Pairs(pub(super) Vec<(String, String)>);

/// The parameters by name; of one that is given twice the last.
#[derive(Debug)]
pub(super) struct Parameters(pub(super) HashMap<String, String>);

impl<S: Send + Sync> FromRequestParts<S> for Pairs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        read(parts, state).await.map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        read(parts, state).await.map(Self)
    }
}

async fn read<T, S>(parts: &mut Parts, state: &S) -> Result<T, Problem>
where
    T: DeserializeOwned + Send,
    S: Send + Sync,
{
    let read = Query::<T>::from_request_parts(parts, state).await;
    read.map(|Query(given)| given).map_err(|error| Problem::new(error.status(), "unreadable_query", error.body_text()))
}
