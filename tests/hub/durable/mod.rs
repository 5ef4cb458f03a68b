//! What was accepted is kept, answered once, and answered in order, whatever happens meanwhile.
//!
//! Most are tried on three shapes of the hub: `omnihub up` on SQLite and on PostgreSQL, and its parts
//! apart on PostgreSQL with a NATS server of their own; what needs one of them says so in its name.

mod broker;
mod cluster;
mod crash;
mod duplicates;
mod large;
mod load;
mod order;
mod rewind;
mod rolling;
mod stop;
mod takeover;
mod workers;

use std::time::Duration;

/// Far above what any step takes on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(30);
