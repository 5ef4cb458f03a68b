//! Binding a program's HTTP port.

use std::io;

use tokio::net::TcpListener;

use crate::config::HttpSettings;

/// The port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {host}:{port}; is another program using the port? {remedy}")]
pub struct ListenError {
    host: String,
    port: u16,
    remedy: &'static str,
    #[source]
    source: io::Error,
}

/// Binds the port; `remedy` names the setting to change, e.g. `Set API_PORT to another one.`
///
/// # Errors
/// When the port is taken, or the host is no address of this machine.
pub async fn listen(http: &HttpSettings, remedy: &'static str) -> Result<TcpListener, ListenError> {
    TcpListener::bind((http.host.as_str(), http.port)).await.map_err(|source| ListenError {
        host: http.host.clone(),
        port: http.port,
        remedy,
        source,
    })
}
