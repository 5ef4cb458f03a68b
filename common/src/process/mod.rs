//! What every program of Omnihub does at its edges, before and after its own work.
//!
//! The cast: [`run`] is the whole of a `main` (TLS provider, the limit of open files, settings,
//! telemetry, signals, and the one place where an error is printed); [`Program`] is what it hands
//! to the program; [`Stop`] is how a program ends; [`Ground`] is what ingress and worker both
//! stand on, and [`WaitingRoom`] answers while that is not there yet.
//!
//! What is absent: nothing here knows what a program does.

mod files;
mod ground;
mod listen;
mod stop;
mod waiting;

use std::{
    error::Error,
    io::{self, Write as _},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

pub use ground::{Ground, GroundError, Tenants};
pub use listen::{ListenError, listen};
pub use stop::Stop;
pub use waiting::WaitingRoom;

use crate::{
    config::{LogSettings, ProcessSettings, Settings},
    telemetry::{self, MetricsPage},
};

/// How long the runtime waits for blocking calls (a name lookup) when the program has ended.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(1);

/// An error of any kind, on its way to the person who started the program.
pub type AnyError = Box<dyn Error + Send + Sync>;

/// What a program gets to begin with.
pub struct Program {
    /// The environment over `.env`.
    pub settings: Arc<dyn Settings>,
    /// What `/metrics` answers.
    pub metrics: MetricsPage,
    /// When to end.
    pub stop: Stop,
}

/// Runs a program that serves until it is told to stop: the whole of its `main`.
///
/// Exit code 0 after a clean stop; 1 after an error, which is printed once, with its causes.
pub fn run<F, R, E>(service: &'static str, program: F) -> ExitCode
where
    F: FnOnce(Program) -> R,
    R: Future<Output = Result<(), E>>,
    E: Into<AnyError>,
{
    block_on(async move {
        let settings = ProcessSettings::load()?;
        let telemetry = telemetry::init(&LogSettings::load(&settings)?, service, &settings)?;
        settings.warn_about_skipped_lines();
        let stop = Stop::on_signals()?;
        let metrics = telemetry.metrics_page();
        let ended = program(Program { settings: Arc::new(settings), metrics, stop }).await.map_err(Into::into);
        telemetry.shutdown().await;
        ended
    })
}

/// Runs a command that ends by itself, without telemetry: its output belongs to the person.
pub fn block_on<R, E>(command: R) -> ExitCode
where
    R: Future<Output = Result<(), E>>,
    E: Into<AnyError>,
{
    install_tls();
    files::raise_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return report(&error),
    };
    let ended = runtime.block_on(command);
    runtime.shutdown_timeout(RUNTIME_PATIENCE);
    match ended.map_err(Into::into) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report(&*error),
    }
}

/// Makes aws-lc-rs the TLS provider of the process; to be called before anything dials. Without
/// it rustls panics on the first connection when more than one provider is linked.
pub fn install_tls() {
    // An error means that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

fn report(error: &(dyn Error + 'static)) -> ExitCode {
    // Nobody is left to tell when standard error is closed.
    let _ = io::stderr().lock().write_all(describe(error).as_bytes());
    ExitCode::FAILURE
}

/// The error and its causes, a line each; a cause that its effect has quoted already is left out.
fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = format!("omnihub: {error}\n");
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.contains(&line) {
            text.push_str(&format!("  because: {line}\n"));
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the hub cannot start; do this")]
    struct Top(#[source] io::Error);

    #[test]
    fn causes_are_printed_once() {
        let error = Top(io::Error::other(Top(io::Error::other("the disk is full"))));
        assert_eq!(describe(&error), "omnihub: the hub cannot start; do this\n  because: the disk is full\n");
    }

    #[test]
    fn the_exit_code_tells() {
        assert_eq!(block_on(async { Ok::<_, io::Error>(()) }), ExitCode::SUCCESS);
        assert_eq!(block_on(async { Err(io::Error::other("planted")) }), ExitCode::FAILURE);
    }
}
