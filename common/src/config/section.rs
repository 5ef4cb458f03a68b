//! The sections that every role shares.

use std::path::PathBuf;

use crate::secret::Secret;

/// `OMNIHUB_DATA_DIR` (default `data`): 0700, its files 0600.
#[derive(Clone, Debug)]
pub struct DataFolder(pub PathBuf);

/// `DATABASE_URL`, SQLAlchemy's forms translated.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// The URL as sea-orm reads it; it may hold a password.
    pub url: Secret,
}

/// `NATS_URL`; user, password or token may stand in it.
#[derive(Clone, Debug)]
pub struct NatsSettings {
    /// The URL.
    pub url: Secret,
}

/// Where an HTTP server listens.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// The address to bind.
    pub host: String,
    /// The port; 0 = any free one.
    pub port: u16,
}

/// `LOG_FORMAT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// For programs.
    Json,
}

/// `LOG_LEVEL`, `LOG_FORMAT`, `LOG_FOLDER`.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// An `EnvFilter` directive.
    pub level: String,
    /// The format.
    pub format: LogFormat,
    /// Where `omnihub_app.log` goes; unset = no file.
    pub folder: Option<PathBuf>,
}
