//! The desk: it puts a send into the queue, once, and waits for its end.

use std::{sync::Arc, time::Duration};

use axum::http::StatusCode;
use omnihub_common::{
    instance::Instance,
    key::{Actor, Reach},
    queue::{
        Claiming, Envelope, EnvelopeBody, EnvelopeKind, IdempotencyKeys, InstanceToken, Intake, KeyClaim, Listening,
        MessageId, MessageKey, Nats, SAFE_TO_REPEAT, SendOutcome, SendOutcomes, TraceBus, now_ms, trace_id,
    },
    trace::Traces,
};
use tokio::{
    sync::Semaphore,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{body::Asked, unavailable};
use crate::{
    problem::Problem,
    state::AppState,
    webhook::{Quota, Sessions, received, refused},
};

/// So many callers wait at once; more are told at once that their send is queued, so that webhooks
/// always find a place.
const WAITING: usize = 1024;
/// The end of a send that was asked for before may have been told already: its row is looked at so
/// often.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Where sends are taken in. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SendDesk {
    intake: Intake,
    quota: Quota,
    traces: TraceBus,
    outcomes: SendOutcomes,
    keys: IdempotencyKeys,
    sessions: Sessions,
    waiting: Arc<Semaphore>,
    stop: CancellationToken,
}

/// How far a send is, as far as its caller has waited.
#[derive(Debug)]
pub(super) enum End {
    /// It has ended.
    Ended(SendOutcome),
    /// It waits; with what went wrong so far.
    Queued(Option<String>),
}

/// A send that is to be in the queue.
struct Order<'a> {
    instance: &'a Instance,
    envelope: Envelope,
    /// Its idempotency key, and the claim of it.
    claim: Option<(String, KeyClaim)>,
}

impl SendDesk {
    /// A desk that puts sends into this queue, within this quota; nobody waits any more when `stop`
    /// is cancelled.
    #[must_use]
    pub fn new(nats: Nats, intake: Intake, quota: Quota, sessions: Sessions, stop: CancellationToken) -> Self {
        let (traces, outcomes) = (TraceBus::new(nats.clone()), SendOutcomes::new(nats.clone()));
        let (keys, waiting) = (IdempotencyKeys::new(nats), Arc::new(Semaphore::new(WAITING)));
        Self { intake, quota, traces, outcomes, keys, sessions, waiting, stop }
    }

    /// Takes a send in, or finds the one that its key stands for; answers its trace, and its end
    /// if that comes in time.
    pub(super) async fn send(
        &self,
        state: &AppState,
        instance: &Instance,
        asked: Asked,
        by: &Actor,
    ) -> Result<(Uuid, End), Problem> {
        let Asked { mut outgoing, wait, key } = asked;
        let token = InstanceToken::new(instance.name.as_str(), instance.id);
        let claim = KeyClaim::new(&outgoing, now_ms()).map_err(|_| unqueued())?;
        let (claim, known) = match &key {
            None => (claim, false),
            Some(key) => match self.keys.claim(&token, key, claim).await.map_err(|_| keys_away())? {
                Claiming::First(claim) => (claim, false),
                Claiming::Known(claim) => (claim, true),
                Claiming::OtherBody => return Err(other_body()),
            },
        };
        outgoing.by.clone_from(&by.name);
        let body = serde_json::to_value(&outgoing).map_err(|_| unqueued())?;
        let session_name = self.sessions.of_chat(instance, &outgoing.chat).await.map_err(|_| unqueued())?;
        let envelope = envelope(instance, &outgoing.chat, session_name, &claim, body);
        let trace = envelope.trace_id;
        let traces = Traces::new(state.database.clone());
        // Before the send can end.
        let listening = self.outcomes.listen(trace).await.map_err(|_| unqueued())?;
        if !claim.accepted {
            let claim = key.map(|key| (key, claim));
            self.queue(&traces, &token, Order { instance, envelope, claim }).await?;
        }
        let look = Look { traces, reach: Reach::one(instance.name.as_str()), trace };
        Ok((trace, self.end(&look, listening, wait, known).await))
    }

    /// Puts it into the queue, unless an earlier call has done that and was cut before it could
    /// say so.
    async fn queue(&self, traces: &Traces, token: &InstanceToken, order: Order<'_>) -> Result<(), Problem> {
        let Order { instance, envelope, claim } = order;
        let is_old = claim.as_ref().is_some_and(|(_, claim)| now_ms() - claim.at > SAFE_TO_REPEAT);
        let is_there = is_old && {
            let row = traces.get(&Reach::one(instance.name.as_str()), envelope.trace_id).await;
            row.map_err(|_| unavailable("database_unavailable", "what became of this key's send cannot be read now"))?
                .is_some()
        };
        if !is_there {
            self.quota.check(instance, "nothing was sent").await?;
            self.intake.accept(vec![envelope.clone()]).await.map_err(|error| {
                refused(&error, "with an Idempotency-Key it can be asked for again and is sent once")
            })?;
            self.traces.step(&received(instance, envelope)).await;
        }
        if let Some((key, claim)) = claim
            && let Err(error) = self.keys.accepted(token, &key, &claim).await
        {
            // The next call with this key publishes it again, and the queue knows it.
            tracing::debug!(error.message = %error, "an accepted send was not marked");
        }
        Ok(())
    }

    async fn end(&self, row: &Look, mut listening: Listening, wait: Duration, known: bool) -> End {
        if !known && wait.is_zero() {
            return End::Queued(None);
        }
        let Ok(_seat) = self.waiting.try_acquire() else { return End::Queued(None) };
        let deadline = Instant::now() + wait;
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                Some(outcome) = listening.heard() => return End::Ended(outcome),
                () = self.stop.cancelled() => break,
                () = sleep_until(deadline) => break,
                _ = look.tick(), if known => {
                    if let end @ End::Ended(_) = row.end().await {
                        return end;
                    }
                }
            }
        }
        // What was told may not have been heard.
        row.end().await
    }
}

/// Where the end of a send is written.
struct Look {
    traces: Traces,
    reach: Reach,
    trace: Uuid,
}

impl Look {
    /// What the trace's row says; in an outage of the database nothing.
    async fn end(&self) -> End {
        let row = self.traces.get(&self.reach, self.trace).await.ok().flatten();
        match row.as_ref().map(SendOutcome::of_row) {
            Some(Some(outcome)) => End::Ended(outcome),
            _ => End::Queued(row.and_then(|row| row.error_message)),
        }
    }
}

fn envelope(
    instance: &Instance,
    chat: &str,
    session_name: String,
    claim: &KeyClaim,
    body: serde_json::Value,
) -> Envelope {
    let key = MessageKey {
        instance_id: instance.id,
        kind: "send",
        chat,
        from_me: true,
        provider_id: &claim.seed,
        discriminator: "",
    };
    let (id, name) = (MessageId::of(&key), instance.name.as_str());
    Envelope {
        v: Envelope::SEND,
        kind: EnvelopeKind::Send,
        command: None,
        answers: false,
        id,
        trace_id: trace_id(Some(claim.at), id),
        instance_id: instance.id,
        instance: name.to_owned(),
        channel: instance.channel_type().as_str().to_owned(),
        session_name,
        received_at: claim.at,
        provider_at: None,
        own_id: None,
        warnings: Vec::new(),
        redrive: None,
        body: EnvelopeBody::Inline(body),
    }
}

fn unqueued() -> Problem {
    unavailable("queue_unavailable", "the queue does not confirm; nothing was sent")
}

fn keys_away() -> Problem {
    unavailable("queue_unavailable", "the idempotency keys do not answer; nothing was sent")
}

fn other_body() -> Problem {
    let detail = "This Idempotency-Key stands for another send of the last 24 hours.";
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", detail)
}
