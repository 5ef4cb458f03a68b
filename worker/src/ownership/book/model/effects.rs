//! Requests of the model: applied by the broker, then answered.

use omnihub_common::queue::{OwnershipRecord, Step, Terms, step};

use super::{
    Violation, World,
    broker::{Consumer, TTL},
    fault::Fault,
    worker::{Answer, Found, Part, Request, Turn, What, at},
};
use crate::ownership::book::{Ask, Event, Verdict};

impl World {
    /// One request of a worker goes a step further: to the broker, or back.
    pub(super) fn progress(&mut self, nth: usize, which: usize) -> Result<(), Violation> {
        let worker = &mut self.workers[nth];
        if worker.requests.is_empty() {
            return Ok(());
        }
        let at = which % worker.requests.len();
        if worker.requests[at].answer.is_none() {
            let (what, incarnation) = (worker.requests[at].what.clone(), worker.incarnation);
            let answer = if worker.cut { Answer::Failed } else { self.apply(&what, incarnation)? };
            self.workers[nth].requests[at].answer = Some(answer);
        } else if worker.acts() {
            let request = worker.requests.remove(at);
            self.deliver(nth, request);
            // The shell looks at the lease after each event.
            self.notice(nth)?;
        }
        Ok(())
    }

    /// A task of the shell panics, or one that waits for nothing: what it asked for may reach the
    /// broker, and nobody hears of it.
    pub(super) fn panic(&mut self, nth: usize, which: usize) {
        let worker = &mut self.workers[nth];
        if !worker.acts() {
            return;
        }
        // The heart, the turns and the client library are no tasks of the shell.
        let others =
            |request: &Request| matches!(request.what, What::Beat { .. } | What::Write { .. } | What::Reconnected);
        let at = which % (worker.requests.len() + 1);
        if worker.requests.get(at).is_some_and(|request| !others(request)) {
            let request = worker.requests.remove(at);
            self.strays.extend(request.answer.is_none().then_some((request.what, worker.incarnation)));
        }
        worker.on(Event::Confused);
    }

    pub(super) fn stray(&mut self, which: usize) {
        if !self.strays.is_empty() {
            let (what, incarnation) = self.strays.remove(which % self.strays.len());
            // Nobody hears of it, and what the dead are refused is no fault.
            let _ = self.apply(&what, incarnation);
        }
    }

    fn apply(&mut self, what: &What, incarnation: u32) -> Result<Answer, Violation> {
        Ok(match what {
            What::Look => Answer::Names(self.broker.ready()),
            What::ReadAlive { .. } => Answer::Names(self.broker.alive()),
            What::ReadRecord { partition, .. } | What::Verify { partition, .. } | What::ReadOld { partition, .. } => {
                Answer::Record(self.broker.own.get(partition).cloned())
            }
            What::Claim { partition, record, expected, .. } | What::Bump { partition, record, expected, .. } => {
                self.authors.insert(record.nonce.clone(), incarnation);
                Answer::Written(self.broker.claim(*partition, record.clone(), *expected))
            }
            What::Release { partition, record, fence } => {
                let consumer = self.broker.consumers.get(partition);
                if consumer.is_some_and(|consumer| consumer.nonce == record.nonce) {
                    self.broker.consumers.remove(partition);
                }
                let released = OwnershipRecord::new("", record.epoch);
                Answer::Written(self.broker.claim(*partition, released, *fence))
            }
            What::Waive { partition, epoch, expected, .. } => {
                Answer::Written(self.broker.claim(*partition, OwnershipRecord::new("", *epoch), *expected))
            }
            What::Consume { partition, epoch, generation } => {
                Answer::Made(self.make_consumer(*partition, (*epoch, *generation), incarnation)?)
            }
            What::Write { partition, id, fence, record } => {
                Answer::Done(self.fenced_write(*partition, *id, *fence, record, incarnation)?)
            }
            What::Beat { .. } => {
                let now = self.now;
                let worker = self.workers.iter_mut().find(|worker| worker.incarnation == incarnation);
                match worker {
                    Some(worker) => Answer::Written(self.broker.beat(&worker.id, incarnation, worker.confirmed, now)),
                    None => Answer::Failed,
                }
            }
            What::ConsumerGone { .. } | What::Reconnected => Answer::Failed,
        })
    }

    fn make_consumer(
        &mut self,
        partition: u16,
        tag: (u64, u64),
        incarnation: u32,
    ) -> Result<Result<(), u64>, Violation> {
        let maker = self.workers.iter().find(|worker| worker.incarnation == incarnation);
        let Some(nonce) = maker.and_then(|maker| Some(maker.parts.get(&partition)?.record.nonce.clone())) else {
            // Its partition was lost while this was on its way; the server makes it all the same.
            return Ok(Err(0));
        };
        if let Some(there) = self.broker.consumers.get(&partition)
            && there.tag >= tag
            && there.nonce != nonce
            && self.fault != Fault::RetriesWithoutVerifying
        {
            return Ok(Err(there.tag.0));
        }
        self.broker.consumers.insert(partition, Consumer { tag, nonce });
        Ok(Ok(()))
    }

    fn fenced_write(
        &mut self,
        partition: u16,
        id: u64,
        fence: u64,
        record: &OwnershipRecord,
        incarnation: u32,
    ) -> Result<bool, Violation> {
        let current = self.broker.own.get(&partition).map(|(record, _)| record.clone());
        let written = self.broker.write(partition, fence, id);
        if written && current.as_ref() != Some(record) {
            return Err(format!("a past owner of {partition} wrote"));
        }
        let author = current.as_ref().and_then(|record| self.authors.get(&record.nonce));
        let alive = self.workers.iter().any(|worker| {
            worker.incarnation == incarnation && worker.parts.get(&partition).is_some_and(|part| !part.gone)
        });
        if !written && alive && author == Some(&incarnation) && !self.is_forgotten(partition) {
            return Err(format!("an owner of {partition} fenced its own turn"));
        }
        Ok(written)
    }

    fn deliver(&mut self, nth: usize, request: Request) {
        let (now, stale) = (self.now, request.connection != self.workers[nth].connection);
        let worker = &mut self.workers[nth];
        let answer = request.answer.unwrap_or(Answer::Failed);
        match (request.what, answer) {
            (What::Look, Answer::Names(ready)) if !stale && worker.lease.holds_at(at(now)) => {
                let from_the_dead = now > worker.reconnected + TTL;
                worker.on(Event::Look { ready, from_the_dead });
            }
            (What::Look, _) => {}
            (What::Reconnected, _) => {
                worker.reconnected = now;
                worker.on(Event::Reconnected);
            }
            (What::Beat { sent }, Answer::Written(Some(revision))) => {
                worker.confirmed = revision;
                worker.renewed(now, sent);
            }
            (What::Beat { .. }, _) => {}
            (What::Consume { partition, epoch, generation }, answer) => {
                self.consumer_made(nth, partition, epoch, generation, answer);
            }
            (What::ConsumerGone { partition, epoch, generation }, _) => {
                self.consumer_made(nth, partition, epoch, generation, Answer::Failed);
            }
            (What::Write { partition, id, record, .. }, answer) => {
                self.write_answered(nth, partition, id, &record, &answer)
            }
            (What::ReadOld { partition, ask }, Answer::Record(Some((record, expected))))
                if record.owner == worker.id =>
            {
                worker.ask(What::Waive { partition, ask, epoch: record.epoch, expected });
            }
            (What::ReadOld { partition, ask } | What::Waive { partition, ask, .. }, answer) => {
                let done = !matches!(answer, Answer::Failed | Answer::Written(None));
                worker.on(Event::Waived { partition, ask, done });
            }
            (What::Release { partition, record, .. }, answer) => {
                let held = worker.parts.get(&partition).map(|part| part.record.epoch);
                let epoch = if self.fault == Fault::LateNewsCounts { held.unwrap_or_default() } else { record.epoch };
                if held == Some(epoch) {
                    worker.parts.remove(&partition);
                }
                worker.on(Event::Released { partition, epoch, done: !matches!(answer, Answer::Failed) });
            }
            (what @ (What::Verify { .. } | What::Bump { .. }), answer) => {
                self.verify_answered(nth, what, answer, request.connection);
            }
            (what, answer) => self.claim_answered(nth, what, answer, request.connection),
        }
    }

    fn verify_answered(&mut self, nth: usize, what: What, answer: Answer, connection: u64) {
        let worker = &mut self.workers[nth];
        match (what, answer) {
            (What::Verify { partition, ask }, answer) => {
                let verdict = match (worker.parts.get_mut(&partition), answer) {
                    (Some(part), Answer::Record(Some((record, sequence)))) => {
                        if record == part.record && sequence == part.fence && !part.gone {
                            part.verified = connection;
                            Verdict::Ours
                        } else {
                            Verdict::Theirs
                        }
                    }
                    (_, Answer::Record(None)) => Verdict::Theirs,
                    _ => Verdict::Unknown,
                };
                worker.on(Event::Verified { partition, ask, verdict });
            }
            (What::Bump { partition, ask, record, .. }, answer) => {
                let verdict = match (worker.parts.get_mut(&partition), answer) {
                    (Some(part), Answer::Written(Some(fence))) => {
                        (part.record, part.fence, part.verified) = (record, fence, connection);
                        Verdict::Ours
                    }
                    (_, Answer::Written(None)) => Verdict::Theirs,
                    _ => Verdict::Unknown,
                };
                worker.on(Event::Verified { partition, ask, verdict });
            }
            _ => {}
        }
    }

    /// The steps of a claim: the record, then who is alive, then the write.
    fn claim_answered(&mut self, nth: usize, what: What, answer: Answer, connection: u64) {
        let worker = &mut self.workers[nth];
        match (what, answer) {
            (What::ReadRecord { partition, ask, terms, alive: None }, Answer::Record(record)) => {
                worker.ask(What::ReadAlive { partition, ask, terms, record: Some(record) });
            }
            (What::ReadRecord { partition, ask, terms, alive: Some(alive) }, Answer::Record(record)) => {
                self.decide(nth, (partition, ask), terms, &record, &alive);
            }
            (What::ReadAlive { partition, ask, terms, record: None }, Answer::Names(alive)) => {
                worker.ask(What::ReadRecord { partition, ask, terms, alive: Some(alive) });
            }
            (What::ReadAlive { partition, ask, terms, record: Some(record) }, Answer::Names(alive)) => {
                self.decide(nth, (partition, ask), terms, &record, &alive);
            }
            (What::Claim { partition, ask, record, .. }, Answer::Written(Some(fence))) => {
                let part = Part {
                    record: record.clone(),
                    fence,
                    verified: connection,
                    gone: false,
                    fenced: false,
                    listening: false,
                    releasing: false,
                    release_sent: false,
                    turn: None,
                };
                // Out of date: the book would ignore it.
                let before = worker.parts.insert(partition, part);
                worker.on(Event::Claimed { partition, ask, epoch: record.epoch });
                if !worker.book.owned().any(|own| own == partition) && !worker.book.is_leaving(partition) {
                    worker.parts.remove(&partition);
                } else if let Some(before) = before {
                    worker.parts.insert(partition, before);
                }
            }
            (
                What::ReadRecord { partition, ask, .. }
                | What::ReadAlive { partition, ask, .. }
                | What::Claim { partition, ask, .. },
                _,
            ) => worker.on(Event::NotClaimed { partition, ask }),
            _ => {}
        }
    }

    fn decide(&mut self, nth: usize, (partition, ask): (u16, Ask), terms: Terms, record: &Found, alive: &[String]) {
        let worker = &mut self.workers[nth];
        let read = record.as_ref().map(|(record, sequence)| (record, *sequence));
        match step(&worker.id, read, terms, |owner| alive.iter().any(|one| one == owner)) {
            Step::Claim { epoch, expected } => {
                let record = OwnershipRecord::new(&worker.id, epoch);
                worker.ask(What::Claim { partition, ask, record, expected });
            }
            Step::Wait => worker.on(Event::NotClaimed { partition, ask }),
        }
    }

    fn consumer_made(&mut self, nth: usize, partition: u16, epoch: u64, generation: u64, answer: Answer) {
        let worker = &mut self.workers[nth];
        match answer {
            Answer::Made(Ok(())) => {
                if let Some(part) = worker.parts.get_mut(&partition) {
                    part.listening |= part.record.epoch == epoch;
                }
            }
            _ if self.fault == Fault::RetriesWithoutVerifying => worker.begin(partition, generation),
            Answer::Made(Err(by)) => worker.on(Event::Superseded { partition, epoch, generation, by }),
            _ => worker.on(Event::Ended { partition, epoch, generation }),
        }
    }

    fn write_answered(&mut self, nth: usize, partition: u16, id: u64, record: &OwnershipRecord, answer: &Answer) {
        let worker = &mut self.workers[nth];
        let Some(part) = worker.parts.get_mut(&partition).filter(|part| part.record == *record) else { return };
        if part.turn != Some(Turn::Writing(id)) {
            return;
        }
        match answer {
            Answer::Done(true) => part.turn = None,
            Answer::Done(false) => {
                (part.gone, part.fenced, part.turn) = (true, true, None);
                worker.on(Event::Doubt(partition));
            }
            // Written again until the broker says yes or no.
            _ => part.turn = Some(Turn::Answered(id)),
        }
    }
}
