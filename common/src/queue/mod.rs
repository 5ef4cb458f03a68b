//! The queue: an epoch work-queue on NATS JetStream.
//!
//! The cast, in the order a message meets them:
//!
//! - [`Subjects`]: where a message, a checkpoint or an outcome lives. The one place that builds
//!   subjects.
//! - [`Envelope`] and [`MessageId`]: what ingress puts into the stream, and its identity.
//! - [`Intake`]: ingress's side. It answers only after JetStream has confirmed.
//! - [`Membership`] and [`Lease`]: which workers are there, and whether this one may still act.
//! - [`Partition`]: a partition this worker owns. Its fence is the sequence of the ownership
//!   record; each checkpoint names it, so that the server refuses a writer that was replaced.
//! - [`pump()`]: the disposable consumer of one partition. It replays every unacked message in
//!   stream order whenever the owner, or a doubt about it, changes.
//! - [`Checkpoint`]: what a conversation must remember to go on elsewhere.
//! - [`DeadLetter`] and [`TraceBus`]: where a message goes that cannot be answered, and where
//!   its story goes.
//! - [`Backlogs`]: how much waits for each instance, so that none may fill the queue for all.
//! - [`ConfigWatch`] and [`announce_change`]: how every process hears that an instance was changed.
//! - [`Accounts`]: how the account of each instance is connected, and when the hub was away.
//! - [`IdempotencyKeys`] and [`SendOutcomes`]: a send that is asked for twice is sent once, and who
//!   asked for it hears how it ended.
//! - [`Sightings`]: where a conversation stands now, asked of its owner, else of the streams.
//!
//! The work-queue stream is the only truth. There is no NAK, no redelivery timer, no in-progress
//! ack and no scheduled message: waiting is the business of the owner's memory, which the replay
//! rebuilds.

mod accounts;
mod aliases;
mod backlog;
mod bucket;
mod checkpoint;
mod claim;
mod clock;
mod config;
mod confirm;
mod connect;
mod consumer;
pub mod dead;
mod envelope;
mod idempotency;
mod intake;
mod layout;
mod lease;
mod media;
mod media_link;
mod membership;
mod outcome;
mod own_lid;
mod ownership;
mod pace;
mod partition;
mod payload;
mod person;
mod purge;
mod sightings;
pub mod streams;
mod subject;
mod tracebus;
mod tracefeed;

pub use accounts::{AccountRecord, Accounts, Watched};
pub use aliases::{Alias, Aliases, Naming, PersonIds};
pub use backlog::{BACKLOG_INTERVAL, BacklogReport, Backlogs, PartitionBacklog};
pub use bucket::BucketError;
pub use checkpoint::{AgentSession, Answer, Awaiting, Checkpoint, DONE_IDS_KEPT, DONE_IDS_KEPT_FOR, OpenTurn, Phase};
pub use claim::{ClaimError, Claimant, Claimed, owner_recorded};
pub use clock::{now_ms, since_boot};
pub use config::{ConfigBucketError, ConfigWatch, announce_change};
pub use confirm::until_confirmed;
pub use connect::{ConnectError, Nats, connect};
pub use consumer::{Delivery, Fed, PumpEnd, pump};
pub use dead::{DeadLetter, DeadLetters};
pub use envelope::{
    Command, Envelope, EnvelopeBody, EnvelopeKind, LateAnswer, MessageId, MessageKey, Redrive, trace_id,
};
pub use idempotency::{Claiming, IdempotencyKeys, KeyClaim, KeyError, SAFE_TO_REPEAT};
pub use intake::{Accepted, Intake, IntakeError};
pub use layout::{Fsync, Layout, LayoutError};
pub use lease::Lease;
pub use media::{Media, MediaError};
pub use media_link::{MediaLink, MediaLinks};
pub use membership::{Membership, MembershipError, Roll};
pub use outcome::{ListenError, Listening, SendOutcome, SendOutcomes};
pub use own_lid::OwnLid;
pub use ownership::{Contest, OwnershipRecord, Step, Terms, contest, owner_of, step};
pub use partition::{Partition, SharedPartition, WriteError};
pub use payload::{HeldBytes, PayloadBudget};
pub use person::{PersonTracks, erase_person};
pub use purge::purge_instance;
pub use sightings::{SightingError, Sightings, Told};
pub use streams::{PrepareError, prepare, read_layout};
pub use subject::{InstanceToken, LaneAddress, Subjects, partition_of, token};
pub use tracebus::{TraceBus, TraceBusError};
pub use tracefeed::{Heard, TraceFeed};
