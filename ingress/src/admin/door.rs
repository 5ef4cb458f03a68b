//! Routes that name the scope they need.
//!
//! [`Routes`] is axum's router, but takes only handlers whose first argument is an [`Allowed`]: one
//! that forgets to ask who is there does not compile.
//!
//! ```compile_fail,E0277
//! use omnihub_ingress::admin::door;
//!
//! async fn open_to_everybody() -> &'static str {
//!     "no key was asked for"
//! }
//!
//! let _ = door::get(open_to_everybody);
//! ```
//!
//! ```
//! use omnihub_ingress::admin::{access::{Allowed, CanRead}, door};
//!
//! async fn for_readers(_: Allowed<CanRead>) -> &'static str {
//!     "a key was shown"
//! }
//!
//! let _ = door::get(for_readers);
//! ```
//!
//! What is built is also [`Recorded`]: the OpenAPI document, and the tests that try every key on
//! every route, are made of that record, not of a list beside it.

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    http::Method,
    routing::{self, MethodRouter},
};
use omnihub_common::key::Scope;

use super::{
    access::{Allowed, Needs},
    openapi::Doc,
};
use crate::state::AppState;

/// The arguments of a handler that begins with an [`Allowed`]; `M` is axum's own marker.
pub trait Guarded {
    /// What the handler asks for.
    const SCOPE: Scope;
}

macro_rules! guarded {
    ($($argument:ident),*) => {
        impl<M, S: Needs, $($argument,)*> Guarded for (M, Allowed<S>, $($argument,)*) {
            const SCOPE: Scope = S::SCOPE;
        }
    };
}

guarded!();
guarded!(A);
guarded!(A, B);
guarded!(A, B, C);
guarded!(A, B, C, D);

/// A route as it was built.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// With its parameters in braces.
    pub path: String,
    /// The method.
    pub method: Method,
    /// What a key needs; none where no key is asked for.
    pub scope: Option<Scope>,
    /// What is said of it; none when somebody has forgotten to.
    pub doc: Option<Doc>,
}

/// What a path does, by method.
#[derive(Clone, Debug)]
pub struct Route<S = AppState> {
    methods: MethodRouter<S>,
    recorded: Vec<(Method, Option<Scope>, Option<Doc>)>,
}

impl<S> Route<S> {
    /// Says what the methods before it do that nothing was said of yet.
    #[must_use]
    pub fn doc(mut self, doc: Doc) -> Self {
        for (_, _, said) in &mut self.recorded {
            said.get_or_insert_with(|| doc.clone());
        }
        self
    }

    fn and(
        mut self,
        method: Method,
        scope: Option<Scope>,
        add: impl FnOnce(MethodRouter<S>) -> MethodRouter<S>,
    ) -> Self {
        self.recorded.push((method, scope, None));
        Self { methods: add(self.methods), ..self }
    }
}

impl<S: Clone> Default for Route<S> {
    fn default() -> Self {
        Self { methods: MethodRouter::new(), recorded: Vec::new() }
    }
}

macro_rules! methods {
    ($($method:ident $name:ident $text:literal),*) => {
        impl Route {$(
            #[doc = $text]
            #[must_use]
            pub fn $method<H, T>(self, handler: H) -> Self
            where
                H: Handler<T, AppState>,
                T: Guarded + 'static,
            {
                self.and(Method::$name, Some(T::SCOPE), |methods| methods.$method(handler))
            }
        )*}

        $(
            #[doc = $text]
            pub fn $method<H, T>(handler: H) -> Route
            where
                H: Handler<T, AppState>,
                T: Guarded + 'static,
            {
                Route::default().$method(handler)
            }
        )*
    };
}

methods!(
    get GET "Answers GET.",
    post POST "Answers POST.",
    put PUT "Answers PUT.",
    patch PATCH "Answers PATCH.",
    delete DELETE "Answers DELETE."
);

/// Answers GET to anybody, without a key: for what is no secret.
pub fn open_get<H, T, S>(handler: H) -> Route<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Route::default().and(Method::GET, None, |_| routing::get(handler))
}

/// Answers POST to anybody, without a key: for callers who prove themselves in another way.
pub fn open_post<H, T, S>(handler: H) -> Route<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    Route::default().and(Method::POST, None, |_| routing::post(handler))
}

/// The routes of a room of the API.
#[derive(Clone, Debug)]
pub struct Routes<S = AppState> {
    router: Router<S>,
    recorded: Vec<Recorded>,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a path.
    #[must_use]
    pub fn route(mut self, path: &str, route: Route<S>) -> Self {
        let recorded = route.recorded.into_iter();
        self.recorded.extend(recorded.map(|(method, scope, doc)| Recorded {
            path: path.to_owned(),
            method,
            scope,
            doc,
        }));
        Self { router: self.router.route(path, route.methods), ..self }
    }

    /// The same for bodies of at most so many bytes.
    #[must_use]
    pub fn with_bodies_up_to(self, bytes: usize) -> Self {
        Self { router: self.router.layer(DefaultBodyLimit::max(bytes)), ..self }
    }

    /// Adds the routes of another room.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.recorded.extend(other.recorded);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// What was built.
    #[must_use]
    pub fn recorded(&self) -> &[Recorded] {
        &self.recorded
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self { router: Router::new(), recorded: Vec::new() }
    }
}

impl<S> From<Routes<S>> for Router<S> {
    fn from(routes: Routes<S>) -> Self {
        routes.router
    }
}
