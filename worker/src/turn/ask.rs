//! Asking the agent.

use std::{sync::Arc, time::Instant};

use omnihub_common::{
    conversation::Decision,
    person::Profile,
    queue::{AgentSession, Answer, now_ms},
    telemetry::propagation,
    trace::{Outcome, PastTurn, Stage, TraceStatus},
};
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Exit, Opened, Turn,
    admit::Ignored,
    answer::{shortened, stored},
    candidates::NoAnswer,
    growing::Growing,
    ignored,
    presence::Typing,
    question::{note_too_large, question},
    story::Story,
};
use crate::{
    agent::{self, AgentError, CallContext, Reply},
    breaker::Permit,
    files::Gathered,
};

/// Longer ids of an agent are not kept: they would be in every checkpoint.
const LONGEST_ID: usize = 512;

impl Turn {
    /// Asks, and keeps the answer in the checkpoint before anything of it is sent.
    pub(super) async fn ask(
        &mut self,
        opened: &Opened,
        story: &mut Story,
        (permit, gathered): (Permit, Gathered),
    ) -> Result<Answer, NoAnswer> {
        Box::pin(self.open_for_later(opened)).await?;
        let asked_at = now_ms();
        let profile = Box::pin(self.profile(opened)).await;
        let past = Box::pin(self.past(opened, story)).await;
        let request = self.request(opened, story, profile.as_deref(), &past, (&gathered.too_large, asked_at));
        drop(past);
        let files = gathered.files;
        let payload = (Stage::AgentRequest, None, agent::shown(&opened.instance, &request, &files));
        Box::pin(story.step(TraceStatus::AgentCalled, Some(payload))).await;

        let (hears, heard) = watch::channel(String::new());
        let mut growing = self.growing(opened, asked_at);
        let context = CallContext {
            idempotency_key: self.turn_id(),
            request_id: opened.envelope.trace_id.to_string(),
            trace_headers: propagation::inject_current(),
            heard: growing.is_some().then_some(hears),
        };
        if !self.partition.may_act() {
            return Err(Exit::Fenced.into());
        }
        self.progress.asking(self.attempts() + 1);
        let typing = Typing::begin(&self.kit, opened);
        let since = Instant::now();
        let kit = self.kit.clone();
        let asking = Box::pin(agent::ask_with_files(&kit.agents, &opened.instance, request, files, context));
        let (replied, without_files) = match &mut growing {
            Some(growing) => Box::pin(self.hear_out(asking, (opened, story), growing, heard)).await?,
            None => self.wait_for(asking).await?,
        };
        drop(typing);
        if without_files {
            let warning = "the agent takes no request of this size: it was asked without the files";
            story.details().warnings.push(warning.to_owned());
        }
        self.kit.metrics.took("agent", since);
        match &replied {
            Err(error) if matches!(error.decision, Decision::Again(_)) => permit.failed(),
            _ => permit.answered(),
        }
        if Box::pin(self.is_orphaned()).await {
            Box::pin(self.kit.files.forget(&opened.files)).await;
            return Err(Exit::Vanish.into());
        }
        match replied {
            Ok(reply) => Ok(Box::pin(self.replied(opened, story, &reply, (asked_at, growing))).await?),
            Err(error) => Err(Box::pin(self.not_answered(opened, story, error, (asked_at, growing))).await),
        }
    }

    /// Waits for the agent, unless the question is withdrawn.
    async fn wait_for<A: Future>(&mut self, asking: A) -> Result<A::Output, Exit> {
        tokio::select! {
            biased;
            replied = asking => Ok(replied),
            () = self.reins.withdraw.cancelled() => {
                self.checkpoint.open = None;
                Err(Exit::Withdrawn)
            }
            () = self.reins.stop.cancelled() => Err(Exit::Stopped),
        }
    }

    /// What operators have told of the person.
    async fn profile(&self, opened: &Opened) -> Option<Arc<Profile>> {
        let phone = opened.message.sender.phone.as_deref()?;
        self.kit.profiles.of(&opened.instance, phone).await
    }

    /// What was said before, for an agent that does not remember it. Without it the agent is asked
    /// all the same.
    async fn past(&self, opened: &Opened, story: &mut Story) -> Vec<PastTurn> {
        let turns = agent::past_turns(&opened.instance);
        let past = self.kit.history.newest(&opened.instance, &opened.envelope.session_name, turns).await;
        past.unwrap_or_else(|_| {
            let warning = "the agent was asked without what was said before: the database cannot be asked";
            story.details().warnings.push(warning.to_owned());
            Vec::new()
        })
    }

    /// What the agent is asked, noted in the story. Of all that it is made of nothing is kept while
    /// the agent takes its time.
    fn request(
        &self,
        opened: &Opened,
        story: &mut Story,
        profile: Option<&Profile>,
        past: &[PastTurn],
        (too_large, asked_at): (&[String], i64),
    ) -> Value {
        let known = self.checkpoint.session_with(opened.fallback.as_deref()).cloned().unwrap_or_default();
        let mut question = question(opened, self.turn_id(), known, profile);
        note_too_large(&mut question, too_large);
        question.reply_url = self.reply_url(opened, story, asked_at);
        let details = story.details();
        details.session_id = Some(question.session_id.clone());
        details.user_id = Some(question.user_id.clone());
        details.agent_request_at = Some(asked_at);
        agent::request(&opened.instance, &question, past)
    }

    /// A conversation gets so many turns within a minute: two bots that answer each other come to
    /// an end. The minutes are those in which the messages were written, so that what waited, here or
    /// at the channel, is not cut short; a question that is asked again counts once, and what
    /// somebody redrives not at all.
    pub(super) fn count_turn(&mut self, opened: &Opened) -> Result<(), Exit> {
        let envelope = &opened.envelope;
        let came = envelope.provider_at.map_or(envelope.received_at, |at| at.min(envelope.received_at));
        let again = self.is_sending() || self.open_turn().is_some_and(|open| open.attempt > 0);
        let again = again || envelope.redrive.is_some() || self.checkpoint.prepaid;
        if again || self.checkpoint.may_ask(came, opened.instance.turns.turns_per_minute) {
            return Ok(());
        }
        Err(Exit::End(Outcome::Ignored, "turn_budget".to_owned()))
    }

    async fn replied(
        &mut self,
        opened: &Opened,
        story: &mut Story,
        reply: &Reply,
        (asked_at, growing): (i64, Option<Box<Growing>>),
    ) -> Result<Answer, Exit> {
        let answered_at = now_ms();
        let (answer, trouble) = match growing {
            Some(growing) => self.heard_out(story, *growing, reply, answered_at),
            None => (stored(&opened.instance, reply, asked_at, answered_at), None),
        };
        let answer = Answer { by: opened.fallback.clone(), ..answer };
        self.keep_session(opened, reply);
        if shortened(&reply.text).len() < reply.text.len() {
            story.details().warnings.push("the agent's answer was shortened to 64 KiB".to_owned());
        }
        story.answered(&answer);
        let payload = (Stage::AgentResponse, Some(reply.status), reply.body.clone());
        story.step(TraceStatus::AgentSuccess, Some(payload)).await;
        Box::pin(self.spend_tokens(opened, &answer)).await;
        if answer.bubbles.is_empty() {
            return Err(ignored(Ignored::EmptyAnswer));
        }
        trouble.map_or(Ok(answer), Err)
    }

    /// What a call leads to that brought no answer. What is out of a streamed one stays.
    async fn not_answered(
        &mut self,
        opened: &Opened,
        story: &mut Story,
        error: AgentError,
        (asked_at, growing): (i64, Option<Box<Growing>>),
    ) -> NoAnswer {
        let trouble = growing.and_then(|growing| self.broken_off(*growing));
        match trouble {
            // The channel fails as well: another agent could not be heard either.
            Some(exit) => {
                self.kit.metrics.failed(opened.instance.name.as_str(), "agent");
                story.note_error("agent_called", &error.message);
                NoAnswer::Exit(exit)
            }
            None if self.answers_later(&error) => self.await_answer(opened, story, error, asked_at).await.into(),
            None => NoAnswer::Failed(error),
        }
    }

    /// What the agent calls the conversation is told to this agent alone, and forgotten with it.
    fn keep_session(&mut self, opened: &Opened, reply: &Reply) {
        let agents = &opened.instance.failover.agents;
        self.checkpoint.fallback_sessions.retain(|name, _| agents.iter().any(|fallback| fallback.name == *name));
        let agent = opened.fallback.as_deref();
        let known = self.checkpoint.session_with(agent).cloned().unwrap_or_default();
        let given = |id: &Option<String>| id.clone().filter(|id| id.len() <= LONGEST_ID);
        let session = AgentSession {
            session_id: given(&reply.session_id).or(known.session_id),
            user_id: given(&reply.user_id).or(known.user_id),
        };
        self.checkpoint.keep_session(agent, session);
    }
}
