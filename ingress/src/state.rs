//! What every handler may ask for.

use axum::extract::FromRef;
use sea_orm::DatabaseConnection;

/// The state of an ingress.
#[derive(Clone, FromRef)]
pub struct AppState {
    /// The database, for the admin API.
    pub database: DatabaseConnection,
}
