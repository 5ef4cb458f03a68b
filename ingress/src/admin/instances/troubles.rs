//! What an answer says of an Evolution server that did not do its part.

use axum::http::StatusCode;
use omnihub_common::{channel::whatsapp::admin::AdminError, secret::SourceError};

use crate::{
    admin::fields::invalid,
    evolution::Trouble,
    problem::{FieldError, Problem},
};

/// How things stand after the trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// Neither side was changed, and the body may be what is wrong.
    NothingDone,
    /// What was changed was taken back, but for what is said.
    Undone(Option<&'static str>),
    /// Our side is changed, Evolution's not; the same call again goes on from here.
    RowChanged,
    /// The call had no body: nothing of ours was to be changed.
    Asked,
    /// Nothing was to be changed anywhere.
    Read,
}

impl After {
    fn sentence(self) -> &'static str {
        match self {
            Self::NothingDone | Self::Undone(None) => "Nothing was changed.",
            Self::Undone(Some(left)) => left,
            Self::RowChanged => "The instance is changed here, and not at Evolution: make the same call again.",
            Self::Asked => "Nothing was changed here.",
            Self::Read => "",
        }
    }
}

/// The one table from trouble at Evolution to a status.
pub(super) fn trouble(trouble: &Trouble, after: After) -> Problem {
    let said = |status, code, remedy: &str| {
        let mut words = trouble.to_string();
        if let Some(first) = words.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let detail = format!("{words}. {remedy}{}{}", if remedy.is_empty() { "" } else { " " }, after.sentence());
        Problem::new(status, code, detail.trim_end())
    };
    let field =
        |field: &str, message: &str| invalid(vec![FieldError { field: field.to_owned(), message: message.to_owned() }]);
    let gateway = StatusCode::BAD_GATEWAY;
    match trouble {
        Trouble::UnknownId => field("whatsapp_instance", "is an id that the Evolution server does not know"),
        Trouble::TokenNotTold => {
            field("evolution_key", "cannot be exchanged for the instance's own key, which this server does not tell")
        }
        Trouble::InUse => said(StatusCode::CONFLICT, "evolution_instance_in_use", ""),
        Trouble::Step { error, .. } => match error {
            AdminError::Misconfigured(words) => field("evolution_url", words),
            AdminError::KeyRefused if matches!(after, After::NothingDone | After::Undone(None)) => {
                let words = "is not taken by the Evolution server, or may not see or make this account: give the \
                    server's own key";
                field("evolution_key", words)
            }
            AdminError::KeyRefused => said(
                gateway,
                "evolution_key_refused",
                "An instance is made with the key of the server, not of another instance.",
            ),
            AdminError::NotFound => {
                said(StatusCode::CONFLICT, "evolution_instance_missing", "POST connect makes it again.")
            }
            AdminError::Forbidden(_) => said(
                StatusCode::CONFLICT,
                "evolution_name_in_use",
                "A deleted instance may hold its name for some minutes.",
            ),
            AdminError::Away { .. } => said(gateway, "evolution_unreachable", ""),
            AdminError::Failing { .. } => said(gateway, "evolution_failing", ""),
            AdminError::Refused { .. } => said(gateway, "evolution_refused", ""),
            AdminError::Unreadable => said(gateway, "evolution_unreadable", ""),
            AdminError::TooLarge => said(gateway, "evolution_answer_too_large", ""),
            AdminError::NotOnWhatsapp => said(StatusCode::UNPROCESSABLE_ENTITY, "not_on_whatsapp", ""),
        },
    }
}

/// The answer about an instance whose secrets are kept where they cannot be had.
pub(super) fn not_at_hand(name: &str, error: &SourceError) -> Problem {
    tracing::warn!(instance.name = name, error.message = %error, "a secret cannot be had");
    let detail = format!("{error}. Nothing was asked of Evolution.");
    if error.is_away() {
        return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "secret_away", detail).retry_after(super::RETRY_AFTER);
    }
    Problem::new(StatusCode::CONFLICT, "secret_refused", detail)
}

/// The answer about an instance on another channel.
pub(super) fn not_on_whatsapp() -> Problem {
    let detail = "This is for instances on WhatsApp.";
    Problem::new(StatusCode::BAD_REQUEST, "channel_not_supported", detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(error: AdminError) -> Trouble {
        Trouble::Step { step: "Making the instance", error }
    }

    #[test]
    fn a_body_that_is_wrong_is_a_422_and_a_server_that_is_away_is_not() {
        let refused = trouble(&step(AdminError::KeyRefused), After::NothingDone);
        assert_eq!((refused.status, refused.errors[0].field.as_str()), (422, "evolution_key"));
        assert_eq!(trouble(&step(AdminError::KeyRefused), After::Asked).code, "evolution_key_refused");
        let away = AdminError::Away { message: "Evolution cannot be reached".to_owned(), may_have_done: false };
        let away = trouble(&step(away), After::Undone(None));
        assert_eq!((away.status, away.code), (502, "evolution_unreachable"));
        assert_eq!(away.detail, "Making the instance did not work: Evolution cannot be reached. Nothing was changed.");
        let taken = trouble(&Trouble::InUse, After::NothingDone);
        assert_eq!((taken.status, taken.code), (409, "evolution_instance_in_use"));
        assert!(taken.detail.starts_with("Another instance of this hub"), "{}", taken.detail);
    }
}
