//! The admin API under `/api/v1`.

pub mod access;
pub mod explanation;
pub mod instances;
pub mod tail;
pub mod traces;
pub mod whereabouts;

use axum::Router;

use crate::state::AppState;

/// Every route of the admin API.
pub fn routes() -> Router<AppState> {
    Router::new()
        .merge(instances::routes())
        .merge(traces::routes())
        .merge(tail::routes())
        .merge(whereabouts::routes())
        .merge(explanation::routes())
}
