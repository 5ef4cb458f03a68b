//! The real `omnihub` as a child process (`omnihub_stage::Hub`), for tests that panic.

use std::collections::HashMap;
use std::ops::{Deref, DerefMut};
use std::path::Path;

/// A hub, or one role of it, in a folder of its own. Killed on drop, and with it the nats-server
/// child that `omnihub up` would leave behind. A test that fails shows the end of its log.
#[derive(Debug)]
pub(crate) struct Hub(omnihub_stage::Hub);

impl Hub {
    /// Starts `omnihub <args>` with this environment, in an empty folder. `API_PORT`, and for a
    /// worker `OMNIHUB_WORKER_PORT`, is a free port unless the test says which.
    pub(crate) fn spawn(args: &[&str], env: &HashMap<String, String>) -> Self {
        Self::spawn_program(Path::new(env!("CARGO_BIN_EXE_omnihub")), args, env)
    }

    /// The same with a `.env` file in its folder.
    pub(crate) fn spawn_with_dotenv(args: &[&str], env: &HashMap<String, String>, dotenv: &str) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_omnihub"));
        Self(sure(omnihub_stage::Hub::spawn_with_files(program, args, env, &[(".env", dotenv)])))
    }

    /// The same with another program in the place of `omnihub`.
    pub(super) fn spawn_program(program: &Path, args: &[&str], env: &HashMap<String, String>) -> Self {
        Self(sure(omnihub_stage::Hub::spawn(program, args, env)))
    }

    /// Starts it again, with the same arguments, environment, folder and port; what it wrote
    /// before stays in the log.
    pub(crate) fn start_again(&mut self) {
        sure(self.0.start_again());
    }

    /// Waits until `/readyz` is 200.
    ///
    /// # Panics
    /// When it is not soon or when the process ends; the message holds the log's tail.
    pub(crate) async fn wait_ready(&mut self) {
        sure(self.0.wait_ready().await);
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// When it does not end; the message names the arguments.
    pub(crate) async fn terminate(&mut self) {
        sure(self.0.terminate().await);
    }
}

impl Deref for Hub {
    type Target = omnihub_stage::Hub;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Hub {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.kill9();
            eprintln!("the end of the log of omnihub {}:\n{}", self.0.command(), self.0.tail());
        }
    }
}

fn sure<T>(tried: anyhow::Result<T>) -> T {
    tried.unwrap_or_else(|problem| panic!("{problem:#}"))
}
