//! How much may wait for one instance, so that none fills the queue for all.

use axum::http::StatusCode;
use omnihub_common::{
    instance::Instance,
    queue::{Backlogs, InstanceToken},
};

use super::WebhookState;
use crate::problem::Problem;

/// Seconds after which a sender over the quota should post again: some of what waits is done then.
const RETRY_AFTER: u64 = 15;

/// The backlog quota of each instance.
#[derive(Clone, Debug)]
pub struct Quota {
    backlogs: Backlogs,
    default: u64,
}

impl Quota {
    /// A quota for every instance.
    #[must_use]
    pub fn new(backlogs: Backlogs, default: u64) -> Self {
        Self { backlogs, default }
    }

    /// The instance's own quota, else the default.
    fn of(&self, instance: &Instance) -> u64 {
        instance.turns.max_backlog.map_or(self.default, u64::from)
    }

    /// Refuses what is over the instance's quota, naming `what` may come again. It is a soft limit:
    /// what came in since the last count (a second ago) is not in it.
    ///
    /// # Errors
    /// 503 when as many messages wait as may.
    pub async fn check(&self, instance: &Instance, what: &str) -> Result<(), Problem> {
        let quota = self.of(instance);
        let token = InstanceToken::new(instance.name.as_str(), instance.id);
        if !self.backlogs.reaches(&token, quota).await {
            return Ok(());
        }
        let detail = format!("{quota} messages of this instance wait already, which is its quota; {what}");
        Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "backlog_full", detail).retry_after(RETRY_AFTER))
    }
}

/// The same for a webhook, which is counted.
pub(super) async fn check(state: &WebhookState, instance: &Instance) -> Result<(), Problem> {
    let checked = state.quota.check(instance, "nothing is lost when the webhook is posted again").await;
    if checked.is_err() {
        state.webhooks.over_quota(instance.name.as_str(), state.quota.of(instance));
    }
    checked
}
