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

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    routing::{self, MethodRouter},
};

use super::access::Allowed;
use crate::state::AppState;

/// The arguments of a handler that begins with an [`Allowed`]; `M` is axum's own marker.
pub trait Guarded {}

macro_rules! guarded {
    ($($argument:ident),*) => {
        impl<M, S, $($argument,)*> Guarded for (M, Allowed<S>, $($argument,)*) {}
    };
}

guarded!();
guarded!(A);
guarded!(A, B);
guarded!(A, B, C);
guarded!(A, B, C, D);

/// What a path does, by method.
#[derive(Clone, Debug, Default)]
pub struct Route(MethodRouter<AppState>);

macro_rules! methods {
    ($($method:ident $text:literal),*) => {
        impl Route {$(
            #[doc = $text]
            #[must_use]
            pub fn $method<H, T>(self, handler: H) -> Self
            where
                H: Handler<T, AppState>,
                T: Guarded + 'static,
            {
                Self(self.0.$method(handler))
            }
        )*}

        $(
            #[doc = $text]
            pub fn $method<H, T>(handler: H) -> Route
            where
                H: Handler<T, AppState>,
                T: Guarded + 'static,
            {
                Route(routing::$method(handler))
            }
        )*
    };
}

methods!(get "Answers GET.", post "Answers POST.", put "Answers PUT.", patch "Answers PATCH.", delete "Answers DELETE.");

/// The routes of a room of the admin API.
#[derive(Clone, Debug, Default)]
pub struct Routes(Router<AppState>);

impl Routes {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a path.
    #[must_use]
    pub fn route(self, path: &str, route: Route) -> Self {
        Self(self.0.route(path, route.0))
    }

    /// The same for bodies of at most so many bytes.
    #[must_use]
    pub fn with_bodies_up_to(self, bytes: usize) -> Self {
        Self(self.0.layer(DefaultBodyLimit::max(bytes)))
    }

    /// Adds the routes of another room.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self(self.0.merge(other.0))
    }
}

impl From<Routes> for Router<AppState> {
    fn from(routes: Routes) -> Self {
        routes.0
    }
}
