//! W3C trace context into and out of headers.
//!
//! The journey: ingress [`extract_http`]s what the webhook brought and makes it the parent of its
//! span ([`set_parent`]); [`inject_nats`] carries it into the queue; the worker [`extract_nats`]s
//! it; [`inject_current`] hands it to the agent and to the channel.
//! Source: W3C Trace Context, <https://www.w3.org/TR/trace-context/>.

use std::str::FromStr as _;

use opentelemetry::{
    Context, global,
    propagation::{Extractor, Injector},
};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// `traceparent` and `tracestate` of the current span, for an outbound HTTP request; empty
/// outside of any span.
#[must_use]
pub fn inject_current() -> http::HeaderMap {
    let mut headers = http::HeaderMap::new();
    inject(&mut HttpHeaders(&mut headers));
    headers
}

/// Writes the current span's context into the headers of a NATS message.
pub fn inject_nats(headers: &mut async_nats::HeaderMap) {
    inject(&mut NatsHeaders(headers));
}

/// The context that an HTTP request brought; an empty one when it brought none.
#[must_use]
pub fn extract_http(headers: &http::HeaderMap) -> Context {
    extract(&HttpHeaders(headers))
}

/// The context that a NATS message brought; an empty one when it brought none.
#[must_use]
pub fn extract_nats(headers: Option<&async_nats::HeaderMap>) -> Context {
    headers.map_or_else(Context::new, |headers| extract(&NatsHeaders(headers)))
}

/// Makes a context the parent of a span; to be called before the span is entered for the first
/// time, or it has a parent already.
pub fn set_parent(span: &tracing::Span, parent: Context) {
    if let Err(error) = span.set_parent(parent) {
        tracing::debug!(error.message = %error, "the span keeps the parent it has");
    }
}

fn inject(carrier: &mut dyn Injector) {
    let context = tracing::Span::current().context();
    global::get_text_map_propagator(|propagator| propagator.inject_context(&context, carrier));
}

fn extract(carrier: &dyn Extractor) -> Context {
    // Not `extract`, which would fall back to whatever context this thread happens to be in.
    global::get_text_map_propagator(|propagator| propagator.extract_with_context(&Context::new(), carrier))
}

struct HttpHeaders<T>(T);

impl Injector for HttpHeaders<&mut http::HeaderMap> {
    fn set(&mut self, key: &str, value: String) {
        let pair = http::HeaderName::from_str(key).ok().zip(http::HeaderValue::try_from(value).ok());
        // An empty `tracestate` says nothing.
        if let Some((name, value)) = pair.filter(|(_, value)| !value.is_empty()) {
            self.0.insert(name, value);
        }
    }
}

impl Extractor for HttpHeaders<&http::HeaderMap> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

struct NatsHeaders<T>(T);

impl Injector for NatsHeaders<&mut async_nats::HeaderMap> {
    fn set(&mut self, key: &str, value: String) {
        if value.is_empty() {
            return;
        }
        if let Ok(value) = async_nats::HeaderValue::from_str(&value) {
            self.0.insert(key, value);
        }
    }
}

impl Extractor for NatsHeaders<&async_nats::HeaderMap> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(async_nats::HeaderValue::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_ref()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use opentelemetry::trace::TraceContextExt as _;

    use super::*;
    use crate::config::LogSettings;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn init() {
        let settings: HashMap<String, String> = HashMap::new();
        crate::telemetry::init(&LogSettings::load(&settings).unwrap(), "omnihub-test", &settings).unwrap();
    }

    fn webhook() -> http::HeaderMap {
        let mut headers = http::HeaderMap::new();
        headers.insert("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01").parse().unwrap());
        headers.insert("tracestate", "vendor=1".parse().unwrap());
        headers
    }

    #[test]
    fn a_trace_goes_from_http_through_nats_to_http() {
        init();
        let accepting = tracing::info_span!("accept");
        set_parent(&accepting, extract_http(&webhook()));
        let mut queued = async_nats::HeaderMap::new();
        accepting.in_scope(|| inject_nats(&mut queued));

        let turn = tracing::info_span!("turn");
        set_parent(&turn, extract_nats(Some(&queued)));
        let sent = turn.in_scope(inject_current);

        let parent = sent["traceparent"].to_str().unwrap();
        assert!(parent.contains(TRACE) && !parent.contains("b7ad6b7169203331") && parent.ends_with("-01"), "{parent}");
        assert_ne!(parent, queued.get("traceparent").unwrap().as_str());
        assert_eq!(sent["tracestate"], "vendor=1");
    }

    #[test]
    fn a_span_without_a_parent_starts_a_trace() {
        init();
        let sent = tracing::info_span!("turn").in_scope(inject_current);
        assert!(sent.contains_key("traceparent"));
        assert!(!sent.contains_key("tracestate"));
    }

    #[test]
    fn nothing_or_nonsense_brings_no_context() {
        init();
        let mut nonsense = http::HeaderMap::new();
        nonsense.insert("traceparent", "zz".parse().unwrap());
        for context in [extract_http(&nonsense), extract_http(&http::HeaderMap::new()), extract_nats(None)] {
            assert!(!context.span().span_context().is_valid());
        }
    }
}
