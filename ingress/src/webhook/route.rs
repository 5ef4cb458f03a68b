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
        Target::Default => match find_default(state, named_in_body, proof, Read::Cached).await? {
            Some(instance) => Ok(instance),
            None => match find_default(state, named_in_body, proof, Read::Fresh).await? {
                Some(instance) => Ok(instance),
                None => Err(wrong_secret(state, "default")),
            },
        },
    }
}

/// Whether memory will do.
#[derive(Clone, Copy)]
enum Read {
    Cached,
    Fresh,
}

/// The default instance, or one that the body names. That one only when its own secret verifies:
/// otherwise anybody could speak for anybody. `None` means that the sender proves nothing.
async fn find_default(
    state: &WebhookState,
    named_in_body: Option<&str>,
    proof: &Proof,
    read: Read,
) -> Result<Option<Arc<Instance>>, Problem> {
    let directory = &state.directory;
    if let Some(slug) = named_in_body.filter(|_| proof.is_given()) {
        let candidates = match read {
            Read::Cached => directory.by_whatsapp_instance(slug).await,
            Read::Fresh => directory.fresh_by_whatsapp_instance(slug).await,
        };
        let mut candidates = candidates.map_err(|_| unavailable())?.into_iter();
        if let Some(instance) = candidates.find(|instance| proof.against(instance) == Verdict::Verified) {
            return Ok(Some(instance));
        }
    }
    let default = match read {
        Read::Cached => directory.default_instance().await,
        Read::Fresh => directory.fresh_default().await,
    };
    let default = default.map_err(|_| unavailable())?;
    let Some(default) = default.filter(|instance| instance.channel_type() == ChannelType::Whatsapp) else {
        let detail = "there is no default WhatsApp instance: make one, or post to /webhook/evolution/{instance}";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "no_default_instance", detail);
        return Err(problem.retry_after(RETRY_AFTER));
    };
    Ok(accepted(state, default, proof))
}

async fn find_named(state: &WebhookState, name: &str, proof: &Proof) -> Result<Arc<Instance>, Problem> {
    let found = match state.directory.by_name(name).await.map_err(|_: Unavailable| unavailable())? {
        Some(instance) => Some(instance),
        None => state.directory.fresh_by_name(name).await.map_err(|_| unavailable())?,
    };
    match found.filter(|instance| instance.channel_type() == ChannelType::Whatsapp) {
        Some(instance) => match accepted(state, instance, proof) {
            Some(instance) => Ok(instance),
            None => {
                let fresh = state.directory.fresh_by_name(name).await.map_err(|_| unavailable())?;
                let fresh = fresh.and_then(|instance| accepted(state, instance, proof));
                fresh.ok_or_else(|| wrong_secret(state, name))
            }
        },
        None => {
            let detail = "there is no WhatsApp instance of this name";
            Err(Problem::new(StatusCode::NOT_FOUND, "instance_not_found", detail))
        }
    }
}

/// The instance, if the sender proves enough.
fn accepted(state: &WebhookState, instance: Arc<Instance>, proof: &Proof) -> Option<Arc<Instance>> {
    match proof.against(&instance) {
        Verdict::Verified => Some(instance),
        Verdict::Unverified => {
            state.webhooks.unverified(instance.name.as_str());
            Some(instance)
        }
        Verdict::Wrong => None,
    }
}

fn wrong_secret(state: &WebhookState, name: &str) -> Problem {
    state.webhooks.wrong_secret(name);
    let detail = "the webhook does not prove that it knows the instance's secret";
    Problem::new(StatusCode::UNAUTHORIZED, "webhook_unverified", detail)
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
