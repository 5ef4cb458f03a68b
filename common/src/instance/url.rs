//! The addresses that an admin gives: an agent's, an Evolution server's.

use url::Url;

use crate::config::{ConfigError, Settings};

/// The hub's own address, as others reach it: `OMNIHUB_PUBLIC_URL`.
///
/// # Errors
/// When it is set and is no base URL.
pub fn public_url(settings: &dyn Settings) -> Result<Option<String>, ConfigError> {
    let name = "OMNIHUB_PUBLIC_URL";
    let url = settings.get(name).map(|url| service_url(&url)).transpose();
    url.map_err(|problem| ConfigError::bad(name, problem.to_string()))
}

/// Why an address is refused. The address itself is not shown: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlProblem {
    /// No URL, or not one that we call.
    #[error("must be a URL that begins with http:// or https:// and names a host")]
    NotHttp,
    /// User or password in it: they would show in answers and logs.
    #[error("must not hold a user or password; keys have fields of their own")]
    Credentials,
    /// Paths are put behind it.
    #[error("must be a base URL, without a query or fragment")]
    NotABase,
}

/// Checks a base URL and gives it back as it was given, without white space around it.
///
/// # Errors
/// When it is not http or https with a host, or has a user, a password, a query or a fragment.
pub fn service_url(text: &str) -> Result<String, UrlProblem> {
    let text = text.trim();
    let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Err(UrlProblem::NotHttp);
    }
    let url = Url::parse(text).map_err(|_| UrlProblem::NotHttp)?;
    if !url.has_host() || text.contains(char::is_whitespace) {
        return Err(UrlProblem::NotHttp);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(UrlProblem::Credentials);
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(UrlProblem::NotABase);
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_called_and_what_is_not() {
        for good in ["http://localhost:4040", " https://a.example/api/ ", "http://[::1]:80", "HTTP://10.0.0.1"] {
            assert_eq!(service_url(good).as_deref(), Ok(good.trim()));
        }
        for bad in ["", "localhost:4040", "ftp://a", "http://", "http:a", "http://a b", "file:///etc", "évolution"] {
            assert_eq!(service_url(bad), Err(UrlProblem::NotHttp), "{bad}");
        }
        assert_eq!(service_url("http://me:pw@a"), Err(UrlProblem::Credentials));
        assert_eq!(service_url("http://a?token=x"), Err(UrlProblem::NotABase));
    }
}
