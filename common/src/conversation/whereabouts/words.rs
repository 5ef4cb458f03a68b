//! A standing in a sentence.

use chrono::{DateTime, Utc};

use super::Standing;
use crate::trace::{Outcome, explain::sentence_of};

impl Standing {
    /// One sentence for people, as of `now`.
    #[must_use]
    pub fn sentence(&self, now: DateTime<Utc>) -> String {
        match self {
            Self::Queued { before: Some(0) } => "It is next in its conversation and waits for its turn.".to_owned(),
            Self::Queued { before: Some(1) } => "It waits in its conversation: 1 message comes before it.".to_owned(),
            Self::Queued { before: Some(n) } => format!("It waits in its conversation: {n} messages come before it."),
            Self::Queued { before: None } => "It waits in its conversation, behind many others.".to_owned(),
            Self::Gathering { until } => {
                format!("It waits for the person to finish writing, {} at the latest.", moment(*until, now))
            }
            Self::Starting { .. } => "Its turn has just begun.".to_owned(),
            Self::Asking { since, attempt } => {
                format!("The agent is being asked{}{}.", nth(*attempt), since_when(*since, now))
            }
            Self::Retrying { until, attempt, why } => {
                format!("It is tried again {} (attempt {attempt}), because {}.", moment(*until, now), clause(why))
            }
            Self::Held { why, until, .. } => {
                let look = until.map(|until| format!(" It is looked at again {}.", moment(until, now)));
                format!("It is held: {}{}", sentence_of(why), look.unwrap_or_default())
            }
            Self::Sending { bubble, of, since } => {
                format!("The answer is being sent: bubble {bubble} of {of}{}.", since_when(*since, now))
            }
            Self::Finishing { .. } => "Everything is done; its end is being made known.".to_owned(),
            Self::Recording => "It has ended; the outcome is on its way to the database.".to_owned(),
            Self::Dead { at, reason, .. } => {
                format!("It went to the dead letters{}: {}", when(*at, now), sentence_of(reason))
            }
            Self::Done { at, outcome, reason } => done(*at, *outcome, reason.as_deref(), now),
            Self::Unknown => "It is in a state that this version does not know: the worker is newer.".to_owned(),
        }
    }
}

fn done(at: Option<DateTime<Utc>>, outcome: Outcome, reason: Option<&str>, now: DateTime<Utc>) -> String {
    let when = when(at, now);
    match (outcome, reason) {
        (Outcome::Answered, _) => format!("It was answered{when}."),
        (Outcome::HandedOff, _) => format!("A person has taken over the conversation{when}."),
        (Outcome::Ignored | Outcome::Dead, Some(reason)) => format!("It was ignored{when}: {}", sentence_of(reason)),
        (Outcome::Ignored | Outcome::Dead, None) => format!("It was ignored{when}."),
    }
}

fn nth(attempt: u32) -> String {
    if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() }
}

fn since_when(since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    since.map(|since| format!(", for {} now", span((now - since).num_milliseconds()))).unwrap_or_default()
}

fn when(at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
    at.map(|at| format!(", {} ago", span((now - at).num_milliseconds()))).unwrap_or_default()
}

/// A moment that is to come.
fn moment(until: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let left = (until - now).num_milliseconds();
    if left <= 0 { "now".to_owned() } else { format!("in {}", span(left)) }
}

/// An error as the end of a sentence.
fn clause(text: &str) -> &str {
    text.trim().trim_end_matches('.')
}

/// A time span as people say it, in its one or two largest units.
#[must_use]
pub fn span(ms: i64) -> String {
    let ms = ms.max(0);
    let (seconds, minutes, hours) = (ms / 1000, ms / 60_000, ms / 3_600_000);
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..10_000 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10_000..60_000 => format!("{seconds} s"),
        60_000..3_600_000 => format!("{minutes} min {} s", seconds % 60),
        3_600_000..86_400_000 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{} d {} h", hours / 24, hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn spans_are_said_in_their_largest_units() {
        let said = [0, 999, 1_250, 12_000, 61_000, 3_660_000, 90_000_000].map(span);
        assert_eq!(said, ["0 ms", "999 ms", "1.2 s", "12 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
        assert_eq!(span(-5), "0 ms");
    }

    #[test]
    fn standings_read_as_sentences() {
        let now = DateTime::UNIX_EPOCH;
        let (before, after) = (now - TimeDelta::seconds(12), now + TimeDelta::seconds(28));
        let why = "the agent did not answer in time".to_owned();
        let error = None;
        for (standing, sentence) in [
            (Standing::Queued { before: Some(2) }, "It waits in its conversation: 2 messages come before it."),
            (Standing::Asking { since: Some(before), attempt: 1 }, "The agent is being asked, for 12 s now."),
            (
                Standing::Retrying { until: after, attempt: 2, why },
                "It is tried again in 28 s (attempt 2), because the agent did not answer in time.",
            ),
            (
                Standing::Held { why: "agent_key_refused".into(), error, until: Some(after) },
                "It is held: the agent refused the instance's key. It is looked at again in 28 s.",
            ),
            (Standing::Sending { bubble: 2, of: 5, since: None }, "The answer is being sent: bubble 2 of 5."),
            (
                Standing::Done { at: Some(before), outcome: Outcome::Ignored, reason: Some("from_me".into()) },
                "It was ignored, 12 s ago: it was written from the bot's own account.",
            ),
        ] {
            assert_eq!(standing.sentence(now), sentence);
        }
    }
}
