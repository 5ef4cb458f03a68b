//! The page that Prometheus reads.

use opentelemetry_prometheus::PrometheusExporter;
use opentelemetry_sdk::error::OTelSdkError;
use prometheus::{Registry, TextEncoder};

/// Every metric of this process as text; clones show the same.
#[derive(Clone, Default)]
pub struct MetricsPage {
    registry: Registry,
}

impl MetricsPage {
    /// The content type to answer with. Source: Prometheus text format 0.0.4.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Makes the page and the reader that fills it from a meter provider.
    pub(super) fn new() -> Result<(Self, PrometheusExporter), OTelSdkError> {
        let registry = Registry::new();
        // Names are written in full where the instrument is made, so nothing is added to them.
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_units()
            .without_counter_suffixes()
            .scope_info_enabled(false)
            .build()?;
        Ok((Self { registry }, reader))
    }

    /// The metrics as of now, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        match TextEncoder::new().encode_to_string(&self.registry.gather()) {
            Ok(text) => text,
            Err(error) => {
                tracing::error!(error.message = %error, "the metrics page could not be written");
                String::new()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::{KeyValue, metrics::MeterProvider as _};
    use opentelemetry_sdk::metrics::SdkMeterProvider;

    use super::*;

    #[test]
    fn names_stand_on_the_page_as_they_were_given() {
        let (page, reader) = MetricsPage::new().unwrap();
        let provider = SdkMeterProvider::builder().with_reader(reader).build();
        let meter = provider.meter("omnihub");
        meter.u64_counter("omnihub_accepted_total").build().add(3, &[KeyValue::new("instance", "a")]);
        meter.f64_histogram("omnihub_turn_seconds").with_unit("s").build().record(0.2, &[]);
        let text = page.render();
        assert!(text.contains("omnihub_accepted_total{instance=\"a\"} 3"), "{text}");
        assert!(text.contains("omnihub_turn_seconds_count 1"), "{text}");
    }
}
