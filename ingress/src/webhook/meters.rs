//! Counters of the webhook door.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use omnihub_common::channel::whatsapp::event::Event;
use opentelemetry::{KeyValue, metrics::Counter};

/// Refused senders are logged so often at most; the counters have them all.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Counts what comes in and what is refused.
#[derive(Clone, Debug)]
pub struct WebhookMeters {
    webhooks: Counter<u64>,
    messages: Counter<u64>,
    refused: Counter<u64>,
    unverified: Counter<u64>,
    over_quota: Counter<u64>,
    last_log: Arc<Mutex<HashMap<(&'static str, String), Instant>>>,
}

impl Default for WebhookMeters {
    fn default() -> Self {
        let meter = opentelemetry::global::meter("omnihub");
        let counter = |name: &'static str, what: &'static str| meter.u64_counter(name).with_description(what).build();
        Self {
            webhooks: counter("omnihub_webhooks_total", "Webhooks answered with 200, by event"),
            messages: counter("omnihub_messages_accepted_total", "Messages the queue has confirmed"),
            refused: counter("omnihub_webhooks_refused_total", "Webhooks not answered with 200, by reason"),
            unverified: counter("omnihub_webhooks_unverified_total", "Webhooks of instances without a secret"),
            over_quota: counter("omnihub_backlog_refused_total", "Webhooks refused over an instance's backlog quota"),
            last_log: Arc::default(),
        }
    }
}

impl WebhookMeters {
    pub(super) fn accepted(&self, event: &Event) {
        self.webhooks.add(1, &[KeyValue::new("event", event.label())]);
    }

    pub(super) fn message(&self, instance: &str, duplicate: bool) {
        let labels = [KeyValue::new("instance", instance.to_owned()), KeyValue::new("duplicate", duplicate)];
        self.messages.add(1, &labels);
    }

    /// Counts a refusal under its problem's code; also what the middleware refuses.
    pub fn refused(&self, code: &'static str) {
        self.refused.add(1, &[KeyValue::new("reason", code)]);
    }

    pub(super) fn unverified(&self, instance: &str) {
        self.unverified.add(1, &[KeyValue::new("instance", instance.to_owned())]);
    }

    /// Logs a wrong secret, at most once a minute for each instance.
    pub(super) fn wrong_secret(&self, instance: &str) {
        if self.may_log("wrong_secret", instance) {
            tracing::warn!(instance.name = instance, "a webhook without the instance's secret was refused");
        }
    }

    /// Counts a webhook over the instance's quota, and logs it at most once a minute.
    pub(super) fn over_quota(&self, instance: &str, quota: u64) {
        self.over_quota.add(1, &[KeyValue::new("instance", instance.to_owned())]);
        if self.may_log("over_quota", instance) {
            tracing::warn!(instance.name = instance, quota.messages = quota, "an instance is over its backlog quota");
        }
    }

    /// Whether this was not logged for this instance within the minute.
    fn may_log(&self, what: &'static str, instance: &str) -> bool {
        let Ok(mut last) = self.last_log.lock() else { return true };
        last.retain(|_, at| at.elapsed() < LOG_EVERY);
        let key = (what, instance.to_owned());
        let may = !last.contains_key(&key);
        last.entry(key).or_insert_with(Instant::now);
        may
    }
}
