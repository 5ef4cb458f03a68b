//! W3C trace context into and out of headers.
