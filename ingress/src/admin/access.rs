//! Who may call the admin API, and for what.
//!
//! A handler says in its first argument which scope it needs: `Allowed<CanRead>`. The routes of
//! [`super::door`] take no handler that does not.

use std::marker::PhantomData;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use omnihub_common::key::{Actor, Caller, Everyone, KeyError, Reach, Scope};

use super::beside::Beside;
use crate::{problem::Problem, state::AppState};

/// A scope that a route needs, as a type.
pub trait Needs: Send + Sync + 'static {
    /// The scope.
    const SCOPE: Scope;
}

/// Looks at something.
#[derive(Debug)]
pub struct CanRead;

/// Changes something within an instance.
#[derive(Debug)]
pub struct CanWrite;

/// Sends messages.
#[derive(Debug)]
pub struct CanSend;

/// Makes and deletes instances and keys.
#[derive(Debug)]
pub struct CanAdmin;

impl Needs for CanRead {
    const SCOPE: Scope = Scope::Read;
}

impl Needs for CanWrite {
    const SCOPE: Scope = Scope::Write;
}

impl Needs for CanSend {
    const SCOPE: Scope = Scope::Send;
}

impl Needs for CanAdmin {
    const SCOPE: Scope = Scope::Admin;
}

/// Proof that the caller showed a key with this scope. What they may see is narrowed to their
/// [`Reach`]; whatever is outside it does not exist for them.
#[derive(Debug)]
pub struct Allowed<S> {
    caller: Caller,
    needs: PhantomData<S>,
}

impl<S> Allowed<S> {
    /// The instances that the caller sees.
    #[must_use]
    pub fn reach(&self) -> &Reach {
        self.caller.reach()
    }

    /// Who it is, for the audit log.
    #[must_use]
    pub fn actor(&self) -> &Actor {
        self.caller.actor()
    }

    /// Proof that the caller may act on the hub as a whole.
    ///
    /// # Errors
    /// 403 for a key of some instances.
    pub fn everyone(&self) -> Result<Everyone, Problem> {
        self.caller.everyone().ok_or_else(|| {
            let detail = "This concerns the whole hub; your key is for some instances.";
            Problem::new(StatusCode::FORBIDDEN, "whole_hub_only", detail)
        })
    }

    /// Goes on if the caller sees this instance.
    ///
    /// # Errors
    /// 404, as if there were none.
    pub fn sees(&self, instance: &str) -> Result<(), Problem> {
        if self.reach().includes(instance) { Ok(()) } else { Err(no_such_instance(instance)) }
    }
}

/// The answer about an instance that is not there, or not for the caller.
#[must_use]
pub fn no_such_instance(name: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "instance_not_found", format!("Instance '{name}' not found"))
}

/// Why a caller is not let in.
#[derive(Debug)]
pub struct Refused(Problem);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let unauthorized = self.0.status == StatusCode::UNAUTHORIZED.as_u16();
        let mut response = self.0.into_response();
        if unauthorized {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
        }
        response
    }
}

impl<S: Needs> FromRequestParts<AppState> for Allowed<S> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refused> {
        let caller = caller(parts, state).await.map_err(Refused)?;
        state.limits.request(caller.actor(), &Beside::of(&parts.extensions)).map_err(Refused)?;
        if !caller.may(S::SCOPE) {
            let detail = format!("Your key has no scope `{}`.", S::SCOPE.word());
            return Err(Refused(Problem::new(StatusCode::FORBIDDEN, "scope_missing", detail)));
        }
        Ok(Self { caller, needs: PhantomData })
    }
}

/// Whom the shown key stands for. The root key is known without the database.
async fn caller(parts: &Parts, state: &AppState) -> Result<Caller, Problem> {
    let refused = |code, detail| Problem::new(StatusCode::UNAUTHORIZED, code, detail);
    let Some(key) = shown(&parts.headers) else {
        return Err(refused("missing_api_key", "Send the admin key as `x-api-key`, or as `Authorization: Bearer`."));
    };
    if state.admin_key.matches(key) {
        return Ok(Caller::root());
    }
    state.limits.look_up(key, parts)?;
    let found = state.keys.caller(key).await;
    if let Ok(found) = &found {
        state.limits.learn(key, found.is_some());
    }
    match found {
        Ok(Some(caller)) => Ok(caller),
        Ok(None) => Err(refused("invalid_api_key", "This is no key of this hub, or it was revoked or has expired.")),
        Err(error) => Err(not_known(&error)),
    }
}

/// The keys cannot be looked at.
fn not_known(error: &KeyError) -> Problem {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    tracing::error!(error.message = %error, error.cause = cause, "keys cannot be checked");
    let detail = "The keys cannot be checked right now; the root key of the hub works.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable", detail).retry_after(1)
}

/// The key that the caller shows; `x-api-key` before `Authorization`.
fn shown(headers: &HeaderMap) -> Option<&str> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let bearer = || {
        let (scheme, key) = text("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
    };
    text("x-api-key").filter(|key| !key.is_empty()).or_else(bearer).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_header_will_do() {
        let shown = |pairs: &[(&'static str, &'static str)]| {
            let headers: HeaderMap =
                pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect();
            shown(&headers).map(str::to_owned)
        };
        assert_eq!(shown(&[("x-api-key", " k ")]).as_deref(), Some("k"));
        assert_eq!(shown(&[("authorization", "bearer k")]).as_deref(), Some("k"));
        assert_eq!(shown(&[("x-api-key", ""), ("authorization", "Bearer k")]).as_deref(), Some("k"));
        assert_eq!(shown(&[("x-api-key", "a"), ("authorization", "Bearer b")]).as_deref(), Some("a"));
        for nothing in [&[][..], &[("authorization", "Basic k")], &[("authorization", "Bearer ")]] {
            assert_eq!(shown(nothing), None);
        }
    }
}
