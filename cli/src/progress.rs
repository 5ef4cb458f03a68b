//! A bar for work that takes long: on the terminal of a person, and nowhere else.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar, how much is done of how much, of what, and how long it still takes.
const LINE: &str = "{bar:30} {human_pos} of {human_len} {msg} {eta}";

/// A bar for so many pieces of work; `what` follows their number. It goes to standard error, and is
/// gone when the work is done.
#[must_use]
pub fn bar(what: &'static str, total: u64) -> ProgressBar {
    // A line that cannot be read leaves the library's own.
    let style = ProgressStyle::with_template(LINE).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_message(what)
}

/// The same, drawn only where the answer is for people: not where they want JSON.
#[must_use]
pub fn bar_for_people(json: bool, what: &'static str, total: u64) -> ProgressBar {
    let bar = bar(what, total);
    if json {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    bar
}

/// So much is done. More may have come to be done meanwhile.
pub fn show(bar: &ProgressBar, done: u64) {
    if bar.length().is_some_and(|total| total < done) {
        bar.set_length(done);
    }
    bar.set_position(done);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_grows_to_its_end_and_not_beyond() {
        assert!(ProgressStyle::with_template(LINE).is_ok());
        let bar = bar("traces", 10);
        show(&bar, 5);
        assert_eq!((bar.position(), bar.length()), (5, Some(10)));
        show(&bar, 11);
        assert_eq!((bar.position(), bar.length()), (11, Some(11)));
        assert!(bar_for_people(true, "traces", 10).is_hidden());
    }
}
