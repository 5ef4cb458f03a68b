//! Failover: which agents are asked, one after the other, until one answers.
//!
//! ```text
//! rank 0   the instance's own, and those that share its rank: a conversation has its order among them
//! rank 1   asked when those of rank 0 have failed or are left alone by their breakers
//! ...
//! none     the schedule of retries; at its end the text of the instance, or a handoff
//! ```
//!
//! All of it is one attempt of one turn, with one `Idempotency-Key`. Each turn begins at the front again:
//! who helped out is asked again only while those before it fail. Of a streamed answer that broke off, what
//! is out stays, and the next agent's follows it. Whatever an agent's failure is, the
//! next one may answer, so each failure leads to it; what the failures lead to together is decided once
//! nobody is left.

use std::{
    cmp::Reverse,
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{TimeDelta, Utc};
use omnihub_common::{
    conversation::Decision,
    instance::{FallbackAgent, Instance, OnAgentFailure},
    queue::{Answer, Phase, now_ms},
    trace::{Outcome, Stage},
};

use super::{
    Exit, Opened, Turn,
    answer::{after, apology, hash_of},
    part::Part,
    retry,
    story::Story,
};
use crate::{
    agent::AgentError,
    breaker::{Address, Breakers, Parked, Permit},
    files::Gathered,
};

/// After so long no further agent is asked in the same attempt.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// The reason of messages that no agent has answered, so that people are to.
pub(super) const HANDED_OVER: &str = "handed_over";

/// Why an agent that was asked has not answered.
pub(super) enum NoAnswer {
    /// The turn leaves its path.
    Exit(Exit),
    /// The agent failed; another one may be asked.
    Failed(AgentError),
}

impl From<Exit> for NoAnswer {
    fn from(exit: Exit) -> Self {
        Self::Exit(exit)
    }
}

/// An agent of an instance.
#[derive(Debug)]
struct Candidate {
    /// None for the instance's own.
    name: Option<String>,
    /// The instance with this agent as its own.
    instance: Arc<Instance>,
}

impl Candidate {
    fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(FallbackAgent::OWN)
    }
}

/// Who is asked now, and who is behind.
#[derive(Debug)]
pub(super) struct Line {
    /// The files for whoever is asked first, where they are brought together already.
    pub(super) prepared: Option<Gathered>,
    now: Option<(Candidate, Permit)>,
    behind: VecDeque<Candidate>,
    /// Those who are left alone for now, and what is waited for to ask the first of them again.
    left_alone: Vec<String>,
    soonest: Option<Parked>,
}

impl Line {
    /// The next one who may be called is asked now.
    fn step(&mut self, breakers: &Breakers) {
        while let Some(next) = self.behind.pop_front() {
            match breakers.admit(&Address::agent(&next.instance.agent)) {
                Ok(permit) => {
                    self.now = Some((next, permit));
                    return;
                }
                Err(parked) => {
                    self.left_alone.push(next.name().to_owned());
                    let is_sooner = self.soonest.as_ref().is_none_or(|other| parked.at_most < other.at_most);
                    self.soonest = if is_sooner { Some(parked) } else { self.soonest.take() };
                }
            }
        }
    }

    /// The instance with the agent that is asked first, if one is.
    pub(super) fn first(&self) -> Option<Arc<Instance>> {
        self.now.as_ref().map(|(candidate, _)| candidate.instance.clone())
    }

    /// Whether somebody was not asked who may answer later.
    fn has_others(&self) -> bool {
        !self.left_alone.is_empty() || !self.behind.is_empty()
    }

    fn note_left_alone(&self, story: &mut Story) {
        for name in &self.left_alone {
            story.warn(format!("agent `{name}` was not asked: it has failed too often lately"));
        }
    }
}

/// The order in which a conversation asks an instance's agents: their places in the list of fallbacks,
/// none for the instance's own. Of one rank, each conversation has another first.
fn order(instance: &Instance, conversation: &str) -> Vec<Option<usize>> {
    let fallbacks = instance.failover.agents.iter().enumerate();
    let named = fallbacks.map(|(nth, fallback)| (fallback.rank, fallback.name.as_str(), Some(nth)));
    let mut all: Vec<_> = std::iter::once((0, FallbackAgent::OWN, None)).chain(named).collect();
    if all.len() > 1 {
        all.sort_by_cached_key(|(rank, name, _)| (*rank, Reverse(hash_of(&format!("{conversation}\n{name}")))));
    }
    all.into_iter().map(|(.., place)| place).collect()
}

fn candidates(instance: &Arc<Instance>, conversation: &str) -> VecDeque<Candidate> {
    let candidate = |place: Option<usize>| match place.and_then(|nth| instance.failover.agents.get(nth)) {
        None => Candidate { name: None, instance: instance.clone() },
        Some(fallback) => {
            let with = Instance { agent: fallback.agent.clone(), ..Instance::clone(instance) };
            Candidate { name: Some(fallback.name.clone()), instance: Arc::new(with) }
        }
    };
    order(instance, conversation).into_iter().map(candidate).collect()
}

/// The addresses of all agents of an instance.
fn addresses(instance: &Instance) -> impl Iterator<Item = Address> {
    let fallbacks = instance.failover.agents.iter().map(|fallback| &fallback.agent);
    std::iter::once(&instance.agent).chain(fallbacks).map(Address::agent)
}

/// What is waited for when none of an instance's agents may be called: the one that may be first.
pub(super) fn all_parked(breakers: &Breakers, instance: &Instance) -> Option<Parked> {
    let parked: Option<Vec<Parked>> = addresses(instance).map(|address| breakers.parked(&address)).collect();
    parked?.into_iter().min_by_key(|parked| parked.at_most)
}

impl Turn {
    /// Who may be asked now; while the breakers of all are open nothing is counted.
    pub(super) fn line(&self, opened: &Opened) -> Result<Line, Exit> {
        let behind = candidates(&opened.instance, &self.lane.conversation);
        let mut line = Line { prepared: None, now: None, behind, left_alone: Vec::new(), soonest: None };
        line.step(&self.kit.breakers);
        match line.soonest.take().filter(|_| line.now.is_none()) {
            Some(parked) => Err(Exit::Parked(parked, "agent_breaker_open")),
            None => Ok(line),
        }
    }

    /// Whether this one is asked before all others.
    pub(super) fn is_first(&self, opened: &Opened, name: Option<&str>) -> bool {
        let all = candidates(&opened.instance, &self.lane.conversation);
        all.front().is_none_or(|first| first.name.as_deref() == name)
    }

    /// One of them has failed that was asked earlier: those behind it are asked.
    pub(super) async fn ask_behind(
        &mut self,
        (opened, parts, story): (&mut Opened, &mut [Part], &mut Story),
        failed: Option<&str>,
        (error, asked_at): (AgentError, i64),
    ) -> Result<Answer, Exit> {
        self.note_failure(opened, story, failed.unwrap_or(FallbackAgent::OWN), &error);
        let mut behind = candidates(&opened.instance, &self.lane.conversation);
        if let Some(at) = behind.iter().position(|candidate| candidate.name.as_deref() == failed) {
            behind.drain(..=at);
        }
        let mut line = Line { prepared: None, now: None, behind, left_alone: Vec::new(), soonest: None };
        line.step(&self.kit.breakers);
        if let Some(first) = line.first() {
            line.prepared = Some(Box::pin(self.prepare(opened, parts, story, &first)).await?);
        }
        self.ask_in_turn(opened, story, line, Some((error, asked_at))).await
    }

    /// Asks them one after the other until one answers; somebody may have failed before, who was asked
    /// at that time.
    pub(super) async fn ask_in_turn(
        &mut self,
        opened: &Opened,
        story: &mut Story,
        mut line: Line,
        before: Option<(AgentError, i64)>,
    ) -> Result<Answer, Exit> {
        let began = Instant::now();
        let (mut failure, asked_at) = before.map_or((None, now_ms()), |(error, at)| (Some(error), at));
        while let Some((asked, permit)) = line.now.take() {
            line.note_left_alone(story);
            let gathered = match line.prepared.take() {
                Some(gathered) => gathered,
                None => self.gather_for(opened, story, &asked).await,
            };
            let error = match self.ask_candidate(opened, story, &asked, (permit, gathered)).await {
                Ok(answer) => return Ok(answer),
                Err(NoAnswer::Exit(exit)) => return Err(exit),
                Err(NoAnswer::Failed(error)) => error,
            };
            self.note_failure(opened, story, asked.name(), &error);
            failure = Some(together(failure, error));
            if began.elapsed() < LONGEST {
                line.step(&self.kit.breakers);
            }
        }
        line.note_left_alone(story);
        // There is the instance's own at least.
        let Some(error) = failure else { return Err(Exit::Later(retry::PAUSE, "agent_breaker_open")) };
        let error = if line.has_others() { again(error) } else { error };
        Box::pin(self.agents_failed(opened, story, error, asked_at)).await
    }

    fn note_failure(&self, opened: &Opened, story: &mut Story, name: &str, error: &AgentError) {
        self.kit.metrics.failed(opened.instance.name.as_str(), "agent");
        if !opened.instance.failover.agents.is_empty() {
            story.warn(format!("agent `{name}` failed: {}", error.message));
        }
    }

    async fn ask_candidate(
        &mut self,
        opened: &Opened,
        story: &mut Story,
        candidate: &Candidate,
        with: (Permit, Gathered),
    ) -> Result<Answer, NoAnswer> {
        let Some(name) = &candidate.name else { return Box::pin(self.ask(opened, story, with)).await };
        let opened =
            Opened { instance: candidate.instance.clone(), fallback: Some(name.clone()), ..Opened::clone(opened) };
        let opened = Box::new(opened);
        Box::pin(self.ask(&opened, story, with)).await
    }

    /// The files for one who is asked behind another: each protocol takes others.
    async fn gather_for(&self, opened: &Opened, story: &mut Story, asked: &Candidate) -> Gathered {
        let gathered = Box::pin(self.files(opened, &asked.instance)).await;
        gathered.warnings.iter().for_each(|warning| story.warn(warning.clone()));
        gathered
    }

    /// None has answered: another attempt, or the end of them.
    pub(super) async fn agents_failed(
        &mut self,
        opened: &Opened,
        story: &mut Story,
        error: AgentError,
        asked_at: i64,
    ) -> Result<Answer, Exit> {
        let now = now_ms();
        let details = story.details();
        details.agent_response_success = Some(false);
        details.agent_processing_time_ms = i32::try_from(now - asked_at).ok();
        let payload = error.body.clone().map(|body| (Stage::AgentResponse, error.status, body));
        let out = self.out_so_far();
        let phase = out.clone().map_or(Phase::Asking, Phase::Sending);
        let exit = self.fail(story, "agent", error.decision, phase);
        story.failed("agent_called", &error.message, payload).await;
        self.progress.failed(story.error_message());
        let Exit::End(Outcome::Dead, reason) = exit else { return Err(exit) };
        let is_handoff = opened.instance.failover.on_failure == OnAgentFailure::Handoff;
        let (outcome, reason) = match is_handoff {
            true => {
                self.hand_off(opened).await?;
                (Outcome::HandedOff, HANDED_OVER.to_owned())
            }
            false => (Outcome::Dead, reason),
        };
        match opened.instance.agent.error_message.as_deref() {
            Some(text) if !text.trim().is_empty() => Ok(after(out, apology(&opened.instance, text, &reason, now))),
            _ => Err(Exit::End(outcome, reason)),
        }
    }

    /// The bot is silent in this conversation from now on, as after a takeover.
    async fn hand_off(&self, opened: &Opened) -> Result<(), Exit> {
        let takeover = &opened.instance.takeover;
        let until = takeover.is_on().then(|| Utc::now() + TimeDelta::minutes(takeover.minutes.into()));
        let (instance, session) = (opened.instance.name.as_str(), &opened.envelope.session_name);
        let changed = self.kit.pauses.hand_off(instance, session, until).await;
        // All agents are asked again before the next try: not every two seconds.
        self.make_known(changed).await.map_err(|exit| match exit {
            Exit::Later(_, reason) => Exit::Later(retry::HOLD, reason),
            exit => exit,
        })
    }
}

/// What two failures lead to together: as long as one of them may get better, so may both.
fn together(before: Option<AgentError>, error: AgentError) -> AgentError {
    let Some(before) = before else { return error };
    match (&before.decision, &error.decision) {
        (Decision::Again(one), Decision::Again(other)) => {
            let soonest = (*one).min(*other);
            AgentError { decision: Decision::Again(soonest), ..before }
        }
        (Decision::Hold(_) | Decision::Dead(_), Decision::Again(_)) | (Decision::Dead(_), Decision::Hold(_)) => error,
        _ => before,
    }
}

/// The same, where somebody who was not asked may answer later.
fn again(error: AgentError) -> AgentError {
    match error.decision {
        Decision::Again(_) => error,
        Decision::Hold(_) | Decision::Dead(_) => AgentError { decision: Decision::Again(None), ..error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::tests::instance;

    fn with(ranks: &[(&str, u32)]) -> Arc<Instance> {
        let mut instance = instance();
        instance.failover.agents = ranks
            .iter()
            .map(|(name, rank)| FallbackAgent {
                name: (*name).to_owned(),
                rank: *rank,
                agent: omnihub_common::instance::AgentSettings {
                    api_url: format!("http://{name}.test"),
                    ..instance.agent.clone()
                },
            })
            .collect();
        Arc::new(instance)
    }

    fn names(instance: &Arc<Instance>, conversation: &str) -> Vec<String> {
        candidates(instance, conversation).iter().map(|candidate| candidate.name().to_owned()).collect()
    }

    #[test]
    fn they_are_asked_by_rank_each_as_the_instance_s_own() {
        let instance = with(&[("last", 9), ("second", 1)]);
        assert_eq!(names(&instance, "acme_1"), ["own", "second", "last"]);
        let asked = candidates(&instance, "acme_1");
        assert_eq!(asked[1].instance.agent.api_url, "http://second.test");
        assert_eq!(asked[1].instance.name, instance.name);
        assert_eq!(names(&with(&[]), "acme_1"), ["own"]);
    }

    #[test]
    fn those_of_one_rank_share_the_conversations_and_each_stays_with_its_own() {
        let instance = with(&[("twin", 0), ("third", 0), ("last", 1)]);
        let mut firsts = std::collections::BTreeMap::<String, u32>::new();
        for n in 0..300 {
            let conversation = format!("acme_{n}");
            let names = names(&instance, &conversation);
            assert_eq!((names.len(), names[3].as_str()), (4, "last"));
            assert_eq!(names, self::names(&instance, &conversation), "the same each time");
            *firsts.entry(names[0].clone()).or_default() += 1;
        }
        assert!(firsts.len() == 3 && firsts.values().all(|first| (60..=140).contains(first)), "{firsts:?}");
        // One that goes takes no conversation from the others.
        let fewer = with(&[("twin", 0), ("last", 1)]);
        let stays = |n: &u32| {
            let conversation = format!("acme_{n}");
            let before = names(&instance, &conversation).remove(0);
            before == "third" || before == names(&fewer, &conversation)[0]
        };
        assert!((0..300).all(|n| stays(&n)));
    }

    #[test]
    fn failures_lead_together_to_what_may_get_better() {
        let error = |decision| AgentError { message: String::new(), status: None, body: None, decision };
        let (dead, hold) = (Decision::Dead("d".into()), Decision::Hold("h".into()));
        let after = |seconds| Decision::Again(Some(Duration::from_secs(seconds)));
        for (one, other, both) in [
            (dead.clone(), Decision::Dead("e".into()), dead.clone()),
            (dead.clone(), hold.clone(), hold.clone()),
            (hold.clone(), dead.clone(), hold.clone()),
            (hold.clone(), after(1), after(1)),
            (after(1), dead.clone(), after(1)),
            (after(3), after(2), after(2)),
            (after(3), Decision::Again(None), Decision::Again(None)),
        ] {
            assert_eq!(together(Some(error(one)), error(other)).decision, both);
        }
        assert_eq!(together(None, error(dead.clone())).decision, dead);
        assert_eq!(again(error(dead)).decision, Decision::Again(None));
        assert_eq!(again(error(after(3))).decision, after(3));
    }

    #[test]
    fn a_turn_waits_only_when_nobody_may_be_called() {
        let (breakers, instance) = (Breakers::new(), with(&[("backup", 1)]));
        assert!(all_parked(&breakers, &instance).is_none());
        for address in addresses(&instance) {
            assert!(all_parked(&breakers, &instance).is_none());
            for _ in 0..10 {
                breakers.admit(&address).unwrap().failed();
            }
        }
        assert!(all_parked(&breakers, &instance).is_some());
    }
}
