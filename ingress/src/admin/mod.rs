//! The admin API under `/api/v1`.

pub mod access;
pub mod dead;
pub mod instances;
pub mod traces;

use axum::Router;

use crate::state::AppState;

/// Every route of the admin API.
pub fn routes() -> Router<AppState> {
    Router::new().merge(instances::routes()).merge(traces::routes()).merge(dead::routes())
}
