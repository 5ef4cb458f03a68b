//! Whether two clocks agree. Pure.
//!
//! The hub gathers messages by the broker's clock, ends keys by its own, and Evolution signs by its
//! own; a minute between them is more than any of these forgives.

use super::Finding;

/// The word for what is looked at.
const CHECK: &str = "clock";
/// Milliseconds that nobody notices: an HTTP date has whole seconds.
const UNNOTICED: i64 = 2_000;
/// Milliseconds from which on messages go wrong.
const HARMFUL: i64 = 60_000;
/// What to do.
const REMEDY: &str = "Let both machines follow a time server, e.g. `timedatectl set-ntp true`.";

/// What somebody else's clock showed (in milliseconds since 1970, exact to `grain` milliseconds) to a
/// question that was asked and answered at these times of ours.
#[must_use]
pub fn compare(whose: &str, theirs: i64, grain: i64, asked: i64, answered: i64) -> Finding {
    // It was read at some moment in between: only what lies outside is a difference.
    let ahead = (theirs - answered).max(0);
    let behind = (asked - (theirs + grain)).max(0);
    let (off, word) = if ahead >= behind { (ahead, "ahead of") } else { (behind, "behind") };
    if off <= UNNOTICED {
        return Finding::ok(CHECK, format!("The clock of {whose} agrees with the hub's."));
    }
    let says = format!("The clock of {whose} is {} s {word} the hub's.", off / 1_000);
    if off <= HARMFUL { Finding::hint(CHECK, says, REMEDY) } else { Finding::problem(CHECK, says, REMEDY) }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn only_what_lies_outside_the_question_counts() {
        let found = |theirs| compare("the database", theirs, 0, 100_000, 104_000);
        for agrees in [98_000, 100_000, 104_000, 106_000] {
            assert_eq!(found(agrees).verdict, Verdict::Ok, "{agrees}");
        }
        assert_eq!(
            found(107_000),
            Finding::hint(CHECK, "The clock of the database is 3 s ahead of the hub's.", REMEDY)
        );
        assert_eq!(found(97_000).says, "The clock of the database is 3 s behind the hub's.");
        assert_eq!((found(30_000).verdict, found(200_000).verdict), (Verdict::Problem, Verdict::Problem));
        let date = compare("the Evolution server", 97_000, 1_000, 100_000, 100_000);
        assert_eq!(date.verdict, Verdict::Ok, "97.9 s is written as 97");
    }
}
