//! What a doctor finds in a hub: a line for each thing looked at, and what to do about it.
//!
//! The cast: [`Finding`] is a line; [`database`], [`broker`] and [`workers`] look at what a hub stands
//! on; [`clock`] compares clocks; [`Probe`] asks whatever answers HTTP. [`within`] bounds each in time.
//!
//! What this is not for: nothing is changed and nothing is repaired here, and no line holds a secret.
//! Who looks at what, and on whose behalf, is decided by the ingress, and by the program where no
//! ingress answers.

pub mod broker;
pub mod clock;
pub mod database;
mod probe;
pub mod workers;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use probe::{Probe, Seen, Silence};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = FindingVerdict)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Worth knowing; it stops nothing, or may be meant so.
    Hint,
    /// Messages are lost, wait or go wrong because of it, or will.
    Problem,
}

impl Verdict {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Hint => "hint",
            Self::Problem => "problem",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What was looked at, a word or two.
    pub check: String,
    /// Of which instance; none = of the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// How bad it is.
    pub verdict: Verdict,
    /// What was found, a sentence.
    pub says: String,
    /// What to do, where something is to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &str, says: impl Into<String>) -> Self {
        Self { check: check.to_owned(), instance: None, verdict: Verdict::Ok, says: says.into(), remedy: None }
    }

    /// Worth knowing.
    pub fn hint(check: &str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Hint, remedy: Some(remedy.into()), ..Self::ok(check, says) }
    }

    /// Something is to be done.
    pub fn problem(check: &str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Problem, ..Self::hint(check, says, remedy) }
    }

    /// The same, of an instance.
    #[must_use]
    pub fn of(self, instance: &str) -> Self {
        Self { instance: Some(instance.to_owned()), ..self }
    }
}

/// What `look` finds in this time; that it did not end is a finding too.
pub async fn within(patience: Duration, check: &str, look: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    tokio::time::timeout(patience, look).await.unwrap_or_else(|_| {
        let says = format!("No answer within {} s.", patience.as_secs());
        vec![Finding::problem(check, says, "Look whether what is asked here is overloaded or cut off, then ask again.")]
    })
}

/// An error with its causes, on one line.
#[must_use]
pub fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let line = error.to_string();
        if !text.contains(&line) {
            text.push_str(&format!(": {line}"));
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_look_that_does_not_end_is_a_problem_of_its_own() {
        let found = within(Duration::from_millis(1), "broker", std::future::pending()).await;
        assert_eq!((found[0].verdict, found[0].check.as_str()), (Verdict::Problem, "broker"));
        let found = within(Duration::from_secs(60), "broker", async { vec![Finding::ok("broker", "It answers.")] });
        assert_eq!(found.await, [Finding::ok("broker", "It answers.")]);
    }

    #[test]
    fn a_finding_is_a_line_for_programs_too() {
        let found = Finding::problem("agent", "Nobody answers.", "Do this.").of("acme");
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"check": "agent", "instance": "acme", "verdict": "problem", "says": "Nobody answers.",
                "remedy": "Do this."})
        );
        assert_eq!(serde_json::from_value::<Finding>(json).unwrap(), found);
        assert!(Verdict::Problem > Verdict::Hint && Verdict::Hint > Verdict::Ok);
    }
}
