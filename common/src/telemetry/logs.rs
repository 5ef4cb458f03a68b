//! The log subscriber: standard output, the log file, and the spans' way to OpenTelemetry.

use std::io::IsTerminal as _;

use opentelemetry_sdk::trace::SdkTracer;
use tracing::{Level, Subscriber};
use tracing_appender::{
    non_blocking::WorkerGuard,
    rolling::{RollingFileAppender, Rotation},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    registry::LookupSpan,
    util::SubscriberInitExt as _,
};

use super::TelemetryError;
use crate::config::{LogFormat, LogSettings};

/// The name that always leads to today's log; the days themselves have their date behind it.
const LOG_FILE: &str = "omnihub_app.log";

/// Days of log files that are kept.
const DAYS: usize = 14;

type BoxedLayer<S> = Box<dyn Layer<S> + Send + Sync>;

/// Installs the subscriber for the process; the guard flushes the log file when dropped.
///
/// A subscriber that is there already (a test's) stays.
pub(super) fn install(log: &LogSettings, tracer: SdkTracer) -> Result<Option<WorkerGuard>, TelemetryError> {
    let to_stdout = lines(log, std::io::stdout, std::io::stdout().is_terminal())?;
    let (to_file, guard) = match log_file(log)? {
        None => (None, None),
        Some(file) => {
            let (writer, guard) = tracing_appender::non_blocking(file);
            (Some(lines(log, writer, false)?), Some(guard))
        }
    };
    // Only Omnihub's own spans: those of the HTTP, NATS and exporter libraries would drown them,
    // and the exporter's would make spans about sending spans.
    let spans = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(Targets::new().with_target("omnihub", Level::INFO));
    let layers: Vec<BoxedLayer<Registry>> =
        [Some(to_stdout), to_file, Some(spans.boxed())].into_iter().flatten().collect();
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(guard)
}

fn lines<S, W>(log: &LogSettings, writer: W, colours: bool) -> Result<BoxedLayer<S>, TelemetryError>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_new(&log.level).map_err(TelemetryError::LogLevel)?;
    let layer = fmt::layer().with_writer(writer).with_ansi(colours);
    Ok(match log.format {
        LogFormat::Pretty => layer.with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    })
}

fn log_file(log: &LogSettings) -> Result<Option<RollingFileAppender>, TelemetryError> {
    let Some(folder) = &log.folder else { return Ok(None) };
    // The link to today's file is written as the folder is named, so a relative name would lead
    // nowhere; and the appender complains on standard error about a folder that it then makes.
    let folder = std::path::absolute(folder).map_err(TelemetryError::LogFolder)?;
    std::fs::create_dir_all(&folder).map_err(TelemetryError::LogFolder)?;
    RollingFileAppender::builder()
        .rotation(Rotation::DAILY)
        .filename_prefix(LOG_FILE)
        .latest_symlink(LOG_FILE)
        .max_log_files(DAYS)
        .build(&folder)
        .map(Some)
        .map_err(TelemetryError::LogFile)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write as _, path::Path};

    use super::*;

    fn settings(folder: &Path) -> LogSettings {
        LogSettings { level: "info".into(), format: LogFormat::Json, folder: Some(folder.to_owned()) }
    }

    #[test]
    fn the_log_file_is_found_under_its_plain_name() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("made/for/it");
        let mut file = log_file(&settings(&inside)).unwrap().unwrap();
        file.write_all(b"a line\n").unwrap();
        assert_eq!(fs::read_to_string(inside.join(LOG_FILE)).unwrap(), "a line\n");
    }

    #[test]
    fn a_folder_that_cannot_be_made_names_the_setting() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = log_file(&settings(&file.path().join("x"))).unwrap_err();
        assert!(error.to_string().contains("LOG_FOLDER"));
    }
}
