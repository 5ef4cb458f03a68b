//! Whether a webhook's sender knows the instance's secret.
//!
//! Evolution API signs with HS256 when the webhook's headers hold `jwt_key`, and sends any other
//! header as it is; its global webhook sends neither, so the secret may stand in the URL too.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use omnihub_common::{
    instance::{ChannelSettings, Instance},
    secret::Secret,
};

/// A header that carries the secret itself.
const SECRET_HEADER: &str = "x-webhook-secret";
/// Evolution's token lives 10 minutes, its retries of the same token run for 29, and its clock
/// may be off: a late retry must not lose the message. Seconds.
const LEEWAY: u64 = 45 * 60;

/// What a sender showed.
#[derive(Debug, Default)]
pub(super) struct Proof {
    bearer: Option<String>,
    header: Option<String>,
    token: Option<String>,
}

/// What it is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It proves one of the instance's secrets.
    Verified,
    /// The instance has no secret to prove.
    Unverified,
    /// It proves nothing.
    Wrong,
}

impl Proof {
    pub(super) fn read(headers: &HeaderMap, token: Option<&str>) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bearer = text(AUTHORIZATION.as_str());
        let bearer = bearer.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        Self { bearer, header: text(SECRET_HEADER), token: token.map(str::to_owned) }
    }

    pub(super) fn is_given(&self) -> bool {
        self.bearer.is_some() || self.header.is_some() || self.token.is_some()
    }

    /// Weighs the proof against an instance's live secrets.
    pub(super) fn against(&self, instance: &Instance) -> Verdict {
        let ChannelSettings::Whatsapp(whatsapp) = &instance.channel else { return Verdict::Wrong };
        let secrets: Vec<&Secret> =
            [&whatsapp.webhook_secret, &whatsapp.webhook_secret_previous].into_iter().flatten().collect();
        if secrets.is_empty() {
            return Verdict::Unverified;
        }
        if secrets.into_iter().any(|secret| self.proves(secret)) { Verdict::Verified } else { Verdict::Wrong }
    }

    fn proves(&self, secret: &Secret) -> bool {
        let shown = [&self.bearer, &self.header, &self.token];
        shown.into_iter().flatten().any(|shown| secret.matches(shown))
            || self.bearer.as_deref().is_some_and(|token| is_signed(token, secret))
    }
}

fn is_signed(token: &str, secret: &Secret) -> bool {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.leeway = LEEWAY;
    rules.set_required_spec_claims(&["exp"]);
    rules.validate_aud = false;
    let key = DecodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::decode::<serde_json::Value>(token, &key, &rules).is_ok()
}
