//! Which letters are meant.

use std::collections::BTreeSet;

use super::Summary;
use crate::{
    queue::{InstanceToken, PersonTracks},
    trace::bare_phone,
};

/// Letters to list, redrive or drop: every field that is set narrows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeadFilter {
    /// The instance's name.
    pub instance_name: Option<String>,
    /// Why they died.
    pub reason: Option<String>,
    /// The sender's phone, or that of the conversation; with or without its plus.
    pub phone: Option<String>,
    /// The conversation's name.
    pub session_name: Option<String>,
    /// Died at or after this moment, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Died at or before this moment.
    pub until: Option<i64>,
    /// Of one of this person's messages, by whatever is known of them.
    pub person: Option<PersonTracks>,
    /// Of one of these instances; what a reader may see, beside what they ask for.
    pub within: Option<BTreeSet<String>>,
}

impl DeadFilter {
    /// Whether it narrows nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        Self { within: None, ..self.clone() } == Self::default()
    }

    /// Whether a letter of this instance (as its subject names it) is meant.
    #[must_use]
    pub fn matches(&self, instance_token: &str, letter: &Summary) -> bool {
        let instance = InstanceToken::name(instance_token);
        self.instance_name.as_deref().is_none_or(|name| name == instance)
            && self.within.as_ref().is_none_or(|names| names.contains(instance))
            && self.reason.as_ref().is_none_or(|reason| *reason == letter.reason)
            && self.session_name.as_ref().is_none_or(|name| letter.session_name.as_ref() == Some(name))
            && self.phone.as_deref().is_none_or(|phone| is_of_phone(bare_phone(phone), letter))
            && self.person.as_ref().is_none_or(|person| person.has(letter))
            && self.since.is_none_or(|since| since <= letter.at)
            && self.until.is_none_or(|until| letter.at <= until)
    }
}

/// The sender's, or in a direct conversation, whose name ends with it, the person's.
fn is_of_phone(phone: &str, letter: &Summary) -> bool {
    let named = || letter.session_name.as_deref()?.strip_suffix(phone)?.strip_suffix('_');
    !phone.is_empty() && (letter.phone.as_deref() == Some(phone) || named().is_some())
}

/// The part of the stream that a long piece of work still has before it: what died meanwhile is
/// not its business, else a redrive of messages that die at once would never end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Up to here it is done.
    pub after: u64,
    /// The last letter that was there when the work began.
    pub upto: u64,
}

impl Stretch {
    /// Everything that is there now.
    pub const ALL: Self = Self { after: 0, upto: u64::MAX };

    /// Whether a place in the stream is in it.
    #[must_use]
    pub fn contains(&self, sequence: u64) -> bool {
        self.after < sequence && sequence <= self.upto
    }

    /// As a cursor for people to give back.
    #[must_use]
    pub fn to_cursor(self) -> String {
        format!("{}-{}", self.after, self.upto)
    }

    /// Reads a cursor back.
    #[must_use]
    pub fn of_cursor(text: &str) -> Option<Self> {
        let (after, upto) = text.split_once('-')?;
        Some(Self { after: after.parse().ok()?, upto: upto.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> Summary {
        Summary {
            reason: "agent_rejected".into(),
            at: 1_000,
            session_name: Some("acme_5511".into()),
            phone: Some("4422".into()),
            ..Summary::default()
        }
    }

    #[test]
    fn every_field_narrows() {
        let meant = |filter: DeadFilter| filter.matches("ac-me-7", &letter());
        let text = |text: &str| Some(text.to_owned());
        assert!(meant(DeadFilter::default()));
        assert!(meant(DeadFilter {
            instance_name: text("ac-me"),
            reason: text("agent_rejected"),
            ..DeadFilter::default()
        }));
        for name in ["ac", "ac-me-7", "AC-ME", "ac-me-", "me"] {
            assert!(!meant(DeadFilter { instance_name: text(name), ..DeadFilter::default() }), "{name}");
        }
        assert!(!meant(DeadFilter { reason: text("too_old"), ..DeadFilter::default() }));
        for phone in ["4422", "+4422", "5511", "+5511"] {
            assert!(meant(DeadFilter { phone: text(phone), ..DeadFilter::default() }), "{phone}");
        }
        for phone in ["422", "511", "+"] {
            assert!(!meant(DeadFilter { phone: text(phone), ..DeadFilter::default() }), "{phone}");
        }
        assert!(meant(DeadFilter { since: Some(1_000), until: Some(1_000), ..DeadFilter::default() }));
        assert!(!meant(DeadFilter { since: Some(1_001), ..DeadFilter::default() }));
        assert!(!meant(DeadFilter { until: Some(999), ..DeadFilter::default() }));
        assert!(!meant(DeadFilter { session_name: text("acme_55"), ..DeadFilter::default() }));
        let unreadable = Summary { reason: "unreadable".into(), ..Summary::default() };
        assert!(!DeadFilter { phone: text("1"), ..DeadFilter::default() }.matches("a-1", &unreadable));
    }

    #[test]
    fn a_cursor_is_read_back() {
        let stretch = Stretch { after: 3, upto: 9 };
        assert_eq!(Stretch::of_cursor(&stretch.to_cursor()), Some(stretch));
        assert!(!stretch.contains(3) && stretch.contains(4) && stretch.contains(9) && !stretch.contains(10));
        for text in ["", "-", "1", "a-b", "1-2-3"] {
            assert_eq!(Stretch::of_cursor(text), None, "{text}");
        }
    }
}
