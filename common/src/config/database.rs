//! `DATABASE_URL`, in our form and in SQLAlchemy's, which the older system used.

use std::path::{Path, PathBuf};

use super::{ConfigError, DataFolder, Settings, parse_or};
use crate::secret::Secret;

/// The setting that names the database.
const NAME: &str = "DATABASE_URL";

/// The connections that one process keeps to PostgreSQL. Ten serve one ingress or worker with
/// room, and ten processes stay under PostgreSQL's own default limit of 100.
const CONNECTIONS: u32 = 10;

/// `DATABASE_URL`, SQLAlchemy's forms translated.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// The URL as sqlx reads it; it may hold a password.
    pub url: Secret,
    /// `OMNIHUB_DATABASE_CONNECTIONS`: the pool size on PostgreSQL; SQLite has one connection.
    pub connections: u32,
}

impl DatabaseSettings {
    /// Reads `DATABASE_URL`; unset, it is `omnihub.db` in the data folder.
    ///
    /// # Errors
    /// When the URL names neither SQLite nor PostgreSQL, or the pool size is not a number.
    pub fn load(settings: &dyn Settings, data: &DataFolder) -> Result<Self, ConfigError> {
        let url = match settings.get(NAME) {
            None => sqlite_url(&data.join("omnihub.db")),
            Some(url) => translate(url.trim(), Path::is_dir)?,
        };
        let name = "OMNIHUB_DATABASE_CONNECTIONS";
        let connections = parse_or(settings, name, CONNECTIONS, "a number from 1 to 1000")?;
        if !(1..=1000).contains(&connections) {
            return Err(ConfigError::bad(name, "expected a number from 1 to 1000"));
        }
        Ok(Self { url: Secret::new(url), connections })
    }

    /// Another database than the hub's own, as somebody names it: a URL in any of the forms of
    /// `DATABASE_URL`, or the path of a SQLite file.
    ///
    /// # Errors
    /// When it is a URL of something else; the error says so under `name`.
    pub fn named(name: &'static str, text: &str) -> Result<Self, ConfigError> {
        let text = text.trim();
        let is_url = text.contains("://") || text.starts_with("sqlite:");
        let url = match is_url {
            true => translate(text, Path::is_dir).map_err(|_| expected(name))?,
            false => sqlite_url(Path::new(text)),
        };
        Ok(Self { url: Secret::new(url), connections: 1 })
    }

    /// Whether the database is a SQLite file (else it is PostgreSQL).
    #[must_use]
    pub fn is_sqlite(&self) -> bool {
        self.url.expose().starts_with("sqlite:")
    }

    /// Where the data lies, for people: the file, or the host and the database's name; never the
    /// password.
    #[must_use]
    pub fn place(&self) -> String {
        let url = self.url.expose();
        if self.is_sqlite() {
            let path = url.strip_prefix("sqlite://").unwrap_or(url);
            return path.split('?').next().unwrap_or(path).to_owned();
        }
        match url::Url::parse(url) {
            Ok(url) => format!("postgresql://{}{}", url.host_str().unwrap_or("localhost"), url.path()),
            Err(_) => "postgresql".to_owned(),
        }
    }
}

fn expected(name: &'static str) -> ConfigError {
    ConfigError::bad(name, "expected sqlite://path/to/file.db or postgresql://user:password@host/name")
}

/// Translates a URL into the form that sqlx reads.
fn translate(url: &str, is_folder: impl Fn(&Path) -> bool) -> Result<String, ConfigError> {
    let expected = || expected(NAME);
    let (scheme, rest) = url.split_once(':').ok_or_else(expected)?;
    // SQLAlchemy names its driver behind a plus: `postgresql+psycopg2`.
    let dialect = scheme.split('+').next().unwrap_or(scheme);
    match dialect.to_ascii_lowercase().as_str() {
        "sqlite" => {
            let path = rest.split(['?', '#']).next().unwrap_or(rest);
            Ok(sqlite_path(path, is_folder).map_or_else(|| "sqlite::memory:".to_owned(), |path| sqlite_url(&path)))
        }
        "postgres" | "postgresql" if rest.starts_with("//") => {
            // asyncpg says `ssl` where libpq and sqlx say `sslmode`.
            let rest = rest.replace("?ssl=", "?sslmode=").replace("&ssl=", "&sslmode=");
            Ok(format!("postgresql:{rest}"))
        }
        _ => Err(expected()),
    }
}

/// The file that the part of a SQLite URL behind `sqlite:` means; `None` = in memory.
///
/// `//data/x.db` and `///./x.db` are relative, `////abs/x.db` is absolute. Three slashes and no
/// dot mean a relative path to SQLAlchemy and an absolute one to everybody else: it is absolute
/// when its first folder exists (`///var/lib/x.db`), else relative (`///x.db`).
fn sqlite_path(rest: &str, is_folder: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if matches!(path, "" | "/" | ":memory:" | "/:memory:") {
        return None;
    }
    let Some(after) = path.strip_prefix('/') else { return Some(PathBuf::from(path)) };
    if after.starts_with('/') || after.starts_with("./") || after.starts_with("../") {
        return Some(PathBuf::from(after));
    }
    let is_absolute = after.split_once('/').is_some_and(|(first, _)| is_folder(&Path::new("/").join(first)));
    Some(PathBuf::from(if is_absolute { path } else { after }))
}

/// sqlx decodes percent signs and ends the path at `?` and `#`.
fn sqlite_url(path: &Path) -> String {
    let path = path.display().to_string().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    format!("sqlite://{path}")
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn read(url: &str) -> String {
        translate(url, |path| path == Path::new("/var")).unwrap()
    }

    #[test]
    fn sqlite_urls_of_both_worlds_name_the_same_file() {
        for (url, expected) in [
            ("sqlite://data/omnihub.db", "sqlite://data/omnihub.db"),
            ("sqlite:x.db", "sqlite://x.db"),
            ("sqlite:///./x.db", "sqlite://./x.db"),
            ("sqlite:///../x.db?timeout=3", "sqlite://../x.db"),
            ("sqlite+aiosqlite:///./x.db", "sqlite://./x.db"),
            ("sqlite:////srv/x.db", "sqlite:///srv/x.db"),
            ("sqlite:///var/lib/x.db", "sqlite:///var/lib/x.db"),
            ("sqlite:///none/x.db", "sqlite://none/x.db"),
            ("sqlite:///x.db", "sqlite://x.db"),
            ("sqlite:///:memory:", "sqlite::memory:"),
            ("sqlite::memory:", "sqlite::memory:"),
            ("sqlite://", "sqlite::memory:"),
        ] {
            assert_eq!(read(url), expected, "{url}");
        }
    }

    #[test]
    fn drivers_are_taken_off_postgresql_urls() {
        for scheme in ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+asyncpg", "PostgreSQL"] {
            assert_eq!(read(&format!("{scheme}://u:p@h:1/d?x=1")), "postgresql://u:p@h:1/d?x=1");
        }
        assert_eq!(read("postgresql+asyncpg://h/d?ssl=require"), "postgresql://h/d?sslmode=require");
    }

    #[test]
    fn a_refused_url_is_named_and_not_shown() {
        for url in ["mysql://root:planted@h/d", "planted", "postgresql:planted"] {
            let error = translate(url, |_| false).unwrap_err().to_string();
            assert!(error.contains("DATABASE_URL") && !error.contains("planted"), "{error}");
        }
    }

    #[test]
    fn another_database_is_named_by_url_or_path() {
        let named = |text| DatabaseSettings::named("SOURCE", text).map(|settings| settings.url.expose().to_owned());
        assert_eq!(named(" data/automagik-omni.db ").unwrap(), "sqlite://data/automagik-omni.db");
        assert_eq!(named("/srv/a?b.db").unwrap(), "sqlite:///srv/a%3Fb.db");
        assert_eq!(named("sqlite:///./x.db").unwrap(), "sqlite://./x.db");
        assert_eq!(named("postgresql+psycopg2://u:p@h/d").unwrap(), "postgresql://u:p@h/d");
        let refused = named("mysql://root:planted@h/d").unwrap_err().to_string();
        assert!(refused.contains("SOURCE") && !refused.contains("planted"), "{refused}");
    }

    #[test]
    fn unset_means_a_file_in_the_data_folder() {
        let data = DataFolder("/srv/a?b/data".into());
        let settings = DatabaseSettings::load(&HashMap::new(), &data).unwrap();
        assert_eq!(settings.url.expose(), "sqlite:///srv/a%3Fb/data/omnihub.db");
        assert!(settings.is_sqlite());
    }

    #[test]
    fn the_place_hides_the_password() {
        let url = Secret::new("postgresql://user:planted@db.example/omnihub?x=1");
        let settings = DatabaseSettings { url, connections: 1 };
        assert_eq!(settings.place(), "postgresql://db.example/omnihub");
    }
}
