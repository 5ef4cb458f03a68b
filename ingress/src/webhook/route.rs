//! Whose webhook it is.

use std::sync::Arc;

use axum::http::StatusCode;
use omnihub_common::{
    channel::ChannelType,
    instance::{Instance, RESERVED_NAMES, Unavailable},
};

use super::{
    RETRY_AFTER, WebhookState,
    verify::{Proof, Verdict},
};
use crate::problem::Problem;

/// What the path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// `/webhook/evolution`: the default instance, or one that the body names and whose own
    /// secret verifies.
    Default,
    /// `/webhook/evolution/{instance}`: the path decides.
    Named(String),
}

impl Target {
    /// The word after `/webhook/evolution/`: an instance, or one of Evolution's event words.
    pub(super) fn of_word(word: &str) -> Self {
        if RESERVED_NAMES.contains(&word) { Self::Default } else { Self::Named(word.to_owned()) }
    }
}

/// Finds the instance and checks the sender's proof. What is refused was read afresh: an instance
/// made, or a secret changed, a moment ago counts.
pub(super) async fn find(
    state: &WebhookState,
    target: &Target,
    named_in_body: Option<&str>,
    proof: &Proof,
) -> Result<Arc<Instance>, Problem> {
    match target {
        Target::Named(name) => find_named(state, name, proof).await,
        Target::Default => {
            if let Some(instance) = find_by_body(state, named_in_body, proof).await? {
                return Ok(instance);
            }
            let default = state.directory.default_instance().await.map_err(|_| unavailable())?;
            let Some(default) = default else {
                let detail = "there is no default instance: make one, or post to /webhook/evolution/{instance}";
                return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_default_instance", detail)
                    .retry_after(RETRY_AFTER));
            };
            let name = default.name.as_str().to_owned();
            check(state, default, &name, proof).await
        }
    }
}

async fn find_named(state: &WebhookState, name: &str, proof: &Proof) -> Result<Arc<Instance>, Problem> {
    let found = match state.directory.by_name(name).await.map_err(|_: Unavailable| unavailable())? {
        Some(instance) => Some(instance),
        None => state.directory.fresh_by_name(name).await.map_err(|_| unavailable())?,
    };
    match found.filter(|instance| instance.channel_type() == ChannelType::Whatsapp) {
        Some(instance) => check(state, instance, name, proof).await,
        None => {
            let detail = "there is no WhatsApp instance of this name";
            Err(Problem::new(StatusCode::NOT_FOUND, "instance_not_found", detail))
        }
    }
}

/// On the path without a name, a body may name another instance only when that one's own secret
/// verifies: otherwise anybody could speak for anybody.
async fn find_by_body(
    state: &WebhookState,
    named_in_body: Option<&str>,
    proof: &Proof,
) -> Result<Option<Arc<Instance>>, Problem> {
    let Some(slug) = named_in_body.filter(|_| proof.is_given()) else { return Ok(None) };
    let candidates = state.directory.by_whatsapp_instance(slug).await.map_err(|_| unavailable())?;
    Ok(candidates.into_iter().find(|instance| proof.against(instance) == Verdict::Verified))
}

async fn check(
    state: &WebhookState,
    instance: Arc<Instance>,
    name: &str,
    proof: &Proof,
) -> Result<Arc<Instance>, Problem> {
    let (instance, verdict) = match proof.against(&instance) {
        Verdict::Wrong => match state.directory.fresh_by_name(name).await.map_err(|_| unavailable())? {
            Some(fresh) => {
                let verdict = proof.against(&fresh);
                (fresh, verdict)
            }
            None => (instance, Verdict::Wrong),
        },
        verdict => (instance, verdict),
    };
    match verdict {
        Verdict::Verified => Ok(instance),
        Verdict::Unverified => {
            state.webhooks.unverified(name);
            Ok(instance)
        }
        Verdict::Wrong => {
            state.webhooks.wrong_secret(name);
            let detail = "the webhook does not prove that it knows the instance's secret";
            Err(Problem::new(StatusCode::UNAUTHORIZED, "webhook_unverified", detail))
        }
    }
}

fn unavailable() -> Problem {
    let detail = "the instance cannot be looked up right now; post the webhook again";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable", detail).retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_words_stand_for_the_default_instance() {
        assert_eq!(Target::of_word("messages-upsert"), Target::Default);
        assert_eq!(Target::of_word("acme"), Target::Named("acme".into()));
        assert_eq!(Target::of_word("Messages-Upsert"), Target::Named("Messages-Upsert".into()));
    }
}
