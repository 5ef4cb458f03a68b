//! The admin API under `/api/v1`.

pub mod access;
pub mod audit;
mod beside;
mod body;
pub mod book;
pub mod conversations;
pub mod dead;
pub mod doctor;
pub mod door;
pub mod explanation;
mod fields;
pub mod instances;
pub mod keys;
pub mod limits;
pub mod openapi;
mod path;
pub mod people;
pub mod profile;
mod query;
mod remarks;
pub mod rotation;
pub mod rules;
pub mod send;
pub mod tail;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod traces;
pub mod users;
pub mod whereabouts;

use std::sync::Arc;

use axum::{Router, extract::DefaultBodyLimit, http::HeaderName, middleware::from_fn};
use omnihub_common::instance::{Directory, Instance};

use self::{access::no_such_instance, door::Routes};
use crate::{problem::Problem, state::AppState};

/// How many there are in all, on this page or not.
const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");

/// Every route of the admin API, behind what is the same for all of them.
pub fn routes() -> Router<AppState> {
    quick_routes().merge(waiting_routes())
}

/// The routes that wait for something outside as long as their caller likes.
pub fn waiting_routes() -> Router<AppState> {
    behind_the_same(send::routes())
}

/// The routes that answer at once.
pub fn quick_routes() -> Router<AppState> {
    behind_the_same(answering_at_once())
}

fn behind_the_same(routes: Routes) -> Router<AppState> {
    let routes: Router<AppState> = routes.into();
    routes.route_layer(DefaultBodyLimit::max(body::LIMIT)).route_layer(from_fn(beside::said))
}

/// Every route of the admin API.
#[must_use]
pub fn every_route() -> Routes {
    answering_at_once().merge(send::routes())
}

fn answering_at_once() -> Routes {
    Routes::new()
        .merge(instances::routes())
        .merge(traces::routes())
        .merge(dead::routes())
        .merge(tail::routes())
        .merge(whereabouts::routes())
        .merge(doctor::routes())
        .merge(explanation::routes())
        .merge(keys::routes())
        .merge(rotation::routes())
        .merge(audit::routes())
        .merge(rules::routes())
        .merge(conversations::routes())
        .merge(users::routes())
        .merge(people::routes())
        .merge(openapi::routes())
        .merge(book::routes())
        .merge(profile::routes())
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
        Ok(None) => Err(no_such_instance(name)),
        Err(_) => Ok(None),
    }
}
