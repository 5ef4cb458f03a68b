//! Circuit breakers: one per agent, per Evolution server, and per server that writes down what is said.
//!
//! While a server keeps failing, its turns wait without burning attempts: the lane is parked, and
//! woken when the circuit closes. What a circuit does is in [`circuit`]; here they are kept by
//! address. Breakers live in one worker's memory: each worker finds out for itself.

mod circuit;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use omnihub_common::instance::{AgentSettings, ChannelSettings, Instance};
use tokio::sync::watch;

use circuit::{Admission, Call, Circuit};

/// From so many circuits on, those that know nothing are forgotten.
const MANY: usize = 4096;

/// The circuits of a worker.
#[derive(Debug)]
pub(crate) struct Breakers {
    began: Instant,
    circuits: Mutex<HashMap<Address, Arc<Breaker>>>,
}

/// What a circuit leads to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    /// An agent: its server and its name there, since one agent of many may be broken.
    Agent(String, String),
    /// An Evolution server.
    Evolution(String),
    /// A server that writes down what is said.
    Transcript(String),
}

impl Address {
    /// An agent.
    pub(crate) fn agent(agent: &AgentSettings) -> Self {
        Self::Agent(agent.api_url.clone(), agent.effective_agent().to_owned())
    }

    /// The server that an instance sends through; none where the channel has none.
    pub(crate) fn channel(instance: &Instance) -> Option<Self> {
        match &instance.channel {
            ChannelSettings::Whatsapp(whatsapp) => Some(Self::Evolution(whatsapp.evolution_url.clone())),
            ChannelSettings::Discord(_) | ChannelSettings::Slack(_) => None,
        }
    }
}

/// A circuit, and who waits for it.
#[derive(Debug)]
struct Breaker {
    began: Instant,
    circuit: Mutex<Circuit>,
    changed: watch::Sender<u64>,
}

/// A call that may be made. Say how it ended; a permit that is dropped says that it was cut.
#[derive(Debug)]
pub(crate) struct Permit {
    breaker: Arc<Breaker>,
    admitted: Admission,
    told: bool,
}

/// A call that may not be made now.
#[derive(Clone, Debug)]
pub(crate) struct Parked {
    /// Ask again after so long.
    pub(crate) at_most: Duration,
    /// Or when this changes: the circuit has.
    pub(crate) changed: watch::Receiver<u64>,
}

impl Breakers {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), circuits: Mutex::default() }
    }

    /// Asks whether a call may be made.
    pub(crate) fn admit(&self, address: &Address) -> Result<Permit, Parked> {
        let breaker = self.breaker(address);
        let changed = breaker.changed.subscribe();
        let admitted = breaker.lock().admit(breaker.now());
        match admitted {
            Admission::Wait(at_most) => Err(Parked { at_most, changed }),
            Admission::Go | Admission::Probe => Ok(Permit { breaker, admitted, told: false }),
        }
    }

    /// Whether calls are held back now; to ask this changes nothing.
    pub(crate) fn parked(&self, address: &Address) -> Option<Parked> {
        let breaker = self.breaker(address);
        let changed = breaker.changed.subscribe();
        let held = breaker.lock().held(breaker.now());
        held.map(|at_most| Parked { at_most, changed })
    }

    /// How many circuits hold calls back now: to agents, to Evolution servers.
    pub(crate) fn open(&self) -> (usize, usize) {
        let (circuits, now) = (self.lock(), self.began.elapsed());
        let open = circuits.iter().filter(|(_, breaker)| breaker.lock().is_open(now));
        open.fold((0, 0), |(agents, servers), (address, _)| match address {
            Address::Agent(..) => (agents + 1, servers),
            Address::Evolution(_) => (agents, servers + 1),
            Address::Transcript(_) => (agents, servers),
        })
    }

    fn breaker(&self, address: &Address) -> Arc<Breaker> {
        let mut circuits = self.lock();
        if let Some(known) = circuits.get(address) {
            return known.clone();
        }
        if circuits.len() >= MANY {
            let now = self.began.elapsed();
            circuits.retain(|_, breaker| Arc::strong_count(breaker) > 1 || !breaker.lock().is_idle(now));
        }
        let (changed, _) = watch::channel(0);
        let breaker = Arc::new(Breaker { began: self.began, circuit: Mutex::new(Circuit::new()), changed });
        circuits.insert(address.clone(), breaker.clone());
        breaker
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Arc<Breaker>>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Breaker {
    fn lock(&self) -> MutexGuard<'_, Circuit> {
        self.circuit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Permit {
    /// The server did its work.
    pub(crate) fn answered(mut self) {
        self.tell(Call::Answered);
    }

    /// The server did not.
    pub(crate) fn failed(mut self) {
        self.tell(Call::Failed);
    }

    fn tell(&mut self, call: Call) {
        self.told = true;
        let changed = self.breaker.lock().record(self.admitted, call, self.breaker.now());
        if changed {
            self.breaker.changed.send_modify(|version| *version += 1);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.told {
            self.tell(Call::Cut);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::tests::instance;

    #[test]
    fn a_circuit_opens_for_its_own_address_and_wakes_those_who_wait() {
        let breakers = Breakers::new();
        let (agent, other) = (Address::agent(&instance().agent), Address::Agent("http://other".into(), "x".into()));
        for _ in 0..10 {
            breakers.admit(&agent).unwrap().failed();
        }
        let parked = breakers.admit(&agent).unwrap_err();
        assert!(parked.at_most <= circuit::OPEN_FOR);
        assert_eq!(breakers.open(), (1, 0));
        assert!(breakers.admit(&other).is_ok());

        let probe = Permit { breaker: breakers.breaker(&agent), admitted: Admission::Probe, told: false };
        probe.answered();
        assert!(parked.changed.has_changed().unwrap());
        assert_eq!(breakers.open(), (0, 0));
    }
}
