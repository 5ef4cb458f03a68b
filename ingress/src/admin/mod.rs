//! The admin API under `/api/v1`.

pub mod access;
pub mod dead;
pub mod explanation;
pub mod instances;
pub mod tail;
pub mod traces;
pub mod whereabouts;

use std::sync::Arc;

use axum::{Router, http::StatusCode};
use omnihub_common::instance::{Directory, Instance};

use crate::{problem::Problem, state::AppState};

/// Every route of the admin API.
pub fn routes() -> Router<AppState> {
    Router::new()
        .merge(instances::routes())
        .merge(traces::routes())
        .merge(dead::routes())
        .merge(tail::routes())
        .merge(whereabouts::routes())
        .merge(explanation::routes())
}

/// The instance that a query is narrowed to; none while the database cannot tell. That there is
/// none of this name is said only after a fresh read.
async fn narrowed(directory: &Directory, name: &str) -> Result<Option<Arc<Instance>>, Problem> {
    let found = match directory.by_name(name).await {
        Ok(None) => directory.fresh_by_name(name).await,
        found => found,
    };
    match found {
        Ok(Some(instance)) => Ok(Some(instance)),
        Ok(None) => {
            Err(Problem::new(StatusCode::NOT_FOUND, "instance_not_found", format!("Instance '{name}' not found")))
        }
        Err(_) => Ok(None),
    }
}
