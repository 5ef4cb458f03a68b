//! The protocol under thousands of random schedules of faults.

use proptest::prelude::*;

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
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_fault_makes_two_owners_act_nor_leaves_a_message_behind(schedule in schedules(300)) {
        if let Err(violation) = run(&schedule, Fault::None) {
            prop_assert!(false, "{violation}");
        }
    }
}
