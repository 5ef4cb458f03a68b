//! How a program logs.

use std::path::PathBuf;

use super::{ConfigError, Settings};

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

impl LogSettings {
    /// Reads the three settings; unset means `info`, `pretty` and no file.
    ///
    /// `LOG_LEVEL` is a level (the names of Python's logging too, which the older system used)
    /// or a list of filter directives (`info,omnihub_worker=debug`).
    ///
    /// # Errors
    /// When the level or the format is none of the known ones.
    pub fn load(settings: &dyn Settings) -> Result<Self, ConfigError> {
        let level = settings.get("LOG_LEVEL").unwrap_or_else(|| "info".to_owned());
        let format = settings.get("LOG_FORMAT").unwrap_or_else(|| "pretty".to_owned());
        Ok(Self {
            level: directives(level.trim())?,
            format: match format.trim().to_ascii_lowercase().as_str() {
                "pretty" | "text" => LogFormat::Pretty,
                "json" => LogFormat::Json,
                _ => return Err(ConfigError::bad("LOG_FORMAT", "expected pretty or json")),
            },
            folder: settings.get("LOG_FOLDER").map(|folder| PathBuf::from(folder.trim())),
        })
    }
}

/// The filter directives that a level means.
///
/// A bare level is meant for Omnihub: what it stands on (HTTP, NATS, SQL) then says warnings
/// only, since its lower levels drown ours and may quote what passes through.
fn directives(level: &str) -> Result<String, ConfigError> {
    let own = match level.to_ascii_lowercase().as_str() {
        "trace" | "notset" => "trace",
        "debug" => "debug",
        "info" => "info",
        "warn" | "warning" => "warn",
        "error" | "critical" | "fatal" => "error",
        "off" => return Ok("off".to_owned()),
        _ => return listed_directives(level),
    };
    let others = if own == "error" { "error" } else { "warn" };
    Ok(format!("{others},omnihub={own}"))
}

fn listed_directives(level: &str) -> Result<String, ConfigError> {
    match tracing_subscriber::EnvFilter::try_new(level) {
        // A single word that is no level would count as the name of a module and silence all.
        Ok(_) if level.contains(['=', ',']) => Ok(level.to_owned()),
        _ => Err(ConfigError::bad("LOG_LEVEL", "expected trace, debug, info, warn, error or filter directives")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn load(name: &str, value: &str) -> Result<LogSettings, ConfigError> {
        LogSettings::load(&HashMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn a_bare_level_is_ours_and_keeps_the_rest_quiet() {
        for (level, expected) in [
            ("INFO", "warn,omnihub=info"),
            ("debug", "warn,omnihub=debug"),
            ("WARNING", "warn,omnihub=warn"),
            ("CRITICAL", "error,omnihub=error"),
            ("info,omnihub_worker=debug", "info,omnihub_worker=debug"),
        ] {
            assert_eq!(load("LOG_LEVEL", level).unwrap().level, expected);
        }
        assert!(load("LOG_LEVEL", "loud").is_err());
        assert!(load("LOG_LEVEL", "omnihub=loud").is_err());
    }

    #[test]
    fn formats_are_known_by_name() {
        assert_eq!(load("LOG_FORMAT", "JSON").unwrap().format, LogFormat::Json);
        assert!(load("LOG_FORMAT", "xml").is_err());
        assert_eq!(load("LOG_FOLDER", "logs").unwrap().folder, Some(PathBuf::from("logs")));
    }
}
