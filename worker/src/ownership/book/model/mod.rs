//! A model of several workers and their broker, around the real decisions.
//!
//! Real are the [`Book`](super::Book), the lease, the claim's `step`, the heartbeat's `contest` and
//! rendezvous. Modelled are the broker, the network, time, and turns: one conversation per
//! partition, each turn a call and a fenced write. [`World::step`] does one thing; what may never
//! happen makes it an error.

mod broker;
mod effects;
pub(super) mod fault;
mod scripts;
mod worker;

use std::collections::BTreeMap;

use self::{
    broker::{Broker, TTL},
    fault::Fault,
    worker::{Turn, What, Worker, at},
};
use super::Event;

const PARTITIONS: u16 = 3;
const WORKERS: usize = 3;

/// What may never happen, in words.
pub(super) type Violation = String;

struct Call {
    partition: u16,
    incarnation: u32,
    /// Its worker froze meanwhile, and cannot know better.
    exempt: bool,
}

pub(super) struct World {
    now: u64,
    fault: Fault,
    broker: Broker,
    snapshot: Option<Broker>,
    workers: Vec<Worker>,
    incarnations: u32,
    calls: Vec<Call>,
    /// Who wrote an ownership record, by its nonce.
    authors: BTreeMap<String, u32>,
    /// A store put back has forgotten an owner: until then two may act.
    forgotten: BTreeMap<u16, u64>,
    /// Requests of workers that are dead: on their way all the same.
    strays: Vec<(What, u32)>,
    messages: u64,
}

impl World {
    pub(super) fn new(fault: Fault) -> Self {
        let mut world = Self {
            now: 0,
            fault,
            broker: Broker::default(),
            snapshot: None,
            workers: Vec::new(),
            incarnations: 0,
            calls: Vec::new(),
            authors: BTreeMap::new(),
            forgotten: BTreeMap::new(),
            strays: Vec::new(),
            messages: 0,
        };
        for nth in 0..WORKERS {
            let worker = world.start(&format!("w{nth}"));
            world.workers.push(worker);
        }
        world
    }

    fn start(&mut self, id: &str) -> Worker {
        self.incarnations += 1;
        let mut worker = Worker::new(id, PARTITIONS, self.incarnations, self.now, self.fault);
        let ready = self.broker.ready();
        let settled = ready.is_empty() || ready.contains(&worker.id);
        worker.ready_from = Some(if settled { self.now } else { self.now + 2 * TTL });
        worker.confirmed = self.broker.join(id, self.incarnations, self.now);
        worker.renewed(self.now, self.now);
        if settled {
            self.broker.say_ready(id, self.now);
        }
        worker
    }

    /// One step of a schedule.
    pub(super) fn step(&mut self, operation: u8, which: usize) -> Result<(), Violation> {
        let nth = which % WORKERS;
        let partition = u16::try_from(which % usize::from(PARTITIONS)).unwrap_or_default();
        match operation {
            0..=2 => self.advance(TTL / 12)?,
            3 => self.advance(TTL / 3)?,
            4..=7 => self.look(nth),
            8..=17 => self.progress(nth, which / WORKERS)?,
            18..=20 => self.post(partition),
            21..=25 => self.begin_turn(nth, which / WORKERS)?,
            26..=28 => self.end_call(which),
            29..=32 => self.write(nth),
            33 => self.release(nth, false),
            34 => self.release(nth, true),
            35 => self.freeze(nth),
            36 | 37 => self.thaw(nth),
            38 => self.kill(nth),
            39 | 40 => self.restart(nth),
            41 => self.cut(nth),
            42 | 43 => self.heal(nth),
            44 => self.stop(nth),
            45 => self.slow_beat(nth),
            46 => self.lose_consumer(partition),
            47 => self.doubt(nth, partition),
            48 => self.snapshot = Some(self.broker.clone()),
            49 => self.put_back(),
            50 | 51 => self.stray(which),
            52 => self.panic(nth, which / WORKERS),
            _ => self.notice(nth)?,
        }
        self.end_cut_calls();
        Ok(())
    }

    /// How many kinds of steps there are.
    pub(super) const OPERATIONS: u8 = 54;

    fn advance(&mut self, time: u64) -> Result<(), Violation> {
        let end = self.now + time;
        while self.now < end {
            self.now += TTL / 60;
            self.broker.expire(self.now);
            for nth in 0..self.workers.len() {
                self.beat(nth);
                if self.workers[nth].acts() && !self.workers[nth].groggy {
                    self.notice(nth)?;
                }
            }
        }
        // Long enough for every task of a thawed worker to have run.
        for nth in 0..self.workers.len() {
            if self.workers[nth].acts() && time >= TTL / 3 {
                self.notice(nth)?;
            }
            self.end_stopped(nth);
        }
        self.end_cut_calls();
        Ok(())
    }

    /// The heart beats by itself, at its times.
    fn beat(&mut self, nth: usize) {
        let now = self.now;
        let worker = &mut self.workers[nth];
        let busy = worker.book.is_claiming() && self.fault == Fault::HeartBehindClaims;
        if !worker.acts() || worker.cut || busy || now < worker.next_beat {
            return;
        }
        worker.next_beat = now + TTL / 6;
        if worker.stopping && self.fault == Fault::LeavesAtOnce {
            return;
        }
        // Noted before the beat is sent.
        if self.fault != Fault::LapseForgotten {
            let _ = worker.lease.lapsed_at(at(now));
        }
        match self.broker.beat(&worker.id, worker.incarnation, worker.confirmed, now) {
            Some(revision) => {
                worker.confirmed = revision;
                worker.renewed(now, now);
                worker.excused &= !worker.lease.holds_at(at(now));
                if worker.ready_from.is_some_and(|from| from <= now) {
                    self.broker.say_ready(&worker.id, now);
                }
            }
            None => self.kill(nth),
        }
    }

    /// A heartbeat whose answer is long on its way.
    fn slow_beat(&mut self, nth: usize) {
        let (now, worker) = (self.now, &mut self.workers[nth]);
        if worker.acts() && !worker.cut && !worker.stopping {
            let _ = worker.lease.lapsed_at(at(now));
            worker.ask(What::Beat { sent: now });
        }
    }

    fn notice(&mut self, nth: usize) -> Result<(), Violation> {
        let worker = &mut self.workers[nth];
        if !worker.acts() {
            return Ok(());
        }
        let excused = worker.excused;
        if worker.notice_lapse(self.now) && !excused {
            return Err(format!("the lease of {} lapsed although nothing was wrong with it", worker.id));
        }
        Ok(())
    }

    fn look(&mut self, nth: usize) {
        let now = self.now;
        let worker = &mut self.workers[nth];
        let looking = worker.requests.iter().any(|request| matches!(request.what, What::Look));
        if worker.acts() && !worker.cut && !looking && worker.lease.holds_at(at(now)) {
            worker.ask(What::Look);
        }
    }

    fn post(&mut self, partition: u16) {
        self.messages += 1;
        self.broker.posted.entry(partition).or_default().push(self.messages);
    }

    /// A turn begins with its call; both ask whether they may.
    fn begin_turn(&mut self, nth: usize, which: usize) -> Result<(), Violation> {
        let now = self.now;
        let worker = &mut self.workers[nth];
        let candidates = worker.parts.iter().filter(|(_, part)| part.turn.is_none() && !part.fenced && !part.releasing);
        let candidates: Vec<u16> = candidates.map(|(partition, _)| *partition).collect();
        let waiting = |partition: &u16| self.broker.next_message(*partition).is_some();
        let candidates: Vec<u16> = candidates.into_iter().filter(waiting).collect();
        if candidates.is_empty() || !worker.acts() || worker.cut {
            return Ok(());
        }
        let partition = candidates[which % candidates.len()];
        let Some(id) = self.broker.next_message(partition) else { return Ok(()) };
        if !worker.may_act(partition, now) {
            return Ok(());
        }
        let incarnation = worker.incarnation;
        if let Some(part) = worker.parts.get_mut(&partition) {
            part.turn = Some(Turn::Calling(id));
            let current = self.broker.own.get(&partition).map(|(record, _)| record);
            if current != Some(&part.record) && !self.is_forgotten(partition) {
                return Err(format!("w{nth} calls for {partition} although it is not its owner"));
            }
        }
        let other = self.calls.iter().any(|call| call.partition == partition && !call.exempt);
        if other && !self.is_forgotten(partition) {
            return Err(format!("two calls for {partition} at once"));
        }
        self.calls.push(Call { partition, incarnation, exempt: false });
        Ok(())
    }

    fn is_forgotten(&self, partition: u16) -> bool {
        self.forgotten.get(&partition).is_some_and(|until| *until > self.now)
    }

    /// A call ends; its worker hears of it when it can.
    fn end_call(&mut self, which: usize) {
        if self.calls.is_empty() {
            return;
        }
        let at = which % self.calls.len();
        let (partition, incarnation) = (self.calls[at].partition, self.calls[at].incarnation);
        let worker = self.workers.iter_mut().find(|worker| worker.incarnation == incarnation);
        if let Some(worker) = worker.filter(|worker| worker.acts()) {
            if let Some(part) = worker.parts.get_mut(&partition)
                && let Some(Turn::Calling(id)) = part.turn
            {
                part.turn = Some(Turn::Answered(id));
            }
            self.calls.remove(at);
        }
    }

    fn write(&mut self, nth: usize) {
        let (now, fault) = (self.now, self.fault);
        let worker = &mut self.workers[nth];
        if !worker.acts() || worker.cut {
            return;
        }
        let answered = worker.parts.iter().find_map(|(partition, part)| match part.turn {
            Some(Turn::Answered(id)) => Some((*partition, id)),
            _ => None,
        });
        let Some((partition, id)) = answered else { return };
        if !worker.may_act(partition, now) {
            return;
        }
        let connection = worker.connection;
        if let Some(part) = worker.parts.get_mut(&partition) {
            if part.verified != connection && fault != Fault::WritesUnverified {
                return;
            }
            part.turn = Some(Turn::Writing(id));
            let (fence, record) = (part.fence, part.record.clone());
            worker.ask(What::Write { partition, id, fence, record });
        }
    }

    fn release(&mut self, nth: usize, cut: bool) {
        if self.workers[nth].acts() {
            for partition in 0..PARTITIONS {
                self.workers[nth].release(partition, cut);
            }
        }
    }

    fn freeze(&mut self, nth: usize) {
        let worker = &mut self.workers[nth];
        if worker.acts() {
            (worker.frozen, worker.excused) = (true, true);
            for call in self.calls.iter_mut().filter(|call| call.incarnation == worker.incarnation) {
                call.exempt = true;
            }
        }
    }

    fn thaw(&mut self, nth: usize) {
        let worker = &mut self.workers[nth];
        if worker.frozen {
            (worker.frozen, worker.groggy) = (false, true);
        }
    }

    fn kill(&mut self, nth: usize) {
        let worker = &mut self.workers[nth];
        if !worker.running {
            return;
        }
        (worker.running, worker.frozen) = (false, false);
        let unanswered = worker.requests.drain(..).filter(|request| request.answer.is_none());
        self.strays.extend(unanswered.map(|request| (request.what, worker.incarnation)));
        self.calls.retain(|call| call.incarnation != worker.incarnation);
    }

    fn restart(&mut self, nth: usize) {
        if !self.workers[nth].running {
            let id = self.workers[nth].id.clone();
            self.workers[nth] = self.start(&id);
        }
    }

    fn cut(&mut self, nth: usize) {
        let worker = &mut self.workers[nth];
        if worker.running && !worker.cut {
            (worker.cut, worker.excused) = (true, true);
            worker.fail_requests();
        }
    }

    fn heal(&mut self, nth: usize) {
        let worker = &mut self.workers[nth];
        if worker.running && worker.cut {
            worker.cut = false;
            worker.reconnect();
        }
    }

    /// SIGTERM.
    fn stop(&mut self, nth: usize) {
        let worker = &mut self.workers[nth];
        if !worker.acts() || worker.cut || worker.stopping {
            return;
        }
        (worker.stopping, worker.ready_from) = (true, None);
        self.broker.retire(&worker.id);
        if self.fault == Fault::LeavesAtOnce {
            self.broker.leave(&worker.id);
        }
        worker.on(Event::Stop);
    }

    /// One that stops leaves when nothing is its own any more.
    fn end_stopped(&mut self, nth: usize) {
        let worker = &self.workers[nth];
        if worker.stopping && worker.acts() && !worker.cut && worker.book.is_empty() {
            self.broker.leave(&worker.id);
            self.kill(nth);
        }
    }

    fn lose_consumer(&mut self, partition: u16) {
        let Some(consumer) = self.broker.consumers.remove(&partition) else { return };
        let (epoch, generation) = consumer.tag;
        for worker in self.workers.iter_mut().filter(|worker| worker.running) {
            if worker.parts.get(&partition).is_some_and(|part| part.record.nonce == consumer.nonce) {
                worker.tell(What::ConsumerGone { partition, epoch, generation });
            }
        }
    }

    fn doubt(&mut self, nth: usize, partition: u16) {
        if self.workers[nth].acts() {
            self.workers[nth].on(Event::Doubt(partition));
        }
    }

    /// A power loss: the broker comes back with the store of an earlier time.
    fn put_back(&mut self) {
        let Some(snapshot) = self.snapshot.clone() else { return };
        for partition in 0..PARTITIONS {
            if self.broker.own.get(&partition) != snapshot.own.get(&partition) {
                self.forgotten.insert(partition, self.now + 2 * TTL);
            }
        }
        self.strays.clear();
        self.broker.put_back(&snapshot);
        self.broker.expire(self.now);
        for worker in self.workers.iter_mut().filter(|worker| worker.running) {
            if worker.cut {
                worker.fail_requests();
            } else {
                worker.reconnect();
            }
        }
    }

    fn end_cut_calls(&mut self) {
        for worker in &mut self.workers {
            for partition in worker.cut_calls.drain(..) {
                let incarnation = worker.incarnation;
                self.calls.retain(|call| call.partition != partition || call.incarnation != incarnation);
            }
        }
    }

    /// The faults stop; everything must come right.
    pub(super) fn settle(&mut self) -> Result<(), Violation> {
        for nth in 0..WORKERS {
            self.thaw(nth);
            self.heal(nth);
        }
        if self.workers.iter().all(|worker| !worker.running || worker.stopping) {
            self.kill(0);
            self.restart(0);
        }
        for _ in 0..100 {
            self.advance(TTL / 12)?;
            for nth in 0..WORKERS {
                self.notice(nth)?;
                self.look(nth);
                for _ in 0..4 * PARTITIONS {
                    self.progress(nth, 0)?;
                    self.begin_turn(nth, 0)?;
                    self.end_call(0);
                    self.write(nth);
                }
                self.release(nth, false);
                self.end_cut_calls();
            }
        }
        self.is_settled()
    }

    /// Everything that may explain a violation.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("at {}: {:?} ready {:?}\n", self.now, self.broker.own, self.broker.ready());
        for worker in &self.workers {
            text.push_str(&format!(
                "{} #{} running {} frozen {} cut {} stopping {} lease {} since {} book {:?} requests {:?}\n",
                worker.id,
                worker.incarnation,
                worker.running,
                worker.frozen,
                worker.cut,
                worker.stopping,
                worker.lease.holds_at(at(self.now)),
                worker.reconnected,
                worker.book,
                worker.requests,
            ));
        }
        text
    }

    fn is_settled(&self) -> Result<(), Violation> {
        for partition in 0..PARTITIONS {
            let running = self.workers.iter().filter(|worker| worker.running);
            let owners: Vec<_> = running.filter(|worker| worker.book.owned().any(|own| own == partition)).collect();
            let [owner] = owners.as_slice() else {
                return Err(format!("{} workers own partition {partition} in the end", owners.len()));
            };
            let part = owner.parts.get(&partition).ok_or("an owner without a partition")?;
            let current = self.broker.own.get(&partition).map(|(record, _)| record);
            if current != Some(&part.record) {
                return Err(format!("{} believes to own {partition} and does not", owner.id));
            }
            let consumer = self.broker.consumers.get(&partition).map(|consumer| consumer.nonce.as_str());
            if consumer != Some(part.record.nonce.as_str()) || !part.listening {
                return Err(format!("nobody listens to {partition} in the end"));
            }
            if self.broker.next_message(partition).is_some() {
                return Err(format!("a message of {partition} is left behind"));
            }
        }
        Ok(())
    }
}
