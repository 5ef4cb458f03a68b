//! The book's answers, one at a time; `schedules` has them all at once.

use super::*;

fn look(ready: &[&str]) -> Event {
    Event::Look { ready: ready.iter().map(|&id| id.to_owned()).collect(), from_the_dead: true }
}

/// One partition, claimed by its only worker under epoch 4.
fn owner() -> Book {
    let mut book = Book::new("me", 1);
    let claim = book.on(look(&["me"]));
    assert_eq!(claim, [Action::Claim { partition: 0, ask: 1, terms: Terms { above: 0, from_the_dead: true } }]);
    let begun = book.on(Event::Claimed { partition: 0, ask: 1, epoch: 4 });
    assert_eq!(begun, [Action::Begin { partition: 0, generation: 0 }]);
    book
}

#[test]
fn a_doubt_is_verified_and_ends_in_the_next_generation_or_in_loss() {
    let mut book = owner();
    assert_eq!(book.on(Event::Doubt(0)), [Action::Verify { partition: 0, ask: 2 }]);
    let ours = Event::Verified { partition: 0, ask: 2, verdict: Verdict::Ours };
    assert_eq!(book.on(ours), [Action::Begin { partition: 0, generation: 1 }]);

    assert_eq!(book.on(Event::Ended { partition: 0, epoch: 4, generation: 0 }), [], "an older consumer");
    let ended = book.on(Event::Ended { partition: 0, epoch: 4, generation: 1 });
    assert_eq!(ended, [Action::Verify { partition: 0, ask: 3 }]);
    let theirs = Event::Verified { partition: 0, ask: 3, verdict: Verdict::Theirs };
    assert_eq!(book.on(theirs), [Action::Drop(0)]);
    assert_eq!(book.owned().count(), 0);
}

#[test]
fn a_doubt_that_comes_while_another_is_verified_is_verified_too() {
    let mut book = owner();
    book.on(Event::Doubt(0));
    assert_eq!(book.on(Event::Doubt(0)), []);
    let ours = Event::Verified { partition: 0, ask: 2, verdict: Verdict::Ours };
    assert_eq!(book.on(ours), [Action::Verify { partition: 0, ask: 3 }]);
}

#[test]
fn an_answer_over_an_older_connection_changes_nothing() {
    let mut book = owner();
    book.on(Event::Doubt(0));
    assert_eq!(book.on(Event::Reconnected), [Action::Verify { partition: 0, ask: 3 }]);
    assert_eq!(book.on(Event::Verified { partition: 0, ask: 2, verdict: Verdict::Theirs }), []);
    assert_eq!(book.owned().count(), 1);
}

#[test]
fn a_broker_that_does_not_say_is_asked_again_by_the_next_look() {
    let mut book = owner();
    book.on(Event::Doubt(0));
    assert_eq!(book.on(Event::Verified { partition: 0, ask: 2, verdict: Verdict::Unknown }), []);
    assert_eq!(book.on(look(&["me"])), [Action::Verify { partition: 0, ask: 3 }]);
}

#[test]
fn what_was_dropped_without_a_word_is_waived_for_its_new_owner() {
    let mut book = owner();
    assert_eq!(book.on(Event::Lapsed), [Action::Drop(0), Action::LeaseAnew]);
    assert_eq!(book.on(look(&["another"])), [Action::Waive { partition: 0, ask: 2 }]);
    book.on(Event::Waived { partition: 0, ask: 2, done: false });
    assert_eq!(book.on(look(&["another"])), [Action::Waive { partition: 0, ask: 3 }]);
    book.on(Event::Waived { partition: 0, ask: 3, done: true });
    assert_eq!(book.on(look(&["another"])), []);
}

#[test]
fn a_partition_that_is_handed_over_stays_until_it_is_released() {
    let mut book = owner();
    assert_eq!(book.on(look(&["another"])), [Action::HandOver(0)]);
    assert_eq!(book.on(look(&["me"])), [], "not claimed while its release is on its way");
    book.on(Event::Released { partition: 0, epoch: 4, done: true });
    let terms = Terms { above: 4, from_the_dead: true };
    assert_eq!(book.on(look(&["me"])), [Action::Claim { partition: 0, ask: 2, terms }]);
}

#[test]
fn a_late_release_says_nothing_of_a_newer_ownership() {
    let mut book = owner();
    assert_eq!(book.on(look(&["another"])), [Action::HandOver(0)]);
    assert_eq!(book.on(Event::Confused), [Action::Drop(0)], "its turns are cut before anybody else may claim it");
    let terms = Terms { above: 4, from_the_dead: true };
    assert_eq!(book.on(look(&["me"])), [Action::Claim { partition: 0, ask: 2, terms }]);
    book.on(Event::Claimed { partition: 0, ask: 2, epoch: 5 });
    assert_eq!(book.on(look(&["another"])), [Action::HandOver(0)]);
    book.on(Event::Released { partition: 0, epoch: 4, done: true });
    assert!(book.is_leaving(0), "the second release is still on its way");
    book.on(Event::Released { partition: 0, epoch: 5, done: true });
    assert!(book.is_empty());
}

#[test]
fn a_claim_that_is_won_while_stopping_is_given_back() {
    let mut book = Book::new("me", 1);
    book.on(look(&["me"]));
    assert_eq!(book.on(Event::Stop), []);
    assert!(!book.is_empty(), "the claim is waited for");
    assert_eq!(book.on(Event::Claimed { partition: 0, ask: 1, epoch: 1 }), [Action::HandOver(0)]);
    book.on(Event::Released { partition: 0, epoch: 1, done: true });
    assert!(book.is_empty());
}

#[test]
fn a_consumer_of_a_higher_epoch_sends_the_next_claim_above_it() {
    let mut book = owner();
    let superseded = Event::Superseded { partition: 0, epoch: 4, generation: 0, by: 9 };
    assert_eq!(book.on(superseded), [Action::Drop(0)]);
    let terms = Terms { above: 9, from_the_dead: true };
    assert_eq!(book.on(look(&["me"])), [Action::Claim { partition: 0, ask: 2, terms }]);
}

#[test]
fn after_a_reconnection_a_name_that_a_store_put_back_may_bear_again_is_taken_off() {
    let mut book = owner();
    assert_eq!(book.on(look(&["another"])), [Action::HandOver(0)]);
    book.on(Event::Released { partition: 0, epoch: 4, done: true });
    assert_eq!(book.on(look(&["another"])), [], "the record is known not to say mine");
    assert_eq!(book.on(Event::Reconnected), []);
    let asked = book.on(look(&["another"]));
    assert!(matches!(asked[..], [Action::Waive { partition: 0, .. }]), "{asked:?}");
}

#[test]
fn a_release_from_before_a_reconnection_says_nothing_of_the_store_since() {
    let mut book = owner();
    assert_eq!(book.on(look(&["another"])), [Action::HandOver(0)]);
    assert_eq!(book.on(Event::Reconnected), [Action::Verify { partition: 0, ask: 2 }]);
    book.on(Event::Released { partition: 0, epoch: 4, done: true });
    assert_eq!(book.on(look(&["another"])), [Action::Waive { partition: 0, ask: 3 }]);
}
