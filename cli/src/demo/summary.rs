//! What the demo has shown, and what it has not.

use std::{
    collections::BTreeMap,
    fmt::{Display, Write as _},
    path::Path,
    time::Duration,
};

use super::{
    paint::Paint,
    play::{Message, Played},
    script::Ending,
    world::Noticed,
};

/// The result of a demo.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    conversations: usize,
    webhooks: usize,
    messages: usize,
    answered: usize,
    bubbles: usize,
    duplicates: usize,
    ignored: BTreeMap<String, usize>,
    lost: usize,
    /// From webhook to first bubble, shortest first.
    waits: Vec<Duration>,
    /// What should have happened and did not.
    pub(super) problems: Vec<String>,
}

impl Summary {
    /// Counts what happened, and compares it with what should have.
    pub(super) fn of(played: &[Played], noticed: &Noticed) -> Self {
        let mut summary = Self { conversations: played.len(), ..Self::default() };
        let mut turns = 0;
        for conversation in played {
            for message in &conversation.messages {
                summary.count(message);
                let problems = problems(message);
                summary
                    .problems
                    .extend(problems.into_iter().map(|problem| format!("{}: {problem}", conversation.scene.name)));
            }
            summary
                .problems
                .extend(conversation.failure.iter().map(|why| format!("{}: {why}", conversation.scene.name)));
            turns += expected_answers(conversation).count();
            summary.compare_phone(conversation, noticed);
        }
        if noticed.agent_calls != turns {
            summary.problems.push(format!("the agent was asked {} times for {turns} turns", noticed.agent_calls));
        }
        let violations = noticed.violations.iter().map(|violation| format!("a neighbour complains: {violation}"));
        summary.problems.extend(violations);
        summary.waits.sort_unstable();
        summary
    }

    fn count(&mut self, message: &Message) {
        self.messages += 1;
        self.webhooks += message.line.posts();
        if message.counted_once() {
            self.duplicates += message.line.posts() - 1;
        }
        match message.trace.outcome.as_deref() {
            Some("answered") => self.answered += 1,
            Some("ignored") => {
                *self.ignored.entry(message.trace.outcome_reason.clone().unwrap_or_default()).or_default() += 1;
            }
            Some(_) => {}
            None => self.lost += 1,
        }
        self.bubbles += message.bubbles.len();
        self.waits.extend(message.reply_after);
    }

    /// What the phone holds in the end: each answer once, whole and in order.
    fn compare_phone(&mut self, conversation: &Played, noticed: &Noticed) {
        let scene = &conversation.scene;
        let wanted: Vec<String> = expected_answers(conversation).flatten().collect();
        let phone = noticed.sent.iter().filter(|(number, _)| number == scene.phone).map(|(_, text)| text);
        if !phone.eq(&wanted) {
            let problem = format!("{}: the phone does not hold each answer once and in order", scene.name);
            self.problems.push(problem);
        }
    }

    /// The counts.
    pub(super) fn show(&self, paint: Paint, took: Duration) -> String {
        let mut text = format!("  {}\n\n", paint.bold("Summary"));
        let mut row = |name: &str, value: &dyn Display| {
            let _ = writeln!(text, "    {name:<20}{value}");
        };
        row("conversations", &format!("{}, all at once, played in {} ms", self.conversations, took.as_millis()));
        row("messages accepted", &format!("{} (from {} webhooks)", self.messages, self.webhooks));
        row("replies", &format!("{} (in {} bubbles)", self.answered, self.bubbles));
        row("duplicates dropped", &self.duplicates);
        let reasons: Vec<String> = self.ignored.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        row("ignored", &format!("{} ({})", self.ignored.values().sum::<usize>(), reasons.join(", ")));
        let lost = self.lost.to_string();
        row("lost", &if self.lost == 0 { paint.green(lost) } else { paint.red(lost) });
        row("webhook to reply", &self.speed());
        text.push('\n');
        text
    }

    /// The agent answers at once, so this is the hub's own part; the first messages also wait for
    /// a hub that has only just come up.
    fn speed(&self) -> String {
        match (self.waits.get(self.waits.len() / 2), self.waits.last()) {
            (Some(median), Some(worst)) => {
                format!(
                    "median {} ms, worst {} ms, just after a start; the agent answers at once",
                    median.as_millis(),
                    worst.as_millis()
                )
            }
            _ => "no reply".to_owned(),
        }
    }

    /// What to do now.
    pub(super) fn next_steps(&self, paint: Paint, kept: Option<&Path>) -> String {
        let mut text = String::new();
        if self.problems.is_empty() {
            let _ =
                writeln!(text, "  {}\n", paint.green("Every message was answered once, in order, or says why not."));
        }
        match kept {
            Some(data) => {
                let _ = writeln!(
                    text,
                    "  The data is kept in {0}; to look at it again:\n    OMNIHUB_DATA_DIR={0} omnihub up\n",
                    data.display()
                );
            }
            None => text.push_str("  The hub is stopped and its data removed (--keep leaves it).\n\n"),
        }
        let _ = write!(
            text,
            "  {}\n\n    omnihub up                    run the hub for good; it keeps its data in ./data\n    \
             omnihub instance add --help   connect a WhatsApp number and its agent\n    \
             README.md                     settings, promises and how it works\n\n",
            paint.bold("Next")
        );
        text
    }
}

/// The answers that a conversation must have brought.
fn expected_answers(conversation: &Played) -> impl Iterator<Item = Vec<String>> {
    conversation.messages.iter().filter_map(|message| match message.line.ending() {
        Ending::Answered(bubbles) => Some(bubbles),
        Ending::Ignored(_) => None,
    })
}

/// What is wrong with a message.
fn problems(message: &Message) -> Vec<String> {
    let mut problems = Vec::new();
    let what = message.line.text().unwrap_or("[reaction]");
    let (outcome, reason, bubbles, stages) = match message.line.ending() {
        Ending::Answered(bubbles) => ("answered", None, bubbles, 4),
        Ending::Ignored(reason) => ("ignored", Some(reason), Vec::new(), 1),
    };
    let trace = &message.trace;
    if trace.outcome.as_deref() != Some(outcome) || trace.outcome_reason.as_deref() != reason {
        let word = |word: Option<&str>| word.unwrap_or("none").to_owned();
        problems.push(format!(
            "{what:?} ended as {} (reason: {}), not as {outcome} (reason: {}); its status is {}",
            word(trace.outcome.as_deref()),
            word(trace.outcome_reason.as_deref()),
            word(reason),
            trace.status,
        ));
    }
    if message.bubbles != bubbles {
        problems.push(format!("{what:?} brought {:?}, not {bubbles:?}", message.bubbles));
    }
    if !message.one_trace {
        problems.push(format!("{what:?} has another trace for the same webhook"));
    }
    if trace.payloads.len() != stages {
        problems.push(format!("the trace of {what:?} has {} payloads, not {stages}", trace.payloads.len()));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{play::tests::perfect, script::scenes};

    fn perfect_play() -> (Vec<Played>, Noticed) {
        let played: Vec<Played> = scenes().into_iter().map(perfect).collect();
        let mut noticed = Noticed::default();
        for conversation in &played {
            noticed.agent_calls += expected_answers(conversation).count();
            let texts = expected_answers(conversation).flatten();
            noticed.sent.extend(texts.map(|text| (conversation.scene.phone.to_owned(), text)));
        }
        (played, noticed)
    }

    #[test]
    fn a_perfect_play_misses_nothing() {
        let (played, noticed) = perfect_play();
        let summary = Summary::of(&played, &noticed);
        assert_eq!(summary.problems, Vec::<String>::new());
        let text = summary.show(Paint::plain(), Duration::from_millis(300));
        for words in ["15 (from 17 webhooks)", "13 (in 14 bubbles)", "2 (1 from_me, 1 reaction)", "median 11 ms"] {
            assert!(text.contains(words), "{words}: {text}");
        }
    }

    #[test]
    fn whatever_is_missing_is_named() {
        let problems = |change: &dyn Fn(&mut Vec<Played>, &mut Noticed)| {
            let (mut played, mut noticed) = perfect_play();
            change(&mut played, &mut noticed);
            Summary::of(&played, &noticed).problems.join("\n")
        };
        assert!(problems(&|_, noticed| noticed.agent_calls += 1).contains("asked 14 times for 13 turns"));
        assert!(problems(&|_, noticed| noticed.sent.push(noticed.sent[0].clone())).contains("each answer once"));
        assert!(problems(&|_, noticed| noticed.sent.swap(0, 1)).contains("in order"));
        assert!(problems(&|_, noticed| noticed.violations.push("x".into())).contains("complains: x"));
        assert!(problems(&|played, _| played[0].messages[0].one_trace = false).contains("another trace"));
        assert!(problems(&|played, _| played[0].messages[0].bubbles.clear()).contains("brought []"));
        assert!(problems(&|played, _| drop(played[0].messages[0].trace.payloads.pop())).contains("3 payloads, not 4"));
        assert!(problems(&|played, _| played[0].failure = Some("a webhook".into())).contains("Maria Silva: a webhook"));
        let lost = problems(&|played, _| played[0].messages[0].trace.outcome = None);
        assert!(lost.contains("ended as none"), "{lost}");
    }
}
