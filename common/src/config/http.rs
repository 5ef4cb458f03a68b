//! Where a program's HTTP server listens.

use super::{ConfigError, Settings, parse_or};

/// Where an HTTP server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpSettings {
    /// The address to bind.
    pub host: String,
    /// The port; 0 = any free one.
    pub port: u16,
}

impl HttpSettings {
    /// `API_HOST` (0.0.0.0) and `API_PORT` (8882): webhooks and the admin API.
    ///
    /// # Errors
    /// When the port is not a number from 0 to 65535.
    pub fn ingress(settings: &dyn Settings) -> Result<Self, ConfigError> {
        Self::load(settings, "API_HOST", "API_PORT", 8882)
    }

    /// `OMNIHUB_WORKER_HOST` (0.0.0.0) and `OMNIHUB_WORKER_PORT` (8883): a worker's health and
    /// metrics. Never `API_PORT`, so that both fit on one machine with one `.env`.
    ///
    /// # Errors
    /// When the port is not a number from 0 to 65535.
    pub fn worker(settings: &dyn Settings) -> Result<Self, ConfigError> {
        Self::load(settings, "OMNIHUB_WORKER_HOST", "OMNIHUB_WORKER_PORT", 8883)
    }

    fn load(
        settings: &dyn Settings,
        host: &'static str,
        port: &'static str,
        default_port: u16,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            host: settings.get(host).map_or_else(|| "0.0.0.0".to_owned(), |host| host.trim().to_owned()),
            port: parse_or(settings, port, default_port, "a port from 0 to 65535")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn each_role_has_its_own_port() {
        let settings = HashMap::from([("API_PORT".to_owned(), " 9000 ".to_owned())]);
        let (ingress, worker) = (HttpSettings::ingress(&settings).unwrap(), HttpSettings::worker(&settings).unwrap());
        assert_eq!((ingress.host.as_str(), ingress.port, worker.port), ("0.0.0.0", 9000, 8883));
    }

    #[test]
    fn a_bad_port_is_named() {
        let settings = HashMap::from([("API_PORT".to_owned(), "70000".to_owned())]);
        let error = HttpSettings::ingress(&settings).unwrap_err().to_string();
        assert_eq!(error, "setting API_PORT: expected a port from 0 to 65535");
    }
}
