//! The protocol under thousands of random schedules of faults, and the faults it was built against
//! planted into it one by one: a model that does not find them would prove nothing.

use proptest::{
    prelude::*,
    test_runner::{TestError, TestRunner},
};

use super::model::{World, fault::Fault};

fn run(schedule: &[(u8, usize)], fault: Fault) -> Result<(), String> {
    let mut world = World::new(fault);
    let steps = schedule.iter().try_for_each(|(operation, which)| world.step(*operation, *which));
    steps.and_then(|()| world.settle()).map_err(|violation| format!("{violation}\n{}", world.describe()))
}

fn schedules(longest: usize) -> impl Strategy<Value = Vec<(u8, usize)>> {
    prop::collection::vec((0..World::OPERATIONS, any::<usize>()), 0..longest)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn no_fault_makes_two_owners_act_nor_leaves_a_message_behind(schedule in schedules(400)) {
        if let Err(violation) = run(&schedule, Fault::None) {
            prop_assert!(false, "{violation}");
        }
    }
}

/// The model must find the planted fault, and say this of it.
fn assert_found(fault: Fault, what: &str) {
    let config =
        ProptestConfig { cases: 20_000, max_shrink_iters: 0, failure_persistence: None, ..ProptestConfig::default() };
    let rng = proptest::test_runner::TestRng::deterministic_rng(config.rng_algorithm);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let result = runner.run(&schedules(400), |schedule| run(&schedule, fault).map_err(TestCaseError::fail));
    match result {
        Err(TestError::Fail(violation, _)) => assert!(violation.message().contains(what), "{}", violation.message()),
        other => panic!("{fault:?} is not found: {other:?}"),
    }
}

#[test]
fn liveness_that_is_read_before_the_record_is_found() {
    assert_found(Fault::LivenessFirst, "not its owner");
}

#[test]
fn a_stop_that_leaves_at_once_is_found() {
    assert_found(Fault::LeavesAtOnce, "");
}

#[test]
fn a_lapse_that_a_heartbeat_makes_forgotten_is_found() {
    assert_found(Fault::LapseForgotten, "not its owner");
}

#[test]
fn a_resync_that_bumps_the_epoch_is_found() {
    assert_found(Fault::ResyncBumpsEpoch, "fenced its own turn");
}

#[test]
fn a_refused_consumer_that_is_tried_again_without_verifying_is_found() {
    assert_found(Fault::RetriesWithoutVerifying, "");
}

#[test]
fn a_heartbeat_behind_the_claims_is_found() {
    assert_found(Fault::HeartBehindClaims, "although nothing was wrong");
}

#[test]
fn a_zombie_that_calls_between_its_heartbeat_and_its_end_is_found() {
    assert_found(Fault::ZombieCalls, "not its owner");
}

#[test]
fn a_write_over_a_new_connection_before_the_record_was_seen_is_found() {
    assert_found(Fault::WritesUnverified, "a past owner");
}
