//! The faults that were once made, each with the schedule that shows it: the model finds it where
//! it is planted, and nothing where it is not.

use super::{Event, Fault, PARTITIONS, TTL, Turn, Violation, What, World};

impl World {
    /// Everything a worker has asked goes to the broker and back.
    fn finish(&mut self, nth: usize) -> Result<(), Violation> {
        for _ in 0..100 {
            self.progress(nth, 0)?;
        }
        Ok(())
    }

    /// The same but for the oldest of its requests.
    fn finish_but_the_first(&mut self, nth: usize) -> Result<(), Violation> {
        while self.workers[nth].requests.len() > 1 {
            self.progress(nth, 1)?;
        }
        Ok(())
    }

    fn look_and_finish(&mut self, nth: usize) -> Result<(), Violation> {
        self.look(nth);
        self.finish(nth)
    }

    /// Until all workers are ready and share the partitions.
    fn gather(&mut self) -> Result<(), Violation> {
        for _ in 0..40 {
            self.advance(TTL / 12)?;
            for nth in 0..self.workers.len() {
                self.look_and_finish(nth)?;
                self.release(nth, false);
                self.finish(nth)?;
            }
        }
        Ok(())
    }

    fn owner(&self, partition: u16) -> usize {
        let owner = self.workers.iter().position(|worker| worker.book.owned().any(|own| own == partition));
        owner.expect("an owner")
    }

    /// Another worker than this one takes the partition over, as far as the protocol lets it.
    fn take_over(&mut self, from: usize) -> Result<(), Violation> {
        for nth in (0..self.workers.len()).filter(|nth| *nth != from) {
            self.look_and_finish(nth)?;
        }
        Ok(())
    }

    /// A heartbeat before its time.
    fn beat_soon(&mut self, nth: usize) {
        self.workers[nth].next_beat = self.now;
        self.beat(nth);
    }

    fn expire(&mut self) -> Result<(), Violation> {
        for _ in 0..14 {
            self.advance(TTL / 12)?;
        }
        Ok(())
    }
}

/// The script passes as the protocol is, and is a violation with the fault.
fn shows(fault: Fault, what: &str, script: fn(&mut World) -> Result<(), Violation>) {
    assert_eq!(script(&mut World::new(Fault::None)), Ok(()));
    let violation = script(&mut World::new(fault)).expect_err("the fault is found");
    assert!(violation.contains(what), "{violation}");
}

#[test]
fn liveness_read_before_ownership_robs_an_owner_that_came_back() {
    shows(Fault::LivenessFirst, "not its owner", |world| {
        world.gather()?;
        let owner = world.owner(0);
        world.freeze(owner);
        world.expire()?;
        let others = (0..3).filter(|nth| *nth != owner);
        for nth in others.clone() {
            world.look(nth);
            // The look, and of each claim the first question.
            world.progress(nth, 0)?;
            world.progress(nth, 0)?;
            for at in 0..world.workers[nth].requests.len() {
                world.progress(nth, at)?;
            }
            for _ in 0..world.workers[nth].requests.len() {
                world.progress(nth, 0)?;
            }
        }
        world.thaw(owner);
        world.beat(owner);
        world.notice(owner)?;
        world.beat_soon(owner);
        world.look_and_finish(owner)?;
        assert_eq!(world.owner(0), owner);
        for nth in others {
            world.finish(nth)?;
        }
        world.post(0);
        world.begin_turn(owner, 0)
    });
}

#[test]
fn readiness_and_liveness_dropped_together_give_a_running_turn_away() {
    shows(Fault::LeavesAtOnce, "two calls", |world| {
        world.gather()?;
        let owner = world.owner(0);
        world.post(0);
        world.begin_turn(owner, 0)?;
        world.stop(owner);
        world.take_over(owner)?;
        (0..3).filter(|nth| *nth != owner).try_for_each(|nth| world.begin_turn(nth, 0))
    });
}

/// A worker is frozen until another one has taken over, then thawed; its heartbeat is the first of
/// its tasks that runs, and a turn the second.
fn thawed_heart_first(world: &mut World) -> Result<(), Violation> {
    world.gather()?;
    let owner = world.owner(0);
    world.freeze(owner);
    world.expire()?;
    world.take_over(owner)?;
    world.post(0);
    world.thaw(owner);
    world.beat(owner);
    world.begin_turn(owner, 0)
}

#[test]
fn a_lapsed_lease_renewed_before_anybody_noticed_lets_a_past_owner_call() {
    shows(Fault::LapseForgotten, "not its owner", thawed_heart_first);
}

#[test]
fn a_resumed_zombie_calls_between_renewal_and_drop() {
    shows(Fault::ZombieCalls, "not its owner", thawed_heart_first);
}

#[test]
fn a_resync_that_bumps_the_epoch_fences_the_turns_that_run() {
    shows(Fault::ResyncBumpsEpoch, "fenced its own turn", |world| {
        world.gather()?;
        let owner = world.owner(0);
        world.post(0);
        world.begin_turn(owner, 0)?;
        world.end_call(0);
        world.write(owner);
        world.doubt(owner, 0);
        // The doubt is settled while the write is on its way.
        world.progress(owner, 1)?;
        world.progress(owner, 1)?;
        world.finish(owner)
    });
}

#[test]
fn a_refused_puller_that_retries_instead_of_verifying_never_learns_that_it_lost() {
    shows(Fault::RetriesWithoutVerifying, "workers own", |world| {
        world.gather()?;
        let owner = world.owner(0);
        // The broker has lost its heartbeats, and the others believe it.
        let (id, part) = (world.workers[owner].id.clone(), &world.workers[owner].parts[&0]);
        let epoch = part.record.epoch;
        world.broker.retire(&id);
        world.broker.leave(&id);
        world.take_over(owner)?;
        world.workers[owner].tell(What::ConsumerGone { partition: 0, epoch, generation: 0 });
        world.finish(owner)?;
        let owners = world.workers.iter().filter(|worker| worker.book.owned().any(|own| own == 0)).count();
        if owners == 1 { Ok(()) } else { Err(format!("{owners} workers own partition 0")) }
    });
}

#[test]
fn a_heartbeat_behind_the_claims_loses_the_lease() {
    shows(Fault::HeartBehindClaims, "although nothing was wrong", |world| {
        world.look(0);
        world.progress(0, 0)?;
        world.progress(0, 0)?;
        assert!(world.workers[0].book.is_claiming());
        // The broker takes its time.
        world.expire()
    });
}

#[test]
fn a_write_over_a_new_connection_may_meet_a_fence_of_the_same_number() {
    shows(Fault::WritesUnverified, "a past owner", |world| {
        world.snapshot = Some(world.broker.clone());
        world.gather()?;
        let owner = world.owner(0);
        world.post(0);
        world.begin_turn(owner, 0)?;
        world.end_call(0);
        let (fence, turn) = (world.workers[owner].parts[&0].fence, world.workers[owner].parts[&0].turn);
        assert!(matches!(turn, Some(Turn::Answered(_))));
        world.put_back();
        // Another one is back first, and its claim gets the number that the store had given before.
        let other = (owner + 1) % 3;
        world.finish(other)?;
        world.beat_soon(other);
        world.look(other);
        world.progress(other, 0)?;
        world.progress(other, 0)?;
        for partition in 0..PARTITIONS {
            assert!(!world.broker.own.contains_key(&partition));
        }
        world.broker.count_to(fence - 1);
        world.finish(other)?;
        world.write(owner);
        world.finish(owner)
    });
}

#[test]
fn a_release_that_was_overtaken_takes_the_next_ownership_with_it() {
    shows(Fault::LateNewsCounts, "without a partition", |world| {
        world.gather()?;
        let owner = world.owner(0);
        let others: Vec<String> = (0..3).filter(|nth| *nth != owner).map(|nth| world.workers[nth].id.clone()).collect();
        world.workers[owner].on(Event::Look { ready: others, from_the_dead: false });
        world.release(owner, false);
        world.workers[owner].on(Event::Confused);
        world.look(owner);
        world.finish_but_the_first(owner)?;
        world.finish(owner)?;
        world.settle()
    });
}

#[test]
fn a_store_put_back_during_a_handover_names_nobody_who_does_not_know() {
    let script = |world: &mut World| {
        world.gather()?;
        let wanted = world.owner(0);
        world.kill(wanted);
        world.gather()?;
        let owner = world.owner(0);
        world.restart(wanted);
        while !world.broker.ready().contains(&world.workers[wanted].id) {
            world.advance(TTL / 12)?;
            (0..3).try_for_each(|nth| world.finish(nth))?;
        }
        world.snapshot = Some(world.broker.clone());
        let all = world.workers.iter().map(|worker| worker.id.clone()).collect();
        world.workers[owner].on(Event::Look { ready: all, from_the_dead: false });
        world.release(owner, false);
        let find = |world: &World, wanted: fn(&What) -> bool| {
            world.workers[owner].requests.iter().position(|request| wanted(&request.what)).expect("a request")
        };
        // The broker takes it, and its word comes after that of the next connection.
        world.progress(owner, find(world, |what| matches!(what, What::Release { .. })))?;
        world.put_back();
        world.progress(owner, find(world, |what| matches!(what, What::Reconnected)))?;
        world.settle()
    };
    assert_eq!(script(&mut World::new(Fault::None)), Ok(()));
}
