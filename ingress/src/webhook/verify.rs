//! Whether a webhook's sender knows the instance's secret.
//!
//! Evolution API signs with HS256 when the webhook's headers hold `jwt_key`, and sends any other
//! header as it is; its global webhook sends neither, so the secret may stand in the URL too.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use omnihub_common::{
    instance::{ChannelSettings, Instance, RESERVED_NAMES},
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
    /// Reads the headers, and `?token=` of the URL (Evolution's global webhook sends no headers).
    pub(super) fn read(headers: &HeaderMap, query: Option<&str>) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let bearer = text(AUTHORIZATION.as_str());
        let bearer = bearer.and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
        });
        Self { bearer, header: text(SECRET_HEADER), token: query.and_then(token) }
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

/// `token` in a query. By events, Evolution appends `/messages-upsert` to the whole URL, query
/// included.
fn token(query: &str) -> Option<String> {
    let (_, token) = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "token")?;
    Some(match token.rsplit_once('/') {
        Some((token, event)) if RESERVED_NAMES.contains(&event) => token.to_owned(),
        _ => token.into_owned(),
    })
}

fn is_signed(token: &str, secret: &Secret) -> bool {
    let mut rules = Validation::new(Algorithm::HS256);
    rules.leeway = LEEWAY;
    rules.set_required_spec_claims(&["exp"]);
    rules.validate_aud = false;
    let key = DecodingKey::from_secret(secret.expose().as_bytes());
    jsonwebtoken::decode::<serde_json::Value>(token, &key, &rules).is_ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;
    use chrono::{DateTime, Utc};
    use jsonwebtoken::{EncodingKey, Header};
    use omnihub_common::instance::{
        AccountWatch, AgentOptions, AgentProtocol, AgentSettings, BudgetSettings, FailoverSettings, GroupSettings,
        InstanceName, OfficeSettings, ReplySettings, TakeoverSettings, TurnSettings, WhatsappSettings,
    };
    use serde_json::json;

    use super::*;

    const SECRET: &str = "the-secret-of-acme";

    fn instance(secret: Option<&str>, previous: Option<&str>) -> Instance {
        Instance {
            id: 1,
            name: InstanceName::parse("acme").unwrap(),
            is_active: true,
            is_default: false,
            session_id_prefix: None,
            agent: AgentSettings {
                api_url: "http://agent".into(),
                api_key: Secret::new("k"),
                agent_id: None,
                default_agent: None,
                timeout: Duration::from_secs(60),
                protocol: AgentProtocol::Automagik,
                error_message: None,
                options: AgentOptions::default(),
            },
            failover: FailoverSettings::default(),
            turns: TurnSettings::default(),
            takeover: TakeoverSettings::default(),
            groups: GroupSettings::default(),
            budget: BudgetSettings::default(),
            office: OfficeSettings::default(),
            reply: ReplySettings::default(),
            media: Default::default(),
            trace_retention_days: None,
            channel: ChannelSettings::Whatsapp(WhatsappSettings {
                evolution_url: "http://evolution".into(),
                evolution_key: Secret::new("e"),
                whatsapp_instance: "acme".into(),
                webhook_base64: true,
                webhook_secret: secret.map(Secret::new),
                webhook_secret_previous: previous.map(Secret::new),
                webhook_url: None,
                watch: AccountWatch::default(),
            }),
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
        }
    }

    /// A token as Evolution mints it: HS256, ten minutes, no issuer and no audience.
    fn minted(secret: &str, minutes_ago: i64) -> String {
        let iat = Utc::now().timestamp() - minutes_ago * 60;
        let claims = json!({"iat": iat, "exp": iat + 600, "app": "evolution", "action": "webhook"});
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
    }

    fn bearer(token: &str) -> Proof {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        Proof::read(&headers, None)
    }

    #[test]
    fn evolution_s_token_is_good_for_as_long_as_its_retries_run() {
        let acme = instance(Some(SECRET), None);
        for minutes_ago in [0, 9, 29, 50] {
            assert_eq!(bearer(&minted(SECRET, minutes_ago)).against(&acme), Verdict::Verified, "{minutes_ago}");
        }
        assert_eq!(bearer(&minted(SECRET, 60)).against(&acme), Verdict::Wrong);
        assert_eq!(bearer(&minted("another-secret", 0)).against(&acme), Verdict::Wrong);
        let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJleHAiOjQxMDI0NDQ4MDB9.";
        assert_eq!(bearer(unsigned).against(&acme), Verdict::Wrong);
    }

    #[test]
    fn the_secret_itself_may_stand_in_a_header_or_the_url() {
        let acme = instance(Some(SECRET), None);
        assert_eq!(bearer(SECRET).against(&acme), Verdict::Verified);
        assert_eq!(Proof::read(&HeaderMap::new(), Some("token=the-secret-of-acme")).against(&acme), Verdict::Verified);
        let by_events = Some("a=b&token=the-secret-of-acme/messages-upsert");
        assert_eq!(Proof::read(&HeaderMap::new(), by_events).against(&acme), Verdict::Verified);
        let mut headers = HeaderMap::new();
        headers.insert(SECRET_HEADER, HeaderValue::from_static(SECRET));
        assert_eq!(Proof::read(&headers, None).against(&acme), Verdict::Verified);
        assert_eq!(Proof::read(&HeaderMap::new(), Some("token=&token")).against(&acme), Verdict::Wrong);
        assert_eq!(Proof::default().against(&acme), Verdict::Wrong);
    }

    #[test]
    fn two_secrets_live_while_one_rotates_and_none_means_unverified() {
        let rotating = instance(Some("new-secret-of-acme"), Some(SECRET));
        assert_eq!(bearer(&minted(SECRET, 0)).against(&rotating), Verdict::Verified);
        assert_eq!(bearer(&minted("new-secret-of-acme", 0)).against(&rotating), Verdict::Verified);
        assert_eq!(Proof::default().against(&instance(None, None)), Verdict::Unverified);
    }
}
