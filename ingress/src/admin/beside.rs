//! What is said beside an answer: headers that are decided before the answer is.
//!
//! An extractor finds [`Beside`] in its request and writes a header into it; [`said`] is the layer
//! around every route that puts them on whatever is answered, a problem too.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::{
    extract::Request,
    http::{Extensions, HeaderMap, HeaderName, HeaderValue},
    middleware::Next,
    response::Response,
};

/// The headers of an answer to come.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside(Arc<Mutex<HeaderMap>>);

impl Beside {
    /// Those of the answer to this request.
    pub(super) fn of(extensions: &Extensions) -> Self {
        extensions.get().cloned().unwrap_or_default()
    }

    /// Adds one; one of this name that is there already is replaced.
    pub(super) fn say(&self, name: HeaderName, value: HeaderValue) {
        self.headers().insert(name, value);
    }

    fn headers(&self) -> MutexGuard<'_, HeaderMap> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The layer.
pub(super) async fn said(mut request: Request, next: Next) -> Response {
    let beside = Beside::default();
    request.extensions_mut().insert(beside.clone());
    let mut response = next.run(request).await;
    response.headers_mut().extend(std::mem::take(&mut *beside.headers()));
    response
}
