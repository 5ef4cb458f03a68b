//! `docs/troubleshooting.md`, made to happen: each symptom on the page with real parts, the line that
//! names it, and the command that mends it.
//!
//! A [`Symptom`] is a section of the page. The tests here find its lines in what `omnihub doctor` and
//! `omnihub explain` say, and run its commands; [`page`] compares the page with the symptoms.

mod agent;
mod evolution;
mod hub;
mod messages;
mod page;
mod tenants;

use serde_json::Value;

use crate::{
    doctor::{command, examine},
    harness::{ADMIN_KEY, DEADLINE, Site, until},
};

/// A section of the page.
#[derive(Debug)]
pub(crate) struct Symptom {
    /// Its heading.
    pub(crate) title: &'static str,
    /// What names it.
    pub(crate) lines: &'static [Line],
    /// What mends it; words in capitals stand for values.
    pub(crate) mends: &'static [&'static str],
}

/// A line that the page quotes. One that ends with `…` goes on with what differs.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Line {
    /// A finding: its verdict, its check, and its sentence.
    Doctor(&'static str, &'static str, &'static str),
    /// Words of an explanation.
    Explain(&'static str),
}

impl Line {
    /// As the page shows it.
    pub(crate) fn quoted(self) -> String {
        match self {
            Self::Doctor(verdict, check, says) => format!("> doctor: {verdict} · {check} · {says}"),
            Self::Explain(words) => format!("> explain: {words}"),
        }
    }
}

impl Symptom {
    /// Waits until every line is there that names it, of an explanation about this trace.
    pub(crate) async fn shows(&self, site: &Site, trace: Option<&str>) {
        for line in self.lines {
            until(&line.quoted(), DEADLINE, async || match *line {
                Line::Doctor(verdict, check, says) => {
                    let (code, report) = examine(site, ADMIN_KEY, "").await;
                    let found = named(&report, verdict, check, says);
                    if let Some(finding) = found {
                        self.assert_remedy(finding);
                        assert_eq!(code, Some(if report["problems"] == 0 { 0 } else { 1 }));
                    }
                    found.is_some()
                }
                Line::Explain(words) => {
                    let trace = trace.expect("a trace to explain");
                    let (_, told, complaint) = command(site, ADMIN_KEY, &format!("explain {trace}")).await;
                    assert!(complaint.is_empty(), "{complaint}");
                    told.contains(words)
                }
            })
            .await;
        }
    }

    /// What the doctor says to do is what the page says.
    pub(crate) fn assert_remedy(&self, finding: &Value) {
        if let Some(first) = self.mends.first() {
            assert!(finding["remedy"].as_str().is_some_and(|remedy| remedy.contains(first)), "{first}: {finding:#}");
        }
    }

    /// Waits until the doctor finds none of its lines any more.
    pub(crate) async fn is_gone(&self, site: &Site) {
        until(&format!("gone: {}", self.title), DEADLINE, async || {
            let (_, report) = examine(site, ADMIN_KEY, "").await;
            self.lines.iter().all(|line| match *line {
                Line::Doctor(verdict, check, says) => named(&report, verdict, check, says).is_none(),
                Line::Explain(_) => true,
            })
        })
        .await;
    }

    /// Runs one of its commands with values for the words in capitals.
    pub(crate) async fn mend(&self, site: &Site, nth: usize, values: &[(&str, &str)]) -> String {
        let line = self.command(nth, values);
        let (code, printed, complaint) = command(site, ADMIN_KEY, &line).await;
        assert_eq!(code, Some(0), "{line}: {complaint}");
        printed
    }

    /// The words of one of its commands behind `omnihub`.
    pub(crate) fn command(&self, nth: usize, values: &[(&str, &str)]) -> String {
        let words = self.mends[nth].split_whitespace().skip(1);
        let value = |word: &str| values.iter().find(|(name, _)| *name == word).map(|(_, value)| (*value).to_owned());
        words.map(|word| value(word).unwrap_or_else(|| word.to_owned())).collect::<Vec<_>>().join(" ")
    }
}

/// The finding that a line quotes.
pub(crate) fn named<'a>(report: &'a Value, verdict: &str, check: &str, says: &str) -> Option<&'a Value> {
    let is_it = |told: &str| says.strip_suffix('…').map_or(told == says, |head| told.starts_with(head));
    report["findings"].as_array()?.iter().find(|finding| {
        finding["verdict"] == verdict && finding["check"] == check && finding["says"].as_str().is_some_and(is_it)
    })
}
