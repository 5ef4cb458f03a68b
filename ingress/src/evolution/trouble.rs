//! Why the Evolution side of an instance is not as it should be.

use omnihub_common::channel::whatsapp::admin::AdminError;

/// The reasons.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// Evolution did not do a step.
    #[error("{step} did not work: {error}")]
    Step {
        /// The step, as the beginning of a sentence.
        step: &'static str,
        /// Why.
        error: AdminError,
    },
    /// `whatsapp_instance` is an id that the server does not know.
    #[error("the Evolution server has no instance with this id")]
    UnknownId,
    /// The server knows the instance and does not tell its own key.
    #[error("the Evolution server does not tell the instance's own key")]
    TokenNotTold,
    /// Another instance of this hub has the account.
    #[error("another instance of this hub has this account on the Evolution server")]
    InUse,
}

impl Trouble {
    /// Of a step.
    pub(super) fn at(step: &'static str) -> impl FnOnce(AdminError) -> Self {
        move |error| Self::Step { step, error }
    }
}
