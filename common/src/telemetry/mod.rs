//! Logs, spans and metrics, and the W3C trace context that ties them across processes.
//!
//! The cast: [`init`] sets up all of it once per process and gives a [`Telemetry`];
//! [`MetricsPage`] is what `/metrics` answers; [`propagation`] carries the trace context through
//! HTTP and NATS headers.
//!
//! Spans and metrics go to an OpenTelemetry collector only when `OTEL_EXPORTER_OTLP_ENDPOINT`
//! names one; trace ids exist and travel on in any case.
//!
//! What is absent: no message body, phone number or key is logged above debug, and nothing here
//! knows what is measured. Each room makes its own instruments from
//! `opentelemetry::global::meter("omnihub")`.

mod logs;
mod metrics;
pub mod propagation;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use opentelemetry::{global, trace::TracerProvider as _};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource, metrics::SdkMeterProvider, propagation::TraceContextPropagator, trace::SdkTracerProvider,
};
use tracing_appender::non_blocking::WorkerGuard;

use crate::config::{LogSettings, Settings};

pub use metrics::MetricsPage;

/// The setting that names the collector.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// How long [`Telemetry::shutdown`] waits for the collector to take the last spans.
const FLUSH_PATIENCE: Duration = Duration::from_secs(3);

/// The telemetry of this process: OpenTelemetry's providers and the log subscriber are global by
/// nature, so the first [`init`] makes them and later ones (tests) get the same again.
static SHARED: Mutex<Option<Telemetry>> = Mutex::new(None);

/// Telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log folder cannot be made.
    #[error("setting LOG_FOLDER: the folder cannot be made")]
    LogFolder(#[source] std::io::Error),
    /// The log file cannot be made.
    #[error("setting LOG_FOLDER: the log file cannot be made there")]
    LogFile(#[source] tracing_appender::rolling::InitError),
    /// The log filter cannot be read.
    #[error("setting LOG_LEVEL: not a list of filter directives")]
    LogLevel(#[source] tracing_subscriber::filter::ParseError),
    /// The exporter to the collector cannot be made.
    #[error("setting OTEL_EXPORTER_OTLP_ENDPOINT: expected http://host:port of a collector that speaks OTLP over gRPC")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
    /// The metrics page cannot be made.
    #[error("the metrics page cannot be set up")]
    Metrics(#[source] opentelemetry_sdk::error::OTelSdkError),
}

/// A handle on the process's telemetry.
#[derive(Clone)]
pub struct Telemetry {
    tracer_provider: SdkTracerProvider,
    meter_provider: SdkMeterProvider,
    page: MetricsPage,
    /// Flushes the log file when it is dropped.
    log_file: Arc<Mutex<Option<WorkerGuard>>>,
}

impl Telemetry {
    /// What `/metrics` answers.
    #[must_use]
    pub fn metrics_page(&self) -> MetricsPage {
        self.page.clone()
    }

    /// The metrics as text, see [`MetricsPage::render`].
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.page.render()
    }

    /// Sends out what is still waiting: spans and metrics to the collector (at most three
    /// seconds), lines to the log file. To be called last.
    pub async fn shutdown(&self) {
        let (tracers, meters) = (self.tracer_provider.clone(), self.meter_provider.clone());
        let (done, flushed) = tokio::sync::oneshot::channel();
        // A plain thread: the flush blocks, and a collector that hangs must not hold the
        // runtime, which waits for its own blocking threads.
        std::thread::spawn(move || {
            let results = [tracers.force_flush(), meters.force_flush()];
            let _ = done.send(results.into_iter().find_map(Result::err));
        });
        match tokio::time::timeout(FLUSH_PATIENCE, flushed).await {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(error))) => {
                tracing::warn!(error.message = %error, "the last spans or metrics were not exported")
            }
            Ok(Err(_)) | Err(_) => tracing::warn!("the collector did not take the last spans in time"),
        }
        drop(self.log_file.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Sets up logs, spans and metrics for this process; `service` is the `service.name` of its
/// spans. Needs a Tokio runtime when a collector is named.
///
/// A second call gives the same telemetry again, whatever its settings.
///
/// # Errors
/// When the log folder, the log filter or the collector's address cannot be used.
pub fn init(log: &LogSettings, service: &'static str, settings: &dyn Settings) -> Result<Telemetry, TelemetryError> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(telemetry) = &*shared {
        return Ok(telemetry.clone());
    }
    let endpoint = settings.get(ENDPOINT);
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .build();
    let tracer_provider = tracers(endpoint.as_deref(), resource.clone())?;
    let (meter_provider, page) = meters(endpoint.as_deref(), resource)?;
    let log_file = logs::install(log, tracer_provider.tracer("omnihub"))?;

    global::set_text_map_propagator(TraceContextPropagator::new());
    global::set_tracer_provider(tracer_provider.clone());
    global::set_meter_provider(meter_provider.clone());
    let telemetry = Telemetry { tracer_provider, meter_provider, page, log_file: Arc::new(Mutex::new(log_file)) };
    *shared = Some(telemetry.clone());
    Ok(telemetry)
}

/// Every span gets an id and counts as sampled, collector or not: an agent that samples as its
/// caller does would otherwise record nothing.
fn tracers(endpoint: Option<&str>, resource: Resource) -> Result<SdkTracerProvider, TelemetryError> {
    let builder = SdkTracerProvider::builder().with_resource(resource);
    let Some(endpoint) = endpoint else { return Ok(builder.build()) };
    let exporter =
        SpanExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(TelemetryError::Exporter)?;
    Ok(builder.with_batch_exporter(exporter).build())
}

fn meters(endpoint: Option<&str>, resource: Resource) -> Result<(SdkMeterProvider, MetricsPage), TelemetryError> {
    let (page, reader) = MetricsPage::new().map_err(TelemetryError::Metrics)?;
    let builder = SdkMeterProvider::builder().with_resource(resource).with_reader(reader);
    let Some(endpoint) = endpoint else { return Ok((builder.build(), page)) };
    let exporter =
        MetricExporter::builder().with_tonic().with_endpoint(endpoint).build().map_err(TelemetryError::Exporter)?;
    Ok((builder.with_periodic_exporter(exporter).build(), page))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[tokio::test]
    async fn a_second_start_in_one_process_shares_the_first() {
        let settings: HashMap<String, String> = HashMap::new();
        let log = LogSettings::load(&settings).unwrap();
        let first = init(&log, "omnihub-test", &settings).unwrap();
        let second = init(&log, "omnihub-test", &settings).unwrap();
        global::meter("omnihub").u64_counter("omnihub_shared_test_total").build().add(2, &[]);
        first.shutdown().await;
        assert!(second.metrics_text().contains("omnihub_shared_test_total 2"), "{}", second.metrics_text());
    }
}
