//! Colours, where a person looks.

use std::fmt::Display;

use crate::show;

/// Paints text on a terminal, and leaves it plain elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    colours: bool,
}

impl Paint {
    /// Colours when standard output is a terminal that knows them, unless `NO_COLOR` says no.
    pub(super) fn of_stdout() -> Self {
        Self { colours: show::has_colours() }
    }

    /// No colours.
    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self { colours: false }
    }

    /// What stands out.
    pub(super) fn bold(self, text: impl Display) -> String {
        self.code("1", text)
    }

    /// What stands back.
    pub(super) fn dim(self, text: impl Display) -> String {
        self.code("2", text)
    }

    /// What the bot says, and what went well.
    pub(super) fn green(self, text: impl Display) -> String {
        self.code("32", text)
    }

    /// What the hub itself says.
    pub(super) fn yellow(self, text: impl Display) -> String {
        self.code("33", text)
    }

    /// What went wrong.
    pub(super) fn red(self, text: impl Display) -> String {
        self.code("31", text)
    }

    fn code(self, code: &str, text: impl Display) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_has_no_codes() {
        assert_eq!(Paint::plain().bold("a"), "a");
        assert_eq!(Paint { colours: true }.green("a"), "\u{1b}[32ma\u{1b}[0m");
    }
}
