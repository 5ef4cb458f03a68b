//! What is done to the hub and when: a pure function of the seed.
//!
//! The same seed, kind, length and shape make the same schedule on every machine and in every
//! version of this file's numbers: the random numbers are made here (SplitMix64) and nowhere else.

use std::time::Duration;

use clap::ValueEnum;
use omnihub_stage::proxy::{Side, Which};
use serde::Serialize;

/// The kinds of faults that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum FaultKind {
    /// kill -9 of a worker or an ingress, and its start again.
    Kill9,
    /// SIGSTOP of a worker or an ingress, for longer and shorter than the lease, and SIGCONT.
    Freeze,
    /// SIGTERM of a worker or an ingress, its end, and its start again.
    Sigterm,
    /// kill -9 of a nats-server, or of all of them, and their start again.
    Nats,
    /// PostgreSQL stopped as by a crash, and its start again.
    Database,
    /// The links between a process and the broker, the database and the agent: slowed, silenced,
    /// swallowing, half closed, reset, refused.
    Cut,
    /// All of these.
    Mixed,
    /// Not for asking: the machine itself was too busy for the broker.
    #[value(skip)]
    Stall,
}

impl FaultKind {
    /// The kinds that `mixed` mixes.
    pub const EACH: [Self; 6] = [Self::Kill9, Self::Freeze, Self::Sigterm, Self::Nats, Self::Database, Self::Cut];

    /// The word on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Kill9 => "kill9",
            Self::Freeze => "freeze",
            Self::Sigterm => "sigterm",
            Self::Nats => "nats",
            Self::Database => "database",
            Self::Cut => "cut",
            Self::Mixed => "mixed",
            Self::Stall => "stall",
        }
    }
}

/// A process of the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The nth worker.
    Worker(usize),
    /// The nth ingress.
    Ingress(usize),
}

impl Role {
    /// Which worker it is.
    #[must_use]
    pub fn worker(self) -> Option<usize> {
        match self {
            Self::Worker(nth) => Some(nth),
            Self::Ingress(_) => None,
        }
    }
}

/// A link with a proxy in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Link {
    /// Between one process and every nats-server.
    Broker(Role),
    /// Between all processes and PostgreSQL.
    Database,
    /// Between the workers and the agent.
    Agent,
}

/// What happens to a link.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cut {
    /// Connections are reset, once.
    Reset,
    /// Everything takes longer.
    Latency {
        /// At least so many milliseconds, each way.
        delay_ms: u64,
        /// And up to so many more.
        jitter_ms: u64,
    },
    /// Nothing arrives until it is over; then all of it does.
    Silent,
    /// What is sent is lost, and the connection is reset when it is over.
    Blackhole,
    /// One side is told that the other has ended, while the other may still speak.
    HalfClose {
        /// Whether it is the one who dialled.
        towards_client: bool,
    },
    /// New connections are refused, those that are there reset.
    Refuse,
}

impl Cut {
    /// The side of a half close.
    #[must_use]
    pub fn side(towards_client: bool) -> Side {
        if towards_client { Side::Client } else { Side::Server }
    }
}

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// kill -9; started again after the fault's length.
    Kill(Role),
    /// SIGSTOP; SIGCONT after the fault's length.
    Freeze(Role),
    /// SIGTERM; started again when it has ended, after the fault's length at the earliest.
    Stop(Role),
    /// kill -9 of the nth nats-server, or of all; started again after the fault's length.
    Broker {
        /// Which one; `None` = all.
        server: Option<usize>,
    },
    /// PostgreSQL stops; it starts again after the fault's length.
    Database,
    /// A link suffers for the fault's length.
    Link {
        /// Which link.
        link: Link,
        /// The nth connection alone; `None` = all of them.
        connection: Option<usize>,
        /// What happens to it.
        cut: Cut,
    },
}

impl Deed {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::Kill(_) => FaultKind::Kill9,
            Self::Freeze(_) => FaultKind::Freeze,
            Self::Stop(_) => FaultKind::Sigterm,
            Self::Broker { .. } => FaultKind::Nats,
            Self::Database => FaultKind::Database,
            Self::Link { .. } => FaultKind::Cut,
        }
    }

    /// Which connections of a link.
    #[must_use]
    pub fn which(connection: Option<usize>) -> Which {
        connection.map_or(Which::All, Which::Nth)
    }
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// When it begins, in milliseconds since the load began.
    pub at_ms: u64,
    /// How long it lasts, in milliseconds.
    pub lasts_ms: u64,
    /// What is done.
    pub deed: Deed,
}

impl Fault {
    /// When it is over, in milliseconds since the load began.
    #[must_use]
    pub fn ends_ms(&self) -> u64 {
        self.at_ms + self.lasts_ms
    }
}

/// The shape of what is hurt, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Shape {
    /// Workers.
    pub workers: usize,
    /// Ingresses.
    pub ingresses: usize,
    /// nats-servers: one or three.
    pub brokers: usize,
    /// The lease of a worker.
    pub lease: Duration,
    /// The faults end within so many milliseconds.
    pub length_ms: u64,
}

/// How long after the load begins the first fault may come.
const LEAD_MS: u64 = 1_000;

/// The faults of a seed, by their beginning.
///
/// No two of them touch one thing at once, each is over within `shape.length_ms`, and the
/// broker as a whole and the database are away for at most a few seconds: what is away for good
/// is no test of coming back.
#[must_use]
pub fn schedule(seed: u64, kind: FaultKind, shape: &Shape) -> Vec<Fault> {
    let mut dice = Dice(seed ^ (kind as u64) << 56);
    let mut faults: Vec<Fault> = Vec::new();
    let mut at_ms = LEAD_MS;
    loop {
        at_ms += dice.between(400, 2_200);
        let one = match kind {
            FaultKind::Mixed => dice.pick(&FaultKind::EACH),
            one => one,
        };
        let deed = deed(&mut dice, one, shape);
        let fault = Fault { at_ms, lasts_ms: length(&mut dice, &deed, shape), deed };
        if at_ms >= shape.length_ms {
            return faults;
        }
        let clashes = faults.iter().any(|other| other.ends_ms() >= fault.at_ms && touches(&other.deed, &deed));
        if !clashes && fault.ends_ms() < shape.length_ms {
            faults.push(fault);
        }
    }
}

/// Whether two deeds touch the same thing.
fn touches(one: &Deed, other: &Deed) -> bool {
    let things = |deed: &Deed| match deed {
        Deed::Kill(role) | Deed::Freeze(role) | Deed::Stop(role) => (Some(*role), None, false),
        Deed::Link { link: Link::Broker(role), .. } => (Some(*role), None, false),
        Deed::Link { link, .. } => (None, Some(*link), false),
        Deed::Database => (None, Some(Link::Database), false),
        Deed::Broker { .. } => (None, None, true),
    };
    let ((role, link, broker), (other_role, other_link, other_broker)) = (things(one), things(other));
    (role.is_some() && role == other_role) || (link.is_some() && link == other_link) || (broker && other_broker)
}

fn deed(dice: &mut Dice, kind: FaultKind, shape: &Shape) -> Deed {
    match kind {
        FaultKind::Kill9 => Deed::Kill(role(dice, shape)),
        FaultKind::Freeze => Deed::Freeze(role(dice, shape)),
        FaultKind::Sigterm => Deed::Stop(role(dice, shape)),
        FaultKind::Nats => {
            let all = shape.brokers == 1 || dice.one_in(4);
            Deed::Broker { server: (!all).then(|| dice.below(shape.brokers)) }
        }
        FaultKind::Database => Deed::Database,
        FaultKind::Cut | FaultKind::Mixed | FaultKind::Stall => {
            let link = match dice.below(4) {
                0 | 1 => Link::Broker(role(dice, shape)),
                2 => Link::Database,
                _ => Link::Agent,
            };
            let connection = dice.one_in(3).then(|| dice.below(8));
            Deed::Link { link, connection, cut: cut(dice, connection.is_some()) }
        }
    }
}

/// Workers are hurt three times as often as ingresses: they hold the conversations.
fn role(dice: &mut Dice, shape: &Shape) -> Role {
    if dice.one_in(4) { Role::Ingress(dice.below(shape.ingresses)) } else { Role::Worker(dice.below(shape.workers)) }
}

fn cut(dice: &mut Dice, alone: bool) -> Cut {
    match dice.below(if alone { 5 } else { 6 }) {
        0 => Cut::Reset,
        1 => Cut::Latency { delay_ms: dice.between(20, 250), jitter_ms: dice.between(0, 150) },
        2 => Cut::Silent,
        3 => Cut::Blackhole,
        4 => Cut::HalfClose { towards_client: dice.one_in(2) },
        _ => Cut::Refuse,
    }
}

/// Half of the faults that a lease can outlive are shorter than it, half longer.
fn length(dice: &mut Dice, deed: &Deed, shape: &Shape) -> u64 {
    let lease = u64::try_from(shape.lease.as_millis()).unwrap_or(u64::MAX / 8);
    match deed {
        Deed::Link { cut: Cut::Reset, .. } => 0,
        Deed::Stop(_) => dice.between(0, 1_500),
        Deed::Broker { .. } => dice.between(100, 2_500),
        Deed::Database => dice.between(500, 4_000),
        Deed::Link { link: Link::Agent | Link::Database, .. } => dice.between(200, 2_500),
        Deed::Kill(_) | Deed::Freeze(_) | Deed::Link { .. } => {
            if dice.one_in(2) {
                dice.between(50, lease / 2)
            } else {
                dice.between(lease, lease * 5 / 2)
            }
        }
    }
}

/// SplitMix64. Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators".
#[derive(Clone, Debug)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `least` up to, and without, `bound`; `least` when there is nothing between.
    pub fn between(&mut self, least: u64, bound: u64) -> u64 {
        least + self.roll().checked_rem(bound.saturating_sub(least)).unwrap_or_default()
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.between(0, bound as u64)).unwrap_or_default()
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.between(0, n) == 0
    }

    fn pick(&mut self, kinds: &[FaultKind; 6]) -> FaultKind {
        kinds[self.below(kinds.len())]
    }
}

#[cfg(test)]
mod tests;
