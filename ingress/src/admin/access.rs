//! Who may call the admin API.

use std::sync::Arc;

use axum::{
    extract::{FromRef, FromRequestParts},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use omnihub_common::key::AdminKey;

use crate::{problem::Problem, state::AppState};

/// Proof that the caller showed the admin key. A handler without it serves the public.
#[derive(Debug)]
pub struct AdminAccess(());

/// The answer to a caller who did not: 401, with the scheme that would do.
#[derive(Debug)]
pub struct Unauthorized(Problem);

impl IntoResponse for Unauthorized {
    fn into_response(self) -> Response {
        let mut response = self.0.into_response();
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey"));
        response
    }
}

impl FromRequestParts<AppState> for AdminAccess {
    type Rejection = Unauthorized;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Unauthorized> {
        let key = Arc::<AdminKey>::from_ref(state);
        let refused = |code, detail| Err(Unauthorized(Problem::new(StatusCode::UNAUTHORIZED, code, detail)));
        match shown(&parts.headers) {
            None => refused("missing_api_key", "Send the admin key as `x-api-key`, or as `Authorization: Bearer`."),
            Some(candidate) if key.matches(candidate) => Ok(Self(())),
            Some(_) => refused("invalid_api_key", "This is not the admin key of this hub."),
        }
    }
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
