//! What a person reads when the hub is up.

use std::{
    fmt::{self, Display, Formatter},
    io::Write as _,
    net::SocketAddr,
    path::Path,
    time::Instant,
};

use omnihub_common::secret::Secret;

/// The block that `omnihub up` prints once, on standard output.
pub(crate) struct Banner<P> {
    /// Where the hub is reached.
    pub(crate) url: String,
    /// The admin key, when this start has made it.
    pub(crate) new_admin_key: Option<Secret>,
    /// Where the admin key is kept.
    pub(crate) admin_key_file: P,
    /// The data folder.
    pub(crate) data: P,
    /// The database, without its password.
    pub(crate) database: String,
    /// When the start began.
    pub(crate) started: Instant,
}

impl<P: AsRef<Path>> Banner<P> {
    /// Prints it; a closed standard output is nobody's loss.
    pub(super) fn print(&self) {
        let _ = std::io::stdout().lock().write_all(self.to_string().as_bytes());
    }
}

impl<P: AsRef<Path>> Display for Banner<P> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        writeln!(f, "\n  Omnihub is up after {} ms\n", self.started.elapsed().as_millis())?;
        writeln!(f, "    Webhooks   {url}/webhook/evolution")?;
        writeln!(f, "    Admin API  {url}/api/v1")?;
        if let Some(key) = &self.new_admin_key {
            let file = self.admin_key_file.as_ref().display();
            writeln!(f, "    Admin key  {}", key.expose())?;
            writeln!(f, "               (new, and shown only now; it is kept in {file})")?;
        }
        writeln!(f, "    Data       {}", self.data.as_ref().display())?;
        writeln!(f, "    Database   {}", self.database)?;
        writeln!(f, "    Stop       Ctrl-C; a second one stops at once\n")
    }
}

/// The URL of an address, as a browser on this machine reaches it.
pub(super) fn local_url(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_unspecified() => format!("http://127.0.0.1:{}", address.port()),
        _ => format!("http://{address}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_key_shows_only_when_it_is_new() {
        let mut banner = Banner {
            url: local_url("0.0.0.0:8882".parse().unwrap()),
            new_admin_key: Some(Secret::new("omni_planted")),
            admin_key_file: "/d/admin.key",
            data: "/d",
            database: "/d/omnihub.db".to_owned(),
            started: Instant::now(),
        };
        let text = banner.to_string();
        assert!(text.contains("http://127.0.0.1:8882/webhook/evolution") && text.contains("omni_planted"), "{text}");
        banner.new_admin_key = None;
        assert!(!banner.to_string().contains("Admin key"));
    }

    #[test]
    fn a_url_keeps_a_named_address() {
        assert_eq!(local_url("[::1]:80".parse().unwrap()), "http://[::1]:80");
    }
}
