//! A nats-server of the test's own (`omnihub_stage::Nats`), for tests that panic.

use omnihub_stage::FsyncMode;

/// A running server. Killed on drop, its store deleted.
#[derive(Debug)]
pub(crate) struct Nats(omnihub_stage::Nats);

impl Nats {
    /// Starts a server on a free loopback port with an empty store.
    ///
    /// # Panics
    /// When there is no usable nats-server, or when it does not start.
    pub(crate) async fn start() -> Self {
        Self(omnihub_stage::Nats::start(FsyncMode::Default).await.unwrap_or_else(|problem| panic!("{problem:#}")))
    }

    /// `nats://127.0.0.1:<port>`; it stays the same over [`Nats::stop`] and [`Nats::start_again`].
    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.0.port()
    }

    /// The server's process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id().expect("a running server")
    }

    /// Kills the server (SIGKILL). The store stays.
    pub(crate) fn stop(&mut self) {
        self.0.kill9();
    }

    /// Kills the server and copies its store: what a power loss may leave.
    pub(crate) fn snapshot(&mut self, to: &std::path::Path) {
        self.0.kill9();
        self.0.snapshot(to).unwrap_or_else(|problem| panic!("{problem:?}"));
    }

    /// Kills the server and puts a copy back in the place of its store.
    pub(crate) fn put_back(&mut self, snapshot: &std::path::Path) {
        self.0.put_back(snapshot).unwrap_or_else(|problem| panic!("{problem:?}"));
    }

    /// Starts it again on the same port and store.
    ///
    /// # Panics
    /// When it does not start.
    pub(crate) async fn start_again(&mut self) {
        self.0.start_again().await.unwrap_or_else(|problem| panic!("{problem:#}"));
    }

    /// Starts it again on the same port with an empty store, as after the loss of its disk.
    ///
    /// # Panics
    /// When it does not start.
    pub(crate) async fn start_again_empty(&mut self) {
        self.stop();
        std::fs::remove_dir_all(self.0.store()).expect("a store to remove");
        self.start_again().await;
    }
}
