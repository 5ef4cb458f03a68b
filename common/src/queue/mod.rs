//! The queue: an epoch work-queue on NATS JetStream.

pub mod streams;
