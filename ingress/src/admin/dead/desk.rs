//! The desk: everything that is done with one letter.

use std::sync::Arc;

use axum::http::StatusCode;
use omnihub_common::{
    instance::Instance,
    queue::{
        Envelope, EnvelopeBody, InstanceToken, TraceBus,
        dead::{DeadLetters, KeptLetter, RedriveError, Redriver, Skip},
        now_ms,
    },
    trace::redriven_revision,
};

use super::RETRY_AFTER;
use crate::{problem::Problem, state::AppState, webhook::received};

/// What dead letters are handled with.
#[derive(Clone, Debug)]
pub struct DeadDesk {
    redriver: Redriver,
    traces: TraceBus,
}

impl DeadDesk {
    /// A desk that redrives through this one, and tells the traces of it.
    #[must_use]
    pub fn new(redriver: Redriver, traces: TraceBus) -> Self {
        Self { redriver, traces }
    }

    /// The letters.
    pub(super) fn letters(&self) -> &DeadLetters {
        self.redriver.letters()
    }

    /// Whether a letter of this instance can be redriven.
    pub(super) async fn check(&self, kept: &KeptLetter, instance: Option<&Instance>) -> Result<(), RedriveError> {
        self.redriver.check(kept).await?;
        match instance {
            None => Err(RedriveError::Skipped(Skip::InstanceDeleted)),
            Some(instance) if !instance.is_active => Err(RedriveError::Skipped(Skip::InstanceInactive)),
            Some(_) => Ok(()),
        }
    }

    /// Puts a letter's message back into its lane; its trace says so from then on.
    pub(super) async fn redrive(
        &self,
        kept: &KeptLetter,
        instance: Option<&Instance>,
    ) -> Result<Envelope, RedriveError> {
        self.check(kept, instance).await?;
        let envelope = self.redriver.redrive(kept, now_ms()).await?;
        if let Some(instance) = instance {
            self.tell(instance, &envelope).await;
        }
        Ok(envelope)
    }

    /// Until a worker begins with it, the trace would still say that it is dead. Where the body is
    /// an object, only the worker can tell what the message says.
    async fn tell(&self, instance: &Instance, envelope: &Envelope) {
        let (Some(redrive), EnvelopeBody::Inline(_)) = (envelope.redrive, &envelope.body) else { return };
        let mut event = received(instance, envelope.clone());
        event.payload = None;
        event.revision = redriven_revision(redrive.nth, event.revision);
        event.record.details.warnings.push(redrive.notice());
        self.traces.step(&event).await;
    }
}

/// The instance that a letter belongs to; `None` when it was deleted.
pub(super) async fn instance_of(state: &AppState, kept: &KeptLetter) -> Result<Option<Arc<Instance>>, Problem> {
    let Some(id) = InstanceToken::row_id(&kept.instance_token) else { return Ok(None) };
    state.directory.by_id(id).await.map_err(|_| {
        let detail = "the letter's instance cannot be looked up right now; nothing was changed";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail).retry_after(RETRY_AFTER)
    })
}
