//! Logs, spans and metrics, and the W3C trace context that ties them across processes.

pub mod propagation;
