//! A bar for work that takes long: on the terminal of a person, and nowhere else.

use std::io::{self, IsTerminal, Write};

/// How wide the bar is.
const WIDTH: u64 = 30;

/// Work of which it is known how much there is.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    total: u64,
    /// Something stands on the line.
    begun: bool,
    /// Nobody wants to see it.
    quiet: bool,
}

impl Progress {
    /// Work of so many pieces; `what` follows their number.
    #[must_use]
    pub fn new(what: &'static str, total: u64) -> Self {
        Self { what, total, begun: false, quiet: false }
    }

    /// The same, never drawn where `quiet` is true: the answer is for a program.
    #[must_use]
    pub fn quiet(mut self, quiet: bool) -> Self {
        self.quiet = quiet;
        self
    }

    /// Draws the bar anew, in the place of the one before. Nobody waits for a terminal that fails.
    pub fn show(&mut self, done: u64) {
        let mut stderr = io::stderr().lock();
        let is_terminal = stderr.is_terminal();
        self.draw(done, is_terminal, &mut stderr);
    }

    fn draw(&mut self, done: u64, is_terminal: bool, out: &mut impl Write) {
        if !self.quiet && is_terminal {
            self.begun = true;
            let _unseen = write!(out, "\r{}", line(self.what, done, self.total)).and_then(|()| out.flush());
        }
    }
}

impl Drop for Progress {
    /// What is printed next begins on a line of its own.
    fn drop(&mut self) {
        if self.begun {
            let _unseen = writeln!(io::stderr().lock());
        }
    }
}

fn line(what: &str, done: u64, total: u64) -> String {
    // More may have come to be done meanwhile.
    let total = total.max(done);
    let full = if total == 0 { WIDTH } else { (u128::from(done) * u128::from(WIDTH) / u128::from(total)) as u64 };
    let bar: String = (0..WIDTH).map(|place| if place < full { '█' } else { '░' }).collect();
    format!("{bar} {done} of {total} {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_for_programs_and_into_pipes() {
        let drawn = |quiet, is_terminal| {
            let mut out = Vec::new();
            let mut progress = Progress::new("letters", 4).quiet(quiet);
            progress.draw(1, is_terminal, &mut out);
            // Its end writes to the terminal of the test.
            progress.begun = false;
            String::from_utf8(out).unwrap()
        };
        assert!(drawn(false, true).ends_with("1 of 4 letters"));
        for (quiet, is_terminal) in [(true, true), (false, false), (true, false)] {
            assert_eq!(drawn(quiet, is_terminal), "", "{quiet} {is_terminal}");
        }
    }

    #[test]
    fn the_bar_grows_to_its_end_and_not_beyond() {
        assert!(line("traces deleted", 0, 10).starts_with("░") && !line("", 0, 10).contains('█'));
        assert_eq!(line("", 5, 10).matches('█').count(), 15);
        assert_eq!(line("x", 11, 10), format!("{} 11 of 11 x", "█".repeat(30)));
        assert_eq!(line("", 0, 0).matches('█').count(), 30);
        assert_eq!(line("", u64::MAX, u64::MAX).matches('█').count(), 30);
    }
}
