//! The worker: turns, and the recorder of their traces.

pub mod recorder;
